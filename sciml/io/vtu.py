"""A sample on a mesh as a VTU file, which ParaView, VTK and meshio read."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import meshio
import numpy as np

from sciml.data.loader import Dataset
from sciml.errors import DatasetError


def unstructured(dataset: Dataset, sample: Mapping[str, np.ndarray]) -> bytes:
    """The file's bytes: nodal fields as point data, cellwise ones as cell data; numbers are repeated on every cell.

    Raises
    ------
    DatasetError
        The dataset is on a grid.
    """
    mesh, entry = dataset.mesh, dataset.manifest.mesh
    if mesh is None or entry is None:
        raise DatasetError(f"dataset {dataset.name!r} is on a grid: export it as .vtkhdf")
    on_nodes = {name: value for name, value in sample.items() if value.ndim and entry.place(name) == "node"}
    on_cells = {name: [np.broadcast_to(value, (entry.cells,)).copy()] for name, value in sample.items() if name not in on_nodes}
    points = np.pad(mesh.points, ((0, 0), (0, 3 - mesh.dimension)))
    kind = "triangle" if mesh.dimension == 2 else "tetra"
    file = meshio.Mesh(points, [(kind, mesh.cells)], point_data=on_nodes, cell_data=on_cells)
    with tempfile.TemporaryDirectory() as folder:  # meshio writes files only
        path = Path(folder) / "sample.vtu"
        file.write(path)
        return path.read_bytes()
