"""Disks and polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from sciml.geometry.shape import Array, BoundaryPoints, Function, GeometryError, Piece, Shape, segment_points

#: Corners closer than this part of the largest extent are the same corner.
_SAME = 1e-12
#: Edges whose directions differ by less than this angle, and that are no farther than this from one line, lie on one line.
_ALIGNED = 1e-9


@dataclass(frozen=True)
class Disk(Shape):
    """All points closer than `radius` to `centre`, in the plane.

    Parameters
    ----------
    part : the name of its boundary.
    """

    centre: tuple[float, float]
    radius: float
    part: str = "circle"

    def __post_init__(self) -> None:
        if len(self.centre) != 2 or not all(map(math.isfinite, self.centre)):
            raise GeometryError(f"Disk: centre = {self.centre} must be two finite numbers")
        if not (self.radius > 0 and math.isfinite(self.radius)):
            raise GeometryError(f"Disk: radius = {self.radius} leaves no interior: give a positive number")

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        (x, y), r = self.centre, self.radius
        return (x - r, y - r), (x + r, y + r)

    def signed_distance(self, points: Array) -> Array:
        return self.radius - np.linalg.norm(points - np.array(self.centre), axis=1)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        (a, b), r = self.centre, self.radius

        def implicit(x: Any, y: Any) -> Any:
            dx, dy = x - a, y - b
            return (r**2 - (dx * dx + dy * dy)) / (2 * r)

        return (Piece(self.part, implicit, None, None, r, self._points),)

    def _points(self, count: int) -> BoundaryPoints:
        angles = 2 * np.pi * (np.arange(count) + 0.5) / count
        normals = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return BoundaryPoints(np.array(self.centre) + self.radius * normals, normals, np.full(count, 2 * np.pi * self.radius / count))


@dataclass(frozen=True)
class Polygon(Shape):
    """The inside of a closed polygon that does not cross itself.

    Parameters
    ----------
    corners : in either sense of rotation, the first not repeated.
    names : of the parts that the edges belong to, edge k leading from corner k to the next; ``edge_0``, ``edge_1`` ... where empty.
    """

    corners: tuple[tuple[float, float], ...]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        points = self._points
        if len(self.corners) < 3 or points.shape[1:] != (2,) or not np.isfinite(points).all():
            raise GeometryError(f"Polygon: corners = {self.corners} must be three or more pairs of finite numbers")
        if self.names and len(self.names) != len(self.corners):
            raise GeometryError(f"Polygon: {len(self.names)} names for {len(self.corners)} edges: give one an edge, or none")
        edges = np.roll(points, -1, axis=0) - points
        if np.linalg.norm(edges, axis=1).min() <= _SAME * np.ptp(points, axis=0).max():
            raise GeometryError("Polygon: two neighbouring corners are the same point: drop one, the first is not repeated at the end")
        if crossing := _crossing(points):
            raise GeometryError(f"Polygon: edges {crossing[0]} and {crossing[1]}, counted from 0, cross: list the corners in order")
        if abs(self._area) <= _SAME * np.ptp(points, axis=0).max() ** 2:
            raise GeometryError("Polygon: its corners lie on one line, it has no interior")

    @cached_property
    def _points(self) -> Array:
        return np.array(self.corners, np.float64).reshape(len(self.corners), -1)

    @property
    def _area(self) -> float:
        x, y = self._points.T
        return float(0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return tuple(self._points.min(axis=0).tolist()), tuple(self._points.max(axis=0).tolist())

    def signed_distance(self, points: Array) -> Array:
        return polygon_distance(points, self._points, np.roll(self._points, -1, axis=0))

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        starts, ends = self._points, np.roll(self._points, -1, axis=0)
        if self._area < 0:
            starts, ends = ends, starts
        return segment_pieces(self.names or tuple(f"edge_{k}" for k in range(len(starts))), starts, ends)


def segment_pieces(parts: Sequence[str], starts: Array, ends: Array) -> tuple[Piece, ...]:
    """The edges of a polygon that lies on their left, which may have holes."""
    found = []
    for part, start, end in zip(parts, starts, ends, strict=True):
        line, length, centre = line_through(start, end), float(np.linalg.norm(end - start)), (start + end) / 2
        along = (end - start) / length

        def disk(x: Any, y: Any, length: float = length, centre: Array = centre) -> Any:
            dx, dy = x - centre[0], y - centre[1]
            return ((length / 2) ** 2 - (dx * dx + dy * dy)) / length

        on_from_start, on_from_end = _runs_on(start, -along, starts, ends), _runs_on(end, along, starts, ends)
        trim = disk if on_from_start and on_from_end else None
        if on_from_start != on_from_end:  # a half-plane, which leaves the distance smooth at the other end
            trim = line_through(start, start - _left(along)) if on_from_start else line_through(end, end + _left(along))
        measure = partial(segment_points, start, end, -_left(along))
        found.append(Piece(part, line, disk, trim, length, measure))
    return tuple(found)


def line_through(start: Array, end: Array) -> Function:
    """Signed distance from a line, positive on its left."""
    nx, ny = _left(end - start) / np.linalg.norm(end - start)
    x0, y0 = start

    def line(x: Any, y: Any) -> Any:
        return nx * (x - x0) + ny * (y - y0)  # in this form 0 up to rounding, wherever the origin is

    return line


def _left(direction: Array) -> Array:
    return np.array([-direction[1], direction[0]])


def _runs_on(origin: Array, direction: Array, starts: Array, ends: Array) -> bool:
    """Whether a ray from the end of an edge, away from it, meets the boundary once more."""
    edges, away = ends - starts, starts - origin
    size = np.ptp(np.concatenate([starts, ends]), axis=0).max()

    def cross(a: Array, b: Array) -> Array:
        return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])

    sine = cross(direction, edges) / np.linalg.norm(edges, axis=1)
    parallel = np.abs(sine) < _ALIGNED
    divisor = np.where(parallel, 1.0, cross(direction, edges))
    on_ray, on_edge = cross(away, edges) / divisor, cross(away, direction) / divisor
    meets = ~parallel & (on_ray > _ALIGNED * size) & (on_edge > -_ALIGNED) & (on_edge < 1 + _ALIGNED)
    beyond = np.maximum(away @ direction, (ends - origin) @ direction) > _ALIGNED * size
    same_line = parallel & (np.abs(cross(away, direction)) < _ALIGNED * size)
    return bool((meets | (same_line & beyond)).any())


def polygon_distance(points: Array, starts: Array, ends: Array) -> Array:
    """Signed distance from closed polygons given by their edges, positive where a ray crosses an odd number of them."""
    nearest, inside = np.full(len(points), np.inf), np.zeros(len(points), bool)
    x, y = points.T
    for a, b in zip(starts, ends, strict=True):
        edge = b - a
        s = np.clip(((points - a) @ edge) / (edge @ edge), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - a - s[:, None] * edge, axis=1))
        spans = (a[1] > y) != (b[1] > y)
        if spans.any():
            inside ^= spans & (x < a[0] + (y - a[1]) * edge[0] / (edge[1] if edge[1] else 1.0))
    return np.where(inside, nearest, -nearest)


def _crossing(points: Array) -> tuple[int, int] | None:
    """Two edges that meet elsewhere than at the corner that neighbours share."""
    n = len(points)
    ends = np.roll(points, -1, axis=0)

    def side(a: Array, b: Array, c: Array) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    for i in range(n):
        a, b = points[i], ends[i]
        turn, onwards = side(a, b, ends[(i + 1) % n]), (b - a) @ (ends[(i + 1) % n] - b)
        if turn == 0 and onwards < 0:
            return i, (i + 1) % n  # folded back
        for j in range(i + 2, n if i else n - 1):
            c, d = points[j], ends[j]
            boxes_meet = (np.maximum(np.minimum(a, b), np.minimum(c, d)) <= np.minimum(np.maximum(a, b), np.maximum(c, d))).all()
            if boxes_meet and side(a, b, c) * side(a, b, d) <= 0 and side(c, d, a) * side(c, d, b) <= 0:
                return i, j
    return None
