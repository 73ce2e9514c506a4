"""What bounds a flow on a staggered grid: conditions of the sides, and their values at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.flow.mac.kernels import GRADIENT, PERIODIC, VALUE
from solvers.linear.stencil import Side, Sides

Array = NDArray[np.float64]
#: Components, each one number or a function of one array of coordinates an axis; or a function of the time and these arrays that
#: returns the components.
Velocity: TypeAlias = Sequence[float | Callable[..., ArrayLike]] | Callable[..., Sequence[ArrayLike]]
#: One number, or a function of the time and the coordinates.
Scalar: TypeAlias = float | Callable[..., ArrayLike]


@dataclass(frozen=True)
class Wall:
    """No slip.

    Parameters
    ----------
    velocity : of the wall, within its plane; () is at rest.
    scalar : value of the carried scalar on the wall; None lets none of it through.
    """

    velocity: Velocity = ()
    scalar: Scalar | None = None


@dataclass(frozen=True)
class Inflow:
    """Velocity given in all components, into the domain or out of it.

    Parameters
    ----------
    velocity : on the side.
    scalar : value of the carried scalar on the side; None is a vanishing normal derivative.
    """

    velocity: Velocity
    scalar: Scalar | None = None


@dataclass(frozen=True)
class Slip:
    """No flow through the side and no friction on it: a plane of symmetry. None of the carried scalar passes."""


@dataclass(frozen=True)
class Outflow:
    """Nothing is prescribed but that pressure and normal derivatives of the velocity vanish ("do nothing"); for high sides.

    As much leaves as enters elsewhere, without any correction: the pressure sees to it. Where eddies draw fluid back in, it comes without
    the momentum that would otherwise let the flow there grow without bound; as long as nothing comes back this changes nothing.
    """


@dataclass(frozen=True)
class Periodic:
    """The opposite side follows; for both sides of an axis."""


Condition: TypeAlias = Wall | Inflow | Slip | Outflow | Periodic


def refuse_sides(sides: Sequence[Sequence[Condition]], dimension: int) -> None:
    """Raise ValueError for conditions that do not fit together."""
    if len(sides) != dimension or any(len(pair) != 2 for pair in sides):
        raise ValueError(f"sides = {sides} does not fit {dimension} axes: give a (low, high) pair of conditions an axis")
    for axis, pair in zip("xyz", sides, strict=False):
        for condition in pair:
            if not isinstance(condition, Wall | Inflow | Slip | Outflow | Periodic):
                raise TypeError(f"the condition {condition!r} on a side of {axis} is none: take Wall, Inflow, Slip, Outflow or Periodic")
        if isinstance(pair[0], Periodic) != isinstance(pair[1], Periodic):
            raise ValueError(f"only one side of {axis} is periodic: make both so, or none")
        if isinstance(pair[0], Outflow):
            raise ValueError(f"the low side of {axis} is an outflow: mirror the domain, so that the fluid leaves through a high side")


def kinds(sides: Sequence[Sequence[Condition]], scalar: bool) -> NDArray[np.int64]:
    """Table of `fill_sides`: what happens to each component (and the scalar) on each side, shape (components, 3, 2)."""
    dimension = len(sides)
    table = np.full((dimension + scalar, 3, 2), VALUE)
    for axis, pair in enumerate(sides, 3 - dimension):
        for end, condition in enumerate(pair):
            match condition:
                case Periodic():
                    table[:, axis, end] = PERIODIC
                case Outflow():
                    table[:, axis, end] = GRADIENT
                case Slip():
                    table[:, axis, end] = GRADIENT
                    table[axis - 3 + dimension, axis, end] = VALUE
                case Wall() | Inflow() if scalar and condition.scalar is None:
                    table[dimension, axis, end] = GRADIENT
    return table


def pressure_sides(sides: Sequence[Sequence[Condition]]) -> Sides:
    """What the pressure meets: Neumann sides wherever the normal velocity is given."""
    names: dict[type, Side] = {Periodic: "periodic", Outflow: "dirichlet"}
    return tuple((names.get(type(low), "neumann"), names.get(type(high), "neumann")) for low, high in sides)


class SideValues:
    """Values on all sides at one time, as `fill_sides` takes them; `arrays` are overwritten in place.

    Parameters
    ----------
    sides : a (low, high) pair of conditions an axis.
    positions : for each component (and the scalar) the coordinates of its layers along each axis.
    extent : side lengths of the domain.
    """

    def __init__(
        self, sides: Sequence[Sequence[Condition]], positions: Sequence[Sequence[Array]], extent: Sequence[float], t: float
    ) -> None:
        self.dimension = len(sides)
        layers = [1] * (3 - self.dimension) + [len(along) for along in positions[0]]
        shapes = [tuple(layers[:axis] + layers[axis + 1 :]) for axis in range(3)]
        self.arrays = tuple(np.zeros((len(positions), *shapes[axis])) for axis in range(3) for _ in range(2))
        self._moving: list[tuple[Wall | Inflow, int, int, list[list[Array]]]] = []
        for axis, pair in enumerate(sides):
            for end, condition in enumerate(pair):
                if isinstance(condition, Wall | Inflow):
                    where = [_on_side(along, axis, end, extent) for along in positions]
                    self._evaluate(condition, axis, end, where, t)
                    if callable(condition.velocity) or callable(condition.scalar):
                        self._moving.append((condition, axis, end, where))

        self.largest = self._largest()
        """Largest magnitude on any side, component by component."""

    def update(self, t: float) -> bool:
        """Evaluate what depends on time; whether anything does."""
        for condition, axis, end, where in self._moving:
            self._evaluate(condition, axis, end, where, t)
        if self._moving:
            self.largest = self._largest()
        return bool(self._moving)

    def rates(self, t: float, delta: float) -> tuple[Array, ...]:
        """Derivatives of `arrays` by time at t, as central differences over `delta`."""
        rates = tuple(np.zeros_like(side) for side in self.arrays)
        if self._moving:
            for sign in (1, -1):
                self.update(t + sign * delta)
                for rate, side in zip(rates, self.arrays, strict=True):
                    rate += sign / (2 * delta) * side
            self.update(t)
        return rates

    def flow_through(self, spacing: Sequence[float]) -> tuple[float, float]:
        """What flows in through all sides, and what flows out."""
        area, inflow, outflow = float(np.prod(spacing)), 0.0, 0.0
        for axis, h in enumerate(spacing, 3 - self.dimension):
            for end, sign in enumerate((1, -1)):
                side = sign * _without_ghosts(self.arrays[2 * axis + end][axis - 3 + self.dimension]) * area / h
                inflow += float(side[side > 0].sum())
                outflow -= float(side[side < 0].sum())
        return inflow, outflow

    def _largest(self) -> Array:
        return np.asarray([max(float(np.abs(side[c]).max()) for side in self.arrays) for c in range(self.dimension)])

    def _evaluate(self, condition: Wall | Inflow, axis: int, end: int, where: list[list[Array]], t: float) -> None:
        target = self.arrays[2 * (axis + 3 - self.dimension) + end]
        for c in range(self.dimension):
            value = component(condition.velocity, c, self.dimension, t, where[c])
            target[c] = np.broadcast_to(np.squeeze(np.broadcast_to(value, _shape(where[c])), axis), target[c].shape)
            if c == axis and isinstance(condition, Wall) and target[c].any():
                raise ValueError(f"a wall across {'xyz'[axis]} moves along {'xyz'[axis]}: no fluid passes a wall, take Inflow")
        if len(where) > self.dimension and condition.scalar is not None:
            value = condition.scalar(t, *where[-1]) if callable(condition.scalar) else condition.scalar
            target[-1] = np.broadcast_to(np.squeeze(np.broadcast_to(value, _shape(where[-1])), axis), target[-1].shape)


def _without_ghosts(side: Array) -> Array:
    return side[tuple(slice(1, -1) if n > 1 else slice(None) for n in side.shape)]


def component(velocity: Velocity, c: int, dimension: int, t: float, where: Sequence[Array]) -> ArrayLike:
    """Component c of a vector given as in `Velocity`; () is zero."""
    given: Any = velocity(t, *where) if callable(velocity) else velocity
    if not callable(velocity) and len(velocity) == 0:
        return 0.0
    if len(given) != dimension:
        raise ValueError(f"a velocity or force has {len(given)} components: give {dimension}")
    value: ArrayLike = given[c](*where) if callable(given[c]) else given[c]
    return value


def _on_side(along: Sequence[Array], axis: int, end: int, extent: Sequence[float]) -> list[Array]:
    """Coordinates of the layers on a side, as arrays that broadcast; ghosts are moved onto the edge of the side."""
    dimension, where = len(along), []
    for b, coordinates in enumerate(along):
        values = np.array([end * extent[axis]]) if b == axis else np.clip(coordinates, 0.0, extent[b])
        where.append(values.reshape((1,) * b + (-1,) + (1,) * (dimension - b - 1)))
    return where


def _shape(where: Sequence[Array]) -> tuple[int, ...]:
    return np.broadcast_shapes(*(coordinates.shape for coordinates in where))
