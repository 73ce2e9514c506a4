"""The Well's own reader on one of our datasets; a script for the interop environment, which alone has it.

``python the_well_loader.py DATA PASSES OUT.npz`` prints processor and wall seconds per sample of every pass as JSON, and leaves the
values of all training samples in OUT.npz.
"""

import json
import sys
import time
import warnings
from importlib import metadata

import numpy as np
from the_well.data import WellDataset


def main(path: str, passes: int, out: str) -> None:
    """Read every training sample `passes` times in shuffled order; the first pass also opens the files."""
    data = WellDataset(path=path, well_split_name="train", n_steps_input=0, n_steps_output=1)
    rng = np.random.default_rng(0)
    processor, wall = [], []
    for _ in range(passes):
        order = [int(index) for index in rng.permutation(len(data))]
        began, clock = time.process_time(), time.perf_counter()
        for index in order:
            data[index]
        processor.append((time.process_time() - began) / len(order))
        wall.append((time.perf_counter() - clock) / len(order))
    samples = [data[index] for index in range(len(data))]
    inputs, outputs = (np.stack([sample[name].numpy() for sample in samples]) for name in ("constant_fields", "output_fields"))
    np.savez(out, constant_fields=inputs, output_fields=outputs)
    sys.stdout.write(json.dumps({"processor": processor, "wall": wall, "version": metadata.version("the_well")}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
