"""The innermost loops of the staggered-grid solver, for two and three dimensions alike.

Arrays of the state have four axes: component and three of space, where a plane is one layer of space. Cells have the numbers 1 ... n
along an axis, with a ghost layer 0 and n + 1 on each end (a missing first axis has one layer and no ghosts). Component c of the velocity
lives on faces: its entry i is on the face between the cells i and i + 1 of its own axis. Components beyond the velocity live in centres.
"""

from __future__ import annotations

from solvers.linear.compiled import fast_kernel, kernel

PERIODIC, VALUE, GRADIENT = 0, 1, 2
"""What happens to a component on a side: repeats, has a given value there, has no normal derivative there (of the normal velocity: the
pressure vanishes there)."""


@kernel()
def advance(new, u, tendency, force, first, last, coefficients, factors):  # type: ignore[no-untyped-def]
    """``tendency = decay * tendency + F(u)`` and ``new = u + step * tendency`` on all unknowns.

    F is transport in flux form with central averages (Harlow and Welch 1965), diffusion and force. On a uniform grid the flux form of a
    discretely divergence-free velocity is skew-symmetric (Morinishi et al. 1998, J. Comput. Phys. 143, section 4), so that advection
    neither makes nor destroys kinetic energy.

    Parameters
    ----------
    force : one field a component, or empty.
    first, last : numbers of the unknowns, shape (components, 3); the last is excluded.
    coefficients : shape (components, 8): for each axis ``1 / (4 h)``, for each axis ``diffusivity / h^2``, a constant force, and the
        buoyancy, by which the last component is multiplied.
    factors : decay and step.
    """
    dimension = 3 if u.shape[1] > 1 else 2
    missing = 3 - dimension
    decay, step = factors
    for c in range(u.shape[0]):
        begin, end = first[c, 2], last[c, 2]
        ai, aj, ak = _offsets(c + missing if c < dimension else -1)
        for i in range(first[c, 0], last[c, 0]):
            for j in range(first[c, 1], last[c, 1]):
                out = tendency[c, i, j, begin:end]
                own = u[c, i, j, begin:end]
                _begin(out, decay, coefficients[c, 6])
                if force.shape[0]:
                    _add(out, force[c, i, j, begin:end], 1.0)
                if coefficients[c, 7] != 0.0:
                    scalar = u[dimension]
                    _add(out, scalar[i, j, begin:end], 0.5 * coefficients[c, 7])
                    _add(out, scalar[i + ai, j + aj, begin + ak : end + ak], 0.5 * coefficients[c, 7])
                for b in range(dimension):
                    axis = b + missing
                    bi, bj, bk = _offsets(axis)
                    low = u[c, i - bi, j - bj, begin - bk : end - bk]
                    high = u[c, i + bi, j + bj, begin + bk : end + bk]
                    carrier = u[b]
                    high_0, high_1 = carrier[i, j, begin:end], carrier[i + ai, j + aj, begin + ak : end + ak]
                    low_0 = carrier[i - bi, j - bj, begin - bk : end - bk]
                    low_1 = carrier[i - bi + ai, j - bj + aj, begin - bk + ak : end - bk + ak]
                    _transport(out, own, low, high, low_0, low_1, high_0, high_1, coefficients[c, axis], coefficients[c, 3 + axis])
                _step(new[c, i, j, begin:end], own, out, step)


@kernel()
def _offsets(axis):  # type: ignore[no-untyped-def]
    """One layer further along an axis; nowhere for axis -1."""
    return int(axis == 0), int(axis == 1), int(axis == 2)


@fast_kernel()
def _begin(out, decay, constant):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = decay * out[k] + constant


@fast_kernel()
def _add(out, values, factor):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += factor * values[k]


@fast_kernel()
def _transport(out, q, q_low, q_high, c_low_0, c_low_1, c_high_0, c_high_1, quarter, diffusion):  # type: ignore[no-untyped-def]
    """Fluxes of q through the two faces of a row along one axis, carried by the mean of two normal velocities at each."""
    for k in range(out.size):
        centre, low, high = q[k], q_low[k], q_high[k]
        carried = (c_high_0[k] + c_high_1[k]) * (centre + high) - (c_low_0[k] + c_low_1[k]) * (low + centre)
        out[k] += diffusion * ((high - centre) - (centre - low)) - quarter * carried


@fast_kernel()
def _step(new, u, tendency, step):  # type: ignore[no-untyped-def]
    for k in range(new.size):
        new[k] = u[k] + step * tendency[k]


