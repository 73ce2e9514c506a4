"""Stochastic differential equations ``dy = f(t, y) dt + g(t, y) dW`` with a Brownian motion of its own for every entry of the state.

Euler-Maruyama and Milstein: Kloeden and Platen, "Numerical Solution of Stochastic Differential Equations" (1992), equations 10.2.4 and
10.3.2, the latter without derivatives as in 11.1.7. Heun: there 11.5.2 for Stratonovich's integral. SRA1: Roessler, "Runge-Kutta methods
for the strong approximation of solutions of stochastic differential equations", SIAM J. Numer. Anal. 48 (2010), table 6.3. The
exponential methods use the exact law of ``integral of e^((h - s) L) g dW`` over a step, normal with variance ``h phi_1(2 h L) g^2``:
Jentzen and Kloeden, Proc. R. Soc. A 465 (2009).

Backward in time (h < 0) the equation is ``dy = -f d tau + g dW`` in the elapsed time tau, as reverse-time diffusions are written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from solvers.arguments import fits, numbers, refuse_uncallable, shown
from solvers.integrators.brownian import BrownianPath, Point
from solvers.integrators.kinds import in_kind, is_torch, to_numpy
from solvers.integrators.linear_part import Diagonal, Operator
from solvers.integrators.method import Advance
from solvers.integrators.phi import phi
from solvers.integrators.terms import SemiLinear, derivative, fitting

Function = Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Stochastic:
    """``dy = drift(t, y) dt + diffusion(t, y) dW``.

    Parameters
    ----------
    drift : f of the whole state, rows of a batch alike and apart.
    diffusion : g in the state's shape, or broadcast against it; entry i may depend on entry i of the state only.
    brownian : the path, of the state's shape, over the times of the integration.
    derivative : entries of dg_i / dy_i for "milstein"; None takes differences over ``g sqrt(h)``, which keeps the order.

    Raises
    ------
    TypeError : what is no function, or no path.
    """

    drift: Function
    diffusion: Function
    brownian: BrownianPath
    derivative: Function | None = None

    def __post_init__(self) -> None:
        refuse_uncallable("Stochastic.drift", self.drift, "give f(t, y)")
        refuse_uncallable("Stochastic.diffusion", self.diffusion, "give g(t, y), as lambda t, y: 0.1 for a constant")
        if self.derivative is not None:
            refuse_uncallable("Stochastic.derivative", self.derivative, "give dg/dy as a function of t and y, or None")
        _refuse_other_paths("Stochastic.brownian", self.brownian)

    def counted(self, count: Callable[[Function], Function]) -> Stochastic:
        """The same with `count` around its drift."""
        return replace(self, drift=count(self.drift))


@dataclass(frozen=True, eq=False)
class AdditiveNoise:
    """``dy = drift(t, y) dt + diffusion(t) dW``: noise that does not depend on the state, for which more accurate methods exist.

    Parameters
    ----------
    drift : f as in `Stochastic`, or `SemiLinear` with a real diagonal linear part for the exponential methods.
    diffusion : g of the time alone; a number, or an array that broadcasts against the state.
    brownian : as in `Stochastic`.

    Raises
    ------
    TypeError : what is no function, or no path.
    """

    drift: Function | SemiLinear
    diffusion: Callable[[Any], Any]
    brownian: BrownianPath

    def __post_init__(self) -> None:
        if not isinstance(self.drift, SemiLinear):
            refuse_uncallable("AdditiveNoise.drift", self.drift, "give f(t, y), or SemiLinear for the exponential methods")
        refuse_uncallable("AdditiveNoise.diffusion", self.diffusion, "give g(t), as lambda t: 0.1 for a constant")
        _refuse_other_paths("AdditiveNoise.brownian", self.brownian)

    def counted(self, count: Callable[[Function], Function]) -> AdditiveNoise:
        """The same with `count` around its drift, of semilinear ones around the nonlinear part."""
        return replace(self, drift=self.drift.counted(count) if isinstance(self.drift, SemiLinear) else count(self.drift))


def _refuse_other_paths(name: str, path: Any) -> None:
    if not isinstance(path, BrownianPath):
        raise TypeError(f"{name} = {shown(path)} is no path: give BrownianPath(span, shape, seed)")


@dataclass(frozen=True, eq=False)
class Noise:
    """What a step sees of the path: the increment, the integral of the path from its start over the elapsed time, and that time."""

    dW: Any  # noqa: N815
    I10: Any
    elapsed: Any


Formula = Callable[[Any, Any, Any, Any, Noise], Any]


def euler_maruyama(terms: Stochastic, t: Any, y: Any, h: Any, noise: Noise) -> Any:
    return y + h * terms.drift(t, y) + terms.diffusion(t, y) * noise.dW


def heun(terms: Stochastic, t: Any, y: Any, h: Any, noise: Noise) -> Any:
    f, g = terms.drift(t, y), terms.diffusion(t, y)
    guess = y + h * f + g * noise.dW
    return y + h / 2 * (f + terms.drift(t + h, guess)) + (g + terms.diffusion(t + h, guess)) / 2 * noise.dW


def milstein(terms: Stochastic, t: Any, y: Any, h: Any, noise: Noise) -> Any:
    g = terms.diffusion(t, y)
    root = noise.elapsed**0.5
    if terms.derivative is not None:
        gg = g * terms.derivative(t, y)
    else:
        gg = (terms.diffusion(t, y + g * root) - g) / root
    return y + h * terms.drift(t, y) + g * noise.dW + gg / 2 * (noise.dW**2 - noise.elapsed)


def sra1(terms: AdditiveNoise, t: Any, y: Any, h: Any, noise: Noise) -> Any:
    f: Any = terms.drift
    g0, g1 = in_kind(terms.diffusion(t), y), in_kind(terms.diffusion(t + h), y)
    area = noise.I10 / noise.elapsed
    k1 = f(t, y)
    k2 = f(t + 3 / 4 * h, y + 3 / 4 * h * k1 + 3 / 2 * g1 * area)
    return y + h / 3 * (k1 + 2 * k2) + g1 * noise.dW + (g0 - g1) * area


def exponential_euler(terms: AdditiveNoise, t: Any, y: Any, h: Any, noise: Noise) -> Any:
    L, N = _semilinear(terms)
    return L.combine(1.0, h, [y, N(t, y)]) + _convolution(terms, L, t, h, noise)


def exponential_heun(terms: AdditiveNoise, t: Any, y: Any, h: Any, noise: Noise) -> Any:
    L, N = _semilinear(terms)
    n, convolution = N(t, y), _convolution(terms, L, t, h, noise)
    guess = L.combine(1.0, h, [y, n]) + convolution
    return L.combine(1.0, h, [y, n, (N(t + h, guess) - n) / h]) + convolution


def _convolution(terms: AdditiveNoise, L: Diagonal, t: Any, h: Any, noise: Noise) -> Any:
    """Normal with the law of the stochastic convolution for g as in the middle of the step, driven by the path's increment."""
    spread = np.sqrt(phi(2 * to_numpy(h) * to_numpy(L.values), 1)[1])
    return in_kind(spread, noise.dW) * in_kind(terms.diffusion(t + h / 2), noise.dW) * noise.dW


