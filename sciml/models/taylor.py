"""Value, gradient and Laplacian of a network in one forward pass, and per-point derivatives by its parameters in one backward pass.

Each layer maps the channels ``(h, dh/dx_1 ... dh/dx_d, lap h)`` of its input to those of its output. A linear layer acts on all of them at
once, as one product; of an activation f

``grad f(h) = f'(h) grad h``,  ``lap f(h) = f'(h) lap h + f''(h) |grad h|^2``,

which is the forward Laplacian (Li et al. 2024, Nature Machine Intelligence 6): d + 2 channels instead of the d second derivatives that
nested reverse differentiation forms one after another. Because a linear layer is met once, with all channels, the derivative of a residual
of one point by its weights is a sum of outer products over the channels, and one backward pass gives those of all points.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sciml.models.activations import ACTIVATIONS, Activate
from sciml.models.channels import Channels, Use, Uses


@runtime_checkable
class Jettable(Protocol):
    """A module that has its own rule for quantities with derivatives."""

    def jet(self, x: Channels) -> Channels: ...


def suits(model: nn.Module) -> bool:
    """Whether `forward_jet` can follow the model."""
    if isinstance(model, nn.Sequential):
        return all(suits(part) for part in model)
    return isinstance(model, (nn.Linear, Jettable)) or type(model) in ACTIVATIONS


def forward_jet(model: nn.Module, inputs: Channels) -> Channels:
    """A network of quantities with derivatives, such as `channels.coordinates` of points.

    Parameters
    ----------
    model : linear layers; Tanh, Sigmoid, SiLU, Softplus, exact GELU or `Sine`; a module with a method ``jet`` from quantities to quantities
        (`sciml.models.networks`); or a `torch.nn.Sequential` of these.

    Raises
    ------
    TypeError : for a layer that has no rule here.
    """
    found = inputs
    waiting: list[nn.Module] = []  # linear layers and activations in a row pass one stacked tensor on
    for part in _flat(model):
        if isinstance(part, Jettable):
            found = part.jet(_stacked(waiting, found))
            waiting = []
        else:
            waiting.append(part)
    return _stacked(waiting, found)


def expanded(module: nn.Module, name: str, points: int) -> tuple[Tensor, Use]:
    """A parameter that is no linear layer's, repeated for every point, shape (points, *shape), and the record of its use."""
    value: Tensor = getattr(module, name)
    copies = value.expand(points, *value.shape)
    return copies, Use(module, name, None, copies)


def _stacked(parts: list[nn.Module], inputs: Channels) -> Channels:
    if not parts:
        return inputs
    d, axes = len(inputs.gradient), inputs.axes
    # channels first, so that each of them is one contiguous matrix
    channels = [inputs.value[None], inputs.gradient]
    state, uses = torch.cat(channels if inputs.laplacian is None else [*channels, inputs.laplacian[None]]), list(inputs.uses)
    for part in parts:
        if isinstance(part, nn.Linear):
            out = _affine(part, state)
            uses.append(Use(part, "weight", state, out))
            state = out
        elif type(part) in ACTIVATIONS:
            if isinstance(part, nn.GELU) and part.approximate != "none":
                raise TypeError("GELU with approximate='tanh' has no rule: take the exact one")
            if isinstance(part, nn.Softplus) and part.beta != 1:
                raise TypeError(f"Softplus with beta = {part.beta} has no rule: take beta = 1")
            state = Activate.apply(state, ACTIVATIONS[type(part)], d, axes, [])
        else:
            raise TypeError(f"{type(part).__name__} has no rule for forward derivatives: take a sequence of linear layers and activations")
    return Channels(state[0], state[1 : 1 + d], state[1 + d] if axes else None, axes, tuple(uses))


def _affine(layer: nn.Linear, state: Tensor) -> Tensor:
    """A linear layer of all channels, whose bias goes to the value alone; as one operation, since each pass through memory counts."""
    bias: Tensor | None = layer.bias
    if bias is None:
        return functional.linear(state, layer.weight)
    bias = torch.cat([bias[None, None], bias.new_zeros(len(state) - 1, 1, layer.out_features)])
    return torch.baddbmm(bias, state, layer.weight.t().expand(len(state), -1, -1))


