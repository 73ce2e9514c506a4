"""The Arnoldi process against a panel of orthonormal vectors, and the small least-squares problem that grows with it.

Vectors are the rows of C-ordered arrays, so that a whole panel meets a vector in one BLAS call and a slice of rows is contiguous.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg as sla
from numba import njit

from solvers.linear.compiled import fast_kernel
from solvers.linear.system import System, Vector

_BLOCK = 4  # rows that meet a vector together: of up to 50 000 entries they are still in the second-level cache when they are taken off
_SMALL = 0.3  # part of a vector along the panel from which on one pass may not be enough
_ORTHOGONAL = 1e-14  # components along the panel that may remain, relative to the vector
_EPS = float(np.finfo(float).eps)
_NOISE = 10 * _EPS  # of a vector in the span of the panel, two passes leave this much


class CountedOperator:
    """A and M of a system, and how often each was applied."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.matvecs = 0
        self.preconditionings = 0

    @property
    def preconditioned(self) -> bool:
        return self._system.M is not None

    def A(self, x: Vector) -> Vector:
        self.matvecs += 1
        return self._system.matvec(x)

    def M(self, r: Vector) -> Vector:
        if self._system.M is None:
            return r
        self.preconditionings += 1
        return np.asarray(self._system.M.matvec(r))

    def figures(self) -> dict[str, int]:
        """For `Solution.info`."""
        return {"matvecs": self.matvecs, "preconditioner_applications": self.preconditionings}


def orthogonalize(panel: Vector, w: Vector, out: Vector) -> tuple[Vector, float]:
    """Write ``w - sum_i h_i panel_i`` to `out`; returns h and the norm of the remainder, 0 where w lies in the span of the panel.

    Gram-Schmidt in blocks of a few rows, the last two, which hold most of w where A is nearly symmetric, first: classical in a block,
    modified between blocks, so that the panel travels from memory once. A pass leaves along the panel what rounding and the
    panel's own defect leave of h, so that one is enough where the rest of h is small (the criterion of Kahan and Parlett); then the
    remainder has its norm by Pythagoras. Elsewhere what is left is measured, and taken off where it is more than rounding; two
    passes are enough (Giraud et al. 2005, Numer. Math. 101).

    Parameters
    ----------
    panel : orthonormal rows, shape (j, n), C-contiguous; j may be 0.
    w, out : shape (n,), contiguous and of the panel's type; `w` is left alone.
    """
    if len(panel) < 2:
        h = (panel @ w.conj()).conj()
        np.subtract(w, h @ panel, out=out)
    else:
        h = np.empty(len(panel), panel.dtype)
        square, along = _take_off(panel, w, out, h)
        if along <= _SMALL**2 * square:
            return h, math.sqrt(square - along)  # nothing cancels
    left = (panel @ out.conj()).conj()
    norm = _norm(out)
    if np.linalg.norm(left) > _ORTHOGONAL * norm:
        out -= left @ panel
        norm, h = _norm(out), h + left
    return h, norm if norm > _NOISE * np.linalg.norm(h) else 0.0


@fast_kernel()
def _take_off(panel, w, out, h):  # type: ignore[no-untyped-def]
    """One pass over at least two rows; returns the square of the norm after the last two of them, and the part of it along all rows."""
    rows, n = panel.shape
    u, v = panel[rows - 2], panel[rows - 1]
    a = np.conj(u[0]) * w[0]
    b = np.conj(v[0]) * w[0]
    for i in range(1, n):
        a += np.conj(u[i]) * w[i]
        b += np.conj(v[i]) * w[i]
    square = 0.0
    for i in range(n):
        x = w[i] - a * u[i] - b * v[i]
        out[i] = x
        square += x.real * x.real + x.imag * x.imag
    along = 0.0
    for first in range(0, rows, _BLOCK):
        along += _take_off_block(panel[first : first + _BLOCK], out, h[first : first + _BLOCK])
    h[rows - 2] += a
    h[rows - 1] += b
    return square, along


# inlined: sums in a function of its own came out of Numba's cache in another order than out of its compiler
@fast_kernel(inline="always")
def _take_off_block(rows, out, h):  # type: ignore[no-untyped-def]
    """Classical Gram-Schmidt for up to `_BLOCK` rows, whose coefficients go to h; returns the sum of their squares."""
    n = out.size
    if len(rows) == 4:
        p, q, u, v = rows[0], rows[1], rows[2], rows[3]
        a = np.conj(p[0]) * out[0]
        b = np.conj(q[0]) * out[0]
        c = np.conj(u[0]) * out[0]
        d = np.conj(v[0]) * out[0]
        for i in range(1, n):
            a += np.conj(p[i]) * out[i]
            b += np.conj(q[i]) * out[i]
            c += np.conj(u[i]) * out[i]
            d += np.conj(v[i]) * out[i]
        for i in range(n):
            out[i] -= a * p[i] + b * q[i] + c * u[i] + d * v[i]
        h[0], h[1], h[2], h[3] = a, b, c, d
    else:
        for k in range(len(rows)):
            p = rows[k]
            a = np.conj(p[0]) * out[0]
            for i in range(1, n):
                a += np.conj(p[i]) * out[i]
            for i in range(n):
                out[i] -= a * p[i]
            h[k] = a
    total = 0.0
    for k in range(len(rows)):
        total += h[k].real * h[k].real + h[k].imag * h[k].imag
    return total


