"""Geometric multigrid for structured diffusion operators, used as a preconditioner of conjugate gradients.

Coarse grids, interpolation and coarse operators are those of `solvers.linear.galerkin`, smoothing is Chebyshev-accelerated Jacobi of degree
two before and after the coarse correction, which is symmetric and does not depend on any order. Only strongly coupled axes are coarsened
(semicoarsening), which keeps point smoothing effective for anisotropy along the axes. The cycle, V or in space for jumping coefficients W,
runs in float32 on an operator scaled to unit diagonal: half the bytes, and the conjugate gradients around it, in float64, do not notice.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from solvers.linear import multigrid_setup as setup
from solvers.linear.galerkin import Layout
from solvers.linear.islands import STRONG, find_islands
from solvers.linear.multigrid_cycle import cycle
from solvers.linear.multigrid_iteration import load, store
from solvers.linear.multigrid_plan import Axes, Plan, full_coarsening, plan
from solvers.linear.stencil import StencilOperator, lift

Array = NDArray[Any]


_REMEMBERED = 32  # grids whose last coarsening a thread remembers


class Memory:
    """Scratch memory that hierarchies of one thread, one after another, take their arrays from.

    Fresh memory costs a page fault every 4 kB, which for small systems is as much as the arithmetic.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, Array] = {}
        self.axes: dict[Layout, tuple[Axes, ...]] = {}
        """Axes that the last operator on a grid was coarsened along, which the next one most likely is too."""

    def take(self, name: str, shape: tuple[int, ...], dtype: type) -> Array:
        """An array with undefined values, which the next call with this name may hand out again."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        block = self._blocks.get(name)
        if block is None or block.size < size:
            block = self._blocks[name] = np.empty(size, np.uint8)
        return block[:size].view(dtype).reshape(shape)


class MultigridHierarchy:
    """Levels, interpolation weights and the coarsest factorisation for one operator.

    Parameters
    ----------
    operator : a `StencilOperator`; singular ones (pure Neumann or periodic) are solved in the complement of the constants.
    memory : where to take arrays from; the hierarchy is valid until the next one is built there. None allocates its own.

    Raises
    ------
    numpy.linalg.LinAlgError : a part of the domain is cut off from every wall, so that the coarsest matrix is singular.
    """

    def __init__(self, operator: StencilOperator, memory: Memory | None = None) -> None:
        self.operator = operator
        self.memory = Memory() if memory is None else memory
        self.singular = operator.is_singular
        dimension = len(operator.grid_shape)
        missing = 3 - dimension
        self.grid = Layout((1,) * missing + operator.grid_shape, dimension, (False,) * missing + operator.periodic)  # type: ignore[arg-type]
        # where coefficients jump, sums on coarse grids cancel by as much
        dtype = np.float64 if operator.facts.weakest_link < STRONG else np.float32
        self.unit = operator.facts.mean or 1.0  # float32 has a short range
        self.plan, work = self._set_up(dtype)
        A = self.level_operator(work, len(self.plan.steps))
        self.inverse = _coarsest_inverse(A, self.plan, self.singular)
        self.visits = np.ones((2, len(self.plan.layouts)), np.int64)
        if dtype == np.float64 and dimension == 3:  # jumps on coarse grids are harder than on the finest, and cheap in space
            self.visits[0, 1:] = 2
        self.scale = self.memory.take("scale", self.grid.shape, np.float32)
        self.scale[...] = self.grid.inside(work[self.plan.index[0, setup.ROOT] :][: self.grid.size])
        self.islands, self.first_islands = self._find_islands(work) if dtype == np.float64 else _no_islands(len(self.plan.layouts))

    def _set_up(self, dtype: type) -> tuple[Plan, Array]:
        """Run the compiled set-up with the plan that suited the last operator on this grid, and with the right one where it does not."""
        operator, axes = self.operator, self.memory.axes.get(self.grid)
        if axes is None:
            axes = full_coarsening(self.grid)
        while True:
            made = plan(self.grid, axes)
            work = self.memory.take("work", (made.work_size,), dtype)
            self.buffer = self.memory.take("levels", (made.buffer_size,), np.float32)
            self.roots = np.empty((len(made.layouts), 2), np.float32)
            arrays = (made.levels, made.index, made.tables, work, self.buffer, self.roots)
            depth, right = setup.build(operator.lifted_faces, lift(operator.reaction), 1.0 / self.unit, *arrays)
            if depth == len(made.steps) and right == 0:
                if len(self.memory.axes) >= _REMEMBERED:
                    self.memory.axes.clear()
                self.memory.axes[self.grid] = axes
                return made, work
            x, y, z = (bool(right & bit) for bit in (1, 2, 4))
            axes = full_coarsening(self.grid, (*axes[:depth], (x, y, z))) if right else axes[:depth]

    def level_operator(self, work: Array, depth: int) -> Array:
        """Diagonal and couplings of a level, flat, in the work array of the set-up."""
        return work[self.plan.operators[depth]].reshape(-1, self.plan.layouts[depth].size)

    @property
    def compiled(self) -> tuple[Any, ...]:
        """The hierarchy as `cycle` takes it."""
        return self.buffer, self.plan.levels, self.plan.transfers, self.roots, self.inverse, self.islands, self.first_islands, self.visits

    def precondition(self, residual: Array) -> Array:
        """One V-cycle from zero: an approximation of ``A^-1 residual`` of the residual's shape, with mean zero where A is singular."""
        r = np.asarray(residual, np.float64).reshape(self.grid.shape)
        norm = float(np.linalg.norm(r)) or 1.0
        level = self.plan.levels[0]
        load(self.buffer, level, self.scale, r, 1.0 / norm)
        cycle(self.compiled)
        z = np.empty_like(r)
        store(self.buffer, level, self.scale, norm / self.unit, z)
        if self.singular:
            z -= z.mean()
        return z.reshape(np.shape(residual))

    def _find_islands(self, work: Array) -> tuple[tuple[Array, ...], NDArray[np.int64]]:
        """Islands of all levels one after another, scaled like the levels, as `cycle` takes them."""
        first = np.zeros(len(self.plan.layouts) + 1, np.int64)
        cells, ends, inverses = [np.empty(0, np.int64)], [np.zeros(1, np.int64)], [np.empty(0, np.float32)]
        for depth, how in enumerate(self.plan.steps):
            A = self.level_operator(work, depth)
            found = find_islands(A, how)
            first[depth + 1 :] += found.ends.size
            cells.append(found.cells)
            roots = np.split(np.sqrt(A[0][found.cells]), found.ends[:-1])
            scales = [np.outer(root, root).ravel() for root in roots if root.size]
            inverses.append((found.inverses * np.concatenate([*scales, np.empty(0)])).astype(np.float32))
            ends.append(found.ends + sum(map(len, cells[:-1])))
        joined = np.concatenate(ends)
        starts = np.cumsum(np.diff(joined) ** 2) - np.diff(joined) ** 2
        return (np.concatenate(cells), joined[1:], starts, np.concatenate(inverses)), first


def _no_islands(levels: int) -> tuple[tuple[Array, ...], NDArray[np.int64]]:
    nothing = np.empty(0, np.int64)
    return (nothing, nothing, nothing, np.empty(0, np.float32)), np.zeros(levels + 1, np.int64)


def _coarsest_inverse(A: Array, made: Plan, singular: bool) -> Array:
    """Dense inverse of the coarsest matrix, scaled like the levels (of its non-singular part where constants are in the null space)."""
    layout = made.layouts[-1]
    matrix = setup.dense(A, made.last_ends, layout.real, layout.numbers)
    root = np.sqrt(layout.inside(A[0]).ravel())
    if singular:
        matrix += np.trace(matrix) / layout.cells**2  # the constant mode becomes an ordinary eigenvector; the cycle removes it again
    factor, failed = dpotrf(matrix, lower=1)
    lower, _ = dpotri(factor, lower=1)  # above the diagonal are zeros
    if failed or not np.isfinite(lower).all():
        raise np.linalg.LinAlgError("the coarsest matrix is not positive definite")
    inverse = lower + lower.T
    np.fill_diagonal(inverse, lower.diagonal())
    return np.asarray(root[:, None] * inverse * root, np.float32)
