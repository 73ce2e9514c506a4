"""Cells that a coarse grid cannot see: small parts that are coupled strongly inside and are interpolated over weak links.

Where the coefficient jumps by orders of magnitude, a few cells of high conductance in a medium of low conductance may hold no coarse cell,
or be tied to one at one end only, while interpolation gives the others the values of the medium around them. Their common value is an
eigenvector of ``D^-1 A`` with an eigenvalue of about one over the contrast, which neither point smoothing nor the coarse grid reduces:
each such part would cost the conjugate gradients an iteration of its own, or several in float32. The cycle therefore solves for the cells
of each part directly. Such parts are few and small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solvers.linear.galerkin import Coarsening

STRONG = 0.1  # a link counts that has at least this part of the strongest link of both its cells
_LARGEST = 128  # cells; a larger part is cut into several


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
    offsets = np.abs(np.array(how.stored))
    count = _search(A, ends, fine.real, fine.numbers, axes, offsets, cells, bounds)
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
def _search(A, ends, real, grid, axes, offsets, cells, bounds):  # type: ignore[no-untyped-def]
    """Find the cells that interpolation misses, and group them by strong links; returns the number of islands."""
    width, stride = grid[2] + 2, grid[5]
    margin = (grid[3] * stride + grid[4]) * width + 1
    top = _strongest(A, ends, margin, A.shape[1] - margin)
    state = np.zeros(A.shape[1], np.int8)  # 1: its value follows from coarse cells, or it belongs to a part
    for odd in range(axes.sum() + 1):  # those between fewest coarse cells first, since others take their values
        for i in range(grid[0]):
            for j in range(grid[1]):
                for k in range(grid[2]):
                    if (axes[0] and i % 2) + (axes[1] and j % 2) + (axes[2] and k % 2) == odd:
                        cell = ((i + grid[3]) * stride + j + grid[4]) * width + k + 1
                        between = (axes[0] and i % 2 == 1, axes[1] and j % 2 == 1, axes[2] and k % 2 == 1)
                        state[cell] = odd == 0 or _follows(A, ends, real, top, offsets, between, cell, state)
    part = np.empty(min(_LARGEST, cells.size), np.int64)
    count = used = 0
    for i in range(grid[0]):
        for j in range(grid[1]):
            for k in range(grid[2]):
                start = ((i + grid[3]) * stride + j + grid[4]) * width + k + 1
                if not state[start]:
                    size = _collect(A, ends, real, top, start, state, part)
                    if size > 1:
                        cells[used : used + size] = part[:size]
                        used += size
                        bounds[count] = used
                        count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _follows(A, ends, real, top, offsets, between, cell, state):  # type: ignore[no-untyped-def]
    """Whether a cell depends on a neighbour that it takes its value from: one along axes on which it lies between coarse cells."""
    for number in range(ends.shape[0]):
        if _all_within(offsets[number], between):
            for side in range(2):
                place = cell - ends[number, side]
                other = real[place + ends[number, 1 - side]]
                if -A[number + 1, place] >= STRONG * top[cell] > 0.0 and state[other] == 1:
                    return True
    return top[cell] == 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _all_within(offset, between):  # type: ignore[no-untyped-def]
    return (between[0] or offset[0] == 0) and (between[1] or offset[1] == 0) and (between[2] or offset[2] == 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _collect(A, ends, real, top, start, state, part):  # type: ignore[no-untyped-def]
    """Cells of one part, reached from `start` over strong links."""
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
                if coupling > 0.0 and coupling >= STRONG * max(top[cell], top[other]) and not state[other] and size < part.size:
                    state[other] = 1
                    part[size] = other
                    size += 1
    return size


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
