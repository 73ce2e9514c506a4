"""What a plan says, against what generation does."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sciml import generate, load_recipe, open_dataset
from sciml.cli import app
from sciml.data.plan import plan_generation
from sciml.errors import RecipeError

CASES = {
    "poisson": ("fast_poisson", "constant coefficients, symmetric, definite, one matrix for all samples"),
    "darcy": ("multigrid_cg", "varying coefficients, symmetric, definite, a matrix of its own for every sample"),
    "helmholtz": ("lu", "varying coefficients, symmetric, indefinite"),
    "helmholtz3d": ("minres", "varying coefficients, symmetric, indefinite"),
    "convection-diffusion": ("lu", "sparse matrix with"),
    "darcy-mesh": ("lu", "sparse matrix with"),
    "burgers": ("etdrk4", "initial-value problem"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_method_and_its_facts_are_those_of_generation(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    plan = plan_generation(recipe, samples=12)
    method, fact = CASES[name]
    assert plan.methods[0] == method
    assert fact in plan.operator
    assert plan.samples == {"train": 10, "valid": 1, "test": 1}
    generate(recipe, tmp_path / "data", samples=12)
    assert open_dataset(tmp_path / "data").provenance(3)["method"] == method
    stored = sum(path.stat().st_size for path in (tmp_path / "data").rglob("*.hdf5"))
    assert plan.bytes == pytest.approx(stored, rel=0.1)
    assert 0 < plan.seconds == pytest.approx(12 * plan.seconds_a_sample)


def test_a_large_problem_is_timed_on_a_coarser_grid() -> None:
    recipe = load_recipe("darcy", ["problem.resolution=1200"])
    plan = plan_generation(recipe, samples=100_000, workers=2)
    assert plan.unknowns == 1200**2
    cells = [int(n) for n in plan.timed_on.split(" x ")]
    assert 200_000 < cells[0] * cells[1] <= 300_000
    assert plan.seconds == pytest.approx(50_000 * plan.seconds_a_sample, rel=0.01)
    assert plan.bytes == pytest.approx(100_000 * 2 * 4 * 1200**2, rel=0.01)


def test_what_is_planned_for_a_large_grid_is_what_that_grid_gets_and_costs_little() -> None:
    tracemalloc.start()
    plan = plan_generation(load_recipe("helmholtz", ["problem.resolution=2048"]), samples=10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert plan.methods == ("minres", "lu")  # the grid that is looked at is small enough for LU
    assert peak < 5 * 2048**2 * 8  # a single vector-sized array of MINRES or two stored samples on the grid asked for would take that
    assert plan.bytes == pytest.approx(10 * 3 * 4 * 2048**2, rel=0.01)


def test_a_wave_that_a_coarser_grid_does_not_hold_is_planned_on_its_own_grid() -> None:
    law = "problem.wavenumber={kind='uniform',low=1100.0,high=1200.0}"
    plan = plan_generation(load_recipe("helmholtz", ["problem.resolution=640", law, "solver.rtol=1e-6"]), samples=1)
    assert plan.timed_on == "640 x 640"


def test_a_method_that_the_recipe_names_is_the_plan() -> None:
    plan = plan_generation(load_recipe("darcy", ["solver.method=amg", "problem.resolution=16"]), samples=4)
    assert (plan.methods, plan.reason) == (("amg",), "the recipe asks for it")


def test_the_command_prints_figures_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", "darcy", "--samples", "8", "--set", "problem.resolution=16", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["unknowns"] == 256
    assert list(tmp_path.iterdir()) == []
    bad = CliRunner().invoke(app, ["plan", "dracy"])
    assert bad.exit_code == 3
    assert "did you mean 'darcy'" in bad.stderr
    with pytest.raises(RecipeError, match="workers = 0"):
        plan_generation(load_recipe("darcy"), workers=0)
