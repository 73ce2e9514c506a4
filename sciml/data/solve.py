"""Turn sample numbers into solved samples: the part of generation that runs in worker processes.

A sample depends on the recipe, the stream and its number, and on nothing else: not on the process, on what else is asked for or the order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from sciml.data.evolving import Unsolved, solve_evolving, solve_flow
from sciml.data.layout import PRODUCTS
from sciml.data.manifest import RECYCLING
from sciml.data.processes import one_thread, stopping
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.sequence import BLOCK, solving_order
from sciml.data.shard import Certificate, Sample
from sciml.discretize import LinearSystem, MarchedFlow, SemiDiscrete, discretize
from sciml.errors import DatasetError, RecipeError
from sciml.problems import Evolving, seed_words
from solvers import Solution, SolverError, Status, linear_solve_many, solve_sequence
from solvers.linear.auto import fitting
from solvers.linear.stencil import StencilOperator

Solved = tuple[dict[str, np.ndarray], Certificate]
#: What became of a sample; a sentence says why it was not solved.
Outcome = Solved | str
#: Ratio of the largest to the smallest diagonal entry from which on it is named as a likely cause of a failure.
_HIGH_CONTRAST = 1e4


def solve_samples(recipe: Recipe, stream: int, indices: Sequence[int]) -> list[Solved]:
    """Draw, solve and certify samples; raises SolverError naming the first that could not be solved."""
    solved = []
    for one in attempt_samples(recipe, stream, indices):
        if isinstance(one, str):
            raise SolverError(one)
        solved.append(one)
    return solved


def attempt_samples(recipe: Recipe, stream: int, indices: Sequence[int]) -> list[Outcome]:
    """Draw, solve and certify samples. Those of a sequence go on where one was not solved; elsewhere that raises SolverError.

    Neighbours that share their matrix are solved together; that changes no bit of them, see `solvers.linear_solve_many`. By a
    method that recycles, the whole block of each sample is solved as far as it is needed, see `sciml.data.sequence`.
    """
    with one_thread():
        if recipe.solver.method in RECYCLING:
            blocks = groupby(indices, key=lambda index: index // BLOCK)
            made = dict(found for block, wanted in blocks for found in _solve_block(recipe, stream, block, set(wanted)))
            return [made[index] for index in indices if index in made]
        drawn = (_draw(recipe, stream, index) for index in indices if not stopping())
        together = groupby(drawn, key=_shared)
        return [solved for _, group in together if not stopping() for solved in _solve(recipe, stream, list(group))]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A sample with its parameters and its discretisation, and the seconds that assembling took."""

    index: int
    words: tuple[int, ...]
    parameters: dict[str, np.ndarray]
    system: LinearSystem | SemiDiscrete | MarchedFlow
    seconds: float


def _draw(recipe: Recipe, stream: int, index: int) -> _Drawn:
    words = seed_words(recipe.data.seed, stream, index)
    try:
        parameters = draw(recipe, words)
        began = time.perf_counter()
        system = discretized(recipe, words, parameters)
    except DatasetError as error:
        raise DatasetError(_complaint(recipe, stream, index, str(error))) from None
    return _Drawn(index, words, parameters, system, time.perf_counter() - began)


def draw(recipe: Recipe, words: Sequence[int]) -> dict[str, np.ndarray]:
    """The random parameters of a sample on the grid that is solved on.

    What is stored is what is solved: they are rounded first, so that the stored ones reproduce the operator exactly.
    """
    dtype = np.dtype(recipe.data.dtype)
    return {name: np.asarray(value, dtype) for name, value in recipe.solved_problem.sample(words, dtype).items()}


def discretized(recipe: Recipe, words: Sequence[int], parameters: Sample) -> LinearSystem | SemiDiscrete | MarchedFlow:
    """`discretize` for parameters that were drawn from `words`; what rounding made of them is told in terms of their laws.

    Raises
    ------
    RecipeError : a law gives numbers that the recipe's `data.dtype` cannot hold.
    DatasetError : as `discretize`.
    """
    try:
        return discretize(recipe.solved_problem, parameters)
    except DatasetError:
        _refuse_unrepresentable(recipe, words, parameters)
        raise


