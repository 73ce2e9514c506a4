"""PyAMG as a preconditioner of conjugate gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyamg

from solvers.linear.cg import flexible_cg
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, Batch, System, entries
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
        build = pyamg.ruge_stuben_solver if self.kind == "ruge_stuben" else pyamg.smoothed_aggregation_solver
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="pyamg")  # sparse-format conversions of its own set-up
            try:
                hierarchy = build(A)
            except (ValueError, np.linalg.LinAlgError):  # overflow on the coarse levels of an extreme matrix
                return lambda system: Attempt(system.x0, status=Status.BREAKDOWN)
        cycle = hierarchy.aspreconditioner(cycle="V")
        singular = isinstance(operator, StencilOperator) and operator.is_singular

        def precondition(r: np.ndarray) -> np.ndarray:
            z = cycle.matvec(r)
            return z - z.mean() if singular else z

        def solve(system: System) -> Attempt:
            try:
                return replace(flexible_cg(system, precondition, limit=500), info={"levels": len(hierarchy.levels)})
            except (ValueError, np.linalg.LinAlgError):  # the coarsest matrix is inverted in the first cycle
                return Attempt(system.x0, status=Status.BREAKDOWN)

        return solve
