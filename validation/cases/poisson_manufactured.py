"""Poisson with manufactured solutions: order 2 on every kind of side, in 2-D and 3-D, with the error constant.

Each solution is a product of shifted cosines, so neither it nor its data vanish or are symmetric on any side, and the cells are not
square. The order is read off the last two refinements. A scheme of the right order with a wrong constant is still wrong, so the
error on the finest grid is compared, as a field, with the h^2 term that Taylor expansion predicts (`_leading_error`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.discretize import linear_system
from sciml.errors import InputError
from sciml.problems import Poisson
from solvers import linear_solve

Array = NDArray[np.float64]
Pairs = tuple[tuple[str, str], ...]
log = logging.getLogger(__name__)

EXTENT = (1.0, 0.7, 1.3)
D, N, P = "dirichlet", "neumann", "periodic"
COMBINATIONS: dict[str, Pairs] = {
    "2-D, all Dirichlet": ((D, D), (D, D)),
    "2-D, all periodic": ((P, P), (P, P)),
    "2-D, Neumann in x, Dirichlet in y": ((N, N), (D, D)),
    "2-D, another kind on each end": ((D, N), (N, D)),
    "2-D, periodic in x, Dirichlet and Neumann in y": ((P, P), (D, N)),
    "2-D, periodic in x, Neumann in y (singular)": ((P, P), (N, N)),
    "2-D, all Neumann (singular)": ((N, N), (N, N)),
    "3-D, all Dirichlet": ((D, D), (D, D), (D, D)),
    "3-D, all Neumann (singular)": ((N, N), (N, N), (N, N)),
    "3-D, all periodic": ((P, P), (P, P), (P, P)),
    "3-D, Dirichlet, Neumann and periodic": ((D, N), (N, D), (P, P)),
}


@dataclass(frozen=True)
class Study:
    """Errors over the grids of one combination of sides."""

    name: str
    resolutions: tuple[int, ...]
    errors: tuple[float, ...]
    unexplained: float
    next_term: float

    @property
    def slopes(self) -> list[float]:
        pairs = zip(self.errors[:-1], self.errors[1:], strict=True)
        return [float(np.log2(coarse / fine)) for coarse, fine in pairs]


def run(*, grids: int = 4) -> CheckReport:
    """Solve on `grids` grids, each twice as fine: from 16 cells an axis in 2-D and from 8 in 3-D."""
    if not 3 <= grids <= 6:
        raise InputError(f"grids = {grids}: two slopes need 3 grids, and more than 6 do not fit into memory; choose 3 to 6")
    start = time.perf_counter()
    studies = [_study(name, pairs, grids) for name, pairs in COMBINATIONS.items()]
    checks = [check for study in studies for check in _checks(study)]
    details = {study.name: {"cells": study.resolutions, "relative L2 error": study.errors, "slopes": study.slopes} for study in studies}
    return CheckReport("poisson-manufactured", checks, time.perf_counter() - start, details)


def _checks(study: Study) -> list[Check]:
    scheme = "second-order finite volumes"
    orders = [
        Check(f"{study.name}: order, {which} refinement", slope, "in", (1.9, 2.1), reference=scheme, status="exact")
        for which, slope in zip(("last but one", "last"), study.slopes[-2:], strict=True)
    ]
    constant = f"{study.name}: share of the error that the h^2 term of theory leaves over"
    gate = "size of the h^4 term, max (wavenumber h)^2 / 5"
    return [*orders, Check(constant, study.unexplained, "<=", study.next_term, reference=gate, status="exact")]


def _study(name: str, pairs: Pairs, grids: int) -> Study:
    dimension = len(pairs)
    coarsest = 16 if dimension == 2 else 8
    resolutions = tuple(coarsest * 2**level for level in range(grids))
    errors = []
    for n in resolutions:
        error, exact = _error(_problem(pairs, n))
        errors.append(_norm(error) / _norm(exact))
    finest = _problem(pairs, resolutions[-1])
    unexplained = _norm(error - _leading_error(finest)) / _norm(error)
    assert finest.solution is not None  # every problem here has one
    phase = max(k * h for k, h in zip(finest.solution.wavenumbers, finest.grid.spacing, strict=True))
    log.info("%s: %s", name, ", ".join(f"{error:.3e}" for error in errors))
    return Study(name, resolutions, tuple(errors), unexplained, phase**2 / 5)


def _problem(pairs: Pairs, resolution: int) -> Poisson:
    dimension = len(pairs)
    sides = {f"{axis}_{end}": kind for axis, (low, high) in zip("xyz", pairs, strict=False) for end, kind in (("low", low), ("high", high))}
    turns = (1.0, 2.0, 1.0)
    free = (2.3, 3.1, 1.7)
    waves = tuple(2 * np.pi * turns[k] / EXTENT[k] if pairs[k][0] == P else free[k] for k in range(dimension))
    wave = {"wavenumbers": waves, "phases": (0.4, 0.9, 0.2)[:dimension]}
    settings = {"dimension": dimension, "resolution": resolution, "extent": EXTENT[:dimension], "boundary": sides, "solution": wave}
    return Poisson.model_validate(settings)


def _error(problem: Poisson) -> tuple[Array, Array]:
    """Error and exact solution at the cell centres; means are removed where the solution is only known up to a constant."""
    system = linear_system(problem, {})
    solution = linear_solve(system.operator, system.rhs, rtol=1e-11).raise_for_status()
    computed = system.unpack(solution.x)["potential"]
    fields = problem.exact({})
    assert fields is not None  # the problem was built with a manufactured solution
    exact = fields["potential"]
    if system.operator.is_singular:
        return _mean_free(computed - exact), _mean_free(exact)
    return computed - exact, exact


def _leading_error(problem: Poisson) -> Array:
    """The h^2 term of the error, by solving the equation that the truncation error leaves.

    With e = computed - exact, subscripts for derivatives along axis k, and f and the prescribed fluxes given as averages over cells and
    faces, Taylor expansion about the centres gives as the right-hand side of ``A e = ...``

    * in every cell ``sum_k h_k^2 (u_kkkk / 12 + f_kk / 24)``,
    * in a cell on a Dirichlet side ``-u_kk / 4`` more, since the flux over half a cell misses ``h_k / 4 u_kk``,
    * in a cell on a Neumann side, g being the flux: ``(sum_j h_j^2 g_jj - 2 h_k^2 g_kk) / (24 h_k)`` more, since the side carries
      the average of the flux itself and not the difference quotient.

    For cosines every second derivative is a multiple ``-wavenumber^2``, so all terms are multiples of u and of the boundary data.
    """
    wave = problem.solution
    assert wave is not None
    grid, system = problem.grid, linear_system(problem, {})
    k2 = np.array(wave.wavenumbers) ** 2
    hk2 = np.array(grid.spacing) ** 2 * k2
    rhs = ((hk2 * k2).sum() / 12 - k2.sum() * hk2.sum() / 24) * np.asarray(wave.jet(grid.points()).value)
    for axis, pair in enumerate(problem.boundary_kinds):
        weight = {D: k2[axis] / 4, N: (2 * hk2[axis] - hk2.sum()) / (24 * grid.spacing[axis]), P: 0.0}
        for end, kind in enumerate(pair):
            layer = (slice(None),) * axis + (-end,)
            rhs[layer] += weight[kind] * problem.side_value(f"{grid.axes[axis]}_{('low', 'high')[end]}", {})
    if system.operator.is_singular:
        rhs = _mean_free(rhs)
    error = linear_solve(system.operator, rhs, rtol=1e-11).raise_for_status().x
    return _mean_free(error) if system.operator.is_singular else np.asarray(error)


def _mean_free(field: Array) -> Array:
    return np.asarray(field - field.mean())


def _norm(field: Array) -> float:
    return float(np.sqrt(np.mean(field**2)))
