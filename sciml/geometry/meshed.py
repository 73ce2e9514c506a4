"""The domain that a mesh of triangles covers, with the boundary parts of the mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sciml.geometry.shape import Array, GeometryError, Piece, Shape
from sciml.geometry.shapes import polygon_distance, segment_pieces
from sciml.mesh.mesh import Mesh

#: Neighbouring edges are one straight piece where they part by less than this, relative to the largest coordinate: the rounding of nodes.
_STRAIGHT = 1e-14


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
    def _edges(self) -> NDArray[np.int64]:
        """Nodes of the boundary edges, in the order of the mesh's facets, the domain on their left."""
        cells = self.mesh.cells  # counterclockwise
        around = {tuple(edge) for k in range(3) for edge in cells[:, [k, (k + 1) % 3]].tolist()}
        return np.array([(a, b) if (a, b) in around else (b, a) for a, b in self.mesh.facets.tolist()])

    def signed_distance(self, points: Array) -> Array:
        return polygon_distance(points, *self.mesh.points[self._edges.T])

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """Neighbouring edges of one part on one line are one piece, so that a straight side has the distance of a line."""
        mesh, edges = self.mesh, self._edges
        after = _following(edges)
        along = mesh.points[edges[:, 1]] - mesh.points[edges[:, 0]]
        ahead = along[after] / np.linalg.norm(along[after], axis=1, keepdims=True)
        apart = np.abs(along[:, 0] * ahead[:, 1] - along[:, 1] * ahead[:, 0])
        goes_on = (after >= 0) & ((along * ahead).sum(axis=1) > 0) & (apart < _STRAIGHT * np.abs(mesh.points).max())
        goes_on &= mesh.facet_parts == mesh.facet_parts[after]
        firsts = np.setdiff1d(np.arange(len(edges)), after[goes_on])
        lasts = firsts.copy()
        while (on := goes_on[lasts]).any():
            lasts[on] = after[lasts[on]]
        parts = [mesh.part_names[k] for k in mesh.facet_parts[firsts]]
        return segment_pieces(parts, mesh.points[edges[firsts, 0]], mesh.points[edges[lasts, 1]])


def _following(edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of every edge the position of the one that starts where it ends; -1 where several do."""
    starting: dict[int, list[int]] = {}
    for k, (start, _) in enumerate(edges.tolist()):
        starting.setdefault(start, []).append(k)
    return np.array([found[0] if len(found := starting[end]) == 1 else -1 for _, end in edges.tolist()])
