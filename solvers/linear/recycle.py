"""The space that recycling methods carry from system to system, and the small dense problems that choose it."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg as sla

from solvers.linear.system import Vector

_CHUNK = 2048  # columns of panels that are combined at once
_DEPENDENT = 1e-10  # eigenvalues of a Gram matrix below this part of the largest belong to dependent columns
_SOUND = 1e-2  # and above this part one pass is enough
_HERMITIAN = 1e-8  # relative difference to the conjugate transpose that rounding leaves
_SINGULAR = 1e-14  # what may be left of a column in a triangular factor, relative to the column


@dataclass(frozen=True, eq=False)
class RecycleSpace:
    """A subspace on which an operator is known, found in one solve and handed to the next.

    Attributes
    ----------
    U : basis of the space, meant for the smallest eigenvalues, one vector a row, shape (k, n), float64 or complex128.
    C : images of U under the operator of the solve that made it, orthonormal rows, shape (k, n).
    T : what the preconditioner M of that solve took to U, shape (k, n); U itself where there was none.
    """

    U: Vector
    C: Vector
    T: Vector

    def __post_init__(self) -> None:
        if self.U.dtype not in (np.float64, np.complex128):
            raise ValueError(f"RecycleSpace: U is {self.U.dtype}; it must be float64 or complex128")
        for name, rows in (("C", self.C), ("T", self.T)):
            if self.U.ndim != 2 or self.U.shape != rows.shape or self.U.dtype != rows.dtype:
                raise ValueError(
                    f"RecycleSpace: U is {self.U.dtype} of shape {self.U.shape} and {name} {rows.dtype} of shape {rows.shape}; "
                    "all must be (k, n) of the same type"
                )

    @property
    def dim(self) -> int:
        return int(self.U.shape[0])

    @property
    def n(self) -> int:
        return int(self.U.shape[1])

    def save(self, path: str | Path) -> None:
        """Write an .npz file of plain arrays."""
        preconditioned = {} if self.T is self.U else {"T": self.T}
        with Path(path).open("wb") as file:
            np.savez(file, allow_pickle=False, U=self.U, C=self.C, **preconditioned)

    @classmethod
    def load(cls, path: str | Path) -> RecycleSpace:
        """Read what `save` wrote.

        Raises
        ------
        ValueError : the file is damaged, or not of a recycle space.
        OSError : there is no such file, or it cannot be read.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                U = arrays["U"]
                space = cls(U, arrays["C"], arrays.get("T", U))
        except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged, or not a recycle space ({error}): make it anew with RecycleSpace.save") from error
        if not all(np.isfinite(rows).all() for rows in (space.U, space.C, space.T)):
            raise ValueError(f"{path} holds NaN or infinity: make it anew with RecycleSpace.save")
        return space

    def cast(self, n: int, dtype: np.dtype, method: str) -> RecycleSpace:
        """The space for a system of n unknowns of type `dtype`; ValueError in the name of `method` where it does not fit."""
        if self.n != n:
            raise ValueError(f"{method}: space is of a problem with {self.n} unknowns, but the system has {n}: leave space=None")
        if self.U.dtype == dtype:
            return self
        if dtype.kind != "c":
            raise ValueError(f"{method}: space is complex, but the system is real: leave space=None")
        U = self.U.astype(dtype)
        return RecycleSpace(U, self.C.astype(dtype), U if self.T is self.U else self.T.astype(dtype))


def orthonormalize(W: Vector, *others: Vector) -> list[Vector]:
    """The same combinations of the rows of W and of the others, so that those of W are orthonormal and span what W spans.

    There are as many as the numerical rank. They come from the eigenvectors of the Gram matrix. A pass leaves rounding times its
    condition number, so that a second one is made where that is not small (Yamamoto et al. 2015, ETNA 44, on Cholesky QR). By
    linearity ``W = A U`` keeps whatever digits it has, which is why nearly dependent vectors are dropped rather than divided by.
    """
    norms = np.linalg.norm(W, axis=1)
    kept = (norms > 0) & np.isfinite(norms)
    if not kept.all():
        W, others, norms = W[kept], tuple(rows[kept] for rows in others), norms[kept]
    panels = [W / norms[:, None], *others]
    X = np.diag(1 / norms).astype(W.dtype)
    for _ in range(2 if len(W) else 0):
        values, vectors = np.linalg.eigh(panels[0].conj() @ panels[0].T)
        large = values > _DEPENDENT * values[-1]
        Y = vectors[:, large] / np.sqrt(values[large])
        panels[0] = combined(Y, panels[0])
        X = X @ Y
        if values[0] > _SOUND * values[-1]:
            break
    return [panels[0], *(combined(X, rows) for rows in others)]


def combined(P: Vector, rows: Vector) -> Vector:
    """``P^T`` times the rows, a part of the columns at a time, so that what is read and written stays in the cache."""
    out = np.empty((P.shape[1], rows.shape[1]), rows.dtype)
    for start in range(0, rows.shape[1], _CHUNK):
        columns = slice(start, start + _CHUNK)
        np.matmul(P.T, rows[:, columns], out=out[:, columns])
    return out


def harmonic_basis(G: Vector, S: Vector, count: int) -> tuple[Vector, Vector] | None:
    """Coefficients (P, Q) of the harmonic Ritz space of the `count` smallest values: ``U = V P``, ``C = W Q``, ``A U = C``.

    With ``A V = W G`` and orthonormal W the harmonic Ritz pairs solve ``G^H G z = theta G^H S z``, S = W^H V (Parks et al.
    2006, eq. 2.17). With ``G = Q R`` and ``z = R^-1 y`` that is the ordinary problem ``Q^H S R^-1 y = y / theta``, whose
    largest eigenvalues are wanted. An orthonormal basis of their invariant space makes ``Q y`` orthonormal without
    another factorisation.

    Parameters
    ----------
    G, S : shape (p + 1, p).
    count : dimension of the space; one less (but at least 2) in real arithmetic where a conjugate pair would be split.

    Returns
    -------
    None where G has no full rank, or something overflowed.
    """
    Q, R = np.linalg.qr(G)
    if not (np.abs(R.diagonal()) > _SINGULAR * np.linalg.norm(G, axis=0)).all():
        return None
    K = sla.solve_triangular(R, (Q.conj().T @ S).T, trans="T", check_finite=False).T
    if not np.isfinite(K).all():
        return None
    Y = _dominant(K, min(count, len(K)))
    return sla.solve_triangular(R, Y, check_finite=False), Q @ Y


def _dominant(K: Vector, count: int) -> Vector:
    """Orthonormal basis of the invariant space of the `count` eigenvalues of largest modulus."""
    if count == len(K):
        return np.eye(count, dtype=K.dtype)
    if np.linalg.norm(K - K.conj().T) <= _HERMITIAN * np.linalg.norm(K):  # A is Hermitian
        values, vectors = np.linalg.eigh(K)
        return vectors[:, np.argsort(-np.abs(values), kind="stable")[:count]]
    values, vectors = np.linalg.eig(K)
    order = np.argsort(-np.abs(values), kind="stable")  # keeps conjugates side by side
    if K.dtype.kind != "c" and values.dtype.kind == "c":
        first, second = values[order[count - 1 : count + 1]]
        if first.imag > 0 and second == np.conj(first):  # LAPACK's order: the positive imaginary part first
            count += 1 if count == 1 else -1
        chosen = vectors[:, order[:count]]
        vectors = np.where(values[order[:count]].imag < 0, chosen.imag, chosen.real)  # a pair spans its real and imaginary part
    else:
        vectors = vectors[:, order[:count]]
    return np.linalg.qr(vectors)[0]
