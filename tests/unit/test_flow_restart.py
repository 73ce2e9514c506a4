"""A march that blows up keeps its last good state, from which it can go on: every solver against a march that does not fail."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from solvers import SolverError
from solvers.elements import join
from solvers.flow import (
    CarriedScalar,
    Flow,
    FlowStatus,
    Inflow,
    MACFlow,
    MACStatus,
    UnsteadyStatus,
    VelocityFlow,
    VorticityFlow,
    Wall,
    march,
    march_mac,
    unsteady_flow,
)

Array = NDArray[np.float64]
SIDE, BREAKS = 2 * np.pi, 0.5


def breaking(kind: type[VorticityFlow | VelocityFlow]) -> type[VorticityFlow | VelocityFlow]:
    class Breaking(kind):  # type: ignore[misc, valid-type]
        """Infinite terms from the evaluation that belongs to time `BREAKS` of steps of 0.1 on."""

        calls = 0

        def nonlinear_and_rate(self, state, *, rate=False):
            found = super().nonlinear_and_rate(state, rate=rate)
            object.__setattr__(self, "calls", self.calls + rate)
            if self.calls > 5:
                found[0][...] = np.inf
            return found

    return Breaking


def plane(kind):
    flow = kind((16, 16), (SIDE, SIDE), 0.05)
    x, y = np.meshgrid(*2 * [SIDE * np.arange(16) / 16], indexing="ij")
    return flow, flow.to_state(np.cos(x) * np.sin(2 * y) + 0.3 * np.sin(2 * x + y))


def box(kind):
    flow = kind((8, 8, 8), (SIDE, SIDE, SIDE), 0.05)
    x, y, z = np.meshgrid(*3 * [SIDE * np.arange(8) / 8], indexing="ij")
    return flow, flow.to_state(np.stack([np.sin(x) * np.cos(y) * np.cos(z), -np.cos(x) * np.sin(y) * np.cos(z), 0 * x]))


@pytest.mark.parametrize(("kind", "make"), [(VorticityFlow, plane), (VelocityFlow, box)], ids=["vorticity", "velocity"])
def test_spectral_flow_goes_on_from_its_last_good_state(kind, make) -> None:
    healthy, start = make(kind)
    whole = march(healthy, start, [0.5, 1.0], dt=0.1).raise_for_status()
    broken = march(make(breaking(kind))[0], start, 1.0, dt=0.1)
    assert broken.status is FlowStatus.NONFINITE
    assert (float(broken.last_times), int(broken.last_steps)) == (pytest.approx(BREAKS), 5)
    with pytest.raises(SolverError, match=r"row 0 ended with NONFINITE in step 6, from t = 0.5, .*go on from last_good"):
        broken.raise_for_status()
    np.testing.assert_allclose(broken.last_good, whole.states[0], rtol=1e-13, atol=1e-15)
    rest = march(healthy, broken.last_good, 1.0 - float(broken.last_times), dt=0.1).raise_for_status()
    np.testing.assert_allclose(rest.states[-1], whole.states[-1], rtol=1e-12, atol=1e-14)


def stirred(limit: float):
    return lambda t, x, y: (np.where(t > limit, np.inf, 1.0) * np.sin(np.pi * y) + 0 * x, 0.0)


def test_a_staggered_flow_goes_on_from_its_last_good_state() -> None:
    def heated(limit: float) -> MACFlow:
        return MACFlow((8, 8), (1.0, 1.0), 0.05, [(Wall(), Wall())] * 2, force=stirred(limit), scalar=CarriedScalar(0.02, (0.0, 1.0)))

    def warm(x: Array, y: Array) -> Array:
        return 1.0 * (x < 0.5) + 0 * y

    whole = march_mac(heated(np.inf), (0.0, 1.0), scalar=warm, dt=0.05).raise_for_status()
    broken = march_mac(heated(BREAKS), (0.0, 1.0), scalar=warm, dt=0.05)
    assert broken.status is MACStatus.NONFINITE
    last = float(broken.ts[-1])
    assert last == pytest.approx(BREAKS)
    assert broken.scalar is not None
    assert whole.scalar is not None
    assert np.isfinite(broken.pressure).all()
    begun = [component[-1] for component in broken.velocity]
    rest = march_mac(heated(np.inf), (last, 1.0), begun, scalar=broken.scalar[-1], dt=0.05).raise_for_status()
    for found, expected in zip(rest.velocity, whole.velocity, strict=True):
        np.testing.assert_allclose(found[-1], expected[-1], rtol=1e-11, atol=1e-13)
    assert rest.scalar is not None
    np.testing.assert_allclose(rest.scalar[-1], whole.scalar[-1], rtol=1e-11, atol=1e-13)


def test_a_flow_around_a_solid_in_space_whose_pressure_is_not_found_keeps_the_state_before() -> None:
    solid = np.zeros((6, 6, 6), bool)
    solid[2:4, 2:4, 2:4] = True

    def around(limit: float) -> MACFlow:
        def force(t: float, x: Array, y: Array, z: Array) -> tuple[Array, float, float]:
            return np.where(t > limit, np.inf, 1.0) * np.sin(np.pi * y) + 0 * x + 0 * z, 0.0, 0.0

        return MACFlow((6, 6, 6), (1.0, 1.0, 1.0), 0.05, [(Wall(), Wall())] * 3, force=force, solid=solid)

    broken = march_mac(around(0.2), (0.0, 0.4), dt=0.05)
    assert broken.status is MACStatus.PRESSURE
    last = float(broken.ts[-1])
    assert last == pytest.approx(0.2)
    whole = march_mac(around(np.inf), (0.0, last), dt=0.05).raise_for_status()
    for found, expected in zip((*broken.velocity, broken.pressure), (*whole.velocity, whole.pressure), strict=True):
        np.testing.assert_allclose(found[-1], expected[-1], rtol=1e-6, atol=1e-8)
    with pytest.raises(SolverError, match=r"PRESSURE at t = 0.2 after 4 steps: the pressure was not found: .*from t = 0.2 to 0.25"):
        broken.raise_for_status()


def test_a_staggered_flow_whose_sides_fall_out_of_balance_keeps_the_state_before() -> None:
    def channel(limit: float) -> MACFlow:
        leaving = Inflow(lambda t, x, y: ((1.0 if t <= limit else 0.8) + 0 * y, 0 * y))
        return MACFlow((8, 4), (2.0, 1.0), 0.1, [(Inflow((1.0, 0.0)), leaving), (Wall(), Wall())])

    broken = march_mac(channel(0.27), (0.0, 1.0), dt=0.02)
    assert broken.status is MACStatus.IMBALANCE
    last = float(broken.ts[-1])
    assert last == pytest.approx(0.26)
    whole = march_mac(channel(np.inf), (0.0, last), dt=0.02).raise_for_status()
    for found, expected in zip(broken.velocity, whole.velocity, strict=True):
        np.testing.assert_allclose(found[-1], expected[-1], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(broken.pressure[-1], whole.pressure[-1], rtol=1e-10, atol=1e-12)


def test_a_flow_of_elements_goes_on_from_its_last_good_state() -> None:
    """Euler's method, which needs no state but the last."""
    points = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, 4)], indexing="ij"), axis=2)
    mesh = join([points], {"walls": lambda middle: np.ones(len(middle), bool)})

    def stirring(limit: float) -> Flow:
        return Flow(
            mesh, 0.05, {"walls": (0.0, 0.0)}, force=lambda at, t: np.where(t > limit, np.nan, 1.0) * np.stack([at[:, 1], -at[:, 0]], 1)
        )

    whole = unsteady_flow(stirring(np.inf), (0.0, 1.0), 0.1, degree=2, order=1, rtol=1e-10).raise_for_status()
    broken = unsteady_flow(stirring(0.55), (0.0, 1.0), 0.1, degree=2, order=1, rtol=1e-10)
    assert broken.status is UnsteadyStatus.NONFINITE
    assert broken.state.time == pytest.approx(0.5)
    rest = unsteady_flow(stirring(np.inf), (broken.state.time, 1.0), 0.1, initial=broken.state, order=1, rtol=1e-10).raise_for_status()
    np.testing.assert_allclose(rest.state.velocity, whole.state.velocity, rtol=1e-7, atol=1e-10)
