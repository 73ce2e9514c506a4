"""DeepXDE's networks with hard conditions, trained by Adam and then by its L-BFGS, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PeerRun:
    """Outputs at the points that were asked for, shape (points, outputs), and processor seconds of training."""

    values: Array
    seconds: float


def missing() -> str | None:
    """Why it cannot run here; None where it can."""
    return None if util.find_spec("deepxde") is not None else "deepxde is not installed (pip install deepxde)"


def name() -> str:
    return f"DeepXDE {metadata.version('deepxde')}, PyTorch, float64 on one core"


def train(problem: str, x: Array, *, adam: int, lbfgs: int, seed: int, re: float = 0.0) -> PeerRun:
    """Train on "poisson" or, at Reynolds number `re`, "cavity"; see ``deepxde_program.py`` for what these are.

    DeepXDE chooses its backend and precision for a whole process when it is imported, whence the process.
    """
    asked = {"problem": problem, "adam": adam, "lbfgs": lbfgs, "seed": seed, "re": re, "points": x.tolist()}
    environment = os.environ | {"DDE_BACKEND": "pytorch", "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(Path(__file__).with_name("deepxde_program.py"))]
    ended = subprocess.run(program, input=json.dumps(asked), env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"DeepXDE ended with {ended.returncode}: {ended.stderr.strip().splitlines()[-1]}")
    found = json.loads(ended.stdout.splitlines()[-1])
    return PeerRun(np.array(found["values"]), found["seconds"])
