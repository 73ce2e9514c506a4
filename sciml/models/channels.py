"""Arithmetic on values that carry their gradient and Laplacian: what hard boundary conditions are composed in.

With sums, products, quotients and smooth functions of such values the derivatives of ``g + phi N`` follow from those of the lift g, the
distance phi and the network N, whatever these are made of: ``lap (a b) = a lap b + 2 grad a . grad b + b lap a``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np
import torch
from torch import Tensor, nn

Operand = Union["Channels", Tensor, float]


@dataclass(frozen=True, eq=False)
class Use:
    """Where parameters of a module entered a computation, by which derivatives of point residuals are found.

    Attributes
    ----------
    module : whose parameters they are.
    name : of the parameter, or "weight" for the weight and bias of a linear layer.
    state : of a linear layer what went in, shape (channels, N, inputs); None for other parameters.
    out : what came out, or the parameter repeated for every point, shape (N, *shape).
    """

    module: nn.Module
    name: str
    state: Tensor | None
    out: Tensor


Uses = tuple[Use, ...]


@dataclass(frozen=True, eq=False)
class Channels:
    """A quantity at N points with its derivatives.

    Attributes
    ----------
    value : shape (N, k).
    gradient : shape (d, N, k), entry i the derivative by the i-th coordinate.
    laplacian : shape (N, k): the second derivatives by the first `axes` coordinates, summed; None where `axes` is 0.
    axes : how many leading coordinates the Laplacian sums over; the others may be time.
    uses : of trained parameters on the way here (`sciml.models.taylor.point_jacobian`).
    """

    value: Tensor
    gradient: Tensor
    laplacian: Tensor | None
    axes: int
    uses: Uses = field(default=(), repr=False)

    def __add__(self, other: Operand) -> Channels:
        if not isinstance(other, Channels):
            return Channels(self.value + other, self.gradient, self.laplacian, self.axes, self.uses)
        b = self._like(other)
        laplacian = None if self.laplacian is None or b.laplacian is None else self.laplacian + b.laplacian
        return Channels(self.value + b.value, self.gradient + b.gradient, laplacian, self.axes, _merged(self.uses, b.uses))

    def __mul__(self, other: Operand) -> Channels:
        if not isinstance(other, Channels):
            scaled = None if self.laplacian is None else self.laplacian * other
            return Channels(self.value * other, self.gradient * other, scaled, self.axes, self.uses)
        b = self._like(other)
        laplacian = None
        if self.laplacian is not None and b.laplacian is not None:
            mixed = (self.gradient[: self.axes] * b.gradient[: self.axes]).sum(dim=0)
            laplacian = self.value * b.laplacian + 2 * mixed + self.laplacian * b.value
        gradient = self.value * b.gradient + self.gradient * b.value
        return Channels(self.value * b.value, gradient, laplacian, self.axes, _merged(self.uses, b.uses))

    def __neg__(self) -> Channels:
        return self * -1.0

    def __sub__(self, other: Operand) -> Channels:
        return self + (-other)

    def __rsub__(self, other: Operand) -> Channels:
        return (-self) + other

    def __truediv__(self, other: Operand) -> Channels:
        return self * (other.power(-1.0) if isinstance(other, Channels) else 1 / other)

    def __rtruediv__(self, other: Operand) -> Channels:
        return self.power(-1.0) * other

    __radd__ = __add__
    __rmul__ = __mul__

    def __pow__(self, exponent: float) -> Channels:
        return self.power(exponent)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **unknown: Any) -> Any:
        """NumPy's functions and NumPy numbers beside a quantity, so that a formula serves arrays and quantities alike."""
        rule = _UFUNCS.get(ufunc.__name__)
        if rule is None or method != "__call__" or unknown:
            raise TypeError(f"numpy.{ufunc.__name__} has no rule for quantities with derivatives: take {', '.join(sorted(_UFUNCS))}")
        plain = (torch.from_numpy(x) if isinstance(x, np.ndarray) else x.item() if isinstance(x, np.generic) else x for x in inputs)
        return rule(*plain)

    def through(self, value: Tensor, slope: Tensor, curvature: Tensor) -> Channels:
        """A function of this quantity, from its value and first two derivatives here."""
        laplacian = None
        if self.laplacian is not None:
            laplacian = slope * self.laplacian + curvature * self.gradient[: self.axes].square().sum(dim=0)
        return Channels(value, slope * self.gradient, laplacian, self.axes, self.uses)

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

    def tanh(self) -> Channels:
        value = torch.tanh(self.value)
        slope = 1 - value * value
        return self.through(value, slope, -2 * value * slope)

    def sqrt(self) -> Channels:
        return self.power(0.5)

    def hypot(self, other: Channels | float) -> Channels:
        """``sqrt(a^2 + b^2)``; where both are 0 with the derivatives of a, which are the limit where b is of higher order."""
        a, b = self, other if isinstance(other, Channels) else self.constant(other)
        zero = (a.value == 0) & (b.value == 0)
        divisor = torch.hypot(torch.where(zero, 1.0, a.value), b.value)
        value = torch.where(zero, a.value, divisor)
        one, two = torch.where(zero, 1.0, a.value / divisor), b.value / divisor
        gradient = one * a.gradient + two * b.gradient
        laplacian = None
        if a.laplacian is not None and b.laplacian is not None:
            turned = two * a.gradient[: self.axes] - one * b.gradient[: self.axes]
            bending = torch.where(zero, 0.0, turned.square().sum(dim=0) / divisor)
            laplacian = one * a.laplacian + two * b.laplacian + bending
        return Channels(value, gradient, laplacian, self.axes, _merged(a.uses, b.uses))

    @staticmethod
    def compose(inputs: Sequence[Channels], derivative: Callable[[np.ndarray, tuple[int, ...]], np.ndarray]) -> Channels:
        """A function of several quantities, each of shape (N, 1).

        Parameters
        ----------
        inputs : its arguments.
        derivative : from points, shape (N, number of arguments), and orders, one for each argument, to partial derivatives, shape (N,).
        """
        points = torch.cat([x.value for x in inputs], dim=1)
        n = len(inputs)

        def partial(*along: int) -> Tensor:
            found: Tensor = _Partial.apply(points, derivative, tuple(along.count(k) for k in range(n)))
            return found

        first, slopes = inputs[0], [partial(k) for k in range(n)]
        gradient = sum((s * x.gradient for s, x in zip(slopes, inputs, strict=True)), torch.zeros_like(first.gradient))
        laplacian = None
        if first.laplacian is not None:
            laplacian = torch.zeros_like(first.laplacian)
            for i, x in enumerate(inputs):
                if x.laplacian is not None:
                    laplacian = laplacian + slopes[i] * x.laplacian
                for j, y in enumerate(inputs):
                    laplacian = laplacian + partial(i, j) * (x.gradient[: x.axes] * y.gradient[: y.axes]).sum(dim=0)
        return Channels(partial(), gradient, laplacian, first.axes)

    def column(self, k: int) -> Channels:
        """One of the k quantities, shape (N, 1)."""
        laplacian = None if self.laplacian is None else self.laplacian[:, k : k + 1]
        return Channels(self.value[:, k : k + 1], self.gradient[..., k : k + 1], laplacian, self.axes, self.uses)

    def columns(self, chosen: Sequence[int]) -> Channels:
        """Some of the k quantities, in this order."""
        if tuple(chosen) == tuple(range(self.value.shape[1])):
            return self
        some = list(chosen)
        laplacian = None if self.laplacian is None else self.laplacian[:, some]
        return Channels(self.value[:, some], self.gradient[..., some], laplacian, self.axes, self.uses)

    def summed(self, places: Sequence[int], width: int) -> Channels:
        """`width` quantities: the sums of those whose place in `places` is the same; 0 where no place is."""
        if tuple(places) == tuple(range(width)):
            return self
        into = torch.zeros(len(places), width, dtype=self.value.dtype, device=self.value.device)
        into[torch.arange(len(places)), torch.tensor(places)] = 1
        laplacian = None if self.laplacian is None else self.laplacian @ into
        return Channels(self.value @ into, self.gradient @ into, laplacian, self.axes, self.uses)

    def _like(self, other: Channels) -> Channels:
        """The other quantity, if it has derivatives by the same coordinates."""
        if other.axes != self.axes or len(other.gradient) != len(self.gradient):
            raise ValueError(
                f"quantities with {len(self.gradient)} coordinates, {self.axes} of them in the Laplacian, "
                f"and with {len(other.gradient)}, {other.axes} do not go together"
            )
        return other

    def constant(self, value: float) -> Channels:
        """A number in the place of this quantity: with its shape and without derivatives."""
        laplacian = None if self.laplacian is None else torch.zeros_like(self.laplacian)
        return Channels(torch.full_like(self.value, value), torch.zeros_like(self.gradient), laplacian, self.axes)


