"""Order of convergence and discretisation error of a dataset, from the same samples on finer grids.

A grid is refined by three, so that every centre of a coarse cell is one of a fine cell too and fields are compared without
interpolation; equal seed words give equal random functions on every grid, except that a finer one resolves more of their modes.
With D_n = ||u_n - u_3n|| over the coarse centres, m the cells an axis that the data are solved on, and m' about half of it,

    order p = log(D_m' / D_m) / log(m / m'),    error of the data = D_m / (1 - 3^-p) / ||u_3m||.

Norms are root mean squares over cells and samples. The formula for p holds for errors that shrink without changing their shape and for
errors that are unrelated on any two grids, as next to the random interfaces of a two-phase medium; the one for the error holds for
the former, and is too large for the latter. A spectral scheme has no order: its error is the difference to a grid twice as fine, whose
trigonometric polynomials are known at the coarse centres, too.

Steady flows cost the third to fourth power of the refinement. Where their recipe solves on a grid that can be thinned by three, that grid
is the finest one here, m is a third of it, and

    error of the data = D_m / (3^p - 1) / ||u_3m||.

The details of ``--json`` hold the error on every grid, with the processor time that a sample takes there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.data.recipe import Recipe, block_centres, load_recipe
from sciml.discretize import MarchedFlow, SemiDiscrete, discretize, evolve, fields_of, march_to_rest
from sciml.errors import InputError
from sciml.fields import BinaryField
from sciml.problems import BoxProblem, Burgers, ChannelObstacles, Evolving, Incompressible, NavierStokes, Problem, seed_words
from solvers import linear_solve
from validation.options import check_between

Fields = Mapping[str, NDArray[Any]]
log = logging.getLogger(__name__)

#: By datasets of flows 1.5 min (decaying-turbulence, navier-stokes) to 3 min (cavity) of one core.
COST = "under a minute; 1 to 3 min for most flows, 5 to 10 for channel-obstacles, 10 a sample for navier-stokes-1e-4"
RTOL = 1e-10
LARGEST_ERROR = 0.05
STAIRCASE_ERROR = 0.1  # solids whose sides are those of cells: a velocity across the channel is small, and bent by them alone
_SMOOTH, _JUMPS, _STAIRCASE = (1.8, 2.3), (0.7, 1.5), (0.7, 2.0)


@dataclass(frozen=True)
class _OnGrid:
    """Outputs of the samples on one grid, processor seconds that one took, and relative L2 errors by output."""

    resolution: tuple[int, ...]
    fields: list[Fields]
    seconds: float
    errors: dict[str, float]


def run(*, dataset: str = "darcy", samples: int = 4) -> CheckReport:
    """Solve the first `samples` training samples of a shipped recipe, or of a recipe file, on four grids."""
    check_between("samples", samples, 1, 1000)
    start = time.perf_counter()
    recipe = load_recipe(dataset)
    solved = recipe.solved_problem
    if not isinstance(solved, BoxProblem):
        raise InputError(f"dataset = {dataset!r} lives on a mesh: `run mesh-bent-channel` shows the order of that")
    thinned = isinstance(solved, Incompressible) and recipe.data.oversampling % 3 == 0
    own = solved.refined(tuple(n // 3 for n in solved.resolution)) if thinned else solved
    half = own.refined(tuple(max(2, n // 2) for n in own.resolution))
    words = [seed_words(recipe.data.seed, 0, index) for index in range(samples)]
    spectral = isinstance(own, (Burgers, NavierStokes))  # what is left is the error in time, which no grid reduces
    pairs = [_pair(recipe, problem, 2 if spectral else 3, words) for problem in (half, own)]
    refinement = math.log(math.prod(own.resolution) / math.prod(half.resolution)) / own.dimension
    figures: dict[str, dict[str, float | None]] = {}
    for name in own.outputs:
        distances = [_distance(coarse, fine, name, own.dimension) for coarse, fine in pairs]
        truth = _norm([fields[name] for fields in pairs[1][1].fields])
        order = math.log(distances[0] / distances[1]) / refinement
        for (coarse, fine), distance in zip(pairs, distances, strict=True):
            coarse.errors[name] = distance / truth if spectral else distance / (1 - 3**-order) / truth
            if not spectral:
                fine.errors[name] = distance / (3**order - 1) / truth
        stored = pairs[1][thinned]
        figures[name] = {"order": None if spectral else order, "relative_l2_error": stored.errors[name]}
    grids = [one for pair in pairs for one in pair]
    details = {
        "dataset": recipe.name,
        "identity": recipe.identity,
        "samples": samples,
        "grids": [list(one.resolution) for one in grids],
        "solved_on": list(solved.resolution),
        "outputs": figures,
        "table": [{"cells": list(one.resolution), "seconds_a_sample": one.seconds, "relative_l2_errors": one.errors} for one in grids],
    }
    return CheckReport("dataset-accuracy", _checks(solved, figures), time.perf_counter() - start, details)


def _checks(problem: Problem, figures: Mapping[str, Mapping[str, float | None]]) -> list[Check]:
    band, reference = _SMOOTH, "second-order finite volumes"
    if isinstance(problem, ChannelObstacles):
        band, reference = _STAIRCASE, "solids as a staircase: from 1, of their sides, to 2, of the flow between them"
    elif any(isinstance(law, BinaryField) for law in problem.laws().values()):
        band, reference = _JUMPS, "a coefficient that jumps inside cells: about 1"
    checks = []
    for name, figure in figures.items():
        order, error = figure["order"], figure["relative_l2_error"]
        if order is not None:
            checks.append(Check(f"order of {name}", order, "in", band, reference=reference))
        assert error is not None
        what = f"relative L2 error of the {name} that is stored"
        limit = STAIRCASE_ERROR if isinstance(problem, ChannelObstacles) else LARGEST_ERROR
        source = "difference to a grid twice as fine" if order is None else "grids refined by three"
        checks.append(Check(what, error, "<=", limit, reference=source))
    return checks


def _pair(recipe: Recipe, problem: BoxProblem, factor: int, words: Sequence[Sequence[int]]) -> tuple[_OnGrid, _OnGrid]:
    """The samples on the grid of `problem` and on one that is `factor` times as fine."""
    fine = problem.refined(tuple(factor * n for n in problem.resolution))
    return _on_grid(recipe, problem, words), _on_grid(recipe, fine, words)


def _on_grid(recipe: Recipe, problem: BoxProblem, words: Sequence[Sequence[int]]) -> _OnGrid:
    log.info("%s on %s cells ...", recipe.name, " x ".join(str(n) for n in problem.resolution))
    began = time.process_time()
    fields = [_solve(recipe, problem, one) for one in words]
    return _OnGrid(problem.resolution, fields, (time.process_time() - began) / len(words), {})


def _solve(recipe: Recipe, problem: Problem, words: Sequence[int]) -> Fields:
    """Outputs of one sample on the grid of `problem`."""
    system = discretize(problem, problem.sample(words))
    if isinstance(system, SemiDiscrete):
        assert isinstance(problem, Evolving)
        return fields_of(system, evolve(problem, system, recipe.solver.rtol).raise_for_status())
    if isinstance(system, MarchedFlow):
        return system.unpack(march_to_rest(system, recipe.solver.rtol).raise_for_status())
    return system.unpack(linear_solve(system.operator, system.rhs, recipe.solver.method, rtol=RTOL).raise_for_status().x)


def _distance(coarse: _OnGrid, fine: _OnGrid, name: str, dimension: int) -> float:
    """Between the grids, at the coarse centres."""
    factor = fine.resolution[0] // coarse.resolution[0]
    if factor == 2:
        centres = [_between_cells(fields[name], dimension) for fields in fine.fields]
    else:
        centres = [block_centres({name: fields[name]}, factor, dimension)[name] for fields in fine.fields]
    return _norm([fields[name] - centre for fields, centre in zip(coarse.fields, centres, strict=True)])


def _between_cells(field: NDArray[Any], dimension: int) -> NDArray[Any]:
    """A trigonometric polynomial, given in the centres of its cells, in the centres of those twice as large."""
    for axis in range(-dimension, 0):
        n = field.shape[axis]
        half_a_cell = np.exp(1j * np.pi * np.arange(n // 2 + 1) / n).reshape(-1, *(1,) * (-axis - 1))
        shifted = np.fft.irfft(np.fft.rfft(field, axis=axis) * half_a_cell, n, axis)
        field = shifted.take(np.arange(0, n, 2), axis=axis)
    return field


def _norm(fields: Sequence[NDArray[Any]]) -> float:
    return math.sqrt(np.mean([np.mean(field**2) for field in fields]))
