"""The entry point for initial-value problems, and global error control.

Local error estimates say little about what a user gets: the error of the state at the times asked for. With global control the whole
interval is integrated with equal steps, then again with twice as many, until the results differ by little enough. Where doubling takes a
third off the error at least, twice the difference of two runs bounds the error of the finer one. Dividing by 2^order - 1, as Richardson's
extrapolation would, is not safe here: rough initial data of a stiff problem lower the order from 4 to anything between 0.5 and 3.
Nor is a sudden fall of the differences, which may be a change of sign of the error: from one pair of runs to the next twice the
difference is taken to fall by no more than a factor of 16, and the first, which has none before it, counts eightfold. The series of
runs costs twice its last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.arguments import fits, interval, number, numbers, shown, whole
from solvers.integrators.adjoint import replayed
from solvers.integrators.control import StepControl
from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.explicit import EXPLICIT, ExplicitRungeKutta
from solvers.integrators.exponential import EXPONENTIAL
from solvers.integrators.imex_multistep import IMEX_MULTISTEP
from solvers.integrators.kinds import in_kind, is_complex, is_torch, namespace, state, to_numpy
from solvers.integrators.linear_part import Operator
from solvers.integrators.march import March, Task
from solvers.integrators.method import Method
from solvers.integrators.newton import Implicit
from solvers.integrators.sde import STOCHASTIC, AdditiveNoise, Stochastic
from solvers.integrators.splitting import Split
from solvers.integrators.terms import Function, SemiLinear, Terms, derivative, linear_of, refuse_unfit
from solvers.integrators.trajectory import Event, IntegrationStatus, Trajectory

Array = NDArray[Any]
_METHODS: dict[str, Method] = {**EXPLICIT, **DIAGONALLY_IMPLICIT, **IMEX_MULTISTEP, **EXPONENTIAL, **STOCHASTIC}
#: Steps over the whole interval in the first run; odd, so that a forcing of period (t1 - t0) / 2^k does not vanish at all stages.
_FIRST_STEPS = 5


def integrate(
    terms: Any,
    span: tuple[float, float],
    y0: Any,
    method: str = "tsit5",
    *,
    rtol: float = 1e-8,
    atol: ArrayLike | None = None,
    dt: float | None = None,
    max_step: float = math.inf,
    save_at: Sequence[float] | None = None,
    events: Sequence[Event] = (),
    batch: int = 0,
    max_steps: int = 1 << 16,
    control: StepControl | Literal["global", "fixed"] | None = None,
    dense: bool = False,
    checkpoints: int | None = None,
) -> Trajectory:
    """Integrate ``y' = f(t, y)``, or a right-hand side of parts, from ``span[0]`` to ``span[1]``.

    Parameters
    ----------
    terms : a function f(t, y), or `SemiLinear`, `Implicit`, `Split`, `Stochastic` or `AdditiveNoise`, as the method needs.
    span : (t0, t1), also backward in time.
    y0 : state at t0, a NumPy or torch array, real or complex. Torch differentiates through all steps.
    method : explicit ``"euler"``, ``"heun"``, ``"ssprk33"``, ``"ssprk54"``, ``"rk4"``, ``"bosh3"``, ``"dopri5"``, ``"tsit5"`` or
        ``"dop853"``; ``"etdrk4"``, ``"etdrk2"`` or ``"lawson4"`` for `SemiLinear` terms; ``"backward_euler"``, ``"tr_bdf2"``,
        ``"sdirk2"`` or ``"sdirk4"`` for stiff ones; ``"ark3"``, ``"ark4"``, ``"ark5"``, ``"cnab2"``, ``"sbdf2"`` or ``"sbdf3"`` for
        stiff and for split ones; the names in `STOCHASTIC` for noise, with fixed steps.
    rtol, atol : what errors are held against. Local control: the root-mean-square of ``error / (atol + rtol |y|)`` over a row's entries is
        below 1 in every step; atol is one number, or an array (or tensor) that broadcasts against the state; None is rtol. Global control:
        a row is done when the bound on its error is at most ``atol + rtol ||y||_2`` at every time of `save_at`; atol is one number, None
        is 0.
    dt : the first step; the one step size of fixed steps; None chooses one.
    max_step : no step is longer; for a right-hand side that does something only for short times. Not with fixed steps.
    save_at : times on the way from t0 to t1, in order; None saves at t1 alone. Without events or dense output nothing is integrated
        beyond the last.
    events : signs to look for on the way; not with global control.
    batch : number of leading axes of `y0` that count independent rows. Each row has its own steps and its own end: its result does
        not depend on the others, with local control to the bit. f is given a time for each row, as an array that broadcasts against y.
    max_steps : limit on attempted steps (on the steps of one run with global control).
    control : `StepControl` holds the local error of every step, which is the default where the method estimates it. ``"global"``
        repeats the whole interval with halved steps until a bound on the global error is met (see the module), the default
        for other methods; NumPy states only. ``"fixed"`` takes steps of `dt` and estimates nothing.
    dense : keep what `Trajectory.dense` needs to give the state at any time.
    checkpoints : torch states and explicit Runge-Kutta methods only: keep the graph of a gradient in this many parts, each of which is made
        again when the gradient passes through it. Memory falls to that of one part, for one more pass of evaluations; the square root of
        the number of steps suits. None keeps the whole graph.

    Returns
    -------
    Trajectory, whose status says how it ended; whatever was reached is in it.

    Raises
    ------
    ValueError : for an argument that makes no sense.
    TypeError : for terms that the method cannot take.

    Examples
    --------
    The logistic equation y' = y - y^2 from 1/2, whose solution at t = ln 9 is 9/10:

    >>> import numpy as np
    >>> integrate(lambda t, y: y - y**2, (0.0, np.log(9.0)), [0.5], rtol=1e-10).ys.round(9).tolist()
    [[0.9]]
    """
    start, stop = interval("span", span)
    ts = _times(start, stop, save_at)
    end = stop if events or dense else float(ts[-1])
    chosen = _METHODS.get(method) if isinstance(method, str) else None
    if chosen is None:
        raise ValueError(f"method = {method!r} is not known: choose one of {', '.join(_METHODS)}")
    if control is None:
        control = StepControl() if chosen.error_order is not None else "fixed" if method in STOCHASTIC else "global"
    if isinstance(control, str) and control not in ("global", "fixed"):
        raise ValueError(f"control = {control!r} is not known: give a StepControl, 'global' or 'fixed'")
    dt, max_step = _steps(dt, max_step, control == "fixed", max(abs(start), abs(end)))
    if not isinstance(events, Sequence) or not all(isinstance(event, Event) for event in events):
        raise ValueError(f"events = {events!r}: give a list of Event(function), empty for none")
    y = state(y0)
    if not 0 <= whole("batch", batch) <= y.ndim:
        raise ValueError(f"batch = {batch} does not fit a state of {y.ndim} axes")
    if whole("max_steps", max_steps) < 1:
        raise ValueError(f"max_steps = {max_steps}: give 1 at least")
    rtol, allowed = _tolerances(rtol, atol, y, control == "global")
    chosen.bind(terms, namespace(y), batch)  # which says what is wrong with terms that do not fit the method
    _refuse_unfit(terms, y)
    if control == "global":
        first = min((stop - start) / _FIRST_STEPS if dt is None else dt, max_step)
        return _globally(terms, chosen, (start, stop), ts, y, batch, rtol, allowed, first, max_steps, events, dense)
    if isinstance(control, StepControl) and chosen.error_order is None:
        raise ValueError(f"method = {method!r} estimates no error: take control='global', or control='fixed' with a dt")
    if control == "fixed" and dt is None:
        raise ValueError("control = 'fixed' needs dt, the size of the steps")
    held = control if isinstance(control, StepControl) else None
    y, keep = _fitting_state(terms, y), checkpoints is not None
    task = Task(
        chosen, terms, _whole(terms), start, ts, end, y, batch, rtol, allowed, dt, max_step, held, events, max_steps, dense, keep
    )  # fmt: skip
    return _marched(task, checkpoints)


def _marched(task: Task, checkpoints: int | None) -> Trajectory:
    """The trajectory of steps that are taken once."""
    evaluations = 0

    def count(function: Function) -> Function:
        def counting(t: Any, y: Any) -> Any:
            nonlocal evaluations
            evaluations += 1
            return function(t, y)

        return counting

    counted = _counted(task.terms, count)
    task = replace(task, terms=counted, derivative=_whole(counted))
    if checkpoints is None:
        found = March(task).run()
        ys, last = found.ys, found.last
    else:
        if checkpoints < 1 or not isinstance(task.method, ExplicitRungeKutta) or task.events or task.keep_dense or not is_torch(task.y0):
            raise ValueError(
                f"checkpoints = {checkpoints} needs a torch state, an explicit Runge-Kutta method without events and dense output, "
                "and one part at least: leave it out, or change these"
            )
        with namespace(task.y0).no_grad():
            found = March(task).run()
        ys, last = replayed(task, found, checkpoints)
    stats = {"evaluations": evaluations, "runs": 1, "rejected": int(found.rejected.sum())}
    no_bound = np.full(found.status.shape, math.nan)
    events = tuple(found.occurrences)
    return Trajectory(task.ts, ys, found.status, no_bound, found.steps, stats, found.reached, last, events, found.dense)


def _globally(
    terms: Any,
    method: Method,
    span: tuple[float, float],
    ts: Array,
    y: Any,
    batch: int,
    rtol: float,
    atol: float,
    dt: float,
    max_steps: int,
    events: Sequence[Event],
    dense: bool,
) -> Trajectory:
    if is_torch(y):
        raise TypeError("control = 'global' takes NumPy states: give one, or take a method with an error estimate, or control='fixed'")
    if events or dense:
        raise ValueError("events and dense output need steps that are taken once: give a StepControl, or control='fixed' with a dt")
    if span[1] < span[0]:
        raise ValueError(f"span = {span} goes backward, which control = 'global' does not: replace t by -t, or give a StepControl")
    linear = getattr(terms, "linear", y)
    y = y.astype(np.result_type(y, linear.A.dtype if isinstance(linear, Operator) else np.asarray(linear), np.float64))
    return _Doubling(terms, method, float(span[0]), ts, y, batch, rtol, atol).run(dt, max_steps)


def _fitting_state(terms: Any, y: Any) -> Any:
    """The state, complex where a linear part is."""
    linear = getattr(terms, "linear", None)
    linear = linear.A if isinstance(linear, Operator) else linear
    if is_complex(y) or not hasattr(linear, "dtype") or not is_complex(linear):
        return y
    return y + 0j


def _whole(terms: Any) -> Function:
    """The whole right-hand side, for first steps and cubic interpolation."""
    if isinstance(terms, Split):
        one, two = derivative(terms.explicit), _whole(terms.implicit)
        return lambda t, y: one(t, y) + two(t, y)
    if isinstance(terms, Implicit):
        return derivative(terms.function)
    if isinstance(terms, Operator) or hasattr(terms, "dtype"):
        return derivative(SemiLinear(terms))
    if isinstance(terms, (Stochastic, AdditiveNoise)):
        return derivative(terms.drift)
    return derivative(terms)


def _steps(dt: float | None, max_step: float, fixed: bool, latest: float) -> tuple[float | None, float]:
    """The first and the largest step, checked; `latest` is the largest magnitude of a time."""
    if dt is not None and not 0 < number("dt", dt, "give a positive step, or None") < math.inf:
        raise ValueError(f"dt = {dt} is no step: give a positive one, or None")
    if not number("max_step", max_step, "give a positive step, or infinity for no limit") > 0:
        raise ValueError(f"max_step = {max_step} is no step: give a positive one, or infinity for no limit")
    if fixed and max_step < math.inf:
        raise ValueError(f"max_step = {max_step} is given with control = 'fixed', where every step is dt: leave it out")
    if max_step <= 10 * np.spacing(latest):
        raise ValueError(f"max_step = {max_step} is lost in the rounding of times up to {latest:g}: raise it, or measure time from nearby")
    return None if dt is None else float(dt), float(max_step)


def _tolerances(rtol: float, atol: Any, y: Any, by_norm: bool) -> tuple[float, Any]:
    """Both, checked: atol as a number, or as an array of the state's kind; `by_norm` says that errors are measured by norms of rows."""
    relative = number("rtol", rtol, "give one number; atol takes one an entry")
    if atol is None:
        atol = 0.0 if by_norm else relative
    absolute = numbers("atol", to_numpy(atol) if is_torch(atol) else atol, "give one number, or one an entry")
    if absolute.ndim and by_norm:
        raise ValueError(f"atol has shape {absolute.shape}, but control = 'global' bounds the norm of a row: give one number")
    if not fits(absolute.shape, tuple(y.shape)):
        raise ValueError(f"atol has shape {absolute.shape} for a state of shape {tuple(y.shape)}: give one number, or one an entry")
    if not (relative >= 0 and (absolute >= 0).all() and (relative > 0 or (absolute > 0).all())):
        raise ValueError(f"rtol = {rtol}, atol = {shown(atol)}: neither may be negative, and one must be positive")
    return relative, in_kind(absolute, y) if absolute.ndim else float(absolute)


