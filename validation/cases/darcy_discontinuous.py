"""Darcy flow through media that jump, in the plane: harmonic face averages keep the order that the solution allows, arithmetic ones do not.

Three closed forms, cell-centred finite volumes, no source:

* Two media side by side, flow along and across them: ``u = X(x) cos(pi y)``, smooth on either side of a jump that lies on faces. Harmonic
  averages converge with order 2, whatever the contrast. Arithmetic averages take the resistance of the one cell face on the jump wrongly,
  and all of them lose an order to it.
* Four quadrants in turns of 1 and R, pressure held on two sides, no flow through the others. The medium is its own dual, so that its
  permeability is the geometric mean, sqrt(R) (Keller 1964, J. Math. Phys. 5, 548; Dykhne 1971). Around the point where they meet the
  pressure grows like r^g with ``tan(pi g / 4) = R^(-1/2)``, which leaves an order of 2 g on equal cells (Kellogg's problem).
* A disc in another medium, in a uniform flow: a dipole outside, a uniform flow inside. Its edge crosses the cells, which have the medium of
  their centres: order 1 is all that any average gives.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers import linear_solve
from solvers.linear import StencilOperator, diffusion_operator
from solvers.linear.stencil import Side, Sides
from validation.figures import Figure, field, lines
from validation.options import check_between

Array = NDArray[np.float64]
Exact = Callable[[Array, Array], Array]
D: Side = "dirichlet"
N: Side = "neumann"
COARSEST = 16
RADIUS = 0.3
CONTRASTS = (10.0, 1e3)
QUADRANTS = (4.0, 9.0)
DISCS = (10.0, 0.1)


def run(*, grids: int = 5) -> CheckReport:
    """Solve on `grids` grids, each twice as fine, from 16^2."""
    check_between("grids", grids, 3, 7)
    start = time.perf_counter()
    sizes = [COARSEST * 2**level for level in range(grids)]
    checks: list[Check] = []
    curves: dict[str, Any] = {}
    for contrast in CONTRASTS:
        for average in ("harmonic", "arithmetic"):
            errors = [_side_by_side(n, contrast, average) for n in sizes]
            curves[f"{average}, 1:{contrast:g}"] = (sizes, errors, "line" if average == "harmonic" else "dashed")
            checks.append(_order(f"side by side, 1:{contrast:g}, {average} averages", errors, 2.0 if average == "harmonic" else 1.0, 0.15))
    effective: dict[str, Any] = {}
    for contrast in QUADRANTS:
        found = [quadrant_permeability(n, contrast) for n in sizes]
        errors = [abs(value / math.sqrt(contrast) - 1) for value in found]
        effective[f"quadrants, 1:{contrast:g}"] = (sizes, errors)
        order = 8 / math.pi * math.atan(1 / math.sqrt(contrast))
        limit = (found[-1] * 2**order - found[-2]) / (2**order - 1)
        checks.append(_order(f"quadrants, 1:{contrast:g}", errors, order, 0.05))
        name = f"quadrants, 1:{contrast:g}: |permeability / sqrt({contrast:g}) - 1|, extrapolated"
        checks.append(Check(name, abs(limit / math.sqrt(contrast) - 1), "<=", 2e-3, reference="Keller 1964, duality", status="exact"))
    for contrast in DISCS:
        errors = [_error(n, *disc(contrast))[0] for n in sizes]
        curves[f"disc, {contrast:g}"] = (sizes, errors, "points")
        slope = -float(np.polyfit(np.log(sizes), np.log(errors), 1)[0])
        checks.append(
            Check(f"disc of {contrast:g}: order over all grids", slope, "in", (0.7, 1.5), reference="dipole; cells cut", status="exact")
        )
    details = {"errors": {name: curve[1] for name, curve in (curves | effective).items()}, "figures": _figures(curves, effective)}
    return CheckReport("darcy-discontinuous", checks, time.perf_counter() - start, details)


def _order(name: str, errors: list[float], expected: float, margin: float) -> Check:
    observed = math.log2(errors[-2] / errors[-1])
    reference = f"theory: {expected:.3g}"
    return Check(
        f"{name}: order, last refinement", observed, "in", (expected - margin, expected + margin), reference=reference, status="exact"
    )


def centres(n: int) -> tuple[Array, Array]:
    """Coordinates of the cell centres of the unit square about the origin, each of shape (n, n)."""
    along = (np.arange(n) + 0.5) / n - 0.5
    x, y = np.meshgrid(along, along, indexing="ij")
    return x, y


def side_by_side(contrast: float) -> tuple[Exact, Exact, Sides]:
    """Pressure, medium and sides: 1 on the left, `contrast` on the right; the flux through the jump is the same on both sides of it."""

    def pressure(x: Array, y: Array) -> Array:
        slope = np.where(x < 0, 1.0, 1.0 / contrast)
        return np.asarray((np.cosh(np.pi * x) + slope * np.sinh(np.pi * x)) * np.cos(np.pi * (y + 0.5)))

    return pressure, lambda x, y: np.where(x < 0, 1.0, contrast), ((D, D), (N, N))


def disc(contrast: float) -> tuple[Exact, Exact, Sides]:
    """A disc of `contrast` in a medium of 1, in a flow that is uniform far away; the exact pressure is held on all sides."""
    dipole = (contrast - 1) / (contrast + 1)

    def pressure(x: Array, y: Array) -> Array:
        r2 = np.maximum(x**2 + y**2, RADIUS**2)  # inside the factor is that of the edge
        return np.asarray(x * (1 - dipole * RADIUS**2 / r2))

    return pressure, lambda x, y: np.where(x**2 + y**2 < RADIUS**2, contrast, 1.0), ((D, D), (D, D))


def quadrant_permeability(n: int, contrast: float) -> float:
    """Flux for a pressure drop of one along x through four quadrants, 1 and `contrast` in turns; no flow through the sides of y."""
    x, y = centres(n)
    A = operator(np.where(x * y > 0, contrast, 1.0), ((D, D), (N, N)))
    inflow = A.faces[0][0]  # half a cell from the side to the first centres
    b = np.zeros((n, n))
    b[0] = inflow
    p = linear_solve(A, b, rtol=1e-12).raise_for_status().x
    return float((inflow * (1 - p[0])).sum()) / n**2


def operator(a: Array, sides: Sides, average: str = "harmonic") -> StencilOperator:
    """This package's operator, which averages harmonically; or the same with arithmetic averages on the faces inside."""
    n = len(a)
    A = diffusion_operator(a, spacing=(1 / n, 1 / n), sides=sides)
    if average == "harmonic":
        return A
    x_faces, y_faces = (face.copy() for face in A.faces)
    x_faces[1:-1], y_faces[:, 1:-1] = (a[1:] + a[:-1]) * n**2 / 2, (a[:, 1:] + a[:, :-1]) * n**2 / 2
    return replace(A, faces=(x_faces, y_faces), constant=None)


