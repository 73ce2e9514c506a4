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

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from solvers.linear.stencil import ConstantCoefficients, Sides, StencilOperator
from solvers.linear.system import Attempt, Batch, System

Array = NDArray[np.float64]

_REAL_TRANSFORMS = {
    ("dirichlet", "dirichlet"): ("dstn", 2),
    ("neumann", "neumann"): ("dctn", 2),
    ("dirichlet", "neumann"): ("dstn", 4),
    ("neumann", "dirichlet"): ("dctn", 4),
}


_BLOCK_CELLS = 1 << 16  # cells that are transformed at once: half a megabyte, which stays in the second-level cache


@dataclass(frozen=True)
class FastPoisson:
    """Direct solve by fast transforms; for a `StencilOperator` whose coefficients do not vary."""

    @property
    def name(self) -> str:
        return "fast_poisson"

    def attempt(self, system: System) -> Attempt:
        return Attempt(self._solve(system.A, system.b[None])[0])

    def attempt_many(self, batch: Batch) -> list[Attempt]:
        return [Attempt(x) for x in self._solve(batch.A, batch.B)]

    def _solve(self, A: Any, B: Array) -> Array:
        if not isinstance(A, StencilOperator) or A.constant is None:
            raise TypeError("method 'fast_poisson' needs a StencilOperator with constant coefficients: take 'auto'")
        return fast_solve(A.constant, B.reshape(-1, *A.grid_shape)).reshape(B.shape)


def fast_solve(constant: ConstantCoefficients, b: Array) -> Array:
    """Solve for one or many right-hand sides.

    Parameters
    ----------
    b : shape (..., *grid); leading axes are a batch.

    Returns
    -------
    Array of b's shape, each solution with the bits that it has alone. Components along eigenvectors whose eigenvalue is zero (constants
    without reaction and Dirichlet sides, or a negative reaction that cancels an eigenvalue to rounding) are ignored in b and zero in the
    solution: the residual tells.
    """
    grid = b.shape[-len(constant.sides) :]
    rows = b.reshape(-1, *grid)
    block = max(1, _BLOCK_CELLS // math.prod(grid))
    if len(rows) <= block:
        return _solve_block(constant, rows).reshape(b.shape)
    x = np.empty_like(rows)
    for first in range(0, len(rows), block):
        x[first : first + block] = _solve_block(constant, rows[first : first + block])
    return x.reshape(b.shape)


def _solve_block(constant: ConstantCoefficients, b: Array) -> Array:
    """Solutions for b of shape (m, *grid), in new memory."""
    spectrum = to_modes(b, constant.sides)
    spectrum *= _reciprocals(constant, b.shape[1:])
    return from_modes(spectrum, constant.sides, b.shape[1:], overwrite=True)


def to_modes(b: Array, sides: Sides) -> NDArray[Any]:
    """Coefficients of b, shape (..., *grid), in the eigenvectors: real, complex with a halved last periodic axis where there is one."""
    real, fourier = _transforms(sides)
    spectrum = b
    for kind, number, axes in real:
        spectrum = getattr(sfft, kind)(spectrum, type=number, axes=axes, norm="ortho", overwrite_x=spectrum is not b)
    return np.asarray(sfft.rfftn(spectrum, axes=fourier) if fourier else spectrum)


def from_modes(spectrum: NDArray[Any], sides: Sides, shape: tuple[int, ...], *, overwrite: bool = False) -> Array:
    """Inverse of `to_modes` on a grid of `shape`; `overwrite` allows it to destroy `spectrum`."""
    real, fourier = _transforms(sides)
    x = spectrum
    if fourier:
        x = sfft.irfftn(x, s=[shape[axis] for axis in fourier], axes=fourier, overwrite_x=overwrite)
    for kind, number, axes in real:
        x = getattr(sfft, "i" + kind)(x, type=number, axes=axes, norm="ortho", overwrite_x=overwrite or x is not spectrum)
    return np.asarray(x)


def eigenvalues(constant: ConstantCoefficients, shape: tuple[int, ...]) -> Array:
    """Eigenvalues that belong to the coefficients of `to_modes`, in their shape."""
    values = _eigenvalues(constant, shape)
    fourier = _transforms(constant.sides)[1]
    # rfftn keeps the non-negative frequencies of its last axis
    return np.take(values, range(shape[fourier[-1]] // 2 + 1), axis=fourier[-1]) if fourier else values


@lru_cache(maxsize=64)
def _transforms(sides: Sides) -> tuple[list[tuple[str, int, list[int]]], list[int]]:
    """Real transforms (name, type, axes), equal ones in one call, and the Fourier axes; axes count from the end."""
    axes = range(-len(sides), 0)
    together: dict[tuple[str, int], list[int]] = {}
    for axis, pair in zip(axes, sides, strict=True):
        if pair in _REAL_TRANSFORMS:
            together.setdefault(_REAL_TRANSFORMS[pair], []).append(axis)
    real = [(kind, number, group) for (kind, number), group in together.items()]
    return real, [axis for axis, pair in zip(axes, sides, strict=True) if pair[0] == "periodic"]


def _rounding(constant: ConstantCoefficients, values: Array) -> float:
    """Eigenvalues up to this are zero; only a negative reaction can cancel one to less than its own rounding."""
    return 0.0 if constant.reaction >= 0 else 8 * np.finfo(float).eps * float(np.abs(values).max())


@lru_cache(maxsize=4)
def _reciprocals(constant: ConstantCoefficients, grid: tuple[int, ...]) -> Array:
    """One over `eigenvalues`; 0 where they are zero."""
    values = eigenvalues(constant, grid)
    return np.divide(1.0, values, out=np.zeros_like(values), where=np.abs(values) > _rounding(constant, values))


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
