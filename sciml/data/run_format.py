"""What kind of training run a folder holds, for those who read runs and those who make them."""

from __future__ import annotations

import json
from pathlib import Path

#: Of a network that was trained on an equation.
EQUATION = "sciml-equation"


def run_format(root: Path | str) -> str | None:
    """The format that a folder's ``config.json`` names; None where it names none: whoever opens the run says what is wrong."""
    try:
        content = json.loads((Path(root) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    found = content.get("format") if isinstance(content, dict) else None
    return found if isinstance(found, str) else None
