"""Where everything of a multigrid hierarchy lies: tables of integers, made once for a grid and the axes coarsened at each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvers.linear import multigrid_setup as setup
from solvers.linear.galerkin import Coarsening, Layout, Offset, couplings, star

Axes = tuple[bool, bool, bool]
Table = NDArray[np.int64]
_LARGEST_CHILDREN = 27


@dataclass(frozen=True, eq=False)
class Plan:
    """The levels of a hierarchy as the compiled set-up and cycle read them.

    Attributes
    ----------
    layouts : grids, finest first.
    steps : how each is coarsened to the next.
    levels : shape (levels, `setup.LEVEL_NUMBERS`).
    transfers : `Coarsening.transfers` of each level, shape (levels, 27, 3).
    index, tables : shape (levels, `setup.INDEX_NUMBERS`), and the tables that it points into.
    work_size, buffer_size : entries of the arrays that the set-up computes in, and that the cycle reads.
    """

    layouts: tuple[Layout, ...]
    steps: tuple[Coarsening, ...]
    levels: Table
    transfers: Table
    index: Table
    tables: Table
    work_size: int
    buffer_size: int

    def stored(self, depth: int) -> tuple[Offset, ...]:
        """Neighbours that a level has coupling arrays for."""
        return _stored(self.layouts[0].dimension, depth)

    def operator_slice(self, depth: int) -> slice:
        """Where the operator of a level lies in the work array: rows of the diagonal and the couplings."""
        first = int(self.index[depth, setup.OPERATOR])
        return slice(first, first + (1 + len(self.stored(depth))) * self.layouts[depth].size)


@lru_cache(maxsize=32)
def plan(layout: Layout, axes: tuple[Axes, ...]) -> Plan:
    """The plan that coarsens `layout` along ``axes[depth]`` at each depth."""
    steps: list[Coarsening] = []
    layouts = [layout]
    for depth, chosen in enumerate(axes):
        steps.append(Coarsening(layouts[-1], chosen, _stored(layout.dimension, depth)))
        layouts.append(steps[-1].coarse)
    levels = np.zeros((len(layouts), setup.LEVEL_NUMBERS), np.int64)
    transfers = np.zeros((len(layouts), _LARGEST_CHILDREN, 3), np.int64)
    index = np.zeros((len(layouts), setup.INDEX_NUMBERS), np.int64)
    tables: list[Table] = []
    work, buffer = _Space(), _Space()
    sums, split, weighed = (work.take(n) for n in _scratch_sizes(layouts, steps))
    parts = buffer.take(max((len(how.parts) * how.coarse.size for how in steps), default=0))
    for depth, lay in enumerate(layouts):
        stored, level, row = _stored(lay.dimension, depth), levels[depth], index[depth]
        level[:9], level[setup.STAR], level[setup.STEP : setup.STEP + 3], level[setup.PARTS] = lay.numbers, depth == 0, 1, parts
        level[setup.COUPLINGS] = buffer.take(len(stored) * lay.size)
        row[setup.OPERATOR], row[setup.ROOT] = work.take((1 + len(stored)) * lay.size), work.take(lay.size)
        row[setup.SPLIT], row[setup.WEIGHED], row[setup.SUMS] = split, weighed, sums
        _enter(row, setup.ENDS, np.column_stack([lay.ends(stored), np.abs(np.array(stored))]), tables)
        if depth < len(steps):
            how = steps[depth]
            level[setup.STEP : setup.STEP + 3] += np.array(how.axes)
            level[setup.WEIGHTS] = buffer.take(len(how.children) * how.coarse.size)
            transfers[depth, : len(how.children)] = how.transfers
            row[setup.WEIGHT_ROWS] = len(how.children) + len(how.masked)
            names = (setup.BOUNDS, setup.CENTRE, setup.TERMS, setup.PRODUCT_ENDS, setup.PRODUCT_TERMS, setup.BOXES, setup.TRANSFERS)
            for name, table in zip(names, (*how.interpolation_terms, *how.galerkin_terms, how.boxes, how.transfers), strict=True):
                _enter(row, name, table, tables)
        level[setup.VECTORS] = buffer.take(4 * lay.size)
    return Plan(tuple(layouts), tuple(steps), levels, transfers, index, np.concatenate(tables), work.taken, buffer.taken)


def full_coarsening(layout: Layout, first: Sequence[Axes] = ()) -> tuple[Axes, ...]:
    """Axes at each depth: `first`, then every axis of the problem that has more than two cells, down to the coarsest grid."""
    axes = list(first)
    for chosen in axes:
        layout = layout.coarsened(chosen)
    while layout.cells > setup.COARSEST_CELLS:
        x, y, z = (n > 2 for n in layout.shape)
        axes.append((x, y, z))
        layout = layout.coarsened((x, y, z))
    return tuple(axes)


class _Space:
    """Hands out pieces of an array, one after another."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, entries: int) -> int:
        first = self.taken
        self.taken += entries
        return first


def _stored(dimension: int, depth: int) -> tuple[Offset, ...]:
    return star(dimension) if depth == 0 else couplings(dimension)


def _scratch_sizes(layouts: list[Layout], steps: list[Coarsening]) -> tuple[int, int, int]:
    """Entries for two sums over a level or a block, for its split operator, and for its weights: levels use them one after another."""
    split = (len(how.parts) * (1 + len(how.stored)) * how.coarse.size for how in steps)
    weighed = ((len(how.children) + len(how.masked)) * how.coarse.size for how in steps)
    return 2 * max(layouts[0].size, setup.BLOCK), max(split, default=0), max(weighed, default=0)


def _enter(row: Table, name: int, table: Table, tables: list[Table]) -> None:
    row[name], row[name + 1] = sum(map(len, tables)), len(table)
    tables.append(np.ascontiguousarray(table, np.int64).ravel())
