"""Steady flow around a cylinder in a channel at Re 20 (DFG 2D-1), the circle being a staircase of cells.

Cells are either fluid or solid, so that the boundary is wrong by up to half a cell, and forces by what that makes: of first order, and not
smoothly, since the area of the staircase jumps from grid to grid. What the force is worth is therefore seen on several grids, and that it
is the force at all from the balance of momentum: what passes the ends of the channel and its walls, less what the solid takes, is zero.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers.flow import Inflow, MACFlow, MACHistory, Outflow, Wall, march_mac
from solvers.flow.mac.stepper import MACState
from validation.figures import field
from validation.options import check_between
from validation.reference_tables import row

Array = NDArray[np.float64]
DIAMETER, LENGTH, HEIGHT, PEAK, VISCOSITY = 0.1, 2.2, 0.41, 0.3, 1e-3
SCALE = 2 / ((2 / 3 * PEAK) ** 2 * DIAMETER)
SOURCE = "FeatFlow's spectral value of DFG 2D-1"


@dataclass(frozen=True)
class Flowed:
    """A steady flow with the coefficients of drag and lift, and what is left of the balance of momentum over the drag."""

    history: MACHistory
    solid: NDArray[np.bool_]
    drag: float
    lift: float
    imbalance: float


def run(*, cells: int = 20) -> CheckReport:
    """With `cells` across the diameter, a multiple of 10, and half as many."""
    check_between("cells", cells, 20, 40)
    start = time.perf_counter()
    grids = [cells // 20 * 10, cells // 20 * 20]
    flows = [_flow(n) for n in grids]
    cd, cl = (float(row("dfg_cylinder", case="2D-1", quantity=name)["value"]) for name in ("cd", "cl"))
    checks = []
    for n, one in zip(grids, flows, strict=True):
        checks += [
            Check(f"{n} cells: |drag / reference - 1|", abs(one.drag / cd - 1), "<=", 0.15 / n, reference=SOURCE, status="published"),
            Check(f"{n} cells: momentum that is missing", one.imbalance, "<=", 1e-9, reference="conservation", status="exact"),
        ]
    coarse, fine = flows
    order = float(np.log2(abs(coarse.drag - cd) / abs(fine.drag - cd)))
    checks.append(Check("order of the drag", order, "in", (0.4, 2.0), reference="staircase: about 1, and not smoothly"))
    name = f"{grids[-1]} cells: |lift / reference - 1|"
    checks.append(Check(name, abs(fine.lift / cl - 1), "<=", 0.25, reference=SOURCE, status="published"))
    u, v = fine.history.centred()
    speed = np.where(fine.solid, np.nan, np.hypot(u, v))
    x, y = ((np.arange(count) + 0.5) * length / count for count, length in zip(u.shape, (LENGTH, HEIGHT), strict=True))
    details = {
        "drag": {str(n): one.drag for n, one in zip(grids, flows, strict=True)},
        "lift": {str(n): one.lift for n, one in zip(grids, flows, strict=True)},
        "figures": [field("Speed", "|u|", x, y, speed.T)],
    }
    return CheckReport("cylinder-mac", checks, time.perf_counter() - start, details)


def _flow(n: int) -> Flowed:
    shape = (22 * n, 41 * n // 10)
    h = DIAMETER / n
    x, y = np.meshgrid(*((np.arange(count) + 0.5) * h for count in shape), indexing="ij")
    solid = (x - 0.2) ** 2 + (y - 0.2) ** 2 < (DIAMETER / 2) ** 2
    inflow = Inflow((lambda x, y: 4 * PEAK * y * (HEIGHT - y) / HEIGHT**2, 0.0))
    flow = MACFlow(shape, (LENGTH, HEIGHT), VISCOSITY, [(inflow, Outflow()), (Wall(), Wall())], solid=solid)
    last: list[MACState] = []
    history = march_mac(flow, (0.0, 200.0), steady_rate=1e-6, callback=lambda state: last.__setitem__(slice(None), [state]))
    history.raise_for_status()
    drag, lift = last[0].solid_force()
    imbalance = abs(_through_the_sides(history, h) - drag) / drag
    return Flowed(history, solid, SCALE * float(drag), SCALE * float(lift), float(imbalance))


def _through_the_sides(history: MACHistory, h: float) -> float:
    """Momentum along x that enters through all sides: convection, pressure and friction, on the faces that belong to unknowns.

    The first unknowns lie one cell inside the low end, so that the balance begins between the faces 0 and 1; the last ones on the high end.
    """
    u, v, p = history.velocity[0][-1], history.velocity[1][-1], history.pressure[-1]
    low = ((u[0] + u[1]) / 2) ** 2 + p[0] - VISCOSITY * (u[1] - u[0]) / h
    high = u[-1] ** 2 - p[-1]  # beyond the outflow the velocity stays what it is, and the pressure is opposite
    walls = VISCOSITY * 2 * (u[1:, 0] + u[1:, -1]).sum()
    assert not v[:, 0].any()
    return float((low - high).sum() * h - walls)
