"""Options of a case, refused with one sentence where the case makes no sense with them."""

from __future__ import annotations

from sciml.errors import InputError


def check_between(name: str, value: float, low: float, high: float) -> None:
    """Raise InputError unless `low` <= `value` <= `high`."""
    if not low <= value <= high:
        raise InputError(f"{name} = {value} is out of range; choose {low} to {high}")
