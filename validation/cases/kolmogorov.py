"""Kolmogorov flow: its laminar solution, the Reynolds number where long waves begin to grow, and the budget of energy of its turbulence.

The force sin(n y) along x drives u = sin(n y) / (nu n^2 + mu). For n = 1, mu = 0 waves of wavenumber a -> 0 along x grow above
Re = U / (nu n) = sqrt(2), U being the amplitude of the laminar flow (Meshalkin and Sinai, J. Appl. Math. Mech. 25 (1961)). The linear
operator is taken from the solver itself: its convective term is bilinear, so that N(U + d) - N(U) - N(d) is its linearisation without
error.
"""

from __future__ import annotations

import time

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.data.recipe import load_recipe
from sciml.discretize.navier_stokes import vorticity_flow
from sciml.problems import NavierStokes, seed_words
from solvers.flow import VorticityFlow, march
from validation.figures import field, lines
from validation.options import check_between

Array = NDArray[np.float64]
SIDE = 2 * np.pi
LAMINAR, SINAI, BALANCE = "sin(n y) / (nu n^2 + mu)", "Meshalkin and Sinai (1961)", "dE/dt = <u . f> - 2 nu Z - 2 mu E"
LONG_WAVES = (0.05, 0.025)


def run(*, seconds: int = 8, seed: int = 0) -> CheckReport:
    """The laminar flow, its first instability, and `seconds` units of time of the dataset's flow."""
    check_between("seconds", seconds, 1, 1000)
    check_between("seed", seed, 0, 2**63 - 1)
    start = time.perf_counter()
    checks = [_laminar(), *_instability()]
    turbulent, figures = _budget(seconds, seed)
    return CheckReport("kolmogorov", [*checks, *turbulent], time.perf_counter() - start, {"figures": figures})


def _laminar() -> Check:
    """From a disturbed start at Re = 0.6, far below the instability, the laminar flow is all that is left."""
    n, nu, mu, shape = 4, 0.25, 0.3, (32, 32)
    x, y = np.meshgrid(*2 * [SIDE * np.arange(32) / 32], indexing="ij")
    flow = VorticityFlow(shape, (SIDE, SIDE), nu, drag=mu, forcing=-n * np.cos(n * y))
    u, v = flow.to_velocity(march(flow, flow.to_state(np.sin(x + 2 * y) + np.cos(3 * x)), 60.0).raise_for_status().states[-1])
    exact = np.sin(n * y) / (nu * n**2 + mu)
    error = float(max(np.abs(u - exact).max(), np.abs(v).max()) / np.abs(exact).max())
    return Check("laminar flow: largest error over its amplitude", error, "<=", 1e-12, reference=LAMINAR, status="exact")


def _instability() -> list[Check]:
    """Critical Reynolds numbers of long waves, and their limit: they approach it like the square of the wavenumber."""
    critical = [float(scipy.optimize.brentq(lambda re, a=a: _growth(re, a), 1.3, 1.6, xtol=1e-10)) for a in LONG_WAVES]
    limit = critical[1] + (critical[1] - critical[0]) / ((LONG_WAVES[0] / LONG_WAVES[1]) ** 2 - 1)
    decay, growth = (_growth(re, LONG_WAVES[1]) for re in (1.35, 1.5))
    away = abs(limit / 2**0.5 - 1)
    scaled = "over the square of the wavenumber 0.025"
    return [
        Check("critical Reynolds number at wavenumber 0: |Re / sqrt(2) - 1|", away, "<=", 1e-5, reference=SINAI, status="exact"),
        Check(f"growth rate at Re = 1.35 {scaled}", decay / LONG_WAVES[1] ** 2, "<=", 0.0, reference=SINAI, status="exact"),
        Check(f"growth rate at Re = 1.50 {scaled}", growth / LONG_WAVES[1] ** 2, ">=", 0.0, reference=SINAI, status="exact"),
    ]


def _growth(reynolds: float, wavenumber: float) -> float:
    """Largest growth rate of waves of one wavenumber along x on u = Re sin y, nu = 1."""
    shape, extent = (4, 24), (SIDE / wavenumber, SIDE)
    flow = VorticityFlow(shape, extent, 1.0)
    y = SIDE * np.arange(24) / 24
    base = flow.to_state(np.broadcast_to(-reynolds * np.cos(y), shape))
    entries = [(row, column) for row in (0, 2) for column in range(flow.largest[1] + 1) if (row, column) != (0, 0)]
    basis = np.zeros((2 * len(entries), *base.shape), complex)  # real and imaginary parts of the modes -1 and 1 along x
    for number, (row, column) in enumerate(entries):
        basis[2 * number, row, column], basis[2 * number + 1, row, column] = 1.0, 1j
        if column == 0:  # whose conjugate is kept too
            basis[2 * number : 2 * number + 2, 0, 0] = np.conj(basis[2 * number : 2 * number + 2, 2, 0])
    rates = flow.linear * basis + flow.nonlinear(0.0, base + basis) - flow.nonlinear(0.0, base) - flow.nonlinear(0.0, basis)
    columns = [part for row, column in entries for part in (rates[:, row, column].real, rates[:, row, column].imag)]
    return float(scipy.linalg.eigvals(np.array(columns)).real.max())


def _budget(seconds: int, seed: int) -> tuple[list[Check], list[dict[str, object]]]:
    """Change of energy against the integral of its sources and sinks, by Simpson's rule over many states."""
    problem = load_recipe("kolmogorov").problem
    assert isinstance(problem, NavierStokes)
    parameters = problem.sample(seed_words(seed, 0, 0))
    flow = vorticity_flow(problem, parameters)
    count = 100 * seconds
    times = seconds * np.arange(1, count + 1) / count
    # The finest scales of the initial field vanish at once, too fast for the quadrature: they are left out.
    start = march(flow, flow.to_state(parameters["initial_vorticity"]), 1.0).raise_for_status().states[-1]
    states = np.array([start, *march(flow, start, times.tolist(), dt=0.01).raise_for_status().states])
    energy, gain, loss = flow.energy(states), flow.injection(states), flow.dissipation(states)
    friction = 2 * flow.drag * energy
    h = seconds / count / 3
    brought, spent, rubbed = (float(h * (a[0] + a[-1] + 4 * a[1:-1:2].sum() + 2 * a[2:-1:2].sum())) for a in (gain, loss, friction))
    defect = abs(float(energy[-1] - energy[0]) - (brought - spent - rubbed)) / (spent + rubbed)
    clock, w = 1.0 + np.append(0.0, times), flow.to_vorticity(states[-1])
    figures = [
        lines(
            "Budget of energy",
            "time",
            "rate",
            {"work of the force": (clock, gain), "viscous loss": (clock, loss), "drag": (clock, friction)},
        ),
        field(f"Vorticity at t = {seconds + 1}", "vorticity", problem.grid.centers(0), problem.grid.centers(1), w.T),
    ]
    name = f"budget of energy over {seconds} units of time: defect over all that is lost"
    one, two, four = (march(flow, start, 1.0, dt=0.05 / factor).raise_for_status().states[-1] for factor in (1, 2, 4))
    order = float(np.log2(np.linalg.norm(one - two) / np.linalg.norm(two - four)))
    return [
        Check(name, defect, "<=", 1e-7, reference=BALANCE, status="exact"),
        Check("order in time, steps 0.05 to 0.0125", order, "in", (3.8, 4.2), reference="ETDRK4, fourth order", status="exact"),
    ], figures
