"""Activations with three derivatives, and what the channels of `sciml.models.taylor` are behind them, compiled.

An activation is its transcendental parts, by torch, and plain arithmetic of these, which serves tensors as well as compiled loops. On
processors in double precision one loop over all channels takes the place of some twenty operations on whole arrays, whose passes through
memory cost more than a network's matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn
from torch.nn import functional

_compiled = njit(cache=True, nogil=True, error_model="numpy")
_BLOCK = 512  # numbers of a channel that are worked on at a time, so that scratch stays in the nearest cache


class Sine(nn.Module):
    """``sin h`` as an activation; entire, so that it bounds no step."""

    pole = math.inf

    def forward(self, h: Tensor) -> Tensor:
        return torch.sin(h)


# each: from h and the transcendental parts p and q to value and first, second and third derivative


@_compiled
def _tanh(h: Any, p: Any, q: Any) -> Any:
    slope = 1 - p * p
    curvature = -2 * p * slope
    return p, slope, curvature, -2 * (slope * slope + p * curvature)


@_compiled
def _sigmoid(h: Any, p: Any, q: Any) -> Any:
    slope = p * (1 - p)
    curvature = slope * (1 - 2 * p)
    return p, slope, curvature, curvature * (1 - 2 * p) - 2 * slope * slope


@_compiled
def _silu(h: Any, p: Any, q: Any) -> Any:
    slope = p * (1 - p)
    curvature = slope * (1 - 2 * p)
    third = curvature * (1 - 2 * p) - 2 * slope * slope
    return h * p, p + h * slope, 2 * slope + h * curvature, 3 * curvature + h * third


@_compiled
def _softplus(h: Any, p: Any, q: Any) -> Any:
    curvature = q * (1 - q)
    return p, q, curvature, curvature * (1 - 2 * q)


@_compiled
def _gelu(h: Any, p: Any, q: Any) -> Any:
    return h * p, p + h * q, (2 - h * h) * q, (h * h - 4) * h * q


@_compiled
def _sine(h: Any, p: Any, q: Any) -> Any:
    return p, q, -p, -q


def _gelu_parts(h: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * (1 + torch.erf(h / math.sqrt(2))), torch.exp(-h * h / 2) / math.sqrt(2 * math.pi)


def _twice(p: Tensor) -> tuple[Tensor, Tensor]:
    return p, p


@dataclass(frozen=True, eq=False)
class Activation:
    """One activation: its number in the compiled loops, its transcendental parts p and q, and its formula."""

    kind: int
    parts: Callable[[Tensor], tuple[Tensor, Tensor]]
    formula: Any

    def slopes(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Value, and first, second and third derivative at h, in operations that autograd knows."""
        found: tuple[Tensor, Tensor, Tensor, Tensor] = self.formula.py_func(h, *self.parts(h))
        return found


ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.Tanh: Activation(0, lambda h: _twice(torch.tanh(h)), _tanh),
    nn.Sigmoid: Activation(1, lambda h: _twice(torch.sigmoid(h)), _sigmoid),
    nn.SiLU: Activation(2, lambda h: _twice(torch.sigmoid(h)), _silu),
    nn.Softplus: Activation(3, lambda h: (functional.softplus(h), torch.sigmoid(h)), _softplus),
    nn.GELU: Activation(4, _gelu_parts, _gelu),
    Sine: Activation(5, lambda h: (torch.sin(h), torch.cos(h)), _sine),
}


@_compiled
def _derive(kind: int, h: Any, p: Any, q: Any, found: Any) -> None:
    """Rows of `found`: value and derivatives at all h."""
    a, slope, curvature, third = found
    n = len(h)
    if kind == 0:
        for j in range(n):
            a[j], slope[j], curvature[j], third[j] = _tanh(h[j], p[j], q[j])
    elif kind == 1:
        for j in range(n):
            a[j], slope[j], curvature[j], third[j] = _sigmoid(h[j], p[j], q[j])
    elif kind == 2:
        for j in range(n):
            a[j], slope[j], curvature[j], third[j] = _silu(h[j], p[j], q[j])
    elif kind == 3:
        for j in range(n):
            a[j], slope[j], curvature[j], third[j] = _softplus(h[j], p[j], q[j])
    elif kind == 4:
        for j in range(n):
            a[j], slope[j], curvature[j], third[j] = _gelu(h[j], p[j], q[j])
    else:
        for j in range(n):
            a[j], slope[j], curvature[j], third[j] = _sine(h[j], p[j], q[j])


@_compiled
def _forward(kind: int, state: Any, p: Any, q: Any, d: int, axes: int, out: Any) -> None:
    length = state.shape[1]
    scratch, squares = np.empty((4, _BLOCK)), np.empty(_BLOCK)
    for start in range(0, length, _BLOCK):
        end = min(start + _BLOCK, length)
        n = end - start
        _derive(kind, state[0, start:end], p[start:end], q[start:end], scratch[:, :n])
        slope, curvature = scratch[1], scratch[2]
        for j in range(n):
            out[0, start + j] = scratch[0, j]
            squares[j] = 0.0
        for k in range(1, 1 + d):
            for j in range(n):
                z = state[k, start + j]
                out[k, start + j] = slope[j] * z
                if k <= axes:
                    squares[j] += z * z
        if axes:
            for j in range(n):
                out[1 + d, start + j] = slope[j] * state[1 + d, start + j] + curvature[j] * squares[j]


