"""Burgers and heat: against closed forms, conserved quantities and independent solvers."""

import numpy as np
import pytest
import scipy.linalg
from pydantic import ValidationError

from sciml.discretize import discretize, evolve, fields_of, temporal_error
from sciml.discretize.jets import spectral_jet
from sciml.errors import DatasetError
from sciml.fields import Constant, GaussianRandomField, Uniform
from sciml.problems import Burgers, Heat, seed_words
from sciml.problems.jet import Jet
from solvers.linear.stencil import diffusion_operator

SIDES = ("dirichlet", "neumann")


def solve(problem, parameters, rtol=1e-10):
    system = discretize(problem, parameters)
    return fields_of(system, evolve(problem, system, rtol).raise_for_status())


def travelling(x, t, nu, mean):
    """Cole-Hopf from phi = 1 + exp(-nu k^2 t) cos(k (x - mean t)) / 2 in the frame that moves with the mean."""
    k = 2 * np.pi
    a, angle = 0.5 * np.exp(-nu * k**2 * t), k * (x - mean * t)
    return mean + 2 * nu * k * a * np.sin(angle) / (1 + a * np.cos(angle))


class TestBurgers:
    @pytest.mark.parametrize("n", [48, 49])
    @pytest.mark.parametrize("mean", [0.0, 0.7])
    def test_closed_form(self, n, mean):
        problem = Burgers(resolution=n, viscosity=0.03, times=(0.5, 1.0))
        x = problem.grid.centers(0)
        found = solve(problem, {"initial_velocity": travelling(x, 0.0, 0.03, mean)})["velocity"]
        expected = np.stack([travelling(x, t, 0.03, mean) for t in problem.times])
        np.testing.assert_allclose(found, expected, atol=1e-9)

    @pytest.mark.parametrize("mean", [0.0, 0.7])
    def test_cole_hopf_of_the_library_is_that_closed_form(self, mean):
        problem = Burgers(resolution=64, viscosity=0.03, times=(0.25, 0.5))
        x = problem.grid.centers(0)
        exact = problem.exact({"initial_velocity": travelling(x, 0.0, 0.03, mean)})["velocity"]
        np.testing.assert_allclose(exact, [travelling(x, t, 0.03, mean) for t in problem.times], atol=1e-12)

    def test_another_length_is_another_scale(self):
        """u(x, t; L) = u(x / L, t / L^2; 1) / L for the same viscosity."""
        unit, wide = Burgers(resolution=64, times=(0.25,)), Burgers(resolution=64, extent=2.0, times=(1.0,))
        u0 = unit.sample(seed_words(0, 0, 0))["initial_velocity"]
        one, two = solve(unit, {"initial_velocity": u0}), solve(wide, {"initial_velocity": u0 / 2})
        np.testing.assert_allclose(two["velocity"], one["velocity"] / 2, atol=1e-10)
        np.testing.assert_allclose(wide.exact({"initial_velocity": u0 / 2})["velocity"], two["velocity"], atol=1e-8)

    def test_no_closed_form_where_its_exponentials_overflow(self):
        problem = Burgers(resolution=64, viscosity=1e-4)
        assert problem.exact(problem.sample(seed_words(0, 0, 0))) is None

    def test_convection_conserves_mean_and_energy_without_aliasing(self):
        """The Galerkin projection does so exactly: with 2/3 of the points for the product, or none dropped, the energy moves."""
        problem = Burgers(resolution=32)
        rough = np.random.default_rng(0).standard_normal(32)
        system = discretize(problem, {"initial_velocity": rough})
        y = system.state0
        rate = system.nonlinear(0.0, y)
        assert rate[0] == 0
        scale = np.linalg.norm(y[1:]) * np.linalg.norm(rate)
        assert abs(np.vdot(y[1:], rate[1:]).real) < 1e-14 * scale
        assert rate[-1] == 0  # the Nyquist mode

    def test_convection_is_the_derivative_of_half_the_square(self):
        problem = Burgers(resolution=32)
        x = problem.grid.centers(0)
        system = discretize(problem, {"initial_velocity": np.sin(2 * np.pi * x)})
        rate = system.unpack(system.nonlinear(0.0, system.state0))["velocity"]
        np.testing.assert_allclose(rate, -np.pi * np.sin(4 * np.pi * x), atol=1e-13)

    def test_mirror_image_needs_the_other_sign(self):
        problem = Burgers(resolution=64)
        u0 = problem.sample(seed_words(0, 0, 0))["initial_velocity"]
        u = solve(problem, {"initial_velocity": u0})["velocity"]
        np.testing.assert_allclose(solve(problem, {"initial_velocity": -u0[::-1]})["velocity"], -u[::-1], atol=1e-10)
        assert problem.symmetries == ()

    def test_strong_residual_vanishes_for_the_closed_form(self):
        """Derivatives of the closed form: spectral in space, central differences in time."""
        problem, nu, t, dt = Burgers(resolution=64, viscosity=0.03), 0.03, 0.4, 1e-4
        x = problem.grid.centers(0)
        u = travelling(x, t, nu, 0.2)
        space = spectral_jet(u, problem.grid)
        rate = (travelling(x, t + dt, nu, 0.2) - travelling(x, t - dt, nu, 0.2)) / (2 * dt)
        jets = {"velocity": Jet(u, space.gradient, space.laplacian, rate)}
        residual = problem.strong_residual(jets, {"viscosity": Jet(nu)})
        assert np.abs(residual).max() < 1e-6 * np.abs(rate).max()

    def test_law_of_the_benchmark(self):
        """Li et al. (2021): covariance 625 (-Laplacian + 25)^-2, whose modes have the variances 625 / ((2 pi k)^2 + 25)^2."""
        problem = Burgers(resolution=64)
        k = np.fft.fftfreq(64, 1 / 64)
        expected = 625.0 / ((2 * np.pi * k) ** 2 + 25) ** 2
        expected[0] = expected[32] = 0.0
        np.testing.assert_allclose(problem.initial_velocity.eigenvalues(problem.grid), expected, rtol=1e-12)

    def test_fine_and_coarse_grid_agree_on_the_same_function(self):
        """The coarse initial state lacks the fine modes, which hold 1e-3 of it and decay."""
        coarse, fine = (Burgers(resolution=n) for n in (64, 192))
        states = [solve(problem, problem.sample(seed_words(0, 0, 5)))["velocity"] for problem in (coarse, fine)]
        np.testing.assert_allclose(states[0], states[1][1::3], atol=3e-5 * np.abs(states[0]).max())

    def test_unresolved_front_is_refused_with_a_remedy(self):
        problem = Burgers(resolution=64, viscosity=5e-4, times=(0.5,))
        fields = solve(problem, problem.sample(seed_words(0, 0, 0)), rtol=1e-4)
        with pytest.raises(DatasetError, match=r"resolution = 64 is too coarse .*raise problem\.resolution or the viscosity"):
            problem.refuse_unresolved(fields)
        problem.refuse_unresolved({"velocity": np.zeros(64)})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"boundary": {"x_low": "dirichlet"}}, "is periodic, leave its boundary out"),
            ({"boundary": {"x_low": "periodic", "x_high": "periodic", "y_low": "neumann"}}, "names a y side, but dimension = 1"),
            ({"viscosity": 0.0}, "viscosity must be a positive number"),
            ({"viscosity": {"kind": "gaussian_random_field"}}, "viscosity must be a positive number"),
            ({"dimension": 2}, "Input should be 1"),
            ({"times": (1.0, 0.5)}, "must increase by equal steps"),
            ({"times": (0.1, 0.2, 0.4)}, "must increase by equal steps"),
            ({"times": ()}, "at least 1 item"),
            ({"times": (0.0,)}, "greater than 0"),
        ],
    )
    def test_declarations_that_make_no_sense(self, change, message):
        with pytest.raises(ValidationError, match=message):
            Burgers(**change)


