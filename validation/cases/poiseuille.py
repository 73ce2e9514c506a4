"""Poiseuille flow by the staggered-grid solver: between plates from inflow to outflow, and in a square duct.

Second differences are exact for the parabola between plates; the ghost beyond a wall, opposite to the first velocity inside, adds h^2 / 8
of the curvature everywhere, no more and no less. In a duct of side 1 the flow under a unit force is the torsion function of a square, with
0.0736713533 at the centre and the flow rate 0.0351442537 (Timoshenko and Goodier, "Theory of Elasticity", section 109, summed).
"""

from __future__ import annotations

import time

import numpy as np

from sciml.checks import Check, CheckReport
from solvers.flow import Inflow, MACFlow, Outflow, Periodic, Wall, march_mac
from validation.figures import lines
from validation.options import check_between

CENTRE, RATE = 0.07367135328151381, 0.03514425373878888
STILL = (Wall(), Wall())


def run(*, resolution: int = 16) -> CheckReport:
    """Plates on `resolution` cells; the duct on as many along each side, and on half as many."""
    check_between("resolution", resolution, 8, 64)
    start = time.perf_counter()
    n = resolution // 2 * 2
    plates, pressure, profile = _between_plates(n)
    centres, rates = zip(*(_duct(size) for size in (n // 2, n)), strict=True)
    errors = [abs(value - exact) / exact for values, exact in ((centres, CENTRE), (rates, RATE)) for value in values]
    checks = [
        Check("plates: largest deviation from the discrete parabola", plates, "<=", 1e-10, reference="closed form", status="exact"),
        Check("plates: largest deviation from the linear pressure", pressure, "<=", 1e-8, reference="closed form", status="exact"),
        Check("duct: order of the velocity at the centre", _order(errors[0], errors[1]), "in", (1.8, 2.2), reference="second order"),
        Check("duct: order of the flow rate", _order(errors[2], errors[3]), "in", (1.8, 2.2), reference="second order"),
        Check("duct: relative error at the centre", errors[1], "<=", 1.5 / n**2, reference="series", status="exact"),
        Check("duct: relative error of the flow rate", errors[3], "<=", 4 / n**2, reference="series", status="exact"),
    ]
    y, few = (np.arange(n) + 0.5) / n, np.linspace(0, 1, 21)
    curves = {"computed, at the outflow": (y, profile, "line"), "closed form 4 y (1 - y)": (few, 4 * few * (1 - few), "points")}
    details = {"figures": [lines("Velocity between plates", "y", "u", curves)], "relative errors in the duct": errors}
    return CheckReport("poiseuille", checks, time.perf_counter() - start, details)


def _between_plates(n: int) -> tuple[float, float, np.ndarray]:
    """Largest errors of velocity and pressure over a channel of two heights, and the profile at its end; nu = 1 / 10."""

    def parabola(y: np.ndarray) -> np.ndarray:
        return np.asarray(4 * y * (1 - y) + 1 / n**2)

    side = Inflow(lambda t, x, y: (parabola(y), 0.0))
    flow = MACFlow((2 * n, n), (2.0, 1.0), 0.1, [(side, Outflow()), STILL])
    history = march_mac(flow, (0.0, 60.0), steady_rate=1e-12).raise_for_status()
    u, p = history.velocity[0][-1], history.pressure[-1]
    x, y = flow.centres()
    return float(np.abs(u - parabola(y)).max()), float(np.abs(p - 0.8 * (2 - x)).max()), u[-1]


def _duct(n: int) -> tuple[float, float]:
    """Velocity at the centre, from four points around it, and flow rate under a unit force at nu = 1."""
    flow = MACFlow((2, n, n), (1.0, 1.0, 1.0), 1.0, [(Periodic(), Periodic()), STILL, STILL], force=(1.0, 0.0, 0.0))
    u = march_mac(flow, (0.0, 4.0), steady_rate=1e-10).raise_for_status().velocity[0][-1][0]
    m = n // 2
    inner, outer = u[m - 1 : m + 1, m - 1 : m + 1].mean(), u[m - 2 : m + 2 : 3, m - 1 : m + 1].mean()
    return float(inner + (inner - outer) / 4), float(u.mean())


def _order(coarse: float, fine: float) -> float:
    return float(np.log2(coarse / fine))
