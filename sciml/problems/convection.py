"""Convection and diffusion ``u_t + c u_x = kappa u_xx`` on a periodic interval.

A fast current is easy for solvers, which shift every wave by its angle, and the standard example of what networks of places do not learn
(Krishnapriyan et al. 2021, "Characterizing possible failure modes in physics-informed neural networks", section 3.1: u0 = sin x on
[0, 2 pi), where c = 30 and more fails).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.fft as sfft
from pydantic import model_validator

from sciml.fields import Constant, GaussianRandomField, Law, Wave, law_range
from sciml.problems.boundary import Boundary, Periodic
from sciml.problems.evolving import Evolving
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters
from sciml.problems.strong_form import StrongForm
from sciml.problems.transport import Transport


class Convection(Evolving):
    """A concentration at one or several times, from that at time 0.

    Parameters
    ----------
    initial_concentration : law of u0.
    speed : law of c, a number of either sign.
    diffusivity : law of kappa, a number that is not negative.
    """

    outputs: ClassVar = ("concentration",)

    kind: Literal["convection"] = "convection"
    dimension: Literal[1] = 1
    boundary: Boundary = Boundary(x_low=Periodic(), x_high=Periodic())
    initial_concentration: Law = GaussianRandomField(alpha=4.0, tau=5.0, boundary="periodic")
    speed: Law = Constant(value=1.0)
    diffusivity: Law = Constant(value=0.0)

    @model_validator(mode="after")
    def _periodic_with_numbers(self) -> Self:
        if self.boundary.x_low.kind != "periodic":
            raise ValueError(f"boundary.x_low is {self.boundary.x_low.kind}: problem 'convection' is periodic, leave its boundary out")
        for name in ("speed", "diffusivity"):
            if getattr(self, name).kind not in ("constant", "uniform"):
                raise ValueError(f"{name} must be a number: give a constant or a uniform law")
        if law_range(self.diffusivity)[0] < 0:
            raise ValueError("diffusivity must not be negative: give a constant or a uniform law with a lower bound of 0 or more")
        return self

    def laws(self) -> dict[str, Any]:
        return {"initial_concentration": self.initial_concentration, "speed": self.speed, "diffusivity": self.diffusivity}

    @property
    def symmetries(self) -> tuple[str, ...]:
        """None: in a mirror image the current turns around."""
        return ()

    def strong_form(self, parameters: Parameters) -> StrongForm:
        """With the exact solution where u0 is a wave that closes: it travels with c and decays with ``kappa k^2``."""
        form = self.evolving_form(parameters, "initial_concentration", ())
        wave, (length,) = self.initial_concentration, self.grid.extent
        if not isinstance(wave, Wave) or abs(np.sin(0.5 * wave.wavenumbers[0] * length)) > 1e-12:
            return form
        c, rate = self._number("speed", parameters), self._number("diffusivity", parameters) * wave.squared_wavenumber
        return replace(form, exact={"concentration": lambda x, t: wave(x - c * t) * np.exp(-rate * t)})

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        u = jets["concentration"]
        assert u.gradient is not None
        return u.time_derivative + parameters["speed"].value * u.gradient[0] - parameters["diffusivity"].value * u.laplacian

    def transport(self, parameters: Parameters) -> Transport:
        c, kappa = (self._number(name, parameters) for name in ("speed", "diffusivity"))
        return Transport((c,), kappa, self.profile("initial_concentration", parameters), self.grid.extent[0], "concentration")

    def exact(self, parameters: Parameters) -> dict[str, Array]:
        """Of the trigonometric interpolant of u0, wave by wave."""
        (n,), (length,) = self.grid.shape, self.grid.extent
        spectrum = sfft.rfft(np.broadcast_to(self.value("initial_concentration", parameters), (n,)))
        spectrum[(n + 1) // 2 :] = 0.0  # the Nyquist mode has no sine on the grid
        k = 2 * np.pi * np.arange(len(spectrum)) / length
        c, kappa = (self._number(name, parameters) for name in ("speed", "diffusivity"))
        states = np.stack([sfft.irfft(spectrum * np.exp(-(kappa * k**2 + 1j * k * c) * t), n) for t in self.times])
        return {"concentration": states if len(states) > 1 else states[0]}

    def _number(self, name: str, parameters: Parameters) -> float:
        return float(self.value(name, parameters))
