"""Flow in time, implicit throughout: backward differentiation, and Newton's method with factors that serve as many steps as they can.

    (a_0 u^(n+1) + sum_j a_j u^(n+1-j)) / dt + ((u . grad) u - nu lap u + grad p)^(n+1) = f^(n+1),   div u^(n+1) = 0

with the coefficients of backward differentiation (Hairer, Norsett and Wanner 1993, eq. III.1.22). Velocity and pressure are solved for
together: no splitting error, and the pressure has the order of the velocity. A step begins with the extrapolation of those before it and is
corrected by the factors of an earlier Jacobian; they are made anew where that no longer converges in a few corrections.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.arguments import interval, number, refuse_uncallable, shown, whole
from solvers.flow.taylor_hood.problem import Flow
from solvers.flow.taylor_hood.saddle import SaddlePoint
from solvers.flow.taylor_hood.spaces import TaylorHood
from solvers.flow.taylor_hood.state import FlowState
from solvers.result import SolverError

Array = NDArray[np.float64]
#: order -> a_0, a_1 ... of the time derivative, b_1, b_2 ... of the extrapolation that a step begins with
SCHEMES: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {
    1: ((1.0, -1.0), (1.0,)),
    2: ((3 / 2, -2.0, 1 / 2), (2.0, -1.0)),
    3: ((11 / 6, -3.0, 3 / 2, -1 / 3), (3.0, -3.0, 1.0)),
}
_PATIENCE = 8  # corrections with old factors: new ones cost as much as 50 to 100 corrections
_MAXITER = 12  # corrections with new ones
_NEWTON = 12  # corrections with new ones each, where those of the guess lead nowhere: flow that is set in motion at once
_ROUNDING = 1e-12  # of force and inertia: a smaller residual is rounding, which is all that moves a fluid at rest under its weight


class UnsteadyStatus(Enum):
    """How an integration of a flow ended; the value is the sentence a user needs."""

    SUCCESS = "every step was taken"
    DIVERGED = "Newton's method did not converge: take a smaller dt, or a finer mesh where the flow is not resolved"
    NONFINITE = "force, velocity or the flow so far are infinite or NaN in the equations of this step: look at what is given there"


@dataclass(frozen=True, eq=False)
class UnsteadyFlow:
    """Outcome of `unsteady_flow`.

    Attributes
    ----------
    state : the last state; after a failure the last one that was solved for.
    status : SUCCESS where the end was reached.
    ts : times of the initial state and of every step taken, shape (T,).
    observed : what `observe` made of the state after each step, shape (T - 1, ...); None without it.
    unknowns : number of velocity and pressure values that a step solves for.
    fill : entries in the factors of the last Jacobian.
    corrections : linear solves in all.
    factorizations : Jacobians that were factorised for them.
    """

    state: FlowState
    status: UnsteadyStatus
    ts: Array
    observed: Array | None
    unknowns: int
    fill: int
    corrections: int
    factorizations: int

    def __repr__(self) -> str:
        what = f"{self.status.name}, {len(self.ts) - 1} steps up to t = {self.ts[-1]:.6g}, {self.unknowns} unknowns"
        return f"UnsteadyFlow({what}, {self.factorizations} factorizations, {self.corrections} corrections)"

    def raise_for_status(self) -> UnsteadyFlow:
        """Return self after a success; raise `SolverError` with the time of the failure otherwise."""
        if self.status is not UnsteadyStatus.SUCCESS:
            raise SolverError(
                f"unsteady flow: {self.status.name} in step {len(self.ts)}, which begins at time {self.state.time:.6g}; the state is the "
                f"one before it: {self.status.value}"
            )
        return self


def unsteady_flow(
    flow: Flow,
    t_span: tuple[float, float],
    dt: float,
    *,
    degree: int = 3,
    spaces: TaylorHood | None = None,
    initial: FlowState | None = None,
    order: int = 2,
    rtol: float = 1e-5,
    observe: Callable[[FlowState], ArrayLike] | None = None,
) -> UnsteadyFlow:
    """Integrate ``u_t + (u . grad) u - nu lap u + grad p = f``, ``div u = 0`` with equal steps.

    Parameters
    ----------
    t_span : first and last time.
    dt : step; it is made a little smaller where the span is no multiple of it.
    degree, spaces : as in `steady_flow`.
    initial : state at the first time, on the same spaces; None is fluid at rest.
    order : of the scheme, 1 to 3. Orders 1 and 2 are A-stable; order 3 is more accurate, but waves that hardly decay may grow in it (it is
        stable in a sector of 86 degrees). It starts with Euler's method, extrapolated from one and from two steps, and then order 2.
    rtol : a step is solved where the last correction of the velocity is smaller than that, against the largest velocity; the next one would
        be several times smaller.
    observe : called with the state after every step, forces included; what it returns is kept.

    Raises
    ------
    TypeError, ValueError
        Something else than a flow, a span, step or tolerance out of range, an order that is not there, a boundary velocity that is not
        finite, an enclosed flow into which more flows than out of it, a state on other spaces, spaces on another mesh.
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow = {shown(flow)} is no flow on triangles: give Flow(mesh, viscosity, velocity, outflow)")
    start, end = interval("t_span", t_span)
    if not (math.isfinite(start) and math.isfinite(end) and end > start):
        raise ValueError(f"t_span = {t_span} must be two finite times, the second one later")
    if not 0 < number("dt", dt) <= end - start:
        raise ValueError(f"dt = {dt} must be positive and at most the span, {end - start:g}")
    if whole("order", order) not in SCHEMES:
        raise ValueError(f"order is {order}; there are {', '.join(map(str, SCHEMES))}")
    if not 0 < number("rtol", rtol) < 1:
        raise ValueError(f"rtol = {rtol} must lie between 0 and 1")
    if observe is not None:
        refuse_uncallable("observe", observe, "give a function of a FlowState, or None")
    if spaces is None:
        spaces = TaylorHood.of(flow.mesh, degree) if initial is None else initial.spaces
    if spaces.velocity.geometry.mesh is not flow.mesh:
        raise ValueError("spaces, or those of initial, belong to another mesh: make them on flow.mesh")
    if initial is not None and initial.spaces is not spaces:
        raise ValueError("initial is a flow on other spaces: pass spaces=initial.spaces")
    saddle = SaddlePoint(spaces, flow)
    x = np.zeros(spaces.n) if initial is None else saddle.join(initial)
    steps = math.ceil((end - start) / dt * (1 - 1e-12))
    scheme = _Scheme(saddle, order, (end - start) / steps, rtol)
    state = saddle.state(x, np.zeros(spaces.n), flow.viscosity, start) if initial is None else replace(initial, time=start)
    ts, observed, status = [start], [], UnsteadyStatus.SUCCESS
    for k, step in enumerate(_march(scheme, x, start, steps), start=1):
        if step.status is not UnsteadyStatus.SUCCESS:
            status = step.status
            break
        state = saddle.state(step.x, step.residual, flow.viscosity, start + k * scheme.dt)
        ts.append(state.time)
        if observe is not None:
            observed.append(np.asarray(observe(state), np.float64))
    seen = None if observe is None else np.array(observed)
    return UnsteadyFlow(state, status, np.array(ts), seen, len(saddle.free), scheme.fill, scheme.corrections, scheme.factorizations)


