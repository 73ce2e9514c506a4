"""The report of a network that was trained on an equation: how it was trained, and how far it is from the reference."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from sciml.problems import Evolving
from sciml.problems.base import BoxProblem
from sciml.report.charts import Series, line_chart
from sciml.report.equation_record import EquationRecord
from sciml.report.markup import FOOTER, Markup, check_table, element, facts, page, section, table, tiles, verdict
from sciml.report.notation import duration, figure, with_unit
from sciml.report.results import NOT_EVALUATED, finite, sample_maps, sample_profiles
from sciml.report.sections import environment_section, grid_text, laws, named, sides, statement, whole_recipe

_TOLD = ("rank", "radius", "damping", "length")
_MEANING = {
    "rank": "singular values kept",
    "radius": "analytic radius",
    "damping": "damping",
    "length": "factor of the step",
}


def equation_page(record: EquationRecord) -> tuple[str, dict[str, Any]]:
    """The HTML of a report and its JSON twin."""
    recipe = record.recipe
    document = page(
        recipe.title,
        element("h1", recipe.title),
        element("p", _lead(record), class_="lead"),
        verdict(record.checks) if record.checks else element("p", NOT_EVALUATED, class_="note"),
        _tiles(record),
        _problem_section(record),
        _training_section(record),
        _accuracy_section(record),
        _fields_section(record),
        section("Checks", check_table(record.checks) if record.checks else _missing(), identifier="checks"),
        environment_section(
            commands(record),
            record.config.get("environment"),
            (record.evaluation or {}).get("environment"),
            element("details", element("summary", _recipe_file(record)), element("pre", element("code", training_recipe(record)))),
        ),
        FOOTER,
    )
    twin = {
        "format": "sciml-report",
        "version": 1,
        "title": recipe.title,
        "passed": all(check.passed for check in record.checks) if record.checks else None,
        "run": dict(record.config),
        "training": list(record.rows),
        "evaluation": record.evaluation,
        "fields": [name for sample in record.samples for name in sample.truth],
        "training_recipe": training_recipe(record),
        "commands": commands(record),
    }
    return document, twin


def commands(record: EquationRecord) -> list[str]:
    """Shell commands from the training recipe to this report."""
    run, gates = shlex.quote(record.path.resolve().name), {check.expected for check in record.checks}
    gate = f" --gate {gates.pop()}" if len(gates) == 1 else ""
    train = f"sciml train {shlex.quote(_recipe_file(record))} --out {run}"
    return [train, f"sciml evaluate {run}{gate}", f"sciml report {run} --out report.html"]


def training_recipe(record: EquationRecord) -> str:
    """All settings and the whole problem of a run as a TOML file that `sciml train` takes."""
    content = json.loads(record.recipe.canonical_json())
    described = {key: content[key] for key in ("title", "description")}
    tables = {key: content[key] for key in ("problem", "solver", "data")}
    return "".join(
        f"{key} = {_toml(value)}\n" for key, value in {**record.config["settings"], **described, **tables}.items() if value is not None
    )


def _recipe_file(record: EquationRecord) -> str:
    return f"{record.recipe.name}.toml"


def _toml(value: Any) -> str:
    """A JSON value as a TOML one on one line; TOML has no null, and an entry without a value stands for its default."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _lead(record: EquationRecord) -> str:
    settings = record.config["settings"]
    model = settings["model"].upper()
    article = "An" if model.startswith("L") else "A"
    each = f" in each of {figure(_windows(record))} windows of time" if _windows(record) > 1 else ""
    what = f"{article} {model} of {figure(record.config['parameters'])} parameters{each}"
    if not record.rows:
        return f"{what} has not finished its first block of steps."
    steps, time = record.rows[-1]["step"], duration(_seconds(record))
    return f"{what} was trained on the equation alone, without data, in {figure(steps)} steps of {settings['optimizer']} and {time}."


def _windows(record: EquationRecord) -> int:
    """How many windows of time have been begun; 1 for a network that is trained on all times at once."""
    return int(record.rows[-1].get("window") or 1) if record.rows else 1


def _seconds(record: EquationRecord) -> float:
    return sum(float(row.get("seconds") or 0.0) for row in record.rows)


def _tiles(record: EquationRecord) -> Markup:
    shown: list[tuple[object, object]] = []
    if record.evaluation:
        details = record.evaluation["details"]
        shown += [(figure(error), f"relative L2 error of {name}") for name, error in details["relative_l2"].items()]
    if record.rows:
        shown += [(figure(record.rows[-1]["step"]), "steps"), (duration(_seconds(record)), "of training")]
    return tiles([*shown, (figure(record.config["parameters"]), "trained parameters")])


