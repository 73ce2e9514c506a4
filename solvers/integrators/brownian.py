"""A Brownian path as a function of time: the same whatever steps are taken along it, and nothing remembered between queries.

The path is fixed on the dyadic times of its interval by Levy's construction. A node of that tree knows, of its interval of length h, the
increment w and the space-time Levy area ``H = 1/h * integral of (W_u - W_a - (u - a) / h * w) du``, which is independent of w and normal
with variance h / 12. Its halves follow from two independent standard normals X, Y: with k = h / 2,

    w_1 - w_2 = 3 H + sqrt(k / 2) X,    H_1 + H_2 = 2 H - (w_1 - w_2) / 2,    H_1 - H_2 = sqrt(k / 6) Y                          (1)

the conditional law of two independent halves given ``w = w_1 + w_2`` and ``H = (w_1 - w_2) / 4 + (H_1 + H_2) / 2``. Refinement therefore
keeps increments and integrals of the path alike. (Derived here; Foster, Lyons and Oberhauser, SIAM J. Numer. Anal. 58 (2020), section 3,
has the polynomials behind it.) X and Y are a hash of seed, row, component and node: Philox4x32-10 of Salmon, Moraes, Dror and Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC11 (2011), so that a query costs one evaluation a level, and
none below the last binary digit of its time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.arguments import fits, interval, numbers, shown, whole
from solvers.integrators import brownian_kernels as kernels

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
Words = NDArray[np.uint64]
#: Nodes that are drawn at a time: their numbers stay in the second-level cache.
_BLOCK = 1 << 14


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
        object.__setattr__(self, "span", interval("span", self.span))
        if not isinstance(self.shape, tuple | list):
            raise TypeError(f"shape = {shown(self.shape)} is no shape: give that of the state, as y.shape")
        object.__setattr__(self, "shape", tuple(whole("an entry of shape", n, "give that of the state, as y.shape") for n in self.shape))
        for name in ("seed", "batch", "first_row", "depth"):
            whole(name, getattr(self, name))
        if min(self.shape, default=0) < 0:
            raise ValueError(f"shape = {self.shape} has a negative entry: give that of the state, as y.shape")
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
        TypeError, ValueError : what is no time, a time outside the span, times that do not fit the path's rows.
        """
        return self.between(self.at(start), self.at(end))

    def between(self, start: Point, end: Point) -> tuple[Array, Array]:
        """`increment` for two points of the path, from `at`."""
        w = end.W - start.W
        return w, end.area - start.area - start.W * (end.elapsed - start.elapsed)

    def at(self, time: Any) -> Point:
        """The path at a time (or at one a row, as in `increment`), which is rounded to the tree."""
        given = numbers("time", time, "give a time, or one a row")
        fraction = (given.astype(np.float64) - self.span[0]) / (self.span[1] - self.span[0])
        if not ((fraction >= -1e-12) & (fraction <= 1 + 1e-12)).all():
            raise ValueError(f"time = {time} lies outside the path's span {self.span}: let the path cover all times asked for")
        if not fits(fraction.shape, self.shape):
            raise ValueError(
                f"time has shape {fraction.shape} for a path of shape {self.shape}: give one time, or one a row in a shape that fits"
            )
        rows = self.shape[: self.batch]
        row_fraction = np.broadcast_to(fraction, (*rows, *fraction.shape[self.batch :])).reshape((*rows, -1))[..., 0]
        cells = 2**self.depth
        index = np.rint(np.clip(row_fraction, 0, 1) * cells).astype(np.int64).reshape(rows)
        w, area = self._descend(np.minimum(index, cells - 1).reshape(-1), (index == cells).reshape(-1))
        elapsed = (index / cells * self._length).reshape((*rows, *(1,) * (len(self.shape) - self.batch)))
        return Point(w, area, elapsed)

    def _descend(self, leaf: Numbers, at_end: NDArray[np.bool_]) -> tuple[Array, Array]:
        """W and its integral at the left end of the leaves of these numbers, one a row, or at the path's end."""
        W, area, state = np.empty(self.shape), np.empty(self.shape), math.prod(self.shape[self.batch :])
        # below its last turn to the right nothing is added on the way to a leaf: times of few binary digits need few levels
        turns = int(np.bitwise_or.reduce(np.where(at_end, 0, leaf)))
        levels = self.depth + 1 - (turns & -turns).bit_length() if turns else 0
        block = max(1, _BLOCK // (levels + 1))
        for begin in range(0, W.size, block):
            radii, angles = np.empty((2, levels + 1, min(block, W.size - begin)))
            kernels.draw(leaf, self.first_row, begin, state, self.depth, self._key, radii, angles)
            polar = np.log(radii, out=radii), np.cos(angles), np.sin(angles)
            kernels.descend(leaf, at_end, begin, state, self.depth, self._length, *polar, W.reshape(-1), area.reshape(-1))
        return W, area

    @property
    def _length(self) -> float:
        return abs(self.span[1] - self.span[0])

    @cached_property
    def _key(self) -> Words:
        return np.random.SeedSequence(self.seed).generate_state(2).astype(np.uint64)
