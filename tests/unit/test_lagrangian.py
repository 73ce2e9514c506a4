"""Networks along characteristics: equations, conditions and solutions against closed forms, quadrature and integrated particles."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from sciml.discretize import discretize, evolve, fields_of
from sciml.errors import DatasetError
from sciml.models import lagrangian
from sciml.models.lagrangian import LagrangianMarch, LagrangianPINN, lagrangian_form
from sciml.problems import Burgers
from sciml.problems.jet import Jet
from sciml.problems.particles import Scaled
from sciml.problems.transport import Transport
from validation.cases import lpinn_burgers, lpinn_convection
from validation.characteristics import PERIOD, at, cells, cole_hopf, follow, relative, without_jacobian

SINE = {"kind": "wave", "wavenumbers": [1.0], "phases": [-np.pi / 2]}
WIDE = {"depth": 2, "width": 12, "points": 300, "steps": 18, "seed": 0}


def burgers(viscosity, current=0.0):
    return lpinn_burgers.burgers(viscosity, current)


def scattered(pinn, size=0.5):
    """The network with weights that no training has seen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in pinn.network.parameters():
            value.copy_(size * torch.randn(value.shape, generator=generator, dtype=torch.float64))
    return pinn


@pytest.fixture(scope="module")
def march():
    """Burgers' equation at nu = 0.1 up to t = 1.5."""
    return follow(burgers(0.1), 1.5, **WIDE)[0]


class TestQuadrature:
    def test_agrees_with_the_spectral_solver(self):
        for viscosity, n in ((0.1, 128), (0.03, 512)):
            problem = Burgers(resolution=n, extent=PERIOD, viscosity=viscosity, initial_velocity=SINE, times=(0.75, 1.5))
            system = discretize(problem, {})
            found = fields_of(system, evolve(problem, system, 1e-10).raise_for_status())["velocity"]
            for t, u in zip(problem.times, found, strict=True):
                np.testing.assert_allclose(cole_hopf(problem.grid.centers(0), t, viscosity), u, atol=1e-9)

    def test_the_published_formulation_is_wrong_by_known_parts(self):
        """Relative errors of its closed form, at viscosities and times before characteristics cross."""
        for viscosity, t, error in ((0.1, 0.5, 2.2e-2), (0.1, 1.0, 1.4e-1), (0.05, 0.75, 3.6e-2), (0.01, 0.9, 2.1e-2)):
            assert relative(without_jacobian(cells(), t, viscosity), cole_hopf(cells(), t, viscosity)) == pytest.approx(error, rel=0.06)


