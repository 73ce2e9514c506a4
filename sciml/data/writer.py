"""Write a shard such that a killed process loses at most the samples in hand.

A shard is filled as ``shard-00000.hdf5.part`` with HDF5's default file version: values, flush, mark the samples as complete, flush.
Such a file opens again after SIGKILL at any moment (with ``libver="latest"`` it would not); what is marked is trusted after its
SHA-256 was compared. A full shard is forced to disk and renamed.

HDF5 does not survive a disk that fills up: the file becomes unreadable, and closing it may end the process. So the system is
asked for the whole shard's space before HDF5 sees the file, and HDF5 claims it before the first sample.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sciml.data import layout as layouts
from sciml.data.durable import replace_durably, sha256_of_file
from sciml.data.interrupts import uninterrupted
from sciml.data.layout import ShardLayout
from sciml.data.manifest import ShardEntry
from sciml.data.shard import CERTIFICATE, Certificate, Sample, ShardReader, sample_digest
from sciml.errors import DatasetError
from sciml.mesh.mesh import Mesh

#: What the name of a shard ends with while it is written.
PART = ".part"
#: Space of HDF5's own bookkeeping, per file and per sample.
_FILE_BYTES = 1 << 16
_SAMPLE_BYTES = 1 << 10


class ShardWriter:
    """A shard in the making; `missing` holds the positions that still need a sample.

    What an earlier run left (an unfinished shard, or a finished one that is to be longer or was damaged) is copied sample by sample
    into a fresh file, which then takes its place: nothing is ever written into a file whose last writer may have been killed.

    Parameters
    ----------
    root, layout : folder of the dataset, and which of its shards to write.
    notes : attributes for ``/provenance``.
    suffix : of the file being written. Writers that may work on one shard at the same time need one each.
    """

    @uninterrupted()
    def __init__(self, root: Path, layout: ShardLayout, notes: Mapping[str, str], mesh: Mesh | None = None, *, suffix: str = PART) -> None:
        self.layout = layout
        self.path = root / layout.path
        self.part = self.path.with_name(self.path.name + suffix)
        self.missing = set(range(layout.samples))
        with self._failing_clearly():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.part.with_name(self.part.name + ".new")
            _reserve(fresh, _size(layout))
            self._file = h5py.File(fresh, "w")
            layouts.create(self._file, layout, notes, mesh)
            self._values = {name: _Column(self._file[layout.location(name)]) for name in layout.manifest.names}
            self._record = {name: _Column(self._file[f"provenance/{name}"]) for name in layout.provenance}
            for older in (self.path.with_name(self.path.name + PART), self.path):
                self._adopt(root, older)
            self._file.flush()
            os.replace(fresh, self.part)

    def append(self, position: int, sample: Sample, certificate: Certificate) -> None:
        """`extend` by one sample."""
        self.extend([(position, sample, certificate)])

    @uninterrupted()
    def extend(self, batch: Sequence[tuple[int, Sample, Certificate]]) -> None:
        """Store samples at their positions; once this returns, killing the process loses none of them.

        Raises
        ------
        DatasetError
            The disk is full or read-only. Samples stored before stay valid.
        """
        with self._failing_clearly():
            self._write(batch)

    @uninterrupted()
    def seal(self) -> str:
        """Close the full shard, which keeps the name of an unfinished one, and return the SHA-256 of its bytes."""
        with self._failing_clearly():
            self._file.close()
            return sha256_of_file(self.part)

    @uninterrupted()
    def finish(self) -> ShardEntry:
        """Close the full shard, force it to disk and give it its final name."""
        digest = self.seal()
        with self._failing_clearly():
            replace_durably(self.part, self.path)
        return self.layout.entry(digest)

    def close(self) -> None:
        """Leave the unfinished shard on disk for a later run."""
        # A file whose flush failed (full disk) fails again when it is closed; the first failure is the one that was reported.
        with contextlib.suppress(OSError, RuntimeError):
            self._file.close()

    def _write(self, batch: Sequence[tuple[int, Sample, Certificate]]) -> None:
        positions = [position for position, _, _ in batch]
        for name, column in self._values.items():
            column.put(positions, [sample[name] for _, sample, _ in batch])
        for name in self._record.keys() & set(CERTIFICATE):
            self._record[name].put(positions, [getattr(certificate, name) for _, _, certificate in batch])
        self._record["sha256"].put(positions, [sample_digest(self.layout.manifest, sample) for _, sample, _ in batch])
        self._file.flush()
        self._record["complete"].put(positions, [1] * len(batch))
        self._file.flush()
        self.missing.difference_update(positions)

    def _adopt(self, root: Path, path: Path) -> None:
        """Copy the samples of an earlier file that are marked complete and have the SHA-256 recorded for them."""
        if not path.exists():
            return
        try:
            reader = ShardReader.open_unfinished(root, self.layout, path)
        except DatasetError:
            return  # unreadable: its samples are made again
        with reader.file:
            for position in sorted(self.missing & set(range(reader.layout.samples))):
                found = reader.trusted(position)
                if found is not None:
                    self._write([(position, *found)])

    @contextlib.contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            remedy = "free space or choose another folder, then run the same command again"
            raise DatasetError(f"{self.part} cannot be written ({reason}): {remedy}") from None


def _size(layout: ShardLayout) -> int:
    """Bytes that the finished shard takes at most."""
    manifest = layout.manifest
    mesh = 0 if manifest.mesh is None else manifest.mesh.stored_bytes
    return _FILE_BYTES + mesh + layout.samples * (manifest.value_bytes + _SAMPLE_BYTES)


def _reserve(path: Path, size: int) -> None:
    """Raise OSError where the system would not let a file of this size be written (disk, quota, limits)."""
    try:
        with path.open("wb") as handle:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, size)
            elif shutil.disk_usage(path.parent).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        path.unlink(missing_ok=True)
        raise


class _Column:
    """A dataset that is written by rows; assigning to h5py's items costs ten times as much where rows are small."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self._id = dataset.id
        self._dtype = dataset.dtype
        self._row = dataset.shape[1:]
        self._in_file = dataset.id.get_space()

    def put(self, positions: Sequence[int], rows: Sequence[Any]) -> None:
        """Write the rows at their positions, neighbours in one go."""
        first = 0
        for last, position in enumerate(positions):
            if last + 1 == len(positions) or positions[last + 1] != position + 1:
                self._put(positions[first], rows[first : last + 1])
                first = last + 1

    def _put(self, start: int, rows: Sequence[Any]) -> None:
        block = (len(rows), *self._row)
        self._in_file.select_hyperslab((start, *(0,) * len(self._row)), block)
        self._id.write(h5py.h5s.create_simple(block), self._in_file, np.ascontiguousarray(rows, self._dtype).reshape(block))
