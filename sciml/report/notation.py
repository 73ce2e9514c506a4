"""How figures are printed, on paper and in the terminal: three significant digits, and never more zeros than one can count."""

from __future__ import annotations

import math
from typing import Any

#: Figure, sign and unit stay on one line.
NO_BREAK = "\N{NO-BREAK SPACE}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: Any, digits: int = 3) -> str:
    r"""Print a number with `digits` significant digits; anything that is no number is printed as it is.

    >>> figure(0.0123456), figure(1234567), figure(1.5e-9), figure(float("nan"))
    ('0.0123', '1,234,567', '1.50\xa0×\xa010⁻⁹', 'not a number')
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
    return f"{mantissa}{NO_BREAK}×{NO_BREAK}10{superscript(power)}".replace("-", "−")


def superscript(power: int) -> str:
    return str(power).translate(_SUPERSCRIPT)


def with_unit(value: Any, unit: str) -> str:
    """A figure followed by its unit, if it has one; units "1" and "" are dimensionless."""
    return f"{figure(value)}{NO_BREAK}{unit}" if unit not in ("", "1") else figure(value)


def percent(value: float | None) -> str:
    r"""A ratio as a percentage.

    >>> percent(0.0312), percent(2.0)
    ('3.12\xa0%', '200\xa0%')
    """
    return f"{figure(100.0 * value)}{NO_BREAK}%" if value is not None else figure(None)


def size(count: int) -> str:
    r"""A number of bytes in decimal units.

    >>> size(812), size(1_234_567_890)
    ('812\xa0bytes', '1.23\xa0GB')
    """
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return with_unit(count / 10**power, unit)
    return with_unit(count, "bytes")


def duration(seconds: float | None) -> str:
    r"""A time span in the unit that a person would choose.

    >>> duration(0.00042), duration(3.21), duration(312.0), duration(7320.0)
    ('0.420\xa0ms', '3.21\xa0s', '5\xa0min\xa012\xa0s', '2\xa0h\xa002\xa0min')
    """
    if seconds is None or not math.isfinite(seconds):
        return figure(seconds)
    if seconds < 0.5:
        return with_unit(1e3 * seconds, "ms")
    if seconds < 60.0:
        return with_unit(float(seconds), "s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s".replace(" ", NO_BREAK)
    return f"{minutes // 60} h {minutes % 60:02d} min".replace(" ", NO_BREAK)
