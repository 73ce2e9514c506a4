"""Intervals, rectangles and boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from sciml.geometry.shape import Array, BoundaryPoints, GeometryError, Piece, Shape, both

AXES = ("x", "y", "z")


@dataclass(frozen=True)
class Box(Shape):
    """An interval, rectangle or box; its parts are called ``x_low``, ``x_high``, ``y_low`` ...

    Parameters
    ----------
    low, high : opposite corners, one number an axis.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.low) != len(self.high) or len(self.low) not in (1, 2, 3):
            raise GeometryError(f"Box: low = {self.low} and high = {self.high} must have 1, 2 or 3 numbers each")
        if not all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in zip(self.low, self.high, strict=True)):
            raise GeometryError(f"Box: low = {self.low}, high = {self.high} has no interior: every low end must be below its high end")

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.low, self.high

    @property
    def lengths(self) -> tuple[float, ...]:
        return tuple(b - a for a, b in zip(self.low, self.high, strict=True))

    def signed_distance(self, points: Array) -> Array:
        low, high = np.array(self.low), np.array(self.high)
        outside = np.maximum(low - points, points - high)
        away = np.linalg.norm(np.maximum(outside, 0), axis=1)
        return np.where(away > 0, -away, -outside.max(axis=1))

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(self._side(axis, high) for axis in range(self.dimension) for high in (False, True))

    def _side(self, axis: int, high: bool) -> Piece:
        low_end, high_end = self.low[axis], self.high[axis]

        def implicit(*x: Any) -> Any:
            return high_end - x[axis] if high else x[axis] - low_end

        others = [k for k in range(self.dimension) if k != axis]

        def extent(*x: Any) -> Any:
            return reduce(both, [(x[k] - self.low[k]) * (self.high[k] - x[k]) / self.lengths[k] for k in others])

        size = min((self.lengths[k] for k in others), default=1.0)
        name = f"{AXES[axis]}_{'high' if high else 'low'}"
        return Piece(name, implicit, extent if others else None, None, size, partial(self._side_points, axis, high))

    def _side_points(self, axis: int, high: bool, count: int) -> BoundaryPoints:
        others = [k for k in range(self.dimension) if k != axis]
        middles = [self.low[k] + (np.arange(count) + 0.5) * self.lengths[k] / count for k in others]
        along = np.meshgrid(*middles, indexing="ij")
        n = along[0].size if along else 1
        points, normals = np.empty((n, self.dimension)), np.zeros((n, self.dimension))
        points[:, axis] = self.high[axis] if high else self.low[axis]
        for k, values in zip(others, along, strict=True):
            points[:, k] = values.ravel()
        normals[:, axis] = 1.0 if high else -1.0
        return BoundaryPoints(points, normals, np.full(n, math.prod(self.lengths[k] for k in others) / n))
