"""Networks of coordinates: perceptrons and what makes them train on equations, each also with derivatives (`sciml.models.taylor`).

A network is written once, for tensors and for quantities with derivatives alike, in terms of the layers that it applies.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from sciml.models.activations import Sine
from sciml.models.channels import Channels, Use, coordinates, stack
from sciml.models.taylor import expanded, forward_jet

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "sine": Sine, "silu": nn.SiLU, "gelu": nn.GELU, "softplus": nn.Softplus}
#: A tensor of shape (N, k), or k quantities at N points.
Value = Any
Apply = Callable[[nn.Module, Value], Value]
Parameter = Callable[[nn.Module, str], Tensor]


class Jetted(nn.Module):
    """A module whose `body` serves tensors and quantities with derivatives."""

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body(x, lambda module, h: module(h), getattr)
        return found

    def jet(self, x: Channels) -> Channels:
        """The same with derivatives; no parameter may enter but through `apply` and `parameter`."""
        uses: list[Use] = []

        def parameter(module: nn.Module, name: str) -> Tensor:
            copies, use = expanded(module, name, len(x.value))
            uses.append(use)
            return copies

        found: Channels = self.body(x, forward_jet, parameter)
        return replace(found, uses=found.uses + tuple(uses))

    @abstractmethod
    def body(self, x: Value, apply: Apply, parameter: Parameter) -> Value:
        """The map, with `apply` for layers and `parameter` for parameters of one's own, which come as (..., k)."""


class Coordinates(Jetted):
    """Coordinates scaled to [-1, 1], those of periodic axes by cosine and sine of the angle around the box.

    Parameters
    ----------
    low, high : ends of every axis.
    periodic : whether an axis closes; periodicity is then exact.
    features : functions of the coordinates that follow them.
    """

    def __init__(
        self, low: Sequence[float], high: Sequence[float], periodic: Sequence[bool], features: Sequence[Callable[..., Any]] = ()
    ) -> None:
        super().__init__()
        self.axes, self.features = list(zip(low, high, periodic, strict=True)), list(features)

    @property
    def outputs(self) -> int:
        return sum(2 if periodic else 1 for _, _, periodic in self.axes) + len(self.features)

    def body(self, x: Value, apply: Apply, parameter: Parameter) -> Value:
        columns = [x.column(k) if isinstance(x, Channels) else x[:, k : k + 1] for k in range(len(self.axes))]
        found = []
        for column, (low, high, periodic) in zip(columns, self.axes, strict=True):
            if periodic:
                angle = (column - low) * (2 * math.pi / (high - low))
                found += [angle.cos(), angle.sin()]
            else:
                found.append((column - (low + high) / 2) * (2 / (high - low)))
        if not self.features:
            return _beside(found)
        if isinstance(x, Channels):
            return _beside([*found, *(feature(*columns) for feature in self.features)])
        quantities = coordinates(x, 0)  # NumPy's functions know these and not tensors
        along = [quantities.column(k) for k in range(len(self.axes))]
        return _beside([*found, *(feature(*along).value for feature in self.features)])


class FourierFeatures(Jetted):
    """``cos B x`` and ``sin B x`` with B drawn from a normal law of standard deviation `scale`, and trained (Tancik et al. 2020)."""

    def __init__(self, inputs: int, features: int, scale: float) -> None:
        super().__init__()
        self.frequencies = nn.Linear(inputs, features, bias=False)
        nn.init.normal_(self.frequencies.weight, std=scale)

    def body(self, x: Value, apply: Apply, parameter: Parameter) -> Value:
        angles = apply(self.frequencies, x)
        return _beside([angles.cos(), angles.sin()])


