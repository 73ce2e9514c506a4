"""Line charts and histograms as inline SVG: text and axes in the page's own colour, so that they read in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sciml.report.axes import FRAME, Scale, axes, linear_scale, log_scale, px, svg
from sciml.report.markup import Markup, element
from sciml.report.notation import figure

LEFT, RIGHT, TOP, BOTTOM = FRAME.left, FRAME.right, FRAME.top, FRAME.bottom


@dataclass(frozen=True)
class Series:
    """One line of a chart; values that are not finite are left out."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, title: str) -> Markup:
    """Lines over a linear x axis and a logarithmic y axis, with a legend; the y values have to be positive."""
    drawn = [Series(line.label, *_positive(line)) for line in series]
    xs = [x for line in drawn for x in line.x]
    ys = [y for line in drawn for y in line.y]
    if not ys:
        return element("p", f"{title}: no finite figure to draw.", class_="note")
    x = linear_scale(min(xs), max(xs), LEFT, RIGHT, whole=True)
    y = log_scale(min(ys), max(ys), BOTTOM, TOP)
    marks = [_line(line, index, x[0], y[0]) for index, line in enumerate(drawn)]
    legend = element(
        "p",
        *(element("span", _swatch(index), line.label, class_="key") for index, line in enumerate(drawn)),
        class_="legend",
    )
    ends = "; ".join(f"{line.label} ends at {figure(line.y[-1])}" for line in drawn if line.y)
    return element("figure", svg(title, ends, *axes(x, y, x_label, y_label), *marks), legend)


def profile_chart(series: Sequence[Series], limits: tuple[float, float], *, x_label: str, title: str, alt: str) -> Markup:
    """Lines over two linear axes, the vertical one from ``limits[0]`` to ``limits[1]``; a value that is not finite ends its line there."""
    low, high = limits if limits[1] > limits[0] else (limits[0] - 0.5, limits[0] + 0.5)
    if not math.isfinite(high - low) or high == low:
        return element("figure", element("figcaption", title), element("p", "The values span too much to draw.", class_="note"))
    xs = [x for line in series for x in line.x]
    x = linear_scale(min(xs), max(xs), LEFT, RIGHT)
    y = linear_scale(low, high, BOTTOM, TOP)
    marks = [
        _line(Series(line.label, *zip(*finite, strict=True)), index, x[0], y[0])
        for index, line in enumerate(series)
        if (finite := [pair for pair in zip(line.x, line.y, strict=True) if math.isfinite(pair[1])])
    ]
    legend = [element("span", _swatch(index), line.label, class_="key") for index, line in enumerate(series)]
    chart = svg(title, alt, *axes(x, y, x_label, ""), *marks)
    return element("figure", element("figcaption", title), chart, element("p", *legend, class_="legend"))


def histogram(values: Sequence[float], marks: Mapping[str, float], *, x_label: str, title: str) -> Markup:
    """Counts of `values` in equal bins, with a labelled vertical line for each of `marks`."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return element("p", f"{title}: no finite figure to draw.", class_="note")
    edges, counts = _bins(finite)
    x = linear_scale(0.0, max([edges[-1], *marks.values()]), LEFT, RIGHT)
    y = linear_scale(0.0, max(counts) * 1.4, BOTTOM, TOP, whole=True)
    (x_scale, _), (y_scale, _) = x, y
    bars = [
        element(
            "rect",
            element("title", f"{count} samples between {figure(low)} and {figure(high)}"),
            x=px(x_scale(low) + 0.5),
            y=px(y_scale(count)),
            width=px(max(x_scale(high) - x_scale(low) - 1.0, 1.0)),
            height=px(y_scale(0) - y_scale(count)),
            class_="fill-0",
        )
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    ]
    marked = [_mark(name, value, x_scale, row) for row, (name, value) in enumerate(reversed(list(marks.items())))]
    lines, labels = zip(*marked, strict=True) if marked else ((), ())
    drawn = (*axes(x, y, x_label, "samples"), *bars, *lines, *labels)  # labels last, above all lines
    summary = ", ".join(f"{name} {figure(value)}" for name, value in marks.items())
    return element("figure", svg(title, f"{len(finite)} samples; {summary}", *drawn))


def _positive(line: Series) -> tuple[list[float], list[float]]:
    kept = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y) and y > 0.0]
    return [x for x, _ in kept], [y for _, y in kept]


def _line(line: Series, index: int, x_scale: Scale, y_scale: Scale) -> Markup:
    points = [(px(x_scale(x)), px(y_scale(y))) for x, y in zip(line.x, line.y, strict=True)]
    if len(points) == 1:  # a single epoch would be an invisible line
        return element("circle", cx=points[0][0], cy=points[0][1], r=4, class_=f"fill-{index}")
    return element("polyline", points=" ".join(f"{x},{y}" for x, y in points), class_=f"line line-{index}")


def _mark(name: str, value: float, x_scale: Scale, row: int) -> tuple[Markup, Markup]:
    """A vertical line and its label, which leans towards the middle of the chart."""
    x, y = x_scale(value), TOP + 4.0 + 16.0 * row
    leftwards = x > (RIGHT + LEFT) / 2
    line = element("line", x1=px(x), x2=px(x), y1=px(y), y2=px(BOTTOM), class_="mark")
    place = {"x": px(x - 5 if leftwards else x + 5), "y": px(y + 6), "text_anchor": "end" if leftwards else "start"}
    return line, element("text", f"{name} {figure(value)}", class_="halo", **place)


def _swatch(index: int) -> Markup:
    line = element("line", x1=0, x2=28, y1=3, y2=3, class_=f"line line-{index}")
    return element("svg", line, viewBox="0 0 28 6", class_="chart swatch", aria_hidden="true")


def _bins(ordered: Sequence[float]) -> tuple[list[float], list[int]]:
    """Edges and counts of at most 24 equal bins from the smallest to the largest value."""
    low, high = ordered[0], ordered[-1]
    count = min(24, max(1, round(2.0 * math.sqrt(len(ordered)))))
    width = (high - low) / count or max(abs(high), 1.0) * 0.01
    edges = [low + index * width for index in range(count + 1)]
    counts = [0] * count
    for value in ordered:
        counts[min(int((value - low) / width), count - 1)] += 1
    return edges, counts
