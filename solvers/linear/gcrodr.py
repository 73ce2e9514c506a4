"""GCRO with deflated restarting: GMRES that keeps harmonic Ritz vectors from cycle to cycle and from system to system.

Parks, de Sturler, Mackey, Johnson and Maiti (2006), "Recycling Krylov subspaces for sequences of linear systems", SIAM J. Sci.
Comput. 28, appendix, in the flexible form of Carvalho, Gratton, Lago and Vasseur (2011), SIAM J. Matrix Anal. Appl. 32, so that
a preconditioner may change from system to system and from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from solvers.linear.arnoldi import Cycle
from solvers.linear.gmres import RestartedGMRES
from solvers.linear.recycle import RecycleSpace, harmonic_basis, orthonormalize
from solvers.linear.system import Attempt, System, Vector

_CHUNK = 1024  # columns of the panels that are renewed at once
_CHECKED = 10  # cycles between checks that C is still A U
_TRIED = 4  # vectors of a space that have to show that it is worth the products with the others
_WORTH = 8.0  # times the gain of a random direction: spaces with less cost about what they save, or more
_DRIFT = 1e-10  # relative difference of A u and its c from which on C counts as that of another operator


@dataclass(frozen=True)
class GCRODR:
    """GMRES with a recycled space, for any A; uses the `M` given to `linear_solve`, which may differ from step to step.

    The space comes back in ``Solution.info["recycle_space"]``, to be handed in as `space` for the next, similar system;
    `solve_sequence` does that. Every matrix costs a product with each vector of the space, unless two products show that it is the one
    that the space comes from. `info` counts them among its ``matvecs``. A space of which five products show that A shortens it
    hardly more than any direction is dropped, as one for which there is nothing left to deflate, and ``info["space_dropped"]`` says so.

    Parameters
    ----------
    restart : dimension of the search space, the recycled one included. Memory for ``restart + 3 recycle_dim`` vectors is needed, with
        a preconditioner for ``2 restart + 5 recycle_dim``.
    recycle_dim : vectors kept, at most ``restart - 2``.
    space : from an earlier solve with a matrix of the same size; None is none.
    """

    restart: int = 50
    recycle_dim: int = 20
    space: RecycleSpace | None = None

    def __post_init__(self) -> None:
        if self.restart < 3:
            raise ValueError(f"GCRODR: restart is {self.restart}; it must be at least 3")
        if not 1 <= self.recycle_dim <= self.restart - 2:
            raise ValueError(f"GCRODR: recycle_dim is {self.recycle_dim}; it must be from 1 to restart - 2 = {self.restart - 2}")
        if self.space is not None and not isinstance(self.space, RecycleSpace):
            raise ValueError(f"GCRODR: space is a {type(self.space).__name__}; it must be a RecycleSpace or None")

    @property
    def name(self) -> str:
        return "gcrodr"

    def with_space(self, space: RecycleSpace) -> Self:
        return replace(self, space=space)

    def attempt(self, system: System) -> Attempt:
        return RecycledGMRES(system, self).run()


class RecycledGMRES(RestartedGMRES):
    """Adds to the cycles of GMRES a deflation space and its renewal.

    Deflation is meant for the small eigenvalues of A M. The harmonic Ritz vectors are therefore sought in the span of T and V,
    not of U and Z: U and T are the same combinations of the columns of Z = M V and of V, so that U = M T as long as M stays the
    same. Across a change of M U is kept, for the small eigenvalues of A hardly depend on M, and T is the old one.

    Attributes
    ----------
    T : shape (k, n); U itself without a preconditioner.
    U_rows, T_rows : memory of the renewed U and T.
    r0 : residual of the initial guess.
    t : the correction of that guess is the combination of U and Z that t is of T and V; unused without a preconditioner.
    CT : ``C^H T``, shape (k, k).
    """

    def __init__(self, system: System, settings: GCRODR) -> None:
        super().__init__(system, settings.restart, flexible=True)
        self.dim = min(settings.recycle_dim, self.restart - 1)
        self.given = None if settings.space is None else settings.space.cast(system.n, system.b.dtype, settings.name)
        self.dropped = False
        self.T = self.U
        self.r0 = self.r.copy()
        self.t = np.zeros_like(self.r)
        self.T_rows = np.empty((self.dim + 1, system.n), system.b.dtype)
        self.U_rows = self.T_rows if self.Z is None else np.empty_like(self.T_rows)
        self.CT = np.empty((0, 0), system.b.dtype)

    def begin(self) -> None:
        if self.given is None or min(self.given.dim, self.dim) == 0:
            return
        U, C, T = (rows[: self.dim] for rows in (self.given.U, self.given.C, self.given.T))
        images = [self.operator.A(U[0])]
        if _same(images[0], C[0]) and _same(C.conj() @ C.T, np.eye(len(C))):
            g = np.random.default_rng(0).standard_normal(len(U))  # a change of A that this combination hides has measure zero
            if _same(self.operator.A(g @ U), g @ C):
                self.deflate(U, C, T)
                return
        images += [self.operator.A(u) for u in U[1:_TRIED]]
        z = self.operator.M(np.random.default_rng(1).standard_normal(self.system.n).astype(U.dtype))  # as a search direction would be
        self.dropped = not _gain(U[:_TRIED], images) > _WORTH * _gain(z, self.operator.A(z))
        if not self.dropped:
            self._establish(U, T, images)

    def deflate(self, U: Vector, C: Vector, T: Vector | None = None) -> None:
        super().deflate(U, C)
        self.T = U if T is None or self.Z is None else T
        self.CT = (self.panel[: len(U)] @ self.T.T.conj()).conj()

    def renew(self, cycle: Cycle) -> None:
        k, s = len(self.U), cycle.steps
        W = self.panel[: k + s + 1]
        G = np.zeros((k + s + 1, k + s), W.dtype)
        G[:k, :k], G[:k, k:], G[k:, k:] = np.eye(k), cycle.B, cycle.H
        S = np.zeros_like(G)
        S[:k, :k], S[k:, :k] = self.CT, (W[k:] @ self.T.T.conj()).conj()
        S[k : k + s, k:] = np.eye(s)
        found = harmonic_basis(G, S, min(self.dim, k + s))
        if found is None:
            return
        P, Q = found
        self.CT = Q.conj().T @ (S @ P)
        m = P.shape[1]
        _combine(self.T_rows, P, self.T, self.panel[k : k + s])
        if self.Z is not None:
            _combine(self.U_rows, P, self.U, self.Z[:s])
        _combine(self.panel, Q, self.panel[: k + s + 1])
        self.T = self.T_rows[:m]
        self.U = self.T if self.Z is None else self.U_rows[:m]
        if self.cycles % _CHECKED == 0:
            self._check()

    def info(self) -> dict[str, Any]:
        space = self._space()
        if space.dim == 0 and self.given is not None:  # nothing had to be done, and nothing was learnt
            space = self.given
        dropped = {"space_dropped": "the matrix shortens it little more than any direction: it would cost what it saves, or more"}
        return {**super().info(), "recycle_dim": space.dim, "recycle_space": space, **(dropped if self.dropped else {})}

    def _move(self, u: Vector, y: Vector) -> None:
        super()._move(u, y)
        if self.Z is not None:
            self.t += u @ self.T + y @ self.panel[len(self.U) : len(self.U) + y.size]

    def _space(self) -> RecycleSpace:
        """The deflation space, the last of its vectors replaced by the correction of the guess, whose image is known without a product.

        It is worth most where right-hand sides resemble each other; one that comes again is solved by it.
        """
        k = max(min(len(self.U), self.dim - 1), 0)
        correction = self.x - self.system.x0
        C = np.concatenate([self.panel[:k], (self.r0 - self.r)[None]])
        U = np.concatenate([self.U[:k], correction[None]])
        if self.Z is None:
            C, U = orthonormalize(C, U)
            return RecycleSpace(U, C, U)
        C, U, T = orthonormalize(C, U, np.concatenate([self.T[:k], self.t[None]]))
        return RecycleSpace(U, C, T)

    def _check(self) -> None:
        """Compare a random combination of C with its definition, and where that has drifted, start from the definition."""
        g = np.random.default_rng(self.cycles).standard_normal(len(self.U))
        image = self.operator.A(g @ self.U)
        if not _same(image, g @ self.panel[: len(self.U)]):
            self._establish(self.U, self.T)
            self.confirm()

    def _establish(self, U: Vector, T: Vector, images: Sequence[Vector] = ()) -> None:
        """Make C orthonormal from the images of U, the first of which may be known, and U its preimage."""
        W = np.array([*images, *(self.operator.A(u) for u in U[len(images) :])])
        C, U, *rest = orthonormalize(W, U, *([] if T is U else [T]))
        self.deflate(U, C, *rest)


def _combine(out: Vector, P: Vector, *panels: Vector) -> None:
    """The rows of ``P^T`` times the panels, one below the other, become the first of `out`, which may be where the panels are."""
    ends = np.cumsum([len(rows) for rows in panels])
    parts = [P[end - len(rows) : end].T for rows, end in zip(panels, ends, strict=True)]
    terms = [np.empty((P.shape[1], _CHUNK), out.dtype) for _ in panels]
    for start in range(0, out.shape[1], _CHUNK):
        columns = slice(start, min(start + _CHUNK, out.shape[1]))
        width = columns.stop - start
        for term, part, rows in zip(terms, parts, panels, strict=True):
            np.matmul(part, rows[:, columns], out=term[:, :width])
        for term in terms[1:]:
            terms[0][:, :width] += term[:, :width]
        out[: P.shape[1], columns] = terms[0][:, :width]


def _gain(z: Vector, images: Vector | Sequence[Vector]) -> float:
    """``|z| / |A z|`` of one vector or several, large in the space of the small singular values that deflation is meant for."""
    return float(np.linalg.norm(z) / np.linalg.norm(images))


def _same(image: Vector, expected: Vector) -> bool:
    return bool(np.linalg.norm(image - expected) <= _DRIFT * np.linalg.norm(expected))