class FactoredLinear(Jetted):
    """A linear layer with the weight ``diag(exp s) V``, s about 1 (random weight factorisation: Wang et al. 2022, arXiv:2210.01274)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.direction = nn.Linear(inputs, outputs, bias=False)
        _glorot(self.direction)
        self.scale = nn.Parameter(1 + 0.1 * torch.randn(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        with torch.no_grad():
            self.direction.weight /= self.scale.exp()[:, None]

    def body(self, x: Value, apply: Apply, parameter: Parameter) -> Value:
        return apply(self.direction, x) * parameter(self, "scale").exp() + parameter(self, "bias")


class ModifiedMLP(Jetted):
    """``h <- a U + (1 - a) V`` after every layer, with two encoders U, V of the input (Wang, Teng and Perdikaris 2021, equation 45)."""

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, activation: str, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]()
        self.u, self.v = linear(inputs, width), linear(inputs, width)
        self.hidden = nn.ModuleList(linear(inputs if k == 0 else width, width) for k in range(depth))
        self.last = linear(width, outputs)

    def body(self, x: Value, apply: Apply, parameter: Parameter) -> Value:
        u, v = (apply(self.act, apply(layer, x)) for layer in (self.u, self.v))
        h = x
        for layer in self.hidden:
            h = v + apply(self.act, apply(layer, h)) * (u - v)
        return apply(self.last, h)


class PirateNet(Jetted):
    """Residual blocks that start as the identity: ``x <- x + alpha (h - x)``, alpha trained from 0 (Wang, Li, Chen and Perdikaris 2024).

    The blocks are those of the modified perceptron; `depth` of them, of three layers each, after one layer that sets the width.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, activation: str, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.act = ACTIVATIONS[activation]()
        self.u, self.v, self.first = (linear(inputs, width) for _ in range(3))
        self.blocks = nn.ModuleList(_Block(width, linear) for _ in range(depth))
        self.last = linear(width, outputs)

    def body(self, x: Value, apply: Apply, parameter: Parameter) -> Value:
        u, v = (apply(self.act, apply(layer, x)) for layer in (self.u, self.v))
        h = apply(self.act, apply(self.first, x))
        for block in cast(Iterable[_Block], self.blocks):
            z = v + apply(self.act, apply(block.first, h)) * (u - v)
            z = v + apply(self.act, apply(block.second, z)) * (u - v)
            h = h + (apply(self.act, apply(block.third, z)) - h) * parameter(block, "alpha")
        return apply(self.last, h)


class _Block(nn.Module):
    def __init__(self, width: int, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.first, self.second, self.third = (linear(width, width) for _ in range(3))
        self.alpha = nn.Parameter(torch.zeros(1))


NETWORKS = ("mlp", "modified_mlp", "piratenet")


def coordinate_network(
    coordinates: Coordinates,
    outputs: int,
    *,
    kind: str = "mlp",
    width: int = 32,
    depth: int = 2,
    activation: str = "tanh",
    fourier_features: int = 0,
    fourier_scale: float = 1.0,
    factored: bool = False,
) -> nn.Sequential:
    """A network of coordinates in float64, with weights from torch's global generator.

    Parameters
    ----------
    coordinates : what scales the points and closes periodic axes.
    outputs : numbers that come out.
    kind : "mlp", "modified_mlp" or "piratenet".
    width, depth : units of a hidden layer, and number of those (of blocks for "piratenet").
    activation : "tanh", "sine", "silu", "gelu" or "softplus".
    fourier_features, fourier_scale : number of frequencies put before the network, 0 for none, and their standard deviation.
    factored : whether weights are factored, see `FactoredLinear`.

    Raises
    ------
    ValueError : for a kind or an activation that is none of these.
    """
    _refuse_unknown("kind", kind, "network", NETWORKS)
    _refuse_unknown("activation", activation, "activation with derivatives", tuple(ACTIVATIONS))
    linear: Callable[[int, int], nn.Module] = FactoredLinear if factored else _linear
    first: list[nn.Module] = [coordinates]
    inputs = coordinates.outputs
    if fourier_features:
        first.append(FourierFeatures(inputs, fourier_features, fourier_scale))
        inputs = 2 * fourier_features
    if kind == "mlp":
        body: list[nn.Module] = []
        for k in range(depth):
            body += [linear(inputs if k == 0 else width, width), ACTIVATIONS[activation]()]
        body.append(linear(width, outputs))
    else:
        body = [(ModifiedMLP if kind == "modified_mlp" else PirateNet)(inputs, outputs, width, depth, activation, linear)]
    return nn.Sequential(*first, *body).double()


def _refuse_unknown(name: str, value: str, what: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} = {value!r} is no {what}: choose {', '.join(known[:-1])} or {known[-1]}")


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Glorot's weights, and biases spread so that the units of a first layer differ in where they bend."""
    layer = nn.Linear(inputs, outputs)
    _glorot(layer)
    nn.init.uniform_(layer.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))
    return layer


def _glorot(layer: nn.Linear) -> None:
    nn.init.xavier_normal_(layer.weight)


def _beside(parts: list[Value]) -> Value:
    return stack(parts) if isinstance(parts[0], Channels) else torch.cat(parts, dim=1)
