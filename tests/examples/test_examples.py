"""Every example runs from its own file and ends by asserting a number known from theory."""

import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))


def test_there_are_examples():
    assert len(SCRIPTS) >= 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_example(script, tmp_path):
    text = script.read_text()
    assert len(text.splitlines()) <= 120
    assert "\nassert " in text or "\n    assert " in text
    where = tmp_path / "new" / "picture.png"
    command = [sys.executable, script, "--picture", where]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == [where.parent]  # an example leaves nothing behind where it is run
    check_picture(where, text)


def check_picture(where, text):
    """A picture of the size that the script asks for, with axes on white and data in many colours of which none fills it."""
    pixels = np.rint(255 * imread(where)[..., :3]).astype(int)
    (width, height), dpi = map(float, re.search(r"figsize=\(([\d.]+), ([\d.]+)\)", text).groups()), int(re.search(r"dpi=(\d+)", text)[1])
    assert pixels.shape[:2] == (round(height * dpi), round(width * dpi))
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    coloured = np.ptp(colours, axis=1) > 20
    assert coloured.sum() > 30
    drawn = counts[coloured].sum()
    assert drawn > 0.002 * counts.sum()
    assert counts[coloured].max() < 0.7 * drawn


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_that_takes_arguments_tells_them(script, tmp_path):
    done = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    usage = re.search(r"Run: python examples/\S+(( \[[^\]]+\])+)", script.read_text())[1]
    for argument in re.findall(r"[A-Z.a-z]*[A-Z]\S*[^\]\s]|--\w+", usage):
        assert argument in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_example_writes_its_dataset_where_it_is_told(tmp_path):
    command = [sys.executable, EXAMPLES / "02_darcy_dataset.py", tmp_path / "data", "--picture", tmp_path / "picture.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "picture.png"]
    assert (tmp_path / "data" / "manifest.json").is_file()


@pytest.mark.parametrize(("values", "fails"), [(np.add.outer(np.arange(20), np.arange(20)), False), (np.ones((20, 20)), True)])
def test_a_picture_of_nothing_is_found(values, fails, tmp_path):
    figure = Figure(figsize=(4, 3))
    figure.subplots().imshow(values)
    figure.savefig(tmp_path / "picture.png", dpi=100)
    with pytest.raises(AssertionError) if fails else nullcontext():
        check_picture(tmp_path / "picture.png", "figsize=(4, 3) dpi=100")
