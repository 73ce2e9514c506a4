"""The right-hand side as the methods see it: a function f(t, y), or a record that also knows its linear part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from solvers.integrators.kinds import in_kind, is_complex
from solvers.integrators.linear_part import Operator, linear_part

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
    """

    linear: Array | Operator
    nonlinear: Nonlinear | None = None

    def counted(self, count: Callable[[Function], Function]) -> SemiLinear:
        """The same with `count` around its function; terms of other kinds may offer this too, for ``Trajectory.stats``."""
        return SemiLinear(self.linear, None if self.nonlinear is None else count(self.nonlinear))


def derivative(terms: Any) -> Function:
    """``(t, y) -> y'`` of the whole right-hand side, in the precision of y.

    Raises
    ------
    TypeError : for terms that are neither callable nor linear and nonlinear part.
    ValueError : from the returned function, where a right-hand side does not fit the state.
    """
    if callable(terms):
        return lambda t, y: _fitting(terms(t, y), y)
    if not isinstance(terms, Terms):
        given = type(terms).__name__
        raise TypeError(f"terms is a {given}: give a function f(t, y), or SemiLinear(linear, nonlinear)")
    linear, nonlinear = linear_part(terms.linear), terms.nonlinear
    if nonlinear is None:
        return lambda t, y: _fitting(linear.apply(y), y)
    return lambda t, y: _fitting(linear.apply(y) + nonlinear(t, y), y)


def _fitting(slope: Any, y: Array) -> Array:
    """The derivative, checked, in the precision of the state."""
    slope = in_kind(slope, y)
    shape = tuple(getattr(slope, "shape", ()))
    if shape != tuple(y.shape):
        raise ValueError(f"terms returned shape {shape} for a state of shape {tuple(y.shape)}: return the shape of y")
    if is_complex(slope) and not is_complex(y):
        raise ValueError("terms returned complex values for a real state: give y0 as complex")
    return slope
