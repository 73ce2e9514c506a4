"""Darcy flow through layers in series: harmonic face averages are exact, whatever the contrast.

A jump of pressure drives flow across layers of constant permeability, without source and without flow through the other sides. The
flux is the jump over the sum of the layers' resistances, and the pressure at the cell centres follows by adding resistances up: a
chain of resistors. Arithmetic face averages miss both by the size of the contrast.
"""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.discretize import linear_system
from sciml.problems import Darcy
from solvers import linear_solve
from validation.options import check_between

Array = NDArray[np.float64]
EXTENT = (1.0, 0.6, 0.8)
JUMP = 2.5


def run(*, cells: int = 24) -> CheckReport:
    """Layers across each axis in turn, in 2-D and 3-D, with permeability ratios of 4 to a million."""
    check_between("cells", cells, 4, 64)
    start = time.perf_counter()
    checks = []
    for dimension in (2, 3):
        for contrast in (4.0, 1e3, 1e6):
            for axis in range(dimension):
                checks.append(_check(dimension, axis, contrast, cells if dimension == 2 else cells // 2))
    return CheckReport("darcy-series-resistor", checks, time.perf_counter() - start)


def _check(dimension: int, axis: int, contrast: float, cells: int) -> Check:
    problem = _problem(dimension, axis, cells)
    layers = np.exp(np.random.default_rng(7).uniform(0.0, math.log(contrast), cells))
    layers[:2] = 1.0, contrast  # the full contrast is met, and right at the wall
    along = [1] * dimension
    along[axis] = cells
    permeability = np.broadcast_to(layers.reshape(along), problem.grid.shape)
    system = linear_system(problem, {"permeability": permeability})
    solution = linear_solve(system.operator, system.rhs, method="lu", rtol=1e-8).raise_for_status()
    exact = np.broadcast_to(_pressure(layers, EXTENT[axis]).reshape(along), problem.grid.shape)
    error = float(np.abs(system.unpack(solution.x)["pressure"] - exact).max()) / JUMP
    # The condition number is about cells^2 times the contrast; neighbours share most of a layer's rounding, so half its digits suffice.
    rounding = 10.0 * float(np.finfo(np.float64).eps) * cells**2 * math.sqrt(contrast)
    name = f"{dimension}-D, layers across {'xyz'[axis]}, contrast {contrast:g}: largest error / pressure jump"
    return Check(name, error, "<=", rounding, reference="resistors in series", status="exact")


def _problem(dimension: int, axis: int, cells: int) -> Darcy:
    flow = {f"{'xyz'[axis]}_low": {"kind": "dirichlet", "value": JUMP}, f"{'xyz'[axis]}_high": "dirichlet"}
    walls = {f"{other}_{end}": "neumann" for k, other in enumerate("xyz"[:dimension]) if k != axis for end in ("low", "high")}
    return Darcy.model_validate(
        {
            "dimension": dimension,
            "resolution": cells,
            "extent": EXTENT[:dimension],
            "boundary": {**flow, **walls},
            "permeability": {"kind": "log_normal"},
            "source": 0.0,
        }
    )


def _pressure(layers: Array, length: float) -> Array:
    """Pressure at the middle of each layer of a chain of resistors between JUMP and 0."""
    half = length / layers.size / layers / 2
    before = np.cumsum(2 * half) - half
    return np.asarray(JUMP * (1 - before / (2 * half.sum())))
