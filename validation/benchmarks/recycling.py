"""GCRO-DR with recycling on sequences of Helmholtz's equation, beside restarted GMRES, SciPy's gcrotmk and SuperLU.

The operators and sources of the first samples of the dataset `helmholtz3d` with a wavenumber between 8 and 12, ten on average, in a
square and in a cube. `scipy.sparse.linalg.gcrotmk` has the same dimensions and carries its own space (``CU``, ``discard_C=True``).
Products with the matrix are counted where they happen; those of GCRO-DR include the images of the recycled space. Times are processor
times of the systems after the first. GMRES gets as many products as are worth waiting for; the check counts what it used, converged or not.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.data.recipe import load_recipe
from sciml.discretize import LinearSystem, linear_system
from sciml.problems import seed_words
from solvers import GCRODR, GMRES, linear_solve, solve_sequence
from solvers.linear import StencilOperator
from validation.options import check_between
from validation.timing import one_core, seconds

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

RTOL = 1e-5
SETTINGS = GCRODR()
PATIENCE = 3000  # products for GMRES


def run(*, square: int = 62, cube: int = 32, samples: int = 8) -> CheckReport:
    """Solve sequences of `samples` systems on `square` and on `cube` cells an axis."""
    check_between("square", square, 16, 256)
    check_between("cube", cube, 12, 64)
    check_between("samples", samples, 2, 100)
    start = time.perf_counter()
    checks: list[Check] = []
    details: dict[str, Any] = {"restart": SETTINGS.restart, "recycle_dim": SETTINGS.recycle_dim, "rtol": RTOL}
    with one_core():
        for dimension, resolution in ((2, square), (3, cube)):
            measured = _measured(_systems(dimension, resolution, samples))
            log.info("%d-D: %s", dimension, measured)
            checks += _checks(dimension, measured)
            details[f"{dimension}-D"] = {"cells": (resolution,) * dimension, **measured}
    return CheckReport("recycling", checks, time.perf_counter() - start, details)


def _checks(dimension: int, measured: dict[str, Any]) -> list[Check]:
    peer = f"gcrotmk of SciPy {metadata.version('scipy')}, same dimensions, same run"
    products, taken = measured["products"], measured["seconds"]
    ours = float(np.mean(products["gcrodr"][1:]))
    checks = [
        Check(f"{dimension}-D: largest relative residual", max(measured["residuals"]), "<=", RTOL, reference="rtol", status="exact"),
        Check(f"{dimension}-D: most products after the first system", max(products["gcrodr"][1:]), "<=", 170),
        Check(f"{dimension}-D: products of GMRES(40), at most {PATIENCE}, over those of GCRO-DR", products["gmres"] / ours, ">=", 10.0),
        Check(f"{dimension}-D: products of gcrotmk over those of GCRO-DR", float(np.mean(products["gcrotmk"][1:])) / ours, ">=", 1.0,
              reference=peer, status="peer"),
        Check(f"{dimension}-D: processor time of gcrotmk over that of GCRO-DR", taken["gcrotmk"] / taken["gcrodr"], ">=", 1.3,
              reference=peer, status="peer"),
    ]  # fmt: skip
    if dimension == 3:  # in the plane a factorisation is faster than any of these
        ratio = taken["splu"] / taken["gcrodr"]
        reference = f"scipy.sparse.linalg.splu of SciPy {metadata.version('scipy')}"
        checks.append(Check("3-D: processor time of SuperLU over that of GCRO-DR", ratio, ">=", 8.0, reference=reference, status="peer"))
    return checks


def _systems(dimension: int, resolution: int, samples: int) -> list[LinearSystem]:
    wavenumber = ["problem.wavenumber.low=8.0", "problem.wavenumber.high=12.0", "problem.wavenumber.steepness=3.0"]
    problem = load_recipe("helmholtz3d", [f"problem.dimension={dimension}", f"problem.resolution={resolution}", *wavenumber]).problem
    return [linear_system(problem, problem.sample(seed_words(0, 0, index))) for index in range(samples)]


def _measured(systems: list[LinearSystem]) -> dict[str, Any]:
    """Products of each system, seconds a system after the first, and what the solutions of GCRO-DR leave."""
    pairs = [(system.operator, system.rhs) for system in systems]
    linear_solve(*pairs[0], SETTINGS, rtol=0.5)  # compiles
    solutions, spent = [], []
    sequence = solve_sequence(pairs, SETTINGS, rtol=RTOL)
    for _ in pairs:
        spent.append(seconds(lambda: solutions.append(next(sequence))))
    theirs, their_time = _gcrotmk(pairs)
    gmres = linear_solve(*pairs[1], GMRES(40), rtol=RTOL, maxiter=PATIENCE)
    assert isinstance(pairs[1][0], StencilOperator)
    matrix = pairs[1][0].to_csr().tocsc()
    direct = seconds(lambda: spla.splu(matrix).solve(pairs[1][1].ravel()))
    return {
        "products": {
            "gcrodr": [solution.info["matvecs"] for solution in solutions],
            "gcrotmk": theirs,
            "gmres": gmres.info["matvecs"],
        },
        "seconds": {"gcrodr": float(np.mean(spent[1:])), "gcrotmk": their_time, "splu": direct},
        "residuals": [solution.relative_residual for solution in solutions],
    }


def _gcrotmk(pairs: list[tuple[Any, Array]]) -> tuple[list[int], float]:
    """Products a system, and mean seconds after the first; the inner dimension leaves the same number of vectors to the search."""
    CU: list[Any] = []
    products, spent = [], []
    for A, b in pairs:
        calls: list[None] = []

        def matvec(x: Array, A: Any = A, calls: list[None] = calls) -> Array:
            calls.append(None)
            return np.asarray(A @ x)

        operator = spla.LinearOperator(A.shape, matvec, dtype=np.float64)
        dims = {"m": SETTINGS.restart - SETTINGS.recycle_dim, "k": SETTINGS.recycle_dim}
        spent.append(seconds(partial(spla.gcrotmk, operator, b.ravel(), rtol=RTOL, CU=CU, discard_C=True, maxiter=300, **dims)))
        products.append(len(calls))
    return products, float(np.mean(spent[1:]))
