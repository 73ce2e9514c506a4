"""The right-hand side ``y' = L y + N(t, y)`` as the methods see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
Nonlinear = Callable[[float, Array], Array]


class Terms(Protocol):
    """What `integrate` takes: `SemiLinear`, or any record with these two attributes."""

    @property
    def linear(self) -> Array: ...
    @property
    def nonlinear(self) -> Nonlinear | None: ...


@dataclass(frozen=True, eq=False)
class SemiLinear:
    """``y' = L y + N(t, y)`` with a diagonal L.

    Parameters
    ----------
    linear : diagonal of L, real or complex, broadcast against the state.
    nonlinear : N, called with the time and an array of the whole state's shape (batch included), returning one of that shape;
        it must treat the rows of a batch alike and apart. None where there is no such term.
    """

    linear: Array
    nonlinear: Nonlinear | None = None