@dataclass(frozen=True, eq=False)
class _Step:
    """The unknowns at a time, and the residual of the equations against every test function."""

    x: Array
    residual: Array
    status: UnsteadyStatus


class _Scheme:
    """One order and one step length, and the factors that go with them."""

    def __init__(self, saddle: SaddlePoint, order: int, dt: float, rtol: float) -> None:
        self.saddle, self.order, self.dt, self.rtol = saddle, order, dt, rtol
        self.factors: Any = None
        self.fill = self.corrections = self.factorizations = 0

    def step(self, past: Sequence[Array], time: float) -> _Step:
        """From the unknowns before, the latest first, to those at a time."""
        saddle, spaces = self.saddle, self.saddle.spaces
        (_, *derivative), extrapolation = SCHEMES[self.order]
        velocity = sum(a * spaces.split(old)[0] for a, old in zip(derivative, past, strict=True))
        known = spaces.mass @ velocity / self.dt - saddle.force(time)
        guess = saddle.with_boundary(np.sum([b * old for b, old in zip(extrapolation, past, strict=True)], axis=0), time)
        with np.errstate(over="ignore", invalid="ignore"):  # where Newton's method diverges, which is found below
            first = self._residual(guess, known)
            if not np.isfinite(first).all():
                return _Step(guess, first, UnsteadyStatus.NONFINITE)
            if self.factors is not None:
                found = self._corrected(guess, first, known, _PATIENCE)
                if found.status is UnsteadyStatus.SUCCESS:
                    return found
            found = self._factorized(guess, first, known, _MAXITER)
            if found.status is UnsteadyStatus.SUCCESS:
                return found
            found = _Step(guess, first, UnsteadyStatus.DIVERGED)
            for _ in range(_NEWTON):
                found = self._factorized(found.x, found.residual, known, 1)
                if found.status is UnsteadyStatus.SUCCESS or not np.isfinite(found.residual).all():
                    break
            return found

    def _factorized(self, x: Array, residual: Array, known: Array, maxiter: int) -> _Step:
        """Corrections with the factors of x."""
        try:
            self._factorize(x)
        except np.linalg.LinAlgError:
            return _Step(x, residual, UnsteadyStatus.DIVERGED)
        return self._corrected(x, residual, known, maxiter)

    def _factorize(self, x: Array) -> None:
        spaces = self.saddle.spaces
        reaction = SCHEMES[self.order][0][0] / self.dt
        self.factors = self.saddle.factorize(spaces.jacobian(self.saddle.flow.viscosity, spaces.split(x)[0], reaction=reaction))
        self.fill = int(self.factors.L.nnz + self.factors.U.nnz)
        self.factorizations += 1

    def _corrected(self, x: Array, residual: Array, known: Array, maxiter: int) -> _Step:
        n, floor = known.size, _ROUNDING * np.linalg.norm(known)
        for _ in range(maxiter):
            before, x = x, self.saddle.corrected(x, self.factors, residual)
            residual = self._residual(x, known)
            self.corrections += 1
            if not np.isfinite(residual).all():
                break
            small = np.abs(x[:n] - before[:n]).max() <= self.rtol * np.abs(x[:n]).max()
            if small or np.linalg.norm(residual[self.saddle.free]) <= floor:
                return _Step(x, residual, UnsteadyStatus.SUCCESS)
        return _Step(x, residual, UnsteadyStatus.DIVERGED)

    def _residual(self, x: Array, known: Array) -> Array:
        saddle, spaces = self.saddle, self.saddle.spaces
        velocity, _ = spaces.split(x)
        momentum = known + SCHEMES[self.order][0][0] / self.dt * (spaces.mass @ velocity) + spaces.convection(velocity)
        residual = spaces.linear_residual(x, saddle.flow.viscosity)
        residual[: known.size] += momentum.T.ravel()
        return saddle.balanced(residual)


