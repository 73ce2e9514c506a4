"""Everything that a run folder tells a report, read once and checked; what is missing is remembered as a sentence."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sciml.checks import Check
from sciml.data.info import describe
from sciml.data.manifest import read_manifest
from sciml.data.npz import read_npz
from sciml.data.recipe import Recipe
from sciml.errors import CheckpointError, DatasetError, RecipeError
from sciml.report.fields import Sample
from sciml.report.schema import CONFIG, EVALUATION, ROW, misfit

Object: TypeAlias = Mapping[str, Any]
RANKS = ("best", "median", "worst")
_SNAPSHOTS = 4


@dataclass(frozen=True)
class RunRecord:
    """A run as it was left on disk.

    Attributes
    ----------
    path : the run folder.
    config : ``config.json``.
    rows : ``metrics.jsonl``, one mapping an epoch.
    evaluation : ``evaluation.json``, on the whole test split; None before `sciml evaluate`.
    elsewhere : ``evaluation-<what>.json``, evaluations on other grids, splits, data or fewer samples, by what they are.
    samples : best, median and worst prediction; empty before `sciml evaluate`.
    data : what `sciml.data.info.describe` says of the dataset; None where it cannot be read.
    data_note : why not; empty otherwise.
    recipe : the dataset's recipe; None for imported arrays or where the dataset cannot be read.
    """

    path: Path
    config: Object
    rows: tuple[Object, ...]
    evaluation: Object | None
    elsewhere: Mapping[str, Object]
    samples: tuple[Sample, ...]
    data: Object | None
    data_note: str
    recipe: Recipe | None

    @cached_property
    def units(self) -> dict[str, str]:
        return dict(self.data["units"]) if self.data else {}

    @property
    def extent(self) -> list[float]:
        return list(self.config["data"]["extent"])

    @cached_property
    def checks(self) -> list[Check]:
        """The checks of all evaluations, those on other grids last."""
        reports = [self.evaluation, *self.elsewhere.values()]
        return [stored_check(entry) for report in reports if report for entry in report["checks"]]

    @property
    def details(self) -> Object:
        return self.evaluation["details"] if self.evaluation else {}


def read_record(run: Path | str) -> RunRecord:
    """Read a run folder.

    Raises CheckpointError where the folder is no run, or where one of its files is damaged. A dataset that has been moved, or an
    evaluation that has not been made yet, is no error.
    """
    path = Path(run)
    config = _config(path)
    data, note, recipe = _dataset(config)
    evaluations = {file.stem.removeprefix("evaluation-"): _evaluation(file) for file in sorted(path.glob("evaluation-*.json"))}
    own = path / "evaluation.json"
    return RunRecord(
        path=path,
        config=config,
        rows=complete_rows(path / "metrics.jsonl", ROW),
        evaluation=_evaluation(own) if own.is_file() else None,
        elsewhere=evaluations,
        samples=_samples(path / "predictions.npz"),
        data=data,
        data_note=note,
        recipe=recipe,
    )


def _config(path: Path) -> Object:
    file = path / "config.json"
    if not file.is_file():
        raise CheckpointError(f"{path} holds no config.json: give a folder made by `sciml train`")
    config = json_object(file, CONFIG)
    axes = len(config["data"]["axes"])
    boundary, extent = config["data"].get("boundary") or [["", ""]] * axes, config["data"]["extent"]
    if config["format"] != "sciml-run" or {len(boundary), len(extent)} != {axes} or any(len(pair) != 2 for pair in boundary):
        raise CheckpointError(f"{file} does not describe a run: give a folder made by `sciml train`")
    return config


def json_object(file: Path, kind: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object in `file`; raises CheckpointError where it is not of `kind`."""
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, str(error)) from None
    if fault := misfit(content, kind):
        raise damaged(file, fault)
    return content


def complete_rows(file: Path, kind: Mapping[str, Any]) -> tuple[Object, ...]:
    """Complete lines of ``metrics.jsonl``, each of `kind`; what follows the last line break was interrupted."""
    if not file.is_file():
        return ()
    try:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, str(error)) from None
    if fault := misfit(rows, [kind]):
        raise damaged(file, fault)
    return tuple(rows)


