"""One backward-Euler step of the heat equation: ``(u - u0) / dt = kappa Laplacian u + q``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from sciml.fields import Constant, GaussianRandomField, Law, Positive
from sciml.problems.elliptic import Elliptic
from sciml.problems.heat import refuse_diffusivity
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters


class HeatStep(Elliptic):
    """Temperature after one implicit time step, from the temperature before it.

    Parameters
    ----------
    initial_temperature : law of u0.
    diffusivity : law of kappa, a positive number.
    heating : law of q.
    time_step : dt.
    """

    outputs: ClassVar = ("temperature",)

    kind: Literal["heat_step"] = "heat_step"
    initial_temperature: Law = GaussianRandomField()
    diffusivity: Law = Constant(value=1.0)
    heating: Law = Constant(value=0.0)
    time_step: Positive = 0.01

    @model_validator(mode="after")
    def _positive_number(self) -> HeatStep:
        refuse_diffusivity(self.diffusivity)
        return self

    def laws(self) -> dict[str, Any]:
        own = {"initial_temperature": self.initial_temperature, "diffusivity": self.diffusivity, "heating": self.heating}
        return {**own, **self.side_laws()}

    def coefficient(self, parameters: Parameters) -> Array:
        return self.value("diffusivity", parameters)

    def reaction(self, parameters: Parameters) -> Array:
        return np.asarray(1.0 / self.time_step)

    def right_hand_side(self, parameters: Parameters) -> Array:
        return self.value("heating", parameters) + self.value("initial_temperature", parameters) / self.time_step

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        u, before = jets["temperature"], parameters["initial_temperature"]
        rate = (u.value - before.value) / self.time_step
        return rate - parameters["diffusivity"].value * u.laplacian - parameters["heating"].value
