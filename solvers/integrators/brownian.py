"""A Brownian path as a function of time: the same whatever steps are taken along it, and nothing remembered between queries.

The path is fixed on the dyadic times of its interval by Levy's construction. A node of that tree knows, of its interval of length h, the
increment w and the space-time Levy area ``H = 1/h * integral of (W_u - W_a - (u - a) / h * w) du``, which is independent of w and normal
with variance h / 12. Its halves follow from two independent standard normals X, Y: with k = h / 2,

    w_1 - w_2 = 3 H + sqrt(k / 2) X,    H_1 + H_2 = 2 H - (w_1 - w_2) / 2,    H_1 - H_2 = sqrt(k / 6) Y                          (1)

the conditional law of two independent halves given ``w = w_1 + w_2`` and ``H = (w_1 - w_2) / 4 + (H_1 + H_2) / 2``. Refinement therefore
keeps increments and integrals of the path alike. (Derived here; Foster, Lyons and Oberhauser, SIAM J. Numer. Anal. 58 (2020), section 3,
has the polynomials behind it.) X and Y are a hash of seed, row, component and node: Philox4x32-10 of Salmon, Moraes, Dror and Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC11 (2011), so that a query costs one evaluation a level, all of them in one sweep over
arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Words = NDArray[np.uint64]
_LOW = np.uint64(0xFFFFFFFF)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85


@dataclass(frozen=True, eq=False)
class Point:
    """W and its integral since the start of the path, of the path's shape, and the time elapsed, one entry a row."""

    W: Array
    area: Array
    elapsed: Array


