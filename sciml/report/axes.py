"""What every chart is made of: a frame of pixels, scales with their ticks, axes, and the SVG element around it all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from sciml.report.markup import Markup, element
from sciml.report.notation import superscript

Scale = Callable[[float], float]
Ticks = tuple[Scale, list[float]]


@dataclass(frozen=True)
class Frame:
    """A picture of `width` by `height` pixels; the plot lies inside its margins, which hold the labels."""

    width: float = 400.0
    height: float = 260.0
    margins: tuple[float, float, float, float] = (60.0, 10.0, 12.0, 42.0)

    @property
    def left(self) -> float:
        return self.margins[0]

    @property
    def right(self) -> float:
        return self.width - self.margins[1]

    @property
    def top(self) -> float:
        return self.margins[2]

    @property
    def bottom(self) -> float:
        return self.height - self.margins[3]


FRAME = Frame()


def svg(title: str, description: str, *children: object, frame: Frame = FRAME) -> Markup:
    return element(
        "svg",
        element("title", title),
        element("desc", description),
        *children,
        viewBox=f"0 0 {frame.width:g} {frame.height:g}",
        role="img",
        aria_label=f"{title}: {description}",
        class_="chart",
    )


def axes(x: Ticks, y: Ticks, x_label: str, y_label: str, *, frame: Frame = FRAME, grid: bool = True) -> list[Markup]:
    """Lines, ticks and labels of both axes; `grid` draws the ticks of y across the plot."""
    (x_scale, x_ticks), (y_scale, y_ticks) = x, y
    left, right, bottom = frame.left, frame.right, frame.bottom
    parts = []
    for tick in y_ticks:
        at = px(y_scale(tick))
        ends, look = ((left, right), "grid") if grid else ((left - 4, left), "axis")
        parts.append(element("line", x1=px(ends[0]), x2=px(ends[1]), y1=at, y2=at, class_=look))
        parts.append(element("text", tick_label(tick), x=px(left - 6), y=px(y_scale(tick) + 4), text_anchor="end"))
    for tick in x_ticks:
        at = px(x_scale(tick))
        parts.append(element("line", x1=at, x2=at, y1=px(bottom), y2=px(bottom + 4), class_="axis"))
        parts.append(element("text", tick_label(tick), x=at, y=px(bottom + 17), text_anchor="middle"))
    parts.append(element("line", x1=px(left), x2=px(right), y1=px(bottom), y2=px(bottom), class_="axis"))
    parts.append(element("text", x_label, x=px((left + right) / 2), y=px(bottom + 36), text_anchor="middle"))
    middle = px((frame.top + bottom) / 2)
    if y_label:
        parts.append(element("text", y_label, x=15, y=middle, text_anchor="middle", transform=f"rotate(-90 15 {middle})"))
    return parts


def linear_scale(low: float, high: float, start: float, end: float, whole: bool = False) -> Ticks:
    """Map [low, high] to pixels [start, end], with about five ticks at multiples of 1, 2 or 5 times a power of ten."""
    high = high if high > low else low + 1.0
    step = 10.0 ** math.floor(math.log10((high - low) / 4.0))
    step *= next(factor for factor in (1.0, 2.0, 5.0, 10.0) if (high - low) / (step * factor) <= 5.0)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [float(f"{index * step:.12g}") for index in range(first, last + 1)]
    return lambda value: start + (value - low) / (high - low) * (end - start), ticks


def log_scale(low: float, high: float, start: float, end: float) -> Ticks:
    """Map [low, high] logarithmically to pixels [start, end]; ticks at 1, 2, 5 or, over many decades, at powers of ten."""
    floor, ceiling = math.log10(low) - 0.05, math.log10(high) + 0.05
    factors = (1.0, 2.0, 5.0) if ceiling - floor < 2.5 else (1.0,)
    decades = range(math.floor(floor), math.ceil(ceiling) + 1)
    ticks = [factor * 10.0**decade for decade in decades for factor in factors]
    inside = [tick for tick in ticks if floor <= math.log10(tick) <= ceiling]
    thinned = inside[:: max(1, math.ceil(len(inside) / 7))]
    return lambda value: start + (math.log10(value) - floor) / (ceiling - floor) * (end - start), thinned


def tick_label(value: float) -> str:
    """Short enough to leave room for the label of the axis: 0.001, 10⁻⁴, 2×10⁻⁴."""
    if value == 0.0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    mantissa, _, power = f"{value:e}".partition("e")
    short = f"{float(mantissa):g}"
    return ("" if short == "1" else f"{short}×") + f"10{superscript(int(power))}"


def px(value: float) -> str:
    return f"{value:.1f}"
