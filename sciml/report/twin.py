"""A page and its JSON twin reach the disk together, each written aside and renamed, so that a reader never sees half of one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sciml.data.durable import write_text_durably
from sciml.errors import InputError


def write_page(out: Path | str, document: str, twin: Mapping[str, Any]) -> Path:
    """Write `document` to `out` and `twin` beside it with the suffix ``.json``; missing folders are made.

    Raises InputError where `out` has the suffix of its own twin or names a folder.
    """
    path = Path(out)
    if path.suffix.lower() == ".json" or path.is_dir():
        raise InputError(f"{path} cannot be the page: give a file that ends in .html, its twin takes .json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_durably(path.with_suffix(".json"), json.dumps(strict(twin), indent=2, allow_nan=False) + "\n")
    write_text_durably(path, document)
    return path


def strict(value: Any) -> Any:
    """`value` with what JSON has no word for turned into what it has: NaN and infinity into null, tuples into lists."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
