"""Numerics on arrays: NumPy, SciPy, Numba and PyAMG only."""

from solvers.integrators import IntegrationStatus, Trajectory, integrate
from solvers.linear import (
    GCRODR,
    GMRES,
    DeflatedCG,
    Factorization,
    RecycleSpace,
    factorize,
    linear_solve,
    linear_solve_each,
    linear_solve_many,
    solve_sequence,
)
from solvers.result import Solution, SolverError, Status

__all__ = [
    "GCRODR",
    "GMRES",
    "DeflatedCG",
    "Factorization",
    "IntegrationStatus",
    "RecycleSpace",
    "Solution",
    "SolverError",
    "Status",
    "Trajectory",
    "factorize",
    "integrate",
    "linear_solve",
    "linear_solve_each",
    "linear_solve_many",
    "solve_sequence",
]
