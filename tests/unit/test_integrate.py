"""What `integrate` promises with global control: success means accuracy, rows are independent, failures keep what they have."""

import numpy as np
import pytest
import scipy.integrate

from sciml.discretize import discretize, evolve, fields_of
from sciml.problems import Burgers, seed_words
from solvers import SolverError
from solvers.integrators import Event, IntegrationStatus, SemiLinear
from solvers.integrators import integrate as integrate_by

LOGISTIC = SemiLinear(np.ones(1), lambda t, y: -(y**2))


def integrate(terms, span, y0, method="etdrk4", **options):
    return integrate_by(terms, span, y0, method, control="global", **options)


def logistic(t, y0):
    return y0 / (y0 + (1 - y0) * np.exp(-t))


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9, 1e-12])
def test_success_means_that_the_error_meets_the_tolerance(rtol):
    times = [0.5, 2.0, 3.0]
    found = integrate(LOGISTIC, (0.0, 3.0), [0.02], rtol=rtol, save_at=times).raise_for_status()
    exact = np.array([[logistic(t, 0.02)] for t in times])
    assert found.error_ratio <= 1
    assert np.all(np.abs(found.ys - exact) <= rtol * exact)
    assert found.steps <= 40 * rtol**-0.25  # and is not bought with more steps than the order needs


@pytest.mark.parametrize(
    ("viscosity", "rtol", "indices"),
    [(0.1, 1e-4, range(40)), (0.1, 1e-6, (2, 29, 125)), (0.1, 1e-8, (0, 2)), (0.01, 1e-4, range(20)), (0.01, 1e-7, (0, 1))],
)
def test_burgers_from_rough_random_states_meets_the_tolerance(viscosity, rtol, indices):
    """Rough data at high viscosity reduce the order; the Cole-Hopf solution says whether success still means what it says.

    Sample 125 is one where two runs agree to 9e-7 while the finer one is off by 1.1e-6.
    """
    problem = Burgers(resolution=128, viscosity=viscosity, times=(0.5, 1.0) if rtol < 1e-6 else (1.0,))
    for index in indices:
        parameters = problem.sample(seed_words(0, 0, index))
        system = discretize(problem, parameters)
        found = fields_of(system, evolve(problem, system, rtol).raise_for_status())["velocity"]
        exact = problem.exact(parameters)["velocity"]
        assert np.all(np.linalg.norm(found - exact, axis=-1) <= rtol * np.linalg.norm(exact, axis=-1))


