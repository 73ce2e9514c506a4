"""From matrices of cells to a sparse matrix: the pattern is found once, and each matrix costs one sum over its entries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.elements.space import Space, Tabulated

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pattern:
    """CSR pattern of all pairs of unknowns that share a cell.

    Parameters
    ----------
    rows, columns : unknowns of each cell, shapes (m, r) and (m, c).
    shape : of the matrix.
    """

    rows: Integers
    columns: Integers
    shape: tuple[int, int]

    @cached_property
    def _places(self) -> tuple[NDArray[np.int32], NDArray[np.int32], Integers]:
        keys = (self.rows[:, :, None] * self.shape[1] + self.columns[:, None, :]).ravel()
        unique, position = np.unique(keys, return_inverse=True)
        indptr = np.searchsorted(unique, self.shape[1] * np.arange(self.shape[0] + 1, dtype=np.int64))
        return (unique % self.shape[1]).astype(np.int32), indptr.astype(np.int32), position.ravel()

    def matrix(self, local: Array) -> sp.csr_matrix:
        """The sum of the matrices of the cells, shape (m, r, c)."""
        indices, indptr, position = self._places
        entries = np.bincount(position, np.broadcast_to(local, (len(self.rows), self.rows.shape[1], self.columns.shape[1])).ravel())
        return sp.csr_matrix((entries, indices, indptr), shape=self.shape, copy=False)


def vector(cells: Integers, local: Array, n: int) -> Array:
    """The sum of the vectors of the cells, shape (m, k): shape (n,)."""
    return np.asarray(np.bincount(cells.ravel(), local.ravel(), minlength=n))


def stiffness(table: Tabulated) -> Array:
    """``int grad phi_i . grad phi_j`` on each cell, shape (m, k, k)."""
    m, q, d, k = table.gradients.shape
    flat = table.gradients.reshape(m, q * d, k)
    return np.asarray((flat * np.repeat(table.weights, d, axis=1)[:, :, None]).transpose(0, 2, 1) @ flat)


def mass(table: Tabulated) -> Array:
    """``int phi_i phi_j`` on each cell, shape (m, k, k)."""
    return np.asarray((table.values * table.weights[:, :, None]).transpose(0, 2, 1) @ table.values)


def load(table: Tabulated, source: Array) -> Array:
    """``int f phi_i`` on each cell, for f at the quadrature points, shape (m, q): shape (m, k)."""
    return np.asarray((table.weights * source) @ table.values)


def poisson(space: Space, source: Array, table: Tabulated) -> tuple[sp.csr_matrix, Array]:
    """Stiffness matrix and load of ``-lap u = f``, for f at the points of `table`, shape (m, q)."""
    cells = space.numbering.cells
    pattern = Pattern(cells, cells, (space.n, space.n))
    return pattern.matrix(stiffness(table)), vector(cells, load(table, source), space.n)
