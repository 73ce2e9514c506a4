"""Coarse grids for structured operators: operator-dependent interpolation and Galerkin products, for one to three dimensions.

A coarse grid keeps the cells with even numbers of every coarsened axis. A cell between two of them takes their values weighed by its
own equation, summed over the axes along which it does not lie between coarse cells (black-box multigrid: Dendy, "Black box multigrid",
J. Comput. Phys. 48 (1982), sections 2 and 3): linear where the coefficient is smooth, flux-continuous where it jumps, falling to
zero towards a Dirichlet wall. The coarse operator is P^T A P. It couples a cell with all its 3^d - 1 neighbours; since it is symmetric
each pair is stored once, at the elementwise smaller of the two positions. Where a periodic axis has an odd number of cells the first and
the last one are both kept: at this seam two coarse cells are as close as fine ones.

Arrays are padded with one ghost cell at both ends of every axis of the problem. All sums run over flat arrays, ghosts included, so that a
neighbour is a constant distance away and loops are long: fine arrays are first split into one coarse-shaped array for each child of a
coarse cell. What is computed for ghosts is overwritten at the end. This module says where everything lies, as tables of integers, once
for a grid; `solvers.linear.multigrid_setup` computes from them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.linear.compiled import kernel

Array = NDArray[Any]
Offset = tuple[int, int, int]

_SEAM = 2

#: One of each pair of opposite neighbours; a coupling array per entry, after the diagonal.
_HALF: tuple[Offset, ...] = tuple((x, y, z) for x, y, z in itertools.product((-1, 0, 1), repeat=3) if (x, y, z) > (0, 0, 0))


@dataclass(frozen=True)
class Layout:
    """Where the cells of a grid of up to three axes lie in padded arrays; absent leading axes have one cell and no padding."""

    shape: tuple[int, int, int]
    dimension: int
    periodic: tuple[bool, bool, bool]

    @cached_property
    def pads(self) -> tuple[int, int]:
        """Ghost rows below the first row along the two leading axes."""
        return int(self.dimension == 3), int(self.dimension >= 2)

    @cached_property
    def row_stride(self) -> int:
        """Rows from one plane to the next."""
        return self.shape[1] + 2 * self.pads[1]

    @cached_property
    def rows(self) -> int:
        return (self.shape[0] + 2 * self.pads[0]) * self.row_stride

    @cached_property
    def array_shape(self) -> tuple[int, int]:
        return self.rows, self.shape[2] + 2

    @cached_property
    def size(self) -> int:
        """Entries of an array, ghosts included."""
        return self.rows * self.array_shape[1]

    @cached_property
    def span(self) -> tuple[int, int]:
        """Flat positions of the first cell and behind the last one."""
        first = (self.pads[0] * self.row_stride + self.pads[1]) * self.array_shape[1] + 1
        return first, self.size - first

    def distance(self, offset: Offset) -> int:
        """Flat distance of a neighbour."""
        return (offset[0] * self.row_stride + offset[1]) * self.array_shape[1] + offset[2]

    def ends(self, stored: tuple[Offset, ...]) -> NDArray[np.int64]:
        """Flat distances of the two cells of each coupling from where it is stored, the smaller of their positions."""
        corners = [(max(0, -x), max(0, -y), max(0, -z)) for x, y, z in stored]
        return np.array([(self.distance(c), self.distance(c) + self.distance(o)) for c, o in zip(corners, stored, strict=True)])

    @cached_property
    def real(self) -> NDArray[np.int64]:
        """Flat position of the cell that each entry stands for: itself, the opposite cell for a periodic ghost, 0 for others."""
        position = np.zeros(self.array_shape, np.int64)
        self.inside(position)[...] = self.inside(np.arange(self.size))
        fill_ghosts(position, self.numbers)
        return position.ravel()

    @cached_property
    def cells(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """The layout as the kernels read it."""
        return np.array([*self.shape, *self.pads, self.row_stride, *self.periodic], dtype=np.int64)

    def coarsened(self, axes: tuple[bool, bool, bool]) -> Layout:
        x, y, z = ((n + 1) // 2 if coarsen else n for n, coarsen in zip(self.shape, axes, strict=True))
        return Layout((x, y, z), self.dimension, self.periodic)

    def inside(self, array: Array, shift: tuple[int, ...] = (0, 0, 0)) -> Array:
        """View of the cells without the ghosts, or of their neighbours at `shift`, in the grid's shape."""
        px, py = self.pads
        full = array.reshape(self.shape[0] + 2 * px, self.row_stride, self.shape[2] + 2)
        begin = (px + shift[0], py + shift[1], 1 + shift[2])
        return full[tuple(slice(b, b + n) for b, n in zip(begin, self.shape, strict=True))]