def _norm(w: Vector) -> float:
    return math.sqrt(np.vdot(w, w).real)


@dataclass(frozen=True, eq=False)
class Cycle:
    """``A Z = C B + V H`` after s steps, and the y that minimises ``||beta e_1 - H y||``.

    Attributes
    ----------
    B : shape (k, s).
    H : upper Hessenberg, shape (s + 1, s).
    y : shape (s,).
    remainder : ``beta e_1 - H y``, the residual in the basis V, shape (s + 1,).
    """

    B: Vector
    H: Vector
    y: Vector
    remainder: Vector

    @property
    def steps(self) -> int:
        return int(self.y.size)


def arnoldi(
    operator: CountedOperator,
    panel: Vector,
    k: int,
    beta: float,
    steps: int,
    tolerance: float,
    Z: Vector | None,
    after_step: Callable[[float, Callable[[], Cycle]], None],
) -> Cycle:
    """Arnoldi steps with ``A M`` from the unit vector ``panel[k]``, orthogonal to the k rows before it, which are C.

    Ends after `steps` steps, where the residual in the basis falls to `tolerance`, or where the space is exhausted.

    Parameters
    ----------
    panel : rows C, then V; row ``k + j + 1`` is written by step j.
    beta : norm of the residual.
    Z : receives ``M v_j`` in row j; None where M is linear and fixed, so that ``M V y`` can be formed at the end.
    after_step : called with the residual norm and a function that gives the cycle so far.
    """
    dtype = panel.dtype
    B, H = np.zeros((k, steps), dtype), np.zeros((steps + 1, steps), dtype)
    R, g = np.zeros((steps + 1, steps), dtype), np.zeros(steps + 1, dtype)
    cosines, sines = np.zeros(steps), np.zeros(steps, dtype)
    g[0] = beta

    def so_far(s: int) -> Cycle:
        diagonal = np.abs(R.diagonal()[:s])
        while s and not diagonal[s - 1] > 4 * _EPS * diagonal.max():  # A is singular on the space: leave the last direction out
            s -= 1
        y = sla.solve_triangular(R[:s, :s], g[:s], check_finite=False) if s else np.zeros(0, dtype)
        remainder = -(H[: s + 1, :s] @ y)
        remainder[0] += beta
        return Cycle(B[:, :s], H[: s + 1, :s], y, remainder)

    for j in range(steps):
        z = operator.M(panel[k + j])
        if Z is not None:
            Z[j] = z
        new = panel[k + j + 1]
        h, norm = orthogonalize(panel[: k + j + 1], operator.A(z), out=new)
        B[:, j], H[: j + 1, j], H[j + 1, j] = h[:k], h[k:], norm
        R[: j + 1, j] = h[k:]
        estimate = _rotate(R, cosines, sines, g, j, norm)
        if norm > 0:
            new *= 1 / norm
        else:
            new[...] = 0.0
        after_step(estimate, partial(so_far, j + 1))
        if not (estimate > tolerance and norm > 0):
            break
    return so_far(j + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _rotate(R, cosines, sines, g, j, below):  # type: ignore[no-untyped-def]
    """Reduce column j of an upper Hessenberg matrix, `below` under its diagonal, to triangular form; returns ``|g_(j+1)|``.

    Rotations ``[[c, s], [-conj(s), c]]`` with real c, as in Golub and Van Loan (2013), section 5.1.
    """
    for i in range(j):
        upper, lower = R[i, j], R[i + 1, j]
        R[i, j] = cosines[i] * upper + sines[i] * lower
        R[i + 1, j] = -np.conj(sines[i]) * upper + cosines[i] * lower
    pivot = R[j, j]
    length = np.hypot(abs(pivot), below)
    if length > 0:
        phase = pivot / abs(pivot) if abs(pivot) > 0 else pivot + 1.0
        cosines[j] = abs(pivot) / length
        sines[j] = phase * below / length
        R[j, j] = phase * length
    else:
        cosines[j] = 1.0
    g[j + 1] = -np.conj(sines[j]) * g[j]
    g[j] = cosines[j] * g[j]
    return abs(g[j + 1])
