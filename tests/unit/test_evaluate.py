"""Evaluation: every figure against a computation of its own, on the training grid and on others."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from sciml import generate, load_recipe, open_dataset
from sciml.data.recipe import list_recipes
from sciml.discretize import discrete_residual, discretize
from sciml.errors import CheckpointError, DatasetError
from sciml.problems import BoxProblem, Darcy, Evolving, Incompressible, NavierStokes
from sciml.training import TrainSettings, evaluate, load_operator, solving, train
from sciml.training import speed as speed_of
from sciml.training.evaluation import TrainedOperator
from sciml.training.samples import ArraySamples
from sciml.training.speed import _interpolated
from solvers import linear_solve

RESOLUTION, SAMPLES = 8, 30


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small lose more to waking threads than they gain
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "darcy"
    generate(load_recipe("darcy", [f"problem.resolution={RESOLUTION}", "data.test=0.2"]), out, samples=SAMPLES, seed=4)
    return out


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(data, out, TrainSettings(hidden_channels=8, modes=6, layers=2, epochs=8, batch_size=4, learning_rate=1e-2))
    return out


def relative(guess: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(guess - truth) / np.linalg.norm(truth))


def by_hand(run: Path, samples) -> tuple[list[float], list[np.ndarray]]:
    operator = load_operator(run)
    guesses = [operator.predict(samples[i]["permeability"][None, None])[0, 0] for i in range(len(samples))]
    return [relative(guess, samples[i]["pressure"]) for i, guess in enumerate(guesses)], guesses


def test_errors_and_residuals_are_those_of_the_predictions(run: Path, data: Path) -> None:
    report = evaluate(run)  # the dataset is the one that the run remembers
    samples = open_dataset(data, "test")
    errors, guesses = by_hand(run, samples)
    figures = report.details
    np.testing.assert_allclose(figures["relative_l2"]["per_sample"], errors, rtol=1e-4)
    assert figures["relative_l2"]["median"] == pytest.approx(np.median(errors), rel=1e-4)
    assert figures["relative_l2"]["worst"] == pytest.approx(max(errors), rel=1e-4)
    assert figures["data"]["samples"] == len(samples) == 6
    for i, guess in enumerate(guesses):
        found = discrete_residual(samples.problem, samples[i], {"pressure": guess})
        assert figures["residual"]["relative"]["per_sample"][i] == pytest.approx(found.relative, rel=1e-3)
        assert figures["residual"]["relative_dual"]["per_sample"][i] == pytest.approx(found.relative_dual, rel=1e-3)
    assert json.loads((run / "evaluation.json").read_text()) == json.loads(report.to_json())


def test_the_truth_itself_evaluates_to_nothing(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An oracle in place of the network: errors vanish, and the residual is that of the stored data."""
    samples = open_dataset(data, "test")
    answers = {samples[i]["permeability"].tobytes(): samples[i]["pressure"] for i in range(len(samples))}
    monkeypatch.setattr(TrainedOperator, "predict", lambda self, fields: np.stack([answers[f.tobytes()][None] for f in fields[:, 0]]))
    report = evaluate(run)
    assert report.details["relative_l2"]["worst"] == 0.0
    assert report.details["relative_h1"]["worst"] == 0.0
    for i, found in enumerate(report.details["residual"]["relative"]["per_sample"]):
        stored = discrete_residual(samples.problem, samples[i], samples[i])
        assert found == pytest.approx(stored.relative, rel=1e-12)
        assert found <= 1e-8 + stored.rounding
    assert report.passed


@pytest.mark.parametrize(("gate", "passed"), [(1e-9, False), (10.0, True)])
def test_the_gate_is_the_callers(run: Path, gate: float, passed: bool) -> None:
    report = evaluate(run, gate=gate, samples=2)
    (check,) = report.checks
    assert (check.passed, check.expected, check.status) == (passed, gate, "policy")
    assert check.observed == report.details["relative_l2"]["median"]
    assert len(report.details["relative_l2"]["per_sample"]) == 2


def test_another_resolution_is_the_same_functions_solved_anew(run: Path, data: Path) -> None:
    report = evaluate(run, resolution=12, samples=3)
    recipe, samples = load_recipe("darcy"), open_dataset(data, "test")
    fine = Darcy.model_validate({**samples.problem.model_dump(), "resolution": 12})
    operator = load_operator(run)
    for i in range(3):
        parameters = fine.sample(samples.provenance(i)["seed_words"], "float32")
        system = discretize(fine, parameters)
        truth = linear_solve(system.operator, system.rhs, "lu", rtol=recipe.solver.rtol).x
        guess = operator.predict(parameters["permeability"][None, None])[0, 0]
        assert report.details["relative_l2"]["per_sample"][i] == pytest.approx(relative(guess, truth), rel=1e-3)
        dual = discrete_residual(fine, parameters, {"pressure": guess}).relative_dual
        assert report.details["residual"]["relative_dual"]["per_sample"][i] == pytest.approx(dual, rel=1e-3)
    assert report.details["data"]["shape"] == [12, 12]
    assert json.loads((run / "evaluation-12x12-first3.json").read_text())["details"]["data"]["shape"] == [12, 12]
    assert json.loads((run / "evaluation.json").read_text())["details"]["data"]["shape"] == [RESOLUTION, RESOLUTION]


