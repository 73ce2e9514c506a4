"""Geometric multigrid for structured diffusion operators, used as a preconditioner of conjugate gradients.

Coarse grids, interpolation and coarse operators are those of `solvers.linear.galerkin`, smoothing is Chebyshev-accelerated Jacobi of degree
two before and after the coarse correction, which is symmetric and does not depend on any order. Only strongly coupled axes are coarsened
(semicoarsening), which keeps point smoothing effective for anisotropy along the axes. The cycle runs in float32 on an operator scaled to
unit diagonal: half the bytes, and the conjugate gradients around it, in float64, do not notice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg as sla
from numpy.typing import NDArray

from solvers.linear import multigrid_kernels as kernels
from solvers.linear.galerkin import Coarsening, Layout, Offset, coarsening, couplings, fill_ghosts, galerkin, interpolate, star
from solvers.linear.islands import Islands, find_islands, has_weak_links
from solvers.linear.stencil import StencilOperator, lift

Array = NDArray[Any]
Axes = tuple[bool, bool, bool]

_COARSEST_CELLS = 48  # a dense factorisation of this size costs less than one sweep over a 32^2 grid
_STRONG = 0.35  # an axis is coarsened where its couplings are at least this part of the strongest axis's


class Memory:
    """Scratch memory that hierarchies of one thread, one after another, take their arrays from.

    Fresh memory costs a page fault every 4 kB, which for small systems is as much as the arithmetic.
    """

    def __init__(self) -> None:
        self._blocks: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: type) -> Array:
        """An array with undefined values, which the next call with this name may hand out again."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
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
        self.grid = Layout(_shape(operator.reaction), dimension, operator.lifted_periodic)
        layout, stored = self.grid, star(dimension)
        A = self._finest(np.float32)
        jumps = has_weak_links(A, layout, stored)
        if jumps:  # then sums on coarse grids cancel by as much as the coefficient jumps
            A = self._finest(np.float64)
        layouts, operators, diagonals, weights = [layout], [A], [], []
        steps: list[Coarsening] = []
        islands: list[Islands] = []
        while layout.cells > _COARSEST_CELLS and any(axes := _coarsened_axes(A, layout, stored)):
            how, depth = coarsening(layout, axes, stored), len(steps)
            if jumps:
                islands.append(find_islands(A, how))
            layout, stored = how.coarse, couplings(dimension)
            parts = self._take(f"parts {depth}", A.dtype.type, len(A), len(how.parts), layout.size)
            how.split(A, parts)
            W = self._take(f"weights {depth}", A.dtype.type, len(how.children) + len(how.masked), layout.size)
            A = self._take(f"operator {depth + 1}", A.dtype.type, 1 + len(stored), layout.size)
            interpolate(parts, how, W)
            galerkin(parts, W, how, A)
            layouts.append(layout)
            operators.append(A)
            diagonals.append(parts[0])
            weights.append(W[: len(how.children)])
            steps.append(how)
        self.inverse = _coarsest_inverse(A, layout, stored, self.singular)
        self._pack(layouts, operators, diagonals, weights, steps)
        self.islands, self.first_islands = _joined(islands, operators, len(layouts))

    def _finest(self, dtype: type) -> Array:
        """Diagonal and couplings of level 0, in units of the mean diagonal: float32 has a short range."""
        A = self._take("operator 0", dtype, 1 + self.grid.dimension, self.grid.size)
        self.unit = float(self.operator.diagonal.mean()) or 1.0
        faces, reaction = self.operator.lifted_faces, lift(self.operator.reaction)
        kernels.star_entries(*faces, reaction, 1.0 / self.unit, A.reshape(len(A), *self.grid.array_shape), self.grid.numbers)
        return A

    def _take(self, name: str, dtype: type, *shape: int) -> Array:
        return self.memory.take(name, shape, dtype)

    def _pack(
        self, layouts: list[Layout], operators: list[Array], diagonals: list[Array], weights: list[Array], steps: list[Coarsening]
    ) -> None:
        """Scale all levels to unit diagonal and lay them out in one buffer."""
        total = sum((len(A) - 1 + 3) * lay.size for A, lay in zip(operators, layouts, strict=True)) + sum(W.size for W in weights)
        self.buffer = self._take("levels", np.float32, total)
        self.levels = np.zeros((len(layouts), kernels.LEVEL_NUMBERS), np.int64)
        self.roots = np.zeros((len(layouts), 2), np.float32)
        roots = [self._take(f"root {depth}", operators[depth].dtype.type, lay.size) for depth, lay in enumerate(layouts)]
        for A, root in zip(operators, roots, strict=True):
            kernels.inverse_roots(A[0], root)
        free = 0
        for depth, (lay, A) in enumerate(zip(layouts, operators, strict=True)):
            row = self.levels[depth]
            row[:9], row[kernels.STAR], row[kernels.STEP : kernels.STEP + 3] = lay.numbers, depth == 0, 1
            row[kernels.COUPLINGS] = free
            scaled = self.buffer[free : free + (len(A) - 1) * lay.size].reshape(len(A) - 1, -1)
            ends = lay.ends(star(lay.dimension) if depth == 0 else couplings(lay.dimension))
            bound = kernels.scale_couplings(A, roots[depth], ends, *lay.span, lay.numbers, lay.array_shape[1], scaled)
            self.roots[depth] = _chebyshev_roots(bound)
            free += scaled.size
            if depth < len(weights):
                W, how = weights[depth], steps[depth]
                row[kernels.STEP : kernels.STEP + 3] += np.array(how.axes)
                row[kernels.WEIGHTS] = free
                scaled = self.buffer[free : free + W.size].reshape(len(W), -1)
                kernels.scale_weights(W, diagonals[depth], how.places, roots[depth + 1], *how.coarse.span, scaled)
                for array in scaled:
                    fill_ghosts(array.reshape(how.coarse.array_shape), how.coarse.numbers)
                free += W.size
            row[kernels.VECTORS : kernels.VECTORS + 3] = free + lay.size * np.arange(3)
            self.buffer[free : free + 3 * lay.size] = 0.0
            free += 3 * lay.size
        diagonal = np.sqrt(layouts[-1].inside(operators[-1][0])).ravel()
        self.inverse = (diagonal[:, None] * self.inverse * diagonal).astype(np.float32)
        self.scale = self.grid.inside(roots[0]).astype(np.float32)

    def precondition(self, residual: Array) -> Array:
        """One V-cycle from zero: an approximation of ``A^-1 residual`` of the residual's shape, with mean zero where A is singular."""
        r = np.asarray(residual, np.float64).reshape(self.grid.shape)
        norm = float(np.linalg.norm(r)) or 1.0
        kernels.load(self.buffer, self.levels[0], self.scale, r, 1.0 / norm)
        kernels.cycle(self.buffer, self.levels, self.roots, self.inverse, self.islands, self.first_islands)
        z = np.empty_like(r)
        kernels.store(self.buffer, self.levels[0], self.scale, norm / self.unit, z)
        if self.singular:
            z -= z.mean()
        return z.reshape(np.shape(residual))


