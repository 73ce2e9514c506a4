"""Steady flow around a cylinder in a channel at Re 20 (DFG 2D-1).

Taylor-Hood elements on a mesh that bends with the cylinder, Newton's method, drag and lift from the residual of the momentum equation. The
lift is the hard figure: it is 500 times smaller than the drag. The same forces from a surface integral of the discrete stress, which are
of half the order, stand in the details of ``--json``.
"""

from __future__ import annotations

import math
import time

import numpy as np
from scipy.optimize import brentq

from sciml.checks import Check, CheckReport
from solvers.flow.taylor_hood.state import FlowState
from solvers.flow.taylor_hood.steady import steady_flow
from validation.figures import triangles
from validation.flow import coefficients, cylinder_flow, deviation, interval, pressure_difference, scalar_on_triangles, streamlines
from validation.options import check_between
from validation.reference_tables import row

CASE, PEAK = "2D-1", 0.3


def run(*, cells: int = 10, degree: int = 3) -> CheckReport:
    """`cells`, 10 to 32, along each quarter of the cylinder; velocity elements of `degree`, 3 to 5, pressures of one less."""
    check_between("cells", cells, 10, 32)  # fewer, or elements of degree 2, miss the published interval of the pressure difference
    check_between("degree", degree, 3, 5)
    start = time.perf_counter()
    flow = cylinder_flow(PEAK, cells)
    result = steady_flow(flow, degree=degree).raise_for_status()
    solved = time.perf_counter() - start
    state = result.state
    drag, lift = coefficients(state.wall_force("cylinder"), PEAK).tolist()
    surface_drag, surface_lift = coefficients(state.wall_force_by_stress("cylinder"), PEAK).tolist()
    flowed = abs(state.flux("outlet") / state.flux("inlet") + 1)
    few = cells // 2
    coarse = steady_flow(cylinder_flow(PEAK, few), degree=degree).raise_for_status().state
    exact = float(row("dfg_cylinder", case=CASE, quantity="cd")["value"])
    errors = [abs(float(coefficients(one.wall_force("cylinder"), PEAK)[0]) - exact) for one in (coarse, state)]
    order = math.log(errors[0] / errors[1]) / math.log(cells / few)
    difference = pressure_difference(state)
    stability = result.stability(shift=2.0, count=20)  # a vortex street of this speed would turn at 3 to 4 a second
    checks = [
        deviation("drag coefficient", drag, 1e-4, CASE, "cd"),
        Check(f"order of the drag, {few} to {cells} cells", order, "in", (float(degree), 2.0 * degree), reference="degree to twice that"),
        deviation("lift coefficient", lift, 1e-2, CASE, "cl"),
        deviation("pressure difference", difference, 2e-3, CASE, "dp"),
        interval("pressure difference", difference, CASE, "dp"),
        interval("length of the recirculation", _recirculation(state), CASE, "La_recirculation"),
        Check("|outflow / inflow - 1|", flowed, "<=", 1e-10, reference="mass conservation", status="exact"),
        Check("Newton iterations", len(result.residual_norms[-1]) - 1, "<=", 6, reference="quadratic convergence"),
        Check("growth rate of the slowest disturbance", stability.growth_rate, "<=", 0.0, "1/s", reference="steady, DFG 2D-1"),
    ]
    pressure = scalar_on_triangles(state.spaces.pressure, state.pressure)
    details = {
        "drag": drag,
        "lift": lift,
        "pressure difference": difference,
        "by surface integral": {"drag": surface_drag, "lift": surface_lift},
        "unknowns": result.unknowns,
        "entries of the factors": result.fill,
        "stability": stability.diagnosis,
        "seconds to solve": solved,
        "residual norms": list(result.residual_norms[-1]),
        "figures": [
            triangles("Speed and streamlines", "|u| in m/s", **streamlines(state)),
            triangles("Pressure", "p in Pa, of a density of 1 kg/m^3", **pressure, contours=np.linspace(-0.02, 0.12, 15).round(3)),
        ],
    }
    return CheckReport("dfg-2d1", checks, time.perf_counter() - start, details)


def _recirculation(state: FlowState) -> float:
    """Length of the region behind the cylinder where the flow along its axis goes backwards."""

    def along(x: float) -> float:
        return float(state.velocity_at([[x, 0.2]])[0, 0])

    return float(brentq(along, 0.27, 0.5, xtol=1e-8)) - 0.25
