"""Flow in a periodic box: the right-hand side in another form, conservation, exact flows, and the early times of Taylor and Green."""

import numpy as np
import pytest
import torch

from solvers.flow import VelocityFlow, VorticityFlow, march

SIDE = 2 * np.pi


def nodes(shape, extent):
    return np.meshgrid(*(length * np.arange(n) / n for n, length in zip(shape, extent, strict=True)), indexing="ij")


def rough(flow, seed=0):
    """A divergence-free state with all modes at random, and little in the high ones."""
    raw = flow._modes(np.random.default_rng(seed).standard_normal((3, *flow.shape)), flow.shape)
    return flow._project(raw * np.exp(-flow.squares / flow.squares.max() * 6))


def taylor_green(n, viscosity):
    flow = VelocityFlow((n, n, n), (SIDE, SIDE, SIDE), viscosity)
    x, y, z = nodes(flow.shape, flow.extent)
    velocity = np.stack([np.sin(x) * np.cos(y) * np.cos(z), -np.cos(x) * np.sin(y) * np.cos(z), 0 * x])
    return flow, flow.to_state(velocity)


@pytest.mark.parametrize("dealiasing", ["two_thirds", "three_halves"])
def test_right_hand_side_is_the_projection_of_u_cross_curl_u(dealiasing):
    """The rotational form on three times as many points, where nothing is aliased, projected here by hand."""
    flow = VelocityFlow((10, 8, 9), (1.0, 2.0, 1.5), 0.0, dealiasing=dealiasing)
    state, fine = rough(flow), (30, 24, 27)
    k = flow.wavenumbers
    curl = 1j * np.stack([k[1] * state[2] - k[2] * state[1], k[2] * state[0] - k[0] * state[2], k[0] * state[1] - k[1] * state[0]])
    u, vorticity = flow._points(state, fine), flow._points(curl, fine)
    force = flow._modes(np.cross(u, vorticity, axis=0), fine)
    dot = sum(one * part for one, part in zip(k, force, strict=True)) * flow.inverse_squares
    expected = force - np.stack([one * dot for one in k])
    found = flow.nonlinear(0.0, state)
    np.testing.assert_allclose(found, expected, atol=1e-13 * abs(expected).max())
    divergence = sum(one * part for one, part in zip(k, found, strict=True))
    assert abs(divergence).max() < 1e-13 * abs(found).max() * k[0].max()
    transfer = ((np.conj(state) * found).real * flow.multiplicity).sum()
    assert abs(transfer) < 1e-14 * np.linalg.norm(state) * np.linalg.norm(found)
    np.testing.assert_allclose(flow.to_vorticity(state), flow._points(curl, flow.shape), atol=1e-13)


def test_plane_flow_is_that_of_the_vorticity():
    """A flow that does not depend on z, by the other solver."""
    plane = VorticityFlow((24, 24), (SIDE, SIDE), 0.02)
    x, y = nodes(plane.shape, plane.extent)
    start = plane.to_state(np.cos(x) * np.sin(2 * y) + np.sin(2 * x + y))
    u, v = plane.to_velocity(start)
    flow = VelocityFlow((24, 24, 4), (SIDE, SIDE, 1.0), 0.02)
    lifted = np.stack([np.repeat(part[..., None], 4, axis=-1) for part in (u, v, 0 * u)])
    end = march(flow, flow.to_state(lifted), 1.0, dt=0.02).raise_for_status().states[-1]
    flat = march(plane, start, 1.0, dt=0.02).raise_for_status().states[-1]
    np.testing.assert_allclose(flow.to_velocity(end)[:2, ..., 0], plane.to_velocity(flat), atol=1e-13)
    np.testing.assert_allclose(flow.enstrophy(end), plane.enstrophy(flat), rtol=1e-12)


def test_beltrami_flow_decays_to_rounding():
    """The ABC flow: its curl is itself, so that convection is a gradient and u = u0 exp(-nu t)."""
    flow = VelocityFlow((12, 12, 12), (SIDE, SIDE, SIDE), 0.3)
    x, y, z = nodes(flow.shape, flow.extent)
    u0 = np.stack([np.sin(z) + 0.5 * np.cos(y), 0.7 * np.sin(x) + np.cos(z), 0.5 * np.sin(y) + 0.7 * np.cos(x)])
    end = march(flow, flow.to_state(u0), 2.0, dt=0.1).raise_for_status().states[-1]
    np.testing.assert_allclose(flow.to_velocity(end), u0 * np.exp(-0.6), atol=1e-13)


