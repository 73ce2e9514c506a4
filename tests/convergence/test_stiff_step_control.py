"""The error estimates of the implicit methods steer steps through stiff problems, and a failed Newton iteration asks for a smaller one."""

import numpy as np
import pytest
import scipy.integrate
import scipy.sparse as sp

from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.linear_part import Operator
from solvers.integrators.newton import Implicit
from solvers.integrators.splitting import Split


def adaptive(name, terms, span, y, tolerance, h):
    """The elementary controller: accept where the scaled estimate is below 1, and take 0.9 of the step that would make it so."""
    method = DIAGONALLY_IMPLICIT[name]
    stepper, carry, t, tried, accepted = method.bind(terms, np, 0), None, span[0], 0, 0
    while t < span[1]:
        h, tried = min(h, span[1] - t), tried + 1
        with np.errstate(all="ignore"):
            advance, new = stepper.step(t, y, h, carry)
        ratio = np.sqrt(np.mean((advance.error / (tolerance * (1e-2 + np.maximum(abs(y), abs(advance.y))))) ** 2))
        if ratio <= 1:
            t, y, carry, accepted = t + h, advance.y, new, accepted + 1
        h *= np.clip(0.9 * ratio ** (-1 / (method.error_order + 1)), 0.2, 5) if np.isfinite(ratio) else 0.2
        assert tried < 20000
    return y, tried, accepted


def van_der_pol(t, y, stiffness=1e3):
    return np.stack([y[1], stiffness * ((1 - y[0] ** 2) * y[1] - y[0])])


#: method -> tolerance and how many times that the error may be; the estimate is of lower order than the method.
TOLERANCES = {"backward_euler": 1e-3, "tr_bdf2": 1e-5, "sdirk2": 1e-4, "sdirk4": 1e-6, "ark3": 1e-6, "ark4": 1e-7, "ark5": 1e-7}


@pytest.fixture(scope="module")
def exact():
    """Over half a period, in which the solution jumps once."""
    return scipy.integrate.solve_ivp(van_der_pol, (0.0, 1.0), [2.0, 0.0], method="Radau", rtol=1e-11, atol=1e-12).y[:, -1]


@pytest.mark.parametrize("name", TOLERANCES)
def test_van_der_pol_oscillator(name, exact):
    y, tried, accepted = adaptive(name, van_der_pol, (0.0, 1.0), np.array([2.0, 0.0]), TOLERANCES[name], 1e-4)
    assert np.max(abs(y - exact) / (1e-2 + abs(exact))) < 100 * TOLERANCES[name]
    assert accepted > 0.6 * tried


@pytest.mark.parametrize("name", ["sdirk4", "ark4"])
def test_a_first_step_far_too_long_is_made_shorter(name, exact):
    """The stages of y' = y^2 from 1 have no root for h = 5: the state is NaN, and a controller takes it from there."""
    stepper = DIAGONALLY_IMPLICIT[name].bind(lambda t, y: y**2, np, 0)
    with np.errstate(all="ignore"):
        failed = stepper.step(0.0, np.array([1.0]), 5.0, None)[0]
    shorter = stepper.step(0.0, np.array([1.0]), 0.1, None)[0]
    assert np.isnan(failed.y).all()
    assert np.isnan(failed.error).all()
    assert shorter.y[0] == pytest.approx(1 / 0.9, rel=1e-4)
    y, _, _ = adaptive(name, van_der_pol, (0.0, 1.0), np.array([2.0, 0.0]), TOLERANCES[name], 1.0)
    assert np.max(abs(y - exact) / (1e-2 + abs(exact))) < 100 * TOLERANCES[name]


def test_robertson_over_eleven_decades():
    """Kinetics with rates from 0.04 to 3e7: mass is kept, and the slow variable decays as y1 ~ t^-1."""

    def f(t, y):
        a, b, c = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
        return np.stack([b - a, a - b - c, c])

    theirs = scipy.integrate.solve_ivp(f, (0.0, 1e6), [1.0, 0.0, 0.0], method="Radau", rtol=1e-10, atol=1e-14).y[:, -1]
    y, tried, _ = adaptive("ark5", Implicit(f, tolerance=1e-13), (0.0, 1e6), np.array([1.0, 0.0, 0.0]), 1e-5, 1e-4)
    np.testing.assert_allclose(y[[0, 2]], theirs[[0, 2]], rtol=2e-3)
    assert y.sum() == pytest.approx(1.0, abs=1e-9)
    assert tried < 500


def test_brusselator_with_the_diffusion_alone_implicit():
    """Reaction and diffusion on 40 points: the additive pair, with the sparse linear part or with all of it implicit, against Radau."""
    n, diffusion = 40, 0.02
    A = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr() * diffusion * (n + 1) ** 2
    x = np.arange(1, n + 1) / (n + 1)
    L = sp.block_diag([A, A]).tocsr()
    edge = np.zeros(2 * n)
    edge[[0, n - 1]], edge[[n, 2 * n - 1]] = diffusion * (n + 1) ** 2, 3 * diffusion * (n + 1) ** 2

    def reaction(t, y):
        u, v = y[:n], y[n:]
        return np.concatenate([1 + u**2 * v - 4 * u, 3 * u - u**2 * v]) + edge

    start = np.concatenate([1 + np.sin(2 * np.pi * x), np.full(n, 3.0)])

    def whole(t, y):
        return L @ y + reaction(t, y)

    exact = scipy.integrate.solve_ivp(whole, (0.0, 2.0), start, method="Radau", rtol=1e-9, atol=1e-10).y[:, -1]
    for name, terms in (("ark4", Split(reaction, Operator(L))), ("ark3", Split(reaction, Operator(L))), ("sdirk4", Implicit(whole))):
        y, tried, _ = adaptive(name, terms, (0.0, 2.0), start, 1e-6, 1e-3)
        assert np.linalg.norm(y - exact) < 1e-4 * np.linalg.norm(exact)
        assert tried < 300