def eigenfunction(grid, sides):
    """A mode of the discrete operator, and its discrete and exact rates of decay for diffusivity 1."""
    mode, discrete, exact = 1.0, 0.0, 0.0
    for axis, pair in enumerate(sides):
        n, h, length = grid.shape[axis], grid.spacing[axis], grid.extent[axis]
        number = {("dirichlet", "dirichlet"): 2 * np.pi, ("neumann", "neumann"): np.pi}.get(pair, 2 * np.pi)
        if set(pair) == {"dirichlet", "neumann"}:
            number = 1.5 * np.pi
        wave = np.sin if pair[0] == "dirichlet" else np.cos
        along = wave(number * grid.centers(axis) / length)
        mode = mode * along.reshape((-1,) + (1,) * (grid.dimension - axis - 1))
        discrete += (2 - 2 * np.cos(number / n)) / h**2
        exact += (number / length) ** 2
    return mode, discrete, exact


def boundary_of(sides):
    return {
        f"{axis}_{end}": kind for axis, pair in zip("xyz", sides, strict=False) for end, kind in zip(("low", "high"), pair, strict=True)
    }


SIDE_PAIRS = [
    (("dirichlet", "dirichlet"),),
    (("neumann", "dirichlet"),),
    (("dirichlet", "neumann"), ("periodic", "periodic")),
    (("periodic", "periodic"), ("neumann", "neumann")),
    (("periodic", "periodic"), ("periodic", "periodic"), ("dirichlet", "dirichlet")),
    (("neumann", "neumann"), ("dirichlet", "neumann"), ("dirichlet", "dirichlet")),
]