def _side_by_side(n: int, contrast: float, average: str) -> float:
    return _error(n, *side_by_side(contrast), average)[0]


def _error(n: int, pressure: Exact, medium: Exact, sides: Sides, average: str = "harmonic") -> tuple[float, Array]:
    """Relative L2 error at the cell centres, and the computed pressure, for Dirichlet sides that hold the exact one."""
    x, y = centres(n)
    A = operator(medium(x, y), sides, average)
    b = np.zeros((n, n))
    for end, wall in ((0, -0.5), (-1, 0.5)):
        along = x[:, 0]
        b[end] += A.faces[0][end] * pressure(np.full(n, wall), along)
        if sides[1][0] == D:
            b[:, end] += A.faces[1][:, end] * pressure(along, np.full(n, wall))
    computed = linear_solve(A, b, rtol=1e-12).raise_for_status().x
    exact = pressure(x, y)
    return float(np.linalg.norm(computed - exact) / np.linalg.norm(exact)), computed


def _figures(curves: dict[str, Any], effective: dict[str, Any]) -> list[Figure]:
    n = 64
    along = centres(n)[0][:, 0]
    drawn = [
        lines("Pressure", "cells along a side", "relative L2 error", curves, log="xy"),
        lines("Permeability of four quadrants", "cells along a side", "relative error", effective, log="xy"),
    ]
    for title, parts in (("Side by side, 1:10", side_by_side(10.0)), ("Disc of 10", disc(10.0))):
        p = _error(n, *parts)[1]
        drawn.append(field(title, "pressure", along, along, p.T, np.linspace(p.min(), p.max(), 14)[1:-1]))
    return drawn
