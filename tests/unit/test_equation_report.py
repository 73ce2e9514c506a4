"""The report of a network on an equation: its figures are those of the run, and damaged files are named."""

import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.image import imread

from sciml.errors import CheckpointError
from sciml.report import save_picture, write_report
from sciml.report.equation_record import read_equation
from sciml.report.notation import figure
from sciml.report.record import few_of
from sciml.training import load_equation_recipe, train_equation

HOSTILE = "<img src=x onerror=alert(1)>"
TINY = {"width": 6, "layers": 1, "points": 36, "steps": 6, "block": 2, "warm_up": 2}
MODE = {"kind": "wave", "wavenumbers": [3.141592653589793] * 2, "phases": [-1.5707963267948966] * 2}


def trained(out, name="pinn-poisson", overrides=(), **settings):
    recipe, chosen = load_equation_recipe(name, {**TINY, **settings}, overrides)
    train_equation(recipe, out, chosen)
    return out


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "poisson", seed=3)


@pytest.fixture
def run(finished, tmp_path):
    """A copy that may be damaged, without its checkpoints, which no report needs."""
    copy = tmp_path / "poisson"
    copy.mkdir()
    for file in finished.iterdir():
        if file.is_file() and file.name != ".lock":
            (copy / file.name).write_bytes(file.read_bytes())
    return copy


def page_of(run, tmp_path):
    text = write_report(run, tmp_path / "report.html").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    return text, json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))


def test_a_march_tells_its_windows(tmp_path):
    overrides = ["problem.initial_velocity.alpha=6.0", "problem.resolution=32", "problem.times=[1.0,2.0]"]
    run = trained(tmp_path / "march", "burgers", overrides, model="lpinn", optimizer="geodesic-lm", compression=0.1)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    page, twin = page_of(run, tmp_path)
    windows = rows[-1]["window"]
    assert windows > 2
    for phrase in (
        f"An LPINN of {twin['run']['parameters']} parameters in each of {windows} windows of time",
        f"in {rows[-1]['step']} steps of geodesic-lm",
        "is the smallest of the last window of time",
        "relative L2 error of velocity ends at",  # though the first rows have none
    ):
        assert phrase in page, phrase
    assert "error_velocity" not in rows[0]
    recipe = tmp_path / "again.toml"
    recipe.write_text(twin["training_recipe"])
    again, settings = load_equation_recipe(recipe, {})
    assert settings.model_dump(mode="json") == twin["run"]["settings"]
    assert again.problem == load_equation_recipe("burgers", {}, overrides)[0].problem


def test_the_page_has_the_figures_of_the_run(run, tmp_path):
    page, twin = page_of(run, tmp_path)
    evaluation = json.loads((run / "evaluation.json").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    details = evaluation["details"]

    def said(value):
        return figure(value).replace("\N{NO-BREAK SPACE}", " ")

    for phrase in (
        "<h1>Poisson&#x27;s equation in a square</h1>",
        f"<b>{said(details['relative_l2']['potential'])}</b><span>relative L2 error of potential",
        f">{said(details['rmse']['potential'])}</td>",
        f"whose loss of {said(details['loss'])} is the smallest",
        "in 6 steps of sven",
        "A PINN of 25 parameters",
        "compared with: exact solution",
        f"mean square of residuals ends at {said(rows[-1]['loss'])}",
        f"relative L2 error of potential ends at {said(rows[-1]['error_potential'])}",
        f"rank (singular values kept) ends at {said(rows[-1]['rank'])}",
    ):
        assert phrase in page, phrase
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page) == ["truth: potential", "prediction: potential", "prediction − truth"]
    assert ("✓ pass" in page) == evaluation["passed"]
    assert ("✗ FAIL" in page) != evaluation["passed"]
    assert (twin["passed"], twin["evaluation"], twin["training"]) == (evaluation["passed"], evaluation, rows)
    assert twin["fields"] == ["potential"]
    stored = np.load(run / "predictions.npz")
    (sample,) = read_equation(run).samples
    np.testing.assert_array_equal(sample.difference("potential"), stored["prediction/potential"] - stored["truth/potential"])


