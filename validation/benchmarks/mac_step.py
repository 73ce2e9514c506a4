"""Where a step of the staggered-grid solver spends its time: bytes that its loops move beside what the memory gives, and the transforms.

Per cell and stage the loops read d velocities, read and write d tendencies and write d new velocities, read them for the divergence and
write that, read the potential and correct d velocities: 8 (7 d + 2) bytes with d components, without what a store may fetch first.
Bandwidth is that of a triad over as many bytes, on one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from sciml.checks import Check, CheckReport
from solvers.flow import MACFlow, Wall, march_mac
from solvers.flow.mac import kernels
from solvers.flow.mac.stepper import Stepper
from validation.options import check_between
from validation.timing import bandwidth, interleaved, one_core

_REPETITIONS = 15
_STAGES = 3


def run(*, plane: int = 256, cube: int = 48) -> CheckReport:
    """The lid-driven cavity on plane^2 and cube^3 cells."""
    check_between("plane", plane, 16, 2048)
    check_between("cube", cube, 8, 256)
    start, checks, details = time.perf_counter(), [], {}
    with one_core():
        for dimension, n in ((2, plane), (3, cube)):
            figures = _measure(dimension, n)
            name = f"{dimension}-D, {n} cells an axis"
            details[name] = figures
            gate = "a triad over the same memory"
            checks.append(Check(f"{name}: share of the bandwidth", figures["share of bandwidth"], ">=", 0.25, reference=gate))
    return CheckReport("mac-step", checks, time.perf_counter() - start, details)


def _measure(dimension: int, n: int) -> dict[str, float]:
    still, along = Wall(), Wall((1.0,) + (0.0,) * (dimension - 1))
    sides = [(still, still)] * (dimension - 1) + [(still, along)]
    flow = MACFlow((n,) * dimension, (1.0,) * dimension, 1e-3, sides)
    march_mac(flow, (0.0, 1.0), max_steps=2)  # compiles
    stepper = Stepper(flow, 0.0, None, np.zeros(()))
    stepper.project_start()
    dt = 0.5 * stepper.largest_step()
    calls: dict[str, Callable[[], object]] = {
        "step": lambda: stepper.step(dt, stepper.t + dt),
        "loops": lambda: _loops(stepper),
        "transforms": lambda: [stepper.pressure.solve(stepper.rhs.reshape(flow.shape), 1.0, 1.0) for _ in range(_STAGES)],
    }
    taken = {name: min(values) for name, values in interleaved(calls, _REPETITIONS).items()}
    cells, size = n**dimension, 8 * (7 * dimension + 2)
    moved = _STAGES * size * cells
    rate = bandwidth(size * cells)
    return {
        "milliseconds a step": 1e3 * taken["step"],
        "milliseconds in loops": 1e3 * taken["loops"],
        "milliseconds in transforms": 1e3 * taken["transforms"],
        "nanoseconds a cell and step": 1e9 * taken["step"] / cells,
        "bytes a cell and step": moved / cells,
        "gigabytes a second": moved / taken["loops"] / 1e9,
        "bandwidth in gigabytes a second": rate / 1e9,
        "share of bandwidth": moved / taken["loops"] / rate,
    }


def _loops(stepper: Stepper) -> None:
    """What three stages do beside transforms."""
    psi = stepper.rhs
    for _ in range(_STAGES):
        stepper.advance(stepper.other, stepper.u, 0.0, 0.0)
        kernels.fill_sides(stepper.other, stepper.kinds, stepper.sizes, stepper.values.arrays, True)
        kernels.divergence(stepper.other, stepper.scales, psi)
        kernels.subtract_gradient(stepper.other, psi, stepper.kinds, stepper.scales)
        kernels.fill_sides(stepper.other, stepper.kinds, stepper.sizes, stepper.values.arrays, False)
