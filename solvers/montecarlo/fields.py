"""Boundary data and sources: numbers, and Python functions that are compiled once and called from compiled walks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numba import cfunc, njit, types
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError

from solvers.arguments import finite, whole

#: What a walk calls with three coordinates and the tag of a place.
_SIGNATURE = types.float64(types.float64, types.float64, types.float64, types.int64)
_compiled = njit(error_model="numpy")  # 1 / 0 is infinity, which the walk tells with its place, instead of an exception


def compile_field(name: str, value: Any, dimension: int) -> Any:
    """A number, or a function of the coordinates, or a mapping of such by tags, as something that walks can call.

    Raises
    ------
    TypeError : for anything else, and for a function that Numba cannot compile.
    ValueError : for a number that is not finite.
    """
    parts: dict[Callable[..., float] | float, tuple[int, ...]] = {}  # few functions may stand for many tags
    if isinstance(value, Mapping):
        for tag, given in value.items():
            part = _part(f"{name}[{tag}]", given)
            parts[part] = (*parts.get(part, ()), whole(f"a tag of {name}", tag))
    else:
        parts[_part(name, value)] = ()
    try:
        return _compile(tuple(parts.items()), dimension)
    except NumbaError as error:
        reason = next(line for line in str(error).splitlines() if line.strip() and "pipeline" not in line)
        arguments = "x, y" if dimension == 2 else "x, y, z"
        remedy = f"give a function of ({arguments}) made of arithmetic and functions of math"
        raise TypeError(f"{name} cannot be compiled by Numba: {remedy}; it says: {reason}") from error


def _part(name: str, value: Any) -> Callable[..., float] | float:
    remedy = "give a number, a function of the coordinates, or a mapping of such by tags"
    return value if callable(value) else finite(name, value, remedy)


@lru_cache(maxsize=256)
def _compile(parts: tuple[tuple[Callable[..., float] | float, tuple[int, ...]], ...], dimension: int) -> Any:
    """Values with the tags that they are for, or one with none, which is for all."""
    field = _constant(np.nan)  # on tags that have no data
    for value, tags in parts:
        own = _of_coordinates(value, dimension) if callable(value) else _constant(value)
        field = _where(tags, own, field) if tags else own
    return cfunc(_SIGNATURE, error_model="numpy")(field.py_func)


def _constant(value: float) -> Any:
    @_compiled
    def constant(x, y, z, tag):  # type: ignore[no-untyped-def]
        return value

    return constant


def _of_coordinates(function: Callable[..., float], dimension: int) -> Any:
    inner = function if isinstance(function, Dispatcher) else _compiled(function)

    @_compiled
    def plane(x, y, z, tag):  # type: ignore[no-untyped-def]
        try:
            return 1.0 * inner(x, y)
        except Exception:  # noqa: BLE001  # compiled code has no kinds of them; the walk refuses NaN and says where
            return np.nan

    @_compiled
    def space(x, y, z, tag):  # type: ignore[no-untyped-def]
        try:
            return 1.0 * inner(x, y, z)
        except Exception:  # noqa: BLE001
            return np.nan

    return plane if dimension == 2 else space


def _where(chosen: tuple[int, ...], own: Any, others: Any) -> Any:
    @_compiled
    def by_tag(x, y, z, tag):  # type: ignore[no-untyped-def]
        return own(x, y, z, tag) if tag in chosen else others(x, y, z, tag)

    return by_tag