def _refuse_unrepresentable(recipe: Recipe, words: Sequence[int], parameters: Sample) -> None:
    for name, exact in recipe.solved_problem.sample(words).items():
        lost = ~np.isfinite(parameters[name]) | ((parameters[name] == 0) & (exact != 0))
        if lost.any():
            worst = float(exact[lost][np.argmax(np.abs(exact[lost]))])
            remedy = "set data.dtype = 'float64', or change its law" if np.isfinite(exact).all() else "lower its amplitude or scale"
            raise RecipeError(f"the law of {name!r} gives {worst:.3g}, which {recipe.data.dtype} cannot hold: {remedy}")


def refuse_unfit_method(recipe: Recipe, system: LinearSystem | SemiDiscrete | MarchedFlow) -> None:
    """Raise `RecipeError` where `solver.method` cannot solve this system of the recipe."""
    method = recipe.solver.method
    if method == "auto" or method in RECYCLING or not isinstance(system, LinearSystem) or method in (fits := fitting(system.operator)):
        return
    A = system.operator
    if not isinstance(A, StencilOperator):
        what = "has a sparse matrix" + ("" if "minres" in fits else " that is not symmetric")
    else:
        what = f"has {'varying' if A.constant is None else 'constant'} coefficients" + ("" if A.is_definite else " and may be indefinite")
    raise RecipeError(
        f"solver.method = {method!r} does not fit: problem {recipe.problem.kind!r} {what}; take one of auto, {', '.join(fits)}"
    )


def _shared(drawn: _Drawn) -> tuple[str, int]:
    """Equal for neighbours with the same matrix, which lives as long as its group, so that no other takes its id."""
    return ("matrix", id(drawn.system.operator)) if isinstance(drawn.system, LinearSystem) else ("sample", drawn.index)


def _solve(recipe: Recipe, stream: int, group: Sequence[_Drawn]) -> list[Solved]:
    """Solve a sample that is marched in time, or samples that share their matrix."""
    began = time.perf_counter()
    system = group[0].system
    if not isinstance(system, LinearSystem):
        (drawn,) = group
        try:
            if isinstance(system, MarchedFlow):
                evolved = solve_flow(recipe, drawn.parameters, system)
            else:
                evolved = solve_evolving(recipe, drawn.parameters, system)
        except Unsolved as error:
            raise SolverError(_complaint(recipe, stream, drawn.index, str(error))) from None
        figures = (evolved.residual, evolved.steps, evolved.method, drawn.seconds + evolved.seconds)
        return [_certified(recipe, stream, drawn, evolved.fields, figures)]
    reused = system.hierarchy if recipe.solver.method == "auto" else None
    M = None if reused is None else reused.preconditioner(system.operator)
    systems = [one.system for one in group if isinstance(one.system, LinearSystem)]
    B = np.array([one.rhs for one in systems])
    # The method must not depend on how many samples happen to travel together.
    solutions = linear_solve_many(system.operator, B, recipe.solver.method, M=M, rtol=recipe.solver.rtol, planned=1)
    each = (time.perf_counter() - began) / len(group)
    return [_accepted(recipe, stream, drawn, solution, each) for drawn, solution in zip(group, solutions, strict=True)]


