"""A page and its JSON twin reach the disk together, each written aside and renamed, so that a reader never sees half of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.checks import strict_json
from sciml.data.durable import write_text_durably
from sciml.errors import InputError


def page_path(out: Path | str) -> Path:
    """`out` as a path; raises InputError where it has the suffix of its own twin or names a folder."""
    path = Path(out)
    if path.suffix.lower() == ".json" or path.is_dir():
        raise InputError(f"{path} cannot be the page: give a file that ends in .html, its twin takes .json")
    return path


def write_page(out: Path | str, document: str, twin: Mapping[str, Any]) -> Path:
    """Write `document` to `out` and `twin` beside it with the suffix ``.json``; missing folders are made.

    Raises InputError as `page_path` does.
    """
    path = page_path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_durably(path.with_suffix(".json"), strict_json(twin) + "\n")
    write_text_durably(path, document)
    return path
