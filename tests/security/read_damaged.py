"""Read damaged copies of a dataset; run by test_hdf5_guard.py. Prints how many reads gave right values, wrong ones, or a sentence."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from sciml import open_dataset
from sciml.data.info import describe
from sciml.data.verify import verify
from sciml.errors import DatasetError

FIRST = "data/train/shard-00000.hdf5"


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One byte, twenty bytes, or 64 in a row replaced, or the end cut off."""
    changed = bytearray(content)
    kind = rng.integers(4)
    if kind == 0:
        changed[rng.integers(len(changed))] = rng.integers(256)
    elif kind == 1:
        for place in rng.integers(len(changed), size=20):
            changed[place] = rng.integers(256)
    elif kind == 2:
        place = int(rng.integers(len(changed) - 64))
        changed[place : place + 64] = rng.bytes(64)
    else:
        del changed[rng.integers(len(changed)) :]
    return bytes(changed)


def peak_megabytes() -> float:
    """Largest resident size of this program; getrusage would count the process that started it as well."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


def main(sound: Path, scratch: Path, rounds: int) -> None:
    root = Path(shutil.copytree(sound, scratch / "damaged"))
    content = (root / FIRST).read_bytes()
    truth = {name: open_dataset(sound).field(name) for name in ("permeability", "pressure")}
    count = {"right": 0, "wrong": 0, "refused": 0}
    for seed in range(rounds):
        (root / FIRST).write_bytes(damaged(content, np.random.default_rng(seed)))
        verify(root)
        for name, values in truth.items():
            try:
                found = open_dataset(root).field(name)
                open_dataset(root).provenance(2)
                describe(root)
            except DatasetError:
                count["refused"] += 1
            else:
                count["right" if np.array_equal(found, values) else "wrong"] += 1
    sys.stdout.write(json.dumps(count | {"megabytes": peak_megabytes()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
