"""What every integration returns: states at the times asked for, and a status that carries its own diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.result import SolverError


class IntegrationStatus(Enum):
    """How an integration ended; the value is the sentence a user needs."""

    SUCCESS = "halving all steps changes no state by more than the tolerance allows"
    MAX_STEPS = "the limit on steps was reached first: raise max_steps, loosen rtol, or save at earlier times"
    STEP_UNDERFLOW = "the step became so small that adding it no longer changes the time: loosen rtol, or measure time from a nearer origin"
    NONFINITE = (
        "the state became NaN or infinite: look for it in the initial state and the right-hand side, or end before the solution blows up"
    )


@dataclass(frozen=True)
class Trajectory:
    """Outcome of an integration.

    Attributes
    ----------
    ts : times, shape (T,).
    ys : states at these times, shape (T, *y0.shape); where the integration failed those of its finest run, NaN or infinite from
        the first time on that it did not reach.
    row_status : one `IntegrationStatus` a row, an object array of the batch's shape.
    error_ratio : bound on the global error, from the differences of the last three runs, over the error that the tolerances allow,
        largest over the times; the batch's shape. At most 1 where the row's status is SUCCESS, infinite where there were no two runs.
    steps : steps of the run that `ys` comes from; the batch's shape.
    stats : ``evaluations`` (calls of the nonlinear term in all runs, each with the whole batch), ``runs``.
    """

    ts: NDArray[np.float64]
    ys: NDArray[Any]
    row_status: NDArray[np.object_]
    error_ratio: NDArray[np.float64]
    steps: NDArray[np.int64]
    stats: Mapping[str, int]

    @property
    def status(self) -> IntegrationStatus:
        """SUCCESS where every row succeeded, else the status of the first row that did not."""
        rows: list[IntegrationStatus] = self.row_status.ravel().tolist()
        return next((status for status in rows if status is not IntegrationStatus.SUCCESS), IntegrationStatus.SUCCESS)

    def raise_for_status(self) -> Trajectory:
        """Return self after a success; raise `SolverError` with the diagnosis otherwise."""
        if self.status is not IntegrationStatus.SUCCESS:
            worst = float(self.error_ratio.max())
            what = f"{self.status.name} after {self.steps.max()} steps at {worst:.3g} times the tolerance"
            raise SolverError(f"{what}: {self.status.value}")
        return self
