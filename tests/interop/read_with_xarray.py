"""Read shards as xarray datatrees, every warning an error: pairs of (file to write, shard)."""

import sys
import warnings

import numpy as np
import xarray


def read(path: str) -> dict[str, np.ndarray]:
    """Values of all variables and coordinates; names of dimensions as ``<name>_dims``."""
    values = {}
    with warnings.catch_warnings(action="error"), xarray.open_datatree(path, engine="h5netcdf") as tree:
        for group in ("t0_fields", "scalars", "provenance"):
            for name, variable in tree[group].data_vars.items():
                values[name] = variable.values
                values[f"{name}_dims"] = np.array(variable.dims)
        for name, coordinate in tree["t0_fields"].coords.items():
            values[f"coordinate_{name}"] = coordinate.values
    return values


warnings.simplefilter("ignore")  # np.savez drops the netCDF metadata of text types, and says so
for out, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    np.savez(out, **read(path))
