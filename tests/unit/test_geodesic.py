"""Geodesic acceleration against dense linear algebra, and that it pays where straight steps crawl."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from sciml.optimizers import FunctionResiduals, GeodesicLevenbergMarquardt, LevenbergMarquardt, Nielsen
from sciml.optimizers.spectrum import flatten


def rows(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def quadratic() -> tuple[nn.Module, FunctionResiduals, torch.Tensor]:
    """Residuals ``(w . x)^2 - y``, whose second derivative a difference quotient has without error, and the points x."""
    model = nn.Linear(5, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(rows(1, 5, 3))
    x, y = rows(30, 5), rows(30, 1, 1).square()
    return model, FunctionResiduals(model, lambda u: u(x) ** 2 - y), x


def network(seed: int = 0) -> tuple[nn.Module, FunctionResiduals]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 12), nn.Tanh(), nn.Linear(12, 1)).double()
    x = rows(60, 2)
    return model, FunctionResiduals(model, lambda u: u(x) - torch.sin(2 * x.sum(dim=1, keepdim=True)))


def weights(model: nn.Module) -> torch.Tensor:
    return flatten({name: value.detach().clone() for name, value in model.named_parameters()})


@pytest.mark.parametrize("lr", [1.0, 0.3])
def test_one_step_is_velocity_and_half_the_acceleration_of_the_damped_path(lr: float) -> None:
    model, residuals, x = quadratic()
    w, name = weights(model), "weight"
    J, r = residuals.jacobian({name: w[None]})[name].reshape(30, 5), residuals({name: w[None]})
    damping = 0.1 * float(torch.linalg.matrix_norm(J, 2)) ** 2
    solve = torch.linalg.inv(J.T @ J + damping * torch.eye(5, dtype=J.dtype))
    d = -solve @ (J.T @ r)
    a = -solve @ (J.T @ (2 * (x @ d) ** 2 / math.sqrt(30)))
    optimizer = GeodesicLevenbergMarquardt(model.named_parameters(), lr, damping=Nielsen(0.1), largest_bend=1e9)
    assert optimizer.step(residuals) == pytest.approx(float(r @ r), rel=1e-14)
    assert optimizer.info["tries"] == 1
    torch.testing.assert_close(weights(model) - w, lr * d + 0.5 * lr**2 * a, rtol=1e-9, atol=1e-12)
    assert optimizer.info["bend"] == pytest.approx(float(2 * a.norm() / d.norm()), rel=1e-9)


def test_a_step_that_bends_too_much_is_refused_and_damped() -> None:
    model, residuals, _ = quadratic()
    optimizer = GeodesicLevenbergMarquardt(model.named_parameters(), damping=Nielsen(1e-9), largest_bend=0.01)
    optimizer.step(residuals)
    assert optimizer.info["tries"] > 1
    assert optimizer.info["bend"] <= 0.01


def test_the_loss_never_rises_and_falls_faster_than_along_straight_steps() -> None:
    ends = {}
    for kind in (LevenbergMarquardt, GeodesicLevenbergMarquardt):
        model, residuals = network()
        optimizer = kind(model.named_parameters())
        losses = [optimizer.step(residuals) for _ in range(80)]
        assert all(later <= earlier for earlier, later in itertools.pairwise(losses))
        ends[kind] = losses[-1]
    assert ends[GeodesicLevenbergMarquardt] < 0.1 * ends[LevenbergMarquardt]


def test_more_parameters_than_residuals_are_no_hindrance() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 40), nn.Tanh(), nn.Linear(40, 1)).double()
    x = rows(20, 2)
    residuals = FunctionResiduals(model, lambda u: u(x) - x.prod(dim=1, keepdim=True))
    optimizer = GeodesicLevenbergMarquardt(model.named_parameters())
    for _ in range(60):
        loss = optimizer.step(residuals)
    assert loss < 1e-20


def test_nothing_is_written_where_rounding_leaves_no_step() -> None:
    """At the minimum of a residual without a zero every step raises the loss, and parameters stay."""
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(model.weight)
    one = torch.ones(1, 1, dtype=torch.float64)
    optimizer = GeodesicLevenbergMarquardt(model.named_parameters())
    optimizer.step(FunctionResiduals(model, lambda u: torch.cosh(u(one))))
    assert not optimizer.info["accepted"]
    assert float(model.weight.detach()) == 0.0


def test_a_restored_optimizer_goes_on_bit_for_bit(tmp_path) -> None:
    model, residuals = network()
    optimizer = GeodesicLevenbergMarquardt(model.named_parameters())
    for _ in range(3):
        optimizer.step(residuals)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    for _ in range(3):
        optimizer.step(residuals)
    twin = copy.deepcopy(network(9)[0])
    restored = GeodesicLevenbergMarquardt(twin.named_parameters())
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    twin.load_state_dict(state["model"])
    restored.load_state_dict(state["optimizer"])
    x = rows(60, 2)
    for _ in range(3):
        restored.step(FunctionResiduals(twin, lambda u: u(x) - torch.sin(2 * x.sum(dim=1, keepdim=True))))
    assert torch.equal(weights(twin), weights(model))


def test_what_makes_no_sense_is_refused() -> None:
    model, _ = network()
    with pytest.raises(ValueError, match="largest_bend = 0"):
        GeodesicLevenbergMarquardt(model.named_parameters(), largest_bend=0.0)
    with pytest.raises(TypeError, match="residual vector before it is squared"):
        GeodesicLevenbergMarquardt(model.named_parameters()).step(lambda: torch.tensor(1.0))
