"""Read .vtkhdf files with VTK's reader: pairs of (file to write, image)."""

import sys

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def read(path: str) -> dict[str, np.ndarray]:
    reader = vtk.vtkHDFReader()
    reader.SetFileName(path)
    reader.Update()
    image = reader.GetOutput()
    values = {"dimensions": image.GetDimensions(), "bounds": image.GetBounds(), "kind": image.GetClassName()}
    for data in (image.GetCellData(), image.GetFieldData()):
        for index in range(data.GetNumberOfArrays()):
            values[data.GetArrayName(index)] = vtk_to_numpy(data.GetArray(index))
    # Where VTK itself places one cell, so that the order of the axes is not a matter of belief.
    cell = image.GetNumberOfCells() // 3
    box = image.GetCell(cell).GetBounds()
    centre = [(low + high) / 2 for low, high in zip(box[::2], box[1::2], strict=True)]
    return {name: np.array(value) for name, value in values.items()} | {"cell": np.array(cell), "centre": np.array(centre)}


for out, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    np.savez(out, **read(path))
