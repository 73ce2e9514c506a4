"""The report of a run, made from run folders that are written here by hand, whole, incomplete, hostile and damaged."""

from __future__ import annotations

import base64
import io
import json
import re
import shlex
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import imread

from sciml.checks import strict_json
from sciml.data.convert import import_arrays
from sciml.data.generate import generate
from sciml.data.recipe import load_recipe
from sciml.errors import CheckpointError, InputError
from sciml.report import plot_field, save_picture, write_report
from sciml.report.commands import PYTHON_ONLY
from sciml.report.fields import limits_of, plane, png_data_uri, symmetric_limits
from sciml.report.page import render, summary
from sciml.report.record import read_record
from sciml.training import TrainSettings

HOSTILE = "<img src=x onerror=alert(1)>"
SUMMARY = {"mean": 0.05, "median": 0.0312, "p90": 0.09, "worst": 0.125, "per_sample": [0.0312, 0.02, 0.125]}
ENVIRONMENT = {"python": "3.11", "versions": {"numpy": "2.4"}, "processor": "abacus", "cores": 2, "omp_num_threads": "1"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "small"
    generate(load_recipe("darcy", ["problem.resolution=8", "problem.permeability.high=20.0"]), path, samples=10)
    return path


SETTINGS = {
    "model": "fno",
    "hidden_channels": 8,
    "modes": 4,
    "layers": 4,
    "epochs": 3,
    "batch_size": 2,
    "learning_rate": 0.004,
    "schedule": "onecycle",
    "weight_decay": 1e-4,
    "loss": "h1",
    "augment": True,
    "seed": 5,
}
TIMING = {"way": "rtol 0.1", "seconds": 0.004, "relative_l2": 0.02}
SPEED = {
    "samples": 3,
    "threads": 1,
    "model": {"seconds": 0.002, "batch": 32, "batched_seconds": 0.001, "relative_l2": 0.0312},
    "solver": {"way": "solver of the data", "seconds": 0.01, "relative_l2": 0.0, "rtol": 1e-8},
    "same_accuracy": TIMING,
    "speedup_same_accuracy_batched": 4.0,
}
REQUEST = {"data": None, "split": "test", "resolution": None, "samples": None, "gate": 0.08}
CHECK = {
    "name": "median relative L2 error",
    "observed": 0.0312,
    "relation": "<=",
    "expected": 0.08,
    "unit": "1",
    "reference": "truth of the dataset",
    "status": "policy",
    "passed": True,
}


def config(data: Path | None, **changes: Any) -> dict[str, Any]:
    """What `sciml train` writes into ``config.json``; None stands for data in memory."""
    manifest = json.loads((data / "manifest.json").read_text()) if data else {}
    described = {
        "path": str(data) if data else None,
        "name": "small",
        "identity": manifest.get("identity"),
        "samples": {"train": 8, "valid": 1},
        "shape": [8, 8],
        "extent": [1.0, 1.0],
        "axes": ["x", "y"],
        "boundary": manifest.get("boundary"),
        "symmetries": manifest.get("symmetries", []),
    }
    return {
        "format": "sciml-run",
        "version": 1,
        "settings": SETTINGS,
        "inputs": manifest.get("inputs", ["permeability"]),
        "outputs": manifest.get("outputs", ["pressure"]),
        "parameters": 12345,
        "environment": ENVIRONMENT,
        "data": described,
        **changes,
    }


def evaluation(**changes: Any) -> dict[str, Any]:
    """What `sciml evaluate` writes into ``evaluation.json``."""
    details = {
        "epoch": 3,
        "data": {"split": "test", "shape": [8, 8]},
        "request": REQUEST,
        "relative_l2": SUMMARY,
        "relative_h1": SUMMARY,
        "residual": {"relative_dual": SUMMARY},
        "speed": SPEED,
        **changes,
    }
    return {"name": "evaluate", "checks": [CHECK], "passed": True, "seconds": 1.0, "environment": ENVIRONMENT, "details": details}


def arrays(shape: tuple[int, ...] = (8, 8)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}
    for rank, error in (("best", 0.02), ("median", 0.0312), ("worst", 0.125)):
        truth = rng.uniform(0.0, 1.0, shape)
        found |= {f"{rank}/index": np.array(1), f"{rank}/relative_l2": np.array(error), f"{rank}/truth/pressure": truth}
        found |= {f"{rank}/inputs/permeability": rng.uniform(3.0, 12.0, shape), f"{rank}/prediction/pressure": truth * (1 + error)}
    return found


def write_run(path: Path, settings: dict[str, Any], *, evaluated: bool = True, fields: dict[str, np.ndarray] | None = None) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps(settings))
    rows = [
        {"epoch": n, "train_loss": 0.5 / n, "valid_relative_l2": 0.3 / n, "valid_relative_h1": 0.6 / n, "seconds": 2.0} for n in (1, 2, 3)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"epoch": 4, "train_l')
    if evaluated:
        (path / "evaluation.json").write_text(json.dumps(evaluation()))
        np.savez(path / "predictions.npz", **(arrays() if fields is None else fields))
    return path


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")


def test_a_whole_run(dataset: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(dataset))
    (run / "evaluation-16x16.json").write_text(json.dumps(evaluation(data={"split": "test", "shape": [16, 16]})))
    page = read(write_report(run, tmp_path / "out" / "report.html"))
    for phrase in (
        "<h1>Darcy flow through a two-phase medium</h1>",
        "<code>-div(a grad p) = f</code>",
        "learned the map permeability → pressure from 8 samples in 6.00 s",
        "2 of 2 checks passed",
        "<b>3.12 %</b>",
        "<b>12.5 %</b>",
        "<b>4.00 ×</b>",
        "faster than the solver at equal accuracy",
        "8 train, 1 valid, 1 test",
        "1.00 × 10⁻⁸ of the right-hand side",
        "FNO with 12,345 parameters",
        "relative L2 on 16 × 16 cells",
        "Worst sample (number 1): relative L2 error 12.5 %",
        "solver at the model&#x27;s accuracy: rtol 0.1",
        "≤ 0.0800",
        "abacus",
    ):
        assert phrase in page, phrase
    assert page.count('class="map"') == 12
    assert page.count("<h2 ") == 9
    identity = json.loads((dataset / "manifest.json").read_text())["identity"]
    assert identity in page


def test_the_twin_says_the_same_in_strict_json(dataset: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(dataset))
    write_report(run, tmp_path / "report.html")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    twin = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert (twin["format"], twin["title"], twin["passed"]) == ("sciml-report", "Darcy flow through a two-phase medium", True)
    assert twin["evaluation"]["details"]["relative_l2"] == SUMMARY
    assert twin["run"] == config(dataset)
    assert [row["train_loss"] for row in twin["training"]] == [0.5, 0.25, 0.5 / 3]
    assert twin["data"]["samples"] == {"train": 8, "valid": 1, "test": 1}
    assert [sample["rank"] for sample in twin["samples"]] == ["best", "median", "worst"]


def test_the_commands_make_the_same_recipe_and_settings(dataset: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(dataset))
    (run / "evaluation-16x16.json").write_text(
        json.dumps(evaluation(data={"split": "test", "shape": [16, 16]}, request={**REQUEST, "resolution": 16}))
    )
    some = evaluation(data={"split": "train", "shape": [8, 8]}, request={**REQUEST, "split": "train", "samples": 2, "gate": 0.5})
    (run / "evaluation-train-first2.json").write_text(json.dumps(some))
    other = evaluation(request={**REQUEST, "data": "/far away/other"})
    (run / "evaluation-zother.json").write_text(json.dumps(other))
    page = read(write_report(run, tmp_path / "report.html"))
    assert "relative L2 on 8 × 8 cells, train split, first 2 samples" in page
    assert "relative L2 on 8 × 8 cells, dataset other" in page
    generation, training, *rest = json.loads((tmp_path / "report.json").read_text())["commands"]
    words = shlex.split(generation)
    again = load_recipe("darcy", [value for option, value in pairwise(words) if option == "--set"])
    stored = json.loads((dataset / "manifest.json").read_text())["identity"]
    assert again.identity == load_recipe("darcy", ["problem.resolution=8", "problem.permeability.high=20.0"]).identity == stored
    assert generation.endswith("--samples 10 --seed 0 --out small")
    for option in ("--hidden-channels 8", "--loss h1", "--seed 5", "--augment", "--learning-rate 0.004"):
        assert option in training
    assert rest == [
        "sciml evaluate run --gate 0.08",
        "sciml evaluate run --resolution 16 --gate 0.08",
        "sciml evaluate run --split train --samples 2 --gate 0.5",
        "sciml evaluate run '/far away/other' --gate 0.08",
        "sciml report run --out report.html",
    ]


def test_settings_without_an_option_are_told_as_a_call(tmp_path: Path) -> None:
    """The call is run, with a `train` that records: its settings are those of the run."""
    assert {name: TrainSettings.model_fields[name].default for name in PYTHON_ONLY} == PYTHON_ONLY
    calls: list[Any] = []
    names = {"TrainSettings": TrainSettings, "train": lambda *arguments: calls.append(arguments)}
    for change in ({"schedule": "cosine"}, {"rank": 0.5}, {"coordinates": False}):
        settings = TrainSettings(**SETTINGS | change)
        run = write_run(tmp_path / next(iter(change)), config(None, settings=settings.model_dump()))
        command = shlex.split(summary(read_record(run))["commands"][1])
        assert command[:2] == ["python", "-c"]
        exec(command[2].partition("; ")[2], names)
        assert calls.pop() == ("data", run.name, settings)


def test_a_run_that_was_not_evaluated(dataset: Path, tmp_path: Path) -> None:
    page = read(write_report(write_run(tmp_path / "run", config(dataset), evaluated=False), tmp_path / "r.html"))
    assert page.count("has not been evaluated yet") == 5
    assert "<img" not in page
    assert "<polyline" in page
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is None


def test_a_run_whose_data_are_gone_or_were_in_memory(tmp_path: Path) -> None:
    moved = config(None)
    moved["data"]["path"] = str(tmp_path / "nowhere")
    page = read(write_report(write_run(tmp_path / "moved", moved), tmp_path / "r.html"))
    assert "The dataset cannot be read:" in page
    assert "nowhere does not exist" in page
    page = read(write_report(write_run(tmp_path / "memory", config(None)), tmp_path / "r.html"))
    assert "trained on arrays in memory" in page


def test_a_dataset_that_was_replaced_is_not_taken_for_the_old_one(dataset: Path, tmp_path: Path) -> None:
    settings = config(dataset)
    settings["data"]["identity"] = "0" * 64
    page = read(write_report(write_run(tmp_path / "run", settings), tmp_path / "r.html"))
    assert "is not the one that this run was trained on any more" in page
    assert "Darcy flow" not in page


def test_imported_arrays_have_no_equation_to_check(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "mine.npz", a=rng.normal(size=(20, 6, 6)), u=rng.normal(size=(20, 6, 6)))
    data = import_arrays(tmp_path / "mine.npz", tmp_path / "data", input="a", output="u", valid_fraction=0.2, symmetries=("swap_xy",))
    run = write_run(tmp_path / "run", config(data))
    (run / "evaluation.json").write_text(json.dumps(evaluation(residual=None, speed=None)))
    page = read(write_report(run, tmp_path / "r.html"))
    assert "imported without an equation" in page
    assert "without a solver to compare with" in page
    assert "H⁻¹" not in page
    command = json.loads((tmp_path / "r.json").read_text())["commands"][0]
    assert command == "sciml import mine.npz --input a --output u --valid-fraction 0.2 --symmetry swap_xy --out data"


def test_fields_in_3d_are_shown_in_their_middle_slice(tmp_path: Path) -> None:
    fields = arrays((6, 5, 4))
    page = read(write_report(write_run(tmp_path / "run", config(None), fields=fields), tmp_path / "r.html"))
    assert "middle slice along z" in page
    assert page.count("slice 3 of 4 along z, 6 by 5 points") == 12
    values, label = plane(fields["best/truth/pressure"])
    assert label == "slice 3 of 4 along z"
    assert np.array_equal(values, fields["best/truth/pressure"][:, :, 2])


def test_inputs_that_are_no_fields_are_named(tmp_path: Path) -> None:
    fields = arrays() | {"best/inputs/screening": np.array(2.5), "best/inputs/boundary_x_low": np.linspace(-1.0, 3.0, 8)}
    page = read(write_report(write_run(tmp_path / "run", config(None), fields=fields), tmp_path / "r.html"))
    assert "Further inputs: screening = 2.50; boundary_x_low from −1.00 to 3.00." in page


def test_figures_that_are_not_finite_are_named_and_not_drawn(tmp_path: Path) -> None:
    broken = {**SUMMARY, "median": None, "worst": None, "per_sample": [0.1, None, 0.2]}
    fields = arrays()
    fields["worst/prediction/pressure"] = np.full((8, 8), np.nan)
    fields["best/prediction/pressure"][0, 0] = np.inf
    run = write_run(tmp_path / "run", config(None), fields=fields)
    (run / "evaluation.json").write_text(json.dumps(evaluation(relative_l2=broken)))
    page = read(write_report(run, tmp_path / "r.html"))
    assert "not a number" in page
    assert "No finite value to draw." in page
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page)


