"""Incompressible Navier-Stokes equations in a periodic rectangle, by the vorticity.

    w_t + u . grad w = nu Laplacian w - mu w + curl f,    u = (psi_y, -psi_x),    -Laplacian psi = w.

One declaration stands for the forced flow that operator learning takes as its standard (Li et al. 2021, "Fourier neural operator for
parametric partial differential equations", section 5.3), for Kolmogorov flow and for decaying turbulence: they differ in initial law and
forcing. The vorticity field alone determines the flow; its velocity has mean zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import scipy.fft as sfft
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sciml.errors import DatasetError
from sciml.fields import Constant, GaussianRandomField, Law, McWilliamsVorticity, Positive, law_range
from sciml.problems.boundary import Boundary, Periodic
from sciml.problems.evolving import Evolving
from sciml.problems.jet import Jets
from sciml.problems.problem import Array

#: Share of the vorticity that the upper third of the resolved wavenumbers may hold. In a resolved viscous flow the spectrum falls
#: exponentially there, so that what lies beyond the grid is smaller still.
LARGEST_TAIL = 1e-2


class _Forcing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoForcing(_Forcing):
    """A flow that is left to itself."""

    kind: Literal["none"] = "none"

    def curl(self, x: Any, y: Any, extent: tuple[float, ...]) -> Any:
        return 0.0 * (x + y)


class DiagonalForcing(_Forcing):
    """``curl f = amplitude (sin s + cos s)`` with s = 2 pi (x / Lx + y / Ly), that of Li et al. (2021) for amplitude = 0.1."""

    kind: Literal["diagonal"] = "diagonal"
    amplitude: Positive = 0.1

    def curl(self, x: Any, y: Any, extent: tuple[float, ...]) -> Any:
        s = 2 * np.pi * (x / extent[0] + y / extent[1])
        return self.amplitude * (np.sin(s) + np.cos(s))


class KolmogorovForcing(_Forcing):
    """``f = amplitude sin(k y) e_x`` with k = 2 pi waves / Ly, hence ``curl f = -amplitude k cos(k y)``.

    Its laminar flow is u = amplitude sin(k y) / (nu k^2 + mu).
    """

    kind: Literal["kolmogorov"] = "kolmogorov"
    waves: Annotated[int, Field(ge=1, le=1024)] = 4
    amplitude: Positive = 1.0

    def curl(self, x: Any, y: Any, extent: tuple[float, ...]) -> Any:
        k = 2 * np.pi * self.waves / extent[1]
        return -self.amplitude * k * np.cos(k * y) + 0.0 * x


Forcing = Annotated[NoForcing | DiagonalForcing | KolmogorovForcing, Field(discriminator="kind")]
Vorticity = Annotated[GaussianRandomField | McWilliamsVorticity, Field(discriminator="kind")]


class NavierStokes(Evolving):
    """Vorticity at one or several times, from the vorticity at time 0.

    Parameters
    ----------
    initial_vorticity : law of w0: `GaussianRandomField` with periodic boundary, by default that of the published *code* (see there),
        or `McWilliamsVorticity`.
    viscosity : law of nu, a positive number.
    drag : law of mu, a number that is not negative.
    forcing : `NoForcing`, `DiagonalForcing` or `KolmogorovForcing`.
    """

    outputs: ClassVar = ("vorticity",)

    kind: Literal["navier_stokes"] = "navier_stokes"
    dimension: Literal[2] = 2
    boundary: Boundary = Boundary(x_low=Periodic(), x_high=Periodic(), y_low=Periodic(), y_high=Periodic())
    initial_vorticity: Vorticity = GaussianRandomField(alpha=2.5, tau=7.0, boundary="periodic")
    viscosity: Law = Constant(value=1e-3)
    drag: Law = Constant(value=0.0)
    forcing: Forcing = DiagonalForcing()

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if any(kinds != ("periodic", "periodic") for kinds in self.boundary_kinds):
            raise ValueError("boundary has sides that are not periodic: problem 'navier_stokes' is periodic, leave its boundary out")
        if min(self.resolution) < 4:
            raise ValueError(f"resolution = {list(self.resolution)} holds no waves: take at least 4 cells along each axis")
        if isinstance(self.initial_vorticity, GaussianRandomField) and self.initial_vorticity.boundary != "periodic":
            raise ValueError("initial_vorticity does not repeat over the periodic sides: set its boundary = 'periodic'")
        if isinstance(self.forcing, KolmogorovForcing) and 2 * self.forcing.waves >= self.resolution[1]:
            what = f"forcing.waves = {self.forcing.waves} is too short for {self.resolution[1]} cells along y"
            raise ValueError(f"{what}: take resolution = {2 * self.forcing.waves + 1} at least, or fewer waves")
        for name, lowest, what in (("viscosity", 0.0, "positive"), ("drag", -1e-300, "not negative")):
            law = getattr(self, name)
            if law.kind not in ("constant", "uniform") or law_range(law)[0] <= lowest:
                raise ValueError(f"{name} must be a number that is {what}: give a constant or a uniform law with such a lower bound")
        return self

    def laws(self) -> dict[str, Any]:
        return {"initial_vorticity": self.initial_vorticity, "viscosity": self.viscosity, "drag": self.drag}

    @property
    def symmetries(self) -> tuple[str, ...]:
        """None of the group's kinds: a mirror image solves the equations only with the opposite sign."""
        return ()

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        """`jets` hold that of the streamfunction too, `parameters` that of ``curl f`` as ``forcing``."""
        w, psi = jets["vorticity"], jets["streamfunction"]
        assert w.gradient is not None
        assert psi.gradient is not None
        convection = psi.gradient[1] * w.gradient[0] - psi.gradient[0] * w.gradient[1]
        friction = parameters["drag"].value * w.value - parameters["viscosity"].value * w.laplacian
        return w.time_derivative + convection + friction - parameters["forcing"].value

    def refuse_unresolved(self, fields: Mapping[str, Array]) -> None:
        w = np.asarray(fields["vorticity"], np.float64)
        nx, ny = w.shape[-2:]
        spectrum = np.abs(sfft.fft2(w.reshape(-1, nx, ny)))
        upper = np.maximum(np.abs(sfft.fftfreq(nx))[:, None], np.abs(sfft.fftfreq(ny))[None, :]) > 1 / 3
        whole = np.linalg.norm(spectrum, axis=(1, 2))
        share = np.linalg.norm(spectrum[:, upper], axis=1) / np.maximum(whole, np.finfo(float).tiny)
        if share.max() > LARGEST_TAIL:
            raise DatasetError(
                f"the upper third of the wavenumbers of 'vorticity' holds {share.max():.1e} of it, more than {LARGEST_TAIL:g}: "
                f"resolution = {list(self.resolution)} is too coarse for its thinnest filaments, raise problem.resolution, "
                "data.oversampling or the viscosity"
            )
