"""A hierarchy of boxes around points, segments and triangles: closest point, first hit of a ray, a random point near a ball's centre.

Everything has three coordinates; in the plane the third is 0. Boxes are halved at the median of their elements' centres, so that no path to
a leaf is longer than the logarithm of their number. A query may stop nowhere but at the exact answer: boxes are left out only where
their distance says that nothing inside can matter.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.linear.compiled import kernel

Array = NDArray[np.float64]
LEAF = 4  # elements a leaf may hold
DEPTH = 64  # of the stack; the hierarchy is balanced
_GRAZING = 1e-9  # sine below which a plane is looked at edge-on: far above rounding, far below what random directions meet


class Tree(NamedTuple):
    """Boxes in depth-first order, and the elements in the order of the leaves.

    boxes : (boxes, 6), low corner and high corner.
    right : the second child of a box; the first follows it directly.
    start, size : the first element of a leaf and how many it has; `size` is 0 for every other box.
    measure : length or area of all elements below a box.
    corners : (elements, 3, 3); the third row is used by triangles alone, and points have two equal rows.
    triangles : whether the elements are triangles.
    name : number of an element in the list that the hierarchy was built of.
    normals : (elements, 6), of the two faces that meet at an element which is to be found only as a silhouette; (0, 6) elsewhere.
    """

    boxes: Array
    right: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]
    measure: Array
    corners: Array
    triangles: bool
    name: NDArray[np.int64]
    normals: Array


def build(corners: Array, name: NDArray[np.int64], normals: Array | None = None) -> Tree:
    """The hierarchy of elements (elements, vertices an element, 3), which may be none at all."""
    triangles = corners.shape[1] == 3
    boxes: list[Array] = []
    right: list[int] = []
    start: list[int] = []
    size: list[int] = []
    measure: list[float] = []
    order: list[NDArray[np.int64]] = []
    edges = np.diff(corners, axis=1)
    sizes = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) / 2 if triangles else np.linalg.norm(edges[:, 0], axis=1)
    centres = (corners.min(axis=1) + corners.max(axis=1)) / 2

    def add(members: NDArray[np.int64]) -> None:
        box = len(boxes)
        boxes.append(np.concatenate([corners[members].min(axis=(0, 1)), corners[members].max(axis=(0, 1))]))
        measure.append(sizes[members].sum())
        right.append(0)
        leaf = len(members) <= LEAF
        start.append(sum(map(len, order)) if leaf else 0)
        size.append(len(members) if leaf else 0)
        if leaf:
            order.append(members)
            return
        axis = np.ptp(centres[members], axis=0).argmax()
        halves = np.array_split(members[np.argsort(centres[members, axis], kind="stable")], 2)
        add(halves[0])
        right[box] = len(boxes)
        add(halves[1])

    if len(corners):
        add(np.arange(len(corners)))
    sequence = np.concatenate(order) if order else np.zeros(0, np.int64)
    padded = np.concatenate([corners, corners[:, :1]], axis=1)[:, :3]
    return Tree(
        np.array(boxes, float).reshape(-1, 6),
        np.array(right, np.int64),
        np.array(start, np.int64),
        np.array(size, np.int64),
        np.array(measure, float),
        np.ascontiguousarray(padded[sequence]),
        triangles,
        np.ascontiguousarray(name[sequence]),
        np.zeros((0, 6)) if normals is None else np.ascontiguousarray(normals[sequence]),
    )


@kernel()
def box_distance(box, x0, x1, x2):  # type: ignore[no-untyped-def]
    """Square of the distance from a point to a box (6,)."""
    d0 = max(box[0] - x0, 0.0, x0 - box[3])
    d1 = max(box[1] - x1, 0.0, x1 - box[4])
    d2 = max(box[2] - x2, 0.0, x2 - box[5])
    return d0 * d0 + d1 * d1 + d2 * d2


@kernel()
def on_segment(c, x0, x1, x2):  # type: ignore[no-untyped-def]
    """The point of the segment from c[0] to c[1] that is closest to x; the two ends may coincide."""
    u0, u1, u2 = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
    square = u0 * u0 + u1 * u1 + u2 * u2
    t = ((x0 - c[0, 0]) * u0 + (x1 - c[0, 1]) * u1 + (x2 - c[0, 2]) * u2) / square if square > 0 else 0.0
    t = min(max(t, 0.0), 1.0)
    return c[0, 0] + t * u0, c[0, 1] + t * u1, c[0, 2] + t * u2


@kernel()
def on_triangle(c, x0, x1, x2):  # type: ignore[no-untyped-def]
    """The point of a triangle that is closest to x, by the seven regions of its plane.

    Ericson, "Real-Time Collision Detection" (2005), section 5.1.5: the signs of scalar products tell vertices, edges and interior apart.
    """
    a0, a1, a2 = c[0, 0], c[0, 1], c[0, 2]
    u0, u1, u2 = c[1, 0] - a0, c[1, 1] - a1, c[1, 2] - a2
    v0, v1, v2 = c[2, 0] - a0, c[2, 1] - a1, c[2, 2] - a2
    w0, w1, w2 = x0 - a0, x1 - a1, x2 - a2
    d1, d2 = u0 * w0 + u1 * w1 + u2 * w2, v0 * w0 + v1 * w1 + v2 * w2
    uu, uv, vv = u0 * u0 + u1 * u1 + u2 * u2, u0 * v0 + u1 * v1 + u2 * v2, v0 * v0 + v1 * v1 + v2 * v2
    d3, d4 = d1 - uu, d2 - uv  # the same products seen from the second vertex, and from the third
    d5, d6 = d1 - uv, d2 - vv
    s, t = 0.0, 0.0
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        s = 1.0
    elif d6 >= 0 and d5 <= d6:
        t = 1.0
    elif d1 * d4 - d3 * d2 <= 0 and d1 >= 0 and d3 <= 0:
        s = d1 / (d1 - d3)
    elif d5 * d2 - d1 * d6 <= 0 and d2 >= 0 and d6 <= 0:
        t = d2 / (d2 - d6)
    elif d3 * d6 - d5 * d4 <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        t = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        s = 1 - t
    else:
        va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
        s, t = vb / (va + vb + vc), vc / (va + vb + vc)
    return a0 + s * u0 + t * v0, a1 + s * u1 + t * v1, a2 + s * u2 + t * v2


@kernel()
def _seen_from_the_front(n0, n1, n2, v0, v1, v2):  # type: ignore[no-untyped-def]
    """Whether the inner side of a face with this outward normal is seen along v, which leads from the face to the eye.

    A face seen edge-on counts as seen: where the eye is on one of two faces, what is behind the other is hidden by their common edge.
    """
    return n0 * v0 + n1 * v1 + n2 * v2 <= _GRAZING * math.sqrt(v0 * v0 + v1 * v1 + v2 * v2)


@kernel()
def _is_silhouette(normals, v0, v1, v2):  # type: ignore[no-untyped-def]
    first = _seen_from_the_front(normals[0], normals[1], normals[2], v0, v1, v2)
    return first != _seen_from_the_front(normals[3], normals[4], normals[5], v0, v1, v2)


@kernel()
def closest(tree, x0, x1, x2, limit, stack, far):  # type: ignore[no-untyped-def]
    """Square of the distance to the closest element, its place in `tree.corners`, and the point on it.

    Parameters
    ----------
    limit : square of the distance beyond which nothing is looked for: place -1 says that nothing is closer.
    stack, far : scratch of `DEPTH` entries each, int64 and float64.
    """
    best, place, p0, p1, p2 = limit, -1, 0.0, 0.0, 0.0
    top = 0
    if tree.boxes.shape[0] > 0:
        stack[0], far[0], top = 0, box_distance(tree.boxes[0], x0, x1, x2), 1
    while top > 0:
        top -= 1
        if far[top] >= best:
            continue
        box = stack[top]
        if tree.size[box] > 0:
            for i in range(tree.start[box], tree.start[box] + tree.size[box]):
                if tree.triangles:
                    q0, q1, q2 = on_triangle(tree.corners[i], x0, x1, x2)
                else:
                    q0, q1, q2 = on_segment(tree.corners[i], x0, x1, x2)
                v0, v1, v2 = x0 - q0, x1 - q1, x2 - q2
                square = v0 * v0 + v1 * v1 + v2 * v2
                if square < best and (tree.normals.shape[0] == 0 or _is_silhouette(tree.normals[i], v0, v1, v2)):
                    best, place, p0, p1, p2 = square, i, q0, q1, q2
            continue
        near, other = box + 1, tree.right[box]
        d_near, d_other = box_distance(tree.boxes[near], x0, x1, x2), box_distance(tree.boxes[other], x0, x1, x2)
        if d_other < d_near:
            near, other, d_near, d_other = other, near, d_other, d_near
        if d_other < best:
            stack[top], far[top] = other, d_other
            top += 1
        stack[top], far[top] = near, d_near
        top += 1
    return best, place, p0, p1, p2


@kernel()
def _ray_meets_box(box, x, w, length):  # type: ignore[no-untyped-def]
    """Whether the ray may meet the box before `length`; a little too often where rounding decides."""
    low, high = 0.0, length
    for k in range(3):
        if w[k] == 0.0:
            if x[k] < box[k] or x[k] > box[3 + k]:
                return False
            continue
        a, b = (box[k] - x[k]) / w[k], (box[3 + k] - x[k]) / w[k]
        low, high = max(low, min(a, b)), min(high, max(a, b))
    return low <= high + 1e-12 * (abs(high) + length)


@kernel()
def _ray_meets_segment(c, x, w):  # type: ignore[no-untyped-def]
    """Distance along the ray to a segment of the plane z = 0, infinite where it is missed."""
    u0, u1 = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1]
    a0, a1 = c[0, 0] - x[0], c[0, 1] - x[1]
    determinant = w[0] * u1 - w[1] * u0
    s, t = (a0 * w[1] - a1 * w[0]) / determinant, (a0 * u1 - a1 * u0) / determinant
    return t if t >= 0 and -1e-14 <= s <= 1 + 1e-14 else np.inf  # neighbours overlap a little: no ray slips between them


@kernel()
def _ray_meets_triangle(c, x, w):  # type: ignore[no-untyped-def]
    """Distance along the ray to a triangle, infinite where it is missed: Cramer's rule for barycentric coordinates and distance."""
    u0, u1, u2 = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
    v0, v1, v2 = c[2, 0] - c[0, 0], c[2, 1] - c[0, 1], c[2, 2] - c[0, 2]
    a0, a1, a2 = x[0] - c[0, 0], x[1] - c[0, 1], x[2] - c[0, 2]
    h0, h1, h2 = w[1] * v2 - w[2] * v1, w[2] * v0 - w[0] * v2, w[0] * v1 - w[1] * v0
    determinant = u0 * h0 + u1 * h1 + u2 * h2
    s = (a0 * h0 + a1 * h1 + a2 * h2) / determinant
    q0, q1, q2 = a1 * u2 - a2 * u1, a2 * u0 - a0 * u2, a0 * u1 - a1 * u0
    t = (w[0] * q0 + w[1] * q1 + w[2] * q2) / determinant
    distance = (v0 * q0 + v1 * q1 + v2 * q2) / determinant
    return distance if distance >= 0 and s >= -1e-14 and t >= -1e-14 and s + t <= 1 + 1e-14 else np.inf