@pytest.mark.parametrize(
    ("resolution", "words"), [(100_000, "resolution = 100000 is not possible"), (2, "resolution = 2 has a grid of 2 x 2 points, too few")]
)
def test_a_resolution_that_is_not_possible_is_refused(run: Path, resolution: int, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        evaluate(run, resolution=resolution, samples=1)
    assert "\n" not in str(caught.value)


def test_only_the_whole_test_split_of_the_runs_own_data_is_the_headline(run: Path, data: Path, tmp_path: Path) -> None:
    evaluate(run)
    kept = {name: (run / name).read_bytes() for name in ("evaluation.json", "predictions.npz")}
    generate(load_recipe("darcy", [f"problem.resolution={RESOLUTION}", "data.test=0.2"]), tmp_path / "other", samples=10, seed=9)
    evaluate(run, split="train", samples=2, gate=0.5)
    evaluate(run, tmp_path / "other")
    evaluate(run, resolution=RESOLUTION)  # its own grid, but solved anew
    assert {name: (run / name).read_bytes() for name in kept} == kept
    few = json.loads((run / "evaluation-train-first2.json").read_text())
    assert few["details"]["request"] == {"data": None, "split": "train", "resolution": None, "samples": 2, "gate": 0.5}
    assert json.loads((run / "evaluation-other.json").read_text())["details"]["request"]["data"] == str(tmp_path / "other")
    evaluate(run, data, samples=SAMPLES)  # named by its folder, and more than all of it: still the run's own
    assert json.loads((run / "evaluation.json").read_text())["details"]["request"]["samples"] is None


def test_data_with_other_sides_are_refused(run: Path, tmp_path: Path) -> None:
    walls = ["problem.boundary.x_low='neumann'", "problem.resolution=8", "data.test=0.2"]
    generate(load_recipe("darcy", walls), tmp_path / "walls", samples=10)
    with pytest.raises(CheckpointError, match=r"was trained on boundary = .*'dirichlet'.* has .*'neumann'"):
        evaluate(run, tmp_path / "walls")


def test_both_sides_are_timed_with_one_thread_on_the_same_samples(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    predict, solve = TrainedOperator.predict, solving.linear_solve

    def recorded(self, fields):
        threads.add(torch.get_num_threads())
        return predict(self, fields)

    def solved(*args, **options):
        threads.update(library["num_threads"] for library in threadpool_info())
        return solve(*args, **options)

    monkeypatch.setattr(speed_of, "_COUNT", 3)
    errors = evaluate(run).details["relative_l2"]["per_sample"]
    samples = open_dataset(data, "test")
    monkeypatch.setattr(TrainedOperator, "predict", recorded)
    monkeypatch.setattr(solving, "linear_solve", solved)
    torch.set_num_threads(2)
    try:
        speed = speed_of.compare_speed(load_operator(run), samples, samples.recipe, errors)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert threads == {speed["threads"]} == {1}
    assert speed["samples"] == 3
    assert speed["model"]["relative_l2"] == np.median(errors[:3]) != np.median(errors)


def test_a_dataset_at_another_resolution_is_evaluated_as_it_is(run: Path, data: Path, tmp_path: Path) -> None:
    generate(load_recipe("darcy", ["problem.resolution=12", "data.test=0.2"]), tmp_path / "fine", samples=SAMPLES, seed=4)
    given = evaluate(run, tmp_path / "fine", samples=3).details["relative_l2"]["per_sample"]
    np.testing.assert_allclose(given, evaluate(run, resolution=12, samples=3).details["relative_l2"]["per_sample"], rtol=1e-5)


def test_best_median_and_worst_are_kept_as_arrays(run: Path, data: Path) -> None:
    errors = evaluate(run).details["relative_l2"]["per_sample"]
    samples = open_dataset(data, "test")
    with np.load(run / "predictions.npz", allow_pickle=False) as kept:
        for which, rank in {"best": 0, "median": 2, "worst": 5}.items():  # of six samples
            index = int(kept[f"{which}/index"])
            assert index == np.argsort(errors)[rank]
            np.testing.assert_array_equal(kept[f"{which}/inputs/permeability"], samples[index]["permeability"])
            np.testing.assert_array_equal(kept[f"{which}/truth/pressure"], samples[index]["pressure"])
            found = relative(kept[f"{which}/prediction/pressure"], samples[index]["pressure"])
            assert found == pytest.approx(float(kept[f"{which}/relative_l2"]), rel=1e-5)


def test_both_sides_of_the_speed_comparison_are_as_accurate(run: Path) -> None:
    speed = evaluate(run).details["speed"]
    assert speed["solver"]["relative_l2"] < 1e-6  # float32 storage and rtol
    accurate = [way for way in speed["tried"] if way["relative_l2"] <= speed["model"]["relative_l2"]]
    assert speed["same_accuracy"]["seconds"] == min(way["seconds"] for way in [*accurate, speed["solver"]])
    assert speed["same_accuracy"]["relative_l2"] <= speed["model"]["relative_l2"]
    assert {way["way"] for way in speed["tried"]} >= {"rtol 0.1", "4 x 4 cells, rtol 0.1, interpolated"}
    assert speed["speedup"] == pytest.approx(speed["solver"]["seconds"] / speed["model"]["seconds"])
    assert speed["speedup_same_accuracy"] == pytest.approx(speed["same_accuracy"]["seconds"] / speed["model"]["seconds"])


@pytest.mark.parametrize(("few", "many"), [((4, 6), (9, 12)), ((5, 4, 3), (10, 8, 7))])
def test_interpolation_is_exact_for_linear_fields_up_to_the_sides(few: tuple[int, ...], many: tuple[int, ...]) -> None:
    coarse, fine = (Darcy(dimension=len(shape), resolution=shape, extent=tuple(range(1, len(shape) + 1))) for shape in (few, many))
    plane = [sum((k + 2) * x for k, x in enumerate(problem.grid.points())) for problem in (coarse, fine)]
    np.testing.assert_allclose(_interpolated(plane[0], coarse, fine), plane[1], rtol=1e-12)


def test_data_of_another_kind_are_refused(run: Path, tmp_path: Path) -> None:
    generate(load_recipe("heat-step", ["problem.resolution=8"]), tmp_path / "heat", samples=10)
    with pytest.raises(CheckpointError, match=r"was trained on inputs = \['permeability'\], and dataset 'heat-step' has"):
        evaluate(run, tmp_path / "heat")
    with pytest.raises(DatasetError):
        evaluate(run, tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="split 'tset'"):
        evaluate(run, split="tset")


def test_a_dataset_that_moved_is_asked_for(run: Path) -> None:
    config = run / "config.json"
    content = config.read_text()
    try:
        config.write_text(content.replace('"path": "', '"path": "/nowhere'))
        with pytest.raises(CheckpointError, match=r"data\.path = '/nowhere.*give the dataset's folder"):
            evaluate(run)
    finally:
        config.write_text(content)


def test_imported_samples_have_errors_but_no_residual_and_no_other_resolution(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((8, 6, 6)).astype(np.float32)
    samples = ArraySamples({"x": x, "y": 2 * x + 1}, ("x",), ("y",), (1.0, 1.0), name="mine")
    train((samples, samples), tmp_path / "run", TrainSettings(hidden_channels=4, modes=4, layers=2, epochs=1))
    report = evaluate(tmp_path / "run", samples)
    assert math.isfinite(report.details["relative_l2"]["mean"])
    assert report.details["residual"] is None
    assert report.details["speed"] is None
    with pytest.raises(DatasetError, match="'mine' was imported without its equation, so resolution = 12"):
        evaluate(tmp_path / "run", samples, resolution=12)
    with pytest.raises(CheckpointError, match=r"trained on extent = \[1\.0, 1\.0\]"):
        evaluate(tmp_path / "run", replace(samples, extent=(1.0, 2.0)))


@pytest.mark.parametrize("name", [recipe.name for recipe in list_recipes() if isinstance(recipe.problem, BoxProblem)])
def test_every_shipped_recipe_on_a_grid_can_be_learned_and_judged(name: str, tmp_path: Path) -> None:
    evolving, flowing = (isinstance(load_recipe(name).problem, kind) for kind in (Evolving, Incompressible))
    overrides = [f"problem.resolution={32 if evolving else 8}", "data.test=0.2"]
    if isinstance(load_recipe(name).problem, NavierStokes):  # few cells hold a thicker flow, and a short one is made fast
        overrides += [f"problem.viscosity={0.005 if name.startswith('navier-stokes') else 0.1}", "problem.times=[1.0]"]
    recipe = load_recipe(name, overrides)
    generate(recipe, tmp_path / "data", samples=10)
    train(tmp_path / "data", tmp_path / "run", TrainSettings(hidden_channels=4, modes=4, layers=2, epochs=1, batch_size=4))
    details = evaluate(tmp_path / "run", gate=100.0).details
    samples = open_dataset(tmp_path / "data", "test")
    assert load_operator(tmp_path / "run").inputs.names == (*samples.inputs, *samples.scalars)
    assert set(samples.inputs) | set(samples.scalars) == set(recipe.problem.inputs)
    if evolving or flowing or recipe.data.oversampling > 1:
        assert details["residual"] is None
    else:
        assert all(math.isfinite(value) for value in details["residual"]["relative_dual"]["per_sample"])
    assert details["speed"]["solver"]["relative_l2"] < 1e-6


def test_progress_reaches_the_end(run: Path) -> None:
    seen = []
    evaluate(run, progress=lambda stage, done, total, figures: seen.append((stage, done, total)))
    assert seen[-1] == ("evaluate", 6, 6)
