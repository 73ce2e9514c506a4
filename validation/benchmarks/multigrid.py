"""Iterations of conjugate gradients with geometric multigrid, over sides, sizes, contrasts, stretched cells and odd grids.

The claim of a multigrid method is that its iterations depend on none of these. Every system is diffusion with two phases, a Gaussian field
cut at zero, a coefficient of 1 in one and of the contrast in the other; the right-hand side is white noise, and the solver stops at a
relative residual of 1e-8, recomputed. Every size has a gate of 12 iterations for each contrast, over all kinds of sides, even and odd
grids; and one for stretched cells, whose couplings differ by the square of the ratio of their sides.

Known to fail: a contrast of 10^4 in space, the more the finer the grid (18 iterations on 32^3 cells, 76 on 128^3); and cells of 100:1,
whose couplings differ by 10^4, on some grids (up to 16). The gate stays where a user would want it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.fields import GaussianRandomField
from sciml.grid import Grid
from solvers import Solution, linear_solve
from solvers.linear import StencilOperator, diffusion_operator
from solvers.linear.stencil import Side, Sides
from validation.figures import Figure, lines
from validation.options import check_between

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

COST = "2 to 4 min"
RTOL, GATE, PATIENCE = 1e-8, 12, 200
D: Side = "dirichlet"
N: Side = "neumann"
P: Side = "periodic"
SIDES: dict[str, tuple[Side, Side]] = {"Dirichlet": (D, D), "Neumann": (N, N), "periodic": (P, P)}
MIXED: Sides = ((D, N), (P, P), (N, N))
CONTRASTS = (1.0, 4.0, 1e2, 1e4)  # 4 is the 12 / 3 of the common benchmark
RATIOS = (10.0, 100.0)
STRETCHED_CONTRASTS = (1.0, 1e2)


@dataclass(frozen=True)
class Setting:
    """One system: cells an axis, kind of its sides, contrast, and how much longer its cells are along the last axis."""

    dimension: int
    cells: int
    sides: str
    contrast: float
    ratio: float = 1.0

    @property
    def group(self) -> str:
        """What one gate is for."""
        grid = f"{self.cells + self.cells % 2}^{self.dimension}"
        return f"{grid}, cells {self.ratio:g}:1" if self.ratio > 1 else f"{grid}, contrast {self.contrast:g}"


def run(*, plane: int = 1024, cube: int = 128, seed: int = 0) -> CheckReport:
    """Grids from 64^2 to `plane`^2 and from 32^3 to `cube`^3, each twice as fine as the one before."""
    check_between("plane", plane, 64, 2048)
    check_between("cube", cube, 32, 128)
    check_between("seed", seed, 0, 2**31)
    start = time.perf_counter()
    counts: dict[str, list[int]] = {}
    residual = 0.0
    worst: dict[str, dict[str, Any]] = {}
    for setting in settings(plane, cube):
        A, b = system(setting, seed)
        solution = solve(A, b)
        residual = max(residual, solution.relative_residual)
        counts.setdefault(setting.group, []).append(solution.iterations)
        if solution.iterations == max(counts[setting.group]):
            worst[setting.group] = {"sides": setting.sides, "cells": setting.cells, "contrast": setting.contrast}
    for group, found in counts.items():
        log.info("%-24s median %5.1f, most %3d iterations of %2d systems", group, median(found), max(found), len(found))
    checks = [
        Check(f"{group}: most iterations of {len(found)} systems, median {median(found):g}", max(found), "<=", GATE)
        for group, found in counts.items()
    ]
    checks.append(Check("largest relative residual", residual, "<=", RTOL, reference="rtol, recomputed", status="exact"))
    details = {"iterations": counts, "worst": worst, "figures": _figures(counts)}
    return CheckReport("multigrid", checks, time.perf_counter() - start, details)


def settings(plane: int, cube: int) -> Iterator[Setting]:
    """All systems up to the given sizes, grid after grid; an odd grid has a cell less an axis than the even one that it stands beside."""
    for dimension, coarsest, finest in ((2, 64, plane), (3, 32, cube)):
        cells = coarsest
        while cells <= finest:
            for sides, contrast, odd in product((*SIDES, "mixed"), CONTRASTS, (0, 1)):
                yield Setting(dimension, cells - odd, sides, contrast)
            for sides, contrast, ratio in product((*SIDES, "mixed"), STRETCHED_CONTRASTS, RATIOS):
                yield Setting(dimension, cells, sides, contrast, ratio)
            cells *= 2


def system(setting: Setting, seed: int) -> tuple[StencilOperator, Array]:
    """The operator, and white noise, of mean zero where the constants are in the null space."""
    shape = (setting.cells,) * setting.dimension
    rng = np.random.default_rng([seed, *shape])
    phases = GaussianRandomField(alpha=2.0, tau=3.0).sample(Grid(shape, (1.0,) * setting.dimension), rng)
    h = 1.0 / setting.cells
    spacing = (h,) * (setting.dimension - 1) + (h * setting.ratio,)
    sides: Sides = MIXED[: setting.dimension] if setting.sides == "mixed" else (SIDES[setting.sides],) * setting.dimension
    A = diffusion_operator(np.where(phases > 0, setting.contrast, 1.0), spacing=spacing, sides=sides)
    b = rng.standard_normal(shape)
    return A, b - b.mean() if A.is_singular else b


def solve(A: StencilOperator, b: Array) -> Solution:
    return linear_solve(A, b, "multigrid_cg", rtol=RTOL, maxiter=PATIENCE)


def _figures(counts: dict[str, list[int]]) -> list[Figure]:
    """The most iterations against cells an axis, a curve for each contrast or ratio; in the plane and in space."""
    drawn = []
    for dimension, where in ((2, "the plane"), (3, "space")):
        curves: dict[str, tuple[list[int], list[int]]] = {}
        for group, found in counts.items():
            grid, _, what = group.partition(", ")
            cells, _, power = grid.partition("^")
            if int(power) == dimension:
                xs, ys = curves.setdefault(what, ([], []))
                xs.append(int(cells))
                ys.append(max(found))
        ends = [int(group.partition("^")[0]) for group in counts if f"^{dimension}," in group]
        gate = {"gate": ([min(ends), max(ends)], [GATE, GATE], "dashed")}
        drawn.append(lines(f"Multigrid in {where}", "cells an axis", "most iterations", {**curves, **gate}, log="xy"))
    return drawn
