"""Heat equation ``u_t = kappa Laplacian u + q`` with boundary data that do not change in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from sciml.fields import Constant, GaussianRandomField, Law, Wave, law_range
from sciml.problems.evolving import Evolving
from sciml.problems.jet import Jets
from sciml.problems.problem import Parameters
from sciml.problems.strong_form import StrongForm


class Heat(Evolving):
    """Temperature at one or several times, from the temperature at time 0, in one, two or three dimensions.

    Parameters
    ----------
    initial_temperature : law of u0.
    diffusivity : law of kappa, a positive number.
    heating : law of q, constant in time.
    """

    outputs: ClassVar = ("temperature",)

    kind: Literal["heat"] = "heat"
    initial_temperature: Law = GaussianRandomField()
    diffusivity: Law = Constant(value=1.0)
    heating: Law = Constant(value=0.0)

    @model_validator(mode="after")
    def _positive_number(self) -> Self:
        refuse_diffusivity(self.diffusivity)
        return self

    def laws(self) -> dict[str, Any]:
        own = {"initial_temperature": self.initial_temperature, "diffusivity": self.diffusivity, "heating": self.heating}
        return {**own, **self.side_laws()}

    def strong_form(self, parameters: Parameters) -> StrongForm:
        kappa = self.function("diffusivity", parameters)
        form = self.evolving_form(parameters, "initial_temperature", self.side_conditions(parameters, kappa))
        wave = self.initial_temperature
        if isinstance(wave, Wave) and isinstance(kappa, float) and form.parameters["heating"] == 0.0 and _fits(wave, form):
            rate = kappa * wave.squared_wavenumber
            return replace(form, exact={"temperature": lambda *x: wave(*x) * np.exp(-rate * x[-1])})
        return form

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        u = jets["temperature"]
        return u.time_derivative - parameters["diffusivity"].value * u.laplacian - parameters["heating"].value


def _fits(wave: Wave, form: StrongForm) -> bool:
    """Whether a wave satisfies all conditions, which must be homogeneous, so that it only decays."""
    for condition in form.conditions.get("temperature", ()):
        side = form.geometry.boundary(16, [condition.part])
        axis = int(np.abs(side.normals[0]).argmax())
        x = side.points.T
        there = wave(*x) if condition.kind == "dirichlet" else wave.derivative(axis, *x)
        if condition.value != 0.0 or np.abs(there).max() > 1e-12 * abs(wave.amplitude) * (1 + wave.squared_wavenumber):
            return False
    return True


def refuse_diffusivity(diffusivity: Law) -> None:
    """Refuse a law that is not one of positive numbers (`ValueError`)."""
    if diffusivity.kind not in ("constant", "uniform") or law_range(diffusivity)[0] <= 0:
        raise ValueError("diffusivity must be a positive number: give a constant or a uniform law with a positive lower bound")
