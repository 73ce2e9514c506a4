"""Line charts and histograms as inline SVG: text and axes in the page's own colour, so that they read in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sciml.report.markup import Markup, element
from sciml.report.notation import figure

WIDTH, HEIGHT = 400.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 10.0, 12.0, 42.0
Scale = Callable[[float], float]


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
    x_scale, x_ticks = _linear_axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, whole=True)
    y_scale, y_ticks = _log_axis(min(ys), max(ys))
    marks = [_line(line, index, x_scale, y_scale) for index, line in enumerate(drawn)]
    axes = _axes(x_scale, x_ticks, y_scale, y_ticks, x_label, y_label)
    legend = element(
        "p",
        *(element("span", _swatch(index), line.label, class_="key") for index, line in enumerate(drawn)),
        class_="legend",
    )
    ends = "; ".join(f"{line.label} ends at {figure(line.y[-1])}" for line in drawn if line.y)
    return element("figure", _svg(title, ends, *axes, *marks), legend)


def profile_chart(series: Sequence[Series], limits: tuple[float, float], *, x_label: str, title: str, alt: str) -> Markup:
    """Lines over two linear axes, the vertical one from ``limits[0]`` to ``limits[1]``; a value that is not finite ends its line there."""
    low, high = limits if limits[1] > limits[0] else (limits[0] - 0.5, limits[0] + 0.5)
    if not math.isfinite(high - low) or high == low:
        return element("figure", element("figcaption", title), element("p", "The values span too much to draw.", class_="note"))
    xs = [x for line in series for x in line.x]
    x_scale, x_ticks = _linear_axis(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    y_scale, y_ticks = _linear_axis(low, high, HEIGHT - BOTTOM, TOP)
    marks = [
        _line(Series(line.label, *zip(*finite, strict=True)), index, x_scale, y_scale)
        for index, line in enumerate(series)
        if (finite := [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)])
    ]
    legend = [element("span", _swatch(index), line.label, class_="key") for index, line in enumerate(series)]
    chart = _svg(title, alt, *_axes(x_scale, x_ticks, y_scale, y_ticks, x_label, ""), *marks)
    return element("figure", element("figcaption", title), chart, element("p", *legend, class_="legend"))


def histogram(values: Sequence[float], marks: Mapping[str, float], *, x_label: str, title: str) -> Markup:
    """Counts of `values` in equal bins, with a labelled vertical line for each of `marks`."""
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return element("p", f"{title}: no finite figure to draw.", class_="note")
    edges, counts = _bins(finite)
    x_scale, x_ticks = _linear_axis(0.0, max([edges[-1], *marks.values()]), LEFT, WIDTH - RIGHT)
    y_scale, y_ticks = _linear_axis(0.0, max(counts) * 1.4, HEIGHT - BOTTOM, TOP, whole=True)
    bars = [
        element(
            "rect",
            element("title", f"{count} samples between {figure(low)} and {figure(high)}"),
            x=_px(x_scale(low) + 0.5),
            y=_px(y_scale(count)),
            width=_px(max(x_scale(high) - x_scale(low) - 1.0, 1.0)),
            height=_px(y_scale(0) - y_scale(count)),
            class_="fill-0",
        )
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    ]
    axes = _axes(x_scale, x_ticks, y_scale, y_ticks, x_label, "samples")
    marked = [_mark(name, value, x_scale, row) for row, (name, value) in enumerate(reversed(list(marks.items())))]
    drawn = (*axes, *bars, *(line for line, _ in marked), *(label for _, label in marked))  # labels last, above all lines
    summary = ", ".join(f"{name} {figure(value)}" for name, value in marks.items())
    return element("figure", _svg(title, f"{len(finite)} samples; {summary}", *drawn))


def _svg(title: str, description: str, *children: object) -> Markup:
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *children,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        aria_label=f"{title}: {description}",
        class_="chart",
    )


def _positive(line: Series) -> tuple[list[float], list[float]]:
    kept = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y) and y > 0.0]
    return [x for x, _ in kept], [y for _, y in kept]


def _line(line: Series, index: int, x_scale: Scale, y_scale: Scale) -> Markup:
    points = [(_px(x_scale(x)), _px(y_scale(y))) for x, y in zip(line.x, line.y, strict=True)]
    if len(points) == 1:  # a single epoch would be an invisible line
        return element("circle", cx=points[0][0], cy=points[0][1], r=4, class_=f"fill-{index}")
    return element("polyline", points=" ".join(f"{x},{y}" for x, y in points), class_=f"line line-{index}")


def _mark(name: str, value: float, x_scale: Scale, row: int) -> tuple[Markup, Markup]:
    """A vertical line and its label, which leans towards the middle of the chart."""
    x, y = x_scale(value), TOP + 4.0 + 16.0 * row
    leftwards = x > (WIDTH + LEFT) / 2
    line = element("line", x1=_px(x), x2=_px(x), y1=_px(y), y2=_px(HEIGHT - BOTTOM), class_="mark")
    place = {"x": _px(x - 5 if leftwards else x + 5), "y": _px(y + 6), "text_anchor": "end" if leftwards else "start"}
    return line, element("text", f"{name} {figure(value)}", class_="halo", **place)


def _swatch(index: int) -> Markup:
    line = element("line", x1=0, x2=28, y1=3, y2=3, class_=f"line line-{index}")
    return element("svg", line, viewBox="0 0 28 6", class_="chart swatch", aria_hidden="true")


def _axes(x_scale: Scale, x_ticks: Sequence[float], y_scale: Scale, y_ticks: Sequence[float], x_label: str, y_label: str) -> list[Markup]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in y_ticks:
        y = y_scale(tick)
        parts.append(element("line", x1=_px(LEFT), x2=_px(right), y1=_px(y), y2=_px(y), class_="grid"))
        parts.append(element("text", _tick_label(tick), x=_px(LEFT - 6), y=_px(y + 4), text_anchor="end"))
    for tick in x_ticks:
        x = x_scale(tick)
        parts.append(element("line", x1=_px(x), x2=_px(x), y1=_px(bottom), y2=_px(bottom + 4), class_="axis"))
        parts.append(element("text", _tick_label(tick), x=_px(x), y=_px(bottom + 17), text_anchor="middle"))
    parts.append(element("line", x1=_px(LEFT), x2=_px(right), y1=_px(bottom), y2=_px(bottom), class_="axis"))
    parts.append(element("text", x_label, x=_px((LEFT + right) / 2), y=_px(HEIGHT - 6), text_anchor="middle"))
    middle = (TOP + bottom) / 2
    turned = f"rotate(-90 15 {_px(middle)})"
    parts.append(element("text", y_label, x=15, y=_px(middle), text_anchor="middle", transform=turned))
    return parts


def _linear_axis(low: float, high: float, start: float, end: float, whole: bool = False) -> tuple[Scale, list[float]]:
    """Map [low, high] to pixels [start, end], with about five ticks at multiples of 1, 2 or 5 times a power of ten."""
    high = high if high > low else low + 1.0
    step = 10.0 ** math.floor(math.log10((high - low) / 4.0))
    step *= next(factor for factor in (1.0, 2.0, 5.0, 10.0) if (high - low) / (step * factor) <= 5.0)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [round(index * step, 12) for index in range(first, last + 1)]
    return lambda value: start + (value - low) / (high - low) * (end - start), ticks


def _log_axis(low: float, high: float) -> tuple[Scale, list[float]]:
    """Map [low, high] logarithmically to the height of the chart; ticks at 1, 2, 5 or, over many decades, at powers of ten."""
    floor, ceiling = math.log10(low) - 0.05, math.log10(high) + 0.05
    factors = (1.0, 2.0, 5.0) if ceiling - floor < 2.5 else (1.0,)
    decades = range(math.floor(floor), math.ceil(ceiling) + 1)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    inside = [tick for tick in ticks if floor <= math.log10(tick) <= ceiling]
    thinned = inside[:: max(1, math.ceil(len(inside) / 7))]
    bottom = HEIGHT - BOTTOM
    return lambda value: bottom + (math.log10(value) - floor) / (ceiling - floor) * (TOP - bottom), thinned


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


def _tick_label(value: float) -> str:
    return f"{value:g}" if value == 0.0 or 1e-3 <= abs(value) < 1e5 else figure(value, digits=1)


def _px(value: float) -> str:
    return f"{value:.1f}"
