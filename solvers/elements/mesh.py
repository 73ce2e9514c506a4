"""A mesh of triangles with named boundary parts, some of which may follow a curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.elements.triangle import SIDES

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
#: Nearest points on a curve of points beside it, both of shape (n, 2).
Curve = Callable[[Array], Array]
_OFF_CURVE = 0.1  # of its edge: farther off, a node belongs to another curve


@dataclass(frozen=True)
class Circle:
    """The curve of all points at distance `radius` from `centre`."""

    centre: tuple[float, float]
    radius: float

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ValueError(f"Circle: radius is {self.radius}; it must be positive")

    def __call__(self, points: Array) -> Array:
        arm = points - np.array(self.centre)
        with np.errstate(invalid="ignore"):  # nothing is nearest to the centre: NaN, which is refused where the curve is used
            return np.asarray(self.centre + self.radius * arm / np.linalg.norm(arm, axis=-1, keepdims=True))


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """Points, triangles and boundary parts; made by `TriangleMesh.build`, which checks them.

    Attributes
    ----------
    points : corners of the triangles, shape (n, 2); those of a curved part lie on its curve.
    triangles : corners of each triangle, counterclockwise, shape (m, 3).
    edges : all edges, corners ascending, shape (e, 2).
    sides : the edge that each side of a triangle is, in the order of `triangle.SIDES`, shape (m, 3).
    parts : name -> edges of that part of the boundary, numbers of rows of `edges`. Every boundary edge is in exactly one part.
    curves : name -> the curve that a part follows; the others are straight between their nodes.
    """

    points: Array
    triangles: Integers
    edges: Integers
    sides: Integers
    parts: Mapping[str, Integers]
    curves: Mapping[str, Curve] = field(default_factory=dict)

    @classmethod
    def build(
        cls, points: ArrayLike, triangles: ArrayLike, parts: Mapping[str, ArrayLike], curves: Mapping[str, Curve] | None = None
    ) -> TriangleMesh:
        """Check and number a mesh.

        Parameters
        ----------
        parts : name -> node pairs of the boundary edges in that part, shape (k, 2), in any order.
        curves : name of a part -> its curve. The nodes there, which should be near the curve already, are moved onto it.

        Raises
        ------
        ValueError
            Coordinates that are not finite, node numbers that do not exist, triangles that are inverted or flat, boundary edges in no
            part or in two, edges of a part that are not on the boundary, a curve for a part that is not there or that is not near it.
        """
        points, triangles = np.array(points, np.float64), np.array(triangles, np.int64)
        curves = dict(curves or {})
        _check_arrays(points, triangles)
        edges, sides = _edges(triangles)
        numbers = {name: _numbers(edges, np.array(rows, np.int64).reshape(-1, 2), name) for name, rows in parts.items()}
        _check_parts(numbers, np.bincount(sides.ravel(), minlength=len(edges)))
        for name, curve in curves.items():
            if name not in numbers:
                raise ValueError(f"curves: there is no part {name!r}; the mesh has {', '.join(sorted(numbers))}")
            _move_onto(points, edges[numbers[name]], curve, name)
        a, b, c = (points[triangles[:, k]] for k in range(3))
        area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
        refuse_inverted(area)
        return cls(points, triangles, edges, sides, numbers, curves)

    def __repr__(self) -> str:
        return f"TriangleMesh({len(self.points)} points, {len(self.triangles)} triangles, parts {', '.join(sorted(self.parts))})"

    def part(self, name: str) -> Integers:
        """Edges of a part; `ValueError` that lists the names there are."""
        if name not in self.parts:
            raise ValueError(f"the mesh has no boundary part {name!r}; its parts are {', '.join(sorted(self.parts))}")
        return self.parts[name]

    def cells_at(self, edges: Integers) -> tuple[Integers, Integers]:
        """The triangle beside each of these boundary edges, and which of its sides the edge is."""
        found = np.full((len(self.edges), 2), -1)
        found[self.sides.ravel()] = np.stack(np.divmod(np.arange(self.sides.size), 3), axis=1)
        return found[edges, 0], found[edges, 1]


def refuse_inverted(determinants: Array) -> None:
    """`ValueError` where any determinant, shape (m,), is not positive."""
    bad = np.flatnonzero(~(determinants > 0))
    if len(bad):
        raise ValueError(
            f"triangles: {len(bad)} of {len(determinants)} cells are inverted or flat (the first is number {bad[0]}): "
            "list their nodes counterclockwise, and refine where a curve cuts deeper into a cell than it is high"
        )


def _check_arrays(points: Array, triangles: Integers) -> None:
    if points.ndim != 2 or points.shape[1] != 2 or triangles.ndim != 2 or triangles.shape[1] != 3 or not len(triangles):
        raise ValueError(f"points and triangles have shapes {points.shape} and {triangles.shape}; they must be (n, 2) and (m, 3)")
    if not np.isfinite(points).all():
        raise ValueError(f"points: number {int(np.argmin(np.isfinite(points).all(axis=1)))} is not finite: correct its coordinates")
    if triangles.min() < 0 or triangles.max() >= len(points):
        raise ValueError(f"triangles: node numbers go from {triangles.min()} to {triangles.max()}, but there are {len(points)} points")
    if len(np.unique(triangles)) < len(points):
        raise ValueError(f"points: {len(points) - len(np.unique(triangles))} of them belong to no triangle: drop them")


def _edges(triangles: Integers) -> tuple[Integers, Integers]:
    pairs = np.sort(np.stack([triangles[:, list(side)] for side in SIDES], axis=1), axis=2).reshape(-1, 2)
    edges, number = np.unique(pairs, axis=0, return_inverse=True)
    return edges, number.reshape(-1, 3)


def _numbers(edges: Integers, rows: Integers, name: str) -> Integers:
    """Position of each row among the edges, which are sorted."""
    n = int(max(edges.max(), rows.max(initial=0))) + 1
    keys, wanted = edges[:, 0] * n + edges[:, 1], np.sort(rows, axis=1) @ np.array([n, 1])
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    if not len(rows) or (keys[found] != wanted).any():
        raise ValueError(f"parts: {name!r} has no edges, or some that are not sides of a triangle: give its edges as pairs of nodes")
    return found


def _check_parts(parts: Mapping[str, Integers], cells_at: Integers) -> None:
    """Every edge of one triangle in exactly one part, and no other edge in any."""
    if (cells_at > 2).any():
        raise ValueError(f"triangles: {int((cells_at > 2).sum())} edges belong to more than two triangles: mesh the domain again")
    owners = np.zeros(len(cells_at), np.int64)
    for name, numbers in parts.items():
        if (cells_at[numbers] != 1).any():
            raise ValueError(f"parts: {name!r} has edges inside the domain: name edges of the boundary only")
        owners[numbers] += 1
    if (owners[cells_at == 1] != 1).any():
        without, twice = int((owners[cells_at == 1] == 0).sum()), int((owners > 1).sum())
        raise ValueError(f"parts: {without} boundary edges are in no part and {twice} in more than one: put each into one")


def _move_onto(points: Array, edges: Integers, curve: Curve, name: str) -> None:
    nodes = np.unique(edges)
    target = np.asarray(curve(points[nodes]))
    longest = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1).max()
    distance = np.linalg.norm(target - points[nodes], axis=1).max()
    if not distance <= _OFF_CURVE * longest:
        raise ValueError(f"curves: nodes of {name!r} are {distance:.3g} off its curve, with edges of {longest:.3g}: check the curve")
    points[nodes] = target
