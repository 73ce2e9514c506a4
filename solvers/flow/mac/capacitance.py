"""Fast direct solves around solids: transforms for the whole box, corrected on the faces of the solids by a dense capacitance matrix.

With A0 the operator of the box and W the differences across the cut faces, the operator around the solids is A0 + W D W^T, and by
Woodbury's formula its inverse takes two solves with A0 and one dense product of the size of W (Buzbee, Dorr, George and Golub, "The direct
solution of the discrete Poisson equation on irregular regions", SIAM J. Numer. Anal. 8 (1971), section 4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.linear.fast_poisson import fast_solve
from solvers.linear.stencil import ConstantCoefficients

Array = NDArray[np.float64]
_BATCH = 64  # columns that are solved for at once


class CapacitanceMatrix:
    """Solves ``(A0 + W D W^T) x = b``.

    Parameters
    ----------
    constant : A0, which must not be singular.
    shape : of the grid.
    first, second : cells that a column of W joins, flat numbers; the column is 1 in the first and -1 in the second one. A column
        with second = -1 is 1 in its first cell alone.
    weights : diagonal of D.
    """

    def __init__(
        self, constant: ConstantCoefficients, shape: tuple[int, ...], first: NDArray[np.int64], second: NDArray[np.int64], weights: Array
    ) -> None:
        self._constant, self._first, self._second = constant, first, np.where(second < 0, 0, second)
        self._joined = (second >= 0).astype(np.float64)
        m = len(first)
        capacitance = np.diag(1 / weights)
        for begin in range(0, m, _BATCH):
            columns = range(begin, min(begin + _BATCH, m))
            batch = np.zeros((len(columns), *shape))
            for one, column in zip(batch, columns, strict=True):
                self._spread(one, np.eye(1, m, column)[0])
            for column, z in zip(columns, fast_solve(constant, batch), strict=True):
                capacitance[:, column] += self._gather(z)
        self._inverse = np.linalg.inv(capacitance)

    def solve(self, b: Array) -> Array:
        """x of b's shape, that of the grid; b is overwritten."""
        correction = self._inverse @ self._gather(fast_solve(self._constant, b))
        self._spread(b, -correction)
        return fast_solve(self._constant, b)

    def _gather(self, x: Array) -> Array:
        """``W^T x``"""
        flat = x.reshape(-1)
        return np.asarray(flat[self._first] - self._joined * flat[self._second])

    def _spread(self, x: Array, values: Array) -> None:
        """``x += W values``"""
        flat = x.reshape(-1)
        np.add.at(flat, self._first, values)
        np.subtract.at(flat, self._second, self._joined * values)
