"""Fourier-Galerkin discretisation of the Burgers equation.

All modes below the Nyquist one are kept, and the product is formed on a grid of 3/2 as many points (Orszag's rule), where it has no
aliasing error: what is integrated is the Galerkin projection itself, which conserves the mean exactly and, without viscosity, the
energy (Canuto, Hussaini, Quarteroni and Zang, "Spectral Methods: Fundamentals in Single Domains", Springer 2006, section 3.3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from sciml.discretize.linear import discretize
from sciml.discretize.semi_discrete import SemiDiscrete
from sciml.problems.burgers import Burgers
from sciml.problems.problem import Parameters

Array = NDArray[Any]


@discretize.register
def _burgers(problem: Burgers, parameters: Parameters) -> SemiDiscrete:
    """The state holds the coefficients c_k, k = 0 ... n // 2, of ``u = sum_k c_k exp(2 pi i k (x - h/2) / length)``."""
    problem.check(parameters)
    (n,), (length,) = problem.grid.shape, problem.grid.extent
    kept = (n + 1) // 2  # without the Nyquist mode of an even grid, whose derivative the grid cannot hold
    padded = sfft.next_fast_len(3 * kept, real=True)
    k = 2 * np.pi * np.arange(n // 2 + 1) / length

    def convection(t: float, y: Array) -> Array:
        u = sfft.irfft(y[..., :kept], padded, norm="forward")
        out = np.zeros_like(y)
        out[..., :kept] = -0.5j * k[:kept] * sfft.rfft(u * u, norm="forward")[..., :kept]
        return out

    u0 = np.broadcast_to(problem.value("initial_velocity", parameters), (n,))
    state0 = sfft.rfft(u0, norm="forward")
    state0[kept:] = 0.0
    viscosity = float(problem.value("viscosity", parameters))
    return SemiDiscrete(-viscosity * k**2, convection, state0, lambda ys: {"velocity": sfft.irfft(ys, n, norm="forward")})
