"""Numerics on arrays: NumPy, SciPy, Numba and PyAMG only."""

from solvers.integrators import IntegrationStatus, Trajectory, integrate
from solvers.linear import linear_solve
from solvers.result import Solution, SolverError, Status

__all__ = ["IntegrationStatus", "Solution", "SolverError", "Status", "Trajectory", "integrate", "linear_solve"]
