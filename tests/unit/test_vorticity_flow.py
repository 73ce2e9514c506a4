"""Flow in a periodic rectangle: the right-hand side against direct sums, exact solutions, budgets, and how a march ends."""

import numpy as np
import pytest
import torch

from solvers import SolverError, integrate
from solvers.flow import FlowStatus, VorticityFlow, march

UNIT = (1.0, 1.0)


def nodes(shape, extent):
    return np.meshgrid(*(length * np.arange(n) / n for n, length in zip(shape, extent, strict=True)), indexing="ij")


def rough(flow, seed=0, rows=()):
    """A state with all modes at random, and little in the high ones."""
    w = np.random.default_rng(seed).standard_normal((*rows, *flow.shape))
    state = flow.to_state(w - w.mean(axis=(-2, -1), keepdims=True))
    return state * np.exp(-flow.squares / flow.squares.max() * 8)


def all_modes(flow, state):
    """Coefficients by wave numbers, both halves of the plane: what a direct sum runs over."""
    (Kx, Ky), found = flow.largest, {}
    for i in range(2 * Kx + 1):
        for j in range(Ky + 1):
            found[i - Kx, j] = state[i, j]
            found[Kx - i, -j] = np.conj(state[i, j])
    return found


class TestRightHandSide:
    @pytest.mark.parametrize("dealiasing", ["two_thirds", "three_halves"])
    def test_is_the_sum_over_all_triads(self, dealiasing):
        """``-sum over p + q = k of (u_p . i q) w_q``, term by term, in a rectangle with different sides."""
        flow = VorticityFlow((10, 8), (2.0, 3.0), 0.0, dealiasing=dealiasing)
        state = rough(flow)
        modes = all_modes(flow, state)
        kx, ky = 2 * np.pi / 2.0, 2 * np.pi / 3.0
        found, (Kx, Ky) = flow.nonlinear(0.0, state), flow.largest
        expected = np.zeros_like(found)
        for p, wp in modes.items():
            if p == (0, 0):
                continue
            px, py = p[0] * kx, p[1] * ky
            psi = wp / (px**2 + py**2)
            for q, wq in modes.items():
                k = (p[0] + q[0], p[1] + q[1])
                if abs(k[0]) <= Kx and 0 <= k[1] <= Ky:
                    u, v = 1j * py * psi, -1j * px * psi
                    expected[k[0] + Kx, k[1]] -= 1j * (u * q[0] * kx + v * q[1] * ky) * wq
        np.testing.assert_allclose(found, expected, atol=1e-13 * abs(expected).max())

    @pytest.mark.parametrize("dealiasing", ["two_thirds", "three_halves"])
    @pytest.mark.parametrize("shape", [(12, 16), (13, 9), (30, 12)])
    def test_conserves_energy_and_enstrophy(self, shape, dealiasing):
        flow = VorticityFlow(shape, (1.0, 0.7), 0.0, dealiasing=dealiasing)
        y = rough(flow)
        rate = flow.nonlinear(0.0, y)
        scale = np.linalg.norm(y) * np.linalg.norm(rate)
        transfer = (np.conj(y) * rate).real * flow.multiplicity
        assert abs(transfer.sum()) < 1e-14 * scale
        assert abs((transfer * flow.inverse_squares).sum()) < 1e-14 * scale * flow.inverse_squares.max()

    def test_keeps_conjugate_modes_conjugate_whatever_the_state(self):
        """Otherwise an imaginary part of the vorticity, which rounding leaves, would grow by convection."""
        flow = VorticityFlow((16, 16), UNIT, 0.0)
        y = rough(flow)
        y[:, 0] += 0.1 * np.random.default_rng(1).standard_normal(len(y))
        line = flow.nonlinear(0.0, y)[:, 0]
        np.testing.assert_allclose(line, np.conj(line[::-1]), atol=1e-14 * abs(line).max())

    def test_frequency_is_the_fastest_of_convection(self):
        flow = VorticityFlow((16, 12), (1.0, 2.0), 0.0)
        y = rough(flow, rows=(3,))
        u, v = flow.to_velocity(y)
        (Kx, Ky), (_, rate) = flow.largest, flow.nonlinear_and_rate(y, rate=True)
        expected = (2 * np.pi * Kx * abs(u) + np.pi * Ky * abs(v)).max(axis=(1, 2))
        np.testing.assert_allclose(rate, expected, rtol=1e-12)

    def test_rows_do_not_see_each_other(self):
        flow = VorticityFlow((48, 48), UNIT, 0.0)
        y = rough(flow, rows=(20,))
        many = flow.nonlinear(0.0, y)
        assert all((many[i] == flow.nonlinear(0.0, y[i])).all() for i in (0, 7, 19))
        np.testing.assert_array_equal(many.reshape(4, 5, *many.shape[1:]), flow.nonlinear(0.0, y.reshape(4, 5, *y.shape[1:])))

    @pytest.mark.parametrize("precision", ["64", "32"])
    def test_torch_and_numpy_agree(self, precision):
        flow = VorticityFlow((24, 20), UNIT, 1e-3, forcing=np.sin(2 * np.pi * nodes((24, 20), UNIT)[0]))
        y = rough(flow, rows=(2,))
        tensor = torch.as_tensor(y if precision == "64" else y.astype(np.complex64))
        found, expected = flow.nonlinear(0.0, tensor), flow.nonlinear(0.0, y)
        assert found.dtype == tensor.dtype
        tolerance = 1e-13 if precision == "64" else 1e-5
        np.testing.assert_allclose(found.numpy(), expected, atol=tolerance * abs(expected).max())
        single = flow.nonlinear(0.0, y.astype(np.complex64))
        assert single.dtype == np.complex64
        end, same = march(flow, tensor, 0.2, dt=0.02).states[-1], march(flow, y, 0.2, dt=0.02).states[-1]
        np.testing.assert_allclose(end.numpy(), same, atol=tolerance * abs(same).max())
        np.testing.assert_allclose(flow.energy(end).numpy(), flow.energy(same), rtol=10 * tolerance)


