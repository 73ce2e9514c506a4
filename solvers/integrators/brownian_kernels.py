"""The innermost loops of the Brownian path: the words of the generator, and the way from the root of the tree to a leaf.

Logarithm, sine and cosine are taken between the two by NumPy, over whole blocks: its bits are those of the path.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.linear.compiled import kernel
from solvers.philox import philox

_LOW, _SHIFT, _UP, _DOWN = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(21), np.uint64(11)


@kernel()
def polar(a, b, c, d):  # type: ignore[no-untyped-def]
    """What Box and Muller make two independent normals of, from four words: a number of (0, 1] for the radius, and an angle."""
    return ((a << _UP) + (b >> _DOWN) + np.uint64(1)) * 2.0**-53, 2 * math.pi * (((c << _UP) + (d >> _DOWN)) * 2.0**-53)


@kernel()
def draw(leaf, first_row, begin, state, depth, key, radii, angles):  # type: ignore[no-untyped-def]
    """`polar` of the root's own increment, and of the halvings on the way to each leaf.

    Node 0 stands for the root's increment, node 2^level + i for the halving of interval i of a level.

    Parameters
    ----------
    leaf : numbers of the leaves, one a row.
    begin : number of the first entry; entry e is component ``e % state`` of row ``e // state``.
    radii, angles : filled, shape (1 + levels, entries).
    """
    for j in range(radii.shape[0]):
        for i in range(radii.shape[1]):
            row, component = divmod(begin + i, state)
            node = np.uint64(0) if j == 0 else np.uint64((leaf[row] >> (depth + 1 - j)) + (1 << (j - 1)))
            counter = np.uint64(component), np.uint64(first_row + row), node & _LOW, node >> _SHIFT
            radii[j, i], angles[j, i] = polar(*philox(*counter, key[0], key[1]))


@kernel()
def descend(leaf, at_end, begin, state, depth, length, logarithms, cosines, sines, W, area):  # type: ignore[no-untyped-def]
    """W and its integral at the left ends of the leaves, or at the path's end: equation (1) of `solvers.integrators.brownian`.

    Parameters
    ----------
    leaf, at_end, begin, state, depth : as in `draw`; `at_end` says which rows are at the path's end.
    logarithms, cosines, sines : of what `draw` filled.
    W, area : filled, of all entries.
    """
    for i in range(logarithms.shape[1]):
        row = (begin + i) // state
        h, radius = length, math.sqrt(-2 * logarithms[0, i])
        w, H = math.sqrt(h) * (radius * cosines[0, i]), math.sqrt(h / 12) * (radius * sines[0, i])
        position, integral = 0.0, 0.0
        if at_end[row]:  # passed by taking the whole root interval
            W[begin + i], area[begin + i] = w, h * (w / 2 + H)
            continue
        for level in range(logarithms.shape[0] - 1):
            k, radius = h / 2, math.sqrt(-2 * logarithms[level + 1, i])
            d = 3 * H + math.sqrt(k / 2) * (radius * cosines[level + 1, i])
            total, gap = 2 * H - d / 2, math.sqrt(k / 6) * (radius * sines[level + 1, i])
            w1, H1 = (w + d) / 2, (total + gap) / 2
            if (leaf[row] >> (depth - 1 - level)) & 1:
                integral += k * (position + w1 / 2 + H1)
                position += w1
                w, H = (w - d) / 2, (total - gap) / 2
            else:
                w, H = w1, H1
            h = k
        W[begin + i], area[begin + i] = position, integral
