"""GCRO with deflated restarting: GMRES that keeps harmonic Ritz vectors from cycle to cycle and from system to system.

Parks, de Sturler, Mackey, Johnson and Maiti (2006), "Recycling Krylov subspaces for sequences of linear systems", SIAM J. Sci.
Comput. 28, appendix; the flexible form is that of Carvalho, Gratton, Lago and Vasseur (2011), SIAM J. Matrix Anal. Appl. 32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.linear.arnoldi import Cycle
from solvers.linear.gmres import RestartedGMRES
from solvers.linear.recycle import RecycleSpace, harmonic_basis, orthonormalizer
from solvers.linear.system import Attempt, System, Vector

_CHUNK = 4096  # columns of the panels that are renewed at once
_CHECKED = 10  # cycles between checks that C is A U
_DRIFT = 1e-10  # relative difference of A u and its c at which C counts as that of another operator


@dataclass(frozen=True)
class GCRODR:
    """GMRES with a recycled space, for any A; uses the `M` given to `linear_solve`.

    The space comes back in ``Solution.info["recycle_space"]``, to be handed in as `space` for the next, similar system.
    `solve_sequence` does that. For the same matrix it is recognised and reused without work. Each other matrix costs one product with
    every vector of the space; `info` counts them among its ``matvecs``.

    Parameters
    ----------
    restart : dimension of the search space, the recycled one included; memory for ``restart + recycle_dim`` vectors is needed.
    recycle_dim : vectors kept, below ``restart - 1``.
    flexible : M may differ from step to step; keeps `restart` vectors more.
    space : from an earlier solve with a matrix of the same size and, unless flexible, a preconditioner of the same kind; None is none.
    """

    restart: int = 40
    recycle_dim: int = 20
    flexible: bool = False
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

    def attempt(self, system: System) -> Attempt:
        return _Recycled(system, self).run()


class _Recycled(RestartedGMRES):
    """Adds to the cycles of GMRES the deflation space and its renewal.

    With a fixed M the method is the unpreconditioned one for ``A M``, so that its harmonic Ritz vectors are those of ``A M``.
    """

    def __init__(self, system: System, settings: GCRODR) -> None:
        super().__init__(system, settings.restart, flexible=settings.flexible)
        self.dim = min(settings.recycle_dim, self.restart - 1)
        self.given = None if settings.space is None else settings.space.of(system.n, system.b.dtype, settings.name)

    def begin(self) -> None:
        if self.given is None or self.given.dim == 0:
            return
        U, C = self.given.U[: self.dim], self.given.C[: self.dim]
        images = [self._image(U[0])]
        if _same(images[0], C[0]):
            g = np.random.default_rng(0).standard_normal(len(U))  # a change of A that this combination does not show has measure zero
            if _same(self._image(g @ U), g @ C):
                self.U = U
                self.panel[: len(U)] = C
                return
        images += [self._image(u) for u in U[1:]]
        self._establish(U, np.array(images))

    def renew(self, cycle: Cycle) -> None:
        self._harmonic(cycle)
        if self.cycles % _CHECKED == 0 and len(self.U):
            self.confirm()
            self._establish(self.U, np.array([self._image(u) for u in self.U]))

    def info(self) -> dict[str, Any]:
        space = RecycleSpace(self.U, self.panel[: len(self.U)].copy())
        return {**super().info(), "recycle_dim": space.dim, "recycle_space": space}

    def _image(self, u: Vector) -> Vector:
        return self.operator.A(u if self.flexible else self.operator.M(u))

    def _establish(self, U: Vector, images: Vector) -> None:
        """Make C orthonormal from the images of U, and U its preimage."""
        X = orthonormalizer(images).T
        self.U = X @ U
        self.panel[: len(X)] = X @ images

    def _harmonic(self, cycle: Cycle) -> None:
        k, s, U = len(self.U), cycle.steps, self.U
        W, basis = self.panel[: k + s + 1], self.panel[k : k + s] if self.Z is None else self.Z[:s]
        scale = 1 / np.linalg.norm(U, axis=1)
        G = np.zeros((k + s + 1, k + s), W.dtype)
        G[np.arange(k), np.arange(k)] = scale
        G[:k, k:], G[k:, k:] = cycle.B, cycle.H
        S = np.zeros_like(G)
        S[:, :k] = np.conj(W @ np.conj(U).T) * scale
        if self.Z is None:
            S[k : k + s, k:] = np.eye(s)
        else:
            S[:, k:] = np.conj(W @ np.conj(basis).T)
        found = harmonic_basis(G, S, min(self.dim, k + s))
        if found is None:
            return
        P, Q = found
        P[:k] *= scale[:, None]
        renewed = np.empty((P.shape[1], W.shape[1]), W.dtype)
        for start in range(0, W.shape[1], _CHUNK):
            columns = slice(start, start + _CHUNK)
            renewed[:, columns] = P[:k].T @ U[:, columns] + P[k:].T @ basis[:, columns]
            self.panel[: Q.shape[1], columns] = Q.T @ W[:, columns]
        self.U = renewed


def _same(image: Vector, expected: Vector) -> bool:
    return bool(np.linalg.norm(image - expected) <= _DRIFT * np.linalg.norm(expected))
