"""A network that proposes directions for `solvers.linear.ConjugateDirections`: a V-cycle whose convolutions are learned.

After Kaneda, Akar, Chen, Kala, Hyde and Teran (2023, "A deep conjugate direction method for iteratively solving linear systems"), with
two departures. The grid is coarsened until it has four to seven cells along its shortest axis, and all levels share their weights, so
that the field of view grows with the grid: a fixed number of levels cannot serve grids of any size. And beside the residual the network
is told the coefficients of the operator, averaged from level to level: every smoothing step convolves the *current* residual
``(r - A_l z) / diag(A_l)``, which is how it knows about obstacles without having seen one. All layers are linear in the residual,
so that the proposal is homogeneous, and there are no more than a few dozen weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

Array = NDArray[np.float64]

#: Weights start as damped Jacobi steps and piecewise constant transfers, disturbed by uniform noise of this size.
_DAMPING, _NOISE = 0.5, 0.15
_POOL = {2: functional.avg_pool2d, 3: functional.avg_pool3d}
_CONV = {2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}


@dataclass(frozen=True, eq=False)
class Level:
    """A diffusion operator on one grid, mesh width 1, all tensors of shape (1, 1, *grid) but for `links`.

    Attributes
    ----------
    links : transmissibilities between neighbours, one tensor an axis, one entry fewer along it.
    walls : transmissibilities to where the solution is 0, summed over the faces of a cell.
    reaction : coefficient of the undifferentiated term.
    fluid : part of the cell that is not solid, from 0 to 1.
    """

    links: tuple[torch.Tensor, ...]
    walls: torch.Tensor
    reaction: torch.Tensor
    fluid: torch.Tensor

    @property
    def dimension(self) -> int:
        return len(self.links)

    @cached_property
    def inverse_diagonal(self) -> torch.Tensor:
        """``1 / diag(A)``, and 0 in cells that are all solid."""
        diagonal = self.walls + self.reaction
        for axis, link in enumerate(self.links):
            diagonal = diagonal + _widen(link, axis, 1, 0) + _widen(link, axis, 0, 1)
        return torch.where((self.fluid > 0) & (diagonal > 0), 1 / diagonal, 0.0)

    @cached_property
    def inside(self) -> torch.Tensor:
        """1 in cells that are not all solid, 0 in the others."""
        return (self.fluid > 0).float()

    @cached_property
    def weight(self) -> torch.Tensor:
        """What bilinear interpolation from this level makes of `fluid` on the next finer one: to divide by."""
        return _TRANSPOSED[self.dimension](self.fluid, _bilinear(self.dimension), stride=2, padding=1)

    def apply(self, z: torch.Tensor) -> torch.Tensor:
        """``A z`` for z of shape (batch, 1, *grid)."""
        out = (self.walls + self.reaction) * z
        for axis, link in enumerate(self.links):
            length = link.shape[2 + axis]
            flux = link * (z.narrow(2 + axis, 1, length) - z.narrow(2 + axis, 0, length))
            out = out + _widen(flux, axis, 1, 0) - _widen(flux, axis, 0, 1)
        return out

    def coarser(self) -> Level:
        """The same equation on cells of twice the width, again with mesh width 1, for right-hand sides that are summed over 2^(d-2) cells.

        A link crosses 2^(d-1) faces side by side and is twice as long, which in these units leaves their mean. So does a wall, counted
        over half as many cells across; a reaction gains the factor 4 that the second difference loses.
        """
        pool, d = _POOL[self.dimension], self.dimension
        links = []
        for axis, link in enumerate(self.links):
            between = link.index_select(2 + axis, torch.arange(1, link.shape[2 + axis], 2))
            links.append(pool(between, [1 if k == axis else 2 for k in range(d)]))
        return Level(tuple(links), 2 * pool(self.walls, 2), 4 * pool(self.reaction, 2), pool(self.fluid, 2))


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """An operator on all grids of the network's V-cycle.

    Attributes
    ----------
    levels : from the finest to the coarsest.
    shape : of the operator's grid, which the finest level may exceed: it is filled up with solid cells to be halved often enough.
    isolated : inverse of the diagonal in cells that have no neighbours, solid ones that are pinned; 0 elsewhere.
    """

    levels: tuple[Level, ...]
    shape: tuple[int, ...]
    isolated: torch.Tensor


def coarsen(faces: Sequence[Array], reaction: Array) -> Hierarchy:
    """The hierarchy of a `solvers.linear.StencilOperator` without periodic sides, given by its arrays.

    Cells without neighbours count as solid. There are floor(log2 n) - 1 levels, at least one, for n cells along the shortest axis.
    """
    shape = reaction.shape
    neighbours, walls = np.zeros(shape), np.zeros(shape)
    links = []
    for axis, face in enumerate(faces):
        face = np.moveaxis(face, axis, 0)
        own, wall = np.moveaxis(neighbours, axis, 0), np.moveaxis(walls, axis, 0)
        own[1:] += face[1:-1]
        own[:-1] += face[1:-1]
        wall[0] += face[0]
        wall[-1] += face[-1]
        links.append(np.moveaxis(face[1:-1], 0, axis))
    fluid = neighbours > 0
    scale = float(neighbours.sum() / max(2 * sum(np.count_nonzero(link) for link in links), 1)) or 1.0
    alone = np.where(fluid, 0.0, (walls + reaction) / scale)
    halvings = max(min(shape).bit_length() - 3, 0)
    missing = [-n % 2**halvings for n in shape]

    def filled(array: Array) -> torch.Tensor:
        return torch.from_numpy(np.pad(array, [(0, m) for m in missing]).astype(np.float32))[None, None]

    inner, outer = (filled(np.where(fluid, part / scale, 0.0)) for part in (reaction, walls))
    levels = [Level(tuple(filled(link / scale) for link in links), outer, inner, filled(fluid.astype(np.float64)))]
    for _ in range(halvings):
        levels.append(levels[-1].coarser())
    isolated = np.divide(1.0, alone, out=np.zeros(shape), where=alone > 0)
    return Hierarchy(tuple(levels), shape, torch.from_numpy(isolated.astype(np.float32)).reshape(1, 1, *shape))


class DirectionNet(nn.Module):
    """Residuals (batch, 1, *grid) and a hierarchy of their grid to directions of the same shape, for grids of any size.

    Kernels of width 3 smooth, kernels of width 4 and stride 2 take to the next grid and back; all have the symmetries of a square or
    cube, which leaves d + 1 weights each.

    Parameters
    ----------
    dimension : 2 or 3.
    smoothing : convolutions before and after the coarse correction on each level.
    coarse : convolutions on the coarsest level.
    """

    def __init__(self, dimension: int, smoothing: int, coarse: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.before, self.after, self.coarsest = (
            nn.Parameter(torch.empty(count, dimension + 1)) for count in (smoothing, smoothing, coarse)
        )
        self.restriction, self.prolongation = (nn.Parameter(torch.empty(1, dimension + 1)) for _ in range(2))
        self._draw()

    @torch.no_grad()
    def _draw(self) -> None:
        """Random weights from torch's global generator."""
        for weights in (self.before, self.after, self.coarsest):
            weights.uniform_(-_NOISE, _NOISE)
            weights[:, 0] += _DAMPING
        for weights, height in ((self.restriction, 4 / 2**self.dimension), (self.prolongation, 1.0)):
            weights.uniform_(-_NOISE * height, _NOISE * height)
            weights[:, 0] += height

    def forward(self, r: torch.Tensor, hierarchy: Hierarchy) -> torch.Tensor:
        d, shape = self.dimension, hierarchy.shape
        finest = hierarchy.levels[0].fluid.shape[2:]
        margins = [m for axis in reversed(range(d)) for m in (0, finest[axis] - shape[axis])]
        kernels = {name: _kernels(weights, 3) for name, weights in self.named_parameters() if name in ("before", "after", "coarsest")}
        kernels |= {name: _kernels(weights, 4) for name, weights in self.named_parameters() if name not in kernels}
        z = _cycle(functional.pad(r, margins) * hierarchy.levels[0].inside, hierarchy.levels, kernels)
        for axis in range(d):
            z = z.narrow(2 + axis, 0, shape[axis])
        return z + hierarchy.isolated * r


