"""Value, gradient and Laplacian of a network in one forward pass, and per-point derivatives by its parameters in one backward pass.

Each layer maps the channels ``(h, dh/dx_1 ... dh/dx_d, lap h)`` of its input to those of its output. A linear layer acts on all of them at
once, as one product; of an activation f

``grad f(h) = f'(h) grad h``,  ``lap f(h) = f'(h) lap h + f''(h) |grad h|^2``,

which is the forward Laplacian (Li et al. 2024, Nature Machine Intelligence 6): d + 2 channels instead of the d second derivatives that
nested reverse differentiation forms one after another. Because a linear layer is met once, with all channels, the derivative of a residual
of one point by its weights is a sum of outer products over the channels, and one backward pass gives those of all points.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from sciml.models.channels import Channels, Use, Uses

#: Of each activation: value and first, second and third derivative at h.
Slopes = Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]


def _tanh(h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a = torch.tanh(h)
    slope = 1 - a * a
    curvature = -2 * a * slope
    return a, slope, curvature, -2 * (slope * slope + a * curvature)


def _sigmoid(h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a = torch.sigmoid(h)
    slope = a * (1 - a)
    curvature = slope * (1 - 2 * a)
    return a, slope, curvature, curvature * (1 - 2 * a) - 2 * slope * slope


def _silu(h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a, slope, curvature, third = _sigmoid(h)
    return h * a, a + h * slope, 2 * slope + h * curvature, 3 * curvature + h * third


def _softplus(h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return functional.softplus(h), *_sigmoid(h)[:3]


def _gelu(h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    share = 0.5 * (1 + torch.erf(h / math.sqrt(2)))
    density = torch.exp(-h * h / 2) / math.sqrt(2 * math.pi)
    return h * share, share + h * density, (2 - h * h) * density, (h * h - 4) * h * density


def _sine(h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a, slope = torch.sin(h), torch.cos(h)
    return a, slope, -a, -slope


class Sine(nn.Module):
    """``sin h`` as an activation; entire, so that it bounds no step."""

    pole = math.inf

    def forward(self, h: Tensor) -> Tensor:
        return torch.sin(h)


_ACTIVATIONS: dict[type[nn.Module], Slopes] = {
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.SiLU: _silu,
    nn.Softplus: _softplus,
    nn.GELU: _gelu,
    Sine: _sine,
}


@runtime_checkable
class Jettable(Protocol):
    """A module that has its own rule for quantities with derivatives."""

    def jet(self, x: Channels) -> Channels: ...


def suits(model: nn.Module) -> bool:
    """Whether `forward_jet` can follow the model."""
    if isinstance(model, nn.Sequential):
        return all(suits(part) for part in model)
    return isinstance(model, (nn.Linear, Jettable)) or type(model) in _ACTIVATIONS


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
            out = functional.linear(state, part.weight)
            if part.bias is not None:
                out[0] += part.bias
            uses.append(Use(part, "weight", state, out))
            state = out
        elif type(part) in _ACTIVATIONS:
            if isinstance(part, nn.GELU) and part.approximate != "none":
                raise TypeError("GELU with approximate='tanh' has no rule: take the exact one")
            if isinstance(part, nn.Softplus) and part.beta != 1:
                raise TypeError(f"Softplus with beta = {part.beta} has no rule: take beta = 1")
            state = _Activate.apply(state, _ACTIVATIONS[type(part)], d, axes)
        else:
            raise TypeError(f"{type(part).__name__} has no rule for forward derivatives: take a sequence of linear layers and activations")
    return Channels(state[0], state[1 : 1 + d], state[1 + d] if axes else None, axes, tuple(uses))


def _flat(model: nn.Module) -> list[nn.Module]:
    if isinstance(model, nn.Sequential):
        return [part for child in model for part in _flat(child)]
    return [model]


class _Activate(torch.autograd.Function):
    """All channels behind an activation; written out by hand because the graph of ten small operations costs more than the arithmetic."""

    @staticmethod
    def forward(ctx: Any, state: Tensor, slopes: Slopes, d: int, axes: int) -> Tensor:
        a, slope, curvature, third = slopes(state[0])
        out = torch.empty_like(state)
        out[0] = a
        torch.mul(state[1 : 1 + d], slope, out=out[1 : 1 + d])
        if axes:
            squares = state[1 : 1 + axes].square().sum(dim=0)
            torch.mul(state[1 + d], slope, out=out[1 + d])
            out[1 + d].addcmul_(curvature, squares)
            ctx.save_for_backward(state, slope, curvature, third, squares)
        else:
            ctx.save_for_backward(state, slope, curvature)
        ctx.d, ctx.axes = d, axes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor, None, None, None]:
        state, slope, curvature, *rest = ctx.saved_tensors
        d, axes = ctx.d, ctx.axes
        found = G * slope
        found[0].addcmul_(curvature, torch.linalg.vecdot(state[1 : 1 + d], G[1 : 1 + d], dim=0))
        if axes:
            third, squares = rest
            found[0].addcmul_(torch.addcmul(curvature * state[1 + d], third, squares), G[1 + d])
            found[1 : 1 + axes].addcmul_(state[1 : 1 + axes], curvature * G[1 + d], value=2)
        return found, None, None, None


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
