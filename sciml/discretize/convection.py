"""Convection and diffusion of a concentration, wave by wave: exact in time, and in space but for what the grid cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from sciml.discretize.linear import discretize
from sciml.discretize.semi_discrete import SemiDiscrete
from sciml.problems.convection import Convection
from sciml.problems.problem import Parameters

Array = NDArray[Any]


@discretize.register
def _convection(problem: Convection, parameters: Parameters) -> SemiDiscrete:
    """The state holds the coefficients c_k, k = 0 ... n // 2, of ``u = sum_k c_k exp(2 pi i k (x - h/2) / length)``."""
    problem.check(parameters)
    (n,), (length,) = problem.grid.shape, problem.grid.extent
    k = 2 * np.pi * np.arange(n // 2 + 1) / length
    state0 = sfft.rfft(np.broadcast_to(problem.value("initial_concentration", parameters), (n,)), norm="forward")
    state0[(n + 1) // 2 :] = 0.0  # the Nyquist mode of an even grid, which has no sine there
    c, kappa = (float(problem.value(name, parameters)) for name in ("speed", "diffusivity"))
    nothing = np.zeros_like(state0)
    return SemiDiscrete(
        -kappa * k**2 - 1j * c * k,
        lambda t, y: np.broadcast_to(nothing, y.shape),
        state0,
        lambda ys: {"concentration": sfft.irfft(ys, n, norm="forward")},
    )
