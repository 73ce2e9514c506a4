"""Where two parts of a boundary meet, told from points of both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from sciml.geometry.shape import Array


def meetings(here: Array, there: Array) -> Iterator[tuple[int, int, float]]:
    """Of each place where two parts meet two points of `here` close to it, and ``d1 / (d2 - d1)``.

    With the distances d1, d2 of the two from the other part, what is linear there has the value ``f1 - (f2 - f1) d1 / (d2 - d1)`` where
    the parts meet. They are some spacings away, where the nearest point of the other part is nearly as far as the part itself.
    """
    if not (len(here) and len(there)):
        return
    own, other = cKDTree(here), cKDTree(there)
    distance, _ = other.query(here)
    spacing = max(float(np.median(tree.query(tree.data, k=2)[0][:, 1])) for tree in (own, other))
    left = distance < 2 * spacing
    while left.any():
        closest = int(np.flatnonzero(left)[distance[left].argmin()])
        around = np.array(own.query_ball_point(here[closest], 16 * spacing))
        left[around] = False
        around = around[np.linalg.norm(here[around] - here[closest], axis=1).argsort()]
        first, second = (around[distance[around] > far * spacing] for far in (4, 8))
        if second.size:
            one, two = int(first[0]), int(second[0])
            yield one, two, float(distance[one] / (distance[two] - distance[one]))
