"""Turn sample numbers into solved samples: the part of generation that runs in worker processes.

A sample depends on the recipe, the stream and its number, and on nothing else: not on the process, its neighbours or the order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from sciml.data.evolving import METHOD, Unsolved, solve_evolving
from sciml.data.processes import one_thread, stopping
from sciml.data.recipe import Recipe
from sciml.data.shard import Certificate, Sample
from sciml.discretize import SemiDiscrete, discrete_residual, discretize
from sciml.problems import Evolving, seed_words
from solvers import SolverError, linear_solve

Solved = tuple[dict[str, np.ndarray], Certificate]


def solve_samples(recipe: Recipe, stream: int, indices: Sequence[int]) -> list[Solved]:
    """Draw, solve and certify samples; raises SolverError naming the first that could not be solved."""
    with one_thread():
        return [_solve_sample(recipe, stream, index) for index in indices if not stopping()]


def _solve_sample(recipe: Recipe, stream: int, index: int) -> Solved:
    problem, dtype = recipe.problem, np.dtype(recipe.data.dtype)
    words = seed_words(recipe.data.seed, stream, index)
    # What is stored is what is solved: the parameters are rounded first, so that the stored ones reproduce the operator exactly.
    parameters = {name: np.asarray(value, dtype) for name, value in problem.sample(words, dtype).items()}
    began = time.perf_counter()
    system = discretize(problem, parameters)
    if isinstance(system, SemiDiscrete):
        try:
            evolved = solve_evolving(recipe, parameters, system)
        except Unsolved as error:
            raise SolverError(_complaint(recipe, stream, index, str(error))) from None
        fields, figures = evolved.fields, (evolved.residual, evolved.steps, METHOD, evolved.seconds)
    else:
        solution = linear_solve(system.operator, system.rhs, recipe.solver.method, rtol=recipe.solver.rtol)
        seconds = time.perf_counter() - began
        if solution.status.name != "SUCCESS":
            what = f"{solution.method} ended with {solution.status.name}: {solution.status.value}"
            raise SolverError(_complaint(recipe, stream, index, what))
        fields = system.unpack(solution.x)
        figures = (discrete_residual(problem, parameters, fields).relative, solution.iterations, solution.method, seconds)
    stored = {name: np.asarray(value, dtype) for name, value in fields.items()}
    if not all(np.isfinite(value).all() for value in stored.values()):
        raise SolverError(_complaint(recipe, stream, index, f"the solution does not fit into {dtype}"))
    return {**parameters, **stored}, Certificate(index, words, *figures)


def _complaint(recipe: Recipe, stream: int, index: int, what: str) -> str:
    return f"sample {index} of stream {stream} of recipe {recipe.name!r} (seed {recipe.data.seed}) was not solved: {what}"


def sample_bytes(recipe: Recipe, sample: Sample) -> int:
    """Size of a stored sample with these random parameters."""
    item = np.dtype(recipe.data.dtype).itemsize
    cells = int(np.prod(recipe.problem.grid.shape))
    if isinstance(recipe.problem, Evolving):
        cells *= len(recipe.problem.times)
    return item * (len(recipe.problem.outputs) * cells + sum(value.size for value in sample.values()))
