"""PETSc's Krylov methods, its GAMG and hypre's BoomerAMG, in a process of an interpreter that has petsc4py."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]
Systems = Sequence[tuple[sp.csr_matrix, Array]]
#: What each is called in tables, and Krylov method, preconditioner and type of PETSc.
MULTIGRID = {"gamg": ("GAMG CG", "cg:gamg"), "hypre": ("hypre BoomerAMG CG", "cg:hypre:boomeramg")}
KRYLOV = {"gmres": "GMRES(40)", "lgmres": "LGMRES(40)", "dgmres": "DGMRES(40)"}
PRECONDITIONERS = {None: "none", "jacobi": "jacobi", "ilu0": "ilu"}


@dataclass(frozen=True)
class PeerSolve:
    """Solution of one system, processor seconds of set-up and solve, iterations and products with the matrix."""

    x: Array
    seconds: float
    iterations: int
    products: int


def missing(python: str = sys.executable) -> str | None:
    """Why PETSc cannot be compared with; None where `python` can import petsc4py."""
    try:
        found = subprocess.run([python, "-c", "from petsc4py import PETSc"], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{python} cannot be run: {error.strerror}"
    if found.returncode == 0:
        return None
    reason = (found.stderr.strip().splitlines() or ["it ended without a word"])[-1]
    return f"{python} cannot import petsc4py, give one that can to --petsc-python: {reason}"


def solve(systems: Systems, *, rtol: float, python: str = sys.executable) -> dict[str, list[PeerSolve]]:
    """Solve symmetric positive definite systems by multigrid; an empty dict where `python` cannot import petsc4py.

    The keys name the method with its version; a method that this PETSc lacks has none. Raises RuntimeError where PETSc fails.
    """
    return _run(systems, MULTIGRID, rtol, 500, python)


def krylov(
    systems: Systems, *, rtol: float, python: str = sys.executable, preconditioner: str | None = None, limit: int = 3000
) -> dict[str, list[PeerSolve]]:
    """Solve systems by restarted GMRES and its relatives that augment or deflate within a solve; otherwise as `solve`.

    Parameters
    ----------
    preconditioner : None, "jacobi" or "ilu0", as in `make_preconditioner`, from the right.
    limit : iterations.
    """
    methods = {name: (title, f"{name}:{PRECONDITIONERS[preconditioner]}") for name, title in KRYLOV.items()}
    return _run(systems, methods, rtol, limit, python)


def _run(systems: Systems, methods: Mapping[str, tuple[str, str]], rtol: float, limit: int, python: str) -> dict[str, list[PeerSolve]]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "systems.npz", Path(folder) / "result.npz"
        arrays: dict[str, Any] = {}
        for k, (A, b) in enumerate(systems):
            A.sort_indices()
            arrays |= {f"indptr_{k}": A.indptr, f"indices_{k}": A.indices, f"data_{k}": A.data, f"b_{k}": b}
        np.savez(source, **arrays)
        program = [python, str(Path(__file__).with_name("petsc_program.py"))]
        command = [
            *program,
            str(source),
            str(target),
            repr(rtol),
            str(limit),
            *(f"{name}={method}" for name, (_, method) in methods.items()),
        ]
        try:
            subprocess.run(command, env=environment, capture_output=True, check=True, cwd=folder)
        except (OSError, subprocess.CalledProcessError) as error:
            if missing(python) is not None:
                return {}
            said = (getattr(error, "stderr", b"") or b"").decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"PETSc is there but did not solve the systems: {said[-1] if said else error}") from error
        with np.load(target, allow_pickle=False) as found:
            version = f"PETSc {found['version']}"
            return {
                f"{version} {title}": [_read(found, f"{name}_{k}") for k in range(len(systems))]
                for name, (title, _) in methods.items()
                if all(f"x_{name}_{k}" in found for k in range(len(systems)))
            }


def _read(found: Mapping[str, Any], which: str) -> PeerSolve:
    return PeerSolve(
        found[f"x_{which}"], float(found[f"seconds_{which}"]), int(found[f"iterations_{which}"]), int(found[f"products_{which}"])
    )
