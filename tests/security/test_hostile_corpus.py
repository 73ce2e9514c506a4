"""A hundred hostile and damaged recipes and datasets: one sentence each, nothing read outside the dataset, and little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sciml import generate, load_recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("corpus")
    generate(load_recipe("darcy", ["problem.resolution=8", "data.shard_samples=4"]), folder / "sound", samples=6)
    (folder / "scratch").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).with_name("open_corpus.py")), str(folder / "sound"), str(folder / "scratch")]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_every_answer_is_a_verdict_or_one_sentence(outcome: dict[str, Any]) -> None:
    assert len(outcome["cases"]) >= 60
    for name, case in outcome["cases"].items():
        for code, stdout, stderr in case["answers"]:
            assert "Traceback" not in stderr, (name, stderr)
            assert code in {0, 1, 3}, (name, code, stderr)
            if code == 3:
                assert stderr.startswith("error: "), name
                assert stderr.count("\n") == 1, (name, stderr)
                assert len(stderr) < 2000, (name, len(stderr))
                assert stdout == "", name


def test_every_recipe_is_refused_and_leaves_nothing(outcome: dict[str, Any]) -> None:
    recipes = {name: case for name, case in outcome["cases"].items() if name.startswith("recipe")}
    assert len(recipes) >= 50
    assert {name for name, case in recipes.items() if case["answers"][0][0] != 3} == set()
    assert {name for name, case in recipes.items() if case["left"]} == set()


def test_most_datasets_are_refused_or_do_not_verify(outcome: dict[str, Any]) -> None:
    shards = {name: case for name, case in outcome["cases"].items() if name.startswith("shard")}
    verified = {name.removeprefix("shard: ") for name, case in shards.items() if case["answers"][1][0] == 0}
    # more than is read, or what only makes another machine of the one that wrote it
    assert verified == {"extra datasets", "twice", "versions that are no JSON", "versions that are a list", "method with odd bytes"}


def test_files_outside_are_not_read(outcome: dict[str, Any]) -> None:
    assert [name for name, case in outcome["cases"].items() if case["read_outside"]] == [] or not outcome["reading_is_noticed"]
    if not outcome["reading_is_noticed"]:
        pytest.skip("this file system does not record when a file was read")


def test_memory_stays_small(outcome: dict[str, Any]) -> None:
    assert outcome["megabytes"] < 512, {name: case["megabytes"] for name, case in outcome["cases"].items()}
