"""Plane flows: closed forms satisfy their equations and conditions, and networks find them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from sciml.errors import DatasetError
from sciml.models.channels import coordinates
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.optimizers import GaussNewton, GeodesicLevenbergMarquardt, LevenbergMarquardt
from sciml.problems.jet import Jet
from sciml.problems.plane_flows import (
    CENTRE,
    CHANNEL,
    RADIUS,
    cylinder_in_channel,
    kovasznay,
    plane_poiseuille,
    pulsating_channel,
    starting_channel,
    taylor_green,
)
from sciml.problems.strong_form import StrongForm

U, V, P = "velocity_x", "velocity_y", "pressure"
CLOSED: dict[str, Callable[[], StrongForm]] = {
    "poiseuille": plane_poiseuille,
    "poiseuille, other numbers": lambda: plane_poiseuille(0.3, 1.5),
    "kovasznay": kovasznay,
    "kovasznay, Re 100": lambda: kovasznay(100.0),
    "taylor-green": taylor_green,
    "pulsating": pulsating_channel,
    "pulsating fast": lambda: pulsating_channel(10.0),
    "starting": starting_channel,
    "starting in resonance": lambda: starting_channel(0.1, ramp=1 / (0.1 * (1.5 * math.pi) ** 2)),
}


def jet(quantity) -> Jet:
    """Derivatives as the residual wants them, of a quantity in (x, y) or (x, y, t)."""
    gradient = quantity.gradient[..., 0]
    time = gradient[2] if len(gradient) > 2 else None
    return Jet(quantity.value[:, 0], (gradient[0], gradient[1]), quantity.laplacian[:, 0], time)


def inside(form: StrongForm, count: int = 60) -> torch.Tensor:
    low, high = np.array(form.low), np.array(form.high)
    return torch.from_numpy(low + (high - low) * np.random.default_rng(0).random((count, len(low))))


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_satisfy_momentum_and_continuity(name: str) -> None:
    form = CLOSED[name]()
    x = coordinates(inside(form), 2)
    columns = [x.column(k) for k in range(x.value.shape[1])]
    jets = {output: jet(form.exact[output](*columns)) for output in form.outputs}
    residuals = form.residual(jets, {"viscosity": Jet(form.parameters["viscosity"])})
    terms = max(float(jets[U].laplacian.abs().max()) * form.parameters["viscosity"], 1.0)
    assert len(residuals) == len(form.equations)
    assert max(float(r.abs().max()) for r in residuals) < 1e-6 * terms  # the cosine series ends after 200 terms
    if "starting" not in name:
        assert max(float(r.abs().max()) for r in residuals) < 1e-13 * terms


def boundary(form: StrongForm, part: str, count: int = 40) -> np.ndarray:
    points = form.geometry.boundary(count, [part]).points
    if form.duration is None:
        return points
    return np.column_stack([points, np.random.default_rng(1).random(len(points)) * form.duration])


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_satisfy_their_conditions(name: str) -> None:
    form = CLOSED[name]()
    for output, conditions in form.conditions.items():
        for condition in conditions:
            x = boundary(form, condition.part).T
            value = condition.value(*x) if callable(condition.value) else condition.value
            np.testing.assert_allclose(form.exact[output](*x), value * np.ones(x.shape[1]), atol=1e-12)
    for output, value in form.initial.items():
        x, y = inside(form).numpy().T[:2]
        expected = value(x, y, 0 * x) if callable(value) else value + 0 * x
        np.testing.assert_allclose(form.exact[output](x, y, 0 * x), expected, atol=1e-10)


def test_the_pulsating_flow_is_womersley_s() -> None:
    y, t, alpha = np.linspace(-1, 1, 21)[:, None], np.linspace(0, 6, 7)[None, :], 7.0
    root = np.sqrt(1j) * alpha
    expected = ((1 - np.cosh(root * y) / np.cosh(root)) * np.exp(1j * t) / 1j).real
    np.testing.assert_allclose(pulsating_channel(alpha).exact[U](0 * y, y, t), expected, atol=1e-14)


def test_a_started_channel_ends_in_the_parabola_and_begins_with_the_ramp() -> None:
    form, y = starting_channel(0.5, duration=60.0), np.linspace(-1, 1, 21)
    np.testing.assert_allclose(form.exact[U](0 * y, y, 60.0 + 0 * y), 1 - y**2, atol=1e-12)
    early = 1e-3
    middle = float(form.exact[U](np.zeros(1), np.zeros(1), np.full(1, early))[0])
    assert middle == pytest.approx(early - 0.5 * (1 - math.exp(-early / 0.5)), rel=1e-5)  # the integral of the gradient, away from walls


def test_the_cylinder_s_inflow_is_the_parabola_of_mean_one_and_walls_are_at_rest() -> None:
    form = cylinder_in_channel()
    y, weights = np.polynomial.legendre.leggauss(8)
    y = (y + 1) / 2 * CHANNEL[1]
    inflow = form.conditions[U][0].value(0 * y, y)
    np.testing.assert_allclose(inflow, 6 * y * (CHANNEL[1] - y) / CHANNEL[1] ** 2, rtol=1e-13)
    assert weights @ inflow / 2 == pytest.approx(1.0, rel=1e-13)
    for part in ("y_low", "y_high", "cylinder"):
        assert np.abs(form.conditions[U][0].value(*form.geometry.boundary(50, [part]).points.T)).max() < 1e-12
    circle = form.geometry.boundary(50, ["cylinder"]).points
    np.testing.assert_allclose(np.hypot(*(circle - np.array(CENTRE)).T), RADIUS, rtol=1e-13)


@pytest.mark.parametrize("make", [*CLOSED.values(), cylinder_in_channel], ids=[*CLOSED, "cylinder"])
def test_conditions_hold_to_rounding_before_any_training(make: Callable[[], StrongForm]) -> None:
    form = make()
    torch.manual_seed(0)
    pinn = PINN(form, width=8)
    for output, conditions in form.conditions.items():
        for condition in conditions:
            x = boundary(form, condition.part)
            value = condition.value(*x.T) if callable(condition.value) else condition.value
            np.testing.assert_allclose(pinn.predict(x)[output], value * np.ones(len(x)), atol=1e-12)
    for output, value in form.initial.items():
        x = inside(form).numpy()
        x[:, 2] = 0.0
        expected = value(*x.T) if callable(value) else value * np.ones(len(x))
        np.testing.assert_allclose(pinn.predict(x)[output], expected, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: kovasznay(-1.0), lambda: plane_poiseuille(math.inf), lambda: pulsating_channel(0.0)])
def test_numbers_that_make_no_sense_are_refused(make: Callable[[], StrongForm]) -> None:
    with pytest.raises(DatasetError, match="give a positive finite number"):
        make()


def trained(form: StrongForm, count: tuple[int, ...], steps: int, method: type = GeodesicLevenbergMarquardt, **network: object) -> PINN:
    torch.manual_seed(0)
    pinn = PINN(form, **network)
    residuals = EquationResiduals(pinn, *collocation(form, count))
    optimizer = method(pinn.network.named_parameters())
    for _ in range(steps):
        optimizer.step(residuals)
    return pinn


def velocity_error(pinn: PINN) -> float:
    """Relative, in the mean square over the domain."""
    x, w = collocation(pinn.form, (31, 31, 15)[: len(pinn.form.coordinates)])
    found = pinn.predict(x)
    exact = {name: pinn.form.exact[name](*x.T) for name in (U, V)}
    return math.sqrt(sum(w @ (found[n] - exact[n]) ** 2 for n in exact) / sum(w @ exact[n] ** 2 for n in exact))


def test_a_network_finds_the_parabola_to_rounding() -> None:
    """Its last layer can represent it, once the layers before have come near: a linear problem nearly."""
    form = plane_poiseuille()
    pinn = trained(form, (6, 10), 40, width=10, depth=1)
    assert velocity_error(pinn) < 1e-5
    last = [(name, value) for name, value in pinn.network.named_parameters() if name.startswith("3.")]
    optimizer, residuals = GaussNewton(last, rtol=1e-14), EquationResiduals(pinn, *collocation(form, (6, 10)))
    for _ in range(3):
        optimizer.step(residuals)
    assert velocity_error(pinn) < 1e-15


def test_a_network_finds_kovasznay_s_flow_and_straight_steps_do_not() -> None:
    settings = {"kind": "modified_mlp", "width": 16, "depth": 2}
    error = velocity_error(trained(kovasznay(), (16, 16), 40, **settings))
    straight = velocity_error(trained(kovasznay(), (16, 16), 40, LevenbergMarquardt, **settings))
    assert error < 2e-6
    assert straight > 10 * error


def test_a_network_finds_a_pulsating_flow() -> None:
    assert velocity_error(trained(pulsating_channel(), (3, 14, 16), 30, kind="modified_mlp", width=12)) < 1e-3


def test_points_are_counted_along_axes_of_boxes_only() -> None:
    points, weights = collocation(kovasznay(), (5, 3))
    assert points.shape == (15, 2)
    assert weights.sum() == pytest.approx(1.0, rel=1e-14)
    assert len(np.unique(points[:, 0])) == 5
    assert weights @ points[:, 0] ** 8 == pytest.approx((1 + 0.5**9) / 9 / 1.5, rel=1e-13)  # five Gauss points: degree 9
    with pytest.raises(ValueError, match="one number of points for each of x, y"):
        collocation(kovasznay(), (5, 3, 2))
    with pytest.raises(ValueError, match="only a box has axes"):
        collocation(cylinder_in_channel(), (5, 3))
