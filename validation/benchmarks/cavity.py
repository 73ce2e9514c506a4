"""Time to a given error of the lid-driven cavity, marched from rest to its steady state: this suite beside OpenFOAM's icoFoam.

Both use second-order central differences on the same equal cells, from rest to the same time, icoFoam by implicit Euler steps of 0.8 cells
with two PISO corrections. The error is the largest deviation of the profiles on both centre lines from converged ones; times are processor
time of one core, compilation and meshing left out. What is compared is the time to an error, between grids by a power law.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from sciml.checks import Check, CheckReport
from sciml.errors import InputError
from solvers.flow import MACFlow, Wall, march_mac
from validation.cases.cavity_mac import Profile, converged, distance, profile, stations
from validation.options import check_between
from validation.peers import openfoam

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

#: Times at which the flow is steady to 1e-5, and errors to reach, by Reynolds number.
END, TARGET = {100: 20.0, 400: 45.0, 1000: 80.0}, {100: 2e-3, 400: 5e-3, 1000: 2e-2}
COURANT = 0.8


@dataclass(frozen=True)
class Run:
    """Cells along a side, error, processor seconds, steps."""

    cells: int
    error: float
    seconds: float
    steps: int


def run(*, reynolds: int = 100, largest: int = 128) -> CheckReport:
    """March at `reynolds` (100, 400 or 1000) on 16, 32, ... `largest` cells along each side."""
    check_between("largest", largest, 32, 512)
    if reynolds not in END:
        raise InputError(f"reynolds = {reynolds} has no end time here: choose one of {', '.join(map(str, END))}")
    start, exact, target = time.perf_counter(), converged(reynolds), TARGET[reynolds]
    grids = [16 * 2**k for k in range(int(np.log2(largest / 16)) + 1)]
    _own(8, reynolds, exact)  # compiles
    own = [_own(n, reynolds, exact) for n in grids]
    details: dict[str, object] = {"reynolds": reynolds, "end": END[reynolds], "target": target, "own": [asdict(one) for one in own]}
    reason = openfoam.missing()
    if reason is not None:
        details["left_out"] = {"OpenFOAM": reason}
        checks = [_order(own)]
    else:
        peer, name = [_theirs(n, reynolds, exact) for n in grids], openfoam.version()
        ours, theirs = _time_to(own, target), _time_to(peer, target)
        details["peer"], details[name] = name, [asdict(one) for one in peer]
        details["seconds to the target"], details["ratio"] = {"own": ours, name: theirs}, theirs / ours
        checks = [
            _order(own),
            Check(f"error on {grids[-1]} x {grids[-1]} cells", own[-1].error, "<=", peer[-1].error, reference=name, status="peer"),
            Check(f"processor time to the error {target:g}", ours, "<=", theirs, unit="s", reference=name, status="peer"),
        ]
    return CheckReport("cavity", checks, time.perf_counter() - start, details)


def _order(own: list[Run]) -> Check:
    slope = float(np.log2(own[-2].error / own[-1].error))
    return Check("order of the last refinement", slope, "in", (1.6, 2.4), reference="second-order differences", status="exact")


def _own(n: int, reynolds: int, exact: Profile) -> Run:
    still = Wall()
    flow = MACFlow((n, n), (1.0, 1.0), 1 / reynolds, [(still, still), (still, Wall((1.0, 0.0)))])
    began = time.process_time()
    history = march_mac(flow, (0.0, END[reynolds])).raise_for_status()
    return _noted("own", Run(n, distance(profile(history), exact), time.process_time() - began, history.steps))


def _theirs(n: int, reynolds: int, exact: Profile) -> Run:
    found = openfoam.cavity(n, reynolds, END[reynolds], COURANT)
    middle = np.array([-1, 9, 9, -1]) / 16  # cubic interpolation halfway between cells
    rows = slice(n // 2 - 2, n // 2 + 2)
    points = np.concatenate([[0.0], (np.arange(n) + 0.5) / n, [1.0]])
    along_y = CubicSpline(points, np.concatenate([[0.0], middle @ found.velocity[0, rows], [1.0]]))
    along_x = CubicSpline(points, np.concatenate([[0.0], found.velocity[1][:, rows] @ middle, [0.0]]))
    y, x = stations()
    error = max(float(np.abs(along_y(y) - exact.u).max()), float(np.abs(along_x(x) - exact.v).max()))
    return _noted("icoFoam", Run(n, error, found.seconds, found.steps))


def _noted(name: str, one: Run) -> Run:
    log.info("%-8s %4d cells a side: error %.2e, %8.2f s, %d steps", name, one.cells, one.error, one.seconds, one.steps)
    return one


def _time_to(runs: list[Run], error: float) -> float:
    """Seconds to an error, by a power law between the two grids beside it, or beyond the last."""
    after = next((k for k, one in enumerate(runs) if one.error <= error), len(runs) - 1)
    one, two = runs[max(after, 1) - 1], runs[max(after, 1)]
    part = np.log(one.error / error) / np.log(one.error / two.error)
    return float(one.seconds * (two.seconds / one.seconds) ** part)
