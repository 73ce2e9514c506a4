"""Resonances, signature and refusals of Helmholtz's equation."""

import re

import numpy as np
import pytest
from pydantic import ValidationError

from sciml import load_recipe
from sciml.discretize import discretize
from sciml.discretize.jets import difference_jet
from sciml.errors import DatasetError
from sciml.fields import Constant, LogNormal, SmoothStep, Uniform
from sciml.problems import Helmholtz, seed_words
from sciml.problems.jet import Jet
from solvers import linear_solve

KINDS = {
    "dirichlet": {},
    "neumann": dict.fromkeys(("x_low", "x_high", "y_low", "y_high"), "neumann"),
    "mixed": {"x_high": "neumann", "y_low": "periodic", "y_high": "periodic"},
}


@pytest.mark.parametrize("sides", KINDS.values(), ids=KINDS)
def test_discrete_resonances_are_the_eigenvalues_of_the_matrix(sides):
    problem = Helmholtz(resolution=(9, 12), extent=(1.0, 1.4), boundary=sides, wavenumber=Constant(value=7.3))
    matrix = discretize(problem, problem.sample(seed_words(0, 0, 0))).operator.to_csr().toarray()
    expected = np.sort(problem.resonances(discrete=True).ravel()) - 7.3**2
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), expected, atol=1e-9)


@pytest.mark.parametrize("dimension", [2, 3])
def test_ten_is_a_wavenumber_above_several_resonances(dimension):
    """m^2 + n^2 < 100 / pi^2 = 10.13 holds for (1,1), (1,2), (2,2), (1,3) and permutations; in 3-D for (1,1,1), (1,1,2), (1,2,2)."""
    problem = Helmholtz(dimension=dimension, resolution=24, wavenumber=Constant(value=10.0))
    for discrete in (False, True):
        assert np.sum(problem.resonances(discrete=discrete) < 100) == {2: 6, 3: 7}[dimension]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("discrete", [False, True])
def test_a_resonance_is_refused_and_its_neighbourhood_is_not(name, discrete):
    problem = Helmholtz(resolution=16, boundary=KINDS[name])
    eigenvalue = np.unique(problem.resonances(discrete=discrete).round(9))[4]

    def at(k2):
        return problem.model_copy(update={"wavenumber": Constant(value=float(np.sqrt(k2)))})

    source = problem.sample(seed_words(0, 0, 0))
    with pytest.raises(DatasetError, match=r"wavenumber = [\d.]+ is a resonance of the box.*change it a little"):
        discretize(at(eigenvalue), source)
    for relative in (1e-6, -1e-6):
        system = discretize(at(eigenvalue * (1 + relative)), source)
        assert linear_solve(system.operator, system.rhs).raise_for_status().relative_residual <= 1e-8


@pytest.mark.parametrize(
    ("law", "refused"),
    [
        (Constant(value=31.9), False),
        (Constant(value=32.1), True),  # 2/h with h = 1/16
        (Uniform(low=1.0, high=125.0), True),  # the bound counts, not the draw
    ],
)
def test_waves_that_the_grid_does_not_have_are_refused(law, refused):
    problem = Helmholtz(resolution=(16, 24), wavenumber=law)
    drawn = {"source": np.ones((16, 24)), "wavenumber": np.asarray(1.0)}
    if not refused:
        assert discretize(problem, drawn).rhs.shape == (16, 24)
        return
    with pytest.raises(
        DatasetError, match=r"cells a wavelength and needs more than 3.14 .*raise problem.resolution to (\d+) at least"
    ) as error:
        discretize(problem, drawn)
    enough = int(re.search(r"resolution to (\d+)", str(error.value))[1])
    source = {"source": np.ones((enough, enough)), "wavenumber": np.asarray(1.0)}
    assert discretize(problem.refined(enough), source).rhs.size == enough**2


@pytest.mark.parametrize(("name", "negative", "distance"), [("helmholtz", 8, 8.0), ("helmholtz3d", 7, 3.0)])
def test_shipped_recipes_lie_in_a_gap_between_resonances(name, negative, distance):
    """Adding a function between -high^2 and -low^2 moves every eigenvalue by something between the two (Weyl)."""
    problem = load_recipe(name).problem
    law = problem.wavenumber
    for discrete in (False, True):
        eigenvalues = np.sort(problem.resonances(discrete=discrete).ravel())
        assert eigenvalues[negative - 1] - law.low**2 < -distance
        assert eigenvalues[negative] - law.high**2 > distance


def test_a_sample_of_the_shipped_recipe_has_eight_negative_eigenvalues():
    problem = load_recipe("helmholtz", ["problem.resolution=24"]).problem
    matrix = discretize(problem, problem.sample(seed_words(0, 0, 0))).operator.to_csr().toarray()
    assert np.sum(np.linalg.eigvalsh(matrix) < 0) == 8


def test_no_wavenumber_leaves_poisson_s_equation():
    problem = Helmholtz(resolution=12, wavenumber=Constant(value=0.0), source=Constant(value=1.0), boundary=KINDS["neumann"])
    with pytest.raises(DatasetError, match="no solution exists"):
        discretize(problem, {})


def test_negative_wavenumbers_are_refused():
    with pytest.raises(ValidationError, match="wavenumber can reach -1; it must not be negative"):
        Helmholtz(wavenumber=Uniform(low=-1, high=2))
    with pytest.raises(ValidationError, match="take kind = 'smooth_step'"):
        Helmholtz(wavenumber={"kind": "gaussian_random_field"})
    assert Helmholtz(wavenumber=LogNormal(scale=10.0)).inputs == ("source", "wavenumber")


def test_solutions_satisfy_the_strong_form():
    """Central differences are the scheme itself, so that only rounding is left, for a field k as for the constant."""
    problem = Helmholtz(resolution=32, wavenumber=SmoothStep(low=11.7, high=12.6))
    parameters = problem.sample(seed_words(3, 0, 0))
    system = discretize(problem, parameters)
    fields = system.unpack(linear_solve(system.operator, system.rhs, rtol=1e-12).raise_for_status().x)
    inner = (slice(1, -1),) * 2
    jets = {name: Jet(value[inner]) for name, value in parameters.items()}
    residual = problem.strong_residual({"amplitude": difference_jet(fields["amplitude"], problem.grid)}, jets)[1:-1, 1:-1]
    assert abs(residual).max() < 1e-9 * abs(parameters["source"]).max() * 144
