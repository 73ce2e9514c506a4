"""Multistep exponential integrators in the logarithm of the signal-to-noise ratio, for diffusion and flow models.

A state ``x = alpha x1 + sigma eps`` has ``lam = log(alpha / sigma)``; the probability-flow equation is then semilinear with a known
linear part:

    data prediction   d(x / sigma) / d lam =  e^lam  x1_hat(x, lam)
    noise prediction  d(x / alpha) / d lam = -e^-lam eps_hat(x, lam)                                                               (1)

Over a step of length h the prediction D is replaced by its interpolating polynomial ``D0 + s D' + s^2 D'' / 2`` through the newest values,

    x+ = sigma+ / sigma x + alpha+ (h phi_1(-h) D0 + h^2 phi_2(-h) D' + h^3 phi_3(-h) D'')                data prediction
    x+ = alpha+ / alpha x - sigma+ (h phi_1(h) D0 + h^2 phi_2(h) D' + h^3 phi_3(h) D'')                   noise prediction       (2)

These are Adams methods with exponential weights, exact where the prediction does not change. D'' is twice the second divided difference;
widely copied code for the third order takes it once, which leaves second order (the tests measure both). The stochastic variant
integrates the reverse-time diffusion that has the same marginals: Lu, Zhou, Bao, Chen, Li and Zhu, "DPM-Solver++", arXiv 2211.01095,
equations 14 to 18. Steps before enough values are known are single steps with intermediate evaluations: those of Lu et al.,
"DPM-Solver", arXiv 2206.00927, algorithms 1 and 2, in the variables of (1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from solvers.integrators.brownian import BrownianPath
from solvers.integrators.phi import phi

Prediction = Literal["data", "noise"]
Model = Callable[[Any, float], Any]


@dataclass(frozen=True)
class GaussianPath:
    """``x_t = alpha(t) x1 + sigma(t) eps``, with the inverse of its log-SNR.

    Attributes
    ----------
    alpha, sigma : functions of time, not negative and not both zero.
    time : the time at which ``log(alpha / sigma)`` has a given finite value.
    """

    alpha: Callable[[float], float]
    sigma: Callable[[float], float]
    time: Callable[[float], float]

    def log_snr(self, t: float) -> float:
        """``log(alpha / sigma)``, infinite at the ends where one of them vanishes."""
        alpha, sigma = self.alpha(t), self.sigma(t)
        if alpha == 0 or sigma == 0:
            return math.inf if sigma == 0 else -math.inf
        return math.log(alpha) - math.log(sigma)


def linear_path() -> GaussianPath:
    """alpha = t, sigma = 1 - t: noise at t = 0, data at t = 1."""
    return GaussianPath(lambda t: t, lambda t: 1 - t, lambda lam: 1 / (1 + math.exp(-lam)))


def variance_exploding_path() -> GaussianPath:
    """alpha = 1 and sigma = t: the time is the standard deviation of the noise, and data are at t = 0."""
    return GaussianPath(lambda t: 1.0, lambda t: t, lambda lam: math.exp(-lam))


def variance_preserving_path(beta0: float = 0.1, beta1: float = 20.0) -> GaussianPath:
    """``alpha = exp(-t beta0 / 2 - t^2 (beta1 - beta0) / 4)`` and ``alpha^2 + sigma^2 = 1``: data at t = 0, noise at t = 1.

    Song et al., arXiv 2011.13456, equation 33.
    """
    if not 0 < beta0 <= beta1:
        raise ValueError(f"beta0 = {beta0}, beta1 = {beta1}: give 0 < beta0 <= beta1")

    def log_alpha(t: float) -> float:
        return -t * beta0 / 2 - t * t * (beta1 - beta0) / 4

    def time(lam: float) -> float:
        # the root of beta0 t / 2 + (beta1 - beta0) t^2 / 4 = -log alpha, in the form that does not cancel
        exponent = np.logaddexp(0.0, -2 * lam) / 2
        return float(4 * exponent / (beta0 + math.sqrt(beta0**2 + 4 * (beta1 - beta0) * exponent)))

    return GaussianPath(lambda t: math.exp(log_alpha(t)), lambda t: math.sqrt(-math.expm1(2 * log_alpha(t))), time)


@dataclass(frozen=True)
class LogSNRMultistep:
    """The method (2). One evaluation of the model a step, but for the first ``order - 1`` steps, which take `order` each.

    Guarantee: the error is of the order asked for, in the largest step in log-SNR, for predictions as smooth as that; constant predictions
    are exact. The stochastic variant has that as its weak order, and order 3 is not known for it.

    Parameters
    ----------
    order : 1 (which is DDIM), 2 or 3; 1 or 2 where `stochastic`.
    prediction : what the model returns, ``"data"`` or ``"noise"``.
    stochastic : integrate the reverse-time diffusion instead of the probability flow; data prediction only.

    Examples
    --------
    Data from N(0, 1/4) in one dimension: the flow from noise at -1 ends at -1/2.

    >>> path = linear_path()
    >>> denoiser = lambda x, t: t / 4 / (t * t / 4 + (1 - t) ** 2) * x
    >>> x = LogSNRMultistep(order=3).integrate(denoiser, path, np.linspace(0, 1, 161), np.array([-1.0]))
    >>> x.round(3).tolist()
    [-0.5]
    """

    order: int = 2
    prediction: Prediction = "data"
    stochastic: bool = False

    def __post_init__(self) -> None:
        if self.order not in ((1, 2) if self.stochastic else (1, 2, 3)):
            raise ValueError(f"order = {self.order} is not known: take 1, 2 or, for the probability flow, 3")
        if self.prediction not in ("data", "noise"):
            raise ValueError(f"prediction = {self.prediction!r} is not known: say 'data' or 'noise'")
        if self.stochastic and self.prediction == "noise":
            raise ValueError("prediction = 'noise' has no stochastic variant here: convert the model to predict data")

    def integrate(self, model: Model, path: GaussianPath, times: Sequence[float], x: Any, brownian: BrownianPath | None = None) -> Any:
        """Carry x from ``times[0]`` to ``times[-1]``.

        Parameters
        ----------
        model : ``model(x, t)`` returns the prediction in the shape of x.
        times : in the path's own time, log-SNR strictly increasing. At the first it may be minus infinity and at the last infinity: these
            steps are of first order, since no polynomial extends that far; with noise prediction neither end may be infinite.
        x : NumPy or torch array; nothing is modified in place, so that torch can differentiate.
        brownian : a path of x's shape over ``(0, len(times) - 1)``, step i using its increment from i to i + 1; required where
        `stochastic`.

        Raises
        ------
        ValueError : times that do not increase the log-SNR, infinite ends with noise prediction, a missing or needless `brownian`.
        """
        lams = [path.log_snr(float(t)) for t in times]
        _check_increasing(times, lams)
        if self.prediction == "noise" and not (math.isfinite(lams[0]) and math.isfinite(lams[-1])):
            raise ValueError(f"times from {times[0]} to {times[-1]} end where the log-SNR is infinite: stop short of it, or predict data")
        if self.stochastic is not (brownian is not None):
            raise ValueError("brownian must be given where stochastic is set, and only there")
        known: list[tuple[float, Any]] = []
        for i, (t, end) in enumerate(zip(map(float, times[:-1]), map(float, times[1:]), strict=True)):
            D = model(x, t)
            known = [(lams[i], D), *known][: self.order] if math.isfinite(lams[i]) else []
            noise = None if brownian is None else like(brownian.increment(i, i + 1)[0], x)
            if not (math.isfinite(lams[i]) and math.isfinite(lams[i + 1])):
                x = self._first_order(path, t, end, x, D, noise)
            elif self.stochastic:
                x = self._stochastic(path, (t, end), lams[i + 1], x, known, noise)
            elif len(known) < self.order:
                x = self._single_step(model, path, (t, end), x, D)
            else:
                x = self._combine(path, (t, end), x, _derivatives(known))
        return x

    def _combine(self, path: GaussianPath, times: tuple[float, float], x: Any, derivatives: list[Any]) -> Any:
        """Equation (2) with the derivatives of the prediction at the step's start."""
        start, end = times
        h = path.log_snr(end) - path.log_snr(start)
        data = self.prediction == "data"
        weights = phi(-h if data else h, len(derivatives))
        total = sum(h ** (k + 1) * float(weights[k + 1]) * D for k, D in enumerate(derivatives))
        if data:
            return path.sigma(end) / path.sigma(start) * x + path.alpha(end) * total
        return path.alpha(end) / path.alpha(start) * x - path.sigma(end) * total

    def _first_order(self, path: GaussianPath, start: float, end: float, x: Any, D: Any, noise: Any) -> Any:
        """The limit of (2), or of its stochastic variant, for an infinitely long step with constant data prediction."""
        if noise is not None:
            return path.alpha(end) * D + path.sigma(end) * noise
        return path.sigma(end) / path.sigma(start) * x + path.alpha(end) * D

    def _single_step(self, model: Model, path: GaussianPath, times: tuple[float, float], x: Any, D: Any) -> Any:
        """A step of the method's order that needs no values from before."""
        start, end = times
        lam = path.log_snr(start)
        h = path.log_snr(end) - lam
        slopes: list[Any] = []
        for node in (1 / 2,) if self.order == 2 else (1 / 3, 2 / 3):
            t = path.time(lam + node * h)
            x_node = self._combine(path, (start, t), x, [D, *slopes])
            slopes = [(model(x_node, t) - D) / (node * h)]
        return self._combine(path, times, x, [D, *slopes])

    def _stochastic(
        self, path: GaussianPath, times: tuple[float, float], lam_end: float, x: Any, known: list[tuple[float, Any]], noise: Any
    ) -> Any:
        """The reverse diffusion: the drift sees twice the pull to the data, and the noise makes up for it."""
        start, end = times
        h = lam_end - known[0][0]
        weights = phi(-2 * h, len(known))
        drift = sum(2 * h ** (k + 1) * float(weights[k + 1]) * D for k, D in enumerate(_derivatives(known)))
        spread = path.sigma(end) * math.sqrt(-math.expm1(-2 * h))
        return path.sigma(end) / path.sigma(start) * math.exp(-h) * x + path.alpha(end) * drift + spread * noise


