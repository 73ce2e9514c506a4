"""One shard as a reader sees it: samples, the certificate of each, and whether its bytes are those that were recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.data import layout as layouts
from sciml.data.guard import open_guarded, read_attribute, reading
from sciml.data.layout import ShardLayout
from sciml.data.manifest import Manifest
from sciml.data.mesh_part import read_mesh
from sciml.errors import DatasetError
from sciml.mesh.mesh import Mesh

Sample = Mapping[str, np.ndarray]
CERTIFICATE = ("index", "seed_words", "relative_residual", "iterations", "method", "solve_seconds", *layouts.PRODUCTS)


@dataclass(frozen=True)
class Certificate:
    """How a sample came about.

    Parameters
    ----------
    index : number of the sample in its random stream, or its row in the imported file.
    seed_words : four uint64 that the parameters were drawn from; zeros for imported arrays.
    relative_residual : how far the solution in float64 is from solving its discrete equations, recomputed; NaN for imported arrays.
        Of a steady problem ``||b - A x|| / ||b||``. Of an evolving one the time error: the relative L2 difference, largest over
        the times, to an integration with other steps to a quarter of the tolerance (`sciml.discretize.temporal_error`).
    iterations, method, solve_seconds : of the linear solve, or steps of the time integration; seconds include the assembly.
    matvecs, preconditioner_applications : products with the matrix, those that renew a recycled space included, and with its
        preconditioner; None where the recipe's method does not recycle.
    """

    index: int
    seed_words: tuple[int, ...]
    relative_residual: float
    iterations: int
    method: str
    solve_seconds: float
    matvecs: int | None = None
    preconditioner_applications: int | None = None

    def figures(self) -> dict[str, Any]:
        """The figures that there are, by their names in ``/provenance``."""
        return {name: value for name in CERTIFICATE if (value := getattr(self, name)) is not None}


def sample_digest(manifest: Manifest, sample: Sample) -> str:
    """SHA-256 over names, types, shapes and bytes of all arrays of a sample, in the manifest's order."""
    digest = hashlib.sha256()
    for name in manifest.names:
        array = np.ascontiguousarray(sample[name])
        digest.update(f"{name} {array.dtype.str} {sample[name].shape};".encode())
        digest.update(array.data)
    return digest.hexdigest()


class ShardReader:
    """The samples of an open shard, by their position in it."""

    def __init__(self, file: h5py.File, layout: ShardLayout, path: Path) -> None:
        self.file = file
        self.layout = layout
        self.path = path
        self._datasets = {name: file[layout.location(name)] for name in layout.manifest.names}

    @classmethod
    def open(cls, root: Path, layout: ShardLayout, path: Path) -> ShardReader:
        """Open a shard under `root` behind the guard; raises DatasetError when it does not look as `layout` says."""
        file = open_guarded(path, root=root)
        try:
            with reading(path):
                found = layouts.problems(file, layout)
            if found:
                raise DatasetError(f"{path} is not the shard that the manifest describes ({found[0]}): generate or import it again")
            return cls(file, layout, path)
        except DatasetError:
            file.close()
            raise

    @classmethod
    def open_unfinished(cls, root: Path, layout: ShardLayout, path: Path) -> ShardReader:
        """Open a shard of any length that may lack samples."""
        with open_guarded(path, root=root) as file, reading(path):
            samples = int(read_attribute(file, "n_trajectories") or 0)
        if samples > layout.manifest.shard_samples:
            raise DatasetError(f"{path} claims {samples} samples, more than a shard of this dataset has: make it again")
        return cls.open(root, replace(layout, samples=samples), path)

    def sample(self, position: int) -> dict[str, np.ndarray]:
        """All arrays of one sample, without the time axis where that has length one."""
        shape_of = self.layout.manifest.shape_of
        with reading(self.path):
            return {name: np.asarray(data[position]).reshape(shape_of(name)) for name, data in self._datasets.items()}

    def read_into(self, name: str, out: np.ndarray) -> None:
        """Array `name` of all samples into `out` of shape (samples, *shape), without a copy on the way."""
        dataset = self._datasets[name]
        with reading(self.path):
            dataset.read_direct(out.reshape(dataset.shape))

    def certificate(self, position: int) -> Certificate:
        with reading(self.path):
            columns = (name for name in CERTIFICATE if name in self.layout.provenance)
            record = {name: self.file[f"provenance/{name}"][position] for name in columns}
        return Certificate(
            index=int(record["index"]),
            seed_words=tuple(int(word) for word in record["seed_words"]),
            relative_residual=float(record["relative_residual"]),
            iterations=int(record["iterations"]),
            method=record["method"].decode("ascii", "replace"),
            solve_seconds=float(record["solve_seconds"]),
            **{name: int(record[name]) for name in layouts.PRODUCTS if name in record},
        )

    def mesh(self) -> Mesh | None:
        """The mesh that the samples live on; None on a grid."""
        entry = self.layout.manifest.mesh
        if entry is None:
            return None
        with reading(self.path):
            return read_mesh(self.file, entry)

    def provenance(self, name: str) -> np.ndarray:
        """A column of ``/provenance``, one entry (or row) a sample."""
        with reading(self.path):
            return np.asarray(self.file[f"provenance/{name}"][()])

    def trusted(self, position: int) -> tuple[dict[str, np.ndarray], Certificate] | None:
        """The sample and its certificate if it is marked complete and its bytes have the recorded SHA-256, else None."""
        try:
            sample = self.sample(position)
            if self.is_recorded(position, sample_digest(self.layout.manifest, sample)):
                return sample, self.certificate(position)
        except DatasetError:
            pass  # HDF5's own checksum or structure is broken here: the sample does not exist
        return None

    def is_recorded(self, position: int, digest: str) -> bool:
        """Whether the sample is marked complete with this SHA-256."""
        with reading(self.path):
            record = self.file["provenance"]
            return bool(record["complete"][position] == 1 and record["sha256"][position] == digest.encode())


def stored_mesh(root: Path, manifest: Manifest) -> Mesh | None:
    """The mesh of a dataset, from its first sound shard; None on a grid. Raises DatasetError where no shard has it."""
    if manifest.mesh is None:
        return None
    for shard in manifest.shards:
        layout = ShardLayout(manifest, shard.split, shard.start, shard.samples)
        try:
            reader = ShardReader.open(root, layout, root / shard.path)
        except DatasetError:
            continue  # who reads samples from it will say what is wrong with it
        with reader.file:
            return reader.mesh()
    raise DatasetError(f"{root} has no finished shard with mesh {manifest.mesh.file!r} in it: run `sciml generate` again")
