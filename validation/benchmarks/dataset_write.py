"""Samples a second from recipe to finished HDF5 shards, with one worker and with two.

Both are measured in turn, after a short run that fills the caches of compiled code, and the best of the `repeats` counts. Two workers
start as new processes; a run of a few samples measures what that costs, and it is taken off, since it does not grow with the dataset.

Wall time depends on what else the machine does. The second figure does not: processor time a sample with one worker, over that with
two (both workers and the process that writes), times two. It is the speed-up on two free processors that never wait for each other.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sciml import generate, load_recipe, open_dataset
from sciml.checks import Check, CheckReport
from sciml.data.manifest import SPLITS
from sciml.data.recipe import Recipe
from sciml.errors import InputError
from validation.options import check_between

GATE = 1.7
_FEW = 8


def run(*, samples: int = 4000, resolution: int = 64, repeats: int = 3) -> CheckReport:
    """Generate `samples` samples of Darcy flow on `resolution`^2 cells with one and with two workers, `repeats` times in turn."""
    check_between("samples", samples, 100, 10_000_000)
    check_between("resolution", resolution, 4, 1024)
    check_between("repeats", repeats, 1, 100)
    if len(os.sched_getaffinity(0)) < 2:
        raise InputError("this process may use one processor, and two workers need two: run the benchmark on another machine")
    start = time.perf_counter()
    recipe = load_recipe("darcy", [f"problem.resolution={resolution}"])
    with tempfile.TemporaryDirectory() as folder:
        _cost(recipe, Path(folder) / "warm", _FEW, 1)
        order = [(turn, workers) for turn in range(repeats) for workers in (1, 2)]
        turns = [(workers, _rate(recipe, Path(folder) / f"{workers}-{turn}", samples, workers)) for turn, workers in order]
        different = _different(Path(folder) / "1-0", Path(folder) / "2-0")
    one, two = (np.min([cost for number, cost in turns if number == workers], axis=0) for workers in (1, 2))
    checks = [
        Check("fields that differ between one worker and two", different, "<=", 0, status="exact"),
        Check("samples a second, two workers over one", one[0] / two[0], ">=", GATE),
        Check("speed-up that processor time allows on two free processors", 2 * one[1:].sum() / two[1:].sum(), ">=", GATE),
    ]
    names = ("wall", "writing_process", "workers")
    details = {
        "samples": samples,
        "resolution": resolution,
        "load_average": os.getloadavg()[0],
        "seconds_a_sample": {str(workers): dict(zip(names, cost.tolist(), strict=True)) for workers, cost in ((1, one), (2, two))},
    }
    return CheckReport("dataset-write", checks, time.perf_counter() - start, details)


def _rate(recipe: Recipe, out: Path, samples: int, workers: int) -> NDArray[np.float64]:
    """`_cost` of a sample, without the start of the workers."""
    few = _cost(recipe, out.with_name(out.name + "-start"), _FEW, workers)
    return (_cost(recipe, out, samples, workers) - few) / (samples - _FEW)


def _cost(recipe: Recipe, out: Path, samples: int, workers: int) -> NDArray[np.float64]:
    """Wall seconds, and processor seconds of this process and of its workers."""
    before = np.array([time.perf_counter(), *_processor_seconds()])
    generate(recipe, out, samples=samples, workers=workers)
    return np.array([time.perf_counter(), *_processor_seconds()]) - before


def _processor_seconds() -> tuple[float, float]:
    """Of this process and of those that it started and that have ended."""
    here, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return here.ru_utime + here.ru_stime, children.ru_utime + children.ru_stime


def _different(one: Path, other: Path) -> int:
    """Fields, over all splits, of which a bit differs."""
    found = 0
    for split in SPLITS:
        left, right = open_dataset(one, split), open_dataset(other, split)
        found += sum(not np.array_equal(left.field(name), right.field(name)) for name in left.manifest.names)
    return found
