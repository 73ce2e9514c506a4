"""Make the samples of a recipe: one code path over `concurrent.futures.Executor`, whatever it runs on.

On this machine workers draw and solve, and this process alone writes, in the order of the samples. On a cluster every task writes
a shard, which this process enters in the manifest. Interrupted anywhere, what was reported is kept and the same call goes on. The
values do not depend on the number of workers, on where they run or on interruptions.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from sciml.data.cluster import cluster as connected
from sciml.data.cluster import submit_shard
from sciml.data.manifest import RECYCLING, SPLITS, Manifest
from sciml.data.mesh_part import MeshEntry
from sciml.data.processes import executor
from sciml.data.provenance import notes, versions
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.sequence import next_chunk, sequence_length
from sciml.data.shard import Sample
from sciml.data.solve import Outcome, attempt_samples, discretized, draw, refuse_unfit_method, sample_bytes
from sciml.data.statistics import FILE_NAME as STATISTICS
from sciml.data.statistics import write_statistics
from sciml.data.store import Store
from sciml.data.writer import ShardWriter
from sciml.errors import RecipeError
from sciml.problems import BoxProblem, Evolving, Problem, seed_words
from sciml.problems.mesh_elliptic import MeshElliptic, mesh_of
from solvers import SolverError

Progress = Callable[[str, int, int, dict[str, Any]], None]
Batch = tuple[int, float, int]
"""Samples stored for good: how many, their largest residual, their largest number of iterations."""
Chunk = tuple[ShardWriter, list[int], list[Outcome]]
"""What became of samples, with the writer and the positions that they belong to."""
#: Samples of sequences that may stay unsolved before generation gives up.
_LOST = 20
#: Samples are solved, sent and stored in chunks of at most this size ...
_CHUNK_BYTES = 4 << 20
_LARGEST_CHUNK = 64
#: ... and of about this time, so that progress shows and an interruption costs little.
_CHUNK_SECONDS = 1.0
_FIRST_CHUNK = 4


@dataclass(frozen=True)
class GenerationResult:
    """What a call of `generate` did.

    Parameters
    ----------
    path : the dataset's folder.
    samples : per split, what the dataset holds now.
    generated, already_there : samples made by this call, and found complete.
    seconds : wall time.
    worst_residual : largest of what the samples made are judged by, see `Problem.certificate`: their relative residual or an error; None
        when none was made.
    """

    path: str
    samples: dict[str, int]
    generated: int
    already_there: int
    seconds: float
    worst_residual: float | None


def generate(
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    samples: int | None = None,
    seed: int | None = None,
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> GenerationResult:
    """Generate a dataset, or complete or extend the one that `out` holds.

    Parameters
    ----------
    recipe : what to make, from `sciml.load_recipe`.
    out : folder; new, empty, or holding an earlier part of the same dataset.
    samples : number over all splits; None takes the recipe's. A dataset never shrinks.
    seed : None takes the recipe's.
    workers : processes that solve; 1 solves in this process. A script that asks for more needs the ``if __name__ == "__main__"`` guard.
    cluster : address of a running dask scheduler (``tcp://host:8786``) whose workers solve, and see `out` under the same path; None
        solves on this machine. Its tasks are whole shards: the recipe's `data.shard_samples` decides how many there are.
    progress : called as ``progress("generate", done, total, figures)`` whenever more samples are stored for good, a few at a time,
        or a shard at a time from a cluster; `figures` are the largest residual and number of iterations among them.

    Returns
    -------
    GenerationResult

    Raises
    ------
    RecipeError
        No samples or workers were asked for, workers here and a cluster at once, or the recipe has no random parameter, so that
        all its samples would be equal.
    DatasetError
        `out` holds something else, is being written by another process, or cannot be written; or the problem has no solution for
        its first parameters.
    ClusterError
        The cluster cannot be reached or used, or its workers do not see `out`.
    SolverError
        A sample was not solved to the recipe's tolerance; it is not stored, what was reported before is. Where samples are solved as
        sequences the others are solved first, but for those after the twentieth such one, and on a cluster those of the same shard.
    """
    began = time.perf_counter()
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe = {recipe!r} is a {type(recipe).__name__}: give what sciml.load_recipe returns")
    numbers: dict[str, Any] = {"samples": samples, "seed": seed, "workers": workers}
    for name, value in numbers.items():
        if value is not None and not isinstance(value, Integral):
            raise RecipeError(f"{name} = {value!r} is not a whole number: give one")
    if seed is not None and not 0 <= seed < 2**63:
        raise RecipeError(f"seed = {seed} is out of range: give one from 0 to 2^63 - 1")
    if workers < 1:
        raise RecipeError(f"workers = {workers} leaves nobody to solve: give at least 1")
    if workers > 1 and cluster is not None:
        raise RecipeError(f"workers = {workers} solve here, and cluster = {cluster!r} solves elsewhere: give one of the two")
    recipe = _with_seed(recipe, seed)
    words = seed_words(recipe.data.seed, STREAMS["train"], 0)
    first = draw(recipe, words)
    manifest = describe(recipe, first, recipe.data.samples if samples is None else samples)
    refuse_unfit_method(recipe, discretized(recipe, words, first))  # what cannot be solved is refused before anything is on disk
    made, worst = 0, 0.0
    lost: list[str] = []
    place = executor(workers) if cluster is None else connected(cluster)
    with Store(Path(out), manifest, notes(recipe), mesh_of(recipe.problem)) as store, place as pool:
        total = sum(store.manifest.splits.values())
        if not store.manifest.complete:
            (store.root / STATISTICS).unlink(missing_ok=True)  # of fewer samples than there will be
        if cluster is None:
            largest = max(1, min(_LARGEST_CHUNK, _CHUNK_BYTES // sample_bytes(recipe, recipe.kept(first))))
            batches = _stored_here(store, pool, recipe, workers, largest, lost)
        else:
            batches = _stored_elsewhere(store, pool, recipe, lost)
        for samples_made, residual, iterations in batches:
            made, worst = made + samples_made, max(worst, residual)
            if progress is not None:
                progress("generate", store.done, total, {recipe.problem.certificate: residual, "iterations": iterations})
        if lost:
            raise SolverError(_lament(lost))
        if not (store.root / STATISTICS).exists():
            write_statistics(store.root, store.manifest)
    return GenerationResult(
        path=str(store.root),
        samples={split: store.manifest.covered(split) for split in SPLITS},
        generated=made,
        already_there=total - made,
        seconds=time.perf_counter() - began,
        worst_residual=worst if made else None,
    )


def _stored_here(store: Store, pool: Executor, recipe: Recipe, workers: int, largest: int, lost: list[str]) -> Iterator[Batch]:
    """Write what the workers of this machine solve, and say so once it is on disk; complaints about the rest go to `lost`."""
    for writer, positions, made in _solved(store, pool, recipe, workers, largest):
        lost += [one for one in made if isinstance(one, str)]
        solved = [(position, *one) for position, one in zip(positions, made, strict=True) if not isinstance(one, str)]
        writer.extend(solved)
        if not writer.missing:
            store.finish(writer)
        certificates = [certificate for _, _, certificate in solved]
        if certificates:
            yield len(solved), max(one.relative_residual for one in certificates), max(one.iterations for one in certificates)
        if len(lost) >= _LOST:
            return


def _solved(store: Store, pool: Executor, recipe: Recipe, workers: int, largest: int) -> Iterator[Chunk]:
    """All missing samples, in chunks and in their order."""
    window = 1 if workers == 1 else 2 * workers  # chunks under way
    waiting: deque[tuple[ShardWriter, list[int], Future[list[Outcome]]]] = deque()
    size, length = min(_FIRST_CHUNK, largest), sequence_length(recipe.solver.method)
    for writer in store.unfinished():
        layout, missing = writer.layout, deque(sorted(writer.missing))
        while missing:
            positions = next_chunk(missing, size, layout.start, length)
            indices = [layout.start + position for position in positions]
            waiting.append((writer, positions, pool.submit(attempt_samples, recipe, STREAMS[layout.split], indices)))
            if len(waiting) >= window:
                chunk = _arrived(*waiting.popleft())
                size = min(largest, _fitting(chunk) or size)
                yield chunk
    while waiting:
        yield _arrived(*waiting.popleft())


def _arrived(writer: ShardWriter, positions: list[int], future: Future[list[Outcome]]) -> Chunk:
    return writer, positions, future.result()


def _fitting(chunk: Chunk) -> int:
    """Samples that take about as long as a chunk may, to go by the times of one that has arrived; 0 where it has none."""
    seconds = [one[1].solve_seconds for one in chunk[2] if not isinstance(one, str)]
    return 0 if not seconds else max(1, int(_CHUNK_SECONDS / max(sum(seconds) / len(seconds), 1e-9)))


def _stored_elsewhere(store: Store, pool: Executor, recipe: Recipe, lost: list[str]) -> Iterator[Batch]:
    """Have the shards written by a cluster, and enter each as it arrives; complaints about those that cannot be go to `lost`."""
    root = store.root.resolve()
    shards = {submit_shard(pool, recipe, root, layout): layout for layout in store.lacking()}
    for future in as_completed(list(shards)):
        layout = shards.pop(future)
        try:
            written = future.result()
        except SolverError as error:
            if recipe.solver.method not in RECYCLING:
                raise
            lost.append(str(error))
            if len(lost) >= _LOST:
                return
            continue
        store.enter(layout, written.name, written.sha256)
        if written.solved:
            yield written.solved, written.residual, written.iterations


def _lament(lost: Sequence[str]) -> str:
    """The complaint about the first of some samples, and the others by their names."""
    first, *others = lost
    if not others:
        return first
    names = ", ".join(one.partition(" of recipe ")[0] for one in others)
    gave_up = ", after which no more were tried" if len(lost) >= _LOST else ""
    return f"{first}; nor were {names}{gave_up}"


def _with_seed(recipe: Recipe, seed: int | None) -> Recipe:
    if seed is None or seed == recipe.data.seed:
        return recipe
    parts = {name: getattr(recipe, name) for name in Recipe.model_fields}
    return Recipe.model_validate({**parts, "data": {**recipe.data.model_dump(), "seed": seed}})


def describe(recipe: Recipe, first: Sample, samples: int) -> Manifest:
    """The manifest of the recipe's dataset before it has any shard; `first` shows the parameters' shapes."""
    problem = recipe.problem
    if not first:
        raise RecipeError(f"recipe {recipe.name!r} has no random parameter, so that all samples would be equal: give one a random law")
    if samples < 1:
        raise RecipeError(f"samples = {samples} asks for no data: give at least 1")
    domain = problem.domain
    return Manifest(
        name=recipe.name,
        identity=recipe.identity,
        recipe=json.loads(recipe.canonical_json()),
        inputs=tuple(name for name in problem.inputs if first[name].ndim),
        outputs=problem.outputs,
        scalars=tuple(name for name in problem.inputs if not first[name].ndim),
        units={name: problem.units[name] for name in (*problem.inputs, *problem.outputs)},
        axes=domain.axes,
        extent=domain.extent,
        origin=domain.origin,
        shape=domain.shape,
        mesh=_mesh_entry(problem),
        times=problem.times if isinstance(problem, Evolving) else None,
        dtype=recipe.data.dtype,
        boundary=problem.stored_sides if isinstance(problem, BoxProblem) else None,
        symmetries=problem.symmetries,
        seed=recipe.data.seed,
        shard_samples=recipe.data.shard_samples,
        splits=recipe.split_sizes(samples),
        versions=versions(),
    )


def _mesh_entry(problem: Problem) -> MeshEntry | None:
    if not isinstance(problem, MeshElliptic):
        return None
    return MeshEntry.of(problem.mesh, problem.cell_fields, problem.part_kinds)
