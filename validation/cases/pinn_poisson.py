"""Networks with hard conditions on Poisson's equation, against closed forms, beside the grid solver and DeepXDE.

On the square ``sin(pi x) sin(pi y)`` with values on all sides, and a wave with two sides that prescribe the flux; on the disk
``(1 - r^2) exp(x)``. All are trained as `sciml train --model pinn` does it without being told more: geodesic steps, then Sven's. The wave
is also solved by second-order differences, whose errors and seconds stand beside: a network is far slower than a solver on a grid, and in
smooth problems more accurate than any grid that fits into memory. DeepXDE trains the same network with the same hard conditions by Adam and
L-BFGS, where it is installed.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.discretize import linear_system
from sciml.geometry import Disk
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.problems import Poisson
from sciml.problems.strong_form import Condition, StrongForm
from sciml.training import EquationSettings
from sciml.training.equation_optimizers import Stepper
from solvers import linear_solve
from validation.figures import Figure, lines
from validation.networks import error_map, on_boundary, on_grid
from validation.options import check_between
from validation.peers import deepxde_pinn

Array = NDArray[np.float64]
U = "potential"
WAVES = {"wavenumbers": [math.pi, math.pi], "phases": [-math.pi / 2, -math.pi / 2]}
TURNED = {"wavenumbers": [2.0, 3.0], "phases": [0.3, 0.7]}
FLUXES = {"x_low": "neumann", "y_high": "neumann"}
#: Name: points, steps, gate of the relative L2 error.
BUDGETS = {"square": (900, 80, 1e-8), "square with two fluxes": (900, 80, 1e-8), "disk": (2500, 100, 1e-8)}
GRIDS = (32, 64, 128)
COST = "about 20 s, with DeepXDE a minute"


def run(*, seed: int = 0, adam: int = 2000, lbfgs: int = 2000) -> CheckReport:
    """Weights from `seed`; DeepXDE is given `adam` and `lbfgs` iterations."""
    check_between("seed", seed, 0, 2**31)
    check_between("adam", adam, 1, 10**6)
    check_between("lbfgs", lbfgs, 1, 10**6)
    start = time.perf_counter()
    checks, rows, curves, trained = [], {}, {}, {}
    for name, form in problems().items():
        points, steps, gate = BUDGETS[name]
        pinn, losses, seconds = _trained(form, points, steps, seed)
        error = relative_error(pinn)
        checks.append(Check(f"{name}: relative L2 error", error, "<=", gate, reference="closed form", status="exact"))
        deviation = on_boundary(pinn)
        checks.append(Check(f"{name}: deviation from given values", deviation, "<=", 1e-14, reference="hard conditions", status="exact"))
        rows[name] = {"relative L2": error, "steps": steps, "processor seconds": seconds}
        curves[name], trained[name] = (np.arange(1, len(losses) + 1), np.array(losses)), pinn
    grids = [_solved(n) for n in GRIDS]
    order = math.log2(grids[-2]["relative L2"] / grids[-1]["relative L2"])
    checks.append(Check(f"differences on {GRIDS[-2]} and {GRIDS[-1]} cells: observed order", order, ">=", 1.9, reference="second order"))
    details: dict[str, Any] = {"networks": rows, "grid solver": dict(zip(map(str, GRIDS), grids, strict=True))}
    reason = deepxde_pinn.missing()
    if reason is not None:
        details["DeepXDE"] = f"left out: {reason}"
    else:
        x, exact = _unseen(trained["square"].form)
        peer = deepxde_pinn.train("poisson", x, adam=adam, lbfgs=lbfgs, seed=seed)
        theirs = _distance(peer.values[:, 0], exact)
        details["DeepXDE"] = {"code": deepxde_pinn.name(), "relative L2": theirs, "processor seconds": peer.seconds}
        gain = theirs / rows["square"]["relative L2"]
        what = f"square: DeepXDE's error over ours, {peer.seconds / rows['square']['processor seconds']:.0f} times our seconds"
        checks.append(Check(what, gain, ">=", 100.0, reference=deepxde_pinn.name(), status="peer"))
    details["figures"] = _figures(trained, curves)
    return CheckReport("pinn-poisson", checks, time.perf_counter() - start, details)


def problems() -> dict[str, StrongForm]:
    return {
        "square": Poisson.model_validate({"solution": WAVES}).strong_form({}),
        "square with two fluxes": Poisson.model_validate({"solution": TURNED, "boundary": FLUXES}).strong_form({}),
        "disk": _disk(),
    }


def _disk() -> StrongForm:
    def exact(x: Any, y: Any) -> Any:
        return (1 - x * x - y * y) * np.exp(x)

    def source(x: Any, y: Any) -> Any:
        return (3 + 4 * x + x * x + y * y) * np.exp(x)

    return StrongForm(
        Disk((0.0, 0.0), 1.0, part="rim"),
        (U,),
        lambda jets, given: (-jets[U].laplacian - given["source"].value,),
        ("balance",),
        parameters={"source": source},
        conditions={U: (Condition("rim", "dirichlet", 0.0),)},
        exact={U: exact},
    )


def _trained(form: StrongForm, points: int, steps: int, seed: int) -> tuple[PINN, list[float], float]:
    torch.manual_seed(seed)
    pinn = PINN(form, width=64, depth=1)
    start = time.process_time()
    step = Stepper(EquationSettings(optimizer="sven", steps=steps), pinn.network, EquationResiduals(pinn, *collocation(form, points)))
    losses = [step(k) for k in range(steps)]
    return pinn, losses, time.process_time() - start


def relative_error(pinn: PINN) -> float:
    x, exact = _unseen(pinn.form)
    return _distance(pinn.predict(x)[U], exact)


def _unseen(form: StrongForm) -> tuple[Array, Array]:
    """Points that no residual was taken at, and the exact values there."""
    x = form.geometry.interior(5000, seed=1)
    assert form.exact is not None
    return x, np.asarray(form.exact[U](*x.T))  # type: ignore[operator]


def _distance(found: Array, exact: Array) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def _solved(n: int) -> dict[str, float]:
    """The square with two fluxes by second-order differences on n x n cells."""
    problem = Poisson.model_validate({"solution": TURNED, "boundary": FLUXES, "resolution": n})
    system = linear_system(problem, {})
    start = time.process_time()
    found = linear_solve(system.operator, system.rhs, rtol=1e-12).raise_for_status().x
    seconds = time.process_time() - start
    fields = problem.exact({})
    assert fields is not None
    return {"relative L2": _distance(system.unpack(found)[U], fields[U]), "processor seconds": seconds}


def _figures(trained: dict[str, PINN], curves: dict[str, Any]) -> list[Figure]:
    grid = (np.arange(96) + 0.5) / 96
    found = on_grid(trained["square"], grid, grid)[U]
    exact = np.outer(np.sin(math.pi * grid), np.sin(math.pi * grid))
    return [
        error_map("Error on the square", grid, grid, np.abs(found - exact)),
        lines("Mean square of the residuals", "step", "loss", curves, log="y"),
    ]