class TestEquations:
    def test_vanish_on_particles_of_the_exact_flow_and_only_with_the_jacobian(self):
        """Particles carried by the exact solution, with J, its slope and the state's derivatives integrated along."""
        viscosity, t, h = 0.1, 1.2, 1e-3
        s = np.linspace(0, PERIOD, 8, endpoint=False) + 0.1

        def u(x, t, order):
            """A derivative by x, of fourth order."""
            e = [cole_hopf(x + k * h, t, viscosity) for k in (-2, -1, 0, 1, 2)]
            if order == 0:
                return e[2]
            if order == 1:
                return (e[0] - 8 * e[1] + 8 * e[3] - e[4]) / (12 * h)
            return (-e[0] + 16 * e[1] - 30 * e[2] + 16 * e[3] - e[4]) / (12 * h**2)

        def rates(t, y):
            X, L, _ = y.reshape(3, -1)
            return np.concatenate([u(X, t, 0), u(X, t, 1), u(X, t, 2) * np.exp(L)])

        start = np.concatenate([s + 0.05 * np.sin(s), np.log(1 + 0.05 * np.cos(s)), -0.05 * np.sin(s) / (1 + 0.05 * np.cos(s))])
        X, L, L_s = solve_ivp(rates, (0.05, t), start, rtol=1e-7, atol=1e-8).y[:, -1].reshape(3, -1)
        J, (v, u_x, u_xx) = np.exp(L), (u(X, t, order) for order in range(3))
        w_s, w_ss = u_x * J, u_xx * J**2 + u_x * J * L_s
        L, L_s, u_x = map(torch.as_tensor, (L, L_s, u_x))
        v, w_s, w_ss, w_t = (torch.as_tensor(z / Scaled.of(burgers(viscosity)).amplitude) for z in (v, w_s, w_ss, viscosity * u_xx))
        jets = {"log_jacobian": Jet(L, (L_s,), None, u_x), "state": Jet(v, (w_s,), w_ss, w_t)}
        residual = lagrangian_form(burgers(viscosity), 1.0).residual
        for found in residual(jets, {}):
            assert float(found.abs().max()) < 1e-6
        flat = Jet(jets["log_jacobian"].value, (torch.zeros(8),), None, jets["log_jacobian"].time_derivative)
        assert float(residual(jets | {"log_jacobian": flat}, {})[1].abs().max()) > 1e-3
        assert J.min() < 0.2  # far from where a lost factor would not matter

    def test_without_viscosity_particles_keep_their_state(self):
        s, t = torch.linspace(0, 6, 20, dtype=torch.float64), 0.7
        J, A = 1 + t * torch.cos(s), Scaled.of(burgers(0.0)).amplitude
        jets = {
            "log_jacobian": Jet(torch.log(J), (-t * torch.sin(s) / J,), None, torch.cos(s) / J),
            "state": Jet(torch.sin(s) / A, (torch.cos(s) / A,), -torch.sin(s) / A, torch.zeros_like(s)),
        }
        for found in lagrangian_form(burgers(0.0), 1.0).residual(jets, {}):
            assert float(found.abs().max()) < 1e-14

    def test_a_nonlinear_speed_is_evaluated_in_the_scaled_state(self):
        """``a(u) = 1 - u + 2 u^2``: with ``u = 3 + 0.5 v`` it is ``16 + 5.5 v + 0.5 v^2``."""
        scaled = Scaled.of(Transport((1.0, -1.0, 2.0), 0.0, lambda x: 3 + 0.5 * np.sin(x), PERIOD))
        np.testing.assert_allclose(scaled.speed.coef, [16.0, 5.5, 0.5], atol=1e-4)  # the amplitude is that of cell centres
        assert scaled.drift == pytest.approx(16.0, abs=1e-12)


class TestConditions:
    def test_hold_whatever_the_network_says(self):
        pinn = scattered(LagrangianPINN(burgers(0.05, 2.0), 0.8, width=8, depth=2))
        s = np.random.default_rng(0).uniform(0, PERIOD, 50)
        np.testing.assert_allclose(pinn.jacobian(s, 0.0), 1.0, atol=1e-14)
        np.testing.assert_allclose(pinn.characteristics(s, 0.0), s, atol=1e-13)
        np.testing.assert_allclose(pinn.predict(at(s, 0.0))["velocity"], 2 + np.sin(s), atol=1e-12)
        t = 0.8
        assert pinn.jacobian(s, t).min() > 0
        assert np.ptp(pinn.jacobian(s, t)) > 0.5
        np.testing.assert_allclose(pinn.characteristics(s + PERIOD, t) - pinn.characteristics(s, t), PERIOD, atol=1e-12)
        np.testing.assert_allclose(pinn.predict(at(s + 3 * PERIOD, t))["velocity"], pinn.predict(at(s, t))["velocity"], atol=1e-11)
        assert np.diff(pinn.characteristics(np.sort(s), t)).min() > 0
        np.testing.assert_allclose(pinn.labels_at(pinn.characteristics(s, t), t), s, atol=1e-5)

    def test_branches_share_nothing(self):
        pinn = LagrangianPINN(burgers(0.05), 0.8, width=8, depth=2)
        points = torch.as_tensor(at([1.0, 2.0], 0.4))
        for output in (0, 1):
            pinn.zero_grad()
            pinn(points)[:, output].sum().backward()
            touched = {name.split(".")[1] for name, value in pinn.network.named_parameters() if value.grad is not None and value.grad.any()}
            assert touched == {str(output)}

    def test_new_labels_name_the_same_particles(self):
        pinn = scattered(LagrangianPINN(burgers(0.05, 2.0), 0.8, width=8, depth=2), 0.4)
        after = LagrangianPINN(burgers(0.05, 2.0), 0.5, pinn.relabelled(256), width=8, depth=2)
        x = np.linspace(0, PERIOD, 100)
        np.testing.assert_allclose(after.predict(at(x, 0.0))["velocity"], pinn.predict(at(x, 0.8))["velocity"], atol=1e-5)
        places = after.characteristics(after.labels_at(x, 0.0), 0.0)
        np.testing.assert_allclose(places, x, atol=1e-5)


