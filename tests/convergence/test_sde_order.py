"""Strong orders against the same Brownian path, weak orders by exact recursion of moments: no sampling error in either."""

from functools import cache

import numpy as np
import pytest
import torch

from solvers.integrators.brownian import BrownianPath
from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.linear_part import Operator
from solvers.integrators.sde import STOCHASTIC, AdditiveNoise, Stochastic
from solvers.integrators.terms import SemiLinear

ROWS = 200
DRIFT, VOLATILITY = 0.5, 0.8
COUNTS = (16, 32, 64, 128)


def march(name, terms, y, span, steps, batch=1):
    stepper, carry = STOCHASTIC[name].bind(terms, np, batch), None
    h = (span[1] - span[0]) / steps
    for number in range(steps):
        advance, carry = stepper.step(span[0] + number * h, y, h, carry)
        y = advance.y
    return y


def path_of(span, rows=ROWS, seed=4):
    """Deep enough for the steps taken here, which are all dyadic."""
    return BrownianPath(span, (rows,), seed=seed, batch=1, depth=11)


def strong_errors(name, terms, start, span, exact, counts=COUNTS):
    return np.array([np.sqrt(np.mean((march(name, terms, start, span, count) - exact) ** 2)) for count in counts])


def fitted(errors, counts=COUNTS):
    """Slope of the least-squares line through all points."""
    return -np.polyfit(np.log2(counts), np.log2(errors), 1)[0]


@pytest.mark.parametrize("derivative", [None, lambda t, y: np.full_like(y, VOLATILITY)])
@pytest.mark.parametrize(("name", "order"), [("euler_maruyama", 0.5), ("milstein", 1.0), ("stochastic_heun", 1.0)])
def test_strong_order_on_geometric_brownian_motion(name, order, derivative):
    """y = exp((a - b^2 / 2) t + b W) in the sense of Ito, exp(a t + b W) in that of Stratonovich."""
    path = path_of((0.0, 1.0))
    W, _ = path.increment(0.0, 1.0)
    ito = np.exp((DRIFT - VOLATILITY**2 / 2) + VOLATILITY * W)
    exact = ito if STOCHASTIC[name].calculus == "Ito" else np.exp(DRIFT + VOLATILITY * W)
    terms = Stochastic(lambda t, y: DRIFT * y, lambda t, y: VOLATILITY * y, path, derivative)
    errors = strong_errors(name, terms, np.ones(ROWS), (0.0, 1.0), exact)
    assert fitted(errors) == pytest.approx(order, abs=0.1)


#: dy = cos(2 y + t) dt + g(t) dW: not linear, and the time enters drift and noise.
def wave(t, y):
    return np.cos(2 * y + t)


def strength(t):
    return 1.5 + np.sin(2 * t) / 2


SPANS = [(0.0, 1.0), (1.0, 0.0)]


@cache
def reference(span):
    """SRA1 on the same path in 1024 steps; backward in time the drift is turned round, so that both are stable."""
    return march("sra1", additive(span), np.full(ROWS, 0.5), span, 1024)


def additive(span):
    return AdditiveNoise(wave if span[0] < span[1] else lambda t, y: -wave(t, y), strength, path_of(span))


@pytest.mark.parametrize(("name", "order"), [("euler_maruyama", 1.0), ("milstein", 1.0), ("stochastic_heun", 1.0), ("sra1", 1.5)])
@pytest.mark.parametrize("span", SPANS)
def test_strong_order_for_additive_noise(name, order, span):
    errors = strong_errors(name, additive(span), np.full(ROWS, 0.5), span, reference(span))
    assert fitted(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["exponential_euler", "exponential_heun"])
def test_strong_order_of_exponential_methods(name):
    """The same equation with part of its drift in L."""
    span = SPANS[0]
    terms = AdditiveNoise(SemiLinear(np.array(-1.0), lambda t, y: wave(t, y) + y), strength, path_of(span))
    errors = strong_errors(name, terms, np.full(ROWS, 0.5), span, reference(span))
    assert fitted(errors) == pytest.approx(1.0, abs=0.1)


