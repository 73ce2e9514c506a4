import numpy as np
import pytest
from pydantic import ValidationError

from sciml.discretize import discrete_residual, discretize
from sciml.discretize.jets import difference_jet, spectral_jet
from sciml.errors import DatasetError
from sciml.fields import Constant, GaussianRandomField, LogNormal, SmoothStep, Uniform
from sciml.grid import Grid
from sciml.problems import ConvectionDiffusion, Darcy, HeatStep, Helmholtz, Poisson, ScreenedPoisson, seed_words
from sciml.problems.jet import Jet
from solvers import linear_solve

PERIODIC = {f"{axis}_{end}": "periodic" for axis in "xyz" for end in ("low", "high")}
PERIODIC_2D = {side: kind for side, kind in PERIODIC.items() if side[0] != "z"}
NEUMANN_2D = dict.fromkeys(PERIODIC_2D, "neumann")
RANDOM_SIDES = {
    "x_low": {"kind": "dirichlet", "value": {"kind": "gaussian_random_field", "alpha": 2.0, "tau": 3.0}},
    "x_high": {"kind": "neumann", "flux": {"kind": "uniform", "low": -1.0, "high": 1.0}},
    "y_low": {"kind": "neumann", "flux": 0.5},
}
PROBLEMS = {
    "darcy": Darcy(resolution=20),
    "darcy-3d": Darcy(dimension=3, resolution=(8, 9, 10), permeability=LogNormal(field=GaussianRandomField(alpha=3))),
    "darcy-random-sides": Darcy(resolution=(16, 12), boundary=RANDOM_SIDES),
    "poisson-periodic": Poisson(resolution=16, source=GaussianRandomField(boundary="periodic"), boundary=PERIODIC_2D),
    "poisson-neumann": Poisson(resolution=16, source=GaussianRandomField(), boundary=NEUMANN_2D),
    "poisson-3d": Poisson(dimension=3, resolution=10, extent=(1, 2, 0.5), source=GaussianRandomField()),
    "screened": ScreenedPoisson(resolution=16, screening=Uniform(low=1, high=50), boundary=RANDOM_SIDES),
    "helmholtz": Helmholtz(resolution=16, wavenumber=SmoothStep(low=11.7, high=12.6)),
    "helmholtz-number": Helmholtz(resolution=16, wavenumber=Uniform(low=9, high=13), boundary=RANDOM_SIDES),
    "helmholtz-3d": Helmholtz(dimension=3, resolution=10, wavenumber=SmoothStep(low=9.6, high=10.2), boundary={"y_low": "neumann"}),
    "convection": ConvectionDiffusion(resolution=16, velocity={"kind": "random"}, diffusivity=Uniform(low=0.02, high=1), source=1.0),
    "heat": HeatStep(resolution=16, boundary=NEUMANN_2D, diffusivity=Uniform(low=0.5, high=2)),
}


def solve(problem, parameters, rtol=1e-11):
    system = discretize(problem, parameters)
    return system.unpack(linear_solve(system.operator, system.rhs, rtol=rtol).raise_for_status().x)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
class TestEveryProblem:
    def test_solution_has_a_residual_at_solver_tolerance(self, problem):
        parameters = problem.sample(seed_words(7, 0, 0))
        assert set(parameters) == set(problem.inputs)
        fields = solve(problem, parameters)
        assert set(fields) == set(problem.outputs)
        residual = discrete_residual(problem, parameters, fields)
        assert residual.relative < 2e-11
        noise = np.sin(np.arange(problem.grid.points()[0].size)).reshape(problem.grid.shape)
        wrong = {name: field + 0.01 * abs(field).max() * noise for name, field in fields.items()}
        assert discrete_residual(problem, parameters, wrong).relative > 1e-3

    def test_rounded_fields_stay_within_the_rounding_bound(self, problem):
        parameters = problem.sample(seed_words(7, 0, 1), "float32")
        fields = {name: field.astype("float32") for name, field in solve(problem, parameters).items()}
        residual = discrete_residual(problem, parameters, fields)
        assert 1e-9 < residual.relative <= residual.rounding + 1e-11
        assert residual.rounding < 1e-3

    def test_samples_depend_on_their_words_alone(self, problem):
        again = problem.sample(seed_words(7, 1, 3))
        for name, value in problem.sample(seed_words(7, 1, 3)).items():
            np.testing.assert_array_equal(value, again[name])
            assert not np.array_equal(value, problem.sample(seed_words(7, 1, 4))[name])
            assert not np.array_equal(value, problem.sample(seed_words(7, 2, 3))[name])

    def test_symmetries_map_solutions_to_solutions(self, problem):
        parameters = problem.sample(seed_words(1, 0, 0))
        fields = solve(problem, parameters)
        for symmetry in problem.symmetries:
            moved = {name: move(value, symmetry) for name, value in parameters.items()}
            for name, field in solve(problem, moved).items():
                np.testing.assert_allclose(field, move(fields[name], symmetry), atol=1e-8 * abs(field).max())

    def test_problem_is_frozen_and_hashable(self, problem):
        assert hash(problem) == hash(type(problem).model_validate(problem.model_dump()))
        with pytest.raises(ValidationError):
            problem.dimension = 3


