"""Steady incompressible flow in the plane: ``div (u u) = -grad p + nu Laplacian u``, ``div u = 0``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from sciml.errors import DatasetError
from sciml.fields import Disks, Law, Uniform, law_range
from sciml.grid import AXES
from sciml.problems.base import BoxProblem
from sciml.problems.boundary import Boundary, SideKind
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters
from sciml.problems.strong_form import Condition, Function, StrongForm, box_geometry

#: Unknowns and equations of plane flows.
UNKNOWNS = ("velocity_x", "velocity_y", "pressure")
EQUATIONS = ("momentum_x", "momentum_y", "continuity")


def momentum_and_continuity(jets: Jets, parameters: Jets) -> tuple[Any, Any, Any]:
    """``du/dt + u . grad u + grad p - nu Laplacian u`` in both directions and ``div u``; no du/dt where jets have none."""
    u, v, p = (jets[name] for name in UNKNOWNS)
    nu = parameters["viscosity"].value
    assert u.gradient is not None
    assert v.gradient is not None
    assert p.gradient is not None
    along = []
    for axis, one in enumerate((u, v)):
        slopes: tuple[Any, ...] = one.gradient  # type: ignore[assignment]
        steady = u.value * slopes[0] + v.value * slopes[1] + p.gradient[axis] - nu * one.laplacian
        along.append(steady if one.time_derivative is None else steady + one.time_derivative)
    return along[0], along[1], u.gradient[0] + v.gradient[1]


class Incompressible(BoxProblem):
    """Velocity and pressure of a steady flow; density is one, and what happens on the sides belongs to the kind of problem.

    Parameters
    ----------
    viscosity : law of nu, a positive number.
    """

    outputs: ClassVar = UNKNOWNS
    certificate: ClassVar[str] = "distance_from_rest"

    dimension: Literal[2] = 2
    viscosity: Law = Uniform(low=0.0025, high=0.01)

    @model_validator(mode="after")
    def _own_sides_and_viscous(self) -> Self:
        if self.boundary != Boundary():
            raise ValueError(f"boundary is given, but the sides of problem {self.kind!r} are part of it: leave boundary out")
        if self.viscosity.kind not in ("constant", "uniform") or law_range(self.viscosity)[0] <= 0:
            raise ValueError("viscosity must be a positive number: give a constant or a uniform law with a positive lower bound")
        return self

    @property
    def symmetries(self) -> tuple[str, ...]:
        """None of the group's kinds: a mirror image turns the sign of a velocity component."""
        return ()

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        """Both components of the momentum equation and the divergence."""
        return momentum_and_continuity(jets, parameters)


class Cavity(Incompressible):
    """A box whose four walls slide along themselves, each with the speed ``16 s^2 (1 - s)^2`` times its own number.

    s is the part of the wall's length from its low end; the profile vanishes with its slope at corners, so that the flow is smooth there
    (Shen, "Hopf bifurcation of the unsteady regularized driven cavity flow", J. Comput. Phys. 95 (1991), equation 1.3).

    Parameters
    ----------
    speed_x_low, speed_x_high : laws of the largest speeds of the two walls across x, along y.
    speed_y_low, speed_y_high : the same across y, along x; `speed_y_high` is what is called the lid.
    """

    kind: Literal["cavity"] = "cavity"
    speed_x_low: Law = Uniform(low=-0.5, high=0.5)
    speed_x_high: Law = Uniform(low=-0.5, high=0.5)
    speed_y_low: Law = Uniform(low=-0.5, high=0.5)
    speed_y_high: Law = Uniform(low=0.5, high=1.0)

    @model_validator(mode="after")
    def _speeds_are_numbers(self) -> Self:
        for name in _SPEEDS:
            if getattr(self, name).kind not in ("constant", "uniform"):
                raise ValueError(f"{name} must be one number a sample: give a constant or a uniform law")
        return self

    def laws(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in _SPEEDS}, "viscosity": self.viscosity}

    def strong_form(self, parameters: Parameters) -> StrongForm:
        """Velocities on all walls; the pressure has no condition, and is known up to a constant."""
        lengths = self.grid.extent

        def sliding(axis: int, speed: float) -> Function:
            def value(*x: Any) -> Any:
                s = x[axis] / lengths[axis]
                return 16 * speed * (s * s) * (1 - s) ** 2

            return value

        conditions: dict[str, list[Condition]] = {"velocity_x": [], "velocity_y": []}
        for name in _SPEEDS:
            side, across = name.removeprefix("speed_"), AXES.index(name[6])
            speed = float(self.value(name, parameters))
            for axis, output in enumerate(conditions):
                conditions[output].append(Condition(side, "dirichlet", 0.0 if axis == across else sliding(axis, speed)))
        return StrongForm(
            geometry=box_geometry(self.grid),
            outputs=self.outputs,
            residual=self.strong_residual,
            equations=EQUATIONS,
            parameters={"viscosity": float(self.value("viscosity", parameters))},
            conditions={output: tuple(found) for output, found in conditions.items()},
        )


_SPEEDS = ("speed_x_low", "speed_x_high", "speed_y_low", "speed_y_high")


class ChannelObstacles(Incompressible):
    """Flow along x through a channel with obstacles: the parabola of mean speed 1 enters at the low side of x and leaves at the high one.

    Parameters
    ----------
    obstacles : law of a field that is 1 in obstacles and 0 in the fluid; cells are either, so that boundaries are staircases.
    """

    kind: Literal["channel_obstacles"] = "channel_obstacles"
    viscosity: Law = Uniform(low=0.02, high=0.05)
    obstacles: Law = Disks()

    @model_validator(mode="after")
    def _obstacles_or_none(self) -> Self:
        if law_range(self.obstacles) != (0.0, 1.0):
            raise ValueError("obstacles must be 1 in obstacles and 0 elsewhere: take kind = 'disks', or 'binary' with low = 0 and high = 1")
        return self

    @property
    def stored_sides(self) -> tuple[tuple[SideKind, SideKind], ...]:
        return ("dirichlet", "open"), ("dirichlet", "dirichlet")

    def laws(self) -> dict[str, Any]:
        return {"obstacles": self.obstacles, "viscosity": self.viscosity}

    def check(self, parameters: Parameters) -> None:
        super().check(parameters)
        solid = self.solid(parameters)
        for end, name in ((0, "inflow"), (-1, "outflow")):
            if solid[end].any():
                what = f"parameter 'obstacles' reaches the {name} of the channel"
                raise DatasetError(f"{what}: set problem.obstacles to disks whose low, high and radii keep away from both ends")
        if solid.all(axis=1).any():
            raise DatasetError("parameter 'obstacles' closes the channel: lower problem.obstacles.radii or count")

    def solid(self, parameters: Parameters) -> Array:
        """Cells without fluid, as booleans."""
        return np.array(np.broadcast_to(self.value("obstacles", parameters) > 0.5, self.grid.shape))
