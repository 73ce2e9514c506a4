"""Each case of a network passes with few points and steps, and fails when the fault that it is there for is planted."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sciml.checks import CheckReport
from sciml.errors import InputError
from sciml.models.channels import Channels, coordinates, stack
from sciml.models.networks import Coordinates
from sciml.models.taylor import forward_jet
from sciml.problems.plane_flows import CENTRE, CHANNEL, RADIUS, cylinder_in_channel, kovasznay, starting_channel
from sciml.problems.strong_form import StrongForm
from solvers.flow import Side, StreamfunctionFlow, StreamfunctionProblem, solve_streamfunction
from validation.cases import pinn_cavity, pinn_cylinder, pinn_flows, pinn_poisson
from validation.networks import train
from validation.peers import deepxde_pinn

QUICK = {"re": 40.0, "width": 12, "points": 16, "steps": 60}


def failed(report: CheckReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_the_cavity_passes() -> None:
    report = pinn_cavity.run(**QUICK)
    assert failed(report) == []
    assert report.details["relative error of velocity"] < 1e-3
    assert len(report.details["figures"]) == 5


def unit_lid(re: float, degree: int) -> StreamfunctionFlow:
    """A lid of the same flux that is as flat as a polynomial of that degree can be."""
    lid = Side(slope=lambda x, y: 16 / 15 * (1 - (2 * x - 1) ** 8))
    return solve_streamfunction(StreamfunctionProblem(1 / re, sides={"top": lid}), degree).raise_for_status()


def test_another_lid_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinn_cavity, "reference", unit_lid)
    assert "relative error of velocity in the mean square" in failed(pinn_cavity.run(**QUICK))


def test_another_viscosity_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pinn_cavity.strong_form
    monkeypatch.setattr(pinn_cavity, "strong_form", lambda re: right(1.05 * re))
    assert "relative error of velocity in the mean square" in failed(pinn_cavity.run(**QUICK))


def test_a_lost_continuity_equation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pinn_cavity.strong_form

    def without(re: float):
        form = right(re)
        return replace(form, residual=lambda jets, found: form.residual(jets, found)[:2], equations=form.equations[:2], weights=(1.0, 1.0))

    monkeypatch.setattr(pinn_cavity, "strong_form", without)
    assert "relative error of velocity in the mean square" in failed(pinn_cavity.run(**QUICK))


def test_reynolds_numbers_rise_by_factors_of_four_at_most() -> None:
    assert pinn_cavity.rising(50.0) == [50.0]
    assert pinn_cavity.rising(400.0) == [100.0, 400.0]
    numbers = pinn_cavity.rising(1000.0)
    assert len(numbers) == 3
    assert max(b / a for a, b in itertools.pairwise(numbers)) < 4


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="re = 1"):
        pinn_cavity.run(re=1e4)
    with pytest.raises(InputError, match="points = 5"):
        pinn_cavity.run(points=5)


@pytest.mark.slow
def test_the_cavity_at_re_1000_is_right_to_a_hundredth() -> None:
    report = pinn_cavity.run()
    assert failed(report) == []
    assert report.details["relative error of velocity"] < 5e-3


CIRCULATION, STREAM = 1.7, 0.8


def potential_flow(points: np.ndarray) -> Channels:
    """Around a cylinder with circulation: a solution of the Navier-Stokes equations whose force Kutta and Joukowski tell."""
    x = coordinates(torch.as_tensor(points))
    dx, dy = x.column(0) - CENTRE[0], x.column(1) - CENTRE[1]
    square = 1.0 / (dx * dx + dy * dy)
    swirl = CIRCULATION / (2 * np.pi)
    u = STREAM * (1.0 - RADIUS**2 * (dx * dx - dy * dy) * square * square) - swirl * dy * square
    v = -2 * STREAM * RADIUS**2 * dx * dy * square * square + swirl * dx * square
    return stack([u, v, (u * u + v * v) * -0.5])


def test_both_forces_are_those_of_kutta_and_joukowski() -> None:
    flow = SimpleNamespace(frame=lambda points: points, fields=potential_flow)
    expected = (0.0, -STREAM * CIRCULATION)
    np.testing.assert_allclose(pinn_cylinder.surface_force(flow), expected, atol=1e-10)
    np.testing.assert_allclose(pinn_cylinder.momentum_balance(flow), expected, atol=1e-5)


def test_a_shear_flow_pulls_at_a_box_by_its_viscous_stress() -> None:
    def shear(points: np.ndarray) -> Channels:
        """u = y^2: the stress ``2 y / Re`` on top and bottom of the box does not balance, and no momentum leaves on the whole."""
        x = coordinates(torch.as_tensor(points))
        y = x.column(1)
        return stack([y * y, 0.0 * y, 0.0 * y])

    (x_low, y_low), (x_high, y_high) = pinn_cylinder.CONTROL.low, pinn_cylinder.CONTROL.high
    flow = SimpleNamespace(frame=lambda points: points, fields=shear)
    expected = ((x_high - x_low) * 2 * (y_high - y_low) / pinn_cylinder.RE, 0.0)
    np.testing.assert_allclose(pinn_cylinder.momentum_balance(flow), expected, atol=1e-12)


def test_points_lie_in_the_fluid_and_half_of_them_near_the_cylinder() -> None:
    points = pinn_cylinder.collocation_points(1000, 0)
    r = np.hypot(*(points - np.array(CENTRE)).T)
    assert len(points) == 1000
    assert ((points > 0) & (points < CHANNEL)).all()
    assert r.min() > RADIUS
    assert (r < pinn_cylinder.NEAR * RADIUS).sum() >= 500


def test_features_follow_the_coordinates_with_their_derivatives() -> None:
    form = cylinder_in_channel()
    inputs = Coordinates(form.low, form.high, form.closed, form.features)
    points = torch.as_tensor(pinn_cylinder.collocation_points(50, 0))
    found = forward_jet(inputs, coordinates(points))
    torch.testing.assert_close(inputs(points), found.value)
    assert inputs.outputs == found.value.shape[1] == 4
    near = RADIUS * (points - torch.tensor(CENTRE)) / ((points - torch.tensor(CENTRE)) ** 2).sum(dim=1, keepdim=True)
    torch.testing.assert_close(found.value[:, 2:], near)
    assert float(found.laplacian[:, 2:].abs().max()) < 1e-9  # inverted coordinates are harmonic


def test_a_small_network_finds_the_drag_to_two_hundredths() -> None:
    form, points = pinn_cylinder.strong_form(), pinn_cylinder.collocation_points(800, 0)
    pinn = train([(form, 60)], points, kind="modified_mlp", width=20, depth=2).pinn
    for force in (pinn_cylinder.surface_force(pinn), pinn_cylinder.momentum_balance(pinn)):
        assert 2 * force[0] == pytest.approx(5.57953523384, rel=2e-2)
    assert pinn_cylinder.flow_rate(pinn, 10.0) == pytest.approx(1.0, abs=2e-2)


@pytest.mark.slow
def test_the_cylinder_passes() -> None:
    assert failed(pinn_cylinder.run()) == []


def quick_flows() -> dict[str, pinn_flows.Flow]:
    """The same names with fewer steps and gates to match."""
    quick = {
        "Poiseuille": (25, 1e-14),
        "Kovasznay": (30, 1e-4),
        "Taylor-Green": (15, 5e-2),
        "pulsating": (15, 1e-2),
        "starting": (20, 1e-2),
    }
    return {name: replace(flow, steps=quick[name][0], gate=quick[name][1]) for name, flow in pinn_flows.flows().items()}


def test_flows_of_closed_form_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = quick_flows()
    monkeypatch.setattr(pinn_flows, "flows", lambda: quick)
    monkeypatch.setattr(pinn_flows, "_acceleration", lambda flow, seed: (math.inf, []))
    report = pinn_flows.run()
    assert failed(report) == []
    assert len(report.checks) == 2 * len(quick) + 1


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("Kovasznay", lambda: kovasznay(41.0)), ("starting", lambda: starting_channel(viscosity=0.105))],
)
def test_a_flow_of_another_viscosity_is_found(name: str, wrong: Callable[[], StrongForm], monkeypatch: pytest.MonkeyPatch) -> None:
    flow = quick_flows()[name]
    other = replace(wrong(), exact=flow.form.exact)
    if name == "Kovasznay":  # the values on the sides are those of the right flow
        other = replace(other, conditions=flow.form.conditions)
    monkeypatch.setattr(pinn_flows, "flows", lambda: {"Kovasznay": replace(flow, form=other)})
    monkeypatch.setattr(pinn_flows, "_acceleration", lambda flow, seed: (math.inf, []))
    monkeypatch.setattr(pinn_flows, "_figures", lambda trained: [])
    assert failed(pinn_flows.run()) == ["Kovasznay: relative error of velocity"]


@pytest.mark.slow
def test_flows_of_closed_form_as_they_are() -> None:
    report = pinn_flows.run()
    assert failed(report) == []
    assert len(report.details["figures"]) == 3


def test_networks_on_poissons_equation_pass() -> None:
    report = pinn_poisson.run()
    assert failed(report) == []
    assert report.details["DeepXDE"] != {}


def test_a_wrong_source_on_the_disk_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pinn_poisson.problems()["disk"]
    source = right.parameters["source"]
    wrong = replace(right, parameters={"source": lambda x, y: 1.000001 * source(x, y)})  # type: ignore[operator]
    pinn, _, _ = pinn_poisson._trained(wrong, 2500, 100, 0)
    assert pinn_poisson.relative_error(pinn) > pinn_poisson.BUDGETS["disk"][2]


@pytest.mark.skipif(deepxde_pinn.missing() is not None, reason=str(deepxde_pinn.missing()))
def test_deepxde_finds_the_same_solution() -> None:
    x = np.random.default_rng(0).random((200, 2))
    found = deepxde_pinn.train("poisson", x, adam=500, lbfgs=300, seed=0)
    exact = np.sin(math.pi * x).prod(axis=1)
    assert found.values.shape == (200, 1)
    assert np.linalg.norm(found.values[:, 0] - exact) < 1e-2 * np.linalg.norm(exact)
