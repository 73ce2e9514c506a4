"""Read arrays from an .npz file that nobody vouches for: no pickles, no sizes beyond what the file holds, one clear sentence."""

from __future__ import annotations

import difflib
import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from sciml.errors import DatasetError

_BROKEN = (OSError, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays `names` of an .npz file, of a boolean, integer or real type.

    Raises
    ------
    DatasetError
        No such file, no .npz, no such array (the nearest name is offered), pickled objects, or a damaged archive.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is not a file: give an .npz file made by numpy.savez")
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _member(archive, path, name) for name in names}
    except DatasetError:
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path} is not a readable .npz file ({reason}): write it again with numpy.savez") from None


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> np.ndarray:
    known = [item.removesuffix(".npy") for item in archive.namelist() if item.endswith(".npy")]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0)
        hint = f"did you mean {close[0]!r}? It holds {', '.join(sorted(known)[:10])}" if close else "it holds no array"
        raise DatasetError(f"{path} has no array {name!r}: {hint}")
    info = archive.getinfo(name + ".npy")
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        if dtype.hasobject:
            raise DatasetError(f"array {name!r} of {path} holds pickled objects, which could run code: save it as a plain numeric array")
        if dtype.kind not in "biuf":
            raise DatasetError(f"array {name!r} of {path} has values of type {dtype}: give real numbers, integers or booleans")
        declared, there = math.prod(shape) * dtype.itemsize, info.file_size - stream.tell()
        if declared != there:
            raise DatasetError(f"array {name!r} of {path} declares {declared} bytes and {there} are there: write the file again")
        values = np.frombuffer(stream.read(), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise ValueError(f"array format {version} is not known")
