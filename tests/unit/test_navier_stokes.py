"""The Navier-Stokes problem: its laws mode by mode, its forcings, its discretisation against closed forms, and its data."""

import numpy as np
import pytest
from pydantic import ValidationError

from sciml import generate, load_recipe, open_dataset
from sciml.data.plan import plan_generation
from sciml.data.verify import verify
from sciml.discretize import discretize, evolve, fields_of, temporal_error
from sciml.discretize.jets import spectral_jet
from sciml.discretize.navier_stokes import vorticity_flow
from sciml.errors import DatasetError, RecipeError
from sciml.fields import Constant, GaussianRandomField, McWilliamsVorticity, Uniform
from sciml.grid import Grid
from sciml.problems import NavierStokes, seed_words
from sciml.problems.jet import Jet
from sciml.problems.navier_stokes import DiagonalForcing, KolmogorovForcing, NoForcing

SIDE = 2 * np.pi


def squares(grid):
    kx, ky = (2 * np.pi / length * np.fft.fftfreq(n, 1 / n) for n, length in zip(grid.shape, grid.extent, strict=True))
    return kx[:, None] ** 2 + ky[None, :] ** 2


class TestMcWilliams:
    @pytest.mark.parametrize(("extent", "peak"), [((SIDE, SIDE), 6.0), ((SIDE, 2 * SIDE), 3.0), ((1.0, 1.0), 40.0)])
    def test_energy_of_all_modes(self, extent, peak):
        """Half the sum of S_k / |k|^2 over the area: partial sums approach the energy like 1 / K, and Richardson takes that away."""
        law, sums = McWilliamsVorticity(peak=peak, energy=0.7), []
        for n in (513, 1025):
            grid = Grid((n, n), extent)
            k2 = squares(grid)
            k2[0, 0] = np.inf
            sums.append((law.eigenvalues(grid) / k2).sum() / grid.volume / 2)
        assert sums[1] < 0.7
        assert 2 * sums[1] - sums[0] == pytest.approx(0.7, rel=2e-4)

    def test_variance_of_each_mode(self):
        """Normal coefficients with ``S_k ~ |k|^3 / (1 + (|k| / 6)^4)``, mode by mode, from drawn fields and an FFT of their own."""
        law, grid = McWilliamsVorticity(peak=6.0), Grid((24, 20), (SIDE, SIDE))
        fields = np.stack([law.sample(grid, np.random.default_rng([7, i])) for i in range(1500)])
        power = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0) * grid.volume / (24 * 20) ** 2
        k = np.sqrt(squares(grid))
        shape = k**3 / (1 + (k / 6) ** 4)
        shape[12, :] = shape[:, 10] = 0.0
        expected = shape / shape.max() * law.eigenvalues(grid).max()
        np.testing.assert_allclose(law.eigenvalues(grid), expected, rtol=1e-12, atol=1e-12)
        held = expected > 0
        z = (power[held] / expected[held] - 1) * np.sqrt(1500)  # |c|^2 of a complex normal number has its mean as deviation
        assert abs(z).max() < 5
        assert abs(z.mean()) * np.sqrt(z.size / 2) < 4
        assert abs(power[~held]).max() < 1e-20

    def test_equal_numbers_are_equal_functions_on_finer_grids(self):
        law = McWilliamsVorticity(peak=2.0)
        coarse, fine = (law.sample(Grid((n, n), (SIDE, SIDE)), np.random.default_rng(3)) for n in (15, 45))
        modes = np.fft.fft2(fine) / 45**2
        kept = np.r_[0:8, 38:45]
        shift = np.exp(1j * np.pi * np.fft.fftfreq(15, 1 / 15) * (1 / 15 - 1 / 45))  # the first centres lie elsewhere
        np.testing.assert_allclose(np.fft.fft2(coarse) / 15**2, modes[np.ix_(kept, kept)] * np.outer(shift, shift), atol=1e-12)


class TestForcing:
    """The curl of f by differentiation of f itself, and the forcing as it is published."""

    def test_kolmogorov(self):
        grid = Grid((12, 40), (1.0, 3.0))
        _, y = grid.points()
        f = 1.7 * np.sin(2 * np.pi * 3 * y / 3.0)
        curl = KolmogorovForcing(waves=3, amplitude=1.7).curl(*grid.points(), grid.extent)
        np.testing.assert_allclose(curl, -spectral_jet(f, grid).gradient[1], atol=1e-11)

    def test_diagonal_is_that_of_the_published_benchmark(self):
        x, y = Grid((8, 8), (1.0, 1.0)).points()
        expected = 0.1 * (np.sin(2 * np.pi * (x + y)) + np.cos(2 * np.pi * (x + y)))
        np.testing.assert_allclose(DiagonalForcing().curl(x, y, (1.0, 1.0)), expected, atol=1e-15)


