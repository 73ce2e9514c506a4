"""The command line of the validation package; figures on stdout, everything else on stderr."""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

from sciml.checks import CheckReport
from sciml.errors import InputError
from sciml.report.terminal import print_checks
from sciml.report.twin import page_path
from sciml.terminal import INTERRUPTED, say, verb
from validation import benchmarks, cases
from validation.discovery import Entry, entries

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=sys.modules["validation"].__doc__)
run_app = typer.Typer(no_args_is_help=True, help="Run one case against the answer that is known.")
bench_app = typer.Typer(no_args_is_help=True, help="Run one benchmark beside its peer.")
app.add_typer(run_app, name="run")
app.add_typer(bench_app, name="bench")

P = ParamSpec("P")
CASES = entries(cases)
BENCHMARKS = entries(benchmarks)


@app.callback()
def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")


def _verb(function: Callable[P, None]) -> Callable[P, None]:
    """`sciml.terminal.verb`, but that nothing is kept of an interrupted case."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except KeyboardInterrupt:
            say("interrupted: nothing is kept, run the same command again")
            raise typer.Exit(INTERRUPTED) from None

    return verb(run)


@app.command("list")
def list_entries() -> None:
    """Name every case and benchmark with its title, its options and their defaults, and how long these take."""
    for heading, group in (("cases (run)", CASES), ("benchmarks (bench)", BENCHMARKS)):
        typer.echo(f"{heading}:")
        for entry in group:
            typer.echo(f"  {entry.name:28} {entry.title}")
            typer.echo(f"  {'':28} {entry.options}  [{entry.cost}]")


@app.command()
@_verb
def report(
    out: Annotated[Path, typer.Option(help="The HTML page to write; its JSON twin lies beside it.")],
    case: Annotated[list[str] | None, typer.Option(help="A case of `list`; repeat it for several. Left out, every case runs.")] = None,
) -> None:
    """Run cases with their default options and write one page with all their checks and figures."""
    from validation.report import write_report  # which loads matplotlib: only what writes a page needs it

    chosen = CASES if case is None else [_named(name) for name in case]
    page_path(out).parent.mkdir(parents=True, exist_ok=True)  # a place that cannot be written is found before the cases take minutes
    reports = []
    for entry in chosen:
        logging.getLogger(__name__).info("%s ...", entry.name)
        reports.append((entry, entry.run()))
    path = write_report(reports, out)
    typer.echo(str(path))
    raise typer.Exit(0 if all(result.passed for _, result in reports) else 1)


def _named(name: str) -> Entry:
    for entry in CASES:
        if entry.name == name:
            return entry
    names = [entry.name for entry in CASES]
    near = difflib.get_close_matches(name, names, n=1)
    raise InputError(f"case {name!r} does not exist; {f'did you mean {near[0]!r}?' if near else 'choose ' + ', '.join(names)}")


def _command(entry: Entry) -> Callable[..., None]:
    """The keyword arguments of `entry.run` as command-line options, ``--json`` and ``--report``."""

    @_verb
    def command(*, as_json: bool, report_path: Path | None, **options: Any) -> None:
        if report_path is not None:
            page_path(report_path).parent.mkdir(parents=True, exist_ok=True)
        result = entry.run(**options)
        if report_path is not None:
            from validation.report import write_case

            logging.getLogger(__name__).info("written to %s", write_case(entry, result, report_path))
        _emit(result, as_json)

    signature = inspect.signature(entry.run, eval_str=True)
    parameters = [*signature.parameters.values(), *_OUTPUT]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads options from here
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = f"{entry.title}.\n\n{inspect.getdoc(entry.run) or ''}"  # which says what the options mean
    return command


def _option(name: str, default: Any, kind: Any, flag: str, meaning: str) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(flag, help=meaning)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_OUTPUT = (
    _option("as_json", False, bool, "--json", "Print one JSON object on stdout."),
    _option("report_path", None, Path | None, "--report", "Also write this HTML page, with figures; its JSON twin lies beside it."),
)


def _emit(result: CheckReport, as_json: bool) -> None:
    if as_json:
        typer.echo(result.to_json())
    else:
        print_checks(result, Console(width=None if sys.stdout.isatty() else 140))
    raise typer.Exit(0 if result.passed else 1)


for _app, _entries in ((run_app, CASES), (bench_app, BENCHMARKS)):
    for _entry in _entries:
        _app.command(_entry.name)(_command(_entry))
