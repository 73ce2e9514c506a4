"""Add a PDE: steady advection-diffusion, -kappa Laplacian u + v du/dx = f, declared once and usable everywhere.

One class, one function for the matrix; everything else works as it is. Seconds. Run: python examples/03_add_a_problem.py
"""

import tempfile
from typing import ClassVar, Literal

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
assert abs(linear_solve(system.operator, system.rhs).raise_for_status().x[:, 0] - exact).max() < 1e-3

recipe = Recipe(name="advection", title="Advection-diffusion", problem=AdvectionDiffusion(resolution=32, boundary=sides))
folder = tempfile.mkdtemp() + "/advection"
sciml.generate(recipe, folder, samples=20)
assert verify(folder).passed
print(f"20 certified samples of a new problem in {folder}")
