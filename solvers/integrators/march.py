"""Marching: steps chosen by local error estimates or given, output between them, events, and rows that do so one by one.

Rows of a batch have their own time, step, acceptance and end. All of them are advanced together, each attempt with its own step; what
was rejected or has ended keeps its state. A row sees only itself: its bits do not depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from solvers.integrators.control import StepControl
from solvers.integrators.explicit import ExplicitRungeKutta
from solvers.integrators.kinds import by_rows, in_kind, namespace, row_sums, to_numpy
from solvers.integrators.method import Advance, Method, Stepper, merge_rows
from solvers.integrators.trajectory import Dense, Event, IntegrationStatus, Occurrence, Segment

Array = Any
Function = Callable[[Any, Any], Any]
_OPEN = "open"


@dataclass(frozen=True, eq=False)
class Task:
    """What is marched: see `solvers.integrate` for the meaning of each."""

    method: Method
    terms: Any
    derivative: Function
    t0: float
    ts: NDArray[np.float64]
    end: float
    y0: Array
    batch: int
    rtol: float
    atol: Any
    dt: float | None
    max_step: float
    control: StepControl | None
    events: Sequence[Event]
    max_steps: int
    keep_dense: bool
    keep_records: bool = False


@dataclass(frozen=True, eq=False)
class Record:
    """An attempt that some rows accepted, as it can be repeated: start, signed step, who accepted it, and what was put out inside it.

    Each output is the number of its time, the rows that it is for, their fractions of the step, and those of them at the step's very end.
    """

    t: NDArray[np.float64]
    h: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    outputs: list[tuple[int, NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_]]]


@dataclass(frozen=True, eq=False)
class Marched:
    """States at the times asked for (NaN where a row did not get there), and a row's status, steps and figures."""

    ys: Array
    status: NDArray[np.object_]
    steps: NDArray[np.int64]
    rejected: NDArray[np.int64]
    reached: NDArray[np.float64]
    last: Array
    occurrences: list[Occurrence]
    dense: Dense
    records: list[Record]


