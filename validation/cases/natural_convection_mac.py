"""Natural convection in a square by the staggered-grid solver, against converged figures of de Vahl Davis' problem.

The left wall has temperature 1, the right one 0, the others let no heat through; Pr = 0.71, lengths in the side of the square, velocities
in diffusivity over side. Two grids show the order and, extrapolated, the limit. The published figures (de Vahl Davis 1983) are themselves
wrong by up to 1 %; the gate is a spectral solution: a table's at 10^3 and 10^4, and one of the same run at 10^5, which the table lacks and
whose thinner layers take twice as many cells here. The heat that enters at the hot wall has to pass the middle of the square, to rounding.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sciml.checks import Check, CheckReport
from solvers.flow import CarriedScalar, MACFlow, MACHistory, Wall, march_mac, natural_convection
from validation.cases.natural_convection import benchmark_figures
from validation.figures import field
from validation.options import check_between
from validation.reference_tables import row

Array = NDArray[np.float64]
PRANDTL = 0.71
RAYLEIGH = (1000, 10_000, 100_000)
QUANTITIES = ("u_max", "v_max", "Nu_avg")
SOURCE = "own spectral solution of streamfunction and temperature, 30 x 30; de Vahl Davis (1983) within its accuracy"
SAME_RUN = (100_000, 32)  # Rayleigh number and degree; 28 and 32 degrees agree to 2e-6


def run(*, resolution: int = 48) -> CheckReport:
    """March on `resolution` cells along each side, and on half as many, for Ra = 10^3 and 10^4; on twice and once as many for 10^5."""
    check_between("resolution", resolution, 16, 256)
    start, checks, figures, details = time.perf_counter(), [], [], {}
    for rayleigh in RAYLEIGH:
        finer = 2 if rayleigh == SAME_RUN[0] else 1
        coarse, fine = (_march(finer * n, rayleigh) for n in (resolution // 4 * 2, resolution // 4 * 4))
        exact, source = _reference(rayleigh)
        one, two = _figures_of(coarse), _figures_of(fine)
        limit = (4 * two - one) / 3
        slope = float(np.log2(np.linalg.norm(one / exact - 1) / np.linalg.norm(two / exact - 1)))
        middle = abs(_heat_through_the_middle(fine) / two[2] - 1)
        checks.append(Check(f"Ra = {rayleigh}: order", slope, "in", (1.9, 2.1), reference="second order", status="exact"))
        for name, value, true in zip(QUANTITIES, limit, exact, strict=True):
            what = f"Ra = {rayleigh}: |{name}, extrapolated / reference - 1|"
            checks.append(Check(what, abs(value / true - 1), "<=", 1e-3, reference=source, status="converged"))
        checks.append(Check(f"Ra = {rayleigh}: heat lost on the way", middle, "<=", 1e-5, reference="conservation", status="exact"))
        details[f"Ra = {rayleigh}"] = {"coarse": one.tolist(), "fine": two.tolist(), "steps": fine.steps}
        assert fine.scalar is not None
        centres = (np.arange(len(fine.scalar[-1])) + 0.5) / len(fine.scalar[-1])
        figures.append(field(f"Temperature at Ra = {rayleigh}", "T", centres, centres, fine.scalar[-1].T, np.linspace(0.1, 0.9, 9)))
    return CheckReport("natural-convection-mac", checks, time.perf_counter() - start, {**details, "figures": figures})


def _march(n: int, rayleigh: int) -> MACHistory:
    sides = [(Wall(scalar=1.0), Wall(scalar=0.0)), (Wall(), Wall())]
    heat = CarriedScalar(1.0, (0.0, rayleigh * PRANDTL))
    flow = MACFlow((n, n), (1.0, 1.0), PRANDTL, sides, scalar=heat)
    return march_mac(flow, (0.0, 20.0), scalar=lambda x, y: 1 - x, steady_rate=1e-6).raise_for_status()


def _reference(rayleigh: int) -> tuple[Array, str]:
    """What the limit of fine grids is compared with, and where it comes from."""
    if rayleigh == SAME_RUN[0]:
        found = benchmark_figures(natural_convection(rayleigh, PRANDTL, SAME_RUN[1]).raise_for_status())
        return np.array([found[name] for name in QUANTITIES]), f"spectral Newton solver of the same run, degree {SAME_RUN[1]}"
    line = row("natural_convection_square", source="own_spectral", Ra=str(rayleigh))
    return np.array([float(line[name]) for name in QUANTITIES]), SOURCE


def _figures_of(history: MACHistory) -> Array:
    """Largest velocities on the centre lines, from splines through the faces on them and the walls, and the mean Nusselt number."""
    u, v = history.velocity[0][-1], history.velocity[1][-1]
    assert history.scalar is not None
    n, hot = len(v), history.scalar[-1][0]
    points, dense = np.concatenate([[0.0], (np.arange(n) + 0.5) / n, [1.0]]), np.linspace(0, 1, 4001)
    largest = [CubicSpline(points, np.concatenate([[0.0], line, [0.0]]))(dense).max() for line in (u[n // 2], v[:, n // 2])]
    return np.array([*largest, float((2 * n * (1 - hot)).mean())])


def _heat_through_the_middle(history: MACHistory) -> float:
    assert history.scalar is not None
    T, n = history.scalar[-1], len(history.scalar[-1])
    left, right = T[n // 2 - 1], T[n // 2]
    return float((n * (left - right) + history.velocity[0][-1][n // 2] * (left + right) / 2).mean())
