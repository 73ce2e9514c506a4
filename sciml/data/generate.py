"""Make the samples of a recipe: one code path over `concurrent.futures.Executor`, whatever it runs on.

Workers draw and solve; this process alone writes, in the order of the samples, so that interrupting it anywhere leaves a prefix
that the same call completes. The values do not depend on the number of workers or on interruptions.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import sciml
from sciml.checks import environment
from sciml.data.manifest import SPLITS, Manifest
from sciml.data.mesh_part import MeshEntry
from sciml.data.processes import executor
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.shard import Sample
from sciml.data.solve import Solved, sample_bytes, solve_samples
from sciml.data.statistics import FILE_NAME as STATISTICS
from sciml.data.statistics import write_statistics
from sciml.data.store import Store
from sciml.data.writer import ShardWriter
from sciml.discretize import discretize
from sciml.errors import RecipeError
from sciml.mesh import Mesh
from sciml.problems import BoxProblem, Evolving, Problem, seed_words
from sciml.problems.mesh_elliptic import MeshElliptic

Progress = Callable[[str, int, int, dict[str, Any]], None]
#: Samples travel in chunks of about this size, so that a small sample does not cost a message and a large one not much memory.
_CHUNK_BYTES = 4 << 20
_LARGEST_CHUNK = 8


@dataclass(frozen=True)
class GenerationResult:
    """What a call of `generate` did.

    Parameters
    ----------
    path : the dataset's folder.
    samples : per split, what the dataset holds now.
    generated, already_there : samples made by this call, and found complete.
    seconds : wall time.
    worst_residual : largest relative residual among the samples made; None when none was.
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
    progress : called as ``progress("generate", done, total, figures)`` after every stored sample.

    Returns
    -------
    GenerationResult

    Raises
    ------
    RecipeError
        No samples or workers were asked for, or the recipe has no random parameter, so that all its samples would be equal.
    DatasetError
        `out` holds something else, is being written by another process, or cannot be written; or the problem has no solution for
        its first parameters.
    SolverError
        A sample was not solved to the recipe's tolerance; it is not stored, what was reported before is.
    """
    began = time.perf_counter()
    if workers < 1:
        raise RecipeError(f"workers = {workers} leaves nobody to solve: give at least 1")
    recipe = _with_seed(recipe, seed)
    first = _draw_first(recipe)
    manifest = _describe(recipe, first, recipe.data.samples if samples is None else samples)
    discretize(recipe.solved_problem, first)  # a problem that cannot be solved is refused before anything is on disk
    chunk, window = 1, 1  # in this process, nothing that is solved waits to be stored
    if workers > 1:
        chunk, window = max(1, min(_LARGEST_CHUNK, _CHUNK_BYTES // sample_bytes(recipe, recipe.kept(first)))), 2 * workers
    residuals = []
    with Store(Path(out), manifest, _notes(recipe), _mesh(recipe.problem)) as store, executor(workers) as pool:
        total = sum(store.manifest.splits.values())
        if not store.manifest.complete:
            (store.root / STATISTICS).unlink(missing_ok=True)  # of fewer samples than there will be
        for writer, position, (sample, certificate) in _solved(store, pool, recipe, chunk, window):
            writer.append(position, sample, certificate)
            residuals.append(certificate.relative_residual)
            done = store.done
            if not writer.missing:
                store.finish(writer)
            if progress is not None:
                progress("generate", done, total, {"residual": certificate.relative_residual, "iterations": certificate.iterations})
        if not (store.root / STATISTICS).exists():
            write_statistics(store.root, store.manifest)
    return GenerationResult(
        path=str(store.root),
        samples={split: store.manifest.covered(split) for split in SPLITS},
        generated=len(residuals),
        already_there=total - len(residuals),
        seconds=time.perf_counter() - began,
        worst_residual=max(residuals, default=None),
    )


def _solved(store: Store, pool: Executor, recipe: Recipe, chunk: int, window: int) -> Iterator[tuple[ShardWriter, int, Solved]]:
    """Solved samples in their order, with the writer and the position they belong to; at most `window` chunks are under way."""
    waiting: deque[tuple[ShardWriter, list[int], Future[list[Solved]]]] = deque()
    for writer in store.unfinished():
        layout = writer.layout
        missing = sorted(writer.missing)
        for first in range(0, len(missing), chunk):
            positions = missing[first : first + chunk]
            indices = [layout.start + position for position in positions]
            waiting.append((writer, positions, pool.submit(solve_samples, recipe, STREAMS[layout.split], indices)))
            if len(waiting) >= window:
                yield from _arrived(*waiting.popleft())
    while waiting:
        yield from _arrived(*waiting.popleft())


def _arrived(writer: ShardWriter, positions: list[int], future: Future[list[Solved]]) -> Iterator[tuple[ShardWriter, int, Solved]]:
    for position, solved in zip(positions, future.result(), strict=True):
        yield writer, position, solved


def _draw_first(recipe: Recipe) -> Sample:
    drawn = recipe.solved_problem.sample(seed_words(recipe.data.seed, 0, 0), recipe.data.dtype)
    return {name: np.asarray(value, recipe.data.dtype) for name, value in drawn.items()}


def _with_seed(recipe: Recipe, seed: int | None) -> Recipe:
    if seed is None or seed == recipe.data.seed:
        return recipe
    return Recipe.model_validate({**dict(recipe), "data": {**recipe.data.model_dump(), "seed": seed}})


def _describe(recipe: Recipe, first: Sample, samples: int) -> Manifest:
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
        boundary=problem.boundary_kinds if isinstance(problem, BoxProblem) else None,
        symmetries=problem.symmetries,
        seed=recipe.data.seed,
        shard_samples=recipe.data.shard_samples,
        splits=recipe.split_sizes(samples),
        versions=_versions(),
    )


def _mesh(problem: Problem) -> Mesh | None:
    return problem.mesh if isinstance(problem, MeshElliptic) else None


def _mesh_entry(problem: Problem) -> MeshEntry | None:
    if not isinstance(problem, MeshElliptic):
        return None
    return MeshEntry.of(problem.mesh, problem.cell_fields, problem.part_kinds)


def _notes(recipe: Recipe) -> dict[str, str]:
    """What ``/provenance`` says about the making of a shard, beside the figures of each sample."""
    machine = environment()
    return {
        "recipe": recipe.canonical_json(),
        "versions": json.dumps(_versions()),
        "git_revision": _git_revision(),
        "processor": machine["processor"],
        "threads": "1",
    }


def _versions() -> dict[str, str]:
    machine = environment()
    return {"python": machine["python"], **machine["versions"]}


def _git_revision() -> str:
    """Commit of the checkout that this package runs from; "unknown" for an installed package."""
    root = Path(sciml.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"  # no git on this machine, or no commit yet
