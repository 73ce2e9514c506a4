"""Differences, intersections and unions of domains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from sciml.geometry.shape import Array, BoundaryPoints, Function, GeometryError, Piece, Shape

_PROBES = 512


@dataclass(frozen=True)
class Combination(Shape):
    """What two domains have in common, or together, or what the first has without the second; parts keep their names.

    Parameters
    ----------
    operation : "difference", "intersection" or "union".
    one, other : in the same number of dimensions.
    """

    operation: Literal["difference", "intersection", "union"]
    one: Shape
    other: Shape

    def __post_init__(self) -> None:
        if self.one.dimension != self.other.dimension:
            raise GeometryError(f"domains in {self.one.dimension} and {self.other.dimension} dimensions do not go together")
        shared = set(self.one.parts) & set(self.other.parts)
        if shared:
            raise GeometryError(
                f"both domains have a boundary part {sorted(shared)[0]!r}: give parts names of their own, as in Disk(part=...)"
            )

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        (a, b), (c, d) = self.one.bounds, self.other.bounds
        if self.operation == "difference":
            return a, b
        pick = (max, min) if self.operation == "intersection" else (min, max)
        low, high = tuple(map(pick[0], a, c)), tuple(map(pick[1], b, d))
        if any(x >= y for x, y in zip(low, high, strict=True)):
            raise GeometryError("the intersection has no interior: the boxes around both domains do not meet")
        return low, high

    def signed_distance(self, points: Array) -> Array:
        one, other = self.one.signed_distance(points), self.other.signed_distance(points)
        if self.operation == "union":
            return np.maximum(one, other)
        return np.minimum(one, other if self.operation == "intersection" else -other)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        keep_inside = self.operation == "intersection"
        first = [_cut(piece, self.other, keep_inside) for piece in self.one.pieces]
        second = [_cut(piece, self.one, self.operation != "union") for piece in self.other.pieces]
        if self.operation == "difference":
            second = [None if piece is None else _turned(piece) for piece in second]
        return tuple(piece for piece in (*first, *second) if piece is not None)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(piece.part for piece in self.pieces))


def _cut(piece: Piece, by: Shape, inside: bool) -> Piece | None:
    """The part of a piece that lies inside, or outside, another domain; None where nothing is left."""
    some = piece.measure(_PROBES).points
    if piece.trim is not None:
        some = some[np.asarray(piece.trim(*some.T)) > 0]
    away = by.signed_distance(some) * (1.0 if inside else -1.0)
    if (away <= 0).all():
        return None
    if (away > 0).all():
        return piece
    region = _region(by, 1.0 if inside else -1.0)
    old = piece.trim
    return replace(piece, trim=region if old is None else lambda *x: _both(old(*x), region(*x)))


def _region(shape: Shape, sign: float) -> Function:
    """A smooth function that is positive inside a domain for sign 1, outside for -1."""
    pieces = shape.pieces
    if any(piece.trim is not None for piece in pieces):
        names = ", ".join(shape.parts)
        raise GeometryError(
            f"cutting along parts {names}, of a domain that is not convex, is not possible: cut with convex domains instead"
        )

    def region(*x: Any) -> Any:
        values = [piece.implicit(*x) for piece in pieces]
        found = values[0]
        for value in values[1:]:
            found = _both(found, value)
        return sign * found

    return region


def _both(a: Any, b: Any) -> Any:
    """Positive where both are (R-conjunction), with slope 1 on either."""
    return a + b - (a * a + b * b) ** 0.5


def _turned(piece: Piece) -> Piece:
    """The same curve seen from its other side."""
    implicit, measure = piece.implicit, piece.measure
    around = measure(_PROBES).points
    radius = float(np.linalg.norm(around - around.mean(axis=0), axis=1).mean())

    def turned(count: int) -> BoundaryPoints:
        some = measure(count)
        return BoundaryPoints(some.points, -some.normals, some.weights)

    return replace(piece, implicit=lambda *x: -1.0 * implicit(*x), measure=turned, hole=radius / 2)
