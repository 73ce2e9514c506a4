"""Reports for people: a self-contained HTML page with its JSON twin, plots, and the terminal's table of checks.

Loaded on first use, so that the terminal's table needs neither matplotlib nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.report.fields import plot_field as plot_field
    from sciml.report.fields import plot_sample as plot_sample
    from sciml.report.fields import save_picture as save_picture
    from sciml.report.page import write_report as write_report

_HOMES = {
    "write_report": "sciml.report.page",
    "plot_field": "sciml.report.fields",
    "plot_sample": "sciml.report.fields",
    "save_picture": "sciml.report.fields",
}
__all__ = ["plot_field", "plot_sample", "save_picture", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sciml.report' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
