"""What the model learned and how good it is: curves, errors, samples, speed, checks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.report.charts import Series, histogram, line_chart
from sciml.report.fields import (
    DIFFERENCE_COLOURS,
    INPUT_COLOURS,
    OUTPUT_COLOURS,
    Limits,
    Sample,
    colour_bar_uri,
    limits_of,
    plane,
    png_data_uri,
    symmetric_limits,
)
from sciml.report.markup import Markup, check_table, element, facts, section, table
from sciml.report.notation import duration, figure, percent, with_unit
from sciml.report.profiles import profile_figures
from sciml.report.record import RunRecord
from sciml.report.sections import grid_text

NOT_EVALUATED = "The run has not been evaluated yet: run sciml evaluate, then write this report again."
_NORMS = {"l2": "L2", "h1": "H1"}


def training_section(record: RunRecord) -> Markup:
    """Settings and curves of the training."""
    settings, rows = record.config["settings"], record.rows
    wanted = settings.get("epochs")
    shown = {
        "model": f"{str(settings.get('model')).upper()} with {figure(record.config.get('parameters'))} parameters",
        "size": f"{settings.get('hidden_channels')} channels, {settings.get('layers')} layers, {settings.get('modes')} modes an axis",
        "epochs": f"{len(rows)} of {wanted}" if len(rows) != wanted else wanted,
        "batch": f"{settings.get('batch_size')} samples",
        "loss": f"relative {_NORMS.get(str(settings.get('loss')), settings.get('loss'))}",
        "learning rate": f"{figure(settings.get('learning_rate'))}, {settings.get('schedule')}",
        "weight decay": figure(settings.get("weight_decay")),
        "symmetries": "used as augmentation" if settings.get("augment") and record.config["data"].get("symmetries") else "not used",
        "seed": settings.get("seed"),
        "time": duration(sum(float(row.get("seconds") or 0.0) for row in rows)) if rows else None,
    }
    curves = _curves(record) if rows else element("p", "No epoch has been finished yet.", class_="note")
    return section("Training", element("div", curves, facts(shown), class_="columns"), identifier="training")


def _curves(record: RunRecord) -> Markup:
    loss = _NORMS.get(str(record.config["settings"].get("loss")), "")
    names = {"train_loss": f"train loss ({loss})", "valid_relative_h1": "valid relative H1", "valid_relative_l2": "valid relative L2"}
    series = [
        Series(label, [row["epoch"] for row in record.rows], [finite(row.get(name)) for row in record.rows])
        for name, label in names.items()
        if any(name in row for row in record.rows)
    ]
    return line_chart(series, x_label="epoch", y_label="relative error", title="Training curves")


def accuracy_section(record: RunRecord) -> Markup:
    """Distribution of the errors on samples that training never saw, in three norms, and on other grids."""
    if record.evaluation is None:
        return section("Accuracy", element("p", NOT_EVALUATED, class_="note"), identifier="accuracy")
    details = record.details
    l2 = details["relative_l2"]
    marks = {name: finite(l2[key]) for name, key in (("median", "median"), ("90 % below", "p90"), ("worst", "worst"))}
    chart = histogram(
        [finite(value) for value in l2["per_sample"]],
        {name: value for name, value in marks.items() if np.isfinite(value)},
        x_label="relative L2 error",
        title="Errors of the samples",
    )
    intro = f"{figure(len(l2['per_sample']))} samples of the {details['data']['split']} split, checkpoint of epoch {details['epoch']}."
    headings = ("error", "mean", "median", "90 % below", "worst")
    rows = [_error_row("relative L2", l2), _error_row("relative H1 (with the gradient)", details["relative_h1"])]
    residual = details.get("residual")
    if residual:
        rows.append(_error_row("residual in the equation, H⁻¹ norm", residual["relative_dual"]))
    elif record.recipe is not None:
        intro += " Predictions are states at single times, between which the equation holds: they have no residual of their own."
    rows += [_error_row(_elsewhere(report["details"]), report["details"]["relative_l2"]) for report in record.elsewhere.values()]
    summary = table(headings, rows, numeric=(1, 2, 3, 4))
    return section("Accuracy", element("p", intro), element("div", chart, summary, class_="columns"), identifier="accuracy")


def _elsewhere(details: Mapping[str, Any]) -> str:
    """Which samples an evaluation beside the run's own was made on."""
    request = details["request"]
    parts = [f"relative L2 on {grid_text(details['data']['shape'])} cells"]
    parts += [f"{request['split']} split"] if request["split"] != "test" else []
    parts += [f"first {figure(request['samples'])} samples"] if request.get("samples") is not None else []
    parts += [f"dataset {Path(request['data']).name}"] if request.get("data") is not None else []
    return ", ".join(parts)


