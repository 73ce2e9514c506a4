"""Describe a dataset from its manifest and the provenance of its samples, without reading a field."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from sciml.data.layout import ShardLayout
from sciml.data.manifest import SPLITS, Manifest, read_manifest
from sciml.data.shard import ShardReader


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Facts about a dataset, finished or not, as a dict that JSON takes.

    Raises
    ------
    DatasetError
        No readable manifest, or a damaged shard.
    """
    root = Path(path)
    manifest = read_manifest(root)
    recipe = manifest.recipe or {}
    return {
        "path": str(root),
        "name": manifest.name,
        "title": recipe.get("title", "imported arrays"),
        "problem": recipe.get("problem", {}).get("kind"),
        "complete": manifest.complete,
        "samples": {split: manifest.covered(split) for split in SPLITS},
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
        "solver": _solver_figures(root, manifest) if manifest.recipe else None,
        "versions": manifest.versions,
    }


def _solver_figures(root: Path, manifest: Manifest) -> dict[str, Any]:
    """Residuals, iterations, methods and time over all samples."""
    columns: dict[str, list[np.ndarray]] = {"relative_residual": [], "iterations": [], "method": [], "solve_seconds": []}
    for shard in manifest.shards:
        reader = ShardReader.open(root, ShardLayout(manifest, shard.split, shard.start, shard.samples), root / shard.path)
        with reader.file:
            for name, parts in columns.items():
                parts.append(reader.provenance(name))
    if not manifest.shards:
        return {}
    residual, iterations, method, seconds = (np.concatenate(parts) for parts in columns.values())
    return {
        "largest_residual": float(residual.max()),
        "median_residual": float(np.median(residual)),
        "median_iterations": float(np.median(iterations)),
        "methods": dict(Counter(name.decode("ascii", "replace") for name in method.tolist())),
        "median_solve_seconds": float(np.median(seconds)),
        "total_solve_seconds": float(seconds.sum()),
    }
