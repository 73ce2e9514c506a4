"""Norms and residuals of many right-hand sides at once: what every solve is judged by.

Rows are independent: each gets the same operations in the same order whatever stands beside it, so that a solution and its figures
do not depend on the batch that it was computed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.linear.compiled import fast_kernel, kernel
from solvers.linear.stencil import StencilOperator, lift
from solvers.linear.stencil_action import apply_rows, no_cells

Vector = NDArray[Any]
_BLOCK_CELLS = 1 << 16  # half a megabyte of unknowns at once, which stays in the second-level cache


def row_norms(B: Vector) -> NDArray[np.float64]:
    """Euclidean norms of the rows of B, shape (m, n) real or complex; also where their squares overflow or vanish."""
    B = np.ascontiguousarray(B)
    B = B.view(np.float64) if B.dtype.kind == "c" else B
    norms = _plain_norms(B)
    odd = np.flatnonzero(_doubtful(norms))
    if odd.size:
        largest = np.abs(B[odd]).max(axis=1, initial=0.0)
        odd, largest = odd[np.isfinite(largest)], largest[np.isfinite(largest)]
        scale = np.maximum(largest, np.finfo(np.float64).tiny)
        norms[odd] = scale * _plain_norms(B[odd] / scale[:, None])
    return norms


def _plain_norms(B: NDArray[np.float64]) -> NDArray[np.float64]:
    squares = np.empty(len(B))
    _squared_norms(B, squares)
    return np.sqrt(squares)


def _doubtful(norms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Norms of whose squares something may have been lost; zero, NaN and infinity among them."""
    return ~((norms > 1e-120) & (norms < 1e120))


def residuals(A: Any, X: Sequence[Vector] | Vector, B: Vector) -> Vector:
    """``b - A x`` for the rows of B, shape (m, n), and as many x of shape (n,)."""
    if isinstance(A, StencilOperator):
        R = np.empty_like(B)
        _stencil(A, np.asarray(X), B, R.reshape(len(B), *lift(A.reaction).shape), np.empty(len(B)))
        return R
    return np.array([b - A @ x for x, b in zip(X, B, strict=True)])


def residual_norms(A: Any, X: Sequence[Vector] | Vector, B: Vector) -> NDArray[np.float64]:
    """Euclidean norms of `residuals`; those of a stencil are formed and forgotten a few lines at a time."""
    if not isinstance(A, StencilOperator):
        norms = row_norms(residuals(A, X, B))
        norms[[not np.isfinite(x).all() for x in X]] = np.inf  # a sparse product does not touch what meets an empty column
        return norms
    m, n = B.shape
    block = max(1, _BLOCK_CELLS // n)
    width = A.grid_shape[-1]
    nowhere = np.empty((1, 1, no_cells(width).size // width, width))
    buffer = np.empty((min(m, block) if m > 1 else 0, n))
    squares = np.empty(m)
    for first in range(0, m, block):
        rows = slice(first, first + block)
        gathered = X[first][None] if m == 1 else np.stack(list(X[rows]), out=buffer[: len(B[rows])])
        _stencil(A, gathered, B[rows], nowhere, squares[rows])
    norms = np.sqrt(squares)
    doubtful = np.flatnonzero(_doubtful(norms))
    if doubtful.size:
        norms[doubtful] = row_norms(residuals(A, [X[row] for row in doubtful.tolist()], B[doubtful]))
    return norms


def _stencil(A: StencilOperator, X: Vector, B: Vector, R: Vector, squares: NDArray[np.float64]) -> None:
    grid = lift(A.reaction).shape
    X, B = np.ascontiguousarray(X).reshape(-1, *grid), np.ascontiguousarray(B).reshape(-1, *grid)
    _stencil_residuals(X, B, R, A.lifted_faces, A.lifted_reaction, A.lifted_periodic, no_cells(grid[-1]), squares)


@fast_kernel()
def _squared_norms(B, squares):  # type: ignore[no-untyped-def]
    m, n = B.shape
    for row in range(m):
        total = 0.0
        for k in range(n):
            total += B[row, k] * B[row, k]
        squares[row] = total


@kernel()
def _stencil_residuals(X, B, R, faces, reaction, periodic, nothing, squares):  # type: ignore[no-untyped-def]
    """Squared norms of ``B - A X``; the residuals go to R, or block after block to its one block where nobody wants them."""
    m, nx, ny, nz = X.shape
    height = nothing.size // nz
    for row in range(m):
        total = 0.0
        for i in range(nx):
            for begin in range(0, ny, height):
                end = min(begin + height, ny)
                at, size = begin % R.shape[2], (end - begin) * nz
                r = R[row % R.shape[0], i % R.shape[1], at : at + end - begin]
                apply_rows(r, X[row], i, begin, end, faces, reaction, periodic, nothing)
                total += _subtract(B[row, i, begin:end].reshape(size), r.reshape(size))
        squares[row] = total


@fast_kernel()
def _subtract(b, r):  # type: ignore[no-untyped-def]
    """``r <- b - r``; returns ``r . r``."""
    total = 0.0
    for k in range(r.size):
        r[k] = b[k] - r[k]
        total += r[k] * r[k]
    return total
