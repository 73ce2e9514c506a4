"""Time integration of a flow on a staggered grid: half-explicit Runge-Kutta steps that project at every stage.

The method is Williamson's low-storage one of third order ("Low-storage Runge-Kutta schemes", J. Comput. Phys. 35 (1980), case 7): with
tendency G and stages s = 1, 2, 3

    G = A_s G + F(u),    u* = u + B_s dt G,    u = u* - grad psi,    div grad psi = div u*,

A = (0, -5/9, -153/128), B = (1/3, 15/16, 8/15), boundary values being those of the times t + (1/3, 3/4, 1) dt. Since the discrete
gradient does not depend on time or state, projecting every stage is the Runge-Kutta method applied to the equation that the projection
leaves over (Sanderse and Koren, "Accuracy analysis of explicit Runge-Kutta methods applied to the incompressible Navier-Stokes equations",
J. Comput. Phys. 231 (2012)): no splitting error, no intermediate boundary condition to get wrong, third order in time for the velocity.
A pressure of the last stage would be of first order only. So it is computed where it is asked for, from the velocity alone,
``div grad p = div F(u) - d/dt (div u of the sides)``, which gives it the order of the velocity, except in the corners of a box, where
it is of first order in the cell's size.

Diffusion is explicit, too. A step with implicit diffusion and AB2 advection needs a Helmholtz solve for each component beside the pressure
and stays below a Courant number of about 0.6, where three stages reach 1.73: it would win only for cell Reynolds numbers |u| h / nu below
about 2, and around solids each of these solves is iterative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.arguments import interval, number, numbers, refuse_uncallable, shown, whole
from solvers.flow.mac.flow import MACFlow, Start, evaluated
from solvers.flow.mac.sides import spread
from solvers.flow.mac.stepper import Imbalance, MACState, Stepper
from solvers.result import SolverError

Array = NDArray[np.float64]


class MACStatus(Enum):
    """How a march ended; the value is the sentence a user needs."""

    SUCCESS = "the last time was reached"
    STEADY = "the velocity no longer changes faster than steady_rate allows"
    UNSTABLE_STEP = "dt is larger than the scheme is stable with: take dt=None, or the largest step that the diagnosis gives"
    NONFINITE = "the velocity became NaN or infinite: look at the initial state, the force and the sides at that time"
    IMBALANCE = "more flows in through the sides than out: balance their velocities, or let one side be an Outflow"
    PRESSURE = "iterations for the pressure around solids did not converge: take shorter steps, or look at the force at that time"
    MAX_STEPS = "the limit on steps was reached first: raise max_steps, or end earlier"


@dataclass(frozen=True)
class MACHistory:
    """Outcome of a march.

    Attributes
    ----------
    ts : times that were reached of those asked for, and the last time reached, shape (T,).
    velocity : one array a component on its faces, shape (T, *cells with one more along its own axis).
    pressure : in the centres, shape (T, *cells), with mean zero where it is known up to a constant only, and zero in solids.
    scalar : in the centres, shape (T, *cells); None where the flow carries none.
    status : how it ended.
    steps : time steps taken.
    rate : largest ``|du/dt|`` (and of the scalar) of the discrete equations at the last time, over the largest velocity there; zero for a
        steady state, NaN where the march ended in NONFINITE, IMBALANCE or PRESSURE.
    diagnosis : the sentence of the status, with figures.
    info : ``smallest_dt``, ``largest_dt``, ``pressure_iterations``.
    """

    ts: Array
    velocity: tuple[Array, ...]
    pressure: Array
    scalar: Array | None
    status: MACStatus
    steps: int
    rate: float
    diagnosis: str
    info: Mapping[str, float]

    def __repr__(self) -> str:
        cells = " x ".join(map(str, self.pressure.shape[1:]))
        what = f"{self.status.name}, {cells} cells, ts of shape {self.ts.shape} up to t = {self.ts[-1]:.6g}"
        return f"MACHistory({what}, {self.steps} steps, rate = {self.rate:.3g})"

    def raise_for_status(self) -> MACHistory:
        """Return self where the march came to its end or to a steady state; raise `SolverError` with the diagnosis otherwise."""
        if self.status not in (MACStatus.SUCCESS, MACStatus.STEADY):
            raise SolverError(f"{self.status.name} at t = {self.ts[-1]:.6g} after {self.steps} steps: {self.diagnosis}")
        return self

    def centred(self, index: int = -1) -> Array:
        """Velocity in the cell centres at one time, shape (components, *cells): means of opposite faces."""
        found = []
        for c, component in enumerate(self.velocity):
            field = np.moveaxis(component[index], c, 0)
            found.append(np.moveaxis((field[1:] + field[:-1]) / 2, 0, c))
        return np.stack(found)


def march_mac(
    flow: MACFlow,
    span: tuple[float, float],
    velocity: Start | None = None,
    *,
    scalar: ArrayLike | Callable[..., ArrayLike] | None = None,
    dt: float | None = None,
    courant: float = 0.8,
    save_at: Sequence[float] | None = None,
    steady_rate: float = 0.0,
    max_steps: int = 1 << 20,
    callback: Callable[[MACState], None] | None = None,
) -> MACHistory:
    """Integrate a flow from ``span[0]`` to ``span[1]``.

    Parameters
    ----------
    velocity : at the start, components on their faces or a function of the coordinates; None is at rest. What of it is not divergence-free,
        or does not fit the sides, is projected away.
    scalar : at the start, in the centres, or a function of the coordinates; None is 0 everywhere.
    dt : length of the steps, shortened so that equal ones meet each time of `save_at`; None takes ``courant`` times the largest stable
        step, each time.
    courant : part of the largest stable step that ``dt=None`` takes, in (0, 1].
    save_at : increasing times in (t0, t1] to keep; None keeps the last state alone.
    steady_rate : end where the largest ``|du/dt|`` falls below this times the largest velocity; 0 is never.
    callback : called with a `MACState` after each step.

    Returns
    -------
    MACHistory. Where the march failed, its last state is the last good one.

    Raises
    ------
    TypeError, ValueError : for an argument that makes no sense.
    SolverError : iterations for the pressure of the state at the start did not converge; only around solids in space, where there are any.

    Examples
    --------
    Plane Poiseuille flow, driven by a unit force: central differences are exact for parabolas, but for the h^2 / 8 that a wall halfway
    between two points adds everywhere:

    >>> from solvers.flow.mac.sides import Periodic, Wall
    >>> channel = MACFlow((2, 8), (1.0, 1.0), 1.0, [(Periodic(), Periodic()), (Wall(), Wall())], force=(1.0, 0.0))
    >>> u = march_mac(channel, (0.0, 9.0), steady_rate=1e-12).velocity[0][-1][0]
    >>> y = (np.arange(8) + 0.5) / 8
    >>> bool(abs(u - y * (1 - y) / 2 - (1 / 8) ** 2 / 8).max() < 1e-12)
    True
    """
    if not isinstance(flow, MACFlow):
        raise TypeError(f"flow = {shown(flow)} is no MACFlow: give one; march takes periodic flows, unsteady_flow those on triangles")
    begin, end = interval("span", span)
    times = _times(begin, end, save_at)
    if dt is not None and not 0 < number("dt", dt, "give a positive step, or None") < math.inf:
        raise ValueError(f"dt = {dt} is no step: give a positive one, or None")
    if not 0 < number("courant", courant) <= 1:
        raise ValueError(f"courant = {courant}: it must lie in (0, 1]")
    if not number("steady_rate", steady_rate) >= 0 or whole("max_steps", max_steps) < 1:
        raise ValueError(f"steady_rate = {steady_rate} must not be negative, and max_steps = {max_steps} be at least 1")
    if callback is not None:
        refuse_uncallable("callback", callback, "give a function of a MACState, or None")
    begun = None if velocity is None else evaluated(velocity, flow)
    stepper = Stepper(flow, begin, begun, _begun_scalar(scalar, flow))
    return _March(stepper, times, dt, courant, steady_rate, max_steps, callback).run()


def _begun_scalar(scalar: ArrayLike | Callable[..., ArrayLike] | None, flow: MACFlow) -> Array:
    """The carried scalar at the start, in the centres."""
    if scalar is None:
        return np.zeros(flow.shape)
    if flow.scalar is None:
        raise ValueError("scalar is given, but the flow carries none: give MACFlow(scalar=CarriedScalar(...)), or leave it out")
    points = flow.centres()
    return spread("scalar", scalar(*points) if callable(scalar) else scalar, points)


def _times(t0: float, t1: float, save_at: Sequence[float] | None) -> Array:
    if not (math.isfinite(t0) and math.isfinite(t1) and t0 < t1):
        raise ValueError(f"span = ({t0}, {t1}) is no interval: give finite t0 < t1")
    times = np.array([t1] if save_at is None else numbers("save_at", save_at, "give times in a list"), np.float64)
    if times.ndim != 1 or times.size == 0 or not (np.diff(times) > 0).all() or not t0 < times[0] <= times[-1] <= t1:
        raise ValueError(f"save_at = {times.tolist()} must be increasing times in ({t0}, {t1}]")
    return times


@dataclass(frozen=True, eq=False)
class _Saved:
    t: float
    velocity: list[Array]
    pressure: Array
    scalar: Array | None


class _March:
    """The loop over steps."""

    def __init__(
        self,
        stepper: Stepper,
        times: Array,
        dt: float | None,
        courant: float,
        steady_rate: float,
        max_steps: int,
        callback: Callable[[MACState], None] | None,
    ) -> None:
        self.stepper, self.times, self.dt, self.courant = stepper, times, dt, courant
        self.steady_rate, self.max_steps, self.callback = steady_rate, max_steps, callback
        self.saved: list[_Saved] = []
        self.steps, self.used = 0, [math.inf, 0.0]

    def run(self) -> MACHistory:
        status, diagnosis = self._start()
        for t1 in self.times.tolist():
            if status is None:
                status, diagnosis = self._until(t1)
            if status is None:
                self._save()
        if status is None:
            status, diagnosis = MACStatus.SUCCESS, MACStatus.SUCCESS.value
        elif not self.saved or self.saved[-1].t != self.stepper.t:
            self._save()
        return self._history(status, diagnosis)

    def _start(self) -> tuple[MACStatus | None, str]:
        try:
            self.stepper.project_start()
        except Imbalance as error:
            return MACStatus.IMBALANCE, str(error)
        return (None, "") if self.stepper.finite else (MACStatus.NONFINITE, MACStatus.NONFINITE.value)

    def _until(self, t1: float) -> tuple[MACStatus | None, str]:
        """Step to t1; what ended the march before, with its sentence."""
        stepper = self.stepper
        begin, count = stepper.t, 0
        equal = None if self.dt is None else max(1, math.ceil((t1 - begin) / self.dt * (1 - 1e-12)))
        while stepper.t < t1:
            if self.steps >= self.max_steps:
                return MACStatus.MAX_STEPS, MACStatus.MAX_STEPS.value
            largest = stepper.largest_step()
            if equal is None:
                target = t1 if t1 - stepper.t <= self.courant * largest else stepper.t + self.courant * largest
            else:
                target = t1 if count + 1 == equal else begin + (count + 1) * ((t1 - begin) / equal)
            dt = target - stepper.t
            if dt > largest * (1 + 1e-9):
                return MACStatus.UNSTABLE_STEP, _unstable(self.dt or dt, dt, stepper.t, t1, largest)
            try:
                moved = stepper.step(dt, target, measure=self.steady_rate > 0)
            except (Imbalance, SolverError) as error:
                stepper.forget_step()
                status = MACStatus.IMBALANCE if isinstance(error, Imbalance) else MACStatus.PRESSURE
                return status, f"{error} (from t = {stepper.t:.6g} to {target:.6g})"
            if not moved:
                return MACStatus.NONFINITE, f"{MACStatus.NONFINITE.value} (from t = {stepper.t:.6g} to {target:.6g})"
            count, self.steps = count + 1, self.steps + 1
            self.used = [min(self.used[0], dt), max(self.used[1], dt)]
            if self.callback is not None:
                self.callback(MACState(stepper))
            if self.steady_rate > 0 and stepper.rate <= self.steady_rate:
                return MACStatus.STEADY, MACStatus.STEADY.value
        return None, ""

    def _save(self) -> None:
        stepper = self.stepper
        velocity = [stepper.faces(c).copy() for c in range(stepper.flow.dimension)]
        scalar = None if stepper.flow.scalar is None else stepper.scalar.copy()
        self.saved.append(_Saved(stepper.t, velocity, stepper.find_pressure(), scalar))

    def _history(self, status: MACStatus, diagnosis: str) -> MACHistory:
        stepper, saved = self.stepper, self.saved
        velocity = tuple(np.stack([state.velocity[c] for state in saved]) for c in range(stepper.flow.dimension))
        scalars = [state.scalar for state in saved if state.scalar is not None]
        scalar = np.stack(scalars) if scalars else None
        info = {
            "smallest_dt": self.used[0],
            "largest_dt": self.used[1],
            "pressure_iterations": stepper.pressure.iterations,
        }
        good = status not in (MACStatus.NONFINITE, MACStatus.IMBALANCE, MACStatus.PRESSURE)
        rate = stepper.rate_now() if good else math.nan
        pressure = np.stack([state.pressure for state in saved])
        ts = np.array([state.t for state in saved])
        return MACHistory(ts, velocity, pressure, scalar, status, self.steps, rate, diagnosis, info)


def _unstable(asked: float, taken: float, t: float, t1: float, largest: float) -> str:
    """That a step is too long: as it was asked for, and as it was taken on the way to t1."""
    shortened = "" if taken > asked * (1 - 1e-9) else f", shortened to {taken:.6g} so that equal steps meet t = {t1:.6g},"
    return f"dt = {asked:.6g}{shortened} is unstable at t = {t:.6g}: take dt=None, or at most {largest:.6g}"
