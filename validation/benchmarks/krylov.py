"""Krylov methods with and without recycling on sequences of systems, beside SciPy's gcrotmk, SuperLU, multigrid and PETSc.

The sequences are those of `validation.sequences`: Helmholtz's equation in a square and in a cube, Darcy flow, and convection-diffusion with
an eddy and with boundary layers. `scipy.sparse.linalg.gcrotmk` has the dimensions of GCRO-DR and carries its own space. Krylov methods get
the preconditioner of the sequence, whose set-up counts, except those that bring a multigrid cycle of their own (MINRES for an indefinite
stencil, multigrid CG, PyAMG). SuperLU takes symmetric matrices in its symmetric mode; assembly is not counted.

Products with the matrix are counted where they happen; those of GCRO-DR include the images of the recycled space. Times are processor
times a system on one core, after the first of the sequence. What does not recycle solves the first few systems of those, GMRES and
PETSc's relatives of it with as many products as are worth waiting for: the table says what share of its systems a method solved.
PETSc runs where `--petsc-python` has petsc4py, see the benchmark `darcy`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers import GCRODR, GMRES, DeflatedCG, Solution, linear_solve, solve_sequence
from solvers.linear import StencilOperator, make_preconditioner
from validation.options import check_between
from validation.peers import petsc, pyamg_cg, scipy_splu
from validation.peers.gcrotmk import NAME as GCROTMK
from validation.peers.gcrotmk import Gcrotmk
from validation.sequences import SEQUENCES, Sequence, entries
from validation.timing import bandwidth, one_core, seconds, timed

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

SETTINGS = GCRODR()
PATIENCE = 3000  # products for methods that restart
FEW, LARGE = 3, 20_000  # systems for what does not recycle; one where they have more unknowns than that
REPETITIONS = 3
MULTIGRID = "PyAMG GMRES"


@dataclass(frozen=True)
class Column:
    """One method on a sequence.

    Parameters
    ----------
    products : with the matrix, mean over the systems after the first; 0 for a direct solve.
    most, first : of one of those systems, and of the first of the sequence (NaN where it was left out).
    milliseconds : a system, the least of all repetitions.
    residual : largest recomputed ``||b - A x|| / ||b||``.
    solved : share of the systems whose residual meets the tolerance.
    """

    products: float
    most: int
    first: float
    milliseconds: float
    residual: float
    solved: float


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
    details["not installed"] = [] if any(name.startswith("PETSc") for name in columns) else ["petsc4py"]
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


def measure(sequence: Sequence, petsc_python: str | None = None) -> dict[str, Column]:
    """Every method that makes sense for the sequence; PETSc's too where an interpreter is given."""
    linear_solve(*sequence.systems[0], SETTINGS, rtol=0.5)  # compiles
    columns = _recycling(sequence)
    few = sequence.systems[1:2] if sequence.size > LARGE else sequence.systems[1 : 1 + FEW]
    restarted = GMRES(40)
    solves: dict[str, Callable[[Any, Array], Solution]] = {
        "gcrodr, empty space": lambda A, b: linear_solve(A, b, SETTINGS, M=_M(A, sequence), rtol=sequence.rtol),
        "gmres": lambda A, b: linear_solve(A, b, restarted, M=_M(A, sequence), rtol=sequence.rtol, maxiter=PATIENCE),
    }
    if sequence.definite:
        solves["cg"] = lambda A, b: linear_solve(A, b, "cg", M=_M(A, sequence), rtol=sequence.rtol)
        solves["multigrid_cg"] = lambda A, b: linear_solve(A, b, "multigrid_cg", rtol=sequence.rtol)
    elif isinstance(sequence.systems[0][0], StencilOperator):
        solves["minres with multigrid"] = lambda A, b: linear_solve(A, b, "minres", rtol=sequence.rtol)
    else:
        solves[MULTIGRID] = lambda A, b: linear_solve(
            A, b, restarted, M=pyamg_cg.hierarchy(A).aspreconditioner(), rtol=sequence.rtol, maxiter=PATIENCE
        )
    for name, solve in solves.items():
        solve(*few[0])  # compiles
        found, spent = zip(*(timed(solve, A, b) for A, b in few), strict=True)
        counts = [int(one.info.get("matvecs", one.iterations)) for one in found]
        columns[name] = _column(sequence, few, [one.x for one in found], counts, spent)
    columns["splu"] = _direct(sequence, few)
    if petsc_python is not None:
        columns |= _petsc(sequence, few, petsc_python)
    for name, column in columns.items():
        log.info("%-15s %-28s %7.0f products %9.2f ms  residual %.1e, %3.0f %% solved", sequence.name.partition(",")[0][-15:], name,
                 column.products, column.milliseconds, column.residual, 100 * column.solved)  # fmt: skip
    return columns


