"""Networks along characteristics on Burgers' equation, through the shock, against Cole and Hopf's quadrature.

From sin x a shock forms at t = 1. At nu = 0.1 characteristics of the published formulation, whose diffusion term lacks the Jacobian, have
crossed by t = 1.5, and its closed form shows what the gate would find; at nu = 0.01 particles in the shock come together by exp(-19).
A mean flow of 37 is added to the first: it moves everything and changes nothing that is trained.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.models.lagrangian import LagrangianMarch
from sciml.problems.transport import Transport
from validation.characteristics import PERIOD, at, cells, cole_hopf, follow, relative, without_jacobian
from validation.figures import field, lines
from validation.options import check_between

Array = NDArray[np.float64]
END = 1.5
WIDE, THIN, THIN_GATE, WIDE_GATE = 0.1, 0.01, 1e-3, 5e-3
CURRENT = 37.0
SHOWN = (0.5, 1.0, 1.25, 1.5)
COLE_HOPF = "Cole-Hopf quadrature"
COST = "three minutes"


def run(*, width: int = 16, points: int = 640, steps: int = 25, compression: float = 0.5, thin: float = THIN, seed: int = 0) -> CheckReport:
    """At nu = 0.1, with and without a mean flow, and at nu = `thin`; two layers of `width` units and `steps` in every window of time."""
    check_between("width", width, 4, 64)
    check_between("points", points, 100, 10_000)
    check_between("steps", steps, 1, 2000)
    check_between("compression", compression, 0.05, 0.9)
    check_between("thin", thin, 0.005, WIDE)
    start = time.perf_counter()
    given = {"width": width, "depth": 2, "points": points, "compression": compression, "steps": steps, "seed": seed}
    checks: list[Check] = []
    details: dict[str, object] = {}
    marches: dict[float, LagrangianMarch] = {}
    for viscosity, gate in ((WIDE, WIDE_GATE), (thin, THIN_GATE)):
        march, losses = follow(burgers(viscosity), END, **given)  # type: ignore[arg-type]
        marches[viscosity] = march
        checks += _checks(march, viscosity, gate)
        details |= {
            f"nu = {viscosity:g}: windows": len(march.windows),
            f"nu = {viscosity:g}: mean square of residuals": losses[-1],
            f"nu = {viscosity:g}: smallest Jacobian from t = 0": float(march.jacobian(cells(), END).min()),
        }
    x, exact = cells(), cole_hopf(cells(), END, WIDE)
    moving, _ = follow(burgers(WIDE, CURRENT), END, **given)  # type: ignore[arg-type]
    still = relative(marches[WIDE].predict(at(x, END))["velocity"], exact)
    moved = relative(moving.predict(at(x + CURRENT * END, END))["velocity"] - CURRENT, exact)
    released = relative(without_jacobian(x, END, WIDE), exact)
    checks += [
        Check(
            f"nu = {WIDE:g}: error in a mean flow of {CURRENT:g} over that without", moved / still, "in", (0.5, 2.0), reference="Galileo"
        ),
        Check(f"nu = {WIDE:g}: error of the diffusion without Jacobian", released, ">=", WIDE_GATE, reference=COLE_HOPF, status="exact"),
    ]
    details |= {
        "trained parameters of a window": sum(value.numel() for value in marches[WIDE].window.network.parameters()),
        "figures": _figures(marches[thin], thin),
    }
    return CheckReport("lpinn-burgers", checks, time.perf_counter() - start, details)


def burgers(viscosity: float, current: float = 0.0) -> Transport:
    """From ``current + sin x``."""
    return Transport((0.0, 1.0), viscosity, lambda x: np.sin(x) + current, PERIOD)


def _checks(march: LagrangianMarch, viscosity: float, gate: float) -> list[Check]:
    name, x = f"nu = {viscosity:g}", cells()
    errors = {t: relative(march.predict(at(x, t))["velocity"], cole_hopf(x, t, viscosity)) for t in (0.5, 1.0, END)}
    ends = [window.duration for window in march.windows]
    J = [window.jacobian(x, end) for window, end in zip(march.windows, ends, strict=True)]
    stretch = max(abs(window.mean_jacobian(end) - 1) for window, end in zip(march.windows, ends, strict=True))
    carried = max(abs(window.mean_state(end)) for window, end in zip(march.windows, ends, strict=True))
    return [
        *(
            Check(f"{name}: relative L2 error at t = {t:g}", error, "<=", gate, reference=COLE_HOPF, status="exact")
            for t, error in errors.items()
        ),
        Check(
            f"{name}: smallest Jacobian of a window", min(float(values.min()) for values in J), ">=", 0.0, reference="J > 0", status="exact"
        ),
        Check(f"{name}: mean of J from 1, largest of all windows", stretch, "<=", 1e-4, reference="mean J = 1", status="exact"),
        Check(
            f"{name}: mean of w J from 0, largest of all windows", carried, "<=", 1e-4, reference="conservation of the mean", status="exact"
        ),
    ]


def _figures(march: LagrangianMarch, viscosity: float) -> list[dict[str, object]]:
    x = cells()
    few = x[::16]
    curves, points = {}, {}
    for t in SHOWN:
        curves[f"t = {t:g}"] = (x, march.predict(at(x, t))["velocity"], "line")
        points[f"t = {t:g}, exact"] = (few, cole_hopf(few, t, viscosity), "points")
    times = np.linspace(0.02, END, 75)
    places = x[::4]
    found = march.predict(np.concatenate([at(places, t) for t in times]))["velocity"].reshape(len(times), -1)
    away = found - np.stack([cole_hopf(places, t, viscosity) for t in times])
    labels = np.linspace(0, PERIOD, 13)
    paths = march.characteristics(labels, times)
    return [
        lines(f"Velocity at nu = {viscosity:g}", "x", "u", {**curves, **points}),
        lines("Characteristics", "t", "X", {f"from {s:.2f}": (times, paths[:, k], "line") for k, s in enumerate(labels)}),
        field(f"Velocity over places and times at nu = {viscosity:g}", "u", places, times, found),
        field("Decimal logarithm of the error", "log10 of the error", places, times, np.log10(np.maximum(np.abs(away), 1e-12))),
    ]