def _semilinear(terms: AdditiveNoise) -> tuple[Diagonal, Function]:
    drift = terms.drift
    if not isinstance(drift, SemiLinear) or isinstance(drift.linear, Operator) or to_numpy(drift.linear).dtype.kind == "c":
        raise TypeError("exponential methods for noise need a drift that is SemiLinear with a real diagonal: take 'sra1' for any other")
    N = (lambda t, y: 0 * y) if drift.nonlinear is None else fitting("nonlinear", drift.nonlinear)
    return Diagonal(drift.linear), N


def _function(drift: Function | SemiLinear) -> Function:
    return derivative(drift) if isinstance(drift, SemiLinear) else fitting("drift", drift)


def _sized(name: str, function: Callable[..., Any], shape: tuple[int, ...]) -> Callable[..., Any]:
    """The function, ValueError where its values do not broadcast against a state of this shape."""

    def sized(*at: Any) -> Any:
        value = function(*at)
        if isinstance(value, int | float):
            return value
        if not is_torch(value):
            value = numbers(f"{name}(t, ...)", value, "return a number or an array")
        if not fits(tuple(value.shape), shape):
            what = f"{name} returned shape {tuple(value.shape)} for a state of shape {shape}"
            raise ValueError(f"{what}: return a number, or a shape that broadcasts against y")
        return value

    return sized