def _flat(model: nn.Module) -> list[nn.Module]:
    if isinstance(model, nn.Sequential):
        return [part for child in model for part in _flat(child)]
    return [model]


def point_jacobian(model: nn.Module, uses: Uses, rows: Tensor) -> dict[str, Tensor]:
    """Derivatives of residuals by all parameters, each residual a function of its own point's channels.

    Parameters
    ----------
    uses : of what `forward_jet` made of `model`, with gradients enabled.
    rows : residuals, shape (N,) or (N, m).

    Returns
    -------
    For every parameter by name derivatives of shape (N, m, *parameter.shape), without the axis m where `rows` has none; zeros for
    parameters that have no part in them.
    """
    names = {id(module): f"{name}." if name else "" for name, module in model.named_modules()}
    columns = rows.reshape(len(rows), -1)
    n, m = columns.shape
    blocks = {name: torch.zeros(n, m, *value.shape, dtype=rows.dtype, device=rows.device) for name, value in model.named_parameters()}
    outputs = [use.out for use in uses]
    for k in range(m):
        slopes = torch.autograd.grad(columns[:, k].sum(), outputs, retain_graph=True, materialize_grads=True)
        for use, slope in zip(uses, slopes, strict=True):
            prefix = names[id(use.module)]
            if use.state is None:
                blocks[prefix + use.name][:, k] += slope
                continue
            blocks[f"{prefix}weight"][:, k] += torch.einsum("cno,cni->noi", slope, use.state.detach())
            if f"{prefix}bias" in blocks:
                blocks[f"{prefix}bias"][:, k] += slope[0]
    return blocks if rows.ndim > 1 else {name: block[:, 0] for name, block in blocks.items()}


def point_gram(model: nn.Module, uses: Uses, rows: Tensor, names: Collection[str]) -> Tensor:
    """``J J^T`` of what `point_jacobian` gives for the parameters of these names, without J.

    The derivatives by the weight of a linear layer are sums of outer products over its channels, whose inner products are products of two
    small Gram matrices, one of what went in and one of what came back: (channels)^2 products of N x N matrices take the place of a
    Jacobian with a column for every weight.

    Returns
    -------
    Shape (N m, N m), rows of one point after another.
    """
    prefixes = {id(module): f"{name}." if name else "" for name, module in model.named_modules()}
    columns = rows.reshape(len(rows), -1)
    n, m = columns.shape
    outputs = [use.out for use in uses]
    back = [torch.autograd.grad(columns[:, k].sum(), outputs, retain_graph=True, materialize_grads=True) for k in range(m)]
    G = torch.zeros(n, m, n, m, dtype=rows.dtype, device=rows.device)
    others: dict[str, Tensor] = {}  # of parameters that are no weights, one row a residual
    layers: dict[str, tuple[list[Tensor], list[Tensor]]] = {}  # a layer that is met twice has twice the channels
    for use, slopes in zip(uses, zip(*back, strict=True), strict=True):
        name, slope = prefixes[id(use.module)] + use.name, torch.stack(slopes, dim=-2)
        if use.state is None:
            others[name] = others.get(name, 0) + slope.reshape(n * m, -1)
            continue
        into, out = layers.setdefault(name, ([], []))
        into.append(use.state.detach())
        out.append(slope)
        bias = f"{prefixes[id(use.module)]}bias"
        others[bias] = others.get(bias, 0) + slope[0].reshape(n * m, -1)
    for name, (into, out) in layers.items():
        if name in names:
            A, S = torch.cat(into), torch.cat(out).flatten(1, 2)
            for c in range(len(A)):
                for other in range(c + 1):
                    part = (S[c] @ S[other].T).view(n, m, n, m) * (A[c] @ A[other].T)[:, None, :, None]
                    G += part if other == c else part + part.permute(2, 3, 0, 1)
    found = G.view(n * m, n * m)
    for name, S in others.items():
        if name in names:
            found += S @ S.T
    return found
