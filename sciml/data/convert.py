"""Bring a user's own arrays into the store that everything else reads."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sciml.checks import environment
from sciml.data.durable import sha256_of_file
from sciml.data.manifest import RESERVED_NAMES, SPLITS, Manifest, side_axis
from sciml.data.npz import read_npz
from sciml.data.shard import Certificate
from sciml.data.statistics import write_statistics
from sciml.data.store import Store
from sciml.errors import DatasetError
from sciml.grid import AXES

Progress = Callable[[str, int, int, dict[str, Any]], None]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_SHARD_BYTES = 64 << 20
#: Integers up to here are exact in float32.
_EXACT_FLOAT32 = 1 << 24


@dataclass(frozen=True)
class _Arrays:
    """Arrays of one file by their name in the dataset, all of shape (samples, nx, ny[, nz])."""

    path: Path
    values: dict[str, np.ndarray]

    @property
    def samples(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def shape(self) -> tuple[int, ...]:
        return next(iter(self.values.values())).shape[1:]


def import_arrays(
    file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    input: str | Sequence[str],
    output: str | Sequence[str],
    test: str | os.PathLike[str] | None = None,
    name: str | None = None,
    valid_fraction: float = 0.1,
    symmetries: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """Make a dataset from arrays of shape ``(samples, nx, ny[, nz])`` in an .npz file.

    Booleans and integers become float32 (float64 where they would not be exact); real types keep their precision, float32 at
    least. The box is taken to be the unit square or cube, since arrays do not say. An array called like an axis of the file (``x``,
    ``y``, ``z``, ``time``) is stored as ``input_x`` or ``output_y``.

    Parameters
    ----------
    file : .npz file with the samples for training and validation; none of its arrays may need pickle.
    out : folder of the dataset; the same call completes an interrupted import.
    input, output : names of the arrays that a model sees and predicts.
    test : .npz file with the same arrays for the test split; None takes as many samples of `file` as for validation.
    name : of the dataset; None takes the file's name.
    valid_fraction : part of `file` for validation, drawn at random and always the same.
    symmetries : generators under which you know the map to be equivariant, such as ``("reflect_x", "swap_xy")``;
        ``reflect_nodes_<axis>`` mirrors samples that lie at j / n instead of (j + 1/2) / n, sample j going to n - j.
    progress : called as ``progress("import", done, total, {})`` after every stored sample.

    Raises
    ------
    DatasetError
        A file or an array that cannot be used, naming it and the remedy; nothing is written then.
    """
    keys = _stored_names(_listed(input), _listed(output))
    own = _read(Path(file), keys)
    held_out = None if test is None else _read(Path(test), keys)
    if held_out is not None and held_out.shape != own.shape:
        raise DatasetError(f"{held_out.path} has samples of shape {held_out.shape} and {own.path} of {own.shape}: give both on one grid")
    rows = _split(own, held_out, valid_fraction)
    manifest = _describe(own, held_out, keys, len(_listed(input)), rows, name, symmetries, valid_fraction)
    with Store(Path(out), manifest, {"source": json.dumps(manifest.source), "versions": json.dumps(manifest.versions)}) as store:
        total = sum(store.manifest.splits.values())
        for writer in store.unfinished():
            source = held_out if held_out is not None and writer.layout.split == "test" else own
            for position in sorted(writer.missing):
                row = int(rows[writer.layout.split][writer.layout.start + position])
                sample = {key: np.asarray(value[row], manifest.dtype) for key, value in source.values.items()}
                writer.append(position, sample, Certificate(row, (0, 0, 0, 0), float("nan"), 0, "imported", float("nan")))
                if progress is not None:
                    progress("import", store.done, total, {})
            store.finish(writer)
        write_statistics(store.root, store.manifest)
    return Path(out)


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _stored_names(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> dict[str, str]:
    """Name in the dataset -> name in the file."""
    keys: dict[str, str] = {}
    for role, names in (("input", inputs), ("output", outputs)):
        for key in names:
            if key in keys.values():
                raise DatasetError(f"array {key!r} is named twice: an array is an input or an output")
            if not _NAME.fullmatch(key):
                raise DatasetError(f"array name {key!r} must be letters, digits and underscores, a letter first: rename it in the file")
            taken = key in RESERVED_NAMES or side_axis(key, AXES) is not None
            keys[f"{role}_{key}" if taken else key] = key
    if not inputs or not outputs or len(keys) != len(inputs) + len(outputs):
        raise DatasetError(f"input {list(inputs)} and output {list(outputs)} must name at least one array each, under different names")
    return keys


def _read(path: Path, keys: dict[str, str]) -> _Arrays:
    found = read_npz(path, list(keys.values()))
    first = next(iter(keys.values()))
    for key, array in found.items():
        if array.ndim not in (3, 4):
            raise DatasetError(f"array {key!r} of {path} has shape {array.shape}: give (samples, nx, ny) or (samples, nx, ny, nz)")
        if array.shape != found[first].shape:
            shapes = f"{found[first].shape} and {array.shape}"
            raise DatasetError(f"arrays {first!r} and {key!r} of {path} have shapes {shapes}: make them equal")
        if min(array.shape) < 1 or min(array.shape[1:]) < 2:
            raise DatasetError(f"array {key!r} of {path} has shape {array.shape}: give at least one sample and 2 cells along every axis")
        bad = ~np.isfinite(array)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            count = int(bad.sum())
            raise DatasetError(f"array {key!r} of {path} has {count} NaN or infinite values, the first in sample {row}: mend or drop them")
    return _Arrays(path, {stored: found[key] for stored, key in keys.items()})


def _split(own: _Arrays, held_out: _Arrays | None, valid_fraction: float) -> dict[str, np.ndarray]:
    """Rows of each split, ascending; those of test count in `held_out` where that is given."""
    if not 0 <= valid_fraction < 1:
        raise DatasetError(f"valid_fraction = {valid_fraction:g} must be at least 0 and below 1: give for example 0.1")
    n = own.samples
    valid = round(valid_fraction * n)
    test = 0 if held_out is not None else valid
    if valid + test >= n:
        raise DatasetError(f"valid_fraction = {valid_fraction:g} of {n} samples leaves none to train on: give a smaller one")
    shuffled = np.random.default_rng(0).permutation(n)
    rows = {"valid": shuffled[:valid], "test": shuffled[valid : valid + test], "train": shuffled[valid + test :]}
    if held_out is not None:
        rows["test"] = np.arange(held_out.samples)
    return {split: np.sort(rows[split]) for split in SPLITS}


def _describe(
    own: _Arrays,
    held_out: _Arrays | None,
    keys: dict[str, str],
    inputs: int,
    rows: dict[str, np.ndarray],
    name: str | None,
    symmetries: Sequence[str],
    valid_fraction: float,
) -> Manifest:
    files = {"file": own} | ({"test_file": held_out} if held_out is not None else {})
    source: dict[str, Any] = {role: {"name": arrays.path.name, "sha256": sha256_of_file(arrays.path)} for role, arrays in files.items()}
    source |= {"arrays": keys, "valid_fraction": valid_fraction}
    dimension = len(own.shape)
    dtype = _common_type([array for arrays in files.values() for array in arrays.values.values()])
    decisive = {"source": source, "symmetries": list(symmetries), "dtype": dtype}
    sample_bytes = len(keys) * int(np.prod(own.shape)) * 8
    machine = environment()
    stored = tuple(keys)
    return Manifest(
        name=_dataset_name(name, own.path),
        identity=hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest(),
        recipe=None,
        inputs=stored[:inputs],
        outputs=stored[inputs:],
        axes=AXES[:dimension],
        extent=(1.0,) * dimension,
        origin=(0.0,) * dimension,
        shape=own.shape,
        dtype=dtype,
        boundary=None,
        symmetries=_known_symmetries(symmetries, own.shape),
        seed=0,
        shard_samples=max(1, min(1024, _SHARD_BYTES // sample_bytes)),
        splits={split: len(rows[split]) for split in SPLITS},
        source=source,
        versions={"python": machine["python"], **machine["versions"]},
    )


def _common_type(arrays: Sequence[np.ndarray]) -> Literal["float32", "float64"]:
    for array in arrays:
        inexact = array.dtype.kind in "iu" and max(abs(int(array.min())), abs(int(array.max()))) > _EXACT_FLOAT32
        if inexact or (array.dtype.kind == "f" and array.dtype.itemsize > 4):
            return "float64"
    return "float32"


def _dataset_name(name: str | None, path: Path) -> str:
    chosen = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)[:64] if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", chosen):
        raise DatasetError(f"name {name!r} must be up to 64 letters, digits, dots, dashes and underscores: choose another")
    return chosen


def _known_symmetries(names: Sequence[str], shape: tuple[int, ...]) -> tuple[str, ...]:
    """`names` after checking that the grid has them."""
    axes = AXES[: len(shape)]
    known = [f"{mirror}_{axis}" for mirror in ("reflect", "reflect_nodes") for axis in axes]
    known += [f"swap_{one}{two}" for k, (one, two) in enumerate(pairwise(axes)) if shape[k] == shape[k + 1]]
    for name in names:
        if name not in known:
            raise DatasetError(f"symmetry {name!r} does not exist on a grid of shape {shape}: choose from {', '.join(known)}")
    return tuple(names)
