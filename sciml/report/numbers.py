"""How figures are printed, on paper and in the terminal: three significant digits, and never more zeros than one can count."""

from __future__ import annotations

import math
from typing import Any

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: Any, digits: int = 3) -> str:
    """Print a number with `digits` significant digits; anything that is no number is printed as it is.

    >>> figure(0.0123456), figure(1234567), figure(1.5e-9), figure(float("nan"))
    ('0.0123', '1,234,567', '1.50 × 10⁻⁹', 'not a number')
    """
    if value is None:
        return "not a number"  # strict JSON has no other word for NaN and infinity
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0.0:
        return "0"
    # The exponent is taken after rounding, so that 0.0009999 becomes 0.00100 and not 10.0 × 10⁻⁴.
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -4 < power < 6:
        return f"{float(f'{value:.{digits - 1}e}'):,.{max(digits - 1 - power, 0)}f}".replace("-", "−")
    return f"{mantissa} × 10{str(power).translate(_SUPERSCRIPT)}".replace("-", "−")


def with_unit(value: Any, unit: str) -> str:
    """A figure followed by its unit, if it has one; units "1" and "" are dimensionless."""
    return f"{figure(value)} {unit}" if unit not in ("", "1") else figure(value)


def percent(value: float | None) -> str:
    """A ratio as a percentage.

    >>> percent(0.0312), percent(2.0)
    ('3.12 %', '200 %')
    """
    return f"{figure(100.0 * value)} %" if value is not None else figure(None)


def duration(seconds: float | None) -> str:
    """A time span in the unit that a person would choose.

    >>> duration(0.00042), duration(3.21), duration(312.0), duration(7320.0)
    ('0.420 ms', '3.21 s', '5 min 12 s', '2 h 02 min')
    """
    if seconds is None or not math.isfinite(seconds):
        return figure(seconds)
    if seconds < 0.5:
        return f"{figure(1e3 * seconds)} ms"
    if seconds < 60.0:
        return f"{figure(float(seconds))} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
