"""The functions ``phi_0(z) = e^z``, ``phi_k(z) = integral over [0, 1] of e^((1 - s) z) s^(k-1) / (k-1)! ds`` of numbers and matrices.

They solve linear equations with polynomial forcing: with ``y' = L y + sum_k v_k t^(k-1) / (k-1)!`` and ``y(0) = v_0``,

    y(h) = sum_k h^k phi_k(h L) v_k                                                                                  (1)

Hochbruck and Ostermann, "Exponential integrators", Acta Numerica 19 (2010), equations 2.9 to 2.12. `phi` evaluates them for every entry
of an array, `combine_dense` and `combine_krylov` the sum (1) for a matrix and for an operator known by its action. Both use that the sum
is the first block of the exponential of a matrix that is larger by as many rows as there are forcings: Al-Mohy and Higham, "Computing the
action of the matrix exponential", SIAM J. Sci. Comput. 33 (2011), theorem 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Array = NDArray[Any]
#: Below this magnitude the power series is summed; its terms then fall below rounding after `_TERMS`.
_SERIES = 1.0
_TERMS = 18
_KRYLOV_DIM = 40
_MAX_SUBSTEPS = 1000


def phi(z: Any, count: int) -> list[Array]:
    """``phi_0 .. phi_count`` of every entry of z, real for real z, with relative errors of a few units of rounding.

    The recurrence ``phi_(k-1) = z phi_k + 1 / (k-1)!`` loses nothing downwards where z is small, starting from the power series of the
    highest, and next to nothing upwards where z is large.

    Parameters
    ----------
    z : array of any shape.
    count : highest index.
    """
    z = np.asarray(z)
    small = np.abs(z) < _SERIES
    near, far = np.where(small, z, 0), np.where(small, 1, z)
    series = np.zeros_like(near, dtype=np.result_type(near, np.float64))
    for n in reversed(range(_TERMS)):
        series = series * near + 1 / math.factorial(n + count)
    down = [series]
    for k in reversed(range(count)):
        down.append(near * down[-1] + 1 / math.factorial(k))
    up = [np.exp(far)]
    for k in range(count):
        up.append((up[-1] - 1 / math.factorial(k)) / far)
    return [np.where(small, low, high) for low, high in zip(reversed(down), up, strict=True)]


def dense_phi(A: Array, count: int) -> list[Array]:
    """``phi_0 .. phi_count`` of a square matrix, by scaling and squaring of one that is ``count + 1`` times as large."""
    n = len(A)
    augmented = np.zeros(((count + 1) * n,) * 2, np.result_type(A, np.float64))
    augmented[:n, :n] = A
    augmented[: count * n, n:] += np.eye(count * n)
    exponential = scipy.linalg.expm(augmented)
    return [exponential[:n, k * n : (k + 1) * n] for k in range(count + 1)]


def combine_krylov(matvec: Callable[[Array], Array], h: float, vectors: Sequence[Array], tolerance: float) -> Array:
    """``sum_k h^k phi_k(h L) vectors[k]`` by Arnoldi's method with substeps, L known by its action.

    Parameters
    ----------
    matvec : ``v -> L v`` for flat v.
    h : the step, of either sign.
    vectors : flat arrays of equal length, at least one.
    tolerance : bound on the error, relative to the sum of the norms of ``h^k vectors[k]`` and as the estimate of Saad, SIAM J. Numer.
        Anal. 29 (1992), section 5, sees it.

    Raises
    ------
    ArithmeticError : an operator so large, over the whole step, that a thousand substeps do not suffice.
    """
    n, extra = len(vectors[0]), len(vectors) - 1
    norm = sum(float(np.linalg.norm(v)) * abs(h) ** k for k, v in enumerate(vectors))
    if norm == 0:
        return np.zeros_like(vectors[0])
    # Scaling the forcings by a power of two to about the size of the state keeps the Hessenberg matrix balanced.
    largest = max((float(np.linalg.norm(v)) for v in vectors[1:]), default=0.0)
    scale = 2.0 ** math.ceil(math.log2(largest)) if largest > 0 else 1.0
    forcings = [v / scale for v in reversed(vectors[1:])]

    def augmented(w: Array) -> Array:
        out = np.zeros_like(w)
        out[:n] = matvec(w[:n])
        for column, forcing in enumerate(forcings):
            out[:n] += w[n + column] * forcing
        out[n : n + extra - 1] = w[n + 1 :] if extra else 0
        return out

    w = np.concatenate([vectors[0], np.zeros(extra, vectors[0].dtype)]).astype(np.result_type(*vectors, np.float64))
    if extra:
        w[-1] = scale
    return _exponential(augmented, h, w, tolerance * norm)[:n]


def _exponential(matvec: Callable[[Array], Array], h: float, w: Array, tolerance: float) -> Array:
    """``exp(h A) w``: each substep as long as the error estimate of its Krylov space allows."""
    done, step = 0.0, 1.0  # as fractions of h
    for _ in range(_MAX_SUBSTEPS):
        beta = float(np.linalg.norm(w))
        if done >= 1 or beta == 0:
            return w
        V, H = _arnoldi(matvec, w / beta)
        m = H.shape[1]
        step = min(step, 1 - done)
        while True:
            with np.errstate(over="ignore", invalid="ignore"):  # a step far too long, which is told by its estimate
                exponential, estimate = _small_exponential(H, h * step)
                error = beta * estimate
            if np.isfinite(exponential).all() and (len(V) == m or error <= step * tolerance):
                break
            step *= max(0.1, min(0.8, 0.9 * (step * tolerance / error) ** (1 / m))) if np.isfinite(error) else 0.1
        w = beta * (exponential[:m] @ V[:m])
        done = 1.0 if done + step > 1 - 1e-14 else done + step
        step *= 2
    raise ArithmeticError(f"h = {h} needs more than {_MAX_SUBSTEPS} Krylov substeps for the exponential: take smaller steps")


def _small_exponential(H: Array, h: float) -> tuple[Array, float]:
    """First column of ``exp(h H)``, and the size of what the Krylov space leaves out first: ``h_(m+1,m) e_m^T h phi_1(h H) e_1``."""
    m = H.shape[1]
    bordered = np.zeros((m + 1, m + 1), H.dtype)
    bordered[:m, :m] = h * H[:m]
    bordered[0, m] = 1.0
    exponential = scipy.linalg.expm(bordered)
    left_out = abs(h * H[m, m - 1] * exponential[m - 1, m]) if len(H) > m else 0.0
    return exponential[:m, 0], float(left_out)


def _arnoldi(matvec: Callable[[Array], Array], v: Array) -> tuple[Array, Array]:
    """Orthonormal rows V and the Hessenberg matrix H, of m + 1 rows, or of m where the space is invariant."""
    limit = min(_KRYLOV_DIM, len(v))
    V = np.zeros((limit + 1, len(v)), v.dtype)
    H = np.zeros((limit + 1, limit), v.dtype)
    V[0] = v
    for j in range(limit):
        u = matvec(V[j])
        size = float(np.linalg.norm(u))
        for _ in range(2):  # the second pass restores orthogonality to rounding
            projections = V[: j + 1].conj() @ u
            u = u - projections @ V[: j + 1]
            H[: j + 1, j] += projections
        rest = float(np.linalg.norm(u))
        if rest <= 1e-14 * size or j + 1 == len(v):
            return V[: j + 1], H[: j + 1, : j + 1]
        H[j + 1, j], V[j + 1] = rest, u / rest
    return V, H