def _refuse_unfit(terms: Any, y: Any) -> None:
    """Raise ValueError where a constant linear part among the terms does not act on states like y."""
    if isinstance(terms, Split):
        if not isinstance(terms.implicit, Implicit) and not callable(terms.implicit):
            refuse_unfit("Split.implicit", terms.implicit, y)
        return
    if isinstance(terms, AdditiveNoise):
        terms = terms.drift
    if isinstance(terms, Terms):
        refuse_unfit("linear", linear_of("linear", terms.linear), y)


def _times(t0: float, t1: float, save_at: Sequence[float] | None) -> NDArray[np.float64]:
    if not (math.isfinite(t0) and math.isfinite(t1) and t0 != t1):
        raise ValueError(f"span = ({t0}, {t1}) is no interval: give finite times t0 and t1 that differ")
    ts = np.array([t1] if save_at is None else numbers("save_at", save_at, "give times in a list"), dtype=np.float64)
    sign = 1.0 if t1 > t0 else -1.0
    if ts.ndim != 1 or ts.size == 0 or not (sign * np.diff(ts) > 0).all() or not 0 <= sign * (ts[0] - t0) <= sign * (t1 - t0):
        raise ValueError(f"save_at = {ts.tolist()} must be {'in' if sign > 0 else 'de'}creasing times from {t0} to {t1}")
    if sign * (ts[-1] - t1) > 0:
        raise ValueError(f"save_at = {ts.tolist()} must be {'in' if sign > 0 else 'de'}creasing times from {t0} to {t1}")
    return ts