class TestConvection:
    def test_errors_do_not_know_the_speed(self):
        small = {"depth": 1, "width": 12, "points": 200, "steps": 30, "seed": 0}
        errors = {}
        for c in (0.0, 37.0, 50.0, 70.0, 500.0):
            march = follow(Transport((c,), 0.01, np.sin, PERIOD), 1.0, **small)[0]
            exact = np.exp(-0.01) * np.sin(cells() - c)
            errors[c] = relative(march.predict(at(cells(), 1.0))["velocity"], exact)
            np.testing.assert_allclose(march.characteristics([1.0, 2.0], 0.5), [1 + c / 2, 2 + c / 2], atol=1e-5)
        assert max(errors.values()) < 1e-5
        assert max(errors.values()) < 1.01 * min(errors.values())

    def test_without_diffusion_the_state_is_carried(self):
        march = follow(Transport((50.0,), 0.0, np.sin, PERIOD), 1.0, depth=1, width=8, points=150, steps=25, seed=0)[0]
        assert relative(march.predict(at(cells(), 1.0))["velocity"], np.sin(cells() - 50.0)) < 1e-5

    def test_networks_of_places_have_as_many_parameters_and_fail(self):
        two = sum(p.numel() for p in LagrangianPINN(burgers(0.1), 1.0, width=8, depth=2).network.parameters())
        width = lpinn_convection.equal_width(8)
        assert width * (width + 6) + 1 >= two > (width - 1) * (width + 5) + 1
        assert lpinn_convection._in_places(50.0, 0.01, 8, 150, 20, 0) > 0.3
        assert lpinn_convection._in_places(0.0, 0.01, 8, 150, 20, 0) < 1e-3


class TestBurgers:
    def test_is_right_past_the_time_at_which_characteristics_without_jacobian_cross(self, march):
        for t in (0.3, 0.75, 1.5):
            assert relative(march.predict(at(cells(), t))["velocity"], cole_hopf(cells(), t, 0.1)) < 5e-4
        assert relative(without_jacobian(cells(), 1.5, 0.1), cole_hopf(cells(), 1.5, 0.1)) > 10 * lpinn_burgers.WIDE_GATE

    def test_characteristics_and_jacobian_are_those_of_the_exact_flow(self, march):
        s, h = np.linspace(0.2, 6.0, 5), 1e-3

        def rates(t, y):
            X = y[:5]
            around = [cole_hopf(X + k * h, t, 0.1) for k in (-1, 0, 1)]
            return np.concatenate([around[1], (around[2] - around[0]) / (2 * h)])

        first = 1e-3  # before which the quadrature's weights are too narrow: X = s + t u0 there
        start = np.concatenate([s + first * np.sin(s), np.log(1 + first * np.cos(s))])
        X, L = solve_ivp(rates, (first, 1.5), start, rtol=1e-5, atol=1e-6).y[:, -1].reshape(2, 5)
        np.testing.assert_allclose(march.characteristics(s, 1.5), X, atol=2e-3)
        np.testing.assert_allclose(np.log(march.jacobian(s, 1.5)), L, atol=1e-2)

    def test_invariants(self, march):
        for window in march.windows:
            assert window.jacobian(cells(), window.duration).min() > 0
            assert window.mean_jacobian(window.duration) == pytest.approx(1.0, abs=1e-4)
            assert window.mean_state(window.duration) == pytest.approx(0.0, abs=1e-4)

    def test_a_mean_flow_moves_the_solution_and_no_more(self, march):
        moving = follow(burgers(0.1, 37.0), 1.5, **WIDE)[0]
        exact = cole_hopf(cells(), 1.5, 0.1)
        errors = [
            relative(march.predict(at(cells(), 1.5))["velocity"], exact),
            relative(moving.predict(at(cells() + 37 * 1.5, 1.5))["velocity"] - 37, exact),
        ]
        assert errors[1] < 2 * errors[0]

    @pytest.mark.parametrize("fault", ["no jacobian", "one factor", "wrong sign"])
    def test_planted_faults_are_found(self, monkeypatch, fault):
        """The diffusion term without the Jacobian, with one of two factors 1 / J, or the equation of J with the other sign."""
        right = lagrangian_form

        def planted(transport, duration, labels=None):
            form = right(transport, duration, labels)

            def residual(jets, given):
                L, v = jets["log_jacobian"], jets["state"]
                one, two = form.residual(jets, given)
                weight = duration * torch.exp(0.5 * L.value)
                if fault == "wrong sign":
                    return 2 * weight * L.time_derivative - one, two
                diffusion = v.laplacian if fault == "no jacobian" else torch.exp(-L.value) * v.laplacian
                return one, weight * (v.time_derivative - transport.viscosity * diffusion)

            return replace(form, residual=residual)

        monkeypatch.setattr(lagrangian, "lagrangian_form", planted)
        march = follow(burgers(0.1), 0.75, **{**WIDE, "compression": 0.9})[0]
        error = relative(march.predict(at(cells(), 0.75))["velocity"], cole_hopf(cells(), 0.75, 0.1))
        assert error > lpinn_burgers.WIDE_GATE
        if fault == "no jacobian":  # then training finds what the closed form says
            assert error == pytest.approx(6.1e-2, rel=0.05)