def _solve_block(recipe: Recipe, stream: int, block: int, wanted: Collection[int]) -> Iterator[tuple[int, Outcome]]:
    """The wanted samples of a block with their numbers; the others are solved on the way, up to the last wanted one."""
    numbers = range(block * BLOCK, (block + 1) * BLOCK)
    order = [numbers[k] for k in solving_order(_linear(_draw(recipe, stream, index)) for index in numbers)]
    order = order[: 1 + max(order.index(index) for index in wanted)]
    under_way: list[_Drawn] = []

    def systems() -> Iterator[tuple[object, np.ndarray]]:
        for index in order:
            under_way.append(_draw(recipe, stream, index))
            system = _linear(under_way[-1])
            yield system.operator, system.rhs

    solving = solve_sequence(systems(), recipe.solver.method, rtol=recipe.solver.rtol)
    while not stopping():
        began = time.perf_counter()
        solution = next(solving, None)
        if solution is None:
            return
        drawn = under_way.pop()
        if drawn.index in wanted:
            try:
                made: Outcome = _accepted(recipe, stream, drawn, solution, time.perf_counter() - began - drawn.seconds)
            except SolverError as error:
                made = str(error)
            yield drawn.index, made


def _linear(drawn: _Drawn) -> LinearSystem:
    assert isinstance(drawn.system, LinearSystem)  # recipes of problems that evolve name no method
    return drawn.system


def _accepted(recipe: Recipe, stream: int, drawn: _Drawn, solution: Solution, seconds: float) -> Solved:
    if solution.status is not Status.SUCCESS:
        raise SolverError(_complaint(recipe, stream, drawn.index, _failure(recipe, _linear(drawn), solution)))
    figures = (solution.relative_residual, solution.iterations, solution.method, drawn.seconds + seconds)
    products = [solution.info[name] for name in PRODUCTS] if recipe.solver.method in RECYCLING else []
    return _certified(recipe, stream, drawn, _linear(drawn).unpack(solution.x), (*figures, *products))


def _certified(recipe: Recipe, stream: int, drawn: _Drawn, fields: Sample, figures: tuple[Any, ...]) -> Solved:
    """A solved sample as it is stored; `figures` are those of its `Certificate`, from the residual on."""
    dtype = np.dtype(recipe.data.dtype)
    stored = {name: np.asarray(value, dtype) for name, value in fields.items()}
    if not all(np.isfinite(value).all() for value in stored.values()):
        raise SolverError(_complaint(recipe, stream, drawn.index, f"the solution does not fit into {dtype}"))
    return recipe.kept({**drawn.parameters, **stored}), Certificate(drawn.index, drawn.words, *figures)


def _complaint(recipe: Recipe, stream: int, index: int, what: str) -> str:
    split = next(split for split, number in STREAMS.items() if number == stream)
    return f"{split} sample {index} of recipe {recipe.name!r} (seed {recipe.data.seed}) was not solved: {what}"


def _failure(recipe: Recipe, system: LinearSystem, solution: Solution) -> str:
    """What went wrong in the words of `linear_solve`, and what to change in the words of a recipe."""
    residual, A = solution.relative_residual, system.operator
    tried = (*(text.partition(":")[0] for text in solution.info.get("failed_before", ())), solution.method)
    what = f"{', '.join(dict.fromkeys(tried))} ended with {solution.status.name} at relative residual {residual:.1e}"
    if "imbalance" in solution.info:
        return f"{what}: {solution.diagnosis}"
    contrast = A.facts.largest / A.facts.smallest if isinstance(A, StencilOperator) and A.is_definite else 1.0
    if contrast > _HIGH_CONTRAST:
        what += f", for coefficients that differ by a factor of {contrast:.0e}"
    remedies = []
    if 0 < residual <= 1e-3:  # a power of ten with room for the samples that are worse
        remedies.append(f"loosen solver.rtol, as --set solver.rtol={10.0 ** (math.ceil(math.log10(residual)) + 1):.0e}")
    if recipe.solver.method != "auto":
        remedies.append("take another solver.method, such as auto")
    return f"{what}: {', or '.join(remedies or ['lower the contrast of its laws, or the resolution'])}"


def sample_bytes(recipe: Recipe, sample: Sample) -> int:
    """Size of a stored sample with these random parameters."""
    item = np.dtype(recipe.data.dtype).itemsize
    cells = int(np.prod(recipe.problem.domain.shape))
    if isinstance(recipe.problem, Evolving):
        cells *= len(recipe.problem.times)
    return item * (len(recipe.problem.outputs) * cells + sum(value.size for value in sample.values()))
