"""Order four of ETDRK4 with its constant, against closed forms; the linear part exact at any step."""

import numpy as np
import pytest
import scipy.linalg

from sciml.discretize import discretize
from sciml.problems import Burgers
from solvers.integrators import EXPONENTIAL, SemiLinear
from solvers.integrators.etdrk4 import coefficients


def march(terms, t0, t1, y0, steps):
    h, y = (t1 - t0) / steps, np.asarray(y0)
    stepper = EXPONENTIAL["etdrk4"].bind(terms, np, 0)
    for number in range(steps):
        y = stepper.step(t0 + number * h, y, h, None)[0].y
    return y


def logistic_nonlinear_only():
    """y' = y (1 - y) with everything in N: the classical fourth-order Runge-Kutta method."""
    return SemiLinear(np.zeros(1), lambda t, y: y - y**2), (0.0, 2.0), [0.1], lambda t: np.array([1 / (1 + 9 * np.exp(-t))])


def logistic_split():
    """The same equation with its linear part in L."""
    return SemiLinear(np.ones(1), lambda t, y: -(y**2)), (0.0, 2.0), [0.1], lambda t: np.array([1 / (1 + 9 * np.exp(-t))])


def forced():
    """y' = -2 y + cos t: N depends on time alone, so that a stage at the wrong time shows."""

    def exact(t):
        return np.array([(2 * np.cos(t) + np.sin(t)) / 5 + 0.6 * np.exp(-2 * t)])

    return SemiLinear(np.array([-2.0]), lambda t, y: np.full_like(y, np.cos(t))), (0.0, 2.0), exact(0.0), exact


def oscillator():
    """y' = 3i y - |y|^2 y, with complex L: r' = -r^3 gives r = 1 / sqrt(1 + 2 t) and the phase is 3 t."""
    return (
        SemiLinear(np.array([3j]), lambda t, y: -(np.abs(y) ** 2) * y),
        (0.0, 2.0),
        [1.0 + 0j],
        lambda t: np.array([np.exp(3j * t) / np.sqrt(1 + 2 * t)]),
    )


def burgers():
    """Cole-Hopf: phi = 1 + cos(2 pi x) / 2 exp(-nu (2 pi)^2 t) gives u = -2 nu phi_x / phi."""
    n, nu = 64, 0.02
    problem = Burgers(resolution=n, viscosity=nu)
    x = problem.grid.centers(0)

    def u(t):
        a = 0.5 * np.exp(-nu * (2 * np.pi) ** 2 * t)
        return 4 * np.pi * nu * a * np.sin(2 * np.pi * x) / (1 + a * np.cos(2 * np.pi * x))

    system = discretize(problem, {"initial_velocity": u(0.0)})
    exact = np.fft.rfft(u(1.0)) / n
    return SemiLinear(system.linear, system.nonlinear), (0.0, 1.0), system.state0, lambda t: exact


#: problem, steps of the coarsest run, error over h^4 at the finest.
CASES = [
    (logistic_nonlinear_only, 8, 1.18e-3),
    (logistic_split, 8, 7.85e-4),
    (forced, 8, 1.254e-3),
    (oscillator, 16, 1.98e-2),
    (burgers, 4, 2.1e-4),
]


@pytest.mark.parametrize(("case", "first", "constant"), CASES, ids=[case.__name__ for case, *_ in CASES])
def test_fourth_order_with_its_constant(case, first, constant):
    terms, (t0, t1), y0, exact = case()
    counts = [first * 2**k for k in range(4)]
    errors = [np.linalg.norm(march(terms, t0, t1, y0, count) - exact(t1)) for count in counts]
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(slopes[-2:] - 4) < 0.15)
    assert errors[-1] / ((t1 - t0) / counts[-1]) ** 4 == pytest.approx(constant, rel=0.05)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("linear", [[-1e6, -30.0, -1.0, 0.0, 0.5], [-2 + 9j, 40j, -1e4 + 1j, 0.0, 1j]])
def test_linear_equation_with_constant_forcing_is_exact_at_any_step(linear, steps):
    """Against the matrix exponential of the equation with its forcing as one more unknown."""
    L = np.array(linear)
    y0, forcing = np.array([1.0, -2.0, 0.5, 3.0, 1.0]), np.array([2.0, 1.0, -1.0, 0.3, 0.1])
    exact = [(scipy.linalg.expm(np.array([[value, b], [0, 0]])) @ [y, 1])[0] for value, b, y in zip(L, forcing, y0, strict=True)]
    found = march(SemiLinear(L, lambda t, y: np.broadcast_to(forcing, y.shape)), 0.0, 1.0, y0, steps)
    np.testing.assert_allclose(found, exact, rtol=2e-13, atol=1e-15)


def test_stiffness_does_not_limit_the_step():
    """y' = -1e6 (y - cos t) - sin t has the solution cos t, with a step a hundred thousand times the stability limit of RK4."""
    stiff = SemiLinear(np.array([-1e6]), lambda t, y: np.full_like(y, 1e6 * np.cos(t) - np.sin(t)))
    errors = [abs(march(stiff, 0.0, 2.0, [1.0], steps)[0] - np.cos(2.0)) for steps in (8, 16, 32)]
    assert max(errors) < 1e-5


@pytest.mark.parametrize("real", [True, False])
def test_coefficients_are_the_integrals_that_define_them(real):
    """phi_k(z) = integral of exp((1 - s) z) s^(k-1) / (k-1)!, by Gauss-Legendre quadrature."""
    z = np.array([-50.0, -3.0, -1e-3, -1e-9, 0.0, 0.7]) + (0 if real else 1j * np.array([0, 2.0, 1e-4, 0, 1e-7, -5.0]))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    s, w = (nodes + 1) / 2, weights / 2
    phi1, phi2, phi3 = (np.sum(w * np.exp((1 - s) * z[:, None]) * s**k / f, axis=1) for k, f in ((0, 1), (1, 1), (2, 2)))
    half = np.sum(w * np.exp((1 - s) * z[:, None] / 2), axis=1) / 2
    h = 0.3
    expected = [half, phi1 - 3 * phi2 + 4 * phi3, phi2 - 2 * phi3, 4 * phi3 - phi2]
    for found, value in zip(coefficients(z, h), expected, strict=True):
        assert np.iscomplexobj(found) is not real
        np.testing.assert_allclose(found, h * value, atol=2e-14)