@pytest.mark.parametrize(
    ("recipe", "settings", "overrides"),
    [
        ("pinn-poisson", {"activation": "sine", "learning_rate": 0.5}, ()),
        (
            "poisson",
            {"model": "pinn", "optimizer": "adam", "sample": 2},
            ["problem.resolution=8", "problem.source.alpha=4.0", "data.seed=7"],
        ),
    ],
)
def test_the_training_recipe_on_the_page_is_the_run(tmp_path, recipe, settings, overrides):
    run = trained(tmp_path / "run with a space", recipe, overrides, **settings)
    _, twin = page_of(run, tmp_path)
    train, evaluate, report = twin["commands"]
    file = tmp_path / train.split()[2]
    file.write_text(twin["training_recipe"], encoding="utf-8")
    again, chosen = load_equation_recipe(file, {})
    stored = json.loads((run / "config.json").read_text())
    assert chosen.model_dump(mode="json") == stored["settings"]
    assert json.loads(again.canonical_json()) == stored["recipe"]
    assert train.endswith("--out 'run with a space'")
    assert evaluate == "sciml evaluate 'run with a space' --gate 0.01"
    assert report == "sciml report 'run with a space' --out report.html"


def test_an_evolving_problem_is_shown_at_four_of_its_times(tmp_path):
    assert few_of(1) == [0]
    assert few_of(4) == [0, 1, 2, 3]
    assert few_of(11) == [0, 3, 7, 10]
    path = tmp_path / "heat.toml"
    text = (
        'model = "pinn"\n[problem]\nkind = "heat"\nresolution = [8, 6]\nextent = [1.0, 1.0]\ntimes = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]\n'
    )
    wave = f"initial_temperature = {{ kind = 'wave', wavenumbers = {MODE['wavenumbers']}, phases = {MODE['phases']} }}\n"
    path.write_text(text + wave)
    run = trained(tmp_path / "run", path)
    page, twin = page_of(run, tmp_path)
    assert twin["fields"] == [f"temperature (t={t:g})" for t in (0.1, 0.3, 0.5, 0.7)]
    stored = np.load(run / "predictions.npz")["truth/temperature"]
    record = read_equation(run)
    (sample,) = record.samples
    np.testing.assert_array_equal(sample.truth["temperature (t=0.7)"], stored[-1])
    np.testing.assert_array_equal(sample.truth["temperature (t=0.3)"], stored[2])
    assert len(set(record.differences.values())) == 1
    largest = max(np.abs(sample.difference(name)).max() for name in sample.truth)
    assert record.differences["temperature (t=0.1)"] == (-largest, largest)
    assert page.count('class="map"') == 12


def test_an_interval_is_shown_as_lines(tmp_path):
    run = trained(tmp_path / "run", "pinn-heat")
    page, twin = page_of(run, tmp_path)
    assert len(twin["fields"]) == 4
    assert page.count("<figcaption>prediction − truth: temperature (t=") == 4
    assert 'class="map"' not in page
    save_picture(run, tmp_path / "heat.png")
    height, width, _ = imread(tmp_path / "heat.png").shape
    assert (width, height) == (int(110 * 11 / 3 * 2), int(110 * 4 * 2.9))


def test_a_pressure_is_shown_without_its_mean(tmp_path):
    path = tmp_path / "lid.toml"
    path.write_text('model = "pinn"\n[problem]\nkind = "cavity"\nresolution = 8\nviscosity = 0.1\nspeed_y_high = 1.0\n')
    run = trained(tmp_path / "run", path, steps=2)
    arrays = dict(np.load(run / "predictions.npz"))
    np.savez(run / "predictions.npz", **{**arrays, "prediction/pressure": arrays["truth/pressure"] + 5.0})
    (sample,) = read_equation(run).samples
    np.testing.assert_allclose(sample.difference("pressure"), 0.0, atol=1e-12)
    page, twin = page_of(run, tmp_path)
    assert "shown without its mean" in page
    assert twin["fields"] == ["velocity_x", "velocity_y", "pressure"]
    assert page.count('class="map"') == 9


