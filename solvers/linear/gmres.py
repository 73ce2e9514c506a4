"""Restarted GMRES (Saad and Schultz 1986) with right preconditioning, and its flexible form (Saad 1993)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.linear.arnoldi import CountedOperator, Cycle, arnoldi, orthogonalize
from solvers.linear.system import Attempt, System, Vector
from solvers.result import Status

_PATIENCE = 10  # cycles in which the residual has to fall
_PROGRESS = 0.99  # to this part of what it was


@dataclass(frozen=True)
class GMRES:
    """Minimal residuals over Krylov spaces of at most `restart` dimensions, for any A; uses the `M` given to `linear_solve`.

    Preconditioning is from the right, so that the residual that falls is the true one. Fails with STAGNATION where ten cycles
    together reduce the residual by less than 1 %.

    Parameters
    ----------
    restart : steps after which the space is given up; memory for as many vectors is needed.
    flexible : M may differ from step to step (another iteration, for instance); keeps `restart` vectors more.
    """

    restart: int = 40
    flexible: bool = False

    def __post_init__(self) -> None:
        if self.restart < 1:
            raise ValueError(f"GMRES: restart is {self.restart}; it must be at least 1")

    @property
    def name(self) -> str:
        return "gmres"

    def attempt(self, system: System) -> Attempt:
        return RestartedGMRES(system, self.restart, flexible=self.flexible).run()


class RestartedGMRES:
    """Cycles of GMRES for one system, in the complement of a space whose image under A is known; empty here, filled by a subclass.

    Attributes
    ----------
    U : deflation space, shape (k, n); ``A U = C``, C the first k rows of `panel`. Empty where Z is None in spite of a preconditioner.
    panel : C, then the Krylov basis V, orthonormal rows.
    Z : ``M V`` where M may change from step to step; None where it is fixed, or absent.
    """

    def __init__(self, system: System, restart: int, *, flexible: bool) -> None:
        self.system = system
        self.operator = CountedOperator(system)
        self.restart = min(restart, system.n)
        dtype = system.b.dtype
        self.U = np.empty((0, system.n), dtype)
        self.panel = np.empty((self.restart + 1, system.n), dtype)
        self.Z = np.empty((self.restart, system.n), dtype) if flexible and self.operator.preconditioned else None
        self.x = system.x0.copy()
        self.r = system.b - self.operator.A(self.x) if self.x.any() else system.b.copy()
        self.norms = [float(np.linalg.norm(self.r))]
        self.iterations = self.cycles = 0

    def run(self) -> Attempt:
        tolerance, status = self.system.tolerance, None
        ends, confirmed = [self.norms[0]], np.inf
        if self.norms[0] > tolerance:
            self.begin()
        while status is None and self.norms[-1] > tolerance:
            status = self._cycle()
            ends.append(self.norms[-1])
            if not np.isfinite(ends[-1]):
                status = Status.BREAKDOWN
            elif ends[-1] <= tolerance:
                self.confirm()
                if not np.isfinite(self.norms[-1]):  # squares overflow, and what does seems to vanish
                    status = Status.BREAKDOWN
                elif self.norms[-1] > max(tolerance, 0.5 * confirmed):
                    status = Status.STAGNATION
                confirmed = self.norms[-1]
            elif status is None and len(ends) > _PATIENCE and ends[-1] > _PROGRESS * ends[-1 - _PATIENCE]:
                status = Status.STAGNATION
        return Attempt(self.x, self.iterations, self.norms, status, self.info())

    def begin(self) -> None:
        """Before the first cycle."""

    def deflate(self, U: Vector, C: Vector) -> None:
        """Take another deflation space, with ``A U = C``."""
        self.U = U
        self.panel[: len(U)] = C

    def renew(self, cycle: Cycle) -> None:
        """After each cycle: the panel still holds its C and V."""

    def info(self) -> dict[str, Any]:
        return {**self.operator.figures(), "cycles": self.cycles}

    def confirm(self) -> None:
        """Replace the residual by ``b - A x``."""
        self.r = self.system.b - self.operator.A(self.x)
        self.norms[-1] = float(np.linalg.norm(self.r))

    def _cycle(self) -> Status | None:
        """Project the residual on the complement of C, then GMRES there."""
        k, tolerance = len(self.U), self.system.tolerance
        along, beta = orthogonalize(self.panel[:k], self.r, out=self.panel[k])
        limit = 10 * self.system.n if self.system.maxiter is None else self.system.maxiter
        steps = min(self.restart - k, limit - self.iterations)
        if beta <= tolerance or steps <= 0:
            self._move(along, np.zeros(0, self.r.dtype))
            self.r = self.panel[k].copy()
            self.norms.append(beta)
            return None if beta <= tolerance else Status.MAX_ITERATIONS
        self.panel[k] *= 1 / beta
        cycle = arnoldi(self.operator, self.panel, k, beta, steps, tolerance, self.Z, self._reporter(along))
        self.cycles += 1
        if cycle.steps == 0:  # A v is in the span of C: A is singular, or v lies in the span of U, which then has to go
            self.deflate(self.U[:0], self.panel[:0])
            return Status.BREAKDOWN if k == 0 else None
        self._move(along - cycle.B @ cycle.y, cycle.y)
        self.r = cycle.remainder @ self.panel[k : k + cycle.steps + 1]
        self.norms[-1] = float(np.linalg.norm(self.r))
        self.renew(cycle)
        return None

    def _reporter(self, along: Vector) -> Callable[[float, Callable[[], Cycle]], None]:
        def after_step(estimate: float, so_far: Callable[[], Cycle]) -> None:
            self.iterations += 1
            self.norms.append(estimate)
            if self.system.callback is not None:
                cycle = so_far()
                self.system.callback(self.x + self._correction(along - cycle.B @ cycle.y, cycle.y), estimate)

        return after_step

    def _move(self, u: Vector, y: Vector) -> None:
        self.x += self._correction(u, y)

    def _correction(self, u: Vector, y: Vector) -> Vector:
        """``U u + M V y``."""
        k = len(self.U)
        if self.Z is not None:
            return u @ self.U + y @ self.Z[: y.size]
        return self.operator.M(u @ self.U + y @ self.panel[k : k + y.size])
