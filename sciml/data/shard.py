"""One shard: reading its samples, and writing them so that a killed process loses at most the sample in hand.

A shard grows as ``shard-00000.hdf5.part`` with HDF5's default file version: values, flush, mark the sample as complete, flush.
Such a file opens again after SIGKILL at any moment (with ``libver="latest"`` it would not); what is marked is trusted after its
SHA-256 was compared. A full shard is forced to disk and renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from sciml.data import layout as layouts
from sciml.data.durable import replace_durably, sha256_of_file
from sciml.data.guard import open_guarded
from sciml.data.layout import ShardLayout
from sciml.data.manifest import Manifest, ShardEntry
from sciml.errors import DatasetError

Sample = Mapping[str, np.ndarray]
CERTIFICATE = ("index", "seed_words", "relative_residual", "iterations", "method", "solve_seconds")
#: Free space to keep beyond the sample in hand, for HDF5's own bookkeeping.
_SPARE_BYTES = 1 << 20


@dataclass(frozen=True)
class Certificate:
    """How a sample came about.

    Parameters
    ----------
    index : number of the sample in its random stream, or its row in the imported file.
    seed_words : four uint64 that the parameters were drawn from; zeros for imported arrays.
    relative_residual : ``||b - A x|| / ||b||`` of the solution in float64, recomputed; NaN for imported arrays.
    iterations, method, solve_seconds : of the linear solve; seconds include the assembly.
    """

    index: int
    seed_words: tuple[int, ...]
    relative_residual: float
    iterations: int
    method: str
    solve_seconds: float


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

    def __init__(self, file: h5py.File, layout: ShardLayout) -> None:
        self.file = file
        self.layout = layout
        self._datasets = {name: file[layout.location(name)] for name in layout.manifest.names}

    @classmethod
    def open(cls, root: Path, layout: ShardLayout, path: Path, *, sparse: bool = False) -> ShardReader:
        """Open a shard under `root` behind the guard; raises DatasetError when it does not look as `layout` says."""
        file = open_guarded(path, root=root, sparse=sparse)
        found = layouts.problems(file, layout)
        if found:
            file.close()
            raise DatasetError(f"{path} is not the shard that the manifest describes ({found[0]}): generate or import it again")
        return cls(file, layout)

    @classmethod
    def open_any_length(cls, root: Path, layout: ShardLayout) -> ShardReader:
        """Open the finished shard at the place of `layout`, whatever number of samples it holds."""
        path = root / layout.path
        with open_guarded(path, root=root) as file:
            samples = file.attrs.get("n_trajectories", 0)
        return cls.open(root, replace(layout, samples=int(samples)), path)

    def sample(self, position: int) -> dict[str, np.ndarray]:
        """All arrays of one sample, without the time axis."""
        shape_of = self.layout.manifest.shape_of
        return {name: np.asarray(data[position]).reshape(shape_of(name)) for name, data in self._datasets.items()}

    def read_into(self, name: str, out: np.ndarray) -> None:
        """Array `name` of all samples into `out` of shape (samples, *shape), without a copy on the way."""
        dataset = self._datasets[name]
        dataset.read_direct(out.reshape(dataset.shape))

    def certificate(self, position: int) -> Certificate:
        record = {name: self.file[f"provenance/{name}"][position] for name in CERTIFICATE}
        return Certificate(
            index=int(record["index"]),
            seed_words=tuple(int(word) for word in record["seed_words"]),
            relative_residual=float(record["relative_residual"]),
            iterations=int(record["iterations"]),
            method=record["method"].decode("ascii", "replace"),
            solve_seconds=float(record["solve_seconds"]),
        )

    def provenance(self, name: str) -> np.ndarray:
        """A column of ``/provenance``, one entry (or row) a sample."""
        return np.asarray(self.file[f"provenance/{name}"][()])

    def trusted(self, position: int) -> dict[str, np.ndarray] | None:
        """The sample if it is marked complete and its bytes have the recorded SHA-256, else None."""
        try:
            sample = self.sample(position)
        except OSError:
            return None  # the chunk's own checksum found damage: the sample does not exist
        return sample if self.is_recorded(position, sample_digest(self.layout.manifest, sample)) else None

    def is_recorded(self, position: int, digest: str) -> bool:
        """Whether the sample is marked complete with this SHA-256."""
        record = self.file["provenance"]
        return bool(record["complete"][position] == 1 and record["sha256"][position] == digest.encode())


class ShardWriter:
    """A shard in the making; `missing` holds the positions that still need a sample."""

    def __init__(self, root: Path, layout: ShardLayout, notes: Mapping[str, str]) -> None:
        self.layout = layout
        self.path = root / layout.path
        self._part = self.path.with_name(self.path.name + ".part")
        self._sample_bytes = sum(np.prod(layout.manifest.shape_of(name)) for name in layout.manifest.names) * 8
        self.missing = set(range(layout.samples))
        with self._failing_clearly():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._resumed(root) or self._created(notes)
            # Looking a dataset up costs more than writing a small sample to it.
            self._values = {name: self._file[layout.location(name)] for name in layout.manifest.names}
            self._record = {name: self._file[f"provenance/{name}"] for name in layouts.PROVENANCE}
            if self.path.exists():
                self._adopt(root)

    def append(self, position: int, sample: Sample, certificate: Certificate) -> None:
        """Store a sample; once this returns, killing the process does not lose it.

        Raises
        ------
        DatasetError
            The disk is full or read-only. Samples stored before stay valid.
        """
        with self._failing_clearly():
            self._write(position, sample, certificate)

    def finish(self) -> ShardEntry:
        """Close the full shard, force it to disk and give it its final name."""
        with self._failing_clearly():
            self._file.close()
            digest = sha256_of_file(self._part)
            replace_durably(self._part, self.path)
        return self.layout.entry(digest)

    def close(self) -> None:
        """Leave the unfinished shard on disk for a later run."""
        # A file whose flush failed (full disk) fails again when it is closed; the first failure is the one that was reported.
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()

    def _write(self, position: int, sample: Sample, certificate: Certificate) -> None:
        free = shutil.disk_usage(self._part.parent).free
        if free < 2 * self._sample_bytes + _SPARE_BYTES:
            raise OSError(f"only {free} bytes are free on its disk")
        manifest = self.layout.manifest
        for name, dataset in self._values.items():
            dataset[position] = sample[name].reshape(dataset.shape[1:])
        record = {**vars(certificate), "method": certificate.method.encode(), "sha256": sample_digest(manifest, sample).encode()}
        for name, value in record.items():
            self._record[name][position] = value
        self._file.flush()
        self._record["complete"][position] = 1
        self._file.flush()
        self.missing.discard(position)

    def _resumed(self, root: Path) -> h5py.File | None:
        """The unfinished shard of an earlier run, if it opens and looks right; samples that fail their checksum stay missing."""
        if not self._part.exists():
            return None
        try:
            reader = ShardReader.open(root, self.layout, self._part, sparse=True)
        except DatasetError:
            self._part.unlink()  # unreadable, or of another length: its samples are made again
            return None
        with reader.file:
            self.missing -= {position for position in self.missing if reader.trusted(position) is not None}
        return h5py.File(self._part, "r+")

    def _created(self, notes: Mapping[str, str]) -> h5py.File:
        file = h5py.File(self._part, "w")
        layouts.create(file, self.layout, notes)
        file.flush()
        return file

    def _adopt(self, root: Path) -> None:
        """Copy what can be trusted from a finished shard under the final name, when a longer one is to replace it."""
        try:
            reader = ShardReader.open_any_length(root, self.layout)
        except DatasetError:
            return  # damaged: its samples are made again
        with reader.file:
            for position in sorted(self.missing & set(range(reader.layout.samples))):
                sample = reader.trusted(position)
                if sample is not None:
                    self._write(position, sample, reader.certificate(position))

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DatasetError(f"{self._part} cannot be written ({reason}): free space or choose another folder, then run the same command again") from None
