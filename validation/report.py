"""One page with every case: a table of verdicts first, then each case's checks; the same as JSON beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from sciml.checks import CheckReport, environment
from sciml.data.durable import write_text_durably
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
        *(_case(entry, report) for entry, report in results),
        section("Environment", facts(environment_facts(environment())), identifier="environment"),
        element("footer", "Every case runs alone too: ", element("code", "python -m validation run CASE --json")),
    )
    twin = {"name": "validation", "passed": passed, "cases": [json.loads(report.to_json()) for _, report in results]}
    return write_page(out, document, twin)


def _overview(entry: Entry, report: CheckReport) -> tuple[object, ...]:
    link = element("a", entry.name, href=f"#{entry.name}")
    return badge(report.passed), link, entry.title, len(report.checks), duration(report.seconds)


def _case(entry: Entry, report: CheckReport) -> Markup:
    return section(entry.name, element("p", entry.title), check_table(report.checks, caption=verdict(report)), identifier=entry.name)
