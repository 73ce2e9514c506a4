"""A sample on a grid as VTKHDF image data, which ParaView and VTK open without a plugin.

The format (https://docs.vtk.org/en/latest/vtk_file_formats/vtkhdf_file_format/index.html) stores images with x running fastest,
so that arrays are transposed to ``(nz, ny, nx)``; a plane has two axes only. Values belong to cells here as they do in the solver.
Several times go in front of these axes, with a ``Steps`` group that says when they are; the three components of a vector come last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import h5py
import numpy as np

from sciml.data.loader import Dataset
from sciml.errors import DatasetError

_VERSION = (2, 0)


def image(dataset: Dataset, sample: Mapping[str, np.ndarray]) -> bytes:
    """The file's bytes: grid fields become cell data under their own names; side fields and scalars become field data.

    Fields that are the components of one, such as ``velocity_x`` and ``velocity_y``, become a vector ``velocity``, which is 0 along z in a
    plane.

    Outputs at several times make a time series, in which the inputs stay. The bytes are made in memory: HDF5 ends the process where a
    disk fills up under it.

    Raises
    ------
    DatasetError
        A grid that is neither a plane nor a box.
    """
    if len(dataset.shape) not in (2, 3):
        what = f"{dataset.root} has a grid of one axis, and a VTK image is a plane or a box"
        raise DatasetError(f"{what}: read it with sciml.open_dataset or xarray, and draw it as a curve")
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        _write(file.create_group("VTKHDF"), dataset, sample)
        file.flush()
        content: bytes = file.id.get_file_image()
    return content


def _write(root: h5py.Group, dataset: Dataset, sample: Mapping[str, np.ndarray]) -> None:
    flat = 3 - len(dataset.shape)
    cells = np.array((*dataset.shape, *(0,) * flat))
    spacing = [extent / n for extent, n in zip(dataset.extent, dataset.shape, strict=True)]
    root.attrs["Version"] = np.array(_VERSION, np.int64)
    # The reader wants the type as fixed-length ASCII.
    root.attrs.create("Type", np.bytes_("ImageData"), dtype=h5py.string_dtype("ascii", len("ImageData")))
    root.attrs["WholeExtent"] = np.column_stack([np.zeros(3, np.int64), cells]).ravel()
    root.attrs["Origin"] = np.array((*dataset.manifest.origin, *(0.0,) * flat))
    root.attrs["Spacing"] = np.array((*spacing, *(1.0,) * flat))
    root.attrs["Direction"] = np.eye(3).ravel()
    cell_data, field_data = root.create_group("CellData"), root.create_group("FieldData")
    times = dataset.times if dataset.times and len(dataset.times) > 1 else None
    moving = set()
    for name, parts in _vectors_joined(dataset.axes, sample).items():
        own = next(iter(parts))
        if own in dataset.outputs and times:
            moving.add(name)
            cell_data.create_dataset(name, data=_stacked([np.moveaxis(value.T, -1, 0) for value in parts.values()]))
        elif parts[own].shape == dataset.shape:
            cell_data.create_dataset(name, data=_stacked([value.T[None] if times else value.T for value in parts.values()]))
        else:
            field_data.create_dataset(name, data=np.atleast_1d(parts[own]).ravel())
    if times:
        _write_steps(root, times, moving)


def _vectors_joined(axes: Sequence[str], sample: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each name to write: one, or the components of a vector, which are there for all axes and of one shape."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, value in sample.items():
        stem, _, axis = name.rpartition("_")
        names = [f"{stem}_{other}" for other in axes]
        vector = stem and axis in axes and value.ndim >= len(axes) and stem not in sample
        if vector and all(other in sample and sample[other].shape == value.shape for other in names):
            found.setdefault(stem, {other: sample[other] for other in names})
        else:
            found[name] = {name: value}
    return found


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """One field as it is; components of a vector along a last axis, three of them."""
    return parts[0] if len(parts) == 1 else np.stack([*parts, *[np.zeros_like(parts[0])] * (3 - len(parts))], axis=-1)


def _write_steps(root: h5py.Group, times: Sequence[float], moving: Collection[str]) -> None:
    """The times, and for every array at which of its entries a time begins: the same one for what does not change."""
    steps = root.create_group("Steps")
    steps.attrs["NSteps"] = np.int64(len(times))
    steps.create_dataset("Values", data=np.array(times))
    constant, counting = np.zeros(len(times), np.int64), np.arange(len(times))
    for name in root["CellData"]:
        steps.create_dataset(f"CellDataOffsets/{name}", data=counting if name in moving else constant)
    for name, array in root["FieldData"].items():
        steps.create_dataset(f"FieldDataOffsets/{name}", data=constant)
        steps.create_dataset(f"FieldDataSizes/{name}", data=np.tile([1, array.size], (len(times), 1)))
