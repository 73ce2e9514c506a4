"""Datasets of steady flow: what is solved is the problem that is declared, the certificate, what is refused, what `verify` finds."""

import json

import h5py
import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.durable import sha256_of_file
from sciml.data.info import describe
from sciml.data.manifest import read_manifest
from sciml.data.plan import plan_generation
from sciml.data.shard import sample_digest
from sciml.data.solve import solve_samples
from sciml.data.verify import verify
from sciml.discretize import discretize, linear_system, march_to_rest, steady_error
from sciml.errors import DatasetError, RecipeError
from sciml.fields import Disks
from sciml.grid import Grid
from sciml.problems import Cavity, ChannelObstacles, seed_words
from sciml.problems.jet import Jet
from solvers import SolverError

COARSE = ["problem.resolution=16", "data.oversampling=1", "data.shard_samples=4"]
WORDS = seed_words(0, 0, 0)


@pytest.fixture(scope="module")
def cavity(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "data"
    generate(load_recipe("cavity", COARSE), path, samples=5)
    return path


def test_what_leaves_a_channel_leaves_through_an_open_side(tmp_path):
    recipe = load_recipe("channel-obstacles", ["problem.resolution=[32, 16]"])
    generate(recipe, tmp_path / "data", samples=1)
    with h5py.File(next((tmp_path / "data").rglob("*.hdf5"))) as file:
        told = {name: (group.attrs["bc_type"], group.attrs["condition"]) for name, group in file["boundary_conditions"].items()}
    assert told["x_open_high"] == ("OPEN", "open")
    assert told["x_wall_low"] == ("WALL", "dirichlet")
    assert set(told) == {"x_open_high", "x_wall_low", "y_wall_low", "y_wall_high"}


def solved(problem, parameters, rtol=1e-8):
    system = discretize(problem, parameters)
    history = march_to_rest(system, rtol)
    assert history.status.name == "STEADY"
    return system, system.unpack(history), history


def test_fields_satisfy_the_declared_equations():
    """The strong residual of the fields, by central differences in the interior, falls with the square of the cell."""
    norms = []
    for n in (24, 48):
        problem = Cavity(resolution=n, viscosity=0.02, speed_x_low=0.3, speed_x_high=-0.4, speed_y_low=0.0, speed_y_high=1.0)
        _, fields, _ = solved(problem, {})
        h = 1 / n

        def jet(a, h=h):
            along = [(np.roll(a, -1, axis) - np.roll(a, 1, axis)) / (2 * h) for axis in range(2)]
            bent = sum(np.roll(a, -1, axis) - 2 * a + np.roll(a, 1, axis) for axis in range(2)) / h**2
            return Jet(value=a, gradient=along, laplacian=bent)

        jets = {name: jet(values) for name, values in fields.items()}
        residual = np.stack(problem.strong_residual(jets, {"viscosity": Jet(value=0.02)}))
        inner = (slice(None), *(slice(n // 4, -(n // 4)),) * 2)
        norms.append(np.sqrt(np.mean(residual[inner] ** 2)))
    assert np.log2(norms[0] / norms[1]) == pytest.approx(2.0, abs=0.3)
    assert norms[1] < 2e-3


def test_every_wall_slides_as_its_number_says():
    """The vorticity is that of the walls: its integral is the circulation along them, 8/15 of each largest speed with its sign."""
    speeds = {"speed_x_low": 0.2, "speed_x_high": -0.4, "speed_y_low": 0.3, "speed_y_high": 0.9}
    system, _, history = solved(Cavity(resolution=32, viscosity=0.02, **speeds), {})
    u, v = history.velocity[0][-1], history.velocity[1][-1]
    interior = (np.diff(v, axis=0)[:, 1:-1].sum() - np.diff(u, axis=1)[1:-1].sum()) / 32
    near = (v[-1].sum() - v[0].sum() - u[:, -1].sum() + u[:, 0].sum()) / 32
    assert interior == pytest.approx(near, abs=1e-3)  # Stokes' theorem on the rectangle of the outermost corners between cells
    for face, wall, sign in ((u[16, -1], 0.9, 1), (u[16, 0], 0.3, 1), (v[-1, 16], -0.4, 1), (v[0, 16], 0.2, 1)):
        assert sign * face / wall > 0.5  # half a cell away from the wall the fluid follows it
    assert system.flow.viscosity == 0.02


def test_faces_come_back_from_their_means():
    problem = ChannelObstacles(resolution=(24, 12), extent=(2.0, 1.0), viscosity=0.05)
    system, fields, history = solved(problem, problem.sample(WORDS))
    for c, faces in enumerate(system.faces(fields)):
        assert faces == pytest.approx(history.velocity[c][-1], abs=1e-12)


def test_as_much_leaves_the_channel_as_enters_it_and_obstacles_are_at_rest():
    problem = ChannelObstacles(resolution=(32, 16), extent=(2.0, 1.0), viscosity=0.05)
    parameters = problem.sample(WORDS)
    _, fields, history = solved(problem, parameters)
    u = history.velocity[0][-1]
    assert u.sum(axis=1) / 16 == pytest.approx(np.ones(33), abs=1e-10)
    solid = parameters["obstacles"] > 0
    assert 0.02 < solid.mean() < 0.2
    assert np.abs(u[1:][solid]).max() == 0.0
    assert np.abs(u[:-1][solid]).max() == 0.0
    assert fields["pressure"][0].mean() > fields["pressure"][-1].mean() > 0.0


def test_certificate_is_the_distance_from_rest(cavity):
    dataset = open_dataset(cavity)
    certificates = [dataset.provenance(index) for index in range(len(dataset))]
    assert all(0 < one["relative_residual"] < 1e-6 for one in certificates)
    assert {one["method"] for one in certificates} == {"mac"}
    assert verify(cavity).passed
    assert verify(cavity, regenerate=1).passed


def test_error_of_given_fields_is_found():
    """Also of a smooth error that no cell shows: the check marches until it has decayed."""
    problem = Cavity(resolution=16, viscosity=0.02, speed_x_low=0.0, speed_x_high=0.0, speed_y_low=0.0, speed_y_high=1.0)
    _, fields, _ = solved(problem, {}, 1e-9)
    assert steady_error(problem, {}, fields, 1e-8).relative < 1e-8
    x, y = problem.grid.points()
    bump = 1e-4 * np.sin(np.pi * x) ** 2 * np.sin(2 * np.pi * y)
    wrong = {**fields, "velocity_x": fields["velocity_x"] + bump}
    norm = np.linalg.norm(np.stack([fields["velocity_x"], fields["velocity_y"]]))
    assert steady_error(problem, {}, wrong, 1e-6).relative == pytest.approx(np.linalg.norm(bump) / norm, rel=0.02)
    shifted = {**fields, "pressure": fields["pressure"] * 1.001}
    assert steady_error(problem, {}, shifted, 1e-6).relative == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize(("name", "cells"), [("cavity", [8, 8]), ("channel-obstacles", [24, 12])])
def test_what_is_kept_of_a_finer_grid_is_the_centre_of_every_block(tmp_path, name, cells):
    recipe = load_recipe(name, [f"problem.resolution={cells}", "data.oversampling=3", "data.dtype='float64'"])
    generate(recipe, tmp_path / "data", samples=1)
    sample = open_dataset(tmp_path / "data")[0]
    fine = recipe.problem.refined(tuple(3 * n for n in cells))
    _, fields, _ = solved(fine, fine.sample(seed_words(0, 0, 0), np.dtype("float64")), 1e-6)
    for output in fine.outputs:
        assert sample[output] == pytest.approx(fields[output][1::3, 1::3], abs=1e-12)
    assert verify(tmp_path / "data").passed


def test_verify_finds_a_field_that_is_not_the_solution(tmp_path):
    generate(load_recipe("cavity", COARSE), tmp_path / "data", samples=5)
    manifest, path = read_manifest(tmp_path / "data"), "data/train/shard-00000.hdf5"
    with h5py.File(tmp_path / "data" / path, "r+") as file:
        field = file["t0_fields/velocity_x"]
        field[1] = 1.0001 * field[1]
        sample = {name: file[f"t0_fields/{name}"][1, 0] for name in manifest.outputs} | {
            name: file[f"scalars/{name}"][1] for name in manifest.scalars
        }
        file["provenance/sha256"][1] = sample_digest(manifest, sample).encode()
    content = json.loads((tmp_path / "data/manifest.json").read_text())
    for shard in content["shards"]:
        if shard["path"] == path:
            shard["sha256"] = sha256_of_file(tmp_path / "data" / path)
    (tmp_path / "data/manifest.json").write_text(json.dumps(content))
    report = verify(tmp_path / "data")
    assert {check.name for check in report.checks if not check.passed} == {"largest recomputed distance from rest over its gate"}
    assert report.details["problems"][0].startswith("train sample 1 has distance from rest")


def test_equal_words_give_the_same_disks_on_every_grid():
    law = Disks(count=4)
    fine, coarse = (law.sample(Grid((m, m), (2.0, 1.0)), np.random.default_rng(3)) for m in (63, 21))
    assert np.array_equal(fine[1::3, 1::3], coarse)
    assert set(np.unique(fine)) == {0.0, 1.0}
    area = law.sample(Grid((400, 400), (1.0, 1.0)), np.random.default_rng(0)).mean()
    single = Disks(count=1, radii=(0.1, 0.1000001), low=(0.3, 0.3), high=(0.7, 0.7))
    assert single.sample(Grid((400, 400), (1.0, 1.0)), np.random.default_rng(0)).mean() == pytest.approx(np.pi * 0.01, rel=0.01)
    assert area < 4 * np.pi * 0.12**2
    with pytest.raises(DatasetError, match=r"low = \[0.2, 0.15\] of disks does not fit 4 x 4 x 4"):
        law.sample(Grid((4, 4, 4), (1.0, 1.0, 1.0)), np.random.default_rng(0))


def test_what_does_not_come_to_rest_is_not_stored(tmp_path, monkeypatch):
    monkeypatch.setattr("sciml.discretize.flow._PATIENCE", 20)
    with pytest.raises(
        SolverError, match=r"sample 0 .* was not solved: .* still changes at t = [0-9.]+ after 20 steps.*raise problem\.viscosity"
    ):
        generate(load_recipe("cavity", COARSE), tmp_path / "data", samples=5)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("cavity", ["solver.method=lu"], "solver.method = 'lu' solves linear systems, and problem 'cavity' is a flow marched to rest"),
        ("cavity", ["solver.rtol=1e-13"], "rounding counts below 1e-11"),
        ("cavity", ["problem.viscosity=-1.0"], "viscosity must be a positive number"),
        ("cavity", ["problem.speed_y_high={kind='gaussian_random_field'}"], "speed_y_high must be one number a sample"),
        ("cavity", ["problem.boundary={x_low='neumann'}"], "the sides of problem 'cavity' are part of it"),
        ("channel-obstacles", ["problem.obstacles={kind='binary', low=1.0, high=2.0}"], "obstacles must be 1 in obstacles and 0 elsewhere"),
        ("channel-obstacles", ["problem.obstacles.low=[0.1]"], "differ in length"),
        (
            "channel-obstacles",
            ["problem.obstacles.low=[0.1]", "problem.obstacles.high=[0.9]"],
            r"obstacles: low = \[0.1\] of disks does not fit 2 dimensions: give low and high one number an axis",
        ),
        ("channel-obstacles", ["problem.obstacles.low=[0.2, 0.9]"], r"low\[1\] = 0.9 must be smaller than high\[1\] = 0.8"),
        ("channel-obstacles", ["problem.obstacles.radii=[0.5, 0.1]"], r"radii\[0\] = 0.5 must be smaller than radii\[1\] = 0.1"),
        ("channel-obstacles", ["problem.obstacles.radii=[0.1]"], r"problem.obstacles.radii = \[0.1\] has too few entries: give 2 at least"),
    ],
)
def test_recipes_that_make_no_sense(name, overrides, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(name, overrides)


def test_obstacles_that_leave_no_channel():
    problem = ChannelObstacles(resolution=(16, 8), extent=(2.0, 1.0), viscosity=0.05)
    mask = np.zeros((16, 8))
    for where, message in (
        ((0, 3), "parameter 'obstacles' reaches the inflow of the channel: set problem.obstacles to disks whose low, high and radii"),
        ((-1, 3), "parameter 'obstacles' reaches the outflow"),
        ((slice(7, 8), slice(None)), "parameter 'obstacles' closes the channel: lower problem.obstacles.radii or count"),
    ):
        blocked = mask.copy()
        blocked[where] = 1.0
        with pytest.raises(DatasetError, match=message):
            discretize(problem, {"obstacles": blocked})
    with pytest.raises(TypeError, match="is a flow: it has no linear system"):
        linear_system(problem, {"obstacles": mask})


def test_a_sample_that_leaves_no_channel_is_named_among_many():
    wide = load_recipe("channel-obstacles", ["problem.resolution=[32, 16]", "problem.obstacles.radii=[0.6, 0.7]", "data.seed=5"])
    what = r"^train sample 7 of recipe 'channel-obstacles' \(seed 5\) was not solved: parameter 'obstacles' closes the channel"
    with pytest.raises(DatasetError, match=what):
        solve_samples(wide, 0, [7])


def test_what_samples_are_judged_by_is_called_what_it_is(cavity):
    solver = describe(cavity)["solver"]
    assert 0 < solver["median_distance_from_rest"] <= solver["largest_distance_from_rest"] <= 1e-6
    assert not any("residual" in name for name in solver)
    stored = [check for check in verify(cavity).checks if check.name == "largest stored distance from rest"]
    assert [check.observed for check in stored] == [solver["largest_distance_from_rest"]]


def test_plan_names_the_method():
    plan = plan_generation(load_recipe("channel-obstacles", ["problem.resolution=[24, 12]"]), samples=5)
    assert plan.methods == ("mac",)
    assert plan.operator == "incompressible flow in 288 cells with solids among them"