def move(value, symmetry):
    if value.ndim == 0:
        return value
    action, axes = symmetry.split("_")
    return np.flip(value, "xyz".index(axes)) if action == "reflect" else np.swapaxes(value, *("xyz".index(a) for a in axes))


def test_symmetries_are_those_of_the_declaration():
    assert PROBLEMS["darcy"].symmetries == ("reflect_x", "reflect_y", "swap_xy")
    assert PROBLEMS["darcy-random-sides"].symmetries == ()
    assert PROBLEMS["darcy-3d"].symmetries == ("reflect_x", "reflect_y", "reflect_z")
    one_hot_side = Darcy(resolution=8, boundary={"x_low": {"kind": "dirichlet", "value": 1.0}})
    assert one_hot_side.symmetries == ("reflect_y",)


def test_heat_step_decays_a_mode_by_the_backward_euler_factor():
    problem = HeatStep(resolution=48, time_step=0.02, diffusivity=Constant(value=0.7), boundary=NEUMANN_2D)
    x, y = problem.grid.points()
    mode = np.cos(2 * np.pi * x) * np.cos(np.pi * y)
    after = solve(problem, {"initial_temperature": mode})["temperature"]
    np.testing.assert_allclose(after, mode / (1 + 0.02 * 0.7 * 5 * np.pi**2), atol=3e-4)


def test_screening_damps_a_mode_by_its_symbol():
    problem = ScreenedPoisson(resolution=64, screening=Constant(value=30.0), boundary=PERIODIC_2D)
    x, y = problem.grid.points()
    mode = np.sin(2 * np.pi * (x + y))
    np.testing.assert_allclose(solve(problem, {"source": mode})["potential"], mode / (8 * np.pi**2 + 30), atol=1e-5)


def test_darcy_is_in_divergence_form():
    """-(a p')' = 1 between p = 0 walls with a = 1 | 4 halves: p' jumps so that a p' is continuous; -a p'' = 1 would not."""
    problem = Darcy(resolution=(64, 4), permeability=LogNormal(), boundary={"y_low": "neumann", "y_high": "neumann"})
    a = np.where(np.arange(64)[:, None] < 32, 1.0, 4.0) * np.ones((1, 4))
    p = solve(problem, {"permeability": a})["pressure"][:, 0]
    c = (1 / 8 + (1 - 1 / 4) / 8) / (1 / 2 + 1 / 8)  # flux constant from p(0) = p(1) = 0: int (c - x)/a = 0
    x = (np.arange(64) + 0.5) / 64
    exact = np.where(x < 0.5, c * x - x**2 / 2, (c * 0.5 - 1 / 8) + (c * (x - 0.5) - (x**2 - 0.25) / 2) / 4)
    np.testing.assert_allclose(p, exact, atol=2e-4)