@kernel()
def first_hit(tree, x, w, length, skipped, stack):  # type: ignore[no-untyped-def]
    """Distance along the unit vector w (3,) from x (3,) to the first element before `length`, and its place; `length` and -1 for none.

    `skipped` is the place of an element that is not looked at, which is the one that the ray starts from, or -1.
    """
    best, place, top = length, -1, 0
    if tree.boxes.shape[0] > 0:
        stack[0], top = 0, 1
    while top > 0:
        top -= 1
        box = stack[top]
        if not _ray_meets_box(tree.boxes[box], x, w, best):
            continue
        if tree.size[box] > 0:
            for i in range(tree.start[box], tree.start[box] + tree.size[box]):
                if i != skipped:
                    t = _ray_meets_triangle(tree.corners[i], x, w) if tree.triangles else _ray_meets_segment(tree.corners[i], x, w)
                    if t < best:
                        best, place = t, i
            continue
        stack[top], stack[top + 1] = tree.right[box], box + 1
        top += 2
    return best, place


@kernel()
def pick(tree, x0, x1, x2, radius, u):  # type: ignore[no-untyped-def]
    """An element near a ball by one uniform number, and its density: the probability of being picked over its length or area.

    From every box the walk down goes to a child with the probability of its measure among those children that the ball meets. Place -1
    where no element is near.
    """
    square = radius * radius
    if tree.boxes.shape[0] == 0 or box_distance(tree.boxes[0], x0, x1, x2) >= square:
        return -1, 0.0
    box, density = 0, 1.0
    while tree.size[box] == 0:
        first, second = box + 1, tree.right[box]
        a = tree.measure[first] if box_distance(tree.boxes[first], x0, x1, x2) < square else 0.0
        b = tree.measure[second] if box_distance(tree.boxes[second], x0, x1, x2) < square else 0.0
        if a + b == 0.0:
            return -1, 0.0
        share = a / (a + b)
        if u < share:
            box, u, density = first, u / share, density * share
        else:
            box, u, density = second, (u - share) / (1 - share), density * (1 - share)
    place, last = tree.start[box], tree.start[box] + tree.size[box] - 1
    remaining = u * tree.measure[box]
    while place < last:
        share = element_measure(tree, place)
        if remaining < share:
            break
        remaining -= share
        place += 1
    return place, density / tree.measure[box]