class TestFields:
    def test_velocity_and_streamfunction_of_a_wave(self):
        flow = VorticityFlow((16, 12), (2.0, 3.0), 0.0)
        x, y = nodes(flow.shape, flow.extent)
        kx, ky = np.pi, 4 * np.pi / 3
        state = flow.to_state((kx**2 + ky**2) * np.sin(kx * x + ky * y))
        np.testing.assert_allclose(flow.to_streamfunction(state), np.sin(kx * x + ky * y), atol=1e-14)
        u, v = flow.to_velocity(state)
        np.testing.assert_allclose(u, ky * np.cos(kx * x + ky * y), atol=1e-13)
        np.testing.assert_allclose(v, -kx * np.cos(kx * x + ky * y), atol=1e-13)
        assert flow.energy(state) == pytest.approx((kx**2 + ky**2) / 4, rel=1e-13)
        assert flow.enstrophy(state) == pytest.approx((kx**2 + ky**2) ** 2 / 4, rel=1e-13)

    @pytest.mark.parametrize("dealiasing", ["two_thirds", "three_halves"])
    def test_there_and_back_and_onto_a_finer_grid(self, dealiasing):
        flow = VorticityFlow((16, 15), UNIT, 0.0, dealiasing=dealiasing)
        state = rough(flow, rows=(2,))
        np.testing.assert_allclose(flow.to_state(flow.to_vorticity(state)), state, atol=1e-14)
        fine = flow.to_vorticity(state, (48, 45))
        np.testing.assert_allclose(fine[:, ::3, ::3], flow.to_vorticity(state), atol=1e-12)

    def test_spectrum_sums_to_the_energy_and_sees_a_wave_where_it_is(self):
        flow = VorticityFlow((32, 32), (2 * np.pi, 2 * np.pi), 0.0)
        k, energies = flow.spectrum(rough(flow, rows=(3,)))
        np.testing.assert_allclose(energies.sum(axis=-1), flow.energy(rough(flow, rows=(3,))), rtol=1e-13)
        x, y = nodes(flow.shape, flow.extent)
        _, wave = flow.spectrum(flow.to_state(25 * np.cos(3 * x + 4 * y)))
        assert np.flatnonzero(wave > 1e-20).tolist() == [4]
        assert (k[4], wave[4]) == (5.0, pytest.approx(25 / 4, rel=1e-13))

    def test_budget_of_energy_with_all_terms(self):
        """dE/dt = <u . f> - 2 nu Z - 2 mu E from the right-hand side itself."""
        x, y = nodes((24, 24), UNIT)
        flow = VorticityFlow((24, 24), UNIT, 3e-3, drag=0.2, forcing=np.cos(4 * np.pi * y) + np.sin(2 * np.pi * x))
        state = rough(flow)
        rate = flow.linear * state + flow.nonlinear(0.0, state)
        dE = ((np.conj(state) * rate).real * flow.multiplicity * flow.inverse_squares).sum()
        expected = flow.injection(state) - flow.dissipation(state) - 2 * 0.2 * flow.energy(state)
        assert dE == pytest.approx(expected, rel=1e-12)
        u, _ = flow.to_velocity(state)
        f = -np.sin(4 * np.pi * y) / (4 * np.pi)  # of g = cos(4 pi y) = -df/dy; the other wave pushes along y
        _, v = flow.to_velocity(state)
        along_y = -np.cos(2 * np.pi * x) / (2 * np.pi)
        assert flow.injection(state) == pytest.approx((u * f + v * along_y).mean(), rel=1e-12)


