"""Fourier-Galerkin discretisation of the Navier-Stokes equations in a periodic rectangle, see `solvers.flow.VorticityFlow`.

All modes below the Nyquist ones are kept, and products are formed without aliasing on 3/2 as many points.
"""

from __future__ import annotations

import numpy as np

from sciml.discretize.linear import discretize
from sciml.discretize.semi_discrete import SemiDiscrete
from sciml.errors import DatasetError
from sciml.problems.navier_stokes import NavierStokes, NoForcing
from sciml.problems.problem import Parameters
from solvers.flow import VorticityFlow

#: Mean of a vorticity over its root mean square that rounding to float32 may leave.
_LARGEST_MEAN = 1e-5
#: Step times the largest frequency of convection at which a Runge-Kutta method of fourth order is stable, with room for a faster flow.
_STABLE = 1.4


@discretize.register
def _navier_stokes(problem: NavierStokes, parameters: Parameters) -> SemiDiscrete:
    """The state holds coefficients of waves whose phase is 0 at the first cell centre."""
    flow = vorticity_flow(problem, parameters)
    w0 = problem.value("initial_vorticity", parameters)
    if abs(w0.mean()) > _LARGEST_MEAN * np.sqrt(np.mean(w0**2)):
        raise DatasetError(f"initial_vorticity has the mean {w0.mean():.3g}; the curl of a periodic velocity has none: subtract it")
    state0 = flow.to_state(w0 - w0.mean())
    _, frequency = flow.nonlinear_and_rate(state0, rate=True)
    step = min(_STABLE / max(float(frequency), 1e-300), problem.times[-1])
    return SemiDiscrete(flow.linear, flow.nonlinear, state0, lambda ys: {"vorticity": flow.to_vorticity(ys)}, step)


def vorticity_flow(problem: NavierStokes, parameters: Parameters) -> VorticityFlow:
    """The flow itself, for its energy, enstrophy, dissipation and spectrum."""
    problem.check(parameters)
    grid = problem.grid
    x, y = grid.points()
    forcing = None if isinstance(problem.forcing, NoForcing) else problem.forcing.curl(x, y, grid.extent)
    nu, mu = (float(problem.value(name, parameters)) for name in ("viscosity", "drag"))
    shape, extent = (grid.shape[0], grid.shape[1]), (grid.extent[0], grid.extent[1])
    return VorticityFlow(shape, extent, nu, drag=mu, forcing=forcing, dealiasing="three_halves")