def _march(scheme: _Scheme, x: Array, start: float, steps: int) -> Iterator[_Step]:
    """Step after step; the caller stops at the first that is not solved."""
    past = deque([x], maxlen=scheme.order)
    for k in range(1, steps + 1):
        time = start + k * scheme.dt
        if k >= scheme.order:
            found = scheme.step(past, time)
        elif k == 1:
            found = _extrapolated(scheme, x, start)
        else:
            found = _Scheme(scheme.saddle, k, scheme.dt, scheme.rtol).step(past, time)
        yield found
        past.appendleft(found.x)


def _extrapolated(scheme: _Scheme, x: Array, start: float) -> _Step:
    """A first step with an error of third order, and with little memory of initial data that jump: Euler's method in one and in two steps,
    ``2 x_(dt/2) - x_dt``."""
    half = _Scheme(scheme.saddle, 1, scheme.dt / 2, scheme.rtol)
    steps = [_Scheme(scheme.saddle, 1, scheme.dt, scheme.rtol).step([x], start + scheme.dt), half.step([x], start + scheme.dt / 2)]
    steps.append(half.step([steps[1].x], start + scheme.dt))
    once, _, twice = steps
    failed = [step for step in steps if step.status is not UnsteadyStatus.SUCCESS]
    return failed[0] if failed else _Step(2 * twice.x - once.x, 2 * twice.residual - once.residual, UnsteadyStatus.SUCCESS)
