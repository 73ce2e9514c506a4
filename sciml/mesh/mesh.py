"""A conforming mesh of triangles or tetrahedra whose boundary is divided into named parts; checked when it is built."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sciml.errors import MeshError
from sciml.grid import AXES, Axis
from sciml.mesh.points import Points

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: The part that boundary facets without a tag belong to.
UNTAGGED = "boundary"
CELL_NAMES = {2: "triangle", 3: "tetrahedron"}
_PART_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")
#: A cell whose volume is below this share of its longest edge to the power d is flat up to rounding.
_FLAT = 1e-12


@dataclass(frozen=True, eq=False)
class Mesh:
    """Nodes, cells and boundary parts; make one with `Mesh.build` or `read_mesh`, which check it. Equal where the digest is.

    Parameters
    ----------
    points : node coordinates, shape (n, d) with d = 2 or 3.
    cells : nodes of each cell, shape (m, d + 1), positively oriented.
    facets : boundary edges (d = 2) or triangles (d = 3), shape (f, d); nodes ascend in a row, and the rows are sorted.
    facet_parts : for each facet the position of its part in `part_names`, shape (f,).
    part_names : names of the boundary parts.
    name : what messages call the mesh, such as its file's name; not part of what makes two meshes equal.
    """

    points: Floats
    cells: Integers
    facets: Integers
    facet_parts: Integers
    part_names: tuple[str, ...]
    name: str = "mesh"

    @classmethod
    def build(cls, points: ArrayLike, cells: ArrayLike, parts: Mapping[str, ArrayLike] | None = None, *, name: str = "mesh") -> Mesh:
        """Check nodes and cells, find the boundary, and divide it.

        Parameters
        ----------
        points, cells : as in the class. Cells that are all negatively oriented are turned around.
        parts : facets of each named part, node numbers of shape (k, d) in any order. Facets in no part form the part
            ``boundary``. A part without any facet on the boundary (an interface inside) is left out.

        Raises
        ------
        MeshError
            Coordinates that are not finite, node numbers that do not exist, duplicate, flat or inverted cells, nodes in no cell,
            facets shared by more than two cells, a facet in two parts, a part that is half inside, a name that is no identifier.
        """
        points, cells = np.array(points, np.float64), np.array(cells, np.int64)
        _check_nodes(points, cells, name)
        cells = _oriented(points, cells, name)
        facets = _boundary(cells, name)
        part_of, part_names = _divided(facets, parts or {}, name)
        for array in (points, cells, facets, part_of):
            array.setflags(write=False)
        return cls(points, cells, facets, part_of, part_names, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mesh) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return f"{len(self.points)} nodes"

    def __repr__(self) -> str:
        return f"<mesh {self.name!r}: {len(self.points)} nodes, {len(self.cells)} cells, parts {', '.join(self.part_names)}>"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of coordinates, cells and boundary parts; the format of the file and `name` do not enter."""
        digest = hashlib.sha256(f"{self.points.shape} {self.cells.shape} {self.part_names}".encode())
        for array, kind in ((self.points, "<f8"), (self.cells, "<i8"), (self.facets, "<i8"), (self.facet_parts, "<i8")):
            digest.update(np.ascontiguousarray(array, kind).data)
        return digest.hexdigest()

    @property
    def dimension(self) -> int:
        return int(self.points.shape[1])

    @property
    def axes(self) -> tuple[Axis, ...]:
        return AXES[: self.dimension]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a field on the nodes."""
        return (len(self.points),)

    @cached_property
    def origin(self) -> tuple[float, ...]:
        """Low corner of the bounding box."""
        return tuple(self.points.min(axis=0).tolist())

    @cached_property
    def extent(self) -> tuple[float, ...]:
        """Side lengths of the bounding box."""
        return tuple((self.points.max(axis=0) - self.points.min(axis=0)).tolist())

    def nodes(self, modes: int) -> Points:
        """The nodes as the place of a field with this many cosine modes an axis."""
        return Points(self.points - self.origin, self.extent, modes)

    def centroids(self, modes: int) -> Points:
        """The centroids of the cells, for a field that is constant on each of them."""
        return Points(self.points[self.cells].mean(axis=1) - self.origin, self.extent, modes)

    def part(self, name: str) -> Integers:
        """Facets of one part, shape (k, d)."""
        return self.facets[self.facet_parts == self.part_names.index(name)]


def volumes(points: Floats, cells: Integers) -> Floats:
    """Signed area or volume of each cell, shape (m,)."""
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    return np.asarray(np.linalg.det(edges) / math.factorial(points.shape[1]))


def _check_nodes(points: Floats, cells: Integers, name: str) -> None:
    if points.ndim != 2 or points.shape[1] not in CELL_NAMES or cells.ndim != 2 or cells.shape[1] != points.shape[1] + 1 or not len(cells):
        given = f"points of shape {points.shape} and cells of shape {cells.shape}"
        raise MeshError(f"mesh {name!r} has {given}: give (n, 2) and (m, 3) for triangles, or (n, 3) and (m, 4) for tetrahedra")
    _refuse(~np.isfinite(points).all(axis=1), "node", "with a coordinate that is NaN or infinite", "mesh the geometry again", name)
    absent = ((cells < 0) | (cells >= len(points))).any(axis=1)
    _refuse(absent, "cell", f"with a node that does not exist (there are {len(points)})", "the file is damaged, export it again", name)
    used = np.zeros(len(points), bool)
    used[cells] = True
    _refuse(~used, "node", "in no cell", "drop them, with meshio.Mesh.remove_orphaned_nodes() or when exporting", name)


def _oriented(points: Floats, cells: Integers, name: str) -> Integers:
    """The cells, all positively oriented."""
    ordered = np.sort(cells, axis=1)
    order = np.lexsort(ordered.T)
    twins = np.zeros(len(cells), bool)
    twins[order[1:]] = (ordered[order[1:]] == ordered[order[:-1]]).all(axis=1)
    _refuse(twins, "cell", "with the same nodes as another", "remove the copies", name)
    longest = np.ptp(points[cells], axis=1).max(axis=1)
    size = volumes(points, cells)
    flat = ~(np.abs(size) > _FLAT * longest ** points.shape[1])  # a NaN from overflow is flat too
    _refuse(flat, "cell", "without volume", "mesh the geometry again, or collapse them", name)
    turned = size < 0
    if turned.all():
        return np.ascontiguousarray(cells[:, [1, 0, *range(2, cells.shape[1])]])
    inverted = turned if 2 * turned.sum() <= len(cells) else ~turned
    _refuse(inverted, "cell", "inverted against the others", "untangle the mesh, or list the nodes of all cells in the same sense", name)
    return cells


def _boundary(cells: Integers, name: str) -> Integers:
    """Facets that belong to one cell only."""
    rows = np.sort(np.concatenate([np.delete(cells, k, axis=1) for k in range(cells.shape[1])]), axis=1)
    rows = rows[np.lexsort(rows.T[::-1])]
    first = np.flatnonzero(np.append(True, (rows[1:] != rows[:-1]).any(axis=1)))
    cells_at = np.diff(np.append(first, len(rows)))
    _refuse(cells_at > 2, "facet", "shared by more than two cells", "cells overlap: mesh the geometry again", name)
    return rows[first[cells_at == 1]]


def _divided(facets: Integers, parts: Mapping[str, ArrayLike], name: str) -> tuple[Integers, tuple[str, ...]]:
    """Part of each boundary facet, and the names of the parts, sorted: the division does not depend on how it was given."""
    owner = np.full(len(facets), -1)
    names: list[str] = []
    for part in sorted(parts):
        rows = np.sort(np.array(parts[part], np.int64).reshape(-1, facets.shape[1]), axis=1)
        position = _positions(facets, rows)
        if not (position >= 0).any():
            continue
        if not _PART_NAME.fullmatch(part):
            remedy = "rename it with letters, digits and underscores, a letter first"
            raise MeshError(f"mesh {name!r} has a boundary part {part[:64]!r}: {remedy}")
        _refuse(position < 0, "facet", f"of part {part!r} inside the domain", "tag facets of the boundary only", name)
        taken = owner[position] >= 0
        _refuse(taken, "facet", f"of part {part!r} that belong to another part too", "give every facet one tag", name)
        owner[position] = len(names)
        names.append(part)
    if (owner < 0).any():
        if UNTAGGED not in names:
            names.append(UNTAGGED)
        owner[owner < 0] = names.index(UNTAGGED)
    order = sorted(names)
    return np.array([order.index(part) for part in names])[owner], tuple(order)


def _positions(facets: Integers, rows: Integers) -> Integers:
    """Position of each of `rows` among `facets`; -1 where it is not one of them."""
    _, group = np.unique(np.concatenate([facets, rows]), axis=0, return_inverse=True)
    group = group.ravel()
    position = np.full(int(group.max()) + 1, -1)
    position[group[: len(facets)]] = np.arange(len(facets))
    return position[group[len(facets) :]]


def _refuse(bad: Any, thing: str, what: str, remedy: str, name: str) -> None:
    """Raise where any entry of the boolean array `bad` is set, with their number and the first."""
    count = int(np.sum(bad))
    if count:
        things = thing if count == 1 else f"{thing}s"
        raise MeshError(f"mesh {name!r} has {count} {things} {what} (the first is number {int(np.argmax(bad))}, counted from 0): {remedy}")
