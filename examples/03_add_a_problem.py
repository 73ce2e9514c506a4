"""Add a PDE: steady advection-diffusion, -kappa Laplacian u + v du/dx = f, declared once and usable everywhere.

One class, one function for the matrix; everything else works as it is. Seconds.
Run: python examples/03_add_a_problem.py [--picture FILE.png]
"""

import argparse
import tempfile
from pathlib import Path
from typing import ClassVar, Literal

import matplotlib
import numpy as np
import scipy.sparse as sp

import sciml
from sciml.data.recipe import Recipe
from sciml.data.verify import verify
from sciml.discretize import LinearSystem, discretize
from sciml.fields import Constant, GaussianRandomField, Law
from sciml.problems import BoxProblem
from solvers import linear_solve
from solvers.linear import diffusion_operator

matplotlib.use("Agg")
import matplotlib.pyplot as plt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--picture", type=Path, metavar="FILE.png", help="where the picture goes; a temporary folder where left out")
picture = parser.parse_args().picture or Path(tempfile.mkdtemp(), "advection.png")
picture.parent.mkdir(parents=True, exist_ok=True)


class AdvectionDiffusion(BoxProblem):
    outputs: ClassVar = ("concentration",)
    kind: Literal["advection_diffusion"] = "advection_diffusion"
    source: Law = GaussianRandomField()
    diffusivity: float = 0.1
    velocity: float = 1.0

    def laws(self):
        return {"source": self.source}

    def strong_residual(self, jets, parameters):
        u = jets["concentration"]
        return -self.diffusivity * u.laplacian + self.velocity * u.gradient[0] - parameters["source"].value


@discretize.register
def _(problem: AdvectionDiffusion, parameters):
    problem.check(parameters)
    (nx, ny), h = problem.grid.shape, problem.grid.spacing[0]
    diffusion = diffusion_operator(problem.diffusivity, shape=(nx, ny), spacing=problem.grid.spacing, sides=problem.boundary_kinds)
    central = sp.diags([-1.0, 1.0], [-1, 1], shape=(nx, nx)).tolil()
    central[0, 0], central[-1, -1] = 1.0, -1.0  # walls at u = 0 lie half a cell outside: the ghost value is -u
    matrix = diffusion.to_csr() + sp.kron(problem.velocity / (2 * h) * central, sp.eye(ny), format="csr")
    rhs = np.array(np.broadcast_to(problem.value("source", parameters), (nx, ny)))
    return LinearSystem(matrix, rhs, lambda x: {"concentration": x}, lambda fields: fields["concentration"])


sides = {"y_low": "neumann", "y_high": "neumann"}
system = discretize(AdvectionDiffusion(resolution=(128, 4), source=Constant(value=1.0), boundary=sides), {})
x = (np.arange(128) + 0.5) / 128
exact = x - np.expm1(x / 0.1) / np.expm1(1 / 0.1)  # f = v = 1, kappa = 0.1, u(0) = u(1) = 0
profile = linear_solve(system.operator, system.rhs).raise_for_status().x[:, 0]
assert abs(profile - exact).max() < 1e-3

recipe = Recipe(name="advection", title="Advection-diffusion", problem=AdvectionDiffusion(resolution=32, boundary=sides))
folder = tempfile.mkdtemp() + "/advection"
sciml.generate(recipe, folder, samples=20)
assert verify(folder).passed
print(f"20 certified samples of a new problem in {folder}")

sample = sciml.open_dataset(folder, "train")[0]
figure, (left, *panels) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
left.plot(x, profile, label="128 cells")
left.plot(x[::8], exact[::8], "ko", fillstyle="none", label="closed form")
left.set(xlabel="x", ylabel="concentration u", title="Source 1, wind to the right")
left.legend()
for panel, name in zip(panels, ("source", "concentration"), strict=True):
    image = panel.imshow(sample[name].T, origin="lower", extent=(0, 1, 0, 1), cmap="RdBu_r")
    panel.set(xlabel="x", ylabel="y", title=f"{name.capitalize()} of a sample")
    figure.colorbar(image, label={"source": "f", "concentration": "u"}[name])
figure.savefig(picture, dpi=120)
print(f"picture in {picture}")
