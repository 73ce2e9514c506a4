"""Figures of a case: what their dicts hold, and that the page shows every label and every point where it is."""

from __future__ import annotations

import base64
import io
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from sciml.checks import Check, CheckReport
from sciml.report.axes import tick_label
from sciml.report.drawing import COLOURS, MARKERS, draw
from validation.cli import app
from validation.discovery import Entry, _entry
from validation.figures import bars, field, lines, triangles
from validation.report import write_case, write_report

HOSTILE = '<script>alert(1)</script> & "x"'


def elements(markup: str, tag: str, look: str = "") -> list[dict[str, str]]:
    return [one.attrib for one in ET.fromstring(markup).iter(tag) if look in one.attrib.get("class", "").split() or not look]


def words(markup: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(markup).iter("text")]


def polylines(markup: str) -> list[list[tuple[float, float]]]:
    return [[tuple(map(float, point.split(","))) for point in one["points"].split()] for one in elements(markup, "polyline")]  # type: ignore[misc]


def test_numbers_are_rounded_and_what_is_not_finite_is_a_gap() -> None:
    figure = lines("t", "x", "y", {"a": ([1, 2.00004, 3], [math.pi, math.nan, -math.inf], "points")})
    assert figure["series"] == [{"label": "a", "x": [1.0, 2.0, 3.0], "y": [3.142, None, None], "style": "points"}]
    assert field("t", "u", [0, 1], [0, 1, 2], [[1.23456, None], [3, 4], [5, math.inf]])["values"] == [[1.235, None], [3, 4], [5, None]]
    assert bars("t", "n", {"a": math.nan, "b": 12345})["values"] == [None, 12340.0]


def test_long_curves_and_large_fields_are_thinned_to_their_ends() -> None:
    curve = lines("t", "x", "y", {"a": (np.arange(1203), np.arange(1203) ** 2)})["series"][0]
    assert len(curve["x"]) == len(curve["y"]) == 402
    assert (curve["x"][:3], curve["x"][-1], curve["y"][-1]) == ([0, 3, 6], 1202, 1445000)
    side = np.arange(300.0)
    large = field("t", "u", side, side[:200], np.add.outer(1000 * side[:200], side))
    assert np.shape(large["values"]) == (len(large["y"]), len(large["x"])) == (100, 100)
    assert (large["x"][1], large["y"][1], large["values"][1][1]) == (3, 2, 2003)


@pytest.mark.parametrize(
    ("make", "phrase"),
    [
        (lambda: lines("t", "x", "y", {}), "t: a figure needs at least one series"),
        (lambda: lines("t", "x", "y", {"a": ([1, 2], [1])}), "'a' has 2 x and 1 y"),
        (lambda: lines("t", "x", "y", {"a": ([1], [1], "dotted")}), "style 'dotted'; choose line, points, dashed"),
        (lambda: lines("t", "x", "y", {"a": ([[1]], [1])}), r"x of 'a' has shape \(1, 1\)"),
        (lambda: lines("t", "x", "y", {"a": ([1], [1])}, log="yx"), "log = 'yx'"),
        (lambda: field("t", "u", [0, 1], [0, 1, 2], np.zeros((2, 3))), r"shape \(2, 3\), not \(3, 2\); transpose"),
        (lambda: field("t", "u", [1, 0], [0, 1], np.zeros((2, 2))), "x has to hold at least two increasing numbers"),
        (lambda: triangles("t", "u", [0, 1, 0], [0, 0], [[0, 1, 2]], [1, 2, 3]), "x, y, values and contoured have 3, 2, 3 and 3 entries"),
        (lambda: triangles("t", "u", [0, 1, 0], [0, 0, 1], [[0, 1, 3]], [1, 2, 3]), "have to hold three of 3 nodes each"),
        (lambda: triangles("t", "u", [0, 1, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]), r"cells of shape \(3,\)"),
        (lambda: bars("t", "n", {}), "at least one bar"),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Any, phrase: str) -> None:
    with pytest.raises(ValueError, match=phrase):
        make()


def test_a_kind_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="'pie'; choose lines, field, triangles, bars"):
        draw({"kind": "pie", "title": "t"})


