"""The manifest of a dataset folder: what its samples look like, and which shards of it are finished.

A shard that the manifest does not list with its SHA-256 is not part of the dataset, whatever lies in the folder.
"""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from sciml.data.durable import write_text_durably
from sciml.data.mesh_part import MeshEntry
from sciml.errors import DatasetError
from sciml.grid import AXES

Split = Literal["train", "valid", "test"]

FILE_NAME = "manifest.json"
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
#: Names of dimension scales: a field of that name would be taken for the coordinate.
RESERVED_NAMES = frozenset((*AXES, "time", "trajectory", "seed_word"))
_MAX_BYTES = 64 << 20
_SIDE = re.compile(r"boundary_([xyz])_(low|high)")

#: Values of a recipe's `solver.method` by which samples are solved as sequences.
RECYCLING = ("gcrodr",)

BoundaryKind = Literal["dirichlet", "neumann", "periodic", "open"]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=10**9)]


class ShardEntry(BaseModel):
    """A finished shard: samples ``start`` to ``start + samples - 1`` of its split."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: Annotated[str, Field(pattern=r"^data/(train|valid|test)/shard-[0-9]{5,9}\.hdf5$")]
    split: Split
    start: Count
    samples: Annotated[int, Field(ge=1, le=10**9)]
    sha256: Digest


class Manifest(BaseModel):
    """Everything a reader has to know before it opens a shard.

    `inputs`, `outputs` and `scalars` are disjoint; `inputs` are grid fields or side fields (``boundary_x_low`` ...: the grid's
    shape without that axis). `times` are those of an evolving problem's outputs; None for a steady one. `boundary` is None where
    nobody said (imported arrays). `splits` are the sizes asked for; the dataset is complete once the shards cover them. `recipe` is
    the canonical recipe, or None for imported arrays, which name their `source` instead. `mesh` is None on a grid; on a mesh `shape` is
    the number of nodes, and `extent` and `origin` are those of the bounding box.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal["sciml-dataset"] = "sciml-dataset"
    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    identity: Digest
    recipe: dict[str, Any] | None
    inputs: tuple[FieldName, ...]
    outputs: tuple[FieldName, ...]
    scalars: tuple[FieldName, ...] = ()
    units: dict[str, str] = {}
    axes: tuple[Literal["x", "y", "z"], ...]
    extent: tuple[Annotated[float, Field(gt=0)], ...]
    origin: tuple[float, ...]
    shape: tuple[Annotated[int, Field(ge=1, le=1 << 24)], ...]
    mesh: MeshEntry | None = None
    times: Annotated[tuple[float, ...], Field(min_length=1, max_length=4096)] | None = None
    dtype: Literal["float32", "float64"]
    boundary: tuple[tuple[BoundaryKind, BoundaryKind], ...] | None
    symmetries: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)]
    shard_samples: Annotated[int, Field(ge=1, le=10**6)]
    splits: dict[Split, Count]
    shards: tuple[ShardEntry, ...] = ()
    source: dict[str, Any] | None = None
    versions: dict[str, str] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        dimension = len(self.axes)
        if self.axes != AXES[:dimension] or dimension == 0:
            raise ValueError(f"axes {list(self.axes)} are not the first of x, y, z")
        if {len(self.extent), len(self.origin)} != {dimension} or (self.mesh is None and len(self.shape) != dimension):
            raise ValueError(f"extent, origin and shape need {dimension} entries each, one per axis")
        if self.mesh is not None and self.shape != (self.mesh.nodes,):
            raise ValueError(f"shape {list(self.shape)} is not the number of nodes, [{self.mesh.nodes}]")
        names = (*self.inputs, *self.outputs, *self.scalars)
        if len(set(names)) != len(names) or not RESERVED_NAMES.isdisjoint(names):
            raise ValueError(f"names {list(names)} repeat one, or use one of {sorted(RESERVED_NAMES)}, which are axes of the file")
        if self.times is not None and any(late <= early for early, late in pairwise(self.times)):
            raise ValueError(f"times {list(self.times)} do not increase")
        longest = max((shard.samples for shard in self.shards), default=0)
        if longest > self.shard_samples:
            raise ValueError(f"a shard has {longest} samples, more than shard_samples = {self.shard_samples}")
        return self

    @model_serializer(mode="wrap")
    def _steady_says_nothing_of_time(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A steady dataset's manifest reads as it did before there were others."""
        content: dict[str, Any] = handler(self)
        if self.times is None:
            del content["times"]
        return content

    @property
    def names(self) -> tuple[str, ...]:
        """Every array of a sample: inputs, outputs, scalars."""
        return (*self.inputs, *self.outputs, *self.scalars)

    @property
    def recipe_json(self) -> str:
        """The recipe as canonical JSON text."""
        return json.dumps(self.recipe, sort_keys=True, separators=(",", ":"))

    def shape_of(self, name: str) -> tuple[int, ...]:
        """Shape of one sample's array `name`: the grid's, a side's, or ``()`` for a scalar; an output's after several times (T, *grid)."""
        if name in self.scalars:
            return ()
        if self.mesh is not None:
            return self.mesh.shape_of(name)
        if name in self.outputs and self.times is not None and len(self.times) > 1:
            return (len(self.times), *self.shape)
        axis = side_axis(name, self.axes)
        return self.shape if axis is None else self.shape[:axis] + self.shape[axis + 1 :]

    @property
    def value_bytes(self) -> int:
        """Size of all arrays of one sample."""
        return np.dtype(self.dtype).itemsize * sum(math.prod(self.shape_of(name)) for name in self.names)

    @property
    def recycles(self) -> bool:
        """Whether samples are solved as sequences, so that iterations alone do not tell what one took."""
        solver = (self.recipe or {}).get("solver")
        return isinstance(solver, dict) and solver.get("method") in RECYCLING

    def covered(self, split: str) -> int:
        """Number of samples in finished shards of `split`."""
        return sum(shard.samples for shard in self.shards if shard.split == split)

    @property
    def complete(self) -> bool:
        return all(self.covered(split) == count for split, count in self.splits.items())


def side_axis(name: str, axes: tuple[str, ...]) -> int | None:
    """Index of the axis normal to the side that ``boundary_<axis>_<low|high>`` names; None for any other name.

    >>> side_axis("boundary_y_low", ("x", "y"))
    1
    """
    match = _SIDE.fullmatch(name)
    return axes.index(match[1]) if match and match[1] in axes else None


def shard_path(split: str, index: int) -> str:
    """Path of shard `index` of a split, relative to the dataset folder."""
    return f"data/{split}/shard-{index:05d}.hdf5"


def read_manifest(root: Path) -> Manifest:
    """Read and check ``manifest.json``; raises DatasetError when it is missing, foreign or damaged."""
    path = root / FILE_NAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"{path} has {path.stat().st_size} bytes, which no manifest has: give the folder of a dataset")
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        if not root.exists():
            raise DatasetError(f"{root} does not exist: check the name of the dataset's folder") from None
        raise DatasetError(f"{root} holds no {FILE_NAME}: give a folder made by `sciml generate` or `sciml import`") from None
    except NotADirectoryError:
        raise DatasetError(f"{root} is a file: give the dataset's folder") from None
    except ValidationError as error:
        raise DatasetError(f"{path} is not a valid manifest ({_first(error)}): generate or import the dataset again") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): check the folder and its permissions") from None


def write_manifest(root: Path, manifest: Manifest) -> None:
    write_text_durably(root / FILE_NAME, manifest.model_dump_json(indent=2) + "\n")


def _first(error: ValidationError) -> str:
    """The first of pydantic's findings as `field.path: message`."""
    finding = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in finding["loc"]) or "manifest"
    return f"{where}: {finding['msg']}"