class TestMarch:
    def test_taylor_vortices_to_rounding_at_any_step(self):
        """Convection of a single |k| vanishes, and the decay is exact: ``w = 2 cos x cos y exp(-2 nu t)``."""
        flow = VorticityFlow((20, 16), (2 * np.pi, 2 * np.pi), 0.1)
        x, y = nodes(flow.shape, flow.extent)
        start = 2 * np.cos(x) * np.cos(y)
        for dt in (0.2, 0.05):
            end = march(flow, flow.to_state(start), 3.0, dt=dt).raise_for_status().states[-1]
            np.testing.assert_allclose(flow.to_vorticity(end), start * np.exp(-0.6), atol=1e-13)

    def test_laminar_kolmogorov_flow_is_reached_and_kept(self):
        """u = sin(n y) / (nu n^2 + mu): far below the first instability everything else decays."""
        n, nu, mu = 2, 0.5, 0.3
        shape, extent = (12, 24), (2 * np.pi, 2 * np.pi)
        _, y = nodes(shape, extent)
        flow = VorticityFlow(shape, extent, nu, drag=mu, forcing=-n * np.cos(n * y))
        end = march(flow, 0.1 * rough(flow), 40.0).raise_for_status().states[-1]
        u, v = flow.to_velocity(end)
        np.testing.assert_allclose(u, np.sin(n * y) / (nu * n**2 + mu), atol=1e-12)
        np.testing.assert_allclose(v, 0.0, atol=1e-12)

    def test_agrees_with_the_integrator_that_bounds_its_error(self):
        flow = VorticityFlow((24, 24), UNIT, 2e-3)
        state = 3 * rough(flow)
        sure = integrate(flow, (0.0, 1.0), state, "etdrk4", rtol=1e-9).raise_for_status().ys[-1]
        for method, dt, tolerance in (("etdrk4", None, 1e-7), ("cnab2", 1e-3, 1e-4)):
            end = march(flow, state, 1.0, dt=dt, method=method, safety=0.1).raise_for_status().states[-1]
            assert np.linalg.norm(end - sure) < tolerance * np.linalg.norm(sure)

    def test_a_step_that_convection_forbids_is_refused_with_the_largest(self):
        flow = VorticityFlow((24, 24), UNIT, 1e-3)
        state = rough(flow)
        _, rate = flow.nonlinear_and_rate(state, rate=True)
        with pytest.raises(ValueError, match=f"dt = 100 is too long .* give at most {2.8 / rate:.3g}, or None"):
            march(flow, state, 200.0, dt=100.0)
        assert march(flow, state, 0.1, dt=0.99 * 2.8 / rate).status is FlowStatus.SUCCESS
        with pytest.raises(ValueError, match=f"give at most {0.25 / rate:.3g}"):
            march(flow, state, 200.0, dt=1.0 / rate, method="cnab2")

    def test_a_flow_that_becomes_too_fast_ends_where_it_does(self):
        """Forced from rest without friction: u = t sin y, until the frequency K u passes the limit over dt."""
        shape, extent = (12, 12), (2 * np.pi, 2 * np.pi)
        flow = VorticityFlow(shape, extent, 0.0, forcing=-np.cos(nodes(shape, extent)[1]))
        found = march(flow, flow.to_state(np.zeros(shape)), [4.0, 16.0], dt=0.25)
        assert found.status is FlowStatus.CFL
        assert found.last_times == 3.75  # K = 3, dt = 0.25 and the limit 2.8: 3 t 0.25 > 2.8 from t = 3.73 on
        np.testing.assert_allclose(flow.to_velocity(found.last_good)[0].max(), 3.75, rtol=1e-12)
        assert found.largest_dt == pytest.approx(2.8 / (3 * 3.75), rel=1e-12)
        assert np.isnan(found.states[0]).all()
        with pytest.raises(SolverError, match=r"ended with CFL in step 16, from t = 3.75, largest_dt = 0.249: .*dt = None"):
            found.raise_for_status()
        followed = march(flow, flow.to_state(np.zeros(shape)), [4.0, 16.0]).raise_for_status()
        np.testing.assert_allclose(flow.to_velocity(followed.states[1])[0].max(), 16.0, rtol=1e-12)

    def test_a_row_that_breaks_is_told_with_its_last_good_state_and_disturbs_no_other(self):
        class Poisoned(VorticityFlow):
            """The second row becomes infinite in its third step."""

            calls = 0

            def nonlinear_and_rate(self, state, *, rate=False):
                found = super().nonlinear_and_rate(state, rate=rate)
                object.__setattr__(self, "calls", self.calls + rate)
                if self.calls == 3:
                    found[0][1] = np.inf
                return found

        healthy, poisoned = (kind((16, 16), UNIT, 1e-3) for kind in (VorticityFlow, Poisoned))
        state = rough(healthy, rows=(3,))
        expected, found = (march(flow, state, [0.2, 0.4], dt=0.1) for flow in (healthy, poisoned))
        assert found.row_status.tolist() == [FlowStatus.SUCCESS, FlowStatus.NONFINITE, FlowStatus.SUCCESS]
        assert found.last_times == pytest.approx([0.4, 0.2, 0.4])
        np.testing.assert_array_equal(found.last_good[1], expected.states[0][1])
        np.testing.assert_array_equal(found.states[1][[0, 2]], expected.states[1][[0, 2]])
        np.testing.assert_array_equal(found.states[0], expected.states[0])
        assert np.isnan(found.states[1][1]).all()
        with pytest.raises(SolverError, match=r"row 1 ended with NONFINITE in step 3, from t = 0.2"):
            found.raise_for_status()

    def test_limit_on_steps(self):
        flow = VorticityFlow((16, 16), UNIT, 1e-3)
        found = march(flow, rough(flow), 1.0, dt=0.1, max_steps=4)
        assert (found.status, found.steps, found.evaluations, float(found.last_times)) == (FlowStatus.MAX_STEPS, 4, 16, 0.4)
        assert march(flow, rough(flow), 1.0, dt=0.1, max_steps=10).status is FlowStatus.SUCCESS

    def test_the_initial_state_is_not_changed(self):
        flow = VorticityFlow((16, 16), UNIT, 1e-3)
        state = rough(flow)
        kept = state.copy()
        march(flow, state, 0.3)
        np.testing.assert_array_equal(state, kept)

    def test_each_row_may_have_its_own_viscosity(self):
        nu = np.array([1e-3, 1e-2])
        flow = VorticityFlow((16, 16), UNIT, nu)
        state = rough(flow, rows=(2,))
        both = march(flow, state, 0.5, dt=0.05).states[-1]
        for row, one in enumerate(nu):
            alone = march(VorticityFlow((16, 16), UNIT, one), state[row], 0.5, dt=0.05).states[-1]
            np.testing.assert_allclose(both[row], alone, atol=1e-15)
        np.testing.assert_allclose(flow.dissipation(state), 2 * nu * flow.enstrophy(state), rtol=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"viscosity": -1e-3}, "viscosity = -0.001 would feed the flow without bound"),
        ({"viscosity": [1e-3, np.nan]}, "viscosity = nan"),
        ({"drag": -1.0}, "drag = -1 would feed"),
        ({"shape": (16,)}, r"shape = \(16,\) is no grid in 2 dimensions"),
        ({"shape": (16, 2)}, "whole numbers of at least 4"),
        ({"extent": (1.0, 0.0)}, "no side lengths in 2 dimensions"),
        ({"dealiasing": "none"}, "'none' is not known: choose 'two_thirds' or 'three_halves'"),
        ({"forcing": np.zeros((8, 8))}, r"forcing has shape \(8, 8\); the grid needs \(16, 16\)"),
        ({"forcing": np.full((16, 16), np.nan)}, "forcing holds NaN or infinity"),
    ],
)
def test_settings_that_make_no_sense(change, message):
    with pytest.raises(ValueError, match=message):
        VorticityFlow(**{"shape": (16, 16), "extent": UNIT, "viscosity": 1e-3, **change})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": 0.0}, "times = 0.0 must be positive and increasing"),
        ({"times": [1.0, 0.5]}, "must be positive and increasing"),
        ({"dt": -0.1}, "dt = -0.1 is no step"),
        ({"safety": 1.5}, "safety = 1.5 is no part of a limit"),
        ({"method": "euler"}, "'euler' is not known: choose one of etdrk4, cnab2"),
        ({"state": np.ones(3)}, "state has 1 axes; this flow needs 2"),
        ({"state": np.full((11, 6), np.nan + 0j)}, "state holds NaN or infinity"),
    ],
)
def test_marches_that_make_no_sense(arguments, message):
    flow = VorticityFlow((16, 16), UNIT, 1e-3)
    with pytest.raises(ValueError, match=message):
        march(**{"flow": flow, "state": rough(flow), "times": 1.0, **arguments})