@pytest.mark.parametrize("viscosity", [0.0, 0.05])
def test_taylor_green_vortex_at_early_times(viscosity):
    """Mean square vorticity over its start: Taylor and Green, Proc. R. Soc. A 158 (1937), their series in T = t for this flow.

    ``1 - 6 T / R + (5/48 + 18 / R^2) T^2 - (5/3 + 36 / R^2) T^3 / R + ...``; what is left out is of fourth order.
    """
    flow, start = taylor_green(24, viscosity)
    times = [0.02, 0.04, 0.08]
    states = np.array(march(flow, start, times, dt=0.01).raise_for_status().states)
    t = np.array(times)
    series = 1 - 6 * viscosity * t + (5 / 48 + 18 * viscosity**2) * t**2 - (5 / 3 + 36 * viscosity**2) * viscosity * t**3
    rest = flow.enstrophy(states) / flow.enstrophy(start) - series
    assert abs(rest[-1]) < 0.1 * t[-1] ** 4
    assert flow.enstrophy(start) == pytest.approx(3 / 8, rel=1e-13)
    assert flow.energy(start) == pytest.approx(1 / 8, rel=1e-13)


def test_budget_of_energy_with_forcing():
    flow0 = VelocityFlow((12, 12, 12), (1.0, 1.0, 1.0), 0.01)
    x, y, z = nodes(flow0.shape, flow0.extent)
    force = np.stack([np.sin(2 * np.pi * y), np.cos(2 * np.pi * z), np.sin(4 * np.pi * x)])
    flow = VelocityFlow((12, 12, 12), (1.0, 1.0, 1.0), 0.01, forcing=force)
    state = rough(flow)
    rate = flow.linear * state + flow.nonlinear(0.0, state)
    dE = ((np.conj(state) * rate).real * flow.multiplicity).sum()
    assert dE == pytest.approx(flow.injection(state) - flow.dissipation(state), rel=1e-11)
    assert flow.injection(state) == pytest.approx((flow.to_velocity(state) * force).sum(axis=0).mean(), rel=1e-11)


def test_torch_and_numpy_agree_and_rows_stand_alone():
    flow = VelocityFlow((8, 8, 8), (1.0, 1.0, 1.0), 1e-2)
    states = np.stack([rough(flow, seed) for seed in (0, 1)])
    both = march(flow, states, 0.2, dt=0.02).raise_for_status().states[-1]
    tensors = march(flow, torch.as_tensor(states), 0.2, dt=0.02).raise_for_status().states[-1]
    np.testing.assert_allclose(tensors.numpy(), both, atol=1e-13)
    np.testing.assert_array_equal(march(flow, states[1], 0.2, dt=0.02).states[-1], both[1])
    np.testing.assert_allclose(flow.energy(tensors).numpy(), flow.energy(both), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"viscosity": -1.0}, "viscosity = -1 would feed the flow"),
        ({"shape": (8, 8)}, "no grid in 3 dimensions"),
        ({"forcing": np.zeros((8, 8, 8))}, r"the grid needs \(3, 8, 8, 8\)"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        VelocityFlow(**{"shape": (8, 8, 8), "extent": (1.0, 1.0, 1.0), "viscosity": 1e-3, **change})


def test_a_velocity_with_a_divergence_is_refused():
    flow = VelocityFlow((8, 8, 8), (1.0, 1.0, 1.0), 0.0)
    x, _, _ = nodes(flow.shape, flow.extent)
    wave = np.sin(2 * np.pi * x)
    with pytest.raises(ValueError, match=r"velocity has a divergence: 1.0e\+00 of it is a gradient"):
        flow.to_state(np.stack([wave, 0 * wave, 0 * wave]))
    with pytest.raises(ValueError, match="the grid needs"):
        flow.to_state(wave)
