"""Forward derivatives against those that torch forms by nested differentiation."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian, jacrev, vmap

from sciml.models.activations import Sine
from sciml.models.channels import Channels, coordinates, stack
from sciml.models.taylor import forward_jet, point_jacobian, suits

TIGHT = {"rtol": 1e-12, "atol": 1e-13}
POINTS = torch.rand(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.2


def network(activation: nn.Module, outputs: int = 2) -> nn.Module:
    torch.manual_seed(0)
    deep = nn.Sequential(nn.Linear(9, 7, bias=False), activation)
    return nn.Sequential(nn.Linear(3, 9), activation, deep, nn.Linear(7, outputs)).double()


def by_nesting(f, x: torch.Tensor, axes: int):
    H = vmap(hessian(f))(x)
    return vmap(f)(x), vmap(jacrev(f))(x).movedim(-1, 0), sum(H[..., k, k] for k in range(axes))


def agree(found: Channels, f, axes: int) -> None:
    value, gradient, laplacian = by_nesting(f, POINTS, axes)
    torch.testing.assert_close(found.value, value, **TIGHT)
    torch.testing.assert_close(found.gradient, gradient, **TIGHT)
    torch.testing.assert_close(found.laplacian, laplacian, **TIGHT)


@pytest.mark.parametrize(
    "activation", [nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.Softplus(), nn.GELU(), Sine()], ids=lambda a: type(a).__name__
)
@pytest.mark.parametrize("axes", [2, 3])
def test_network_derivatives_are_those_of_nested_differentiation(activation: nn.Module, axes: int) -> None:
    model = network(activation)
    assert suits(model)
    agree(forward_jet(model, coordinates(POINTS, axes)), lambda z: model(z[None])[0], axes)


@pytest.mark.parametrize(
    "activation", [nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.Softplus(), nn.GELU(), Sine()], ids=lambda a: type(a).__name__
)
def test_parameter_derivatives_of_a_loss_are_those_of_nested_differentiation(activation: nn.Module) -> None:
    model = network(activation)

    def loss(values) -> torch.Tensor:
        def f(z):
            return functional_call(model, values, (z[None],))[0]

        value, gradient, laplacian = by_nesting(f, POINTS, 2)
        return (value**2).sum() + (gradient**3).sum() + (laplacian * value + laplacian**2).sum()

    found = forward_jet(model, coordinates(POINTS, 2))
    ours = (found.value**2).sum() + (found.gradient**3).sum() + (found.laplacian * found.value + found.laplacian**2).sum()
    slopes = torch.autograd.grad(ours, list(model.parameters()))
    expected = torch.func.grad(loss)(dict(model.named_parameters()))
    for slope, right in zip(slopes, expected.values(), strict=True):
        torch.testing.assert_close(slope, right.detach(), rtol=1e-10, atol=1e-11)


def test_jacobian_of_point_residuals_in_one_pass_is_that_of_one_pass_a_point() -> None:
    model = network(nn.Tanh())

    def rows(values, z):
        def f(y):
            return functional_call(model, values, (y[None],))[0]

        return torch.stack([hessian(f)(z)[0].diagonal().sum() + f(z)[1] ** 2, jacrev(f)(z)[1, 2] * f(z)[0]])

    found = forward_jet(model, coordinates(POINTS))
    residual = torch.stack([found.laplacian[:, 0] + found.value[:, 1] ** 2, found.gradient[2, :, 1] * found.value[:, 0]], dim=1)
    expected = vmap(jacrev(rows), (None, 0))(dict(model.named_parameters()), POINTS)
    ours = point_jacobian(model, found.uses, residual)
    assert ours.keys() == expected.keys()
    for name, block in ours.items():
        torch.testing.assert_close(block, expected[name].detach(), rtol=1e-10, atol=1e-12)
    one = point_jacobian(model, found.uses, residual[:, 0])
    torch.testing.assert_close(one["0.weight"], ours["0.weight"][:, 0], **TIGHT)


@pytest.mark.parametrize("axes", [1, 3])
def test_arithmetic(axes: int) -> None:
    x = coordinates(POINTS, axes)
    a, b, c = (x.column(k) for k in range(3))
    pairs = {
        "sums": (2.0 + a - b * 3.0 + (1.0 - c), lambda z: 2 + z[0] - 3 * z[1] + 1 - z[2]),
        "product": (a * b * c, lambda z: z.prod()),
        "quotient": (a / (b + 1.0) + 2.0 / c, lambda z: z[0] / (z[1] + 1) + 2 / z[2]),
        "functions": (
            (a * 2.0).sin() * b.cos() + (a * c).exp() + b.log(),
            lambda z: (2 * z[0]).sin() * z[1].cos() + (z[0] * z[2]).exp() + z[1].log(),
        ),
        "hypotenuse": (
            np.hypot(a * b, c - 0.3) + np.hypot(2.0, a),
            lambda z: torch.hypot(z[0] * z[1], z[2] - 0.3) + (4 + z[0] ** 2).sqrt(),
        ),
        "root": ((a * a + b * b).power(0.5), lambda z: (z[0] ** 2 + z[1] ** 2).sqrt()),
    }
    for name, (found, f) in pairs.items():
        value, gradient, laplacian = by_nesting(f, POINTS, axes)
        for ours, right in ((found.value, value), (found.gradient, gradient), (found.laplacian, laplacian)):
            torch.testing.assert_close(ours[..., 0], right, **TIGHT, msg=name)
    both = stack([a * b, c])
    torch.testing.assert_close(both.value, torch.stack([POINTS[:, 0] * POINTS[:, 1], POINTS[:, 2]], 1), **TIGHT)


def test_a_hypotenuse_of_nothing_has_the_derivatives_of_its_first_leg() -> None:
    """The limit from where the first leg is positive and the second of higher order, as in distances on their boundary."""
    x = coordinates(torch.tensor([[0.0, 0.7, 1.0], [1e-9, 0.7, 1.0]], dtype=torch.float64))
    f, t = x.column(0) * np.exp(x.column(1)), x.column(2)
    found = np.hypot(f, 0.5 * (np.hypot(t, f * f) - t))
    torch.testing.assert_close(found.value, f.value, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.gradient, f.gradient, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(found.laplacian, f.laplacian, rtol=0, atol=1e-6)


def test_columns_are_picked_and_summed() -> None:
    x = coordinates(POINTS, 2)
    picked = x.columns((2, 0, 2)).summed((1, 0, 1), 3)
    expected = stack([x.column(0), x.column(2) * 2.0, x.column(0) * 0.0])
    for ours, right in ((picked.value, expected.value), (picked.gradient, expected.gradient), (picked.laplacian, expected.laplacian)):
        torch.testing.assert_close(ours, right, **TIGHT)
    assert x.columns((0, 1, 2)) is x
    assert x.summed((0, 1, 2), 3) is x


def test_numpy_functions_without_a_rule_are_named() -> None:
    with pytest.raises(TypeError, match=r"numpy\.arctan has no rule for quantities with derivatives: take add, cos"):
        np.arctan(coordinates(POINTS).column(0))


def test_a_network_times_a_distance_keeps_its_layers() -> None:
    model = network(nn.Tanh(), outputs=1)
    x = coordinates(POINTS)
    phi = x.column(0) * (1.0 - x.column(1))
    found = phi * forward_jet(model, x) + 3.0
    agree(found, lambda z: z[0] * (1 - z[1]) * model(z[None])[0] + 3, 3)
    ours = point_jacobian(model, found.uses, found.laplacian[:, 0])
    h, name = 1e-6, "0.weight"
    direction = torch.randn_like(model[0].weight)
    ends = []
    for sign, _ in itertools.product((1, -1), (0,)):
        with torch.no_grad():
            model[0].weight += sign * h * direction
            ends.append((phi * forward_jet(model, x) + 3.0).laplacian[:, 0])
            model[0].weight -= sign * h * direction
    along = (ours[name] * direction).sum(dim=(1, 2))
    torch.testing.assert_close(along, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-8)


def test_without_second_derivatives_none_are_formed() -> None:
    model = network(nn.Tanh())
    found = forward_jet(model, coordinates(POINTS, 0))
    assert found.laplacian is None
    assert (found * found + 1.0).laplacian is None
    torch.testing.assert_close(found.gradient, vmap(jacrev(lambda z: model(z[None])[0]))(POINTS).permute(2, 0, 1), **TIGHT)


def test_what_has_no_rule_is_named() -> None:
    x = coordinates(POINTS)
    for layer, words in (
        (nn.ReLU(), "ReLU has no rule"),
        (nn.GELU(approximate="tanh"), "exact one"),
        (nn.Softplus(beta=2), "beta = 2"),
    ):
        with pytest.raises(TypeError, match=words):
            forward_jet(nn.Sequential(nn.Linear(3, 2).double(), layer), x)
    assert not suits(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))
    with pytest.raises(ValueError, match="do not go together"):
        x.column(0) + coordinates(POINTS, 2).column(0)
    assert math.isinf(Sine().pole)
