"""What a prediction costs beside the solver that made the data: at the data's tolerance, and at the prediction's own accuracy.

The second comparison is the fair one. A solver that is asked for no more than the network delivers may stop early or work on a
coarser grid; the cheapest such way that is at least as accurate as the network is what it has to beat.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.data.processes import one_thread
from sciml.data.recipe import Recipe
from sciml.discretize import SemiDiscrete, discretize, evolve, fields_of
from sciml.errors import DatasetError
from sciml.problems import Evolving, Problem
from sciml.training.operator import TrainedOperator
from sciml.training.resolution import on_grid
from sciml.training.samples import Samples, stack
from sciml.training.solving import solved

_COUNT = 8
_BATCH = 32
_ROUNDS = 5
_TOLERANCES = (0.5, 0.2, 0.1, 0.03, 0.01, 1e-3)
_COARSENINGS = (2, 3, 4, 8)
_STEPS = (1, 2, 4, 8, 16)

Fields = Mapping[str, NDArray[Any]]
Solve = Callable[[int], Fields]


@dataclass(frozen=True)
class Timing:
    """One way to get the outputs of a sample: seconds a sample and relative L2 error, medians over the samples timed."""

    way: str
    seconds: float
    relative_l2: float


def compare_speed(operator: TrainedOperator, samples: Samples, recipe: Recipe, errors: Sequence[float]) -> dict[str, Any]:
    """Time the operator and the solver on the same samples and machine, with one thread each.

    Parameters
    ----------
    operator : what was trained.
    samples : a split with a recipe; its first few samples are timed.
    recipe : of the samples.
    errors : the operator's relative L2 errors, of sample 0 onwards; the solver at the same accuracy has to reach their median over
        the samples that are timed.

    Returns
    -------
    dict with ``model`` (seconds a sample, alone and in a batch), ``solver`` (at the data's tolerance), ``same_accuracy`` (the
    cheapest way of the solver that is as accurate, or None where none tried was), ``tried``, and the speed ratios, solver over model.
    """
    with _one_thread():
        return _compared(operator, samples, recipe, errors[:_COUNT])


def _compared(operator: TrainedOperator, samples: Samples, recipe: Recipe, errors: Sequence[float]) -> dict[str, Any]:
    count, model_error = len(errors), statistics.median(errors)
    truth = [samples[index] for index in range(count)]
    alone, batched = _time_model(operator, samples, truth)
    certified = _certified(recipe, samples, truth)
    reference = _time(certified, "solver of the data", truth, samples)
    tried = [_time(solve, way, truth, samples) for way, solve in _cheaper_ways(recipe, samples, truth)]
    accurate = [timing for timing in (*tried, reference) if timing.relative_l2 <= model_error]
    best = min(accurate, key=lambda timing: timing.seconds) if accurate else None
    return {
        "samples": count,
        "threads": 1,
        "model": {"seconds": alone, "batch": _BATCH, "batched_seconds": batched, "relative_l2": model_error},
        "solver": {**asdict(reference), "method": recipe.solver.method, "rtol": recipe.solver.rtol},
        "same_accuracy": None if best is None else asdict(best),
        "tried": [asdict(timing) for timing in tried],
        "speedup": reference.seconds / alone,
        "speedup_batched": reference.seconds / batched,
        "speedup_same_accuracy": None if best is None else best.seconds / alone,
        "speedup_same_accuracy_batched": None if best is None else best.seconds / batched,
    }


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Neither side may use more than one thread: the data were solved with one, and torch would take all cores."""
    threads = torch.get_num_threads()
    with one_thread():
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


def _time_model(operator: TrainedOperator, samples: Samples, truth: Sequence[Fields]) -> tuple[float, float]:
    """Seconds a sample, one at a time and in a batch; normalisation and its inverse are counted."""
    fields = np.stack([stack(sample, operator.inputs.names, samples.axes, samples.shape) for sample in truth])
    batch = np.resize(fields, (_BATCH, *fields.shape[1:]))
    return _median_seconds(lambda: operator.predict(fields[:1])), _median_seconds(lambda: operator.predict(batch)) / _BATCH


def _median_seconds(call: Callable[[], Any]) -> float:
    call()  # plans of transforms, caches
    return statistics.median(_seconds(call) for _ in range(_ROUNDS))


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _time(solve: Solve, way: str, truth: Sequence[Fields], samples: Samples) -> Timing:
    """Assembly, solution and interpolation are counted; drawing the parameters and compiling are not."""
    solve(0)
    seconds, errors = [], []
    for index, sample in enumerate(truth):
        began = time.perf_counter()
        fields = solve(index)
        seconds.append(time.perf_counter() - began)
        pair = (stack(values, samples.outputs, samples.axes, samples.shape) for values in (fields, sample))
        errors.append(statistics.fmean(_relative(field, truth) for field, truth in zip(*pair, strict=True)))
    return Timing(way, statistics.median(seconds), statistics.median(errors))