def _check_increasing(times: Sequence[float], lams: list[float]) -> None:
    if len(lams) < 2:
        raise ValueError(f"times = {list(times)} make no step: give at least two")
    for i, (before, after) in enumerate(pairwise(lams)):
        if not before < after:
            what = f"times[{i}] = {times[i]} and times[{i + 1}] = {times[i + 1]}"
            raise ValueError(f"{what} have log-SNR {before:.6g} and {after:.6g}, which must increase: reverse or separate them")


def _derivatives(known: list[tuple[float, Any]]) -> list[Any]:
    """Value and derivatives, at the newest node, of the polynomial through up to three (node, value), newest first."""
    (lam0, D0), *older = known
    if not older:
        return [D0]
    (lam1, D1), *oldest = older
    first = (D0 - D1) / (lam0 - lam1)
    if not oldest:
        return [D0, first]
    ((lam2, D2),) = oldest
    second = (first - (D1 - D2) / (lam1 - lam2)) / (lam0 - lam2)
    return [D0, first + (lam0 - lam1) * second, 2 * second]


def like(array: Any, x: Any) -> Any:
    """A NumPy array in the kind, the precision and on the device of x."""
    return x.new_tensor(array) if hasattr(x, "new_tensor") else np.asarray(array, dtype=x.real.dtype)
