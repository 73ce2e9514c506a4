"""What every domain offers: a signed distance, named boundary parts with smooth distances, points inside and on the boundary.

Distances that conditions are multiplied with must be smooth and vanish exactly on their part; signed distances, which are neither, only
decide which points lie inside. Smooth ones are R-functions (Sukumar and Srivastava, "Exact imposition of boundary conditions with distance
functions in physics-informed deep neural networks", Comput. Methods Appl. Mech. Eng. 389 (2022) 114333). They are written in plain
arithmetic and NumPy's functions, so that arrays go in for values and quantities that carry derivatives for derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from sciml.errors import InputError

Array = NDArray[np.float64]
#: From coordinates, one quantity an axis, to a quantity: arrays or whatever else has arithmetic.
Function = Callable[..., Any]
_BATCHES = 24
_PROBES = 2048
_FACTORS = 8  # more lines than these would make a product that is tiny nearly everywhere
#: Keeps quotients of quantities that vanish together at corners from being NaN, and changes nothing elsewhere.
TINY = 1e-290


class GeometryError(InputError):
    """A geometry that makes no sense, such as one without an interior."""


@dataclass(frozen=True, eq=False)
class BoundaryPoints:
    """Points of a boundary part for sums over it.

    Attributes
    ----------
    points : shape (n, d).
    normals : outward unit normals, shape (n, d).
    weights : lengths (areas in space) that they stand for, shape (n,).
    """

    points: Array
    normals: Array
    weights: Array


@dataclass(frozen=True, eq=False)
class Piece:
    """A smooth piece of a boundary.

    Parameters
    ----------
    part : the name of the part that it belongs to.
    implicit : function that vanishes on the whole curve that the piece is cut from, with a gradient of norm 1 there, positive on the side
        of the domain.
    extent : function that is positive on the piece and negative on the rest of its curve; None where the piece is the whole curve.
    trim : function that is positive on the piece and negative on the rest of its curve where that runs through the domain; None where
        it does not, so that `implicit` is positive in the domain.
    size : a length of the piece.
    measure : from a number of points to them, on the whole curve.
    hole : for a closed curve around a hole the length over which factors made of it rise to 1 and stay there; else None.
    """

    part: str
    implicit: Function
    extent: Function | None
    trim: Function | None
    size: float
    measure: Callable[[int], BoundaryPoints]
    hole: float | None = None

    def distance(self, *x: Any) -> Any:
        """Smooth and positive inside, 0 on the piece only, with slope 1 there (equation 4 of Sukumar and Srivastava)."""
        f = self.implicit(*x)
        if self.trim is None:
            return f
        t = self.trim(*x)
        excess = np.hypot(t, f * f / self.size) - t  # with the size, distances have a unit: scaled domains have scaled distances
        return np.hypot(f, 0.5 * excess)

    def rising(self, *x: Any) -> Any:
        """The implicit function; around a hole it is saturated, to ``1 - r^2 / rho^2`` where that is a disk of radius r."""
        f = self.implicit(*x)
        return f if self.hole is None else f / (f + self.hole)

    def sample(self, count: int) -> BoundaryPoints:
        """About `count` points at the middles of equal intervals, without those beyond the piece."""
        some = self.measure(count)
        if self.extent is None:
            return some
        kept = np.asarray(self.extent(*some.points.T)) > 0
        return BoundaryPoints(some.points[kept], some.normals[kept], some.weights[kept])


class Shape(ABC):
    """A bounded domain; combine domains with ``-``, ``&`` and ``|``."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Low and high corner of a box around the domain."""

    @abstractmethod
    def signed_distance(self, points: Array) -> Array:
        """Distance from the boundary, positive inside, shape (n,) for points of shape (n, d); of a combination a lower bound of it."""

    @property
    @abstractmethod
    def pieces(self) -> tuple[Piece, ...]: ...

    @property
    def dimension(self) -> int:
        return len(self.bounds[0])

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the boundary parts."""
        return tuple(dict.fromkeys(piece.part for piece in self.pieces))

    def distance(self, parts: Iterable[str]) -> Function:
        """A function of the coordinates that is positive in the domain and 0 on the boundary parts of these names, with slope 1 there.

        Where parts meet its second derivatives are unbounded; `factor` is for conditions that need no slope.

        Raises
        ------
        GeometryError : for a name that is no part's, or none at all.
        """
        chosen = self._named(parts)
        if not chosen:
            raise GeometryError(f"no boundary part is named: choose among {', '.join(self.parts)}")
        return lambda *x: joined([piece.distance(*x) for piece in chosen])

    def factor(self, parts: Iterable[str]) -> Function:
        """A function of the coordinates that is positive in the domain, 0 on the boundary parts of these names, and 1 at most, nearly.

        Pieces whose curves meet the domain nowhere else enter as a plain product, which is smooth where they meet each other; the others
        by `distance`. No part at all gives the number 1.
        """
        chosen = self._named(parts)
        if not chosen:
            return lambda *x: 1.0
        plain = [piece for piece in chosen if piece.trim is None]
        if len(plain) > _FACTORS:
            plain = []
        rest = [piece for piece in chosen if piece not in plain]

        def product(*x: Any) -> Any:
            found = [piece.rising(*x) for piece in plain]
            if rest:
                found.append(joined([piece.distance(*x) for piece in rest]))
            return reduce(lambda a, b: a * b, found)

        largest = float(np.max(product(*self.interior(_PROBES).T)))
        return lambda *x: product(*x) * (1 / largest)

    def _named(self, parts: Iterable[str]) -> list[Piece]:
        wanted, known = list(parts), self.parts
        for name in wanted:
            if name not in known:
                raise GeometryError(f"part {name!r} is none of the boundary's: choose among {', '.join(known)}")
        return [piece for piece in self.pieces if piece.part in wanted]

    def contains(self, points: Array) -> NDArray[np.bool_]:
        return np.asarray(self.signed_distance(points) > 0)

    def interior(self, count: int, seed: int = 0, margin: float = 0.0) -> Array:
        """Scrambled Sobol' points of the domain that keep `margin` away from its boundary, shape (count, d).

        Raises
        ------
        GeometryError : where hardly any point of the surrounding box lies inside.
        """
        low, high = self.bounds
        sampler = qmc.Sobol(len(low), seed=np.random.default_rng(seed))
        found: list[Array] = []
        size = 1 << int(np.ceil(np.log2(max(2 * count, 256))))
        for _ in range(_BATCHES):
            points = qmc.scale(sampler.random(size), low, high)
            found.append(points[self.signed_distance(points) > margin])
            if sum(map(len, found)) >= count:
                return np.concatenate(found)[:count]
        inside = sum(map(len, found))
        where = f"farther than {margin:g} from the boundary" if margin else "inside"
        raise GeometryError(
            f"{inside} of {_BATCHES * size} points of the box around the geometry lie {where}: it has no interior to speak of; "
            "check the order of corners and what is subtracted" + (", or take a smaller margin" if margin else "")
        )

    def boundary(self, count: int, parts: Iterable[str] | None = None) -> BoundaryPoints:
        """About `count` points of each piece of these parts (None: all), with normals and weights, at the middles of equal intervals."""
        found = [piece.sample(count) for piece in self._named(self.parts if parts is None else parts)]
        if not found:
            raise GeometryError(f"no boundary part is named: choose among {', '.join(self.parts)}")
        return BoundaryPoints(*(np.concatenate([getattr(some, name) for some in found]) for name in ("points", "normals", "weights")))

    def __sub__(self, other: Shape) -> Shape:
        from sciml.geometry.combine import Combination

        return Combination("difference", self, other)

    def __and__(self, other: Shape) -> Shape:
        from sciml.geometry.combine import Combination

        return Combination("intersection", self, other)

    def __or__(self, other: Shape) -> Shape:
        from sciml.geometry.combine import Combination

        return Combination("union", self, other)


def joined(distances: Sequence[Any]) -> Any:
    """0 where any of `distances` is: ``a b / (a + b)``, which keeps the slope 1 on both, one after another.

    It is the R-equivalence of order 1 (equation 7 of Sukumar and Srivastava), in a form that divides by zero nowhere.
    """
    return reduce(lambda a, b: a * b / (a + b + TINY), distances)


def both(a: Any, b: Any) -> Any:
    """Positive where both are (R-conjunction), with slope 1 on either."""
    return a + b - np.hypot(a, b)


def segment_points(start: Array, end: Array, normal: Array, count: int) -> BoundaryPoints:
    """The middles of `count` equal pieces of a segment."""
    s = (np.arange(count) + 0.5) / count
    points = start + s[:, None] * (end - start)
    return BoundaryPoints(points, np.tile(normal, (count, 1)), np.full(count, np.linalg.norm(end - start) / count))