def _error_row(name: str, summary: Mapping[str, Any]) -> tuple[str, ...]:
    return (name, *(percent(summary.get(key)) for key in ("mean", "median", "p90", "worst")))


def samples_section(record: RunRecord) -> Markup:
    """Best, median and worst sample: what went in, the truth, the prediction, and their difference on one scale for all three."""
    if not record.samples:
        return section("Samples", element("p", NOT_EVALUATED, class_="note"), identifier="samples")
    outputs = list(record.samples[0].truth)
    shape = record.samples[0].truth[outputs[0]].shape
    if len(shape) == 1:
        return _profiles_section(record)
    differences = {name: symmetric_limits(*(plane(sample.difference(name))[0] for sample in record.samples)) for name in outputs}
    note = "Truth and prediction share one scale within a sample; the difference has the same scale in all samples, so that they compare."
    if len(shape) == 3:
        note += f" Fields of {grid_text(shape)} cells are shown in their middle slice along z."
    parts = [part for sample in record.samples for part in (_heading(sample), *sample_maps(sample, differences, record.units))]
    return section("Samples", element("p", note, class_="note"), *parts, identifier="samples")


def _profiles_section(record: RunRecord) -> Markup:
    """The same for fields on an interval, as lines."""
    differences = {name: symmetric_limits(*(sample.difference(name) for sample in record.samples)) for name in record.samples[0].truth}
    length = float(record.config["data"]["extent"][0])
    parts = [element("p", "The difference has the same scale in all samples, so that they compare.", class_="note")]
    for sample in record.samples:
        others = [_number_or_side(name, values, record.units.get(name, "")) for name, values in sample.inputs.items() if values.ndim != 1]
        parts += [_heading(sample), sample_profiles(sample, differences, record.units, length), _further(others)]
    return section("Samples", *parts, identifier="samples")


def _heading(sample: Sample) -> Markup:
    error = f": relative L2 error {percent(sample.error)}" if sample.error is not None else ""
    number = f" (number {sample.index})" if sample.index is not None else ""
    return element("h3", f"{sample.rank.capitalize()} sample{number}{error}")


def _further(others: list[str]) -> Markup:
    return element("p", "Further inputs: " + "; ".join(others) + ".", class_="note") if others else Markup()


def sample_profiles(sample: Sample, differences: Mapping[str, Limits | None], units: Mapping[str, str], length: float) -> Markup:
    """Fields on an interval as charts of lines side by side."""
    return element("div", *profile_figures(sample, differences, units, length), class_="columns")


def sample_maps(sample: Sample, differences: Mapping[str, Limits | None], units: Mapping[str, str]) -> tuple[Markup, Markup]:
    """Fields in the plane or in space as maps, and a sentence about the inputs that are none."""
    grid = next(iter(sample.truth.values())).shape
    pictures, others = [], []
    for name, values in sample.inputs.items():
        if values.shape == grid:
            pictures.append(_field(f"input: {name}", values, units.get(name, ""), INPUT_COLOURS, limits_of(plane(values)[0]), sample.rank))
        else:
            others.append(_number_or_side(name, values, units.get(name, "")))
    for name, truth in sample.truth.items():
        unit, prediction = units.get(name, ""), sample.prediction[name]
        shared = limits_of(plane(truth)[0], plane(prediction)[0])
        pictures += [
            _field(f"truth: {name}", truth, unit, OUTPUT_COLOURS, shared, sample.rank),
            _field(f"prediction: {name}", prediction, unit, OUTPUT_COLOURS, shared, sample.rank),
            _field("prediction − truth", sample.difference(name), unit, DIFFERENCE_COLOURS, differences[name], sample.rank),
        ]
    columns = "fields" if sample.grid_input is not None else "fields three"
    return element("div", *pictures, class_=columns), _further(others)


