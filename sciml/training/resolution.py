"""The same random fields on another grid, solved there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import ValidationError

from sciml.errors import DatasetError
from sciml.problems import BoxProblem, Evolving, Problem
from sciml.training.samples import ArraySamples, Samples, check_axes
from sciml.training.solving import solved


def resolved(samples: Samples, resolution: int, count: int, progress: Callable[[str, int, int, dict[str, Any]], None]) -> ArraySamples:
    """The first `count` samples on a grid of `resolution` cells along the first axis, the other axes in proportion.

    The parameters are the same functions, since they are drawn from the stored seed words; the outputs are solved anew, with the
    dataset's own solver and tolerance.

    Raises
    ------
    DatasetError
        when the samples were imported, so that nobody knows their equation, or for a resolution that is too coarse or too fine,
        for the grid or for the detail of an evolving state.
    SolverError
        when a sample cannot be solved on the new grid.
    """
    recipe = samples.recipe
    if recipe is None:
        what = f"dataset {samples.name!r} was imported without its equation, so resolution = {resolution} cannot be solved"
        raise DatasetError(f"{what}; give data at that resolution instead")
    recipe = recipe.model_copy(update={"problem": on_grid(recipe.problem, resolution)})
    problem = recipe.problem
    check_axes(problem.domain.shape, f"resolution = {resolution}")
    drawn, words = [], []
    for index in range(count):
        words.append(samples.provenance(index)["seed_words"])
        own = recipe.solved_problem
        parameters = own.sample(words[-1], recipe.data.dtype)
        fields, outcome = solved(own, parameters, recipe.solver.method, recipe.solver.rtol)
        outcome.raise_for_status()
        if isinstance(own, Evolving):
            own.refuse_unresolved(fields)
        drawn.append(recipe.kept({**parameters, **fields}))
        progress("solve", index + 1, count, {"resolution": resolution})
    return ArraySamples(
        arrays={name: np.stack([sample[name] for sample in drawn]) for name in drawn[0]},
        inputs=tuple(samples.inputs),
        outputs=tuple(samples.outputs),
        scalars=tuple(samples.scalars),
        extent=tuple(samples.extent),
        boundary=samples.boundary,
        symmetries=problem.symmetries,
        recipe=recipe,
        seed_words=np.array(words, dtype=np.uint64),
        name=samples.name,
        times=samples.times,
    )


def on_grid(problem: Problem, resolution: int) -> Problem:
    """`problem` with `resolution` cells along the first axis and the others in proportion, at least two.

    Raises DatasetError where the problem does not allow that grid.
    """
    if not isinstance(problem, BoxProblem):
        raise DatasetError(f"resolution = {resolution} needs a grid, and problem {problem.kind!r} is not posed on one; leave it out")
    shape = problem.domain.shape
    try:
        return problem.refined(tuple(max(2, round(n * resolution / shape[0])) for n in shape))
    except ValidationError as error:
        reason = " ".join(str(error.errors(include_url=False)[0]["msg"]).split())
        raise DatasetError(f"resolution = {resolution} is not possible ({reason}); choose another one") from None
