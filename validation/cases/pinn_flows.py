"""Networks with hard conditions find flows whose closed forms are known, steady and in time.

Plane Poiseuille flow, driven by the pressures at its ends; Kovasznay's flow behind a grid (Re 40); and in time Taylor and Green's decaying
vortices, a channel flow that pulsates (Womersley, alpha 4) and one that a ramped pressure gradient starts from rest. Boundary and initial
values are exact whatever the parameters of the network are; these are found from the residuals of momentum and continuity at Gauss points
by Levenberg and Marquardt's method with geodesic acceleration. The last layer of the first network is then found as the linear problem
that it nearly is. For Kovasznay's flow the same number of straight steps shows what the acceleration is worth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.optimizers import GaussNewton, LevenbergMarquardt
from sciml.problems.plane_flows import kovasznay, plane_poiseuille, pulsating_channel, starting_channel, taylor_green
from sciml.problems.strong_form import StrongForm
from validation.figures import Figure, lines
from validation.networks import Trained, error_map, on_boundary, on_grid, relative_error, train
from validation.options import check_between

Array = NDArray[np.float64]
VELOCITY = ("velocity_x", "velocity_y")
PROBES = (31, 31, 15)  # Gauss points along x, y and t at which errors are taken
COST = "about half a minute"


@dataclass(frozen=True, eq=False)
class Flow:
    """A flow, and what a network that shall find it within the gate is given.

    Parameters
    ----------
    points : along x, y and t; a channel flow does not change along x, and more points there would only repeat each other.
    gate : of the relative error of velocity in the mean square.
    """

    form: StrongForm
    points: tuple[int, ...]
    steps: int
    gate: float
    network: Mapping[str, Any] = field(default_factory=lambda: {"kind": "modified_mlp", "width": 16, "depth": 2})


def flows() -> dict[str, Flow]:
    return {
        "Poiseuille": Flow(plane_poiseuille(), (6, 10), 40, 1e-14, {"width": 10, "depth": 1}),
        "Kovasznay": Flow(kovasznay(), (20, 20), 120, 1e-7, {"kind": "modified_mlp", "width": 20, "depth": 2}),
        "Taylor-Green": Flow(taylor_green(duration=1.0), (14, 14, 5), 50, 1e-4),
        "pulsating": Flow(pulsating_channel(), (3, 16, 20), 60, 1e-4),
        "starting": Flow(starting_channel(), (3, 16, 20), 60, 2e-4),
    }


def run(*, seed: int = 0) -> CheckReport:
    """All flows with one `seed` of the initial weights."""
    check_between("seed", seed, 0, 2**31)
    start = time.perf_counter()
    checks, rows, curves = [], {}, {}
    trained = {}
    for name, flow in flows().items():
        found = train([(flow.form, flow.steps)], *collocation(flow.form, flow.points), seed=seed, **flow.network)
        if name == "Poiseuille":
            polish(found.pinn, flow)
        error = velocity_error(found.pinn)
        checks.append(Check(f"{name}: relative error of velocity", error, "<=", flow.gate, reference="closed form", status="exact"))
        deviation = on_boundary(found.pinn)
        checks.append(Check(f"{name}: deviation from conditions", deviation, "<=", 1e-12, reference="hard conditions", status="exact"))
        rows[name] = {"error": error, "parameters": found.parameters, "residuals": 3 * math.prod(flow.points), "seconds": found.seconds}
        curves[name], trained[name] = (np.arange(1, len(found.losses) + 1), found.losses), found
    gain, straight = _acceleration(flows()["Kovasznay"], seed)
    checks.append(Check("Kovasznay: error of straight steps over that of bent ones", gain, ">=", 10, reference="half the steps of each"))
    curves["Kovasznay, straight steps"] = (np.arange(1, len(straight) + 1), straight)
    figures = [lines("Mean square of the residuals", "step", "loss", curves, log="y"), *_figures(trained)]
    return CheckReport("pinn-flows", checks, time.perf_counter() - start, {"flows": rows, "figures": figures})


def velocity_error(pinn: PINN) -> float:
    """Relative, in the mean square over domain and time."""
    assert pinn.form.exact is not None
    x, weights = collocation(pinn.form, PROBES[: len(pinn.form.coordinates)])
    exact = {name: pinn.form.exact[name](*x.T) for name in VELOCITY}  # type: ignore[operator]
    return relative_error(pinn.predict(x), exact, weights)


def polish(pinn: PINN, flow: Flow, steps: int = 4) -> None:
    """Gauss-Newton steps of the last layer alone."""
    named = list(pinn.network.named_parameters())
    optimizer, residuals = GaussNewton(named[-2:], rtol=1e-14), EquationResiduals(pinn, *collocation(flow.form, flow.points))
    for _ in range(steps):
        optimizer.step(residuals)


def _acceleration(flow: Flow, seed: int) -> tuple[float, list[float]]:
    """How much larger the error is after straight steps than after as many bent ones, and the losses of the straight ones."""
    points = collocation(flow.form, flow.points)
    straight = train([(flow.form, flow.steps // 2)], *points, seed=seed, optimizer=LevenbergMarquardt, **flow.network)
    bent = train([(flow.form, flow.steps // 2)], *points, seed=seed, **flow.network)
    return velocity_error(straight.pinn) / velocity_error(bent.pinn), straight.losses


def _figures(trained: Mapping[str, Trained]) -> list[Figure]:
    grid, flow = trained["Kovasznay"].pinn, kovasznay()
    x, y = np.linspace(-0.5, 1.0, 96), np.linspace(-0.5, 0.5, 64)
    found, (X, Y) = on_grid(grid, x, y), np.meshgrid(x, y)
    assert flow.exact is not None
    away = np.hypot(*(found[name] - flow.exact[name](X, Y) for name in VELOCITY))  # type: ignore[operator]
    profiles = {}
    across = np.linspace(-1, 1, 41)
    for name in ("pulsating", "starting"):
        pinn = trained[name].pinn
        assert pinn.form.duration is not None
        assert pinn.form.exact is not None
        for part in (0.1, 0.35, 0.8):
            t = part * pinn.form.duration
            at = np.column_stack([np.full_like(across, 0.5), across, np.full_like(across, t)])
            profiles[f"{name}, t = {t:.2f}"] = (across, pinn.predict(at)["velocity_x"], "line")
            profiles[f"{name}, t = {t:.2f}, exact"] = (across, pinn.form.exact["velocity_x"](*at.T), "points")  # type: ignore[operator]
    return [error_map("Kovasznay: error of the velocity", x, y, away), lines("Channel flows in time", "y", "u", profiles)]
