"""Every example runs from its own file and ends by asserting a number known from theory."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))


def test_there_are_examples():
    assert len(SCRIPTS) >= 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example(script, tmp_path):
    text = script.read_text()
    assert len(text.splitlines()) <= 120
    assert "\nassert " in text or "\n    assert " in text
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []  # an example leaves nothing behind where it is run


@pytest.mark.parametrize("script", [script for script in SCRIPTS if "argparse" in script.read_text()], ids=lambda script: script.stem)
def test_an_example_that_takes_arguments_tells_them(script, tmp_path):
    done = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    usage = re.search(r"Run: python examples/\S+(( \[[^\]]+\])+)", script.read_text())[1]
    for argument in re.findall(r"[A-Z.a-z]*[A-Z]\S*[^\]\s]|--\w+", usage):
        assert argument in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_example_writes_where_it_is_told(tmp_path):
    command = [sys.executable, EXAMPLES / "02_darcy_dataset.py", tmp_path / "data", "--picture", tmp_path / "new" / "picture.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "new"]
    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")