class TestProblem:
    def test_laminar_kolmogorov_flow_stays(self):
        problem = NavierStokes(
            resolution=(12, 16), extent=(SIDE, SIDE), viscosity=0.3, drag=0.2, forcing=KolmogorovForcing(waves=2), times=(1.0, 2.0)
        )
        _, y = problem.grid.points()
        w = -2 * np.cos(2 * y) / (0.3 * 4 + 0.2)
        system = discretize(problem, {"initial_vorticity": w})
        found = fields_of(system, evolve(problem, system, 1e-10).raise_for_status())["vorticity"]
        np.testing.assert_allclose(found, [w, w], atol=1e-11)

    def test_strong_residual_vanishes_along_a_computed_flow(self):
        """Spectral derivatives in space, central differences in time; the wrong sign anywhere leaves a residual of the terms' size."""
        dt = 1e-3
        problem = NavierStokes(resolution=48, viscosity=5e-3, drag=0.1, times=(0.5 - dt, 0.5, 0.5 + dt))
        parameters = problem.sample(seed_words(0, 0, 2))
        system = discretize(problem, parameters)
        w = fields_of(system, evolve(problem, system, 1e-10).raise_for_status())["vorticity"]
        flow = vorticity_flow(problem, parameters)
        space = spectral_jet(w[1], problem.grid)
        psi = flow.to_streamfunction(flow.to_state(w[1]))
        rate = (w[2] - w[0]) / (2 * dt)
        jets = {"vorticity": Jet(w[1], space.gradient, space.laplacian, rate), "streamfunction": spectral_jet(psi, problem.grid)}
        forcing = problem.forcing.curl(*problem.grid.points(), problem.extent)
        laws = {"viscosity": Jet(5e-3), "drag": Jet(0.1), "forcing": Jet(forcing)}
        assert np.abs(problem.strong_residual(jets, laws)).max() < 1e-4 * np.abs(rate).max()

    def test_a_finer_grid_has_the_same_flow(self):
        coarse, fine = (NavierStokes(resolution=n, viscosity=5e-3, times=(2.0,)) for n in (32, 96))
        states = []
        for problem in (coarse, fine):
            system = discretize(problem, problem.sample(seed_words(0, 0, 5)))
            states.append(fields_of(system, evolve(problem, system, 1e-8).raise_for_status())["vorticity"])
        np.testing.assert_allclose(states[0], states[1][1::3, 1::3], atol=1e-4 * np.abs(states[0]).max())

    @pytest.mark.parametrize("times", [(1.0,), (0.3, 0.6, 0.9), (10.0,)])
    def test_integration_begins_with_a_stable_step_and_is_checked_with_others(self, times):
        problem = NavierStokes(resolution=24, viscosity=0.02, times=times)
        parameters = problem.sample(seed_words(0, 0, 1))
        system, flow = discretize(problem, parameters), vorticity_flow(problem, parameters)
        _, frequency = flow.nonlinear_and_rate(system.state0, rate=True)
        assert system.step == pytest.approx(min(1.4 / float(frequency), times[-1]), rel=1e-12)
        trajectory = evolve(problem, system, 1e-6).raise_for_status()
        assert trajectory.steps >= 2 * len(times) * np.ceil(times[0] / system.step)
        error = temporal_error(problem, parameters, fields_of(system, trajectory), 1e-6).relative
        assert 1e-14 < error <= 1e-6  # equal to the last bits would mean the same steps

    def test_law_of_the_benchmark(self):
        """7^3 (-Laplacian + 49)^(-2.5) of the published code."""
        problem = NavierStokes(resolution=9)
        expected = 7.0**3 * (squares(problem.grid) + 49) ** -2.5
        expected[0, 0] = 0.0
        np.testing.assert_allclose(problem.initial_vorticity.eigenvalues(problem.grid), expected, rtol=1e-12)

    def test_filaments_that_the_grid_cannot_hold_are_refused_with_a_remedy(self):
        problem = NavierStokes(resolution=16)
        x, y = problem.grid.points()
        wave = np.cos(2 * np.pi * x)
        problem.refuse_unresolved({"vorticity": wave})
        problem.refuse_unresolved({"vorticity": np.zeros((2, 16, 16))})
        for fine in (np.cos(14 * np.pi * x), np.cos(14 * np.pi * y)):
            with pytest.raises(DatasetError, match=r"holds 5\.0e-02 of it.*is too coarse .*raise problem\.resolution"):
                problem.refuse_unresolved({"vorticity": np.stack([wave, wave + 0.05 * fine])})

    def test_a_forcing_that_the_grid_cannot_hold_is_refused(self, monkeypatch):
        with pytest.raises(ValidationError, match=r"forcing\.waves = 8 is too short for 16 cells along y: take resolution = 17 at least"):
            NavierStokes(resolution=16, forcing=KolmogorovForcing(waves=8))
        assert NavierStokes(resolution=17, forcing=KolmogorovForcing(waves=8)).resolution == (17, 17)
        with pytest.raises(RecipeError, match=r"problem: forcing\.waves = 1000 is too short for 64 cells along y"):
            load_recipe("kolmogorov", ["problem.forcing.waves=1000"])
        # a plan for a fine grid is timed on a coarser one, which may be too coarse for the forcing
        monkeypatch.setattr("sciml.data.plan._TIMED_UNKNOWNS", 400)
        smooth = ["problem.resolution=32", "problem.forcing.waves=10", "problem.viscosity=1.0", "problem.times=[1.0]"]
        assert plan_generation(load_recipe("kolmogorov", smooth), samples=1).methods == ("etdrk4",)

    def test_a_mean_vorticity_is_refused(self):
        problem = NavierStokes(resolution=16)
        w = problem.sample(seed_words(0, 0, 0))["initial_vorticity"]
        with pytest.raises(DatasetError, match=r"initial_vorticity has the mean 1; .*subtract it"):
            discretize(problem, {"initial_vorticity": w + 1.0})

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"boundary": {"x_low": "dirichlet"}}, "is periodic, leave its boundary out"),
            ({"viscosity": 0.0}, "viscosity must be a number that is positive"),
            ({"viscosity": {"kind": "uniform", "low": -1.0, "high": 1.0}}, "viscosity must be a number that is positive"),
            ({"drag": -0.1}, "drag must be a number that is not negative"),
            ({"dimension": 3}, "Input should be 2"),
            ({"resolution": (64, 3)}, "holds no waves: take at least 4 cells"),
            ({"initial_vorticity": GaussianRandomField()}, "set its boundary = 'periodic'"),
            ({"initial_vorticity": GaussianRandomField(boundary="periodic", alpha=1.0)}, "infinite variance"),
        ],
    )
    def test_declarations_that_make_no_sense(self, change, message):
        with pytest.raises(ValidationError, match=message):
            NavierStokes(**change)

    def test_laws_and_forcings_are_found_by_their_kind(self):
        problem = NavierStokes.model_validate({"initial_vorticity": {"kind": "mcwilliams"}, "forcing": {"kind": "none"}, "drag": 0.0})
        assert (problem.initial_vorticity, problem.forcing, problem.drag) == (McWilliamsVorticity(), NoForcing(), Constant(value=0.0))
        assert NavierStokes(viscosity=Uniform(low=0.01, high=0.1)).inputs == ("initial_vorticity", "viscosity")


