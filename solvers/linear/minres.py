"""Preconditioned MINRES for symmetric indefinite systems (Paige and Saunders 1975, SIAM J. Numer. Anal. 12, section 6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator

from solvers.linear.multigrid import MultigridHierarchy
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, System, Vector, acts_symmetrically, looks_symmetric
from solvers.result import Status

_LIMIT = 1000  # with multigrid; a system that needs more belongs to a direct solve
_SINGULAR = 4 * float(np.finfo(float).eps)  # pivots below this part of the largest entry of the Lanczos matrix are zero
_NEGATIVE = 1e-10  # v . M v below minus this part of |v| |M v| is a negative eigenvalue of M and not rounding


@dataclass(frozen=True)
class MINRES:
    """Minimal residuals over the Krylov space, for symmetric (Hermitian) A of any signature.

    The preconditioner must be symmetric positive definite, whatever A is: the `M` given to `linear_solve`; without one, for a
    `StencilOperator`, a multigrid V-cycle of the operator with every negative reaction replaced by its absolute value
    (for Helmholtz's equation ``-Laplacian + k^2``); otherwise none. ``sqrt(r . M r)`` then decreases monotonically.
    """

    @property
    def name(self) -> str:
        return "minres"

    def attempt(self, system: System) -> Attempt:
        black_box = isinstance(system.A, LinearOperator)
        if not looks_symmetric(system.A) or (black_box and not acts_symmetrically(system)):
            return Attempt(system.x0, status=Status.INDEFINITE)
        if system.M is not None:
            return minres(system, system.M.matvec, limit=10 * system.n)
        if not isinstance(system.A, StencilOperator):
            return minres(system, lambda r: r.copy(), limit=10 * system.n)
        majorant = StencilOperator(system.A.faces, np.asarray(abs(system.A.reaction)), system.A.periodic)
        try:
            hierarchy = MultigridHierarchy(majorant)
        except np.linalg.LinAlgError:  # a part of the domain is cut off from every wall: the coarsest matrix is singular
            return Attempt(system.x0, status=Status.BREAKDOWN)
        return minres(system, hierarchy.precondition, limit=_LIMIT)


def minres(system: System, precondition: Callable[[Vector], Vector], *, limit: int) -> Attempt:
    """Solve a symmetric system by preconditioned MINRES.

    Stops at ``||b - A x||_2 <= tolerance``, although it minimises ``sqrt(r . M r)``: the residual is carried along by its own
    recurrence. When that meets the tolerance the true residual is computed; where it does not, the iteration restarts from it, and
    gives up once a restart no longer halves it.
    """
    maxiter = limit if system.maxiter is None else system.maxiter
    x = system.x0
    r = system.residual(x)
    norms = [float(np.linalg.norm(r))]
    restarted_at = np.inf
    while norms[-1] > system.tolerance:
        if norms[-1] > 0.5 * restarted_at:
            return Attempt(x, len(norms) - 1, norms, Status.STAGNATION)
        restarted_at = norms[-1]
        x, status = _cycle(system, precondition, x, r, norms, maxiter)
        r = system.residual(x)
        norms[-1] = float(np.linalg.norm(r))
        if status is not None:
            return Attempt(x, len(norms) - 1, norms, status)
    return Attempt(x, len(norms) - 1, norms)


def _cycle(
    system: System, precondition: Callable[[Vector], Vector], x: Vector, r: Vector, norms: list[float], maxiter: int
) -> tuple[Vector, Status | None]:
    """Lanczos from residual r until its recurrence meets the tolerance; appends to `norms`, returns the iterate and what ended it.

    Notation of Elman, Silvester and Wathen (2014, "Finite Elements and Fast Iterative Solvers", algorithm 4.1): v are the Lanczos
    vectors before normalisation, z = M v, gamma their norms, (c, s) the rotations, eta the signed preconditioned residual norm.
    The residual follows from the last rotation, r_j = s^2 r_(j-1) + c eta_j v_(j+1) / gamma_(j+1).
    """
    v_old, v, z = np.zeros_like(r), r.copy(), precondition(r)
    gamma = _norm(v, z)
    if gamma is None:
        return x, Status.INDEFINITE
    w_old, w = np.zeros_like(r), np.zeros_like(r)
    c_old = c = 1.0
    s_old = s = 0.0
    gamma_old, eta, largest = 1.0, gamma, 0.0
    while norms[-1] > system.tolerance:
        if len(norms) > maxiter:
            return x, Status.MAX_ITERATIONS
        z = z / gamma
        q = system.matvec(z)
        delta = float(np.vdot(z, q).real)
        v_old, v = v, q - (delta / gamma) * v - (gamma / gamma_old) * v_old
        z_new = precondition(v)
        gamma_new = _norm(v, z_new)
        if gamma_new is None:
            return x, Status.INDEFINITE
        a0 = c * delta - c_old * s * gamma
        a1 = math.hypot(a0, gamma_new)
        a2, a3 = s * delta + c_old * c * gamma, s_old * gamma
        largest = max(largest, abs(delta), gamma_new)
        if not a1 > _SINGULAR * largest:  # the Krylov space is exhausted and A singular on it, or something overflowed
            return x, Status.BREAKDOWN
        c_old, c, s_old, s = c, a0 / a1, s, gamma_new / a1
        w_old, w = w, (z - a3 * w_old - a2 * w) / a1
        x = x + c * eta * w
        eta = -s * eta
        r = s * s * r + (c * eta / gamma_new) * v if gamma_new > 0 else np.zeros_like(r)
        gamma_old, gamma, z = gamma, gamma_new, z_new
        norms.append(float(np.linalg.norm(r)))
        if system.callback is not None:
            system.callback(x, norms[-1])
    return x, None


def _norm(v: Vector, z: Vector) -> float | None:
    """``sqrt(v . M v)`` from z = M v; None where M is seen not to be positive definite."""
    square = float(np.vdot(v, z).real)
    if square < -_NEGATIVE * float(np.linalg.norm(v) * np.linalg.norm(z)):
        return None
    return math.sqrt(max(square, 0.0))
