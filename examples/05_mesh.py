"""An equation on a mesh: Darcy flow through a bent channel, from the mesh to a file for ParaView.

-div(a grad p) = 0 on the quarter ring 1 < r < 2, p = 1 at the inlet, 0 at the outlet, walls without flux. For a = 1 the pressure falls
linearly with the angle, and ln(2) / (pi / 2) = 0.441271 flows through. This script also made datasets/darcy-mesh/bend.msh.
Takes seconds. Run: python examples/05_mesh.py [FOLDER] [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path

import matplotlib
import meshio
import numpy as np
from scipy.spatial import Delaunay

import sciml
from sciml.data.verify import verify
from sciml.discretize import discretize
from sciml.discretize.p1 import elements
from sciml.io.export import export_sample
from sciml.mesh import read_mesh
from sciml.problems import MeshDarcy
from solvers import linear_solve

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", metavar="FOLDER", help="where to write; a temporary folder where left out")
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
arguments = parser.parse_args()
folder = Path(arguments.folder or tempfile.mkdtemp())
picture = arguments.picture or folder / "bend.png"
for place in (folder, picture.parent):
    place.mkdir(parents=True, exist_ok=True)
across, along = 20, 48

# An uneven grid of the rectangle 0 <= s <= 1, 0 <= t <= 1 is triangulated and bent.
s, t = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1, across + 1), np.linspace(0, 1, along + 1), indexing="ij"))
inside = (s > 0) & (s < 1) & (t > 0) & (t < 1)
shift = np.random.default_rng(0).uniform(-0.25, 0.25, (2, s.size)) * inside
s, t = s + shift[0] / across, t + shift[1] / along
cells = Delaunay(np.stack([s, 2.4 * t], axis=1)).simplices
points = np.stack([(1 + s) * np.sin(np.pi / 2 * t), (1 + s) * np.cos(np.pi / 2 * t), 0 * s], axis=1)

# Physical groups of Gmsh, by number, name the parts of the boundary.
parts = {"inlet": t == 0, "outlet": t == 1, "inner_wall": s == 0, "outer_wall": s == 1}
edges = [np.flatnonzero(nodes) for nodes in parts.values()]
edges = [np.stack([nodes[:-1], nodes[1:]], axis=1) for nodes in edges]
blocks = [*(("line", rows) for rows in edges), ("triangle", cells)]
groups = [*(np.full(len(rows), number, np.int32) for number, rows in enumerate(edges, 1)), np.full(len(cells), 9, np.int32)]
names = {name: np.array([number, 1]) for number, name in enumerate(parts, 1)} | {"medium": np.array([9, 2])}
tags = {"gmsh:physical": groups, "gmsh:geometrical": groups}
meshio.Mesh(points, blocks, cell_data=tags, field_data=names).write(folder / "bend.msh", file_format="gmsh22", binary=False)

mesh = read_mesh(folder / "bend.msh")
walls = {"inner_wall": "neumann", "outer_wall": "neumann"}
even = MeshDarcy(mesh=mesh, permeability=1.0, source=0.0, boundary={"inlet": {"kind": "dirichlet", "value": 1.0}, **walls})
system = discretize(even, {})
pressure = linear_solve(system.operator, system.rhs).raise_for_status().x
flow = (elements(mesh).stiffness(1.0) @ pressure)[np.unique(mesh.part("inlet"))].sum()
print(f"{len(points)} nodes, {len(cells)} triangles: {flow:.6f} flows through, ln(2) / (pi / 2) = {np.log(2) / (np.pi / 2):.6f}")
assert abs(flow / (np.log(2) / (np.pi / 2)) - 1) < 1e-3

(folder / "recipe.toml").write_text("""
name = "bend"
title = "Flow through a bent channel"
[problem]
kind = "mesh_darcy"
mesh = "bend.msh"
source = 0.0
permeability = { kind = "log_normal", field = { kind = "gaussian_random_field" } }
[problem.boundary]
inlet = { kind = "dirichlet", value = 1.0 }
inner_wall = "neumann"
outer_wall = "neumann"
""")
sciml.generate(sciml.load_recipe(folder / "recipe.toml"), folder / "data", samples=20)
assert verify(folder / "data").passed
print(f"20 certified samples in {folder / 'data'}, one of them for ParaView in {export_sample(folder / 'data', folder / 'sample.vtu')}")

sample = sciml.open_dataset(folder / "data", "train")[0]
figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
shown = {"pressure p, a = 1": pressure, "permeability a of a sample": sample["permeability"], "its pressure p": sample["pressure"]}
for panel, (title, values) in zip(panels, shown.items(), strict=True):
    image = panel.tripcolor(*mesh.points.T, mesh.cells, values, shading="flat" if len(values) == len(mesh.cells) else "gouraud")
    panel.set(xlabel="x", ylabel="y", aspect="equal", title=title.capitalize())
    figure.colorbar(image)
figure.savefig(picture, dpi=120)
print(f"picture in {picture}")