def _problem_section(record: EquationRecord) -> Markup:
    recipe, grid = record.recipe, record.grid
    problem = recipe.problem
    intro = element("p", recipe.description) if recipe.description else Markup()
    random = laws(problem, random=True)
    rows = {
        "kind": problem.kind,
        "unknowns": named(problem.outputs, problem.units),
        "random inputs": f"{random}; this is sample {figure(record.config['settings']['sample'])}" if random else None,
        "fixed": laws(problem, random=False),
        "times": ", ".join(f"{t:g}" for t in problem.times) if isinstance(problem, Evolving) else None,
        "sides": sides(problem.stored_sides, grid.axes) if isinstance(problem, BoxProblem) else None,
        "compared on": f"{grid_text(grid.shape)} cells on a box of {grid_text(grid.extent)}",
    }
    equation = element("p", statement(problem), class_="equation")
    return section("The problem", intro, equation, facts(rows), whole_recipe(recipe), identifier="problem")


def _training_section(record: EquationRecord) -> Markup:
    settings, rows = record.config["settings"], record.rows
    windows, done = _windows(record), rows[-1]["step"] if rows else 0
    wanted = windows * settings["steps"]
    shown = {
        "network": settings.get("network"),
        "hidden layers": f"{settings.get('layers')} of {settings.get('width')} units",
        "activation": settings.get("activation"),
        "collocation points": f"about {figure(settings['points'])}",
        "optimizer": settings["optimizer"],
        "learning rate": figure(settings["learning_rate"]) if settings.get("learning_rate") is not None else None,
        "steps": figure(done) if done == wanted else f"{figure(done)} of {figure(wanted)}",
        "windows of time": figure(windows) if windows > 1 else None,
        "smallest loss": figure(min(losses)) if (losses := [row["loss"] for row in rows if row["loss"] is not None]) else None,
        "seed": settings.get("seed"),
        "time": duration(_seconds(record)) if rows else None,
    }
    if not rows:
        return section(
            "Training", element("p", "No block of steps has been finished yet.", class_="note"), facts(shown), identifier="training"
        )
    errors = {name: f"relative L2 error of {name.removeprefix('error_')}" for row in rows for name in row if name.startswith("error_")}
    curves = line_chart(
        _series(rows, {"loss": "mean square of residuals", **errors}),
        x_label="step",
        y_label="loss and errors",
        title="Loss and true error",
    )
    told = {name: f"{name} ({_MEANING[name]})" if name != _MEANING[name] else name for name in _TOLD if any(name in row for row in rows)}
    optimizer = line_chart(_series(rows, told), x_label="step", y_label="", title="What the optimizer tells") if told else Markup()
    note = "The error is against the reference, which training does not see; the checkpoint of the smallest loss is kept."
    if windows > 1:
        note += " Every window of time begins with the loss of its own; the error is over the times that have been reached."
    charts = element("div", curves, optimizer, class_="columns")
    return section("Training", charts, element("p", note, class_="note"), facts(shown), identifier="training")


def _series(rows: tuple[Mapping[str, Any], ...], names: Mapping[str, str]) -> list[Series]:
    return [Series(label, [row["step"] for row in rows], [finite(row.get(name)) for row in rows]) for name, label in names.items()]


def _missing() -> Markup:
    return element("p", NOT_EVALUATED, class_="note")


def _accuracy_section(record: EquationRecord) -> Markup:
    if record.evaluation is None:
        return section("Accuracy", _missing(), identifier="accuracy")
    details, units = record.evaluation["details"], record.recipe.problem.units
    last = " of the last window of time" if _windows(record) > 1 else ""
    checkpoint = f"Checkpoint of step {figure(details['step'])}, whose loss of {figure(details['loss'])} is the smallest{last}"
    intro = f"{checkpoint}, compared with: {details['reference']}."
    rows = [(name, figure(error), with_unit(details["rmse"][name], units.get(name, ""))) for name, error in details["relative_l2"].items()]
    summary = table(("output", "relative L2 error", "root-mean-square error"), rows, numeric=(1, 2))
    return section("Accuracy", element("p", intro), summary, identifier="accuracy")


def _fields_section(record: EquationRecord) -> Markup:
    if not record.samples:
        return section("Fields", _missing(), identifier="fields")
    (sample,), grid = record.samples, record.grid
    if grid.dimension == 1:
        drawn: tuple[Markup, ...] = (sample_profiles(sample, record.differences, record.units, grid.extent[0]),)
        note = ""
    else:
        drawn = sample_maps(sample, record.differences, record.units)
        note = "Truth and prediction share one scale. "
    if isinstance(record.recipe.problem, Evolving):
        note += "The difference has the same scale at all times. "
    if {"pressure", "velocity_x"} <= set(record.recipe.problem.outputs):
        note += "The pressure is known up to a constant and is shown without its mean. "
    if grid.dimension == 3:
        note += f"Fields of {grid_text(grid.shape)} cells are shown in their middle slice along z."
    return section("Fields", element("p", note.strip(), class_="note") if note else Markup(), *drawn, identifier="fields")
