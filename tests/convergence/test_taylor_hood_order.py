"""Taylor-Hood elements on a curved domain: orders by a manufactured flow, forces of twice the order, and faults that must be seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from solvers.elements.blocks import channel_with_cylinder, join
from solvers.elements.mesh import Circle, TriangleMesh
from solvers.flow import Flow, FlowState, TaylorHood, steady_flow

NU = 0.07
CENTRE, RADIUS = np.array([0.05, -0.02]), 0.3


def pierced_square(n: int, *, curved: bool = True) -> TriangleMesh:
    """The square (-1, 1)^2 without a disc off its centre: four blocks around it, turned so that no line of the mesh is an axis."""
    across = np.linspace(-1, 1, n + 1)
    shares = np.linspace(0, 1, n + 1)[None, :, None]
    blocks = []
    for quarter in range(4):
        turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarter)
        angle = np.linspace(-0.72, -0.22, n + 1) * np.pi
        inner = CENTRE + RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ turn.T
        outer = np.stack([across, -np.ones(n + 1)], axis=1) @ turn.T
        blocks.append((1 - shares) * inner[:, None] + shares * outer[:, None])
    parts = {"outer": lambda p: np.abs(p).max(axis=1) > 1 - 1e-9, "hole": lambda p: np.abs(p).max(axis=1) < 0.9}
    return join(blocks, parts, {"hole": Circle((0.05, -0.02), RADIUS)} if curved else {})


# psi = sin(a x + 1/5) cos(b y - 1/10) makes a velocity (psi_y, -psi_x) without divergence; the pressure is p = cos(x + y/2) + x y.
A, B = 2.1, 1.7


def waves(p: np.ndarray) -> tuple[np.ndarray, ...]:
    s, t = A * p[..., 0] + 0.2, B * p[..., 1] - 0.1
    return np.sin(s), np.cos(s), np.sin(t), np.cos(t)


def velocity(p: np.ndarray, time: float = 0.0) -> np.ndarray:
    ss, cs, st, ct = waves(p)
    return np.stack([-B * ss * st, -A * cs * ct], axis=-1)


def slopes(p: np.ndarray) -> np.ndarray:
    """d u_i / d x_j, shape (..., 2, 2)."""
    ss, cs, st, ct = waves(p)
    u = np.stack([-A * B * cs * st, -B * B * ss * ct], axis=-1)
    v = np.stack([A * A * ss * ct, A * B * cs * st], axis=-1)
    return np.stack([u, v], axis=-2)


def pressure(p: np.ndarray) -> np.ndarray:
    return np.cos(p[..., 0] + p[..., 1] / 2) + p[..., 0] * p[..., 1]


def force(p: np.ndarray, time: float = 0.0) -> np.ndarray:
    wave = -np.sin(p[..., 0] + p[..., 1] / 2)
    gradient = np.stack([wave + p[..., 1], wave / 2 + p[..., 0]], axis=-1)
    u = velocity(p)
    return np.einsum("...j,...ij->...i", u, slopes(p)) + NU * (A * A + B * B) * u + gradient


def solve(n: int, degree: int, *, curved: bool = True, given: Callable = velocity) -> FlowState:
    flow = Flow(pierced_square(n, curved=curved), NU, {"outer": given, "hole": given}, force=force)
    return steady_flow(flow, degree=degree, rtol=1e-11).raise_for_status().state


def errors(state: FlowState) -> tuple[float, float]:
    """L2 norms of the errors of velocity and pressure; the latter up to a constant."""
    spaces = state.spaces
    table, cells = spaces.velocity.at_quadrature(2 * spaces.degree + 4), spaces.velocity.numbering.cells
    difference = table.values @ state.velocity[cells] - velocity(table.positions)
    basis = spaces.pressure.at_quadrature(2 * spaces.degree + 4).values
    gap = state.pressure[spaces.pressure.numbering.cells] @ basis.T - pressure(table.positions)
    gap -= (table.weights * gap).sum() / table.weights.sum()
    total = (table.weights * (difference**2).sum(axis=2)).sum(), (table.weights * gap**2).sum()
    return float(np.sqrt(total[0])), float(np.sqrt(total[1]))


def exact_force() -> np.ndarray:
    """``int_hole (p n - nu du/dn)`` with n out of the fluid, by the trapezoidal rule; a constant in p does not matter."""
    angle = 2 * np.pi * np.arange(400) / 400
    n = -np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = CENTRE - RADIUS * n
    traction = pressure(points)[:, None] * n - NU * np.einsum("kij,kj->ki", slopes(points), n)
    return traction.sum(axis=0) * 2 * np.pi * RADIUS / 400


@pytest.mark.parametrize(("degree", "cells", "constants"), [(2, (4, 8, 16), (0.4873, 0.1176)), (3, (4, 8, 16), (0.1057, 0.01768))])
def test_orders_of_velocity_and_pressure(degree: int, cells: tuple[int, ...], constants: tuple[float, float]) -> None:
    found = np.array([errors(solve(n, degree)) for n in cells])
    rates = np.log2(found[:-1] / found[1:])[-1]
    assert rates[0] == pytest.approx(degree + 1, abs=0.2), (rates, found)
    assert rates[1] == pytest.approx(degree, abs=0.3), (rates, found)
    assert tuple(found[-1] * cells[-1] ** np.array([degree + 1, degree])) == pytest.approx(constants, rel=0.02)


def test_the_residual_gives_the_force_with_twice_the_order() -> None:
    """Order 4 for P2/P1, as the energy: the surface integral of the discrete stress has order 2."""
    exact = exact_force()
    variational, surface = [], []
    for n in (6, 12, 24):
        state = solve(n, 2)
        variational.append(np.linalg.norm(state.wall_force("hole") - exact))
        surface.append(np.linalg.norm(state.wall_force_by_stress("hole") - exact))
    rates = [np.log2(np.array(e[:-1]) / e[1:]) for e in (variational, surface)]
    assert (rates[0] > 3.9).all(), (rates, variational)
    assert (rates[1] < 2.4).all(), (rates, surface)
    assert surface[-1] > 30 * variational[-1]


def test_newton_is_quadratic() -> None:
    def inflow(points: np.ndarray, time: float) -> np.ndarray:
        return np.stack([1.2 * points[:, 1] * (0.41 - points[:, 1]) / 0.41**2, 0 * points[:, 1]], axis=1)

    flow = Flow(channel_with_cylinder(3), 1e-3, {"inlet": inflow, "walls": (0, 0), "cylinder": (0, 0)}, ("outlet",))
    norms = np.array(steady_flow(flow, degree=2, rtol=1e-9).raise_for_status().residual_norms[0])
    assert 4 <= len(norms) <= 6
    # r_(k+1) = C r_k^2: the logarithms of successive ratios double
    assert np.log(norms[-1] / norms[-2]) / np.log(norms[-2] / norms[-3]) == pytest.approx(2, abs=0.3), norms


def test_continuity_holds_against_every_pressure() -> None:
    state = solve(6, 3)
    spaces = state.spaces
    residual = spaces.divergence @ state.velocity.T.ravel()
    # only what the interpolated boundary velocities let in is left, spread evenly
    assert np.abs(residual - spaces.pressure_shares * residual.sum()).max() < 1e-13
    assert abs(residual.sum()) < 1e-4


def test_straight_sides_lose_the_order() -> None:
    def on_the_circle(points: np.ndarray, time: float) -> np.ndarray:
        near = np.linalg.norm(points - CENTRE, axis=1) < 0.5
        return velocity(np.where(near[:, None], Circle((0.05, -0.02), RADIUS)(points), points))

    found = np.array([errors(solve(n, 3, curved=False, given=on_the_circle)) for n in (6, 12)])
    assert np.log2(found[0] / found[1])[0] < 2.3


@pytest.mark.parametrize("fault", ["sign of convection", "no convection", "weak pressure", "slow viscosity"])
def test_planted_faults_lose_the_order(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    convection, linear, jacobian = TaylorHood.convection, TaylorHood.linear_residual, TaylorHood.jacobian
    if fault in ("sign of convection", "no convection"):
        factor = -1.0 if fault == "sign of convection" else 0.0
        monkeypatch.setattr(TaylorHood, "convection", lambda self, u: factor * convection(self, u))
        monkeypatch.setattr(TaylorHood, "jacobian", lambda self, nu, u=None: jacobian(self, nu, None if u is None else factor * u))
    elif fault == "weak pressure":
        monkeypatch.setattr(
            TaylorHood,
            "linear_residual",
            lambda self, x, nu: linear(self, np.concatenate([x[: -self.pressure.n], 0.99 * x[-self.pressure.n :]]), nu),
        )
    else:
        monkeypatch.setattr(TaylorHood, "linear_residual", lambda self, x, nu: linear(self, x, 0.99 * nu))
    found = []
    for n in (6, 12):
        flow = Flow(pierced_square(n), NU, {"outer": velocity, "hole": velocity}, force=force)
        found.append(errors(steady_flow(flow, degree=2, rtol=1e-9, maxiter=60).raise_for_status().state))
    rates = np.log2(np.array(found[0]) / found[1])
    assert rates.min() < 1.5
