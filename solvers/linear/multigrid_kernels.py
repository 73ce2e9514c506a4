"""The numerical work of a multigrid cycle and of the conjugate gradients around it, one compiled call for a whole solve.

A level holds its operator scaled to unit diagonal, ``D^-1/2 A D^-1/2``, so that a stencil is its couplings alone. Vectors are flat and
padded (`galerkin.Layout`): couplings with ghosts are zero, so ghosts stay zero by themselves, and a pass is one long loop. The passes of
a level run block by block, each closely behind the one before it, so that what one wrote is still in the cache when the next reads it;
on grids with a periodic axis, whose ghosts have to be filled in between, they run one after another.

Numbers of a level (`numbers`): those of `galerkin.Layout`, then star (1 for level 0), the steps 1 or 2 to its coarse grid along each
axis, and the offsets of its couplings, weights and vectors f, u, v in the one buffer that holds all levels.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from solvers.linear.galerkin import fill_ghosts

#: Positions in the numbers of a level.
STAR, STEP, COUPLINGS, WEIGHTS, VECTORS, LEVEL_NUMBERS = 9, 10, 13, 14, 15, 18

_FAST = {"contract", "reassoc", "nsz", "arcp"}  # not the flags that would let the compiler drop tests for NaN
_BLOCK = 2048  # cells of a block: a few such vectors fit into the first-level cache


@njit(cache=True, nogil=True, error_model="numpy")
def star_entries(tx, ty, tz, reaction, factor, A, grid):  # type: ignore[no-untyped-def]
    """Diagonal and couplings of level 0 times `factor`, ghosts filled, from the faces of an operator; A is (1 + dimension, rows, width)."""
    nx, ny, nz = reaction.shape
    for i in range(nx):
        for j in range(ny):
            row = (i + grid[3]) * grid[5] + j + grid[4]
            for k in range(nz):
                total = reaction[i, j, k]
                if nz > 1 or not grid[8]:  # a cell that is its own neighbour exchanges nothing
                    total += tz[i, j, k] + tz[i, j, k + 1]
                if ny > 1 or not grid[7]:
                    total += ty[i, j, k] + ty[i, j + 1, k]
                if nx > 1 or not grid[6]:
                    total += tx[i, j, k] + tx[i + 1, j, k]
                A[0, row, k + 1] = factor * total
                A[1, row, k + 1] = -factor * tz[i, j, k + 1] if k < nz - 1 or (grid[8] and nz > 1) else 0.0
                if grid[4]:
                    A[2, row, k + 1] = -factor * ty[i, j + 1, k] if j < ny - 1 or (grid[7] and ny > 1) else 0.0
                if grid[3]:
                    A[3, row, k + 1] = -factor * tx[i + 1, j, k] if i < nx - 1 or (grid[6] and nx > 1) else 0.0
    for array in A:
        fill_ghosts(array, grid)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _from(array, begin, end, distance):  # type: ignore[no-untyped-def]
    """View of the neighbours at a distance. Loops over views count from 0, which spares the compiler the case of negative indices."""
    return array[begin + distance : end + distance]


@njit(cache=True, nogil=True, error_model="numpy")
def relative_strengths(A, ends, begin, end, out):  # type: ignore[no-untyped-def]
    """Sum of each kind of coupling over the larger diagonal of its two cells: a few strong cells must not speak for all."""
    for number in range(ends.shape[0]):
        one, two = ends[number]
        out[number] = _relative_sum(A[number + 1, begin:end], _from(A[0], begin, end, one), _from(A[0], begin, end, two))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _relative_sum(entries, one, two):  # type: ignore[no-untyped-def]
    total = entries[0] * 0
    for k in range(entries.size):
        larger = max(one[k], two[k])
        total += -entries[k] / larger if larger > 0 else larger
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def dense(A, ends, real, grid):  # type: ignore[no-untyped-def]
    """The matrix of a small grid in float64; cells in C order."""
    nx, ny, nz, stride, width = grid[0], grid[1], grid[2], grid[5], grid[2] + 2
    matrix = np.zeros((nx * ny * nz, nx * ny * nz))
    number = np.zeros(real.size, np.int64)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                number[((i + grid[3]) * stride + j + grid[4]) * width + k + 1] = (i * ny + j) * nz + k
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                at = ((i + grid[3]) * stride + j + grid[4]) * width + k + 1
                matrix[number[at], number[at]] += A[0, at]
                for entry in range(ends.shape[0]):
                    one, two = real[at + ends[entry, 0]], real[at + ends[entry, 1]]
                    if one > 0 and two > 0:  # 0 is a ghost beyond a wall
                        matrix[number[one], number[two]] += A[entry + 1, at]
                        matrix[number[two], number[one]] += A[entry + 1, at]
    return matrix


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def inverse_roots(diagonal, out):  # type: ignore[no-untyped-def]
    """``D^-1/2``, zero where a cell is coupled to nothing, and in ghosts."""
    for k in range(out.size):
        out[k] = 1.0 / np.sqrt(diagonal[k]) if diagonal[k] > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def scale_couplings(A, root, ends, begin, end, grid, width, out):  # type: ignore[no-untyped-def]
    """``out = -D^-1/2 A D^-1/2`` off the diagonal, ghosts filled; returns a bound on the eigenvalues of ``D^-1 A``.

    ``ends[n]`` are the flat distances of the two cells of coupling n from where it is stored. The bound is the smaller of the largest
    row sums of ``D^-1 |A|`` and of ``D^-1/2 |A| D^-1/2``: one is sharp on level 0, the other where Galerkin products put cells of very
    different diagonals beside each other.
    """
    plain, scaled = np.zeros_like(root), np.zeros_like(root)
    for number in range(ends.shape[0]):
        one, two = ends[number]
        entries, result = A[number + 1, begin:end], out[number, begin:end]
        _scale(entries, result, _from(root, begin, end, one), _from(root, begin, end, two))
        for distance in (one, two):
            _add_sizes(entries, result, _from(plain, begin, end, distance), _from(scaled, begin, end, distance))
        fill_ghosts(out[number].reshape(root.size // width, width), grid)
    return 1.0 + _smaller_bound(plain[begin:end], scaled[begin:end], root[begin:end])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _scale(entries, out, one, two):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = -entries[k] * one[k] * two[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _add_sizes(entries, result, plain, scaled):  # type: ignore[no-untyped-def]
    for k in range(entries.size):
        plain[k] += abs(entries[k])
        scaled[k] += abs(result[k])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _smaller_bound(plain, scaled, root):  # type: ignore[no-untyped-def]
    largest_plain = largest_scaled = plain[0]
    for k in range(plain.size):
        largest_plain = max(largest_plain, plain[k] * root[k] * root[k])
        largest_scaled = max(largest_scaled, scaled[k])
    return min(largest_plain, largest_scaled)


@njit(cache=True, nogil=True, error_model="numpy")
def scale_weights(W, diagonals, places, coarse_root, begin, end, out):  # type: ignore[no-untyped-def]
    """``out = D^1/2 P D_coarse^-1/2``; ``places[c]`` is (row, distance) of the diagonal of child c in the split `diagonals`."""
    for child in range(places.shape[0]):
        row, distance = places[child]
        _scale_weight(W[child, begin:end], coarse_root[begin:end], _from(diagonals[row], begin, end, distance), out[child, begin:end])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _scale_weight(weights, root, diagonal, out):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = weights[k] * root[k] * np.sqrt(max(diagonal[k], diagonal[k] * 0))


@njit(cache=True, nogil=True, error_model="numpy")
def _combine(out, f, u, S, level, begin, end, a, b, c):  # type: ignore[no-untyped-def]
    """``out = a f + b u + c S u`` between `begin` and `end`, S the couplings: the one formula behind smoothing and residuals."""
    row, plane = level[2] + 2, level[5] * (level[2] + 2)
    o, g, v = out[begin:end], f[begin:end], u[begin:end]
    west, east, sw, se = _from(u, begin, end, -1), _from(u, begin, end, 1), _from(S[0], begin, end, -1), _from(S[0], begin, end, 0)
    if not level[4]:
        _row_star(o, g, v, a, b, c, west, east, sw, se)
        return
    low, high = _from(u, begin, end, -row), _from(u, begin, end, row)
    if level[STAR]:
        sl, sh = _from(S[1], begin, end, -row), _from(S[1], begin, end, 0)
        if level[3]:
            down, up = _from(u, begin, end, -plane), _from(u, begin, end, plane)
            _space_star(
                o,
                g,
                v,
                a,
                b,
                c,
                west,
                east,
                sw,
                se,
                low,
                high,
                sl,
                sh,
                down,
                up,
                _from(S[2], begin, end, -plane),
                _from(S[2], begin, end, 0),
            )
        else:
            _plane_star(o, g, v, a, b, c, west, east, sw, se, low, high, sl, sh)
        return
    _row_star(o, g, v, a, b, c, west, east, sw, se)
    _add_pair(o, u, S, 1, begin, end, row, 0, -row, c)
    if level[3]:  # the neighbouring planes: rows at one less than a plane, at a plane, and at one more
        _add_pair(o, u, S, 4, begin, end, plane - row, -row, -plane, c)
        _add_pair(o, u, S, 7, begin, end, plane, 0, -plane, c)
        _add_pair(o, u, S, 10, begin, end, plane + row, 0, -plane - row, c)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _row_star(out, f, u, a, b, c, west, east, sw, se):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = a * f[k] + b * u[k] + c * (sw[k] * west[k] + se[k] * east[k])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _plane_star(out, f, u, a, b, c, west, east, sw, se, low, high, sl, sh):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = a * f[k] + b * u[k] + c * (sw[k] * west[k] + se[k] * east[k] + sl[k] * low[k] + sh[k] * high[k])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _space_star(out, f, u, a, b, c, west, east, sw, se, low, high, sl, sh, down, up, sd, su):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        s = sw[k] * west[k] + se[k] * east[k] + sl[k] * low[k] + sh[k] * high[k] + sd[k] * down[k] + su[k] * up[k]
        out[k] = a * f[k] + b * u[k] + c * s


@njit(cache=True, nogil=True, error_model="numpy")
def _add_pair(out, u, S, first, begin, end, up, up_at, down_at, c):  # type: ignore[no-untyped-def]
    """Add the couplings with the row at distance `up` and its mirror image behind, whose entries are stored at `up_at` and `down_at`."""
    _add_three(out, c, _from(S[first], begin, end, up_at - 1), _from(u, begin, end, up - 1), _from(S[first + 1], begin, end, up_at),
               _from(u, begin, end, up), _from(S[first + 2], begin, end, up_at), _from(u, begin, end, up + 1))  # fmt: skip
    _add_three(out, c, _from(S[first], begin, end, down_at), _from(u, begin, end, 1 - up), _from(S[first + 1], begin, end, down_at),
               _from(u, begin, end, -up), _from(S[first + 2], begin, end, down_at - 1), _from(u, begin, end, -up - 1))  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _add_three(out, c, s0, u0, s1, u1, s2, u2):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += c * (s0[k] * u0[k] + s1[k] * u1[k] + s2[k] * u2[k])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _size(level):  # type: ignore[no-untyped-def]
    return (level[0] + 2 * level[3]) * level[5] * (level[2] + 2)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _vector(buffer, level, number):  # type: ignore[no-untyped-def]
    return buffer[level[VECTORS + number] : level[VECTORS + number] + _size(level)]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _couplings(buffer, level):  # type: ignore[no-untyped-def]
    dimension = 1 + level[4] + level[3]
    count = dimension if level[STAR] else (3**dimension - 1) // 2
    return buffer[level[COUPLINGS] : level[COUPLINGS] + count * _size(level)].reshape(count, _size(level))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _weights(buffer, level, coarse):  # type: ignore[no-untyped-def]
    count = 1
    for axis in range(3):
        count *= 3 if level[STEP + axis] == 2 else 1
    return buffer[level[WEIGHTS] : level[WEIGHTS] + count * _size(coarse)].reshape(count, _size(coarse))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _span(level):  # type: ignore[no-untyped-def]
    first = (level[3] * level[5] + level[4]) * (level[2] + 2) + 1
    return first, _size(level) - first


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _wraps(level):  # type: ignore[no-untyped-def]
    return level[6] or level[7] or level[8]


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _block(level, begin, end):  # type: ignore[no-untyped-def]
    """Cells of a block: at least as many as lie between a cell and its farthest neighbour, all of them where passes must not overlap."""
    if _wraps(level):
        return end - begin
    reach = (level[3] * level[5] + level[4]) * (level[2] + 2) + 1
    return max(reach, _BLOCK)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill(u, level):  # type: ignore[no-untyped-def]
    if _wraps(level):
        width = level[2] + 2
        fill_ghosts(u.reshape(u.size // width, width), level)


@njit(cache=True, nogil=True, error_model="numpy")
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
    _fill(u, level)


@njit(cache=True, nogil=True, error_model="numpy")
def _residual(f, u, v, S, level):  # type: ignore[no-untyped-def]
    begin, end = _span(level)
    one = np.float32(1.0)
    _combine(v, f, u, S, level, begin, end, one, -one, one)


@njit(cache=True, nogil=True, error_model="numpy")
def _down(buffer, level, coarse, w1, w2, islands, first, last):  # type: ignore[no-untyped-def]
    """Two smoothing steps from zero, the residual, and its restriction to the right-hand side of the coarse level.

    Smoothing is the Chebyshev polynomial of degree 2 in ``D^-1 A``, written as two Jacobi steps with its roots w1 and w2; from zero both
    together are ``(w1 + w2 - w1 w2) f + w1 w2 S f``.
    """
    f, u, v = _vector(buffer, level, 0), _vector(buffer, level, 1), _vector(buffer, level, 2)
    S = _couplings(buffer, level)
    zero, one = np.float32(0.0), np.float32(1.0)
    begin, end = _span(level)
    block = _block(level, begin, end)
    for at in range(begin, end + block, block):
        if at < end:
            _combine(u, f, f, S, level, at, min(at + block, end), w1 + w2 - w1 * w2, zero, w1 * w2)
            _fill(u, level)
        if at > begin:
            _combine(v, f, u, S, level, at - block, min(at, end), one, -one, one)
    if last > first:
        _correct(u, v, level, islands[0], islands[1], islands[2], islands[3], first, last)
        _residual(f, u, v, S, level)
    _fill(v, level)
    _restrict(v, _vector(buffer, coarse, 0), _weights(buffer, level, coarse), level, coarse)
    _fill(_vector(buffer, coarse, 0), coarse)


@njit(cache=True, nogil=True, error_model="numpy")
def _restrict(fine, out, W, level, coarse):  # type: ignore[no-untyped-def]
    """``out = P^T fine``"""
    sx, sy, sz, width, n = level[STEP], level[STEP + 1], level[STEP + 2], level[2] + 2, coarse[2] + 2
    for i in range(coarse[0]):
        for j in range(coarse[1]):
            to = ((i + coarse[3]) * coarse[5] + j + coarse[4]) * n
            target = out[to : to + n]
            target[:] = 0.0
            child = 0
            for x in range(1 - sx, sx):
                for y in range(1 - sy, sy):
                    row = ((sx * i + x + level[3]) * level[5] + sy * j + y + level[4]) * width
                    if sz == 2:
                        _gather_two(
                            fine[row : row + width], target, W[child, to : to + n], W[child + 1, to : to + n], W[child + 2, to : to + n]
                        )
                        child += 3
                    else:
                        _gather_one(fine[row : row + width], target, W[child, to : to + n])
                        child += 1


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _gather_two(fine, out, before, own, behind):  # type: ignore[no-untyped-def]
    for k in range(out.size - 2):
        out[k + 1] += before[k + 1] * fine[2 * k] + own[k + 1] * fine[2 * k + 1] + behind[k + 1] * fine[2 * k + 2]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _gather_one(fine, out, own):  # type: ignore[no-untyped-def]
    for k in range(1, out.size - 1):
        out[k] += own[k] * fine[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _prolong(u, coarse_u, W, number, level, coarse):  # type: ignore[no-untyped-def]
    """One row of ``u += P coarse_u``."""
    i, j, width, n = number // level[1], number % level[1], level[2] + 2, coarse[2] + 2
    row = ((i + level[3]) * level[5] + j + level[4]) * width
    wide = 3 if level[STEP + 2] == 2 else 1
    in_y = 3 if level[STEP + 1] == 2 else 1
    for x in range(1 + (level[STEP] == 2 and i % 2 == 1)):
        for y in range(1 + (level[STEP + 1] == 2 and j % 2 == 1)):
            coarse_i = i // 2 + x if level[STEP] == 2 else i
            coarse_j = j // 2 + y if level[STEP + 1] == 2 else j
            child_x = 0 if level[STEP] == 1 else (1 if i % 2 == 0 else 2 - 2 * x)
            child_y = 0 if level[STEP + 1] == 1 else (1 if j % 2 == 0 else 2 - 2 * y)
            child = (child_x * in_y + child_y) * wide
            at = ((coarse_i + coarse[3]) * coarse[5] + coarse_j + coarse[4]) * n
            target, source = u[row : row + width], coarse_u[at : at + n]
            if wide == 3:
                _scatter_two(target, source, W[child, at : at + n], W[child + 1, at : at + n], W[child + 2, at : at + n])
            else:
                _gather_one(source, target, W[child, at : at + n])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _scatter_two(u, coarse, before, own, behind):  # type: ignore[no-untyped-def]
    n = u.size - 2
    for k in range(n // 2):
        u[2 * k + 1] += own[k + 1] * coarse[k + 1]
        u[2 * k + 2] += behind[k + 1] * coarse[k + 1] + before[k + 2] * coarse[k + 2]
    if n % 2:
        u[n] += own[n // 2 + 1] * coarse[n // 2 + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def _up(buffer, level, coarse, w1, w2, islands, first, last):  # type: ignore[no-untyped-def]
    """The correction from the coarse level and two smoothing steps; the result is in u. Returns ``f . u``."""
    f, u, v = _vector(buffer, level, 0), _vector(buffer, level, 1), _vector(buffer, level, 2)
    S, W, coarse_u = _couplings(buffer, level), _weights(buffer, level, coarse), _vector(buffer, coarse, 1)
    one = np.float32(1.0)
    begin, end = _span(level)
    block = _block(level, begin, end)
    product, number, width, wraps = 0.0, 0, level[2] + 2, _wraps(level)
    if last > first:
        while number < level[0] * level[1]:
            _prolong(u, coarse_u, W, number, level, coarse)
            number += 1
        _fill(u, level)
        _residual(f, u, v, S, level)
        _correct(u, v, level, islands[0], islands[1], islands[2], islands[3], first, last)
    for at in range(begin, end + 2 * block, block):
        ahead = min(at + block, end)
        while number < level[0] * level[1] and ((number // level[1] + level[3]) * level[5] + number % level[1] + level[4]) * width < ahead:
            _prolong(u, coarse_u, W, number, level, coarse)
            number += 1
        if at == begin:
            _fill(u, level)
        if begin < at < end + block:
            _combine(v, f, u, S, level, at - block, min(at, end), w1, one - w1, w1)
            _fill(v, level)
        if at >= begin + 2 * block:
            behind = min(at - block, end)
            _combine(u, f, v, S, level, at - 2 * block, behind, w2, one - w2, w2)
            if not wraps:
                product += _product(f[at - 2 * block : behind], u[at - 2 * block : behind])
    if wraps:  # ghosts are copies here: rows without them
        for row in range(level[0] * level[1]):
            first = ((row // level[1] + level[3]) * level[5] + row % level[1] + level[4]) * width + 1
            product += _product(f[first : first + level[2]], u[first : first + level[2]])
        _fill(u, level)
    return product


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _product(f, u):  # type: ignore[no-untyped-def]
    """Sum over a block, in float32: blocks are short, and their sums are added in float64."""
    total = np.float32(0.0)
    for k in range(f.size):
        total += f[k] * u[k]
    return float(total)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _coarsest(buffer, level, inverse):  # type: ignore[no-untyped-def]
    f, u = _vector(buffer, level, 0), _vector(buffer, level, 1)
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
    _fill(u, level)
    return product


@njit(cache=True, nogil=True, error_model="numpy")
def cycle(buffer, levels, roots, inverse, islands, first):  # type: ignore[no-untyped-def]
    """One V-cycle from zero: vector f of level 0 (ghosts filled) to vector u of level 0, both scaled; returns ``f . u``.

    `islands` are the cells of all islands of all levels, where the cells of each island end, where its inverse starts, and the inverses;
    ``first[depth]`` is the first island of a level.
    """
    last = levels.shape[0] - 1
    for depth in range(last):
        _down(buffer, levels[depth], levels[depth + 1], roots[depth, 0], roots[depth, 1], islands, first[depth], first[depth + 1])
    product = _coarsest(buffer, levels[last], inverse)
    for depth in range(last - 1, -1, -1):
        product = _up(buffer, levels[depth], levels[depth + 1], roots[depth, 0], roots[depth, 1], islands, first[depth], first[depth + 1])
    return product


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def load(buffer, level, scale, r, factor):  # type: ignore[no-untyped-def]
    """``f = factor D^-1/2 r`` on level 0, r in the grid's shape without virtual cells."""
    f = _vector(buffer, level, 0)
    nx, ny, nz = r.shape
    for i in range(nx):
        for j in range(ny):
            to = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            for k in range(nz):
                f[to + k] = factor * r[i, j, k] * scale[i, j, k]
    _fill(f, level)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def store(buffer, level, scale, factor, z):  # type: ignore[no-untyped-def]
    """``z = factor D^-1/2 u``"""
    u = _vector(buffer, level, 1)
    nx, ny, nz = z.shape
    for i in range(nx):
        for j in range(ny):
            row = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            for k in range(nz):
                z[i, j, k] = factor * u[row + k] * scale[i, j, k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _means(buffer, level, scale, r):  # type: ignore[no-untyped-def]
    """Means of ``D^-1/2 u`` and of r."""
    u = _vector(buffer, level, 1)
    nx, ny, nz = scale.shape
    total = of_r = 0.0
    for i in range(nx):
        for j in range(ny):
            row = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            for k in range(nz):
                total += float(u[row + k]) * scale[i, j, k]
                of_r += r[i, j, k]
    return total / r.size, of_r / r.size


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _new_direction(u, scale, factor, shift, beta, p):  # type: ignore[no-untyped-def]
    """One row of ``p = z + beta p`` with ``z = factor D^-1/2 u - shift``."""
    for k in range(scale.size):
        p[k] = factor * float(u[k]) * scale[k] - shift + beta * p[k]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _apply_plane(q, p, west, east, low, high, ty, beside, tz):  # type: ignore[no-untyped-def]
    """One row of ``q = A p`` in flux form, from the faces of its own plane; returns its part of ``p . q``."""
    total = 0.0
    for k in range(q.size):
        s = tz[k] * (p[k] - west[k]) + tz[k + 1] * (p[k] - east[k]) + ty[k] * (p[k] - low[k]) + beside[k] * (p[k] - high[k])
        q[k] = s
        total += p[k] * s
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _apply_space(q, p, west, east, low, high, ty, beside, tz, down, up, tx, above):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(q.size):
        s = tz[k] * (p[k] - west[k]) + tz[k + 1] * (p[k] - east[k]) + ty[k] * (p[k] - low[k]) + beside[k] * (p[k] - high[k])
        s += tx[k] * (p[k] - down[k]) + above[k] * (p[k] - up[k])
        q[k] = s
        total += p[k] * s
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _react(q, p, reaction):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(q.size):
        q[k] += reaction[k] * p[k]
        total += reaction[k] * p[k] * p[k]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _advance(buffer, level, scale, factor, shift, beta, p, q, grid, tx, ty, tz, reaction, has_reaction):  # type: ignore[no-untyped-def]
    """``p = z + beta p`` and, closely behind, ``q = A p``; returns ``p . q``. A grid of one row has no neighbouring rows: row is 0 then."""
    u = _vector(buffer, level, 1)
    ny, nz, width = grid[1], grid[2], grid[2] + 2
    row, plane = width * grid[4], grid[5] * width
    total = grid[0] * ny
    lead = total if _wraps(grid) else ny * grid[3] + grid[4]
    product = 0.0
    for step in range(total + lead):
        if step < total:
            i, j = step // ny, step % ny
            to = ((i + grid[3]) * grid[5] + j + grid[4]) * width + 1
            source = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            _new_direction(u[source : source + nz], scale[i, j], factor, shift, beta, p[to : to + nz])
        if step == total - 1:
            _fill(p, grid)
        if step >= lead:
            i, j = (step - lead) // ny, (step - lead) % ny
            at = ((i + grid[3]) * grid[5] + j + grid[4]) * width + 1
            to, result, own = at + nz, q[i, j], p[at : at + nz]
            west, east, low, high = _from(p, at, to, -1), _from(p, at, to, 1), _from(p, at, to, -row), _from(p, at, to, row)
            if grid[3]:
                product += _apply_space(result, own, west, east, low, high, ty[i, j], ty[i, j + 1], tz[i, j], _from(p, at, to, -plane),
                                        _from(p, at, to, plane), tx[i, j], tx[i + 1, j])  # fmt: skip
            else:
                product += _apply_plane(result, own, west, east, low, high, ty[i, j], ty[i, j + 1], tz[i, j])
            if has_reaction:
                product += _react(result, own, reaction[i, j])
    return product


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _step_row(alpha, x, r, p, q, scale, factor, f):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(x.size):
        x[k] += alpha * p[k]
    for k in range(x.size):
        rest = r[k] - alpha * q[k]
        r[k] = rest
        total += rest * rest
        f[k] = factor * rest * scale[k]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _step(alpha, x, r, p, q, grid, buffer, level, scale, factor):  # type: ignore[no-untyped-def]
    """``x += alpha p``, ``r -= alpha q`` and `load` of r for the next cycle; returns ``r . r``."""
    f = _vector(buffer, level, 0)
    total = 0.0
    nx, ny, nz = grid[0], grid[1], grid[2]
    for i in range(nx):
        for j in range(ny):
            at = ((i + grid[3]) * grid[5] + j + grid[4]) * (nz + 2) + 1
            to = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            total += _step_row(alpha, x[i, j], r[i, j], p[at : at + nz], q[i, j], scale[i, j], factor, f[to : to + nz])
    _fill(f, level)
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def conjugate_gradients(  # type: ignore[no-untyped-def]
    x,
    r,
    p,
    q,
    grid,
    tx,
    ty,
    tz,
    reaction,
    has_reaction,
    singular,
    buffer,
    levels,
    roots,
    inverse,
    islands,
    first,
    scale,
    state,
    norms,
    tolerance,
):
    """Preconditioned conjugate gradients (x, r in place) until the norm of r is at most `tolerance` or `norms` is full.

    ``state = (z . r or 0 at a start, norm of r, 1 over the factor that f was loaded with)`` is read and written, so that a call may go
    on where another stopped. Returns the number of iterations, and whether a direction of non-positive curvature ended it.
    """
    for iteration in range(norms.size):
        if state[0] == 0.0:
            state[1] = np.sqrt(np.sum(r * r))
            state[2] = state[1]
            load(buffer, levels[0], scale, r, 1.0 / state[2])
        zr = cycle(buffer, levels, roots, inverse, islands, first) * state[2] ** 2
        shift = 0.0
        if singular:
            mean, mean_r = _means(buffer, levels[0], scale, r)
            shift = mean * state[2]
            zr -= shift * mean_r * r.size
        beta = zr / state[0] if state[0] > 0.0 else 0.0
        curvature = _advance(buffer, levels[0], scale, state[2], shift, beta, p, q, grid, tx, ty, tz, reaction, has_reaction)
        if not curvature > 0.0 or not zr > 0.0:
            return iteration, True
        state[0] = zr
        state[2] = state[1]
        state[1] = np.sqrt(_step(zr / curvature, x, r, p, q, grid, buffer, levels[0], scale, 1.0 / state[2]))
        norms[iteration] = state[1]
        if state[1] <= tolerance:
            return iteration + 1, False
    return norms.size, False
