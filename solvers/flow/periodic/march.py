"""March a periodic flow in time: steps that convection allows, every step watched, states at the times asked for.

Where a bound on the error is wanted, `solvers.integrate` takes a flow as its terms and repeats the integration until it has one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.arguments import fits, number, numbers, shown, whole
from solvers.flow.periodic.spectral import SpectralFlow
from solvers.flow.periodic.steppers import METHODS, FlowMethod, Step
from solvers.flow.periodic.transforms import array_or_tensor, transforms_of
from solvers.result import SolverError

Array = NDArray[Any]
#: A step that has become this much shorter than it need be is lengthened.
_SLACK = 1.5


class FlowStatus(Enum):
    """How a march ended; the value is the sentence a user needs."""

    SUCCESS = "every step was stable for convection and the flow is finite at all times asked for"
    CFL = "the flow became too fast for dt: repeat with dt at most largest_dt, or with dt = None, which follows the flow"
    NONFINITE = "the flow became NaN or infinite in this step: go on from last_good with shorter steps, or look at the initial state"
    MAX_STEPS = "the limit on steps was reached first: raise max_steps, or end earlier"


@dataclass(frozen=True)
class FlowTrajectory:
    """Outcome of a march.

    Attributes
    ----------
    ts : times asked for, shape (T,).
    states : at these times, T arrays or tensors of the initial state's shape; NaN from where a row ended early.
    row_status : one `FlowStatus` a row, an object array of the batch's shape.
    last_good : for each row its last state that was finite, in the state's shape: what `march` may go on from.
    last_times, last_steps : when that was, and the steps that led there; the batch's shape.
    largest_dt : for each row the largest step that the method's limit allowed on the way; the batch's shape.
    steps, evaluations : steps taken, and calls of the nonlinear terms, each with the whole batch.
    """

    ts: NDArray[np.float64]
    states: list[Any]
    row_status: NDArray[np.object_]
    last_good: Any
    last_times: NDArray[np.float64]
    last_steps: NDArray[np.int64]
    largest_dt: NDArray[np.float64]
    steps: int
    evaluations: int

    @property
    def status(self) -> FlowStatus:
        """SUCCESS where every row succeeded, else the status of the first row that did not."""
        rows: list[FlowStatus] = self.row_status.ravel().tolist()
        return next((status for status in rows if status is not FlowStatus.SUCCESS), FlowStatus.SUCCESS)

    def __repr__(self) -> str:
        rows = "" if self.row_status.ndim == 0 else f", {self.row_status.size} rows"
        what = f"{self.status.name}{rows}, {len(self.states)} states of shape {tuple(self.last_good.shape)} up to t = {self.ts[-1]:.6g}"
        return f"FlowTrajectory({what}, {self.steps} steps, {self.evaluations} evaluations)"

    def raise_for_status(self) -> FlowTrajectory:
        """Return self after a success; raise `SolverError` with the diagnosis otherwise."""
        if self.status is not FlowStatus.SUCCESS:
            row = np.flatnonzero(self.row_status.ravel() != FlowStatus.SUCCESS)[0]
            time, steps, largest = (one.ravel()[row] for one in (self.last_times, self.last_steps, self.largest_dt))
            what = f"row {row} ended with {self.status.name} in step {steps + 1}, from t = {time:g}, largest_dt = {largest:.3g}"
            raise SolverError(f"{what}: {self.status.value}")
        return self


def march(
    flow: SpectralFlow,
    state: Any,
    times: float | Sequence[float],
    *,
    dt: float | None = None,
    method: str = "etdrk4",
    safety: float = 0.5,
    max_steps: int = 1 << 20,
) -> FlowTrajectory:
    """March `state` to `times`.

    Parameters
    ----------
    flow : the equations, a `VorticityFlow` or `VelocityFlow`.
    state : from ``flow.to_state``, shape (*batch, *modes), a NumPy array or a torch tensor; it is not changed.
    times : increasing and positive, counted from `state`; one number stands for a list of one.
    dt : largest step; each interval between times is divided into equal ones. None chooses steps of `safety` times what
        the method's limit allows, anew whenever the flow asks for others; the whole batch takes the same, those of its fastest row.
    method : ``"etdrk4"`` (fourth order, four evaluations a step) or ``"cnab2"`` (second order, one evaluation).
    safety : in (0, 1]; 1/2 is stable and leaves errors of some 1e-5 in a unit of the turnover time, 1/8 of some 1e-7.
    max_steps : limit on the number of steps.

    Returns
    -------
    FlowTrajectory. A row that ends early does not disturb the others.

    Raises
    ------
    TypeError, ValueError : for an argument that makes no sense, or a `dt` that convection in the initial state does not allow.
    """
    if not isinstance(flow, SpectralFlow):
        raise TypeError(f"flow = {shown(flow)} is no periodic flow: give VorticityFlow or VelocityFlow, or take march_mac for a MACFlow")
    ts = np.atleast_1d(numbers("times", times, "give a time, or times in a list").astype(np.float64))
    if ts.ndim != 1 or ts.size == 0 or not np.isfinite(ts).all() or not (np.diff(ts, prepend=0.0) > 0).all():
        raise ValueError(f"times = {np.asarray(times).tolist()} must be positive and increasing")
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method = {method!r} is not known: choose one of {', '.join(METHODS)}")
    if dt is not None and not 0 < number("dt", dt, "give a positive step, or None") < math.inf:
        raise ValueError(f"dt = {dt} is no step: give a positive one, or None to follow the flow")
    if not 0 < number("safety", safety) <= 1:
        raise ValueError(f"safety = {safety} is no part of a limit: give one above 0 and at most 1")
    if whole("max_steps", max_steps) < 1:
        raise ValueError(f"max_steps = {max_steps}: give 1 at least")
    state = array_or_tensor("state", state)
    if len(state.shape) < flow.state_axes:
        raise ValueError(f"state has {len(state.shape)} axes; this flow needs {flow.state_axes} at least: make it with to_state")
    if not fits(np.shape(flow.linear), tuple(state.shape)):
        raise ValueError(
            f"state has shape {tuple(state.shape)}, where the kept coefficients of this flow have {np.shape(flow.linear)}: make it with "
            "to_state, from as many flows as viscosity has entries"
        )
    return _March(flow, METHODS[method], state, dt, safety).run(ts, max_steps)


class _March:
    """The state under way. A row that has ended rests at zero."""

    def __init__(self, flow: SpectralFlow, method: FlowMethod, state: Any, dt: float | None, safety: float) -> None:
        self.flow, self.method, self.dt, self.safety, self.xp = flow, method, dt, safety, transforms_of(state)
        batch = tuple(state.shape[: len(state.shape) - flow.state_axes])
        self.y = self.before = self.last_good = state + 0
        self.t = self.t_before = self.h = 0.0
        self.step: Step | None = None
        self.history: Any = None
        self.status = np.full(batch, FlowStatus.SUCCESS, dtype=object)
        self.alive = np.ones(batch, bool)
        self.last_times, self.last_steps, self.largest_dt = np.zeros(batch), np.zeros(batch, np.int64), np.full(batch, np.inf)
        self.steps = self.evaluations = 0

    def run(self, ts: Array, max_steps: int) -> FlowTrajectory:
        states = []
        with np.errstate(over="ignore", invalid="ignore"):  # a row that breaks is found by its status
            for start, end in zip([0.0, *ts[:-1].tolist()], ts.tolist(), strict=True):
                self._advance(start, end, max_steps)
                states.append(self._masked(self.y, math.nan))
        self.last_good = self._where(self.alive, self.y, self.last_good)
        self.last_times[self.alive], self.last_steps[self.alive] = self.t, self.steps
        ended = (self.status, self.last_good, self.last_times, self.last_steps, self.largest_dt)
        return FlowTrajectory(ts, states, *ended, self.steps, self.evaluations)

    def _advance(self, start: float, end: float, max_steps: int) -> None:
        """March to `end`, or until no row is left."""
        self.h = 0.0
        while self.t < end and self.alive.any():
            Ny, rate = self.flow.nonlinear_and_rate(self.y, rate=True)
            rates = np.array(rate.tolist())
            if self.steps == 0 and not np.isfinite(rates).all():
                raise ValueError("state holds NaN or infinity: look for it in the vorticity or velocity that it was made from")
            self._end(~np.isfinite(rates), FlowStatus.NONFINITE, self.before, self.t_before)
            allowed = self.method.limit / np.maximum(rates, np.finfo(float).tiny)
            self.largest_dt[self.alive] = np.minimum(self.largest_dt, allowed)[self.alive]
            self._choose(start, end, allowed)
            self._end(self.h > allowed, FlowStatus.CFL, self.y, self.t)
            if self.steps == max_steps:
                self._end(self.alive, FlowStatus.MAX_STEPS, self.y, self.t)
            if self.alive.any():
                self._step(Ny, end)
        rows = tuple(range(-self.flow.state_axes, 0))
        self._end(~np.isfinite(np.array(abs(self.y).sum(rows).tolist())), FlowStatus.NONFINITE, self.before, self.t_before)

    def _choose(self, start: float, end: float, allowed: Array) -> None:
        """The next step and its stepper; refuses a dt that the initial state does not allow."""
        most = allowed[self.alive].min(initial=np.inf)
        if self.dt is not None:
            h = (end - start) / math.ceil((end - start) / self.dt * (1 - 1e-12))
            if self.steps == 0 and h > most:
                raise ValueError(f"dt = {self.dt:g} is too long for convection in the initial state: give at most {most:.3g}, or None")
        else:
            wanted, left = self.safety * most, end - self.t
            h = self.h if wanted / _SLACK <= self.h <= wanted * _SLACK else left / max(1, math.ceil(left / wanted))
        if h != self.h:
            self.h, self.step = h, self.method.stepper(self.flow, h, self.y)

    def _step(self, Ny: Any, end: float) -> None:
        assert self.step is not None
        self.before, self.t_before = self.y, self.t
        self.y, self.history = self.step(self._masked(self.y, 0.0), self._masked(Ny, 0.0), self.history)
        self.t = end if end - self.t < 1.5 * self.h else self.t + self.h
        self.steps += 1
        self.evaluations += self.method.evaluations

    def _end(self, rows: Any, status: FlowStatus, state: Any, t: float) -> None:
        """Let those of `rows` that are alive end with `status`, and keep `state` of them."""
        ending = np.asarray(rows & self.alive)
        if ending.any():
            self.last_good = self._where(~ending, self.last_good, state)
            self.status[ending], self.last_times[ending] = status, t
            self.last_steps[ending] = self.steps - (status is FlowStatus.NONFINITE)  # which the step just taken led to
            self.alive = self.alive & ~ending

    def _masked(self, values: Any, fill: float) -> Any:
        """A copy with `fill` in the rows that have ended, or `values` itself where all are alive."""
        return values if self.alive.all() else self._where(self.alive, values, fill)

    def _where(self, rows: Any, chosen: Any, other: Any) -> Any:
        return self.xp.where(rows.reshape(*rows.shape, *(1,) * self.flow.state_axes), chosen, other)
