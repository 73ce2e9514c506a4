"""Newton's method for steady flows: the loop, and how it can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EXPLODED = 1e4  # times the first residual: no point in going on
_SLOW = 0.5  # a residual that falls by less near the tolerance has met rounding


class NewtonStatus(Enum):
    """How a steady solve ended; the value is the sentence a user needs."""

    SUCCESS = "the recomputed residual meets the tolerance"
    MAX_ITERATIONS = "Newton's method did not converge within its iterations: start nearer, by continuation in smaller steps"
    DIVERGED = "the residual grew without bound: start nearer, by continuation in smaller steps, or raise the degree"
    LINEAR_SOLVE = "a linearised system could not be solved: the steady state may be at a bifurcation, or the degree too low"
    STAGNATION = "the residual stopped falling above the tolerance: rounding is larger than rtol allows, loosen rtol"


class NonlinearSystem(Protocol):
    """What Newton's method asks of an equation."""

    def residual(self, state: Array) -> Array: ...

    def correction(self, state: Array, residual: Array) -> Array | None:
        """Solve the linearised equation for `residual`; None where that failed."""
        ...


@dataclass(frozen=True)
class NewtonResult:
    """The last state, how the iteration ended, and the Euclidean norms of the residual, the first that of the guess."""

    state: Array
    status: NewtonStatus
    residual_norms: list[float]

    @property
    def iterations(self) -> int:
        return len(self.residual_norms) - 1


def newton(
    system: NonlinearSystem, guess: Array, *, tolerance: float, maxiter: int = 15, callback: Callable[[Array, float], None] | None = None
) -> NewtonResult:
    """Iterate ``state -= J^-1 residual(state)`` until ``||residual||_2 <= tolerance``.

    Steps are full ones: residuals of the vorticity equation often grow in the first step from a flow of lower Reynolds number, which
    a line search would take for failure.
    """
    state = guess
    residual = system.residual(state)
    norms = [float(np.linalg.norm(residual))]
    while norms[-1] > tolerance:
        if not norms[-1] <= _EXPLODED * norms[0]:
            return NewtonResult(state, NewtonStatus.DIVERGED, norms)
        if len(norms) > 2 and norms[-1] > _SLOW * norms[-2] and norms[-1] < 1e-6 * max(norms):
            return NewtonResult(state, NewtonStatus.STAGNATION, norms)
        if len(norms) > maxiter:
            return NewtonResult(state, NewtonStatus.MAX_ITERATIONS, norms)
        step = system.correction(state, residual)
        if step is None:
            return NewtonResult(state, NewtonStatus.LINEAR_SOLVE, norms)
        state = state - step
        residual = system.residual(state)
        norms.append(float(np.linalg.norm(residual)))
        if callback is not None:
            callback(state, norms[-1])
    return NewtonResult(state, NewtonStatus.SUCCESS, norms)
