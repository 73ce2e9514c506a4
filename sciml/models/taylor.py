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
            state = _Activate.apply(state, _ACTIVATIONS[type(part)], d, axes, [])
        else:
            raise TypeError(f"{type(part).__name__} has no rule for forward derivatives: take a sequence of linear layers and activations")
    return Channels(state[0], state[1 : 1 + d], state[1 + d] if axes else None, axes, tuple(uses))


def _flat(model: nn.Module) -> list[nn.Module]:
    if isinstance(model, nn.Sequential):
        return [part for child in model for part in _flat(child)]
    return [model]


class _Activate(torch.autograd.Function):
    """All channels behind an activation; written out by hand because the graph of ten small operations costs more than the arithmetic.

    It can be differentiated any number of times, in both modes, and batched.
    """

    @staticmethod
    def forward(state: Tensor, slopes: Slopes, d: int, axes: int, kept: list[Tensor]) -> Tensor:
        """`kept` is given empty and receives what backward needs: a function in this style may save but its inputs and outputs."""
        a, slope, curvature, third = slopes(state[0])
        out = torch.empty_like(state)
        out[0] = a
        torch.mul(state[1 : 1 + d], slope, out=out[1 : 1 + d])
        kept += slope, curvature
        if axes:
            squares = state[1 : 1 + axes].square().sum(dim=0)
            torch.mul(state[1 + d], slope, out=out[1 + d])
            out[1 + d].addcmul_(curvature, squares)
            kept += third, squares
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        state, ctx.slopes, ctx.d, ctx.axes, ctx.kept = inputs
        ctx.save_for_backward(state)
        ctx.save_for_forward(state)

    @staticmethod
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor | None, ...]:
        (state,) = ctx.saved_tensors
        if torch.is_grad_enabled() or not ctx.kept:  # this will be differentiated in turn, or is part of a transform of `torch.func`
            return _pulled(state, G, ctx.slopes, ctx.d, ctx.axes), None, None, None, None
        d, axes = ctx.d, ctx.axes
        slope, curvature, *rest = ctx.kept
        found = G * slope
        found[0].addcmul_(curvature, torch.linalg.vecdot(state[1 : 1 + d], G[1 : 1 + d], dim=0))
        if axes:
            third, squares = rest
            found[0].addcmul_(torch.addcmul(curvature * state[1 + d], third, squares), G[1 + d])
            found[1 : 1 + axes].addcmul_(state[1 : 1 + axes], curvature * G[1 + d], value=2)
        return found, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *others: None) -> Tensor:
        (state,), d, axes = ctx.saved_tensors, ctx.d, ctx.axes
        _, slope, curvature, third = ctx.slopes(state[0])
        along = [tangent[:1] * slope, tangent[1 : 1 + d] * slope + state[1 : 1 + d] * (curvature * tangent[0])]
        if axes:
            space = state[1 : 1 + axes]
            bent = third * tangent[0] * space.square().sum(dim=0) + 2 * curvature * (space * tangent[1 : 1 + axes]).sum(dim=0)
            along.append((slope * tangent[1 + d] + curvature * tangent[0] * state[1 + d] + bent)[None])
        return torch.cat(along)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], state: Tensor, slopes: Slopes, d: int, axes: int, kept: Any) -> tuple[Tensor, int]:
        batch = in_dims[0]
        assert batch is not None
        return _Activate.apply(state.movedim(batch, 1), slopes, d, axes, []), 1  # channels first, else it acts on each number alone


def _pulled(state: Tensor, G: Tensor, slopes: Slopes, d: int, axes: int) -> Tensor:
    """What `_Activate.backward` finds, in operations that autograd knows."""
    _, slope, curvature, third = slopes(state[0])
    first = G[0] * slope + curvature * (state[1 : 1 + d] * G[1 : 1 + d]).sum(dim=0)
    others = G[1:] * slope
    if axes:
        space, last = state[1 : 1 + axes], G[1 + d]
        first = first + (curvature * state[1 + d] + third * space.square().sum(dim=0)) * last
        others = torch.cat([others[:axes] + 2 * space * (curvature * last), others[axes:]])
    return torch.cat([first[None], others])


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
