"""Read samples on meshes: a shard with xarray, a .vtu file with VTK; pairs of (file to write, shard or .vtu)."""

import sys
import warnings

import numpy as np
import vtk
import xarray
from vtk.util.numpy_support import vtk_to_numpy


def by_xarray(path: str) -> dict[str, np.ndarray]:
    values = {}
    with warnings.catch_warnings(action="error"), xarray.open_datatree(path, engine="h5netcdf") as tree:
        for group in ("t0_fields", "mesh"):
            for name, variable in tree[group].data_vars.items():
                values |= {name: variable.values, f"{name}_dims": np.array(variable.dims)}
        values["part_names"] = np.array(tree["mesh"].attrs["part_names"])
    return values


def by_vtk(path: str) -> dict[str, np.ndarray]:
    reader = vtk.vtkXMLUnstructuredGridReader()
    reader.SetFileName(path)
    reader.Update()
    grid = reader.GetOutput()
    corners = [[grid.GetCell(k).GetPointId(i) for i in range(grid.GetCell(k).GetNumberOfPoints())] for k in range(grid.GetNumberOfCells())]
    values = {"points": vtk_to_numpy(grid.GetPoints().GetData()), "cells": np.array(corners)}
    for data in (grid.GetPointData(), grid.GetCellData()):
        values |= {data.GetArrayName(k): vtk_to_numpy(data.GetArray(k)) for k in range(data.GetNumberOfArrays())}
    quality = vtk.vtkCellSizeFilter()
    quality.SetInputData(grid)
    quality.Update()
    values["area"] = vtk_to_numpy(quality.GetOutput().GetCellData().GetArray("Area"))
    return values


for out, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    np.savez(out, **(by_vtk if path.endswith(".vtu") else by_xarray)(path))
