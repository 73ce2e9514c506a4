"""Read a mesh of triangles or tetrahedra from a Gmsh or VTU file, through meshio, as if the file came from a stranger."""

from __future__ import annotations

import contextlib
import io
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sciml.errors import MeshError
from sciml.mesh.mesh import Mesh

_LARGEST_FILE = 512 << 20
#: What reading may add to the process: files are parsed through Python lists and decompressed, forged counts ask for far more.
_MEMORY = 512 << 20
_MEMORY_PER_BYTE = 40
_SURFACES = {".stl", ".obj", ".ply", ".off"}
_DIMENSIONS = {"vertex": 0, "line": 1, "triangle": 2, "tetra": 3}
#: A node may leave the plane of a flat mesh by this share of the mesh's size.
_FLATNESS = 1e-9
_REMEDY = "export it again as a Gmsh .msh (4.1 or 2.2) or a .vtu file of linear triangles or tetrahedra"


def read_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Read and check a mesh.

    Triangles in a plane z = const make a mesh in two dimensions, tetrahedra one in three. Edges (triangles) in a physical group of
    Gmsh form the boundary part of that name, or ``physical_<number>`` where it has none; what is in no group is ``boundary``.

    Parameters
    ----------
    path : a ``.msh`` or ``.vtu`` file.

    Raises
    ------
    MeshError
        A missing, foreign or damaged file, a surface, cells other than linear simplices, or a mesh that `Mesh.build` refuses.
    """
    path = Path(path)
    _refuse_odd_files(path)
    raw = _through_meshio(path)
    name = path.name
    blocks = [(str(block.type), np.asarray(block.data)) for block in raw.cells if len(block.data)]
    other = sorted({kind for kind, _ in blocks} - _DIMENSIONS.keys())
    if other:
        raise MeshError(f"mesh {name!r} has {other[0][:32]!r} cells: only linear triangles or tetrahedra are supported, {_REMEDY}")
    dimension = max((_DIMENSIONS[kind] for kind, _ in blocks), default=0)
    if dimension < 2:
        raise MeshError(f"mesh {name!r} has neither triangles nor tetrahedra: mesh the domain itself, not only its boundary, and {_REMEDY}")
    points = _in_plane(np.asarray(raw.points, np.float64), name) if dimension == 2 else np.asarray(raw.points, np.float64)
    cells = np.concatenate([data for kind, data in blocks if _DIMENSIONS[kind] == dimension])
    return Mesh.build(points, cells, _parts(raw, dimension - 1), name=name)


def _refuse_odd_files(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _SURFACES:
        raise MeshError(f"mesh {path.name!r} is a surface: an equation needs the volume inside it, mesh that and {_REMEDY}")
    if suffix not in (".msh", ".vtu"):
        raise MeshError(f"mesh {path.name!r} ends in {suffix!r}, which is not read: {_REMEDY}")
    try:
        if not path.is_file():
            raise MeshError(f"mesh {str(path)!r} is not a file: check the name")
        size = path.stat().st_size
    except MeshError:
        raise
    except (OSError, ValueError) as error:
        raise MeshError(f"mesh {path.name!r} cannot be opened ({error}): check the name and its permissions") from None
    if size > _LARGEST_FILE:
        raise MeshError(f"mesh {path.name!r} has {size} bytes, more than the {_LARGEST_FILE} that are read: make a coarser mesh")


def _through_meshio(path: Path) -> Any:
    import meshio  # only who reads a mesh pays for it

    try:
        # meshio prints what it thinks and leaves the process where it gives up
        with _bounded_memory(path.stat().st_size), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return meshio.read(path)
    except MemoryError:
        raise MeshError(f"mesh {path.name!r} declares more than a file of its size can hold: {_REMEDY}") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever bytes from a stranger make a parser raise
        if "Incompatible cell data 'gmsh:physical'" in str(error):
            what = f"mesh {path.name!r} has elements in no physical group beside others that are in one"
            raise MeshError(f"{what}: put every curve, surface or volume that is saved into one, or save without Mesh.SaveAll") from None
        reason = "meshio gives up" if isinstance(error, SystemExit) else f"{type(error).__name__} while reading"
        raise MeshError(f"mesh {path.name!r} is truncated, foreign or damaged ({reason}): {_REMEDY}") from None


@contextlib.contextmanager
def _bounded_memory(file_bytes: int) -> Iterator[None]:
    """Let the address space grow by what an honest file of this size can need, and no further."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + _MEMORY + _MEMORY_PER_BYTE * file_bytes
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _in_plane(points: np.ndarray, name: str) -> np.ndarray:
    """Plane coordinates of points whose z is constant."""
    if points.ndim != 2 or points.shape[1] < 3:
        return points
    z = points[:, 2]
    if np.isfinite(points).all() and np.ptp(z) > _FLATNESS * np.ptp(points[:, :2], axis=0).max():
        raise MeshError(f"mesh {name!r} is a curved or tilted surface of triangles: turn it into the plane z = const, or mesh a volume")
    return points if not np.isfinite(z).all() else points[:, :2]


def _parts(raw: Any, dimension: int) -> dict[str, np.ndarray]:
    """Facets of every physical group of this dimension, by name."""
    groups = {str(key): np.asarray(value) for key, value in raw.field_data.items()}
    names = {int(value[0]): key for key, value in groups.items() if value.shape == (2,) and value[1] == dimension}
    numbers = raw.cell_data.get("gmsh:physical")
    parts: dict[str, list[np.ndarray]] = {}
    for index, block in enumerate(raw.cells):
        if _DIMENSIONS.get(block.type) != dimension or not len(block.data):
            continue
        data = np.asarray(block.data)
        sets = {name: raw.cell_sets[name][index] for name in names.values() if name in raw.cell_sets}
        for name, members in sets.items():  # Gmsh 4.1 keeps every group of an entity here, and one of them in the numbers
            parts.setdefault(name, []).append(data[np.asarray(members, np.int64)])
        if numbers is not None:
            for number in np.unique(numbers[index]).tolist():
                name = names.get(number, f"physical_{number}")
                if number and name not in sets:
                    parts.setdefault(name, []).append(data[np.asarray(numbers[index]) == number])
    return {name: np.concatenate(rows) for name, rows in parts.items()}
