"""Networks trained on equations: what they reach, what they are compared with, that a killed run goes on to the same bits."""

import json

import numpy as np
import pytest
import torch

from sciml.data.recipe import STREAMS
from sciml.errors import CheckpointError, DatasetError, InputError
from sciml.models.lagrangian import LagrangianMarch
from sciml.problems import Burgers, Heat, Poisson, seed_words
from sciml.training import EquationSettings, evaluate_equation, load_equation, load_equation_recipe, train_equation
from sciml.training.pinn_settings import EQUATION_OPTIMIZERS
from sciml.training.reference import Reference

SINE = {"kind": "wave", "wavenumbers": [np.pi], "phases": [-np.pi / 2]}


def recipe_and_settings(name="pinn-poisson", **overrides):
    return load_equation_recipe(name, overrides)


def trained(recipe_and_settings, out, progress=None):
    recipe, settings = recipe_and_settings
    return train_equation(recipe, out, settings, progress=progress)


class Stop(Exception):
    pass


def stopping_after(steps):
    def progress(stage, done, total, figures):
        if done == steps:
            raise Stop

    return progress


def test_poisson_is_solved_to_eight_digits(tmp_path):
    result = trained(recipe_and_settings(), tmp_path / "run")
    assert result.relative_l2["potential"] < 2e-8
    assert result.reference == "exact solution"
    points = np.random.default_rng(0).random((500, 2))
    found = load_equation(tmp_path / "run").predict(points)["potential"]
    right = np.sin(np.pi * points[:, 0]) * np.sin(np.pi * points[:, 1])
    assert np.linalg.norm(found - right) < 2e-8 * np.linalg.norm(right)
    report = evaluate_equation(tmp_path / "run", gate=1e-12)
    assert not report.passed
    assert evaluate_equation(tmp_path / "run").passed


def test_heat_decays_as_the_exact_mode_does(tmp_path):
    result = trained(recipe_and_settings("pinn-heat"), tmp_path / "run")
    assert result.relative_l2["temperature"] < 1e-7
    x, t = np.random.default_rng(1).random((2, 300))
    found = load_equation(tmp_path / "run").predict(np.column_stack([x, t]))["temperature"]
    right = np.exp(-0.25 * np.pi**2 * t) * np.sin(np.pi * x)
    assert np.linalg.norm(found - right) < 1e-7 * np.linalg.norm(right)


