"""A network with hard boundary conditions as the flow around a cylinder in a channel at Re 20 (DFG 2D-1), against published forces.

Velocity and pressure are one network in float64; inflow, walls, cylinder and outflow are exact whatever its parameters are. It is told the
coordinates of every point and those of the point inverted in the cylinder, and trained at points half of which lie within five radii of
it. Its drag is found twice: by an integral of the stress over the cylinder, and from the momentum that crosses a box around it, which
agree where momentum is balanced between. The judges are the figures of Schaefer and Turek's benchmark and, for the fields, the Taylor-Hood
elements of the case `dfg-2d1`, whose outflow is free of stress, where here its pressure and cross velocity vanish.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import qmc

from sciml.checks import Check, CheckReport
from sciml.geometry import BoundaryPoints, Box, Disk
from sciml.models.pinn import PINN
from sciml.problems.plane_flows import CENTRE, CHANNEL, RADIUS, cylinder_in_channel
from sciml.problems.strong_form import StrongForm
from solvers.flow.taylor_hood.state import FlowState
from solvers.flow.taylor_hood.steady import steady_flow
from validation.figures import Figure, field, lines
from validation.flow import DIAMETER, coefficients, cylinder_flow, deviation, interval
from validation.networks import Trained, error_map, on_boundary, on_grid, relative_error, train
from validation.options import check_between

Array = NDArray[np.float64]
CASE, PEAK, RE = "2D-1", 0.3, 20.0
SPEED = 2 * PEAK / 3  # of the benchmark, in whose units the network's velocities are 1 in the mean of the inflow
U, V, P = "velocity_x", "velocity_y", "pressure"
WEIGHTS = (1.0, 1.0, 0.1)  # as in the case `pinn-cavity`
NEAR = 5.0  # radii, within which half of the points lie
STRETCH = 1.6  # logarithm of how much denser the other points are at the inflow than at the outflow
SURFACE, BOX_SIDE = 400, 800  # points of the cylinder and of each side of the box
CONTROL = Box((0.6, 0.4), (4.0, 3.7))
COST = "about two minutes"


def run(*, width: int = 28, points: int = 1500, steps: int = 150, seed: int = 0) -> CheckReport:
    """Two layers of `width` units, collocation `points`, and `steps` of the optimizer."""
    check_between("width", width, 8, 64)
    check_between("points", points, 200, 4000)
    check_between("steps", steps, 1, 2000)
    start = time.perf_counter()
    trained = train([(strong_form(), steps)], collocation_points(points, seed), seed=seed, kind="modified_mlp", width=width, depth=2)
    pinn = trained.pinn
    solved = time.perf_counter()
    state = steady_flow(cylinder_flow(PEAK, 8), degree=3).raise_for_status().state
    solver_seconds = time.perf_counter() - solved
    surface, volume = surface_force(pinn), momentum_balance(pinn)
    (drag, lift), (volume_drag, volume_lift) = 2 * surface, 2 * volume
    probes = collocation_points(2000, seed + 1)
    errors = _field_errors(pinn, state, probes)
    x = np.linspace(0, CHANNEL[0], 23)
    flow_rates = np.array([flow_rate(pinn, at) for at in x if abs(at - CENTRE[0]) > RADIUS])
    rates = float(np.abs(flow_rates - 1).max())
    checks = [
        deviation("drag coefficient, surface integral", drag, 1e-3, CASE, "cd"),
        deviation("drag coefficient, control volume", volume_drag, 1e-3, CASE, "cd"),
        Check("|drag of the surface / drag of the volume - 1|", abs(drag / volume_drag - 1), "<=", 1e-3, reference="momentum balance"),
        deviation("lift coefficient, surface integral", lift, 0.1, CASE, "cl"),
        deviation("lift coefficient, control volume", volume_lift, 0.1, CASE, "cl"),
        deviation("pressure difference", _pressure_difference(pinn), 1e-3, CASE, "dp"),
        interval("length of the recirculation", DIAMETER * _recirculation(pinn), CASE, "La_recirculation"),
        Check("largest |flow rate / inflow - 1|", rates, "<=", 2e-3, reference="continuity", status="exact"),
        Check("largest deviation from the conditions", on_boundary(pinn), "<=", 1e-12, reference="hard conditions", status="exact"),
        Check("relative error of velocity", errors["velocity"], "<=", 1e-3, reference="Taylor-Hood elements", status="converged"),
        Check("relative error of pressure", errors["pressure"], "<=", 5e-3, reference="Taylor-Hood elements", status="converged"),
    ]
    elements = coefficients(state.wall_force("cylinder"), PEAK)
    details = {
        "by surface integral": {"drag": drag, "lift": lift},
        "by control volume": {"drag": volume_drag, "lift": volume_lift},
        "by Taylor-Hood elements": {"drag": float(elements[0]), "lift": float(elements[1])},
        "trained parameters": trained.parameters,
        "residuals": 3 * points,
        "mean square of residuals": trained.losses[-1],
        "seconds of training": trained.seconds,
        "seconds of the elements": solver_seconds,
        "figures": _figures(trained, state),
    }
    return CheckReport("pinn-cylinder", checks, time.perf_counter() - start, details)


def strong_form() -> StrongForm:
    return replace(cylinder_in_channel(RE), weights=WEIGHTS)


def collocation_points(count: int, seed: int) -> Array:
    """Sobol' points: half around the cylinder, equally dense in angle and logarithm of the distance, and half over the whole channel."""
    rng = np.random.default_rng(seed)
    near = count // 2
    size = 1 << int(np.ceil(np.log2(4 * count)))
    s, angle = qmc.Sobol(2, seed=rng).random(size).T
    r, angle = RADIUS * NEAR**s, 2 * np.pi * angle
    around = np.array(CENTRE) + np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    around = around[((around > 0) & (around < CHANNEL)).all(axis=1)][:near]
    s, t = qmc.Sobol(2, seed=rng).random(size).T
    x, y = CHANNEL[0] * np.expm1(STRETCH * s) / np.expm1(STRETCH), CHANNEL[1] * (t + 0.5 * (1 - np.cos(np.pi * t))) / 2
    everywhere = np.stack([x, y], axis=1)[np.hypot(x - CENTRE[0], y - CENTRE[1]) > RADIUS][: count - near]
    return np.concatenate([around, everywhere])


