"""Steady incompressible flow on a staggered grid, marched to rest, and how far given fields are from that."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sciml.discretize.linear import Residual, discretize
from sciml.discretize.marched_flow import MarchedFlow
from sciml.problems.incompressible import Cavity, ChannelObstacles, Incompressible
from sciml.problems.problem import Parameters
from solvers.flow import Inflow, MACFlow, MACHistory, Outflow, Wall, march_mac

Array = NDArray[np.float64]
_UNIT_ROUNDOFF_32 = 2.0**-24
#: Steps over the largest stable ones: those of a solution, and others for its check.
_COURANT, _OTHER_COURANT = 0.8, 0.55
#: Steps after which a flow counts as unsteady, and a time that it does not reach.
_PATIENCE, _NEVER = 100_000, 1e12


def march_to_rest(system: MarchedFlow, rtol: float) -> MACHistory:
    """March from rest until the error of the velocity is about `rtol` of its largest value; STEADY is the status of success."""
    return march_mac(system.flow, (0.0, _NEVER), courant=_COURANT, steady_rate=rtol * system.decay, max_steps=_PATIENCE)


def steady_error(problem: Incompressible, parameters: Parameters, fields: Mapping[str, Array], rtol: float) -> Residual:
    """How far `fields` are from the steady state of the discrete equations that `parameters` define.

    The flow is marched on from the fields, to a quarter of `rtol` and with other steps: fields that are steady stay what they are.

    Returns
    -------
    Residual : ``relative`` is the L2 difference over the L2 norm, the larger one of velocity and pressure; infinite where
        the march found no steady state. ``relative_dual`` is NaN; ``rounding`` that of fields stored in float32, 2^-24.
    """
    system = discretize(problem, parameters)
    assert isinstance(system, MarchedFlow)
    rate, begin = rtol / 4 * system.decay, system.faces(fields)
    history = march_mac(system.flow, (0.0, _NEVER), begin, courant=_OTHER_COURANT, steady_rate=rate, max_steps=_PATIENCE)
    reference = system.unpack(history)
    worst = 0.0 if history.status.name == "STEADY" else math.inf
    for names in (("velocity_x", "velocity_y"), ("pressure",)):
        exact = np.stack([reference[name] for name in names])
        difference = float(np.linalg.norm(np.stack([np.asarray(fields[name], np.float64) for name in names]) - exact))
        worst = max(worst, difference / (float(np.linalg.norm(exact)) or 1.0))
    return Residual(worst, float("nan"), _UNIT_ROUNDOFF_32)


@discretize.register
def _cavity(problem: Cavity, parameters: Parameters) -> MarchedFlow:
    problem.check(parameters)
    length, height = problem.grid.extent

    def profile(s: Array) -> Array:
        return np.asarray(16 * s**2 * (1 - s) ** 2)

    def speed(name: str) -> float:
        return float(problem.value(f"speed_{name}", parameters))

    def along_x(largest: float) -> Wall:
        return Wall((lambda x, y: largest * profile(x / length), 0.0))

    def along_y(largest: float) -> Wall:
        return Wall((0.0, lambda x, y: largest * profile(y / height)))

    viscosity = float(problem.value("viscosity", parameters))
    across_x = (along_y(speed("x_low")), along_y(speed("x_high")))
    across_y = (along_x(speed("y_low")), along_x(speed("y_high")))
    return MarchedFlow(MACFlow(problem.grid.shape, problem.grid.extent, viscosity, (across_x, across_y)))


@discretize.register
def _channel(problem: ChannelObstacles, parameters: Parameters) -> MarchedFlow:
    problem.check(parameters)
    height, n = problem.grid.extent[1], problem.grid.shape[1]

    def parabola(s: Array) -> Array:
        """Means over the faces, so that the same flows in on every grid."""
        return np.asarray(6 * s * (1 - s) - 0.5 / n**2)

    solid = problem.solid(parameters)
    viscosity = float(problem.value("viscosity", parameters))
    sides = ((Inflow((lambda x, y: parabola(y / height), 0.0)), Outflow()), (Wall(), Wall()))
    flow = MACFlow(problem.grid.shape, problem.grid.extent, viscosity, sides, solid=solid if solid.any() else None)
    return MarchedFlow(flow, parabola(problem.grid.centers(1) / height))
