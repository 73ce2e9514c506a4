"""The numerical work of a multigrid cycle.

A level holds its operator scaled to unit diagonal, ``D^-1/2 A D^-1/2``, so that a stencil is its couplings alone. Vectors are flat and
padded (`galerkin.Layout`): couplings with ghosts are zero, so ghosts stay zero by themselves, and a pass is one long loop. The passes of
a level run block by block, each closely behind the one before it, so that what one wrote is still in the cache when the next reads it;
on grids with a periodic axis, whose ghosts have to be filled in between, they run one after another. Between grids, vectors are split
into the parts of `galerkin.Coarsening`, where restriction and interpolation are long loops too.
"""

from __future__ import annotations

import numpy as np

from solvers.linear.compiled import fast_kernel, kernel
from solvers.linear.galerkin import fill_ghosts
from solvers.linear.multigrid_setup import COUPLINGS, PARTS, STAR, STEP, VECTORS, WEIGHTS, array_size, shifted, span, split

_BLOCK = 2048  # cells of a block: a few such vectors fit into the first-level cache


@kernel()
def _combine(out, f, u, S, level, begin, end, a, b, c):  # type: ignore[no-untyped-def]
    """``out = a f + b u + c S u`` between `begin` and `end`, S the couplings: the one formula behind smoothing and residuals."""
    row, plane = level[2] + 2, level[5] * (level[2] + 2)
    o, g, v, factors = out[begin:end], f[begin:end], u[begin:end], (a, b, c)
    along = _neighbours(u, S[0], begin, end, 1)
    if not level[4]:
        _row_star(o, g, v, factors, along)
    elif not level[STAR]:
        _row_star(o, g, v, factors, along)
        _add_pair(o, u, S, 1, begin, end, row, 0, -row, c)
        if level[3]:  # the neighbouring planes: rows at one less than a plane, at a plane, and at one more
            _add_pair(o, u, S, 4, begin, end, plane - row, -row, -plane, c)
            _add_pair(o, u, S, 7, begin, end, plane, 0, -plane, c)
            _add_pair(o, u, S, 10, begin, end, plane + row, 0, -plane - row, c)
    elif level[3]:
        _space_star(o, g, v, factors, along, _neighbours(u, S[1], begin, end, row), _neighbours(u, S[2], begin, end, plane))
    else:
        _plane_star(o, g, v, factors, along, _neighbours(u, S[1], begin, end, row))


@kernel(inline="always")
def _neighbours(u, couplings, begin, end, distance):  # type: ignore[no-untyped-def]
    """Both neighbours along an axis, and the couplings with them."""
    return (
        shifted(u, begin, end, -distance),
        shifted(u, begin, end, distance),
        shifted(couplings, begin, end, -distance),
        shifted(couplings, begin, end, 0),
    )


@fast_kernel()
def _row_star(out, f, u, factors, along):  # type: ignore[no-untyped-def]
    a, b, c = factors
    west, east, sw, se = along
    for k in range(out.size):
        out[k] = a * f[k] + b * u[k] + c * (sw[k] * west[k] + se[k] * east[k])


@fast_kernel()
def _plane_star(out, f, u, factors, along, across):  # type: ignore[no-untyped-def]
    a, b, c = factors
    west, east, sw, se = along
    low, high, sl, sh = across
    for k in range(out.size):
        out[k] = a * f[k] + b * u[k] + c * (sw[k] * west[k] + se[k] * east[k] + sl[k] * low[k] + sh[k] * high[k])


@fast_kernel()
def _space_star(out, f, u, factors, along, across, beyond):  # type: ignore[no-untyped-def]
    a, b, c = factors
    west, east, sw, se = along
    low, high, sl, sh = across
    down, up, sd, su = beyond
    for k in range(out.size):
        s = sw[k] * west[k] + se[k] * east[k] + sl[k] * low[k] + sh[k] * high[k] + sd[k] * down[k] + su[k] * up[k]
        out[k] = a * f[k] + b * u[k] + c * s


