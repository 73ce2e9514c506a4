"""Incompressible flow on a staggered grid (marker-and-cell), by projection.

    u_t + div (u u) = -grad p + nu Laplacian u + f,    div u = 0,    and with a carried scalar
    s_t + div (u s) = kappa Laplacian s,    where f gains buoyancy s.

Normal velocities live on the faces of equal cells, pressure and scalar in their centres (Harlow and Welch, "Numerical calculation of
time-dependent viscous incompressible flow of fluid with free surface", Phys. Fluids 8 (1965)). `march_mac` integrates the equations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.flow.mac.sides import Condition, Velocity, refuse_sides

Array = NDArray[np.float64]
#: Components in the cells' faces, or a function of one array of coordinates an axis that returns them.
Start = Sequence[ArrayLike] | Callable[..., Sequence[ArrayLike]]


@dataclass(frozen=True)
class CarriedScalar:
    """A scalar that the flow carries, such as a temperature, and that may drive it (Boussinesq's approximation).

    Parameters
    ----------
    diffusivity : kappa >= 0.
    buoyancy : acceleration of the fluid per unit of the scalar, one number an axis; () is none.
    """

    diffusivity: float
    buoyancy: Sequence[float] = ()


@dataclass(frozen=True, eq=False)
class MACFlow:
    """A flow problem on a grid of equal cells; density is one.

    Boundary layers are resolved by refining everywhere. Where a cell's Reynolds number ``|u| h / nu`` exceeds about 2, central differences
    let waves of the cell's size appear beside sharp edges, which conserve energy and do not grow.

    Parameters
    ----------
    shape : cells along each axis, two or three of them, at least 2 each.
    extent : side lengths.
    viscosity : nu >= 0.
    sides : a (low, high) pair of conditions an axis.
    force : acceleration, as numbers or a function of time and coordinates; () is none.
    solid : cells without fluid, of shape `shape`; None is none. Their faces are walls at rest: a staircase, exact for boxes of whole cells,
        of first order in the cell's size for any other body.
    scalar : what the flow carries; None is nothing.

    Raises
    ------
    ValueError : for a parameter that makes no sense, one sentence with field, value and remedy.
    """

    shape: tuple[int, ...]
    extent: tuple[float, ...]
    viscosity: float
    sides: Sequence[tuple[Condition, Condition]]
    force: Velocity = ()
    solid: NDArray[np.bool_] | None = None
    scalar: CarriedScalar | None = None

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or any(n != int(n) or n < 2 for n in self.shape):
            raise ValueError(f"shape = {self.shape} is no grid for a flow: give two or three whole numbers of at least 2")
        if len(self.extent) != self.dimension or not all(math.isfinite(length) and length > 0 for length in self.extent):
            raise ValueError(f"extent = {self.extent} does not fit a grid of shape {self.shape}: give one positive length an axis")
        if not (math.isfinite(self.viscosity) and self.viscosity >= 0):
            raise ValueError(f"viscosity = {self.viscosity}: it must be a number and not negative")
        refuse_sides(self.sides, self.dimension)
        if not callable(self.force) and len(self.force) not in (0, self.dimension):
            raise ValueError(f"force = {self.force} has {len(self.force)} components: give {self.dimension}, or a function")
        if self.solid is not None and (self.solid.shape != tuple(self.shape) or self.solid.dtype != np.bool_):
            raise ValueError(f"solid is an array of {self.solid.dtype} of shape {self.solid.shape}: give booleans of shape {self.shape}")
        if self.solid is not None and self.solid.all():
            raise ValueError("solid covers all cells: leave some to the fluid")
        if self.scalar is not None:
            self._refuse_scalar(self.scalar)

    def _refuse_scalar(self, scalar: CarriedScalar) -> None:
        if not (math.isfinite(scalar.diffusivity) and scalar.diffusivity >= 0):
            raise ValueError(f"scalar.diffusivity = {scalar.diffusivity}: it must be a number and not negative")
        if len(scalar.buoyancy) not in (0, self.dimension):
            raise ValueError(f"scalar.buoyancy = {scalar.buoyancy} does not fit {self.dimension} axes: give one number an axis, or ()")
        if self.solid is not None:
            raise ValueError("scalar and solid are both given: how solids conduct is not known here, drop one of them")

    @property
    def dimension(self) -> int:
        return len(self.shape)

    @cached_property
    def spacing(self) -> tuple[float, ...]:
        return tuple(length / n for length, n in zip(self.extent, self.shape, strict=True))

    def centres(self) -> list[Array]:
        """Coordinates of the cell centres, one array an axis, ready to broadcast."""
        return [_oriented(h * np.arange(0.5, n), axis, self.dimension) for axis, (n, h) in self._axes()]

    def _axes(self) -> Iterator[tuple[int, tuple[int, float]]]:
        return enumerate(zip(self.shape, self.spacing, strict=True))

    def faces(self, component: int) -> list[Array]:
        """Coordinates of the faces that a component of the velocity lives on, n + 1 of them along its own axis."""
        points = self.centres()
        n, h = self.shape[component], self.spacing[component]
        points[component] = _oriented(h * np.arange(n + 1.0), component, self.dimension)
        return points

    def largest_step(self, speeds: Sequence[float] | Array) -> float:
        """The largest stable time step for these largest magnitudes of the velocity's components; infinite where nothing limits it.

        Eigenvalues of the semi-discrete equations lie in a rectangle with the sides ``-4 D sum 1 / h^2`` and ``+-sum |u| / h``
        where D is the larger of the viscosity and the diffusivity; its corners have to stay inside the half ellipse with the half
        axes 2.51 and sqrt(3) of the third-order method's region of stability.
        """
        h = np.asarray(self.spacing)
        largest = self.viscosity if self.scalar is None else max(self.viscosity, self.scalar.diffusivity)
        diffusion, advection = 4 * largest * float((1 / h**2).sum()), float((np.asarray(speeds) / h).sum())
        rate = math.hypot(diffusion / REAL_AXIS, advection / IMAGINARY_AXIS)
        return 1 / rate if rate > 0 else math.inf


#: Where the region of stability of three-stage methods of third order ends on the axes.
REAL_AXIS, IMAGINARY_AXIS = 2.51, 3**0.5


def _oriented(values: Array, axis: int, dimension: int) -> Array:
    return values.reshape((1,) * axis + (-1,) + (1,) * (dimension - axis - 1))


def evaluated(start: Start, flow: MACFlow) -> list[Array]:
    """Components of a velocity on their faces, from arrays or from a function of the coordinates; ValueError where they do not fit."""
    found = []
    for c in range(flow.dimension):
        points = flow.faces(c)
        shape = np.broadcast_shapes(*(axis.shape for axis in points))
        given: Any = start(*points) if callable(start) else start
        if len(given) != flow.dimension:
            raise ValueError(f"velocity has {len(given)} components: give {flow.dimension}")
        value = np.asarray(given[c], np.float64)
        if not callable(start) and value.ndim > 0 and value.shape != shape:
            raise ValueError(f"velocity[{c}] has shape {value.shape}: on the faces of component {c} it needs {shape}")
        found.append(np.broadcast_to(value, shape))
    return found
