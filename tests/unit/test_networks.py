"""Networks of coordinates: their derivatives against nested differentiation, and how they start."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev, vmap

from sciml.models.channels import Channels, coordinates, stack
from sciml.models.networks import (
    ACTIVATIONS,
    NETWORKS,
    Coordinates,
    FactoredLinear,
    FourierFeatures,
    ModifiedMLP,
    PirateNet,
    coordinate_network,
)
from sciml.models.taylor import forward_jet, point_jacobian, suits

LOW, HIGH = (-0.4, 0.2, 0.0), (1.1, 0.9, 2.0)
POINTS = torch.tensor(LOW, dtype=torch.float64) + torch.rand(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * (
    torch.tensor(HIGH, dtype=torch.float64) - torch.tensor(LOW, dtype=torch.float64)
)
AXES = 2  # the third coordinate is time

SETTINGS = [
    *({"kind": kind, "activation": activation} for kind, activation in itertools.product(NETWORKS, ACTIVATIONS)),
    *({"kind": kind, "fourier_features": 4, "fourier_scale": 0.7} for kind in NETWORKS),
    *({"kind": kind, "factored": True} for kind in NETWORKS),
    *({"kind": kind, "periodic": (True, False, True)} for kind in NETWORKS),
    {"kind": "piratenet", "factored": True, "fourier_features": 3, "periodic": (False, True, False), "activation": "silu"},
    {"kind": "modified_mlp", "factored": True, "fourier_features": 3, "periodic": (True, True, False), "activation": "sine"},
    {"kind": "mlp", "features": (lambda x, y, t: x * y, lambda x, y, t: np.exp(t * -0.3))},
    {"kind": "piratenet", "features": (lambda x, y, t: (x * x + y * y) ** 0.5,)},
    {"kind": "mlp", "depth": 1},
]


def network(outputs: int = 2, periodic: tuple[bool, ...] = (False,) * 3, features: Any = (), **settings: Any) -> nn.Sequential:
    """A small one, no parameter of which is where it starts: alpha is not 0, nor are biases."""
    torch.manual_seed(0)
    model = coordinate_network(Coordinates(LOW, HIGH, periodic, features), outputs, **{"width": 6, "depth": 2, **settings})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def ids(settings: dict[str, Any]) -> str:
    return " ".join(str(value) if not isinstance(value, tuple) else f"{name}{len(value)}" for name, value in settings.items())


each = pytest.mark.parametrize("settings", SETTINGS, ids=ids)


@each
def test_jets_are_those_of_nested_differentiation(settings: dict[str, Any]) -> None:
    model = network(**settings)
    assert suits(model)

    def f(z: Tensor) -> Tensor:
        return model(z[None])[0]

    found = forward_jet(model, coordinates(POINTS, AXES))
    H = vmap(hessian(f))(POINTS)
    expected = vmap(f)(POINTS), vmap(jacrev(f))(POINTS).movedim(-1, 0), sum(H[..., k, k] for k in range(AXES))
    assert found.laplacian is not None
    for ours, right in zip((found.value, found.gradient, found.laplacian), expected, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


def rows_of(found: Channels) -> Tensor:
    """Two residuals a point, nonlinear in value, gradient, time derivative and Laplacian."""
    assert found.laplacian is not None
    first = found.gradient[2, :, 0] + found.value[:, 0] * found.gradient[0, :, 1] - found.laplacian[:, 0]
    return torch.stack([first, found.laplacian[:, 1] * found.value[:, 0] + found.gradient[1, :, 0] ** 2], dim=1)


@each
def test_parameter_derivatives_of_point_residuals_are_those_of_one_pass_a_point(settings: dict[str, Any]) -> None:
    model = network(**settings)

    def rows(values: dict[str, Tensor], z: Tensor) -> Tensor:
        def f(y: Tensor) -> Tensor:
            return functional_call(model, values, (y[None],))[0]

        u, du, H = f(z), jacrev(f)(z), hessian(f)(z)
        laplacian = sum(H[:, k, k] for k in range(AXES))
        return torch.stack([du[0, 2] + u[0] * du[1, 0] - laplacian[0], laplacian[1] * u[0] + du[0, 1] ** 2])

    expected = vmap(jacrev(rows), (None, 0))(dict(model.named_parameters()), POINTS)
    found = forward_jet(model, coordinates(POINTS, AXES))
    ours = point_jacobian(model, found.uses, rows_of(found))
    assert ours.keys() == expected.keys()
    for name, block in ours.items():
        assert block.abs().max() > 0, name
        torch.testing.assert_close(block, expected[name].detach(), rtol=1e-11, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")


@each
def test_a_use_counts_once_however_often_its_quantity_enters(settings: dict[str, Any]) -> None:
    model = network(**settings)
    found = forward_jet(model, coordinates(POINTS, AXES))
    assert len(found.uses) == len(set(found.uses))
    u = found.column(0)
    twice = stack([u * u + u, found.column(1) * u]) * 2.0 - stack([u, u])
    assert len(twice.uses) == len(found.uses)
    ours = point_jacobian(model, twice.uses, rows_of(twice))
    direct = forward_jet(model, coordinates(POINTS, AXES))
    a, b = direct.column(0), direct.column(1)
    loss = rows_of(stack([a * a * 2.0 + a, b * a * 2.0 - a]))
    for name, slope in zip(ours, torch.autograd.grad(loss[:, 1].sum(), list(model.parameters())), strict=True):
        torch.testing.assert_close(ours[name][:, 1].sum(dim=0), slope, rtol=1e-10, atol=1e-10)


def test_one_network_at_two_places_adds_up() -> None:
    """As with Neumann conditions, which take it at moved points too."""
    model = network(kind="piratenet", factored=True, fourier_features=3)
    x = coordinates(POINTS, AXES)
    moved = stack([x.column(0) * x.column(0), x.column(1), x.column(2)])
    found = forward_jet(model, x) * forward_jet(model, moved)
    ours = point_jacobian(model, found.uses, rows_of(found))
    slopes = torch.autograd.grad(rows_of(found)[3, 1], list(model.parameters()))
    for (name, block), slope in zip(ours.items(), slopes, strict=True):
        torch.testing.assert_close(block[3, 1], slope, rtol=1e-10, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}")


def fresh(kind: str, **settings: Any) -> nn.Sequential:
    torch.manual_seed(2)
    return coordinate_network(Coordinates(LOW, HIGH, (False,) * 3), 2, kind=kind, width=50, depth=3, **settings)


def test_a_piratenet_starts_as_one_layer() -> None:
    model = fresh("piratenet")
    (net,) = (module for module in model if isinstance(module, PirateNet))
    assert [float(block.alpha.detach()) for block in net.blocks] == [0, 0, 0]
    scaled = model[0](POINTS)
    torch.testing.assert_close(model(POINTS), net.last(net.act(net.first(scaled))), rtol=0, atol=0)
    with torch.no_grad():
        net.blocks[1].alpha.fill_(1.0)
        h = net.act(net.first(scaled))
        u, v = net.act(net.u(scaled)), net.act(net.v(scaled))
        for layer in (net.blocks[1].first, net.blocks[1].second):
            h = net.act(layer(h))
            h = h * u + (1 - h) * v
        torch.testing.assert_close(model(POINTS), net.last(net.act(net.blocks[1].third(h))), rtol=1e-12, atol=1e-13)


def test_the_modified_perceptron_mixes_its_encoders() -> None:
    model = fresh("modified_mlp")
    (net,) = (module for module in model if isinstance(module, ModifiedMLP))
    scaled = h = model[0](POINTS)
    u, v = torch.tanh(net.u(scaled)), torch.tanh(net.v(scaled))
    for layer in net.hidden:
        a = torch.tanh(layer(h))
        h = a * u + (1 - a) * v
    torch.testing.assert_close(model(POINTS), net.last(h), rtol=1e-12, atol=1e-13)


def test_coordinates_are_scaled_and_closed() -> None:
    scaled = Coordinates(LOW, HIGH, (False, True, False))
    ends = torch.tensor([LOW, HIGH], dtype=torch.float64)
    found = scaled(ends)
    assert found.shape == (2, scaled.outputs) == (2, 4)
    torch.testing.assert_close(found[:, 0], torch.tensor([-1.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(found[0, 1:3], found[1, 1:3], rtol=0, atol=1e-15)
    half = scaled(torch.tensor([[0.35, 0.2 + 0.7 / 4, 1.0]], dtype=torch.float64))
    torch.testing.assert_close(half, torch.tensor([[0.0, 0.0, 1.0, 0.0]], dtype=torch.float64), rtol=0, atol=1e-15)


def standard_deviation(values: Iterable[Tensor]) -> float:
    return float(torch.cat([value.detach().reshape(-1) for value in values]).std())


def test_weights_start_with_the_documented_laws() -> None:
    torch.manual_seed(0)
    fourier = FourierFeatures(40, 500, 3.0)
    assert fourier.frequencies.bias is None
    assert standard_deviation([fourier.frequencies.weight]) == pytest.approx(3.0, rel=0.02)
    x = torch.randn(4, 40)
    found = fourier(x)
    torch.testing.assert_close(found[:, :500] ** 2 + found[:, 500:] ** 2, torch.ones(4, 500))
    plain = fresh("mlp")
    glorot = math.sqrt(2 / 100)
    assert standard_deviation(layer.weight for layer in (plain[3], plain[5])) == pytest.approx(glorot, rel=0.05)
    assert float(plain[1].bias.detach().abs().max()) <= 1 / math.sqrt(3)
    assert standard_deviation([plain[1].bias]) == pytest.approx(1 / 3, rel=0.2)
    factored = FactoredLinear(100, 400)
    weight = factored.direction.weight.detach() * factored.scale.detach().exp()[:, None]
    assert standard_deviation([weight]) == pytest.approx(math.sqrt(2 / 500), rel=0.02)
    assert float(factored.scale.detach().mean()) == pytest.approx(1.0, abs=0.02)
    assert standard_deviation([factored.scale]) == pytest.approx(0.1, rel=0.1)
    x = torch.randn(3, 100)
    torch.testing.assert_close(factored(x), x @ weight.T + factored.bias.detach(), rtol=1e-4, atol=1e-5)
    assert all(parameter.dtype == torch.float64 for parameter in plain.parameters())


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "kind": (lambda: fresh("resnet"), "kind = 'resnet' is no network: choose mlp, modified_mlp or piratenet"),
    "activation": (lambda: fresh("mlp", activation="relu"), "activation = 'relu' .* choose tanh, sine, silu, gelu or softplus"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_unknown_settings_are_refused(name: str) -> None:
    make, words = MISTAKES[name]
    with pytest.raises(ValueError, match=words):
        make()
