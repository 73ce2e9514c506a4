"""Conjugate gradients in the A-orthogonal complement of a recycled space.

Saad, Yeung, Erhel and Guyomarc'h (2000), "A deflated version of the conjugate gradient algorithm", SIAM J. Sci. Comput. 21, algorithm 3.5
and section 4. There the first search directions alone renew the space; here every window of directions does, so that a long
solve leaves more than a short one. Their images under A are known, and those under M A follow from the preconditioned residuals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import scipy.linalg as sla
from scipy.sparse.linalg import LinearOperator

from solvers.linear.arnoldi import CountedOperator
from solvers.linear.recycle import RecycleSpace, orthonormalize
from solvers.linear.system import Attempt, System, Vector, acts_symmetrically, looks_symmetric
from solvers.result import Status

_DEPENDENT = 1e-10  # eigenvalues of a normalised Gram matrix below this belong to dependent directions
_ORTHOGONAL = 1e-8  # part of the residual along the space from which on it is removed again


@dataclass(frozen=True)
class DeflatedCG:
    """Deflated and recycling conjugate gradients for symmetric (Hermitian) positive definite A; uses the `M` given to `linear_solve`.

    As with `GCRODR` the space comes back in ``Solution.info["recycle_space"]``, and `solve_sequence` hands it on. An iteration reads
    ``2 recycle_dim`` vectors more than one of plain conjugate gradients: the method pays where A and M cost more than that.

    Parameters
    ----------
    recycle_dim : vectors kept; memory for ``8 recycle_dim`` vectors is needed, with a preconditioner for half as many more.
    space : from an earlier solve with a matrix of the same size; None is none.
    """

    recycle_dim: int = 10
    space: RecycleSpace | None = None

    def __post_init__(self) -> None:
        if self.recycle_dim < 1:
            raise ValueError(f"DeflatedCG: recycle_dim is {self.recycle_dim}; it must be at least 1")
        if self.space is not None and not isinstance(self.space, RecycleSpace):
            raise ValueError(f"DeflatedCG: space is a {type(self.space).__name__}; it must be a RecycleSpace or None")

    @property
    def name(self) -> str:
        return "deflated_cg"

    def with_space(self, space: RecycleSpace) -> Self:
        return replace(self, space=space)

    def attempt(self, system: System) -> Attempt:
        if not looks_symmetric(system.A):
            return Attempt(system.x0, status=Status.INDEFINITE)
        attempt = _Deflation(system, self).run()
        failed = attempt.status in (Status.STAGNATION, Status.MAX_ITERATIONS)
        if failed and isinstance(system.A, LinearOperator) and not acts_symmetrically(system):
            return replace(attempt, status=Status.INDEFINITE)
        return attempt


class _Deflation:
    """One solve.

    Attributes
    ----------
    U, C : deflation space and ``C = A U``, shape (k, n); E is ``U^H C``, by its Cholesky factor.
    basis : rows Z, A Z and M A Z from which the next space is made; without M the third is the second.
    """

    def __init__(self, system: System, settings: DeflatedCG) -> None:
        self.system = system
        self.operator = CountedOperator(system)
        self.dim = min(settings.recycle_dim, system.n)
        self.window = 2 * self.dim
        self.x = system.x0.copy()
        self.r = system.b - self.operator.A(self.x) if self.x.any() else system.b.copy()
        self.norms = [float(np.linalg.norm(self.r))]
        self.iterations = 0
        nothing = np.empty((0, system.n), system.b.dtype)
        given = None if settings.space is None else settings.space.cast(system.n, system.b.dtype, settings.name)
        self.U = nothing if given is None else given.U[: self.dim]
        self.C = self.E = nothing
        self.basis = [nothing, nothing]

    def run(self) -> Attempt:
        tolerance, confirmed = self.system.tolerance, np.inf
        status = self._begin() if self.norms[0] > tolerance else None
        while status is None and self.norms[-1] > tolerance:
            status = self._iterate()
            self.r = self.system.b - self.operator.A(self.x)
            self.norms[-1] = float(np.linalg.norm(self.r))
            if status is None and self.norms[-1] > max(tolerance, 0.5 * confirmed):
                status = Status.STAGNATION
            confirmed = self.norms[-1]
        return Attempt(self.x, self.iterations, self.norms, status, self._info())

    def _begin(self) -> Status | None:
        images = np.array([self.operator.A(u) for u in self.U], self.U.dtype).reshape(self.U.shape)
        self.C, self.U = orthonormalize(images, self.U)
        E = self.U.conj() @ self.C.T
        try:
            self.E = np.linalg.cholesky(0.5 * (E + E.conj().T)) if len(E) else E
        except np.linalg.LinAlgError:
            return Status.INDEFINITE
        self.basis = [self.U, self.C]
        if self.operator.preconditioned:
            self.basis.append(np.array([self.operator.M(c) for c in self.C], self.C.dtype).reshape(self.C.shape))
        return None

    def _info(self) -> dict[str, Any]:
        C, U = orthonormalize(self.basis[1], self.basis[0])
        return {**self.operator.figures(), "recycle_dim": len(U), "recycle_space": RecycleSpace(U, C, U)}

    def _coefficients(self, rows: Vector, v: Vector) -> Vector:
        """``E^-1 rows^H v``."""
        right = (rows @ v.conj()).conj()
        return sla.cho_solve((self.E, True), right, check_finite=False) if len(rows) else right

    def _project(self) -> None:
        """Make the residual orthogonal to U."""
        y = self._coefficients(self.U, self.r)
        self.x += y @ self.U
        self.r -= y @ self.C

    def _direction(self, z: Vector) -> Vector:
        """The part of z that is A-orthogonal to U."""
        return z - self._coefficients(self.C, z) @ self.U

    def _iterate(self) -> Status | None:
        """Conjugate gradients until the recursive residual meets the tolerance; beta as in `solvers.linear.cg`."""
        system, tolerance = self.system, self.system.tolerance
        limit = 10 * system.n if system.maxiter is None else system.maxiter
        self._project()
        projected = float(np.linalg.norm(self.r))
        if projected <= tolerance:
            self.norms.append(projected)
            return None
        z = self.operator.M(self.r).copy()
        p, rz = self._direction(z), np.vdot(self.r, z).real
        kept: list[list[Vector]] = []
        status: Status | None = None
        while self.iterations < limit:
            q = self.operator.A(p)
            curvature = np.vdot(p, q).real
            if not curvature > 0 or not rz > 0:
                status = Status.INDEFINITE if np.isfinite(curvature + rz) else Status.BREAKDOWN
                break
            alpha = rz / curvature
            self.x += alpha * p
            self.r -= alpha * q
            self.iterations += 1
            self.norms.append(float(np.linalg.norm(self.r)))
            if system.callback is not None:
                system.callback(self.x, self.norms[-1])
            new = self.operator.M(self.r).copy()
            size = np.sqrt(curvature)
            kept.append([p / size, q / size, *([(z - new) / (alpha * size)] if self.operator.preconditioned else [])])
            if self.norms[-1] <= tolerance:
                break
            z = new
            beta = -alpha * np.vdot(z, q).real / rz
            p = self._direction(z) + beta * p
            rz = np.vdot(self.r, z).real
            if len(kept) == self.window:
                self._renew(kept)
                kept = []
                along = (self.U @ self.r.conj()) / np.linalg.norm(self.U, axis=1)
                if np.linalg.norm(along) > _ORTHOGONAL * self.norms[-1]:
                    self._project()
        else:
            status = Status.MAX_ITERATIONS
        if kept:
            self._renew(kept)
        return status

    def _renew(self, kept: list[list[Vector]]) -> None:
        """Keep the harmonic Ritz vectors of the smallest values: ``(A Z)^H M A Z y = theta Z^H A Z y``."""
        panels = [np.concatenate([old, np.array(new)]) for old, new in zip(self.basis, zip(*kept, strict=True), strict=True)]
        Z, AZ, MAZ = panels[0], panels[1], panels[-1]
        F, G = Z.conj() @ AZ.T, AZ.conj() @ MAZ.T
        if not (np.isfinite(F).all() and np.isfinite(G).all() and (F.diagonal().real > 0).all()):
            return
        scale = 1 / np.sqrt(F.diagonal().real)
        values, vectors = np.linalg.eigh(F * np.outer(scale, scale))
        sound = values > _DEPENDENT * values[-1]
        X = scale[:, None] * vectors[:, sound] / np.sqrt(values[sound])
        _, Y = np.linalg.eigh(X.conj().T @ G @ X)
        X = X @ Y[:, : self.dim]
        self.basis = [X.T @ panel for panel in panels]
