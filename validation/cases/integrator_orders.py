"""Time integrators on a nonlinear system with a closed form: the order of each, its error constant, and its error against its work.

Kaps' system with a clock that runs unevenly, ``y1' = c(t) (-3 y1 + y2^2)``, ``y2' = c(t) (y1 - y2 - y2^2)`` with ``c = 1 + cos(3 t) / 2``
and ``y(0) = (1, 1)``, has the solution ``(exp(-2 s), exp(-s))``, s being the integral of c. The time enters the right-hand side by more
than a forcing. Explicit and implicit methods get the whole of it, those of two parts ``(-3 y1, -y2)`` as the implicit or exponential one
and all else as the other.

Steps are equal and no error is controlled. The order is read off the last halving of the step whose errors are still above rounding.
Work is counted in calls of right-hand sides, those of Newton's method included, solves with matrices left out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers import integrators
from solvers.integrators import Implicit, SemiLinear, Split
from solvers.integrators.method import Method
from validation.figures import Figure, lines
from validation.options import check_between

Array = NDArray[np.float64]
END = 2.0
STIFF = np.array([-3.0, -1.0])
NEWTON = 1e-14  # what it leaves adds up over the steps
ROUNDING = 1e-11  # of the state, below which errors say nothing


@dataclass(frozen=True)
class Study:
    """Errors at the end and calls of right-hand sides for each number of steps; both lists may end before rounding hides the order."""

    order: int
    steps: tuple[int, ...]
    errors: tuple[float, ...]
    calls: tuple[int, ...]

    @property
    def observed(self) -> float:
        return math.log2(self._last[0] / self._last[1])

    @property
    def constant(self) -> float:
        """Error over h^order of the finest run that is above rounding."""
        errors, steps = self.errors[: self._count], self.steps[: self._count]
        return float(errors[-1] / (END / steps[-1]) ** self.order)

    @property
    def _count(self) -> int:
        return max(2, next((index for index, error in enumerate(self.errors) if error < ROUNDING), len(self.errors)))

    @property
    def _last(self) -> tuple[float, float]:
        return self.errors[self._count - 2], self.errors[self._count - 1]


def run(*, runs: int = 6) -> CheckReport:
    """Every method with `runs` numbers of steps, each twice the one before, from 16 (from 8 for orders above 4)."""
    check_between("runs", runs, 5, 9)
    start = time.perf_counter()
    studies = {table: {name: study(method, runs) for name, method in methods.items()} for table, methods in tables().items()}
    checks = [_check(name, found) for group in studies.values() for name, found in group.items()]
    details = {
        "methods": {
            name: {"order": found.observed, "constant": found.constant, "steps": found.steps, "errors": found.errors, "calls": found.calls}
            for group in studies.values()
            for name, found in group.items()
        },
        "figures": [figure for table, group in studies.items() for figure in _figures(table, group)],
    }
    return CheckReport("integrator-orders", checks, time.perf_counter() - start, details)


def tables() -> dict[str, Mapping[str, Method]]:
    """The public tables of deterministic methods: a new one is judged from the day that it is exported."""
    found = {name: getattr(integrators, name) for name in integrators.__all__}
    wanted = {name: value for name, value in found.items() if isinstance(value, dict) and name != "STOCHASTIC"}
    return {name.lower().replace("_", " "): value for name, value in wanted.items()}


def _check(name: str, found: Study) -> Check:
    # rounding leaves high orders a short range of steps, in which the next term of their error still counts
    margin = 0.2 if found.order <= 4 else 0.5 if found.order <= 5 else 1.0
    what = f"{name}: order; error {found.constant:.3g} h^{found.order}"
    bounds = (found.order - margin, found.order + margin)
    return Check(what, found.observed, "in", bounds, reference=f"theory: {found.order}", status="exact")


def clock(t: float) -> float:
    return 1.0 + 0.5 * math.cos(3.0 * t)


def exact(t: float) -> Array:
    s = t + math.sin(3.0 * t) / 6.0
    return np.array([math.exp(-2.0 * s), math.exp(-s)])


def whole(t: float, y: Array) -> Array:
    return clock(t) * np.stack([-3.0 * y[0] + y[1] ** 2, y[0] - y[1] - y[1] ** 2])


def rest(t: float, y: Array) -> Array:
    """What the linear half leaves."""
    return whole(t, y) - STIFF * y


def study(method: Method, runs: int) -> Study:
    """Errors and calls of one method."""
    steps = tuple((16 if method.order <= 4 else 8) * 2**index for index in range(runs))
    errors, calls = zip(*(march(method, n) for n in steps), strict=True)
    return Study(int(method.order), steps, errors, calls)


def march(method: Method, n: int) -> tuple[float, int]:
    """Largest error at the end of n equal steps, and how often a right-hand side was called."""
    calls = 0

    def counted(function: Callable[[float, Array], Array]) -> Callable[[float, Array], Array]:
        def call(t: float, y: Array) -> Array:
            nonlocal calls
            calls += 1
            return function(t, y)

        return call

    stepper, y, carry, h = _bound(method, counted), exact(0.0), None, END / n
    for index in range(n):
        advance, carry = stepper.step(index * h, y, h, carry)
        y = advance.y
    return float(np.abs(y - exact(END)).max()), calls


def _bound(method: Method, counted: Callable[[Any], Any]) -> Any:
    """The stepper for the first kind of terms that the method takes."""
    stiff = Implicit(counted(lambda t, y: STIFF * y), tolerance=NEWTON)
    kinds = (Split(counted(rest), stiff), Implicit(counted(whole), tolerance=NEWTON), SemiLinear(STIFF, counted(rest)), counted(whole))
    for terms in kinds:
        try:
            return method.bind(terms, np, 0)
        except TypeError:
            continue  # which is how a method says that these are not its terms
    raise TypeError(f"{method.name} takes none of Split, SemiLinear, Implicit and a function")


def _figures(table: str, group: Mapping[str, Study]) -> list[Figure]:
    by_step = {name: ([END / n for n in found.steps], found.errors) for name, found in group.items()}
    by_work = {name: (found.calls, found.errors) for name, found in group.items()}
    return [
        lines(f"Errors: {table}", "step", "largest error at the end", by_step, log="xy"),
        lines(f"Work and precision: {table}", "calls of right-hand sides", "largest error at the end", by_work, log="xy"),
    ]
