"""Kovasznay's flow behind a grid: a closed form of the steady equations, approached exponentially by a spectral Newton solver.

``u = 1 - exp(lambda x) cos(2 pi y)``, ``v = lambda / (2 pi) exp(lambda x) sin(2 pi y)`` with ``lambda = Re / 2 - sqrt(Re^2 / 4 + 4 pi^2)``
(Kovasznay 1948). Its velocities on the sides of (-1/2, 1) x (-1/2, 1/2) are given; the flow between is solved for.
"""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers.flow import Side, StreamfunctionProblem, solve_streamfunction
from validation.figures import field, lines
from validation.options import check_between

Array = NDArray[np.float64]
X, Y = (-0.5, 1.0), (-0.5, 0.5)
DEGREES = (14, 16, 18, 20, 22, 26, 30)


def run(*, re: float = 40.0) -> CheckReport:
    """At the Reynolds number `re` of mean velocity and spacing of the grid."""
    check_between("re", re, 1.0, 400.0)
    start = time.perf_counter()
    errors = [error(re, degree) for degree in DEGREES]
    rate = math.log10(errors[0] / errors[4]) / (DEGREES[4] - DEGREES[0])
    checks = [
        Check("largest error of u and v at degree 30", errors[-1], "<=", 1e-10, reference="closed form, Kovasznay 1948", status="exact"),
        Check("digits gained by a degree", rate, ">=", 0.3, reference="exponential convergence", status="exact"),
    ]
    x, y = np.linspace(*X, 97), np.linspace(*Y, 97)
    psi = exact(re, x[:, None], y[None, :])[0]
    figures = [
        lines("Error against degree", "degree", "largest error of u and v", {"Newton": (DEGREES, errors)}, log="y"),
        field(f"Streamfunction at Re = {re:g}", "psi", x, y, psi.T, np.linspace(-1, 1, 21)),
    ]
    return CheckReport(
        "kovasznay", checks, time.perf_counter() - start, {"errors": dict(zip(DEGREES, errors, strict=True)), "figures": figures}
    )


def exact(re: float, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """psi, u and v."""
    rate, k = re / 2 - math.sqrt(re**2 / 4 + 4 * math.pi**2), 2 * math.pi
    decay = np.exp(rate * x)
    return y - decay * np.sin(k * y) / k, 1 - decay * np.cos(k * y), rate / k * decay * np.sin(k * y)


def error(re: float, degree: int) -> float:
    """Largest error of both velocities on a grid of points."""
    upright = Side(lambda x, y: exact(re, x, y)[0], lambda x, y: -exact(re, x, y)[2])
    flat = Side(lambda x, y: exact(re, x, y)[0], lambda x, y: exact(re, x, y)[1])
    problem = StreamfunctionProblem(1 / re, X, Y, {"left": upright, "right": upright, "bottom": flat, "top": flat})
    flow = solve_streamfunction(problem, degree).raise_for_status()
    x, y = np.linspace(*X, 41), np.linspace(*Y, 41)
    jet = flow.jet(x, y)
    _, u, v = exact(re, x[:, None], y[None, :])
    return float(max(np.abs(jet.psi_y - u).max(), np.abs(-jet.psi_x - v).max()))
