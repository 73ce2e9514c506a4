"""What the flow cases share: fields on a grid or on the triangles of a flow for figures, and the flows of the cylinder benchmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check
from solvers.elements.blocks import channel_with_cylinder
from solvers.elements.space import Numbering, Space
from solvers.elements.triangle import basis, basis_gradients, lattice
from solvers.flow.taylor_hood.problem import Flow, VectorField
from solvers.flow.taylor_hood.state import FlowState
from solvers.flow.taylor_hood.unsteady import unsteady_flow
from validation.reference_tables import row

Array = NDArray[np.float64]
DIAMETER, HEIGHT, VISCOSITY = 0.1, 0.41, 1e-3
#: Where the benchmark takes the pressure difference: the ends of the cylinder.
FRONT_AND_BACK = ((0.15, 0.2), (0.25, 0.2))
_TRIANGLES = 8000  # of a figure, about
#: Of the flow on one side of the cylinder, between it and a streamline; the smallest ones lie in the wake.
_SHARES = np.array([0.002, 0.005, 0.02, 0.06, 0.14, 0.28, 0.44, 0.6, 0.76, 0.9])


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
    recalled = ", recalled" if "R" in found["status"] else ""  # the table tells of every interval whether a source was at hand
    return Check(name, observed, "in", bounds, unit, reference=f"published interval{recalled}: {found['source']}", status="published")


def order_in_time(flow: Flow, end: float, steps: int, degree: int) -> Check:
    """Of the forces on the cylinder from rest to `end`, from `steps`, twice and four times as many steps of the third-order scheme."""
    found = [
        unsteady_flow(flow, (0.0, end), end / (factor * steps), degree=degree, order=3, rtol=1e-9).raise_for_status().state
        for factor in (1, 2, 4)
    ]
    one, two, four = (state.wall_force("cylinder") for state in found)
    order = float(np.log2(np.linalg.norm(one - two) / np.linalg.norm(two - four)))
    name = f"order in time of drag and lift, {steps} to {4 * steps} steps to t = {end:g}"
    return Check(name, order, "in", (2.8, 3.2), reference="backward differentiation of third order", status="exact")


def sampled(values: Any, low: tuple[float, float], high: tuple[float, float], shape: tuple[int, int]) -> dict[str, Any]:
    """x, y and values, row = y, of a function of points, shape (n, 2), on a grid; None outside the mesh."""
    x, y = (np.linspace(a, b, n) for a, b, n in zip(low, high, shape, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1)
    found = np.asarray(values(points.reshape(-1, 2))).reshape(len(y), len(x))
    return {"x": _rounded(x), "y": _rounded(y), "values": [_rounded(line) for line in found]}


def speed_on_triangles(state: FlowState) -> dict[str, Any]:
    """x, y, cells and values for `validation.figures.triangles`: |u|."""
    space = state.spaces.velocity
    return _on_triangles(space, lambda points: np.linalg.norm(basis(space.degree, points) @ state.velocity[space.numbering.cells], axis=-1))


def vorticity_on_triangles(state: FlowState, cut: float = np.inf) -> dict[str, Any]:
    """The same of ``dv/dx - du/dy``, which jumps between cells: at each node the mean of what they have there, from -cut to cut.

    The boundary layer of the cylinder has so much more of it than the vortices that these would not be seen.
    """
    space = state.spaces.velocity

    def vorticity(points: Array) -> Array:
        slopes = np.einsum("qdk,mkc->mqcd", basis_gradients(space.degree, points), state.velocity[space.numbering.cells])
        slopes = slopes @ np.linalg.inv(space.geometry.jacobian(points))
        return np.asarray(slopes[..., 1, 0] - slopes[..., 0, 1])

    drawn = _on_triangles(space, vorticity)
    return {**drawn, "values": np.clip(drawn["values"], -cut, cut)}


def scalar_on_triangles(space: Space, values: Array) -> dict[str, Any]:
    """The same of a function given by its values at the nodes of a space, such as the pressure."""
    return _on_triangles(space, lambda points: values[space.numbering.cells] @ basis(space.degree, points).T)


def streamlines(state: FlowState) -> dict[str, Any]:
    """Speed, and as contours the streamfunction less what it is on the cylinder, at levels that lie closest around it."""
    space = state.spaces.velocity
    psi = state.streamfunction("walls")
    psi -= psi[space.nodes_on("cylinder")].mean()
    levels = np.concatenate([_SHARES * psi.max(), _SHARES * psi.min()])
    return {**speed_on_triangles(state), "contours": np.sort(levels), "contoured": scalar_on_triangles(space, psi)["values"]}


def _on_triangles(space: Space, values: Callable[[Array], Array]) -> dict[str, Any]:
    """Cells cut into triangles that bend with the boundary, about 8000 in all; `values` at reference points has shape (cells, points)."""
    mesh = space.geometry.mesh
    pieces = int(np.clip(np.sqrt(_TRIANGLES / len(mesh.triangles)), 1, 4))
    nodes, corners = Numbering.of(mesh, pieces), np.rint(pieces * lattice(pieces)[:, 1:]).astype(int)
    number = {(i, j): k for k, (i, j) in enumerate(corners.tolist())}
    small = [
        [number[i + a, j + b] for a, b in shape]
        for i, j in number
        for shape in (((0, 0), (1, 0), (0, 1)), ((1, 0), (1, 1), (0, 1)))
        if all((i + a, j + b) in number for a, b in shape)
    ]
    shares = np.bincount(nodes.cells.ravel(), minlength=nodes.n)
    fields = (*np.moveaxis(space.geometry.positions(corners / pieces), -1, 0), values(corners / pieces))
    x, y, found = (np.bincount(nodes.cells.ravel(), np.ravel(one), nodes.n) / shares for one in fields)
    return {"x": x, "y": y, "cells": nodes.cells[:, np.array(small)].reshape(-1, 3), "values": found}


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
