"""Scattered points in a box, on which the random functions of the box are evaluated."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml.grid import Grid

_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, eq=False)
class Points:
    """Where a parameter of a problem on a mesh has its values.

    Parameters
    ----------
    coordinates : shape (n, d), relative to the low corner of the box.
    extent : side lengths of the box.
    modes : cosine modes kept along each axis. They do not depend on the points, so equal coefficients are equal functions on
        every mesh with this box.
    """

    coordinates: NDArray[np.float64]
    extent: tuple[float, ...]
    modes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.coordinates),)

    @property
    def dimension(self) -> int:
        return len(self.extent)

    @property
    def grid(self) -> Grid:
        """The coarsest grid of the box that holds the modes."""
        return Grid((self.modes,) * self.dimension, self.extent)

    def cosine_sum(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """``sum_k c_k prod_j s(k_j) cos(pi k_j x_j / L_j)`` with s(0) = 1, else sqrt(2): no interpolation, exact up to rounding.

        Parameters
        ----------
        coefficients : shape ``grid.shape``.

        Returns
        -------
        Values at the points, shape (n,). One axis after the other is summed, 2 n modes^d operations in all.
        """
        rows = max(1, _BLOCK_BYTES // (8 * self.modes ** max(self.dimension - 1, 1)))
        blocks = [self._block(coefficients, self.coordinates[first : first + rows]) for first in range(0, len(self.coordinates), rows)]
        return np.concatenate(blocks)

    def _block(self, coefficients: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self._cosines(x, 0) @ coefficients.reshape(self.modes, -1)
        for axis in range(1, self.dimension):
            values = np.einsum("nk,nkr->nr", self._cosines(x, axis), values.reshape(len(x), self.modes, -1))
        return values.reshape(len(x))

    def _cosines(self, x: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        k = np.arange(self.modes)
        return np.where(k == 0, 1.0, math.sqrt(2.0)) * np.cos(np.pi / self.extent[axis] * x[:, axis, None] * k)