def test_curves_lie_where_their_numbers_are() -> None:
    svg = draw(
        lines("t", "cells", "error", {"second order": ([16, 32, 64], [4e-2, 1e-2, 2.5e-3]), "first": ([16, 64], [1, 0.25])}, log="xy")
    )
    second, first = polylines(svg)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in (second[:2], second[1:], first)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.02)  # a power is a straight line
    assert slopes[0] == pytest.approx(2 * slopes[2], rel=0.02)
    assert slopes[2] > 0  # pixels count downwards
    assert {"cells", "error"} <= set(words(svg))
    legend = [one for one in ET.fromstring(svg).iter("span") if one.attrib["class"] == "key"]
    assert ["".join(one.itertext()) for one in legend] == ["second order", "first"]


def test_styles_differ_and_so_do_the_marks_of_thirty_curves() -> None:
    svg = draw(lines("t", "x", "y", {"a": ([0, 1], [0, 1]), "b": ([0, 1], [1, 0], "dashed"), "c": ([0, 1], [0, 0], "points")}))
    assert [one["class"].split()[1:] for one in elements(svg, "polyline")] == [["ink-0"], ["ink-1", "dashed"]]
    many = draw(lines("t", "x", "y", {str(k): ([0, 1], [k, k]) for k in range(30)}))
    assert len({(one["d"], one["class"]) for one in elements(many, "path", "marker")}) == COLOURS * len(MARKERS) == 30


def test_a_gap_interrupts_a_curve_and_a_point_between_gaps_is_seen() -> None:
    y = [1.0] * 20 + [None] + [2.0] + [None] + [3.0] * 20
    svg = draw(
        {
            "kind": "lines",
            "title": "t",
            "x_label": "x",
            "y_label": "y",
            "series": [{"label": "a", "x": list(range(43)), "y": y, "style": "line"}],
        }
    )
    assert [len(one) for one in polylines(svg)] == [20, 1, 20]
    lone = polylines(svg)[1][0]
    assert f"translate({lone[0]} {lone[1]})" in [one["transform"] for one in elements(svg, "path", "marker")]
    zero = draw(lines("t", "x", "y", {"a": ([0, 1, 2, 3], [1, 0.1, 0, 0.01])}, log="y"))
    assert [len(one) for one in polylines(zero)] == [2, 1]


@pytest.mark.parametrize("values", [[5.0, 5.0], [0.0, 0.0], [1e20, 1e20], [1.0, 1.0 + 1e-15], [-1e-300, 1e-300]])
def test_flat_and_extreme_curves_are_inside_the_picture(values: list[float]) -> None:
    svg = draw(lines("t", "x", "y", {"a": ([3, 3], values), "b": ([3, 3], values)}))
    assert all(0 < x < 400 and 0 < y < 276 for one in polylines(svg) for x, y in one)


def test_nothing_finite_is_said() -> None:
    assert "No finite figure" in draw(lines("t", "x", "y", {"a": ([1], [math.nan])}))
    assert "No finite figure" in draw(lines("t", "x", "y", {"a": ([1], [-1.0])}, log="y"))
    assert "No finite figure" in draw(bars("t", "n", {"a": math.nan}))
    assert "No finite value" in draw(field("t", "u", [0, 1], [0, 1], np.full((2, 2), np.nan)))


def picture(svg: str) -> np.ndarray:
    data = elements(svg, "image")[0]["href"].partition("base64,")[2]
    return imread(io.BytesIO(base64.b64decode(data)))


def test_a_field_is_upright_and_empty_where_it_holds_nothing() -> None:
    values = np.arange(12.0).reshape(3, 4)
    values[0, 3] = np.nan
    pixels = picture(draw(field("t", "u", [0, 1, 2, 3], [0, 1, 2], values)))
    assert pixels.shape[:2] == (3, 4)
    dark, bright = pixels[2, 0, :3], pixels[0, 3, :3]  # the first row of a PNG is the upmost y
    assert dark.sum() < 1.0
    assert bright[:2].min() > 0.85
    assert bright[2] < 0.2
    assert pixels[2, 3, 3] == 0.0
    assert (pixels[..., 3] == 0).sum() == 1


