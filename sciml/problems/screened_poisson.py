"""Screened Poisson (modified Helmholtz) equation ``-Laplacian u + c u = f``."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from sciml.fields import Constant, GaussianRandomField, Law, law_range
from sciml.problems.elliptic import Elliptic
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters


class ScreenedPoisson(Elliptic):
    """Potential of a source in a screening medium; sqrt(1/c) is the screening length.

    Parameters
    ----------
    source : law of f.
    screening : law of c, not negative.
    """

    outputs: ClassVar = ("potential",)

    kind: Literal["screened_poisson"] = "screened_poisson"
    source: Law = GaussianRandomField()
    screening: Law = Constant(value=100.0)

    @model_validator(mode="after")
    def _not_negative(self) -> ScreenedPoisson:
        low, _ = law_range(self.screening)
        if low < 0:
            raise ValueError(f"screening can reach {low:g}; it must not be negative: raise its lower bound")
        return self

    def laws(self) -> dict[str, Any]:
        return {"source": self.source, "screening": self.screening, **self.side_laws()}

    def coefficient(self, parameters: Parameters) -> Array:
        return np.asarray(1.0)

    def reaction(self, parameters: Parameters) -> Array:
        return self.value("screening", parameters)

    def right_hand_side(self, parameters: Parameters) -> Array:
        return self.value("source", parameters)

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        u = jets["potential"]
        return -u.laplacian + parameters["screening"].value * u.value - parameters["source"].value
