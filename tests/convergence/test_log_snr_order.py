"""Multistep methods in log-SNR against the closed-form probability flow of Gaussian data, with the widely copied third order beside."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from solvers.integrators.brownian import BrownianPath
from solvers.integrators.log_snr import (
    GaussianPath,
    LogSNRMultistep,
    linear_path,
    variance_exploding_path,
    variance_preserving_path,
)

VARIANCES = np.array([0.04, 0.25, 1.0, 4.0])
START = np.array([1.0, -0.7, 0.3, 1.5])
ENDS = (-3.0, 3.0)


def denoiser(path):
    """E[x1 | x_t] for data from N(0, diag(VARIANCES))."""
    return lambda x, t: path.alpha(t) * VARIANCES / (path.alpha(t) ** 2 * VARIANCES + path.sigma(t) ** 2) * x


def noise_model(path):
    data = denoiser(path)
    return lambda x, t: (x - path.alpha(t) * data(x, t)) / path.sigma(t)


def exact(path, start, end):
    def spread(t):
        return np.sqrt(path.alpha(t) ** 2 * VARIANCES + path.sigma(t) ** 2)

    return spread(end) / spread(start) * START


def grid(path, steps):
    return [path.time(lam) for lam in np.linspace(*ENDS, steps + 1)]


def error(method, path, steps):
    model = denoiser(path) if method.prediction == "data" else noise_model(path)
    times = grid(path, steps)
    return np.linalg.norm(method.integrate(model, path, times, START) - exact(path, times[0], times[-1]))


def copied_third_order(path, steps):
    """Data prediction with the second divided difference where the second derivative belongs; the start is that of the method."""
    model, times, x, known = denoiser(path), grid(path, steps), START, []
    lams = np.linspace(*ENDS, steps + 1)
    for i, (start, end) in enumerate(pairwise(times)):
        known = [(lams[i], model(x, start)), *known][:3]
        if len(known) < 3:
            x = LogSNRMultistep(order=3).integrate(model, path, [start, end], x)
            continue
        (l0, D0), (l1, D1), (l2, D2) = known
        h = lams[i + 1] - l0
        r0, r1 = (l0 - l1) / h, (l1 - l2) / h
        d10, d11 = (D0 - D1) / r0, (D1 - D2) / r1
        d1 = d10 + r0 / (r0 + r1) * (d10 - d11)
        d2 = (d10 - d11) / (r0 + r1)
        f1 = math.expm1(-h)
        f2 = f1 / h + 1
        f3 = f2 / h - 0.5
        x = path.sigma(end) / path.sigma(start) * x - path.alpha(end) * (f1 * D0 - f2 * d1 + f3 * d2)
    return np.linalg.norm(x - exact(path, times[0], times[-1]))


PATHS = {"linear": linear_path(), "preserving": variance_preserving_path(), "exploding": variance_exploding_path()}


@pytest.mark.parametrize("name", PATHS)
def test_time_inverts_the_log_snr(name):
    path = PATHS[name]
    assert [path.log_snr(path.time(lam)) for lam in (-4.0, -1.0, 0.0, 3.0)] == pytest.approx([-4.0, -1.0, 0.0, 3.0], abs=1e-12)


#: prediction, order -> error over the ``order``-th power of the step in log-SNR.
CONSTANTS = {
    ("data", 1): 0.749,
    ("data", 2): 0.3203,
    ("data", 3): 0.01078,
    ("noise", 1): 0.749,
    ("noise", 2): 0.3040,
    ("noise", 3): 0.02177,
}


@pytest.mark.parametrize(("prediction", "order"), CONSTANTS)
def test_order_with_its_constant(order, prediction):
    """Over four halvings of the step in log-SNR."""
    counts = [256, 512, 1024, 2048, 4096]
    errors = np.array([error(LogSNRMultistep(order, prediction), PATHS["preserving"], count) for count in counts])
    slopes = np.log2(errors[:-1] / errors[1:])
    assert np.all(np.abs(slopes[-2:] - order) < 0.1)
    assert errors[-1] * (counts[-1] / 6) ** order == pytest.approx(CONSTANTS[prediction, order], rel=0.01)


def test_ten_times_more_accurate_than_the_copied_third_order():
    ours = [error(LogSNRMultistep(3), PATHS["preserving"], count) for count in (128, 1024, 2048)]
    copied = [copied_third_order(PATHS["preserving"], count) for count in (128, 1024, 2048)]
    assert copied[0] > 50 * ours[0]
    assert math.log2(copied[1] / copied[2]) == pytest.approx(2, abs=0.1)
    assert math.log2(ours[1] / ours[2]) == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("order", [2, 3])
def test_order_holds_on_a_grid_of_varying_steps(order):
    """Neighbouring steps differ by up to half; constant-step formulas would fall to first order."""
    path, rates = PATHS["exploding"], []
    for count in (512, 1024):
        s = np.linspace(0, 1, count + 1)
        lams = ENDS[0] + (ENDS[1] - ENDS[0]) * (s + 0.1 * np.sin(2 * np.pi * s) + 0.1 / count * (np.arange(count + 1) % 2) * (s < 1))
        times = [path.time(lam) for lam in lams]
        found = LogSNRMultistep(order).integrate(denoiser(path), path, times, START)
        rates.append(np.linalg.norm(found - exact(path, times[0], times[-1])))
    assert math.log2(rates[0] / rates[1]) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("prediction", ["data", "noise"])
def test_constant_predictions_are_exact_at_any_step(order, prediction):
    path, constant = PATHS["preserving"], np.array([0.3, -2.0])
    times = [1.0, 0.4, 0.3, 0.01]
    found = LogSNRMultistep(order, prediction).integrate(lambda x, t: constant, path, times, np.array([1.0, 2.0]))
    a, s = path.alpha, path.sigma
    x0 = np.array([1.0, 2.0])
    if prediction == "data":
        expected = a(0.01) * constant + s(0.01) / s(1.0) * (x0 - a(1.0) * constant)
    else:
        expected = s(0.01) * constant + a(0.01) / a(1.0) * (x0 - s(1.0) * constant)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_infinite_ends_are_steps_of_first_order_without_nan(order):
    """From pure noise at t = 0 to data at t = 1, where the log-SNR is infinite."""
    path = PATHS["linear"]
    times = [0.0, *grid(path, 400), 1.0]
    found = LogSNRMultistep(order).integrate(denoiser(path), path, times, START)
    assert np.linalg.norm(found - exact(path, 0.0, 1.0)) < 0.03
    assert np.array_equal(LogSNRMultistep(order).integrate(denoiser(path), path, [0.5, 1.0], START), denoiser(path)(START, 0.5))


@pytest.mark.parametrize(("order", "rate"), [(1, 1), (2, 2)])
def test_weak_order_of_the_stochastic_variant(order, rate):
    """The steps are affine in the state and in the normal numbers, so that impulses give the exact variance: no sampling.

    The state starts with the variance of the noised data, and must end with that of data noised to the end's level.
    """
    path, method = PATHS["preserving"], LogSNRMultistep(order, stochastic=True)

    def variance(steps):
        times, total = grid(path, steps), 0.0
        impulses = np.zeros((steps + 1, len(VARIANCES)))

        class Impulses(BrownianPath):
            """Step i drives row i + 1 alone; row 0 starts with a unit state instead."""

            def increment(self, start, end):
                noise = np.zeros(self.shape)
                noise[int(start) + 1] = 1.0
                return noise, noise

        impulses[0] = 1.0
        found = method.integrate(denoiser(path), path, times, impulses, Impulses((0.0, float(steps)), impulses.shape, 0))
        start = path.alpha(times[0]) ** 2 * VARIANCES + path.sigma(times[0]) ** 2
        total = start * found[0] ** 2 + (found[1:] ** 2).sum(axis=0)
        return total - (path.alpha(times[-1]) ** 2 * VARIANCES + path.sigma(times[-1]) ** 2)

    errors = [np.linalg.norm(variance(steps)) for steps in (128, 256, 512)]
    assert math.log2(errors[1] / errors[2]) == pytest.approx(rate, abs=0.1)
    assert errors[2] < (0.05 if order == 1 else 2e-3)


def test_torch_agrees_and_differentiates():
    path, method = PATHS["preserving"], LogSNRMultistep(3)
    variances, times = torch.tensor(VARIANCES), grid(path, 20)

    def model(x, t):
        return path.alpha(t) * variances / (path.alpha(t) ** 2 * variances + path.sigma(t) ** 2) * x

    x = torch.tensor(START, requires_grad=True)
    found = method.integrate(model, path, times, x)
    np.testing.assert_allclose(found.detach().numpy(), method.integrate(denoiser(path), path, times, START), rtol=1e-12)
    found.sum().backward()
    np.testing.assert_allclose((x.grad * x.detach()).numpy(), found.detach().numpy(), rtol=1e-12)  # the flow is linear
    noise = BrownianPath((0.0, 20.0), START.shape, seed=5)
    both = [LogSNRMultistep(2, stochastic=True).integrate(m, path, times, s, noise) for m, s in ((model, x), (denoiser(path), START))]
    np.testing.assert_allclose(both[0].detach().numpy(), both[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogSNRMultistep(order=4), "order = 4 is not known"),
        (lambda: LogSNRMultistep(order=3, stochastic=True), "order = 3 is not known"),
        (lambda: LogSNRMultistep(prediction="score"), "prediction = 'score' is not known"),
        (lambda: LogSNRMultistep(prediction="noise", stochastic=True), "no stochastic variant"),
        (lambda: LogSNRMultistep().integrate(denoiser(PATHS["linear"]), PATHS["linear"], [0.5, 0.2], START), "must increase: reverse"),
        (lambda: LogSNRMultistep(prediction="noise").integrate(None, PATHS["linear"], [0.5, 1.0], START), "stop short of it"),
        (lambda: LogSNRMultistep(stochastic=True).integrate(None, PATHS["linear"], [0.5, 0.6], START), "brownian must be given"),
        (lambda: variance_preserving_path(2.0, 1.0), "give 0 < beta0 <= beta1"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_path_is_any_three_functions():
    """The cosine path: alpha = sin, sigma = cos of pi t / 2."""
    cosine = GaussianPath(
        lambda t: math.sin(math.pi * t / 2), lambda t: math.cos(math.pi * t / 2), lambda lam: 2 / math.pi * math.atan(math.exp(lam))
    )
    times = np.linspace(0.05, 0.95, 201)
    found = LogSNRMultistep(2).integrate(denoiser(cosine), cosine, times, START)
    np.testing.assert_allclose(found, exact(cosine, 0.05, 0.95), rtol=4e-4)
