"""What bounds a flow on a staggered grid: conditions of the sides, and their values at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.arguments import finite, fits, numbers, shown
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
    velocity : of the wall, within its plane: a component for each axis, numbers or functions of the coordinates, as ``f(x, y)``; or one
        function ``f(t, x, y)`` that returns them. () is at rest.
    scalar : value of the carried scalar on the wall, a number or a function ``f(t, x, y)``; None lets none of it through.

    Raises
    ------
    TypeError, ValueError : a velocity that is no vector, numbers that are not finite.
    """

    velocity: Velocity = ()
    scalar: Scalar | None = None

    def __post_init__(self) -> None:
        refuse_vector("Wall.velocity", self.velocity)
        _refuse_scalar("Wall.scalar", self.scalar)


@dataclass(frozen=True)
class Inflow:
    """Velocity given in all components, into the domain or out of it.

    Parameters
    ----------
    velocity : on the side: a component for each axis, numbers or functions of the coordinates, as ``f(x, y)``; or one function
        ``f(t, x, y)`` that returns them. Coordinates are arrays.
    scalar : value of the carried scalar on the side, a number or a function ``f(t, x, y)``; None is a vanishing normal derivative.

    Raises
    ------
    TypeError, ValueError : a velocity that is no vector, numbers that are not finite.
    """

    velocity: Velocity
    scalar: Scalar | None = None

    def __post_init__(self) -> None:
        refuse_vector("Inflow.velocity", self.velocity)
        if not callable(self.velocity) and len(self.velocity) == 0:
            raise ValueError("Inflow.velocity = () says nothing: give one number or function an axis, or take Wall() where none flows")
        _refuse_scalar("Inflow.scalar", self.scalar)


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


def refuse_vector(name: str, given: Any) -> None:
    """Raise for what is no `Velocity`; TypeError for other things, ValueError for numbers that are not finite."""
    if callable(given):
        return
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        what = "give one number or function an axis, as (1.0, 0.0), or a function of the time and the coordinates"
        raise TypeError(f"{name} = {shown(given)} is no vector: {what}")
    for c, entry in enumerate(given):
        if not callable(entry):
            finite(f"{name}[{c}]", entry, "give a finite number, or a function of the coordinates")


def _refuse_scalar(name: str, given: Any) -> None:
    if given is not None and not callable(given):
        finite(name, given, "give a finite number, or a function of the time and the coordinates")


def refuse_sides(sides: Any, dimension: int, scalar: bool) -> None:
    """Raise ValueError for conditions that do not fit together; `scalar` says whether the flow carries one."""
    pairs = isinstance(sides, Sequence) and len(sides) == dimension and all(isinstance(pair, Sequence) and len(pair) == 2 for pair in sides)
    if not pairs:
        raise ValueError(f"sides = {shown(sides)} does not fit {dimension} axes: give a (low, high) pair of conditions an axis")
    for axis, pair in zip("xyz", sides, strict=False):
        for end, condition in zip(("low", "high"), pair, strict=True):
            if not isinstance(condition, Wall | Inflow | Slip | Outflow | Periodic):
                what = f"the condition {shown(condition)} on a side of {axis} is none"
                raise TypeError(f"{what}: take Wall(), Inflow(velocity), Slip(), Outflow() or Periodic()")
            if isinstance(condition, Wall | Inflow):
                _refuse_values(condition, "xyz".index(axis), end, dimension, scalar)
        if isinstance(pair[0], Periodic) != isinstance(pair[1], Periodic):
            raise ValueError(f"only one side of {axis} is periodic: make both so, or none")
        if isinstance(pair[0], Outflow):
            raise ValueError(f"the low side of {axis} is an outflow: mirror the domain, so that the fluid leaves through a high side")


def _refuse_values(condition: Wall | Inflow, axis: int, end: str, dimension: int, scalar: bool) -> None:
    """Raise ValueError for values that do not fit the side, as far as they are numbers."""
    kind, where = type(condition).__name__, f"on the {end} side of {'xyz'[axis]}"
    if condition.scalar is not None and not scalar:
        what = f"{kind}.scalar = {shown(condition.scalar)} {where}, but the flow carries no scalar"
        raise ValueError(f"{what}: give MACFlow(scalar=CarriedScalar(...)), or leave it out")
    if callable(condition.velocity) or len(condition.velocity) == 0:
        return
    if len(condition.velocity) != dimension:
        raise ValueError(f"{kind}.velocity {where} has {len(condition.velocity)} components: give {dimension}")
    normal = condition.velocity[axis]
    if isinstance(condition, Wall) and not callable(normal) and normal != 0:
        raise ValueError(_through_a_wall(axis))


def _through_a_wall(axis: int) -> str:
    name = "xyz"[axis]
    return f"a wall across {name} moves along {name}: no fluid passes a wall, take Inflow"


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
            target[c] = _spread(f"{type(condition).__name__}.velocity[{c}]", value, where[c], axis)
            if c == axis and isinstance(condition, Wall) and target[c].any():
                raise ValueError(_through_a_wall(axis))
        if len(where) > self.dimension and condition.scalar is not None:
            value = condition.scalar(t, *where[-1]) if callable(condition.scalar) else condition.scalar
            target[-1] = _spread(f"{type(condition).__name__}.scalar", value, where[-1], axis)


def _spread(name: str, value: ArrayLike, where: Sequence[Array], axis: int) -> Array:
    """A value at all points of a side across an axis, without that axis."""
    return np.asarray(np.squeeze(spread(name, value, where), axis))


def spread(name: str, value: ArrayLike, where: Sequence[Array]) -> Array:
    """A value at all points; ValueError where it does not fit their coordinates, TypeError where it is no number."""
    shape, found = np.broadcast_shapes(*(coordinates.shape for coordinates in where)), numbers(name, value)
    if not fits(found.shape, shape):
        raise ValueError(f"{name} has shape {found.shape} at points of shape {shape}: return one number, or an array that broadcasts")
    return np.broadcast_to(found, shape)


def _without_ghosts(side: Array) -> Array:
    return side[tuple(slice(1, -1) if n > 1 else slice(None) for n in side.shape)]


def component(velocity: Velocity, c: int, dimension: int, t: float, where: Sequence[Array]) -> ArrayLike:
    """Component c of a vector given as in `Velocity`; () is zero."""
    given: Any = velocity(t, *where) if callable(velocity) else velocity
    if not callable(velocity) and len(velocity) == 0:
        return 0.0
    if not hasattr(given, "__len__") or len(given) != dimension:
        raise ValueError(f"a velocity or force returned {shown(given)}: return {dimension} components")
    value: ArrayLike = given[c](*where) if callable(given[c]) else given[c]
    return value


def _on_side(along: Sequence[Array], axis: int, end: int, extent: Sequence[float]) -> list[Array]:
    """Coordinates of the layers on a side, as arrays that broadcast; ghosts are moved onto the edge of the side."""
    dimension, where = len(along), []
    for b, coordinates in enumerate(along):
        values = np.array([end * extent[axis]]) if b == axis else np.clip(coordinates, 0.0, extent[b])
        where.append(values.reshape((1,) * b + (-1,) + (1,) * (dimension - b - 1)))
    return where
