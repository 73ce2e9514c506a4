"""Poisson's equation in a square and a cube: declare, discretise, solve, compare with a known solution.

-Laplacian u = f on (0, 1)^d with mixed boundary conditions and a manufactured solution; the error falls with the square of the cell.
Takes seconds. Run: python examples/01_poisson.py
"""

import numpy as np

from sciml.discretize import discretize
from sciml.problems import Poisson
from solvers import linear_solve

SIDES = {"x_low": "neumann", "y_low": "periodic", "y_high": "periodic"}  # every other side: u is given
WAVE = {"wavenumbers": (3.0, 2 * np.pi, 1.0), "phases": (0.2, 0.0, 0.5)}


def error(dimension: int, resolution: int) -> float:
    """Root-mean-square error against the exact solution."""
    solution = {name: values[:dimension] for name, values in WAVE.items()}
    problem = Poisson(dimension=dimension, resolution=resolution, boundary=SIDES, solution=solution)
    system = discretize(problem, {})
    result = linear_solve(system.operator, system.rhs).raise_for_status()
    found = system.unpack(result.x)["potential"]
    print(f"{dimension}-D {resolution:4d} cells an axis: {result.method}, relative residual {result.relative_residual:.1e}", end=", ")
    rms = float(np.sqrt(np.mean((found - problem.exact({})["potential"]) ** 2)))
    print(f"rms error {rms:.2e}")
    return rms


for dimension, resolutions in ((2, (32, 64, 128, 256)), (3, (8, 16, 32, 64))):
    errors = [error(dimension, n) for n in resolutions]
    orders = np.diff(-np.log2(errors))
    print(f"{dimension}-D observed orders: {orders.round(2)}")
    assert (abs(orders[-2:] - 2) < 0.05).all()
