"""Flow through a bent channel of two media on triangle meshes, against the exact flow.

In the quarter ring 1 < r < 2 with p = 1 at one end, 0 at the other and no flux through the walls, the pressure falls linearly with the
angle wherever the permeability depends on r alone. With a = 12 for r < 3/2 and 3 beyond, (12 ln(3/2) + 3 ln(4/3)) / (pi / 2) flows
through. The discrete flow is twice an energy, hence of second order, as is what the polygons cut off the ring.
"""

from __future__ import annotations

import time

import numpy as np

from sciml.checks import Check, CheckReport
from sciml.discretize import linear_system
from sciml.discretize.p1 import elements
from sciml.mesh import Mesh
from sciml.problems import MeshDarcy
from solvers import linear_solve
from validation.options import check_between

EXACT = (12 * np.log(3 / 2) + 3 * np.log(4 / 3)) / (np.pi / 2)
WALLS = {"inner_wall": "neumann", "outer_wall": "neumann"}
MEDIUM = {"kind": "binary", "low": 3.0, "high": 12.0}


def run(*, resolution: int = 16) -> CheckReport:
    """Solve on `resolution`, twice and four times as many cells across the channel."""
    check_between("resolution", resolution, 4, 256)
    start = time.perf_counter()
    errors = [_flow(n) / EXACT - 1 for n in (resolution, 2 * resolution, 4 * resolution)]
    rate = float(np.log2(errors[1] / errors[2]))
    limit = 0.25 / (4 * resolution) ** 2  # 0.21 h^2 is what linear elements make of it
    checks = [
        Check("order of the flow", rate, "in", (1.9, 2.1), reference="linear elements", status="exact"),
        Check("|flow on the finest mesh / exact - 1|", abs(errors[2]), "<=", limit, reference="closed form", status="exact"),
    ]
    return CheckReport("mesh-bent-channel", checks, time.perf_counter() - start, {"errors": errors, "exact": EXACT})


def _flow(n: int) -> float:
    """Sum of the reactions at the inlet, ``K p``, which is what flows in."""
    mesh = _ring(2 * (n // 2), 2 * n)
    boundary = {"inlet": {"kind": "dirichlet", "value": 1.0}, **WALLS}
    problem = MeshDarcy.model_validate({"mesh": mesh, "permeability": MEDIUM, "source": 0.0, "boundary": boundary})
    inner = np.linalg.norm(mesh.points[mesh.cells].mean(axis=1), axis=1) < 1.5
    permeability = np.where(inner, 12.0, 3.0)
    system = linear_system(problem, {"permeability": permeability})
    pressure = linear_solve(system.operator, system.rhs, rtol=1e-12).raise_for_status().x
    return float((elements(mesh).stiffness(permeability) @ pressure)[np.unique(mesh.part("inlet"))].sum())


def _ring(across: int, along: int) -> Mesh:
    """The quarter ring in across x along quadrilaterals, each cut along its diagonal; no triangle crosses r = 3/2."""
    s, t = np.meshgrid(np.linspace(1, 2, across + 1), np.linspace(0, np.pi / 2, along + 1), indexing="ij")
    node = np.arange(s.size).reshape(s.shape)
    a, b, c, d = (part.ravel() for part in (node[:-1, :-1], node[1:, :-1], node[1:, 1:], node[:-1, 1:]))
    ends = {"inlet": node[:, 0], "outlet": node[:, -1], "inner_wall": node[0], "outer_wall": node[-1]}
    parts = {name: np.stack([nodes[:-1], nodes[1:]], axis=1) for name, nodes in ends.items()}
    cells = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return Mesh.build(np.stack([(s * np.cos(t)).ravel(), (s * np.sin(t)).ravel()], axis=1), cells, parts, name="quarter ring")
