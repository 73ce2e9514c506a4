"""Pulsating flow between plates (Womersley) by the staggered-grid solver, against its closed form.

Between plates at y = +-1 the pressure gradient -cos t drives u = Re{(1 - cosh(l y) / cosh l) e^it / i}, l = sqrt(i) alpha, where
alpha^2 = 1 / nu (Womersley 1955 for pipes; between plates a textbook formula). A slow oscillation (alpha = 1) keeps the parabola, a fast
one (alpha = 10) leaves a core that lags a quarter of a period behind its forcing, and Stokes layers of thickness sqrt(2) / alpha.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers.flow import MACFlow, Periodic, Wall, march_mac
from validation.figures import lines
from validation.options import check_between

Array = NDArray[np.float64]
ALPHAS = (1.0, 4.0, 10.0)
PHASES = tuple(np.pi / 2 * np.array([0.25, 0.5, 0.75, 1.0]))


@dataclass(frozen=True)
class Study:
    """Profiles at the phases on the finest grid, errors over the grids, and the orders."""

    profiles: Array
    errors: tuple[float, ...]
    order_in_space: float
    order_in_time: float


def run(*, resolution: int = 64) -> CheckReport:
    """A quarter of a period from the exact state, on `resolution` cells across the channel and on half as many."""
    check_between("resolution", resolution, 16, 256)
    start, checks, figures, details = time.perf_counter(), [], [], {}
    for alpha in ALPHAS:
        study = _study(alpha, resolution)
        gate = (1.3 + 0.1 * alpha**2) / resolution**2
        checks += [
            Check(f"alpha = {alpha:g}: order in space", study.order_in_space, "in", (1.85, 2.15), reference="second order", status="exact"),
            Check(f"alpha = {alpha:g}: order in time", study.order_in_time, ">=", 2.7, reference="third order", status="exact"),
            Check(f"alpha = {alpha:g}: relative L2 error", study.errors[-1], "<=", gate, reference="closed form", status="exact"),
        ]
        details[f"alpha = {alpha:g}"] = {"relative errors": study.errors}
        figures.append(_figure(alpha, study.profiles))
    return CheckReport("womersley", checks, time.perf_counter() - start, {**details, "figures": figures})


def _study(alpha: float, resolution: int) -> Study:
    errors = []
    for n in (resolution // 2, resolution):
        states = _march(alpha, n, _step(alpha, n))
        exact = np.stack([exact_profile(alpha, t, _centres(n)) for t in PHASES])
        errors.append(float(np.linalg.norm(states - exact) / np.linalg.norm(exact)))
    profiles, n = states, resolution // 4
    coarse = [_march(alpha, n, _step(alpha, n) / k)[-1] for k in (1, 2, 4)]
    in_time = np.abs(coarse[0] - coarse[1]).max() / np.abs(coarse[1] - coarse[2]).max()
    return Study(profiles, tuple(errors), float(np.log2(errors[0] / errors[1])), float(np.log2(in_time)))


def exact_profile(alpha: float, t: float, y: Array) -> Array:
    """Velocity at time t."""
    root = np.sqrt(1j) * alpha
    return np.asarray(np.real((1 - np.cosh(root * y) / np.cosh(root)) / 1j * np.exp(1j * t)))


def _step(alpha: float, n: int) -> float:
    """A step that resolves the period, and two thirds of what diffusion allows."""
    return min(0.2, 0.4 * (2 / n) ** 2 * alpha**2)


def _march(alpha: float, n: int, dt: float) -> Array:
    """Profiles at the phases, shape (phases, n)."""
    plates, around = (Wall(), Wall()), (Periodic(), Periodic())
    flow = MACFlow((2, n), (4.0, 2.0), alpha**-2, [around, plates], force=lambda t, x, y: (np.cos(t), 0.0))

    def begin(x: Array, y: Array) -> Sequence[Array | float]:
        return exact_profile(alpha, 0.0, y - 1) + 0 * x, 0.0

    history = march_mac(flow, (0.0, PHASES[-1]), begin, dt=dt, save_at=PHASES).raise_for_status()
    return history.velocity[0][:, 0]


def _centres(n: int) -> Array:
    return (np.arange(n) + 0.5) * 2 / n - 1


def _figure(alpha: float, profiles: Array) -> dict[str, object]:
    y, few = _centres(profiles.shape[1]), np.linspace(-1, 1, 21)
    found = {f"t = {t:.3f}": (y, profile, "line") for t, profile in zip(PHASES, profiles, strict=True)}
    exact = {f"t = {t:.3f}, closed form": (few, exact_profile(alpha, t, few), "points") for t in PHASES}
    return lines(f"Velocity across the channel, alpha = {alpha:g}", "y", "u", found | exact)
