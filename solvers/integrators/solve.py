"""The entry point for initial-value problems, and the error control that success rests on.

Local error estimates say little about what a user gets: the error of the state at the times asked for. So the whole interval is
integrated with equal steps, then again with twice as many, until the results differ by little enough. Where doubling takes a third
off the error at least, twice the difference of two runs bounds the error of the finer one. Dividing by 2^order - 1, as Richardson's
extrapolation would, is not safe here: rough initial data of a stiff problem lower the order from 4 to anything between 0.5 and 3.
Nor is a sudden fall of the differences, which may be a change of sign of the error: from one pair of runs to the next twice the
difference is taken to fall by no more than a factor of 16, and the first, which has none before it, counts eightfold. The series of
runs costs twice its last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.etdrk4 import ETDRK4
from solvers.integrators.exponential import EXPONENTIAL
from solvers.integrators.imex_multistep import IMEX_MULTISTEP
from solvers.integrators.linear_part import Operator
from solvers.integrators.method import Method
from solvers.integrators.terms import Function, SemiLinear, Terms
from solvers.integrators.trajectory import IntegrationStatus, Trajectory

Array = NDArray[Any]
_METHODS: dict[str, Method] = {**DIAGONALLY_IMPLICIT, **IMEX_MULTISTEP, **EXPONENTIAL}
#: Steps over the whole interval in the first run; odd, so that a forcing of period (t1 - t0) / 2^k does not vanish at all stages.
_FIRST_STEPS = 5


class Scheme(Protocol):
    """What a run of equal steps needs of a method."""

    def stepper(self, terms: Any, h: float) -> Callable[[float, Array], Array]:
        """The map from (t, y(t)) to y(t + h), for a run of steps one after another."""


@dataclass(frozen=True)
class _Stepping:
    """A method as a `Scheme`; `batch` as in `integrate`."""

    method: Method
    batch: int

    def stepper(self, terms: Any, h: float) -> Callable[[float, Array], Array]:
        stepper, carry = self.method.bind(terms, np, self.batch), None

        def step(t: float, y: Array) -> Array:
            nonlocal carry
            advance, carry = stepper.step(t, y, h, carry)
            return np.asarray(advance.y)

        return step


def integrate(
    terms: Any,
    span: tuple[float, float],
    y0: ArrayLike,
    method: str = "etdrk4",
    *,
    rtol: float = 1e-8,
    atol: float = 0.0,
    dt: float | None = None,
    save_at: Sequence[float] | None = None,
    batch: int = 0,
    max_steps: int = 1 << 16,
) -> Trajectory:
    """Integrate ``y' = f(t, y)``, or a right-hand side of parts, from ``span[0]`` until the global error meets the tolerance.

    Parameters
    ----------
    terms : a function f(t, y), or `SemiLinear`, `Implicit` or `Split`, as the method needs.
    span : (t0, t1) with t0 < t1.
    y0 : state at t0; computed in float64 or complex128.
    method : ``"etdrk4"``, ``"etdrk2"`` or ``"lawson4"`` for `SemiLinear` terms; ``"backward_euler"``, ``"tr_bdf2"``, ``"sdirk2"`` or
        ``"sdirk4"`` for stiff ones; ``"ark3"``, ``"ark4"``, ``"ark5"``, ``"cnab2"``, ``"sbdf2"`` or ``"sbdf3"`` for stiff and
        for split ones.
    rtol, atol : a row is done when its error, bounded as above, is at most ``atol + rtol ||y||_2`` at every time of `save_at`.
    dt : step of the first, coarsest run; None takes a fifth of the interval. Later runs halve it, so that it is a matter of cost only.
    save_at : increasing times in [t0, t1]; None saves at t1 alone. Nothing is integrated beyond the last.
    batch : number of leading axes of `y0` that count independent rows. Each row is judged and accepted by itself: its result does
        not depend on the others, beyond the rounding of transforms over several rows.
    max_steps : limit on the steps of one run.

    Returns
    -------
    Trajectory, whose status says whether the tolerance was met.

    Raises
    ------
    ValueError : for an argument that makes no sense.
    TypeError : for terms that the method cannot take.

    Examples
    --------
    The logistic equation y' = y - y^2 from 1/2, whose solution at t = ln 9 is 9/10:

    >>> import numpy as np
    >>> from solvers.integrators import SemiLinear
    >>> logistic = SemiLinear(np.ones(1), lambda t, y: -y**2)
    >>> integrate(logistic, (0.0, np.log(9.0)), [0.5], rtol=1e-10).ys.round(9).tolist()
    [[0.9]]
    """
    ts = _times(span, save_at)
    if method not in _METHODS:
        raise ValueError(f"method = {method!r} is not known: choose one of {', '.join(_METHODS)}")
    if not (rtol > 0 or atol > 0) or min(rtol, atol) < 0:
        raise ValueError(f"rtol = {rtol}, atol = {atol}: neither may be negative, and one must be positive")
    if dt is not None and not dt > 0:
        raise ValueError(f"dt = {dt} is no step: give a positive one, or None")
    y = np.asarray(y0)
    linear = getattr(terms, "linear", y)
    y = y.astype(np.result_type(y, linear.A.dtype if isinstance(linear, Operator) else np.asarray(linear), np.float64))
    if not 0 <= batch <= y.ndim:
        raise ValueError(f"batch = {batch} does not fit a state of {y.ndim} axes")
    diagonal = isinstance(terms, Terms) and not isinstance(linear, Operator)
    scheme: Scheme = ETDRK4() if method == "etdrk4" and diagonal else _Stepping(_METHODS[method], batch)
    return _Doubling(terms, scheme, float(span[0]), ts, y, batch, rtol, atol).run(dt or (span[1] - span[0]) / _FIRST_STEPS, max_steps)


def _times(span: tuple[float, float], save_at: Sequence[float] | None) -> NDArray[np.float64]:
    t0, t1 = span
    if not (math.isfinite(t0) and math.isfinite(t1) and t0 < t1):
        raise ValueError(f"span = ({t0}, {t1}) is no interval: give finite t0 < t1")
    ts = np.array([t1] if save_at is None else save_at, dtype=np.float64)
    if ts.ndim != 1 or ts.size == 0 or not (np.diff(ts) > 0).all() or not t0 <= ts[0] <= ts[-1] <= t1:
        raise ValueError(f"save_at = {ts.tolist()} must be increasing times in [{t0}, {t1}]")
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

    def __init__(self, terms: Any, scheme: Scheme, t0: float, ts: Array, y0: Array, batch: int, rtol: float, atol: float) -> None:
        self.evaluations = 0
        self.terms, self.scheme, self.t0, self.ts, self.y0 = _counted(terms, self._count), scheme, t0, ts, y0
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
        stats = {"evaluations": self.evaluations, "runs": runs}
        return Trajectory(self.ts, self.ys, self.status, self.ratio, self.steps, stats)

    def _count(self, function: Function) -> Function:
        def counting(t: Any, y: Any) -> Any:
            self.evaluations += 1
            return function(t, y)

        return counting

    def _integrate(self, lengths: Array, counts: Array) -> Array:
        """States at all times, with ``counts[i]`` equal steps from time i - 1 to time i."""
        t, y, last, step = self.t0, self.y0, math.nan, None
        ys = np.empty_like(self.ys)
        with np.errstate(over="ignore", invalid="ignore"):  # a coarse run may overflow; finer ones decide
            for i, (length, count) in enumerate(zip(lengths.tolist(), counts.tolist(), strict=True)):
                if count and length / count != last:
                    last = length / count
                    step = self.scheme.stepper(self.terms, last)
                for number in range(count):
                    assert step is not None
                    y = step(t + number * last, y)
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
