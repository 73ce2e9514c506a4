"""What was solved, on what data, by what commands: the sections of a report that come before and after its results."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sciml.data.recipe import Recipe
from sciml.fields import Constant, Law
from sciml.problems import Evolving, Incompressible, Problem
from sciml.report.markup import Markup, element, escape, facts, join, section
from sciml.report.notation import duration, figure, with_unit
from sciml.report.record import RunRecord

SPLITS = ("train", "valid", "test")


def problem_section(record: RunRecord) -> Markup:
    """Equation, unknowns, sides, grid; for imported arrays what is known without an equation."""
    problem = record.recipe.problem if record.recipe else None
    data, trained = record.data or {}, record.config["data"]
    intro = element("p", record.recipe.description) if record.recipe and record.recipe.description else Markup()
    if problem is None:
        equation = element("p", "The arrays were imported without an equation, so nothing here can be checked against one.", class_="note")
    else:
        equation = element("p", statement(problem), class_="equation")
    units = record.units
    rows = {
        "kind": problem.kind if problem else None,
        "model sees": named(record.config["inputs"], units),
        "model predicts": named(record.config["outputs"], units),
        "random inputs": laws(problem, random=True) if problem else None,
        "fixed": laws(problem, random=False) if problem else None,
        "times": ", ".join(f"{t:g}" for t in trained["times"]) if trained.get("times") else None,
        "sides": sides(trained.get("boundary"), trained["axes"]) if trained.get("boundary") else "not declared",
        "grid": f"{grid_text(trained['shape'])} cells on a box of {grid_text(trained['extent'])}",
        "symmetries": ", ".join(trained.get("symmetries") or ()) or "none",
    }
    note = element("p", record.data_note, class_="note") if record.data_note and not data else Markup()
    recipe = whole_recipe(record.recipe) if record.recipe else Markup()
    return section("The problem", intro, equation, facts(rows), note, recipe, identifier="problem")


def _certificate(record: RunRecord) -> str:
    if isinstance(record.recipe and record.recipe.problem, Evolving):
        return "Every sample carries its time error, found by integrating anew with other steps; `sciml verify` does so again for all."
    if isinstance(record.recipe and record.recipe.problem, Incompressible):
        return "Every sample carries how far it is from rest, found by marching on with other steps; `sciml verify` does so again for all."
    carried = "Every sample carries the residual of its discrete equation"
    if record.recipe and record.recipe.data.oversampling > 1:
        fine = grid_text(record.recipe.solved_problem.domain.shape)
        return f"{carried} on {fine} cells, of which one in {record.recipe.data.oversampling} along each axis is kept."
    return f"{carried}; `sciml verify` recomputes all of them from the stored fields."


def certified(solver: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """The largest and the median of what samples are judged by, and what that is: a residual, a time error, a distance from rest."""
    found = {}
    for name, value in solver.items():
        which, _, what = name.partition("_")
        if what in ("residual", "time_error", "distance_from_rest"):
            found[which] = (value, what.replace("_", " "))
    return found


def data_section(record: RunRecord) -> Markup:
    """The certificate of the data: how many samples, how well each solves its equation, and what identifies them."""
    data = record.data
    if data is None:
        return section("The data", element("p", record.data_note, class_="note"), identifier="data")
    counts = {"samples": ", ".join(f"{figure(data['samples'][split])} {split}" for split in SPLITS)}
    solver = data["solver"]
    if solver:
        methods = ", ".join(f"{name} ({figure(count)} samples)" for name, count in solver["methods"].items())
        rtol = record.recipe.solver.rtol if record.recipe else None
        (worst, what), (median, _) = certified(solver)["largest"], certified(solver)["median"]
        certificate = {
            f"worst {what}": f"{figure(worst)}, recomputed after each solve and stored with the sample",
            "tolerance": f"{figure(rtol)}{' of the right-hand side' if what == 'residual' else ''}" if rtol is not None else None,
            f"median {what}": figure(median),
            "methods": methods,
            "products with the matrix": f"{figure(solver['median_matvecs'])} (median)" if "median_matvecs" in solver else None,
            "time of a solve": f"{duration(solver['median_solve_seconds'])} (median)",
            "time of all": duration(solver["total_solve_seconds"]),
        }
        intro = _certificate(record)
    else:
        certificate = {"residual": "unknown: imported arrays come without their equation", "source": _source(data["source"])}
        intro = "The samples were made elsewhere and are taken as they are; their values are identified by the hashes below."
    identity = {
        "identity": element("code", data["identity"]),
        "seed": data["seed"] if solver else None,
        "precision": data["dtype"],
        "size": f"{figure(data['bytes'] / 1e6)} MB",
    }
    note = element("p", record.data_note, class_="note") if record.data_note else Markup()
    return section("The data", element("p", _code_spans(intro)), note, facts({**counts, **certificate, **identity}), identifier="data")


def environment_section(
    commands: Sequence[str], trained: Mapping[str, Any] | None, evaluated: Mapping[str, Any] | None, further: object = ""
) -> Markup:
    """The commands that make the figures again, what they need `further`, and where the figures were made."""
    blocks = []
    if evaluated:
        blocks += [element("h3", "Evaluated on"), facts(environment_facts(evaluated))]
    if trained and trained != evaluated:
        blocks += [element("h3", "Trained on"), facts(environment_facts(trained))]
    listed = element("pre", element("code", "\n".join(commands)))
    return join(
        (
            section("How to reproduce it", listed, further, identifier="reproduce"),
            section("Environment", *blocks, identifier="environment"),
        )
    )


def environment_facts(environment: Mapping[str, Any]) -> dict[str, object]:
    """Versions and machine as rows of name and value."""
    return {
        "processor": environment.get("processor"),
        "cores": environment.get("cores"),
        "OpenMP threads": environment.get("omp_num_threads"),
        "python": environment.get("python"),
        **dict(environment.get("versions") or {}),
    }


def grid_text(numbers: Sequence[float]) -> str:
    """``32 × 32``."""
    return " × ".join(f"{number:g}" for number in numbers)


def statement(problem: Problem) -> Markup:
    """The first line of the module that declares the problem: by custom the equation in words and symbols."""
    module = sys.modules[type(problem).__module__]
    return _code_spans((module.__doc__ or problem.kind).strip().partition("\n")[0])


def _code_spans(text: str) -> Markup:
    """Escaped text in which single or double back-quotes mark code."""
    parts = re.split(r"`+([^`]+)`+", text)
    return join(element("code", part) if number % 2 else escape(part) for number, part in enumerate(parts))


def named(names: Sequence[str], units: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({units[name]})" if units.get(name, "1") not in ("", "1") else name for name in names)


def laws(problem: Problem, *, random: bool) -> str | None:
    """Parameters with their laws; boundary data of zero go without saying."""
    shown = []
    for name, law in problem.laws().items():
        if law.is_random is random and not (name.startswith("boundary_") and law == Constant(value=0.0)):
            value = law.model_dump().get("value")
            shown.append(f"{name}: {_law(law)}" if random else f"{name} = {with_unit(value, problem.units.get(name, ''))}")
    return ", ".join(shown) or None


def _law(law: Law) -> str:
    settings = ", ".join(f"{key} {figure(value)}" for key, value in law.model_dump().items() if isinstance(value, float))
    return f"{law.kind.replace('_', ' ')} ({settings})" if settings else law.kind.replace("_", " ")


def sides(boundary: Sequence[Sequence[str]], axes: Sequence[str]) -> str:
    def both(low: str, high: str) -> str:
        return low if low == high == "periodic" else f"{low} on both" if low == high else f"{low} (low), {high} (high)"

    return "; ".join(f"{axis}: {both(*pair)}" for axis, pair in zip(axes, boundary, strict=True))


def _source(source: Mapping[str, Any] | None) -> str | None:
    files = [entry for entry in (source or {}).values() if isinstance(entry, Mapping) and {"name", "sha256"} <= entry.keys()]
    return "; ".join(f"{Path(entry['name']).name} (SHA-256 {entry['sha256']})" for entry in files) or None


def whole_recipe(recipe: Recipe) -> Markup:
    text = json.dumps(json.loads(recipe.canonical_json()), indent=2)
    return element("details", element("summary", "The whole recipe"), element("pre", element("code", text)))
