"""Random walks on spheres and stars: z-scores against closed forms, and the bias of stopping near the boundary.

At every point z = (mean - exact) / standard error is a normal number where the method has no bias and its standard errors are right. Three
figures of each problem see different faults: the largest |z| one bad point, the root mean square standard errors that are too small or
too large, the mean times the root of the number of points a small bias that all points share. Their gates let all checks of a right
method pass together with a probability of 0.999, by Bonferroni's bound over all of them. Epsilon is so small that its bias is far below
the errors, and points are 0.1 away from the boundary at least, where means of a thousand walks are normal. The report on epsilon
measures that bias where it is large, by walks that go on from one epsilon to the next.

The corner of 3 pi / 2 has unbounded derivatives; walls there hide each other, in the plane and in space.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy import stats

from sciml.checks import Check, CheckReport
from solvers.montecarlo import Estimate, epsilon_report, walk_gradients, walk_on_spheres
from validation.options import check_between
from validation.walk_problems import WalkProblem, problems

EPSILON = 1e-5
LEVEL = 1e-3


def run(*, points: int = 50, walks: int = 1000, seed: int = 0) -> CheckReport:
    """Walk `walks` times from each of `points` points of every problem, and as many pairs for gradients."""
    check_between("points", points, 10, 1000)
    check_between("walks", walks, 500, 100_000)
    check_between("seed", seed, 0, 2**32 - 1)
    start = time.perf_counter()
    known = problems()
    estimates = {name: _estimate(problem, points, walks, seed) for name, problem in known.items()}
    sloped = {name: problem for name, problem in known.items() if problem.gradient is not None}
    estimates |= {f"gradient: {name}": _gradient(problem, points, walks, seed) for name, problem in sloped.items()}
    tests = 3 * len(estimates)
    checks = [check for name, (estimate, exact) in estimates.items() for check in judged(name, estimate, exact, tests)]
    truncated = sum(int(estimate.n_truncated.sum()) for estimate, _ in estimates.values())
    checks.append(Check("walks that were given up", truncated, "<=", 0, unit="walks", reference="every walk ends", status="exact"))
    checks += _bias(known["equilateral triangle, torsion"], points, 4 * walks, seed)
    figures = {name: _figures(estimate, exact) for name, (estimate, exact) in estimates.items()}
    return CheckReport("wos", checks, time.perf_counter() - start, {"epsilon": EPSILON, "problems": figures})


def _estimate(problem: WalkProblem, points: int, walks: int, seed: int) -> tuple[Estimate, np.ndarray]:
    x = problem.points(points, seed)
    return walk_on_spheres(problem.boundary, x, **problem.data, n_walks=walks, epsilon=EPSILON, seed=seed), problem.exact(*x.T)


def _gradient(problem: WalkProblem, points: int, walks: int, seed: int) -> tuple[Estimate, np.ndarray]:
    if problem.gradient is None:
        raise ValueError("the problem has no gradient")
    x = problem.points(points, seed)
    found = walk_gradients(problem.boundary, x, **problem.data, n_walks=walks, epsilon=EPSILON, seed=seed)
    return found, np.stack(problem.gradient(*x.T), axis=1)


def judged(name: str, estimate: Estimate, exact: np.ndarray, tests: int) -> list[Check]:
    """Three figures of z-scores, as one of `tests` that pass together with a probability of 1 - `LEVEL`."""
    z = (estimate.mean - exact) / estimate.standard_error
    # components of one gradient share their walks: whole points are independent, so that points and not components are counted
    independent = len(z)
    largest = float(stats.norm.isf(LEVEL / tests / 2 / z.size))
    mean = float(stats.norm.isf(LEVEL / tests / 2))
    low, high = (float(np.sqrt(stats.chi2.ppf(q, independent) / independent)) for q in (LEVEL / tests / 2, 1 - LEVEL / tests / 2))
    shared = float(np.abs(z.mean(axis=0)).max() * np.sqrt(independent))
    reference = f"closed form; error {np.median(estimate.standard_error):.1e}, {estimate.mean_steps.mean():.0f} steps"
    return [
        Check(f"{name}: largest |z|", float(np.abs(z).max()), "<=", largest, reference=reference, status="exact"),
        Check(f"{name}: root mean square z", float(np.sqrt((z**2).mean())), "in", (low, high), reference=reference, status="exact"),
        Check(f"{name}: bias that points share, in errors", shared, "<=", mean, reference=reference, status="exact"),
    ]


def _figures(estimate: Estimate, exact: np.ndarray) -> dict[str, Any]:
    return {
        "rms error": float(np.sqrt(np.mean((estimate.mean - exact) ** 2))),
        "rms standard error": float(np.sqrt(np.mean(estimate.standard_error**2))),
        "mean steps": float(estimate.mean_steps.mean()),
    }


def _bias(problem: WalkProblem, points: int, walks: int, seed: int) -> list[Check]:
    """The bias of epsilon, from a seventh of the inscribed radius down, is linear, and Richardson's extrapolation takes it off."""
    x = problem.points(points, seed)
    report = epsilon_report(problem.boundary, x, **problem.data, n_walks=walks, epsilon=0.01, levels=3, seed=seed)
    exact = problem.exact(*x.T)
    steps = report.difference.mean(axis=1)
    errors = np.sqrt((report.difference_error**2).sum(axis=1)) / len(x)
    order, slack = np.log2(steps[0] / steps[1]), np.hypot(*(errors / steps)) / np.log(2)
    z = (report.extrapolated - exact) / report.extrapolated_error
    bias = float((report.mean[-1] - exact).mean()), float((report.extrapolated - exact).mean())
    what = f"epsilon 0.04, 0.02, 0.01: order of the bias, known to {slack:.2f}"
    bound = float(stats.norm.isf(LEVEL / 2))
    shared = float(np.abs(z.mean()) * np.sqrt(len(z)))
    return [
        Check(what, float(order), "in", (1 - 0.1 - 3 * slack, 1 + 0.1 + 3 * slack), reference="first order", status="exact"),
        Check("epsilon: bias of the extrapolated, in errors", shared, "<=", bound, reference="closed form", status="exact"),
        Check("epsilon: mean bias, extrapolated over that at 0.01", abs(bias[1] / bias[0]), "<=", 0.2, reference="Richardson"),
    ]
