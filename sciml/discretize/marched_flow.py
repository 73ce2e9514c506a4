"""What a problem of steady flow becomes once space is discretised.

Fields are kept in the cell centres, where a velocity is the mean of two faces. Since the velocity on one side is known, the faces come
back from their means, which is where the check of stored fields starts from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.flow import MACFlow, MACHistory

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MarchedFlow:
    """A flow whose steady state is sought from rest.

    Attributes
    ----------
    flow : the equations on the grid.
    inflow : velocity along x through the low side of x; none passes the low side of y.
    """

    flow: MACFlow
    inflow: ArrayLike = 0.0

    @property
    def decay(self) -> float:
        """A rate below that of the slowest perturbation: a quarter of the diffusion's across the box."""
        return self.flow.viscosity * (math.pi / min(self.flow.extent)) ** 2 / 4

    def unpack(self, history: MACHistory) -> dict[str, Array]:
        """Velocity and pressure in the cell centres at the last time."""
        u, v = history.centred()
        return {"velocity_x": u, "velocity_y": v, "pressure": history.pressure[-1]}

    def faces(self, fields: Mapping[str, Array]) -> list[Array]:
        """The velocity on faces whose means are given, from its known values on the low sides on."""
        found = []
        for c, (name, first) in enumerate((("velocity_x", self.inflow), ("velocity_y", 0.0))):
            means = np.moveaxis(np.asarray(fields[name], np.float64), c, 0)
            face = np.empty((len(means) + 1, *means.shape[1:]))
            face[0] = first
            for k, mean in enumerate(means):
                face[k + 1] = 2 * mean - face[k]
            found.append(np.moveaxis(face, 0, c))
        return found
