"""Read a dataset by split and sample; fast enough to feed training without a cache of its own."""

from __future__ import annotations

import difflib
import operator
import os
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.data.layout import ShardLayout
from sciml.data.manifest import SPLITS, Manifest, read_manifest
from sciml.data.shard import ShardReader, stored_mesh
from sciml.errors import DatasetError
from sciml.mesh.mesh import Mesh

if TYPE_CHECKING:
    from sciml.data.recipe import Recipe
    from sciml.problems import Problem

_MAX_OPEN = 128


def open_dataset(path: str | os.PathLike[str], split: str = "train") -> Dataset:
    """Open one split of a dataset for reading.

    Parameters
    ----------
    path : the dataset's folder.
    split : "train", "valid" or "test".

    Raises
    ------
    DatasetError
        No dataset there, an unknown split, or an unfinished or damaged dataset.
    """
    root = Path(path)
    manifest = read_manifest(root)
    if split not in SPLITS:
        raise DatasetError(f"split {split!r} does not exist: choose one of {', '.join(SPLITS)}")
    if not manifest.complete:
        have, want = sum(map(manifest.covered, SPLITS)), sum(manifest.splits.values())
        what = f"{root} is unfinished ({have} of {want} samples in finished shards)"
        raise DatasetError(f"{what}: run the same command again, it goes on where it stopped")
    return Dataset(root, manifest, split)


class Dataset:
    """A split of a dataset: a sequence of samples, each a dict of arrays.

    Grid fields have the grid's shape ``(nx[, ny[, nz]])``, side fields the side's, scalars ``()``. On a mesh fields have the shape
    ``(nodes,)``, or ``(cells,)`` where they are constant on each cell. Outputs at several times have the shape ``(len(times), nx, ...)``;
    those of one time, and steady ones, carry no time axis.
    Files are opened once per process, on first use, so that an instance can be sent to worker processes, forked or spawned.

    Attributes
    ----------
    name : of the dataset.
    split : "train", "valid" or "test".
    inputs, outputs, scalars : disjoint names; `inputs` are the fields that a model sees, `scalars` the numbers.
    shape, extent, axes : of the grid; `extent` are side lengths.
    times : of the outputs; None for a steady problem or imported arrays.
    units : per name.
    boundary : per axis the kinds of the low and the high side, None where nobody said.
    symmetries : generators under which the map is equivariant ("reflect_x", "swap_xy" ...).
    manifest : everything that the folder says about itself.
    """

    def __init__(self, root: Path, manifest: Manifest, split: str) -> None:
        self.root = root
        self.manifest = manifest
        self.split = split
        self.name = manifest.name
        self.inputs = manifest.inputs
        self.outputs = manifest.outputs
        self.scalars = manifest.scalars
        self.shape = manifest.shape
        self.extent = manifest.extent
        self.axes: tuple[str, ...] = manifest.axes
        self.times = manifest.times
        self.units = dict(manifest.units)
        self.boundary = manifest.boundary
        self.symmetries = manifest.symmetries
        self._shards = sorted((shard for shard in manifest.shards if shard.split == split), key=lambda shard: shard.start)
        self._starts = np.cumsum([0, *(shard.samples for shard in self._shards)])
        if [shard.start for shard in self._shards] != self._starts[:-1].tolist():
            raise DatasetError(f"the shards of split {split!r} in {root} overlap or leave gaps: generate or import the dataset again")
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._pid = os.getpid()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        reader, position = self._find(index)
        return reader.sample(position)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[index] for index in range(len(self)))

    def field(self, name: str) -> np.ndarray:
        """All samples of one input, output or scalar as an array of shape ``(N, *shape)``."""
        if name not in self.manifest.names:
            close = difflib.get_close_matches(name, self.manifest.names, n=1, cutoff=0)
            raise DatasetError(f"dataset {self.name!r} has no field {name!r}: did you mean {close[0]!r}?")
        shape = (len(self), *self.manifest.shape_of(name))
        try:
            out = np.empty(shape, self.manifest.dtype)
        except (MemoryError, ValueError):
            raise DatasetError(f"field {name!r} of shape {shape} does not fit into memory: read it sample by sample") from None
        for number, (start, stop) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            self._reader(number).read_into(name, out[start:stop])
        return out

    def provenance(self, index: int) -> dict[str, Any]:
        """How a sample was made: index, seed_words, relative_residual, iterations, method, solve_seconds.

        Where the recipe's method recycles also matvecs and preconditioner_applications.
        """
        reader, position = self._find(index)
        return reader.certificate(position).figures()

    @cached_property
    def mesh(self) -> Mesh | None:
        """The mesh whose nodes and cells carry the fields; None on a grid."""
        return stored_mesh(self.root, self.manifest)

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe that the samples were generated from; None for imported arrays."""
        if self.manifest.recipe is None:
            return None
        from sciml.data.recipe import Recipe  # pulls in the problems and SciPy, which reading alone does not need

        return Recipe.from_canonical_json(self.manifest.recipe_json, self.mesh)

    @property
    def problem(self) -> Problem | None:
        """The problem that the outputs solve; None for imported arrays, and where a finer grid was solved on than is kept."""
        return self.recipe.problem if self.recipe and self.recipe.data.oversampling == 1 else None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_readers": OrderedDict(), "_pid": None}

    def __repr__(self) -> str:
        names = f"{', '.join((*self.inputs, *self.scalars))} -> {', '.join(self.outputs)}"
        cells = " x ".join(str(n) for n in self.shape)
        return f"<Dataset {self.name!r}, split {self.split!r}: {len(self)} samples of {names} on {cells}, in {str(self.root)!r}>"

    def _find(self, index: int) -> tuple[ShardReader, int]:
        try:
            index = operator.index(index)
        except TypeError:
            raise TypeError(f"index {index!r} is not a whole number: take samples one by one, or a slice of field(name)") from None
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of a split with {len(self)}")
        index %= len(self)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._reader(number), index - int(self._starts[number])

    def _reader(self, number: int) -> ShardReader:
        """The open shard; handles are never shared with the process that this one was forked from."""
        if self._pid != os.getpid():
            self._readers, self._pid = OrderedDict(), os.getpid()
        if number not in self._readers:
            shard = self._shards[number]
            layout = ShardLayout(self.manifest, shard.split, shard.start, shard.samples)
            self._readers[number] = ShardReader.open(self.root, layout, self.root / shard.path)
            if len(self._readers) > _MAX_OPEN:
                self._readers.popitem(last=False)[1].file.close()
        self._readers.move_to_end(number)
        return self._readers[number]
