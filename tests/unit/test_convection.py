"""Convection and diffusion on a periodic interval: solver, strong form and closed forms against one another."""

import numpy as np
import pytest
from pydantic import ValidationError

from sciml.discretize import discretize, evolve, fields_of, temporal_error
from sciml.discretize.jets import spectral_jet
from sciml.errors import DatasetError
from sciml.problems import Burgers, Convection, Heat, Poisson, seed_words
from sciml.problems.jet import Jet

TWO_PI = 2 * np.pi
SINE = {"kind": "wave", "wavenumbers": [3.0], "phases": [-np.pi / 2], "amplitude": 2.0}


def decaying(x, t, c, kappa, k=3.0):
    return 2.0 * np.exp(-kappa * k**2 * t) * np.sin(k * (x - c * t))


def solve(problem, parameters):
    system = discretize(problem, parameters)
    return fields_of(system, evolve(problem, system, 1e-10).raise_for_status())["concentration"]


@pytest.mark.parametrize("n", [31, 32])
@pytest.mark.parametrize(("c", "kappa"), [(50.0, 0.01), (-3.0, 0.1), (500.0, 0.0), (0.0, 0.2)])
def test_a_wave_travels_and_decays(n, c, kappa):
    problem = Convection(resolution=n, extent=TWO_PI, speed=c, diffusivity=kappa, initial_concentration=SINE, times=(0.5, 1.0))
    x = problem.grid.centers(0)
    expected = np.stack([decaying(x, t, c, kappa) for t in problem.times])
    np.testing.assert_allclose(solve(problem, {}), expected, atol=1e-11)
    np.testing.assert_allclose(problem.exact({})["concentration"], expected, atol=1e-11)
    u = problem.strong_form({}).exact["concentration"]
    np.testing.assert_allclose([u(x, t) for t in problem.times], expected, atol=1e-11)


def test_random_states_are_shifted_and_smoothed_as_the_heat_equation_does():
    problem = Convection(resolution=64, extent=2.0, speed=0.75, diffusivity=0.02, times=(2.0,))
    parameters = problem.sample(seed_words(0, 0, 0))
    found = solve(problem, parameters)
    still = problem.model_copy(update={"speed": problem.speed.model_copy(update={"value": 0.0})})
    np.testing.assert_allclose(found, np.roll(solve(still, parameters), 48), atol=1e-11)  # 1.5 of 2 is three quarters of 64 cells
    np.testing.assert_allclose(found.mean(), parameters["initial_concentration"].mean(), atol=1e-14)
    assert temporal_error(problem, parameters, {"concentration": found}, 1e-8).relative < 1e-12
    np.testing.assert_allclose(problem.exact(parameters)["concentration"], found, atol=1e-12)


def test_the_strong_residual_of_the_solution_vanishes_and_that_of_another_speed_does_not():
    problem = Convection(resolution=32, extent=TWO_PI, speed=5.0, diffusivity=0.1, initial_concentration=SINE)
    x = problem.grid.centers(0)
    u = decaying(x, 0.3, 5.0, 0.1)
    jet = spectral_jet(u, problem.grid)
    rate = (decaying(x, 0.3 + 1e-5, 5.0, 0.1) - decaying(x, 0.3 - 1e-5, 5.0, 0.1)) / 2e-5
    jets = {"concentration": Jet(jet.value, jet.gradient, jet.laplacian, rate)}
    right = {"speed": Jet(5.0), "diffusivity": Jet(0.1)}
    assert np.abs(problem.strong_residual(jets, right)).max() < 1e-5
    for wrong in ({"speed": Jet(-5.0)}, {"diffusivity": Jet(0.2)}):
        assert np.abs(problem.strong_residual(jets, right | wrong)).max() > 0.1


def test_a_wave_that_does_not_close_has_no_closed_form():
    assert Convection(resolution=16, extent=1.0, initial_concentration=SINE).strong_form({}).exact is None


def test_transport_is_told_by_problems_that_are():
    problem = Convection(resolution=16, extent=TWO_PI, speed=-2.0, diffusivity=0.5, initial_concentration=SINE)
    transport = problem.transport({})
    assert (transport.speed, transport.viscosity, transport.period, transport.output) == ((-2.0,), 0.5, TWO_PI, "concentration")
    np.testing.assert_allclose(transport.initial(np.array([0.4])), decaying(0.4, 0, 0, 0))
    burgers = Burgers(resolution=16, viscosity=0.3, initial_velocity=1.5).transport({})
    assert (burgers.speed, burgers.viscosity, burgers.period, burgers.output) == ((0.0, 1.0), 0.3, 1.0, "velocity")
    np.testing.assert_array_equal(burgers.initial(np.zeros(3)), 1.5)
    for other in (Heat(dimension=1, resolution=16), Poisson(resolution=16, source=1.0)):
        with pytest.raises(DatasetError, match="not transport around a periodic interval"):
            other.transport({})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boundary": {"x_low": "neumann"}}, "is periodic, leave its boundary out"),
        ({"speed": {"kind": "gaussian_random_field"}}, "speed must be a number"),
        ({"diffusivity": -0.1}, "diffusivity must not be negative"),
        ({"dimension": 2}, "dimension"),
    ],
)
def test_declarations_that_make_no_sense(change, message):
    with pytest.raises(ValidationError, match=message):
        Convection(resolution=16, **change)
