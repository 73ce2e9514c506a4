"""Incomplete factorisations without fill, and compiled solves with their triangles.

Unknowns keep their natural order, and a triangle is solved row by row: on the grids of this suite a level schedule would have rows of
too few entries for what its indirection costs. Every preconditioner of this kind is kept in one form, ``M = L U`` with a unit lower
triangle L and an upper one U.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numba import njit
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from solvers.linear.compiled import kernel

_SMALLEST_PIVOT = 1e-12  # over the diagonal entry that it was made from: less is rounding


class FlatOperator(LinearOperator):
    """An operator with a function for flat vectors.

    SciPy's checks and views around a product take 20 microseconds, as long as the product on a small grid: flat arrays go past them.
    """

    def __init__(self, shape: tuple[int, int], solve: Callable[[NDArray[Any]], NDArray[Any]], dtype: Any) -> None:
        super().__init__(dtype, shape)
        self._solve = solve

    def matvec(self, x: Any) -> NDArray[Any]:
        if type(x) is np.ndarray and x.shape == (self.shape[1],):
            return self._solve(x)
        return np.asarray(super().matvec(x))

    def _matvec(self, r: NDArray[Any]) -> NDArray[Any]:
        return self._solve(np.ravel(r))


class PanelOperator(FlatOperator):
    """An operator with one function for flat vectors and for all columns of a panel at once."""

    def _matmat(self, R: NDArray[Any]) -> NDArray[Any]:
        return self._solve(R)


@dataclass(frozen=True, eq=False)
class TriangularFactors:
    """``M = (I + L) (D + U)``.

    Attributes
    ----------
    L, U : strictly lower and strictly upper triangle, CSR.
    inverse_diagonal : that of D, shape (n,).
    """

    L: sp.csr_matrix
    U: sp.csr_matrix
    inverse_diagonal: NDArray[Any]

    def solve(self, r: NDArray[Any]) -> NDArray[Any]:
        """``M^-1 r`` for flat r, or for the columns of r."""
        x = np.array(r, np.result_type(self.inverse_diagonal, r), order="C")
        L, U = self.L, self.U
        substitute = _substitute if x.ndim == 1 else _substitute_panel
        substitute(L.indptr, L.indices, L.data, U.indptr, U.indices, U.data, self.inverse_diagonal, x)
        return x

    def operator(self) -> PanelOperator:
        return PanelOperator(self.L.shape, self.solve, self.inverse_diagonal.dtype)


def incomplete_cholesky(A: sp.csr_matrix, modification: float, shift: float) -> TriangularFactors:
    """``R^T R`` with the pattern of the symmetric A, equal to it there (Meijerink and van der Vorst 1977, Math. Comp. 31).

    Parameters
    ----------
    A : real and symmetric; rows sorted, without duplicates.
    modification : part of each dropped entry that is added to the diagonals of its row and its column; 1 keeps the row sums of A
        (Gustafsson 1978, BIT 18).
    shift : what the diagonal is enlarged by, relative to itself.

    Raises
    ------
    numpy.linalg.LinAlgError : a pivot is not positive.
    """
    R = sp.triu(A, format="csr")
    start = R.indptr[:-1]
    diagonal = A.diagonal() * (1 + shift)
    if not (diagonal > 0).all():  # also where an entry is missing from the pattern
        row = int(np.argmin(diagonal > 0))
        raise np.linalg.LinAlgError(f"diagonal entry {row} of A is {A[row, row]:g}, so that A is not positive definite: take 'ilut'")
    R.data[start] = diagonal
    row = _factorize_symmetric(R.indptr, R.indices, R.data, diagonal, modification)
    if row >= 0:
        pivot = R.data[R.indptr[row]] / diagonal[row]
        less = f"modification={0.97 * modification:g} or " if modification > 0 else ""
        raise np.linalg.LinAlgError(
            f"pivot {row} of the incomplete Cholesky factor is {pivot:.3g} of its diagonal entry: A is not an M-matrix, or is singular; "
            f"take IncompleteCholesky with {less}shift={max(0.01, 4 * shift):g}, or 'amg'"
        )
    root = R.data[start]
    above = sp.triu(R, 1, format="csr")
    return TriangularFactors(sp.csr_matrix((sp.diags(1 / root) @ above).T), sp.csr_matrix(sp.diags(root) @ above), 1 / root**2)


def incomplete_lu(A: sp.csr_matrix) -> TriangularFactors:
    """``L U`` with the pattern of A, equal to it there (Saad 2003, "Iterative Methods for Sparse Linear Systems", algorithm 10.4).

    Parameters
    ----------
    A : real or complex; rows sorted, without duplicates.

    Raises
    ------
    numpy.linalg.LinAlgError : a pivot vanishes.
    """
    factor = sp.csr_matrix(A, copy=True)
    n = factor.shape[0]
    rows = np.repeat(np.arange(n), np.diff(factor.indptr))
    centre = np.flatnonzero(factor.indices == rows)
    missing = -1 if len(centre) == n else int(np.setdiff1d(np.arange(n), factor.indices[centre])[0])
    row = missing if missing >= 0 else _factorize(factor.indptr, factor.indices, factor.data, centre, A.diagonal())
    if row >= 0:
        raise np.linalg.LinAlgError(f"pivot {row} of the incomplete LU factors vanishes: take 'ilut', or 'lu' if A is not singular")
    return TriangularFactors(sp.tril(factor, -1, format="csr"), sp.triu(factor, 1, format="csr"), 1 / factor.diagonal())


@kernel()
def _substitute(L_start, L_column, L_value, U_start, U_column, U_value, inverse_diagonal, x):  # type: ignore[no-untyped-def]
    n = x.size
    for i in range(n):
        total = x[i]
        for p in range(L_start[i], L_start[i + 1]):
            total -= L_value[p] * x[L_column[p]]
        x[i] = total
    for i in range(n - 1, -1, -1):
        total = x[i]
        for p in range(U_start[i], U_start[i + 1]):
            total -= U_value[p] * x[U_column[p]]
        x[i] = total * inverse_diagonal[i]


@kernel()
def _substitute_panel(L_start, L_column, L_value, U_start, U_column, U_value, inverse_diagonal, X):  # type: ignore[no-untyped-def]
    """As `_substitute` for the columns of X, which vector registers hold side by side; the factors are read once."""
    n = X.shape[0]
    for i in range(n):
        for p in range(L_start[i], L_start[i + 1]):
            _subtract_row(X[i], L_value[p], X[L_column[p]])
    for i in range(n - 1, -1, -1):
        for p in range(U_start[i], U_start[i + 1]):
            _subtract_row(X[i], U_value[p], X[U_column[p]])
        for c in range(X.shape[1]):
            X[i, c] *= inverse_diagonal[i]


@kernel()
def _subtract_row(x, value, other):  # type: ignore[no-untyped-def]
    for c in range(x.size):
        x[c] -= value * other[c]


@kernel()
def _factorize_symmetric(start, column, value, diagonal, modification):  # type: ignore[no-untyped-def]
    """R in place of the upper triangle, rows sorted; returns the first row whose pivot is not positive, or -1."""
    for k in range(start.size - 1):
        first, end = start[k], start[k + 1]
        if not value[first] > _SMALLEST_PIVOT * diagonal[k]:
            return k
        root = np.sqrt(value[first])
        value[first] = root
        for p in range(first + 1, end):
            value[p] /= root
        for p in range(first + 1, end):
            i = column[p]
            q = start[i]
            for m in range(p, end):
                j, product = column[m], value[p] * value[m]
                while q < start[i + 1] and column[q] < j:
                    q += 1
                if q < start[i + 1] and column[q] == j:
                    value[q] -= product
                else:
                    value[start[i]] -= modification * product
                    value[start[j]] -= modification * product
    return -1


@njit(cache=True, nogil=True, error_model="numpy")
def _factorize(start, column, value, centre, diagonal):  # type: ignore[no-untyped-def]
    """L and U in place of the matrix, rows sorted; returns the first row whose pivot vanishes, or -1."""
    place = np.full(start.size - 1, -1)
    for i in range(start.size - 1):
        for p in range(start[i], start[i + 1]):
            place[column[p]] = p
        for p in range(start[i], centre[i]):
            k = column[p]
            value[p] /= value[centre[k]]
            for q in range(centre[k] + 1, start[k + 1]):
                if place[column[q]] >= 0:
                    value[place[column[q]]] -= value[p] * value[q]
        for p in range(start[i], start[i + 1]):
            place[column[p]] = -1
        if not abs(value[centre[i]]) > _SMALLEST_PIVOT * abs(diagonal[i]):
            return i
    return -1
