"""Operators of evolving problems: one dimension, a channel a time, figures against computations of their own, pages with lines."""

import json
import re

import numpy as np
import pytest
import torch

from sciml import generate, load_recipe, open_dataset
from sciml.errors import CheckpointError, DatasetError
from sciml.report import save_picture, write_report
from sciml.report.charts import profile_chart
from sciml.report.record import read_record
from sciml.training import TrainSettings, evaluate, load_operator, train
from sciml.training.samples import ArraySamples, output_channels, stack
from sciml.training.speed import compare_speed

QUICK = {"hidden_channels": 16, "modes": 8, "layers": 2, "batch_size": 4, "learning_rate": 1e-2}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("movie") / "data"
    overrides = ["problem.resolution=32", "problem.times=[0.1, 0.2, 0.3]", "problem.viscosity={kind='uniform', low=0.08, high=0.12}"]
    generate(load_recipe("burgers", [*overrides, "solver.rtol=1e-5", "data.test=0.2"]), path, samples=60)
    return path


@pytest.fixture(scope="module")
def run(movie, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    train(movie, path, TrainSettings(epochs=12, **QUICK))
    evaluate(path)
    return path


def test_channels_are_named_by_their_times(movie, run):
    assert output_channels(open_dataset(movie)) == ("velocity(t=0.1)", "velocity(t=0.2)", "velocity(t=0.3)")
    operator = load_operator(run)
    assert operator.outputs.names == ("velocity(t=0.1)", "velocity(t=0.2)", "velocity(t=0.3)")
    assert operator.inputs.names == ("initial_velocity", "viscosity")
    velocity = open_dataset(movie).field("velocity").astype(float)
    np.testing.assert_allclose(operator.outputs.std, velocity.std(axis=(0, 2)), rtol=1e-6)  # each time has a scale of its own


def test_errors_are_the_mean_over_the_times_and_small(movie, run):
    """By hand, channel by channel; an operator that learned nothing has an error near 1."""
    test, operator = open_dataset(movie, "test"), load_operator(run)
    found = json.loads((run / "evaluation.json").read_text())["details"]
    for index, figure in enumerate(found["relative_l2"]["per_sample"]):
        sample = test[index]
        inputs = stack(sample, ("initial_velocity", "viscosity"), ("x",), (32,))
        guess = operator.predict(inputs[None])[0].astype(float)
        truth = sample["velocity"].astype(float)
        by_hand = np.mean(np.linalg.norm(guess - truth, axis=1) / np.linalg.norm(truth, axis=1))
        assert figure == pytest.approx(by_hand, rel=1e-5)
    assert found["relative_l2"]["median"] < 0.1


def test_no_residual_is_claimed_and_speed_is_compared(run):
    details = json.loads((run / "evaluation.json").read_text())["details"]
    assert details["residual"] is None
    ways = {timing["way"]: timing["relative_l2"] for timing in details["speed"]["tried"]}
    assert ways["32 cells, 48 steps"] < 1e-3 < ways["32 cells, 3 steps"]  # more steps, less error
    assert {"16 cells, 3 steps", "8 cells, 48 steps"} <= ways.keys()
    assert details["speed"]["same_accuracy"]["relative_l2"] <= details["speed"]["model"]["relative_l2"]


def test_few_steps_are_really_few(movie, run, monkeypatch):
    """The race is run with the steps that its table names, without a second run to control the error."""
    taken = []

    def counting(problem, system, rtol, **options):
        trajectory = original(problem, system, rtol, **options)
        taken.append((int(trajectory.steps), trajectory.stats["runs"]))
        return trajectory

    from sciml.training import speed

    original = speed.evolve
    monkeypatch.setattr(speed, "evolve", counting)
    samples = open_dataset(movie, "test")
    compare_speed(load_operator(run), samples, samples.recipe, [0.1])
    assert {runs for _, runs in taken} == {1}
    assert {steps for steps, _ in taken} == {3, 6, 12, 24, 48}


def test_other_grid_is_solved_anew(run):
    report = evaluate(run, resolution=48, samples=3)
    assert report.details["data"]["shape"] == [48]
    assert report.details["relative_l2"]["median"] < 0.15
    with pytest.raises(DatasetError, match="resolution = 8 is too coarse"):
        evaluate(run, resolution=8, samples=3)


def test_other_times_are_other_fields(run, tmp_path):
    overrides = ["problem.resolution=32", "problem.times=[0.1, 0.2]", "problem.viscosity={kind='uniform', low=0.08, high=0.12}"]
    generate(load_recipe("burgers", [*overrides, "solver.rtol=1e-4"]), tmp_path / "data", samples=10)
    with pytest.raises(CheckpointError, match="was trained on outputs"):
        evaluate(run, tmp_path / "data")


def test_several_times_on_a_plane(tmp_path):
    """The heat equation: what a channel a time means does not depend on the dimension, and 2-D pictures stay maps."""
    generate(load_recipe("heat", ["problem.resolution=12", "problem.times=[0.01, 0.02]"]), tmp_path / "data", samples=40)
    train(tmp_path / "data", tmp_path / "run", TrainSettings(model="tfno", epochs=20, **{**QUICK, "modes": 6}))
    details = evaluate(tmp_path / "run", gate=1.0).details
    assert details["relative_l2"]["median"] < 0.5
    page = write_report(tmp_path / "run", tmp_path / "page.html").read_text()
    assert "truth: temperature(t=0.02)" in page
    assert page.count('class="map"') == 3 * (1 + 2 * 3)


def test_arrays_in_memory_may_have_times():
    x = np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)
    samples = ArraySamples({"a": x, "u": np.stack([x, 2 * x], axis=1)}, ("a",), ("u",), (1.0,), times=(0.5, 1.0))
    assert samples.shape == (16,)
    np.testing.assert_array_equal(stack(samples[1], ("u",), ("x",), (16,)), [x[1], 2 * x[1]])


