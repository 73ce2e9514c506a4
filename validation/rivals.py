"""One table of a sequence of systems: every Krylov method that makes sense on it, recycling or not, multigrid, SuperLU and PETSc."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers import GCRODR, GMRES, DeflatedCG, Solution, linear_solve, solve_sequence
from solvers.linear import StencilOperator, make_preconditioner
from validation.peers import petsc, pyamg_cg, scipy_splu
from validation.peers.gcrotmk import NAME as GCROTMK
from validation.peers.gcrotmk import Gcrotmk
from validation.sequences import Sequence, entries
from validation.timing import timed

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

SETTINGS = GCRODR()
PATIENCE = 3000  # products for methods that restart
FEW, LARGE = 3, 20_000  # systems for what does not recycle; one where they have more unknowns than that
REPETITIONS = 3
AMG_GMRES = "PyAMG GMRES"
MULTIGRID_MINRES = "minres with multigrid"
COLD = "gcrodr, empty space"


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


def measure(sequence: Sequence, petsc_python: str | None = None) -> dict[str, Column]:
    """Every method that makes sense for the sequence; PETSc's too where an interpreter is given."""
    linear_solve(*sequence.systems[0], SETTINGS, rtol=0.5)  # compiles
    columns = _recycling(sequence)
    few = sequence.systems[1:2] if sequence.size > LARGE else sequence.systems[1 : 1 + FEW]
    restarted = GMRES(40)
    solves: dict[str, Callable[[Any, Array], Solution]] = {
        COLD: lambda A, b: linear_solve(A, b, SETTINGS, M=_M(A, sequence), rtol=sequence.rtol),
        "gmres": lambda A, b: linear_solve(A, b, restarted, M=_M(A, sequence), rtol=sequence.rtol, maxiter=PATIENCE),
    }
    if sequence.definite:
        solves["cg"] = lambda A, b: linear_solve(A, b, "cg", M=_M(A, sequence), rtol=sequence.rtol)
        own = "multigrid_cg" if isinstance(sequence.systems[0][0], StencilOperator) else "amg"
        solves[own] = lambda A, b: linear_solve(A, b, own, rtol=sequence.rtol)
    elif isinstance(sequence.systems[0][0], StencilOperator):
        solves[MULTIGRID_MINRES] = lambda A, b: linear_solve(A, b, "minres", rtol=sequence.rtol)
    else:
        solves[AMG_GMRES] = lambda A, b: linear_solve(
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
    symmetric = sequence.definite or isinstance(systems[0][0], StencilOperator)
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