def _cycle(r: torch.Tensor, levels: Sequence[Level], kernels: Mapping[str, torch.Tensor]) -> torch.Tensor:
    level, d = levels[0], levels[0].dimension
    if len(levels) == 1:
        return _smooth(level, torch.zeros_like(r), r, kernels["coarsest"])
    z = _smooth(level, torch.zeros_like(r), r, kernels["before"])
    coarse = levels[1]
    residual = (r - level.apply(z)) * level.inside
    correction = _cycle(_CONV[d](residual, kernels["restriction"], stride=2, padding=1) * coarse.inside, levels[1:], kernels)
    spread = _TRANSPOSED[d](correction * coarse.fluid, kernels["prolongation"], stride=2, padding=1)
    # normalised convolution (Knutsson and Westin 1993): solid coarse cells have no value to interpolate from
    z = z + level.inside * spread / coarse.weight.clamp_min(1e-3)
    return _smooth(level, z, r, kernels["after"])


def _smooth(level: Level, z: torch.Tensor, r: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    for kernel in kernels:
        z = z + level.inside * _CONV[level.dimension]((r - level.apply(z)) * level.inverse_diagonal, kernel[None], padding=1)
    return z


def _kernels(weights: torch.Tensor, width: int) -> torch.Tensor:
    """Kernels (count, 1, width, ...) with the symmetries of a square or cube from weights (count, d + 1).

    Weight k stands wherever k coordinates are away from the middle: in two dimensions those of centre, edges and corners.
    """
    outer = (torch.arange(width) != (width - 1) // 2) & (torch.arange(width) != width // 2)
    d = weights.shape[1] - 1
    away = sum(outer.long().reshape([width if k == axis else 1 for k in range(d)]) for axis in range(d))
    return weights[:, away][:, None]


def _bilinear(dimension: int) -> torch.Tensor:
    """Kernel of (bi-, tri-)linear interpolation from cell centres to those of half the width."""
    ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = ramp
    for _ in range(dimension - 1):
        kernel = kernel[..., None] * ramp
    return kernel[None, None]


def _widen(values: torch.Tensor, axis: int, low: int, high: int) -> torch.Tensor:
    """Zeros added at the ends of a grid axis."""
    margins = [0, 0] * (values.ndim - 2)
    place = 2 * (values.ndim - 3 - axis)
    margins[place : place + 2] = [low, high]
    return functional.pad(values, margins)
