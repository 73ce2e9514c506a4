"""Open an HDF5 file from a stranger without letting it read other files, run plugins or ask for absurd memory.

HDF5 can point outside the file (soft and external links, virtual datasets, external storage), declare terabytes in a few
kilobytes, name filters that are loaded as plugins, and link a group into itself. Nothing that this package writes does any of
it, so every such file is refused before a value is read. ``h5py.visit`` does not show soft and external links, hence the walk
over links.
"""

from __future__ import annotations

import contextlib
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from sciml.errors import DatasetError

_FILTERS = {h5py.h5z.FILTER_DEFLATE: "gzip", h5py.h5z.FILTER_SHUFFLE: "shuffle", h5py.h5z.FILTER_FLETCHER32: "fletcher32"}
_MAX_DEPTH = 8
_MAX_OBJECTS = 2_000
_MAX_RANK = 8
#: Deflate cannot shrink by more than 1032 : 1.
_MAX_DEFLATE_RATIO = 1032
#: Declared size that needs no stored bytes behind it.
_FREE_BYTES = 1 << 20
#: What HDF5 and h5py raise on bytes that make no sense to them.
_BROKEN = (OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError)


def open_guarded(path: Path, *, root: Path | None = None) -> h5py.File:
    """Open `path` for reading after every link and dataset in it was looked at.

    Parameters
    ----------
    path : the file.
    root : folder that the file, with symbolic links resolved, has to lie in; None allows any place.

    Raises
    ------
    DatasetError
        The file is missing, truncated, no HDF5, outside `root`, or uses a feature that could reach outside the file.
    """
    _refuse_odd_files(path, root)
    with reading(path):
        # No cache of chunks: a chunk is one sample, which HDF5 would keep without being asked for it again, 8 MiB a dataset of each file.
        file = h5py.File(path, "r", locking=False, rdcc_nbytes=0)
        try:
            _walk(file, path)
        except BaseException:
            file.close()
            raise
    return file


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a truncated, foreign or damaged file makes HDF5 raise into a DatasetError."""
    try:
        yield
    except DatasetError:
        raise
    except PermissionError as error:
        raise unreadable(path, error) from None
    except _BROKEN as error:
        raise DatasetError(f"{path} is truncated, foreign or damaged ({_reason(error)}): make it again") from None


def unreadable(path: Path, error: OSError) -> DatasetError:
    """For a file that the system does not let be read, which says nothing about what is in it."""
    return DatasetError(f"{path} cannot be read ({os.strerror(error.errno or 0)}): check its permissions")


def _refuse_odd_files(path: Path, root: Path | None) -> None:
    try:
        resolved = path.resolve(strict=True)
        mode = resolved.stat().st_mode
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError(f"{path} cannot be opened ({_reason(error)}): check the name and its permissions") from None
    if root is not None and not resolved.is_relative_to(root.resolve()):
        raise DatasetError(f"{path} leads to {resolved}, outside {root}: copy the file into the dataset instead of linking it")
    if not stat.S_ISREG(mode):
        raise DatasetError(f"{path} is not a regular file: give an HDF5 file")


def read_attribute(item: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute's value, None where there is none; one of absurd size is refused before memory is set aside for it."""
    if name not in item.attrs:
        return None
    attribute = item.attrs.get_id(name)
    if math.prod(attribute.shape) * attribute.dtype.itemsize > _FREE_BYTES:
        raise DatasetError(f"attribute {name} of {item.name} declares {attribute.shape} values: the file is forged, make it again")
    return item.attrs[name]


def _walk(file: h5py.File, path: Path) -> None:
    """Look at every object that hard links reach, each group once; refuse every other kind of link."""
    file_bytes = path.stat().st_size
    groups: list[tuple[h5py.Group, int]] = [(file, 0)]
    seen = {_address(file)}
    objects = 0
    while groups:
        group, depth = groups.pop()
        for name in group:
            objects += 1
            where = f"{path}: {group.name.rstrip('/')}/{name}"
            if objects > _MAX_OBJECTS or depth > _MAX_DEPTH:
                raise DatasetError(f"{where} is object {objects} at depth {depth}, more than a dataset has: do not use this file")
            item = _hard_linked(group, name, where)
            if isinstance(item, h5py.Dataset):
                _refuse_odd_dataset(item, where, file_bytes)
            elif _address(item) in seen:
                raise DatasetError(f"{where} links back to a group that was seen before: do not use this file")
            else:
                seen.add(_address(item))
                groups.append((item, depth + 1))


def _hard_linked(group: h5py.Group, name: str, where: str) -> h5py.Group | h5py.Dataset:
    if group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type != h5py.h5l.TYPE_HARD:
        raise DatasetError(f"{where} is a soft or external link, which could read other files: do not use this file")
    item = group[name]
    if not isinstance(item, (h5py.Group, h5py.Dataset)):
        raise DatasetError(f"{where} is a {type(item).__name__}, neither a group nor a dataset: do not use this file")
    return item


def _refuse_odd_dataset(dataset: h5py.Dataset, where: str, file_bytes: int) -> None:
    settings = dataset.id.get_create_plist()
    if settings.get_external_count() or dataset.is_virtual:
        raise DatasetError(f"{where} keeps its values in other files (external or virtual storage): do not use this file")
    if dataset.dtype.kind not in "biufS" or dataset.dtype.hasobject:
        raise DatasetError(f"{where} has values of type {dataset.dtype}, not numbers or fixed text: do not use this file")
    if dataset.shape is None or len(dataset.shape) > _MAX_RANK:
        raise DatasetError(f"{where} has shape {dataset.shape}: do not use this file")
    filters = [settings.get_filter(index)[0] for index in range(settings.get_nfilters())]
    if not _FILTERS.keys() >= set(filters):
        raise DatasetError(f"{where} needs filters {filters}, of which only {list(_FILTERS.values())} are read: repack it without them")
    # What is stored cannot be more than there is, whatever the file says about it.
    stored = min(dataset.id.get_storage_size(), file_bytes) * (_MAX_DEFLATE_RATIO if h5py.h5z.FILTER_DEFLATE in filters else 1)
    declared = max(math.prod(dataset.shape), math.prod(dataset.chunks or ())) * dataset.dtype.itemsize
    if declared > stored + _FREE_BYTES:
        raise DatasetError(f"{where} declares {declared} bytes and the file stores at most {stored}: it is forged, make it again")


def _address(item: h5py.Group | h5py.Dataset) -> int:
    return int(h5py.h5o.get_info(item.id).addr)


def _reason(error: BaseException) -> str:
    """The library's own words on one line."""
    return " ".join(str(error).split()) or type(error).__name__
