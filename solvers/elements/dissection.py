"""Nested dissection of a mesh: the order of unknowns that keeps the factors of a direct solver small.

Cells are cut into halves by coordinates, again and again; unknowns of cells on both sides separate the halves and are eliminated after
them (George 1973). In the plane this gives O(n log n) entries in the factors, where minimum degree orders, which SuperLU knows, leave more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_LEAF = 2  # cells: cutting further no longer changes the fill


def nested_dissection(centres: NDArray[np.float64], cells: Integers, n: int) -> tuple[Integers, Integers]:
    """Where each unknown stands in the elimination.

    Parameters
    ----------
    centres : of the cells, shape (m, 2).
    cells : unknowns of each cell, shape (m, k).
    n : number of unknowns.

    Returns
    -------
    rank : by which to sort the unknowns, shape (n,); equal for the unknowns of one separator or of one leaf.
    level : how often their region was cut, shape (n,): 0 for the outermost separator.
    """
    depth = max(int(np.ceil(np.log2(max(len(cells), 1) / _LEAF))), 0)
    code = np.zeros(len(cells), np.int64)  # of the halves a cell lies in, one bit a cut
    for _ in range(depth):
        code = 2 * code + _upper_half(centres, code)
    low, high = np.full(n, np.iinfo(np.int64).max), np.zeros(n, np.int64)
    np.minimum.at(low, cells, code[:, None])
    np.maximum.at(high, cells, code[:, None])
    low = np.minimum(low, high)  # of unknowns in no cell
    # The cells of an unknown agree in as many leading bits as their lowest and highest codes do.
    differing = low ^ high
    height = np.zeros(n, np.int64)
    for bit in range(depth):
        height[differing >> bit > 0] = bit + 1
    last_leaf = ((low >> height) + 1 << height) - 1
    return last_leaf * (depth + 1) + height, depth - height


def _upper_half(centres: NDArray[np.float64], group: Integers) -> Integers:
    """1 for the cells of each group beyond its median along its longer extent, else 0."""
    groups = int(group.max()) + 1
    low, high = np.full((groups, 2), np.inf), np.full((groups, 2), -np.inf)
    np.minimum.at(low, group, centres)
    np.maximum.at(high, group, centres)
    axis = np.argmax(high - low, axis=1)[group]
    order = np.lexsort((centres[np.arange(len(group)), axis], group))
    count = np.bincount(group, minlength=groups)
    place = np.arange(len(group)) - np.concatenate([[0], np.cumsum(count)])[group[order]]
    upper = np.zeros(len(group), np.int64)
    upper[order] = place >= (count[group[order]] + 1) // 2
    return upper
