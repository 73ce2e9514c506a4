"""Datasets of problems that evolve: the time axis, the certificate, what is refused, and what `verify` finds."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.durable import sha256_of_file
from sciml.data.info import describe
from sciml.data.manifest import Manifest, read_manifest
from sciml.data.recipe import Recipe
from sciml.data.shard import sample_digest
from sciml.data.verify import verify
from sciml.errors import DatasetError, RecipeError
from sciml.io.export import export_sample
from solvers import SolverError

MOVIE = ["problem.resolution=48", "problem.times=[0.2, 0.4, 0.6]", "problem.viscosity={kind='uniform', low=0.05, high=0.2}"]


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("evolving") / "data"
    generate(load_recipe("burgers", [*MOVIE, "data.shard_samples=4"]), path, samples=10)
    return path


def test_samples_carry_their_times(movie):
    dataset = open_dataset(movie)
    sample = dataset[0]
    assert dataset.times == (0.2, 0.4, 0.6)
    assert {name: values.shape for name, values in sample.items()} == {"initial_velocity": (48,), "velocity": (3, 48), "viscosity": ()}
    assert dataset.field("velocity").shape == (8, 3, 48)
    np.testing.assert_array_equal(dataset.field("velocity")[5], dataset[5]["velocity"])
    with h5py.File(movie / "data/train/shard-00000.hdf5", locking=False) as file:
        np.testing.assert_allclose(file["dimensions/time"][()], dataset.times, rtol=1e-7)
        assert file["t0_fields/velocity"].shape == (4, 3, 48)
        assert file["t0_fields/initial_velocity"].shape == (4, 48)
    assert describe(movie)["times"] == [0.2, 0.4, 0.6]


def test_stored_states_are_those_of_cole_hopf(movie):
    """The whole path from recipe to file against the closed form, with the float32 rounding of both ends."""
    dataset = open_dataset(movie)
    for sample in dataset:
        exact = dataset.problem.exact(sample)["velocity"]
        error = np.linalg.norm(sample["velocity"] - exact, axis=1) / np.linalg.norm(exact, axis=1)
        assert error.max() < 1e-6


def test_certificate_is_the_time_error(movie):
    dataset = open_dataset(movie)
    residuals = [dataset.provenance(index)["relative_residual"] for index in range(len(dataset))]
    assert all(0 < residual < 1e-6 for residual in residuals)
    assert {dataset.provenance(index)["method"] for index in range(len(dataset))} == {"etdrk4"}
    assert min(dataset.provenance(index)["iterations"] for index in range(len(dataset))) >= 12


def test_one_time_has_the_layout_of_a_steady_problem(tmp_path):
    generate(load_recipe("burgers", ["problem.resolution=32"]), tmp_path / "data", samples=10)
    dataset = open_dataset(tmp_path / "data")
    assert dataset[0]["velocity"].shape == (32,)
    assert dataset.times == (1.0,)
    assert verify(tmp_path / "data").passed


def test_statistics_hold_the_change_between_times(movie):
    velocity = open_dataset(movie).field("velocity").astype(float)
    rows, key = {}, ""
    for line in (movie / "stats.yaml").read_text().splitlines():
        name, _, value = line.strip().partition(": ")
        if value:
            rows[key][name] = float(value)
        else:
            rows[key := name.rstrip(":")] = {}
    assert rows["std"]["velocity"] == pytest.approx(velocity.std(), rel=1e-9)
    assert rows["std_delta"]["velocity"] == pytest.approx(np.diff(velocity, axis=1).std(), rel=1e-9)
    assert rows["rms_delta"]["velocity"] == pytest.approx(np.sqrt(np.mean(np.diff(velocity, axis=1) ** 2)), rel=1e-9)
    assert rows["std_delta"]["initial_velocity"] == rows["std"]["initial_velocity"]


def test_resumed_and_grown_dataset_is_the_same(movie, tmp_path):
    recipe = load_recipe("burgers", [*MOVIE, "data.shard_samples=4"])
    for samples in (5, 10):
        generate(recipe, tmp_path / "data", samples=samples)
    np.testing.assert_array_equal(open_dataset(tmp_path / "data").field("velocity"), open_dataset(movie).field("velocity"))


def test_verify_passes_and_finds_a_state_that_is_not_the_solution(movie, tmp_path):
    assert verify(movie).passed
    assert len(verify(movie).checks) == 12
    generate(load_recipe("burgers", [*MOVIE, "data.shard_samples=4"]), tmp_path / "data", samples=10)
    manifest, path = read_manifest(tmp_path / "data"), "data/train/shard-00000.hdf5"
    with h5py.File(tmp_path / "data" / path, "r+") as file:
        field = file["t0_fields/velocity"]
        field[1, 2] = 1.00001 * field[1, 2]  # far above rounding, far below what an eye would see
        sample = {name: file[f"t0_fields/{name}"][1] for name in ("initial_velocity", "velocity")} | {
            "viscosity": file["scalars/viscosity"][1]
        }
        file["provenance/sha256"][1] = sample_digest(manifest, sample).encode()
    content = json.loads((tmp_path / "data/manifest.json").read_text())
    for shard in content["shards"]:
        if shard["path"] == path:
            shard["sha256"] = sha256_of_file(tmp_path / "data" / path)
    (tmp_path / "data/manifest.json").write_text(json.dumps(content))
    report = verify(tmp_path / "data")
    assert {check.name for check in report.checks if not check.passed} == {"largest recomputed time error over its gate"}
    assert report.details["recomputed_time_error"]["max"] == pytest.approx(1e-5, rel=0.1)
    assert report.details["problems"][0].startswith("train sample 1 has time error 1.0")


def test_manifest_that_contradicts_its_recipe(movie, tmp_path):
    content = json.loads((movie / "manifest.json").read_text())
    for times, message in (([0.2, 0.4, 0.7], "has times"), ([0.4, 0.2, 0.6], "do not increase"), ([], "at least 1 item")):
        (tmp_path / "manifest.json").write_text(json.dumps({**content, "times": times}))
        with pytest.raises(DatasetError, match=message):
            verify(tmp_path)


def test_manifest_of_a_steady_dataset_says_nothing_of_time(tmp_path):
    generate(load_recipe("darcy", ["problem.resolution=8"]), tmp_path / "data", samples=10)
    assert "times" not in (tmp_path / "data/manifest.json").read_text()
    assert Manifest.model_validate_json((tmp_path / "data/manifest.json").read_bytes()).times is None
    assert "times" not in describe(tmp_path / "data")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["problem.viscosity=2e-4", "problem.resolution=64"], r"sample 0 .* was not solved: the upper third .* raise problem\.resolution"),
        (["problem.initial_velocity.amplitude=1e5", "problem.resolution=32"], "was not solved: etdrk4 (ended with NONFINITE|did not meet)"),
        (["solver.rtol=1e-11", "problem.resolution=64"], r"etdrk4 did not meet solver\.rtol = 1e-11 up to t = 1 within the limit on steps"),
    ],
)
def test_what_cannot_be_trusted_is_not_stored(overrides, message, tmp_path, monkeypatch):
    monkeypatch.setattr("sciml.discretize.evolution.integrate", _limited(2000))
    with pytest.raises(SolverError, match=message):
        generate(load_recipe("burgers", overrides), tmp_path / "data", samples=10)
    assert not (tmp_path / "data").exists()


def test_a_blow_up_on_the_way_is_told_with_its_time_and_not_stored(tmp_path, monkeypatch):
    """The state becomes infinite between the second time that is kept and the third."""
    from solvers.integrators import integrate

    def broken(system, *arguments, **options):
        right = system.nonlinear
        doomed = replace(system, nonlinear=lambda t, y: right(t, y) * (np.inf if t > 0.55 else 1.0))
        return integrate(doomed, *arguments, **{**options, "max_steps": 2000})

    monkeypatch.setattr("sciml.discretize.evolution.integrate", broken)
    recipe = load_recipe("burgers", ["problem.times=[0.25, 0.5, 0.75]", "problem.resolution=64"])
    with pytest.raises(SolverError, match=r"was not solved: etdrk4 ended with NONFINITE after t = 0\.5: .*let problem\.times end earlier"):
        generate(recipe, tmp_path / "data", samples=5)
    assert not (tmp_path / "data").exists()


def _limited(steps):
    """The integrator with fewer steps, so that failing does not take long."""
    from solvers.integrators import integrate

    return lambda *arguments, **options: integrate(*arguments, **{**options, "max_steps": min(steps, options["max_steps"])})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["solver.method=lu"], "solver.method = 'lu' solves linear systems, and problem 'burgers' evolves in time: leave it out"),
        (["solver.rtol=1e-13"], "solver.rtol = 1e-13: problem 'burgers' evolves in time, where rounding counts below 1e-11: raise it"),
        (["problem.times=[0.1, 0.3, 0.4]"], r"times = \[0.1, 0.3, 0.4\] must increase by equal steps"),
        (["problem.time=[1.0]"], "unknown key 'problem.time', did you mean 'problem.times'"),
    ],
)
def test_recipes_that_make_no_sense(overrides, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("burgers", overrides)


def test_recipe_round_trip_keeps_the_times():
    recipe = load_recipe("burgers", MOVIE)
    again = Recipe.from_canonical_json(recipe.canonical_json())
    assert again.problem.times == (0.2, 0.4, 0.6)
    assert again.identity == recipe.identity != load_recipe("burgers", [*MOVIE, "problem.times=[0.2, 0.4]"]).identity


def test_steady_problem_in_one_dimension(tmp_path):
    """Poisson on an interval, with the mean of the source balanced by the flux through both ends."""
    text = 'name = "rod"\ntitle = "Rod"\n[problem]\nkind = "poisson"\ndimension = 1\nresolution = 32\n'
    text += 'source = { kind = "gaussian_random_field", alpha = 2.0, tau = 3.0 }\n'
    (tmp_path / "rod.toml").write_text(text)
    generate(load_recipe(tmp_path / "rod.toml"), tmp_path / "data", samples=10)
    assert verify(tmp_path / "data").passed
    sample = open_dataset(tmp_path / "data")[0]
    u, source, h = sample["potential"].astype(float), sample["source"].astype(float), 1 / 32
    np.testing.assert_allclose(2 * (u[0] + u[-1]) / h, source.sum() * h, atol=1e-5)


def test_an_interval_is_no_image(movie, tmp_path):
    with pytest.raises(DatasetError, match="a grid of one axis, and a VTK image is a plane or a box: read it with"):
        export_sample(movie, tmp_path / "a.vtkhdf")
    assert not list(tmp_path.iterdir())
