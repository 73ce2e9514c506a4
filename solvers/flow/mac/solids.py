"""Faces on and beside solid cells of a staggered grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solvers.flow.mac.kernels import PERIODIC
from solvers.flow.mac.sides import SideValues

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Solids:
    """Numbers of faces in the flat array of a state.

    A face on a solid carries no flow. A tangential velocity half a cell above a solid is slowed down as by a wall: of the ghost value
    ``-u`` inside the solid the compiled loops see zero, and `drags` add what is missing.

    Parameters
    ----------
    solid : cells without fluid, of the grid's shape.
    layers : shape of a state.
    first, last : numbers of the unknowns, see `advance`.
    kinds : see `fill_sides`.
    friction : viscosity over cell size squared, for each of three axes.
    """

    def __init__(
        self, solid: NDArray[np.bool_], layers: tuple[int, ...], first: Numbers, last: Numbers, kinds: Numbers, friction: Array
    ) -> None:
        missing = 3 - solid.ndim
        self.solid = solid
        self.cells = _with_ghosts(solid, kinds)
        number = np.arange(int(np.prod(layers))).reshape(layers)
        closed, walls, drags = [], [], []
        for c in range(solid.ndim):
            axis = c + missing
            beyond = np.roll(self.cells, -1, axis)
            on, within = self.cells | beyond, self.cells & beyond
            unknown = np.zeros(layers[1:], bool)
            unknown[tuple(slice(a, b) for a, b in zip(first[c], last[c], strict=True))] = True
            closed.append(number[c][on & unknown])
            drag = np.zeros(layers[1:])
            for other in range(missing, 3):
                if other != axis:
                    drag += friction[other] * (np.roll(within, 1, other).astype(float) + np.roll(within, -1, other))
            beside = (drag > 0) & ~on & unknown
            walls.append(number[c][beside])
            drags.append(drag[beside])
        self.counts = [len(numbers) for numbers in closed], [len(numbers) for numbers in walls]
        self.closed, self.walls, self.drags = np.concatenate(closed), np.concatenate(walls), np.concatenate(drags)

    def split(self, values: Array, which: int) -> list[Array]:
        """Values for all `closed` (which = 0) or all `walls` (1), component by component."""
        return np.split(values, np.cumsum(self.counts[which])[:-1])

    def refuse_inflow(self, values: SideValues) -> None:
        """Raise ValueError where fluid flows through a side into or out of a solid."""
        missing = 3 - self.solid.ndim
        for axis in range(missing, 3):
            for end in range(2):
                layer = np.take(self.cells, 1 if end == 0 else -2, axis=axis)
                through = np.abs(values.arrays[2 * axis + end][axis - missing])
                if (through[layer] > 0).any():
                    side = f"{'low' if end == 0 else 'high'} side of {'xyz'[axis - missing]}"
                    raise ValueError(f"solid touches the {side}, where the velocity is {through[layer].max():g}: move it, or set that to 0")


def _with_ghosts(solid: NDArray[np.bool_], kinds: Numbers) -> NDArray[np.bool_]:
    """The solid cells on the layers of a state: repeated beyond periodic sides, no others beyond any side."""
    missing = 3 - solid.ndim
    padded = np.pad(solid, 1)
    for axis in range(solid.ndim):
        if kinds[0, axis + missing, 0] == PERIODIC:
            inside = np.moveaxis(padded, axis, 0)
            inside[0], inside[-1] = inside[-2], inside[1]
    return padded.reshape((1,) * missing + padded.shape)
