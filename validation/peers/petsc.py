"""PETSc's GAMG and hypre's BoomerAMG, in a process of an interpreter that has petsc4py."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]
TITLES = {"gamg": "GAMG CG", "hypre": "hypre BoomerAMG CG"}


@dataclass(frozen=True)
class PeerSolve:
    """Solution of one system, processor seconds of set-up and solve, and iterations."""

    x: Array
    seconds: float
    iterations: int


def solve(systems: Sequence[tuple[sp.csr_matrix, Array]], *, rtol: float, python: str = sys.executable) -> dict[str, list[PeerSolve]]:
    """Solve every system by every method that this PETSc has; an empty dict where `python` cannot import petsc4py.

    The keys name the method with its version.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "systems.npz", Path(folder) / "result.npz"
        arrays: dict[str, Any] = {}
        for k, (A, b) in enumerate(systems):
            A.sort_indices()
            arrays |= {f"indptr_{k}": A.indptr, f"indices_{k}": A.indices, f"data_{k}": A.data, f"b_{k}": b}
        np.savez(source, **arrays)
        command = [python, str(Path(__file__).with_name("petsc_program.py")), str(source), str(target), repr(rtol)]
        try:
            subprocess.run(command, env=environment, capture_output=True, check=True, cwd=folder)
        except (OSError, subprocess.CalledProcessError):
            return {}
        with np.load(target, allow_pickle=False) as found:
            version = f"PETSc {found['version']}"
            return {
                f"{version} {title}": [
                    PeerSolve(found[f"x_{method}_{k}"], float(found[f"seconds_{method}_{k}"]), int(found[f"iterations_{method}_{k}"]))
                    for k in range(len(systems))
                ]
                for method, title in TITLES.items()
                if all(f"x_{method}_{k}" in found for k in range(len(systems)))
            }