def couplings(dimension: int) -> tuple[Offset, ...]:
    """Neighbours with a coupling array of their own, in the order of storage; the star of level 0 has one an axis, last axis first."""
    return tuple(o for o in _HALF if not any(o[: 3 - dimension]))


def star(dimension: int) -> tuple[Offset, ...]:
    return ((0, 0, 1), (0, 1, 0), (1, 0, 0))[:dimension]


@dataclass(frozen=True)
class Coarsening:
    """How a grid is coarsened: `stored` are the neighbours with a coupling array on the fine grid."""

    fine: Layout
    axes: tuple[bool, bool, bool]
    stored: tuple[Offset, ...]

    @cached_property
    def coarse(self) -> Layout:
        return self.fine.coarsened(self.axes)

    @cached_property
    def children(self) -> tuple[Offset, ...]:
        """Offsets from twice a coarse cell to the fine cells that may take its value."""
        return tuple(itertools.product(*((-1, 0, 1) if coarsen else (0,) for coarsen in self.axes)))  # type: ignore[arg-type]

    @cached_property
    def seams(self) -> tuple[bool, bool, bool]:
        """Coarsened axes on which the first and the last cell are neighbours and both kept."""
        x, y, z = (c and p and n % 2 == 1 for c, p, n in zip(self.axes, self.fine.periodic, self.fine.shape, strict=True))
        return x, y, z

    @cached_property
    def masked(self) -> tuple[Offset, ...]:
        """Children with `_SEAM` in place of 0: their weights are those of the child itself in the last cells of that axis, 0 elsewhere."""
        ranges = [
            (-1, 0, 1, _SEAM) if seam else (-1, 0, 1) if coarsen else (0,) for seam, coarsen in zip(self.seams, self.axes, strict=True)
        ]
        return tuple(child for child in itertools.product(*ranges) if _SEAM in child)  # type: ignore[misc]

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """What interpolation writes by hand at seams, in order: rows (child, source, first and last cell behind it an axis).

        With source -1 the weights of a child become 0 in a box: the cell beyond a seam is itself a coarse one. Else they are those of
        `source` there and 0 elsewhere.
        """
        shape, found = self.coarse.shape, []
        for axis in np.flatnonzero(self.seams):
            for number, child in enumerate(self.children):
                if child[axis]:
                    low, high = [0, 0, 0], list(shape)
                    low[axis], high[axis] = (0, 1) if child[axis] < 0 else (shape[axis] - 1, shape[axis])
                    found.append((number, -1, *low, *high))
        for number, child in enumerate(self.masked, start=len(self.children)):
            own = self.children.index(tuple(0 if c == _SEAM else c for c in child))
            low = [n - 1 if c == _SEAM else 0 for c, n in zip(child, shape, strict=True)]
            found.append((number, own, *low, *shape))
        return np.array(found, np.int64).reshape(-1, 8)

    @cached_property
    def parts(self) -> tuple[Offset, ...]:
        """Positions of fine cells relative to twice their coarse cell: the arrays that a fine array is split into."""
        return tuple(itertools.product(*((0, 1) if coarsen else (0,) for coarsen in self.axes)))  # type: ignore[arg-type]

    @cached_property
    def transfers(self) -> NDArray[np.int64]:
        """One row (part, child, flat distance) a child, ordered by part: cell ``2 J + child`` is entry ``J + distance`` of that part."""
        return np.array(sorted((row, number, at) for number, (row, at) in enumerate(map(self.locate, self.children))))

    def locate(self, child: Offset, number: int = 0, corner: Offset = (0, 0, 0)) -> tuple[int, int]:
        """(row, flat distance) of fine entry `number` at ``2 J + child + corner`` in split arrays, shape (entries, parts, coarse.size)."""
        places = [c + e for c, e in zip(child, corner, strict=True)]
        bits = tuple(place % 2 if coarsen else 0 for place, coarsen in zip(places, self.axes, strict=True))
        x, y, z = (place // 2 if coarsen else place for place, coarsen in zip(places, self.axes, strict=True))
        return number * len(self.parts) + self.parts.index(bits), self.coarse.distance((x, y, z))

    @cached_property
    def interpolation_terms(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Per child, those between fewest coarse cells first: its number and where its centre and its terms end; the entries
        (row, distance) that add up to centres; the terms (row, distance, child nearer to the coarse cell, whose weight is the factor)."""
        known = _entries(self.stored)
        numbered = {child: number for number, child in enumerate(self.children)}
        bounds: list[tuple[int, ...]] = []
        centre: list[tuple[int, ...]] = []
        terms: list[tuple[int, ...]] = []
        for child in sorted(numbered, key=lambda c: sum(map(abs, c))):
            if child == (0, 0, 0):  # its weight is 1
                bounds.append((numbered[child], 0, 0))
                continue
            free = [(-1, 0, 1) if c == 0 else (0,) for c in child]
            centre += [self.locate(child, *known[s]) for s in itertools.product(*free) if s in known]
            for towards in itertools.product(*((0, -c) if c else (0,) for c in child)):
                if any(towards):
                    nearer = numbered[tuple(c + t for c, t in zip(child, towards, strict=True))]  # type: ignore[index]
                    across = itertools.product(*((-1, 0, 1) if c == 0 else (t,) for c, t in zip(child, towards, strict=True)))
                    terms += [(*self.locate(child, *known[s]), nearer) for s in across if s in known]
            bounds.append((numbered[child], len(centre), len(terms)))
        return np.array(bounds), np.array(centre), np.array(terms)

    @cached_property
    def galerkin_terms(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the products of each coarse entry end, and the products: (row, distance) of the fine entry and of both weights.

        A coarse entry is stored at the smaller position of its two cells: seen from there, its first cell is `corner` away.
        """
        known = _entries(self.stored)
        numbered = {child: number for number, child in enumerate((*self.children, *self.masked))}
        dimension, distance = self.fine.dimension, self.coarse.distance
        ends, terms = [], []
        for target in ((0, 0, 0), *couplings(dimension)):
            first = distance((max(0, -target[0]), max(0, -target[1]), max(0, -target[2])))
            for x, y, z in itertools.product(*map(_ways, target, self.axes, self.seams)):
                child, place, step, other = ((x[k], y[k], z[k]) for k in range(4))
                # a child that is odd along every axis takes its value by its whole equation, so its row of A P is zero
                solved = all(abs(child[axis]) == 1 for axis in range(3 - dimension, 3))
                if step in known and not solved:
                    row, at = self.locate(place, *known[step])
                    second = numbered[other], first + distance(target)
                    terms.append((row, first + at, numbered[child], first, *second))
            ends.append(len(terms))
        return np.array(ends)[:, None], np.array(terms)


@lru_cache(maxsize=16)
def _ways(target: int, coarsen: bool, seam: bool) -> tuple[tuple[int, int, int, int], ...]:
    """Along one axis: (child of J, where it lies, step in the fine grid, child of J + target) that connect J with J + target."""
    if not coarsen:
        return ((0, 0, target, 0),)
    every = ((c, c, 2 * target + other - c, other) for c, other in itertools.product((-1, 0, 1), repeat=2))
    across = {1: ((_SEAM, 0, 1, 0),), -1: ((0, -1, -1, _SEAM),)}.get(target, ()) if seam else ()
    return (*(way for way in every if abs(way[2]) <= 1), *across)


def _entries(stored: tuple[Offset, ...]) -> dict[Offset, tuple[int, Offset]]:
    """Where the entry that couples a cell with its neighbour at an offset is found: (array, position relative to the cell)."""
    found: dict[Offset, tuple[int, Offset]] = {(0, 0, 0): (0, (0, 0, 0))}
    for number, (x, y, z) in enumerate(stored, start=1):
        for o in ((x, y, z), (-x, -y, -z)):
            found[o] = (number, (min(o[0], 0), min(o[1], 0), min(o[2], 0)))
    return found


@kernel()
def fill_ghosts(u, numbers):  # type: ignore[no-untyped-def]
    """Ghosts of periodic axes copy the opposite cells; all others become zero. u has the shape (rows, width)."""
    nx, ny, nz, px, py, stride = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    for i in range(nx):
        for j in range(ny):
            row = (i + px) * stride + j + py
            u[row, 0] = u[row, nz] if numbers[8] else 0.0
            u[row, nz + 1] = u[row, 1] if numbers[8] else 0.0
        if py:
            low, high = (i + px) * stride, (i + px) * stride + ny + 1
            for k in range(nz + 2):
                u[low, k] = u[high - 1, k] if numbers[7] else 0.0
                u[high, k] = u[low + 1, k] if numbers[7] else 0.0
    if px:
        for j in range(stride):
            low, high = j, (nx + 1) * stride + j
            for k in range(nz + 2):
                u[low, k] = u[high - stride, k] if numbers[6] else 0.0
                u[high, k] = u[low + stride, k] if numbers[6] else 0.0