class TestHeat:
    @pytest.mark.parametrize("sides", SIDE_PAIRS)
    def test_a_mode_decays_exactly_in_time_and_to_second_order_in_space(self, sides):
        d = len(sides)
        problem = Heat(
            dimension=d,
            resolution=(10, 6, 8)[:d],
            extent=(1.0, 0.7, 2.0)[:d],
            diffusivity=0.3,
            times=(0.05, 0.1),
            boundary=boundary_of(sides),
        )
        mode, discrete, exact = eigenfunction(problem.grid, sides)
        found = solve(problem, {"initial_temperature": np.asarray(mode)})["temperature"]
        expected = [mode * np.exp(-0.3 * discrete * t) for t in problem.times]
        np.testing.assert_allclose(found, expected, atol=1e-14)
        assert abs(discrete / exact - 1) < (max(2 * np.pi / n for n in problem.resolution)) ** 2 / 12

    def test_sources_and_sides_against_the_matrix_exponential(self):
        """The dense operator, with the forcing of sources and sides in a further column."""
        hot = {"kind": "dirichlet", "value": 2.0}
        problem = Heat(
            dimension=2,
            resolution=(6, 5),
            diffusivity=0.2,
            heating=1.5,
            times=(0.3,),
            boundary={"x_low": hot, "y_high": {"kind": "neumann", "flux": 0.7}},
        )
        u0 = np.random.default_rng(0).standard_normal((6, 5))
        hx, hy = problem.grid.spacing
        A = diffusion_operator(0.2, shape=(6, 5), spacing=(hx, hy), sides=problem.boundary_kinds).to_csr().toarray()
        forcing = np.full((6, 5), 1.5)
        forcing[0, :] += 2 * 0.2 / hx**2 * 2.0
        forcing[:, -1] += 0.7 / hy
        extended = np.block([[-A, forcing.reshape(-1, 1)], [np.zeros((1, 31))]])
        expected = (scipy.linalg.expm(0.3 * extended) @ np.append(u0, 1.0))[:-1].reshape(6, 5)
        np.testing.assert_allclose(solve(problem, {"initial_temperature": u0})["temperature"], expected, atol=1e-12)

    def test_insulated_box_keeps_its_heat_and_gains_what_is_put_in(self):
        sides = dict.fromkeys(("x_low", "x_high", "y_low", "y_high"), "neumann")
        problem = Heat(dimension=2, resolution=12, heating=0.4, times=(0.5, 1.0), boundary=sides)
        u0 = problem.sample(seed_words(0, 0, 0))["initial_temperature"]
        means = solve(problem, {"initial_temperature": u0})["temperature"].mean(axis=(1, 2))
        np.testing.assert_allclose(means, u0.mean() + 0.4 * np.array([0.5, 1.0]), atol=1e-13)

    def test_random_numbers_on_the_ends_of_an_interval(self):
        """In one dimension a side is a point: its datum is one number, and the steady state between two of them a line."""
        warm = {"kind": "dirichlet", "value": {"kind": "uniform", "low": 1.0, "high": 2.0}}
        problem = Heat(dimension=1, resolution=16, times=(10.0,), boundary={"x_low": warm, "x_high": warm})
        parameters = problem.sample(seed_words(0, 0, 0))
        low, high = parameters["boundary_x_low"], parameters["boundary_x_high"]
        assert low.shape == ()
        assert low != high
        line = low + (high - low) * problem.grid.centers(0)
        np.testing.assert_allclose(solve(problem, parameters)["temperature"], line, atol=1e-12)

    def test_strong_residual_of_a_decaying_mode(self):
        problem = Heat(dimension=1, resolution=32, diffusivity=0.3, heating=0.5)
        u = np.sin(np.pi * problem.grid.centers(0))
        jets = {"temperature": Jet(u, laplacian=-(np.pi**2) * u, time_derivative=-0.3 * np.pi**2 * u + 0.5)}
        assert np.abs(problem.strong_residual(jets, {"diffusivity": Jet(0.3), "heating": Jet(0.5)})).max() < 1e-14

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"diffusivity": -1.0}, "diffusivity must be a positive number"),
            (
                {"dimension": 1, "boundary": {"x_low": {"kind": "neumann", "flux": {"kind": "gaussian_random_field"}}}},
                "a side of a 1-D box is a point",
            ),
            ({"dimension": 4}, "less than or equal to 3"),
        ],
    )
    def test_declarations_that_make_no_sense(self, change, message):
        with pytest.raises(ValidationError, match=message):
            Heat(**change)


