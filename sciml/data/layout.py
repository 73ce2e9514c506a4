"""What one shard looks like inside: The Well's layout, netCDF dimension scales and ``/provenance``.

The tables here are used three ways: to create a shard, to recognise one that was interrupted, and to check one that came from
elsewhere. The layout is the data format of The Well (https://polymathic-ai.org/the_well/data_format) with three additions:

* a steady problem has one time level, an evolving one those at which it was looked at; outputs carry them and inputs do not, so
  that The Well's reader hands the inputs out as ``constant_fields`` (with ``n_steps_input=0``);
* every axis has a dimension scale, a dataset in the root that ``/dimensions`` links to: xarray then shows named dimensions
  (with scales inside ``/dimensions`` h5netcdf does not find them, and it refuses variables with only some axes named);
* an axis along which a field does not vary is dropped where it comes first and kept with length one elsewhere, since The
  Well's reader (1.2.0) tiles from the right.

On a mesh the axes of space are "node" and "cell", see `sciml.data.mesh_part`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from sciml.data import mesh_part
from sciml.data.guard import read_attribute
from sciml.data.manifest import Manifest, ShardEntry, Split, shard_path, side_axis
from sciml.mesh.mesh import Mesh

_STEADY = {"sample_varying": np.True_, "time_varying": np.False_}
_EVOLVING = {"sample_varying": np.True_, "time_varying": np.True_}
#: The Well's names for sides that are no walls.
_PLACES = {"periodic": "periodic", "open": "open"}
_FIXED = {"sample_varying": np.False_, "time_varying": np.False_}

#: Per sample, beside its values: name -> (dtype, further axes).
PROVENANCE = {
    "seed_words": ("uint64", ("seed_word",)),
    "index": ("int64", ()),
    "relative_residual": ("float64", ()),
    "iterations": ("int64", ()),
    "method": ("S32", ()),
    "solve_seconds": ("float64", ()),
    "sha256": ("S64", ()),
    "complete": ("uint8", ()),
}
#: Beside these where samples recycle: what a step costs differs there from sample to sample.
PRODUCTS = {"matvecs": ("int64", ()), "preconditioner_applications": ("int64", ())}


@dataclass(frozen=True)
class Slot:
    """A dataset of a shard. `chunked` ones store one sample a chunk with a Fletcher-32 checksum; `values` are written at once."""

    path: str
    dims: tuple[str, ...]
    dtype: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    chunked: bool = False
    values: np.ndarray | None = None


@dataclass(frozen=True)
class ShardLayout:
    """Samples ``start`` to ``start + samples - 1`` of `split` in the dataset that `manifest` describes."""

    manifest: Manifest
    split: Split
    start: int
    samples: int

    @property
    def path(self) -> str:
        """Where the finished shard lies, relative to the dataset folder."""
        return shard_path(self.split, self.start // self.manifest.shard_samples)

    def entry(self, sha256: str) -> ShardEntry:
        """What the manifest says about the finished shard."""
        return ShardEntry(path=self.path, split=self.split, start=self.start, samples=self.samples, sha256=sha256)

    def location(self, name: str) -> str:
        """Path inside the file of an input, output or scalar."""
        return f"scalars/{name}" if name in self.manifest.scalars else f"t0_fields/{name}"

    def scales(self) -> dict[str, np.ndarray]:
        """Coordinate along every axis that occurs; cell centres in space."""
        manifest = self.manifest
        scales = {"trajectory": self.start + np.arange(self.samples), "time": np.array(manifest.times or (0.0,), manifest.dtype)}
        if manifest.mesh is not None:
            scales |= manifest.mesh.scales()
        else:
            for axis, n, extent, origin in zip(manifest.axes, manifest.shape, manifest.extent, manifest.origin, strict=True):
                scales[axis] = (origin + (np.arange(n) + 0.5) * (extent / n)).astype(manifest.dtype)
        scales["seed_word"] = np.arange(4)
        if any("side" in self.field_dims(name) for name in manifest.inputs):
            scales["side"] = np.zeros(1, manifest.dtype)
        return scales

    def space(self, name: str) -> tuple[str, ...]:
        """Axes of space of a field that is not on a side."""
        mesh = self.manifest.mesh
        return self.manifest.axes if mesh is None else (mesh.place(name),)

    @property
    def provenance(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Columns of ``/provenance``, as in `PROVENANCE`."""
        return {**PROVENANCE, **(PRODUCTS if self.manifest.recycles else {})}

    def field_dims(self, name: str) -> tuple[str, ...]:
        """Axes of the dataset of an input or output as stored."""
        axes = self.space(name)
        if name in self.manifest.outputs:
            return ("trajectory", "time", *axes)
        side = side_axis(name, axes)
        if side is None:
            return ("trajectory", *axes)
        return ("trajectory", *axes[:side], *(("side",) if side else ()), *axes[side + 1 :])

    def slots(self) -> Iterator[Slot]:
        """Every dataset except the scales."""
        manifest = self.manifest
        for name in (*manifest.inputs, *manifest.outputs):
            axes = self.space(name)
            varies = [index != side_axis(name, axes) for index in range(len(axes))]
            kind = _EVOLVING if name in manifest.outputs else _STEADY
            attributes = {**kind, "dim_varying": np.array(varies), "units": manifest.units.get(name, "")}
            yield Slot(f"t0_fields/{name}", self.field_dims(name), manifest.dtype, attributes, chunked=True)
        for name in manifest.scalars:
            attributes = {**_STEADY, "units": manifest.units.get(name, "")}
            yield Slot(f"scalars/{name}", ("trajectory",), manifest.dtype, attributes)
        for group, axis, ends, _ in self.boundaries():
            mask = np.zeros(manifest.shape[manifest.axes.index(axis)], bool)
            mask[list(ends)] = True
            yield Slot(f"boundary_conditions/{group}/mask", (axis,), "bool", _FIXED, values=mask)
        if manifest.mesh is not None:
            for name, (dtype, axes) in manifest.mesh.arrays().items():
                yield Slot(f"mesh/{name}", axes, dtype)
        for name, (dtype, axes) in self.provenance.items():
            yield Slot(f"provenance/{name}", ("trajectory", *axes), dtype)

    def boundaries(self) -> Iterator[tuple[str, str, tuple[int, ...], str]]:
        """(group, axis, ends of the axis, kind) per boundary condition. The Well knows no Neumann side: both kinds are WALL."""
        for axis, (low, high) in zip(self.manifest.axes, self.manifest.boundary or (), strict=False):
            if low == high == "periodic":
                yield f"{axis}_periodic", axis, (0, -1), "periodic"
            else:
                yield f"{axis}_{_PLACES.get(low, 'wall')}_low", axis, (0,), low
                yield f"{axis}_{_PLACES.get(high, 'wall')}_high", axis, (-1,), high

    def groups(self) -> dict[str, dict[str, Any]]:
        """Attributes per group."""
        manifest = self.manifest
        groups: dict[str, dict[str, Any]] = {
            "/": {
                "dataset_name": manifest.name,
                "grid_type": "cartesian" if manifest.mesh is None else "unstructured",
                "n_spatial_dims": len(manifest.axes),
                "n_trajectories": self.samples,
                "simulation_parameters": _strings(()),
                "dtype": manifest.dtype,
            },
            "dimensions": {"spatial_dims": _strings(manifest.axes)},
            "boundary_conditions": {},
            "scalars": {"field_names": _strings(manifest.scalars)},
            "t0_fields": {"field_names": _strings((*manifest.inputs, *manifest.outputs))},
            "t1_fields": {"field_names": _strings(())},
            "t2_fields": {"field_names": _strings(())},
            "provenance": {"identity": manifest.identity, "seed": manifest.seed, "split": self.split, "start": self.start},
        }
        if manifest.mesh is not None:
            groups["mesh"] = manifest.mesh.attributes()
        for group, axis, _, kind in self.boundaries():
            groups[f"boundary_conditions/{group}"] = {
                **_FIXED,
                "associated_dims": _strings((axis,)),
                "associated_fields": _strings(()),
                "bc_type": _PLACES.get(kind, "wall").upper(),
                "condition": kind,
            }
        return groups