@dataclass(frozen=True)
class StochasticMethod:
    """A method for noise; instances carry their names in `STOCHASTIC`.

    Attributes
    ----------
    strong : order of the error against the same path. Euler-Maruyama: 0.5, but 1 for additive noise.
    weak : order of moments.
    additive : whether the method needs `AdditiveNoise`.
    calculus : the integral that the noise is meant in; without a difference where it is additive.
    """

    name: str
    formula: Formula
    strong: float
    weak: float
    additive: bool = False
    calculus: str = "Ito"
    error_order: None = None

    @property
    def order(self) -> int:
        return math.floor(self.weak)

    def bind(self, terms: Any, xp: Any, batch: int) -> _Stepper:
        if not isinstance(terms, (Stochastic, AdditiveNoise)):
            given = type(terms).__name__
            raise TypeError(f"method {self.name!r} needs noise, but the terms are {given}: give Stochastic or AdditiveNoise")
        if self.additive and isinstance(terms, Stochastic):
            raise TypeError(f"method {self.name!r} needs noise that does not depend on the state: give AdditiveNoise, or take 'milstein'")
        return _Stepper(self.formula, self._checked(terms))

    def _checked(self, terms: Any) -> Any:
        """The terms as the formula takes them, with values whose shapes are checked."""
        shape, exponential = terms.brownian.shape, self.formula in (exponential_euler, exponential_heun)
        if exponential:
            _semilinear(terms)
        drift, diffusion = terms.drift if exponential else _function(terms.drift), _sized("diffusion", terms.diffusion, shape)
        if self.additive:
            return AdditiveNoise(drift, diffusion, terms.brownian)
        if isinstance(terms, AdditiveNoise):
            return Stochastic(drift, lambda t, y: in_kind(diffusion(t), y), terms.brownian, lambda t, y: 0 * y)
        derivative = None if terms.derivative is None else _sized("derivative", terms.derivative, shape)
        return Stochastic(drift, diffusion, terms.brownian, derivative)


class _Stepper:
    def __init__(self, formula: Formula, terms: Any) -> None:
        self.formula, self.terms = formula, terms

    def step(self, t: Any, y: Any, h: Any, carry: _Carry | None) -> tuple[Advance, _Carry]:
        path: BrownianPath = self.terms.brownian
        if tuple(y.shape) != path.shape:
            raise ValueError(f"brownian has shape {path.shape}, but the state has {tuple(y.shape)}: give a path of the state's shape")
        known = carry is not None and np.array_equal(carry.time, t)
        start = carry.point if carry is not None and known else path.at(t)
        end = path.at(t + h)
        dW, I10 = path.between(start, end)
        size = in_kind(h, y)
        noise = Noise(in_kind(dW, y), in_kind(I10, y), abs(size))
        return Advance(self.formula(self.terms, t, y, size, noise)), _Carry(t + h, end)


@dataclass(frozen=True, eq=False)
class _Carry:
    """The path at the end of the step, where the next one starts."""

    time: Any
    point: Point


STOCHASTIC = {
    method.name: method
    for method in (
        StochasticMethod("euler_maruyama", euler_maruyama, 0.5, 1),
        StochasticMethod("stochastic_heun", heun, 1, 1, calculus="Stratonovich"),
        StochasticMethod("milstein", milstein, 1, 1),
        StochasticMethod("sra1", sra1, 1.5, 2, additive=True),
        StochasticMethod("exponential_euler", exponential_euler, 1, 1, additive=True),
        StochasticMethod("exponential_heun", exponential_heun, 1, 2, additive=True),
    )
}
