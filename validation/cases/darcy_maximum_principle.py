"""Darcy pressure obeys the maximum principle: no source, no extremum inside; a positive source, no minimum inside."""

from __future__ import annotations

import time

import numpy as np

from sciml.checks import Check, CheckReport
from sciml.discretize import linear_system
from sciml.problems import Darcy, seed_words
from solvers import linear_solve
from validation.options import check_between

LAWS = ("binary", "log_normal", "smooth_step")
RTOL = 1e-10
SLACK = 1e-8  # what an error of size rtol, amplified by the condition of a 64 x 64 system, may do


def run(*, samples: int = 5, resolution: int = 64, seed: int = 0) -> CheckReport:
    """Solve `samples` random media of each law twice: driven by its sides alone, and by a source with zero pressure on all sides."""
    check_between("samples", samples, 1, 10_000)
    check_between("resolution", resolution, 4, 512)
    check_between("seed", seed, 0, 2**63 - 1)
    start = time.perf_counter()
    checks = []
    for law in LAWS:
        sides = [_range(_driven_by_sides(law, resolution), seed, i) for i in range(samples)]
        below, above = max(-low for low, _ in sides), max(high - 1.0 for _, high in sides)
        lowest = min(_range(_driven_by_source(law, resolution), seed, i)[0] for i in range(samples))
        bound = "maximum principle"
        checks += [
            Check(f"{law}: below the smallest boundary value", below, "<=", SLACK, reference=bound, status="exact"),
            Check(f"{law}: above the largest boundary value", above, "<=", SLACK, reference=bound, status="exact"),
            Check(f"{law}: smallest pressure with a positive source", lowest, ">=", 0.0, reference=bound, status="exact"),
        ]
    return CheckReport("darcy-maximum-principle", checks, time.perf_counter() - start)


def _driven_by_sides(law: str, resolution: int) -> Darcy:
    sides = {"x_low": {"kind": "dirichlet", "value": 1.0}, "y_low": "neumann", "y_high": {"kind": "dirichlet", "value": 0.25}}
    return Darcy.model_validate({"resolution": resolution, "permeability": {"kind": law}, "source": 0.0, "boundary": sides})


def _driven_by_source(law: str, resolution: int) -> Darcy:
    return Darcy.model_validate({"resolution": resolution, "permeability": {"kind": law}, "source": 1.0})


def _range(problem: Darcy, seed: int, index: int) -> tuple[float, float]:
    system = linear_system(problem, problem.sample(seed_words(seed, 0, index)))
    solution = linear_solve(system.operator, system.rhs, rtol=RTOL).raise_for_status()
    pressure = np.asarray(solution.x)
    return float(pressure.min()), float(pressure.max())
