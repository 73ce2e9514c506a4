"""Conjugate gradients in the flexible form, plain, with a user's preconditioner, or with a multigrid cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.linear.multigrid import MultigridHierarchy
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, System, Vector
from solvers.result import Status


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
        M = system.M
        limit = 10 * system.n if self.limit is None else self.limit
        return flexible_cg(system, (lambda r: r.copy()) if M is None else M.matvec, limit=limit)


@dataclass(frozen=True)
class MultigridCG:
    """Conjugate gradients preconditioned by one geometric multigrid V-cycle; for `StencilOperator` only.

    Parameters
    ----------
    sweeps : red-black Gauss-Seidel sweeps before and after each coarse correction; at least 1.
    """

    sweeps: int = 1

    def __post_init__(self) -> None:
        if self.sweeps < 1:
            raise ValueError(f"MultigridCG: sweeps is {self.sweeps}; it must be at least 1")

    @property
    def name(self) -> str:
        return "multigrid_cg"

    def attempt(self, system: System) -> Attempt:
        if not isinstance(system.A, StencilOperator):
            raise TypeError(f"method 'multigrid_cg' needs a StencilOperator, but A is a {type(system.A).__name__}: take 'amg' or 'lu'")
        try:
            hierarchy = MultigridHierarchy(system.A)
        except np.linalg.LinAlgError:  # a part of the domain is cut off from every wall: the coarsest matrix is singular
            return Attempt(system.x0, status=Status.BREAKDOWN)
        shape = hierarchy.levels[0].shape

        def cycle(r: Vector) -> Vector:
            return hierarchy.cycle(r.reshape(shape), sweeps=self.sweeps).ravel()

        attempt = flexible_cg(system, cycle, limit=200)
        return Attempt(attempt.x, attempt.iterations, attempt.residual_norms, attempt.status, {"levels": len(hierarchy.levels)})


def flexible_cg(system: System, precondition: Callable[[Vector], Vector], *, limit: int) -> Attempt:
    """Solve an SPD system by preconditioned conjugate gradients with the Polak-Ribiere coefficient.

    beta = z_new . (r_new - r_old) / (z_old . r_old) forgives a preconditioner that is not exactly symmetric (Notay 2000,
    "Flexible conjugate gradients", eq. 2.1 with one stored direction) and equals the usual formula where it is. With
    r_old = r_new + alpha A p no old residual is kept. When the recursive residual meets the tolerance, the true one is computed;
    where that does not, the iteration restarts from it, and gives up once a restart no longer halves it.
    """
    maxiter = limit if system.maxiter is None else system.maxiter
    x = system.x0.copy()
    r = system.residual(x)
    norms = [float(np.linalg.norm(r))]
    iterations = 0
    restarted_at = np.inf
    while norms[-1] > system.tolerance:
        if norms[-1] > 0.5 * restarted_at:
            return Attempt(x, iterations, norms, Status.STAGNATION)
        restarted_at = norms[-1]
        z = precondition(r)
        p = z
        rz = np.vdot(r, z).real
        while norms[-1] > system.tolerance:
            if iterations == maxiter:
                return Attempt(x, iterations, norms, Status.MAX_ITERATIONS)
            q = system.matvec(p)
            curvature = np.vdot(p, q).real
            if not curvature > 0 or not rz > 0:
                return Attempt(x, iterations, norms, Status.INDEFINITE)
            alpha = rz / curvature
            x = x + alpha * p
            r = r - alpha * q
            iterations += 1
            norms.append(float(np.linalg.norm(r)))
            if system.callback is not None:
                system.callback(x, norms[-1])
            if norms[-1] <= system.tolerance:
                break
            z = precondition(r)
            new_rz = np.vdot(r, z).real
            beta = -alpha * np.vdot(z, q).real / rz  # z . (r_new - r_old) = -alpha z . q
            p = z + beta * p
            rz = new_rz
        r = system.residual(x)
        norms[-1] = float(np.linalg.norm(r))
    return Attempt(x, iterations, norms)
