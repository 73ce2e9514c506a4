"""The report of a run: one self-contained page that a person reads in two minutes, and its JSON twin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.data.run_format import EQUATION, run_format
from sciml.report.commands import reproduce
from sciml.report.equation import equation_page
from sciml.report.equation_record import read_equation
from sciml.report.fields import save_picture
from sciml.report.markup import FOOTER, Markup, element, page, tiles, verdict
from sciml.report.notation import duration, figure, percent
from sciml.report.record import RunRecord, read_record
from sciml.report.results import NOT_EVALUATED, accuracy_section, checks_section, samples_section, speed_section, training_section
from sciml.report.sections import certified, data_section, environment_section, problem_section
from sciml.report.twin import page_path, write_page


def write_report(run: Path | str, out: Path | str, *, picture: Path | str | None = None) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run : folder made by `sciml train`; what `sciml evaluate` left there is shown, what it has not made yet is named as missing.
    out : the HTML page to write; the JSON twin takes its name with the suffix ``.json``.
    picture : also draw the median sample, or what a network on an equation solved, into this PNG file, before the page is written, so
        that a page is never left without it.

    Returns
    -------
    Path of the page.

    Raises
    ------
    CheckpointError : the folder holds no run, or a damaged one; or there is no sample to draw.
    InputError : `out` is a folder or ends in ``.json``, or `picture` is a folder.
    """
    path = page_path(out)
    if run_format(run) == EQUATION:
        document, twin = equation_page(read_equation(run))
    else:
        record = read_record(run)
        document, twin = render(record), summary(record)
    if picture is not None:
        save_picture(run, picture)
    return write_page(path, document, twin)


def render(record: RunRecord) -> str:
    """The HTML of a report."""
    return page(
        _title(record),
        *_header(record),
        problem_section(record),
        data_section(record),
        training_section(record),
        accuracy_section(record),
        samples_section(record),
        speed_section(record),
        checks_section(record),
        environment_section(reproduce(record), record.config.get("environment"), (record.evaluation or {}).get("environment")),
        FOOTER,
    )


def summary(record: RunRecord) -> dict[str, Any]:
    """The JSON twin: everything that the page says, as figures."""
    return {
        "format": "sciml-report",
        "version": 1,
        "title": _title(record),
        "passed": _passed(record),
        "run": dict(record.config),
        "data": record.data,
        "data_note": record.data_note,
        "training": list(record.rows),
        "evaluation": record.evaluation,
        "other_evaluations": dict(record.elsewhere),
        "samples": [{"rank": sample.rank, "index": sample.index, "relative_l2": sample.error} for sample in record.samples],
        "commands": reproduce(record),
    }


def _title(record: RunRecord) -> str:
    if record.recipe:
        return record.recipe.title
    return str(record.config["data"].get("name") or "Operator")


def _passed(record: RunRecord) -> bool | None:
    """None before any check was made."""
    return all(check.passed for check in record.checks) if record.checks else None


def _header(record: RunRecord) -> tuple[Markup, ...]:
    return element("h1", _title(record)), element("p", _lead(record), class_="lead"), _verdict(record), _tiles(record)


def _lead(record: RunRecord) -> str:
    config = record.config
    samples = (config["data"].get("samples") or {}).get("train")
    what = f"{', '.join(config['inputs'])} → {', '.join(config['outputs'])}"
    seconds = sum(float(row.get("seconds") or 0.0) for row in record.rows)
    model = str(config["settings"].get("model")).upper()
    article = "An" if model[:1] in "AEFU" and model != "UNO" else "A"
    return f"{article} {model} learned the map {what} from {figure(samples)} samples in {duration(seconds)}."


def _verdict(record: RunRecord) -> Markup:
    if not record.checks:
        return element("p", NOT_EVALUATED, class_="note")
    return verdict(record.checks)


def _tiles(record: RunRecord) -> Markup:
    """The four figures that a reader wants first; those that are not known are left out."""
    details, shown = record.details, []
    if details:
        l2 = details["relative_l2"]
        count = figure(len(l2["per_sample"]))
        shown.append((percent(l2["median"]), f"median relative L2 error on {count} {details['data']['split']} samples"))
        shown.append((percent(l2["worst"]), "error of the worst of them"))
    ratio = _speedup(details)
    if ratio is not None:
        factor, than = (ratio, "faster") if ratio >= 1.0 else (1.0 / ratio, "slower")
        shown.append((f"{figure(factor)} ×", f"{than} than the solver at equal accuracy, in batches"))
    solver = (record.data or {}).get("solver")
    if solver:
        worst, what = certified(solver)["largest"]
        shown.append((figure(worst), f"worst {'relative residual' if what == 'residual' else what} of the data"))
    return tiles(shown)


def _speedup(details: Mapping[str, Any]) -> float | None:
    speed = details.get("speed") or {}
    ratio: float | None = speed.get("speedup_same_accuracy_batched")
    return ratio
