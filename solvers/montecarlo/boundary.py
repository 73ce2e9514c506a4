"""Closed polygons and closed surfaces of triangles, with tags on their parts: distance, closest point, inside or outside."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from solvers.arguments import numbers
from solvers.linear.compiled import kernel
from solvers.montecarlo.tree import DEPTH, Tree, build, closest

Array = NDArray[np.float64]
_FLAT = 1e-9  # sine of an angle between neighbours up to which they count as one plane
_BESIDE = 1e-6  # of an element's size: how far its two sides are looked at when orientations are judged


class Boundary:
    """The boundary of a bounded domain of the plane or of space.

    Parameters
    ----------
    vertices : (vertices, 2) or (vertices, 3), in any unit of length.
    elements : (elements, 2) or (elements, 3), whole numbers: the vertices of each segment, or triangle. The domain is to the left of
        a segment, and behind a triangle whose corners are seen counter-clockwise: an outer curve of the plane runs counter-clockwise,
        that of a hole clockwise.
    tags : (elements,), whole numbers that name the parts for boundary conditions; None means 0 everywhere.

    Raises
    ------
    TypeError : for what is not made of numbers.
    ValueError : for shapes that do not fit, coordinates that are not finite, elements without extent, a boundary that is not closed, and
        parts of it that have the domain on the wrong side.
    """

    def __init__(self, vertices: Any, elements: Any, tags: Any = None) -> None:
        self.vertices = np.array(numbers("vertices", vertices), float)
        if self.vertices.ndim != 2 or self.vertices.shape[1] not in (2, 3):
            raise ValueError(f"vertices has shape {self.vertices.shape}: give (vertices, 2) for the plane or (vertices, 3) for space")
        self.dimension = self.vertices.shape[1]
        if not np.isfinite(self.vertices).all():
            bad = int(np.flatnonzero(~np.isfinite(self.vertices).all(axis=1))[0])
            raise ValueError(f"vertices[{bad}] = {self.vertices[bad].tolist()} is not finite: give finite coordinates")
        self.elements = np.array(numbers("elements", elements, "give whole numbers", kinds="iu"), np.int64)
        if self.elements.ndim != 2 or self.elements.shape[1] != self.dimension or not len(self.elements):
            kind = "segments, shape (elements, 2)" if self.dimension == 2 else "triangles, shape (elements, 3)"
            raise ValueError(f"elements has shape {self.elements.shape}: give {kind}, at least one")
        if self.elements.min() < 0 or self.elements.max() >= len(self.vertices):
            raise ValueError(f"elements names vertices up to {self.elements.max()} of {len(self.vertices)}: number them from 0")
        given = np.zeros(len(self.elements), np.int64) if tags is None else numbers("tags", tags, "give whole numbers", kinds="iu")
        if given.shape != (len(self.elements),):
            raise ValueError(f"tags has shape {given.shape} for {len(self.elements)} elements: give one whole number an element")
        self.tags = np.array(given, np.int64)
        self._corners = np.zeros((len(self.elements), self.dimension, 3))
        self._corners[..., : self.dimension] = self.vertices[self.elements]
        self._normals, self._sizes = self._make_normals()
        self._neighbours = self._pairs()
        self.tree = self.part(np.ones(len(self.elements), bool))
        self._refuse_wrong_sides()

    def part(self, chosen: NDArray[np.bool_]) -> Tree:
        """The hierarchy of the chosen elements."""
        return build(self._corners[chosen], np.flatnonzero(chosen))

    def silhouettes(self, chosen: NDArray[np.bool_]) -> Tree:
        """The hierarchy of reentrant vertices, or edges, between chosen elements: what may hide one of them behind another."""
        found, normals = [], []
        for first, second, shared in self._neighbours:
            other = self.vertices[np.setdiff1d(self.elements[second], shared)[0]] - self.vertices[shared[0]]
            across = self._normals[first, : self.dimension] @ other
            if chosen[first] and chosen[second] and across > _FLAT * np.linalg.norm(other):
                found.append([shared[0], shared[-1]])
                normals.append(np.concatenate([self._normals[first], self._normals[second]]))
        corners = np.zeros((len(found), 2, 3))
        corners[..., : self.dimension] = self.vertices[np.array(found, np.int64).reshape(-1, 2)]
        return build(corners, np.arange(len(found)), np.array(normals).reshape(-1, 6))

    def closest(self, points: Any) -> tuple[Array, NDArray[np.int64]]:
        """The closest points of the boundary (points, dimension), and the elements that they lie on (points,)."""
        x = self.coordinates("points", points)
        found, names = np.empty((len(x), 3)), np.empty(len(x), np.int64)
        _closest_of_each(self.tree, x, found, names, np.empty(DEPTH, np.int64), np.empty(DEPTH))
        return found[:, : self.dimension], names

    def distance(self, points: Any) -> Array:
        """Distances of points (points, dimension) from the boundary, positive inside and outside."""
        x = self.coordinates("points", points)
        return np.asarray(np.linalg.norm(x[:, : self.dimension] - self.closest(points)[0], axis=1))

    def contains(self, points: Any) -> NDArray[np.bool_]:
        """Whether points (points, dimension) are inside the domain, by the winding number; on the boundary rounding decides."""
        return np.asarray(np.rint(self._winding(self.coordinates("points", points))) == 1)

    def coordinates(self, name: str, points: Any) -> Array:
        """Points (points, dimension) with three coordinates each; TypeError and ValueError for what is no finite points."""
        given = numbers(name, points)
        if given.ndim != 2 or given.shape[1] != self.dimension:
            raise ValueError(f"{name} has shape {given.shape}: give one point of {self.dimension} coordinates a row")
        if not np.isfinite(given).all():
            bad = int(np.flatnonzero(~np.isfinite(given).all(axis=1))[0])
            raise ValueError(f"{name}[{bad}] = {given[bad].tolist()} is not finite: give finite coordinates")
        x = np.zeros((len(given), 3))
        x[:, : self.dimension] = given
        return x

    def _winding(self, x: Array) -> Array:
        winding = np.empty(len(x))
        (_winding_2d if self.dimension == 2 else _winding_3d)(self._corners, x, winding)
        return winding

    def _make_normals(self) -> tuple[Array, Array]:
        """Unit normals (elements, 3) out of the domain, and diameters of the elements."""
        edges = np.diff(self._corners, axis=1)
        along = edges[:, 0]
        normals = np.cross(along, [0.0, 0.0, 1.0] if self.dimension == 2 else edges[:, 1])
        lengths = np.linalg.norm(np.concatenate([edges, edges.sum(axis=1)[:, None]], axis=1), axis=2).max(axis=1)
        norms = np.linalg.norm(normals, axis=1)
        thin = norms <= 1e-14 * lengths ** (self.dimension - 1)
        if thin.any():
            bad = int(np.flatnonzero(thin)[0])
            raise ValueError(f"elements[{bad}] = {self.elements[bad].tolist()} has no extent: leave it out, or merge its vertices")
        return normals / norms[:, None], lengths

    def _pairs(self) -> list[tuple[int, int, list[int]]]:
        """Neighbours and the vertices that they share; ValueError for a boundary that is not closed."""
        leaving: dict[tuple[int, ...], list[int]] = defaultdict(list)
        entering: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, element in enumerate(self.elements.tolist()):
            if self.dimension == 2:
                leaving[(element[0],)].append(number)
                entering[(element[1],)].append(number)
            else:
                for a, b in zip(element, element[1:] + element[:1], strict=True):
                    leaving[(a, b)].append(number)
                    entering[(b, a)].append(number)
        for shared in leaving.keys() | entering.keys():
            if len(leaving[shared]) != len(entering[shared]):
                what = f"vertex {shared[0]}" if self.dimension == 2 else f"the edge of vertices {shared[0]} and {shared[1]}"
                raise ValueError(
                    f"elements is not closed at {what}: every part has to be closed and turned one way; merge vertices that coincide"
                )
        # an edge stands in both lists in both directions
        once = sorted(shared for shared in leaving if shared[0] <= shared[-1])
        return [(i, j, list(shared)) for shared in once for i in entering[shared] for j in leaving[shared]]

    def _refuse_wrong_sides(self) -> None:
        """Neighbours agree on their sides, so that one element of every connected part tells for all of it."""
        links = np.array([(i, j) for i, j, _ in self._neighbours])
        count = len(self.elements)
        _, part = connected_components(coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count)), directed=False)
        one = np.unique(part, return_index=True)[1]
        shift = _BESIDE * self._sizes[one, None] * self._normals[one]
        centres = self._corners[one].mean(axis=1)
        inner, outer = (np.rint(self._winding(centres + side * shift)) for side in (-1, 1))
        wrong = one[(inner != 1) | (outer != 0)]
        if len(wrong):
            order = "from a to b has the domain on its left" if self.dimension == 2 else "is seen counter-clockwise from outside the domain"
            raise ValueError(f"elements[{wrong[0]}] and its part do not bound the domain on the side that they should: an element {order}")


@kernel()
def _closest_of_each(tree, x, found, names, stack, far):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        _, place, found[i, 0], found[i, 1], found[i, 2] = closest(tree, x[i, 0], x[i, 1], x[i, 2], np.inf, stack, far)
        names[i] = tree.name[place]


@kernel()
def _winding_2d(corners, x, winding):  # type: ignore[no-untyped-def]
    """Sums of the angles under which segments are seen, over 2 pi."""
    for i in range(x.shape[0]):
        total = 0.0
        for j in range(corners.shape[0]):
            a0, a1 = corners[j, 0, 0] - x[i, 0], corners[j, 0, 1] - x[i, 1]
            b0, b1 = corners[j, 1, 0] - x[i, 0], corners[j, 1, 1] - x[i, 1]
            total += math.atan2(a0 * b1 - a1 * b0, a0 * b0 + a1 * b1)
        winding[i] = total / (2 * math.pi)


@kernel()
def _winding_3d(corners, x, winding):  # type: ignore[no-untyped-def]
    """Sums of solid angles over 4 pi; Van Oosterom and Strackee, "The solid angle of a plane triangle", IEEE Trans. BME-30 (1983)."""
    for i in range(x.shape[0]):
        total = 0.0
        for j in range(corners.shape[0]):
            a0, a1, a2 = corners[j, 0, 0] - x[i, 0], corners[j, 0, 1] - x[i, 1], corners[j, 0, 2] - x[i, 2]
            b0, b1, b2 = corners[j, 1, 0] - x[i, 0], corners[j, 1, 1] - x[i, 1], corners[j, 1, 2] - x[i, 2]
            c0, c1, c2 = corners[j, 2, 0] - x[i, 0], corners[j, 2, 1] - x[i, 1], corners[j, 2, 2] - x[i, 2]
            a = math.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
            b = math.sqrt(b0 * b0 + b1 * b1 + b2 * b2)
            c = math.sqrt(c0 * c0 + c1 * c1 + c2 * c2)
            volume = a0 * (b1 * c2 - b2 * c1) + a1 * (b2 * c0 - b0 * c2) + a2 * (b0 * c1 - b1 * c0)
            ab, bc, ca = a0 * b0 + a1 * b1 + a2 * b2, b0 * c0 + b1 * c1 + b2 * c2, c0 * a0 + c1 * a1 + c2 * a2
            total += 2 * math.atan2(volume, a * b * c + ab * c + bc * a + ca * b)
        winding[i] = total / (4 * math.pi)