def test_a_field_of_both_signs_has_white_at_zero() -> None:
    pixels = picture(draw(field("t", "u", [0, 1, 2], [0, 1], [[-1, 0, 2], [-1, 0, 2]])))
    assert pixels[0, 1, :3].min() > 0.95
    assert pixels[0, 0, 2] > pixels[0, 0, 0]  # negative is blue
    assert pixels[0, 2, 0] > pixels[0, 2, 2]


def test_points_that_are_not_equally_spaced_are_drawn_where_they_are() -> None:
    x = (1 - np.cos(np.pi * np.arange(33) / 32)) / 2
    pixels = picture(draw(field("t", "u", x, [0, 1], np.broadcast_to(x > 0.25, (2, 33)).astype(float))))
    bright = (pixels[0, :, 0] > 0.5).mean()
    assert bright == pytest.approx(0.75, abs=0.03)  # of the points themselves two thirds


def test_contours_lie_at_their_level() -> None:
    side = np.linspace(-1, 1, 65)
    radius = np.hypot.outer(side, side)
    svg = draw(field("t", "psi", side, side, radius, [0.5, 9.0]))
    (path,) = elements(svg, "path", "contour")
    assert len(elements(svg, "path", "halo-line")) == 1
    points = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path["d"]), float)
    box = elements(svg, "rect", "box")[0]
    scale = float(box["width"]) / (2 + 2 / 64)  # half a cell beyond the first and the last point
    centre = float(box["x"]) + float(box["width"]) / 2, float(box["y"]) + float(box["height"]) / 2
    distance = np.hypot(*(points - centre).T) / scale
    assert len(points) > 60
    assert np.abs(distance - 0.5).max() < 0.01
    assert draw(field("t", "psi", side, side, radius)).count("<path") == 0


def test_a_field_keeps_its_ratio_or_says_that_it_does_not() -> None:
    step = field("t", "u", np.linspace(0, 2, 21), np.linspace(0, 1, 11), np.ones((11, 21)).cumsum(axis=1))
    box = elements(draw(step), "rect", "box")[0]
    assert float(box["width"]) / float(box["height"]) == pytest.approx(2.1 / 1.1, rel=0.01)
    assert "Not to scale" not in draw(step)
    channel = field("t", "u", np.linspace(0, 40, 21), np.linspace(0, 1, 11), np.ones((11, 21)).cumsum(axis=1))
    assert re.search(r"Not to scale: a length along y is drawn 4\.07 times", draw(channel))


def test_a_field_much_wider_than_high_takes_the_whole_page() -> None:
    square, channel = (field("t", "u", np.linspace(0, wide, 21), np.linspace(0, 1, 11), np.ones((11, 21)).cumsum(1)) for wide in (1, 5))
    assert 'class="drawing"' in draw(square)
    assert 'class="drawing wide"' in draw(channel)
    box = elements(draw(channel), "rect", "box")[0]
    assert float(box["width"]) / float(box["height"]) == pytest.approx(5.25 / 1.1, rel=0.01)


def ring(pieces: int) -> dict[str, Any]:
    """The ring of radii 1 and 2 about (3, 2), with the distance from there as its field."""
    angle, radius = (np.ravel(one) for one in np.meshgrid(np.linspace(0, 2 * np.pi, pieces, endpoint=False), np.linspace(1, 2, 9)))
    first = np.add.outer(pieces * np.arange(8), np.arange(pieces)).ravel()
    right = first - first % pieces + (first + 1) % pieces
    cells = np.concatenate([np.stack([first, first + pieces, right], 1), np.stack([right, first + pieces, right + pieces], 1)])
    return {"x": 3 + radius * np.cos(angle), "y": 2 + radius * np.sin(angle), "cells": cells, "values": radius}


