"""How local error estimates choose the step: I, PI and PID control with limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StepControl:
    """The next step is the last one times ``safety e_n^-b1 e_(n-1)^-b2 e_(n-2)^-b3`` within limits.

    e are the ratios of error estimate and tolerance of the last accepted steps, ``b1 = (p + i + d) / k``, ``b2 = -(p + 2 d) / k``,
    ``b3 = d / k``, k one more than the order of the estimate (Soderlind, "Digital filters in adaptive time-stepping", ACM Trans. Math.
    Softw. 29 (2003)). The default is the control of error alone with the constants of SciPy. PI control with p = 0.4, i = 0.3 takes
    smoother steps where stability limits them.

    Parameters
    ----------
    p, i, d : proportional, integral and derivative coefficients.
    safety : in (0, 1].
    smallest, largest : limits of the factor; after a rejected attempt it is at most 1.
    """

    p: float = 0.0
    i: float = 1.0
    d: float = 0.0
    safety: float = 0.9
    smallest: float = 0.2
    largest: float = 10.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.p, self.i, self.d)) or not self.p + self.i + self.d > 0:
            raise ValueError(f"p = {self.p}, i = {self.i}, d = {self.d}: the step must shrink where the error grows, so p + i + d > 0")
        if not 0 < self.safety <= 1:
            raise ValueError(f"safety = {self.safety}: give a number in (0, 1]")
        if not 0 < self.smallest < 1 <= self.largest:
            raise ValueError(f"smallest = {self.smallest}, largest = {self.largest}: the limits need 0 < smallest < 1 <= largest")

    def accepted(self, errors: Array, before: Array, long_before: Array, k: int) -> Array:
        """Factors after accepted attempts, from the ratios of the last three; vanishing ones let the step grow as it may."""
        with np.errstate(divide="ignore", over="ignore"):
            factor = self.safety * errors ** (-(self.p + self.i + self.d) / k)
            if self.p or self.d:
                factor = factor * before ** ((self.p + 2 * self.d) / k) * long_before ** (-self.d / k)
        return np.clip(np.where(errors == 0, self.largest, factor), self.smallest, self.largest)

    def rejected(self, errors: Array, k: int) -> Array:
        """Factors after rejected attempts; where the error is not finite the smallest one."""
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            factor = self.safety * errors ** (-1 / k)
        return np.where(np.isfinite(errors), np.clip(factor, self.smallest, 1.0), self.smallest)
