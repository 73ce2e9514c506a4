"""Helmholtz's equation ``-Laplacian u - k^2 u = f`` with real data, indefinite as soon as k exceeds the lowest resonance."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from sciml.fields import Constant, GaussianRandomField, Law, law_range
from sciml.problems.elliptic import Elliptic
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters


class Helmholtz(Elliptic):
    """Standing waves in a closed box, driven by a source; k is the wavenumber, 2 pi over the local wavelength.

    The equation has no unique solution where k^2 is an eigenvalue of the negative Laplacian under the problem's boundary conditions
    (a resonance). A constant k there is refused when the equation is discretised, and so are waves of fewer than pi cells. A k that
    varies, in space or from sample to sample, may come near a resonance: the solution is then large, and sensitive to k.

    Parameters
    ----------
    source : law of f.
    wavenumber : law of k, a number or a field, not negative.
    """

    outputs: ClassVar = ("amplitude",)

    kind: Literal["helmholtz"] = "helmholtz"
    source: Law = GaussianRandomField()
    wavenumber: Law = Constant(value=10.0)

    @model_validator(mode="after")
    def _not_negative(self) -> Helmholtz:
        low, _ = law_range(self.wavenumber)
        if low < 0:
            raise ValueError(f"wavenumber can reach {low:g}; it must not be negative: raise its lower bound, or take kind = 'smooth_step'")
        return self

    def laws(self) -> dict[str, Any]:
        return {"source": self.source, "wavenumber": self.wavenumber, **self.side_laws()}

    def coefficient(self, parameters: Parameters) -> Array:
        return np.asarray(1.0)

    def reaction(self, parameters: Parameters) -> Array:
        return -(self.value("wavenumber", parameters) ** 2)

    def right_hand_side(self, parameters: Parameters) -> Array:
        return self.value("source", parameters)

    def resonances(self, *, discrete: bool) -> Array:
        """Eigenvalues of the negative Laplacian in the box that the grid resolves, in the grid's shape.

        Products of sines and cosines with 1-D wavenumbers q: ``sum_k q_k^2`` of the equation itself, and where `discrete` those of
        the finite volumes, ``sum_k (2 / h_k sin(q_k h_k / 2))^2``.
        """
        total = np.zeros(self.grid.shape)
        for axis, (n, length, h) in enumerate(zip(self.grid.shape, self.grid.extent, self.grid.spacing, strict=True)):
            q = _wavenumbers(self.boundary_kinds[axis], n, length)
            values = (2 / h * np.sin(q * h / 2)) ** 2 if discrete else q**2
            total += values.reshape((-1,) + (1,) * (self.dimension - axis - 1))
        return total

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        u = jets["amplitude"]
        return -u.laplacian - parameters["wavenumber"].value ** 2 * u.value - parameters["source"].value


def _wavenumbers(pair: tuple[str, str], n: int, length: float) -> Array:
    """The n lowest wavenumbers of standing (or, on a periodic axis, travelling) waves along one axis."""
    k = np.arange(n)
    if pair[0] == "periodic":
        return 2 * np.pi * np.minimum(k, n - k) / length
    if pair == ("dirichlet", "dirichlet"):
        return np.pi * (k + 1) / length
    return np.pi * (k if pair == ("neumann", "neumann") else k + 0.5) / length
