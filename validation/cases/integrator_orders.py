"""Time integrators on a nonlinear system with a closed form: the order of each, its error constant, and its error against its work.

Kaps' system with a clock that runs unevenly, ``y1' = c(t) (-3 y1 + y2^2)``, ``y2' = c(t) (y1 - y2 - y2^2)`` with ``c = 1 + cos(3 t) / 2``
and ``y(0) = (1, 1)``, has the solution ``(exp(-2 s), exp(-s))``, s being the integral of c. The time enters the right-hand side by more
than a forcing. Explicit and implicit methods get the whole of it, those of two parts ``(-3 y1, -y2)`` as the implicit or exponential one
and all else as the other.

Steps are equal and no error is controlled. The order is read off the last halving of the step whose errors are still above rounding. An
order above 4 leaves a short range of steps, in which the next term of the error still counts: there the slopes of the last two halvings,
which differ from the order in proportion to the step, are extrapolated to none.

Strong orders of stochastic methods are slopes of the root mean square error over paths, which solve
``dy = (a r + b^2 y / 2) dt + b r dW`` (in the sense of Ito; without the second term in that of Stratonovich) with ``r = sqrt(1 + y^2)``,
``a = cos(3 t) / 2``, that is ``y = sinh(int a dt + b W)``; methods for additive noise solve ``dy = cos(2 y + t) dt + (3 + sin 2 t) / 2 dW``
against SRA1 in fine steps. The standard error of the slope, from batches of the paths, stands beside it and is at most a third of the
margin.

Multistep methods in log-SNR follow the probability flow of Gaussian data on the variance-preserving path, whose end is known. Beside the
third order stands the widely copied one, with a second divided difference in the place of the second derivative, at 128 equal steps.
Work is counted in calls of right-hand sides, those of Newton's method included, solves with matrices left out.
"""

from __future__ import annotations

import itertools
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
# of the state, by orders up to 4 and above: below it errors say nothing. Newton's method, which only lower orders need, leaves more.
ROUNDING = (1e-11, 3e-13)


@dataclass(frozen=True)
class Study:
    """Errors at the end and calls of right-hand sides for each number of steps; both lists may end before rounding hides the order."""

    order: int
    steps: tuple[int, ...]
    errors: tuple[float, ...]
    calls: tuple[int, ...]

    @property
    def observed(self) -> float:
        errors = self.errors[: self._count][-3:]
        slopes = [math.log2(one / two) for one, two in itertools.pairwise(errors)]
        return slopes[-1] if self.order <= 4 or len(slopes) < 2 else 2 * slopes[-1] - slopes[-2]

    @property
    def constant(self) -> float:
        """Error over h^order of the finest run that is above rounding."""
        errors, steps = self.errors[: self._count], self.steps[: self._count]
        return float(errors[-1] / (END / steps[-1]) ** self.order)

    @property
    def _count(self) -> int:
        return max(3, next((index for index, error in enumerate(self.errors) if error < ROUNDING[self.order > 4]), len(self.errors)))


def run(*, runs: int = 6) -> CheckReport:
    """Every method with `runs` numbers of steps, each twice the one before, from 16 (from 8 for orders above 4)."""
    check_between("runs", runs, 6, 9)
    start = time.perf_counter()
    studies = {table: {name: study(method, runs) for name, method in methods.items()} for table, methods in tables().items()}
    checks = [_check(name, found) for group in studies.values() for name, found in group.items()]
    checks += [strong_order(name) for name in integrators.STOCHASTIC]
    checks += [*log_snr_orders(), beside_the_copied_third_order()]
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
    # of the eighth order only two slopes are above rounding, and the extrapolated one is still 0.2 too steep
    margin = 0.1 if found.order <= 5 else 0.3
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


#: theory: of multiplicative noise (one component: it commutes), and of additive noise
STRONG = {"euler_maruyama": 0.5, "milstein": 1.0, "stochastic_heun": 1.0, "sra1": 1.5, "exponential_euler": 1.0, "exponential_heun": 1.0}
PATHS, BATCHES, COUNTS, FINE, NOISE = 2000, 10, (16, 32, 64, 128), 1024, 0.8


def strong_order(name: str) -> Check:
    """Slope over `COUNTS` steps of the root mean square error of `PATHS` paths."""
    method = integrators.STOCHASTIC[name]
    path = integrators.BrownianPath((0.0, 1.0), (PATHS,), seed=4, batch=1, depth=11)
    if method.additive:
        linear = name.startswith("exponential")
        terms: Any = _additive(path, linear=linear)
        start, exact_end = np.full(PATHS, 0.5), _random_march("sra1", _additive(path, linear=False), np.full(PATHS, 0.5), FINE)
    else:
        terms = integrators.Stochastic(_drift(method.calculus == "Ito"), lambda t, y: NOISE * np.sqrt(1 + y**2), path)
        W, _ = path.increment(0.0, 1.0)
        start, exact_end = np.zeros(PATHS), np.sinh(math.sin(3.0) / 6 + NOISE * W)
    squares = np.array([(_random_march(name, terms, start, count) - exact_end) ** 2 for count in COUNTS])

    def slope(errors: Array) -> float:
        return float(-np.polyfit(np.log2(COUNTS), 0.5 * np.log2(errors.mean(axis=1)), 1)[0])

    observed = slope(squares)
    spread = float(np.std([slope(part) for part in np.split(squares, BATCHES, axis=1)], ddof=1) / math.sqrt(BATCHES))
    order = STRONG[name]
    what = f"{name}: strong order over {PATHS} paths, standard error {spread:.2g}"
    return Check(what, observed, "in", (order - 0.1, order + 0.1), reference=f"theory: {order:g}", status="exact")