def test_agrees_with_an_independent_integrator():
    """The same semi-discrete equations by SciPy's Radau."""
    problem = Burgers(resolution=32, viscosity=0.05)
    system = discretize(problem, problem.sample(seed_words(0, 0, 0)))
    ours = integrate(system, (0.0, 1.0), system.state0, rtol=1e-9).raise_for_status().ys[-1]

    def right_hand_side(t, y):
        return system.linear * y + system.nonlinear(t, y)

    # Radau takes complex states; every entry then has its own complex equation, which conjugation in the product breaks: split it.
    def real(t, y):
        z = right_hand_side(t, y[: len(y) // 2] + 1j * y[len(y) // 2 :])
        return np.concatenate([z.real, z.imag])

    start = np.concatenate([system.state0.real, system.state0.imag])
    theirs = scipy.integrate.solve_ivp(real, (0.0, 1.0), start, method="Radau", rtol=1e-9, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(ours, theirs[: len(ours)] + 1j * theirs[len(ours) :], atol=1e-8 * np.abs(ours).max())


def test_rows_do_not_depend_on_their_neighbours():
    starts = np.array([[0.02], [0.5], [40.0], [1e9], [np.nan]])
    together = integrate(LOGISTIC, (0.0, 3.0), starts, rtol=1e-8, save_at=[1.0, 3.0], batch=1, max_steps=20000)
    for row, start in enumerate(starts):
        alone = integrate(LOGISTIC, (0.0, 3.0), start, rtol=1e-8, save_at=[1.0, 3.0], max_steps=20000)
        assert together.row_status[row] is alone.status
        assert together.steps[row] == alone.steps
        np.testing.assert_array_equal(together.ys[:, row], alone.ys)
    assert len(set(together.steps[:3].tolist())) > 1  # the rows did end at different runs
    assert [status.name for status in together.row_status] == ["SUCCESS", "SUCCESS", "SUCCESS", "NONFINITE", "NONFINITE"]
    assert together.status is IntegrationStatus.NONFINITE


def test_rows_may_have_linear_parts_of_their_own():
    rates = np.array([[-1.0, -2.0], [-5.0, 0.3]])
    found = integrate(SemiLinear(rates), (1.0, 3.0), np.ones((2, 2)), batch=1).raise_for_status()
    np.testing.assert_allclose(found.ys[0], np.exp(2 * rates), rtol=1e-13)


def test_a_forcing_that_vanishes_on_dyadic_times_is_seen():
    """Runs of 1, 2 and 4 steps would all see zero here and agree."""
    forced = SemiLinear(np.zeros(1), lambda t, y: np.full_like(y, np.sin(8 * np.pi * t) ** 2))
    found = integrate(forced, (0.0, 1.0), [1.0], rtol=1e-8).raise_for_status()
    assert found.ys[0, 0] == pytest.approx(1.5, rel=1e-8)


def test_max_steps_keeps_the_finest_result():
    found = integrate(LOGISTIC, (0.0, 3.0), [0.02], rtol=1e-12, max_steps=100)
    assert found.status is IntegrationStatus.MAX_STEPS
    assert found.steps == 80
    assert found.error_ratio > 1
    assert found.ys[0, 0] == pytest.approx(logistic(3.0, 0.02), rel=1e-6)
    with pytest.raises(SolverError, match="raise max_steps, loosen rtol"):
        found.raise_for_status()


def test_blow_up_keeps_what_came_before():
    """y' = y^2 from 1 is 1 / (1 - t): finite at 0.5, gone at 1."""
    found = integrate(SemiLinear(np.zeros(1), lambda t, y: y**2), (0.0, 2.0), [1.0], save_at=[0.5, 1.5], max_steps=2000)
    assert found.status is IntegrationStatus.NONFINITE
    assert found.ys[0, 0] == pytest.approx(2.0, rel=1e-8)
    assert not np.isfinite(found.ys[1]).any()
    assert (found.reached, found.last) == (0.5, found.ys[0])
    with pytest.raises(SolverError, match=r"NONFINITE after \d+ steps at t = 0.5, entries up to 2: .* blows up"):
        found.raise_for_status()


def test_a_time_too_large_for_the_steps_is_said_so():
    start = 1e15
    found = integrate(LOGISTIC, (start, start + 4.0), [0.02], rtol=1e-10)
    assert found.status is IntegrationStatus.STEP_UNDERFLOW
    assert np.isfinite(found.ys).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "rk5"}, "method = 'rk5' is not known"),
        ({"span": (1.0, 0.0)}, "goes backward"),
        ({"events": [Event(lambda t, y: y[0])]}, "steps that are taken once"),
        ({"span": (1.0, 1.0)}, "is no interval"),
        ({"save_at": [0.5, 0.2]}, "must be increasing"),
        ({"save_at": [3.0]}, "must be increasing"),
        ({"save_at": [-0.5]}, "must be increasing"),
        ({"rtol": 0.0}, "one must be positive"),
        ({"rtol": -1.0}, "neither may be negative"),
        ({"dt": 0.0}, "dt = 0.0 is no step"),
        ({"batch": 2}, "batch = 2 does not fit"),
    ],
)
def test_arguments_that_make_no_sense(change, message):
    arguments = {"terms": LOGISTIC, "span": (0.0, 1.0), "y0": [0.5], **change}
    with pytest.raises(ValueError, match=message):
        integrate(**arguments)