@kernel()
def _add_pair(out, u, S, first, begin, end, up, up_at, down_at, c):  # type: ignore[no-untyped-def]
    """Add the couplings with the row at distance `up` and its mirror image behind, whose entries are stored at `up_at` and `down_at`."""
    _add_three(out, c, shifted(S[first], begin, end, up_at - 1), shifted(u, begin, end, up - 1), shifted(S[first + 1], begin, end, up_at),
               shifted(u, begin, end, up), shifted(S[first + 2], begin, end, up_at), shifted(u, begin, end, up + 1))  # fmt: skip
    _add_three(out, c, shifted(S[first], begin, end, down_at), shifted(u, begin, end, 1 - up), shifted(S[first + 1], begin, end, down_at),
               shifted(u, begin, end, -up), shifted(S[first + 2], begin, end, down_at - 1), shifted(u, begin, end, -up - 1))  # fmt: skip


@fast_kernel()
def _add_three(out, c, s0, u0, s1, u1, s2, u2):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += c * (s0[k] * u0[k] + s1[k] * u1[k] + s2[k] * u2[k])


@kernel(inline="always")
def vector(buffer, level, number):  # type: ignore[no-untyped-def]
    """Vector f, u or v of a level, or the solutions of its earlier visits."""
    size = array_size(level)
    return buffer[level[VECTORS] + number * size : level[VECTORS] + (number + 1) * size]


@kernel(inline="always")
def _couplings(buffer, level):  # type: ignore[no-untyped-def]
    dimension = 1 + level[4] + level[3]
    count = dimension if level[STAR] else (3**dimension - 1) // 2
    return buffer[level[COUPLINGS] : level[COUPLINGS] + count * array_size(level)].reshape(count, array_size(level))


@kernel(inline="always")
def _weights(buffer, level, coarse):  # type: ignore[no-untyped-def]
    count = 1
    for axis in range(3):
        count *= 3 if level[STEP + axis] == 2 else 1
    return buffer[level[WEIGHTS] : level[WEIGHTS] + count * array_size(coarse)].reshape(count, array_size(coarse))


@kernel(inline="always")
def _split_vector(buffer, level, coarse):  # type: ignore[no-untyped-def]
    count = level[STEP] * level[STEP + 1] * level[STEP + 2]
    return buffer[level[PARTS] : level[PARTS] + count * array_size(coarse)].reshape(count, array_size(coarse))


@kernel(inline="always")
def wraps(level):  # type: ignore[no-untyped-def]
    return level[6] or level[7] or level[8]


@kernel(inline="always")
def _block(level, begin, end):  # type: ignore[no-untyped-def]
    """Cells of a block: at least as many as lie between a cell and its farthest neighbour, all of them where passes must not overlap."""
    if wraps(level):
        return end - begin
    reach = (level[3] * level[5] + level[4]) * (level[2] + 2) + 1
    return max(reach, _BLOCK)


