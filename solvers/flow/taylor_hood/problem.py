"""Incompressible flow in a domain of triangles: viscosity, what is prescribed where, and the force."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.arguments import finites, number, refuse_uncallable, shown
from solvers.elements.mesh import TriangleMesh

Array = NDArray[np.float64]
#: Values at points, shape (n, 2), and a time: shape (n, 2).
VectorField = Callable[[Array, float], Array]
Velocity = tuple[float, float] | VectorField
_VECTOR = "give two finite numbers, or a function of points and time"


@dataclass(frozen=True, eq=False)
class Flow:
    """``u_t + (u . grad) u - nu lap u + grad p = f`` and ``div u = 0``; the density is 1.

    Attributes
    ----------
    mesh : the domain.
    viscosity : nu, positive.
    velocity : boundary part -> velocity there, two numbers or a function of points and time. Where parts meet, the one named last wins.
    outflow : boundary parts where ``nu du/dn - p n = 0``, "do nothing" (Heywood, Rannacher and Turek 1996). Without any the flow is
        enclosed: what flows in must flow out, and the pressure, known up to a constant, has mean 0.
    force : f, or None for none. A steady solve takes it, and the velocity, at time 0.

    Raises
    ------
    TypeError, ValueError : for a field that makes no sense, one sentence with field, value and remedy.
    """

    mesh: TriangleMesh
    viscosity: float
    velocity: Mapping[str, Velocity]
    outflow: tuple[str, ...] = ()
    force: VectorField | None = field(default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.mesh, TriangleMesh):
            raise TypeError(f"mesh = {shown(self.mesh)} is no mesh: give a TriangleMesh")
        if not 0 < number("viscosity", self.viscosity, "it must be positive and finite") < math.inf:
            raise ValueError(f"viscosity is {self.viscosity}; it must be positive and finite")
        if not isinstance(self.velocity, Mapping):
            raise TypeError(f"velocity = {shown(self.velocity)}: give a dict of boundary parts, with two numbers or a function for each")
        outflow: Any = self.outflow
        if isinstance(outflow, str) or not isinstance(outflow, Sequence):
            raise TypeError(f"outflow = {shown(self.outflow)}: give a tuple of boundary parts, as ('right',)")
        if self.force is not None:
            refuse_uncallable("force", self.force, "give a function of points and time, or None")
        named = [*self.velocity, *self.outflow]
        for name in named:
            self.mesh.part(name)
        if len(set(named)) < len(named):
            raise ValueError(f"outflow = {self.outflow} names a part whose velocity is given: a part has one of the two")
        for name, given in self.velocity.items():
            if not callable(given) and len(finites(f"velocity[{name!r}]", given, _VECTOR)) != 2:
                raise ValueError(f"velocity[{name!r}] = {given}: {_VECTOR}")
        missing = sorted(set(self.mesh.parts) - set(named))
        if missing:
            raise ValueError(
                f"velocity says nothing of {', '.join(missing)}: give these boundary parts a velocity, or list them in outflow"
            )

    @property
    def enclosed(self) -> bool:
        return not self.outflow

    def force_at(self, points: Array, time: float) -> Array:
        """f at points, shape (n, 2); zero where there is none, `ValueError` where it is of another shape."""
        if self.force is None:
            return np.zeros_like(points)
        values = np.asarray(self.force(points, time))
        if values.shape != points.shape:
            raise ValueError(f"force at time {time:g} has shape {values.shape} instead of {points.shape}: return two numbers a point")
        return values

    def velocity_on(self, part: str, points: Array, time: float) -> Array:
        """Prescribed velocity at points of a part, shape (n, 2); `ValueError` where it is not finite or of another shape."""
        given = self.velocity[part]
        values = np.asarray(given(points, time) if callable(given) else np.broadcast_to(np.asarray(given, np.float64), points.shape))
        if values.shape != points.shape or not np.isfinite(values).all():
            what = f"has shape {values.shape} instead of {points.shape}" if values.shape != points.shape else "is not finite"
            raise ValueError(f"velocity on {part!r} at time {time:g} {what}: return two finite numbers a point")
        return values
