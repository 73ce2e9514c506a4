"""Right-hand sides to train a direction network on, from the Ritz vectors of one matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Combinations weigh the lower half of the spectrum so many times as much as the upper one.
_EMPHASIS = 9.0


def ritz_vectors(matvec: Callable[[Array], Array], n: int, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Ritz values, increasing, and Ritz vectors of a symmetric matrix, by `count` steps of Lanczos's method.

    Every vector is made orthogonal to all before it, twice, so that none comes back. The iteration ends early where the Krylov space
    does: of a repeated eigenvalue it holds one eigenvector.

    Returns
    -------
    values, shape (k,), and vectors as rows, shape (k, n), with k at most `count` and n.
    """
    basis = np.zeros((min(count, n), n))
    start = matvec(rng.standard_normal(n))
    basis[0] = start / np.linalg.norm(start)
    diagonal: list[float] = []
    beside: list[float] = []
    for j in range(len(basis)):
        w = matvec(basis[j])
        size = float(np.linalg.norm(w))
        diagonal.append(float(w @ basis[j]))
        for _ in range(2):
            w = w - basis[: j + 1].T @ (basis[: j + 1] @ w)
        beside.append(float(np.linalg.norm(w)))
        if beside[-1] <= 1e-10 * size or j + 1 == len(basis):
            break
        basis[j + 1] = w / beside[-1]
    values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside[:-1])
    return values, vectors.T @ basis[: len(diagonal)]


def combinations(vectors: Array, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Random combinations of Ritz vectors (k, n), of norm 1, shape (count, n); the lower half of the spectrum weighs nine times as much."""
    coefficients = rng.standard_normal((count, len(vectors)))
    coefficients[:, : len(vectors) // 2] *= _EMPHASIS
    b = coefficients @ vectors
    return np.asarray(b / np.linalg.norm(b, axis=1, keepdims=True), dtype=np.float32)
