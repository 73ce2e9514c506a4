"""README.md tells the truth: its Python runs, its commands exist, its files are there, and so is what the demo promises."""

from __future__ import annotations

import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ellipk
from typer.testing import CliRunner

from sciml.cli import app
from sciml.data.info import describe
from sciml.data.recipe import DataSettings, Recipe, SolverSettings
from sciml.fields import Constant
from sciml.problems import problem_kinds
from validation.characteristics import cole_hopf

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
LINES = [line for language, code in BLOCKS if not language for line in code.replace("\\\n", "").splitlines()]
COMMANDS = [shlex.split(line, comments=True) for line in LINES]
SCIML = [words[1:] for words in COMMANDS if words[0] == "sciml"]


def test_python_blocks_run(tmp_path: Path) -> None:
    code, *_ = PYTHON
    assert len(code.splitlines()) == 12
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}  # on a busy machine, threads that spin take for ever
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.startswith("(16, 16) ")
    assert float(first.rpartition(" ")[2]) <= 1e-8
    median, worst = (float(figure) for figure in re.findall(r"\d\.\d+", last))
    assert "20 test samples" in last
    assert 0.0 < median < worst < 0.5


def test_a_system_is_solved(capsys: pytest.CaptureFixture[str]) -> None:
    exec(PYTHON[1], {})
    method, iterations, residual = capsys.readouterr().out.split()
    assert method == "multigrid_cg"
    assert 0 < int(iterations) < 40
    assert float(residual) <= 1e-8


