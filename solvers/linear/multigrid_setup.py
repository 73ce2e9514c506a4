"""The numerical work of setting up a multigrid hierarchy, one compiled call for all levels.

Where arrays lie and which entries are multiplied is told by the tables of a `multigrid_plan.Plan`. Fine arrays are split into parts,
one for each position relative to a coarse cell (`galerkin.Coarsening.parts`), so that every sum runs over long contiguous arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from solvers.linear.compiled import fast_kernel, kernel
from solvers.linear.galerkin import fill_ghosts

#: Positions in the numbers of a level, after those of `galerkin.Layout`: 1 for level 0, the steps 1 or 2 to its coarse grid along each
#: axis, and the offsets of its couplings, weights, four vectors, and of scratch for split vectors, in the buffer of all levels.
STAR, STEP, COUPLINGS, WEIGHTS, VECTORS, PARTS, LEVEL_NUMBERS = 9, 10, 13, 14, 15, 16, 17

#: Columns of the index of a level: where its operator and the inverse roots of its diagonal lie in the work array, how many rows its
#: weights have, then the offset and the number of rows of each table.
OPERATOR, ROOT, WEIGHT_ROWS, SPLIT, WEIGHED, SUMS = 0, 1, 2, 3, 4, 5
ENDS, BOUNDS, CENTRE, TERMS, PRODUCT_ENDS, PRODUCT_TERMS, BOXES, TRANSFERS, INDEX_NUMBERS = 6, 8, 10, 12, 14, 16, 18, 20, 22

COARSEST_CELLS = 48  # a dense factorisation of this size costs less than one sweep over a 32^2 grid
_STRONG = 0.35  # an axis is coarsened where its couplings are at least this part of the strongest axis's
_LARGEST_WEIGHT = 32.0  # beyond it a centre has cancelled to rounding
BLOCK = 1024  # entries whose sums fit into the first-level cache


@kernel()
def build(faces, reaction, factor, levels, index, tables, work, buffer, roots):  # type: ignore[no-untyped-def]
    """Operators, weights and smoothing steps of all levels.

    Parameters
    ----------
    faces, reaction, factor : the operator of level 0 is that of ``factor * faces`` and ``factor * reaction``, three-dimensional.
    levels, index, tables : of the plan.
    work : operators, inverse roots of diagonals and scratch; its type is that of all arithmetic here.
    buffer : written, what the cycle reads: couplings and weights scaled to unit diagonal, vectors zero.
    roots : written, shape (levels, 2), the steps of Chebyshev smoothing.

    Returns
    -------
    The depth down to which the plan suits the operator and, where that is not its end, the axes to coarsen there as a sum of 1, 2 and 4.
    """
    last = levels.shape[0] - 1
    size = array_size(levels[0])
    A = work[index[0, OPERATOR] : index[0, OPERATOR] + index[0, ENDS + 1] * size + size].reshape(index[0, ENDS + 1] + 1, size)
    star_entries(faces, reaction, factor, A, levels[0])
    root = work[index[0, ROOT] : index[0, ROOT] + size]
    _inverse_roots(A[0], root)
    for depth in range(last + 1):
        level, ends = levels[depth], _table(tables, index[depth], ENDS, 5)
        size = array_size(level)
        axes = coarsened_axes(A, ends, level)
        planned = (level[STEP] == 2) + 2 * (level[STEP + 1] == 2) + 4 * (level[STEP + 2] == 2)
        if axes != planned:
            return depth, axes
        sums = work[index[depth, SUMS] : index[depth, SUMS] + 2 * max(size, BLOCK)]
        couplings = buffer[level[COUPLINGS] : level[COUPLINGS] + ends.shape[0] * size].reshape(ends.shape[0], size)
        bound = _scale_couplings(A, root, ends, level, sums, couplings)
        # two Jacobi steps that damp the eigenvalues of D^-1 A in the upper three quarters of (0, bound] best
        middle, half = 0.625 * bound, 0.375 * bound
        roots[depth, 0], roots[depth, 1] = 1.0 / (middle + half * np.sqrt(0.5)), 1.0 / (middle - half * np.sqrt(0.5))
        buffer[level[VECTORS] : level[VECTORS] + 4 * size] = 0.0
        if depth < last:
            coarse, row = levels[depth + 1], index[depth]
            n = array_size(coarse)
            parts_of_one = _parts(level)
            parts = work[row[SPLIT] : row[SPLIT] + A.shape[0] * parts_of_one * n].reshape(A.shape[0] * parts_of_one, n)
            for number in range(A.shape[0]):
                split(A[number], parts[number * parts_of_one : (number + 1) * parts_of_one], level, coarse)
            W = work[row[WEIGHED] : row[WEIGHED] + row[WEIGHT_ROWS] * n].reshape(row[WEIGHT_ROWS], n)
            interpolate(parts, tables, row, coarse, sums, W)
            entries = index[depth + 1, ENDS + 1] + 1
            A = work[index[depth + 1, OPERATOR] : index[depth + 1, OPERATOR] + entries * n].reshape(entries, n)
            galerkin(parts, W, tables, row, coarse, A)
            root = work[index[depth + 1, ROOT] : index[depth + 1, ROOT] + n]
            _inverse_roots(A[0], root)
            transfers = _table(tables, row, TRANSFERS, 3)
            scaled = buffer[level[WEIGHTS] : level[WEIGHTS] + transfers.shape[0] * n].reshape(transfers.shape[0], n)
            _scale_weights(W, parts, transfers, root, coarse, scaled)
    return last, 0


@kernel(inline="always")
def _table(tables, row, name, columns):  # type: ignore[no-untyped-def]
    return tables[row[name] : row[name] + row[name + 1] * columns].reshape(row[name + 1], columns)


@kernel(inline="always")
def array_size(level):  # type: ignore[no-untyped-def]
    return (level[0] + 2 * level[3]) * level[5] * (level[2] + 2)


@kernel(inline="always")
def _parts(level):  # type: ignore[no-untyped-def]
    return level[STEP] * level[STEP + 1] * level[STEP + 2]


@kernel(inline="always")
def span(level):  # type: ignore[no-untyped-def]
    """Flat positions of the first cell and behind the last one."""
    first = (level[3] * level[5] + level[4]) * (level[2] + 2) + 1
    return first, array_size(level) - first


@kernel(inline="always")
def shifted(array, begin, end, distance):  # type: ignore[no-untyped-def]
    """View of the neighbours at a distance. Loops over views count from 0, which spares the compiler the case of negative indices."""
    return array[begin + distance : end + distance]


@kernel()
def star_entries(faces, reaction, factor, A, grid):  # type: ignore[no-untyped-def]
    """Diagonal and couplings of level 0 times `factor`, ghosts filled, from the faces of an operator; A is (1 + dimension, size)."""
    tx, ty, tz = faces
    nx, ny, nz = reaction.shape
    width = nz + 2
    for i in range(nx):
        for j in range(ny):
            at = ((i + grid[3]) * grid[5] + j + grid[4]) * width + 1
            diagonal = A[0, at : at + nz]
            _row_diagonal(diagonal, factor, reaction[i, j])
            # a cell that is its own neighbour exchanges nothing
            if nz > 1 or not grid[8]:
                _add_faces(diagonal, factor, tz[i, j, :nz], tz[i, j, 1:])
            if grid[4] and (ny > 1 or not grid[7]):
                _add_faces(diagonal, factor, ty[i, j], ty[i, j + 1])
            if grid[3] and (nx > 1 or not grid[6]):
                _add_faces(diagonal, factor, tx[i, j], tx[i + 1, j])
            _couple(A[1, at : at + nz], -factor, tz[i, j, 1:])
            if not (grid[8] and nz > 1):
                A[1, at + nz - 1] = 0.0
            if grid[4]:
                _couple(A[2, at : at + nz], -factor if j < ny - 1 or (grid[7] and ny > 1) else 0.0, ty[i, j + 1])
            if grid[3]:
                _couple(A[3, at : at + nz], -factor if i < nx - 1 or (grid[6] and nx > 1) else 0.0, tx[i + 1, j])
    _fill_all(A, grid)


@kernel()
def _fill_all(arrays, level):  # type: ignore[no-untyped-def]
    width = level[2] + 2
    for number in range(arrays.shape[0]):
        fill_ghosts(arrays[number].reshape(arrays.shape[1] // width, width), level)


@fast_kernel()
def _row_diagonal(diagonal, factor, reaction):  # type: ignore[no-untyped-def]
    for k in range(diagonal.size):
        diagonal[k] = factor * reaction[k]


@fast_kernel()
def _add_faces(diagonal, factor, low, high):  # type: ignore[no-untyped-def]
    for k in range(diagonal.size):
        diagonal[k] += factor * (low[k] + high[k])


@fast_kernel()
def _couple(entries, factor, face):  # type: ignore[no-untyped-def]
    for k in range(entries.size):
        entries[k] = factor * face[k]


@kernel()
def coarsened_axes(A, ends, level):  # type: ignore[no-untyped-def]
    """Axes that can be coarsened and along which most cells are strongly coupled, as a sum of 1, 2 and 4.

    The strength of a coupling is taken relative to the larger diagonal of its two cells: a few strong cells must not speak for all.
    """
    if level[0] * level[1] * level[2] <= COARSEST_CELLS:
        return 0
    begin, end = span(level)
    x = y = z = 0.0
    for number in range(ends.shape[0]):
        one, two = ends[number, 0], ends[number, 1]
        total = _relative_sum(A[number + 1, begin:end], shifted(A[0], begin, end, one), shifted(A[0], begin, end, two))
        x += total * ends[number, 2] if level[0] > 2 else 0.0
        y += total * ends[number, 3] if level[1] > 2 else 0.0
        z += total * ends[number, 4] if level[2] > 2 else 0.0
    least = _STRONG * max(x, y, z)
    return (x > 0.0 and x >= least) + 2 * (y > 0.0 and y >= least) + 4 * (z > 0.0 and z >= least)


@fast_kernel()
def _relative_sum(entries, one, two):  # type: ignore[no-untyped-def]
    total = entries[0] * 0
    for k in range(entries.size):
        larger = max(one[k], two[k])
        total += -entries[k] / larger if larger > 0 else larger
    return total


@fast_kernel()
def _inverse_roots(diagonal, out):  # type: ignore[no-untyped-def]
    """``D^-1/2``, zero where a cell is coupled to nothing, and in ghosts."""
    for k in range(out.size):
        out[k] = 1.0 / np.sqrt(diagonal[k]) if diagonal[k] > 0.0 else 0.0


@kernel()
def _scale_couplings(A, root, ends, level, sums, out):  # type: ignore[no-untyped-def]
    """``out = -D^-1/2 A D^-1/2`` off the diagonal, ghosts filled; returns a bound on the eigenvalues of ``D^-1 A``.

    It is the largest row sum of ``D^-1 |A|``, which is sharp on level 0, or on other levels that of ``D^-1/2 |A| D^-1/2`` where it is
    smaller: Galerkin products put cells of very different diagonals beside each other.
    """
    begin, end = span(level)
    plain, scaled = sums[: root.size], sums[root.size : 2 * root.size]
    plain[:] = 0.0
    scaled[:] = 0.0
    for number in range(ends.shape[0]):
        one, two = ends[number, 0], ends[number, 1]
        entries, result = A[number + 1, begin:end], out[number, begin:end]
        _scale(entries, result, shifted(root, begin, end, one), shifted(root, begin, end, two))
        for distance in (one, two):
            _add_sizes(entries, shifted(plain, begin, end, distance))
            if not level[STAR]:
                _add_sizes(result, shifted(scaled, begin, end, distance))
    _fill_all(out, level)
    # ghosts have gathered what belongs to no row; those of a periodic axis now repeat real ones
    _fill_all(sums[: 2 * root.size].reshape(2, root.size), level)
    _multiply_twice(plain[begin:end], root[begin:end])
    bound = float(_largest(plain[begin:end]))
    if not level[STAR]:
        bound = min(bound, float(_largest(scaled[begin:end])))
    return 1.0 + bound


@fast_kernel()
def _scale(entries, out, one, two):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = -entries[k] * one[k] * two[k]


@fast_kernel()
def _add_sizes(entries, sums):  # type: ignore[no-untyped-def]
    for k in range(entries.size):
        sums[k] += abs(entries[k])


@fast_kernel()
def _multiply_twice(sums, root):  # type: ignore[no-untyped-def]
    for k in range(sums.size):
        sums[k] *= root[k] * root[k]


@kernel()
def _largest(values):  # type: ignore[no-untyped-def]
    """The largest entry, by folding one half upon the other: a plain loop would compare one at a time. Overwrites values."""
    n = values.size
    while n > 8:
        half = (n + 1) // 2
        _raise(values[: n - half], values[half:n])
        n = half
    largest = values[0]
    for k in range(1, n):
        largest = max(largest, values[k])
    return largest


@kernel()
def _raise(values, others):  # type: ignore[no-untyped-def]
    for k in range(values.size):
        values[k] = others[k] if others[k] > values[k] else values[k]


@kernel()
def split(fine, parts, level, coarse):  # type: ignore[no-untyped-def]
    """Fill parts, shape (number of parts, size of a coarse array), with a flat fine array, ghosts included; what lies outside is 0."""
    sx, sy, sz, width, n = level[STEP], level[STEP + 1], level[STEP + 2], level[2] + 2, coarse[2] + 2
    for bit_x in range(sx):
        for bit_y in range(sy):
            part = (bit_x * sy + bit_y) * sz
            for i in range(-coarse[3], coarse[0] + coarse[3]):
                x = sx * i + bit_x
                for j in range(-coarse[4], coarse[1] + coarse[4]):
                    y = sy * j + bit_y
                    to = ((i + coarse[3]) * coarse[5] + j + coarse[4]) * n
                    if x < -level[3] or x >= level[0] + level[3] or y < -level[4] or y >= level[1] + level[4]:
                        for k in range(sz):
                            parts[part + k, to : to + n] = 0.0
                    else:
                        row = ((x + level[3]) * level[5] + y + level[4]) * width
                        if sz == 2:
                            _split_row(fine[row : row + width], parts[part, to : to + n], parts[part + 1, to : to + n])
                        else:
                            _copy(fine[row : row + width], parts[part, to : to + n])


@kernel()
def _copy(source, target):  # type: ignore[no-untyped-def]
    for k in range(target.size):
        target[k] = source[k]


@kernel()
def _split_row(fine, even, odd):  # type: ignore[no-untyped-def]
    # coarse cell k lies at padded position k + 1, its parts at 2 k + 1 and 2 k + 2
    n = even.size - 2
    source, to_even, to_odd = fine[1:], even[1:], odd[1:]
    for k in range(n - 1):
        to_even[k] = source[2 * k]
        to_odd[k] = source[2 * k + 1]
    even[0], odd[0] = 0.0, fine[0]
    even[n] = fine[2 * n - 1]
    odd[n] = fine[2 * n]
    even[n + 1] = fine[2 * n + 1] if 2 * n + 1 < fine.size else 0.0
    odd[n + 1] = 0.0


@kernel()
def interpolate(parts, tables, row, coarse, sums, W):  # type: ignore[no-untyped-def]
    """Weights of black-box interpolation.

    Parameters
    ----------
    parts : split diagonal and couplings of the fine grid, shape (entries * parts, size of a coarse array).
    tables, row : of the plan.
    sums : scratch of at least two blocks.
    W : written, shape (children and masked children, size): entry c is the weight that cell ``2 J + c`` gives to coarse cell J.
    """
    begin, end = span(coarse)
    bounds, centre, terms = _table(tables, row, BOUNDS, 3), _table(tables, row, CENTRE, 2), _table(tables, row, TERMS, 3)
    for at in range(begin, end, BLOCK):
        n = min(BLOCK, end - at)
        total, taken = sums[:n], sums[BLOCK : BLOCK + n]
        c = t = 0
        for m in range(bounds.shape[0]):
            child, last_centre, last_term = bounds[m, 0], bounds[m, 1], bounds[m, 2]
            if last_term == 0:  # the coarse cell itself
                W[child, at : at + n] = 1.0
                continue
            total[:] = 0.0
            taken[:] = 0.0
            for k in range(c, last_centre):
                _add(total, parts[centre[k, 0], at + centre[k, 1] : at + centre[k, 1] + n])
            for k in range(t, last_term):
                source = at + terms[k, 1]
                _add_product(taken, parts[terms[k, 0], source : source + n], W[terms[k, 2], at : at + n])
            c, t = last_centre, last_term
            _divide(taken, total, W[child, at : at + n])
    _close_seams(W, _table(tables, row, BOXES, 8), coarse)
    _fill_all(W, coarse)


@kernel()
def _close_seams(W, boxes, coarse):  # type: ignore[no-untyped-def]
    for m in range(boxes.shape[0]):
        child, source = boxes[m, 0], boxes[m, 1]
        if source >= 0:
            W[child] = 0.0
        for i in range(boxes[m, 2], boxes[m, 5]):
            for j in range(boxes[m, 3], boxes[m, 6]):
                row = ((i + coarse[3]) * coarse[5] + j + coarse[4]) * (coarse[2] + 2) + 1
                for at in range(row + boxes[m, 4], row + boxes[m, 7]):
                    W[child, at] = W[source, at] if source >= 0 else 0.0


@kernel()
def galerkin(parts, W, tables, row, coarse, product):  # type: ignore[no-untyped-def]
    """Write ``P^T A P``: diagonal and couplings of the coarse grid, shape (1 + couplings, size), ghosts filled."""
    begin, end = span(coarse)
    ends, terms = _table(tables, row, PRODUCT_ENDS, 1), _table(tables, row, PRODUCT_TERMS, 6)
    for at in range(begin, end, BLOCK):
        n = min(BLOCK, end - at)
        t = 0
        for entry in range(ends.shape[0]):
            target = product[entry, at : at + n]
            target[:] = 0.0
            for m in range(t, ends[entry, 0]):
                fine, one, other = at + terms[m, 1], at + terms[m, 3], at + terms[m, 5]
                _add_triple(target, parts[terms[m, 0], fine : fine + n], W[terms[m, 2], one : one + n], W[terms[m, 4], other : other + n])
            t = ends[entry, 0]
    _fill_all(product, coarse)


@fast_kernel()
def _divide(taken, total, weights):  # type: ignore[no-untyped-def]
    for k in range(weights.size):
        # a centre may be negative on coarse grids (its neighbours across then pull harder than the diagonal): the ratio still holds
        weights[k] = -taken[k] / total[k] if abs(taken[k]) < _LARGEST_WEIGHT * abs(total[k]) else 0.0


@fast_kernel()
def _add(out, a):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += a[k]


@fast_kernel()
def _add_product(out, a, b):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += a[k] * b[k]


@fast_kernel()
def _add_triple(out, a, b, c):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += a[k] * b[k] * c[k]


@kernel()
def _scale_weights(W, parts, transfers, coarse_root, coarse, out):  # type: ignore[no-untyped-def]
    """``out = D^1/2 P D_coarse^-1/2``, ghosts filled; takes roots of the split diagonal of the fine grid, which comes first in `parts`."""
    begin, end = span(coarse)
    for m in range(transfers.shape[0]):
        part, child, distance = transfers[m]
        if m == 0 or transfers[m - 1, 0] != part:
            _take_roots(parts[part])
        _scale_weight(W[child, begin:end], coarse_root[begin:end], shifted(parts[part], begin, end, distance), out[child, begin:end])
    _fill_all(out, coarse)


@fast_kernel()
def _take_roots(values):  # type: ignore[no-untyped-def]
    for k in range(values.size):
        values[k] = np.sqrt(values[k]) if values[k] > 0.0 else 0.0


@fast_kernel()
def _scale_weight(weights, coarse_root, root, out):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = weights[k] * coarse_root[k] * root[k]


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
