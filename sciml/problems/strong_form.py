"""A boundary-value problem at points instead of on a grid: what a network is trained on, from the problem that the solvers solve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sciml.errors import DatasetError
from sciml.geometry import Box, Shape
from sciml.grid import AXES, Grid
from sciml.problems.jet import Jets

#: From coordinates (x, y(, z)(, t)), one argument each, to a quantity; plain arithmetic and NumPy's functions, so that arrays and
#: quantities with derivatives may go in. A number stands for itself everywhere.
Function = Callable[..., Any] | float


@dataclass(frozen=True, eq=False)
class Condition:
    """What one output satisfies on one part of the boundary.

    Parameters
    ----------
    part : name of a part of the geometry's boundary.
    kind : "dirichlet" for the value, "neumann" for the derivative along the outward normal.
    value : of the coordinates.
    """

    part: str
    kind: Literal["dirichlet", "neumann"]
    value: Function = 0.0


@dataclass(frozen=True, eq=False)
class StrongForm:
    """Equations, conditions and domain.

    Parameters
    ----------
    geometry : the domain in space.
    outputs : names of the unknown fields.
    residual : from the jets of outputs and of `parameters` at the same points to the residuals, one for each of `equations`.
    equations : their names.
    parameters : coefficients and sources by name.
    conditions : of each output; an output that is not named has none.
    free : parts of the boundary on which no output has a condition on purpose, such as where a transported quantity leaves.
    periodic : which axes of a `Box` close; empty for none.
    duration : end of the time interval from 0; None for a steady problem.
    initial : of each output its value at time 0; outputs that are not named have none. Empty for a steady problem.
    exact : of each output the exact solution; None where none is known.
    weights : of the mean squares of the equations; empty for 1 each.
    features : further inputs of a network, functions of the coordinates in plain arithmetic and about 1 in size, that unfold what happens
        on scales far below that of the domain; empty for none.
    """

    geometry: Shape
    outputs: tuple[str, ...]
    residual: Callable[[Jets, Jets], Sequence[Any]]
    equations: tuple[str, ...]
    parameters: Mapping[str, Function] = field(default_factory=dict)
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    periodic: tuple[bool, ...] = ()
    duration: float | None = None
    initial: Mapping[str, Function] = field(default_factory=dict)
    exact: Mapping[str, Function] | None = None
    weights: tuple[float, ...] = ()
    features: tuple[Callable[..., Any], ...] = ()

    def __post_init__(self) -> None:
        if any(self.periodic) and not isinstance(self.geometry, Box):
            raise DatasetError(f"periodic = {self.periodic}, but only a box has axes that can close: leave it out")
        closed = {f"{axis}_{end}" for axis, closes in zip(AXES, self.periodic, strict=False) if closes for end in ("low", "high")}
        for name, conditions in self.conditions.items():
            if name not in self.outputs:
                raise DatasetError(f"conditions name {name!r}, which is no output: choose among {', '.join(self.outputs)}")
            seen: set[str] = set()
            for condition in conditions:
                if condition.part not in self.geometry.parts:
                    known = ", ".join(self.geometry.parts)
                    raise DatasetError(f"a condition of {name!r} is on part {condition.part!r}; the boundary has {known}")
                if condition.part in seen:
                    raise DatasetError(f"{name!r} has two conditions on part {condition.part!r}: keep one")
                seen.add(condition.part)
                if condition.kind not in ("dirichlet", "neumann"):
                    raise DatasetError(f"the condition of {name!r} on {condition.part} is {condition.kind!r}: take dirichlet or neumann")
                if condition.part in closed:
                    raise DatasetError(f"{name!r} has a condition on {condition.part}, of an axis that is periodic: drop one of the two")
        if (self.duration is None) != (not self.initial):
            raise DatasetError("initial values and a duration go together: give both, or none for a steady problem")

    @property
    def forgotten(self) -> tuple[str, ...]:
        """Parts of the boundary on which no output has a condition, although they neither close nor are free."""
        held = {condition.part for conditions in self.conditions.values() for condition in conditions} | set(self.free)
        held |= {f"{axis}_{end}" for axis, closes in zip(AXES, self.periodic, strict=False) if closes for end in ("low", "high")}
        return tuple(part for part in self.geometry.parts if part not in held)

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the coordinates, time last."""
        space = AXES[: self.geometry.dimension]
        return space if self.duration is None else (*space, "t")

    @property
    def low(self) -> tuple[float, ...]:
        return self.geometry.bounds[0] if self.duration is None else (*self.geometry.bounds[0], 0.0)

    @property
    def high(self) -> tuple[float, ...]:
        return self.geometry.bounds[1] if self.duration is None else (*self.geometry.bounds[1], self.duration)

    @property
    def closed(self) -> tuple[bool, ...]:
        """Of every coordinate whether it is periodic."""
        return tuple(self.periodic[k] if k < len(self.periodic) else False for k in range(len(self.low)))


#: Cells beyond a side: the influence of a spline's end falls by 0.43 a cell, so that this is where rounding drowns it.
_BEYOND = 44


class Sampled:
    """A field that is known at the cell centres of a grid, as a function: the interpolating spline of degree 5.

    It takes coordinates from its own grid's box (a little beyond the centres it is continued), as arrays or as quantities with
    derivatives, whose rule for functions of several quantities, ``compose``, it calls.

    Parameters
    ----------
    values : shape of the grid, which needs 6 cells along each axis.
    periodic : which axes close.
    even : along which axes the field is continued as in a mirror, so that its slope on those sides is 0; None for none.
    """

    def __init__(self, values: Any, grid: Grid, periodic: Sequence[bool], even: Sequence[bool] | None = None) -> None:
        from scipy.interpolate import NdBSpline, make_interp_spline

        if min(grid.shape) < 6:
            raise DatasetError(f"a field on {grid} cells is too coarse to be a function: take a resolution of 6 at least along each axis")
        coefficients = np.array(np.broadcast_to(values, grid.shape), np.float64)
        knots = []
        for axis, (closes, mirrored) in enumerate(zip(periodic, even or [False] * len(grid.shape), strict=True)):
            n, centres = grid.shape[axis], grid.centers(axis)
            if closes or mirrored:  # a stretch around the box so wide that its ends do not matter
                order = np.arange(-_BEYOND, n + _BEYOND)
                turn, place = np.divmod(order, n)
                coefficients = coefficients.take(np.where(mirrored & (turn % 2 == 1), n - 1 - place, place), axis=axis)
                centres = centres[place] + turn * grid.extent[axis]
            spline = make_interp_spline(centres, np.moveaxis(coefficients, axis, 0), k=5)
            knots.append(spline.t)
            coefficients = np.moveaxis(spline.c, 0, axis)  # SciPy leaves the interpolated axis in front
        self._spline = NdBSpline(tuple(knots), coefficients, 5, extrapolate=True)

    def __call__(self, *x: Any) -> Any:
        d = len(self._spline.t)
        if hasattr(x[0], "compose"):
            return x[0].compose(x[:d], self._derivative)
        return self._spline(np.stack(np.broadcast_arrays(*x[:d]), axis=-1))

    def _derivative(self, points: Any, orders: tuple[int, ...]) -> Any:
        """Partial derivatives of these orders at points, shape (n, d)."""
        return self._spline(points, nu=orders)


def box_geometry(grid: Grid) -> Box:
    return Box(grid.origin, grid.extent)