def test_a_field_on_triangles_is_drawn_where_they_are_with_their_outline() -> None:
    svg = draw(triangles("t", "r", **ring(120), contours=[1.5]))
    pixels, box = picture(svg), elements(svg, "rect", "box")[0]
    height, width = pixels.shape[:2]
    y, x = (2 - np.arange(height) / (height - 1) * 4 + 2, 1 + np.arange(width) / (width - 1) * 4)
    distance = np.hypot(x - 3, y[:, None] - 2)
    assert pixels[..., 3][(distance > 1.02) & (distance < 1.98)].min() == 1
    assert pixels[..., 3][(distance < 0.98) | (distance > 2.02)].max() == 0
    brightness = pixels[..., :3].sum(-1)
    assert brightness[(distance > 1.9) & (distance < 1.98)].min() > brightness[(distance > 1.02) & (distance < 1.1)].max()
    scale, centre = float(box["width"]) / 4, (float(box["x"]) + float(box["width"]) / 2, float(box["y"]) + float(box["height"]) / 2)
    for look, radii in (("contour", [1.5]), ("outline", [1.0, 2.0])):
        (path,) = elements(svg, "path", look)
        points = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path["d"]), float)
        away = np.hypot(*(points - centre).T) / scale
        assert np.abs(away[:, None] - radii).min(axis=1).max() < 0.01
        assert {float(radius) for radius in np.array(radii)[np.abs(away[:, None] - radii).argmin(axis=1)]} == set(radii)
    (path,) = elements(draw(triangles("t", "r", **ring(120), contours=[2.5], contoured=ring(120)["y"])), "path", "contour")
    points = np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", path["d"]), float)
    np.testing.assert_allclose(centre[1] - points[:, 1], 0.5 * scale, atol=0.06)
    flat = ring(120)
    flat["values"] = np.clip(flat["values"], 1.3, 1.7)  # a plain at either end of the colours is no hole
    assert picture(draw(triangles("t", "r", **flat)))[..., 3][(distance > 1.02) & (distance < 1.98)].min() == 1
    holed = ring(120)
    holed["values"] = np.where((holed["x"] > 3) & (holed["y"] > 2), np.nan, holed["values"])
    shown = picture(draw(triangles("t", "r", **holed)))[..., 3]
    assert shown[: height // 2 - 9, width // 2 + 9 :].max() == 0
    for elsewhere in (shown[height // 2 + 9 :], shown[:, : width // 2 - 9]):
        assert elsewhere.max() == 1
    assert "No finite value" in draw(triangles("t", "r", [0, 1, 0], [0, 0, 1], [[0, 1, 2]], [np.nan] * 3))


def test_markers_belong_to_points_where_there_are_any() -> None:
    x = np.linspace(0, 1, 101)
    alone = draw(lines("t", "x", "y", {"a": (x, x), "b": (x, 1 - x)}))
    beside = draw(lines("t", "x", "y", {"a": (x, x), "exact": (x[::20], x[::20], "points"), "few": (x[:3], x[:3])}))
    assert len(elements(alone, "path", "marker")) > 2 * 8
    drawn = [one["class"] for one in elements(beside, "path", "marker")]
    assert (drawn.count("marker ink-0"), drawn.count("marker ink-1"), drawn.count("marker ink-2")) == (
        0,
        6 + 1,
        3 + 1,
    )  # one is the legend's


def test_an_end_of_a_colour_bar_that_is_rounding_is_zero() -> None:
    for low, said in ((-7e-18, "0"), (1e-4, "10⁻⁴")):
        svg = draw(field("t", "T", [0, 1], [0, 1], [[low, 0.5], [0.5, 1.0]]))
        words = re.findall(r'text-anchor="start">([^<]*)<', svg[svg.rindex('class="box"') :])
        assert len(words) == 1
        assert words[0].endswith(said)


def test_bars_are_as_long_as_their_figures() -> None:
    svg = draw(bars("t", "products", {"a": 10, "b": 40, "none": 0, "broken": math.nan}))
    a, b, none, broken = (float(one["width"]) for one in elements(svg, "rect"))
    assert b == pytest.approx(4 * a, rel=0.01)
    assert (none, broken) == (0, 0)
    assert [word for word in words(svg) if word in ("a", "b", "none", "broken", "not a number", "products")] == [
        "products", "a", "b", "none", "broken", "not a number",
    ]  # fmt: skip
    one, ten, hundred = (float(bar["width"]) for bar in elements(draw(bars("t", "n", {"a": 2, "b": 20, "c": 200}, log=True)), "rect"))
    assert ten - one == pytest.approx(hundred - ten, abs=0.2)


def test_ticks_are_short() -> None:
    assert [tick_label(value) for value in (0.0, 0.001, 1e-4, 2e-4, -1e-12, 5e6)] == ["0", "0.001", "10⁻⁴", "2×10⁻⁴", "-1×10⁻¹²", "5×10⁶"]


FIGURES = [
    lines(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: ([0, 1], [1, 2])}),
    field(HOSTILE, HOSTILE, [0, 1], [0, 1], [[0, 1], [2, 3]], [1.5]),
    triangles(HOSTILE, HOSTILE, [0, 1, 0], [0, 0, 1], [[0, 1, 2]], [1, 2, 3], [1.5]),
    bars(HOSTILE, HOSTILE, {HOSTILE: 1.0}),
]


def test_pages_are_escaped_and_ask_for_nothing(tmp_path: Path) -> None:
    report = CheckReport("hostile", [Check(HOSTILE, 0.5, "<=", 1.0)], 0.1, {"figures": FIGURES})
    entry = Entry("hostile", HOSTILE, lambda: report, f"{HOSTILE}\n\n* {HOSTILE}\n* `{HOSTILE}`")
    pages = write_case(entry, report, tmp_path / "one.html"), write_report([(entry, report)], tmp_path / "all.html")
    for page in pages:
        text = page.read_text()
        assert "<script" not in text
        assert text.count("<figure") == 4
        assert not re.search(r"(src|href)=\"(?!data:|#)|@import|url\(", text)
        assert text.count(" onerror") == 0
        ET.fromstring(re.search(r"<main>.*</main>", text, re.DOTALL)[0].replace("&nbsp;", " "))  # type: ignore[index]


def test_the_text_of_a_docstring_stands_on_the_page(tmp_path: Path) -> None:
    module = type(re)("validation.cases.told", "A title.\n\nWhat `x` is,\ntold.\n\n* one\n  goes on\n* two\n")
    report = CheckReport("told", [Check("x", 0.5, "<=", 1.0, reference="Ghia 1982", status="published")], 0.1)
    module.run = lambda: report
    entry = _entry(module)
    assert (entry.title, entry.cost) == ("A title", "under a minute")
    text = write_case(entry, report, tmp_path / "told.html").read_text()
    assert "<p>What <code>x</code> is,\ntold.</p><ul><li>one\n  goes on</li><li>two</li></ul>" in text
    assert 'Ghia 1982 <span class="status">published</span>' in text


def test_run_writes_the_page_of_a_case(tmp_path: Path) -> None:
    page = tmp_path / "new" / "case.html"
    result = CliRunner().invoke(app, ["run", "darcy-series-resistor", "--cells", "8", "--report", str(page)])
    assert result.exit_code == 0
    assert "harmonic face averages are exact" in page.read_text()
    assert '"name": "darcy-series-resistor"' in page.with_suffix(".json").read_text()
    refused = CliRunner().invoke(app, ["run", "darcy-series-resistor", "--report", str(tmp_path / "case.json")])
    assert (refused.exit_code, "cannot be the page" in refused.stderr) == (3, True)


def test_report_takes_the_cases_that_are_named(tmp_path: Path) -> None:
    chosen = ["--case", "darcy-series-resistor", "--case", "darcy-maximum-principle"]
    result = CliRunner().invoke(app, ["report", "--out", str(tmp_path / "v.html"), *chosen])
    text = (tmp_path / "v.html").read_text()
    assert result.exit_code == 0
    assert re.findall(r'<section aria-labelledby="([^"]+)"', text) == ["darcy-series-resistor", "darcy-maximum-principle", "environment"]
    wrong = CliRunner().invoke(app, ["report", "--out", str(tmp_path / "w.html"), "--case", "darcy-series-resistors"])
    assert (wrong.exit_code, wrong.stderr) == (
        3,
        "error: case 'darcy-series-resistors' does not exist; did you mean 'darcy-series-resistor'?\n",
    )


def test_list_shows_options_and_cost() -> None:
    told = CliRunner().invoke(app, ["list"]).stdout
    assert "--cells 24  [under a minute]" in told
    assert "--samples 6 --released 50 --cube 32 --family 48  [" in told