def test_names_from_files_cannot_become_elements(dataset: Path, tmp_path: Path) -> None:
    settings = config(None, inputs=[HOSTILE], outputs=[HOSTILE])
    settings["settings"] = dict.fromkeys(settings["settings"], HOSTILE)
    settings["data"] |= {"name": HOSTILE, "axes": [HOSTILE, "y"], "boundary": [[HOSTILE, "a"], ["b", "b"]], "symmetries": [HOSTILE]}
    settings["environment"] = {"versions": {HOSTILE: HOSTILE}, "processor": HOSTILE}
    fields = {name.replace("pressure", HOSTILE).replace("permeability", HOSTILE): value for name, value in arrays().items()}
    run = write_run(tmp_path / "run", settings, fields=fields)
    report = evaluation(data={"split": HOSTILE, "shape": [8, 8]})
    report["checks"] = [CHECK | dict.fromkeys(("name", "unit", "reference", "status"), HOSTILE)]
    (run / "evaluation.json").write_text(json.dumps(report))
    page = read(write_report(run, tmp_path / "r.html"))
    assert page.count("&lt;img src=x") > 20
    assert "<img src=x" not in page
    assert set(re.findall(r"<img ([a-z]+)=", page)) == {"src"}
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'<img src="([^"]*)"', page))


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("config.json", None, "holds no config.json"),
        ("config.json", "{", "damaged"),
        ("config.json", "[" * 100_000, "damaged"),
        ("config.json", '{"format": "sciml-dataset"}', "settings is missing"),
        ("metrics.jsonl", '{"epoch": "one"}\n', "epoch is 'one'"),
        ("metrics.jsonl", "not json\n", "damaged"),
        ("evaluation.json", '{"checks": []}', "seconds is missing"),
        ("evaluation.json", '{"checks": 1}', "checks is '1'"),
        ("predictions.npz", "not a zip", "damaged"),
    ],
)
def test_a_damaged_file_is_named_in_one_sentence(file: str, content: str | None, sentence: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(None))
    (run / file).unlink()
    if content is not None:
        (run / file).write_text(content)
    with pytest.raises(CheckpointError) as caught:
        write_report(run, tmp_path / "r.html")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r.html").exists()


