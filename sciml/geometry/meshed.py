"""The domain that a mesh of triangles covers, with the boundary parts of the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sciml.geometry.shape import Array, GeometryError, Piece, Shape
from sciml.geometry.shapes import line_through, polygon_distance, segment_piece
from sciml.mesh.mesh import Mesh


@dataclass(frozen=True)
class Meshed(Shape):
    """The polygon that is the boundary of a mesh in the plane; its parts are those of the mesh."""

    mesh: Mesh

    def __post_init__(self) -> None:
        if self.mesh.dimension != 2:
            raise GeometryError(
                f"mesh {self.mesh.name!r} has {self.mesh.dimension} dimensions: smooth distances are built from edges in the plane; "
                "take a box"
            )

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        points = self.mesh.points
        return tuple(points.min(axis=0).tolist()), tuple(points.max(axis=0).tolist())

    @cached_property
    def _edges(self) -> tuple[Array, Array]:
        """Starts and ends of the boundary edges, the domain on their left."""
        mesh = self.mesh
        third = {}
        for cell in mesh.cells:
            for k in range(3):
                third[tuple(sorted((int(cell[k]), int(cell[(k + 1) % 3]))))] = int(cell[(k + 2) % 3])
        starts, ends = mesh.points[mesh.facets[:, 0]].copy(), mesh.points[mesh.facets[:, 1]].copy()
        inner = mesh.points[[third[int(a), int(b)] for a, b in mesh.facets]]
        edge, to_inner = ends - starts, inner - starts
        wrong = edge[:, 0] * to_inner[:, 1] - edge[:, 1] * to_inner[:, 0] < 0
        starts[wrong], ends[wrong] = ends[wrong], starts[wrong].copy()
        return starts, ends

    def signed_distance(self, points: Array) -> Array:
        return polygon_distance(points, *self._edges)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        names = [self.mesh.part_names[k] for k in self.mesh.facet_parts]
        return tuple(
            segment_piece(name, a, b, line_through(a, b, 1.0), trimmed=not self._clear(a, b))
            for name, a, b in zip(names, *self._edges, strict=True)
        )

    def _clear(self, a: Array, b: Array) -> bool:
        """Whether the line through an edge leaves the whole mesh on one side."""
        points = self.mesh.points
        return bool((np.asarray(line_through(a, b, 1.0)(*points.T)) >= -1e-12 * np.abs(points).max()).all())
