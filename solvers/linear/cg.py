"""Conjugate gradients in the flexible form, plain, with a user's preconditioner, or with a multigrid cycle.

The flexible form takes the Polak-Ribiere coefficient ``beta = z_new . (r_new - r_old) / (z_old . r_old)``, which forgives a preconditioner
that is not exactly linear or symmetric (Notay 2000, "Flexible conjugate gradients", eq. 2.1 with one stored direction) and equals the
usual formula where it is. With r_old = r_new + alpha A p no old residual is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.linear.multigrid import Memory, MultigridHierarchy
from solvers.linear.multigrid_iteration import conjugate_gradients
from solvers.linear.stencil import StencilOperator, lift
from solvers.linear.system import Attempt, Batch, System, Vector, looks_symmetric
from solvers.result import Status

#: Iterates x and r in place, appends residual norms, at most as many as the last argument says; what stopped it or None.
Inner = Callable[[Vector, Vector, list[float], int], Status | None]


@dataclass(frozen=True)
class CG:
    """Conjugate gradients for symmetric (Hermitian) positive definite A; uses the `M` given to `linear_solve`.

    Parameters
    ----------
    limit : iterations after which it gives up where `maxiter` does not say; None is ten times the number of unknowns.
    """

    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"CG: limit is {self.limit}; it must be None or at least 1")

    @property
    def name(self) -> str:
        return "cg"

    def attempt(self, system: System) -> Attempt:
        if not looks_symmetric(system.A):
            return Attempt(system.x0, status=Status.INDEFINITE)
        M = system.M
        limit = 10 * system.n if self.limit is None else self.limit
        return flexible_cg(system, (lambda r: r.copy()) if M is None else M.matvec, limit=limit)


@dataclass(frozen=True)
class MultigridCG:
    """Conjugate gradients preconditioned by one geometric multigrid V-cycle; for `StencilOperator` only."""

    @property
    def name(self) -> str:
        return "multigrid_cg"

    def attempt(self, system: System) -> Attempt:
        return self._solver(system.A)(system)

    def attempt_many(self, batch: Batch) -> list[Attempt]:
        solve = self._solver(batch.A)
        return [solve(batch.system(row)) for row in range(len(batch))]

    def _solver(self, A: Any) -> Callable[[System], Attempt]:
        """Build the hierarchy once for any number of systems with this operator."""
        if not isinstance(A, StencilOperator):
            raise TypeError(f"method 'multigrid_cg' needs a StencilOperator, but A is a {type(A).__name__}: take 'amg' or 'lu'")
        if not A.is_definite:  # smoothing and coarse grids amplify what has a negative eigenvalue
            return lambda system: Attempt(system.x0, status=Status.INDEFINITE)
        try:
            hierarchy = MultigridHierarchy(A, _scratch.memory)
        except np.linalg.LinAlgError:  # a part of the domain is cut off from every wall: the coarsest matrix is singular
            return lambda system: Attempt(system.x0, status=Status.BREAKDOWN)
        return lambda system: multigrid_cg(system, hierarchy)


def multigrid_cg(system: System, hierarchy: MultigridHierarchy) -> Attempt:
    """`flexible_cg` with the V-cycle of `hierarchy` as one compiled call; ``system.A`` is the hierarchy's operator."""
    A, grid = hierarchy.operator, hierarchy.grid
    p = hierarchy.memory.take("direction", (grid.size,), np.float64)
    q = hierarchy.memory.take("action", grid.shape, np.float64)
    operator = (A.lifted_faces, lift(A.reaction), A.facts.has_reaction, hierarchy.singular)

    def inner(x: Vector, r: Vector, norms: list[float], budget: int) -> Status | None:
        state = np.zeros(3)
        shaped_x, shaped_r = x.reshape(grid.shape), r.reshape(grid.shape)
        steps = budget if system.callback is None else 1
        while budget > 0:
            found = np.empty(min(steps, budget))
            solver = (hierarchy.compiled, hierarchy.scale, state, found, system.tolerance)
            done, indefinite = conjugate_gradients(shaped_x, shaped_r, p, q, operator, *solver)
            norms += found[:done].tolist()
            budget -= done
            if indefinite:
                return Status.INDEFINITE
            if system.callback is not None:
                system.callback(x, norms[-1])
            if norms[-1] <= system.tolerance:
                break
        return None

    attempt = restarted(system, inner, 200, hierarchy.memory.take("residual", system.b.shape, np.float64))
    return Attempt(attempt.x, attempt.iterations, attempt.residual_norms, attempt.status, {"levels": len(hierarchy.plan.layouts)})


class _Scratch(threading.local):
    """Memory for the hierarchies of each thread: contents do not outlive an attempt."""

    def __init__(self) -> None:
        self.memory = Memory()


_scratch = _Scratch()


def flexible_cg(system: System, precondition: Callable[[Vector], Vector], *, limit: int) -> Attempt:
    """Solve an SPD system by preconditioned conjugate gradients; at most `limit` iterations where the system sets no `maxiter`."""

    def inner(x: Vector, r: Vector, norms: list[float], budget: int) -> Status | None:
        z = precondition(r)
        p = z
        rz = np.vdot(r, z).real
        for _ in range(budget):
            q = system.matvec(p)
            curvature = np.vdot(p, q).real
            if not curvature > 0 or not rz > 0:
                return Status.INDEFINITE if np.isfinite(curvature) and np.isfinite(rz) else Status.BREAKDOWN
            alpha = rz / curvature
            x += alpha * p
            r -= alpha * q
            norms.append(float(np.linalg.norm(r)))
            if system.callback is not None:
                system.callback(x, norms[-1])
            if norms[-1] <= system.tolerance:
                break
            z = precondition(r)
            beta = -alpha * np.vdot(z, q).real / rz  # z . (r_new - r_old) = -alpha z . q
            p = z + beta * p
            rz = np.vdot(r, z).real
        return None

    return restarted(system, inner, limit, np.empty_like(system.b))


def restarted(system: System, inner: Inner, limit: int, r: Vector) -> Attempt:
    """Iterate until the recursive residual meets the tolerance, then compute the true one; r is memory for the former.

    Where that does not meet it, the iteration restarts from it, and gives up once a restart no longer halves it.
    """
    maxiter = limit if system.maxiter is None else system.maxiter
    x = system.x0
    r[...] = system.b if system.guess is None else system.residual(x)
    norms = [float(np.linalg.norm(r))]
    restarted_at = np.inf
    while norms[-1] > system.tolerance:
        iterations = len(norms) - 1
        if iterations >= maxiter:
            return Attempt(x, iterations, norms, Status.MAX_ITERATIONS)
        if norms[-1] > 0.5 * restarted_at:
            return Attempt(x, iterations, norms, Status.STAGNATION)
        restarted_at = norms[-1]
        status = inner(x, r, norms, maxiter - iterations)
        if status is not None:
            return Attempt(x, len(norms) - 1, norms, status)
        norms[-1] = system.residual_norm(x)
        if norms[-1] > system.tolerance:
            r[...] = system.residual(x)
    return Attempt(x, len(norms) - 1, norms)
