"""Steady convection and diffusion ``-div(eps grad u) + b . grad u + c u = f`` in a divergence-free plane flow."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from sciml.errors import DatasetError
from sciml.fields import Constant, GaussianRandomField, Law, Positive, law_range
from sciml.problems.base import BoxProblem
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters
from sciml.problems.strong_form import Function, StrongForm, box_geometry


class _Velocity(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ConstantVelocity(_Velocity):
    """The same velocity everywhere: boundary layers at the walls that it leaves through."""

    kind: Literal["constant"] = "constant"
    components: tuple[FiniteFloat, FiniteFloat]

    def streamfunction(self, x: Any, y: Any, extent: tuple[float, ...]) -> Any:
        return self.components[0] * y - self.components[1] * x


class RecirculatingVelocity(_Velocity):
    """One eddy between closed walls: in coordinates from -1 to 1, b = speed (y (1 - x^2), -x (1 - y^2) Ly / Lx).

    With speed = 2 on a square the wind of the double-glazing problem (Elman, Silvester and Wathen 2014, example 6.1.4).
    """

    kind: Literal["recirculating"] = "recirculating"
    speed: Positive = 1.0

    def streamfunction(self, x: Any, y: Any, extent: tuple[float, ...]) -> Any:
        s, t = 2 * x / extent[0] - 1, 2 * y / extent[1] - 1
        return -0.25 * self.speed * extent[1] * (1 - s**2) * (1 - t**2)


class RandomVelocity(_Velocity):
    """b = (d psi/dy, -d psi/dx) with the Gaussian random field psi, the parameter `streamfunction`; alpha must exceed 2."""

    kind: Literal["random"] = "random"
    streamfunction: GaussianRandomField = GaussianRandomField(alpha=3.0)


Velocity = Annotated[ConstantVelocity | RecirculatingVelocity | RandomVelocity, Field(discriminator="kind")]


class ConvectionDiffusion(BoxProblem):
    """Concentration of what a plane flow carries and mixes. All velocities derive from a streamfunction, hence ``div b = 0``.

    Sides are Dirichlet (the value), Neumann (``eps du/dn``; the flow must not enter there) or periodic.

    Parameters
    ----------
    velocity : b, see `ConstantVelocity`, `RecirculatingVelocity`, `RandomVelocity`.
    diffusivity : law of eps, positive.
    reaction : law of c, not negative.
    source : law of f.
    """

    outputs: ClassVar = ("concentration",)

    kind: Literal["convection_diffusion"] = "convection_diffusion"
    velocity: Velocity = RecirculatingVelocity()
    diffusivity: Law = Constant(value=0.05)
    reaction: Law = Constant(value=0.0)
    source: Law = Constant(value=0.0)

    @model_validator(mode="after")
    def _sensible(self) -> ConvectionDiffusion:
        if self.dimension != 2:
            what = f"dimension = {self.dimension} is not available for convection_diffusion"
            raise ValueError(f"{what}: its flow has a streamfunction, set dimension = 2")
        low, _ = law_range(self.diffusivity)
        if low < 0 or (low == 0 and self.diffusivity.kind != "log_normal"):
            raise ValueError(f"diffusivity can reach {low:g}; it must be positive: raise its lower bound, or take kind = 'log_normal'")
        if law_range(self.reaction)[0] < 0:
            raise ValueError(f"reaction can reach {law_range(self.reaction)[0]:g}; it must not be negative: raise its lower bound")
        if isinstance(self.velocity, RandomVelocity):
            self._check_streamfunction(self.velocity.streamfunction)
        return self

    def _check_streamfunction(self, field: GaussianRandomField) -> None:
        if field.alpha <= 2:
            raise ValueError(f"velocity.streamfunction.alpha = {field.alpha:g} gives a velocity of infinite variance: take alpha > 2")
        if field.boundary != "periodic" and any(pair[0] == "periodic" for pair in self.boundary_kinds):
            raise ValueError("velocity.streamfunction does not repeat over the periodic sides: set its boundary = 'periodic'")

    def laws(self) -> dict[str, Any]:
        flow = {"streamfunction": self.velocity.streamfunction} if isinstance(self.velocity, RandomVelocity) else {}
        return {**flow, "diffusivity": self.diffusivity, "reaction": self.reaction, "source": self.source, **self.side_laws()}

    def check(self, parameters: Parameters) -> None:
        super().check(parameters)
        smallest = self.value("diffusivity", parameters).min()
        if not smallest > 0:
            raise DatasetError(f"parameter 'diffusivity' reaches {smallest:g}; it must be positive everywhere")

    @property
    def symmetries(self) -> tuple[str, ...]:
        """None: a streamfunction changes its sign under reflection, which plain symmetries of arrays do not."""
        return ()

    def corner_streamfunction(self, parameters: Parameters) -> Array:
        """Streamfunction at the corners of the cells, shape (nx + 1, ny + 1).

        A random one is averaged from the four centres around, continued linearly through the walls: second order.
        """
        if not isinstance(self.velocity, RandomVelocity):
            x, y = (np.arange(n + 1) * h for n, h in zip(self.grid.shape, self.grid.spacing, strict=True))
            return np.asarray(self.velocity.streamfunction(x[:, None], y[None, :], self.grid.extent))
        psi = self.value("streamfunction", parameters)
        for axis, pair in enumerate(self.boundary_kinds):
            first, second, last_but_one, last = (psi.take([index], axis=axis) for index in (0, 1, -2, -1))
            ends = (last, first) if pair[0] == "periodic" else (2 * first - second, 2 * last - last_but_one)
            padded = np.concatenate([ends[0], psi, ends[1]], axis=axis)
            low, high = (padded.take(range(start, start + psi.shape[axis] + 1), axis=axis) for start in (0, 1))
            psi = (low + high) / 2
        return psi

    def strong_form(self, parameters: Parameters) -> StrongForm:
        eps, velocity = self.function("diffusivity", parameters), self.velocity
        flow: Function = (
            self.function("streamfunction", parameters)
            if isinstance(velocity, RandomVelocity)
            else lambda x, y: velocity.streamfunction(x, y, self.grid.extent)
        )
        return StrongForm(
            geometry=box_geometry(self.grid),
            outputs=self.outputs,
            residual=lambda jets, found: (self.strong_residual(jets, found),),
            equations=(self.kind,),
            parameters={
                "diffusivity": eps,
                "streamfunction": flow,
                **{name: self.function(name, parameters) for name in ("reaction", "source")},
            },
            conditions={"concentration": self.side_conditions(parameters, eps)},
            periodic=self.closed_axes,
        )

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        """`parameters` hold the jet of the streamfunction whatever kind of velocity it belongs to."""
        u, eps, psi = jets["concentration"], parameters["diffusivity"], parameters["streamfunction"]
        assert u.gradient is not None
        assert psi.gradient is not None
        convection = psi.gradient[1] * u.gradient[0] - psi.gradient[0] * u.gradient[1]
        drift = 0.0 if eps.gradient is None else sum(e * g for e, g in zip(eps.gradient, u.gradient, strict=True))
        return -eps.value * u.laplacian - drift + convection + parameters["reaction"].value * u.value - parameters["source"].value
