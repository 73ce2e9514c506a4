"""Figures, markup, charts and the terminal's table: what is printed, and that nothing gets through unescaped."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sciml.checks import Check, CheckReport
from sciml.report.axes import FRAME
from sciml.report.charts import Series, histogram, line_chart
from sciml.report.markup import Markup, check_table, element, escape, facts, page, table
from sciml.report.notation import duration, figure, percent, with_unit
from sciml.report.terminal import gate, print_checks, verdict

HOSTILE = "<script>alert(1)</script>\"'&[bold]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (12, "12"),
        (1234567, "1,234,567"),
        (0.031249, "0.0312"),
        (-0.5, "−0.500"),
        (99.96, "100"),
        (123456.0, "123,000"),
        (9.999e-4, "0.00100"),
        (9.99e-5, "9.99 × 10⁻⁵"),
        (-2.5e-12, "−2.50 × 10⁻¹²"),
        (6.02214e23, "6.02 × 10²³"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "not a number"),
        (None, "not a number"),
        ("auto", "auto"),
        (True, "True"),
    ],
)
def test_figures(value, text: str) -> None:
    assert plain(figure(value)) == text


def plain(text: str) -> str:
    """With ordinary spaces; figures are printed with no-break spaces, so that they stay on one line."""
    assert " " not in text or not any(letter.isdigit() for letter in text)
    return text.replace("\N{NO-BREAK SPACE}", " ")


@given(st.floats(-1e300, 1e300))
def test_a_printed_figure_is_the_number_to_three_digits(value: float) -> None:
    text = plain(figure(value)).replace("−", "-").replace(",", "")
    mantissa, _, power = text.partition(" × 10")
    exponent = int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)
    read = float(f"{mantissa}e{exponent}")
    assert read == pytest.approx(value, rel=5.1e-3, abs=5e-324)


def test_units_percentages_and_durations() -> None:
    assert tuple(map(plain, (with_unit(0.5, "m/s"), with_unit(0.5, "1"), with_unit(0.5, "")))) == ("0.500 m/s", "0.500", "0.500")
    assert (plain(percent(0.0312)), percent(None)) == ("3.12 %", "not a number")
    assert [plain(duration(s)) for s in (0.0123, 0.6, 59.0)] == ["12.3 ms", "0.600 s", "59.0 s"]
    assert [plain(duration(s)) for s in (61.0, 3599.6, 7325.0)] == ["1 min 01 s", "1 h 00 min", "2 h 02 min"]
    assert duration(math.nan) == duration(None) == "not a number"


def test_every_builder_escapes_what_it_is_given() -> None:
    built = page(
        HOSTILE,
        element("p", HOSTILE, title=HOSTILE),
        facts({HOSTILE: HOSTILE}),
        table([HOSTILE], [[HOSTILE]], caption=HOSTILE),
        check_table([Check(HOSTILE, 1.0, "<=", 2.0, unit=HOSTILE, reference=HOSTILE)]),
        line_chart([Series(HOSTILE, [1.0, 2.0], [1.0, 2.0])], x_label=HOSTILE, y_label=HOSTILE, title=HOSTILE),
        histogram([1.0, 2.0], {HOSTILE: 1.5}, x_label=HOSTILE, title=HOSTILE),
    )
    assert built.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 18
    assert "<script" not in built
    assert "\"'&[" not in built


def test_markup_passes_once_and_plain_text_does_not() -> None:
    assert element("b", Markup("<i>"), "<i>") == "<b><i>&lt;i&gt;</b>"
    assert escape(escape("a<b")) == "a&lt;b"
    assert element("td", "x", class_="number", data_label=None) == '<td class="number">x</td>'


def test_a_page_is_self_contained() -> None:
    text = page("title", element("p", "text"))
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert not re.search(r"@import|url\(|<script|https?://", text)


def test_facts_leave_out_what_is_not_known() -> None:
    assert facts({"seed": 0, "source": None, "note": ""}) == '<dl class="facts"><div><dt>seed</dt><dd>0</dd></div></dl>'


def polyline(svg: str) -> list[tuple[float, float]]:
    points = re.search(r'points="([^"]+)"', svg)
    assert points
    return [tuple(map(float, point.split(","))) for point in points[1].split()]


def test_a_line_is_drawn_where_its_values_are() -> None:
    svg = line_chart([Series("loss", [0, 1, 2], [1.0, 0.1, 0.01])], x_label="epoch", y_label="loss", title="Training")
    (x0, y0), (x1, y1), (x2, y2) = polyline(svg)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.11)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.11)  # equal ratios are equal distances
    assert FRAME.top <= y0 < y1 < y2 <= FRAME.height
    assert 0 < x0 < x2 <= FRAME.width
    for decade in ("1", "0.1", "0.01"):
        assert f">{decade}</text>" in svg


def test_charts_survive_odd_data() -> None:
    labels = {"x_label": "x", "y_label": "y", "title": "Training"}
    assert "no finite figure" in line_chart([Series("loss", [1.0], [math.nan])], **labels)
    assert "<circle" in line_chart([Series("loss", [1.0], [0.5])], **labels)
    gap = line_chart([Series("loss", [1, 2, 3], [0.5, math.inf, 0.25])], **labels)
    assert len(polyline(gap)) == 2
    assert "nan" not in gap.lower()
    assert "no finite figure" in histogram([math.nan], {}, x_label="x", title="Errors")
    assert histogram([0.5] * 7, {"median": 0.5}, x_label="x", title="Errors").count("<rect") == 1


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=200))
def test_a_histogram_counts_every_sample_once(values: list[float]) -> None:
    svg = histogram(values, {"worst": max(values)}, x_label="error", title="Errors")
    assert sum(int(count) for count in re.findall(r"<title>(\d+) samples between", svg)) == len(values)
    drawn = ET.fromstring(svg)
    for bar in drawn.iter("rect"):
        left, width = float(bar.attrib["x"]), float(bar.attrib["width"])
        assert 0 <= left <= left + width <= FRAME.width + 1.0
        assert float(bar.attrib["height"]) > 0


def test_the_terminal_shows_gate_reference_and_failure() -> None:
    checks = [
        Check("median [red]error[/red]", 0.0312, "<=", 0.08, reference="policy of the demo"),
        Check("order", math.nan, "in", (1.9, 2.1), status="exact"),
        Check("speed", 3.0, ">=", 2.0, unit="x", reference="peer 2.0.0", status="peer"),
    ]
    console = Console(file=io.StringIO(), width=120)
    print_checks(CheckReport("demo", checks, 1.5), console)
    text = console.file.getvalue().replace("\N{NO-BREAK SPACE}", " ")
    for phrase in ("median [red]error[/red]", "0.0312", "≤ 0.0800", "policy of the demo (policy)"):
        assert phrase in text
    for phrase in ("FAIL", "not a number", "in [1.90, 2.10]", "≥ 2.00", "3.00 x", "peer 2.0.0 (peer)"):
        assert phrase in text
    assert "2 of 3 checks passed (1.50 s)" in text


def test_gates_and_verdicts() -> None:
    assert plain(gate(Check("x", 0.0, "in", (-1.0, 1e-9)))) == "in [−1.00, 1.00 × 10⁻⁹]"
    assert plain(gate(Check("x", 0.0, ">=", -2.5))) == "≥ −2.50"
    assert verdict(CheckReport("x", [], 0.25)) == "no check was made, which counts as failed (250\N{NO-BREAK SPACE}ms)"


def test_the_terminal_table_loads_neither_matplotlib_nor_torch() -> None:
    code = "import sys, sciml.report.terminal; print([m for m in ('torch', 'matplotlib', 'numpy', 'h5py') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
