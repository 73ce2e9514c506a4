"""Continuous Lagrange elements on triangles whose sides bend with the boundary.

The map of a cell is a polynomial of the degree of the elements (isoparametric). On a curved side its nodes lie on the curve; from there
the displacement ``d(s) = s (1 - s) g(s)`` of the side goes into the cell as ``lambda_a lambda_b g((1 + lambda_b - lambda_a) / 2)``. That
is a polynomial of the same degree, it vanishes on the other sides, and its derivatives of order m shrink like h^m, as optimal order
requires (Ciarlet and Raviart 1972; Lenoir 1986).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.elements.mesh import TriangleMesh, refuse_inverted
from solvers.elements.triangle import SIDES, basis, basis_gradients, lattice, line_quadrature, quadrature, size

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Numbering:
    """Nodes of the Lagrange elements of a degree: `cells`, shape (m, size(degree)), and `sides`, the nodes of each edge of the mesh from
    its lower to its higher corner, shape (e, degree + 1)."""

    degree: int
    n: int
    cells: Integers
    sides: Integers

    @classmethod
    def of(cls, mesh: TriangleMesh, degree: int) -> Numbering:
        n, e, m, inner = len(mesh.points), len(mesh.edges), len(mesh.triangles), degree - 1
        on_edges = n + np.arange(e * inner).reshape(e, inner)
        blocks = [mesh.triangles]
        for k, (a, b) in enumerate(SIDES):
            nodes = on_edges[mesh.sides[:, k]]
            backward = mesh.triangles[:, a] > mesh.triangles[:, b]
            blocks.append(np.where(backward[:, None], nodes[:, ::-1], nodes))
        bubbles = size(degree) - 3 * degree
        blocks.append(n + e * inner + np.arange(m * bubbles).reshape(m, bubbles))
        sides = np.concatenate([mesh.edges[:, :1], on_edges, mesh.edges[:, 1:]], axis=1)
        return cls(degree, n + e * inner + m * bubbles, np.concatenate(blocks, axis=1), sides)


@dataclass(frozen=True, eq=False)
class Geometry:
    """The maps of the cells of a mesh: polynomials of `degree` through `nodes`, shape (m, size(degree), 2)."""

    mesh: TriangleMesh
    degree: int
    nodes: Array

    @classmethod
    def of(cls, mesh: TriangleMesh, degree: int) -> Geometry:
        """Bend the cells beside curved parts; `ValueError` where a cell turns inside out."""
        nodes = np.einsum("kc,mcd->mkd", lattice(degree), mesh.points[mesh.triangles])
        for name, curve in mesh.curves.items():
            cells, sides = mesh.cells_at(mesh.parts[name])
            for k, (a, b) in enumerate(SIDES):
                rows = cells[sides == k]
                if degree > 1 and len(rows):
                    on_side = nodes[rows, 3 + k * (degree - 1) : 3 + (k + 1) * (degree - 1)]
                    flat = np.asarray(curve(on_side.reshape(-1, 2))).reshape(on_side.shape) - on_side
                    nodes[rows] += np.einsum("kj,mjd->mkd", _into_the_cell(degree, a, b), flat)
        geometry = cls(mesh, degree, nodes)
        corners = lattice(max(2 * degree - 2, 1))[:, 1:]
        samples = np.concatenate([corners, quadrature(3 * degree)[0]])
        refuse_inverted(np.linalg.det(geometry.jacobian(samples)).min(axis=1))
        return geometry

    def jacobian(self, points: Array) -> Array:
        """Derivatives ``J[..., i, j] = d x_i / d xi_j`` at reference points, shape (q, 2): shape (m, q, 2, 2)."""
        return np.asarray(np.einsum("qjk,mki->mqij", basis_gradients(self.degree, points), self.nodes))

    def positions(self, points: Array) -> Array:
        """Where the cells have these reference points, shape (m, q, 2)."""
        return np.asarray(np.einsum("qk,mki->mqi", basis(self.degree, points), self.nodes))

    @cached_property
    def boxes(self) -> tuple[Array, Array]:
        """Low and high corners of a box around each cell, with some room for what bends."""
        low, high = self.nodes.min(axis=1), self.nodes.max(axis=1)
        room = 0.1 * (high - low).max(axis=1, keepdims=True)
        return low - room, high + room

    def locate(self, points: Array) -> tuple[Integers, Array]:
        """The cell that holds each point, shape (n,), and its reference coordinates there, shape (n, 2); cell -1 for points outside."""
        low, high = self.boxes
        cell, reference, worst = np.full(len(points), -1), np.zeros((len(points), 2)), np.full(len(points), -1e-7)
        step = max(1, 4_000_000 // max(len(points), 1))
        for first in range(0, len(low), step):
            rows = slice(first, first + step)
            inside = ((points >= low[rows, None]) & (points <= high[rows, None])).all(axis=2)
            candidates, which = np.nonzero(inside)
            found = self._invert(candidates + first, points[which])
            depth = np.minimum(found.min(axis=1), 1 - found.sum(axis=1))
            order = np.argsort(depth)  # of several cells the one where the point lies deepest comes last, and stays
            order = order[depth[order] > worst[which[order]]]
            cell[which[order]], reference[which[order]], worst[which[order]] = candidates[order] + first, found[order], depth[order]
        return cell, reference

    def _invert(self, cells: Integers, points: Array) -> Array:
        """Reference coordinates by Newton's method; where it leaves the cell for good they stay outside."""
        found = np.full(points.shape, 1 / 3)
        for _ in range(12):
            values, slopes = basis(self.degree, found), basis_gradients(self.degree, found)
            nodes = self.nodes[cells]
            miss = np.einsum("nk,nki->ni", values, nodes) - points
            jacobian = np.einsum("njk,nki->nij", slopes, nodes)
            found = np.clip(found - np.linalg.solve(jacobian, miss[..., None])[..., 0], -1.0, 2.0)
        return np.where(np.abs(miss) <= 1e-9 * np.ptp(self.nodes, axis=(0, 1)), found, -1.0)


