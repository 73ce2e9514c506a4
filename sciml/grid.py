"""The structured cell-centred grid that problems, fields, files and plots share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Axis = Literal["x", "y", "z"]
AXES: tuple[Axis, ...] = ("x", "y", "z")


@dataclass(frozen=True)
class Grid:
    """A box cut into equal cells; fields live at the cell centres, arrays are indexed [x, y(, z)].

    Parameters
    ----------
    shape : cells along each axis, each at least 2.
    extent : side lengths of the box, in the problem's unit of length.
    """

    shape: tuple[int, ...]
    extent: tuple[float, ...]

    def __str__(self) -> str:
        return " x ".join(str(n) for n in self.shape)

    @property
    def dimension(self) -> int:
        return len(self.shape)

    @property
    def axes(self) -> tuple[Axis, ...]:
        return AXES[: self.dimension]

    @property
    def origin(self) -> tuple[float, ...]:
        """Low corner of the box."""
        return (0.0,) * self.dimension

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(length / n for length, n in zip(self.extent, self.shape, strict=True))

    @property
    def volume(self) -> float:
        return math.prod(self.extent)

    def centers(self, axis: int) -> NDArray[np.float64]:
        """Coordinates (j + 1/2) h along one axis."""
        return (np.arange(self.shape[axis], dtype=np.float64) + 0.5) * self.spacing[axis]

    def points(self) -> tuple[NDArray[np.float64], ...]:
        """Coordinates of all cell centres, one array of the grid's shape an axis."""
        return tuple(np.meshgrid(*(self.centers(k) for k in range(self.dimension)), indexing="ij"))

    def without(self, axis: int) -> Grid:
        """The grid of a side that is normal to `axis`."""
        keep = [k for k in range(self.dimension) if k != axis]
        return Grid(tuple(self.shape[k] for k in keep), tuple(self.extent[k] for k in keep))
