"""Block-structured triangle meshes: quadrilaterals between four sides, cut along diagonals, for channels with a cylinder or a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from solvers.elements.mesh import Circle, Curve, TriangleMesh

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
#: Which part an edge belongs to, by its midpoint, shape (k, 2): a boolean array of shape (k,).
Place = Callable[[Array], NDArray[np.bool_]]
_SAME = 1e-9  # of the size of the mesh: points nearer than that are one


def transfinite(bottom: Array, top: Array, left: Array, right: Array) -> Array:
    """Points between four sides that meet at their ends (Gordon and Hall 1973, eq. 1.5).

    Parameters
    ----------
    bottom, top : shape (n + 1, 2), from left to right.
    left, right : shape (m + 1, 2), from bottom to top.

    Returns
    -------
    Points, shape (n + 1, m + 1, 2).
    """
    s = np.linspace(0, 1, len(bottom))[:, None, None]
    t = np.linspace(0, 1, len(left))[None, :, None]
    ruled = (1 - t) * bottom[:, None] + t * top[:, None] + (1 - s) * left[None] + s * right[None]
    corners = (1 - s) * (1 - t) * bottom[0] + s * (1 - t) * bottom[-1] + (1 - s) * t * top[0] + s * t * top[-1]
    return np.asarray(ruled - corners)


def graded(start: float, end: float, n: int, ratio: float) -> Array:
    """n intervals from start to end, each `ratio` times as long as the one before: shape (n + 1,)."""
    lengths = ratio ** np.arange(n)
    return np.asarray(start + (end - start) * np.concatenate([[0.0], np.cumsum(lengths) / lengths.sum()]))


def join(blocks: Sequence[Array], parts: Mapping[str, Place], curves: Mapping[str, Curve] | None = None) -> TriangleMesh:
    """One mesh of blocks of points, each of shape (n + 1, m + 1, 2), that share the points of common sides.

    Each quadrilateral is cut along its shorter diagonal.

    Parameters
    ----------
    parts : name -> a function of edge midpoints. An edge belongs to the first part that claims it.
    """
    points = np.concatenate([block.reshape(-1, 2) for block in blocks])
    keys = np.round((points - points.min(axis=0)) / (_SAME * np.ptp(points, axis=0).max())).astype(np.int64)
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    triangles, offset = [], 0
    for block in blocks:
        n, m = block.shape[:2]
        node = number.ravel()[offset : offset + n * m].reshape(n, m)
        offset += n * m
        triangles.append(_cut(points[first], node))
    cells = np.concatenate(triangles)
    sides = np.sort(np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [2, 0]]]), axis=1)
    edges, count = np.unique(sides, axis=0, return_counts=True)
    boundary = edges[count == 1]
    middle, left = points[first][boundary].mean(axis=1), np.ones(len(boundary), bool)
    named = {}
    for name, place in parts.items():
        claimed = left & place(middle)
        left &= ~claimed
        named[name] = boundary[claimed]
    return TriangleMesh.build(points[first], cells, named, curves)


def _cut(points: Array, node: Integers) -> Integers:
    """Two triangles for each quadrilateral of a block, counterclockwise."""
    a, b, c, d = (part.ravel() for part in (node[:-1, :-1], node[1:, :-1], node[1:, 1:], node[:-1, 1:]))
    turn = points[c] - points[a], points[d] - points[b]
    if (turn[0][:, 0] * turn[1][:, 1] - turn[0][:, 1] * turn[1][:, 0]).sum() < 0:
        b, d = d, b
    short = np.linalg.norm(points[c] - points[a], axis=1) <= np.linalg.norm(points[d] - points[b], axis=1)
    first = np.where(short[:, None], np.stack([a, b, c], axis=1), np.stack([a, b, d], axis=1))
    second = np.where(short[:, None], np.stack([a, c, d], axis=1), np.stack([b, c, d], axis=1))
    return np.concatenate([first, second])


def channel_with_cylinder(n: int, *, rings: int | None = None, ratio: float = 1.25, wake: int | None = None) -> TriangleMesh:
    """The channel [0, 2.2] x [0, 0.41] around the circle of radius 0.05 at (0.2, 0.2) (Schaefer and Turek 1996).

    Rings of cells follow the circle out to the square [0.05, 0.35] x [0.05, 0.35]; straight blocks fill the rest.

    Parameters
    ----------
    n : cells along each quarter of the circle.
    rings : of cells between circle and square; None is n.
    ratio : by which the rings grow outwards, each against the one before.
    wake : columns of cells behind the square; None is 3 n. They grow downstream.

    The parts are ``inlet``, ``outlet``, ``walls`` and ``cylinder``.
    """
    if n < 2 or not ratio > 0:
        raise ValueError(f"channel_with_cylinder: n = {n} and ratio = {ratio}; n must be at least 2 and ratio positive")
    rings, wake = n if rings is None else rings, 3 * n if wake is None else wake
    circle = Circle((0.2, 0.2), 0.05)
    low, high = 0.05, 0.35
    across = np.linspace(low, high, n + 1)
    shares = graded(0.0, 1.0, rings, ratio)[None, :, None]
    side = np.stack([across, np.full(n + 1, low)], axis=1) - 0.2
    blocks = []
    for quarter in range(4):
        turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarter)
        angle = np.linspace(-0.75, -0.25, n + 1) * np.pi
        inner = np.array(circle.centre) + circle.radius * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ turn.T
        blocks.append((1 - shares) * inner[:, None] + shares * (0.2 + side @ turn.T)[:, None])
    margin = max(2, round(n * 0.05 / 0.3 * 1.5))
    bands_y = [np.linspace(0, low, margin + 1), across, np.linspace(high, 0.41, margin + 1)]
    bands_x = [np.linspace(0, low, margin + 1), across, _growing(high, 2.2, 0.3 / n, wake)]
    for i, x in enumerate(bands_x):
        blocks += [np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1) for j, y in enumerate(bands_y) if (i, j) != (1, 1)]
    parts: dict[str, Place] = {
        "inlet": lambda p: p[:, 0] < 1e-9,
        "outlet": lambda p: p[:, 0] > 2.2 - 1e-9,
        "walls": lambda p: (p[:, 1] < 1e-9) | (p[:, 1] > 0.41 - 1e-9),
        "cylinder": lambda p: np.linalg.norm(p - 0.2, axis=1) < 0.051,
    }
    return join(blocks, parts, {"cylinder": circle})


def backward_facing_step(n: int, *, length: float = 20.0, columns: int | None = None, ratio: float = 1.01) -> TriangleMesh:
    """The channel [0, length] x [0, 1] behind a step of height 1/2, without an inlet section (Gartling 1990).

    Parameters
    ----------
    n : cells across each half of the channel; they are shorter towards the walls and the middle.
    columns : of cells along the channel; None is as many as make them four times as long as high at first.
    ratio : by which the columns grow downstream.

    The parts are ``inlet`` (x = 0, upper half), ``outlet``, ``lower_wall``, ``upper_wall`` and ``step`` (x = 0, lower half).
    """
    if n < 2 or not length > 0:
        raise ValueError(f"backward_facing_step: n = {n} and length = {length}; n must be at least 2 and length positive")
    half = (1 - np.cos(np.pi * np.linspace(0, 1, n + 1))) / 4 * 0.5 + np.linspace(0, 0.25, n + 1)
    x = _growing(0.0, length, 1.0 / n, round(2 * n * length / 4)) if columns is None else graded(0.0, length, columns, ratio)
    blocks = [np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1) for y in (half, 0.5 + half)]
    parts: dict[str, Place] = {
        "step": lambda p: (p[:, 0] < 1e-9) & (p[:, 1] < 0.5),
        "inlet": lambda p: p[:, 0] < 1e-9,
        "outlet": lambda p: p[:, 0] > length - 1e-9,
        "lower_wall": lambda p: p[:, 1] < 1e-9,
        "upper_wall": lambda p: p[:, 1] > 1 - 1e-9,
    }
    return join(blocks, parts)


def _growing(start: float, end: float, first: float, n: int) -> Array:
    """n intervals that begin with the length `first` and grow, or shrink, by a constant ratio to fill the way."""
    low, high = 0.5, 2.0
    for _ in range(60):
        ratio = (low + high) / 2
        if first * (ratio ** np.arange(n)).sum() > end - start:
            high = ratio
        else:
            low = ratio
    return graded(start, end, n, ratio)
