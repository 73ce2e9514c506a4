"""Numerics on arrays: NumPy, SciPy, Numba and PyAMG only."""

from solvers.linear import linear_solve
from solvers.result import Solution, SolverError, Status

__all__ = ["Solution", "SolverError", "Status", "linear_solve"]
