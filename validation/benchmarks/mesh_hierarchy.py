"""Hierarchy reuse on meshes: interpolations kept for all samples, beside a set-up of PyAMG and a sparse LU for each.

Log-normal and two-phase media on the unit square and cube, linear elements, relative residual 1e-8. All sides use the same V-cycle with
symmetric Gauss-Seidel sweeps and the same conjugate gradients, so that iterations compare; times are processor time, set-up included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import metadata
from itertools import permutations
from typing import Any

import numpy as np
import pyamg
import scipy.sparse as sp

from sciml.checks import Check, CheckReport
from sciml.discretize import LinearSystem, linear_system
from sciml.mesh import Mesh
from sciml.problems import MeshDarcy, seed_words
from solvers import linear_solve
from solvers.linear.amg import Hierarchy
from validation.options import check_between

MEDIA: dict[str, dict[str, Any]] = {
    "log-normal": {"kind": "log_normal", "field": {"kind": "gaussian_random_field", "amplitude": 2.0, "alpha": 2.0}},
    "1 and 1000": {"kind": "binary", "low": 1.0, "high": 1000.0},
}
Preconditioner = Callable[[sp.csr_matrix], Any]
_SMOOTHER = ("gauss_seidel", {"sweep": "symmetric"})


def run(*, plane: int = 96, cube: int = 20, samples: int = 3) -> CheckReport:
    """Solve `samples` media of each law on meshes of plane^2 and cube^3 boxes, cut into triangles and tetrahedra."""
    check_between("plane", plane, 8, 512)
    check_between("cube", cube, 4, 64)
    check_between("samples", samples, 1, 1000)
    start = time.perf_counter()
    checks: list[Check] = []
    details: dict[str, Any] = {"plane": plane, "cube": cube, "samples": samples}
    for mesh in (_box(2, plane), _box(3, cube)):
        for name, law in MEDIA.items():
            case = f"{mesh.dimension}-D, {name}"
            details[case] = figures = _compared(mesh, law, samples)
            own, kept = figures["own set-up"], figures["kept interpolations"]
            limit = 1.5 * own["iterations"]
            peer = f"PyAMG {metadata.version('pyamg')} smoothed aggregation, set up for each matrix"
            checks.append(Check(f"{case}: iterations", kept["iterations"], "<=", limit, reference=f"1.5 x {peer}", status="peer"))
            checks.append(Check(f"{case}: time", kept["seconds"], "<=", own["seconds"], unit="s", reference=peer, status="peer"))
    return CheckReport("mesh-hierarchy", checks, time.perf_counter() - start, details)


def _compared(mesh: Mesh, law: dict[str, Any], samples: int) -> dict[str, dict[str, float]]:
    problem = MeshDarcy.model_validate({"mesh": mesh, "permeability": law})
    systems = [linear_system(problem, problem.sample(seed_words(0, 0, index))) for index in range(samples)]
    mean = linear_system(MeshDarcy.model_validate({"mesh": mesh, "permeability": 1.0}), {}).operator
    hierarchy, frozen = Hierarchy.of(mean), _fresh(mean)
    ways: dict[str, Preconditioner] = {"own set-up": _fresh, "kept interpolations": hierarchy.preconditioner, "all kept": lambda A: frozen}
    figures = {name: _timed(systems, "cg", way) for name, way in ways.items()}
    return figures | {"sparse LU": _timed(systems, "lu", lambda A: None)}


def _timed(systems: list[LinearSystem], method: str, way: Preconditioner) -> dict[str, float]:
    """Medians over the systems."""
    iterations, seconds = [], []
    for system in systems:
        began = time.process_time()
        solution = linear_solve(system.operator, system.rhs, method, M=way(system.operator)).raise_for_status()
        seconds.append(time.process_time() - began)
        iterations.append(solution.iterations)
    return {"iterations": float(np.median(iterations)), "seconds": float(np.median(seconds))}


def _fresh(A: sp.csr_matrix) -> Any:
    return pyamg.smoothed_aggregation_solver(A, presmoother=_SMOOTHER, postsmoother=_SMOOTHER).aspreconditioner(cycle="V")


def _box(dimension: int, n: int) -> Mesh:
    """The unit square or cube in n^d boxes of simplices (Kuhn 1960), inner nodes moved by up to a fifth of a box."""
    points = np.stack([axis.ravel() for axis in np.meshgrid(*[np.arange(n + 1)] * dimension, indexing="ij")], axis=1) / n
    inner = ((points > 0) & (points < 1)).all(axis=1)
    points[inner] += np.random.default_rng(0).uniform(-0.2 / n, 0.2 / n, (int(inner.sum()), dimension))
    stride = (n + 1) ** np.arange(dimension)[::-1]
    corner = np.stack([axis.ravel() for axis in np.meshgrid(*[np.arange(n)] * dimension, indexing="ij")], axis=1) @ stride
    cells = []
    for order in permutations(range(dimension)):
        path = np.concatenate([[0], np.cumsum(stride[list(order)])])
        odd = np.linalg.det(np.eye(dimension)[list(order)]) < 0
        cells.append(corner[:, None] + (path[[1, 0, *range(2, dimension + 1)]] if odd else path))
    return Mesh.build(points, np.concatenate(cells), name=f"{dimension}-D, {n} boxes an axis")
