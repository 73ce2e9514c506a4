"""Flow around a cylinder in a channel whose inflow swells and ebbs, Re up to 100 (DFG 2D-3).

The inflow is ``1.5 sin(pi t / 8)`` for eight seconds. Drag follows it; the lift comes from vortices that begin to be shed after four
seconds, and depends on the mesh far more than the drag.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from sciml.checks import Check, CheckReport
from solvers.elements.blocks import channel_with_cylinder
from solvers.flow.taylor_hood.unsteady import unsteady_flow
from validation.figures import lines, triangles
from validation.flow import (
    cylinder_flow,
    deviation,
    interval,
    maximum,
    observed_forces,
    order_in_time,
    streamlines,
    vorticity_on_triangles,
)
from validation.options import check_between
from validation.reference_tables import row

CASE, PEAK, END = "2D-3", 1.5, 8.0
LARGEST = "largest, John 2004"
ORDER_CELLS, ORDER_STEPS = 3, 20  # of the study of the order in time


def run(*, cells: int = 7, degree: int = 3, steps: int = 1000) -> CheckReport:
    """`cells` along each quarter of the cylinder, velocity elements of `degree`, and `steps` of equal length, third order."""
    check_between("cells", cells, 3, 32)
    check_between("degree", degree, 2, 5)
    check_between("steps", steps, 100, 100_000)
    start = time.perf_counter()
    flow = cylinder_flow(lambda points, t: np.full(len(points), PEAK * math.sin(math.pi * t / END)), cells)
    result = unsteady_flow(flow, (0.0, END), END / steps, degree=degree, order=3, observe=lambda state: observed_forces(state, PEAK))
    state = result.raise_for_status().state
    assert result.observed is not None
    ts, (drag, lift, difference) = result.ts[1:], result.observed.T
    (drag_time, drag_max), (lift_time, lift_max) = maximum(ts, drag), maximum(ts, lift)
    checks = [
        deviation("largest drag coefficient", drag_max, 5e-3, CASE, "cd_max"),
        interval("largest drag coefficient", drag_max, CASE, "cd_max"),
        deviation("time of the largest drag", drag_time, 2e-3, CASE, "t(cd_max)"),
        deviation("largest lift coefficient", lift_max, 3e-2, CASE, "cl_max"),
        interval("largest lift coefficient", lift_max, CASE, "cl_max"),
        deviation("time of the largest lift", lift_time, 1e-2, CASE, "t(cl_max)"),
        deviation("last pressure difference", float(difference[-1]), 1e-2, CASE, "dp(8)"),
        Check("factorisations for 100 steps", 100 * result.factorizations / steps, "<=", 10.0, reference="factors serve many steps"),
        order_in_time(replace(flow, mesh=channel_with_cylinder(ORDER_CELLS)), 1.0, ORDER_STEPS, degree=2),
    ]
    details = {
        "unknowns": result.unknowns,
        "entries of the factors": result.fill,
        "corrections": result.corrections,
        "factorisations": result.factorizations,
        "figures": [
            lines("Drag", "time in s", "drag coefficient", {"drag": (ts, drag), LARGEST: _published("cd_max")}),
            lines("Lift", "time in s", "lift coefficient", {"lift": (ts, lift), LARGEST: _published("cl_max")}),
            triangles("Vorticity at the end", "dv/dx - du/dy in 1/s", **vorticity_on_triangles(state)),
            triangles("Speed and streamlines at the end", "|u| in m/s", **streamlines(state)),
        ],
    }
    return CheckReport("dfg-2d3", checks, time.perf_counter() - start, details)


def _published(largest: str) -> tuple[list[float], list[float], str]:
    """When the benchmark has its largest coefficient, and which."""
    when, value = (float(row("dfg_cylinder", case=CASE, quantity=name)["value"]) for name in (f"t({largest})", largest))
    return [when], [value], "points"