@_compiled
def _backward(kind: int, state: Any, p: Any, q: Any, G: Any, d: int, axes: int, found: Any) -> None:
    length = state.shape[1]
    scratch, sums, squares, bent = np.empty((4, _BLOCK)), np.empty(_BLOCK), np.empty(_BLOCK), np.zeros(_BLOCK)
    for start in range(0, length, _BLOCK):
        end = min(start + _BLOCK, length)
        n = end - start
        _derive(kind, state[0, start:end], p[start:end], q[start:end], scratch[:, :n])
        slope, curvature, third = scratch[1], scratch[2], scratch[3]
        for j in range(n):
            sums[j] = squares[j] = 0.0
            if axes:
                bent[j] = 2 * curvature[j] * G[1 + d, start + j]
        for k in range(1, 1 + d):
            for j in range(n):
                z, g = state[k, start + j], G[k, start + j]
                sums[j] += z * g
                if k <= axes:
                    squares[j] += z * z
                    found[k, start + j] = slope[j] * g + bent[j] * z
                else:
                    found[k, start + j] = slope[j] * g
        for j in range(n):
            found[0, start + j] = slope[j] * G[0, start + j] + curvature[j] * sums[j]
        if axes:
            for j in range(n):
                g = G[1 + d, start + j]
                found[0, start + j] += (curvature[j] * state[1 + d, start + j] + third[j] * squares[j]) * g
                found[1 + d, start + j] = slope[j] * g


class Activate(torch.autograd.Function):
    """All channels behind an activation: state of shape (channels, ...) with the value, d slopes and, where `axes` is not 0, the Laplacian.

    It can be differentiated any number of times, in both modes, and batched.
    """

    @staticmethod
    def forward(state: Tensor, activation: Activation, d: int, axes: int, kept: list[Tensor]) -> Tensor:
        """`kept` is given empty and receives what backward needs: a function in this style may save but its inputs and outputs."""
        if state.dtype != torch.float64 or state.device.type != "cpu":
            return _pushed(state, activation, d, axes)
        state = state.contiguous()
        p, q = (part.reshape(-1) for part in activation.parts(state[0]))
        out = torch.empty_like(state)
        _forward(activation.kind, _rows(state), p.numpy(), q.numpy(), d, axes, _rows(out))
        kept += p, q
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        state, ctx.activation, ctx.d, ctx.axes, ctx.kept = inputs
        ctx.save_for_backward(state)
        ctx.save_for_forward(state)

    @staticmethod
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor | None, ...]:
        (state,) = ctx.saved_tensors
        if torch.is_grad_enabled() or not ctx.kept:  # this will be differentiated in turn, or is part of a transform of `torch.func`
            return _pulled(state, G, ctx.activation, ctx.d, ctx.axes), None, None, None, None
        state, G = state.contiguous(), G.contiguous()
        found = torch.empty_like(state)
        p, q = (part.numpy() for part in ctx.kept)
        _backward(ctx.activation.kind, _rows(state), p, q, _rows(G), ctx.d, ctx.axes, _rows(found))
        return found, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *others: None) -> Tensor:
        (state,), d, axes = ctx.saved_tensors, ctx.d, ctx.axes
        _, slope, curvature, third = ctx.activation.slopes(state[0])
        along = [tangent[:1] * slope, tangent[1 : 1 + d] * slope + state[1 : 1 + d] * (curvature * tangent[0])]
        if axes:
            space = state[1 : 1 + axes]
            bent = third * tangent[0] * space.square().sum(dim=0) + 2 * curvature * (space * tangent[1 : 1 + axes]).sum(dim=0)
            along.append((slope * tangent[1 + d] + curvature * tangent[0] * state[1 + d] + bent)[None])
        return torch.cat(along)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], state: Tensor, activation: Activation, d: int, axes: int, kept: Any
    ) -> tuple[Tensor, int]:
        batch = in_dims[0]
        assert batch is not None
        return Activate.apply(state.movedim(batch, 1), activation, d, axes, []), 1  # channels first, else it acts on each number alone


def _rows(x: Tensor) -> Any:
    return x.detach().view(len(x), -1).numpy()


def _pushed(state: Tensor, activation: Activation, d: int, axes: int) -> Tensor:
    """What `_forward` finds, for other devices and precisions."""
    a, slope, curvature, _ = activation.slopes(state[0])
    parts = [a[None], state[1 : 1 + d] * slope]
    if axes:
        parts.append((slope * state[1 + d] + curvature * state[1 : 1 + axes].square().sum(dim=0))[None])
    return torch.cat(parts)


def _pulled(state: Tensor, G: Tensor, activation: Activation, d: int, axes: int) -> Tensor:
    """What `_backward` finds, in operations that autograd knows."""
    _, slope, curvature, third = activation.slopes(state[0])
    first = G[0] * slope + curvature * (state[1 : 1 + d] * G[1 : 1 + d]).sum(dim=0)
    others = G[1:] * slope
    if axes:
        space, last = state[1 : 1 + axes], G[1 + d]
        first = first + (curvature * state[1 + d] + third * space.square().sum(dim=0)) * last
        others = torch.cat([others[:axes] + 2 * space * (curvature * last), others[axes:]])
    return torch.cat([first[None], others])
