"""Small pieces of HTML that escape whatever they are given; only `Markup` passes through unchanged.

Names, units and descriptions may come from a stranger's file. Every builder below returns `Markup`, and every plain string that
reaches one is escaped, so that a page can only hold elements that this package wrote.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from sciml.checks import Check
from sciml.report.notation import with_unit
from sciml.report.terminal import gate


class Markup(str):
    """Text that is HTML already."""


def escape(text: object) -> Markup:
    """`text` as HTML: unchanged if it is `Markup`, escaped otherwise."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text), quote=True))


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """``<tag ...>children</tag>``; attributes set to None are left out, ``class_`` and ``data_label`` lose their underscores.

    >>> element("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    written = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items() if value is not None)
    if tag in ("img", "meta"):
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(parts: Iterable[object], separator: str = "") -> Markup:
    return Markup(separator.join(escape(part) for part in parts))


def section(title: str, *children: object, identifier: str) -> Markup:
    return element("section", element("h2", title, id=identifier), *children, aria_labelledby=identifier)


def facts(rows: Mapping[str, object]) -> Markup:
    """A list of name and value; rows whose value is None or empty are left out."""
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in rows.items() if value is not None and value != ""]
    return element("dl", *pairs, class_="facts")


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], numeric: Sequence[int] = (), caption: str = "") -> Markup:
    """A table that becomes a stack of cards on a narrow screen, where each cell carries its column's heading."""

    def cell(column: int, value: object) -> Markup:
        return element("td", value, class_="number" if column in numeric else None, data_label=headings[column] or None)

    head = element("tr", *(element("th", heading, scope="col") for heading in headings))
    body = [element("tr", *(cell(column, value) for column, value in enumerate(row))) for row in rows]
    title = element("caption", caption) if caption else Markup()
    return element("div", element("table", title, element("thead", head), element("tbody", *body)), class_="scroll")


def check_table(checks: Iterable[Check], caption: str = "") -> Markup:
    """Every check with what was observed, its gate and where the gate comes from; failures say so in words."""
    rows = [
        (
            badge(check.passed),
            check.name,
            with_unit(check.observed, check.unit),
            gate(check),
            join((check.reference, element("span", check.status, class_="status")), " "),
        )
        for check in checks
    ]
    return table(("result", "check", "observed", "expected", "reference"), rows, numeric=(2, 3), caption=caption)


def badge(passed: bool) -> Markup:
    return element("span", "✓ pass" if passed else "✗ FAIL", class_="badge pass" if passed else "badge fail")


def verdict(checks: Sequence[Check]) -> Markup:
    """One sentence about all checks, of which there is at least one."""
    held = sum(check.passed for check in checks)
    return element("p", badge(held == len(checks)), Markup(" "), f"{held} of {len(checks)} checks passed.")


def tiles(figures: Iterable[tuple[object, object]]) -> Markup:
    """Large figures, each with a label below."""
    boxes = [element("div", element("b", value), element("span", label), class_="tile") for value, label in figures]
    return element("div", *boxes, class_="tiles")


def page(title: str, *children: object) -> str:
    """A whole document that asks nothing of any other file or host."""
    style = resources.files("sciml.report").joinpath("style.css").read_text(encoding="utf-8")
    head = join(
        (
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            # An empty icon keeps browsers from asking the host for /favicon.ico.
            Markup('<link rel="icon" href="data:,">'),
            element("title", title),
            element("style", Markup(style)),
        ),
        "\n",
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{element("main", *children)}\n</body>\n</html>\n'


FOOTER = element("footer", "Written by sciml-suite. The same figures as data: the .json file beside this page.")