@kernel()
def fill_sides(u, kinds, sizes, values, normal_only):  # type: ignore[no-untyped-def]
    """Set faces on the sides and ghosts beyond them.

    Parameters
    ----------
    kinds : what happens to a component on a side, shape (components, 3, 2).
    sizes : cells along each axis.
    values : per axis and end an array of shape (components, layers of one other axis, layers of the other).
    normal_only : set only velocities normal to their side, which is what the divergence needs.
    """
    missing = 0 if u.shape[1] > 1 else 1
    strides = (u.shape[2] * u.shape[3], u.shape[3], 1)
    for axis in range(missing, 3):
        n, along = sizes[axis], strides[axis]
        one, other = (1 if axis == 0 else 0), (1 if axis == 2 else 2)
        for c in range(u.shape[0]):
            normal = c + missing == axis
            if normal_only and not normal:
                continue
            flat = u[c].reshape(u[c].size)
            for p in range(u.shape[1 + one]):
                for q in range(u.shape[1 + other]):
                    base = p * strides[one] + q * strides[other]
                    low, high = base, base + (n + 1) * along
                    inner = base + n * along
                    if kinds[c, axis, 0] == PERIODIC:
                        flat[low] = flat[inner]
                        flat[high] = flat[base + along]
                    elif normal:
                        flat[low] = values[2 * axis][c, p, q]
                        if kinds[c, axis, 1] == VALUE:
                            flat[inner] = values[2 * axis + 1][c, p, q]
                        flat[high] = flat[inner]
                    else:
                        first, last = flat[base + along], flat[inner]
                        flat[low] = 2 * values[2 * axis][c, p, q] - first if kinds[c, axis, 0] == VALUE else first
                        flat[high] = 2 * values[2 * axis + 1][c, p, q] - last if kinds[c, axis, 1] == VALUE else last


@kernel()
def divergence(u, scales, out):  # type: ignore[no-untyped-def]
    """``out = -div u`` in all cells, out without ghosts; returns its sum.

    Parameters
    ----------
    scales : 1 / h for each axis.
    """
    missing = 0 if u.shape[1] > 1 else 1
    lead = 1 - missing
    total = 0.0
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            row, n = out[i, j], out.shape[2]
            p, q = i + lead, j + 1
            x, y = u[1 - missing, p], u[2 - missing]
            _rise(row, y[p, q, 1 : n + 1], y[p, q, :n], -scales[2])
            _add_rise(row, x[q, 1 : n + 1], x[q - 1, 1 : n + 1], -scales[1])
            if lead:
                z = u[0]
                _add_rise(row, z[p, q, 1 : n + 1], z[p - 1, q, 1 : n + 1], -scales[0])
            total += _sum(row)
    return total


@fast_kernel()
def _rise(out, high, low, scale):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] = scale * (high[k] - low[k])


@fast_kernel()
def _add_rise(out, high, low, scale):  # type: ignore[no-untyped-def]
    for k in range(out.size):
        out[k] += scale * (high[k] - low[k])


@fast_kernel()
def _sum(row):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(row.size):
        total += row[k]
    return total


@kernel()
def subtract_gradient(u, psi, kinds, scales):  # type: ignore[no-untyped-def]
    """``u -= grad psi`` on all unknown faces, psi being given in the cells without ghosts."""
    missing = 0 if u.shape[1] > 1 else 1
    lead = 1 - missing
    nx, ny, nz = psi.shape
    for c in range(3 - missing):
        axis = c + missing
        end, scale, field = kinds[c, axis, 1], -scales[axis], u[c]
        for i in range(nx):
            for j in range(ny):
                row, own = field[i + lead, j + 1, 1 : nz + 1], psi[i, j]
                last = (axis == 0 and i == nx - 1) or (axis == 1 and j == ny - 1)
                if axis == 2:
                    _add_rise(row[: nz - 1], own[1:], own[: nz - 1], scale)
                    if end == PERIODIC:
                        row[nz - 1] += scale * (own[0] - own[nz - 1])
                    elif end == GRADIENT:
                        row[nz - 1] -= 2 * scale * own[nz - 1]
                elif not last:
                    _add_rise(row, psi[i + 1, j] if axis == 0 else psi[i, j + 1], own, scale)
                elif end == PERIODIC:
                    _add_rise(row, psi[0, j] if axis == 0 else psi[i, 0], own, scale)
                elif end == GRADIENT:
                    _add(row, own, -2 * scale)


