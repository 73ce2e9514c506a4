"""Flow in time: a flow that the elements hold exactly at every time, so that what is wrong is the steps; and what a user may get wrong."""

from __future__ import annotations

import numpy as np
import pytest

from solvers import SolverError
from solvers.elements import TriangleMesh, channel_with_cylinder, join
from solvers.flow import Flow, TaylorHood, UnsteadyStatus, steady_flow, unsteady_flow
from solvers.flow.taylor_hood import unsteady

NU = 0.05
STILL = (0.0, 0.0)


def square(n: int) -> TriangleMesh:
    lines = np.linspace(0, 1, n + 1)
    return join([np.stack(np.meshgrid(lines, lines, indexing="ij"), axis=-1)], {"rim": lambda p: np.ones(len(p), bool)})


# u = a(t) (y^2, x^2) and p = b(t) (x - 2 y + 1/2) belong to P2/P1; the force is what the equations leave.
def a(t: float) -> float:
    return float(1 + np.sin(3 * t) / 2)


def b(t: float) -> float:
    return float(np.cos(2 * t))


def velocity(points: np.ndarray, t: float) -> np.ndarray:
    return a(t) * points[:, ::-1] ** 2


def force(points: np.ndarray, t: float) -> np.ndarray:
    x, y = points.T
    change = 1.5 * np.cos(3 * t) * points[:, ::-1] ** 2
    convection = a(t) ** 2 * np.stack([x**2 * 2 * y, y**2 * 2 * x], axis=1)
    return change + convection - NU * a(t) * 2 + b(t) * np.array([1.0, -2.0])


def errors(order: int, steps: int, end: float = 0.8) -> np.ndarray:
    """Errors at the end of the velocity, the pressure, and the force on the boundary, of which the divergence theorem says
    ``int (p n - nu du/dn) ds = int (grad p - nu lap u)``, both constant and the area 1."""
    flow = Flow(square(3), NU, {"rim": velocity}, force=force)
    spaces = TaylorHood.of(flow.mesh, 2)
    start = steady_flow(Flow(flow.mesh, NU, {"rim": velocity}, force=lambda p, t: force(p, 0) - 1.5 * p[:, ::-1] ** 2), spaces=spaces)
    result = unsteady_flow(flow, (0.0, end), end / steps, initial=start.raise_for_status().state, order=order, rtol=1e-11)
    state = result.raise_for_status().state
    assert len(result.ts) == steps + 1
    pressure = b(end) * (spaces.pressure.coordinates @ [1.0, -2.0] + 0.5)
    exact_force = b(end) * np.array([1.0, -2.0]) - NU * a(end) * 2
    return np.array(
        [
            np.abs(state.velocity - velocity(spaces.velocity.coordinates, end)).max(),
            np.abs(state.pressure - pressure).max(),
            np.abs(state.wall_force("rim") - exact_force).max(),
        ]
    )


@pytest.mark.parametrize(("order", "steps", "constants"), [(1, 64, (0.02951, 0.8852)), (2, 32, (0.02233, 1.885)), (3, 32, (0.1323, 4.147))])
def test_orders_in_time(order: int, steps: int, constants: tuple[float, ...]) -> None:
    found = np.array([errors(order, n) for n in (steps, 2 * steps)])
    rates = np.log2(found[0] / found[1])
    assert rates == pytest.approx([order] * 3, abs=0.15), (rates, found)
    scaled = found[-1] * (2 * steps / 0.8) ** order
    assert tuple(scaled[:2]) == pytest.approx(constants, rel=0.02)
    # the momentum changes by the force: its error is that of the formula, dt^s / (s + 1) d^(s+1)u/dt^(s+1), times int y^2 = 1/3
    derivative = 3 ** (order + 1) / 2 * np.abs([np.sin(2.4), np.cos(2.4)][1 - order % 2])
    assert scaled[2] == pytest.approx(derivative / (order + 1) / 3, rel=0.06)


@pytest.mark.parametrize(
    "scheme",
    [((3 / 2, -2.0, 0.51), (2.0, -1.0)), ((1.51, -2.0, 1 / 2), (2.0, -1.0)), ((1.0, -1.0, 0.0), (2.0, -1.0))],
    ids=["old coefficient", "new coefficient", "Euler in disguise"],
)
def test_wrong_coefficients_lose_the_order(scheme: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unsteady.SCHEMES, 2, scheme)
    found = np.array([errors(2, n) for n in (32, 64)])
    assert np.log2(found[0] / found[1]).max() < 1.5