def test_the_picture_shows_truth_prediction_and_difference(run, tmp_path):
    truth = np.load(run / "predictions.npz")["truth/potential"]
    np.savez(run / "predictions.npz", **{"truth/potential": truth, "prediction/potential": truth / 2})
    write_report(run, tmp_path / "page.html", picture=tmp_path / "page.png")
    picture = imread(tmp_path / "page.png")[..., :3]
    height, width, _ = picture.shape
    assert (width, height) == (int(110 * 2.75 * 3), int(110 * 3.35))
    # the middle of the square, where the sine is largest: the end of the scale, its middle, and half too low
    middles = picture[height // 2 - 20, [width // 6, width // 2, 5 * width // 6]]
    right = [colormaps["viridis"](1.0), colormaps["viridis"](0.5), colormaps["RdBu_r"](0.0)]
    np.testing.assert_allclose(middles, np.array(right)[:, :3], atol=0.03)


def test_what_has_not_been_made_yet_is_said(run, tmp_path):
    (run / "evaluation.json").unlink()
    (run / "predictions.npz").unlink()
    (run / "metrics.jsonl").unlink()
    page, twin = page_of(run, tmp_path)
    assert page.count("has not been evaluated yet") == 4
    assert "has not finished its first block of steps" in page
    assert twin["passed"] is None
    with pytest.raises(CheckpointError, match="sample to draw"):
        save_picture(run, tmp_path / "none.png")


def test_text_of_a_stranger_is_escaped(run, tmp_path):
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["title"] = config["recipe"]["description"] = HOSTILE
    config["settings"]["network"] = config["settings"]["optimizer"] = config["settings"]["model"] = HOSTILE + '"\n\x7f'
    (run / "config.json").write_text(json.dumps(config))
    evaluation = json.loads((run / "evaluation.json").read_text())
    evaluation["details"]["reference"] = evaluation["checks"][0]["name"] = HOSTILE
    evaluation["details"]["relative_l2"][HOSTILE] = evaluation["details"]["rmse"][HOSTILE] = 1.0
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    page, twin = page_of(run, tmp_path)
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 6
    assert tomllib.loads(twin["training_recipe"])["network"] == HOSTILE + '"\n\x7f'


@pytest.mark.parametrize(
    ("name", "change", "fault"),
    [
        ("config.json", lambda c: c.pop("settings"), "settings is missing"),
        ("config.json", lambda c: c["settings"].update(points="many"), "settings.points is 'many'"),
        ("config.json", lambda c: c["recipe"]["problem"].update(kind="poison"), "the stored recipe is not valid"),
        ("config.json", lambda c: c.update(parameters=None), "parameters is 'None'"),
        ("evaluation.json", lambda c: c["details"]["relative_l2"].update(potential="small"), "details.relative_l2.potential is 'small'"),
        ("evaluation.json", lambda c: c["details"]["rmse"].clear(), "are of different outputs"),
        ("evaluation.json", lambda c: c["checks"][0].update(relation="~"), "relation is '~'"),
    ],
)
def test_a_damaged_file_is_named_with_the_entry(run, tmp_path, name, change, fault):
    content = json.loads((run / name).read_text())
    change(content)
    (run / name).write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=rf"{name} is damaged \(.*{re.escape(fault)}"):
        write_report(run, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"epoch": 1, "step": 2}', r"\[0\]\.loss is missing"),
        ('{"epoch": 1, "step": 2, "loss": 1.0, "error_potential": "x"}', "error_potential is 'x'"),
        ("{", "Expecting"),
    ],
)
def test_a_damaged_log_is_named(run, tmp_path, line, fault):
    (run / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(CheckpointError, match=rf"metrics\.jsonl is damaged \(.*{fault}"):
        write_report(run, tmp_path / "report.html")


@pytest.mark.parametrize("fault", ["cut", "shape", "names", "pickle", "empty"])
def test_damaged_fields_are_named(run, tmp_path, fault):
    file = run / "predictions.npz"
    arrays = dict(np.load(file))
    if fault == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif fault == "shape":
        np.savez(file, **{**arrays, "prediction/potential": arrays["prediction/potential"][:-1]})
    elif fault == "names":
        np.savez(file, **{"truth/potential": arrays["truth/potential"]})
    elif fault == "pickle":
        np.savez(file, **{**arrays, "truth/other": np.array([{}], dtype=object)})
    else:
        np.savez(file, **{"prediction/potential": arrays["truth/potential"]})
    with pytest.raises(CheckpointError, match=r"predictions\.npz is damaged"):
        write_report(run, tmp_path / "report.html")


def test_a_report_loads_no_torch(run, tmp_path):
    script = "import sys; from sciml.cli import app; app(sys.argv[1:], standalone_mode=False); print('torch' in sys.modules)"
    words = ["report", str(run), "--out", str(tmp_path / "r.html"), "--picture", str(tmp_path / "r.png")]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == [str(tmp_path / "r.html"), str(tmp_path / "r.png"), "False"], done.stderr
