"""Describe a dataset from its manifest and the provenance of its samples, without reading a field."""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sciml.data.layout import PRODUCTS, ShardLayout
from sciml.data.manifest import SPLITS, Manifest, read_manifest
from sciml.data.shard import ShardReader
from sciml.data.writer import PART
from sciml.errors import DatasetError
from sciml.problems import Problem, problem_kinds


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Facts about a dataset, finished or not, as a dict that JSON takes.

    What the solver's figures call a residual is a ``time_error`` where the problem evolves, and a ``distance_from_rest`` of steady flows.
    `samples` are those of finished shards; `in_progress` those that an unfinished dataset holds beside them, which the same command
    goes on from. A shard that cannot be read is named under `damaged`, with the remedy, and left out of the solver's figures.

    Raises
    ------
    DatasetError
        No readable manifest.
    """
    root = Path(path)
    manifest = read_manifest(root)
    recipe = manifest.recipe or {}
    problem = recipe.get("problem", {}).get("kind")
    damaged: list[str] = []
    solver = _solver_figures(root, manifest, problem_kinds().get(problem, Problem).certificate, damaged) if problem else None
    return {
        "path": str(root),
        "name": manifest.name,
        "title": recipe.get("title", "imported arrays"),
        "problem": problem,
        "complete": manifest.complete,
        "samples": {split: manifest.covered(split) for split in SPLITS},
        **({} if manifest.complete else {"in_progress": _in_progress(root, manifest)}),
        "wanted": {split: manifest.splits.get(split, 0) for split in SPLITS},
        "inputs": list(manifest.inputs),
        "outputs": list(manifest.outputs),
        "scalars": list(manifest.scalars),
        "units": manifest.units,
        "shape": list(manifest.shape),
        "extent": list(manifest.extent),
        "mesh": manifest.mesh and manifest.mesh.model_dump(),
        **({} if manifest.times is None else {"times": list(manifest.times)}),
        "boundary": manifest.boundary and {axis: list(kinds) for axis, kinds in zip(manifest.axes, manifest.boundary, strict=True)},
        "symmetries": list(manifest.symmetries),
        "dtype": manifest.dtype,
        "seed": manifest.seed,
        "identity": manifest.identity,
        "source": manifest.source,
        "bytes": sum((root / shard.path).stat().st_size for shard in manifest.shards if (root / shard.path).exists()),
        "solver": solver,
        **({"damaged": damaged, "remedy": f"run the same `sciml generate` command with --out {root} again"} if damaged else {}),
        "versions": manifest.versions,
    }


def _in_progress(root: Path, manifest: Manifest) -> dict[str, int]:
    """Samples marked complete in unfinished shards, beyond those of a finished one that such a shard is to replace."""
    finished = {shard.path: shard.samples for shard in manifest.shards}
    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for split in SPLITS:
        for part in sorted((root / "data" / split).glob(f"shard-*.hdf5{PART}")):
            number = re.fullmatch(r"shard-([0-9]{5,9})\.hdf5", part.name.removesuffix(PART))
            if number is None:
                continue
            layout = ShardLayout(manifest, split, int(number[1]) * manifest.shard_samples, 1)
            with contextlib.suppress(DatasetError):  # being written just now, or cut off where nothing can be read: no sample for sure
                reader = ShardReader.open_unfinished(root, layout, part)
                with reader.file:
                    complete = int((reader.provenance("complete") == 1).sum())
                counts[split] += max(0, complete - finished.get(f"data/{split}/{part.name.removesuffix(PART)}", 0))
    return counts


def _solver_figures(root: Path, manifest: Manifest, certificate: str, damaged: list[str]) -> dict[str, Any]:
    """Medians, maxima and sums over all samples that can be read; what is wrong with the others goes to `damaged`.

    `certificate` says what the figure is that they are judged by.
    """
    products = tuple(PRODUCTS) if manifest.recycles else ()
    names = ("relative_residual", "iterations", "method", "solve_seconds", *products)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for shard in manifest.shards:
        try:
            reader = ShardReader.open(root, ShardLayout(manifest, shard.split, shard.start, shard.samples), root / shard.path)
            with reader.file:
                found = [reader.provenance(name) for name in columns]
        except DatasetError as error:
            damaged.append(str(error))
            continue
        for parts, column in zip(columns.values(), found, strict=True):
            parts.append(column)
    if not columns["method"]:
        return {}
    residual, iterations, method, seconds, *counts = (np.concatenate(parts) for parts in columns.values())
    return {
        f"largest_{certificate}": float(residual.max()),
        f"median_{certificate}": float(np.median(residual)),
        "median_iterations": float(np.median(iterations)),
        **{f"median_{name}": float(np.median(count)) for name, count in zip(products, counts, strict=True)},
        "methods": dict(Counter(name.decode("ascii", "replace") for name in method.tolist())),
        "median_solve_seconds": float(np.median(seconds)),
        "total_solve_seconds": float(seconds.sum()),
    }