class TestData:
    OVERRIDES = ("problem.resolution=32", "problem.times=[1.0, 2.0]", "problem.viscosity=0.005", "solver.rtol=1e-5")

    def test_samples_carry_their_certificate_and_can_be_made_again(self, tmp_path):
        generate(load_recipe("navier-stokes", self.OVERRIDES), tmp_path / "data", samples=4)
        report = verify(tmp_path / "data", regenerate=2)
        assert report.passed
        sample = open_dataset(tmp_path / "data")[0]
        assert {name: values.shape for name, values in sample.items()} == {"initial_vorticity": (32, 32), "vorticity": (2, 32, 32)}

    def test_solved_on_a_finer_grid_than_kept(self, tmp_path):
        """The kept states are those of the fine grid, whose flow differs from the coarse one's."""
        recipe = load_recipe("navier-stokes", [*self.OVERRIDES, "problem.resolution=16", "data.oversampling=3"])
        generate(recipe, tmp_path / "data", samples=2)
        sample = open_dataset(tmp_path / "data")[0]
        fine = recipe.solved_problem
        system = discretize(fine, fine.sample(seed_words(0, 0, 0), np.float32))
        expected = fields_of(system, evolve(fine, system, 1e-7).raise_for_status())["vorticity"]
        assert fine.resolution == (48, 48)
        np.testing.assert_allclose(sample["vorticity"], expected[:, 1::3, 1::3], atol=2e-5 * np.abs(expected).max())
        assert verify(tmp_path / "data").passed
