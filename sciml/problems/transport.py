"""Transport along a closed line: what a problem tells a network that follows its particles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sciml.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Transport:
    """``u_t + a(u) u_x = nu u_xx`` on [0, period), which closes.

    Parameters
    ----------
    speed : coefficients of the polynomial a, that of the constant first: ``(c,)`` for convection, ``(0, 1)`` for Burgers' equation.
    viscosity : nu; 0 for none.
    initial : u at time 0 as a function of position, for arrays and for quantities with derivatives.
    period : length of the interval.
    output : what u is called.

    Raises
    ------
    DatasetError : for a speed without or with infinite coefficients, a negative viscosity, or a period that is not positive.
    """

    speed: tuple[float, ...]
    viscosity: float
    initial: Callable[[Any], Any]
    period: float
    output: str = "velocity"

    def __post_init__(self) -> None:
        if not self.speed or not all(map(math.isfinite, self.speed)):
            raise DatasetError(f"speed = {self.speed}: give the finite coefficients of a polynomial in u, that of the constant first")
        if not (self.viscosity >= 0 and math.isfinite(self.viscosity)):
            raise DatasetError(f"viscosity = {self.viscosity}: transport needs one that is not negative")
        if not (self.period > 0 and math.isfinite(self.period)):
            raise DatasetError(f"period = {self.period}: give the length of the interval, a positive number")