def create(file: h5py.File, layout: ShardLayout, notes: Mapping[str, str], mesh: Mesh | None = None) -> None:
    """Write everything of a shard but its samples; `notes` become attributes of ``/provenance``."""
    for name, values in layout.scales().items():
        file.create_dataset(name, data=values).make_scale(name)
        file[name].attrs.update(_EVOLVING | {"sample_varying": np.False_} if name == "time" else _FIXED)
    for name, attributes in layout.groups().items():
        file.require_group(name).attrs.update(attributes)
    for name in ("time", *(layout.manifest.axes if mesh is None else ("node", "cell"))):
        file[f"dimensions/{name}"] = file[name]
    for slot in layout.slots():
        _create_slot(file, slot)
    if mesh is not None:
        mesh_part.write_mesh(file, mesh)
    file["provenance"].attrs.update(notes)


def _create_slot(file: h5py.File, slot: Slot) -> None:
    shape = tuple(file[dim].shape[0] for dim in slot.dims)
    chunks = (1, *shape[1:]) if slot.chunked else None
    # Every byte is claimed now: a disk that is too full shows before a sample is stored, and later writes change no structure.
    claimed = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    claimed.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    options = {"chunks": chunks, "fletcher32": slot.chunked or None, "dcpl": claimed}
    dataset = file.create_dataset(slot.path, shape, slot.dtype, data=slot.values, **options)
    dataset.attrs.update(slot.attributes)
    for axis, dim in zip(dataset.dims, slot.dims, strict=True):
        axis.attach_scale(file[dim])


