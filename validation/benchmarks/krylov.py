"""Krylov methods with and without recycling on sequences of systems, beside SciPy's gcrotmk, SuperLU, multigrid and PETSc.

The sequences are those of `validation.sequences`: Helmholtz's equation in a square and in a cube, Darcy flow, heat conduction on an
unstructured mesh with Robin and Neumann sides, and convection-diffusion with an eddy and with boundary layers.
`scipy.sparse.linalg.gcrotmk` has the dimensions of GCRO-DR and carries its own space. Krylov methods get the preconditioner of the
sequence, whose set-up counts, except those that bring a multigrid cycle of their own (MINRES for an indefinite stencil, multigrid CG,
PyAMG). SuperLU takes symmetric matrices in its symmetric mode; assembly is not counted.

Products with the matrix are counted where they happen; those of GCRO-DR include the images of the recycled space. Times are processor
times a system on one core, after the first of the sequence. What does not recycle solves the first few systems of those, GMRES and
PETSc's relatives of it with as many products as are worth waiting for: the table says what share of its systems a method solved.
PETSc runs where `--petsc-python` has petsc4py, see the benchmark `darcy`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from importlib import metadata
from typing import Any

from sciml.checks import Check, CheckReport
from solvers import linear_solve
from solvers.linear import StencilOperator
from validation.options import check_between
from validation.peers import petsc
from validation.peers.gcrotmk import NAME as GCROTMK
from validation.rivals import PATIENCE, SETTINGS, Column, measure
from validation.sequences import SEQUENCES, Sequence
from validation.timing import bandwidth, one_core, seconds


def run(*, square: int = 62, cube: int = 32, samples: int = 8, petsc_python: str = sys.executable) -> CheckReport:
    """Solve sequences of `samples` systems; `square` and `cube` are the cells an axis of Helmholtz's equation."""
    check_between("square", square, 16, 256)
    check_between("cube", cube, 12, 64)
    check_between("samples", samples, 2, 100)
    start = time.perf_counter()
    checks: list[Check] = []
    details: dict[str, Any] = {"restart": SETTINGS.restart, "recycle_dim": SETTINGS.recycle_dim, "patience": PATIENCE}
    resolutions = {"Helmholtz 2-D": square, "Helmholtz 3-D": cube}
    with one_core():
        for key, make in SEQUENCES.items():
            sequence = make(samples, resolution=resolutions[key]) if key in resolutions else make(samples)
            columns = measure(sequence, petsc_python)
            checks += _checks(key, columns, sequence.rtol)
            details[key] = {"sequence": sequence.name, "rtol": sequence.rtol, "preconditioner": sequence.preconditioner or "none",
                            "methods": {name: asdict(column) for name, column in columns.items()}}  # fmt: skip
            if isinstance(sequence.systems[0][0], StencilOperator) and sequence.preconditioner is None:
                details[key]["step"] = step = _step(sequence)
                reference = f"{step['vectors']:.0f} vectors at the {step['bandwidth'] / 1e9:.0f} GB/s of a triad, same run"
                what = f"{key}: time of a step of GCRO-DR over that of its bytes"
                checks.append(Check(what, step["ratio"], "<=", 1.3, reference=reference))
    details["left_out"] = {} if (reason := petsc.missing(petsc_python)) is None else {"PETSc": reason}
    return CheckReport("krylov", checks, time.perf_counter() - start, details)


def _checks(key: str, columns: dict[str, Column], rtol: float) -> list[Check]:
    ours, theirs, gmres = columns["gcrodr"], columns[GCROTMK], columns["gmres"]
    checks = [
        Check(f"{key}: largest relative residual", ours.residual, "<=", rtol, reference="rtol, recomputed", status="exact"),
        Check(f"{key}: products of gcrotmk over those of GCRO-DR", theirs.products / ours.products, ">=", 1.0,
              reference=f"{GCROTMK}, same dimensions, same run", status="peer"),
        Check(f"{key}: processor time of gcrotmk over that of GCRO-DR", theirs.milliseconds / ours.milliseconds, ">=", 2.0,
              reference=f"{GCROTMK}, same dimensions, same run", status="peer"),
    ]  # fmt: skip
    if key == "Helmholtz 2-D":
        checks += [
            Check(f"{key}: products of GMRES(40), at most {PATIENCE}", gmres.products, ">=", 2000),
            Check(f"{key}: most products of GCRO-DR after the first system", ours.most, "<=", 170),
        ]
    if key == "Helmholtz 3-D":
        splu = columns["splu"]
        checks += [
            Check(f"{key}: products of GMRES(40), at most {PATIENCE}, over those of GCRO-DR", gmres.products / ours.products, ">=", 10.0),
            Check(f"{key}: processor time of SuperLU over that of GCRO-DR", splu.milliseconds / ours.milliseconds, ">=", 8.0,
                  reference=f"scipy.sparse.linalg.splu of SciPy {metadata.version('scipy')}", status="peer"),
        ]  # fmt: skip
    return checks


def vectors_per_step(dimension: int, restart: int, k: int) -> float:
    """Vectors that a step of GCRO-DR on a stencil without preconditioner has to move, its share of the end of a cycle included.

    The s = restart - k steps of a cycle meet ``k + 1 ... k + s`` rows of the panel, twice each, as in classical Gram-Schmidt (coefficients,
    then subtraction, which needs all of them); blocks that are still in the cache when they are subtracted may take less where the panel is
    not. The product reads v, the faces and the reaction and writes w, which is read twice; the new row is written, and read and
    written when it is scaled. The end of a cycle reads T and V and writes T, reads C and V and writes C (``3 s + 4 k`` with the rest
    of the panel against T, ``s + k``), forms the residual (s), the correction (``k + s``), and takes C off the residual (``2 k``).
    """
    s = restart - k
    panel = 2 * (k + (s + 1) / 2)
    product = 1 + dimension + 1 + 1
    end = (2 * k + s) + (2 * k + s) + (s + k) + s + (k + s) + 2 * k
    return panel + product + 5 + end / s


def _step(sequence: Sequence) -> dict[str, float]:
    """Time of a step within whole cycles, from what five cycles take more than one, beside that of its bytes."""
    (A, b), (again, c) = sequence.systems[:2]
    assert isinstance(A, StencilOperator)
    space = linear_solve(A, b, SETTINGS, rtol=sequence.rtol).info["recycle_space"]
    method, inner = SETTINGS.with_space(space), SETTINGS.restart - SETTINGS.recycle_dim

    def steps(cycles: int) -> float:
        return seconds(lambda: linear_solve(again, c, method, rtol=1e-14, maxiter=cycles * inner))

    steps(1)
    short, long = (min(steps(cycles) for _ in range(5)) for cycles in (1, 5))
    step = (long - short) / (4 * inner)
    vectors = vectors_per_step(len(A.grid_shape), SETTINGS.restart, SETTINGS.recycle_dim)
    rate = bandwidth(working_set=8 * sequence.size * (SETTINGS.restart + 1 + SETTINGS.recycle_dim))
    return {
        "microseconds": 1e6 * step,
        "vectors": vectors,
        "bandwidth": rate,
        "ratio": step * rate / (8 * vectors * sequence.size),
    }
