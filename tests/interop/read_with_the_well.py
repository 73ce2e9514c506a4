"""Read training splits with The Well's own reader, every warning an error: pairs of (file to write, dataset)."""

import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
from the_well.data import WellDataset
from the_well.data.normalization import ZScoreNormalization


def read(path: str) -> dict[str, np.ndarray]:
    with h5py.File(next(Path(path).glob("data/train/*.hdf5"))) as file:
        times = file["dimensions/time"][()]
    options = {"path": path, "well_split_name": "train", "n_steps_input": 0, "n_steps_output": len(times), "return_grid": True}
    data = WellDataset(**options)
    normalised = WellDataset(**options, use_normalization=True, normalization_type=ZScoreNormalization)
    samples = [data[index] for index in range(len(data))]
    values = {name: np.stack([sample[name].numpy() for sample in samples]) for name in samples[0]}
    return values | {
        "normalised": np.stack([normalised[index]["output_fields"].numpy() for index in range(len(data))]),
        "variable_names": np.array(data.metadata.field_names[0]),
        "constant_names": np.array(data.metadata.constant_field_names[0]),
        "scalar_names": np.array(data.metadata.constant_scalar_names),
        "shape": np.array(data.metadata.spatial_resolution),
        "files": np.array(data.metadata.n_files),
    }


warnings.simplefilter("error")
for out, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    np.savez(out, **read(path))