def _merged(one: Uses, other: Uses) -> Uses:
    """Each use once, however often the quantity that it led to enters."""
    return one if other is one or not other else tuple(dict.fromkeys(one + other))


_UFUNCS: dict[str, Callable[..., Channels]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a.power(b),
    "negative": lambda a: -a,
    "square": lambda a: a * a,
    "sqrt": Channels.sqrt,
    "hypot": lambda a, b: a.hypot(b) if isinstance(a, Channels) else b.hypot(a),
    "sin": Channels.sin,
    "cos": Channels.cos,
    "exp": Channels.exp,
    "log": Channels.log,
    "tanh": Channels.tanh,
}


class _Partial(torch.autograd.Function):
    """A partial derivative of a function that is known outside torch, itself differentiable: by the next partial derivatives."""

    @staticmethod
    def forward(points: Tensor, derivative: Callable[[np.ndarray, tuple[int, ...]], np.ndarray], orders: tuple[int, ...]) -> Tensor:
        return torch.as_tensor(derivative(points.detach().cpu().numpy(), orders), dtype=points.dtype, device=points.device)[:, None]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        points, ctx.derivative, ctx.orders = inputs
        ctx.save_for_backward(points)
        ctx.save_for_forward(points)

    @staticmethod
    def _slopes(ctx: Any) -> Tensor:
        (points,) = ctx.saved_tensors
        higher = [tuple(order + (j == k) for j, order in enumerate(ctx.orders)) for k in range(len(ctx.orders))]
        return torch.cat([_Partial.apply(points, ctx.derivative, orders) for orders in higher], dim=1)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *others: None) -> Tensor:
        return (_Partial._slopes(ctx) * tangent).sum(dim=1, keepdim=True)

    @staticmethod
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor, None, None]:
        return _Partial._slopes(ctx) * G, None, None


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
    uses: Uses = ()
    for part in parts:
        uses = _merged(uses, part.uses)
    value, gradient = torch.cat([part.value for part in parts], dim=1), torch.cat([part.gradient for part in parts], dim=2)
    return Channels(value, gradient, laplacian, parts[0].axes, uses)
