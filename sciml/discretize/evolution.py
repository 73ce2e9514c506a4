"""Integrate an evolving problem to its times, and say how far given fields are from doing so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.discretize.linear import Residual, discretize
from sciml.discretize.semi_discrete import SemiDiscrete
from sciml.problems.evolving import SMALLEST_RTOL, Evolving
from sciml.problems.problem import Parameters
from solvers.integrators import Trajectory, integrate

Array = NDArray[Any]
_UNIT_ROUNDOFF_32 = 2.0**-24
#: Of the shortest time between snapshots; the integrator's own first run has at most five, and later runs double.
_REFERENCE_STEPS = 7
#: Of the step of a system that names one: no power of two times it.
_OTHER_STEP = 0.7


def evolve(problem: Evolving, system: SemiDiscrete, rtol: float, *, dt: float | None = None, max_steps: int = 1 << 16) -> Trajectory:
    """Integrate to ``problem.times``.

    Parameters
    ----------
    rtol : on the estimated global error of the state at every time, relative to its Euclidean norm.
    dt, max_steps : largest step of the first run and limit on the steps of one run, see `solvers.integrate`; None takes that of the
        system, where longer ones would only fail.
    """
    dt = system.step if dt is None else dt
    span = (0.0, problem.times[-1])
    return integrate(system, span, system.state0, "etdrk4", rtol=rtol, dt=dt, save_at=problem.times, max_steps=max_steps)


def fields_of(system: SemiDiscrete, trajectory: Trajectory) -> dict[str, Array]:
    """Outputs of a problem: the grid's shape for one time, (times, *grid) for several."""
    fields = system.unpack(trajectory.ys)
    return fields if len(trajectory.ts) > 1 else {name: values[0] for name, values in fields.items()}


def temporal_error(problem: Evolving, parameters: Parameters, fields: Mapping[str, Array], rtol: float) -> Residual:
    """How far `fields` are from the solution of the semi-discrete equations that start from `parameters`.

    The equations are integrated anew to a quarter of `rtol`, with steps that none of the integrator's usual runs has, so that agreement
    is no matter of repetition.

    Returns
    -------
    Residual : ``relative`` is the L2 difference over the L2 norm, largest over outputs and times; infinite where the reference
        did not reach its own tolerance. ``relative_dual`` is NaN; ``rounding`` that of fields stored in float32, 2^-24.
    """
    system = discretize(problem, parameters)
    assert isinstance(system, SemiDiscrete)
    dt = float(np.diff(problem.times, prepend=0.0).min()) / _REFERENCE_STEPS
    if system.step is not None:
        dt = min(dt, _OTHER_STEP * system.step)
    trajectory = evolve(problem, system, max(rtol, SMALLEST_RTOL) / 4, dt=dt)
    reference = fields_of(system, trajectory)
    worst = 0.0 if trajectory.status.name == "SUCCESS" else float("inf")
    for name, expected in reference.items():
        shape = (len(problem.times), -1)
        norms = np.linalg.norm(expected.reshape(shape), axis=1)
        differences = np.linalg.norm((np.asarray(fields[name], np.float64) - expected).reshape(shape), axis=1)
        worst = max(worst, float(np.max(differences / np.where(norms > 0, norms, 1.0))))
    return Residual(worst, float("nan"), _UNIT_ROUNDOFF_32)