def test_a_page_of_lines(run, tmp_path):
    page = write_report(run, tmp_path / "page.html", picture=tmp_path / "picture.png").read_text()
    assert "u_t + u u_x = nu u_xx" in page
    assert "single times, between which the equation holds" in page
    assert "found by integrating anew with other steps" in page
    assert page.count("<polyline") >= 3 * (1 + 3 * 3)  # a sample: the input, and truth, prediction, difference at each of three times
    assert "0.1, 0.2, 0.3" in page
    assert 'class="map"' not in page
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    assert "viscosity = " in page  # the scalar input is named


def test_many_times_are_thinned_for_the_page(run, tmp_path):
    with np.load(run / "predictions.npz") as file:
        arrays = dict(file)
    x = np.zeros(8)
    for rank in ("best", "median", "worst"):
        for kind in ("truth", "prediction"):
            for name in [name for name in arrays if name.startswith(f"{rank}/{kind}/")]:
                del arrays[name]
            arrays |= {f"{rank}/{kind}/u(t={t})": x for t in range(1, 11)}
    copy = tmp_path / "run"
    copy.mkdir()
    (copy / "config.json").write_bytes((run / "config.json").read_bytes())
    np.savez(copy / "predictions.npz", **arrays)
    sample = read_record(copy).samples[0]
    assert list(sample.truth) == list(sample.prediction) == ["u(t=1)", "u(t=4)", "u(t=7)", "u(t=10)"]
    save_picture(copy, tmp_path / "picture.png")


def test_lines_lie_where_their_values_are():
    """The corners of the drawing area are (60, 218) and (390, 12)."""
    from sciml.report.charts import Series

    svg = str(profile_chart([Series("u", [0.0, 1.0, 2.0], [-1.0, float("nan"), 3.0])], (-1.0, 3.0), x_label="x", title="t", alt="a"))
    assert re.search(r'<polyline points="60.0,218.0 390.0,12.0"', svg)
    wide = str(profile_chart([Series("u", [0.0, 1.0], [-1e308, 1e308])], (-1e308, 1e308), x_label="x", title="t", alt="a"))
    assert "span too much" in wide


@pytest.mark.slow
def test_burgers_benchmark_at_nu_01(tmp_path):
    """The published setting at 128 points with 500 samples: median relative L2 error below 5 %, all in under two minutes of one core."""
    generate(load_recipe("burgers", ["problem.resolution=128"]), tmp_path / "data", samples=500)
    train(tmp_path / "data", tmp_path / "run", TrainSettings(epochs=20))
    found = evaluate(tmp_path / "run", gate=0.05).details["relative_l2"]
    assert found["median"] < 0.02
    assert found["p90"] < 0.05
