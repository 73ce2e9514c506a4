"""Piecewise linear finite elements on simplices, assembled without a loop over cells.

The entries of the stiffness matrix are linear in the cellwise coefficient: what a mesh contributes is computed once, and the matrix of
another coefficient costs one sparse product. Notation of Larson and Bengzon, "The Finite Element Method" (2013), ch. 3-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.mesh.mesh import Mesh, volumes

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Elements:
    """What assembly needs of a mesh, whatever the coefficients.

    Attributes
    ----------
    volumes : area or volume of each cell, shape (m,).
    gradients : gradient of the hat function of each of its nodes on each cell, shape (m, d + 1, d).
    indices, indptr : sparsity pattern of the stiffness matrix in CSR form, columns ascending, symmetric with a full diagonal.
    scatter : matrix that maps the coefficients, shape (m,), to the entries of the stiffness matrix.
    mass : consistent mass matrix.
    """

    mesh: Mesh
    volumes: Array
    gradients: Array
    indices: NDArray[np.int32]
    indptr: NDArray[np.int32]
    scatter: sp.csr_matrix
    mass: sp.csr_matrix

    def stiffness(self, coefficient: Array) -> sp.csr_matrix:
        """``K_ij = int a grad phi_i . grad phi_j`` for a number or one value a cell."""
        n, m = len(self.mesh.points), len(self.mesh.cells)
        entries = self.scatter @ np.broadcast_to(np.asarray(coefficient, np.float64), (m,))
        return sp.csr_matrix((entries, self.indices, self.indptr), shape=(n, n), copy=False)

    def load(self, source: Array) -> Array:
        """``F_i = int f phi_i`` for f given by a number or its values at the nodes, interpolated linearly."""
        return np.asarray(self.mass @ np.broadcast_to(np.asarray(source, np.float64), (len(self.mesh.points),)))

    def outward_normals(self, facets: NDArray[np.int64]) -> Array:
        """Unit normals of boundary facets, shape (k, d), pointing away from the mesh."""
        corners = self.mesh.points[facets]
        edges = corners[:, 1:] - corners[:, :1]
        normals = np.stack([edges[:, 0, 1], -edges[:, 0, 0]], axis=1) if facets.shape[1] == 2 else np.cross(edges[:, 0], edges[:, 1])
        inward = self.mesh.points[self._opposite(facets)] - corners[:, 0]
        normals *= -np.sign(np.einsum("kd,kd->k", normals, inward))[:, None]
        return normals / np.linalg.norm(normals, axis=1, keepdims=True)

    def facet_load(self, facets: NDArray[np.int64], flux: Array) -> Array:
        """``int_facets g phi_i ds`` for g a number, or its values at the corners of each facet, shape (k, d)."""
        d = facets.shape[1]
        corners = self.mesh.points[facets]
        edges = corners[:, 1:] - corners[:, :1]
        measure = np.sqrt(np.linalg.det(edges @ edges.transpose(0, 2, 1))) / math.factorial(d - 1)
        g = np.broadcast_to(np.asarray(flux, np.float64), facets.shape)
        # int_T phi_i phi_j = |T| (1 + delta_ij) / (d (d + 1)) on a facet T with d corners
        values = (measure / (d * (d + 1)))[:, None] * (g + g.sum(axis=1, keepdims=True))
        return np.asarray(np.bincount(facets.ravel(), values.ravel(), minlength=len(self.mesh.points)), np.float64)

    def _opposite(self, facets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The node opposite to each boundary facet in its only cell."""
        cells, d = self.mesh.cells, self.mesh.dimension
        rows = np.sort(np.concatenate([np.delete(cells, k, axis=1) for k in range(d + 1)]), axis=1)
        _, group, count = np.unique(np.concatenate([facets, rows]), axis=0, return_inverse=True, return_counts=True)
        group = group.ravel()
        node = np.empty(len(count), np.int64)
        node[group[len(facets) :]] = cells.T.ravel()
        return node[group[: len(facets)]]


@lru_cache(maxsize=8)
def elements(mesh: Mesh) -> Elements:
    """The elements of a mesh; kept for the meshes used last."""
    points, cells, d = mesh.points, mesh.cells, mesh.dimension
    volume = volumes(points, cells)
    # The gradients of the last d barycentric coordinates are the columns of the inverse of the matrix of edges; all of them sum to 0.
    edges = points[cells[:, 1:]] - points[cells[:, :1]]
    last = np.linalg.inv(edges).transpose(0, 2, 1)
    gradients = np.concatenate([-last.sum(axis=1, keepdims=True), last], axis=1)
    local_stiffness = volume[:, None, None] * (gradients @ gradients.transpose(0, 2, 1))
    local_mass = volume[:, None, None] * (1.0 + np.eye(d + 1)) / ((d + 1) * (d + 2))
    indices, indptr, position = _pattern(cells, len(points))
    owner = np.repeat(np.arange(len(cells)), (d + 1) ** 2)
    scatter = sp.csr_matrix((local_stiffness.ravel(), (position, owner)), shape=(len(indices), len(cells)))
    mass_entries = np.bincount(position, local_mass.ravel(), minlength=len(indices))
    mass = sp.csr_matrix((mass_entries, indices, indptr), shape=(len(points),) * 2)
    return Elements(mesh, volume, gradients, indices, indptr, scatter, mass)


def _pattern(cells: NDArray[np.int64], n: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """CSR pattern of the mesh graph with its diagonal, and the position in it of every pair of nodes of every cell."""
    corners = cells.shape[1]
    keys = (np.repeat(cells, corners, axis=1) * n + np.tile(cells, (1, corners))).ravel()
    unique, position = np.unique(keys, return_inverse=True)
    indptr = np.searchsorted(unique, n * np.arange(n + 1, dtype=np.int64))
    return (unique % n).astype(np.int32), indptr.astype(np.int32), position.ravel()