class Prescribed(BrownianPath):
    """A path whose increments are given: rows are quadrature points of (dW, I10) of one step."""

    def increment_of_step(self, dW, I10):
        object.__setattr__(self, "given", (dW, I10))

    def at(self, time):
        return None

    def between(self, start, end):
        return self.given


def moments_after(name, terms_of, mean, second, span, steps):
    """Mean and second moment of the linear equation, propagated exactly: one step is a polynomial of y and of two normals."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    X, Z = (axis.ravel() for axis in np.meshgrid(nodes, nodes))
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    path = Prescribed(span, X.shape, 0)
    h = (span[1] - span[0]) / steps
    path.increment_of_step(np.sqrt(h) * X, h / 2 * (np.sqrt(h) * X + np.sqrt(h / 3) * Z))
    for number in range(steps):
        t = span[0] + number * h
        stepper = STOCHASTIC[name].bind(terms_of(path), np, 0)
        zero, one = (stepper.step(t, np.full(X.shape, value), h, None)[0].y for value in (0.0, 1.0))
        slope = one - zero  # the step is affine in y
        mean, second = (
            weight @ slope * mean + weight @ zero,
            weight @ slope**2 * second + 2 * (weight @ (slope * zero)) * mean + weight @ zero**2,
        )
    return np.array([mean, second])


def geometric(path):
    return Stochastic(lambda t, y: DRIFT * y, lambda t, y: VOLATILITY * y, path)


@pytest.mark.parametrize(("name", "order"), [("euler_maruyama", 1), ("milstein", 1), ("stochastic_heun", 1)])
def test_weak_order_on_geometric_brownian_motion(name, order):
    rate = DRIFT if STOCHASTIC[name].calculus == "Ito" else DRIFT + VOLATILITY**2 / 2
    exact = np.array([np.exp(rate), np.exp(2 * rate + VOLATILITY**2)])
    errors = [abs(moments_after(name, geometric, 1.0, 1.0, (0.0, 1.0), steps) - exact) for steps in (32, 64, 128)]
    assert np.log2(errors[1][1] / errors[2][1]) == pytest.approx(order, abs=0.1)


def ornstein_uhlenbeck(linear):
    """dy = (-2 y + 1) dt + (1 + t) dW, the linear part apart or not."""
    drift = SemiLinear(np.array(-2.0), lambda t, y: 1 + 0 * y) if linear else lambda t, y: -2 * y + 1
    return lambda path: AdditiveNoise(drift, lambda t: 1.0 + t, path)


@pytest.mark.parametrize(
    ("name", "order"),
    [("euler_maruyama", 1), ("stochastic_heun", 2), ("sra1", 2), ("exponential_euler", 2), ("exponential_heun", 2)],
)
def test_weak_order_on_an_ornstein_uhlenbeck_process(name, order):
    """Mean (1 + e^-2t) / 2 from 1; the variance at 1 is the integral of (1 + s)^2 e^(-4 (1 - s)), by parts."""
    variance = (4 / 4 - 4 / 16 + 2 / 64) - np.exp(-4.0) * (1 / 4 - 2 / 16 + 2 / 64)
    mean = (1 + np.exp(-2.0)) / 2
    errors = []
    for steps in (32, 64, 128):
        found = moments_after(name, ornstein_uhlenbeck(name.startswith("exponential")), 1.0, 1.0, (0.0, 1.0), steps)
        errors.append(abs(found[1] - found[0] ** 2 - variance))
        assert abs(found[0] - mean) < (0.02 if order == 1 else 1e-3)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["exponential_euler", "exponential_heun"])
def test_exponential_methods_have_the_exact_law_of_a_stiff_linear_equation(name):
    """dy = (-50 y + 3) dt + 2 dW in four steps of any size: mean and variance to rounding."""
    terms = lambda path: AdditiveNoise(SemiLinear(np.array(-50.0), lambda t, y: 3 + 0 * y), lambda t: 2.0, path)  # noqa: E731
    mean, second = moments_after(name, terms, 1.0, 1.0, (0.0, 1.0), 4)
    assert mean == pytest.approx(3 / 50 + (1 - 3 / 50) * np.exp(-50.0), rel=1e-12)
    assert second - mean**2 == pytest.approx(4 * -np.expm1(-100.0) / 100, rel=1e-12)


def test_rows_do_not_depend_on_their_neighbours():
    many = BrownianPath((0.0, 1.0), (5, 2), seed=2, batch=1)
    start = np.linspace(0.1, 1.0, 10).reshape(5, 2)
    for name, method in STOCHASTIC.items():

        def terms(path, additive=method.additive):
            if additive:
                return AdditiveNoise(SemiLinear(np.array([-1.0, -2.0]), lambda t, y: np.sin(y)), strength, path)
            return Stochastic(wave, lambda t, y: 0.3 * y, path)

        together = march(name, terms(many), start, (0.0, 1.0), 5)
        for row in range(5):
            alone = BrownianPath((0.0, 1.0), (1, 2), seed=2, batch=1, first_row=row)
            np.testing.assert_array_equal(march(name, terms(alone), start[row : row + 1], (0.0, 1.0), 5)[0], together[row])


@pytest.mark.parametrize("name", STOCHASTIC)
def test_torch_agrees_with_numpy(name):
    path = BrownianPath((0.0, 1.0), (3,), seed=2)
    start = np.array([0.1, 0.5, 1.0])
    if STOCHASTIC[name].additive:
        terms = AdditiveNoise(SemiLinear(np.array([-1.0, -2.0, 0.0]), lambda t, y: -(y**3)), strength, path)
    else:
        terms = Stochastic(lambda t, y: t - y**3, lambda t, y: 0.3 * y, path)
    theirs = march(name, terms, torch.tensor(start), (0.0, 1.0), 5)
    assert theirs.dtype is torch.float64
    np.testing.assert_allclose(theirs.numpy(), march(name, terms, start, (0.0, 1.0), 5), rtol=1e-12)


PATH = BrownianPath((0.0, 1.0), (2,), seed=0)
MULTIPLICATIVE = Stochastic(lambda t, y: y, lambda t, y: y, PATH)


@pytest.mark.parametrize(
    ("name", "terms", "message"),
    [
        ("euler_maruyama", lambda t, y: y, "method 'euler_maruyama' needs noise, but the terms are function"),
        ("sra1", MULTIPLICATIVE, "method 'sra1' needs noise that does not depend on the state"),
        ("exponential_heun", AdditiveNoise(wave, strength, PATH), "SemiLinear with a real diagonal"),
        ("exponential_euler", AdditiveNoise(SemiLinear(Operator(np.eye(2))), strength, PATH), "SemiLinear with a real diagonal"),
        ("exponential_euler", AdditiveNoise(SemiLinear(np.array([1j])), strength, PATH), "SemiLinear with a real diagonal"),
    ],
)
def test_terms_that_do_not_fit_are_named(name, terms, message):
    with pytest.raises(TypeError, match=message):
        STOCHASTIC[name].bind(terms, np, 0)


def test_noise_with_a_method_for_smooth_equations_is_named():
    with pytest.raises(TypeError, match="method 'sdirk4' cannot integrate Stochastic"):
        DIAGONALLY_IMPLICIT["sdirk4"].bind(MULTIPLICATIVE, np, 0)


def test_a_path_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"brownian has shape \(2,\), but the state has \(3,\)"):
        STOCHASTIC["milstein"].bind(MULTIPLICATIVE, np, 0).step(0.0, np.ones(3), 0.1, None)
