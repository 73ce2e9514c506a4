"""Natural convection in a square that is heated from the left, by a spectral Newton solver.

De Vahl Davis' square: Prandtl number 0.71, insulated bottom and top, Rayleigh numbers from 10^3 to 10^6. The mean heat flux through the hot
wall, the middle and the cold wall has to agree, and so have solutions of two degrees; with the converged table the Nusselt number agrees to
four digits and more. De Vahl Davis (1983) gives the accuracy of his own figures as 0.1 % at 10^3 and 1 % at 10^6, so that they judge
no more than that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from sciml.checks import Check, CheckReport
from solvers.flow import NaturalConvection, natural_convection
from validation.figures import Figure, field, lines
from validation.options import check_between
from validation.reference_tables import rows

#: Degree and digits of the table for each Rayleigh number: its header trusts six up to 10^5 and four to five at 10^6.
CONVERGED = {1e3: (24, 2e-5), 1e4: (28, 2e-5), 1e5: (32, 5e-5), 3e5: (36, 5e-5), 1e6: (44, 1e-4)}

COMPARED = ("Nu_avg", "u_max", "v_max")
FEWER = 4  # degrees of the solution that tells how far the other one has converged
PUBLISHED = 1e-2  # what de Vahl Davis says of his own figures


def run(*, ra: float = 0.0) -> CheckReport:
    """One Rayleigh number `ra`, or with 0 those from 10^3 to 10^6."""
    start = time.perf_counter()
    if ra:
        check_between("ra", ra, 1.0, 1e7)
    checks: list[Check] = []
    details: dict[str, object] = {}
    figures: list[Figure] = []
    for number in [ra] if ra else list(CONVERGED):
        degree, gate = CONVERGED.get(number, (min(48, 24 + int(4 * max(0.0, math.log10(number) - 3) ** 1.5)), 1e-3))
        flow = natural_convection(number, degree=degree).raise_for_status()
        found = benchmark_figures(flow)
        before, earlier = (
            benchmark_figures(natural_convection(number, degree=degree - fewer).raise_for_status()) for fewer in (FEWER, 2 * FEWER)
        )
        label = f"Ra = {number:g}"
        checks += [replace(check, name=f"{label}: {check.name}") for check in _checks(number, flow, found, (before, earlier), gate)]
        details[label] = {**found, "degree": degree, "newton iterations": flow.newton_iterations, "notes": list(flow.notes)}
        figures += _figures(label, flow)
    return CheckReport("natural-convection", checks, time.perf_counter() - start, {**details, "figures": figures})


def _checks(
    number: float, flow: NaturalConvection, found: Mapping[str, float], lower: Sequence[Mapping[str, float]], gate: float
) -> list[Check]:
    """Conservation, convergence, and the tables that hold this Rayleigh number; `lower` are the figures of two lower degrees."""
    hot, middle, cold = (float(flow.nusselt(x)) for x in (0.0, 0.5, 1.0))
    largest = max(abs(hot - middle), abs(hot - cold)) / middle
    change, larger = (max(abs(one[name] / found[name] - 1) for name in COMPARED) for one in lower)
    digits_a_degree = math.log10(larger / change) / FEWER
    checks = [
        Check("Nu of hot wall, middle and cold wall differ by", largest, "<=", gate, reference="conservation of heat", status="exact"),
        Check(f"largest relative change from {FEWER} degrees fewer", change, "<=", gate, reference="own convergence"),
        Check("order: digits gained by a degree", digits_a_degree, ">=", 0.08, reference="exponential convergence", status="exact"),
    ]
    for line in rows("natural_convection_square"):
        if float(line["Ra"]) != number:
            continue
        own = line["source"] == "own_spectral"
        for name in COMPARED if own else ("u_max",):  # the only one of his figures that is confirmed at every Rayleigh number
            exact = float(line[name])
            digits = 0.6 * 10.0 ** -len(line[name].partition(".")[2]) / exact
            source = f"converged table: {line[name]}" if own else f"de Vahl Davis 1983: {line[name]}"
            checks.append(
                Check(f"{name}, relative deviation", abs(found[name] / exact - 1), "<=", max(digits, gate) if own else PUBLISHED,
                      reference=source, status="converged" if own else "published")
            )  # fmt: skip
    return checks


def benchmark_figures(flow: NaturalConvection) -> dict[str, float]:
    """The figures of the benchmark, with their places."""
    middle = np.array([0.5])

    def u(y: float) -> float:
        return -float(flow.velocity(middle, np.array([y]))[0][0, 0])

    def v(x: float) -> float:
        return -float(flow.velocity(np.array([x]), middle)[1][0, 0])

    found = {"Nu_avg": float(flow.nusselt(0.5))}
    points = np.linspace(0.5, 1.0, 400), np.linspace(0.0, 0.5, 400)
    for name, place, function, at in (("u_max", "y_umax", u, points[0]), ("v_max", "x_vmax", v, points[1])):
        best = at[int(np.argmin([function(float(p)) for p in at]))]
        near = minimize_scalar(function, bounds=(best - 0.01, best + 0.01), options={"xatol": 1e-9})
        found[name], found[place] = -float(near.fun), float(near.x)
    return found


def _figures(label: str, flow: NaturalConvection) -> list[Figure]:
    grid = np.linspace(0.0, 1.0, 97)
    temperature, psi = flow.temperature(grid, grid), flow.streamfunction(grid, grid)
    return [
        field(f"Isotherms, {label}", "temperature, 1 on the hot wall", grid, grid, temperature.T, np.arange(0.1, 1.0, 0.1)),
        field(f"Streamlines, {label}", "streamfunction over the diffusivity", grid, grid, psi.T, np.linspace(psi.min(), 0, 11)[1:-1]),
        lines(
            f"Heat flux through the hot wall, {label}",
            "y",
            "local Nusselt number",
            {f"degree {flow.degree}": (grid, flow.nusselt(0.0, grid))},
        ),
    ]