class March:
    """One integration. Arrays of one entry a row are NumPy's and flat."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.xp = namespace(task.y0)
        self.sign = 1.0 if task.end >= task.t0 else -1.0
        self.rows = math.prod(task.y0.shape[: task.batch])
        self.entries = max(1, math.prod(task.y0.shape[task.batch :]))
        n = self.rows
        self.t, self.h = np.full(n, task.t0), np.zeros(n)
        self.y = task.y0
        self.status = np.full(n, _OPEN, dtype=object)
        self.steps, self.rejected = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.errors = np.ones((2, n))
        self.failed = np.zeros(n, bool)  # the attempt before this one was rejected
        self.next_output = np.zeros(n, np.int64)
        blank = in_kind(math.nan, task.y0)
        self.ys: list[Array] = [self.xp.full_like(task.y0, blank) for _ in task.ts]
        self.occurrences: list[Occurrence] = []
        self.segments: list[Segment] = []
        self.records: list[Record] = []
        self.outputs: list[tuple[int, NDArray[np.bool_], NDArray[np.float64], NDArray[np.bool_]]] = []
        self.values: list[NDArray[np.float64]] = []  # of the event functions at the accepted states

    @property
    def open(self) -> NDArray[np.bool_]:
        return np.asarray(self.status == _OPEN)

    def run(self) -> Marched:
        task = self.task
        finite = self._finite(self.y)
        self.status[~finite] = IntegrationStatus.NONFINITE
        self._output(self.open, np.zeros(self.rows), lambda theta: self.y)  # outputs at t0
        self.values = [self._event_values(event, self.t, self.y) for event in task.events]
        self.status[self.open & (self.t == task.end)] = IntegrationStatus.SUCCESS
        self.h = np.full(self.rows, float(task.dt or math.nan))  # an integer would make steps that are whole numbers
        if task.dt is None and self.open.any():
            self.h = self._first_step()
        self.h = np.minimum(self.h, task.max_step)
        stepper, carry = task.method.bind(task.terms, self.xp, task.batch), None
        attempts = 0
        while self.open.any():
            if attempts >= task.max_steps:
                self.status[self.open] = IntegrationStatus.MAX_STEPS
                break
            attempts += 1
            carry = self._attempt(stepper, carry)
        status = np.empty(self.rows, dtype=object)
        status[:] = self.status
        shape = task.y0.shape[: task.batch]
        return Marched(
            self.xp.stack(self.ys) if self.ys else self.y[None][:0],
            status.reshape(shape),
            self.steps.reshape(shape),
            self.rejected.reshape(shape),
            self.t.reshape(shape).copy(),
            self.y,
            self.occurrences,
            Dense(self.segments if task.keep_dense else None, task.batch),
            self.records,
        )

    def _attempt(self, stepper: Stepper, carry: Any) -> Any:
        task, alive = self.task, self.open
        h, target, end_hit = self._clamped(alive)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            advance, new_carry = stepper.step(self._time(self.t), self.y, self._time(h), carry)
        good, errors = self._judged(advance, alive)
        if carry is None and task.batch and not good[alive].all() and task.control is not None:
            # the carry of a first attempt cannot be merged row by row: rows that were accepted try the same step again
            good = good & ~alive
            retry = alive & (errors < 1)
            bad = alive & ~retry
        else:
            bad = alive & ~good
        self._shorten(bad, h, errors)
        good = good & alive
        if not good.any():
            return carry
        t_new = np.where(end_hit, target, self.t + h)
        where = self._where(good)
        y_new = advance.y if good.all() else where(advance.y, self.y)
        theta_at = self._interpolation(advance, h, y_new)
        stopped = self._find_events(good, h, t_new, y_new, theta_at)
        self.outputs = []
        self._output(good, h, theta_at, t_new, y_new, stopped)
        if task.keep_records:
            self.records.append(Record(self.t.copy(), h, good.copy(), self.outputs))
        if task.keep_dense:
            self.segments.append(Segment(self.t.copy(), t_new.copy(), good.copy(), theta_at))
        self._move(good, h, t_new, y_new, errors, stopped)
        return new_carry if good.all() or carry is None else merge_rows(good.reshape(self._shape), new_carry, carry, self.y, task.batch)

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(self.task.y0.shape[: self.task.batch])

    def _time(self, values: NDArray[np.float64]) -> Any:
        """One number a row as the methods take it: a float for a joint state."""
        return by_rows(values, self.y, self.task.batch) if self.task.batch else float(values[0])

    def _where(self, chosen: NDArray[np.bool_]) -> Callable[[Array, Array], Array]:
        if not self.task.batch:
            return lambda new, old: new if chosen[0] else old
        mask = by_rows(chosen, self.y, self.task.batch)
        return lambda new, old: self.xp.where(mask, new, old)

    def _clamped(self, alive: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Signed steps, where they shall end, and which end there: the last time, or the next output where there is no interpolation."""
        target = np.full(self.rows, self.task.end)
        if not self._interpolates and len(self.task.ts):
            inside = self.next_output < len(self.task.ts)
            target[inside] = self.task.ts[self.next_output[inside]]
        left = np.abs(target - self.t)
        hit = alive & (self.h >= left * (1 - 1e-12))
        return self.sign * np.where(hit, left, self.h), target, hit

    @property
    def _interpolates(self) -> bool:
        return isinstance(self.task.method, ExplicitRungeKutta) and self.task.method.interpolates

    def _first_step(self) -> NDArray[np.float64]:
        """Hairer, Norsett and Wanner 1993, section II.4: a step whose error should be a hundredth of what is allowed."""
        task, f = self.task, self.task.derivative
        order = task.method.error_order
        assert order is not None
        scale = task.atol + task.rtol * abs(self.y)
        slope = f(self._time(self.t), self.y)
        size, speed = (np.sqrt(self._squares(value, scale) / self.entries) for value in (self.y, slope))
        with np.errstate(all="ignore"):
            guess = np.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / speed)
            guess = np.minimum(guess, abs(task.end - task.t0))
            signed = self._time(self.sign * guess)
            change = f(self._time(self.t) + signed, self.y + in_kind(signed, self.y) * slope) - slope
            curvature = np.sqrt(self._squares(change, scale) / self.entries) / guess
            largest = np.maximum(speed, curvature)
            better = np.where(largest <= 1e-15, np.maximum(1e-6, guess * 1e-3), (0.01 / largest) ** (1 / (order + 1)))
            step = np.minimum(np.minimum(100 * guess, better), abs(task.end - task.t0))
        return np.where(np.isfinite(step) & (step > 0), step, 1e-6 * abs(task.end - task.t0))

    def _judged(self, advance: Advance, alive: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Rows whose attempt is accepted, and the ratio of each row's error estimate and tolerance (0 for steps that were given)."""
        finite = self._finite(advance.y)
        if self.task.control is None:
            return finite, np.where(finite, 0.0, np.inf)
        larger = self.xp.maximum(abs(self.y), abs(advance.y))
        scale = self.task.atol + self.task.rtol * larger
        if isinstance(advance.error, tuple):
            one, two = (self._squares(error, scale) for error in advance.error)
            with np.errstate(invalid="ignore", divide="ignore"):
                errors = np.where((one == 0) & (two == 0), 0.0, one / np.sqrt((one + 0.01 * two) * self.entries))
        else:
            errors = np.sqrt(self._squares(advance.error, scale) / self.entries)
        errors = np.where(finite & np.isfinite(errors), errors, np.inf)
        return (errors < 1) & alive, errors

    def _squares(self, error: Array, scale: Array) -> NDArray[np.float64]:
        """Sums of squares of ``error / scale`` over each row; an error of 0 that may be 0 counts 0."""
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            ratio = abs(error) / scale
        ratio = self.xp.where(error == 0, self.xp.zeros_like(ratio), ratio)
        return to_numpy(row_sums(ratio.real**2, self.rows)).astype(np.float64)

    def _finite(self, y: Array) -> NDArray[np.bool_]:
        return np.asarray(to_numpy(self.xp.isfinite(y)).reshape(self.rows, -1).all(axis=1))

    def _shorten(self, bad: NDArray[np.bool_], h: NDArray[np.float64], errors: NDArray[np.float64]) -> None:
        if not bad.any():
            return
        self.rejected[bad] += 1
        if self.task.control is None:
            self.status[bad] = IntegrationStatus.NONFINITE
            return
        order = self.task.method.error_order
        assert order is not None
        shorter = np.abs(h) * self.task.control.rejected(errors, order + 1)
        self.h[bad], self.failed[bad] = shorter[bad], True
        lost = bad & (shorter < self._smallest())
        hopeless = lost & ~np.isfinite(errors)
        self.status[lost], self.status[hopeless] = IntegrationStatus.STEP_UNDERFLOW, IntegrationStatus.NONFINITE

    def _smallest(self) -> NDArray[np.float64]:
        return np.asarray(10 * np.abs(np.nextafter(self.t, self.sign * np.inf) - self.t))

    def _move(
        self,
        good: NDArray[np.bool_],
        h: NDArray[np.float64],
        t_new: NDArray[np.float64],
        y_new: Array,
        errors: NDArray[np.float64],
        stopped: NDArray[np.bool_],
    ) -> None:
        control, going = self.task.control, good & ~stopped
        self.steps[good] += 1
        if control is not None:
            order = self.task.method.error_order
            assert order is not None
            factor = control.accepted(errors, self.errors[0], self.errors[1], order + 1)
            factor = np.where(self.failed, np.minimum(factor, 1.0), factor)
            # a step cut short by an output or the end says little about the one after it
            next_h = np.maximum(np.abs(h) * factor, np.where(np.abs(h) < self.h, self.h, 0.0))
            self.h[good] = np.minimum(next_h, self.task.max_step)[good]
            self.errors[1, good] = self.errors[0, good]
            self.errors[0, good] = np.maximum(errors, 1e-10)[good]
            self.failed[good] = False
        self.t = np.where(stopped, self.stop_times, np.where(good, t_new, self.t))
        self.y = y_new if good.all() else self._where(good)(y_new, self.y)
        if stopped.any():
            self.y = self._where(stopped)(self.stopped_state, self.y)
        self.status[going & (self.t == self.task.end)] = IntegrationStatus.SUCCESS
        if control is not None:
            stuck = self.open & (self.h < self._smallest())
            self.h[stuck] = self._smallest()[stuck]
        for number, event in enumerate(self.task.events):
            self.values[number] = np.where(going, self._event_values(event, self.t, self.y), self.values[number])

    def _interpolation(self, advance: Advance, h: NDArray[np.float64], y_new: Array) -> Callable[[Any], Array]:
        """The state inside the step, for theta in [0, 1]: a float for a joint state, else one number a row.

        A method without an interpolation of its own gets the cubic through both ends and their slopes.
        """
        if advance.interpolate is not None:
            return advance.interpolate
        y, t, f, signed = self.y, self._time(self.t), self.task.derivative, self._time(h)
        slopes: list[Array] = []

        def cubic(theta: Any) -> Array:
            if not slopes:
                step = in_kind(signed, y)
                slopes.extend([step * f(t, y), step * f(t + signed, y_new)])
            theta, change = in_kind(theta, y), y_new - y
            return y + theta * (change + (theta - 1) * ((1 - 2 * theta) * change + (theta - 1) * slopes[0] + theta * slopes[1]))

        return cubic

    def _output(
        self,
        good: NDArray[np.bool_],
        h: NDArray[np.float64],
        theta_at: Callable[[Any], Array],
        t_new: NDArray[np.float64] | None = None,
        y_new: Array | None = None,
        stopped: NDArray[np.bool_] | None = None,
    ) -> None:
        """Fill in the states at all times asked for that lie in this step."""
        ts = self.task.ts
        last = self.t if t_new is None else t_new
        limit = last if stopped is None else np.where(stopped, self.stop_times, last)
        while True:
            inside = self.next_output < len(ts)
            wanted = ts[np.minimum(self.next_output, len(ts) - 1)] if len(ts) else np.full(self.rows, math.inf)
            due = good & inside & (self.sign * (limit - wanted) >= 0)
            if not due.any():
                return
            at_end = due & (wanted == last)
            with np.errstate(invalid="ignore", divide="ignore"):
                theta = np.where(h != 0, (wanted - self.t) / h, 0.0)
            theta = np.where(due, theta, 0.0)
            inner = theta_at(self._time(theta)) if (due & ~at_end).any() or y_new is None else y_new
            value = inner if y_new is None or not at_end.any() else self._where(at_end)(y_new, inner)
            for number in np.unique(self.next_output[due]):
                rows = due & (self.next_output == number)
                self.ys[number] = self._where(rows)(value, self.ys[number])
                self.outputs.append((int(number), rows, theta, at_end & rows))
            self.next_output[due] += 1

    def _event_values(self, event: Event, t: NDArray[np.float64], y: Array) -> NDArray[np.float64]:
        given = to_numpy(event.function(self._time(t), y))
        if given.dtype == np.bool_:
            raise ValueError("an event returned true or false, whose sign never changes: return a number that passes through zero")
        values = given.astype(np.float64)
        if values.size != self.rows:
            wanted = f"one number a row, {self.rows} of them" if self.task.batch else "one number"
            raise ValueError(f"an event returned shape {values.shape}: return {wanted}")
        values = values.reshape(self.rows)
        if np.isnan(values[self._finite(y)]).any():
            raise ValueError(f"an event returned NaN at t = {t.min():.6g}: return a number wherever the state is finite")
        return values

    def _find_events(
        self, good: NDArray[np.bool_], h: NDArray[np.float64], t_new: NDArray[np.float64], y_new: Array, theta_at: Callable[[Any], Array]
    ) -> NDArray[np.bool_]:
        """Locate every change of sign in this step; rows that a terminal event ends are set to it and returned."""
        stopped = np.zeros(self.rows, bool)
        self.stop_times = t_new.copy()
        if not self.task.events:
            return stopped
        found: list[tuple[float, int, int]] = []  # theta, event, row
        for number, event in enumerate(self.task.events):
            before, after = self.values[number], self._event_values(event, t_new, y_new)
            rising = (before < 0) & (after >= 0) | (before <= 0) & (after > 0)
            falling = (before > 0) & (after <= 0) | (before >= 0) & (after < 0)
            crossed = good & (rising if event.direction > 0 else falling if event.direction < 0 else rising | falling)
            for row in np.flatnonzero(crossed).tolist():
                found.append((self._root(event, row, before[row], after[row], h, theta_at), number, row))
        ended = np.full(self.rows, math.inf)
        for theta, number, row in found:
            if self.task.events[number].terminal:
                ended[row] = min(ended[row], theta)
        thetas = np.where(np.isfinite(ended), ended, 1.0)
        for theta, number, row in sorted(found):
            if theta <= ended[row]:
                alone = np.zeros(self.rows)
                alone[row] = theta
                state = theta_at(self._time(alone))
                place = np.unravel_index(row, self._shape) if self.task.batch else ()
                index = tuple(int(k) for k in place)
                self.occurrences.append(Occurrence(number, index, float(self.t[row] + theta * h[row]), state[index]))
        stopped = np.isfinite(ended)
        if stopped.any():
            self.stop_times = np.where(stopped, self.t + thetas * h, t_new)
            self.stopped_state = theta_at(self._time(np.where(stopped, thetas, 0.0)))
            self.status[stopped] = IntegrationStatus.EVENT
        return stopped

    def _root(self, event: Event, row: int, before: float, after: float, h: NDArray[np.float64], theta_at: Callable[[Any], Array]) -> float:
        if before == 0:
            return 0.0
        if after == 0:
            return 1.0

        def value(theta: float) -> float:
            thetas = np.zeros(self.rows)
            thetas[row] = theta
            return float(self._event_values(event, self.t + thetas * h, theta_at(self._time(thetas)))[row])

        if value(0.0) * value(1.0) >= 0:  # the interpolation ends a rounding error beside the step
            return 1.0
        return float(brentq(value, 0.0, 1.0, xtol=4 * np.finfo(np.float64).eps, rtol=4 * np.finfo(np.float64).eps))