def leaves(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place] + [leaf for key, item in items for leaf in leaves(item, (*place, key))]


@pytest.mark.parametrize("file", ["config.json", "evaluation.json"])
def test_any_wrong_value_gives_a_page_or_a_sentence_and_never_a_traceback(file: str, tmp_path: Path) -> None:
    settings = config(None)
    settings["data"] |= {"boundary": [["neumann", "neumann"], ["periodic", "periodic"]], "symmetries": ["reflect_x"]}
    run = write_run(tmp_path / "run", settings)
    (run / "predictions.npz").unlink()  # pictures take time and do not depend on these files
    whole = (run / file).read_text()
    for place in leaves(json.loads(whole))[1:]:
        for wrong in (None, "x", -1, [[1]], {"a": 1}):
            content = json.loads(whole)
            target = content
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = wrong
            (run / file).write_text(json.dumps(content))
            try:
                found = outcome(run)
            except Exception as error:
                error.add_note(f"{file}: {place} = {wrong!r}")
                raise
            assert found in ("a page", "a sentence"), f"{file}: {place} = {wrong!r}"


def outcome(run: Path) -> str:
    """Whether there is a page and a twin, or a refusal in one sentence."""
    try:
        record = read_record(run)
    except CheckpointError as error:
        return "a sentence" if "\n" not in str(error) else "several lines"
    strict_json(summary(record))
    return "a page" if render(record).endswith("</html>\n") else "half a page"


