"""``python -m validation``: what it lists, prints and returns, and the benchmark beside neuraloperator on a handful of samples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from sciml.checks import Check, CheckReport
from sciml.errors import DatasetError
from solvers import SolverError
from validation import benchmarks, cases
from validation.benchmarks import operator_training
from validation.cli import _command, app
from validation.discovery import Entry, _entry, entries
from validation.report import write_report

SCHEMA = {"name", "checks", "passed", "seconds", "environment", "details"}
FIELDS = {"name", "observed", "relation", "expected", "unit", "reference", "status", "passed"}


def test_every_module_of_a_folder_is_an_entry_with_a_title() -> None:
    for package in (cases, benchmarks):
        found = entries(package)
        files = {path.stem.replace("_", "-") for path in Path(package.__path__[0]).glob("*.py")} - {"--init--"}
        assert {entry.name for entry in found} == files
        assert all(20 < len(entry.title) < 140 and not entry.title.endswith(".") for entry in found)


def test_a_module_without_title_or_run_is_refused() -> None:
    module = type(sys)("validation.cases.empty", "A title.")
    with pytest.raises(TypeError, match="one-line docstring"):
        _entry(module)


def test_list_names_everything() -> None:
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    for entry in (*entries(cases), *entries(benchmarks)):
        assert f"{entry.name} " in result.stdout
        assert entry.title in result.stdout


def test_a_case_prints_one_json_object_of_the_published_schema_and_logs_elsewhere() -> None:
    command = [sys.executable, "-m", "validation", "run", "poisson-manufactured", "--grids", "3", "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(result.stdout)
    assert result.returncode == 0
    assert "2-D, all Dirichlet" in result.stderr
    assert set(report) == SCHEMA
    assert report["passed"] is True
    assert all(set(check) == FIELDS and check["relation"] in ("<=", ">=", "in") for check in report["checks"])


def invoke(run, *arguments: str):
    """The result of a command line around one made-up case."""
    made_up = typer.Typer()
    made_up.command()(_command(Entry("made-up", "A made-up case", run)))
    return CliRunner().invoke(made_up, arguments)


def test_help_of_a_benchmark_says_what_its_options_mean() -> None:
    told = CliRunner().invoke(app, ["bench", "mesh-hierarchy", "--help"], env={"COLUMNS": "200"}).stdout
    assert "media of each law on meshes of plane^2 and cube^3 boxes" in told
    assert all(entry.run.__doc__ for entry in (*entries(cases), *entries(benchmarks)))


def made_up(*, observed: float = 0.5, steps: int = 1) -> CheckReport:
    if steps < 1:
        raise DatasetError(f"steps = {steps} is too few; choose 1")
    return CheckReport("made-up", [Check("x", observed * steps, "<=", 1.0)], 0.1)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 0),
        (["--observed", "2"], 1),
        (["--steps", "3"], 1),
        (["--observed", "nan"], 1),
        (["--steps", "x"], 2),
        (["--other"], 2),
        (["--steps", "0"], 3),
    ],
)
def test_exit_codes(arguments: list[str], code: int) -> None:
    result = invoke(made_up, *arguments)
    assert result.exit_code == code
    if code == 1:
        assert "FAIL" in result.stdout
    if code == 3:
        assert (result.stderr, result.stdout) == ("error: steps = 0 is too few; choose 1\n", "")


def test_json_of_a_failed_case_says_so() -> None:
    result = invoke(made_up, "--observed", "2", "--json")
    assert (result.exit_code, json.loads(result.stdout)["passed"]) == (1, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "darcy-flux-balance", "--samples", "0"], "samples = 0 is out of range"),
        (["run", "darcy-flux-balance", "--resolution", "1"], "resolution = 1 is out of range"),
        (["run", "darcy-maximum-principle", "--resolution", "100000"], "resolution = 100000 is out of range"),
        (["run", "darcy-series-resistor", "--cells", "1"], "cells = 1 is out of range"),
        (["run", "gaussian-random-field", "--seed", "-1"], "seed = -1 is out of range"),
        (["report", "--out", "/proc/nowhere/v.html"], "/proc/nowhere"),
        (["report", "--out", "v.json"], "v.json cannot be the page"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert result.stderr.startswith("error: ")
    assert words in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "words"), [(SolverError("no luck"), 1, "error: no luck"), (KeyboardInterrupt(), 130, "interrupted")]
)
def test_a_solver_that_fails_and_an_interruption_are_no_traceback(error: BaseException, code: int, words: str) -> None:
    def run() -> CheckReport:
        raise error

    result = invoke(run)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (code, "", 1)
    assert words in result.stderr


@pytest.mark.parametrize("arguments", [["run", "nothing"], ["bench", "nothing"], ["report"], ["run"]])
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_the_report_of_all_cases(tmp_path: Path) -> None:
    good, bad = Entry("good-case", "It <holds>", made_up), Entry("bad-case", "It does not", made_up)
    out = write_report([(good, made_up()), (bad, made_up(observed=2.0))], tmp_path / "v.html")
    page, twin = out.read_text(), json.loads((tmp_path / "v.json").read_text())
    assert "It &lt;holds&gt;" in page
    assert page.count("✗ FAIL") == 3  # the whole, the case, its check
    assert page.count("✓ pass") == 2
    assert (twin["passed"], [case["passed"] for case in twin["cases"]]) == (False, [True, False])


def test_the_published_files_are_what_their_card_says() -> None:
    for split, count in (("train", 1000), ("test", 50)):
        x, y = operator_training._load(operator_training.REFERENCE / operator_training.FILES[split])
        assert x.shape == y.shape == (count, 16, 16)
        assert set(np.unique(x)) == {0.0, 1.0}
        assert y.min() < 0.0
    profile = operator_training._load(operator_training.REFERENCE / operator_training.FILES["train"])[1].mean(axis=(0, 2))
    # samples at j / 16: j goes to -j modulo 16, while the first and the last sample differ
    assert profile == pytest.approx(np.roll(profile[::-1], 1), abs=0.01)
    assert abs(profile[0] - profile[-1]) > 0.15


def test_the_error_is_the_relative_l2_of_each_sample() -> None:
    truth = np.zeros((2, 3, 3), np.float32)
    truth[0, 0, 0], truth[1, 1, 1] = 3.0, 4.0
    prediction = truth.copy()
    prediction[0, 2, 2], prediction[1, 1, 1] = 0.3, 5.0
    outcome = operator_training._outcome(prediction, truth, 1.0, 2.0, 7, {"samples": 5})
    assert outcome.mean_relative_l2 == pytest.approx((0.1 + 0.25) / 2)
    assert (outcome.seconds, outcome.cpu_seconds, outcome.parameters) == (1.0, 2.0, 7)


def test_the_benchmark_trains_both_sides(tmp_path: Path) -> None:
    for split, count in (("train", 60), ("test", 8)):
        x, y = operator_training._load(operator_training.REFERENCE / operator_training.FILES[split])
        np.savez(tmp_path / operator_training.FILES[split], x=x[:count].astype(bool), y=y[:count])
    report = operator_training.run(epochs=2, data=tmp_path, out=tmp_path / "result.json")
    assert [check.status for check in report.checks] == ["peer"] * 4
    assert all("neuraloperator 2." in check.reference for check in report.checks)
    assert [check.name for check in report.checks if "same training" in check.name] == []
    trainings = [report.details[name]["training"] for name in ("neuraloperator", "plain")]
    assert trainings == [
        {"samples": 60, "schedule": "StepLR, halved every 1 epochs", "learning_rate": 5e-3},
        {"samples": 57, "schedule": "onecycle", "learning_rate": 4e-3},
    ]
    sides = [report.details[name] for name in ("neuraloperator", "plain", "symmetries")]
    for side in sides:
        assert 0.05 < side["mean_relative_l2"] < 1.0
        assert side["cpu_seconds"] > 0.1
    # the peer's grid embedding and our coordinates are both two channels: the same architecture has the same size
    assert len({side["parameters"] for side in sides}) == 1
    assert sides[1]["mean_relative_l2"] != sides[2]["mean_relative_l2"]
    assert json.loads((tmp_path / "result.json").read_text())["details"]["epochs"] == 2


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="give --data the folder"):
        operator_training.run(epochs=1, data=tmp_path)
