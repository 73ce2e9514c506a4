"""The mesh in the store: what the manifest says about it, and ``/mesh`` in every shard.

``/mesh`` holds everything that a reader needs: ``points``, ``cells``, the boundary ``facets`` and the part of each, ``facet_parts``, a
position in the attribute ``part_names``. The Well knows no unstructured grids, so ``grid_type`` is "unstructured", which its reader
refuses; xarray reads the files, since every axis has a dimension scale in the root here too.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from sciml.data.guard import read_attribute
from sciml.errors import DatasetError, MeshError
from sciml.mesh.mesh import Mesh

_Count = Annotated[int, Field(ge=1, le=1 << 28)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class MeshEntry(BaseModel):
    """The mesh of a dataset: its digest, its sizes, which fields live on cells, and the kind of condition on every boundary part."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    file: Annotated[str, Field(max_length=255)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    dimension: Annotated[int, Field(ge=2, le=3)]
    nodes: Annotated[int, Field(ge=3, le=1 << 24)]
    cells: _Count
    facets: _Count
    cell_fields: tuple[_Name, ...]
    parts: dict[_Name, Literal["dirichlet", "neumann"]]

    @classmethod
    def of(cls, mesh: Mesh, cell_fields: tuple[str, ...], parts: dict[str, Any]) -> MeshEntry:
        return cls(
            file=mesh.name,
            sha256=mesh.digest,
            dimension=mesh.dimension,
            nodes=len(mesh.points),
            cells=len(mesh.cells),
            facets=len(mesh.facets),
            cell_fields=cell_fields,
            parts=parts,
        )

    def place(self, name: str) -> str:
        """The axis of a field: "cell" or "node"."""
        return "cell" if name in self.cell_fields else "node"

    def shape_of(self, name: str) -> tuple[int, ...]:
        return (self.cells if self.place(name) == "cell" else self.nodes,)

    def scales(self) -> dict[str, np.ndarray]:
        """Every axis of fields and of ``/mesh``, counted from 0."""
        d = self.dimension
        lengths = {"node": self.nodes, "cell": self.cells, "facet": self.facets, "coordinate": d, "cell_corner": d + 1, "facet_corner": d}
        return {name: np.arange(length) for name, length in lengths.items()}

    def arrays(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Datasets of ``/mesh``: type and axes."""
        return {
            "points": ("float64", ("node", "coordinate")),
            "cells": ("int64", ("cell", "cell_corner")),
            "facets": ("int64", ("facet", "facet_corner")),
            "facet_parts": ("int64", ("facet",)),
        }

    @property
    def stored_bytes(self) -> int:
        """Size of ``/mesh`` and its scales; every number takes eight bytes."""
        length = {name: len(values) for name, values in self.scales().items()}
        return 8 * (sum(length.values()) + sum(math.prod(length[axis] for axis in axes) for _, axes in self.arrays().values()))

    def attributes(self) -> dict[str, Any]:
        """Of the group ``/mesh``."""
        names = np.array(list(self.parts), dtype=h5py.string_dtype())
        return {"part_names": names, "cell_type": "triangle" if self.dimension == 2 else "tetra", "sha256": self.sha256}


def write_mesh(file: h5py.File, mesh: Mesh) -> None:
    """Fill the datasets of ``/mesh``."""
    for name, values in _values(mesh).items():
        file[f"mesh/{name}"][...] = values


def read_mesh(file: h5py.File, entry: MeshEntry) -> Mesh:
    """The mesh of an open shard, checked like one from a file, and against its digest in the manifest; raises DatasetError."""
    stored = _stored(file, entry)
    parts = {name: stored.facets[stored.facet_parts == number] for number, name in enumerate(entry.parts)}
    try:
        mesh = Mesh.build(stored.points, stored.cells, parts, name=entry.file)
    except MeshError as error:
        raise DatasetError(f"{file.filename} holds a damaged mesh ({error}): generate the dataset again") from None
    if mesh.digest != entry.sha256:
        raise DatasetError(f"{file.filename} holds another mesh than the manifest describes: generate the dataset again")
    return mesh


def problems(file: h5py.File, entry: MeshEntry) -> list[str]:
    """What is wrong with ``/mesh`` of an open shard whose datasets have the right shapes; empty where nothing is."""
    if _stored(file, entry).digest != entry.sha256 or str(read_attribute(file["mesh"], "sha256")) != entry.sha256:
        return ["group mesh does not have the SHA-256 that the manifest says"]
    return []


def _stored(file: h5py.File, entry: MeshEntry) -> Mesh:
    """The mesh as it is in the file, unchecked."""
    points, cells, facets, facet_parts = (np.asarray(file[f"mesh/{name}"][()]) for name in entry.arrays())
    return Mesh(points, cells, facets, facet_parts, tuple(entry.parts), entry.file)


def _values(mesh: Mesh) -> dict[str, np.ndarray]:
    return {"points": mesh.points, "cells": mesh.cells, "facets": mesh.facets, "facet_parts": mesh.facet_parts}
