"""Taylor-Green vortices: in the plane to rounding and on staggered grids, in space against the series of 1937 and the budget of energy.

In the plane ``w = 2 cos x cos y exp(-2 nu t)`` solves the equations. In space u = (sin x cos y cos z, -cos x sin y cos z, 0) makes ever
smaller eddies; with R = 1 / nu the mean square vorticity over its start is

    1 - 6 t / R + (5 / 48 + 18 / R^2) t^2 - (5 / 3 + 36 / R^2) t^3 / R + (50 / (99 * 64) + 1835 / (9 * 16 R^2) + 54 / R^4) t^4 - ...

(Taylor and Green, "Mechanism of the production of small eddies from large ones", Proc. R. Soc. A 158 (1937)). The coefficients are fitted
to computed flows here, of which the viscous ones show in the limit t -> 0. The peak of the dissipation is this solver's own on two grids.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers.flow import Inflow, MACFlow, VelocityFlow, VorticityFlow, march, march_mac
from validation.figures import lines
from validation.options import check_between

Array = NDArray[Any]
SIDE = 2 * np.pi
VELOCITY = "exact flow, second-order differences"
EXACT, SERIES, BALANCE = "w = 2 cos x cos y exp(-2 nu t)", "Taylor and Green (1937)", "dE/dt = -2 nu Z"


def run(*, reynolds: int = 100, resolution: int = 48) -> CheckReport:
    """The plane vortices, the series in space, and the flow in space at `reynolds` until t = 8 on two grids, up to `resolution`."""
    check_between("reynolds", reynolds, 10, 1600)
    check_between("resolution", resolution, 24, 256)
    start = time.perf_counter()
    checks = [_plane(), *_staggered(), *_series(), _order_in_time(reynolds)]
    later, figures = _dissipation(reynolds, resolution)
    return CheckReport("taylor-green", [*checks, *later], time.perf_counter() - start, {"figures": figures})


def _plane() -> Check:
    flow = VorticityFlow((32, 32), (SIDE, SIDE), 0.05)
    x, y = np.meshgrid(*2 * [SIDE * np.arange(32) / 32], indexing="ij")
    w0 = 2 * np.cos(x) * np.cos(y)
    end = march(flow, flow.to_state(w0), 10.0).raise_for_status().states[-1]
    error = float(np.abs(flow.to_vorticity(end) / np.exp(-1.0) - w0).max() / 2)
    return Check("in the plane at t = 10: largest error over the amplitude", error, "<=", 1e-12, reference=EXACT, status="exact")


def _staggered() -> list[Check]:
    """The plane vortices on staggered grids, in a box none of whose sides is a line of symmetry and all of which move with the flow."""
    nu, end, grids = 0.05, 0.25, (32, 64)

    def exact(t: float, x: Array, y: Array) -> tuple[Array, Array]:
        decay = np.exp(-8 * nu * t)
        return np.sin(2 * x + 0.3) * np.cos(2 * y + 0.9) * decay, -np.cos(2 * x + 0.3) * np.sin(2 * y + 0.9) * decay

    divergences: list[float] = []
    errors = []
    for n in grids:
        side = Inflow(exact)
        flow = MACFlow((n, n), (1.0, 1.0), nu, [(side, side), (side, side)])
        history = march_mac(
            flow,
            (0.0, end),
            lambda x, y: exact(0.0, x, y),
            courant=0.9,
            callback=lambda state: divergences.append(float(np.abs(state.divergence).max())),
        ).raise_for_status()
        x, y = flow.centres()
        pressure = 0.25 * (np.cos(4 * x + 0.6) + np.cos(4 * y + 1.8)) * np.exp(-16 * nu * end)
        wrong = history.pressure[-1] - (pressure - pressure.mean())
        velocity = max(float(np.abs(history.velocity[c][-1] - exact(end, *flow.faces(c))[c]).max()) for c in range(2))
        errors.append((velocity, float(np.sqrt(np.mean(wrong**2)))))
    orders = np.log2(np.array(errors[0]) / np.array(errors[1]))
    name = "in a box with moving sides, staggered grids of 32 and 64 cells a side"
    return [
        Check(f"{name}: order of the velocity", float(orders[0]), "in", (1.9, 2.1), reference=VELOCITY, status="exact"),
        Check(f"{name}: order of the pressure", float(orders[1]), ">=", 1.8, reference=VELOCITY, status="exact"),
        Check(f"{name}: largest error of the velocity", errors[1][0], "<=", 1.0 / 64**2, reference=VELOCITY, status="exact"),
        Check(f"{name}: largest divergence after any of {len(divergences)} steps", max(divergences), "<=", 1e-12,
              reference="div u = 0", status="exact"),
    ]  # fmt: skip


def _order_in_time(reynolds: int) -> Check:
    """Of the spectral solver's steps in space, from differences of three runs over one unit of time."""
    flow, start = vortices(24, 1 / reynolds)
    one, two, four = (march(flow, start, 1.0, dt=0.1 / factor).raise_for_status().states[-1] for factor in (1, 2, 4))
    order = float(np.log2(np.linalg.norm(one - two) / np.linalg.norm(two - four)))
    name = f"in space, R = {reynolds}: order in time, steps 0.1 to 0.025"
    return Check(name, order, "in", (3.8, 4.2), reference="ETDRK4, fourth order", status="exact")