@kernel()
def element_measure(tree, i):  # type: ignore[no-untyped-def]
    """Length or area of an element."""
    c = tree.corners[i]
    u0, u1, u2 = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
    if not tree.triangles:
        return math.sqrt(u0 * u0 + u1 * u1 + u2 * u2)
    v0, v1, v2 = c[2, 0] - c[0, 0], c[2, 1] - c[0, 1], c[2, 2] - c[0, 2]
    n0, n1, n2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
    return math.sqrt(n0 * n0 + n1 * n1 + n2 * n2) / 2


@kernel()
def element_normal(tree, i):  # type: ignore[no-untyped-def]
    """Unit normal that points out of the domain: to the right of a segment, by the right hand of a triangle."""
    c = tree.corners[i]
    u0, u1, u2 = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
    if tree.triangles:
        v0, v1, v2 = c[2, 0] - c[0, 0], c[2, 1] - c[0, 1], c[2, 2] - c[0, 2]
        n0, n1, n2 = u1 * v2 - u2 * v1, u2 * v0 - u0 * v2, u0 * v1 - u1 * v0
    else:
        n0, n1, n2 = u1, -u0, 0.0
    norm = math.sqrt(n0 * n0 + n1 * n1 + n2 * n2)
    return n0 / norm, n1 / norm, n2 / norm