def _counted(terms: Any, count: Callable[[Function], Function]) -> Any:
    """The terms with `count` around their functions."""
    if hasattr(terms, "counted"):
        return terms.counted(count)
    if isinstance(terms, Terms):
        return SemiLinear(terms.linear, terms.nonlinear).counted(count)
    return count(terms) if callable(terms) else terms


class _Doubling:
    """Runs with ever more steps, and per row the finest result with its judgement."""

    def __init__(self, terms: Any, method: Method, t0: float, ts: Array, y0: Array, batch: int, rtol: float, atol: float) -> None:
        self.evaluations = 0
        self.terms, self.method, self.t0, self.ts, self.y0 = _counted(terms, self._count), method, t0, ts, y0
        self.batch, self.rtol, self.atol = batch, rtol, atol
        rows = y0.shape[:batch]
        self.ys = np.full((len(ts), *y0.shape), np.nan, y0.dtype)
        self.status = np.full(rows, IntegrationStatus.MAX_STEPS, dtype=object)
        self.ratio, self.steps = np.full(rows, np.inf), np.zeros(rows, np.int64)

    def run(self, dt: float, max_steps: int) -> Trajectory:
        lengths = np.diff(self.ts, prepend=self.t0)
        counts = np.ceil(lengths / dt * (1 - 1e-12)).astype(np.int64)
        counts[lengths > 0] = np.maximum(counts[lengths > 0], 1)
        open_rows: Array = np.asarray(np.isfinite(self.y0).all(axis=tuple(range(self.batch, self.y0.ndim))))
        self.status[~open_rows] = IntegrationStatus.NONFINITE
        before, difference, runs = None, None, 0
        while open_rows.any() and counts.sum() <= max_steps:
            smallest = (lengths[counts > 0] / counts[counts > 0]).min(initial=np.inf)
            if smallest < 4 * np.spacing(np.abs(self.ts).max(initial=abs(self.t0))):
                self.status[open_rows] = IntegrationStatus.STEP_UNDERFLOW
                break
            ys = self._integrate(lengths, counts)
            runs += 1
            self._keep(ys, int(counts.sum()), open_rows)
            if before is not None:
                previous, difference = difference, self._difference(ys, before)
                bound = 8 * difference if previous is None else np.maximum(2 * difference, previous / 8)
                self.ratio[open_rows] = bound[open_rows]
                done = open_rows & (self.ratio <= 1)
                self.status[done] = IntegrationStatus.SUCCESS
                open_rows = open_rows & ~done
            before, counts = ys, 2 * counts
        self._mark_nonfinite(open_rows)
        stats = {"evaluations": self.evaluations, "runs": runs, "rejected": 0}
        return Trajectory(self.ts, self.ys, self.status, self.ratio, self.steps, stats, *self._ends())

    def _ends(self) -> tuple[Array, Array]:
        """The last time up to which each row is finite, and the state there."""
        known = np.concatenate([self.y0[None], self.ys])
        finite = np.logical_and.accumulate(np.isfinite(known).all(axis=tuple(range(1 + self.batch, known.ndim))), axis=0)
        last = np.maximum(finite.sum(axis=0) - 1, 0)
        states = np.take_along_axis(known, last.reshape((1, *last.shape, *(1,) * (known.ndim - 1 - self.batch))), axis=0)[0]
        return np.asarray(np.array([self.t0, *self.ts])[last]), states

    def _count(self, function: Function) -> Function:
        def counting(t: Any, y: Any) -> Any:
            self.evaluations += 1
            return function(t, y)

        return counting

    def _integrate(self, lengths: Array, counts: Array) -> Array:
        """States at all times, with ``counts[i]`` equal steps from time i - 1 to time i."""
        t, y, last, carry = self.t0, self.y0, math.nan, None
        stepper = self.method.bind(self.terms, np, self.batch)
        ys = np.empty_like(self.ys)
        with np.errstate(over="ignore", invalid="ignore"):  # a coarse run may overflow; finer ones decide
            for i, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
                if count and length / count != last:
                    last, carry = length / count, None
                for number in range(count):
                    advance, carry = stepper.step(t + number * last, y, last, carry)
                    y = np.asarray(advance.y)
                t, ys[i] = float(self.ts[i]), y
        return ys

    def _norms(self, ys: Array) -> Array:
        """Euclidean norms over the axes of one state: shape (T, *rows)."""
        axes = tuple(range(1 + self.batch, ys.ndim))
        return np.asarray(np.sqrt(np.sum(np.abs(ys) ** 2, axis=axes)))

    def _difference(self, ys: Array, before: Array) -> Array:
        """Difference of two runs over what the tolerance allows, largest over the times; infinite where one is not finite."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            difference, allowed = self._norms(ys - before), self.atol + self.rtol * self._norms(ys)
            scaled = np.where(difference == 0, 0.0, difference / allowed).max(axis=0)
        return np.where(np.isfinite(scaled), scaled, np.inf)

    def _keep(self, ys: Array, steps: int, rows: Array) -> None:
        self.ys[:, rows], self.steps[rows] = ys[:, rows], steps

    def _mark_nonfinite(self, rows: Array) -> None:
        axes = (0, *range(1 + self.batch, self.ys.ndim))
        broken = rows & (self.steps > 0) & ~np.isfinite(self.ys).all(axis=axes)
        self.status[broken] = IntegrationStatus.NONFINITE
