"""Poisson's equation around solid obstacles: zero flux through their surface, u = 0 on the walls of the box.

The pressure equation of a flow around bodies in an open box. A solid is a set of cells whose faces are closed. Its rows would be null, so
they are pinned to the identity: a right-hand side that vanishes there makes u vanish there, and the matrix stays regular.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from solvers.linear import StencilOperator

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def poisson_around(solid: Mask) -> StencilOperator:
    """``-h^2 Laplace`` by finite volumes on cubic cells of width h, no flux into `solid`, u = 0 on the walls of the box.

    Parameters
    ----------
    solid : True in solid cells; two or three axes. Their rows are those of the identity.

    Raises
    ------
    ValueError : a part of the fluid that no wall of the box touches, where u would be known up to a constant only.
    """
    count = int(np.count_nonzero(enclosed(solid)))
    if count > 0:
        raise ValueError(f"solid encloses {count} cells of fluid that no wall of the box touches: make them solid too")
    fluid = ~solid
    faces = []
    for axis in range(solid.ndim):
        cells = np.moveaxis(fluid, axis, 0)
        # the walls of the box lie half a cell away
        face = np.concatenate([2.0 * cells[:1], 1.0 * (cells[1:] & cells[:-1]), 2.0 * cells[-1:]])
        faces.append(np.ascontiguousarray(np.moveaxis(face, 0, axis)))
    return StencilOperator(tuple(faces), solid.astype(np.float64), (False,) * solid.ndim)


def enclosed(solid: Mask) -> Mask:
    """The parts of the fluid that touch no wall of the box."""
    parts, _ = ndimage.label(~solid)
    at_walls = [np.take(parts, end, axis=axis).ravel() for axis in range(solid.ndim) for end in (0, -1)]
    return np.asarray((parts > 0) & ~np.isin(parts, np.concatenate(at_walls)))


def random_solids(shape: tuple[int, ...], rng: np.random.Generator, *, bodies: int = 6) -> Mask:
    """Boxes and ellipsoids at random places, each axis with a half width of 4 to 15 % of the box; what they enclose is solid too."""
    centres = np.meshgrid(*[(np.arange(n) + 0.5) / n for n in shape], indexing="ij")
    solid = np.zeros(shape, dtype=np.bool_)
    for _ in range(bodies):
        middle, half_width = rng.uniform(0.1, 0.9, len(shape)), rng.uniform(0.04, 0.15, len(shape))
        away = [np.abs(x - m) / w for x, m, w in zip(centres, middle, half_width, strict=True)]
        solid |= (np.max(away, axis=0) if rng.random() < 0.5 else np.linalg.norm(away, axis=0)) < 1
    return np.asarray(solid | enclosed(solid))
