"""How a command ends and what it prints: figures on stdout, everything else on stderr, one meaning for each exit code.

======  ====================================================
0       done, and every check passed
1       a check failed, or a solver did not converge
2       the command line itself was wrong (typer says so)
3       an input cannot be used: recipe, file, folder
130     interrupted (Ctrl-C or SIGTERM); may be run again
======  ====================================================
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import typer

from sciml.errors import InputError

if TYPE_CHECKING:
    from sciml.checks import CheckReport

FAILED = 1
BAD_INPUT = 3
INTERRUPTED = 130

P = ParamSpec("P")
R = TypeVar("R")

_REMEDIES = {
    errno.ENOSPC: "free some space there, then run the same command again",
    errno.EFBIG: "a file of this size is beyond what this disk or its limits (`ulimit -f`) allow, so choose another place or raise them",
    errno.EDQUOT: "free some of your quota, then run the same command again",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that is not read-only",
}


class Interruption:
    """Whether somebody asked this process to stop: remembered, in case a library swallows the exception that says so."""

    requested = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Treat SIGTERM like Ctrl-C inside the block."""
        self.requested = False
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        unraisable, sys.unraisablehook = sys.unraisablehook, self._unraisable
        try:
            yield
        finally:
            sys.unraisablehook = unraisable
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        raise KeyboardInterrupt

    def _unraisable(self, event: sys.UnraisableHookArgs) -> None:
        # Python prints and drops what is raised inside a destructor; our own exception is remembered above and needs no traceback
        if not (self.requested and isinstance(event.exc_value, KeyboardInterrupt)):
            sys.__unraisablehook__(event)


interruption = Interruption()


def verb(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the exceptions of a command into one sentence and an exit code; a traceback is left for defects only."""
    return _ending(function, "interrupted: nothing is kept; begin again with")


def resumable_verb(function: Callable[P, R]) -> Callable[P, R]:
    """`verb` for a command that keeps what it has completed when it is interrupted."""
    return _ending(function, "interrupted: what is complete is kept; go on with")


def _ending(function: Callable[P, R], interrupted: str) -> Callable[P, R]:
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with interruption.watched():
                return function(*args, **kwargs)
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            _end_interrupted(interrupted)
        except Exception as error:
            if interruption.requested:  # what an interrupted import or C extension raises is anybody's guess
                _end_interrupted(interrupted)
            _end_with_sentence(error)
            raise

    return run


def _end_with_sentence(error: Exception) -> None:
    if isinstance(error, InputError):
        _end(str(error), BAD_INPUT)
    if isinstance(error, OSError) and error.errno not in (None, errno.EPIPE):  # a closed pipe (`| head`) is typer's business
        _end(_file_error(error), BAD_INPUT)
    if isinstance(error, MemoryError):
        what = f" ({error})" if str(error) else ""
        _end(f"this needs more memory than there is{what}: choose a smaller resolution, or fewer samples or workers at a time", BAD_INPUT)
    solvers = sys.modules.get("solvers")  # a SolverError can only come from a package that is loaded
    if solvers is not None and isinstance(error, solvers.SolverError):
        _end(str(error), FAILED)


def _file_error(error: OSError) -> str:
    number = error.errno or 0
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{place}{os.strerror(number)}; {_REMEDIES.get(number, 'check the path')}"


def _end(sentence: str, code: int) -> NoReturn:
    say("error: " + " ".join(sentence.split()))
    raise typer.Exit(code)


def _end_interrupted(interrupted: str) -> NoReturn:
    say(f"{interrupted}\n  " + shlex.join(["sciml", *sys.argv[1:]]))
    raise typer.Exit(INTERRUPTED)


def say(line: str) -> None:
    """Write a line for a person to stderr."""
    typer.echo(line, err=True)


def print_figures(figures: Mapping[str, Any], as_json: bool) -> None:
    """Write figures to stdout, as one JSON object or as indented ``name: value`` lines."""
    if as_json:
        from sciml.checks import strict_json

        typer.echo(strict_json(figures))
    else:
        typer.echo("\n".join(_outline(figures)))


def _outline(figures: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_outline(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {_show(value)}")
    return lines


def _show(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_show(item) for item in value)
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_report(report: CheckReport, as_json: bool) -> None:
    """Write a report of checks to stdout; exit code 1 unless there was a check and every one passed.

    Below the table come the sentences of ``details["problems"]`` and ``details["remedy"]``, where there are any.
    """
    if as_json:
        typer.echo(report.to_json())
    else:
        from rich.console import Console

        from sciml.report.terminal import print_checks

        print_checks(report, Console(width=None if sys.stdout.isatty() else 140))
        for sentence in report.details.get("problems", ()):
            typer.echo(f"  {sentence}")
        if "remedy" in report.details:
            typer.echo(f"remedy: {report.details['remedy']}")
    if not report.passed:
        raise typer.Exit(FAILED)


def plan_in_words(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a plan in the units that a person would choose."""
    from sciml.report.notation import duration, figure, size

    first, *rest = figures["methods"]
    return {
        **figures,
        "unknowns": figure(figures["unknowns"]),
        "methods": first + (f" (where it fails: {', then '.join(rest)})" if rest else ""),
        "seconds_a_sample": duration(figures["seconds_a_sample"]),
        "seconds": duration(figures["seconds"]),
        "bytes": size(figures["bytes"]),
    }


def evaluation_lines(details: Mapping[str, Any]) -> list[str]:
    """The figures of an evaluation in four lines at most: imported data has no equation and no solver to compare with."""
    from sciml.report.notation import duration

    lines = [f"relative L2 error: {_spread(details['relative_l2'])}", f"relative H1 error: {_spread(details['relative_h1'])}"]
    if details["residual"] is not None:
        lines.append(f"relative residual of the predictions, H^-1 norm: {_spread(details['residual']['relative_dual'])}")
    speed = details["speed"]
    if speed is not None:
        model, solver, same = speed["model"], speed["solver"], speed["same_accuracy"]
        cheapest = "nothing tried is" if same is None else f"{duration(same['seconds'])} ({same['way']})"
        lines.append(
            f"time a sample: model {duration(model['seconds'])}, in a batch of {model['batch']} {duration(model['batched_seconds'])}; "
            f"solver {duration(solver['seconds'])} at rtol {solver['rtol']:g}; solver as accurate as the model {cheapest}"
        )
    return lines


def _spread(values: Mapping[str, float]) -> str:
    from sciml.report.notation import figure

    mean, median, ninety, worst = (figure(values[key]) for key in ("mean", "median", "p90", "worst"))
    return f"mean {mean}, median {median}, 90th percentile {ninety}, worst {worst}"
