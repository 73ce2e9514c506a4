"""The report of a real run in a real browser: everything drawn, nothing asked for, nothing complained about, nothing cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from sciml.checks import Check, CheckReport
from sciml.data.generate import generate
from sciml.data.recipe import load_recipe
from sciml.report import write_report
from sciml.report.charts import histogram
from sciml.report.markup import check_table, element, facts, table
from sciml.report.markup import page as render
from sciml.training import TrainSettings, evaluate, train
from validation.cli import CASES
from validation.discovery import Entry
from validation.figures import bars, field, lines, triangles
from validation.report import write_case
from validation.report import write_report as write_validation_report

pytestmark = pytest.mark.slow

VIEWS = [(1200, "light"), (1200, "dark"), (360, "light"), (360, "dark")]
# Contrast of text against what is behind it, by WCAG 2.1; 4.5 is its threshold for text of normal size.
CONTRAST = """
(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const linear = parts(colour).slice(0, 3).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = getComputedStyle(node).backgroundColor, alpha = parts(colour)[3];
      if (alpha === undefined || alpha === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const node of document.body.querySelectorAll('*')) {
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!text || ['style', 'title', 'desc'].includes(node.tagName.toLowerCase())) continue;
    const style = getComputedStyle(node), svg = node instanceof SVGElement;
    const [one, two] = [luminance(svg ? style.fill : style.color), luminance(behind(svg ? node.closest('figure') : node))];
    found.push([(Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05), node.textContent.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    generate(load_recipe("darcy", ["problem.resolution=16"]), folder / "data", samples=24)
    train(folder / "data", folder / "run", TrainSettings(epochs=2, hidden_channels=8, modes=8, batch_size=8))
    evaluate(folder / "run")
    evaluate(folder / "run", resolution=24, samples=2)
    return write_report(folder / "run", folder / "report.html")


@pytest.fixture(scope="module")
def validation_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quick = [case for case in CASES if case.name.startswith("darcy")]
    return write_validation_report([(case, case.run()) for case in quick], tmp_path_factory.mktemp("validation") / "cases.html")


@pytest.fixture(scope="module")
def figures_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of figures with the longest words and the widest numbers that they have to hold."""
    side, wide = np.linspace(-1, 1, 40), np.linspace(0, 20, 128)
    hole = np.where(np.hypot.outer(side, side) < 0.3, np.nan, np.subtract.outer(side, side))
    curves = {f"method {index}": (10.0 ** np.arange(9), 10.0 ** (-np.arange(9) - index)) for index in range(7)}
    figures = [
        lines("Errors", "degrees of freedom", "relative error in the maximum norm", curves, log="xy"),
        lines("Profiles", "y / L", "u / U", {"computed": (side, -1e-9 * side), "Ghia 1982": (side[::4], -1e-9 * side[::4], "points")}),
        field("Streamfunction", "streamfunction (m²/s)", side, side, hole, [-0.5, 0.0, 0.5]),
        field("Channel", "velocity along the channel (m/s)", wide, side, np.outer(1 - side**2, np.ones(128)) * -1.234e-9),
        triangles("Wedge", "pressure (Pa)", [0, 9, 9, 0], [0, 0, 2, 1], [[0, 1, 2], [0, 2, 3]], [-1.0, 0.5, 2.0, 1.0], [0.5]),
        bars("Products", "products with the matrix, mean", {"geometric multigrid CG": 11, "GMRES(40), at most 3000": 3000}, log=True),
    ]
    report = CheckReport("figures", [Check("x", 0.5, "<=", 1.0)], 0.1, {"figures": figures})
    entry = Entry("figures", "Figures of every kind", lambda: report, "With a `name` in it.\n\n* one\n* two")
    return write_case(entry, report, tmp_path_factory.mktemp("figures") / "figures.html")


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("which", ["report", "validation_report", "figures_report"])
def test_a_page_is_drawn_in_full(which: str, width: int, scheme: str, tab: Any, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    page = request.getfixturevalue(which)
    tab.open(page, width=width, scheme=scheme)
    assert tab.complaints() == []
    assert tab.requests() == [page.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("innerWidth") == width
    images = tab.evaluate("[...document.images].map((image) => [image.naturalWidth, image.getBoundingClientRect().width])")
    assert len(images) == (24 if which == "report" else 0)
    assert all(natural > 0 and drawn > 30 for natural, drawn in images)
    ratio, text = tab.evaluate(CONTRAST)
    assert ratio >= 4.5, text
    paper = imread(tab.screenshot(tmp_path / "page.png"))[5, 5, :3]
    assert (paper.mean() < 0.2) == (scheme == "dark")


def test_texts_of_a_figure_do_not_meet(figures_report: Path, tab: Any) -> None:
    for width in (1200, 360):
        tab.open(figures_report, width=width, scheme="light")
        met = tab.evaluate(
            """[...document.querySelectorAll('svg.chart')].flatMap((chart) => {
              const texts = [...chart.querySelectorAll('text')].filter((text) => text.textContent.trim());
              const boxes = texts.map((text) => text.getBoundingClientRect());
              return texts.flatMap((text, i) => texts.slice(i + 1).filter((_, j) => {
                const [a, b] = [boxes[i], boxes[i + 1 + j]];
                return a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
              }).map((other) => [text.textContent, other.textContent]));
            })"""
        )
        assert met == []


def test_pictures_have_words_and_headings_an_order(report: Path, tab: Any) -> None:
    tab.open(report, width=1200, scheme="light")
    levels = tab.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((heading) => Number(heading.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    maps = tab.evaluate("[...document.querySelectorAll('img.map')].map((image) => image.alt)")
    assert len(maps) == len(set(maps)) == 12
    assert all("sample" in words and "colours from" in words for words in maps)
    charts = tab.evaluate("[...document.querySelectorAll('svg[role=img]')].map((chart) => chart.getAttribute('aria-label'))")
    assert [words.split(":")[0] for words in charts] == ["Training curves", "Errors of the samples"]
    assert tab.evaluate("document.documentElement.lang") == "en"


@pytest.mark.parametrize("which", ["report", "figures_report"])
def test_charts_hold_their_text_inside(which: str, tab: Any, request: pytest.FixtureRequest) -> None:
    for width in (1200, 360):
        tab.open(request.getfixturevalue(which), width=width, scheme="dark")
        cut = tab.evaluate(
            """[...document.querySelectorAll('svg.chart text')].filter((text) => {
              const box = text.getBoundingClientRect(), chart = text.closest('svg').getBoundingClientRect();
              return box.left < chart.left - 1 || box.right > chart.right + 1 || box.top < chart.top - 1 || box.bottom > chart.bottom + 1;
            }).map((text) => text.textContent)"""
        )
        assert cut == []


@pytest.mark.parametrize("width", [360, 800, 1200])
def test_long_names_do_not_widen_a_page(width: int, tab: Any, tmp_path: Path) -> None:
    long = "permeability_of_the_lower_aquifer_" * 8
    check = Check(long, 1.25e-12, "in", (0.0, 1e-300), unit=long, reference=long)
    chart = histogram([0.1, 0.2], {"median": 0.15}, x_label="error", title=long)
    sides = element("div", chart, table((long, "b"), [(long, "1")], numeric=(1,)), class_="columns")
    page = tmp_path / "long.html"
    page.write_text(render(long, element("h1", long), element("p", long), facts({long: long}), check_table([check]), sides))
    tab.open(page, width=width, scheme="light")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_the_browser_sees_a_planted_fault(tab: Any, tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<!DOCTYPE html><body style='width:999px'><img src='missing.png'><script>console.error('x'); nothing()</script>")
    tab.open(page, width=360, scheme="light")
    kinds = {event["method"] for event in tab.complaints()}
    assert kinds == {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
    assert len(tab.requests()) == 2
    assert tab.evaluate("document.documentElement.scrollWidth") > 360
    assert tab.evaluate("document.images[0].naturalWidth") == 0
