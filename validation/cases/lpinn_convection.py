"""Networks along characteristics on convection with diffusion, whatever the speed, beside networks of places and times.

From sin x, ``exp(-nu t) sin(x - c t)`` at t = 1. Both kinds have the equation alone, hard initial values and exact periodicity, as many
parameters, collocation points and steps of the same optimizer. What the network of places has to learn turns ever faster with c; what
that of particles has to learn does not know c.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.optimizers import GeodesicLevenbergMarquardt
from sciml.problems import Convection
from sciml.problems.strong_form import StrongForm
from sciml.problems.transport import Transport
from validation.characteristics import PERIOD, at, cells, follow, relative
from validation.figures import lines
from validation.options import check_between

Array = NDArray[np.float64]
SPEEDS = (0.0, 10.0, 30.0, 37.0, 50.0, 70.0, 500.0)
OF_PLACES = (0.0, 10.0, 30.0, 50.0)
FAST, GATE, RATIO, FAILED = 50.0, 1e-4, 2.0, 0.1
CLOSED_FORM = "exp(-nu t) sin(x - c t)"
COST = "a minute"


def run(*, viscosity: float = 0.01, width: int = 16, points: int = 640, steps: int = 40, seed: int = 0) -> CheckReport:
    """With two networks of two layers of `width` units along characteristics, and one of as many parameters in places and times."""
    check_between("viscosity", viscosity, 0.0, 1.0)
    check_between("width", width, 4, 64)
    check_between("points", points, 100, 10_000)
    check_between("steps", steps, 1, 2000)
    start = time.perf_counter()
    followed = {c: _along(c, viscosity, width=width, points=points, steps=steps, seed=seed) for c in SPEEDS}
    fixed = {c: _in_places(c, viscosity, width, points, steps, seed) for c in OF_PLACES}
    checks = [
        *(
            Check(f"along characteristics, c = {c:g}: relative L2 error", error, "<=", GATE, reference=CLOSED_FORM, status="exact")
            for c, error in followed.items()
        ),
        Check(
            f"along characteristics: error at c = {FAST:g} over that at 0",
            followed[FAST] / followed[0.0],
            "<=",
            RATIO,
            reference="Galileo",
            status="exact",
        ),
        Check(f"in places and times, c = {FAST:g}: relative L2 error", fixed[FAST], ">=", FAILED, reference=CLOSED_FORM, status="exact"),
    ]
    details = {
        "in places and times, relative L2 error": {f"c = {c:g}": error for c, error in fixed.items()},
        "figures": [
            lines(
                "Relative L2 error over the speed",
                "c",
                "error",
                {
                    "along characteristics": (SPEEDS[:-1], list(followed.values())[:-1]),
                    "in places and times": (OF_PLACES, list(fixed.values())),
                },
                log="y",
            )
        ],
    }
    return CheckReport("lpinn-convection", checks, time.perf_counter() - start, details)


def _along(c: float, viscosity: float, *, steps: int, seed: int, **settings: int) -> float:
    march, _ = follow(Transport((c,), viscosity, np.sin, PERIOD), 1.0, steps=steps, seed=seed, depth=2, **settings)
    return _error(march.predict(at(cells(), 1.0))["velocity"], c, viscosity)


def _in_places(c: float, viscosity: float, width: int, points: int, steps: int, seed: int) -> float:
    form = in_places(c, viscosity)
    torch.manual_seed(seed)
    pinn = PINN(form, width=equal_width(width), depth=2)
    residuals = EquationResiduals(pinn, *collocation(form, 2 * points))  # of one equation each, against two of a particle
    method = GeodesicLevenbergMarquardt(pinn.network.named_parameters())
    for _ in range(steps):
        method.step(residuals)
    return _error(pinn.predict(at(cells(), 1.0))["concentration"], c, viscosity)


def in_places(c: float, viscosity: float) -> StrongForm:
    """Of the suite's own problem."""
    problem = Convection.model_validate(
        {
            "resolution": 8,
            "extent": PERIOD,
            "speed": c,
            "diffusivity": viscosity,
            "initial_concentration": {"kind": "wave", "wavenumbers": [1.0], "phases": [-np.pi / 2]},
        }
    )
    return problem.strong_form({})


def equal_width(width: int) -> int:
    """Units of two layers with no fewer parameters than two networks with two layers of `width` units; all take 3 inputs to 1 output."""

    def parameters(units: int) -> int:
        return units * (units + 6) + 1

    return next(units for units in range(width, 4 * width) if parameters(units) >= 2 * parameters(width))


def _error(found: Array, c: float, viscosity: float) -> float:
    return relative(found, np.exp(-viscosity) * np.sin(cells() - c))