def _evaluation(file: Path) -> Object:
    """A CheckReport's JSON with the details that `sciml.training.evaluate` adds."""
    report = check_report(file, EVALUATION)
    if not report["details"]["data"]["shape"]:
        raise damaged(file, "details.data.shape is empty")
    return report


def check_report(file: Path, kind: Mapping[str, Any]) -> dict[str, Any]:
    """A CheckReport's JSON of `kind`, whose checks can be read; raises CheckpointError."""
    report = json_object(file, kind)
    try:
        for entry in report["checks"]:
            stored_check(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(file, f"checks: {error}") from None
    return report


def stored_check(entry: Mapping[str, Any]) -> Check:
    """Inverse of ``Check.to_dict``; null stands for a figure that was not finite."""
    expected, relation = entry["expected"], entry["relation"]
    if relation not in ("<=", ">=", "in"):
        raise ValueError(f"relation is {relation!r}")
    if isinstance(expected, list):
        low, high = map(_number, expected)
        gate: float | tuple[float, float] = (low, high)
    else:
        gate = _number(expected)
    return Check(entry["name"], _number(entry["observed"]), relation, gate, entry["unit"], entry["reference"], entry["status"])


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _samples(file: Path) -> tuple[Sample, ...]:
    if not file.is_file():
        return ()
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        arrays = read_npz(file, names)
        samples = tuple(_sample(rank, arrays) for rank in RANKS if f"{rank}/index" in arrays)
        if len({values.ndim for sample in samples for values in sample.truth.values()}) > 1:
            raise ValueError("its fields have different numbers of axes")
        return samples
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:  # DatasetError is a ValueError
        raise damaged(file, str(error) or type(error).__name__) from None


def _sample(rank: str, arrays: Mapping[str, np.ndarray]) -> Sample:
    def group(kind: str) -> dict[str, np.ndarray]:
        prefix = f"{rank}/{kind}/"
        return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}

    truth, prediction = _few_times(group("truth")), group("prediction")
    if not truth or any(prediction[name].shape != values.shape or values.ndim not in (1, 2, 3) for name, values in truth.items()):
        raise ValueError(f"{rank}: truth and prediction do not fit together")
    prediction = {name: prediction[name] for name in truth}
    return Sample(rank, int(arrays[f"{rank}/index"]), float(arrays[f"{rank}/relative_l2"]), group("inputs"), truth, prediction)


def _few_times(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """At most four of many snapshots, evenly spread, the last one among them; `outputs` themselves where they are no snapshots."""
    names = list(outputs)
    if not all("(t=" in name for name in names):
        return outputs
    return {names[index]: outputs[names[index]] for index in few_of(len(names))}


def few_of(times: int) -> list[int]:
    """Which of so many times are shown: at most four, evenly spread, the last one among them."""
    return sorted({int(index) for index in np.linspace(0, times - 1, min(times, _SNAPSHOTS)).round()})


def _dataset(config: Object) -> tuple[Object | None, str, Recipe | None]:
    place = config["data"].get("path")
    if place is None:
        return None, "The run was trained on arrays in memory, so there is no dataset on disk to describe.", None
    try:
        manifest = read_manifest(Path(place))
        identity = config["data"].get("identity")
        if identity not in (None, manifest.identity):
            return None, f"The dataset in {place} is not the one that this run was trained on any more.", None
        recipe = None if manifest.recipe is None else Recipe.from_canonical_json(manifest.recipe_json)
        return describe(place), _growth(config["data"].get("samples"), manifest.splits), recipe
    except (DatasetError, RecipeError) as error:
        return None, f"The dataset cannot be read: {error}.", None


def _growth(then: Mapping[str, int] | None, now: Mapping[Any, int]) -> str:
    """What to say where the dataset has other sizes than when the run was trained; empty where it has the same."""
    if not then or all(now.get(split) == count for split, count in then.items()):
        return ""
    sizes = ", ".join(f"{count} {split} (now {now.get(split, 0)})" for split, count in then.items())
    return f"The dataset has grown since this run was trained on {sizes}; errors and commands below that name it mean the smaller one."


def damaged(file: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{file} is damaged ({' '.join(reason.split())[:160]}): restore it, or evaluate or train again")
