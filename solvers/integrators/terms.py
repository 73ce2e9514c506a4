"""The right-hand side as the methods see it: a function f(t, y), or a record that also knows its linear part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from solvers.arguments import fits, numbers, refuse_uncallable, shown
from solvers.integrators.kinds import in_kind, is_complex, is_torch
from solvers.integrators.linear_part import Operator, linear_part, rows_of

Array = Any
#: f(t, y); t is a float, or a float64 array that broadcasts against y where rows have times of their own.
Function = Callable[[Any, Array], Array]
Nonlinear = Function


@runtime_checkable
class Terms(Protocol):
    """``y' = linear y + nonlinear(t, y)``: `SemiLinear`, or any record with these two attributes."""

    @property
    def linear(self) -> Array: ...
    @property
    def nonlinear(self) -> Nonlinear | None: ...


@dataclass(frozen=True, eq=False)
class SemiLinear:
    """``y' = L y + N(t, y)`` with a constant L.

    Parameters
    ----------
    linear : diagonal of L, real or complex, broadcast against the state; or an `Operator` for any other L.
    nonlinear : N, called with the time and an array of the whole state's shape (batch included), returning one of that shape;
        it must treat the rows of a batch alike and apart. None where there is no such term.

    Raises
    ------
    TypeError : parts that are neither.
    """

    linear: Array | Operator
    nonlinear: Nonlinear | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "linear", linear_of("SemiLinear.linear", self.linear))
        if self.nonlinear is not None:
            refuse_uncallable("SemiLinear.nonlinear", self.nonlinear, "give N(t, y), or None where there is no such term")

    def counted(self, count: Callable[[Function], Function]) -> SemiLinear:
        """The same with `count` around its function; terms of other kinds may offer this too, for ``Trajectory.stats``."""
        return SemiLinear(self.linear, None if self.nonlinear is None else count(self.nonlinear))


def linear_of(name: str, linear: Any) -> Any:
    """A constant linear part as it is given: an `Operator`, a tensor, or an array from anything that makes one."""
    if isinstance(linear, Operator) or is_torch(linear):
        return linear
    return numbers(name, linear, "give the diagonal of L as an array, or an Operator", kinds="biufc")


def refuse_unfit(name: str, linear: Any, y: Array) -> None:
    """Raise ValueError for a linear part that does not act on states like y."""
    if isinstance(linear, Operator):
        rows_of(y, int(linear.A.shape[0]))
    elif not fits(tuple(linear.shape), tuple(y.shape)):
        raise ValueError(
            f"{name} has shape {tuple(linear.shape)} for a state of shape {tuple(y.shape)}: give the diagonal of L in a shape that "
            "broadcasts against the state, or an Operator"
        )


def derivative(terms: Any) -> Function:
    """``(t, y) -> y'`` of the whole right-hand side, in the precision of y.

    Raises
    ------
    TypeError : for terms that are neither callable nor linear and nonlinear part.
    ValueError : from the returned function, where a right-hand side does not fit the state.
    """
    if callable(terms):
        return fitting("terms", terms)
    if not isinstance(terms, Terms):
        raise TypeError(f"terms = {shown(terms)}: give a function f(t, y), or SemiLinear(linear, nonlinear)")
    linear, nonlinear = linear_part(terms.linear), terms.nonlinear
    if nonlinear is None:
        return fitting("linear", lambda t, y: linear.apply(y))
    N = fitting("nonlinear", nonlinear)
    return fitting("linear", lambda t, y: linear.apply(y) + N(t, y))


def fitting(name: str, function: Function) -> Function:
    """The function with its values in the precision of the state, ValueError where they have not the state's shape."""

    def fitted(t: Any, y: Array) -> Array:
        value = function(t, y)
        if not is_torch(value):
            value = numbers(f"{name}(t, y)", value, "return one array of the state's shape", kinds="biufc")
        value = in_kind(value, y)
        shape = tuple(value.shape)
        if shape != tuple(y.shape):
            raise ValueError(f"{name} returned shape {shape} for a state of shape {tuple(y.shape)}: return the shape of y")
        if is_complex(value) and not is_complex(y):
            raise ValueError(f"{name} returned complex values for a real state: give y0 as complex")
        return value

    return fitted