def test_damaged_and_boasting_predictions_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(None))
    file = run / "predictions.npz"
    np.savez_compressed(file, **arrays())
    content = bytearray(file.read_bytes())
    content[200:230] = bytes(255 - byte for byte in content[200:230])
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"predictions\.npz is damaged"):
        write_report(run, tmp_path / "r.html")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 20, 1 << 20)})
    np.savez(file, **arrays())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("best/inputs/boast.npy", header.getvalue())
    with pytest.raises(CheckpointError, match=r"'best/inputs/boast' of .* declares 8796093022208 bytes"):
        write_report(run, tmp_path / "r.html")


def test_a_picture_that_cannot_be_drawn_leaves_no_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(None), evaluated=False)
    with pytest.raises(CheckpointError, match="holds no median sample to draw"):
        write_report(run, tmp_path / "out" / "r.html", picture=tmp_path / "p.png")
    whole = write_run(tmp_path / "whole", config(None))
    with pytest.raises(InputError, match="cannot be the picture"):
        write_report(whole, tmp_path / "out" / "r.html", picture=tmp_path)
    assert not (tmp_path / "out").exists()
    write_report(whole, tmp_path / "out" / "r.html", picture=tmp_path / "out" / "p.png")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p.png", "r.html", "r.json"]
    assert imread(tmp_path / "out" / "p.png").ndim == 3


