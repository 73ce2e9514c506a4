"""What the cases of networks along characteristics share: training window after window, and closed forms of what they solve."""

from __future__ import annotations

import logging
import time

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from sciml.models.lagrangian import LagrangianMarch
from sciml.models.pinn import EquationResiduals
from sciml.optimizers import GeodesicLevenbergMarquardt
from sciml.problems.transport import Transport

Array = NDArray[np.float64]
log = logging.getLogger(__name__)
PERIOD = 2 * np.pi
CELLS = 512  # at which solutions are compared
_REACH, _NODES = 8.0, 6401  # of the quadrature, beside a place; what lies farther away has a weight below exp(-100)


def follow(transport: Transport, duration: float, *, steps: int, seed: int, **settings: object) -> tuple[LagrangianMarch, list[float]]:
    """Train networks along characteristics up to a time, and tell the mean square of residuals before every step.

    Parameters
    ----------
    steps : of each window.
    settings : of `sciml.models.lagrangian.LagrangianMarch`.
    """
    torch.manual_seed(seed)
    march, losses, start = LagrangianMarch(transport, duration, **settings), [], time.perf_counter()  # type: ignore[arg-type]
    while True:
        residuals = EquationResiduals(march.window, *march.collocation())
        method = GeodesicLevenbergMarquardt(march.window.network.named_parameters())
        losses += [float(method.step(residuals)) for _ in range(steps)]
        log.info("t = %.4g: mean square of residuals %.2e, %.1f s", march.reached, losses[-1], time.perf_counter() - start)
        if march.complete:
            return march, losses
        march.advance()


def cells() -> Array:
    return (np.arange(CELLS) + 0.5) / CELLS * PERIOD


def at(x: ArrayLike, t: float) -> Array:
    """Points (x, t)."""
    places = np.asarray(x, np.float64)
    return np.column_stack([places, np.full(len(places), t)])


def relative(found: Array, exact: Array) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def cole_hopf(x: ArrayLike, t: float, viscosity: float) -> Array:
    """Burgers' equation from sin x, by quadrature (Hopf 1950, Cole 1951).

    ``u = integral (x - y) / t exp(-G / (2 nu)) dy / integral exp(-G / (2 nu)) dy`` with ``G = (x - y)^2 / (2 t) + 1 - cos y``. Exponents
    are counted from their largest, without which the exponentials underflow. The trapezoidal rule errs by rounding only.
    """
    distance = np.linspace(-_REACH, _REACH, _NODES)
    y = np.asarray(x, np.float64)[:, None] - distance
    exponent = -(distance**2 / (2 * t) + 1 - np.cos(y)) / (2 * viscosity)
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return np.asarray((weight * distance).sum(axis=1) / weight.sum(axis=1) / t)


def without_jacobian(x: Array, t: float, viscosity: float) -> Array:
    """What a perfectly trained network finds from sin x where the diffusion term lacks the Jacobian: ``w_t = nu w_ss``, ``X_t = w``.

    It is ``w = exp(-nu t) sin s``, ``X = s + (1 - exp(-nu t)) / nu sin s``, read at places by interpolation between sorted positions, as
    the published code does. Its characteristics cross from ``(1 - exp(-nu t)) / nu = 1`` on.
    """
    s = np.linspace(0, PERIOD, 8192, endpoint=False)
    X = s + (1 - np.exp(-viscosity * t)) / viscosity * np.sin(s)
    wrapped = np.mod(X, PERIOD)
    order = np.argsort(wrapped)
    return np.interp(x, wrapped[order], np.exp(-viscosity * t) * np.sin(s[order]), period=PERIOD)
