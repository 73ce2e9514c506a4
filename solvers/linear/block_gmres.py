"""Block GMRES: several right-hand sides of one matrix search in the sum of their Krylov spaces.

Saad (2003), "Iterative Methods for Sparse Linear Systems", section 6.12, with right preconditioning. Directions that nobody needs are
left out: at the start of a cycle those in which every residual is below its tolerance (O'Leary 1980, Linear Algebra Appl. 29, on
dependent residuals), within it those beyond the number of right-hand sides that are not yet solved (Robbe and Sadkane 2006, Linear
Algebra Appl. 419, on keeping the others in the basis).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as sla
from numpy.typing import NDArray

from solvers.linear.gmres import GMRES
from solvers.linear.residual import residuals, row_norms
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, Batch, System, Vector
from solvers.result import Status

_TILE = 2048  # entries a row, as in `arnoldi`
_AIM = 0.9  # part of the tolerance at which a cycle ends
_OMITTED = 0.1  # part of the tolerance that residuals may have in directions that are left out
_PATIENCE = 10  # cycles in which a residual has to fall
_PROGRESS = 0.99  # to this part of what it was
_SOUND = 1e-4  # smallest over largest eigenvalue of a Gram matrix from which on Cholesky factors are accurate
_KEPT = 0.1  # of the norms of vectors, what has to remain for one pass of Gram-Schmidt to be enough
_LARGEST = 1e150  # norm of which the square is still a number
_RANK = 1e-13  # singular values below this part of the vectors that they come from are rounding


@dataclass(frozen=True)
class BlockGMRES:
    """GMRES for the right-hand sides of `linear_solve_many` in blocks that share their Krylov spaces; uses the `M` given there.

    A step is one product with a panel of vectors, of which the matrix is read once, and searches for each solution among all directions
    of the block. It pays where that is what costs: with many entries a row or an expensive M that takes panels, and where a few
    eigenvalues hold up the convergence, since the block finds several of them at once. Solutions depend on what else is in their
    block, within the tolerance. A single right-hand side is left to `GMRES`.

    Parameters
    ----------
    restart : steps after which the spaces are given up; memory for ``(restart + 1) block`` vectors is needed.
    block : right-hand sides that are solved together, in the order of the rows.
    """

    restart: int = 30
    block: int = 8

    def __post_init__(self) -> None:
        if self.restart < 1:
            raise ValueError(f"BlockGMRES: restart is {self.restart}; it must be at least 1")
        if self.block < 1:
            raise ValueError(f"BlockGMRES: block is {self.block}; it must be at least 1")

    @property
    def name(self) -> str:
        return "block_gmres"

    def attempt(self, system: System) -> Attempt:
        return GMRES(self.restart).attempt(system)

    def attempt_many(self, batch: Batch) -> list[Attempt]:
        attempts: list[Attempt] = []
        for first in range(0, len(batch), self.block):
            rows = range(first, min(first + self.block, len(batch)))
            if len(rows) == 1:
                attempts.append(self.attempt(batch.system(first)))
            else:
                attempts += _Block(batch.take(rows), self.restart).run()
        return attempts


class _Block:
    """Right-hand sides that are solved together. Residuals are kept in units of their tolerances, so that 1 is what is wanted.

    Attributes
    ----------
    X, R : solutions and residuals, shape (p, n).
    active : rows that are neither solved nor given up.
    """

    def __init__(self, batch: Batch, restart: int) -> None:
        self.batch = batch
        self.n = batch.B.shape[1]
        self.restart = min(restart, self.n)
        self.limit = 10 * self.n if batch.maxiter is None else batch.maxiter
        self.X = np.zeros_like(batch.B)
        self.R = batch.B.copy()
        self.norms = [[float(norm)] for norm in row_norms(self.R)]
        self.statuses: list[Status | None] = [None] * len(batch)
        self.active = np.flatnonzero([norm[-1] > tol for norm, tol in zip(self.norms, batch.tolerances, strict=True)])
        self.matvecs = self.preconditionings = self.steps = self.cycles = 0

    def run(self) -> list[Attempt]:
        ends = [[norms[0]] for norms in self.norms]
        while self.active.size:
            if self.steps >= self.limit:
                self._give_up(self.active, Status.MAX_ITERATIONS)
                break
            reached = self._cycle()
            for row, believed in zip(self.active.tolist(), reached, strict=True):
                found = ends[row]
                found.append(self.norms[row][-1])
                if not np.isfinite(found[-1]):
                    self._give_up([row], Status.BREAKDOWN)
                elif found[-1] > self.batch.tolerances[row]:
                    refuted = believed and found[-1] > 0.5 * found[-2]  # rounding does not let the residual follow its estimate
                    if refuted or (len(found) > _PATIENCE and found[-1] > _PROGRESS * found[-1 - _PATIENCE]):
                        self._give_up([row], Status.STAGNATION)
            self.active = np.array(
                [row for row in self.active if self.statuses[row] is None and ends[row][-1] > self.batch.tolerances[row]], int
            )
        info = {
            "block_size": len(self.X),
            "block_matvecs": self.matvecs,
            "block_preconditioner_applications": self.preconditionings,
            "cycles": self.cycles,
        }
        return [Attempt(x, len(norms) - 1, norms, status, info) for x, norms, status in zip(self.X, self.norms, self.statuses, strict=True)]

    def _give_up(self, rows: Iterable[int], status: Status) -> None:
        for row in rows:
            self.statuses[row] = status

    def _cycle(self) -> list[bool]:
        """Steps until every estimate is below the tolerance, then the true residuals; returns whose estimate was."""
        tolerances = self.batch.tolerances[self.active]
        space = _Space(self.R[self.active] / tolerances[:, None], self.restart)
        self.cycles += 1
        for _ in range(min(self.restart, self.limit - self.steps)):
            directions = space.directions()
            if len(directions) == 0:
                break
            W = self._products(self._preconditioned(directions))
            if not (row_norms(W) < _LARGEST).all():
                self._give_up(self.active, Status.BREAKDOWN)
                break
            space.extend(W)
            self.steps += 1
            for row, estimate, tolerance in zip(self.active, space.estimates, tolerances, strict=True):
                self.norms[row].append(float(estimate * tolerance))
            if (space.estimates <= _AIM).all():
                break
        self.X[self.active] += self._preconditioned(space.combination()) * tolerances[:, None]
        self.R[self.active] = residuals(self.batch.A, self.X[self.active], self.batch.B[self.active])
        self.matvecs += len(self.active)
        for row, norm in zip(self.active, row_norms(self.R[self.active]), strict=True):
            self.norms[row][-1] = float(norm)
        return (space.estimates <= _AIM).tolist()

    def _products(self, Z: Vector) -> Vector:
        self.matvecs += len(Z)
        return _panel_product(self.batch.A, Z)

    def _preconditioned(self, R: Vector) -> Vector:
        if self.batch.M is None:
            return R
        self.preconditionings += len(R)
        return _panel_product(self.batch.M, R)


def _panel_product(A: Any, Z: Vector) -> Vector:
    """``A z`` for the rows of Z; a sparse matrix is read once."""
    if isinstance(A, StencilOperator):
        return np.array([A @ z for z in Z])
    return np.ascontiguousarray(np.asarray(A @ np.ascontiguousarray(Z.T)).T)


class _Space:
    """A basis V and the part of it that A M has been applied to: ``A M V[:done] = V H``, and residuals minimised over V[:done].

    Attributes
    ----------
    V : orthonormal rows, of which `size` are filled.
    F : unitary, shape (size, size), so that F H is upper triangular: that triangle is T.
    g : the residuals at the start in the basis V, times F; shape (size, columns).
    """

    def __init__(self, R: Vector, steps: int) -> None:
        columns, n = R.shape
        most = min((steps + 1) * columns, n)
        self.V = np.empty((most, n), R.dtype)
        self.F = np.eye(most, dtype=R.dtype)
        self.T = np.zeros((most, most), R.dtype)
        self.g = np.zeros((most, columns), R.dtype)
        L, Q = _factors(R, 0.0)
        U, values, Vh = np.linalg.svd(L)
        omitted = np.sqrt(np.cumsum(values[::-1] ** 2))[::-1]
        rank = int(np.count_nonzero((omitted > _OMITTED) & (values > _RANK * values[0])))
        self.V[:rank] = Vh[:rank] @ Q
        self.g[:rank] = (U[:, :rank] * values[:rank]).T
        self.size, self.done, self.width = rank, 0, 0

    @property
    def estimates(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.norm(self.g[self.done : self.size], axis=0))

    def directions(self) -> Vector:
        """Rows of V to apply A M to next: as many as there are residuals above the tolerance, those along which these lie."""
        new = slice(self.done, self.size)
        unsolved = self.estimates > _AIM
        self.width = min(self.size - self.done, int(np.count_nonzero(unsolved)))
        if 0 < self.width < self.size - self.done:
            along, _, _ = np.linalg.svd(self.F[new, new].conj().T @ self.g[new, unsolved])
            self.V[new] = along.conj().T @ self.V[new]
            self.F[: self.size, new] = self.F[: self.size, new] @ along
        return self.V[self.done : self.done + self.width]

    def extend(self, W: Vector) -> None:
        """Take in ``W = A M directions()``, which is overwritten."""
        size, done, width = self.size, self.done, self.width
        before = row_norms(W).max()
        h = _orthogonalize(self.V[:size], W)
        L, Q = _factors(W, before)
        rank = min(len(Q), len(self.V) - size)
        self.V[size : size + rank] = Q[:rank]
        self.size = size + rank
        column = np.concatenate([self.F[:size, :size] @ h, L[:, :rank].T])
        reflector, triangle = np.linalg.qr(column[done:], mode="complete")
        self.T[:done, done : done + width] = column[:done]
        self.T[done : done + width, done : done + width] = triangle[:width]
        rest = slice(done, self.size)
        self.F[rest, : self.size] = reflector.conj().T @ self.F[rest, : self.size]
        self.g[rest] = reflector.conj().T @ self.g[rest]
        self.done = done + width

    def combination(self) -> Vector:
        """The rows ``y V`` that minimise the residuals."""
        T, g = self.T[: self.done, : self.done], self.g[: self.done]
        pivots = np.abs(T.diagonal())
        if pivots.size and not pivots.min() > 4 * np.finfo(float).eps * pivots.max():  # A is singular on the space
            y = np.linalg.lstsq(T, g, rcond=_RANK)[0]
        else:
            y = sla.solve_triangular(T, g, check_finite=False)
        return np.asarray(y.T @ self.V[: self.done])


def _orthogonalize(panel: Vector, W: Vector) -> Vector:
    """Subtract from the rows of W what lies along the orthonormal rows of `panel`; returns h of ``W_before = h^T panel + W``.

    As `orthogonalize` does for one vector: the latest rows first, then one pass, and a second one where much was subtracted.
    """
    recent = panel[-2 * len(W) :]
    first = recent.conj() @ W.T
    W -= first.T @ recent
    before = row_norms(W).max()
    h = panel.conj() @ W.T
    left = np.zeros_like(h)
    gram = np.zeros((len(W), len(W)), W.dtype)
    for start in range(0, W.shape[1], _TILE):
        tile = slice(start, start + _TILE)
        W[:, tile] -= h.T @ panel[:, tile]
        gram += W[:, tile].conj() @ W[:, tile].T
    if not np.linalg.eigvalsh(gram)[0] > (_KEPT * before) ** 2:
        left = panel.conj() @ W.T
        W -= left.T @ panel
    h += left
    h[-2 * len(W) :] += first
    return h


def _factors(W: Vector, scale: float) -> tuple[Vector, Vector]:
    """``W = L Q`` with orthonormal rows of Q, as many as W has singular values that are more than rounding of vectors of norm `scale`."""
    gram = W.conj() @ W.T
    values = np.linalg.eigvalsh(gram)
    if values[0] > max(_SOUND * values[-1], (_KEPT * scale) ** 2 * _SOUND):
        L = np.eye(len(W), dtype=W.dtype)
        for _ in range(2):  # Cholesky QR twice (Yamamoto et al. 2015, ETNA 44)
            C = np.linalg.cholesky((W.conj() @ W.T).conj())
            W = np.linalg.inv(C) @ W
            L = L @ C
        return L, W
    Q, S = np.linalg.qr(W.T)
    U, singular, Vh = np.linalg.svd(S.T)
    rank = int(np.count_nonzero(singular > _RANK * max(scale, singular[0])))
    return U[:, :rank] * singular[:rank], Vh[:rank] @ Q.T