def surface_force(pinn: PINN) -> Array:
    """Of the fluid on the cylinder, by the stress on it; units of the strong form, shape (2,)."""
    surface = Disk(CENTRE, RADIUS).boundary(SURFACE)
    return np.asarray(surface.weights @ _stress_and_momentum(pinn, surface)[0])


def momentum_balance(pinn: PINN) -> Array:
    """The same from the stress on a box around the cylinder, less the momentum that leaves it."""
    sides = CONTROL.boundary(BOX_SIDE)
    stress, momentum = _stress_and_momentum(pinn, sides)
    return np.asarray(sides.weights @ (stress - momentum))


def _stress_and_momentum(pinn: PINN, on: BoundaryPoints) -> tuple[Array, Array]:
    """``(-p + nu (grad u + grad u^T)) n`` and ``u (u . n)`` at points, each of shape (n, 2)."""
    with torch.no_grad():
        found = pinn.fields(pinn.frame(on.points))
    velocity, pressure = found.value[:, :2].numpy(), found.value[:, 2:].numpy()
    slopes = found.gradient[:, :, :2].numpy()  # [j, :, i] = du_i / dx_j
    strain = slopes + slopes.transpose(2, 1, 0)
    viscous = np.einsum("jni,nj->ni", strain, on.normals) / RE
    return viscous - pressure * on.normals, velocity * (velocity * on.normals).sum(axis=1, keepdims=True)


def flow_rate(pinn: PINN, x: float) -> float:
    """Through a section of the channel, over that of the inflow."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    y = (nodes + 1) / 2 * CHANNEL[1]
    return float(weights @ pinn.predict(np.column_stack([np.full_like(y, x), y]))[U] / 2)


def _pressure_difference(pinn: PINN) -> float:
    """Between the ends of the cylinder, in the units of the benchmark."""
    (a, b), R = CENTRE, RADIUS
    front, back = pinn.predict(np.array([[a - R, b], [a + R, b]]))[P]
    return float(front - back) * SPEED**2


def _recirculation(pinn: PINN) -> float:
    """Length of the region behind the cylinder where the flow along its axis goes backwards, in diameters."""
    end = CENTRE[0] + RADIUS

    def along(x: float) -> float:
        return float(pinn.predict(np.array([[x, CENTRE[1]]]))[U][0])

    return float(brentq(along, end + 0.2, end + 2.0, xtol=1e-8)) - end


def _field_errors(pinn: PINN, state: FlowState, points: Array) -> dict[str, float]:
    """Relative, in the mean square over points, half of which lie around the cylinder."""
    found, weights = pinn.predict(points), np.full(len(points), 1 / len(points))
    velocity = state.velocity_at(points * DIAMETER) / SPEED
    pressure = state.pressure_at(points * DIAMETER) / SPEED**2
    inside = np.isfinite(velocity).all(axis=1) & np.isfinite(pressure)  # the mesh's cylinder is not exactly round
    weights = weights * inside
    clean = {name: np.where(inside, values, 0.0) for name, values in ((U, velocity[:, 0]), (V, velocity[:, 1]), (P, pressure))}
    kept = {name: np.where(inside, values, 0.0) for name, values in found.items()}
    return {
        "velocity": relative_error(kept, {name: clean[name] for name in (U, V)}, weights),
        "pressure": relative_error(kept, {P: clean[P]}, weights),
    }


def _figures(trained: Trained, state: FlowState) -> list[Figure]:
    x, y = np.linspace(0, 11.0, 128), np.linspace(0, CHANNEL[1], 48)
    found = on_grid(trained.pinn, x, y)
    solid = np.hypot(x[None, :] - CENTRE[0], y[:, None] - CENTRE[1]) < RADIUS
    found = {name: np.where(solid, np.nan, values) for name, values in found.items()}
    points = np.stack([a.ravel() for a in np.meshgrid(x, y)], axis=1)
    exact = (state.velocity_at(points * DIAMETER) / SPEED).reshape(len(y), len(x), 2)
    away = np.hypot(found[U] - exact[..., 0], found[V] - exact[..., 1])
    axis = np.linspace(CENTRE[0] + RADIUS + 1e-3, 8.0, 200)
    line = np.column_stack([axis, np.full_like(axis, CENTRE[1])])
    wake = {
        "network": (axis, trained.pinn.predict(line)[U], "line"),
        "Taylor-Hood": (axis[::10], state.velocity_at(line[::10] * DIAMETER)[:, 0] / SPEED, "points"),
    }
    steps = np.arange(1, len(trained.losses) + 1)
    return [
        field("Speed", "|u| over the mean of the inflow", x, y, np.hypot(found[U], found[V])),
        field("Pressure", "p", x, y, found[P], np.linspace(-1, 3, 17)),
        error_map("Deviation of the velocity from Taylor-Hood elements", x, y, away),
        lines("Velocity behind the cylinder", "x in diameters", "u", wake),
        lines("Mean square of the residuals", "step", "loss", {"": (steps, trained.losses)}, log="y"),
    ]
