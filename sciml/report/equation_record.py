"""What the folder of a network on an equation tells a report, read once and checked."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sciml.checks import Check
from sciml.data.npz import read_npz
from sciml.data.recipe import Recipe
from sciml.errors import CheckpointError, RecipeError
from sciml.grid import Grid
from sciml.problems import Evolving
from sciml.report.fields import Limits, Sample, plane, symmetric_limits
from sciml.report.record import Object, check_report, complete_rows, damaged, few_of, json_object, stored_check
from sciml.report.schema import EQUATION_CONFIG, EQUATION_EVALUATION, EQUATION_ROW, NUMBERS, misfit


@dataclass(frozen=True)
class EquationRecord:
    """A run as it was left on disk.

    Attributes
    ----------
    path : the run folder.
    config : ``config.json``.
    recipe : whose problem was solved.
    rows : ``metrics.jsonl``, one mapping a block of steps.
    evaluation : ``evaluation.json``; None where there is none yet.
    samples : truth and prediction, of an evolving problem at four times at most; empty where there are none yet.
    """

    path: Path
    config: Object
    recipe: Recipe
    rows: tuple[Object, ...]
    evaluation: Object | None
    samples: tuple[Sample, ...]

    @cached_property
    def grid(self) -> Grid:
        return _grid(self.recipe)

    @property
    def extent(self) -> list[float]:
        return list(self.grid.extent)

    @cached_property
    def units(self) -> dict[str, str]:
        """Of every field of the samples."""
        names = [name for sample in self.samples for name in sample.truth]
        return {name: self.recipe.problem.units.get(_output(name), "") for name in names}

    @cached_property
    def checks(self) -> list[Check]:
        return [stored_check(entry) for entry in self.evaluation["checks"]] if self.evaluation else []

    @cached_property
    def differences(self) -> dict[str, Limits | None]:
        """Limits for the differences of every field, the same at all times of an output."""
        found: dict[str, Limits | None] = {}
        for sample in self.samples:
            shown = {
                name: plane(sample.difference(name))[0] if self.grid.dimension > 1 else sample.difference(name) for name in sample.truth
            }
            for name in shown:
                found[name] = symmetric_limits(*(values for other, values in shown.items() if _output(other) == _output(name)))
        return found


def read_equation(run: Path | str) -> EquationRecord:
    """Read the folder of such a run.

    Raises CheckpointError where one of its files is damaged. An evaluation that has not been made yet is no error.
    """
    path = Path(run)
    config = json_object(path / "config.json", EQUATION_CONFIG)
    try:
        recipe = Recipe.from_canonical_json(json.dumps(config["recipe"]))
    except RecipeError as error:
        raise damaged(path / "config.json", str(error)) from None
    rows = complete_rows(path / "metrics.jsonl", EQUATION_ROW)
    if fault := next((fault for row in rows if (fault := misfit(row, NUMBERS))), ""):
        raise damaged(path / "metrics.jsonl", fault)
    file = path / "evaluation.json"
    evaluation = _evaluation(file) if file.is_file() else None
    return EquationRecord(path, config, recipe, rows, evaluation, _samples(path / "predictions.npz", recipe, config["settings"]["sample"]))


def _evaluation(file: Path) -> dict[str, Any]:
    report = check_report(file, EQUATION_EVALUATION)
    if report["details"]["relative_l2"].keys() != report["details"]["rmse"].keys():
        raise damaged(file, "details.relative_l2 and details.rmse are of different outputs")
    return report


def _grid(recipe: Recipe) -> Grid:
    domain = recipe.solved_problem.domain
    if not isinstance(domain, Grid):
        raise CheckpointError(f"problem {recipe.problem.kind!r} is not on a grid, and a report shows fields on grids only")
    return domain


def _samples(file: Path, recipe: Recipe, number: int) -> tuple[Sample, ...]:
    if not file.is_file():
        return ()
    problem, grid = recipe.solved_problem, _grid(recipe)
    times = problem.times if isinstance(problem, Evolving) else ()
    shape = (len(times), *grid.shape) if len(times) > 1 else grid.shape
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        arrays = read_npz(file, names)
        outputs = [name.removeprefix("truth/") for name in names if name.startswith("truth/")]
        if not outputs:
            raise ValueError("it holds no truth")
        for name in (f"{kind}/{output}" for output in outputs for kind in ("truth", "prediction")):
            if arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {arrays[name].shape} instead of {shape}")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:  # DatasetError is a ValueError
        raise damaged(file, str(error) or type(error).__name__) from None
    truth, prediction = (
        _at_times({name: _levelled(name, arrays[f"{kind}/{name}"], outputs) for name in outputs}, times) for kind in ("truth", "prediction")
    )
    return (Sample("solved", number, None, {}, truth, prediction),)


def _levelled(name: str, values: np.ndarray, outputs: Sequence[str]) -> np.ndarray:
    """The pressure of a flow without its mean, as its error is measured."""
    return values - values.mean() if name == "pressure" and "velocity_x" in outputs else values


def _at_times(fields: Mapping[str, np.ndarray], times: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Fields by name and time, of a steady problem by name alone."""
    if not times:
        return dict(fields)
    if len(times) == 1:
        return {f"{name} (t={times[0]:g})": values for name, values in fields.items()}
    return {f"{name} (t={times[k]:g})": values[k] for name, values in fields.items() for k in few_of(len(times))}


def _output(name: str) -> str:
    """The output that a field at some time is of."""
    return name.partition(" (t=")[0]
