"""Peak memory of generation, and whether it grows with the number of samples.

Each dataset is generated in a process of its own, which reports the largest resident size of that program alone. A grid of 8 x 8
cells makes the samples small, so that anything kept per sample would show.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sciml.checks import Check, CheckReport
from sciml.errors import InputError
from validation.options import check_between

GROWTH = 0.1
_SCRIPT = """
import json, sys
from pathlib import Path
from sciml import generate, load_recipe

recipe = load_recipe("darcy-lognormal", ["problem.resolution=8", "data.shard_samples=256"])
result = generate(recipe, sys.argv[1], samples=int(sys.argv[2]))
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"generated": result.generated, "kilobytes": peak}))
"""


def run(*, samples: int = 10_000) -> CheckReport:
    """Compare the peak of `samples` samples with that of a tenth of them."""
    check_between("samples", samples, 100, 10_000_000)
    if not Path("/proc/self/status").exists():
        raise InputError("the memory benchmark reads /proc/self/status, which this system does not have: run it on Linux")
    start = time.perf_counter()
    peaks = {count: _peak(count) for count in (samples // 10, samples)}
    few, many = peaks.values()
    name = f"peak resident memory of {samples} samples over that of {samples // 10}"
    details = {"peak_mebibytes": {str(count): peak / 1024 for count, peak in peaks.items()}}
    return CheckReport("memory", [Check(name, many / few, "<=", 1 + GROWTH)], time.perf_counter() - start, details)


def _peak(samples: int) -> int:
    """Kilobytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _SCRIPT, str(Path(folder) / "data"), str(samples)]
        result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if result["generated"] != samples:
        raise RuntimeError(f"{result['generated']} of {samples} samples were generated")
    return int(result["kilobytes"])
