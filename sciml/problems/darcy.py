"""Steady Darcy flow ``-div(a grad p) = f`` through a random medium."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from sciml.errors import DatasetError
from sciml.fields import BinaryField, Constant, Law, law_range
from sciml.problems.elliptic import Elliptic
from sciml.problems.jet import Jets
from sciml.problems.problem import Array, Parameters


class Darcy(Elliptic):
    """Pressure in a porous medium, in divergence form.

    Parameters
    ----------
    permeability : law of a; its values must be positive.
    source : law of f, the fluid produced per unit volume.
    """

    outputs: ClassVar = ("pressure",)

    kind: Literal["darcy"] = "darcy"
    permeability: Law = BinaryField()
    source: Law = Constant(value=1.0)

    @model_validator(mode="after")
    def _positive(self) -> Darcy:
        refuse_nonpositive_law(self.permeability)
        return self

    def laws(self) -> dict[str, Any]:
        return {"permeability": self.permeability, "source": self.source, **self.side_laws()}

    def check(self, parameters: Parameters) -> None:
        super().check(parameters)
        refuse_nonpositive(self.value("permeability", parameters))

    def coefficient(self, parameters: Parameters) -> Array:
        return self.value("permeability", parameters)

    def reaction(self, parameters: Parameters) -> Array:
        return np.asarray(0.0)

    def right_hand_side(self, parameters: Parameters) -> Array:
        return self.value("source", parameters)

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        return self.residual(jets, parameters)

    @staticmethod
    def residual(jets: Jets, parameters: Jets) -> Any:
        """The strong residual, whatever the domain."""
        pressure, permeability = jets["pressure"], parameters["permeability"]
        assert pressure.gradient is not None
        assert permeability.gradient is not None
        drift = sum(a * p for a, p in zip(permeability.gradient, pressure.gradient, strict=True))
        return -(permeability.value * pressure.laplacian + drift) - parameters["source"].value


def refuse_nonpositive_law(permeability: Law) -> None:
    """Refuse a law that can give zero or less (`ValueError`)."""
    low, _ = law_range(permeability)
    if low < 0 or (low == 0 and permeability.kind != "log_normal"):
        raise ValueError(f"permeability can reach {low:g}; it must be positive: raise its lower bound, or take kind = 'log_normal'")


def refuse_nonpositive(permeability: Array) -> None:
    """Refuse values that are zero or less (`DatasetError`)."""
    smallest = permeability.min()
    if not smallest > 0:
        raise DatasetError(f"parameter 'permeability' reaches {smallest:g}; it must be positive everywhere")
