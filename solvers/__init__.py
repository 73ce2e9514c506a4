"""Numerics on arrays: NumPy, SciPy, Numba and PyAMG only."""

from solvers.linear import Factorization, factorize, linear_solve, linear_solve_many
from solvers.result import Solution, SolverError, Status

__all__ = ["Factorization", "Solution", "SolverError", "Status", "factorize", "linear_solve", "linear_solve_many"]