def test_fields_that_no_flow_has():
    flow = VorticityFlow((16, 16), UNIT, 1e-3)
    with pytest.raises(ValueError, match=r"mean of 1 in magnitude, and the curl of a periodic velocity has none: subtract it"):
        flow.to_state(1.0 + np.cos(2 * np.pi * nodes((16, 16), UNIT)[0]))
    with pytest.raises(ValueError, match=r"vorticity has shape \(8, 8\); the grid needs \(..., 16, 16\)"):
        flow.to_state(np.zeros((8, 8)))
    with pytest.raises(ValueError, match="cannot hold the modes: take more than 10 and 10 points"):
        flow.to_vorticity(rough(flow), (8, 8))


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (lambda flow: VorticityFlow(16, UNIT, 1e-3), "^shape = 16: give 2 whole numbers of at least 4"),
        (lambda flow: VorticityFlow((16, 16), 1.0, 1e-3), "^extent = 1.0: give 2 positive numbers"),
        (lambda flow: VorticityFlow((16, 16), UNIT, "a"), "^viscosity = 'a' is not made of numbers"),
        (lambda flow: VorticityFlow((16, 16), UNIT, 1e-3, forcing="a"), "^forcing = 'a' is not made of numbers"),
        (lambda flow: flow.to_state("a"), "^vorticity = 'a' is not made of numbers"),
        (lambda flow: march(flow, "a", 1.0), "^state = 'a' is not made of numbers"),
        (lambda flow: march(flow, rough(flow), "a"), "^times = 'a' is not made of numbers"),
        (lambda flow: march(flow, rough(flow), 1.0, dt="a"), "^dt = 'a' is no number"),
        (lambda flow: march(flow, rough(flow), 1.0, max_steps=1.5), "^max_steps = 1.5 is no whole number"),
        (lambda flow: march(None, rough(flow), 1.0), "^flow = None is no periodic flow: give VorticityFlow"),
    ],
)
def test_things_of_another_kind_are_named(slip, message):
    with pytest.raises(TypeError, match=message):
        slip(VorticityFlow((16, 16), UNIT, 1e-3))


