"""Viscous Burgers equation ``u_t + u u_x = nu u_xx`` on a periodic interval.

With a Gaussian random initial velocity and nu = 0.1 it is the one-dimensional benchmark of Li et al. (2021, "Fourier neural
operator for parametric partial differential equations", section 5.1): u0 from N(0, 625 (-Laplacian + 25)^-2), state at time 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import scipy.fft as sfft
from pydantic import model_validator

from sciml.errors import DatasetError
from sciml.fields import Constant, GaussianRandomField, Law, law_range
from sciml.problems.boundary import Boundary, Periodic
from sciml.problems.evolving import Evolving
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters
from sciml.problems.strong_form import StrongForm
from sciml.problems.transport import Transport

#: Share of the fluctuations that the upper third of the resolved wavenumbers may hold. The energy of a resolved viscous flow falls
#: exponentially there, so that what lies beyond the grid is smaller still.
LARGEST_TAIL = 1e-4
_FINEST_POINTS = 1 << 16
_LARGEST_EXPONENT = 25.0


class Burgers(Evolving):
    """Velocity at one or several times, from the velocity at time 0.

    Parameters
    ----------
    initial_velocity : law of u0. The default is the benchmark's: `GaussianRandomField` has the covariance amplitude^2 tau^(2 alpha - d)
        (-Laplacian + tau^2)^(-alpha), so that tau = 5, alpha = 2 and d = 1 give 125 amplitude^2, and 625 takes amplitude = sqrt(5).
    viscosity : law of nu, a positive number.
    """

    outputs: ClassVar = ("velocity",)

    kind: Literal["burgers"] = "burgers"
    dimension: Literal[1] = 1
    boundary: Boundary = Boundary(x_low=Periodic(), x_high=Periodic())
    initial_velocity: Law = GaussianRandomField(alpha=2.0, tau=5.0, boundary="periodic", amplitude=5**0.5)
    viscosity: Law = Constant(value=0.1)

    @model_validator(mode="after")
    def _periodic_and_viscous(self) -> Self:
        if self.boundary.x_low.kind != "periodic":
            raise ValueError(f"boundary.x_low is {self.boundary.x_low.kind}: problem 'burgers' is periodic, leave its boundary out")
        if self.viscosity.kind not in ("constant", "uniform") or law_range(self.viscosity)[0] <= 0:
            raise ValueError("viscosity must be a positive number: give a constant or a uniform law with a positive lower bound")
        return self

    def laws(self) -> dict[str, Any]:
        return {"initial_velocity": self.initial_velocity, "viscosity": self.viscosity}

    @property
    def symmetries(self) -> tuple[str, ...]:
        """None of the group's kinds: a mirror image solves the equation only with the opposite sign."""
        return ()

    def strong_form(self, parameters: Parameters) -> StrongForm:
        return self.evolving_form(parameters, "initial_velocity", ())

    def transport(self, parameters: Parameters) -> Transport:
        viscosity = float(self.value("viscosity", parameters))
        return Transport((0.0, 1.0), viscosity, self.profile("initial_velocity", parameters), self.grid.extent[0])

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        u = jets["velocity"]
        assert u.gradient is not None
        return u.time_derivative + u.value * u.gradient[0] - parameters["viscosity"].value * u.laplacian

    def refuse_unresolved(self, fields: Mapping[str, Array]) -> None:
        spectrum = np.abs(sfft.rfft(np.atleast_2d(np.asarray(fields["velocity"], np.float64)), axis=-1))[:, 1:]
        upper = spectrum[:, 2 * spectrum.shape[1] // 3 :]
        share = np.linalg.norm(upper, axis=1) / np.maximum(np.linalg.norm(spectrum, axis=1), np.finfo(float).tiny)
        if share.max() > LARGEST_TAIL:
            raise DatasetError(
                f"the upper third of the wavenumbers of 'velocity' holds {share.max():.1e} of it, more than {LARGEST_TAIL:g}: resolution = "
                f"{self.resolution[0]} is too coarse for its steepest front, raise problem.resolution or the viscosity"
            )

    def exact(self, parameters: Parameters) -> dict[str, Array] | None:
        """The Cole-Hopf solution (Hopf 1950, Cole 1951); None where the viscosity is too small for its exponentials.

        With m the mean of u0 and v = u - m in the frame that moves with m, ``v = -2 nu (log phi)_x`` where phi solves the heat equation
        from ``exp(-(1 / (2 nu)) integral of v0)``. All steps are spectral, on a grid fine enough for phi, u0 being the trigonometric
        interpolant of its samples.
        """
        u0, nu = (
            np.array(np.broadcast_to(self.value("initial_velocity", parameters), self.grid.shape)),
            float(self.value("viscosity", parameters)),
        )
        (n,), (length,) = self.grid.shape, self.grid.extent
        fine = n * max(1, min(16, _FINEST_POINTS // n))
        spectrum = sfft.rfft(u0, norm="forward")[: (n + 1) // 2]  # without the Nyquist mode, which has no sine on the grid
        k = 2 * np.pi * np.arange(fine // 2 + 1) / length
        mean, integral = spectrum[0].real, np.zeros(fine // 2 + 1, complex)
        integral[1 : len(spectrum)] = spectrum[1:] / (1j * k[1 : len(spectrum)])
        exponent = -sfft.irfft(integral, fine, norm="forward") / (2 * nu)
        if np.ptp(exponent) > _LARGEST_EXPONENT:
            return None
        phi = sfft.rfft(np.exp(exponent - exponent.max()), norm="forward")
        states = []
        for t in self.times:
            later = phi * np.exp(-nu * k**2 * t - 1j * k * mean * t)
            slope = sfft.irfft(1j * np.where(2 * np.arange(len(k)) == fine, 0.0, k) * later, fine, norm="forward")
            v = -2 * nu * slope / sfft.irfft(later, fine, norm="forward")
            states.append(mean + v[:: fine // n])
        return {"velocity": np.stack(states) if len(states) > 1 else states[0]}
