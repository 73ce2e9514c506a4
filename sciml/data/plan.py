"""What generating a recipe would take, told before anything runs: the method and why, time and size. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from sciml.data import layout as layouts
from sciml.data.evolving import METHOD
from sciml.data.generate import _describe, _draw_first
from sciml.data.layout import ShardLayout
from sciml.data.manifest import SPLITS, Manifest
from sciml.data.provenance import notes
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.sequence import sequence_length
from sciml.data.solve import solve_samples
from sciml.discretize import LinearSystem, SemiDiscrete, discretize
from sciml.errors import RecipeError
from sciml.problems import BoxProblem, seed_words
from sciml.problems.mesh_elliptic import mesh_of
from solvers.linear.auto import plan as plan_solve
from solvers.linear.stencil import StencilOperator

#: Seconds that timing samples may take, beside the first one.
_BUDGET = 2.0
#: Samples are timed on a grid of at most about so many unknowns, and larger ones by their number.
_TIMED_UNKNOWNS = 300_000
#: Bytes that a file in memory grows by at a time.
_GRAIN = 4096
#: Seconds until a worker process has loaded what it needs.
_START = 4.0


@dataclass(frozen=True)
class GenerationPlan:
    """What a call of `sciml.generate` would do.

    Parameters
    ----------
    problem : kind and domain.
    unknowns : of one sample.
    operator : what is known about the equations of a sample.
    methods : tried in this order.
    reason : why the first method is first.
    samples : per split.
    seconds_a_sample : drawing, solving and certifying, on one core.
    timed_on : the grid that this was measured on.
    seconds : of all samples with the workers asked for, their start included.
    bytes : of all shards.
    """

    problem: str
    unknowns: int
    operator: str
    methods: tuple[str, ...]
    reason: str
    samples: dict[str, int]
    seconds_a_sample: float
    timed_on: str
    seconds: float
    bytes: int


def plan_generation(recipe: Recipe, *, samples: int | None = None, workers: int = 1) -> GenerationPlan:
    """Describe and time the generation of a recipe: two samples are discretised, some are solved, nothing is stored.

    Parameters
    ----------
    samples, workers : as in `sciml.generate`.

    Raises
    ------
    RecipeError, DatasetError, SolverError : as `sciml.generate`.
    """
    if workers < 1:
        raise RecipeError(f"workers = {workers} leaves nobody to solve: give at least 1")
    manifest = _describe(recipe, _draw_first(recipe), recipe.data.samples if samples is None else samples)
    total = sum(manifest.splits.values())
    system, unknowns = _discretised(recipe, 0), int(np.prod(recipe.solved_problem.domain.shape))
    timed = _timed_recipe(recipe, unknowns)
    each = _seconds(timed, min(total, 16)) * unknowns / int(np.prod(timed.solved_problem.domain.shape))
    methods, reason = _methods(recipe, system)
    return GenerationPlan(
        problem=f"{recipe.problem.kind} on {recipe.solved_problem.domain}",
        unknowns=unknowns,
        operator=_facts(recipe, system),
        methods=methods,
        reason=reason,
        samples={split: manifest.splits.get(split, 0) for split in SPLITS},
        seconds_a_sample=each,
        timed_on=str(timed.solved_problem.domain),
        seconds=each * total / workers + (_START if workers > 1 else 0.0),
        bytes=_bytes(recipe, manifest),
    )


def _discretised(recipe: Recipe, index: int) -> LinearSystem | SemiDiscrete:
    problem = recipe.solved_problem
    drawn = problem.sample(seed_words(recipe.data.seed, STREAMS["train"], index), recipe.data.dtype)
    return discretize(problem, {name: np.asarray(value, recipe.data.dtype) for name, value in drawn.items()})


def _methods(recipe: Recipe, system: LinearSystem | SemiDiscrete) -> tuple[tuple[str, ...], str]:
    if isinstance(system, SemiDiscrete):
        return (METHOD,), "the problem evolves in time"
    if recipe.solver.method != "auto":
        return (recipe.solver.method,), "the recipe asks for it"
    chosen = plan_solve(system.operator, planned=1, rtol=recipe.solver.rtol, preconditioned=system.hierarchy is not None)
    return tuple(method.name for method in chosen.methods), chosen.reason


def _facts(recipe: Recipe, system: LinearSystem | SemiDiscrete) -> str:
    if isinstance(system, SemiDiscrete):
        return f"an initial-value problem with {system.state0.size} coefficients"
    A = system.operator
    other = _discretised(recipe, 1)
    shared = isinstance(other, LinearSystem) and other.operator is A
    matrix = "one matrix for all samples" if shared else "a matrix of its own for every sample"
    if not isinstance(A, StencilOperator):
        return f"sparse matrix with {A.nnz:,} entries, {matrix}"
    coefficients = "varying" if A.constant is None else "constant"
    sign = "definite" if A.is_definite else "indefinite"
    if A.is_singular:
        sign = "singular (constants are in its null space)"
    return f"stencil with {coefficients} coefficients, symmetric, {sign}, {matrix}"


def _timed_recipe(recipe: Recipe, unknowns: int) -> Recipe:
    """The recipe itself, or on a coarser grid where one sample would already take long."""
    problem = recipe.problem
    if unknowns <= _TIMED_UNKNOWNS or not isinstance(problem, BoxProblem):
        return recipe
    factor = (unknowns / _TIMED_UNKNOWNS) ** (1 / problem.dimension)
    return recipe.model_copy(update={"problem": problem.refined(tuple(max(4, int(n / factor)) for n in problem.resolution))})


def _seconds(recipe: Recipe, most: int) -> float:
    """Seconds a sample; the first one is made twice, since it may compile kernels. Of samples that depend on one another a sequence."""
    stream, length = STREAMS["train"], sequence_length(recipe.solver.method)
    if length > 1:
        began = time.perf_counter()
        solve_samples(recipe, stream, range(length))
        return (time.perf_counter() - began) / length
    solve_samples(recipe, stream, [0])
    began = time.perf_counter()
    solve_samples(recipe, stream, [0])
    first = time.perf_counter() - began
    more: Sequence[int] = range(1, min(most, 1 + int(_BUDGET / max(first, 1e-6))))
    if more:
        solve_samples(recipe, stream, more)
    return (time.perf_counter() - began) / (1 + len(more))


def _bytes(recipe: Recipe, manifest: Manifest) -> int:
    """Size of all shards: that of empty ones for 4 and for 12 samples, which already have all their space, continued linearly."""
    few, more = (_shard_bytes(recipe, ShardLayout(manifest, "train", 0, count)) for count in (4, 12))
    each = (more - few) / 8
    shards = sum(-(-count // manifest.shard_samples) for count in manifest.splits.values())
    return round(shards * (few - 4 * each) + sum(manifest.splits.values()) * each)


def _shard_bytes(recipe: Recipe, layout: ShardLayout) -> int:
    with h5py.File("plan", "w", driver="core", backing_store=False, block_size=_GRAIN) as file:
        layouts.create(file, layout, notes(recipe), mesh_of(recipe.problem))
        file.flush()
        return int(file.id.get_filesize())
