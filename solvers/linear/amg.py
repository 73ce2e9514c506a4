"""PyAMG as a preconditioner of conjugate gradients, built for one matrix or for a family of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyamg
import scipy.sparse as sp
from pyamg.relaxation.smoothing import change_smoothers
from scipy.sparse.linalg import LinearOperator

from solvers.linear.cg import flexible_cg
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, Batch, System, Vector, entries, looks_symmetric
from solvers.result import Status


@dataclass(frozen=True)
class AMG:
    """Conjugate gradients preconditioned by one PyAMG V-cycle, for symmetric positive definite matrices.

    Parameters
    ----------
    kind : "ruge_stuben" (few iterations on scalar diffusion) or "smoothed_aggregation" (elasticity-like and anisotropic matrices).
    """

    kind: Literal["ruge_stuben", "smoothed_aggregation"] = "ruge_stuben"

    def __post_init__(self) -> None:
        if self.kind not in ("ruge_stuben", "smoothed_aggregation"):
            raise ValueError(f"AMG: kind is {self.kind!r}; it must be 'ruge_stuben' or 'smoothed_aggregation'")

    @property
    def name(self) -> str:
        return "amg"

    def attempt(self, system: System) -> Attempt:
        return self._solver(system.A)(system)

    def attempt_many(self, batch: Batch) -> list[Attempt]:
        solve = self._solver(batch.A)
        return [solve(batch.system(row)) for row in range(len(batch))]

    def _solver(self, operator: Any) -> Callable[[System], Attempt]:
        """Build the hierarchy once for any number of systems with this matrix."""
        A = entries(operator, self.name)
        if A.dtype.kind == "c":
            raise TypeError("method 'amg' needs a real matrix, but A is complex: take 'lu'")
        if not looks_symmetric(operator) or (isinstance(operator, StencilOperator) and not operator.is_definite):
            return lambda system: Attempt(system.x0, status=Status.INDEFINITE)
        try:
            hierarchy = set_up(A, self.kind)
        except (ValueError, np.linalg.LinAlgError):  # overflow on the coarse levels of an extreme matrix
            return lambda system: Attempt(system.x0, status=Status.BREAKDOWN)
        precondition = v_cycle(hierarchy, singular=isinstance(operator, StencilOperator) and operator.is_singular)

        def solve(system: System) -> Attempt:
            try:
                return replace(flexible_cg(system, precondition, limit=500), info={"levels": len(hierarchy.levels)})
            except (ValueError, np.linalg.LinAlgError):  # the coarsest matrix is inverted in the first cycle
                return Attempt(system.x0, status=Status.BREAKDOWN)

        return solve


def set_up(A: sp.csr_matrix, kind: str) -> pyamg.MultilevelSolver:
    """PyAMG's levels for a real symmetric positive (semi-)definite matrix; `kind` is that of `AMG`."""
    build = pyamg.ruge_stuben_solver if kind == "ruge_stuben" else pyamg.smoothed_aggregation_solver
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="pyamg")  # sparse-format conversions of its own set-up
        return build(A)


def v_cycle(hierarchy: pyamg.MultilevelSolver, *, singular: bool) -> Callable[[Vector], Vector]:
    """One V-cycle from zero; what it does to constants is rounding where they are in the null space, and is removed."""
    cycle = hierarchy.aspreconditioner(cycle="V")

    def precondition(r: Vector) -> Vector:
        z: Vector = cycle.matvec(r)
        return z - z.mean() if singular else z

    return precondition


_SMOOTHER = ("gauss_seidel", {"sweep": "symmetric"})


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Interpolations between the levels of one matrix, kept for the matrices of a family with the same sparsity pattern.

    Finding them is most of the set-up of algebraic multigrid. Only the Galerkin products ``P^T A P`` are made anew for each matrix:
    keeping the coarse matrices too would multiply the iterations (``python -m validation bench mesh-hierarchy`` prints both).

    Attributes
    ----------
    interpolations : from each level to the next finer one, finest first.
    """

    interpolations: tuple[sp.csr_matrix, ...]

    @classmethod
    def of(cls, A: sp.csr_matrix) -> Hierarchy:
        """Smoothed aggregation for a symmetric positive definite matrix, such as that of the mean coefficient."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="pyamg")
            levels = pyamg.smoothed_aggregation_solver(A).levels
        return cls(tuple(sp.csr_matrix(level.P) for level in levels[:-1]))

    def preconditioner(self, A: sp.csr_matrix) -> LinearOperator:
        """One V-cycle for A with a symmetric Gauss-Seidel sweep before and after, as `M` for `linear_solve`: symmetric and definite."""
        levels = []
        for P in (*self.interpolations, None):
            level = pyamg.MultilevelSolver.Level()
            level.A = A
            if P is not None:
                level.P, level.R = P, P.T.tocsr()
                A = sp.csr_matrix(level.R @ A @ P)
            levels.append(level)
        hierarchy = pyamg.MultilevelSolver(levels, coarse_solver="pinv")
        change_smoothers(hierarchy, _SMOOTHER, _SMOOTHER)
        return hierarchy.aspreconditioner(cycle="V")
