"""What an evolving problem becomes once space is discretised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SemiDiscrete:
    """``y' = linear y + nonlinear(t, y)`` from ``y(0) = state0``; `solvers.integrate` takes it as its terms.

    Attributes
    ----------
    linear : diagonal of the stiff linear part, in the state's shape.
    nonlinear : the rest, for states of shape (..., *state).
    state0 : spectral coefficients of the initial state.
    unpack : states (..., *state) -> named output fields (..., *grid).
    step : a step that explicit methods are stable for at first, where integration begins; None where that is not known.
    """

    linear: Array
    nonlinear: Callable[[float, Array], Array]
    state0: Array
    unpack: Callable[[Array], dict[str, Array]]
    step: float | None = None
