"""Darcy flow conserves mass: what the source produces leaves through the sides, and through every cell's faces.

The fluxes are computed here from the pressure and the permeability alone, by Darcy's law over the two half cells next to a face, and
not from the operator that was solved. An operator in non-divergence form (-a Laplacian p), or with other face averages, fails.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.discretize import linear_system
from sciml.grid import Grid
from sciml.problems import Darcy, seed_words
from solvers import linear_solve
from validation.options import check_between

Array = NDArray[np.float64]
LAWS = ("binary", "log_normal", "smooth_step")
RTOL = 1e-10


def run(*, samples: int = 3, resolution: int = 64, seed: int = 0) -> CheckReport:
    """Solve `samples` random media of each law in 2-D, and one of each in 3-D at a third of the resolution."""
    check_between("samples", samples, 1, 10_000)
    check_between("resolution", resolution, 4, 512)
    check_between("seed", seed, 0, 2**63 - 1)
    start = time.perf_counter()
    checks = []
    for law in LAWS:
        flat = Darcy.model_validate({"resolution": resolution, "permeability": {"kind": law}})
        smoother = {"kind": law, "field": {"alpha": 3.0}}
        box = Darcy.model_validate({"dimension": 3, "resolution": max(resolution // 3, 4), "permeability": smoother})
        checks += _checks(f"2-D, {law}", [_imbalances(flat, seed, i) for i in range(samples)])
        checks += _checks(f"3-D, {law}", [_imbalances(box, seed, 0)])
    return CheckReport("darcy-flux-balance", checks, time.perf_counter() - start)


def _checks(name: str, imbalances: list[tuple[float, float]]) -> list[Check]:
    total, cell = (max(values) for values in zip(*imbalances, strict=True))
    source = "integral of the source"
    return [
        # The sum over n cells of a residual of norm rtol ||f|| is at most rtol ||f||_2 sqrt(n), which is rtol times the source itself.
        Check(f"{name}: outflow through the sides / source - 1", total, "<=", 2 * RTOL, reference=source, status="exact"),
        Check(f"{name}: imbalance over all cells / source (2-norm)", cell, "<=", 2 * RTOL, reference=source, status="exact"),
    ]


def _imbalances(problem: Darcy, seed: int, index: int) -> tuple[float, float]:
    parameters = problem.sample(seed_words(seed, 0, index))
    system = linear_system(problem, parameters)
    solution = linear_solve(system.operator, system.rhs, rtol=RTOL).raise_for_status()
    pressure = system.unpack(solution.x)["pressure"]
    fluxes = [_fluxes(pressure, parameters["permeability"], problem.grid, axis) for axis in range(problem.dimension)]
    divergence = sum(np.diff(flux, axis=axis) / problem.grid.spacing[axis] for axis, flux in enumerate(fluxes))
    outflow = sum(
        float(np.take(flux, -1, axis=axis).sum() - np.take(flux, 0, axis=axis).sum()) / problem.grid.spacing[axis]
        for axis, flux in enumerate(fluxes)
    )
    source = float(problem.value("source", parameters))
    n = pressure.size
    return abs(outflow / (source * n) - 1.0), float(np.linalg.norm(divergence - source)) / (source * n**0.5)


def _fluxes(pressure: Array, permeability: Array, grid: Grid, axis: int) -> Array:
    """``-a dp/dx`` along +axis at all faces, zero pressure on the outer ones; one entry more than cells along `axis`."""
    h = grid.spacing[axis]
    p, a = np.moveaxis(pressure, axis, 0), np.moveaxis(permeability, axis, 0)
    # Two half cells in series: the pressure at the face is eliminated between a_l (p_f - p_l) = a_r (p_r - p_f).
    inner = -(p[1:] - p[:-1]) / h * 2 * a[1:] * a[:-1] / (a[1:] + a[:-1])
    low, high = -a[:1] * p[:1] / (h / 2), a[-1:] * p[-1:] / (h / 2)
    return np.moveaxis(np.concatenate([low, inner, high]), 0, axis)
