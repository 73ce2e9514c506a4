"""Derivatives of grid fields, to fill the jets that strong residuals are written against."""

from __future__ import annotations

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from sciml.grid import Grid
from sciml.problems.jet import Jet

Array = NDArray[np.float64]


def difference_jet(field: Array, grid: Grid) -> Jet:
    """Second-order central differences at the interior cells; arrays lose one cell at each end of every axis."""
    inner = (slice(1, -1),) * grid.dimension
    gradient, laplacian = [], np.zeros(tuple(n - 2 for n in grid.shape))
    for axis, h in enumerate(grid.spacing):
        low, high = _shifted(field, axis)
        gradient.append((high - low) / (2 * h))
        laplacian += (high - 2 * field[inner] + low) / h**2
    return Jet(field[inner], tuple(gradient), laplacian)


def spectral_jet(field: Array, grid: Grid) -> Jet:
    """Derivatives of the trigonometric interpolant, for fields that are periodic over the box."""
    spectrum = sfft.fftn(field)
    gradient, laplacian = [], np.zeros_like(field)
    for axis, (n, length) in enumerate(zip(grid.shape, grid.extent, strict=True)):
        k = 2 * np.pi * sfft.fftfreq(n, d=1 / n) / length
        odd = np.where(np.arange(n) * 2 == n, 0.0, k)  # the Nyquist mode has no first derivative on the grid
        along = (-1,) + (1,) * (grid.dimension - axis - 1)
        gradient.append(sfft.ifftn(1j * odd.reshape(along) * spectrum).real)
        laplacian += sfft.ifftn(-(k.reshape(along) ** 2) * spectrum).real
    return Jet(field, tuple(gradient), laplacian)


def _shifted(field: Array, axis: int) -> tuple[Array, Array]:
    inner = [slice(1, -1)] * field.ndim
    low, high = list(inner), list(inner)
    low[axis], high[axis] = slice(None, -2), slice(2, None)
    return field[tuple(low)], field[tuple(high)]
