"""Arithmetic on values that carry their gradient and Laplacian: what hard boundary conditions are composed in.

With sums, products, quotients and smooth functions of such values the derivatives of ``g + phi N`` follow from those of the lift g, the
distance phi and the network N, whatever these are made of: ``lap (a b) = a lap b + 2 grad a . grad b + b lap a``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Union

import torch
from torch import Tensor, nn

Layers = tuple[tuple[nn.Linear, Tensor, Tensor], ...]
Operand = Union["Channels", Tensor, float]


@dataclass(frozen=True, eq=False)
class Channels:
    """A quantity at N points with its derivatives.

    Attributes
    ----------
    value : shape (N, k).
    gradient : shape (d, N, k), entry i the derivative by the i-th coordinate.
    laplacian : shape (N, k): the second derivatives by the first `axes` coordinates, summed; None where `axes` is 0.
    axes : how many leading coordinates the Laplacian sums over; the others may be time.
    layers : linear layers met on the way here, with what went in and what came out (`sciml.models.taylor.point_jacobian`).
    """

    value: Tensor
    gradient: Tensor
    laplacian: Tensor | None
    axes: int
    layers: Layers = field(default=(), repr=False)

    def __add__(self, other: Operand) -> Channels:
        b = self._like(other)
        laplacian = None if self.laplacian is None or b.laplacian is None else self.laplacian + b.laplacian
        return Channels(self.value + b.value, self.gradient + b.gradient, laplacian, self.axes, self.layers + b.layers)

    def __mul__(self, other: Operand) -> Channels:
        b = self._like(other)
        laplacian = None
        if self.laplacian is not None and b.laplacian is not None:
            mixed = (self.gradient[: self.axes] * b.gradient[: self.axes]).sum(dim=0)
            laplacian = self.value * b.laplacian + 2 * mixed + self.laplacian * b.value
        gradient = self.value * b.gradient + self.gradient * b.value
        return Channels(self.value * b.value, gradient, laplacian, self.axes, self.layers + b.layers)

    def __neg__(self) -> Channels:
        return self * -1.0

    def __sub__(self, other: Operand) -> Channels:
        return self + (-self._like(other))

    def __rsub__(self, other: Operand) -> Channels:
        return (-self) + other

    def __truediv__(self, other: Operand) -> Channels:
        return self * self._like(other).power(-1.0)

    def __rtruediv__(self, other: Operand) -> Channels:
        return self._like(other) * self.power(-1.0)

    __radd__ = __add__
    __rmul__ = __mul__

    def through(self, value: Tensor, slope: Tensor, curvature: Tensor) -> Channels:
        """A function of this quantity, from its value and first two derivatives here."""
        laplacian = None
        if self.laplacian is not None:
            laplacian = slope * self.laplacian + curvature * self.gradient[: self.axes].square().sum(dim=0)
        return Channels(value, slope * self.gradient, laplacian, self.axes, self.layers)

    def power(self, exponent: float) -> Channels:
        """Real powers; the base must be positive where the exponent is not a whole number."""
        base = self.value
        return self.through(base**exponent, exponent * base ** (exponent - 1), exponent * (exponent - 1) * base ** (exponent - 2))

    def sin(self) -> Channels:
        sine, cosine = torch.sin(self.value), torch.cos(self.value)
        return self.through(sine, cosine, -sine)

    def cos(self) -> Channels:
        sine, cosine = torch.sin(self.value), torch.cos(self.value)
        return self.through(cosine, -sine, -cosine)

    def exp(self) -> Channels:
        value = torch.exp(self.value)
        return self.through(value, value, value)

    def log(self) -> Channels:
        return self.through(torch.log(self.value), 1 / self.value, -1 / self.value**2)

    def column(self, k: int) -> Channels:
        """One of the k quantities, shape (N, 1)."""
        laplacian = None if self.laplacian is None else self.laplacian[:, k : k + 1]
        return Channels(self.value[:, k : k + 1], self.gradient[..., k : k + 1], laplacian, self.axes, self.layers)

    def _like(self, other: Operand) -> Channels:
        """A number, or a tensor that depends on no coordinate, beside this quantity."""
        if isinstance(other, Channels):
            if other.axes != self.axes or len(other.gradient) != len(self.gradient):
                raise ValueError(
                    f"quantities with {len(self.gradient)} coordinates, {self.axes} of them in the Laplacian, "
                    f"and with {len(other.gradient)}, {other.axes} do not go together"
                )
            return other
        value = torch.as_tensor(other, dtype=self.value.dtype, device=self.value.device).expand_as(self.value)
        zero = torch.zeros_like(value)
        return Channels(value, zero.expand_as(self.gradient), None if self.laplacian is None else zero, self.axes)


def coordinates(x: Tensor, axes: int | None = None) -> Channels:
    """The coordinates of points, shape (N, d), as d quantities with their derivatives.

    Parameters
    ----------
    axes : how many leading coordinates Laplacians sum over; None for all.
    """
    n, d = x.shape
    axes = d if axes is None else axes
    gradient = torch.eye(d, dtype=x.dtype, device=x.device)[:, None].expand(d, n, d)
    return Channels(x, gradient, torch.zeros_like(x) if axes else None, axes)


def stack(parts: Sequence[Channels]) -> Channels:
    """Several quantities side by side."""
    laplacian = None
    if parts[0].axes:
        laplacian = torch.cat([part.laplacian for part in parts if part.laplacian is not None], dim=1)
    layers = tuple(layer for part in parts for layer in part.layers)
    value, gradient = torch.cat([part.value for part in parts], dim=1), torch.cat([part.gradient for part in parts], dim=2)
    return Channels(value, gradient, laplacian, parts[0].axes, layers)
