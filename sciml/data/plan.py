"""What generating a recipe would take, told before anything runs: the method and why, time and size. Nothing is written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np
import scipy.fft as sfft
from pydantic import ValidationError

from sciml.data import layout as layouts
from sciml.data.evolving import FLOW_METHOD, METHOD
from sciml.data.generate import describe
from sciml.data.layout import ShardLayout
from sciml.data.manifest import SPLITS, Manifest
from sciml.data.provenance import notes
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.sequence import sequence_length
from sciml.data.shard import Sample
from sciml.data.solve import discretized, draw, refuse_unfit_method, solve_samples
from sciml.discretize import LinearSystem, MarchedFlow, SemiDiscrete
from sciml.errors import DatasetError, RecipeError
from sciml.problems import BoxProblem, seed_words
from sciml.problems.mesh_elliptic import mesh_of
from solvers.linear.auto import plan as plan_solve
from solvers.linear.stencil import StencilOperator

#: Seconds that timing samples may take, beside the first one.
_BUDGET = 2.0
#: Samples are looked at and timed on a grid of at most about so many unknowns, and larger ones by their number.
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

    Where the grid is large that happens on a coarser one, and what follows from it is for the grid asked for.

    Parameters
    ----------
    samples, workers : as in `sciml.generate`.

    Raises
    ------
    RecipeError, DatasetError, SolverError : as `sciml.generate`.
    """
    if workers < 1:
        raise RecipeError(f"workers = {workers} leaves nobody to solve: give at least 1")
    timed, first, system = _timed(recipe)
    refuse_unfit_method(recipe, system)
    unknowns, fewer = _unknowns(recipe), _unknowns(timed)
    methods, reason = _methods(recipe, system, unknowns)
    if methods[0] != _methods(timed, system, fewer)[0][0]:  # a smaller grid may be solved in another way
        timed = timed.model_copy(update={"solver": timed.solver.model_copy(update={"method": methods[0]})})
    wanted = recipe.data.samples if samples is None else samples
    manifest = describe(recipe, first, wanted)
    total = sum(manifest.splits.values())
    each = _seconds(timed, min(total, 16)) * unknowns / fewer
    return GenerationPlan(
        problem=f"{recipe.problem.kind} on {recipe.solved_problem.domain}",
        unknowns=unknowns,
        operator=_facts(timed, system, unknowns),
        methods=methods,
        reason=reason,
        samples={split: manifest.splits.get(split, 0) for split in SPLITS},
        seconds_a_sample=each,
        timed_on=str(timed.solved_problem.domain),
        seconds=each * total / workers + (_START if workers > 1 else 0.0),
        bytes=_bytes(timed, manifest, describe(timed, first, wanted)),
    )


def _unknowns(recipe: Recipe) -> int:
    return int(np.prod(recipe.solved_problem.domain.shape))


def _discretised(recipe: Recipe, index: int) -> tuple[Sample, LinearSystem | SemiDiscrete | MarchedFlow]:
    words = seed_words(recipe.data.seed, STREAMS["train"], index)
    parameters = draw(recipe, words)
    return parameters, discretized(recipe, words, parameters)


def _timed(recipe: Recipe) -> tuple[Recipe, Sample, LinearSystem | SemiDiscrete | MarchedFlow]:
    """The recipe itself, or on a coarser grid where one sample would already take long; and its first sample's parameters and system."""
    problem, unknowns = recipe.problem, _unknowns(recipe)
    if unknowns > _TIMED_UNKNOWNS and isinstance(problem, BoxProblem):
        factor = (unknowns / _TIMED_UNKNOWNS) ** (1 / problem.dimension)
        # what a coarse grid does not resolve is looked at on the grid asked for
        with contextlib.suppress(DatasetError, ValidationError):
            coarser = problem.refined(tuple(_fast_length(max(4, int(n / factor))) for n in problem.resolution))
            timed = recipe.model_copy(update={"problem": coarser})
            return timed, *_discretised(timed, 0)
    return recipe, *_discretised(recipe, 0)


def _fast_length(n: int) -> int:
    """The largest length up to n that fast transforms are fast on."""
    return next(length for length in range(n, 0, -1) if sfft.next_fast_len(length) == length)


def _methods(recipe: Recipe, system: LinearSystem | SemiDiscrete | MarchedFlow, unknowns: int) -> tuple[tuple[str, ...], str]:
    if isinstance(system, SemiDiscrete):
        return (
            METHOD,
        ), "the problem evolves in time; half of it and more is a second integration, with other steps, that certifies a sample"
    if isinstance(system, MarchedFlow):
        return (FLOW_METHOD,), "a flow, marched to its steady state on a staggered grid"
    if recipe.solver.method != "auto":
        return (recipe.solver.method,), "the recipe asks for it"
    rtol, preconditioned = recipe.solver.rtol, system.hierarchy is not None
    chosen = plan_solve(system.operator, planned=1, rtol=rtol, preconditioned=preconditioned, unknowns=unknowns)
    return tuple(method.name for method in chosen.methods), chosen.reason


def _facts(recipe: Recipe, system: LinearSystem | SemiDiscrete | MarchedFlow, unknowns: int) -> str:
    """In words, of `unknowns` where `recipe` stands for the same problem on a finer grid."""
    finer = unknowns / _unknowns(recipe)
    if isinstance(system, SemiDiscrete):
        return f"an initial-value problem with {round(system.state0.size * finer)} coefficients"
    if isinstance(system, MarchedFlow):
        return f"incompressible flow in {unknowns:,} cells{'' if system.flow.solid is None else ' with solids among them'}"
    A = system.operator
    _, other = _discretised(recipe, 1)
    shared = isinstance(other, LinearSystem) and other.operator is A
    matrix = "one matrix for all samples" if shared else "a matrix of its own for every sample"
    if not isinstance(A, StencilOperator):
        return f"sparse matrix with {round(A.nnz * finer):,} entries, {matrix}"
    coefficients = "varying" if A.constant is None else "constant"
    sign = "definite" if A.is_definite else "indefinite"
    if A.is_singular:
        sign = "singular (constants are in its null space)"
    return f"stencil with {coefficients} coefficients, symmetric, {sign}, {matrix}"


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


def _bytes(timed: Recipe, manifest: Manifest, coarser: Manifest) -> int:
    """Size of all shards: that of empty ones of `timed` for 4 and for 12 samples, which already have all their space, continued linearly.

    The values of a sample take their own size, so that those on the grid asked for need not be set aside to be counted.
    """
    few, more = (_shard_bytes(timed, ShardLayout(coarser, "train", 0, count)) for count in (4, 12))
    each = (more - few) / 8
    shards = sum(-(-count // manifest.shard_samples) for count in manifest.splits.values())
    values = manifest.value_bytes - coarser.value_bytes
    return round(shards * (few - 4 * each) + sum(manifest.splits.values()) * (each + values))


def _shard_bytes(recipe: Recipe, layout: ShardLayout) -> int:
    with h5py.File("plan", "w", driver="core", backing_store=False, block_size=_GRAIN) as file:
        layouts.create(file, layout, notes(recipe), mesh_of(recipe.problem))
        file.flush()
        return int(file.id.get_filesize())