@dataclass(frozen=True)
class BrownianPath:
    """Independent standard Brownian motions, one an entry of `shape`, from ``span[0]`` to ``span[1]``.

    Backward in time (``span[1] < span[0]``) the path starts at span[0] all the same, and its clock is the time elapsed since.

    Parameters
    ----------
    span : the two ends, distinct.
    shape : of the state that the noise drives.
    seed : not negative.
    batch : number of leading axes of `shape` that count rows. The noise of a row depends on the seed, on its number and on the shape of
        a row, and not on how many rows there are.
    first_row : number of the first row.
    depth : levels of the tree; times are rounded to ``(span[1] - span[0]) / 2^depth``.

    Examples
    --------
    >>> path = BrownianPath((0.0, 1.0), shape=(), seed=3)
    >>> whole, _ = path.increment(0.2, 0.7)
    >>> first, second = path.increment(0.2, 0.3)[0], path.increment(0.3, 0.7)[0]
    >>> bool(abs(whole - first - second) < 1e-15)
    True
    """

    span: tuple[float, float]
    shape: tuple[int, ...]
    seed: int
    batch: int = 0
    first_row: int = 0
    depth: int = 40

    def __post_init__(self) -> None:
        if not (math.isfinite(self.span[0]) and math.isfinite(self.span[1]) and self.span[0] != self.span[1]):
            raise ValueError(f"span = {self.span} is no interval: give two distinct finite times")
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed} is negative: give 0 or more")
        if not 0 <= self.batch <= len(self.shape):
            raise ValueError(f"batch = {self.batch} does not fit a shape of {len(self.shape)} axes: give at most as many")
        if not 1 <= self.depth <= 60:
            raise ValueError(f"depth = {self.depth} is no depth of the tree: give 1 to 60")
        if not 0 <= self.first_row <= 2**32 - math.prod(self.shape[: self.batch]):
            raise ValueError(f"first_row = {self.first_row} leaves 32 bits: number rows from 0")

    def increment(self, start: Any, end: Any) -> tuple[Array, Array]:
        """``W(end) - W(start)`` and the integral of ``W(u) - W(start)`` from start to end, each of the path's shape.

        Parameters
        ----------
        start, end : times, start no later than end as the path's clock runs; numbers, or arrays that broadcast against the shape and are
            constant within a row.

        Raises
        ------
        ValueError : a time outside the span.
        """
        return self.between(self.at(start), self.at(end))

    def between(self, start: Point, end: Point) -> tuple[Array, Array]:
        """`increment` for two points of the path, from `at`."""
        w = end.W - start.W
        return w, end.area - start.area - start.W * (end.elapsed - start.elapsed)

    def at(self, time: Any) -> Point:
        """The path at a time (or at one a row, as in `increment`), which is rounded to the tree."""
        length = abs(self.span[1] - self.span[0])
        fraction = (np.asarray(time, dtype=np.float64) - self.span[0]) / (self.span[1] - self.span[0])
        if not ((fraction >= -1e-12) & (fraction <= 1 + 1e-12)).all():
            raise ValueError(f"time = {time} lies outside the path's span {self.span}: let the path cover all times asked for")
        rows = self.shape[: self.batch]
        row_fraction = np.broadcast_to(fraction, (*rows, *fraction.shape[self.batch :])).reshape((*rows, -1))[..., 0]
        cells = 2**self.depth
        index = np.rint(np.clip(row_fraction, 0, 1) * cells).astype(np.int64).reshape(rows)
        w, area = self._descend(np.minimum(index, cells - 1), index == cells, length)
        elapsed = (index / cells * length).reshape((*rows, *(1,) * (len(self.shape) - self.batch)))
        return Point(w, area, elapsed)

    def _descend(self, leaf: NDArray[np.int64], at_end: NDArray[np.bool_], length: float) -> tuple[Array, Array]:
        """W and its integral at the left end of the leaves of these numbers, or at the path's end."""
        X, Y = self._normals(leaf)
        lift = (..., *(None,) * (len(self.shape) - self.batch))
        h = length
        w, H = math.sqrt(h) * X[0], math.sqrt(h / 12) * Y[0]
        W, area = np.zeros(self.shape), np.zeros(self.shape)
        right = at_end[lift]  # the end itself is passed by taking the whole root interval
        W, area = np.where(right, w, W), np.where(right, h * (w / 2 + H), area)
        for level in range(self.depth):
            k = h / 2
            d = 3 * H + math.sqrt(k / 2) * X[level + 1]
            total, gap = 2 * H - d / 2, math.sqrt(k / 6) * Y[level + 1]
            w1, w2, H1, H2 = (w + d) / 2, (w - d) / 2, (total + gap) / 2, (total - gap) / 2
            right = ((leaf >> (self.depth - 1 - level)) & 1).astype(bool)[lift]
            passed = right & ~at_end[lift]
            area = np.where(passed, area + k * (W + w1 / 2 + H1), area)
            W = np.where(passed, W + w1, W)
            w, H, h = np.where(right, w2, w1), np.where(right, H2, H1), k
        return W, area

    def _normals(self, leaf: NDArray[np.int64]) -> tuple[Array, Array]:
        """Two standard normals for the path's root and for every node on the way to the leaves, shape (depth + 1, *shape)."""
        rows, state = self.shape[: self.batch], self.shape[self.batch :]
        # Node 0 stands for the root's own increment, node 2^level + i for the halving of interval i of a level.
        nodes = np.stack([np.zeros_like(leaf)] + [(leaf >> (self.depth - level)) + (1 << level) for level in range(self.depth)])
        node = nodes.astype(np.uint64).reshape((self.depth + 1, *rows, *(1,) * len(state)))
        row = np.arange(math.prod(rows), dtype=np.uint64).reshape((*rows, *(1,) * len(state))) + np.uint64(self.first_row)
        component = np.arange(math.prod(state), dtype=np.uint64).reshape(state)
        counter = np.broadcast_arrays(component, row, node & _LOW, node >> np.uint64(32))
        key = np.random.SeedSequence(self.seed).generate_state(2)
        return box_muller(philox(tuple(counter), (int(key[0]), int(key[1]))))


def philox(counter: tuple[Words, ...], key: tuple[int, int]) -> tuple[Words, ...]:
    """Philox4x32-10: four words of 32 random bits for every counter of four words, all held in arrays of uint64."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    shift = np.uint64(32)
    for _ in range(10):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def box_muller(words: tuple[Words, ...]) -> tuple[Array, Array]:
    """Two independent standard normals from four words of 32 random bits."""
    a, b, c, d = words
    radius = np.sqrt(-2 * np.log(((a << np.uint64(21)) + (b >> np.uint64(11)) + np.uint64(1)) * 2.0**-53))  # of (0, 1]
    angle = 2 * np.pi * (((c << np.uint64(21)) + (d >> np.uint64(11))) * 2.0**-53)
    return radius * np.cos(angle), radius * np.sin(angle)