class TestStrongForm:
    """One declaration, three fillings: by hand, by differences, spectrally."""

    def test_poisson_three_ways(self):
        wave = {"wavenumbers": (2 * np.pi, 4 * np.pi), "phases": (0.4, 1.0)}
        problem = Poisson(resolution=64, boundary=PERIODIC_2D, solution=wave)
        points = problem.grid.points()
        by_hand = problem.solution.jet(points)
        source = {"source": Jet(-by_hand.laplacian)}
        assert abs(problem.strong_residual({"potential": by_hand}, source)).max() < 1e-12
        spectral = spectral_jet(by_hand.value, problem.grid)
        assert abs(problem.strong_residual({"potential": spectral}, source)).max() < 1e-9
        np.testing.assert_allclose(spectral.gradient, by_hand.gradient, atol=1e-10)
        inner = (slice(1, -1),) * 2
        differences = difference_jet(by_hand.value, problem.grid)
        residual = problem.strong_residual({"potential": differences}, {"source": Jet(-by_hand.laplacian[inner])})
        bound = (1 / 64) ** 2 / 12 * ((2 * np.pi) ** 4 + (4 * np.pi) ** 4)
        assert 0.1 * bound < abs(residual).max() <= bound
        np.testing.assert_allclose(differences.gradient, [g[inner] for g in by_hand.gradient], atol=0.1)

    @pytest.mark.parametrize("kind", ["darcy", "screened_poisson", "heat_step"])
    def test_solutions_satisfy_the_strong_form_to_second_order(self, kind):
        residuals = []
        for n in (32, 64, 128):
            problem, parameters, jets = smooth_case(kind, n)
            fields = solve(problem, parameters)
            jet = {name: difference_jet(field, problem.grid) for name, field in fields.items()}
            away = (slice(n // 8, -n // 8),) * 2  # walls leave a first-order layer in second differences
            residuals.append(abs(problem.strong_residual(jet, jets)[away]).max())
        if kind != "darcy":  # constant coefficients: central differences are the scheme itself, so only rounding is left
            assert max(residuals) < 1e-9
            return
        rates = np.diff(-np.log2(residuals))
        assert (rates > 1.7).all(), (residuals, rates)
        assert residuals[-1] < 0.02


def smooth_case(kind, n):
    grid = Grid((n, n), (1.0, 1.0))
    x, y = grid.points()
    bump = 1 + 0.5 * np.cos(np.pi * x) * np.cos(2 * np.pi * y)
    if kind == "darcy":
        problem = Darcy(resolution=n, permeability=LogNormal())
        return problem, {"permeability": bump}, {"permeability": difference_jet(bump, grid), "source": Jet(1.0)}
    inner = bump[1:-1, 1:-1]
    if kind == "screened_poisson":
        return ScreenedPoisson(resolution=n, screening=Constant(value=5.0)), {"source": bump}, {"source": Jet(inner), "screening": Jet(5.0)}
    problem = HeatStep(resolution=n, time_step=0.1)
    return problem, {"initial_temperature": bump}, {"initial_temperature": Jet(inner), "diffusivity": Jet(1.0), "heating": Jet(0.0)}


class TestBadParameters:
    problem = Darcy(resolution=8)

    @pytest.mark.parametrize(
        ("permeability", "message"),
        [
            (np.full((8, 8), np.nan), "'permeability' holds 64 values that are NaN or infinite"),
            (np.full((8, 8), np.inf), "NaN or infinite"),
            (np.full((8, 8), -3.0), r"lies in \[-3, -3\]"),
            (np.full((8, 8), 1e9), "its law allows"),
            (np.full((7, 8), 3.0), r"shape \(7, 8\); the grid needs \(8, 8\)"),
        ],
    )
    def test_refused(self, permeability, message):
        with pytest.raises(DatasetError, match=message):
            discretize(self.problem, {"permeability": permeability})

    def test_zero_log_normal_permeability(self):
        problem = Darcy(resolution=8, permeability=LogNormal())
        with pytest.raises(DatasetError, match="positive everywhere"):
            discretize(problem, {"permeability": np.zeros((8, 8))})

    def test_missing(self):
        with pytest.raises(DatasetError, match="'permeability' of problem 'darcy' is missing"):
            discretize(self.problem, {})

    def test_unbalanced_neumann_problem_says_by_how_much(self):
        problem = Poisson(resolution=8, source=Constant(value=2.0), boundary=NEUMANN_2D)
        with pytest.raises(DatasetError, match="add up to 2 per unit volume"):
            discretize(problem, {})
        flux = {side: {"kind": "neumann", "flux": -0.5} for side in NEUMANN_2D}
        balanced = Poisson(resolution=8, source=Constant(value=2.0), boundary=flux)
        assert discrete_residual(balanced, {}, solve(balanced, {})).relative < 1e-10


def test_parameters_of_one_sample_have_streams_of_their_own():
    field = GaussianRandomField()
    problem = Darcy(resolution=16, permeability=LogNormal(field=field), source=field)
    drawn = [problem.sample(seed_words(0, 0, i)) for i in range(50)]
    pairs = [(np.log(sample["permeability"]).ravel(), sample["source"].ravel()) for sample in drawn]
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in pairs]
    assert abs(np.mean(correlations)) < 0.3
    assert max(abs(np.array(correlations))) < 0.999


@pytest.mark.parametrize("source", [1e-300, 1e250])
def test_residuals_of_very_small_and_large_sources_are_not_lost(source):
    problem = Darcy(resolution=8, source=Constant(value=source))
    parameters = problem.sample(seed_words(0, 0, 0))
    fields = solve(problem, parameters)
    assert fields["pressure"].max() > 1e-4 * source
    assert 0 < discrete_residual(problem, parameters, fields).relative < 1e-10
    nothing = {"pressure": np.zeros((8, 8))}
    assert discrete_residual(problem, parameters, nothing).relative == pytest.approx(1.0)