def test_predictions_with_pickled_objects_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(None))
    np.savez(run / "predictions.npz", **arrays() | {"best/index": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(CheckpointError, match="damaged"):
        write_report(run, tmp_path / "r.html")


@pytest.mark.parametrize("name", ["report.json", "folder"])
def test_a_page_that_would_overwrite_its_twin_or_a_folder_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be the page"):
        write_report(write_run(tmp_path / "run", config(None)), tmp_path / name)


def test_nothing_half_written_stays(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_report(write_run(tmp_path / "run", config(dataset)), out / "r.html")
    write_report(tmp_path / "run", out / "r.html")
    assert sorted(path.name for path in out.iterdir()) == ["r.html", "r.json"]


def decode(uri: str) -> np.ndarray:
    return imread(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))), format="png")


def test_a_picture_has_x_to_the_right_and_y_upwards() -> None:
    field = np.zeros((3, 2))
    field[2, 0] = 1.0  # largest x, smallest y: the lower right corner
    picture = decode(png_data_uri(field, "viridis", (0.0, 1.0)))
    assert picture.shape == (2, 3, 4)
    high, low = (np.array(colormaps["viridis"](value)) for value in (1.0, 0.0))
    assert picture[1, 2] == pytest.approx(high, abs=1 / 255)
    assert picture[0, 2] == pytest.approx(low, abs=1 / 255)
    empty = decode(png_data_uri([[np.nan, 0.5]], "viridis", (0.0, 1.0)))
    assert empty[1, 0, 3] == 0.0


def test_limits() -> None:
    assert limits_of([1.0, np.nan], [[-2.0, np.inf]]) == (-2.0, 1.0)
    assert symmetric_limits([1.0, -3.0]) == (-3.0, 3.0)
    assert limits_of([np.nan]) is None
    assert symmetric_limits([np.inf]) is None
    assert decode(png_data_uri(np.ones((2, 2)), "viridis", (1.0, 1.0))).shape == (2, 2, 4)


def test_truth_and_prediction_share_a_scale_and_differences_one_for_all(tmp_path: Path) -> None:
    fields = arrays()
    page = read(write_report(write_run(tmp_path / "run", config(None), fields=fields), tmp_path / "r.html"))
    ends = re.findall(r'alt="(truth|prediction)(: pressure| − truth) of the (\w+) sample[^"]*from ([^"]*) to ([^"]*)"', page)
    scales = {(kind + what, rank): (low, high) for kind, what, rank, low, high in ends}
    for rank in ("best", "median", "worst"):
        assert scales["truth: pressure", rank] == scales["prediction: pressure", rank]
    assert len({scales["prediction − truth", rank] for rank in ("best", "median", "worst")}) == 1
    worst = max(float(np.abs(fields[f"{rank}/prediction/pressure"] - fields[f"{rank}/truth/pressure"]).max()) for rank in ("best", "worst"))
    assert float(scales["prediction − truth", "worst"][1]) == pytest.approx(worst, rel=5e-3)


def test_plots_return_their_axes_and_need_no_pyplot(tmp_path: Path) -> None:
    ax = Figure().subplots()
    assert plot_field(ax, np.arange(12.0).reshape(3, 4), title="t", unit="Pa", extent=(3.0, 4.0)) is ax
    image = ax.get_images()[0]
    assert tuple(image.get_extent()) == (0.0, 3.0, 0.0, 4.0)
    assert np.array_equal(image.get_array(), np.arange(12.0).reshape(3, 4).T)
    assert image.get_clim() == (0.0, 11.0)
    with pytest.raises(ValueError, match="2 or 3 axes"):
        plot_field(ax, np.zeros(3))
    code = "import sys, sciml.report.page; print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["False", "False"]


def test_one_picture_for_a_readme(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", config(None))
    picture = imread(save_picture(run, tmp_path / "p.png", rank="worst"))
    assert picture.shape[1] > 3 * picture.shape[0] > 500
    assert picture.std() > 0.1
    with pytest.raises(CheckpointError, match="no last sample"):
        save_picture(run, tmp_path / "p.png", rank="last")


def test_a_dataset_that_has_grown_is_said_to_have() -> None:
    from sciml.report.record import _growth

    assert _growth({"train": 8, "valid": 1}, {"train": 8, "valid": 1, "test": 1}) == ""
    assert "8 train (now 16), 1 valid (now 2)" in _growth({"train": 8, "valid": 1}, {"train": 16, "valid": 2, "test": 2})