def vortices(n: int, viscosity: float) -> tuple[VelocityFlow, Array]:
    """The flow in space and its start."""
    flow = VelocityFlow((n, n, n), (SIDE, SIDE, SIDE), viscosity)
    x, y, z = np.meshgrid(*3 * [SIDE * np.arange(n) / n], indexing="ij")
    return flow, flow.to_state(np.stack([np.sin(x) * np.cos(y) * np.cos(z), -np.cos(x) * np.sin(y) * np.cos(z), 0 * x]))


def _series() -> list[Check]:
    """Coefficients of the inviscid series by a fit of even powers, and the rest of the viscous one, which falls like its fifth power."""
    flow, start = vortices(24, 0.0)
    times = 0.1 * np.arange(1, 7)
    growth = _growth(flow, start, times)
    fitted = np.linalg.lstsq(times[:, None] ** np.array([2.0, 4.0, 6.0, 8.0]), growth - 1, rcond=None)[0]
    checks = [
        Check(f"in space without viscosity: coefficient of t^{power} over its value, - 1", abs(float(found / known) - 1), "<=", gate,
              reference=SERIES, status="exact")
        for power, found, known, gate in ((2, fitted[0], 5 / 48, 1e-5), (4, fitted[1], 50 / (99 * 64), 1e-2))
    ]  # fmt: skip
    nu = 0.1
    flow, start = vortices(24, nu)
    times = np.array([0.05, 0.1])
    terms = [-6 * nu, 5 / 48 + 18 * nu**2, -(5 / 3 + 36 * nu**2) * nu, 50 / (99 * 64) + 1835 / (9 * 16) * nu**2 + 54 * nu**4]
    rest = np.abs(_growth(flow, start, times) - 1 - sum(c * times ** (n + 1) for n, c in enumerate(terms)))
    order = float(np.log2(rest[1] / rest[0]))
    return [
        *checks,
        Check("in space, R = 10: order of the rest after four terms", order, "in", (4.8, 5.2), reference=SERIES, status="exact"),
    ]


def _growth(flow: VelocityFlow, start: Array, times: Array) -> Array:
    states = np.array(march(flow, start, times.tolist(), dt=0.01).raise_for_status().states)
    return np.asarray(flow.enstrophy(states) / flow.enstrophy(start))


def _dissipation(reynolds: int, resolution: int) -> tuple[list[Check], list[dict[str, object]]]:
    """Dissipation over time on two grids, and the energy that it accounts for."""
    times, curves, defects = 0.1 * np.arange(1, 81), {}, []
    for n in (2 * resolution // 3, resolution):
        flow, start = vortices(n, 1 / reynolds)
        states = [start, *march(flow, start, times.tolist(), safety=0.25).raise_for_status().states]
        energy, loss = (np.array([float(what(state)) for state in states]) for what in (flow.energy, flow.dissipation))
        spent = 0.1 / 3 * (loss[0] + loss[-1] + 4 * loss[1:-1:2].sum() + 2 * loss[2:-1:2].sum())
        defects.append(abs(float(energy[0] - energy[-1] - spent)) / float(spent))
        curves[f"{n}^3 points"] = (np.append(0.0, times), loss)
    coarse, fine = (loss.max() for _, loss in curves.values())
    name = f"in space, R = {reynolds}, {resolution}^3 points"
    own = f"the same flow on {2 * resolution // 3}^3 points"
    checks = [
        Check(f"{name}: defect of the budget until t = 8 over the energy lost", defects[-1], "<=", 1e-5, reference=BALANCE, status="exact"),
        Check(f"{name}: change of the largest dissipation", abs(float(coarse / fine) - 1), "<=", 1e-2, reference=own, status="converged"),
    ]
    return checks, [lines(f"Dissipation of the vortices in space, R = {reynolds}", "time", "2 nu Z", curves)]
