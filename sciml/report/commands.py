"""The commands that make a run again, with the settings that were really used."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sciml.data.recipe import Recipe, load_recipe
from sciml.errors import RecipeError
from sciml.report.record import RunRecord

#: Settings of a run that `sciml train` takes as options, in the order of its help.
_OPTIONS = ("model", "hidden_channels", "modes", "layers", "epochs", "batch_size", "learning_rate", "weight_decay", "loss", "seed")

#: Settings that `sciml train` has no option for, with their defaults: a run with another value takes a call of the library.
PYTHON_ONLY = {"schedule": "onecycle", "rank": 0.1, "coordinates": True}


def reproduce(record: RunRecord) -> list[str]:
    """Shell commands from nothing to this report; a comment stands where a command cannot be told."""
    data = Path(record.config["data"].get("path") or "data").name
    run = record.path.resolve().name
    reports = ([record.evaluation] if record.evaluation else []) + list(record.elsewhere.values())
    evaluations = [_evaluate(run, report["details"]["request"]) for report in reports] or [f"sciml evaluate {_q(run)}"]
    return [*_data(record, data), _train(record, data, run), *evaluations, f"sciml report {_q(run)} --out report.html"]


def _data(record: RunRecord, folder: str) -> list[str]:
    if record.data is None:
        return ["# the dataset that the run was trained on is not at hand"]
    if record.recipe is None:
        return [_import(record.data, folder)]
    samples = sum(record.data["samples"].values())
    overrides = _overrides(record.recipe)
    if overrides is None:
        return ["# recipe.toml holds the recipe above", f"sciml generate recipe.toml --samples {samples} --out {_q(folder)}"]
    flags = "".join(f" --set {_q(override)}" for override in overrides)
    return [f"sciml generate {_q(record.recipe.name)}{flags} --samples {samples} --seed {record.data['seed']} --out {_q(folder)}"]


def _import(data: Mapping[str, Any], folder: str) -> str:
    source = data["source"] or {}
    arrays = source.get("arrays", {})
    roles = [("input", name) for name in data["inputs"]] + [("output", name) for name in data["outputs"]]
    named = "".join(f" --{role} {_q(str(arrays.get(name, name)))}" for role, name in roles)
    test = f" --test {_q(source['test_file']['name'])}" if "test_file" in source else ""
    symmetries = "".join(f" --symmetry {_q(name)}" for name in data["symmetries"])
    fraction = f" --valid-fraction {source['valid_fraction']:g}" if "valid_fraction" in source else ""
    return f"sciml import {_q(source.get('file', {}).get('name', 'FILE.npz'))}{named}{test}{fraction}{symmetries} --out {_q(folder)}"


def _train(record: RunRecord, data: str, run: str) -> str:
    settings = record.config["settings"]
    if any(settings.get(name, value) != value for name, value in PYTHON_ONLY.items()):
        chosen = {name: value for name, value in settings.items() if name != "device"}
        call = f"train({data!r}, {run!r}, TrainSettings(**{chosen!r}))"
        return f"python -c {_q(f'from sciml.training import TrainSettings, train; {call}')}"
    flags = [f"--{name.replace('_', '-')} {_q(str(settings[name]))}" for name in _OPTIONS if name in settings]
    flags.append("--augment" if settings.get("augment") else "--no-augment")
    return f"sciml train {_q(data)} {' '.join(flags)} --out {_q(run)}"


def _evaluate(run: str, request: Mapping[str, Any]) -> str:
    """The command of one evaluation; what was left to its default is left out, but for the gate."""
    data = f" {_q(request['data'])}" if request.get("data") is not None else ""
    split = f" --split {_q(request['split'])}" if request["split"] != "test" else ""
    counts = "".join(f" --{name} {request[name]}" for name in ("resolution", "samples") if request.get(name) is not None)
    return f"sciml evaluate {_q(run)}{data}{split}{counts} --gate {request['gate']}"


def _overrides(recipe: Recipe) -> list[str] | None:
    """``section.key=value`` strings that turn the shipped recipe of that name into this one; None where that cannot be done."""
    try:
        shipped = load_recipe(recipe.name)
        here, there = (dict(_leaves(json.loads(one.canonical_json()))) for one in (recipe, shipped))
        # The number of samples and the seed are options of their own.
        changed = [key for key in here if here[key] != there.get(key) and key not in ("data.samples", "data.seed")]
        overrides = [f"{key}={json.dumps(here[key])}" for key in changed]
        same = load_recipe(recipe.name, [*overrides, f"data.seed={recipe.data.seed}"]).identity == recipe.identity
    except RecipeError:
        return None
    return overrides if same else None


def _leaves(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value


def _q(text: str) -> str:
    return shlex.quote(text)