def _drift(ito: bool) -> Callable[[float, Array], Array]:
    return lambda t, y: 0.5 * math.cos(3 * t) * np.sqrt(1 + y**2) + (NOISE**2 / 2 * y if ito else 0.0)


def _additive(path: Any, *, linear: bool) -> Any:
    """The equation with additive noise; `linear` takes -y of the drift apart."""

    def wave(t: float, y: Array) -> Array:
        return np.cos(2 * y + t)

    drift: Any = SemiLinear(np.array(-1.0), lambda t, y: wave(t, y) + y) if linear else wave
    return integrators.AdditiveNoise(drift, lambda t: 1.5 + math.sin(2 * t) / 2, path)


def _random_march(name: str, terms: Any, y: Array, count: int) -> Array:
    stepper, carry = integrators.STOCHASTIC[name].bind(terms, np, 1), None
    for index in range(count):
        advance, carry = stepper.step(index / count, y, 1 / count, carry)
        y = advance.y
    return y


VARIANCES, BEGIN = np.array([0.04, 0.25, 1.0, 4.0]), np.array([1.0, -0.7, 0.3, 1.5])
PATH = integrators.variance_preserving_path()
LOG_SNR = (-3.0, 3.0)


def _denoiser(x: Array, t: float) -> Array:
    """E[x1 | x_t] for data from N(0, diag(VARIANCES))."""
    return np.asarray(PATH.alpha(t) * VARIANCES / _variance(t) * x)


def _noise(x: Array, t: float) -> Array:
    return np.asarray((x - PATH.alpha(t) * _denoiser(x, t)) / PATH.sigma(t))


def _variance(t: float) -> Array:
    return np.asarray(PATH.alpha(t) ** 2 * VARIANCES + PATH.sigma(t) ** 2)


def _log_snr_error(steps: int, order: int, prediction: Any = "data", *, copied: bool = False) -> float:
    """Euclidean norm of the error at the end of equal steps in log-SNR."""
    lams = np.linspace(*LOG_SNR, steps + 1)
    times = [PATH.time(float(lam)) for lam in lams]
    if copied:
        found = _copied_third_order(lams, times)
    else:
        model = _denoiser if prediction == "data" else _noise
        found = integrators.LogSNRMultistep(order, prediction).integrate(model, PATH, times, BEGIN)
    return float(np.linalg.norm(found - np.sqrt(_variance(times[-1]) / _variance(times[0])) * BEGIN))


def _copied_third_order(lams: Array, times: list[float]) -> Array:
    """x' = sigma' / sigma x - alpha' (f1 D0 - f2 D' + f3 D''), where the copies have half of D'' (its divided difference)."""
    x = BEGIN
    known: list[tuple[float, Array]] = []
    for index, (start, end) in enumerate(itertools.pairwise(times)):
        known = [(lams[index], _denoiser(x, start)), *known][:3]
        if len(known) < 3:
            x = integrators.LogSNRMultistep(3).integrate(_denoiser, PATH, [start, end], x)
            continue
        (l0, D0), (l1, D1), (l2, D2) = known
        h = lams[index + 1] - l0
        r0, r1 = (l0 - l1) / h, (l1 - l2) / h
        one, two = (D0 - D1) / r0, (D1 - D2) / r1
        curved = (one - two) / (r0 + r1)
        f1 = math.expm1(-h)
        f2 = f1 / h + 1
        slope = one + r0 * curved
        x = PATH.sigma(end) / PATH.sigma(start) * x - PATH.alpha(end) * (f1 * D0 - f2 * slope + (f2 / h - 0.5) * curved)
    return x


def log_snr_orders() -> list[Check]:
    """Of both predictions, from 1024 and 2048 steps."""
    checks = []
    for order, prediction in itertools.product((1, 2, 3), ("data", "noise")):
        coarse, fine = (_log_snr_error(steps, order, prediction) for steps in (1024, 2048))
        name = f"log-SNR multistep {order}, prediction of {prediction}: order"
        bounds = (order - 0.1, order + 0.1)
        checks.append(Check(name, math.log2(coarse / fine), "in", bounds, reference=f"theory: {order}", status="exact"))
    return checks


def beside_the_copied_third_order() -> Check:
    ratio = _log_snr_error(128, 3, copied=True) / _log_snr_error(128, 3)
    what = "error of the copied third order over that of log-SNR multistep 3, 128 steps"
    return Check(what, ratio, ">=", 10.0, reference="second divided difference for the derivative, same run", status="peer")


def _figures(table: str, group: Mapping[str, Study]) -> list[Figure]:
    by_step = {name: ([END / n for n in found.steps], found.errors) for name, found in group.items()}
    by_work = {name: (found.calls, found.errors) for name, found in group.items()}
    return [
        lines(f"Errors: {table}", "step", "largest error at the end", by_step, log="xy"),
        lines(f"Work and precision: {table}", "calls of right-hand sides", "largest error at the end", by_work, log="xy"),
    ]
