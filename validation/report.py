"""One page of several cases, a table of verdicts first, or of one; each with its text, checks and figures. The same as JSON beside it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from sciml.checks import CheckReport, environment
from sciml.data.durable import write_text_durably
from sciml.report.drawing import draw
from sciml.report.markup import Markup, badge, check_table, element, facts, page, section, table
from sciml.report.notation import duration
from sciml.report.sections import environment_facts
from sciml.report.terminal import verdict
from sciml.report.twin import write_page
from validation.discovery import Entry

log = logging.getLogger(__name__)
Results = Sequence[tuple[Entry, CheckReport]]


def save(report: CheckReport, out: Path) -> None:
    """Write one report as JSON, its folder with it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text_durably(out, report.to_json() + "\n")
    log.info("written to %s", out)


def write_report(results: Results, out: Path) -> Path:
    """Write the page to `out` and its JSON twin beside it; returns `out`."""
    passed = all(report.passed for _, report in results)
    checks = sum(len(report.checks) for _, report in results)
    overview = table(
        ("result", "case", "what it shows", "checks", "time"),
        [_overview(entry, report) for entry, report in results],
        numeric=(3, 4),
    )
    document = page(
        "Validation of sciml-suite",
        element("h1", "Validation of sciml-suite"),
        element("p", badge(passed), Markup(" "), f"{len(results)} cases with known answers, {checks} checks.", class_="lead"),
        overview,
        *(section(entry.name, element("p", entry.title), *_case(entry, report), identifier=entry.name) for entry, report in results),
        _environment(),
        element("footer", "Every case runs alone too: ", element("code", "python -m validation run CASE --report CASE.html")),
    )
    twin = {"name": "validation", "passed": passed, "cases": [json.loads(report.to_json()) for _, report in results]}
    return write_page(out, document, twin)


def write_case(entry: Entry, report: CheckReport, out: Path) -> Path:
    """Write the page of one case or benchmark to `out` and its JSON twin, which is that of ``--json``, beside it; returns `out`."""
    document = page(
        entry.title,
        element("h1", entry.title),
        element("p", badge(report.passed), Markup(" "), verdict(report), class_="lead"),
        *_case(entry, report),
        _environment(),
        element("footer", "Written by python -m validation. The same figures as data: the .json file beside this page."),
    )
    return write_page(out, document, report.to_dict())


def _overview(entry: Entry, report: CheckReport) -> tuple[object, ...]:
    link = element("a", entry.name, href=f"#{entry.name}")
    return badge(report.passed), link, entry.title, len(report.checks), duration(report.seconds)


def _case(entry: Entry, report: CheckReport) -> list[Markup]:
    """Figures between the text and the table of checks."""
    figures = [draw(figure) for figure in report.details.get("figures", ())]
    drawn = [element("div", *figures, class_="columns")] if figures else []
    left_out = [element("p", f"Beside {peer}: left out, {reason}.") for peer, reason in report.left_out.items()]
    return [*_prose(entry.text), *drawn, check_table(report.checks, caption=verdict(report)), *left_out]


def _prose(text: str) -> list[Markup]:
    """Paragraphs and lists of a docstring, whose blocks are separated by empty lines; a list is a block whose lines begin with ``*``."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text) if block.strip()]
    return [_listed(block) if block.startswith("* ") else element("p", *_words(block)) for block in blocks]


def _listed(block: str) -> Markup:
    return element("ul", *(element("li", *_words(item)) for item in re.split(r"(?:^|\n)\* ", block) if item))


def _words(text: str) -> list[object]:
    """What stands between single or double backticks is code."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text, flags=re.DOTALL)
    return [element("code", part.strip("`")) if part.startswith("`") else part for part in parts]


def _environment() -> Markup:
    return section("Environment", facts(environment_facts(environment())), identifier="environment")
