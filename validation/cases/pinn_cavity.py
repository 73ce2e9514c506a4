"""A network with hard boundary conditions as the flow in a driven cavity, against a spectral solver for the same lid.

The lid of the unit square slides with the speed 16 x^2 (1 - x)^2, which vanishes with its slope at the corners, where the flow is then
smooth (Shen 1991). Velocity and pressure are outputs of one network in float64; the velocities on the walls are exact whatever its
parameters are. Those are found by Levenberg and Marquardt's method with geodesic acceleration from the residuals of momentum and
continuity at Gauss points, first at Re = 100, then at Reynolds numbers that rise to the one asked for.

The judge is the streamfunction solver of the case `cavity` with this lid; tables for the lid of unit speed are of another flow. The
details of ``--json`` tell the seconds of both: the solver needs a small part of the network's, and is more accurate by orders. DeepXDE
trains two layers with the same hard conditions by Adam and L-BFGS, where it is installed.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.fields import Constant
from sciml.models.pinn import collocation
from sciml.problems.incompressible import Cavity
from sciml.problems.strong_form import StrongForm
from solvers.flow import Side, StreamfunctionFlow, StreamfunctionProblem, solve_streamfunction
from validation.figures import field, lines
from validation.networks import Trained, error_map, on_boundary, on_grid, relative_error, train
from validation.options import check_between
from validation.peers import deepxde_pinn

Array = NDArray[np.float64]
U, V = "velocity_x", "velocity_y"
#: Of the equations. With equal ones and fewer steps on the way, training has ended in what is no flow, at an error of one.
WEIGHTS = (1.0, 1.0, 0.1)
FIRST, FACTOR, STEPS_BETWEEN = 100.0, 4.0, 25
DEGREE = 48  # of the spectral solver
COST = "about a minute and a half"


def run(
    *, re: float = 1000.0, width: int = 24, points: int = 35, steps: int = 150, seed: int = 0, adam: int = 2000, lbfgs: int = 2000
) -> CheckReport:
    """At Reynolds number `re`, with two layers of `width` units, `points` Gauss points along each axis and `steps` at the last number.

    DeepXDE, where it is installed, is given `adam` and `lbfgs` iterations at this number alone.
    """
    check_between("re", re, 1.0, 2500.0)
    check_between("width", width, 4, 64)
    check_between("points", points, 10, 60)
    check_between("steps", steps, 1, 2000)
    check_between("adam", adam, 1, 10**6)
    check_between("lbfgs", lbfgs, 1, 10**6)
    start = time.perf_counter()
    flow, coarser = (reference(re, degree) for degree in (DEGREE, DEGREE - 8))
    solver_seconds = (time.perf_counter() - start) / 2
    numbers = rising(re)
    stages = [(strong_form(number), steps if number == re else STEPS_BETWEEN) for number in numbers]
    trained = train(stages, *collocation(stages[0][0], (points, points)), seed=seed, kind="modified_mlp", width=width, depth=2)
    x, weights = collocation(stages[0][0], (DEGREE, DEGREE))
    exact, found = velocity(flow, DEGREE), trained.pinn.predict(x)
    error = relative_error(found, exact, weights)
    own = relative_error(velocity(coarser, DEGREE), exact, weights)
    gate, judge = 1e-3 if re <= 100 else 1e-2, "spectral solver, same lid"
    checks = [
        Check("relative error of velocity in the mean square", error, "<=", gate, reference=judge, status="converged"),
        Check("spectral solver: the same change from 8 degrees fewer", own, "<=", 1e-2 * gate, reference="own convergence"),
        Check("largest deviation on the walls", on_boundary(trained.pinn), "<=", 1e-14, reference="hard conditions", status="exact"),
        Check(
            "largest deviation of u and v on the centre lines",
            max(float(np.abs(a - b).max()) for a, b in _centre_lines(trained, flow)[1:]),
            "<=",
            2 * gate,
            reference=judge,
            status="converged",
        ),
    ]
    reason = deepxde_pinn.missing()
    if reason is not None:
        peer: object = f"left out: {reason}"
    else:
        theirs = deepxde_pinn.train("cavity", x, adam=adam, lbfgs=lbfgs, seed=seed, re=re)
        away = relative_error({U: theirs.values[:, 0], V: theirs.values[:, 1]}, exact, weights)
        peer = {"code": deepxde_pinn.name(), "relative error of velocity": away, "processor seconds": theirs.seconds}
        checks.append(Check("DeepXDE's error over ours", away / error, ">=", 1.0, reference=deepxde_pinn.name(), status="peer"))
    details = {
        "relative error of velocity": error,
        "DeepXDE": peer,
        "trained parameters": trained.parameters,
        "residuals": 3 * points**2,
        "Reynolds numbers": numbers,
        "mean square of residuals": trained.losses[-1],
        "seconds of training": trained.seconds,
        "seconds of the spectral solver": solver_seconds,
        "figures": _figures(re, trained, flow),
    }
    return CheckReport("pinn-cavity", checks, time.perf_counter() - start, details)


def strong_form(re: float) -> StrongForm:
    """The cavity with one moving wall of unit speed at most."""
    still, moving = Constant(value=0.0), Constant(value=1.0)
    cavity = Cavity(
        resolution=(8, 8),
        speed_x_low=still,
        speed_x_high=still,
        speed_y_low=still,
        speed_y_high=moving,
        viscosity=Constant(value=1 / re),
    )
    return replace(cavity.strong_form({}), weights=WEIGHTS)


def reference(re: float, degree: int) -> StreamfunctionFlow:
    """The same flow by the spectral solver."""
    lid = Side(slope=lambda x, y: 16 * x**2 * (1 - x) ** 2)
    return solve_streamfunction(StreamfunctionProblem(1 / re, sides={"top": lid}), degree).raise_for_status()


def rising(re: float) -> list[float]:
    """Reynolds numbers on the way to the last, none more than four times the one before."""
    if re <= FIRST:
        return [re]
    count = int(np.ceil(np.log(re / FIRST) / np.log(FACTOR) - 1e-9))
    return [*np.geomspace(FIRST, re, count + 1)[:-1].tolist(), re]


def velocity(flow: StreamfunctionFlow, points: int) -> dict[str, Array]:
    """At the Gauss points of `collocation`."""
    nodes = (np.polynomial.legendre.leggauss(points)[0] + 1) / 2
    jet = flow.jet(nodes, nodes)
    return {U: jet.psi_y.ravel(), V: -jet.psi_x.ravel()}


def _centre_lines(trained: Trained, flow: StreamfunctionFlow) -> tuple[Array, tuple[Array, Array], tuple[Array, Array]]:
    """Points, then found and exact u along x = 1/2 and v along y = 1/2 there."""
    s, middle = np.linspace(0, 1, 201), np.array([0.5])
    u = trained.pinn.predict(np.column_stack([np.full_like(s, 0.5), s]))[U]
    v = trained.pinn.predict(np.column_stack([s, np.full_like(s, 0.5)]))[V]
    return s, (u, flow.jet(middle, s).psi_y[0]), (v, -flow.jet(s, middle).psi_x[:, 0])


def _figures(re: float, trained: Trained, flow: StreamfunctionFlow) -> list[dict[str, object]]:
    s, u, v = _centre_lines(trained, flow)
    few = s[::5]
    series = {
        "u over y": (s, u[0], "line"),
        "v over x": (s, v[0], "line"),
        "u, spectral": (few, u[1][::5], "points"),
        "v, spectral": (few, v[1][::5], "points"),
    }
    grid = (np.arange(96) + 0.5) / 96
    found, jet = on_grid(trained.pinn, grid, grid), flow.jet(grid, grid)
    away = np.hypot(found[U] - jet.psi_y.T, found[V] + jet.psi_x.T)
    steps = np.arange(1, len(trained.losses) + 1)
    return [
        lines(f"Centre lines at Re = {re:g}", "y, x", "u, v", series),
        field(f"Speed at Re = {re:g}", "|u|", grid, grid, np.hypot(found[U], found[V])),
        field(f"Pressure at Re = {re:g}, up to a constant", "p", grid, grid, found["pressure"] - found["pressure"].mean()),
        error_map("Deviation of the velocity from the spectral solver", grid, grid, away),
        lines("Mean square of the residuals", "step", "loss", {"all Reynolds numbers": (steps, trained.losses)}, log="y"),
    ]