@pytest.mark.parametrize("part", ["convection", "force", "mass"])
def test_a_part_of_the_momentum_that_is_wrong_by_a_percent_loses_the_order(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if part == "convection":
        convection = TaylorHood.convection
        monkeypatch.setattr(TaylorHood, "convection", lambda self, u: 1.01 * convection(self, u))
    elif part == "force":
        given = TaylorHood.force
        monkeypatch.setattr(TaylorHood, "force", lambda self, flow, t: given(self, flow, t - 0.002))
    else:
        mass = TaylorHood.mass.func
        monkeypatch.setattr(TaylorHood, "mass", property(lambda self: 1.01 * mass(self)))
    found = np.array([errors(2, n) for n in (64, 128)])
    assert np.log2(found[0] / found[1])[1:].max() < 1


def test_a_wrong_jacobian_costs_corrections_and_no_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What converges is the residual's root: a Jacobian without convection leads there too."""
    right = errors(2, 32)
    jacobian = TaylorHood.jacobian
    monkeypatch.setattr(TaylorHood, "jacobian", lambda self, nu, u=None, reaction=0.0: jacobian(self, nu, None, reaction=reaction))
    flow = Flow(square(3), NU, {"rim": velocity}, force=force)
    result = unsteady_flow(flow, (0.0, 0.8), 0.05, degree=2).raise_for_status()
    monkeypatch.undo()
    full = unsteady_flow(flow, (0.0, 0.8), 0.05, degree=2).raise_for_status()
    np.testing.assert_allclose(result.state.velocity, full.state.velocity, atol=1e-5)
    assert result.corrections > full.corrections
    np.testing.assert_allclose(errors(2, 32), right, rtol=1e-6)


def channel(n: int, viscosity: float = 1e-3, rise: float = 0.0) -> Flow:
    """Flow around a cylinder; the inflow reaches its strength in the time `rise`."""

    def inflow(points: np.ndarray, t: float) -> np.ndarray:
        y, strength = points[:, 1], 1.0 if rise == 0 else (1 - np.cos(np.pi * min(t / rise, 1.0))) / 2
        return np.stack([1.2 * strength * y * (0.41 - y) / 0.41**2, 0 * y], axis=1)

    return Flow(channel_with_cylinder(n), viscosity, {"inlet": inflow, "walls": STILL, "cylinder": STILL}, ("outlet",))


def test_a_steady_flow_stays_and_is_reached_from_rest() -> None:
    flow = channel(2)
    steady = steady_flow(flow, degree=2).raise_for_status().state
    force = steady.wall_force("cylinder")
    kept = unsteady_flow(flow, (0.0, 1.0), 0.1, initial=steady, observe=lambda state: state.wall_force("cylinder")).raise_for_status()
    assert kept.observed is not None
    np.testing.assert_allclose(kept.observed, np.broadcast_to(force, (10, 2)), rtol=1e-7)
    risen = unsteady_flow(channel(2, rise=2.0), (0.0, 60.0), 0.25, degree=2).raise_for_status()
    np.testing.assert_allclose(risen.state.velocity, steady.velocity, atol=1e-4 * np.abs(steady.velocity).max())
    np.testing.assert_allclose(risen.state.wall_force("cylinder"), force, rtol=1e-3)


def test_factors_serve_many_steps() -> None:
    result = unsteady_flow(channel(2, rise=2.0), (0.0, 4.0), 0.02, degree=2).raise_for_status()
    assert len(result.ts) == 201
    assert result.factorizations < 20
    assert 200 <= result.corrections < 8 * 200
    assert result.observed is None


def test_the_last_state_before_the_fields_are_no_numbers_is_kept() -> None:
    flow = Flow(square(2), NU, {"rim": STILL}, force=lambda points, t: np.full(points.shape, np.nan if t > 0.55 else 1.0))
    result = unsteady_flow(flow, (0.0, 1.0), 0.1, degree=2, observe=lambda state: state.time)
    assert result.status is UnsteadyStatus.NONFINITE
    assert result.state.time == pytest.approx(0.5)
    assert np.isfinite(result.state.velocity).all()
    np.testing.assert_allclose(result.observed, [0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(SolverError, match=r"NONFINITE in step 6, which begins at time 0\.5;"):
        result.raise_for_status()


def test_a_step_too_long_says_when() -> None:
    result = unsteady_flow(channel(2, 1e-7, rise=0.5), (0.0, 2.0), 0.5, degree=2)
    assert result.status is UnsteadyStatus.DIVERGED
    assert np.isfinite(result.state.velocity).all()
    with pytest.raises(SolverError, match=r"DIVERGED in step \d, which begins at time .*take a smaller dt"):
        result.raise_for_status()


def test_the_state_of_a_first_step_that_fails_is_the_initial_one_at_the_first_time() -> None:
    flow = Flow(square(2), NU, {"rim": STILL}, force=lambda points, t: np.full(points.shape, np.nan if t > 1 else 1.0))
    initial = steady_flow(flow, degree=2).raise_for_status().state
    result = unsteady_flow(flow, (3.0, 4.0), 0.5, initial=initial)
    assert (result.state.time, len(result.ts)) == (3.0, 1)
    np.testing.assert_array_equal(result.state.velocity, initial.velocity)
    with pytest.raises(SolverError, match="step 1, which begins at time 3;"):
        result.raise_for_status()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"t_span": (1.0, 1.0)}, "the second one later"),
        ({"t_span": (0.0, np.inf)}, "two finite times"),
        ({"dt": 0.0}, "dt = 0.0 must be positive"),
        ({"dt": np.nan}, "dt = nan must be positive"),
        ({"dt": 2.0}, "at most the span, 1"),
        ({"order": 4}, "order is 4; there are 1, 2, 3"),
        ({"rtol": 0.0}, "rtol = 0.0 must lie between 0 and 1"),
        ({"spaces": TaylorHood.of(square(1), 2)}, "another mesh"),
    ],
)
def test_bad_options_are_refused(options: dict, sentence: str) -> None:
    flow = Flow(square(2), NU, {"rim": STILL})
    given = {"t_span": (0.0, 1.0), "dt": 0.1} | options
    with pytest.raises(ValueError, match=sentence):
        unsteady_flow(flow, **given)


def test_bad_data_in_time_are_refused() -> None:
    flow = Flow(square(2), NU, {"rim": STILL})
    initial = steady_flow(flow, degree=2).state
    with pytest.raises(ValueError, match="initial is a flow on other spaces"):
        unsteady_flow(flow, (0.0, 1.0), 0.5, spaces=TaylorHood.of(flow.mesh, 2), initial=initial)
    late = Flow(square(2), NU, {"rim": lambda points, t: np.full(points.shape, np.inf if t > 0.3 else 0.0)})
    with pytest.raises(ValueError, match=r"velocity on 'rim' at time 0\.4 is not finite"):
        unsteady_flow(late, (0.0, 1.0), 0.2, degree=2)
