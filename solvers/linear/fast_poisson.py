"""Direct solves of constant-coefficient operators by fast sine, cosine and Fourier transforms.

On cell centres the eigenvectors of the second difference are sines or cosines sampled at j + 1/2, one transform for each pair of
sides (Strang, "The discrete cosine transform", SIAM Review 41 (1999), for the cosine half of the table):

========== ========= ============================= ======================
low        high      eigenvector                   angle theta_k
========== ========= ============================= ======================
dirichlet  dirichlet sin((k+1)   pi (j+1/2)/n)     DST-II   pi (k+1)/n
neumann    neumann   cos(k       pi (j+1/2)/n)     DCT-II   pi k/n
dirichlet  neumann   sin((k+1/2) pi (j+1/2)/n)     DST-IV   pi (k+1/2)/n
neumann    dirichlet cos((k+1/2) pi (j+1/2)/n)     DCT-IV   pi (k+1/2)/n
periodic   periodic  exp(2 pi i k j/n)             FFT      2 pi k/n
========== ========= ============================= ======================

with eigenvalue (2 - 2 cos theta_k) / h^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from solvers.linear.stencil import ConstantCoefficients, Sides, StencilOperator
from solvers.linear.system import Attempt, System

Array = NDArray[np.float64]

_REAL_TRANSFORMS = {
    ("dirichlet", "dirichlet"): ("dst", 2),
    ("neumann", "neumann"): ("dct", 2),
    ("dirichlet", "neumann"): ("dst", 4),
    ("neumann", "dirichlet"): ("dct", 4),
}


@dataclass(frozen=True)
class FastPoisson:
    """Direct solve by fast transforms; for a `StencilOperator` whose coefficients do not vary."""

    @property
    def name(self) -> str:
        return "fast_poisson"

    def attempt(self, system: System) -> Attempt:
        A = system.A
        if not isinstance(A, StencilOperator) or A.constant is None:
            raise TypeError("method 'fast_poisson' needs a StencilOperator with constant coefficients: take 'multigrid_cg'")
        return Attempt(fast_solve(A.constant, system.b.reshape(A.grid_shape)).ravel())


def fast_solve(constant: ConstantCoefficients, b: Array) -> Array:
    """Solve for one or many right-hand sides.

    Parameters
    ----------
    b : shape (..., *grid); leading axes are a batch.

    Returns
    -------
    Array of b's shape. Where constants are in the null space the mean of b is ignored and the solution has mean zero.
    """
    shape = b.shape[-len(constant.sides) :]
    values = eigenvalues(constant, shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        spectrum = np.where(values > 0, to_modes(b, constant.sides) / values, 0.0)
    return from_modes(spectrum, constant.sides, shape)


def to_modes(b: Array, sides: Sides) -> NDArray[Any]:
    """Coefficients of b, shape (..., *grid), in the eigenvectors: real, complex with a halved last periodic axis where there is one."""
    axes = range(-len(sides), 0)
    spectrum = b
    for axis, pair in zip(axes, sides, strict=True):
        if pair in _REAL_TRANSFORMS:
            kind, number = _REAL_TRANSFORMS[pair]
            spectrum = getattr(sfft, kind)(spectrum, type=number, axis=axis, norm="ortho")
    fourier = [axis for axis, pair in zip(axes, sides, strict=True) if pair[0] == "periodic"]
    return np.asarray(sfft.rfftn(spectrum, axes=fourier) if fourier else spectrum)


def from_modes(spectrum: NDArray[Any], sides: Sides, shape: tuple[int, ...]) -> Array:
    """Inverse of `to_modes` on a grid of `shape`."""
    axes = range(-len(sides), 0)
    fourier = [axis for axis, pair in zip(axes, sides, strict=True) if pair[0] == "periodic"]
    if fourier:
        spectrum = sfft.irfftn(spectrum, s=[shape[axis] for axis in fourier], axes=fourier)
    for axis, pair in zip(axes, sides, strict=True):
        if pair in _REAL_TRANSFORMS:
            kind, number = _REAL_TRANSFORMS[pair]
            spectrum = getattr(sfft, "i" + kind)(spectrum, type=number, axis=axis, norm="ortho")
    return np.asarray(spectrum)


def eigenvalues(constant: ConstantCoefficients, shape: tuple[int, ...]) -> Array:
    """Eigenvalues that belong to the coefficients of `to_modes`, in their shape."""
    values = _eigenvalues(constant, shape)
    fourier = [axis for axis, pair in enumerate(constant.sides) if pair[0] == "periodic"]
    return values[_half(fourier[-1], shape)] if fourier else values


def _half(axis: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Index that keeps the non-negative frequencies of the last Fourier axis, as rfftn does."""
    index = [slice(None)] * len(shape)
    index[axis] = slice(0, shape[axis] // 2 + 1)
    return tuple(index)


def _eigenvalues(constant: ConstantCoefficients, shape: tuple[int, ...]) -> Array:
    total = np.full(shape, constant.reaction)
    for axis, n in enumerate(shape):
        values = constant.scaled[axis] * (2 - 2 * np.cos(_angles(constant.sides, axis, n)))
        total += values.reshape((-1,) + (1,) * (len(shape) - axis - 1))
    if constant.reaction == 0 and all("dirichlet" not in pair for pair in constant.sides):
        total.flat[0] = 0.0  # exactly, so that the constant mode is recognised
    return total


def _angles(sides: Sides, axis: int, n: int) -> Array:
    k = np.arange(n)
    pair = sides[axis]
    if pair[0] == "periodic":
        return 2 * np.pi * k / n
    if pair == ("dirichlet", "dirichlet"):
        return np.pi * (k + 1) / n
    if pair == ("neumann", "neumann"):
        return np.pi * k / n
    return np.pi * (k + 0.5) / n
