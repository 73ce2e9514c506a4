"""One-dimensional fields as lines: charts for the page, Axes for a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sciml.report.charts import Series, profile_chart
from sciml.report.fields import Limits, Sample, limits_of
from sciml.report.markup import Markup, element
from sciml.report.notation import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def profile_figures(sample: Sample, differences: Mapping[str, Limits | None], units: Mapping[str, str], length: float) -> list[Markup]:
    """Input, truth under prediction, and difference, a chart each; differences on the scale that is given for each output."""
    figures = [
        _chart(f"input: {name}", {name: values}, limits_of(values), sample, units.get(name, ""), length)
        for name, values in sample.inputs.items()
        if values.ndim == 1
    ]
    for name, truth in sample.truth.items():
        pair = {"truth": truth, "prediction": sample.prediction[name]}
        unit = units.get(name, "")
        figures.append(_chart(name, pair, limits_of(*pair.values()), sample, unit, length))
        title = f"prediction − truth: {name}"
        figures.append(_chart(title, {"prediction − truth": sample.difference(name)}, differences[name], sample, unit, length))
    return figures


def _chart(title: str, lines: Mapping[str, NDArray[Any]], limits: Limits | None, sample: Sample, unit: str, length: float) -> Markup:
    if limits is None:
        return element("figure", element("figcaption", title), element("p", "No finite value to draw.", class_="note"))
    series = [Series(label, _centres(len(values), length).tolist(), values.tolist()) for label, values in lines.items()]
    shown = f" ({unit})" if unit not in ("", "1") else ""
    alt = f"{title}{shown} of the {sample.rank} sample, values from {figure(limits[0])} to {figure(limits[1])}"
    return profile_chart(series, limits, x_label="x", title=title + shown, alt=alt)


def plot_profiles(axes: Sequence[Axes], sample: Sample, output: str, units: Mapping[str, str], length: float = 1.0) -> Sequence[Axes]:
    """Draw the first input on the grid, truth and prediction together, and their difference into three Axes; without an input, into two.

    Parameters
    ----------
    length : of the interval, in its unit of length.
    """
    truth, unit = sample.truth[output], units.get(output, "")
    x = _centres(len(truth), length)
    name = sample.grid_input
    both, difference = axes[-2:]
    if name is not None:
        axes[0].plot(x, sample.inputs[name], color="C0")
        axes[0].set_title(f"input: {name}", fontsize=10)
    both.plot(x, truth, color="C0", label="truth")
    both.plot(x, sample.prediction[output], color="C1", linestyle="--", label="prediction")
    both.set_title(output, fontsize=10)
    both.legend(fontsize=8)
    difference.plot(x, sample.difference(output), color="C2")
    difference.set_title("prediction − truth", fontsize=10)
    for ax in axes:
        ax.set_xlabel("x", fontsize=8)
        ax.set_ylabel(unit if unit not in ("", "1") else "", fontsize=8)
        ax.tick_params(labelsize=8)
    return axes


def _centres(n: int, length: float) -> NDArray[np.float64]:
    return np.asarray((np.arange(n) + 0.5) * (length / n))