def test_a_pendulum_swings(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(PYTHON[2], names)
    assert "evaluations" in capsys.readouterr().out
    times = [event.t for event in names["found"].occurrences]  # type: ignore[attr-defined]
    quarter = ellipk(np.sin(0.5) ** 2)  # of the period, from amplitude 1
    np.testing.assert_allclose(times, quarter * np.array([1, 3, 5]), rtol=1e-7)


def test_a_flow_is_marched(capsys: pytest.CaptureFixture[str]) -> None:
    exec(PYTHON[3], {})
    shape, energy, dissipation = re.fullmatch(r"(\(.*\)) (\S+) (\S+)\n", capsys.readouterr().out).groups()
    assert shape == "(64, 64)"
    assert 0 < float(energy) < 1 / (4 * (16 / 40 + 0.1) ** 2)  # what the laminar flow has
    assert float(dissipation) > 2 / 40 * float(energy)  # no wave is longer than the side


def test_points_are_solved_by_walks() -> None:
    names: dict[str, Any] = {}
    (code,) = [code for code in PYTHON if "walk_on_spheres" in code]
    exec(code, names)
    u, du = names["u"], names["du"]
    exact = np.exp([0.5, 1.5]) * np.cos([0.5, 0.2]), np.exp(0.5) * np.array([np.cos(0.5), -np.sin(0.5)])
    for found, known in zip((u, du), exact, strict=True):
        assert np.abs((found.mean - known) / found.standard_error).max() < 4
        assert found.standard_error.max() < 0.05
        assert found.n_truncated.sum() == 0


def test_a_channel_flows_around_its_obstacle(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    (code,) = [code for code in PYTHON if "march_mac" in code]
    exec(code, names)
    assert re.fullmatch(r"STEADY \d\.\d+ \(2, 80, 32\)\n", capsys.readouterr().out)
    u, solid = names["done"].velocity[0][-1], names["solid"]
    np.testing.assert_allclose(u.mean(axis=1), 1.0, rtol=1e-3)  # as much everywhere as a parabola of mean 1 brings
    assert np.abs(u[1:-1][solid[1:] | solid[:-1]]).max() == 0
    assert u[23, :12].mean() > 1.2


def test_a_cylinder_drags(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [code for code in PYTHON if "channel_with_cylinder" in code]
    exec(code, {})
    drag, lift = (float(word) for word in capsys.readouterr().out.strip("[]\n").split())
    assert drag == pytest.approx(5.5795, rel=1e-3)
    assert lift == pytest.approx(0.01062, rel=0.05)


def test_a_network_conducts_heat_around_a_hole(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [code for code in PYTHON if "PINN" in code]
    exec(code, {})
    loss, above, below = (float(word) for word in capsys.readouterr().out.replace("[", " ").replace("]", " ").split())
    assert loss < 1e-4
    assert abs(above - 0.5) < 2e-3  # by symmetry, whatever the hole
    assert abs(below - 0.5) < 2e-3


def test_particles_are_followed_past_the_shock(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [code for code in PYTHON if "LagrangianMarch" in code]
    exec(code, {})
    u, *rest = (float(word) for word in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", capsys.readouterr().out))
    assert u == pytest.approx(float(cole_hopf([2.0], 1.5, 0.1)[0]), rel=1e-3)
    positions, jacobians = np.array(rest).reshape(2, 3)
    assert (np.diff(positions) > 0).all()
    assert jacobians[0] > jacobians[1] > jacobians[2] > 0  # the nearer to the shock at pi, the closer together


def test_every_key_of_a_recipe_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`\[?\w+.*?|top) \| (.*) \|$", README, flags=re.MULTILINE))
    listed = {name: set(re.findall(r"`(\w+)`", keys)) for name, keys in rows.items()}
    assert listed["top"] | {"problem", "solver", "data"} == set(Recipe.model_fields)
    for kind, problem in problem_kinds().items():
        if problem.__module__.startswith("sciml."):
            (own,) = [keys for name, keys in listed.items() if f"`{kind}`" in name]
            place = "`[problem]` on a mesh" if kind.startswith("mesh_") else "`[problem]` on a box"
            assert own | listed[place] == set(problem.model_fields), kind
            (row,) = [keys for name, keys in rows.items() if f"`{kind}`" in name]
            for key, default in re.findall(r"`(\w+)` = ([\d.]+)", row):
                assert problem.model_fields[key].default in (float(default), Constant(value=float(default))), (kind, key)
    for section, settings in {"`[solver]`": SolverSettings, "`[data]`": DataSettings}.items():
        told = re.findall(r'`(\w+)` = "?([\w.-]+)"?', rows[section])
        assert told == [(name, str(field.default)) for name, field in settings.model_fields.items()]


def test_import_line_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (words,) = [words for words in SCIML if words[0] == "import"]
    words = [*words]
    words[words.index("--out") + 1] = str(tmp_path / "imported")
    monkeypatch.chdir(ROOT)
    assert CliRunner().invoke(app, words).exit_code == 0
    facts = describe(tmp_path / "imported")
    assert facts["samples"]["test"] == 50
    assert sum(facts["samples"].values()) == 1050


@pytest.mark.parametrize("words", SCIML, ids=" ".join)
def test_every_option_of_a_command_exists(words: list[str]) -> None:
    usage = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200"})
    assert usage.exit_code == 0
    for option in (word for word in words[1:] if word.startswith("--")):
        assert f"{option} " in usage.stdout


def test_every_verb_is_shown() -> None:
    verbs = set(re.findall(r"^│ (\w+) ", CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout, flags=re.MULTILINE))
    assert {words[0] for words in SCIML} == verbs


def test_make_targets_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {words[1] for words in COMMANDS if words[0] == "make"}
    assert {"demo", "test"} <= named <= set(targets)


def test_linked_files_exist() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert "examples/demo.png" in links
    assert [link for link in links if not (ROOT / link).is_file()] == []
    assert (ROOT / "examples" / "demo.png").stat().st_size < 150_000


def test_ci_runs_the_test_command_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")][2:] == ["make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.slow
def test_demo_keeps_its_promise(tmp_path: Path) -> None:
    """The demo's own commands with this interpreter: error below 0.08, in less processor time than a core has in 150 s."""
    listed = subprocess.run(["make", "-n", "demo", f"DEMO={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = [words[1:] for words in map(shlex.split, listed.splitlines()) if words[0].endswith("/sciml")]
    assert [words[0] for words in commands] == ["generate", "verify", "train", "evaluate", "evaluate", "report"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = []
    for words in commands:
        done = subprocess.run([sys.executable, "-m", "sciml", *words], capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stderr
        output.append(done.stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (median,) = re.findall(r"relative L2 error: .*?median ([\d.]+)", output[4])
    assert float(median) < 0.08
    assert (tmp_path / "report.html").is_file()
    assert (tmp_path / "median.png").is_file()
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 150.0