@kernel()
def survey(u, first, last, lanes):  # type: ignore[no-untyped-def]
    """The sum of u^2 over all unknowns, which is NaN or infinite where one of them is.

    Parameters
    ----------
    lanes : shape (components, layers of the last axis); afterwards the largest magnitudes, column by column.
    """
    total = 0.0
    for c in range(u.shape[0]):
        begin, end, lane = first[c, 2], last[c, 2], lanes[c]
        for k in range(lane.size):
            lane[k] = 0.0
        for i in range(first[c, 0], last[c, 0]):
            for j in range(first[c, 1], last[c, 1]):
                total += _survey(u[c, i, j, begin:end], lane[begin:end])
    return total


@fast_kernel()
def _survey(row, lane):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(row.size):
        total += row[k] * row[k]
        size = abs(row[k])
        lane[k] = size if size > lane[k] else lane[k]
    return total


@kernel()
def block(new, u, tendency, step, walls, drags, closed):  # type: ignore[no-untyped-def]
    """Correct flat arrays for solids: friction on walls half a cell away, and no velocity on closed faces.

    Parameters
    ----------
    walls, drags : numbers of faces beside a solid, and the rates at which they lose their velocity to it on top.
    closed : numbers of faces on and in a solid.
    """
    for m in range(walls.size):
        k = walls[m]
        tendency[k] -= drags[m] * u[k]
        new[k] = u[k] + step * tendency[k]
    for m in range(closed.size):
        tendency[closed[m]] = 0.0
        new[closed[m]] = 0.0


@kernel()
def resist_backflow(new, u, tendency, step, kinds, sizes, first, last, scales):  # type: ignore[no-untyped-def]
    """Where fluid comes back in through an outflow, take off the momentum that it would bring along.

    With fluxes in central form a velocity v < 0 through such a face feeds ``|v| |u|^2 / 2`` into the flow for every area, more the more
    has come in already. A friction of the rate ``|v| / h`` on the unknowns at the side takes that out (the directional condition of
    Bruneau and Fabrie 1994, Int. J. Numer. Methods Fluids 19, 693, for whole cells).
    """
    dimension = 3 if u.shape[1] > 1 else 2
    missing = 3 - dimension
    for normal in range(dimension):
        axis = normal + missing
        if kinds[normal, axis, 1] != GRADIENT:
            continue
        n = sizes[axis]
        for c in range(dimension):
            ai, aj, ak = _offsets(c + missing if c != normal else -1)
            for i in range(n if axis == 0 else first[c, 0], n + 1 if axis == 0 else last[c, 0]):
                for j in range(n if axis == 1 else first[c, 1], n + 1 if axis == 1 else last[c, 1]):
                    for k in range(n if axis == 2 else first[c, 2], n + 1 if axis == 2 else last[c, 2]):
                        back = 0.5 * (min(u[normal, i, j, k], 0.0) + min(u[normal, i + ai, j + aj, k + ak], 0.0))
                        change = back * scales[axis] * u[c, i, j, k]
                        tendency[c, i, j, k] += change
                        new[c, i, j, k] += step * change


@kernel()
def close_faces(u, closed):  # type: ignore[no-untyped-def]
    for m in range(closed.size):
        u[closed[m]] = 0.0


@kernel()
def fill_cells(p, kinds, sizes):  # type: ignore[no-untyped-def]
    """Ghosts of a pressure: repeated, equal to the last cell, or its opposite where the pressure vanishes on the side."""
    missing = 0 if p.shape[0] > 1 else 1
    strides = (p.shape[1] * p.shape[2], p.shape[2], 1)
    flat = p.reshape(p.size)
    for axis in range(missing, 3):
        n, along = sizes[axis], strides[axis]
        one, other = (1 if axis == 0 else 0), (1 if axis == 2 else 2)
        for i in range(p.shape[one]):
            for j in range(p.shape[other]):
                base = i * strides[one] + j * strides[other]
                first, last = flat[base + along], flat[base + n * along]
                flat[base] = last if kinds[axis, 0] == PERIODIC else first
                flat[base + (n + 1) * along] = first if kinds[axis, 1] == PERIODIC else -last if kinds[axis, 1] == GRADIENT else last


@kernel()
def largest_change(new, u, first, last):  # type: ignore[no-untyped-def]
    """The largest magnitude of ``new - u`` over the unknowns."""
    largest = 0.0
    for c in range(u.shape[0]):
        for i in range(first[c, 0], last[c, 0]):
            for j in range(first[c, 1], last[c, 1]):
                for k in range(first[c, 2], last[c, 2]):
                    change = abs(new[c, i, j, k] - u[c, i, j, k])
                    if not change <= largest:
                        largest = change
    return largest
