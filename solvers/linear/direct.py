"""Sparse LU factorisation, as a value that serves any number of right-hand sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numba import njit
from numpy.typing import NDArray
from scipy.sparse.csgraph import structural_rank

from solvers.linear.residual import residuals, row_norms
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, Batch, System, Vector, entries
from solvers.result import Status

_PANEL = 16  # columns that share one pass over the factors: two or three vector registers a row


@dataclass(frozen=True, eq=False)
class Factorization:
    """``Pr A Pc = L U``: made by `factorize`, handed to ``LU(factorization)``, free of hidden state, and may be pickled.

    The factors of another matrix than the one solved with do no harm: every solution is judged by its own residual.

    Attributes
    ----------
    L, U : triangular factors in CSC format, the unit diagonal of L first and the diagonal of U last in each column.
    row_rank, column_rank : equation i of A is number ``row_rank[i]`` in L U, unknown i is number ``column_rank[i]``.
    definite : whether the pivots are from the diagonal and positive: A is symmetric positive definite.
    pinned : whether the constants are in the null space of A; unknown 0 was then left out, and solutions have mean zero.
    """

    L: sp.csc_matrix
    U: sp.csc_matrix
    row_rank: NDArray[np.int32]
    column_rank: NDArray[np.int32]
    definite: bool
    pinned: bool

    @property
    def n(self) -> int:
        return int(self.L.shape[0]) + self.pinned

    def solve(self, B: Vector) -> Vector:
        """Back-solve for the rows of B, shape (m, n), in panels; the bits of a row do not depend on the others."""
        free = slice(int(self.pinned), None)
        X = np.zeros(B.shape, np.result_type(self.L.dtype, B.dtype))
        for first in range(0, len(B), _PANEL):
            rows = slice(first, first + _PANEL)
            panel = np.empty((self.L.shape[0], len(B[rows])), X.dtype)
            panel[self.row_rank] = B[rows, free].T
            _substitute(self.L.indptr, self.L.indices, self.L.data, self.U.indptr, self.U.indices, self.U.data, panel)
            X[rows, free] = panel[self.column_rank].T
        return X - X.mean(axis=1, keepdims=True) if self.pinned else X


def factorize(A: Any, like: Factorization | None = None) -> Factorization:
    """Factorise a `StencilOperator` or a square SciPy sparse matrix with SuperLU.

    A symmetric matrix with a positive diagonal is first tried with pivots from the diagonal, in the minimum degree order of
    A^T + A, which halves the fill. Where all pivots are positive the matrix is positive definite (Sylvester's law of inertia) and
    no pivoting was needed; otherwise it is factorised again with partial pivoting.

    Of a stencil whose null space holds the constants one unknown is pinned to zero; the system is then solvable for every
    compatible right-hand side.

    Parameters
    ----------
    like : an earlier factorisation of a matrix with the same pattern, whose order of unknowns is taken over. That saves the search for
        an order, 5 to 25 % of the time; SuperLU in SciPy has no separate symbolic phase that could be saved, too.

    Raises
    ------
    numpy.linalg.LinAlgError : A is exactly singular.
    ValueError : `like` is of another size.
    TypeError : A knows only its action.
    """
    matrix = sp.csc_matrix(entries(A, "lu"), copy=True)
    matrix.eliminate_zeros()
    pinned = isinstance(A, StencilOperator) and A.is_singular
    if pinned:
        matrix = matrix[1:, 1:]
    if matrix.shape[0] == 0:
        none = np.zeros(0, np.int32)
        return Factorization(matrix, matrix, none, none, True, pinned)
    if like is not None and len(like.column_rank) != matrix.shape[0]:
        raise ValueError(f"like is a factorisation of {like.n} unknowns, but A has {matrix.shape[0] + pinned}: it needs the same pattern")
    diagonal = matrix.diagonal()
    # SuperLU writes beyond its memory where no permutation has a diagonal without zeros, an empty column for instance.
    if not diagonal.all() and structural_rank(matrix) < len(diagonal):
        raise np.linalg.LinAlgError("the matrix is exactly singular, by the places of its entries alone")
    symmetric = A.is_definite if isinstance(A, StencilOperator) else _is_symmetric(matrix)
    if symmetric and (diagonal > 0).all():
        rank = like.column_rank if like is not None and like.definite else None
        factor = _factors(matrix, rank, pinned, definite=True)
        if factor is not None and np.array_equal(factor.row_rank, factor.column_rank) and (factor.U.diagonal() > 0).all():
            return factor
    rank = like.column_rank if like is not None and not like.definite else None
    factor = _factors(matrix, rank, pinned, definite=False)
    if factor is None:
        raise np.linalg.LinAlgError("the matrix is exactly singular")
    return factor


def _factors(matrix: sp.csc_matrix, rank: NDArray[np.int32] | None, pinned: bool, *, definite: bool) -> Factorization | None:
    """Factors with pivots from the diagonal or partial pivoting, unknown i being number ``rank[i]`` where that is given."""
    options: dict[str, Any] = {"options": {"SymmetricMode": True}, "diag_pivot_thresh": 0.0} if definite else {}
    if rank is None:
        options["permc_spec"] = "MMD_AT_PLUS_A" if definite else "COLAMD"
    else:
        options["permc_spec"] = "NATURAL"
        order = np.argsort(rank)
        matrix = matrix[order][:, order] if definite else matrix[:, order]
    try:
        lu = spla.splu(sp.csc_matrix(matrix), **options)
    except RuntimeError:  # SuperLU: "Factor is exactly singular"
        return None
    row_rank, column_rank = lu.perm_r, lu.perm_c
    if rank is not None:
        row_rank, column_rank = row_rank[rank] if definite else row_rank, column_rank[rank]
    L, U = lu.L, lu.U
    number = np.arange(len(row_rank))
    if not (np.array_equal(L.indices[L.indptr[:-1]], number) and np.array_equal(U.indices[U.indptr[1:] - 1], number)):
        L.sort_indices()  # SuperLU happens to put the diagonals where they are wanted, but promises nothing
        U.sort_indices()
    return Factorization(L, U, row_rank, column_rank, definite, pinned)


def _is_symmetric(matrix: sp.csc_matrix) -> bool:
    return matrix.dtype.kind != "c" and (matrix != matrix.T).nnz == 0


@njit(cache=True, error_model="numpy")
def _substitute(L_start, L_row, L_value, U_start, U_row, U_value, X):  # type: ignore[no-untyped-def]
    """X <- U^-1 L^-1 X, columns of X side by side: vector registers hold the columns of a row.

    No fused or reordered arithmetic, so that a column gets the same bits in a panel of any width.
    """
    n, width = X.shape
    x = np.empty(width, X.dtype)
    for j in range(n):
        x[:] = X[j]
        for p in range(L_start[j] + 1, L_start[j + 1]):
            i, value = L_row[p], L_value[p]
            for c in range(width):
                X[i, c] -= value * x[c]
    for j in range(n - 1, -1, -1):
        last = U_start[j + 1] - 1
        for c in range(width):
            x[c] = X[j, c] / U_value[last]
            X[j, c] = x[c]
        for p in range(U_start[j], last):
            i, value = U_row[p], U_value[p]
            for c in range(width):
                X[i, c] -= value * x[c]


@dataclass(frozen=True)
class LU:
    """SuperLU, with one step of iterative refinement where the first solution misses the tolerance.

    Parameters
    ----------
    factorization : of the matrix, from `factorize`, to be used again; None factorises.
    """

    factorization: Factorization | None = None

    @property
    def name(self) -> str:
        return "lu"

    def attempt(self, system: System) -> Attempt:
        return self._attempts(system.A, system.b[None], np.array([system.tolerance]))[0]

    def attempt_many(self, batch: Batch) -> list[Attempt]:
        return self._attempts(batch.A, batch.B, batch.tolerances)

    def _attempts(self, A: Any, B: Vector, tolerances: NDArray[np.float64]) -> list[Attempt]:
        try:
            factor = factorize(A) if self.factorization is None else self.factorization
        except np.linalg.LinAlgError:
            return [Attempt(np.zeros_like(b), status=Status.BREAKDOWN) for b in B]
        if factor.n != B.shape[1]:
            raise ValueError(f"LU: factorization is of a matrix with {factor.n} rows, but b has {B.shape[1]} entries")
        X = factor.solve(B)
        R = residuals(A, X, B)
        missed = ~(row_norms(R) <= tolerances)
        if missed.any():
            X[missed] += factor.solve(R[missed])
        return [Attempt(x) for x in X]
