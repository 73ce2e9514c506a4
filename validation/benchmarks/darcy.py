"""Darcy flow in two random media, from the permeability to the pressure, beside direct and algebraic multigrid solvers.

One core, processor time, float64, relative residual 1e-8. This suite's side is all that generation does for a sample: permeability
array, `discretize`, ``linear_solve(A, b, "multigrid_cg")`` with its set-up and its check of the residual. The peers get the assembled
CSR matrix for nothing, and are timed from there: factorisation or hierarchy, and solve. Every solution is compared with a direct solve
refined to rounding (at 512 x 512 with one of 1e-13 by multigrid, whose memory the direct one would exceed many times).

PETSc runs in an interpreter of its own, ``--petsc-python``, since PyPI has it only as source: on Debian ``apt-get install
python3-petsc4py`` gives one to /usr/bin/python3 (with PETSC_DIR=/usr/lib/petscdir/petsc3.18/x86_64-linux-gnu-real where it does not
find itself). Where it cannot be imported the report says so.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.data.recipe import load_recipe
from sciml.discretize import LinearSystem, linear_system
from sciml.problems import seed_words
from sciml.problems.elliptic import Elliptic
from solvers import linear_solve
from solvers.linear import StencilOperator
from validation.options import check_between
from validation.peers import petsc, pyamg_cg, scipy_splu
from validation.report import save
from validation.timing import bandwidth, interleaved, one_core, seconds

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

RTOL = 1e-8
MEDIA = {"binary 12/3": "darcy", "log-normal": "darcy-lognormal"}
SIZES = (64, 128, 256, 512)
OURS = "multigrid_cg"
SPLU_UP_TO = 256
LARGEST_REPEATED = 256  # above it the peers solve three samples, not all
#: Least ratio of a peer's median time to ours, per size: (the fastest peer, splu).
GATES = {64: (5.0, None), 256: (20.0, 30.0)}


@dataclass(frozen=True)
class Outcome:
    """One side on the samples of one medium and size: medians of processor time and iterations, and the worst true error."""

    milliseconds: float
    iterations: float
    worst_relative_error: float
    samples: int


def bytes_per_iteration(operator: StencilOperator) -> float:
    """Bytes that the passes of one iteration of multigrid CG in two dimensions move, each array read or written once a pass.

    Conjugate gradients in float64: new direction and product (u and scale in float32, p in and out, two faces in, q out) 48; update of x
    and r and the next right-hand side (x and r in and out, p and q in, scale in and f out in float32) 56. The cycle in float32, level 0:
    smoothing, residual and restriction (f, two couplings, u, v, nine weights on a quarter of the points) 29; interpolation and smoothing
    (u in and out, weights, f, couplings, v) 33. Coarse levels have two more couplings, 37 and 41, on a third of the points in all.
    """
    return (48 + 56 + 29 + 33 + (37 + 41) / 3) * operator.size


def run(
    *,
    samples: int = 5,
    largest: int = 512,
    seed: int = 0,
    petsc_python: str = sys.executable,
    out: Path | None = None,
) -> CheckReport:
    """Solve `samples` media of each kind on grids up to `largest` x `largest`; the report is also written to `out`."""
    check_between("samples", samples, 5, 1000)
    check_between("largest", largest, 64, 512)
    check_between("seed", seed, 0, 2**63 - 1)
    start = time.perf_counter()
    checks: list[Check] = []
    cells: dict[str, Any] = {}
    with one_core():
        for size in (size for size in SIZES if size <= largest):
            for medium, recipe in MEDIA.items():
                problem = load_recipe(recipe, [f"problem.resolution={size}", "data.dtype=float64"]).problem
                assert isinstance(problem, Elliptic)
                outcomes = _cell(problem, samples, seed, petsc_python)
                cells[f"{size} x {size}, {medium}"] = {name: asdict(outcome) for name, outcome in outcomes.items()}
                checks += _checks(size, medium, outcomes)
            cells[f"{size} x {size}, traffic"] = traffic = _traffic(size, seed)
            if size >= 256:  # below, calls from Python take longer than the bytes
                what = f"{size} x {size}: time of an iteration / time of its bytes at the bandwidth of a triad"
                reference = f"triad at {traffic['bandwidth'] / 1e9:.1f} GB/s, same run"
                checks.append(Check(what, traffic["ratio"], "<=", 2.0, reference=reference))
    left_out = {} if (reason := petsc.missing(petsc_python)) is None else {"PETSc": reason}
    report = CheckReport("darcy", checks, time.perf_counter() - start, {"cells": cells, "rtol": RTOL, "left_out": left_out})
    if out is not None:
        save(report, out)
    return report


def _checks(size: int, medium: str, outcomes: dict[str, Outcome]) -> list[Check]:
    ours = outcomes[OURS]
    peers = {name: outcome for name, outcome in outcomes.items() if name != OURS}
    cell = f"{size} x {size}, {medium}"
    best = min(peers, key=lambda name: peers[name].milliseconds)
    worst = max(peer.worst_relative_error for peer in peers.values() if peer.iterations)
    # a residual of rtol bounds the error by rtol times the condition number only; iterative peers at the same rtol show what is usual
    what, reference = f"{cell}: worst relative error", "10 x iterative peers"
    checks = [Check(what, ours.worst_relative_error, "<=", 10 * worst, reference=reference, status="peer")]
    for name, gate in zip((best, scipy_splu.NAME), GATES.get(size, (None, None)), strict=True):
        if gate is not None:
            ratio = peers[name].milliseconds / ours.milliseconds
            checks.append(Check(f"{cell}: time of {name} / ours", ratio, ">=", gate, reference=f"{name}, same run", status="peer"))
    return checks


def _cell(problem: Elliptic, samples: int, seed: int, petsc_python: str) -> dict[str, Outcome]:
    drawn = [problem.sample(seed_words(seed, 0, k)) for k in range(samples)]
    systems = [linear_system(problem, parameters) for parameters in drawn]
    matrices = [(system.operator.to_csr(), system.rhs.ravel()) for system in systems if isinstance(system.operator, StencilOperator)]
    exact = [_reference(system, matrix) for system, (matrix, _) in zip(systems, matrices, strict=True)]
    size = problem.grid.shape[0]
    few = matrices if size <= LARGEST_REPEATED else matrices[:3]

    def ours(parameters: dict[str, Array]) -> tuple[Array, int]:
        system = linear_system(problem, parameters)
        solution = linear_solve(system.operator, system.rhs, OURS, rtol=RTOL).raise_for_status()
        return solution.x.ravel(), solution.iterations

    outcomes = {OURS: _outcome([partial(ours, parameters) for parameters in drawn], exact, 5)}
    peers: dict[str, Callable[..., tuple[Array, int]]] = {
        pyamg_cg.NAME: partial(pyamg_cg.solve, rtol=RTOL),
        pyamg_cg.AGGREGATION: partial(pyamg_cg.solve, rtol=RTOL, kind="smoothed_aggregation"),
    }
    if size <= SPLU_UP_TO:
        peers[scipy_splu.NAME] = partial(scipy_splu.solve, rtol=RTOL)
    for name, solve in peers.items():
        outcomes[name] = _outcome([partial(solve, *system) for system in few], exact, 3 if size < LARGEST_REPEATED else 1)
    for name, solves in petsc.solve(few, rtol=RTOL, python=petsc_python).items():
        errors = [_error(one.x, x) for one, x in zip(solves, exact, strict=False)]
        times, iterations = [one.seconds for one in solves], [one.iterations for one in solves]
        outcomes[name] = Outcome(1e3 * median(times), median(iterations), max(errors), len(solves))
    for name, outcome in outcomes.items():
        ratio = outcome.milliseconds / outcomes[OURS].milliseconds
        log.info("%4d %-11s %-42s %9.2f ms (%6.1f x ours), %4.0f iterations, worst error %.1e", size, problem.laws()["permeability"].kind,
                 name, outcome.milliseconds, ratio, outcome.iterations, outcome.worst_relative_error)  # fmt: skip
    return outcomes


def _outcome(calls: list[Callable[[], tuple[Array, int]]], exact: list[Array], repetitions: int) -> Outcome:
    """Median over the samples of the least time of each, since noise only ever adds."""
    solutions = [call() for call in calls]
    times = [min(seconds(call) for _ in range(repetitions)) for call in calls]
    errors = [_error(x, y) for (x, _), y in zip(solutions, exact, strict=False)]
    return Outcome(1e3 * median(times), median(iterations for _, iterations in solutions), max(errors), len(calls))


def _reference(system: LinearSystem, matrix: sp.csr_matrix) -> Array:
    if matrix.shape[0] > SPLU_UP_TO**2:
        return linear_solve(system.operator, system.rhs, OURS, rtol=1e-13).x.ravel()
    b = system.rhs.ravel()
    factor = scipy_splu.factorize(matrix)
    x = factor.solve(b)
    return x + factor.solve(b - matrix @ x)


def _error(x: Array, exact: Array) -> float:
    return float(np.linalg.norm(x - exact) / np.linalg.norm(exact))


def _traffic(size: int, seed: int) -> dict[str, float]:
    """Time of one iteration, from what a solve to 1e-10 takes more than one to 1e-4, beside that of its bytes."""
    problem = load_recipe("darcy", [f"problem.resolution={size}", "data.dtype=float64"]).problem
    system = linear_system(problem, problem.sample(seed_words(seed, 0, 0)))
    assert isinstance(system.operator, StencilOperator)

    def solve(rtol: float) -> Any:
        return linear_solve(system.operator, system.rhs, OURS, rtol=rtol)

    loose, tight = solve(1e-4), solve(1e-10)
    taken = interleaved({"loose": lambda: solve(1e-4), "tight": lambda: solve(1e-10)}, 7)
    iteration = (min(taken["tight"]) - min(taken["loose"])) / (tight.iterations - loose.iterations)
    required = bytes_per_iteration(system.operator)
    rate = bandwidth(working_set=12 * 8 * system.operator.size)  # x, r, p, q, z, f, faces, diagonal and two fields of the cycle
    return {
        "microseconds per iteration": 1e6 * iteration,
        "bytes per point": required / system.operator.size,
        "bandwidth": rate,
        "ratio": iteration * rate / required,
    }
