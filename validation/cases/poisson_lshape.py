"""Poisson on the L-shaped domain: the corner costs linear and quadratic elements their order, grading gives it back.

``u = r^(2/3) sin(2 theta / 3)`` is harmonic, and its gradient is infinite at the reentrant corner. Elements of any degree converge in L2
with order 4/3 on uniform meshes (Grisvard 1985, theorem 8.4.1.3 and duality). With nodes moved towards the corner, from radius r to
r^beta with beta > 3 k / 2, degree k has its order k + 1 again (Raugel 1978). Linear elements are those of `sciml.discretize.p1`.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.discretize.p1 import elements
from sciml.mesh import Mesh
from solvers import linear_solve
from solvers.elements import Geometry, Space, TriangleMesh, join
from solvers.elements.assembly import Pattern, stiffness
from validation.figures import field, lines
from validation.options import check_between

Array = NDArray[np.float64]
CORNER = 4 / 3
GRADING = {1: 2.0, 2: 4.0}
_COARSEST = 8


def run(*, grids: int = 4) -> CheckReport:
    """Solve on `grids` meshes of each kind, from 8 cells along each unit of the sides, each mesh twice as fine as the one before."""
    check_between("grids", grids, 3, 5)
    start = time.perf_counter()
    cells = [_COARSEST * 2**level for level in range(grids)]
    checks, curves, details = [], {}, {}
    for degree, name in ((1, "linear"), (2, "quadratic")):
        for grading, kind in ((1.0, "uniform"), (GRADING[degree], "graded")):
            errors = [_error(n, grading, degree) for n in cells]
            rate = [float(np.log2(coarse / fine)) for coarse, fine in pairwise(errors)][-1]
            title = f"{name} elements, {kind} mesh"
            uniform = kind == "uniform"
            gate = (CORNER - 0.05, CORNER + 0.05) if uniform else (degree + 0.9, degree + 1.1)
            source = "4/3, the corner's singularity" if uniform else f"{degree + 1}, as without a corner"
            checks.append(Check(f"{title}: order in L2", rate, "in", gate, reference=source, status="exact"))
            curves[title] = (np.array(cells, np.float64), np.array(errors))
            details[title] = {"cells": cells, "L2 error": errors}
    gain = curves["linear elements, uniform mesh"][1][-1] / curves["linear elements, graded mesh"][1][-1]
    checks.append(Check("error of linear elements, uniform over graded", float(gain), ">=", 5.0, reference="equal numbers of unknowns"))
    axis = np.linspace(-1, 1, 81)
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    outside = (points[..., 0] > 1e-9) & (points[..., 1] < -1e-9)
    picture = np.where(outside, np.nan, _exact(points))
    figures = [
        lines("Error against cells along a unit of length", "cells", "L2 error", curves, log="xy"),
        field("Solution", "u", axis, axis, picture, np.linspace(0.1, 1.3, 13)),
    ]
    return CheckReport("poisson-lshape", checks, time.perf_counter() - start, {**details, "figures": figures})


def _exact(points: Array) -> Array:
    angle = np.arctan2(points[..., 1], points[..., 0])
    angle = np.where(angle < -1e-12, angle + 2 * np.pi, angle)  # from the side y = 0, x > 0 counterclockwise
    return np.asarray(np.hypot(points[..., 0], points[..., 1]) ** (2 / 3) * np.sin(2 * angle / 3))


def _mesh(n: int, grading: float) -> TriangleMesh:
    """(-1, 1)^2 without its lower right quarter: three squares of n x n cells, radii in the maximum norm raised to a power."""
    unit = np.linspace(0, 1, n + 1)
    blocks = []
    for x, y in ((0, 0), (-1, 0), (-1, -1)):
        points = np.stack(np.meshgrid(x + unit, y + unit, indexing="ij"), axis=-1)
        radius = np.abs(points).max(axis=-1, keepdims=True)
        blocks.append(points * np.where(radius > 0, radius, 1) ** (grading - 1))
    return join(blocks, {"rim": lambda middles: np.ones(len(middles), bool)})


def _error(n: int, grading: float, degree: int) -> float:
    """L2 norm of the error with the exact values prescribed on the boundary."""
    mesh = _mesh(n, grading)
    space = Space.of(Geometry.of(mesh, 1), degree)
    table, nodes = space.at_quadrature(12), space.numbering.cells
    if degree == 1:
        A = elements(Mesh.build(mesh.points, mesh.triangles)).stiffness(np.asarray(1.0))
    else:
        A = Pattern(nodes, nodes, (space.n, space.n)).matrix(stiffness(table))
    fixed = space.nodes_on("rim")
    free = np.setdiff1d(np.arange(space.n), fixed)
    u = np.zeros(space.n)
    u[fixed] = _exact(space.coordinates[fixed])
    u[free] = linear_solve(A[free][:, free].tocsr(), -(A @ u)[free], rtol=1e-11).raise_for_status().x
    error = u[nodes] @ table.values.T - _exact(table.positions)
    return float(np.sqrt((table.weights * error**2).sum()))
