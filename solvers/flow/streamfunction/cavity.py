"""The lid-driven cavity: the unit square at rest but for its top, which moves to the right at unit speed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar, root

from solvers.arguments import number
from solvers.flow.streamfunction.corner import CornerFlow
from solvers.flow.streamfunction.galerkin import Side, StreamfunctionProblem
from solvers.flow.streamfunction.steady import COARSE, StreamfunctionFlow, solve_streamfunction

Array = NDArray[np.float64]

#: Reynolds number of the first Hopf bifurcation (Auteri, Parolini and Quartapelle 2002, J. Comput. Phys. 183, 1: 8017.6 to 8018.8).
UNSTABLE_ABOVE = 8018.0


def cavity_problem(reynolds_number: float, terms: int = 2) -> StreamfunctionProblem:
    """The cavity at a Reynolds number, with `terms` terms of the series at each end of the lid."""
    if not 0 < number("reynolds_number", reynolds_number, "it must be positive and finite") < np.inf:
        raise ValueError(f"lid_driven_cavity: reynolds_number is {reynolds_number}; it must be positive and finite")
    viscosity = 1 / reynolds_number
    corners = tuple(CornerFlow(x, 1.0, right, False, 1.0, viscosity, terms) for x, right in ((0.0, True), (1.0, False)))
    return StreamfunctionProblem(viscosity, sides={"top": Side(slope=lambda x, y: np.ones_like(x))}, corners=corners)


def lid_driven_cavity(reynolds_number: float, degree: int = 96, *, rtol: float = 1e-10, coarse: int = COARSE) -> StreamfunctionFlow:
    """Steady flow in the lid-driven cavity, by `solve_streamfunction`, whose parameters these are.

    The corner series grows with the Reynolds number, and with it the rounding that no residual falls below: at 10^4 it is 2e-11 in the
    measure of `rtol`. Beyond that `coarse` has to grow from 64, or the refinement to `degree` fails.

    Above a Reynolds number of 8018 the steady state exists and is found, but is unstable; `StreamfunctionFlow.notes` says so.
    """
    flow = solve_streamfunction(cavity_problem(reynolds_number), degree, rtol=rtol, coarse=coarse)
    if reynolds_number <= UNSTABLE_ABOVE:
        return flow
    note = (
        f"the steady flow at Re = {reynolds_number:g} is unstable: beyond the Hopf bifurcation near Re = {UNSTABLE_ABOVE:g} the flow "
        "becomes periodic in time and later turbulent, so compare only with steady solutions"
    )
    return replace(flow, notes=(note,))


@dataclass(frozen=True)
class CavityExtrema:
    """Extrema of the velocities along the centrelines with their places, and the centre of the primary vortex."""

    u_min: float
    y_u_min: float
    v_max: float
    x_v_max: float
    v_min: float
    x_v_min: float
    psi: float
    vorticity: float
    x: float
    y: float


def cavity_extrema(flow: StreamfunctionFlow) -> CavityExtrema:
    """The figures by which cavities are compared: u along x = 1/2, v along y = 1/2, and the vortex where the velocity vanishes."""
    middle = np.array([0.5])

    def u(y: float) -> float:
        return float(flow.jet(middle, np.array([y])).psi_y[0, 0])

    def v(x: float) -> float:
        return -float(flow.jet(np.array([x]), middle).psi_x[0, 0])

    points = np.linspace(0.0, 1.0, 201)[1:-1]
    along_y, along_x = flow.jet(middle, points).psi_y[0], -flow.jet(points, middle).psi_x[:, 0]
    y_u_min, u_min = _minimum(u, points, along_y)
    x_v_min, v_min = _minimum(v, points, along_x)
    x_v_max, v_max = _minimum(lambda x: -v(x), points, -along_x)
    psi = flow.jet(points, points).psi
    i, j = np.unravel_index(psi.argmin(), psi.shape)

    def velocity(at: Array) -> Array:
        jet = flow.jet(at[:1], at[1:])
        return np.array([jet.psi_x[0, 0], jet.psi_y[0, 0]])

    x, y = root(velocity, np.array([points[i], points[j]]), tol=1e-12).x
    centre = flow.jet(np.array([x]), np.array([y]))
    return CavityExtrema(
        u_min, y_u_min, -v_max, x_v_max, v_min, x_v_min, float(centre.psi[0, 0]), float(centre.vorticity[0, 0]), float(x), float(y)
    )


def _minimum(function: object, points: Array, values: Array) -> tuple[float, float]:
    i = int(values.argmin())
    found = minimize_scalar(function, bounds=(points[max(i - 1, 0)], points[min(i + 1, points.size - 1)]), options={"xatol": 1e-10})
    return float(found.x), float(found.fun)
