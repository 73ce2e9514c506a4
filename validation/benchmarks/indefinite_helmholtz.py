"""MINRES with a multigrid cycle on Helmholtz's equation in a cube, beside SciPy's SuperLU.

The operator of the first samples of the dataset `helmholtz3d`, k = 10, seven negative eigenvalues. MINRES includes building the
hierarchy; SuperLU is `scipy.sparse.linalg.splu` with its default ordering and pivoting, assembly of the matrix not counted. Times are
processor times, the smallest of the samples. SuperLU's residual is far below the tolerance: that is what a direct solve gives.
"""

from __future__ import annotations

import logging
import time
from importlib import metadata

import numpy as np
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.data.recipe import load_recipe
from sciml.discretize import LinearSystem, linear_system
from sciml.problems import seed_words
from solvers import linear_solve
from solvers.linear import StencilOperator
from validation.options import check_between

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

RTOL = 1e-8


def run(*, resolution: int = 32, samples: int = 2) -> CheckReport:
    """Solve the first `samples` samples on `resolution` cells an axis both ways."""
    check_between("resolution", resolution, 16, 64)
    check_between("samples", samples, 1, 100)
    start = time.perf_counter()
    problem = load_recipe("helmholtz3d", [f"problem.resolution={resolution}"]).problem
    systems = [linear_system(problem, problem.sample(seed_words(0, 0, index))) for index in range(samples)]
    linear_solve(systems[0].operator, systems[0].rhs, "minres", maxiter=1)  # compiles
    seconds: dict[str, list[float]] = {"minres": [], "splu": []}
    iterations, residuals, differences = [], [], []
    for system in systems:
        began = time.process_time()
        solution = linear_solve(system.operator, system.rhs, "minres", rtol=RTOL)
        seconds["minres"].append(time.process_time() - began)
        x, spent = _direct(system)
        seconds["splu"].append(spent)
        iterations.append(solution.iterations)
        residuals.append(solution.relative_residual)
        differences.append(float(np.linalg.norm(solution.x - x) / np.linalg.norm(x)))
        log.info("MINRES %.3f s, %d iterations; SuperLU %.3f s", seconds["minres"][-1], iterations[-1], spent)
    peer = f"scipy.sparse.linalg.splu of SciPy {metadata.version('scipy')}"
    ratio = min(seconds["splu"]) / min(seconds["minres"])
    checks = [
        Check("largest relative residual", max(residuals), "<=", RTOL, reference="rtol, recomputed", status="exact"),
        Check("largest difference to the direct solution", max(differences), "<=", 1e-5, reference=peer, status="peer"),
        Check("iterations", max(iterations), "<=", 100),
        Check("processor time of SuperLU over that of MINRES", ratio, ">=", 5.0, reference=peer, status="peer"),
    ]
    details = {"cells": problem.domain.shape, "iterations": iterations, "seconds": seconds}
    return CheckReport("indefinite-helmholtz", checks, time.perf_counter() - start, details)


def _direct(system: LinearSystem) -> tuple[Array, float]:
    """Solution and seconds of SuperLU."""
    assert isinstance(system.operator, StencilOperator)
    matrix = system.operator.to_csr().tocsc()
    began = time.process_time()
    x = spla.splu(matrix).solve(system.rhs.ravel())
    return x.reshape(system.rhs.shape), time.process_time() - began
