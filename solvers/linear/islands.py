"""Cells that a coarse grid cannot see: small parts that are coupled strongly inside and weakly to everything else.

Where the coefficient jumps by orders of magnitude, a few cells of high conductance in a medium of low conductance may hold no coarse cell.
Their common value is an eigenvector of ``D^-1 A`` with an eigenvalue of about one over the contrast, which neither point smoothing nor
the coarse grid reduces: each such part would cost the conjugate gradients an iteration of its own, or several in float32. The cycle
therefore solves for the cells of each part directly. Parts without a strong link to any coarse cell are few and small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solvers.linear.galerkin import Coarsening

STRONG = 0.1  # a link counts that has at least this part of the strongest link of both its cells
_LARGEST = 128  # cells; a larger part without coarse cells would be a long winding channel


@dataclass(frozen=True)
class Islands:
    """Parts of one level: flat positions of all cells, where the cells of each part end, and the inverses of their matrices, row by row."""

    cells: NDArray[np.int64]
    ends: NDArray[np.int64]
    inverses: NDArray[np.float64]


def find_islands(A: NDArray[Any], how: Coarsening) -> Islands:
    """The islands of the fine grid of a coarsening; A are its diagonal and couplings, flat, ghosts filled."""
    fine, ends = how.fine, how.fine.ends(how.stored)
    cells, bounds = np.empty(fine.cells, np.int64), np.empty(fine.cells, np.int64)
    axes = np.array(how.axes, dtype=np.int64)
    count = _search(A, ends, fine.real, fine.numbers, axes, cells, bounds)
    parts = np.split(cells, bounds[:count])[:count]
    inverses = [np.linalg.inv(_matrix(A, ends, fine.real, part)).ravel() for part in parts]
    return Islands(np.concatenate([*parts, np.empty(0, np.int64)]), bounds[:count].copy(), np.concatenate([*inverses, np.empty(0)]))


@njit(cache=True, nogil=True, error_model="numpy")
def _strongest(A, ends, begin, end):  # type: ignore[no-untyped-def]
    top = np.zeros(A.shape[1], A.dtype)
    for number in range(ends.shape[0]):
        one, two = ends[number]
        _raise(A[number + 1, begin:end], top[begin + one : end + one])
        _raise(A[number + 1, begin:end], top[begin + two : end + two])
    return top


@njit(cache=True, nogil=True, error_model="numpy")
def _raise(entries, top):  # type: ignore[no-untyped-def]
    for k in range(entries.size):
        top[k] = max(top[k], -entries[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _search(A, ends, real, grid, axes, cells, bounds):  # type: ignore[no-untyped-def]
    """Follow strong links from every cell that is not a coarse one, until one is met or no link is left; returns the number of islands."""
    width, stride = grid[2] + 2, grid[5]
    margin = (grid[3] * stride + grid[4]) * width + 1
    top = _strongest(A, ends, margin, A.shape[1] - margin)
    state = np.zeros(A.shape[1], np.int8)  # 1: in the part at hand, 2: linked to a coarse cell, or dealt with
    part = np.empty(min(_LARGEST, cells.size), np.int64)
    count = used = 0
    for i in range(grid[0]):
        for j in range(grid[1]):
            for k in range(grid[2]):
                start = ((i + grid[3]) * stride + j + grid[4]) * width + k + 1
                if state[start] or _is_coarse(start, grid, axes):
                    continue
                size, linked = _follow(A, ends, real, top, grid, axes, start, state, part)
                if not linked and size > 1:
                    cells[used : used + size] = part[:size]
                    used += size
                    bounds[count] = used
                    count += 1
                for m in range(size):
                    state[part[m]] = 2
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _is_coarse(cell, grid, axes):  # type: ignore[no-untyped-def]
    row, width = cell // (grid[2] + 2), grid[2] + 2
    x, y, z = row // grid[5] - grid[3], row % grid[5] - grid[4], cell % width - 1
    return not ((axes[0] and x % 2) or (axes[1] and y % 2) or (axes[2] and z % 2))


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(A, ends, real, top, grid, axes, start, state, part):  # type: ignore[no-untyped-def]
    """Cells reached from `start` over strong links, and whether one of them is a coarse cell, or linked to one."""
    part[0], size, at = start, 1, 0
    state[start] = 1
    while at < size:
        cell = part[at]
        at += 1
        for number in range(ends.shape[0]):
            for side in range(2):
                place = cell - ends[number, side]
                other = real[place + ends[number, 1 - side]]
                coupling = -A[number + 1, place]
                if coupling > 0.0 and coupling >= STRONG * max(top[cell], top[other]) and state[other] != 1:
                    if state[other] == 2 or size == part.size or _is_coarse(other, grid, axes):
                        return size, True
                    state[other] = 1
                    part[size] = other
                    size += 1
    return size, False


@njit(cache=True, nogil=True, error_model="numpy")
def _matrix(A, ends, real, part):  # type: ignore[no-untyped-def]
    """The matrix of a part in float64.

    Its diagonal is added up from the links, since rounding of the stored one would hide the weak ones that hold the part in place.
    """
    matrix = np.zeros((part.size, part.size))
    for m in range(part.size):
        cell = part[m]
        links = 0.0
        for number in range(ends.shape[0]):
            for side in range(2):
                place = cell - ends[number, side]
                entry = float(A[number + 1, place])
                links -= entry
                other = real[place + ends[number, 1 - side]]
                for n in range(part.size):
                    if part[n] == other:
                        matrix[m, n] += entry
        excess = A[0, cell] - links
        matrix[m, m] += links + (excess if excess > 1e-6 * A[0, cell] else 0.0)
    return matrix
