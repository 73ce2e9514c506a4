"""`solve_ivp` in the shape of SciPy's, for code that is written for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult

from solvers.arguments import interval, numbers
from solvers.integrators.kinds import state, to_numpy
from solvers.integrators.newton import Implicit
from solvers.integrators.solve import integrate
from solvers.integrators.trajectory import Dense, Event, IntegrationStatus

_SCIPY_NAMES = {"RK45": "dopri5", "RK23": "bosh3", "DOP853": "dop853"}
_SCIPY_STIFF = ("Radau", "BDF", "LSODA")
_CODES = {IntegrationStatus.SUCCESS: 0, IntegrationStatus.EVENT: 1}


def _columns(dense: Dense) -> Callable[[Any], Any]:
    """The state at a time, shape (n,), or at several, shape (n, times)."""
    return lambda t: to_numpy(dense(t)).T


def _matrix(jacobian: Any) -> Any:
    return np.asarray(jacobian) if isinstance(jacobian, list | tuple) else jacobian


def solve_ivp(
    fun: Callable[..., Any],
    t_span: tuple[float, float],
    y0: Any,
    method: str = "RK45",
    t_eval: Sequence[float] | None = None,
    dense_output: bool = False,
    events: Callable[..., Any] | Sequence[Callable[..., Any]] | None = None,
    *,
    args: tuple[Any, ...] = (),
    rtol: float = 1e-3,
    atol: ArrayLike = 1e-6,
    max_step: float = np.inf,
    first_step: float | None = None,
    jac: Callable[..., Any] | None = None,
) -> OptimizeResult:
    """Integrate ``y' = fun(t, y, *args)`` as `scipy.integrate.solve_ivp` does, with the methods of `integrate`.

    Parameters
    ----------
    method : "RK45", "RK23", "DOP853", or any method of `integrate` that estimates its error; for stiff equations "sdirk4" or "tr_bdf2",
        which stand for SciPy's "Radau", "BDF" and "LSODA".
    events : functions ``event(t, y, *args)`` with the attributes ``terminal`` and ``direction`` that SciPy's have.
    atol : one number, or one an entry.
    max_step : no step is longer.
    jac : of implicit methods, ``jac(t, y, *args)``.

    Returns
    -------
    With the fields of SciPy's result: t, y of shape (n, times), sol, t_events, y_events, nfev, status (0 the end was reached, 1 an event,
    -1 a failure, whose partial solution is in t and y), message, success.

    Raises
    ------
    ValueError, TypeError : as `integrate`.
    """
    if method in _SCIPY_STIFF:
        raise ValueError(
            f"method = {method!r} is SciPy's alone: take 'sdirk4' or 'tr_bdf2' for a stiff equation, 'RK45' or 'DOP853' for others"
        )
    t_span = interval("t_span", t_span)
    start = state(y0)
    if start.ndim != 1:
        raise ValueError(f"y0 has {start.ndim} axes: give one, or use integrate, which takes any shape")
    if t_eval is not None:
        t_eval = numbers("t_eval", t_eval, "give times in a list").astype(float).tolist()
        order = np.diff(t_eval) * (1.0 if t_span[1] > t_span[0] else -1.0)
        if t_eval and (not (order > 0).all() or min(t_eval) < min(t_span) or max(t_eval) > max(t_span)):
            raise ValueError(f"t_eval = {t_eval} must be times from {t_span[0]} to {t_span[1]}, in that order")
    functions = [] if events is None else [events] if callable(events) else list(events)
    watched = [
        Event(
            lambda t, y, event=event: event(t, y, *args),  # type: ignore[misc]  # bound now, not when it is called
            bool(getattr(event, "terminal", False)),
            float(getattr(event, "direction", 0.0)),
        )
        for event in functions
    ]

    def right_hand_side(t: float, y: Any) -> Any:
        return fun(t, y, *args)

    terms = right_hand_side if jac is None else Implicit(right_hand_side, lambda t, y: _matrix(jac(t, y, *args)))
    options: dict[str, Any] = {"rtol": rtol, "atol": atol, "dt": first_step, "max_step": max_step}
    found = integrate(terms, t_span, start, _SCIPY_NAMES.get(method, method), events=watched, dense=True, **options)
    assert found.dense.segments is not None
    steps = [(float(segment.stop[0]), segment.at(1.0)) for segment in found.dense.segments]
    if found.status is IntegrationStatus.EVENT:
        steps[-1] = (float(found.reached), found.last)
    times = [float(t_span[0]), *(t for t, _ in steps)]
    states = [to_numpy(start), *(to_numpy(state) for _, state in steps)]
    if t_eval is not None:
        sign = 1.0 if t_span[1] > t_span[0] else -1.0
        times = [t for t in t_eval if sign * (float(found.reached) - t) >= 0]
        states = [to_numpy(start) if t == t_span[0] else to_numpy(found.dense(t)) for t in times]
    met = [[o for o in found.occurrences if o.event == number] for number in range(len(watched))]
    code = _CODES.get(found.status, -1)
    return OptimizeResult(
        t=np.array(times),
        y=np.stack(states, axis=1) if states else np.empty((len(start), 0)),
        sol=_columns(found.dense) if dense_output else None,
        t_events=[np.array([o.t for o in some]) for some in met] if functions else None,
        y_events=[np.array([to_numpy(o.y) for o in some]) for some in met] if functions else None,
        nfev=found.stats["evaluations"],
        status=code,
        message=found.status.value,
        success=code >= 0,
    )
