"""Pictures of fields: as matplotlib Axes for a notebook or a paper, and as bare colour maps for a page that brings its own text."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INPUT_COLOURS = "cividis"
OUTPUT_COLOURS = "viridis"
DIFFERENCE_COLOURS = "RdBu_r"  # zero is white, blue is too low, red is too high
Limits = tuple[float, float]


@dataclass(frozen=True)
class Sample:
    """One sample of a split beside what a model made of it.

    Attributes
    ----------
    rank : ``"best"``, ``"median"`` or ``"worst"`` by relative L2 error; ``"solved"`` for the one that a network was trained on.
    index : its number in the split; None where it is not known.
    error : relative L2 error; None where it is not known.
    inputs, truth, prediction : name -> array; an input may also be a side of the grid or a scalar.
    """

    rank: str
    index: int | None
    error: float | None
    inputs: Mapping[str, NDArray[Any]]
    truth: Mapping[str, NDArray[Any]]
    prediction: Mapping[str, NDArray[Any]]

    def difference(self, name: str) -> NDArray[Any]:
        """Prediction minus truth, in the units of the field."""
        return np.asarray(self.prediction[name] - self.truth[name])

    @property
    def grid_input(self) -> str | None:
        """The first input that is a field on the grid of the outputs; None where there is none."""
        shape = next(iter(self.truth.values())).shape
        return next((name for name, values in self.inputs.items() if values.shape == shape), None)


def plane(field: ArrayLike) -> tuple[NDArray[Any], str]:
    """The field itself in 2-D, its middle slice along z in 3-D; and a label that says so, empty in 2-D."""
    array = np.asarray(field)
    if array.ndim == 3:
        middle = array.shape[2] // 2
        return array[:, :, middle], f"slice {middle + 1} of {array.shape[2]} along z"
    if array.ndim != 2:
        raise ValueError(f"a field to draw has 2 or 3 axes, this one has {array.ndim}")
    return array, ""


def limits_of(*fields: ArrayLike) -> Limits | None:
    """Smallest and largest finite value over all `fields`; None where there is none."""
    values = np.concatenate([np.ravel(np.asarray(field, dtype=np.float64)) for field in fields])
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else None


def symmetric_limits(*fields: ArrayLike) -> Limits | None:
    """``(-m, m)`` with m the largest finite magnitude, so that zero sits in the middle of a diverging colour map."""
    limits = limits_of(*fields)
    if limits is None:
        return None
    largest = max(abs(limits[0]), abs(limits[1]))
    return (-largest, largest)


def png_data_uri(plane_values: ArrayLike, colours: str, limits: Limits) -> str:
    """One pixel a grid point, x to the right and y upwards, as a ``data:`` address; values that are not finite stay empty."""
    values = np.asarray(plane_values, dtype=np.float64).T
    low, high = limits
    buffer = io.BytesIO()
    masked = np.ma.masked_invalid(values)
    imsave(buffer, masked, origin="lower", cmap=colours, vmin=low, vmax=high if high > low else low + 1.0, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def colour_bar_uri(colours: str) -> str:
    """The colour map from low to high as a strip."""
    return png_data_uri(np.linspace(0.0, 1.0, 128)[:, None], colours, (0.0, 1.0))


def plot_field(
    ax: Axes,
    field: ArrayLike,
    *,
    title: str = "",
    unit: str = "",
    extent: Sequence[float] | None = None,
    colours: str = OUTPUT_COLOURS,
    limits: Limits | None = None,
) -> Axes:
    """Draw a field with its colour bar.

    Parameters
    ----------
    field : array of shape (nx, ny), or (nx, ny, nz), of which the middle slice along z is drawn.
    extent : lengths of the box along x and y; None draws cell numbers.
    limits : values at the ends of the colour bar; None takes the field's own.
    """
    values, slice_label = plane(field)
    low, high = limits or limits_of(values) or (0.0, 1.0)
    box = (0.0, float(extent[0]), 0.0, float(extent[1])) if extent is not None else None
    image = ax.imshow(values.T, origin="lower", cmap=colours, vmin=low, vmax=high, extent=box, interpolation="nearest")
    ax.set_title(f"{title}\n({slice_label})" if slice_label else title, fontsize=10)
    ax.set_xticks([])
    ax.set_yticks([])
    figure = ax.get_figure()
    if figure is not None:
        bar = figure.colorbar(image, ax=ax, orientation="horizontal", fraction=0.05, pad=0.04)
        bar.set_label(unit if unit not in ("", "1") else "", fontsize=8)
        bar.ax.locator_params(nbins=4)
        bar.ax.tick_params(labelsize=8)
    return ax


def plot_sample(axes: Sequence[Axes], sample: Sample, output: str, units: Mapping[str, str]) -> Sequence[Axes]:
    """Draw the first grid input, the truth, the prediction and their difference into four Axes; without such an input, into three.

    Truth and prediction share one colour scale; the difference has its own, symmetric about zero.
    """
    truth, prediction, unit = sample.truth[output], sample.prediction[output], units.get(output, "")
    shared = limits_of(plane(truth)[0], plane(prediction)[0])
    name, rest = sample.grid_input, list(axes)
    if name is not None:
        plot_field(rest.pop(0), sample.inputs[name], title=f"input: {name}", unit=units.get(name, ""), colours=INPUT_COLOURS)
    plot_field(rest[0], truth, title=f"truth: {output}", unit=unit, limits=shared)
    plot_field(rest[1], prediction, title=f"prediction: {output}", unit=unit, limits=shared)
    difference = sample.difference(output)
    plot_field(
        rest[2],
        difference,
        title="prediction − truth",
        unit=unit,
        colours=DIFFERENCE_COLOURS,
        limits=symmetric_limits(plane(difference)[0]),
    )
    return axes


def sample_figure(sample: Sample, units: Mapping[str, str], extent: Sequence[float] = (1.0,)) -> Figure:
    """One row of pictures for each output of the sample: input, truth, prediction and difference as maps, or, in one dimension, input,
    truth with prediction, and difference as lines over ``extent[0]``; without an input on the grid, one picture less.
    """
    outputs = list(sample.truth)
    pictures = 4 if sample.grid_input is not None else 3
    if sample.truth[outputs[0]].ndim == 1:
        return _profile_figure(sample, units, outputs, float(extent[0]))
    figure = Figure(figsize=(2.75 * pictures, 3.35 * len(outputs)), layout="constrained")
    rows = figure.subplots(len(outputs), pictures, squeeze=False)
    for row, output in zip(rows, outputs, strict=True):
        plot_sample(list(row), sample, output, units)
    return figure


def _profile_figure(sample: Sample, units: Mapping[str, str], outputs: Sequence[str], length: float) -> Figure:
    from sciml.report.profiles import plot_profiles

    charts = 3 if sample.grid_input is not None else 2
    figure = Figure(figsize=(11.0 / 3 * charts, 2.9 * len(outputs)), layout="constrained")
    rows = figure.subplots(len(outputs), charts, squeeze=False)
    for row, output in zip(rows, outputs, strict=True):
        plot_profiles(list(row), sample, output, units, length)
    return figure


def save_picture(run: Path | str, out: Path | str, *, rank: str = "median") -> Path:
    """Write one PNG of an evaluated run: input | truth | prediction | difference of its best, median or worst sample.

    A network on an equation solves one sample, which is drawn whatever `rank` says.
    The file is written aside and renamed; missing folders are made. Raises CheckpointError where the run has not been evaluated or
    keeps no sample of that rank, and InputError where `out` is a folder.
    """
    from sciml.data.durable import write_bytes_durably
    from sciml.data.run_format import EQUATION, run_format
    from sciml.errors import CheckpointError, InputError
    from sciml.report.equation_record import read_equation
    from sciml.report.record import read_record

    record = read_equation(run) if run_format(run) == EQUATION else read_record(run)
    chosen = [sample for sample in record.samples if sample.rank in (rank, "solved")]
    if not chosen:
        raise CheckpointError(f"{run} holds no {rank} sample to draw: run `sciml evaluate {run}` first, or choose best, median or worst")
    path = Path(out)
    if path.is_dir():
        raise InputError(f"{path} is a folder and cannot be the picture: give a file that ends in .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    sample_figure(chosen[0], record.units, record.extent).savefig(picture, dpi=110, format="png")
    write_bytes_durably(path, picture.getvalue())
    return path