@kernel()
def fill(u, level):  # type: ignore[no-untyped-def]
    if wraps(level):
        width = level[2] + 2
        fill_ghosts(u.reshape(u.size // width, width), level)


@kernel()
def _correct(u, v, level, cells, ends, starts, inverses, first, last):  # type: ignore[no-untyped-def]
    """Solve for the cells of each island of a level, from `first` to before `last`, with the residual v as right-hand side."""
    for island in range(first, last):
        begin = ends[island - 1] if island else 0
        size, at = ends[island] - begin, starts[island]
        for m in range(size):
            total = 0.0
            for n in range(size):
                total += inverses[at + m * size + n] * v[cells[begin + n]]
            u[cells[begin + m]] += total
    fill(u, level)


@kernel()
def _residual(f, u, v, S, level):  # type: ignore[no-untyped-def]
    begin, end = span(level)
    one = np.float32(1.0)
    _combine(v, f, u, S, level, begin, end, one, -one, one)


@kernel()
def _down(buffer, level, coarse, transfers, w1, w2, islands, first, last):  # type: ignore[no-untyped-def]
    """Two smoothing steps from zero, the residual, and its restriction to the right-hand side of the coarse level.

    Smoothing is the Chebyshev polynomial of degree 2 in ``D^-1 A``, written as two Jacobi steps with its roots w1 and w2; from zero both
    together are ``(w1 + w2 - w1 w2) f + w1 w2 S f``.
    """
    f, u, v = vector(buffer, level, 0), vector(buffer, level, 1), vector(buffer, level, 2)
    S = _couplings(buffer, level)
    zero, one = np.float32(0.0), np.float32(1.0)
    begin, end = span(level)
    block = _block(level, begin, end)
    for at in range(begin, end + block, block):
        if at < end:
            _combine(u, f, f, S, level, at, min(at + block, end), w1 + w2 - w1 * w2, zero, w1 * w2)
            fill(u, level)
        if at > begin:
            _combine(v, f, u, S, level, at - block, min(at, end), one, -one, one)
    if last > first:
        _correct(u, v, level, islands[0], islands[1], islands[2], islands[3], first, last)
        _residual(f, u, v, S, level)
    fill(v, level)
    parts = _split_vector(buffer, level, coarse)
    split(v, parts, level, coarse)
    _restrict(parts, vector(buffer, coarse, 0), _weights(buffer, level, coarse), transfers, coarse)
    fill(vector(buffer, coarse, 0), coarse)


@kernel()
def _restrict(parts, out, W, transfers, coarse):  # type: ignore[no-untyped-def]
    """``out = P^T fine`` from the parts of the fine vector; there are 3, 9 or 27 children."""
    begin, end = span(coarse)
    target = out[begin:end]
    target[:] = 0.0
    for m in range(0, W.shape[0], 3):
        one, two, three = transfers[m], transfers[m + 1], transfers[m + 2]
        _add_three(
            target,
            np.float32(1.0),
            W[one[1], begin:end],
            shifted(parts[one[0]], begin, end, one[2]),
            W[two[1], begin:end],
            shifted(parts[two[0]], begin, end, two[2]),
            W[three[1], begin:end],
            shifted(parts[three[0]], begin, end, three[2]),
        )


@kernel()
def _prolong(coarse_u, parts, W, transfers, coarse):  # type: ignore[no-untyped-def]
    """The parts of ``P coarse_u``: the first from the coarse cells themselves, each of the others from 2, 4 or 8 neighbours."""
    begin, end = span(coarse)
    _product_of_one(parts[0, begin:end], W[transfers[0, 1], begin:end], coarse_u[begin:end])
    for m in range(1, W.shape[0], 2):
        one, two = transfers[m], transfers[m + 1]
        target = parts[one[0], begin:end]
        if transfers[m - 1, 0] != one[0]:
            target[:] = 0.0
        _add_two(
            target,
            shifted(W[one[1]], begin, end, -one[2]),
            shifted(coarse_u, begin, end, -one[2]),
            shifted(W[two[1]], begin, end, -two[2]),
            shifted(coarse_u, begin, end, -two[2]),
        )


@fast_kernel()
def _product_of_one(out, w, u):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = w[k] * u[k]


@fast_kernel()
def _add_two(out, w0, u0, w1, u1):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += w0[k] * u0[k] + w1[k] * u1[k]


@kernel()
def _add_row(u, parts, number, level, coarse):  # type: ignore[no-untyped-def]
    """Add a row of the fine grid from its parts to u."""
    i, j, width, n = number // level[1], number % level[1], level[2] + 2, coarse[2] + 2
    sx, sy, sz = level[STEP], level[STEP + 1], level[STEP + 2]
    part = ((i % sx) * sy + j % sy) * sz
    row = ((i + level[3]) * level[5] + j + level[4]) * width
    at = ((i // sx + coarse[3]) * coarse[5] + j // sy + coarse[4]) * n
    if sz == 2:
        _interleave(u[row : row + width], parts[part, at : at + n], parts[part + 1, at : at + n])
    else:
        _add_cells(u[row : row + width], parts[part, at : at + n])


@fast_kernel()
def _interleave(u, even, odd):  # type: ignore[no-untyped-def]
    n = u.size - 2
    target, first, second = u[1:], even[1:], odd[1:]
    for k in range(n // 2):
        target[2 * k] += first[k]
        target[2 * k + 1] += second[k]
    if n % 2:
        target[n - 1] += first[n // 2]


@fast_kernel()
def _add_cells(u, part):  # type: ignore[no-untyped-def]
    for k in range(1, u.size - 1):
        u[k] += part[k]


@kernel()
def _up(buffer, level, coarse, transfers, w1, w2, islands, first, last):  # type: ignore[no-untyped-def]
    """The correction from the coarse level and two smoothing steps; the result is in u. Returns ``f . u``."""
    f, u, v = vector(buffer, level, 0), vector(buffer, level, 1), vector(buffer, level, 2)
    S, W, coarse_u = _couplings(buffer, level), _weights(buffer, level, coarse), vector(buffer, coarse, 1)
    one = np.float32(1.0)
    begin, end = span(level)
    block = _block(level, begin, end)
    product, number, width, around = 0.0, 0, level[2] + 2, wraps(level)
    parts = _split_vector(buffer, level, coarse)
    _prolong(coarse_u, parts, W, transfers, coarse)
    if last > first:
        while number < level[0] * level[1]:
            _add_row(u, parts, number, level, coarse)
            number += 1
        fill(u, level)
        _residual(f, u, v, S, level)
        _correct(u, v, level, islands[0], islands[1], islands[2], islands[3], first, last)
    for at in range(begin, end + 2 * block, block):
        ahead = min(at + block, end)
        while number < level[0] * level[1] and ((number // level[1] + level[3]) * level[5] + number % level[1] + level[4]) * width < ahead:
            _add_row(u, parts, number, level, coarse)
            number += 1
        if at == begin:
            fill(u, level)
        if begin < at < end + block:
            _combine(v, f, u, S, level, at - block, min(at, end), w1, one - w1, w1)
            fill(v, level)
        if at >= begin + 2 * block:
            behind = min(at - block, end)
            _combine(u, f, v, S, level, at - 2 * block, behind, w2, one - w2, w2)
            if not around:
                product += _product(f[at - 2 * block : behind], u[at - 2 * block : behind])
    if around:  # ghosts are copies here: rows without them
        for row in range(level[0] * level[1]):
            first = ((row // level[1] + level[3]) * level[5] + row % level[1] + level[4]) * width + 1
            product += _product(f[first : first + level[2]], u[first : first + level[2]])
        fill(u, level)
    return product


@fast_kernel()
def _product(f, u):  # type: ignore[no-untyped-def]
    """Sum over a block, in float32: blocks are short, and their sums are added in float64."""
    total = np.float32(0.0)
    for k in range(f.size):
        total += f[k] * u[k]
    return float(total)


@fast_kernel()
def _coarsest(buffer, level, inverse):  # type: ignore[no-untyped-def]
    f, u = vector(buffer, level, 0), vector(buffer, level, 1)
    nz, width, product = level[2], level[2] + 2, 0.0
    for one in range(level[0] * level[1]):
        to = ((one // level[1] + level[3]) * level[5] + one % level[1] + level[4]) * width
        for k in range(nz):
            s = 0.0
            for other in range(level[0] * level[1]):
                row = ((other // level[1] + level[3]) * level[5] + other % level[1] + level[4]) * width
                for m in range(nz):
                    s += inverse[one * nz + k, other * nz + m] * f[row + m + 1]
            u[to + k + 1] = s
            product += s * f[to + k + 1]
    fill(u, level)
    return product


@kernel()
def cycle(hierarchy):  # type: ignore[no-untyped-def]
    """One cycle from zero: vector f of level 0 (ghosts filled) to vector u of level 0, both scaled; returns ``f . u``.

    `hierarchy` is ``(buffer, levels, transfers, roots, inverse, islands, first, visits)``: `islands` are the cells of all islands of all
    levels, where the cells of each island end, where its inverse starts, and the inverses; ``first[depth]`` is the first island of a
    level; ``visits[0, depth]`` says how often each visit to the level above visits it, ``visits[1]`` is memory to count in.
    """
    buffer, levels, transfers, roots, inverse, islands, first, visits = hierarchy
    last, product = levels.shape[0] - 1, 0.0
    d = 0
    visits[1] = 0
    while True:
        while d < last:
            _down(buffer, levels[d], levels[d + 1], transfers[d], roots[d, 0], roots[d, 1], islands, first[d], first[d + 1])
            d += 1
        product = _coarsest(buffer, levels[last], inverse)
        while d > 0:
            visits[1, d] += 1
            if visits[1, d] > 1:
                _add_cells(vector(buffer, levels[d], 1), vector(buffer, levels[d], 3))
            if visits[1, d] < visits[0, d]:
                _set_aside(buffer, levels[d])
                break
            visits[1, d] = 0
            d -= 1
            product = _up(buffer, levels[d], levels[d + 1], transfers[d], roots[d, 0], roots[d, 1], islands, first[d], first[d + 1])
        if d == 0:
            return product


@kernel()
def _set_aside(buffer, level):  # type: ignore[no-untyped-def]
    """Store the solution u of a level, and take its residual for the right-hand side of the next visit."""
    f, u, v, total = vector(buffer, level, 0), vector(buffer, level, 1), vector(buffer, level, 2), vector(buffer, level, 3)
    _residual(f, u, v, _couplings(buffer, level), level)
    fill(v, level)
    for k in range(u.size):
        f[k] = v[k]
        total[k] = u[k]