def _M(A: Any, sequence: Sequence) -> spla.LinearOperator | None:
    return None if sequence.preconditioner is None else make_preconditioner(A, sequence.preconditioner)


def _preconditioned(sequence: Sequence) -> Iterator[tuple[Any, Array, spla.LinearOperator | None]]:
    return ((A, b, _M(A, sequence)) for A, b in sequence.systems)


def _recycling(sequence: Sequence) -> dict[str, Column]:
    """What goes from system to system, in turns, so that all meet the same noise."""
    methods: dict[str, Any] = {"gcrodr": SETTINGS, **({"deflated_cg": DeflatedCG()} if sequence.definite else {})}
    found: dict[str, tuple[list[Array], list[int]]] = {}
    times: dict[str, list[float]] = {name: [] for name in (*methods, GCROTMK)}
    for _ in range(REPETITIONS):
        for name, method in methods.items():
            solving = solve_sequence(_preconditioned(sequence), method, rtol=sequence.rtol)
            first = next(solving)
            rest: list[Solution]
            rest, taken = timed(list, solving)
            times[name].append(taken)
            solutions = [first, *rest]
            found[name] = [one.x for one in solutions], [int(one.info.get("matvecs", one.iterations)) for one in solutions]
        peer, systems = Gcrotmk(SETTINGS.restart - SETTINGS.recycle_dim, SETTINGS.recycle_dim), _preconditioned(sequence)
        theirs = [peer.solve(*next(systems), rtol=sequence.rtol)]
        others, taken = timed(partial(peer.solve_all, rtol=sequence.rtol), systems)
        times[GCROTMK].append(taken)
        theirs += others
        found[GCROTMK] = theirs, peer.products
    after = sequence.systems[1:]
    return {
        name: _column(sequence, after, xs[1:], counts[1:], [min(times[name]) / len(after)], first=counts[0])
        for name, (xs, counts) in found.items()
    }


def _column(
    sequence: Sequence, systems: Any, xs: Iterable[Array], counts: list[int], spent: Iterable[float], first: float = np.nan
) -> Column:
    residuals = [float(np.linalg.norm(b - A @ x) / np.linalg.norm(b)) for (A, b), x in zip(systems, xs, strict=True)]
    solved = float(np.mean(np.array(residuals) <= 1.0001 * sequence.rtol))  # another order of summation rounds differently
    return Column(float(np.mean(counts)), max(counts), first, 1e3 * float(np.mean(list(spent))), max(residuals), solved)


def _direct(sequence: Sequence, systems: Any) -> Column:
    symmetric = isinstance(systems[0][0], StencilOperator)
    matrices = [(entries(A).tocsc(), b) for A, b in systems]
    solve = _symmetric_direct if symmetric else _general_direct
    xs, spent = zip(*(timed(solve, A, b) for A, b in matrices), strict=True)
    return _column(sequence, systems, xs, [0] * len(matrices), spent)


def _symmetric_direct(A: sp.csc_matrix, b: Array) -> Array:
    return np.asarray(scipy_splu.factorize(A).solve(b))


def _general_direct(A: sp.csc_matrix, b: Array) -> Array:
    return np.asarray(spla.splu(A).solve(b))


def _petsc(sequence: Sequence, systems: Any, python: str) -> dict[str, Column]:
    matrices = [(entries(A), b) for A, b in systems]
    found = petsc.krylov(matrices, rtol=sequence.rtol, python=python, preconditioner=sequence.preconditioner, limit=PATIENCE)
    return {
        name: _column(sequence, systems, [one.x for one in solves], [one.products for one in solves], [one.seconds for one in solves])
        for name, solves in found.items()
    }


def vectors_per_step(dimension: int, restart: int, k: int) -> float:
    """Vectors that a step of GCRO-DR on a stencil without preconditioner has to move, its share of the end of a cycle included.

    The s = restart - k steps of a cycle meet ``k + 1 ... k + s`` rows of the panel, twice each (coefficients, then subtraction, which needs
    all of them). The product reads v, the faces and the reaction and writes w, which is read twice; the new row is written, and read and
    written when it is scaled. The end of a cycle reads T and V and writes T, reads C and V and writes C (``3 s + 4 k`` with the rest of
    the panel against T, ``s + k``), forms the residual (s), the correction (``k + s``), and takes C off the residual (``2 k``).
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
