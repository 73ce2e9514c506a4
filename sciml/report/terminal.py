"""The table of checks in a terminal: what was observed, the gate, where the gate comes from, and whether it held."""

from __future__ import annotations

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from sciml.checks import Check, CheckReport
from sciml.report.notation import NO_BREAK, duration, figure, with_unit

_SIGNS = {"<=": "≤", ">=": "≥", "in": "in"}


def gate(check: Check) -> str:
    """The relation and the expected figure as one phrase, for example ``≤ 0.0800`` or ``in [1.90, 2.10]``."""
    if isinstance(check.expected, tuple):
        low, high = check.expected
        return f"in [{figure(low)}, {figure(high)}]".replace(" ", NO_BREAK)
    return f"{_SIGNS[check.relation]}{NO_BREAK}{figure(check.expected)}"


def check_table(report: CheckReport) -> Group:
    """A rich renderable: the table of `report.checks`, and a last line with the verdict and the time."""
    table = Table(title=Text(report.name), title_justify="left", header_style="bold")
    for heading in ("", "check", "observed", "expected", "reference"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "observed" else "left")
    for check in report.checks:
        mark = Text("pass", style="green") if check.passed else Text("FAIL", style="bold red")
        reference = f"{check.reference} ({check.status})" if check.reference else check.status
        # Text, not str: names may come from files and must not be read as rich's markup.
        table.add_row(
            mark,
            Text(check.name),
            Text(with_unit(check.observed, check.unit)),
            Text(gate(check)),
            Text(reference),
        )
    for peer, reason in report.left_out.items():
        table.add_row(Text("-"), Text(f"beside {peer}"), Text("left out"), Text(""), Text(reason))
    return Group(table, Text(verdict(report), style="green" if report.passed else "bold red"))


def verdict(report: CheckReport) -> str:
    """One sentence: how many checks passed, and how long it took."""
    held = sum(check.passed for check in report.checks)
    if not report.checks:
        return f"no check was made, which counts as failed ({duration(report.seconds)})"
    return f"{held} of {len(report.checks)} checks passed ({duration(report.seconds)})"


def print_checks(report: CheckReport, console: Console | None = None) -> None:
    """Print the table to `console`; None means standard output."""
    (console or Console()).print(check_table(report))
