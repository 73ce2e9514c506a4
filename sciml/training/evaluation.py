"""How good a trained operator is: its errors, the residual of its predictions in the equation, and its speed beside the solver."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.data.durable import replace_durably, write_text_durably
from sciml.discretize import discrete_residual
from sciml.errors import CheckpointError, DatasetError
from sciml.problems import Evolving, Incompressible
from sciml.training.metrics import RelativeH1, relative_l2, summary
from sciml.training.operator import TrainedOperator, load_operator
from sciml.training.request import Request, data_of
from sciml.training.resolution import resolved
from sciml.training.run_config import RunConfig
from sciml.training.run_folder import RunFolder
from sciml.training.samples import Samples, check_axes, input_names, open_split, output_channels, periodic, spacing, stack
from sciml.training.speed import compare_speed

Sample = dict[str, NDArray[Any]]
Progress = Callable[[str, int, int, dict[str, Any]], None]
_BATCH = 32
DEFAULT_GATE = 0.08
"""Largest median relative L2 error that passes where the caller names none: the project's own bar for a useful surrogate."""


def evaluate(
    run: str | Path,
    data: str | Path | Samples | None = None,
    *,
    split: str = "test",
    resolution: int | None = None,
    samples: int | None = None,
    gate: float = DEFAULT_GATE,
    progress: Progress | None = None,
) -> CheckReport:
    """Evaluate the best checkpoint of a run.

    On the whole test split of the data and grid that it was trained on the report is written to ``evaluation.json`` and three
    predictions to ``predictions.npz`` in the run folder; any other evaluation to ``evaluation-<what>.json`` and
    ``predictions-<what>.npz`` (for example ``-12x12`` or ``-train-first2``), so that they stand side by side.

    Parameters
    ----------
    run : folder of a training run.
    data : folder of a dataset, at any resolution, or an open split; None takes the dataset that the run was trained on.
    split : ``"train"``, ``"valid"`` or ``"test"``; not read where `data` is open already.
    resolution : solve the same samples anew on a grid of this many cells along the first axis and evaluate there.
    samples : at most this many; None takes all.
    gate : largest median relative L2 error that passes.
    progress : called as ``progress("evaluate", done, total, figures)``.

    Returns
    -------
    CheckReport
        `details` hold the figures a sample, their summaries, the residuals and the speed; see `_figures`.

    Raises
    ------
    CheckpointError
        for a run that is damaged, or that was trained on other fields.
    DatasetError
        for data that cannot be evaluated on.
    """
    started = time.perf_counter()
    folder, operator, report_to = RunFolder(Path(run)), load_operator(run), progress or _silent
    config = folder.config()
    chosen = _chosen(config, data, split)
    split = getattr(chosen, "split", split)
    _check_fields(operator, chosen, config)
    check_axes(chosen.shape, f"dataset {chosen.name!r}")
    count = len(chosen) if samples is None else min(samples, len(chosen))
    if count == 0:
        raise DatasetError(f"split {split!r} of dataset {chosen.name!r} holds no sample; choose another split")
    request = Request(data_of(chosen, config), split, resolution, count if count < len(chosen) else None, gate)
    if resolution is not None:
        chosen = resolved(chosen, resolution, count, report_to)
    figures = _figures(operator, chosen, count, report_to)
    details = {"run": str(folder.root), **_described(operator, config, chosen, split, count), "request": request.to_dict(), **figures}
    median = figures["relative_l2"]["median"]
    report = CheckReport("evaluate", _checks(median, request, chosen.shape), time.perf_counter() - started, details)
    _store(folder, operator, chosen, report, request.suffix(tuple(chosen.shape), config.data.shape))
    return report


def _figures(operator: TrainedOperator, samples: Samples, count: int, progress: Progress) -> dict[str, Any]:
    """Summaries and per-sample figures.

    ``relative_l2``, ``relative_h1``: mean, median, p90, worst, per_sample. ``residual``: of the predictions in the discrete equation,
    ``relative`` in the Euclidean and ``relative_dual`` in the H^-1 norm, likewise; None where `samples` know no problem, and for problems
    that evolve. ``speed``: see `compare_speed`.
    """
    h1 = RelativeH1(spacing(samples), periodic(samples))
    errors: dict[str, list[float]] = {"relative_l2": [], "relative_h1": []}
    residuals: dict[str, list[float]] = {"relative": [], "relative_dual": []}
    # The equation of an evolving problem holds between states, and a prediction is states at single times; that of a flow is not linear.
    has_residual = samples.problem is not None and not isinstance(samples.problem, Evolving | Incompressible)
    for start in range(0, count, _BATCH):
        for sample, prediction in _predictions(operator, samples, range(start, min(start + _BATCH, count))):
            truth = torch.from_numpy(stack(sample, samples.outputs, samples.axes, samples.shape).astype(np.float64))[None]
            guess = torch.from_numpy(prediction.astype(np.float64))[None]
            errors["relative_l2"].append(float(relative_l2(guess, truth)))
            errors["relative_h1"].append(float(h1(guess, truth)))
            if has_residual:
                assert samples.problem is not None
                found = discrete_residual(samples.problem, sample, dict(zip(samples.outputs, prediction, strict=True)))
                residuals["relative"].append(found.relative)
                residuals["relative_dual"].append(found.relative_dual)
        progress("evaluate", len(errors["relative_l2"]), count, {"median_l2": statistics.median(errors["relative_l2"])})
    result: dict[str, Any] = {name: _with_summary(values) for name, values in errors.items()}
    recipe = samples.recipe
    result["residual"] = None if not has_residual else {name: _with_summary(values) for name, values in residuals.items()}
    result["speed"] = None if recipe is None else compare_speed(operator, samples, recipe, errors["relative_l2"])
    return result


