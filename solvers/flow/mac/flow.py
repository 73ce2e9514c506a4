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

from solvers.arguments import finite, finites, numbers, shown, wholes
from solvers.flow.mac.sides import Condition, Velocity, refuse_sides, refuse_vector, spread

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

    Raises
    ------
    TypeError, ValueError : for a parameter that makes no sense.
    """

    diffusivity: float
    buoyancy: Sequence[float] = ()

    def __post_init__(self) -> None:
        if not finite("scalar.diffusivity", self.diffusivity, "it must be a number and not negative") >= 0:
            raise ValueError(f"scalar.diffusivity = {self.diffusivity}: it must be a number and not negative")
        object.__setattr__(self, "buoyancy", finites("scalar.buoyancy", self.buoyancy, "give one number an axis, or ()"))


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
    force : acceleration, a component for each axis, numbers or functions of the coordinates, as ``f(x, y)``; or one function ``f(t, x, y)``
        that returns them. () is none.
    solid : cells without fluid, of shape `shape`; None is none. Their faces are walls at rest: a staircase, exact for boxes of whole cells,
        of first order in the cell's size for any other body.
    scalar : what the flow carries; None is nothing.

    Raises
    ------
    TypeError, ValueError : for a parameter that makes no sense, one sentence with field, value and remedy.
    """

    shape: tuple[int, ...]
    extent: tuple[float, ...]
    viscosity: float
    sides: Sequence[tuple[Condition, Condition]]
    force: Velocity = ()
    solid: NDArray[np.bool_] | None = None
    scalar: CarriedScalar | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", wholes("shape", self.shape, "give two or three whole numbers of at least 2"))
        object.__setattr__(self, "extent", finites("extent", self.extent, "give one positive length an axis"))
        if len(self.shape) not in (2, 3) or min(self.shape) < 2:
            raise ValueError(f"shape = {self.shape} is no grid for a flow: give two or three whole numbers of at least 2")
        if len(self.extent) != self.dimension or min(self.extent) <= 0:
            raise ValueError(f"extent = {self.extent} does not fit a grid of shape {self.shape}: give one positive length an axis")
        if not finite("viscosity", self.viscosity, "it must be a number and not negative") >= 0:
            raise ValueError(f"viscosity = {self.viscosity}: it must be a number and not negative")
        refuse_sides(self.sides, self.dimension, self.scalar is not None)
        refuse_vector("force", self.force)
        if not callable(self.force) and len(self.force) not in (0, self.dimension):
            raise ValueError(f"force = {self.force} has {len(self.force)} components: give {self.dimension}, or a function")
        if self.solid is not None:
            self._refuse_solid(self.solid)
        if self.scalar is not None:
            self._refuse_scalar(self.scalar)

    def _refuse_solid(self, solid: Any) -> None:
        if not isinstance(solid, np.ndarray) or solid.shape != tuple(self.shape) or solid.dtype != np.bool_:
            what = f"an array of {solid.dtype} of shape {solid.shape}" if isinstance(solid, np.ndarray) else shown(solid)
            raise ValueError(f"solid is {what}: give an array of booleans of shape {self.shape}")
        if solid.all():
            raise ValueError("solid covers all cells: leave some to the fluid")

    def _refuse_scalar(self, scalar: CarriedScalar) -> None:
        if not isinstance(scalar, CarriedScalar):
            raise TypeError(f"scalar = {shown(scalar)} is nothing that a flow carries: give CarriedScalar(diffusivity, buoyancy), or None")
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
        if not hasattr(given, "__len__") or isinstance(given, str) or len(given) != flow.dimension:
            raise ValueError(f"velocity = {shown(given)}: give {flow.dimension} components on their faces, or a function that returns them")
        value = numbers(f"velocity[{c}]", given[c])
        if not callable(start) and value.ndim > 0 and value.shape != shape:
            raise ValueError(f"velocity[{c}] has shape {value.shape}: on the faces of component {c} it needs {shape}")
        found.append(spread(f"velocity[{c}]", value, points))
    return found
