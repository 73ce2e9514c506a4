"""Numerics on arrays: NumPy, SciPy, Numba and PyAMG only."""

from solvers.integrators import IntegrationStatus, Trajectory, integrate
from solvers.linear import Factorization, factorize, linear_solve, linear_solve_each, linear_solve_many
from solvers.result import Solution, SolverError, Status

__all__ = [
    "Factorization",
    "IntegrationStatus",
    "Solution",
    "SolverError",
    "Status",
    "Trajectory",
    "factorize",
    "integrate",
    "linear_solve",
    "linear_solve_each",
    "linear_solve_many",
]
