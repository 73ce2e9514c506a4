"""One walk on spheres, or on stars where walls reflect, and the loops over walks and points.

Walk number n from point number p draws, in step s, the words of Philox for the counter (8 s + slot, n, p, 0): nothing else decides what it
does. Walks are summed up one after another by Welford's recurrence, which goes on where it stopped.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solvers.linear.compiled import kernel
from solvers.montecarlo.balls import (
    ANALOGUE,
    dipole,
    dipole_radius,
    green,
    harmonic_radius,
    killed_radius,
    slope,
    survival,
)
from solvers.montecarlo.tree import Tree, closest, element_normal, first_hit, pick
from solvers.philox import uniforms

#: How a walk ends: at the Dirichlet part or by absorption; at the limit of steps; at a value that is not finite, of which data.
ENDED, TRUNCATED, BAD_DIRICHLET, BAD_SOURCE, BAD_FLUX = 0, 1, 2, 3, 4

_SLOTS = np.int64(8)
_LIFT = 1e-9  # of a ball's radius: how far the ends of a line of sight are kept off the walls they lie on


class Walker(NamedTuple):
    """What all walks of one call share.

    held, walls, hiding : the Dirichlet part, the reflecting part, and the reentrant edges between its elements.
    tags : of all elements of the boundary.
    kappa : square root of the absorption.
    has_source, has_flux : whether there is a source, and an inhomogeneous Neumann condition.
    key : two words, uint64.
    epsilons : falling; distances from the Dirichlet part within which its value is taken.
    max_steps : of a walk.
    """

    dimension: int
    held: Tree
    walls: Tree
    hiding: Tree
    tags: NDArray[np.int64]
    kappa: float
    has_source: bool
    has_flux: bool
    key: NDArray[np.uint64]
    epsilons: NDArray[np.float64]
    max_steps: int


class Scratch(NamedTuple):
    """What one thread writes in: place, direction and another place of a walk, its readings, and the stack of searches."""

    x: NDArray[np.float64]
    w: NDArray[np.float64]
    z: NDArray[np.float64]
    readings: NDArray[np.float64]
    other: NDArray[np.float64]
    stack: NDArray[np.int64]
    far: NDArray[np.float64]


@kernel()
def _draw(key, point, number, step, slot):  # type: ignore[no-untyped-def]
    return uniforms(np.uint64(_SLOTS * step + slot), np.uint64(number), np.uint64(point), np.uint64(0), key[0], key[1])


@kernel()
def _turn(dimension, u1, u2, w):  # type: ignore[no-untyped-def]
    """Fill w with a direction from uniform numbers."""
    if dimension == 2:
        w[0], w[1], w[2] = math.cos(2 * math.pi * u1), math.sin(2 * math.pi * u1), 0.0
    else:
        height = 2 * u1 - 1
        across = math.sqrt(1 - height * height)
        w[0], w[1], w[2] = across * math.cos(2 * math.pi * u2), across * math.sin(2 * math.pi * u2), height


@kernel()
def _in_plane_of(walker, s, wall, place, R):  # type: ignore[no-untyped-def]
    """Whether an element lies in the plane through s.x of the wall that s.x is on."""
    n0, n1, n2 = element_normal(walker.walls, wall)
    for k in range(3 if walker.walls.triangles else 2):
        c = walker.walls.corners[place, k]
        v0, v1, v2 = c[0] - s.x[0], c[1] - s.x[1], c[2] - s.x[2]
        if abs(v0 * n0 + v1 * n1 + v2 * n2) > _LIFT * (R + math.sqrt(v0 * v0 + v1 * v1 + v2 * v2)):
            return False
    return True


@kernel()
def _flux_from(walker, flux, s, wall, place, R):  # type: ignore[no-untyped-def]
    """G h at s.z, which is on the wall called place: 0 outside the ball, and where s.x does not see it.

    Both ends of the line of sight are lifted off their walls, so that walls of one plane see each other past those between them.
    """
    r = math.sqrt((s.z[0] - s.x[0]) ** 2 + (s.z[1] - s.x[1]) ** 2 + (s.z[2] - s.x[2]) ** 2)
    if r >= R or r == 0:
        return 0.0
    m0, m1, m2 = element_normal(walker.walls, place)
    n0, n1, n2 = 0.0, 0.0, 0.0
    if wall >= 0:
        n0, n1, n2 = element_normal(walker.walls, wall)
    lift = _LIFT * R
    s.other[0], s.other[1], s.other[2] = s.x[0] - lift * n0, s.x[1] - lift * n1, s.x[2] - lift * n2
    v0, v1, v2 = s.z[0] - s.other[0], s.z[1] - s.other[1], s.z[2] - s.other[2]
    if v0 * m0 + v1 * m1 + v2 * m2 <= 0:
        return 0.0
    v0, v1, v2 = v0 - lift * m0, v1 - lift * m1, v2 - lift * m2
    size = math.sqrt(v0 * v0 + v1 * v1 + v2 * v2)
    s.w[0], s.w[1], s.w[2] = v0 / size, v1 / size, v2 / size
    _, blocking = first_hit(walker.walls, s.other, s.w, size, place, s.stack)
    if blocking >= 0:
        return 0.0
    return green(walker.dimension, walker.kappa, r, R) * flux(s.z[0], s.z[1], s.z[2], walker.tags[walker.walls.name[place]])


@kernel()
def _flux_of_star(walker, flux, s, wall, R, point, number, step):  # type: ignore[no-untyped-def]
    """An estimate of the integral of G h over the walls that are seen inside the star; where it is not finite s.z is the place.

    Walls in the plane of the one that s.x is on are drawn in that plane, by a density like 1 / r in space: under equal densities
    G = 1 / (4 pi r) would have an infinite variance there. All others are drawn by their length or area.
    """
    u, u1 = _draw(walker.key, point, number, step, 3)
    u2, u3 = _draw(walker.key, point, number, step, 4)
    total = 0.0
    place, density = pick(walker.walls, s.x[0], s.x[1], s.x[2], R, u)
    if place >= 0 and not (wall >= 0 and _in_plane_of(walker, s, wall, place, R)):
        c = walker.walls.corners[place]
        if walker.walls.triangles and u1 + u2 > 1:
            u1, u2 = 1 - u1, 1 - u2
        for k in range(3):
            s.z[k] = c[0, k] + u1 * (c[1, k] - c[0, k])
            if walker.walls.triangles:
                s.z[k] += u2 * (c[2, k] - c[0, k])
        total = _flux_from(walker, flux, s, wall, place, R) / density
    if wall < 0 or not math.isfinite(total):
        return total
    n0, n1, n2 = element_normal(walker.walls, wall)
    c = walker.walls.corners[wall]
    t0, t1, t2 = c[1, 0] - c[0, 0], c[1, 1] - c[0, 1], c[1, 2] - c[0, 2]
    size = math.sqrt(t0 * t0 + t1 * t1 + t2 * t2)
    t0, t1, t2 = t0 / size, t1 / size, t2 / size
    _, u4 = _draw(walker.key, point, number, step, 2)
    r = R * u3
    if walker.dimension == 2:
        cosine, sine, area = 1.0 if u4 < 0.5 else -1.0, 0.0, 2 * R
    else:
        cosine, sine, area = math.cos(2 * math.pi * u4), math.sin(2 * math.pi * u4), 2 * math.pi * R * r
    s.z[0] = s.x[0] + r * (cosine * t0 + sine * (n1 * t2 - n2 * t1))
    s.z[1] = s.x[1] + r * (cosine * t1 + sine * (n2 * t0 - n0 * t2))
    s.z[2] = s.x[2] + r * (cosine * t2 + sine * (n0 * t1 - n1 * t0))
    _, place, _, _, _ = closest(walker.walls, s.z[0], s.z[1], s.z[2], (_LIFT * R) ** 2, s.stack, s.far)
    if place < 0 or not _in_plane_of(walker, s, wall, place, R):
        return total
    return total + _flux_from(walker, flux, s, wall, place, R) * area


@kernel()
def walk(walker, dirichlet, source, flux, s, point, number, step):  # type: ignore[no-untyped-def]
    """Walk from s.x until the Dirichlet part is as near as the last of `epsilons`; fills s.readings, one for each of them.

    Each ball, cut off by walls, contributes its source and flux and is left at a random place: Sawhney, Miller, Gkioulekas and Crane,
    "Walk on stars", ACM TOG 42 (2023), equations (13) to (17) with walls in view at most once.

    Parameters
    ----------
    step : number of the first step. Where it is not 0 the caller has taken those before.

    Returns
    -------
    steps, how : steps done, and how the walk ended; where a value is not finite, s.z is its place.
    """
    total, weight, wall, read, begin = 0.0, 1.0, -1, 0, step
    dimension, kappa, x, w = walker.dimension, walker.kappa, s.x, s.w
    while True:
        square, place, p0, p1, p2 = closest(walker.held, x[0], x[1], x[2], np.inf, s.stack, s.far)
        R = math.sqrt(square)
        over = step - begin >= walker.max_steps
        while read < walker.epsilons.shape[0] and (over or walker.epsilons[read] >= R):
            value = dirichlet(p0, p1, p2, walker.tags[walker.held.name[place]])
            if not math.isfinite(value):
                s.z[0], s.z[1], s.z[2] = p0, p1, p2
                return step - begin, BAD_DIRICHLET
            s.readings[read] = total + weight * value
            read += 1
        if read == walker.epsilons.shape[0]:
            return step - begin, TRUNCATED if over and walker.epsilons[read - 1] < R else ENDED
        if walker.hiding.boxes.shape[0] > 0:
            square, _, _, _, _ = closest(walker.hiding, x[0], x[1], x[2], square, s.stack, s.far)
            R = max(math.sqrt(square), walker.epsilons[-1])
        if walker.has_flux:
            term = _flux_of_star(walker, flux, s, wall, R, point, number, step)
            if not math.isfinite(term):
                return step - begin, BAD_FLUX
            total += (2 if wall >= 0 else 1) * weight * term
        u1, u2 = _draw(walker.key, point, number, step, 0)
        _turn(dimension, u1, u2, w)
        r, hit = R, -1
        if walker.walls.boxes.shape[0] > 0:
            if wall >= 0:
                n0, n1, n2 = element_normal(walker.walls, wall)
                if n0 * w[0] + n1 * w[1] + n2 * w[2] > 0:
                    w[0], w[1], w[2] = -w[0], -w[1], -w[2]
            r, hit = first_hit(walker.walls, x, w, R, wall, s.stack)
        killing = kappa * R >= ANALOGUE
        if walker.has_source or killing:
            u1, u2 = _draw(walker.key, point, number, step, 1)
            u3, _ = _draw(walker.key, point, number, step, 2)
            radius = killed_radius(dimension, kappa, R, u1, u2, u3) if killing else harmonic_radius(dimension, R, u1, u2, u3)
            if radius < r:
                for k in range(3):
                    s.z[k] = x[k] + radius * w[k]
                value = source(s.z[0], s.z[1], s.z[2], 0)
                if not math.isfinite(value):
                    return step - begin, BAD_SOURCE
                if killing:
                    total += weight * value / (kappa * kappa)
                    while read < walker.epsilons.shape[0]:
                        s.readings[read] = total
                        read += 1
                    return step + 1 - begin, ENDED
                mass = R * R / (2 * dimension)
                if kappa > 0:
                    mass *= green(dimension, kappa, radius, R) / green(dimension, 0.0, radius, R)
                total += weight * mass * value
        if not killing:
            weight *= survival(dimension, kappa, r, R)
        for k in range(3):
            x[k] += r * w[k]
        wall = hit
        step += 1


@kernel()
def _add(value, count, mean, squares):  # type: ignore[no-untyped-def]
    """Mean and sum of squared deviations with one value more, which is number `count` from 1."""
    step = value - mean
    mean += step / count
    return mean, squares + step * (value - mean)


@kernel()
def run_walks(walker, dirichlet, source, flux, s, starts, points, first, last, rows, mean, squares, truncated, steps):  # type: ignore[no-untyped-def]
    """Walks `first` to `last` - 1 from every start, added to mean and squares (starts, quantities).

    Parameters
    ----------
    starts, points : coordinates (starts, 3), and the numbers that their walks are drawn by.
    rows : (quantities, epsilons); a quantity is a row's sum over the readings of a walk.

    Returns
    -------
    how, start : the first bad ending, with its place in s.z, or ENDED.
    """
    for i in range(starts.shape[0]):
        for number in range(first, last):
            for k in range(3):
                s.x[k] = starts[i, k]
            taken, how = walk(walker, dirichlet, source, flux, s, points[i], number, 0)
            steps[i] += taken
            if how > TRUNCATED:
                return how, i
            truncated[i] += how
            for q in range(rows.shape[0]):
                value = 0.0
                for j in range(rows.shape[1]):
                    value += rows[q, j] * s.readings[j]
                mean[i, q], squares[i, q] = _add(value, number + 1, mean[i, q], squares[i, q])
    return ENDED, 0


@kernel()
def run_gradients(walker, dirichlet, source, flux, s, starts, radii, points, first, last, mean, squares, truncated, steps):  # type: ignore[no-untyped-def]
    """Pairs `first` to `last` - 1 of walks from opposite points of a sphere around every start; mean and squares are (starts, dimension).

    With c of `balls.slope` a pair contributes c w (u(x + R w) - u(x - R w)) / 2 of the boundary, and of the source the same difference at
    a radius drawn by the gradient of G: of it the integral is 2 R / 3 in the plane and 3 R / 4 in space. From the boundary term the same
    of the linear function with the mean gradient of the pairs before is taken, whose expectation is known: what remains scatters as
    though u had no slope there. A constant would do nothing, as opposite points cancel it.
    """
    dimension, kappa = walker.dimension, walker.kappa
    for i in range(starts.shape[0]):
        R = radii[i]
        c = slope(dimension, kappa, R)
        for number in range(first, last):
            u1, u2 = _draw(walker.key, points[i], number, 0, 0)
            _turn(dimension, u1, u2, s.other)
            w0, w1, w2 = s.other[0], s.other[1], s.other[2]
            u1, u2 = _draw(walker.key, points[i], number, 0, 1)
            u3, u4 = _draw(walker.key, points[i], number, 0, 2)
            u5, _ = _draw(walker.key, points[i], number, 0, 3)
            r = dipole_radius(dimension, R, u1, u2, u3, u4, u5)
            difference = 0.0
            for side in range(2):
                sign = 1.0 - 2 * side
                s.x[0], s.x[1], s.x[2] = starts[i, 0] + sign * R * w0, starts[i, 1] + sign * R * w1, starts[i, 2] + sign * R * w2
                taken, how = walk(walker, dirichlet, source, flux, s, points[i], number, 1)
                steps[i] += taken + 1
                if how > TRUNCATED:
                    return how, i
                truncated[i] += how
                difference += sign * c * s.readings[0] / 2
                if walker.has_source:
                    s.z[0], s.z[1], s.z[2] = starts[i, 0] + sign * r * w0, starts[i, 1] + sign * r * w1, starts[i, 2] + sign * r * w2
                    value = source(s.z[0], s.z[1], s.z[2], 0)
                    if not math.isfinite(value):
                        return BAD_SOURCE, i
                    mass = R * (2 / 3 if dimension == 2 else 3 / 4)
                    difference += sign * mass * dipole(dimension, kappa, r, R) * value / 2
            s.other[0], s.other[1], s.other[2] = w0, w1, w2
            along = 0.0
            for k in range(dimension):
                along += s.other[k] * mean[i, k]
            for k in range(dimension):
                value = s.other[k] * (difference - c * R * along) + c * R / dimension * mean[i, k]
                s.z[k] = value
            for k in range(dimension):
                mean[i, k], squares[i, k] = _add(s.z[k], number + 1, mean[i, k], squares[i, k])
    return ENDED, 0