def _predictions(operator: TrainedOperator, samples: Samples, indices: range) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
    """Samples and their predictions (out_channels, *grid)."""
    batch = [samples[index] for index in indices]
    fields = np.stack([stack(sample, operator.inputs.names, samples.axes, samples.shape) for sample in batch])
    yield from zip(batch, operator.predict(fields), strict=True)


def _with_summary(values: list[float]) -> dict[str, Any]:
    return {**summary(values), "per_sample": values}


def _checks(median: float, request: Request, shape: tuple[int, ...]) -> list[Check]:
    grid = " x ".join(str(n) for n in shape)
    reference = f"truth of the {request.split} split on {grid}"
    return [Check("median relative L2 error", median, "<=", request.gate, unit="1", reference=reference, status="policy")]


def _chosen(config: RunConfig, data: str | Path | Samples | None, split: str) -> Samples:
    if data is not None:
        return open_split(data, split)
    path = config.data.path
    if path is None or not os.path.isdir(path):
        raise CheckpointError(f"the run was trained on data.path = {path!r}, which is not there; give the dataset's folder")
    return open_split(path, split)


def _check_fields(operator: TrainedOperator, samples: Samples, config: RunConfig) -> None:
    """Refuse data that the operator was not made for; the resolution alone may differ."""
    here = {
        "inputs": list(input_names(samples)),
        "outputs": list(output_channels(samples)),
        "extent": list(samples.extent),
        "axes": list(samples.axes),
        "boundary": _sides(samples.boundary),
    }
    trained = {
        "inputs": list(operator.inputs.names),
        "outputs": list(operator.outputs.names),
        "extent": list(config.data.extent),
        "axes": list(config.data.axes),
        "boundary": _sides(config.data.boundary),
    }
    for key, value in here.items():
        if value != trained[key]:
            what = f"the run was trained on {key} = {trained[key]}, and dataset {samples.name!r} has {value}"
            raise CheckpointError(f"{what}; evaluate it on data of its own kind")


def _sides(boundary: Sequence[tuple[str, str]] | None) -> list[list[str]] | None:
    """Comparable whatever sequences it came in."""
    return None if boundary is None else [list(pair) for pair in boundary]


def _described(operator: TrainedOperator, config: RunConfig, samples: Samples, split: str, count: int) -> dict[str, Any]:
    return {
        "model": config.settings.model,
        "epoch": operator.epoch,
        "parameters": operator.parameters,
        "data": {"name": samples.name, "split": split, "samples": count, "shape": list(samples.shape)},
        "trained_on": {"path": config.data.path, "shape": list(config.data.shape), "samples": dict(config.data.samples)},
    }


def _store(folder: RunFolder, operator: TrainedOperator, samples: Samples, report: CheckReport, suffix: str) -> None:
    """Write the report and the best, median and worst prediction, each in full or not at all."""
    _write_predictions(folder.root / f"predictions{suffix}.npz", operator, samples, report.details["relative_l2"]["per_sample"])
    write_text_durably(folder.root / f"evaluation{suffix}.json", report.to_json() + "\n")


def _write_predictions(path: Path, operator: TrainedOperator, samples: Samples, errors: list[float]) -> None:
    """Arrays ``<best|median|worst>/<inputs|truth|prediction>/<name>``, with ``.../index`` and ``.../relative_l2`` beside them."""
    order = np.argsort(errors)
    arrays: dict[str, NDArray[Any]] = {}
    for which, index in {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}.items():
        ((sample, prediction),) = _predictions(operator, samples, range(index, index + 1))
        arrays |= {f"{which}/index": np.array(index), f"{which}/relative_l2": np.array(errors[index])}
        arrays |= {f"{which}/inputs/{name}": sample[name] for name in operator.inputs.names}
        truth = stack(sample, samples.outputs, samples.axes, samples.shape)
        arrays |= {f"{which}/truth/{name}": field for name, field in zip(operator.outputs.names, truth, strict=True)}
        arrays |= {f"{which}/prediction/{name}": field for name, field in zip(operator.outputs.names, prediction, strict=True)}
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as handle:
        np.savez_compressed(handle, allow_pickle=False, **arrays)
    replace_durably(aside, path)


def _silent(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
    """Progress for nobody."""
