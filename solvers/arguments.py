"""Arguments of a kind that makes no sense, refused in one sentence: name, value, remedy."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONGEST = 60


def shown(value: Any) -> str:
    """A value as a sentence shows it: arrays by their shape, what is long by its kind."""
    if hasattr(value, "dtype") and tuple(value.shape):
        return f"an array of shape {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"a {type(value).__name__}"


def number(name: str, value: Any, remedy: str = "give one number") -> float:
    """The value as a float, which may be infinite or NaN.

    Raises
    ------
    TypeError : for anything but one real number.
    """
    text = isinstance(value, str | bytes)
    try:
        if text or tuple(getattr(value, "shape", ())) or np.iscomplexobj(value):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} = {shown(value)} is no number: {remedy}") from None


def finite(name: str, value: Any, remedy: str = "give one finite number") -> float:
    """The value as a float; TypeError for anything but one real number, ValueError for infinity and NaN."""
    found = number(name, value, remedy)
    if not math.isfinite(found):
        raise ValueError(f"{name} = {found}: {remedy}")
    return found


def whole(name: str, value: Any, remedy: str = "give a whole number") -> int:
    """The value as an int; TypeError for anything but a whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} = {shown(value)} is no whole number: {remedy}") from None


def wholes(name: str, value: Any, remedy: str) -> tuple[int, ...]:
    """Whole numbers in a row; TypeError for anything else."""
    return tuple(whole(f"{name}[{k}]", entry, remedy) for k, entry in enumerate(_sequence(name, value, remedy)))


def finites(name: str, value: Any, remedy: str) -> tuple[float, ...]:
    """Finite numbers in a row; TypeError for anything else, ValueError for infinity and NaN."""
    return tuple(finite(f"{name}[{k}]", entry, remedy) for k, entry in enumerate(_sequence(name, value, remedy)))


def _sequence(name: str, value: Any, remedy: str) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        raise TypeError(f"{name} = {shown(value)}: {remedy}")
    return value  # type: ignore[return-value]  # which an array is as far as it matters here


def numbers(name: str, value: Any, remedy: str = "give an array of real numbers", *, kinds: str = "biuf") -> NDArray[Any]:
    """The value as a NumPy array whose dtype is of one of these kinds; TypeError for what is none."""
    try:
        found = np.asarray(value)
    except (ValueError, RuntimeError):  # rows of different lengths, tensors in a list
        found = np.empty(0, object)
    if found.dtype.kind not in kinds:
        raise TypeError(f"{name} = {shown(value)} is not made of numbers: {remedy}")
    return found


def fits(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    """Whether an array of this shape broadcasts against one of the other without enlarging it."""
    return len(shape) <= len(onto) and all(n in (1, m) for n, m in zip(shape[::-1], onto[::-1], strict=False))


def interval(name: str, value: Any) -> tuple[float, float]:
    """Two times; TypeError for anything else."""
    try:
        first, last = value
    except (TypeError, ValueError):
        raise TypeError(f"{name} = {shown(value)} is no interval: give a pair of times (t0, t1)") from None
    return number(f"{name}[0]", first), number(f"{name}[1]", last)


def refuse_uncallable(name: str, value: Any, remedy: str) -> None:
    """Raise TypeError unless the value can be called."""
    if not callable(value):
        raise TypeError(f"{name} = {shown(value)} is no function: {remedy}")
