"""What every solve returns: the solution, a status that carries its own diagnosis, and the figures behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class SolverError(RuntimeError):
    """A solve that did not succeed was asked for its solution."""


class Status(Enum):
    """How a solve ended; the value is the sentence a user needs."""

    SUCCESS = "the recomputed residual meets the tolerance"
    MAX_ITERATIONS = "the iteration limit was reached first: raise maxiter, loosen rtol, or take a stronger method or preconditioner"
    BREAKDOWN = "the method divided by zero or met a singular matrix: check the matrix for empty rows, or take method='lu'"
    STAGNATION = (
        "the residual stopped falling above the tolerance: rtol may be below what rounding allows for this matrix, "
        "or the right-hand side lies outside the range of a singular matrix"
    )
    NONFINITE_INPUT = "the matrix, right-hand side or initial guess holds NaN or infinity: look for it where they are made"
    INDEFINITE = (
        "the matrix, or the preconditioner, is not positive definite or not symmetric, as this method needs: "
        "take method='minres' for a symmetric matrix, method='lu' for any other"
    )
    INVALID_SYSTEM = "a system of a sequence is not one that can be solved there: info['error'] says why"


@dataclass(frozen=True)
class Solution:
    """Outcome of a linear solve.

    Attributes
    ----------
    x : the solution, in the shape of the right-hand side; where the solve failed the last iterate (of the attempt with the
        smallest residual, where several methods were tried).
    status : SUCCESS if and only if ``||b - A x||_2 <= max(rtol ||b||_2, atol)`` with the residual recomputed from `x`.
    iterations : iterations of the method that produced `x`; 0 for direct methods.
    residual_norms : Euclidean residual norms; the first is that of the initial guess, the last the recomputed true one.
    method : name of the method that produced `x`.
    info : further figures (``relative_residual``, levels, fallbacks ...).
    """

    x: NDArray[Any]
    status: Status
    iterations: int
    residual_norms: NDArray[np.float64]
    method: str
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def relative_residual(self) -> float:
        """True residual over the norm of the right-hand side; 0 where both vanish."""
        return float(self.info["relative_residual"])

    @property
    def diagnosis(self) -> str:
        """The sentence of the status, or the error that an invalid system caused.

        Of a right-hand side outside the range of a singular matrix it says by how much that is so.
        """
        if "error" in self.info:
            return str(self.info["error"])
        if self.status is Status.INDEFINITE and self.method == "minres":  # whose advice would be to take MINRES
            return "the matrix is not symmetric, or the preconditioner not positive definite: take method='lu', or another M"
        if "imbalance" not in self.info:
            return self.status.value
        mean = self.info["imbalance"] / self.x.size**0.5
        return (
            f"constants are in the null space of the matrix, but the mean of the right-hand side is {mean:.3g} in magnitude instead of 0 "
            f"({self.info['relative_imbalance']:.3g} of its norm): no solution exists, balance it or subtract the mean"
        )

    def raise_for_status(self) -> Solution:
        """Return self after a success; raise `SolverError` with the diagnosis otherwise."""
        if self.status is not Status.SUCCESS:
            raise SolverError(
                f"{self.method}: {self.status.name} after {self.iterations} iterations at relative residual "
                f"{self.relative_residual:.3e}: {self.diagnosis}"
            )
        return self
