"""A dataset folder being written: one writer at a time, nothing overwritten that is not the same dataset."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sciml.data.durable import replace_durably, sha256_of_file
from sciml.data.layout import ShardLayout
from sciml.data.manifest import FILE_NAME, SPLITS, Manifest, ShardEntry, read_manifest, write_manifest
from sciml.data.shard import ShardReader
from sciml.data.writer import PART, ShardWriter
from sciml.errors import DatasetError
from sciml.mesh.mesh import Mesh

_LOCK = ".lock"
_OURS = frozenset({_LOCK, FILE_NAME + ".part"})
_NEVER_DECIDING = {"splits", "shards", "versions", "identity", "samples", "shard_samples"}


class Store:
    """Open `root` for writing the dataset that `manifest` describes; a context manager that holds the folder's lock.

    An existing dataset is continued when its identity and seed are the same; its splits may grow and never shrink. Finished
    shards whose SHA-256 matches the manifest are kept.

    Parameters
    ----------
    root : folder of the dataset, made where it does not exist.
    manifest : description with the sizes of the splits wanted and no shards.
    notes : attributes for ``/provenance`` of every shard written now (recipe text, versions, machine).
    mesh : of the samples, for ``/mesh`` of every shard written now; None on a grid.

    Raises
    ------
    DatasetError
        The folder holds something else, another process is writing to it, or it cannot be written.
    """

    def __init__(self, root: Path, manifest: Manifest, notes: Mapping[str, str], mesh: Mesh | None = None) -> None:
        self.root = root
        self.manifest = manifest
        self._notes = notes
        self._mesh = mesh
        self._open: list[ShardWriter] = []
        _refuse_foreign(root)
        self._new_folder = not root.exists()
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(root / _LOCK, timeout=0)
            self._lock.acquire()
        except Timeout:
            raise DatasetError(f"{root} is being written by another process: wait for it to end, or choose another folder") from None
        except OSError as error:
            raise DatasetError(f"{root} cannot be written ({error.strerror}): choose another folder") from None

    def __enter__(self) -> Store:
        self._new = not (self.root / FILE_NAME).exists()
        try:
            self._sweep()
            if not self._new:
                self._continue(read_manifest(self.root))
            self._write_manifest()
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stored = self.done
        for writer in self._open:
            writer.close()
        self._sweep()
        if kind is not None and self._new and not stored:
            self._vanish()
        self._lock.release()

    def _sweep(self) -> None:
        """Remove what processes left that wrote for the holder of the lock; one that still writes notices that its file is gone."""
        for left in self.root.glob(f"data/*/shard-*{PART}.*"):
            left.unlink(missing_ok=True)

    def _vanish(self) -> None:
        """Take back what this call made before it failed without a single sample, so that another recipe may have the folder."""
        shutil.rmtree(self.root / "data", ignore_errors=True)
        for name in (FILE_NAME, *_OURS):
            (self.root / name).unlink(missing_ok=True)
        if self._new_folder:
            with contextlib.suppress(OSError):  # somebody else put a file there meanwhile: the folder is theirs now
                self.root.rmdir()

    def lacking(self) -> Iterator[ShardLayout]:
        """Every shard that still needs samples, split by split; those found full are entered in the manifest."""
        finished = {(shard.path, shard.samples) for shard in self.manifest.shards}
        for layout in self._planned():
            if (layout.path, layout.samples) in finished:
                continue
            if self._found_full(layout):
                self._record(layout.entry(sha256_of_file(self.root / layout.path)))
            else:
                yield layout

    def unfinished(self) -> Iterator[ShardWriter]:
        """A writer for every shard that still needs samples, split by split."""
        for layout in self.lacking():
            writer = ShardWriter(self.root, layout, self._notes, self._mesh)
            self._open.append(writer)
            if writer.missing:
                yield writer
            else:
                self.finish(writer)

    @property
    def done(self) -> int:
        """Samples that are on disk for good, in finished shards and in those being written (some of which replace shorter ones)."""
        written = {writer.layout.path: writer.layout.samples - len(writer.missing) for writer in self._open}
        return sum(({shard.path: shard.samples for shard in self.manifest.shards} | written).values())

    def finish(self, writer: ShardWriter) -> None:
        """Close a full shard and enter it in the manifest: from here on it is part of the dataset."""
        entry = writer.finish()
        self._open.remove(writer)
        self._record(entry)

    def enter(self, layout: ShardLayout, name: str, sha256: str) -> None:
        """Give the full shard that another process wrote beside the place of `layout`, as file `name`, its final name, and enter it.

        Raises
        ------
        DatasetError
            The file is not there or its bytes have another SHA-256, as where this process and that one see different disks.
        """
        path = self.root / layout.path
        aside = path.with_name(name)
        found = sha256_of_file(aside) if aside.is_file() else "none"
        if found != sha256:
            what = f"{aside} was written with SHA-256 {sha256[:12]}... and {found[:12]} is found here"
            raise DatasetError(f"{what}: give a folder on a file system that this machine shares with all workers")
        try:
            replace_durably(aside, path)
            path.with_name(path.name + PART).unlink(missing_ok=True)
        except OSError as error:
            raise DatasetError(f"{path} cannot be written ({error.strerror}): run the same command again") from None
        self._record(layout.entry(sha256))

    def _planned(self) -> Iterator[ShardLayout]:
        step = self.manifest.shard_samples
        for split in SPLITS:
            count = self.manifest.splits.get(split, 0)
            for start in range(0, count, step):
                yield ShardLayout(self.manifest, split, start, min(step, count - start))

    def _found_full(self, layout: ShardLayout) -> bool:
        """Whether the finished file is there with every sample intact, as after a kill between its rename and the manifest's."""
        path = self.root / layout.path
        if not path.exists():
            return False
        try:
            reader = ShardReader.open(self.root, layout, path)
        except DatasetError:
            return False
        with reader.file:
            return all(reader.trusted(position) is not None for position in range(layout.samples))

    def _continue(self, existing: Manifest) -> None:
        """Grow to the sizes wanted; keep the shards whose bytes are those that were recorded."""
        _refuse_other(self.root, existing, self.manifest)
        splits = {split: max(existing.splits.get(split, 0), self.manifest.splits.get(split, 0)) for split in SPLITS}
        intact = tuple(shard for shard in existing.shards if self._intact(shard))
        self.manifest = self.manifest.model_copy(update={"shard_samples": existing.shard_samples, "splits": splits, "shards": intact})

    def _intact(self, shard: ShardEntry) -> bool:
        path = self.root / shard.path
        inside = path.resolve().is_relative_to(self.root.resolve())
        return inside and path.is_file() and sha256_of_file(path) == shard.sha256

    def _record(self, entry: ShardEntry) -> None:
        others = [shard for shard in self.manifest.shards if shard.path != entry.path]
        shards = tuple(sorted((*others, entry), key=lambda shard: (SPLITS.index(shard.split), shard.start)))
        self.manifest = self.manifest.model_copy(update={"shards": shards})
        self._write_manifest()

    def _write_manifest(self) -> None:
        try:
            write_manifest(self.root, self.manifest)
        except OSError as error:
            remedy = "free space or choose another folder, then run the same command again"
            raise DatasetError(f"{self.root / FILE_NAME} cannot be written ({error.strerror}): {remedy}") from None


def _refuse_foreign(root: Path) -> None:
    if not root.exists():
        return
    if not root.is_dir():
        raise DatasetError(f"{root} is a file: choose a folder for the dataset")
    if not (root / FILE_NAME).exists():
        foreign = sorted(item.name for item in root.iterdir() if item.name not in _OURS)
        if foreign:
            raise DatasetError(f"{root} already holds other files ({foreign[0]}, {len(foreign)} in all): choose a new or an empty folder")


def _refuse_other(root: Path, existing: Manifest, wanted: Manifest) -> None:
    if existing.identity == wanted.identity and existing.seed == wanted.seed:
        return
    differences = _differences(existing.model_dump(mode="json"), wanted.model_dump(mode="json"))
    what = next(differences, "its identity is another")
    raise DatasetError(f"{root} holds another dataset, {existing.name!r} ({what}): choose another folder")


def _differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ, in words; keys that do not decide what a dataset is are passed over."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - _NEVER_DECIDING):
            yield from _differences(old.get(key), new.get(key), f"{place}.{key}".lstrip("."))
    elif old != new:
        yield f"{place} is {json.dumps(old)[:60]} there and {json.dumps(new)[:60]} here"