def _field(title: str, values: NDArray[Any], unit: str, colours: str, limits: Limits | None, rank: str) -> Markup:
    caption = element("figcaption", title)
    shown, slice_label = plane(values)
    if limits is None or limits_of(shown) is None:
        return element("figure", caption, element("p", "No finite value to draw.", class_="note"), class_="field")
    low, high = (figure(value) for value in limits)
    where = f", {slice_label}" if slice_label else ""
    alt = f"{title} of the {rank} sample{where}, {shown.shape[0]} by {shown.shape[1]} points, colours from {low} to {high}"
    bar = element(
        "div",
        element("img", src=colour_bar_uri(colours), alt="", width=128, height=1),
        element("span", low),
        element("span", unit if unit != "1" else "", class_="unit"),
        element("span", high),
        class_="bar",
    )
    picture = element("img", src=png_data_uri(shown, colours, limits), alt=alt, width=shown.shape[0], height=shown.shape[1], class_="map")
    return element("figure", caption, picture, bar, class_="field")


def _number_or_side(name: str, values: NDArray[Any], unit: str) -> str:
    if values.ndim == 0:
        return f"{name} = {with_unit(float(values), unit)}"
    limits = limits_of(values)
    return f"{name} from {figure(limits[0])} to {with_unit(limits[1], unit)}" if limits else f"{name} without a finite value"


def speed_section(record: RunRecord) -> Markup:
    """Model beside solver: at the data's tolerance, and where the solver is asked for no more than the model's own accuracy."""
    speed = record.details.get("speed")
    if record.evaluation is None or not speed:
        why = NOT_EVALUATED if record.evaluation is None else "Imported arrays come without a solver to compare with."
        return section("Speed", element("p", why, class_="note"), identifier="speed")
    model, solver, same = speed["model"], speed["solver"], speed["same_accuracy"]
    rows = [
        ("model, one sample at a time", model["seconds"], model["relative_l2"]),
        (f"model, {model['batch']} samples at a time", model["batched_seconds"], model["relative_l2"]),
        (f"solver at the data's tolerance, {figure(solver['rtol'])}", solver["seconds"], solver["relative_l2"]),
    ]
    if same:
        rows.append((f"solver at the model's accuracy: {same['way']}", same["seconds"], same["relative_l2"]))
    summary = table(
        ("way", "time a sample", "L2 error"), [(way, duration(seconds), percent(error)) for way, seconds, error in rows], numeric=(1, 2)
    )
    intro = f"Medians over {speed['samples']} samples on one machine with {speed['threads']} thread(s)."
    return section("Speed", element("p", _fair_sentence(speed)), summary, element("p", intro, class_="note"), identifier="speed")


def _fair_sentence(speed: Mapping[str, Any]) -> str:
    ratio = speed.get("speedup_same_accuracy_batched")
    if ratio is None:
        return "No cheaper way of the solver that was tried reaches the model's accuracy, and neither does its full tolerance."
    who, factor = ("The model is", ratio) if ratio >= 1.0 else ("The solver is", 1.0 / ratio)
    fair = "the solver is asked for no more than the model's accuracy and the model works in batches"
    return f"{who} {figure(factor)} times faster when {fair}."


def checks_section(record: RunRecord) -> Markup:
    """Every check of every evaluation beside its gate."""
    if not record.checks:
        return section("Checks", element("p", NOT_EVALUATED, class_="note"), identifier="checks")
    return section("Checks", check_table(record.checks), identifier="checks")


def finite(value: Any) -> float:
    return float("nan") if value is None else float(value)