def test_lists_are_arrays_and_trajectories_print_as_one_line():
    flow = VorticityFlow((16, 16), UNIT, 1e-3)
    field = np.sin(2 * np.pi * np.arange(16) / 16)[:, None] * np.ones(16)
    np.testing.assert_array_equal(flow.to_state(field.tolist()), flow.to_state(field))
    found = march(flow, flow.to_state(field), [0.5, 1.0], dt=0.25)
    assert repr(found) == "FlowTrajectory(SUCCESS, 2 states of shape (11, 6) up to t = 1, 4 steps, 16 evaluations)"


def test_a_state_that_is_not_the_flows_is_refused():
    one = VorticityFlow((32, 32), (1.0, 1.0), viscosity=1e-3)
    two = VorticityFlow((32, 32), (1.0, 1.0), viscosity=[1e-3, 1e-2])
    field = np.sin(2 * np.pi * np.arange(32) / 32)[:, None] * np.ones(32)
    with pytest.raises(ValueError, match=r"shape \(32, 32\), where .* \(21, 11\): make it with to_state"):
        march(one, field, 1.0)
    with pytest.raises(ValueError, match=r"from as many flows as viscosity has entries"):
        march(two, two.to_state(field), 1.0)
    both = march(two, two.to_state(np.stack([field, field])), 0.5).raise_for_status()
    alone = march(one, one.to_state(field), 0.5).raise_for_status()
    np.testing.assert_allclose(both.states[-1][0], alone.states[-1], rtol=1e-6, atol=1e-9)