class TestMarch:
    def test_windows_are_as_long_as_the_steepest_gradient_allows(self, march):
        assert march.starts[0] == 0.0
        assert march.windows[0].duration == pytest.approx(0.5)  # the slope of -1 presses by a half until then
        assert march.reached == pytest.approx(1.5)
        assert march.complete
        np.testing.assert_allclose(np.diff(march.starts), [window.duration for window in march.windows[:-1]], rtol=1e-12)

    def test_without_viscosity_particles_go_straight_on_through_all_windows(self):
        """``X = s + t u0(s)``, from a state without symmetry, so that the mean speed over new labels is not that over the old ones."""
        s, t = np.linspace(0.3, 6.5, 11), 0.35

        def initial(x):
            return np.sin(x) + 0.4 * np.sin(2 * x + 1)

        march = follow(Transport((0.0, 1.0), 0.0, initial, PERIOD), t, **WIDE | {"compression": 0.3})[0]
        assert len(march.windows) > 2
        np.testing.assert_allclose(march.characteristics(s, [0.1, t]), [s + 0.1 * initial(s), s + t * initial(s)], atol=1e-3)
        np.testing.assert_allclose(march.jacobian(s, t), 1 + t * (np.cos(s) + 0.8 * np.cos(2 * s + 1)), atol=2e-3)
        np.testing.assert_allclose(march.predict(at(s + t * initial(s), t))["velocity"], initial(s), atol=1e-3)

    def test_a_state_without_gradient_takes_one_window(self):
        march = LagrangianMarch(Transport((0.0, 1.0), 0.1, lambda x: 0.0 * x + 2.0, PERIOD), 5.0, width=4, depth=1)
        assert march.complete
        np.testing.assert_allclose(march.predict(at([0.3, 4.0], 0.0))["velocity"], 2.0)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"duration": 0.0}, "duration = 0"),
            ({"compression": 1.0}, "compression = 1"),
            ({"viscosity": -0.1}, "viscosity = -0.1"),
            ({"period": 0.0}, "period = 0"),
            ({"speed": ()}, "speed = "),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, change, words):
        given = {"duration": 1.0, "compression": 0.5, "viscosity": 0.1, "period": 1.0, "speed": (1.0,)} | change
        with pytest.raises(DatasetError, match=words):
            LagrangianMarch(
                Transport(given["speed"], given["viscosity"], np.sin, given["period"]), given["duration"], compression=given["compression"]
            )


def failed(report):
    return [check.name for check in report.checks if not check.passed]


@pytest.mark.slow
def test_the_case_of_burgers_passes():
    assert failed(lpinn_burgers.run()) == []


@pytest.mark.slow
def test_the_case_of_convection_passes():
    assert failed(lpinn_convection.run()) == []
