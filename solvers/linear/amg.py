"""PyAMG as a preconditioner of conjugate gradients."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyamg

from solvers.linear.cg import flexible_cg
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, System
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
        A = system.csr(self.name)
        if not system.looks_symmetric or (isinstance(system.A, StencilOperator) and not system.A.is_definite):
            return Attempt(system.x0, status=Status.INDEFINITE)
        build = pyamg.ruge_stuben_solver if self.kind == "ruge_stuben" else pyamg.smoothed_aggregation_solver
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="pyamg")  # sparse-format conversions of its own set-up
            hierarchy = build(A)
        cycle = hierarchy.aspreconditioner(cycle="V")
        singular = isinstance(system.A, StencilOperator) and system.A.is_singular

        def precondition(r: np.ndarray) -> np.ndarray:
            z = cycle.matvec(r)
            return z - z.mean() if singular else z

        attempt = flexible_cg(system, precondition, limit=500)
        return Attempt(attempt.x, attempt.iterations, attempt.residual_norms, attempt.status, {"levels": len(hierarchy.levels)})
