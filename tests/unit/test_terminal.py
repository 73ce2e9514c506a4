"""Exit codes, sentences and progress of the command line, without any of the library behind it."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sys

import pytest
import typer
from numba import njit
from typer.testing import CliRunner

from sciml import terminal
from sciml.checks import Check, CheckReport
from sciml.cli import _telling_of_compilation
from sciml.errors import DatasetError
from sciml.progress import Progress
from sciml.terminal import plan_in_words, print_figures, print_report, resumable_verb, verb
from solvers import SolverError


def run(body, *arguments: str, ending=verb):
    """Result of a command whose only verb is `body`."""
    app = typer.Typer()
    app.command()(ending(body))
    return CliRunner().invoke(app, arguments)


def raising(error: BaseException):
    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (DatasetError("samples = 0 makes\n no dataset; give at least 1"), 3, "error: samples = 0 makes no dataset; give at least 1\n"),
        (SolverError("sample 3 of train: 500 iterations were not enough"), 1, "error: sample 3 of train: 500 iterations were not enough\n"),
        (FileNotFoundError(errno.ENOENT, "x", "a.npz"), 3, "error: a.npz: No such file or directory; check the path\n"),
        (OSError(errno.ENOSPC, "x", "b"), 3, "error: b: No space left on device; free some space there, then run the same command again\n"),
        (OSError(errno.EFBIG, "x", "b"), 3, f"error: b: File too large; {terminal._REMEDIES[errno.EFBIG]}\n"),
        (
            MemoryError("Unable to allocate 26.8 GiB"),
            3,
            "error: this needs more memory than there is (Unable to allocate 26.8 GiB): choose a "
            "smaller resolution, or fewer samples or workers at a time\n",
        ),
        (OSError(errno.EROFS, "x"), 3, "error: Read-only file system; choose a place that is not read-only\n"),
    ],
)
def test_each_error_has_its_exit_code_and_one_sentence(error: Exception, code: int, sentence: str) -> None:
    result = run(raising(error))
    assert (result.exit_code, result.stderr, result.stdout) == (code, sentence, "")


def test_a_defect_keeps_its_traceback() -> None:
    result = run(raising(ZeroDivisionError("defect")))
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize(("ending", "kept"), [(verb, "nothing is kept; begin again"), (resumable_verb, "what is complete is kept; go on")])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_with_130_and_the_command_that_goes_on(number: int, ending, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sciml", "generate", "my recipe.toml", "--out", "data"])
    result = run(lambda: os.kill(os.getpid(), number), ending=ending)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == [f"interrupted: {kept} with", "  sciml generate 'my recipe.toml' --out data"]


def test_signal_that_a_library_turns_into_its_own_error_still_ends_with_130() -> None:
    def body() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("extension module failed to initialise") from None

    assert run(body).exit_code == 130


def test_signal_that_a_library_swallows_is_noticed_at_the_next_progress() -> None:
    def body() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        Progress(quiet=True)("train", 1, 10, {})
        raise AssertionError("went on")

    assert run(body).exit_code == 130


def test_signal_inside_a_destructor_is_noticed_without_a_traceback() -> None:
    class Closing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    def body() -> None:
        closing = Closing()
        del closing
        Progress(quiet=True)("generate", 1, 10, {})

    result = run(body)
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM), sys.unraisablehook
    run(lambda: None)
    assert (signal.getsignal(signal.SIGTERM), sys.unraisablehook) == before


def test_figures_are_strict_json_or_an_outline() -> None:
    figures = {"seconds": 1.23456, "worst": float("nan"), "splits": {"train": 8, "shape": (16, 16)}}
    as_json = run(lambda: print_figures(figures, as_json=True)).stdout
    assert json.loads(as_json, parse_constant=pytest.fail) == {"seconds": 1.23456, "worst": None, "splits": {"train": 8, "shape": [16, 16]}}
    outline = run(lambda: print_figures(figures, as_json=False)).stdout
    assert outline.splitlines() == ["seconds: 1.235", "worst: nan", "splits:", "  train: 8", "  shape: 16, 16"]


@pytest.mark.parametrize(("observed", "code"), [(0.05, 0), (0.09, 1), (float("nan"), 1)])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_failed_check_is_exit_code_1(observed: float, code: int, as_json: bool) -> None:
    report = CheckReport("test", [Check("median relative L2", observed, "<=", 0.08)], seconds=0.1)
    result = run(lambda: print_report(report, as_json))
    assert result.exit_code == code
    assert json.loads(result.stdout)["passed"] is (code == 0) if as_json else "median relative L2" in result.stdout


def test_what_was_found_wrong_and_its_remedy_stand_below_the_table() -> None:
    details = {"problems": ["train sample 3 differs"], "remedy": "run it again"}
    result = run(lambda: print_report(CheckReport("verify", [Check("a", 1, "<=", 0)], 0.1, details), as_json=False))
    assert result.stdout.splitlines()[-2:] == ["  train sample 3 differs", "remedy: run it again"]


def test_a_plan_is_told_in_units_of_people() -> None:
    figures = {"unknowns": 65536, "methods": ("cg", "amg", "lu"), "seconds_a_sample": 0.0123, "seconds": 7320.0, "bytes": 1_234_567_890}
    words = {name: text.replace("\xa0", " ") for name, text in plan_in_words(figures).items()}
    assert words == {
        "unknowns": "65,536",
        "methods": "cg (where it fails: amg, then lu)",
        "seconds_a_sample": "12.3 ms",
        "seconds": "2 h 02 min",
        "bytes": "1.23 GB",
    }


def test_compilation_is_told_once_and_only_when_it_happens(capsys: pytest.CaptureFixture[str]) -> None:
    with _telling_of_compilation(quiet=False):
        assert njit(lambda x: x + 1)(1) == 2
        assert njit(lambda x: x + 2)(1) == 3
    assert capsys.readouterr().err == "compiling kernels, once per installation ...\n"
    with _telling_of_compilation(quiet=False):
        pass
    with _telling_of_compilation(quiet=True):
        assert njit(lambda x: x + 3)(1) == 4
    assert njit(lambda x: x + 4)(1) == 5
    assert capsys.readouterr().err == ""


def test_no_check_at_all_is_a_failure() -> None:
    assert run(lambda: print_report(CheckReport("empty", [], seconds=0.0), as_json=True)).exit_code == 1


def lines_of(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, **options: float) -> list[str]:
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(**options) as progress:
        for done in range(1, 101):
            progress("generate", done, 100, {"residual": 3.14159e-9, "method": "[lu]"})
    return stream.getvalue().splitlines()


def test_progress_in_a_log_is_a_line_at_the_ends_and_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(float(second) for second in range(1000))
    monkeypatch.setattr("sciml.progress.time.monotonic", lambda: next(seconds))
    lines = lines_of(monkeypatch, io.StringIO(), interval=30.0)
    assert [line.split()[1] for line in lines] == ["1/100", "31/100", "61/100", "91/100", "100/100"]
    assert lines[0] == "generate 1/100  residual 3.14e-09  method [lu]"
    assert lines[1] == "generate 31/100  1 min 09 s left  residual 3.14e-09  method [lu]".replace("1 min 09 s", "1\xa0min\xa009\xa0s")
    assert lines[-1] == "generate 100/100  residual 3.14e-09  method [lu]"


def test_quiet_progress_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of(monkeypatch, io.StringIO(), quiet=True) == []


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    lines = lines_of(monkeypatch, Terminal())
    assert "100/100" in lines[-1] or "100/100" in lines[-2]
    assert "━" in "".join(lines)
    assert "method [lu]" in "".join(lines)  # a bracket is not read as markup