@dataclass(frozen=True, eq=False)
class Space:
    """Continuous functions that are polynomials of a degree on each reference cell.

    Attributes
    ----------
    geometry : the maps of the cells, of any degree.
    numbering : nodes of the cells; a function is its values there, shape (n,) or (n, components).
    """

    geometry: Geometry
    numbering: Numbering

    @classmethod
    def of(cls, geometry: Geometry, degree: int) -> Space:
        return cls(geometry, Numbering.of(geometry.mesh, degree))

    @property
    def degree(self) -> int:
        return self.numbering.degree

    @property
    def n(self) -> int:
        return self.numbering.n

    @cached_property
    def coordinates(self) -> Array:
        """Positions of the nodes, shape (n, 2)."""
        found = np.empty((self.n, 2))
        found[self.numbering.cells] = self.geometry.positions(lattice(self.degree)[:, 1:])
        return found

    def nodes_on(self, part: str) -> Integers:
        """Nodes on a boundary part, ascending."""
        return np.unique(self.numbering.sides[self.geometry.mesh.part(part)])

    def at_quadrature(self, degree: int) -> Tabulated:
        """Basis functions at the points of the rule that is exact for polynomials of this degree on straight cells."""
        points, weights = quadrature(degree)
        jacobian = self.geometry.jacobian(points)
        inverse = np.linalg.inv(jacobian)
        slopes = basis_gradients(self.degree, points)
        gradients = np.einsum("mqji,qjk->mqik", inverse, slopes)
        return Tabulated(basis(self.degree, points), gradients, weights * np.linalg.det(jacobian), self.geometry.positions(points))

    def evaluate(self, values: Array, points: Array) -> Array:
        """A function, given by its values at the nodes, at any points, shape (n, 2); NaN outside the mesh."""
        cell, reference = self.geometry.locate(points)
        found = np.einsum("nk,nk...->n...", basis(self.degree, reference), values[self.numbering.cells[cell]])
        found[cell < 0] = np.nan
        return np.asarray(found)

    def gradient(self, values: Array, points: Array) -> Array:
        """Derivatives of a function at any points, shape (n, ..., 2); NaN outside the mesh."""
        cell, reference = self.geometry.locate(points)
        jacobian = np.einsum("njk,nki->nij", basis_gradients(self.geometry.degree, reference), self.geometry.nodes[cell])
        slopes = np.einsum("nji,njk->nik", np.linalg.inv(jacobian), basis_gradients(self.degree, reference))
        found = np.einsum("nik,nk...->n...i", slopes, values[self.numbering.cells[cell]])
        found[cell < 0] = np.nan
        return np.asarray(found)

    def on_edges(self, part: str, degree: int) -> Tabulated:
        """Basis functions of the cells beside a boundary part, at points of each edge; normals and positions go with them.

        `Tabulated.values` has shape (edges, q, size) here, `weights` hold the arc length, and `normals` point out of the mesh.
        """
        mesh, shares = self.geometry.mesh, line_quadrature(degree)
        cells, sides = mesh.cells_at(mesh.part(part))
        corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        start, end = (corners[np.array(SIDES)[sides, k]] for k in (0, 1))
        points = start[:, None] + shares[0][None, :, None] * (end - start)[:, None]
        jacobian = np.einsum("eqjk,eki->eqij", basis_gradients(self.geometry.degree, points), self.geometry.nodes[cells])
        gradients = np.einsum("eqji,eqjk->eqik", np.linalg.inv(jacobian), basis_gradients(self.degree, points))
        tangent = np.einsum("eqij,ej->eqi", jacobian, end - start)
        speed = np.linalg.norm(tangent, axis=2)
        normals = np.stack([tangent[..., 1], -tangent[..., 0]], axis=-1) / speed[..., None]
        positions = np.einsum("eqk,eki->eqi", basis(self.geometry.degree, points), self.geometry.nodes[cells])
        return Tabulated(basis(self.degree, points), gradients, shares[1] * speed, positions, self.numbering.cells[cells], normals)


@dataclass(frozen=True, eq=False)
class Tabulated:
    """Basis functions at quadrature points.

    Attributes
    ----------
    values : shape (q, k), the same on all cells; on edges (e, q, k).
    gradients : by the coordinates of the plane, shape (m, q, 2, k).
    weights : of the points, with the determinant of the map, shape (m, q).
    positions : of the points, shape (m, q, 2).
    cells : nodes of the cells beside the edges, shape (e, k); None inside.
    normals : unit vectors out of the mesh, shape (e, q, 2); None inside.
    """

    values: Array
    gradients: Array
    weights: Array
    positions: Array
    cells: Integers | None = None
    normals: Array | None = None


def _into_the_cell(degree: int, a: int, b: int) -> Array:
    """Displacement of every node of a cell for a unit displacement of each node inside the side a - b, shape (size, degree - 1)."""
    shares = np.arange(1, degree) / degree
    coordinates = lattice(degree)
    s = (1 + coordinates[:, b] - coordinates[:, a]) / 2
    lagrange = np.stack([np.prod([(s - t) / (r - t) for t in shares if t != r], axis=0) * np.ones_like(s) for r in shares], axis=1)
    return np.asarray((coordinates[:, a] * coordinates[:, b])[:, None] * lagrange / (shares * (1 - shares)))