def _shape(array: Array) -> tuple[int, int, int]:
    x, y, z = lift(array).shape
    return x, y, z


def _coarsened_axes(A: Array, layout: Layout, stored: tuple[Offset, ...]) -> Axes:
    """Axes that can be coarsened and along which most cells are strongly coupled."""
    strengths = np.zeros(len(stored))
    kernels.relative_strengths(A, layout.ends(stored), *layout.span, strengths)
    strength = strengths @ np.abs(np.array(stored))
    strength[np.array(layout.shape) <= 2] = 0.0
    x, y, z = (bool(s > 0 and s >= _STRONG * strength.max()) for s in strength)
    return x, y, z


def _joined(islands: list[Islands], operators: list[Array], depth: int) -> tuple[tuple[Array, ...], NDArray[np.int64]]:
    """Islands of all levels one after another, scaled like the levels, as `kernels.cycle` takes them."""
    first = np.zeros(depth + 1, np.int64)
    cells, ends, inverses = [np.empty(0, np.int64)], [np.zeros(1, np.int64)], [np.empty(0, np.float32)]
    for level, found in enumerate(islands):
        first[level + 1 :] += found.ends.size
        cells.append(found.cells)
        roots = np.split(np.sqrt(operators[level][0][found.cells]), found.ends[:-1])
        scales = [np.outer(root, root).ravel() for root in roots if root.size]
        inverses.append((found.inverses * np.concatenate([*scales, np.empty(0)])).astype(np.float32))
        ends.append(found.ends + sum(map(len, cells[:-1])))
    joined = np.concatenate(ends)
    starts = np.cumsum(np.diff(joined) ** 2) - np.diff(joined) ** 2
    return (np.concatenate(cells), joined[1:], starts, np.concatenate(inverses)), first


def _chebyshev_roots(largest: float) -> tuple[float, float]:
    """Step sizes of two Jacobi steps that damp the eigenvalues of ``D^-1 A`` in the upper three quarters of (0, largest] best."""
    middle, half = 0.625 * largest, 0.375 * largest
    return 1 / (middle + half * np.sqrt(0.5)), 1 / (middle - half * np.sqrt(0.5))


def _coarsest_inverse(A: Array, layout: Layout, stored: tuple[Offset, ...], singular: bool) -> Array:
    """Dense inverse of the coarsest matrix (of its non-singular part where constants are in the null space)."""
    matrix = kernels.dense(A, layout.ends(stored), layout.real, layout.numbers)
    if singular:
        matrix += np.trace(matrix) / layout.cells**2  # the constant mode becomes an ordinary eigenvector; the cycle removes it again
    factor = sla.cho_factor(matrix)
    return np.asarray(sla.cho_solve(factor, np.eye(layout.cells)))