def problems(file: h5py.File, layout: ShardLayout) -> list[str]:
    """Departures of an open shard from `layout`, as sentences; empty when there are none."""
    found = []
    for name, attributes in layout.groups().items():
        if not isinstance(file.get(name), h5py.Group):
            found.append(f"group {name} is missing")
        else:
            found += _wrong_attributes(file[name], attributes)
    scales = layout.scales()
    expected = [Slot(name, (name,), str(values.dtype), values=values) for name, values in scales.items()]
    for slot in (*expected, *layout.slots()):
        dataset = file.get(slot.path)
        shape = tuple(len(scales[dim]) for dim in slot.dims)
        if not isinstance(dataset, h5py.Dataset):
            found.append(f"dataset {slot.path} is missing")
        elif dataset.shape != shape or dataset.dtype != np.dtype(slot.dtype):
            found.append(f"dataset {slot.path} has shape {dataset.shape} of {dataset.dtype} instead of {shape} of {slot.dtype}")
        else:
            found += _wrong_attributes(dataset, slot.attributes)
            if slot.values is not None and not np.array_equal(dataset[()], slot.values):
                found.append(f"dataset {slot.path} has unexpected values")
    if layout.manifest.mesh is not None and not found:
        found += mesh_part.problems(file, layout.manifest.mesh)
    return found


def _wrong_attributes(item: h5py.Group | h5py.Dataset, attributes: Mapping[str, Any]) -> list[str]:
    found = {name: read_attribute(item, name) for name in attributes}
    return [
        f"attribute {name} of {item.name} is {str(found[name])[:60]} instead of {value}"
        for name, value in attributes.items()
        if not np.array_equal(found[name], value)
    ]


def _strings(names: Sequence[str]) -> np.ndarray:
    """Names as the variable-length strings that The Well's reader expects of attributes (empty lists included)."""
    return np.array(names, dtype=h5py.string_dtype())
