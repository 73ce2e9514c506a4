"""What the flow cases share: fields sampled on a grid for figures, and the flows of the cylinder benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check
from solvers.elements.blocks import channel_with_cylinder
from solvers.flow.taylor_hood.problem import Flow, VectorField
from solvers.flow.taylor_hood.state import FlowState
from validation.reference_tables import row

Array = NDArray[np.float64]
DIAMETER, HEIGHT, VISCOSITY = 0.1, 0.41, 1e-3
#: Where the benchmark takes the pressure difference: the ends of the cylinder.
FRONT_AND_BACK = ((0.15, 0.2), (0.25, 0.2))


def cylinder_flow(peak: VectorField | float, cells: int) -> Flow:
    """The channel of Schaefer and Turek (1996) with the parabolic inflow ``4 U y (H - y) / H^2``, U being the peak velocity."""

    def inflow(points: Array, time: float) -> Array:
        y = points[:, 1]
        scale = peak if isinstance(peak, float) else peak(points, time)
        return np.stack([4 * scale * y * (HEIGHT - y) / HEIGHT**2, np.zeros_like(y)], axis=1)

    still = (0.0, 0.0)
    return Flow(channel_with_cylinder(cells), VISCOSITY, {"inlet": inflow, "walls": still, "cylinder": still}, ("outlet",))


def coefficients(force: Array, peak: float) -> Array:
    """Drag and lift coefficients ``2 F / (U_mean^2 D)`` with the mean velocity ``2 U / 3``; F of shape (..., 2)."""
    return np.asarray(2 * force / ((2 * peak / 3) ** 2 * DIAMETER))


def pressure_difference(state: FlowState) -> float:
    front, back = state.pressure_at(FRONT_AND_BACK)
    return float(front - back)


def deviation(name: str, observed: float, limit: float, case: str, quantity: str) -> Check:
    """|observed / reference - 1| against a limit, for a row of the cylinder table whose value is confirmed."""
    found = row("dfg_cylinder", case=case, quantity=quantity)
    error = abs(observed / float(found["value"]) - 1)
    return Check(f"|{name} / reference - 1|", error, "<=", limit, reference=f"{found['value']}, {found['source']}", status="published")


def interval(name: str, observed: float, case: str, quantity: str, unit: str = "") -> Check:
    """The observed figure in the published interval of a row of the cylinder table."""
    found = row("dfg_cylinder", case=case, quantity=quantity)
    bounds = (float(found["lower"]), float(found["upper"]))
    return Check(name, observed, "in", bounds, unit, reference=found["source"], status="published")


def sampled(values: Any, low: tuple[float, float], high: tuple[float, float], shape: tuple[int, int]) -> dict[str, Any]:
    """x, y and values, row = y, of a function of points, shape (n, 2), on a grid; None outside the mesh."""
    x, y = (np.linspace(a, b, n) for a, b, n in zip(low, high, shape, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1)
    found = np.asarray(values(points.reshape(-1, 2))).reshape(len(y), len(x))
    return {"x": _rounded(x), "y": _rounded(y), "values": [_rounded(line) for line in found]}


def maximum(ts: Array, values: Array) -> tuple[float, float]:
    """Time and height of the vertex of the parabola through the largest of equally spaced values, shape (T,), and its two neighbours."""
    k = int(np.clip(values.argmax(), 1, len(values) - 2))
    before, top, after = values[k - 1 : k + 2]
    shift = (before - after) / (2 * (before - 2 * top + after))
    return float(ts[k] + shift * (ts[k + 1] - ts[k])), float(top - (before - after) * shift / 4)


def observed_forces(state: FlowState, peak: float) -> Array:
    """Drag and lift coefficients of the cylinder and the pressure difference: what the unsteady cases keep of every step."""
    return np.array([*coefficients(state.wall_force("cylinder"), peak), pressure_difference(state)])


def _rounded(values: Array) -> list[float | None]:
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in np.asarray(values, np.float64).tolist()]
