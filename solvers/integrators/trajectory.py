"""What every integration returns: states at the times asked for, and a status that carries its own diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.arguments import numbers
from solvers.integrators.kinds import by_rows, namespace, to_numpy
from solvers.result import SolverError


class IntegrationStatus(Enum):
    """How an integration ended; the value is the sentence a user needs."""

    SUCCESS = "the last time was reached, and the errors that were estimated on the way are as small as was asked for"
    EVENT = "a terminal event ended the integration"
    MAX_STEPS = "the limit on steps was reached first: raise max_steps, loosen rtol, or save at earlier times"
    STEP_UNDERFLOW = (
        "the step became so small that adding it no longer changes the time: the solution blows up or jumps there, rtol is below rounding, "
        "or time is far from its origin: look at the state that was reached, end before, loosen rtol, or measure time from nearby"
    )
    NONFINITE = (
        "the state became NaN or infinite: look for it in the initial state and the right-hand side, or end before the solution blows up"
    )


@dataclass(frozen=True, eq=False)
class Event:
    """Something to look for on the way: a change of sign of ``function(t, y)``.

    Parameters
    ----------
    function : returns one number, or one a row.
    terminal : the row ends there.
    direction : positive looks for rising signs alone, negative for falling ones, 0 for both.
    """

    function: Callable[[Any, Any], Any]
    terminal: bool = False
    direction: float = 0.0

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(f"Event.function = {self.function!r} is no function: give event(t, y) whose sign changes where it happens")


@dataclass(frozen=True, eq=False)
class Occurrence:
    """An event that was met: its number, the row's index (() for a joint state), time and state."""

    event: int
    row: tuple[int, ...]
    t: float
    y: Any


@dataclass(frozen=True, eq=False)
class Segment:
    """One attempt that some rows accepted: their times before and after, and the state at a fraction of it."""

    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    at: Callable[[Any], Any]


@dataclass(frozen=True, eq=False, repr=False)
class Dense:
    """The state at any time that was reached, by the interpolation of the method.

    Attributes
    ----------
    segments : the steps that were kept; None where dense output was not asked for.
    batch : number of leading axes of the state that are rows.
    """

    segments: Sequence[Segment] | None = None
    batch: int = 0

    def __call__(self, t: Any) -> Any:
        """The state at a time, or at several along a first axis; ValueError where a row was not there, or nothing was kept."""
        times = numbers("t", t, "give a time, or an array of times")
        if times.ndim > 1:
            raise ValueError(f"t has shape {times.shape}: give a time, or an array of one axis")
        if times.ndim == 0:
            return self._at(float(times))
        states = [self._at(time) for time in times.tolist()]
        if not states:
            raise ValueError("t holds no time: give one at least")
        return namespace(states[0]).stack(states)

    def _at(self, t: float) -> Any:
        if self.segments is None:
            raise ValueError("dense output was not kept: integrate with dense=True to ask for the state at any time")
        if not self.segments:
            raise ValueError(f"t = {t}: no step was accepted, there is nothing to interpolate")
        missing = np.ones(len(self.segments[0].start), bool)
        value: Any = None
        for segment in self.segments:
            low, high = np.minimum(segment.start, segment.stop), np.maximum(segment.start, segment.stop)
            inside = segment.accepted & missing & (low <= t) & (t <= high)
            if inside.any():
                theta = np.where(
                    inside, (t - segment.start) / np.where(segment.stop == segment.start, 1.0, segment.stop - segment.start), 0.0
                )
                if not self.batch:
                    return segment.at(float(theta[0]))
                probe = segment.at(0.0)
                found = segment.at(by_rows(theta, probe, self.batch))
                value = found if value is None else namespace(found).where(by_rows(inside, found, self.batch), found, value)
                missing &= ~inside
        if missing.any():
            ends = [end for segment in self.segments for end in (segment.start, segment.stop)]
            raise ValueError(f"t = {t} was not reached: give a time between {np.min(ends):.6g} and {np.max(ends):.6g}")
        return value


@dataclass(frozen=True)
class Trajectory:
    """Outcome of an integration.

    Attributes
    ----------
    ts : times, shape (T,).
    ys : states at these times, shape (T, *y0.shape), of y0's kind; where a row did not get there NaN, or with global control those of
        its finest run.
    row_status : one `IntegrationStatus` a row, an object array of the batch's shape.
    error_ratio : with global control the bound on the global error, from the differences of the last three runs, over the error that the
        tolerances allow, largest over the times; the batch's shape. At most 1 where the row's status is SUCCESS, infinite where there
        were no two runs. NaN with other control, which bounds no global error.
    steps : steps of each row, with global control those of the run that `ys` comes from; the batch's shape.
    stats : ``evaluations`` (calls of the right-hand side, each with the whole batch), ``runs``, ``rejected`` attempts of all rows.
    reached : the time that each row came to, the batch's shape.
    last : the state there.
    occurrences : the events that were met, in the order of steps.
    dense : the state at any time that was reached, where that was asked for; else calling it raises ValueError.
    """

    ts: NDArray[np.float64]
    ys: Any
    row_status: NDArray[np.object_]
    error_ratio: NDArray[np.float64]
    steps: NDArray[np.int64]
    stats: Mapping[str, int]
    reached: NDArray[np.float64]
    last: Any
    occurrences: Sequence[Occurrence] = ()
    dense: Dense = field(default_factory=Dense)

    def __repr__(self) -> str:
        rows = "" if self.row_status.ndim == 0 else f", {self.row_status.size} rows"
        what = f"{self.status.name}{rows}, ys of shape {tuple(self.ys.shape)} up to t = {self.ts[-1]:.6g}"
        return f"Trajectory({what}, {int(self.steps.max(initial=0))} steps, {self.stats['evaluations']} evaluations)"

    @property
    def status(self) -> IntegrationStatus:
        """SUCCESS where every row succeeded, else the status of the first row that did not."""
        rows: list[IntegrationStatus] = self.row_status.ravel().tolist()
        return next((status for status in rows if status is not IntegrationStatus.SUCCESS), IntegrationStatus.SUCCESS)

    def raise_for_status(self) -> Trajectory:
        """Return self where every row succeeded or was ended by an event; raise `SolverError` with the diagnosis otherwise."""
        done = (IntegrationStatus.SUCCESS, IntegrationStatus.EVENT)
        bad = [status for status in self.row_status.ravel().tolist() if status not in done]
        if bad:
            worst = float(np.max(self.error_ratio))
            largest = np.max(np.abs(to_numpy(self.last)), initial=0.0)
            where = f"at t = {float(np.min(self.reached)):.6g}, entries up to {largest:.3g}"
            at = f"at {worst:.3g} times the tolerance" if np.isfinite(worst) else where
            raise SolverError(f"{bad[0].name} after {self.steps.max()} steps {at}: {bad[0].value}")
        return self