def _relative(field: NDArray[Any], truth: NDArray[Any]) -> float:
    return float(np.linalg.norm(field - truth) / np.linalg.norm(truth))


def _own_grid(problem: Problem, parameters: Sequence[Fields], method: str, rtol: float) -> Solve:
    return lambda index: _solved(problem, parameters[index], method, rtol)


def _certified(recipe: Recipe, samples: Samples, truth: Sequence[Fields]) -> Solve:
    """As the data were made, on the grid that they were solved on."""
    if recipe.data.oversampling == 1:
        return _own_grid(recipe.problem, truth, recipe.solver.method, recipe.solver.rtol)
    fine = recipe.solved_problem
    drawn = [fine.sample(samples.provenance(index)["seed_words"], recipe.data.dtype) for index in range(len(truth))]
    solve = _own_grid(fine, drawn, recipe.solver.method, recipe.solver.rtol)
    return lambda index: recipe.kept(solve(index))


def _solved(problem: Problem, parameters: Fields, method: str, rtol: float) -> dict[str, NDArray[Any]]:
    """Whatever the solver reached is used: the error is measured, so that a status adds nothing here."""
    return solved(problem, {name: parameters[name] for name in problem.inputs}, method, rtol)[0]


def _cheaper_ways(recipe: Recipe, samples: Samples, truth: Sequence[Fields]) -> Iterator[tuple[str, Solve]]:
    """Loosened tolerances on the data's grid, then coarser grids with the parameters sampled there; few steps where time passes."""
    if isinstance(recipe.problem, Evolving):
        yield from _few_steps(recipe, samples, truth)
        return
    for rtol in _TOLERANCES:
        yield f"rtol {rtol:g}", _own_grid(recipe.problem, truth, recipe.solver.method, rtol)
    for coarse, drawn in _coarser(recipe, samples, len(truth)):
        for rtol in (0.1, 1e-3):
            way = _own_grid(coarse, drawn, recipe.solver.method, rtol)
            yield f"{_cells(coarse)} cells, rtol {rtol:g}, interpolated", _refining(way, coarse, recipe.problem)


def _few_steps(recipe: Recipe, samples: Samples, truth: Sequence[Fields]) -> Iterator[tuple[str, Solve]]:
    """A few equal steps without error control, on the data's grid and on coarser ones."""
    fine = recipe.problem
    for problem, drawn in ((fine, truth), *_coarser(recipe, samples, len(truth))):
        assert isinstance(problem, Evolving)
        for count in _STEPS:
            steps = count * len(problem.times)
            way = _marching(problem, drawn, steps)
            yield f"{_cells(problem)} cells, {steps} steps", way if problem is fine else _refining(way, problem, fine)


def _marching(problem: Evolving, parameters: Sequence[Fields], steps: int) -> Solve:
    def solve(index: int) -> Fields:
        system = discretize(problem, {name: parameters[index][name] for name in problem.inputs})
        assert isinstance(system, SemiDiscrete)
        # The limit leaves no room for a second run, which alone would serve the control of the error.
        return fields_of(system, evolve(problem, system, 1.0, dt=problem.times[-1] / steps, max_steps=2 * steps - 1))

    return solve


def _coarser(recipe: Recipe, samples: Samples, count: int) -> Iterator[tuple[Problem, Sequence[Fields]]]:
    """The problem and its parameters on coarser grids, as far as these can hold it."""
    first = recipe.problem.domain.shape[0]
    for factor in _COARSENINGS:
        if first // factor >= 4:
            try:  # a coarse grid may lack the waves of the problem, or resonate
                coarse = on_grid(recipe.problem, first // factor)
                drawn = [coarse.sample(samples.provenance(index)["seed_words"], recipe.data.dtype) for index in range(count)]
                for parameters in drawn:
                    discretize(coarse, parameters)
            except DatasetError:
                continue
            yield coarse, drawn


def _cells(problem: Problem) -> str:
    return " x ".join(str(n) for n in problem.domain.shape)


def _refining(solve: Solve, coarse: Problem, fine: Problem) -> Solve:
    return lambda index: {name: _interpolated(field, coarse, fine) for name, field in solve(index).items()}


def _interpolated(field: NDArray[Any], coarse: Problem, fine: Problem) -> NDArray[Any]:
    """Multilinear interpolation between cell centres, continued linearly into the outermost half cells."""
    lead = field.ndim - len(fine.domain.shape)
    for axis, (few, many) in enumerate(zip(coarse.domain.shape, fine.domain.shape, strict=True), start=lead):
        position = (np.arange(many) + 0.5) * few / many - 0.5
        left = np.clip(np.floor(position).astype(int), 0, few - 2)
        weight = (position - left).reshape(-1, *(1,) * (field.ndim - 1 - axis))
        field = (1.0 - weight) * field.take(left, axis) + weight * field.take(left + 1, axis)
    return field
