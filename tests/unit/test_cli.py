"""The command `sciml` from outside: what it loads, what it writes where, how it ends, and that it can be interrupted."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from sciml import open_dataset
from sciml.cli import app

VERBS = ["list", "generate", "info", "verify", "import", "export", "train", "evaluate", "report"]
SMALL = ["--set", "problem.resolution=8", "--seed", "3"]
PROBE = """
import sys
try:
    from sciml.__main__ import main
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def sciml(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """The sentence of a command that has to end with exit code 3 and nothing on stdout."""
    result = sciml(*arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("error: ")
    return sentence


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "data"
    assert sciml("generate", "darcy", *SMALL, "--samples", 20, "--out", out, "--quiet").exit_code == 0
    return out


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    out = data.parent / "run"
    size = ["--hidden-channels", 4, "--modes", 4, "--layers", 1, "--epochs", 2, "--batch-size", 8]
    result = sciml("train", data, "--model", "fno", *size, "--loss", "l2", "--no-augment", "--out", out, "--json", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["epochs"] == 2
    return out


# ---- what is loaded ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["generate", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, timeout=60, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Usage: sciml" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "typer" in loaded  # the probe sees what is there
    assert not loaded & {"torch", "numpy", "h5py", "scipy", "numba", "matplotlib", "solvers"}
    assert len(arguments) > 1 or "pydantic" not in loaded  # typer itself may convert the options of a verb with it
    # processor time, since the wall clock belongs to whoever else is running
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 1.0


@pytest.mark.parametrize(
    ("recipe", "override", "field"),
    [
        ("navier-stokes", "problem.viscosity=0.0", "viscosity must be"),
        ("kolmogorov", "problem.forcing.waves=1000", "forcing.waves = 1000"),
        ("decaying-turbulence", "problem.resolution=3", "resolution = [3, 3]"),
        ("cavity", "problem.speed_x_low={kind='disks'}", "speed_x_low must be"),
        ("channel-obstacles", "problem.obstacles.low=[0.2, 0.9]", "problem.obstacles: low[1] = 0.9"),
        ("channel-obstacles", "problem.obstacles.radii=[0.6, 0.7]", "'obstacles' closes the channel"),
    ],
)
def test_a_recipe_of_a_flow_that_makes_no_sense_is_an_invalid_input(recipe: str, override: str, field: str, tmp_path: Path) -> None:
    assert field in refused("generate", recipe, "--set", override, "--samples", 1, "--out", tmp_path / "data", "--quiet")


@pytest.mark.parametrize(("recipe", "name"), [("burgers", "time_error"), ("cavity", "distance_from_rest"), ("darcy", "residual")])
def test_samples_are_judged_by_what_they_have(recipe: str, name: str, tmp_path: Path) -> None:
    out = tmp_path / "data"
    settings = ("problem.resolution=16", "solver.rtol=1e-4", "data.oversampling=1")  # of a finer grid nothing would be recomputed
    made = sciml("generate", recipe, *(part for one in settings for part in ("--set", one)), "--samples", 2, "--out", out)
    assert (made.exit_code, f"worst_{name}: " in made.stdout) == (0, True), made.stderr
    told = sciml("info", out).stdout
    assert f"largest_{name}" in told
    shown = sciml("verify", out, "--json").stdout
    assert f"largest recomputed {name.replace('_', ' ')} over its gate" in [check["name"] for check in json.loads(shown)["checks"]]
    for text in (made.stdout + made.stderr, told, shown):
        assert ("residual" in text) == (recipe == "darcy")


def test_export_takes_the_split_that_there_is(data: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    assert sciml("generate", "darcy", *SMALL, "--samples", 1, "--out", few, "--quiet").exit_code == 0
    for folder, split, told in ((few, "train", "note: split 'test' has no samples; this is sample 0 of 'train'\n"), (data, "test", "")):
        result = sciml("export", folder, "--out", tmp_path / "sample.vtkhdf")
        assert (result.exit_code, result.stderr) == (0, told)
        with h5py.File(tmp_path / "sample.vtkhdf") as file:
            np.testing.assert_array_equal(file["VTKHDF/CellData/pressure"][()].T, open_dataset(folder, split)[0]["pressure"])
    assert "split 'test'" in refused("export", few, "--split", "test", "--out", tmp_path / "sample.vtkhdf")


def test_every_verb_has_help() -> None:
    overview = sciml("--help").stdout
    for verb in VERBS:
        assert f" {verb} " in overview
        assert sciml(verb, "--help").exit_code == 0


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "sciml", "list", "--json"], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == json.loads(sciml("list", "--json").stdout)


# ---- figures on stdout, progress on stderr, exit codes ------------------------------------------------------------------------------


def test_list_names_every_recipe_with_its_shape() -> None:
    lines = {line.split()[0]: line for line in sciml("list").stdout.splitlines()}
    assert "32 x 32 x 32" in lines["darcy3d"]
    assert json.loads(sciml("list", "--json").stdout)["darcy"]["problem"]["kind"] == "darcy"


def test_generate_prints_json_on_stdout_and_lines_on_stderr(tmp_path: Path) -> None:
    result = sciml("generate", "darcy", *SMALL, "--samples", 10, "--set", "data.test=0.3", "--out", tmp_path / "d", "--json")
    figures = json.loads(result.stdout)
    assert figures["samples"] == {"train": 6, "valid": 1, "test": 3}
    assert (figures["generated"], figures["already_there"]) == (10, 0)
    assert figures["worst_residual"] <= 1e-8
    assert result.stderr.splitlines()[-1].startswith("generate 10/10")


def test_generate_again_completes_and_is_quiet_when_asked(tmp_path: Path) -> None:
    arguments = ["generate", "darcy", *SMALL, "--out", tmp_path / "d", "--json", "--quiet"]
    assert json.loads(sciml(*arguments, "--samples", 4).stdout)["generated"] == 4
    again = sciml(*arguments, "--samples", 7)
    assert again.stderr == ""
    assert (json.loads(again.stdout)["generated"], json.loads(again.stdout)["already_there"]) == (3, 4)


def test_workers_do_not_change_the_samples(data: Path, tmp_path: Path) -> None:
    assert sciml("generate", "darcy", *SMALL, "--samples", 20, "--workers", 2, "--out", tmp_path / "d", "-q").exit_code == 0
    from sciml.data.loader import open_dataset

    one, two = open_dataset(data, "train"), open_dataset(tmp_path / "d", "train")
    for name in ("permeability", "pressure"):
        assert np.array_equal(one.field(name), two.field(name))


def test_info_tells_the_splits(data: Path) -> None:
    assert json.loads(sciml("info", data, "--json").stdout)["samples"] == {"train": 16, "valid": 2, "test": 2}
    assert "seed: 3" in sciml("info", data).stdout.splitlines()


def test_verify_ends_with_0_on_sound_data_and_1_on_a_changed_value(data: Path, tmp_path: Path) -> None:
    import h5py

    report = json.loads(sciml("verify", data, "--json").stdout)
    assert report["passed"] is True
    assert {"name", "checks", "passed", "seconds", "environment"} <= report.keys()

    changed = tmp_path / "d"
    assert sciml("generate", "darcy", *SMALL, "--samples", 6, "--out", changed, "-q").exit_code == 0
    with h5py.File(next(changed.glob("data/train/*.hdf5")), "r+") as file:
        file["t0_fields/pressure"][0, 0, 0] *= 1.5
    result = sciml("verify", changed, "--json")
    assert result.exit_code == 1
    assert any(not check["passed"] for check in json.loads(result.stdout)["checks"])


def test_import_then_info(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {"a": rng.random((10, 8, 8), dtype=np.float32), "u": rng.random((10, 8, 8), dtype=np.float32)}
    np.savez(tmp_path / "own.npz", **arrays)
    out = tmp_path / "own"
    symmetries = ["--symmetry", "reflect_x", "--symmetry", "swap_xy"]
    assert sciml("import", tmp_path / "own.npz", "--input", "a", "--output", "u", "--out", out, *symmetries, "-q").exit_code == 0
    facts = json.loads(sciml("info", out, "--json").stdout)
    assert (facts["inputs"], facts["outputs"], facts["symmetries"]) == (["a"], ["u"], ["reflect_x", "swap_xy"])


def test_export_writes_the_asked_sample(data: Path, tmp_path: Path) -> None:
    import h5py

    from sciml.data.loader import open_dataset

    out = tmp_path / "field.vtkhdf"
    assert sciml("export", data, "--split", "train", "--sample", 3, "--out", out).stdout.strip() == str(out)
    pressure = open_dataset(data, "train")[3]["pressure"]
    with h5py.File(out) as file:
        assert np.array_equal(np.sort(file["VTKHDF/CellData/pressure"][()].ravel()), np.sort(pressure.ravel()))


def test_too_few_samples_for_a_split_are_told_and_not_a_dead_end(tmp_path: Path) -> None:
    made = sciml("generate", "burgers", "--set", "problem.resolution=64", "--samples", 2, "--out", tmp_path / "d")
    assert made.stderr.splitlines()[-1].startswith("note: too few samples for a share in valid and test")
    assert sciml("generate", "darcy", *SMALL, "--samples", 2, "--out", tmp_path / "e", "-q").stderr == ""
    assert "give --split train" in refused("export", tmp_path / "e", "--split", "test", "--out", tmp_path / "x.vtkhdf")
    assert sciml("export", tmp_path / "e", "--split", "train", "--out", tmp_path / "new" / "x.vtkhdf").exit_code == 0
    assert (tmp_path / "new" / "x.vtkhdf").is_file()
    one_axis = refused("export", tmp_path / "d", "--split", "train", "--out", tmp_path / "x.vtkhdf")
    assert "sciml.open_dataset" in one_axis
    assert "sciml report" not in one_axis
    assert "split 'valid'" in refused("train", tmp_path / "e", "--modes", 4, "--out", tmp_path / "r", "-q")


@pytest.mark.parametrize(("gate", "code"), [(1e9, 0), (1e-9, 1)])
def test_evaluate_is_judged_by_the_gate(run: Path, gate: float, code: int) -> None:
    result = sciml("evaluate", run, "--gate", gate, "--json", "-q")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["passed"]) == (code, code == 0)
    errors = report["details"]["relative_l2"]
    assert len(errors["per_sample"]) == 2
    assert errors["median"] == pytest.approx(np.median(errors["per_sample"]), rel=1e-12)
    assert report["checks"][0]["observed"] == errors["median"]


def test_default_gate_is_the_librarys() -> None:
    from sciml.training.evaluation import DEFAULT_GATE
    from sciml.training.pinn import DEFAULT_GATE as EQUATION_GATE

    words = " ".join(sciml("evaluate", "--help").stdout.replace("│", " ").split())
    assert f"{DEFAULT_GATE} for operators, {EQUATION_GATE} for a pinn" in words


def test_evaluate_for_people_tells_errors_residual_and_speed(run: Path) -> None:
    result = sciml("evaluate", run, "--resolution", 16, "--gate", 1e9, "-q")
    assert result.exit_code == 0, result.stderr
    starts = [line.partition(":")[0] for line in result.stdout.splitlines()[:4]]
    assert starts == ["relative L2 error", "relative H1 error", "relative residual of the predictions, H^-1 norm", "time a sample"]
    assert "16 x 16" in result.stdout


def test_report_writes_page_twin_and_picture(run: Path, tmp_path: Path) -> None:
    assert sciml("evaluate", run, "--gate", 1e9, "-q").exit_code == 0
    result = sciml("report", run, "--out", tmp_path / "report.html", "--picture", tmp_path / "median.png")
    assert result.stdout.splitlines() == [str(tmp_path / "report.html"), str(tmp_path / "median.png")]
    assert (tmp_path / "median.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "report.json").read_text())
    assert "<html" in (tmp_path / "report.html").read_text()


# ---- bad input ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dracy"], ["'dracy'", "'darcy'"]),
        (["darcy", "--set", "problem.resolutoin=8"], ["resolutoin", "'problem.resolution'"]),
        (["darcy", "--set", "problem.resolution=1"], ["resolution", "1"]),
        (["darcy", "--set", "problem.permeability.low=-3"], ["permeability", "-3"]),
        (["darcy", "--set", "problem.permeability.high=nan"], ["permeability", "nan"]),
        (["darcy", "--set", "problem.permeability.high=inf"], ["permeability", "inf"]),
        (["darcy", "--set", "nonsense"], ["'nonsense'", "section.key=value"]),
        (["no/such/recipe.toml"], ["no/such/recipe.toml"]),
    ],
    ids=" ".join,
)
def test_bad_recipe_is_one_sentence_and_leaves_nothing_behind(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    sentence = refused("generate", *arguments, "--out", tmp_path / "d")
    assert [word for word in words if word not in sentence] == []
    assert not (tmp_path / "d").exists()


def test_grid_beyond_memory_is_one_sentence_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(*_: object) -> None:
        raise MemoryError("Unable to allocate 26.8 GiB for an array")

    monkeypatch.setattr("sciml.problems.base.Problem.sample", sample)
    assert "smaller resolution" in refused("generate", "darcy", *SMALL, "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_folder_with_another_dataset_is_left_as_it_is(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert str(data) in refused("generate", "poisson", "--set", "problem.resolution=8", "--samples", 4, "--out", data, "-q")
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name != ".lock"}.items() >= {
        path: content for path, content in before.items() if path.name != ".lock"
    }.items()


def test_bad_folders_files_and_settings(data: Path, run: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for verb in ("info", "verify", "evaluate"):
        assert str(missing) in refused(verb, missing)
    assert str(missing) in refused("train", missing, "--out", tmp_path / "r")
    assert str(missing) in refused("report", missing, "--out", tmp_path / "r.html")
    assert "fnoo" in refused("train", data, "--model", "fnoo", "--out", tmp_path / "r")
    assert "modes" in refused("train", data, "--modes", 64, "--out", tmp_path / "r")
    assert "99" in refused("export", data, "--sample", 99, "--out", tmp_path / "x.vtkhdf")
    assert "'tset'" in refused("evaluate", run, "--split", "tset", "-q")
    assert list(tmp_path.iterdir()) == []


def test_truncated_shard_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "d"
    assert sciml("generate", "darcy", *SMALL, "--samples", 6, "--out", out, "-q").exit_code == 0
    shard = next(out.glob("data/train/*.hdf5"))
    shard.write_bytes(shard.read_bytes()[:2000])
    told = sciml("info", out)
    assert (told.exit_code, "seed: 3" in told.stdout.splitlines()) == (1, True)
    assert "run the same `sciml generate` command" in told.stderr
    assert shard.name in refused("train", out, "--modes", 4, "--out", tmp_path / "r", "-q")


def test_npz_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", a=np.array([{}], dtype=object), u=np.zeros((1, 8, 8)))
    assert "bad.npz" in refused("import", tmp_path / "bad.npz", "--input", "a", "--output", "u", "--out", tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "arguments",
    [["generate", "darcy"], ["generate", "darcy", "--out", "x", "--samples", "0"], ["train", "x", "--out", "y", "--epoch", "1"], ["fly"]],
)
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert sciml(*arguments).exit_code == 2


def test_nothing_reaches_for_the_network(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> None:
    def connect(*_: object) -> None:
        raise AssertionError("opened a connection")

    monkeypatch.setattr("socket.socket.connect", connect)
    arguments = ["--hidden-channels", 4, "--modes", 4, "--layers", 1, "--epochs", 1]
    assert sciml("train", data, "--out", tmp_path / "r", *arguments, "-q").exit_code == 0
    assert sciml("evaluate", tmp_path / "r", "--gate", 1e9, "-q").exit_code == 0


# ---- interruption -------------------------------------------------------------------------------------------------------------------


def test_interruption_while_the_command_line_is_imported_is_one_line() -> None:
    code = """
import signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from sciml.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted: nothing was begun\n")


def interrupted(arguments: list[str], cue: str, number: int) -> subprocess.CompletedProcess[str]:
    """Run a command, send it a signal as soon as `cue` shows on stderr, and wait for its end."""
    process = subprocess.Popen([sys.executable, "-m", "sciml", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    seen = ""
    deadline = time.monotonic() + 120
    while cue not in seen and time.monotonic() < deadline:
        seen += process.stderr.readline()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, seen + stderr)


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGTERM, 2)])
def test_interrupted_generation_names_the_command_that_completes_it(tmp_path: Path, number: int, workers: int) -> None:
    size = ["--set", "problem.resolution=64", "--samples", "4000", "--workers", str(workers)]
    arguments = ["generate", "darcy", *size, "--out", str(tmp_path / "d")]
    done = interrupted(arguments, "generate ", number)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "  sciml " + " ".join(arguments)
    again = interrupted(arguments, "generate ", number)
    assert again.returncode == 130, again.stderr
    first, total = again.stderr.split()[1].split("/")
    assert 1 < int(first) < int(total) == 4000  # it does not begin at 1 again


def test_interrupted_training_goes_on_where_it_stopped(data: Path, tmp_path: Path) -> None:
    size = ["--hidden-channels", "4", "--modes", "4", "--layers", "1"]
    arguments = ["train", str(data), *size, "--epochs", "2000", "--out", str(tmp_path / "r")]
    done = interrupted(arguments, "valid_l2", signal.SIGINT)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "  sciml " + " ".join(arguments)