class TestTemporalError:
    def test_measures_what_was_added(self):
        """Of fields that differ from the solution by a known share it is that share, at the time where it is largest."""
        problem = Burgers(resolution=64, times=(0.5, 1.0))
        parameters = problem.sample(seed_words(0, 0, 1))
        fields = solve(problem, parameters, rtol=1e-11)["velocity"]
        assert temporal_error(problem, parameters, {"velocity": fields}, 1e-8).relative < 1e-9
        wrong = fields * np.array([[1.001], [0.995]])
        assert temporal_error(problem, parameters, {"velocity": wrong}, 1e-8).relative == pytest.approx(5e-3, rel=1e-5)

    def test_is_the_time_error_of_a_coarse_integration(self):
        """Against Cole-Hopf: what it says of a solution at a loose tolerance is that solution's error."""
        problem = Burgers(resolution=128, viscosity=Constant(value=0.02))
        parameters = problem.sample(seed_words(0, 0, 2))
        system = discretize(problem, parameters)
        loose = fields_of(system, evolve(problem, system, 1e-3))
        exact = problem.exact(parameters)["velocity"]
        error = np.linalg.norm(loose["velocity"] - exact) / np.linalg.norm(exact)
        assert temporal_error(problem, parameters, loose, 1e-6).relative == pytest.approx(error, rel=1e-2)

    @pytest.mark.parametrize("times", [(1.0,), (0.5, 1.0), (0.25, 0.5, 0.75, 1.0), (0.4, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)])
    def test_repeats_no_run_of_the_solution(self, times):
        """A solution differs from its check by rounding at least: equal to the last bit would mean the same steps.

        For the heat equation every run meets the tolerance, so that nothing but the choice of the first steps sets them apart.
        """
        viscosity = Uniform(low=0.1, high=0.2)
        for problem in (
            Burgers(resolution=32, times=times, viscosity=viscosity, initial_velocity=GaussianRandomField(boundary="periodic")),
            Heat(resolution=12, times=tuple(t / 10 for t in times)),
        ):
            parameters = problem.sample(seed_words(0, 0, 0))
            assert 0 < temporal_error(problem, parameters, solve(problem, parameters, rtol=1e-8), 1e-8).relative <= 1e-8
