"""Read .vtkhdf files with VTK's reader: pairs of (file to write, image)."""

import sys

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def arrays(image: vtk.vtkImageData) -> dict[str, np.ndarray]:
    """Cell and field data by name."""
    both = (image.GetCellData(), image.GetFieldData())
    return {data.GetArrayName(index): vtk_to_numpy(data.GetArray(index)) for data in both for index in range(data.GetNumberOfArrays())}


def read(path: str) -> dict[str, np.ndarray]:
    reader = vtk.vtkHDFReader()
    reader.SetFileName(path)
    reader.Update()
    image = reader.GetOutput()
    values = {"dimensions": image.GetDimensions(), "bounds": image.GetBounds(), "kind": image.GetClassName()}
    values |= arrays(image)
    steps = reader.GetNumberOfSteps() if reader.GetHasTemporalData() else 0
    if steps:
        key = vtk.vtkStreamingDemandDrivenPipeline.TIME_STEPS()
        values["times"] = reader.GetOutputInformation(0).Get(key)
        found = []
        for step in range(steps):
            reader.SetStep(step)
            reader.Update()
            found.append({name: array.copy() for name, array in arrays(reader.GetOutput()).items()})
        values |= {f"{name}_series": np.stack([arrays[name] for arrays in found]) for name in found[0]}
    # Where VTK itself places one cell, so that the order of the axes is not a matter of belief.
    cell = image.GetNumberOfCells() // 3
    box = image.GetCell(cell).GetBounds()
    centre = [(low + high) / 2 for low, high in zip(box[::2], box[1::2], strict=True)]
    return {name: np.array(value) for name, value in values.items()} | {"cell": np.array(cell), "centre": np.array(centre)}


for out, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    np.savez(out, **read(path))
