"""The figures of a check report on the page: curves, fields and bars as inline SVG, from the plain dicts that `validation.figures` makes.

Text and axes take the page's own colours, so that they read in light and in dark. Curves differ by colour and by marker, never by colour
alone; beside points, which are what curves are compared with, long curves carry no markers. A field is a PNG inside the SVG, one pixel a
point or, on triangles, filled contours, under contour lines that are black on a white halo.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from sciml.report.axes import FRAME, Frame, Scale, Ticks, axes, linear_scale, log_scale, px, svg
from sciml.report.fields import DIFFERENCE_COLOURS, OUTPUT_COLOURS, Limits, colour_bar_uri, limits_of, png_data_uri, symmetric_limits
from sciml.report.markup import Markup, element
from sciml.report.notation import figure as number

Array = NDArray[np.float64]
Point = tuple[float, float]

COLOURS = 6
MARKED, SOME = 24, 8  # a curve with at most so many points marks each of them, one with more about so many
#: Outlines about the origin; their number and that of the colours have no common divisor, so that 30 curves differ.
MARKERS = (
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z",
    "M-3.5 -3.5H3.5V3.5H-3.5Z",
    "M0 -4.5L4.5 3.5H-4.5Z",
    "M0 -5L5 0L0 5L-5 0Z",
    "M0 4.5L4.5 -3.5H-4.5Z",
)
CURVES = Frame(height=276.0, margins=(74.0, 10.0, 28.0, 42.0))  # the label of y stands above, where it may be long
BAR = 36.0  # pixels of height, for its name and below it the bar
RASTER = 160  # pixels along an axis whose points are not equally spaced
PLOT_WIDTH, LOWEST, HIGHEST = FRAME.right - FRAME.left, 80.0, 360.0
#: A field that is so many times as wide as it is high takes the whole width of the page, on a frame of so many pixels.
WIDE, WIDE_FRAME = 3.0, 820.0
ROUNDING = 1e-6  # an end of a colour bar that is smaller beside the other is 0
FILLED, FINER = 96, 3  # filled contours on triangles, and pixels of their picture for one of the frame


def draw(figure: Mapping[str, Any]) -> Markup:
    """One figure with its caption; raises ValueError for a kind that is not known."""
    kinds = {"lines": _lines, "field": _field, "triangles": _triangles, "bars": _bars}
    if figure["kind"] not in kinds:
        raise ValueError(f"figure {figure['title']!r} is of kind {figure['kind']!r}; choose {', '.join(kinds)}")
    drawing = kinds[figure["kind"]](figure)
    field = figure["kind"] in ("field", "triangles")
    shows = f": {figure['label']}" if field else ""  # its axes say x and y, and its label may be long
    look = "drawing wide" if field and np.ptp(figure["x"]) > WIDE * np.ptp(figure["y"]) else "drawing"
    return element("figure", element("figcaption", f"{figure['title']}{shows}"), *drawing, class_=look)


def _lines(figure: Mapping[str, Any]) -> tuple[Markup, ...]:
    log, series = figure.get("log", ""), figure["series"]
    curves = [[(_shown(x, "x" in log), _shown(y, "y" in log)) for x, y in zip(one["x"], one["y"], strict=True)] for one in series]
    drawn = [point for curve in curves for point in curve if _finite(point)]
    if not drawn:
        return (element("p", "No finite figure to draw.", class_="note"),)
    x = _scale([at for at, _ in drawn], "x" in log, CURVES.left, CURVES.right, margin=0.0)
    y = _scale([at for _, at in drawn], "y" in log, CURVES.bottom, CURVES.top, margin=0.05)
    looks = [
        _style(one["style"], curve, any(other["style"] == "points" for other in series)) for one, curve in zip(series, curves, strict=True)
    ]
    marks = [mark for index, look in enumerate(looks) for mark in _marks(curves[index], *look, index, x[0], y[0])]
    keys = [
        element("span", _swatch(*look, index), one["label"], class_="key")
        for index, (one, look) in enumerate(zip(series, looks, strict=True))
    ]
    said = "; ".join(_said(one["label"], curve) for one, curve in zip(series, curves, strict=True))
    alt = f"{figure['y_label']} over {figure['x_label']}. {said}"
    above = element("text", figure["y_label"], x=4, y=15)
    chart = svg(figure["title"], alt, *axes(x, y, figure["x_label"], "", frame=CURVES), above, *marks, frame=CURVES)
    return chart, element("p", *keys, class_="legend")


def _shown(value: float | None, log: bool) -> float:
    """NaN where there is nothing to draw."""
    return math.nan if value is None or not math.isfinite(value) or (log and value <= 0.0) else float(value)


def _finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _said(label: str, curve: Sequence[Point]) -> str:
    ends = [y for point in curve if _finite(point) for y in point[1:]]
    return f"{label}: from {number(ends[0])} to {number(ends[-1])}" if ends else f"{label}: nothing finite"


def _scale(values: Sequence[float], log: bool, start: float, end: float, margin: float) -> Ticks:
    low, high = min(values), max(values)
    if log:
        return log_scale(low, high, start, end)
    if high - low <= 1e-12 * max(abs(low), abs(high)):  # one value: it lies in the middle
        low, high = low - (0.5 * abs(low) or 0.5), high + (0.5 * abs(high) or 0.5)
    room = margin * (high - low)
    return linear_scale(low - room, high + room, start, end)


def _style(style: str, curve: Sequence[Point], among_points: bool) -> tuple[str, bool]:
    """How a curve is drawn, and whether it carries markers."""
    return style, style == "points" or not among_points or sum(map(_finite, curve)) <= MARKED


def _marks(curve: Sequence[Point], style: str, marked: bool, index: int, x_scale: Scale, y_scale: Scale) -> Iterator[Markup]:
    pieces = [[(px(x_scale(x)), px(y_scale(y))) for x, y in piece] for drawn, piece in groupby(curve, key=_finite) if drawn]
    if style != "points":
        for piece in pieces:
            yield element("polyline", points=" ".join(f"{x},{y}" for x, y in piece), class_=_look(style, index))
    points = [point for piece in pieces for point in piece]
    every = 1 if style == "points" or len(points) <= MARKED else len(points) // SOME
    alone = [piece[0] for piece in pieces if len(piece) == 1]  # a line of one point would not be seen
    for x, y in [*(points[every // 2 :: every] if marked else ()), *(alone if every > 1 else ())]:
        yield element("path", d=MARKERS[index % len(MARKERS)], transform=f"translate({x} {y})", class_=f"marker ink-{index % COLOURS}")


def _look(style: str, index: int) -> str:
    return f"curve ink-{index % COLOURS}" + (" dashed" if style == "dashed" else "")


def _swatch(style: str, marked: bool, index: int) -> Markup:
    line = element("line", x1=0, x2=28, y1=6, y2=6, class_=_look(style, index)) if style != "points" else Markup()
    look = {"transform": "translate(14 6)", "class_": f"marker ink-{index % COLOURS}"}
    marker = element("path", d=MARKERS[index % len(MARKERS)], **look) if marked else Markup()
    return element("svg", line, marker, viewBox="0 0 28 12", class_="chart swatch", aria_hidden="true")


def _bars(figure: Mapping[str, Any]) -> tuple[Markup, ...]:
    frame = Frame(height=50.0 + BAR * len(figure["names"]), margins=(10.0, 84.0, 4.0, 46.0))
    lengths = [_shown(value, figure["log"]) for value in figure["values"]]
    finite = [length for length in lengths if math.isfinite(length)]
    if not finite:
        return (element("p", "No finite figure to draw.", class_="note"),)
    origin = 10.0 ** math.floor(math.log10(min(finite)) - 0.01) if figure["log"] else 0.0
    span = (min([origin, *finite]), max([origin, *finite]))
    x = log_scale(*span, frame.left, frame.right) if figure["log"] else linear_scale(*span, frame.left, frame.right)
    parts = [*axes(x, (float, []), figure["label"], "", frame=frame)]
    for row, (name, value, length) in enumerate(zip(figure["names"], figure["values"], lengths, strict=True)):
        top, start = frame.top + BAR * row, x[0](origin)
        end = x[0](length) if math.isfinite(length) else start
        look = {"y": px(top + 19.0), "width": px(abs(end - start)), "height": 13, "class_": "fill-0"}
        parts.append(element("text", name, x=px(frame.left), y=px(top + 14.0)))
        parts.append(element("rect", x=px(min(start, end)), **look))
        parts.append(element("text", number(value), x=px(max(start, end) + 5), y=px(top + 30.0)))
    said = "; ".join(f"{name}: {number(value)}" for name, value in zip(figure["names"], figure["values"], strict=True))
    return (svg(figure["title"], f"{figure['label']}. {said}", *parts, frame=frame),)


def _field(figure: Mapping[str, Any]) -> tuple[Markup, ...]:
    x, y = np.array(figure["x"], np.float64), np.array(figure["y"], np.float64)
    values = np.array(figure["values"], np.float64)  # None becomes NaN
    colours, shown = _colours(values)

    def picture(plot: _Plot) -> Iterator[Markup]:
        yield element("image", href=png_data_uri(_raster(x, y, values).T, colours, shown), preserveAspectRatio="none", **plot.corner)
        if len(plot.levels) and min(values.shape) > 1:
            yield from _contours(Figure().subplots().contour(x, y, np.ma.masked_invalid(values), levels=np.unique(plot.levels)), plot)

    return _plotted(figure, values, (_extent(x), _extent(y)), picture)


def _triangles(figure: Mapping[str, Any]) -> tuple[Markup, ...]:
    x, y, values = (np.array(figure[name], np.float64) for name in ("x", "y", "values"))
    mesh = Triangulation(x, y, np.array(figure["triangles"]))
    mesh.set_mask(~np.isfinite(values[mesh.triangles]).all(axis=1))
    drawn = np.nan_to_num(values)  # what is masked has to be a number all the same
    colours, shown = _colours(values)

    def picture(plot: _Plot) -> Iterator[Markup]:
        yield element("image", href=_filled(mesh, drawn, colours, shown, plot), preserveAspectRatio="none", class_="smooth", **plot.corner)
        if len(plot.levels):
            of = np.nan_to_num(np.array(figure["contoured"], np.float64))
            yield from _contours(Figure().subplots().tricontour(mesh, of, levels=np.unique(plot.levels)), plot)
        yield element("path", d=_outline(mesh, plot), class_="outline")

    return _plotted(figure, values, ((float(x.min()), float(x.max())), (float(y.min()), float(y.max()))), picture)


@dataclass(frozen=True)
class _Plot:
    """Where a field is drawn: its extent, the frame, scales, and the levels of its contour lines."""

    extent: tuple[Limits, Limits]
    frame: Frame
    x: Ticks
    y: Ticks
    levels: list[float]

    @property
    def size(self) -> tuple[float, float]:
        return self.frame.right - self.frame.left, self.frame.bottom - self.frame.top

    @property
    def corner(self) -> dict[str, str]:
        width, height = self.size
        return {"x": px(self.frame.left), "y": px(self.frame.top), "width": px(width), "height": px(height)}


def _colours(values: Array) -> tuple[str, Limits]:
    """The colour map, and the values at its ends: white is zero where there are both signs."""
    limits = limits_of(values) or (0.0, 1.0)
    if min(-limits[0], limits[1]) > 0.05 * max(-limits[0], limits[1]):
        return DIFFERENCE_COLOURS, symmetric_limits(values) or limits
    return OUTPUT_COLOURS, limits


def _plotted(
    figure: Mapping[str, Any], values: Array, extent: tuple[Limits, Limits], picture: Callable[[_Plot], Iterable[Markup]]
) -> tuple[Markup, ...]:
    """A field with axes and colour bar around its picture."""
    limits = limits_of(values)
    if limits is None:
        return (element("p", "No finite value to draw.", class_="note"),)
    colours, shown = _colours(values)
    (left, right), (low, high) = extent
    frame, stretch = _frame((right - left) / (high - low))
    x_ticks, y_ticks = linear_scale(left, right, frame.left, frame.right), linear_scale(low, high, frame.bottom, frame.top)
    levels = sorted(level for level in figure.get("contours") or [] if level is not None)
    plot = _Plot(extent, frame, x_ticks, y_ticks, levels)
    parts = [
        *picture(plot),
        element("rect", **plot.corner, class_="box"),
        *axes(x_ticks, y_ticks, "x", "y", frame=frame, grid=False),
        *_colour_bar(frame, colours, shown),
    ]
    alt = f"{figure['label']} from {number(limits[0])} to {number(limits[1])}"
    if levels:
        alt += f", {len(levels)} contour lines from {number(levels[0])} to {number(levels[-1])}"
    chart = svg(figure["title"], alt, *parts, frame=frame)
    return (chart, element("p", stretch, class_="note")) if stretch else (chart,)


def _extent(along: Array) -> Limits:
    """Where the picture begins and ends: half a cell beyond equally spaced points, at the first and last of others."""
    half = (along[-1] - along[0]) / (len(along) - 1) / 2 if _equally_spaced(along) else 0.0
    return float(along[0] - half), float(along[-1] + half)


def _equally_spaced(along: Array) -> bool:
    """Up to the rounding of their coordinates to four digits."""
    return bool(np.abs(along - np.linspace(along[0], along[-1], len(along))).max() <= 1e-3 * np.abs(along).max())


def _frame(ratio: float) -> tuple[Frame, str]:
    """A frame whose plot has the ratio of width to height, within what can be read; and a sentence where it has not."""
    across = WIDE_FRAME if ratio > WIDE else FRAME.width
    room = across - FRAME.margins[0] - FRAME.margins[1]
    width, height = room, room / ratio
    if height > HIGHEST:
        width, height = max(HIGHEST * ratio, LOWEST), HIGHEST
    height = max(height, LOWEST)
    stretch = ratio * height / width
    note = "" if abs(stretch - 1.0) < 0.01 else f"Not to scale: a length along y is drawn {number(stretch)} times as long as one along x."
    left, right, top, bottom = FRAME.margins
    frame = Frame(across, top + height + bottom + 40.0, (left, right + room - width, top, bottom + 40.0))
    return frame, note


def _raster(x: Array, y: Array, values: Array) -> Array:
    """The values themselves where points are equally spaced, else interpolated linearly to pixels that are; NaN spreads to its cell."""
    for axis, along in enumerate((y, x)):
        if not _equally_spaced(along):
            pixels = along[0] + (np.arange(RASTER) + 0.5) / RASTER * (along[-1] - along[0])
            before = np.clip(np.searchsorted(along, pixels) - 1, 0, len(along) - 2)
            weight = (pixels - along[before]) / (along[before + 1] - along[before])
            rows = np.moveaxis(values, axis, 0)
            mixed = (1 - weight)[:, None] * rows[before] + weight[:, None] * rows[before + 1]
            values = np.moveaxis(mixed, 0, axis)
    return values


def _filled(mesh: Triangulation, values: Array, colours: str, limits: Limits, plot: _Plot) -> str:
    """Filled contours as a PNG in a ``data:`` address, empty where there is no triangle."""
    (width, height), (low, high) = plot.size, limits
    picture = Figure(figsize=(width / 100, height / 100), dpi=100 * FINER)
    ax = picture.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set_axis_off()
    ax.set(xlim=plot.extent[0], ylim=plot.extent[1])
    levels = np.linspace(low, high if high > low else low + 1.0, FILLED)
    ax.tricontourf(mesh, values, levels, cmap=colours, antialiased=False, extend="both")  # what is at an end, too
    buffer = io.BytesIO()
    picture.savefig(buffer, format="png", transparent=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _outline(mesh: Triangulation, plot: _Plot) -> str:
    """The edges that belong to one triangle only, as a path."""
    triangles = mesh.get_masked_triangles()
    edges, counts = np.unique(np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0, return_counts=True)
    ends = [[(px(plot.x[0](mesh.x[node])), px(plot.y[0](mesh.y[node]))) for node in edge] for edge in edges[counts == 1]]
    return "".join(f"M{a[0]} {a[1]}L{b[0]} {b[1]}" for a, b in ends)


def _contours(found: ContourSet, plot: _Plot) -> Iterator[Markup]:
    paths = [_path(segment, plot.x[0], plot.y[0]) for level in found.allsegs for segment in level if len(segment) > 1]
    for look in ("halo-line", "contour"):
        yield element("path", d="".join(paths), class_=look)


def _path(segment: Array, x_scale: Scale, y_scale: Scale) -> str:
    """A polyline as a path, without the points that lie within a pixel of the one before."""
    points = [(x_scale(float(x)), y_scale(float(y))) for x, y in segment]
    kept = [points[0]]
    for point in points[1:-1]:
        if math.dist(point, kept[-1]) >= 1.0:
            kept.append(point)
    return "M" + "L".join(f"{px(x)} {px(y)}" for x, y in [*kept, points[-1]])


def _colour_bar(frame: Frame, colours: str, limits: Limits) -> list[Markup]:
    left, right, top = frame.left, max(FRAME.right, frame.right), frame.bottom + 44.0  # wide enough for its words
    bar = {"x": px(left), "y": px(top), "width": px(right - left), "height": 9}
    middle = (limits[0] + limits[1]) / 2
    ends = [(limits[0], left, "start"), (middle, (left + right) / 2, "middle"), (limits[1], right, "end")]
    marks = [(value if abs(value) > ROUNDING * max(map(abs, limits)) else 0.0, at, anchor) for value, at, anchor in ends]
    return [
        element("image", href=colour_bar_uri(colours), preserveAspectRatio="none", **bar),
        element("rect", **bar, class_="box"),
        *(element("text", number(value), x=px(at), y=px(top + 23.0), text_anchor=anchor) for value, at, anchor in marks),
    ]
