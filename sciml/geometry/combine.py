"""Differences, intersections and unions of domains."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Literal

import numpy as np

from sciml.geometry.shape import Array, BoundaryPoints, Function, GeometryError, Piece, Shape, both

Operation = Literal["difference", "intersection", "union"]
#: Points along each axis of a piece by which it is told whether another domain cuts it, in the plane and in space.
_PROBES = {1: 1, 2: 512, 3: 48}


@dataclass(frozen=True)
class Combination(Shape):
    """What two domains have in common, or together, or what the first has without the second; parts keep their names.

    Parameters
    ----------
    operation : "difference", "intersection" or "union".
    one, other : in the same number of dimensions.
    """

    operation: Operation
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
        self.pieces  # noqa: B018 (refuses what makes no sense now and not at the first use)

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
        subtracted = self.operation == "difference"
        one, other = self.one.pieces, self.other.pieces
        first = [_cut(piece, self.other, self.operation) for piece in one]
        second = [_cut(piece, self.one, "intersection" if subtracted else self.operation) for piece in other]
        if subtracted:
            second = [after and _turned(after, before) for before, after in zip(other, second, strict=True)]
        before_and_after = zip((*one, *other), (*first, *second), strict=True)
        if self.operation == "union" and all(after is not None and after.extent is before.extent for before, after in before_and_after):
            raise GeometryError("the domains of the union do not meet: solve on each of them alone")
        found = [piece for piece in (*first, *second) if piece is not None]
        if not found:
            raise GeometryError(f"nothing is left of the {self.operation}: check what is cut with what")
        return tuple(found)


def _cut(piece: Piece, by: Shape, operation: Operation) -> Piece | None:
    """What is left of a piece of a domain that is combined with another; None where nothing is."""
    away = by.signed_distance(piece.sample(_PROBES[by.dimension]).points)
    union = operation == "union"
    if operation != "intersection":
        away = -away
    rounding = 1e-12 * max(np.subtract(by.bounds[1], by.bounds[0]))
    if (away <= rounding).all():
        return None
    if union and (np.abs(away) <= rounding).sum() > 1:
        raise GeometryError(f"part {piece.part!r} runs along the boundary of the other domain of the union: let them overlap")
    # what a difference or an intersection cuts off lies outside of the domain; in a union the rest of the curve runs through it
    extent = piece.extent
    if (away <= rounding).any():
        region = _region(by, 1.0 if operation == "intersection" else -1.0)
        extent = region if piece.extent is None else _conjunction(piece.extent, region)
    return replace(piece, extent=extent, trim=extent if union else piece.trim)


def _region(shape: Shape, sign: float) -> Function:
    """A smooth function that is positive inside a domain for sign 1, outside for -1."""
    pieces = shape.pieces
    if any(piece.trim is not None for piece in pieces):
        names = ", ".join(shape.parts)
        raise GeometryError(
            f"cutting along parts {names}, of a domain that is not convex, is not possible: cut with convex domains instead"
        )
    return lambda *x: sign * reduce(both, [piece.implicit(*x) for piece in pieces])


def _conjunction(one: Function, other: Function) -> Function:
    return lambda *x: both(one(*x), other(*x))


def _turned(piece: Piece, uncut: Piece) -> Piece:
    """A piece of a hole's boundary: the same curve seen from its other side; unless it was closed, it runs on through the domain."""
    implicit, measure = piece.implicit, piece.measure

    def turned(count: int) -> BoundaryPoints:
        some = measure(count)
        return BoundaryPoints(some.points, -some.normals, some.weights)

    hole = piece.size / 2 if uncut.extent is None else None
    return replace(piece, implicit=lambda *x: -1.0 * implicit(*x), measure=turned, trim=uncut.extent, hole=hole)
