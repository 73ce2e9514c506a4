"""Lid-driven cavity, marched to the steady state on staggered grids, against converged profiles.

The lid slides along at speed 1, Re = 1 / nu. Two grids show the order and, extrapolated, the limit. Both centre lines are compared at
the stations of Ghia, Ghia and Shin (1982) with profiles that agree with other spectral computations to 2e-5; Ghia's own figures deviate
from those by up to 0.009 for Re = 100 and 0.15 for Re = 400, and are no gate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sciml.checks import Check, CheckReport
from solvers.flow import MACFlow, MACHistory, Wall, lid_driven_cavity, march_mac
from validation.cases.cavity import profiles
from validation.centre_lines import centre_lines
from validation.figures import Figure, field
from validation.options import check_between
from validation.reference_tables import row, rows

Array = NDArray[np.float64]
#: Largest deviation of the profiles on n x n cells times n^2, with a tenth of room: boundary layers of thickness Re^-1/2 on equal cells.
REYNOLDS = {100: 6.0, 400: 43.0}
SOURCE = "own spectral solution, 65 x 65, corner singularities subtracted; agrees with Marchi et al. (2009), Botella and Peyret (1998)"
DEGREE = 48  # of the spectral solution that is drawn; it meets the tables to 3e-5
STEADY = 1e-6


@dataclass(frozen=True)
class Profile:
    """Velocities on the centre lines at the stations, and extrema: u_min, v_max, v_min."""

    u: Array
    v: Array
    extrema: Array


def run(*, resolution: int = 96) -> CheckReport:
    """March on `resolution` cells along each side and on half as many, for Re = 100 and 400."""
    check_between("resolution", resolution, 16, 512)
    start, checks, figures, details = time.perf_counter(), [], [], {}
    for reynolds, constant in REYNOLDS.items():
        coarse, fine = (march(n, reynolds) for n in (resolution // 4 * 2, resolution // 2 * 2))
        one, two, exact = profile(coarse), profile(fine), converged(reynolds)
        ratio = (len(fine.velocity[1][-1]) / len(coarse.velocity[1][-1])) ** 2
        limit = Profile(*((ratio * f - c) / (ratio - 1) for c, f in zip(_parts(one), _parts(two), strict=True)))
        order = float(np.log(distance(one, exact) / distance(two, exact)) / np.log(ratio) * 2)
        checks += [
            Check(f"Re = {reynolds}: order", order, "in", (1.7, 2.3), reference="second-order differences", status="exact"),
            _check(f"Re = {reynolds}: profiles on the finer grid", distance(two, exact), constant / resolution**2),
            _check(f"Re = {reynolds}: profiles, extrapolated", distance(limit, exact), 5e-4),
            _check(f"Re = {reynolds}: extrema of the profiles, extrapolated", float(np.abs(limit.extrema - exact.extrema).max()), 2e-4),
            Check(f"Re = {reynolds}: largest |du/dt|", fine.rate, "<=", STEADY, reference="steady"),
        ]
        details[f"Re = {reynolds}"] = {"steps": fine.steps, "time": float(fine.ts[-1]), "deviation": distance(two, exact)}
        figures += _figures(reynolds, fine)
    return CheckReport("cavity-mac", checks, time.perf_counter() - start, {**details, "figures": figures})


def march(n: int, reynolds: float) -> MACHistory:
    """The steady flow on n x n cells, n even."""
    still = Wall()
    flow = MACFlow((n, n), (1.0, 1.0), 1 / reynolds, [(still, still), (still, Wall((1.0, 0.0)))])
    return march_mac(flow, (0.0, 400.0), steady_rate=STEADY).raise_for_status()


def profile(history: MACHistory) -> Profile:
    """What `converged` gives, from splines through the faces on the centre lines and the walls."""
    u, v = history.velocity[0][-1], history.velocity[1][-1]
    n = len(v)
    points = np.concatenate([[0.0], (np.arange(n) + 0.5) / n, [1.0]])
    along_y = CubicSpline(points, np.concatenate([[0.0], u[n // 2], [1.0]]))
    along_x = CubicSpline(points, np.concatenate([[0.0], v[:, n // 2], [0.0]]))
    y, x = stations()
    dense = np.linspace(0, 1, 4001)
    return Profile(along_y(y), along_x(x), np.array([along_y(dense).min(), along_x(dense).max(), along_x(dense).min()]))


def converged(reynolds: int) -> Profile:
    """The converged profiles at the stations of the tables."""
    u, v = (np.array([float(line[f"{name}_Re{reynolds}"]) for line in rows(f"cavity_converged_{name}")]) for name in ("u", "v"))
    extrema = row("cavity_extrema", source="own_spectral_N64", Re=str(reynolds))
    return Profile(u, v, np.array([float(extrema[name]) for name in ("u_min", "v_max", "v_min")]))


def _parts(one: Profile) -> tuple[Array, Array, Array]:
    return one.u, one.v, one.extrema


def stations() -> tuple[Array, Array]:
    """Where the tables give u (values of y, on x = 1/2) and v (values of x, on y = 1/2)."""
    y, x = (np.array([float(line[axis]) for line in rows(f"cavity_converged_{name}")]) for name, axis in (("u", "y"), ("v", "x")))
    return y, x


def distance(one: Profile, exact: Profile) -> float:
    """Largest deviation of two profiles at the stations."""
    return float(max(np.abs(one.u - exact.u).max(), np.abs(one.v - exact.v).max()))


def _check(name: str, observed: float, gate: float) -> Check:
    return Check(f"{name}: largest deviation", observed, "<=", gate, reference=SOURCE, status="converged")


def _figures(reynolds: int, history: MACHistory) -> list[Figure]:
    u, v = history.velocity[0][-1], history.velocity[1][-1]
    n = len(v)
    points = (np.arange(n) + 0.5) / n
    cells = f"{n} x {n} cells"
    spectral = profiles(lid_driven_cavity(reynolds, DEGREE).raise_for_status())
    smooth = np.linspace(0, 1, 201)[1:-1]
    found = (
        {cells: (points, mine, "line"), "converged, spectral": (smooth, curve(smooth), "dashed")}
        for mine, curve in zip((u[n // 2], v[:, n // 2]), spectral, strict=True)
    )
    psi = np.concatenate([np.zeros((n + 1, 1)), np.cumsum(u, axis=1)], axis=1) / n
    levels = np.concatenate([np.linspace(-0.11, -0.01, 11), [-1e-3, -1e-4, 1e-5, 1e-4]]).tolist()
    vorticity = n * (np.diff(v[:, 1:-1], axis=0) - np.diff(u[1:-1], axis=1))  # in the corners that are inside
    corners = np.arange(n + 1) / n
    inside = corners[1:-1]
    return [
        *centre_lines(reynolds, *found),
        field(f"Streamlines at Re = {reynolds}", "streamfunction psi", corners, corners, psi.T, levels),
        field(
            f"Vorticity at Re = {reynolds}",
            "dv/dx - du/dy, cut at 10",
            inside,
            inside,
            np.clip(vorticity, -10, 10).T,
            np.arange(-5, 6),
        ),
    ]
