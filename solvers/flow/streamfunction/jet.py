"""A streamfunction and those of its derivatives that the steady vorticity equation speaks of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StreamJet:
    """Streamfunction ``psi`` with ``u = psi_y``, ``v = -psi_x`` and ``vorticity = -laplacian``; arrays of one shape."""

    psi: Array
    psi_x: Array
    psi_y: Array
    laplacian: Array
    laplacian_x: Array
    laplacian_y: Array
    bilaplacian: Array

    def __add__(self, other: StreamJet) -> StreamJet:
        return StreamJet(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @property
    def vorticity(self) -> Array:
        return np.asarray(-self.laplacian)

    def vorticity_residual(self, viscosity: float) -> Array:
        """``viscosity Laplacian^2 psi - u . grad Laplacian psi``: the curl of the momentum equation, free of pressure."""
        return np.asarray(viscosity * self.bilaplacian - self.psi_y * self.laplacian_x + self.psi_x * self.laplacian_y)