@pytest.mark.parametrize("optimizer", EQUATION_OPTIMIZERS)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, optimizer):
    chosen = recipe_and_settings(width=8, points=64, steps=14, block=4, warm_up=6, optimizer=optimizer, seed=3)
    whole = trained(chosen, tmp_path / "whole")
    for stop in (3, 6, 11):  # in the first block, in that of the change to Sven, and in a later one
        with pytest.raises(Stop):
            trained(chosen, tmp_path / "parts", progress=stopping_after(stop))
    parts = trained(chosen, tmp_path / "parts")
    assert parts.resumed_from == 8
    assert (parts.loss, parts.best_step, parts.relative_l2) == (whole.loss, whole.best_step, whole.relative_l2)
    one, other = (load_equation(tmp_path / name, "last").network.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    rows = [[json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").open()] for name in ("whole", "parts")]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 4


@pytest.mark.parametrize("optimizer", EQUATION_OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(tmp_path, optimizer):
    chosen = recipe_and_settings(width=16, points=100, steps=40, block=4, optimizer=optimizer)
    trained(chosen, tmp_path / "run")
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert min(losses[1:]) < (0.95 if optimizer in ("adam", "gauss-newton") else 0.5) * losses[0]


MARCH = {"model": "lpinn", "width": 8, "points": 150, "steps": 9, "block": 4}


def shock(**settings):
    return load_equation_recipe(
        "burgers", {**MARCH, **settings}, ["problem.initial_velocity.alpha=6.0", "problem.resolution=64", "problem.times=[0.5,1.0,1.5,2.0]"]
    )


@pytest.mark.parametrize("optimizer", ["geodesic-lm", "sven"])
def test_a_killed_march_goes_on_to_the_same_bits(tmp_path, optimizer):
    chosen = shock(optimizer=optimizer, warm_up=5, compression=0.12)
    whole = trained(chosen, tmp_path / "whole")
    calls = []

    def stopping_at(number):
        def progress(stage, done, total, figures):
            calls.append((stage, done, total))
            if len(calls) == number:
                calls.clear()
                raise Stop

        return progress

    for number in (3, 6, 6, 5):  # in the first block, in that of the change to Sven, in the last of a window, and in the next window
        with pytest.raises(Stop):
            trained(chosen, tmp_path / "parts", progress=stopping_at(number))
    parts = trained(chosen, tmp_path / "parts")
    assert parts.resumed_from >= 9
    assert (parts.loss, parts.best_step, parts.relative_l2) == (whole.loss, whole.best_step, whole.relative_l2)
    one, other = (load_equation(tmp_path / name, "last") for name in ("whole", "parts"))
    assert len(one.windows) == len(other.windows) > 2
    weights, again = one.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    rows = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").open()]
    assert [row["step"] for row in rows[:4]] == [4, 8, 9, 13]
    assert [row["window"] for row in rows[:4]] == [1, 1, 1, 2]
    assert whole.best_step > 9 * (len(one.windows) - 1)  # of the last window, whatever the losses before


def test_a_march_is_compared_as_far_as_it_has_come(tmp_path):
    chosen = shock(compression=0.3, steps=20, block=20, points=300, width=12)
    with pytest.raises(Stop):
        trained(chosen, tmp_path / "run", progress=lambda stage, done, total, figures: stop_in_window(stage, done, chosen[0]))
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["time"] < 2.0
    with pytest.raises(CheckpointError, match=r"has come to t = .* of 2; run `sciml train` until it is complete"):
        evaluate_equation(tmp_path / "run")
    result = trained(chosen, tmp_path / "run")
    assert result.relative_l2["velocity"] < 2e-3
    assert result.reference == "solver on 64"
    assert evaluate_equation(tmp_path / "run").passed
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    for one in rows:
        assert ("error_velocity" in one) == (one["time"] >= 0.5)  # the first of the times that are compared
    assert rows[-1]["error_velocity"] == pytest.approx(result.relative_l2["velocity"])
    (tmp_path / "run" / "checkpoints" / f"epoch-{len(rows):06d}" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="damaged"):
        load_equation(tmp_path / "run")


def stop_in_window(stage, done, recipe):
    """After the first window."""
    assert stage.startswith("train to t = ")
    if done == 2 and float(stage.rpartition(" ")[2]) > first_end(recipe):
        raise Stop


def first_end(recipe):
    draws = recipe.problem.sample(seed_words(recipe.data.seed, STREAMS["train"], 0))
    return LagrangianMarch(recipe.problem.transport(draws), 2.0, compression=0.3, width=4, depth=1).window.duration * 1.01


def test_convection_is_followed_by_its_recipe(tmp_path):
    result = trained(recipe_and_settings("lpinn-convection", width=10, points=200, steps=25), tmp_path / "run")
    assert result.reference == "exact solution"
    assert result.relative_l2["concentration"] < 1e-4
    places = trained(recipe_and_settings("lpinn-convection", model="pinn", width=10, points=200, steps=25), tmp_path / "places")
    assert places.relative_l2["concentration"] > 0.3  # the same problem at a speed of 50, which a network of places does not learn


def test_what_has_no_particles_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"problem 'heat' is not transport .* train model = 'pinn'"):
        trained(recipe_and_settings("pinn-heat", model="lpinn"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_defaults_are_those_of_the_model():
    assert EquationSettings(model="lpinn").steps == 25
    assert EquationSettings(model="lpinn", steps=40).steps == 40
    assert EquationSettings().steps == 100
    with pytest.raises(InputError, match="compression"):
        EquationSettings(model="lpinn", compression=1.0)


def test_without_a_closed_form_the_solver_is_the_reference(tmp_path):
    recipe, settings = load_equation_recipe(
        "poisson",
        {"model": "pinn", "width": 24, "layers": 1, "points": 400, "steps": 30, "optimizer": "levenberg-marquardt"},
        ["problem.resolution=32", "problem.source.alpha=6.0"],
    )
    result = train_equation(recipe, tmp_path / "run", settings)
    assert result.reference == "solver on 32 x 32"
    assert result.relative_l2["potential"] < 3e-2
    second = train_equation(recipe, tmp_path / "second", EquationSettings(**{**settings.model_dump(), "sample": 1}))
    assert second.relative_l2["potential"] < 3e-2
    grid = recipe.problem.grid.points()
    fields = [load_equation(tmp_path / name).predict(np.stack(grid, -1).reshape(-1, 2))["potential"] for name in ("run", "second")]
    assert np.linalg.norm(fields[0] - fields[1]) > 0.1 * np.linalg.norm(fields[0])  # another sample, another source


def test_errors_of_a_pressure_leave_its_constant_out():
    values = {"velocity_x": np.ones(3), "pressure": np.array([1.0, 2.0, 3.0])}
    reference = Reference(np.zeros((3, 2)), values, (3,), "by hand")
    found = reference.errors({"velocity_x": np.array([1.0, 1.0, 2.0]), "pressure": np.array([11.0, 12.0, 13.0])})
    assert found["pressure"] == 0
    assert reference.rmse({"velocity_x": np.array([1.0, 1.0, 4.0]), "pressure": np.array([11.0, 12.0, 13.0])}) == {
        "velocity_x": pytest.approx(np.sqrt(3)),
        "pressure": 0,
    }
    assert found["velocity_x"] == pytest.approx(1 / np.sqrt(3))


class TestStrongForms:
    """The forms at points of problems on grids: their exact solutions and data satisfy them."""

    def test_waves_that_do_not_fit_the_sides_have_no_closed_form(self):
        fitting = Heat(dimension=1, resolution=16, initial_temperature=SINE).strong_form({})
        assert fitting.exact is not None
        assert fitting.exact["temperature"](0.5, 0.2) == pytest.approx(np.exp(-0.2 * np.pi**2))
        warm = {"boundary": {"x_low": {"kind": "dirichlet", "value": 1.0}}}
        for change in ({"boundary": {"x_low": "neumann"}}, {"heating": 1.0}, {"extent": 1.5}, warm):
            assert Heat(dimension=1, resolution=16, initial_temperature=SINE, **change).strong_form({}).exact is None

    def test_data_are_those_of_the_grid(self):
        rng = np.random.default_rng(0)
        problem = Poisson(
            resolution=16,
            source={"kind": "gaussian_random_field"},
            boundary={"x_low": {"kind": "dirichlet", "value": {"kind": "gaussian_random_field"}}},
        )
        field, side = rng.normal(size=(16, 16)), rng.normal(size=16)
        form = problem.strong_form({"source": field, "boundary_x_low": side})
        x, y = problem.grid.points()
        np.testing.assert_allclose(form.parameters["source"](x, y), field, atol=1e-12)
        (condition,) = (c for c in form.conditions["potential"] if c.part == "x_low")
        np.testing.assert_allclose(condition.value(np.zeros(16), y[0]), side, atol=1e-12)

    def test_burgers_closes_around(self):
        problem = Burgers(resolution=32, initial_velocity={**SINE, "wavenumbers": [2 * np.pi]})
        form = problem.strong_form({})
        assert form.closed == (True, False)
        assert form.high == (1.0, 1.0)

    def test_what_has_no_form_is_refused_with_the_reason(self, tmp_path):
        for name, words in (("darcy", "jumps"), ("navier-stokes", "no form at points")):
            recipe, settings = load_equation_recipe(name, {}, ["problem.resolution=16"])
            with pytest.raises(DatasetError, match=words):
                train_equation(recipe, tmp_path / "run", settings)
        assert not (tmp_path / "run").exists()


class TestBadInput:
    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ({"optimizer": "mfac"}, "mini-batches"),
            ({"optimizer": "svenn"}, "did you mean 'sven'"),
            ({"optimizer": "no"}, "choose one of sven"),
            ({"points": 2}, "points = 2"),
            ({"epochs": 3}, "unknown setting 'epochs'"),
            ({"learning_rate": 0.0}, "learning_rate = 0.0"),
        ],
    )
    def test_settings(self, entry, words):
        with pytest.raises(InputError, match=words):
            EquationSettings(**entry)

    def test_another_run_in_the_folder(self, tmp_path):
        recipe, settings = recipe_and_settings(width=4, points=16, steps=2)
        train_equation(recipe, tmp_path / "run", settings)
        with pytest.raises(CheckpointError, match=r"settings\.width"):
            trained(recipe_and_settings(width=5, points=16, steps=2), tmp_path / "run")

    @pytest.mark.parametrize("file", ["state.pt", "model.safetensors"])
    def test_damaged_checkpoints(self, tmp_path, file):
        recipe, settings = recipe_and_settings(width=4, points=16, steps=4, block=2)
        with pytest.raises(Stop):
            train_equation(recipe, tmp_path / "run", settings, progress=stopping_after(3))
        (tmp_path / "run" / "checkpoints" / "epoch-000001" / file).write_bytes(b"no")
        with pytest.raises(CheckpointError, match="damaged"):
            train_equation(recipe, tmp_path / "run", settings)

    def test_training_recipes(self, tmp_path):
        file = tmp_path / "mine.toml"
        file.write_text('model = "pinn"\nwdith = 3\n[problem]\nkind = "poisson"\nsource = 1.0\n')
        with pytest.raises(InputError, match="did you mean 'width'"):
            load_equation_recipe(file, {})
        file.write_text('model = "pinn"\n[problem]\nkind = "poison"\n')
        with pytest.raises(InputError, match="'poison' is not a known problem"):
            load_equation_recipe(file, {})
        file.write_text('model = "pinn"\n[problem]\nkind = "poisson"\nsource = 1.0\n')
        with pytest.raises(InputError, match="takes no --set"):
            load_equation_recipe(file, {}, ["problem.resolution=8"])
