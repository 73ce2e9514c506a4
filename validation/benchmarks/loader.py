"""Reading single samples in shuffled order, beside The Well's own reader on the same files.

Both sides read every training sample of one generated dataset, `passes` times, in one process with one thread; the figure is the
processor time a sample, median over the passes. Values are compared bit by bit. The peer hands out torch tensors, space and time
grids and boundary codes with each sample; ours are NumPy arrays of the fields alone. HDF5 verifies a Fletcher-32 checksum whenever it
fetches a chunk, on both sides. The Well pins packages that the rest of this suite does not want, so that it runs in the environment
that ``make interop`` builds; another interpreter is named by SCIML_INTEROP_PYTHON.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sciml import generate, load_recipe, open_dataset
from sciml.checks import Check, CheckReport
from sciml.data.loader import Dataset
from sciml.errors import InputError
from validation.options import check_between

ROOT = Path(__file__).resolve().parents[2]
PEER = Path(__file__).parents[1] / "peers" / "the_well_loader.py"
GATE = 5.0


def run(*, samples: int = 600, resolution: int = 64, passes: int = 7) -> CheckReport:
    """Generate `samples` samples of Darcy flow on `resolution`^2 cells and read the training split `passes` times."""
    check_between("samples", samples, 10, 100_000)
    check_between("resolution", resolution, 4, 1024)
    check_between("passes", passes, 3, 1000)
    interpreter = _interop_python()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        generate(load_recipe("darcy", [f"problem.resolution={resolution}"]), data, samples=samples)
        dataset = open_dataset(data)
        ours = _measure(dataset, passes)
        peer, values = _measure_peer(interpreter, data, passes, Path(folder) / "values.npz")
        different = _different(dataset, values)
    sides = {"ours": ours, "peer": peer}
    medians = {name: {clock: float(np.median(side[clock])) for clock in ("processor", "wall")} for name, side in sides.items()}
    ratio = medians["peer"]["processor"] / medians["ours"]["processor"]
    name = f"the_well {peer['version']} WellDataset"
    checks = [
        Check("samples with other values", different, "<=", 0, reference=name, status="peer"),
        Check("processor time a sample, peer over ours", ratio, ">=", GATE, reference=name, status="peer"),
    ]
    details = {
        "samples": len(dataset),
        "resolution": resolution,
        "seconds_a_sample": medians,
        "first_pass_processor_seconds_a_sample": {name: side["processor"][0] for name, side in sides.items()},
    }
    return CheckReport("loader", checks, time.perf_counter() - start, details)


def _interop_python() -> Path:
    interpreter = Path(os.environ.get("SCIML_INTEROP_PYTHON", ROOT / ".venv-interop" / "bin" / "python"))
    if not interpreter.exists():
        what = f"{interpreter} does not exist, and The Well's reader needs an environment of its own"
        raise InputError(f"{what}: `make interop` makes it, or set SCIML_INTEROP_PYTHON")
    return interpreter


def _measure(dataset: Dataset, passes: int) -> dict[str, list[float]]:
    """Seconds per sample of each pass, as the peer's script measures them."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {"processor": [], "wall": []}
    for _ in range(passes):
        order = [int(index) for index in rng.permutation(len(dataset))]
        began, clock = time.process_time(), time.perf_counter()
        for index in order:
            dataset[index]
        found["processor"].append((time.process_time() - began) / len(order))
        found["wall"].append((time.perf_counter() - clock) / len(order))
    return found


def _measure_peer(interpreter: Path, data: Path, passes: int, out: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [str(interpreter), str(PEER), str(data), str(passes), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"The Well's reader failed in {interpreter} ({lines[-1]}): make that environment again with `make interop`")
    with np.load(out) as values:
        return json.loads(result.stdout), dict(values)


def _different(dataset: Dataset, values: dict[str, np.ndarray]) -> int:
    """Samples of which a field differs in any bit from what the peer read."""
    return sum(
        not all(
            np.array_equal(sample[name], field[index].reshape(*field[index].shape[-len(dataset.shape) - 1 : -1], -1)[..., channel])
            for names, field in ((dataset.inputs, values["constant_fields"]), (dataset.outputs, values["output_fields"]))
            for channel, name in enumerate(names)
        )
        for index, sample in enumerate(dataset)
    )
