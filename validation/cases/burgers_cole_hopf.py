"""Burgers' equation against the Cole-Hopf solution: random states, a closed form, and what every solution conserves or loses.

``u = -2 nu phi_x / phi`` solves the Burgers equation where phi solves the heat equation (Hopf 1950, Cole 1951). For random initial
states phi is computed spectrally on a finer grid, without any time integration; for ``phi = 1 + a exp(-nu k^2 t) cos k x`` everything
is closed form, which gives the order of the time integration and its error.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.discretize import SemiDiscrete, discretize, evolve, fields_of
from sciml.problems import Burgers, seed_words
from solvers import integrate
from validation.options import check_between

Array = NDArray[np.float64]
RTOL = 1e-7
VISCOSITIES = (0.1, 0.03, 0.01)
COLE_HOPF = "Cole-Hopf"


def run(*, samples: int = 3, resolution: int = 128, seed: int = 0) -> CheckReport:
    """Random states of the benchmark's law at three viscosities, and the order of ETDRK4 on the closed form."""
    check_between("samples", samples, 1, 100)
    check_between("resolution", resolution, 128, 1024)
    start = time.perf_counter()
    checks = [check for viscosity in VISCOSITIES for check in _random_states(viscosity, samples, resolution, seed)]
    checks += _order()
    return CheckReport("burgers-cole-hopf", checks, time.perf_counter() - start)


def _random_states(viscosity: float, samples: int, resolution: int, seed: int) -> list[Check]:
    problem = Burgers.model_validate({"resolution": resolution, "viscosity": viscosity, "times": (0.5, 1.0)})
    errors, drifts, energies = [], [], []
    for index in range(samples):
        parameters = problem.sample(seed_words(seed, 0, index))
        system = discretize(problem, parameters)
        assert isinstance(system, SemiDiscrete)
        found = fields_of(system, evolve(problem, system, RTOL).raise_for_status())["velocity"]
        exact = problem.exact(parameters)
        assert exact is not None
        norms = np.linalg.norm(exact["velocity"], axis=1)
        errors.append(float(np.max(np.linalg.norm(found - exact["velocity"], axis=1) / norms)))
        start = parameters["initial_velocity"]
        drifts.append(float(np.abs(found.mean(axis=1) - start.mean()).max()) / float(np.abs(start).max()))
        bound = np.exp(-viscosity * (2 * np.pi) ** 2 * np.array(problem.times)) * np.linalg.norm(start)
        energies.append(float(np.max(np.linalg.norm(found, axis=1) / bound)))
    name = f"nu = {viscosity:g}"
    # Beside the time error only what the grid cuts off the products is left, below 1e-8 on 128 points and at these viscosities.
    return [
        Check(f"{name}: relative L2 error at t = 0.5, 1", max(errors), "<=", RTOL + 1e-8, reference=COLE_HOPF, status="exact"),
        Check(f"{name}: drift of the mean", max(drifts), "<=", 1e-14, reference="conservation of the mean", status="exact"),
        Check(f"{name}: norm over its bound", max(energies), "<=", 1.0, reference="Poincare's inequality", status="exact"),
    ]


def _order() -> list[Check]:
    """Slopes of the error of the closed form over the last two halvings, and the error at the finest step."""
    viscosity, problem = 0.02, Burgers.model_validate({"resolution": 64, "viscosity": 0.02})
    x = problem.grid.centers(0)
    system = discretize(problem, {"initial_velocity": _closed_form(x, 0.0, viscosity)})
    assert isinstance(system, SemiDiscrete)
    exact, errors = _closed_form(x, 1.0, viscosity), []
    for steps in (8, 16, 32, 64):
        y = integrate(system, (0.0, 1.0), system.state0, "etdrk4", control="fixed", dt=1.0 / steps).ys[-1]
        errors.append(float(np.linalg.norm(system.unpack(y)["velocity"] - exact) / np.linalg.norm(exact)))
    slopes = [math.log2(coarse / fine) for coarse, fine in pairwise(errors[1:])]
    found = [
        Check(f"closed form: order from {n} to {2 * n} steps", slope, "in", (3.9, 4.1), reference=COLE_HOPF, status="exact")
        for n, slope in zip((16, 32), slopes, strict=True)
    ]
    return [*found, Check("closed form: relative error of 64 steps", errors[-1], "<=", 5e-10, reference=COLE_HOPF, status="exact")]


def _closed_form(x: Array, t: float, viscosity: float) -> Array:
    k = 2 * np.pi
    a = 0.5 * math.exp(-viscosity * k**2 * t)
    return np.asarray(2 * viscosity * k * a * np.sin(k * x) / (1 + a * np.cos(k * x)))
