"""The numerical work of conjugate gradients around a multigrid cycle, one compiled call for a whole solve."""

from __future__ import annotations

import numpy as np

from solvers.linear.compiled import fast_kernel, kernel
from solvers.linear.multigrid_cycle import cycle, fill, vector, wraps
from solvers.linear.multigrid_setup import shifted


@fast_kernel()
def load(buffer, level, scale, r, factor):  # type: ignore[no-untyped-def]
    """``f = factor D^-1/2 r`` on level 0, r in the grid's shape."""
    f = vector(buffer, level, 0)
    nx, ny, nz = r.shape
    for i in range(nx):
        for j in range(ny):
            to = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            for k in range(nz):
                f[to + k] = factor * r[i, j, k] * scale[i, j, k]
    fill(f, level)


@fast_kernel()
def store(buffer, level, scale, factor, z):  # type: ignore[no-untyped-def]
    """``z = factor D^-1/2 u``"""
    u = vector(buffer, level, 1)
    nx, ny, nz = z.shape
    for i in range(nx):
        for j in range(ny):
            row = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            for k in range(nz):
                z[i, j, k] = factor * u[row + k] * scale[i, j, k]


@fast_kernel()
def _means(u, level, scale, r):  # type: ignore[no-untyped-def]
    """Means of ``D^-1/2 u`` and of r."""
    nx, ny, nz = scale.shape
    total = of_r = 0.0
    for i in range(nx):
        for j in range(ny):
            row = ((i + level[3]) * level[5] + j + level[4]) * (level[2] + 2) + 1
            for k in range(nz):
                total += float(u[row + k]) * scale[i, j, k]
                of_r += r[i, j, k]
    return total / r.size, of_r / r.size


@fast_kernel()
def _new_direction(u, scale, factor, shift, beta, p):  # type: ignore[no-untyped-def]
    """One row of ``p = z + beta p`` with ``z = factor D^-1/2 u - shift``."""
    for k in range(scale.size):
        p[k] = factor * float(u[k]) * scale[k] - shift + beta * p[k]


@fast_kernel()
def _apply_plane(q, p, west, east, low, high, ty, beside, tz):  # type: ignore[no-untyped-def]
    """One row of ``q = A p`` in flux form, from the faces of its own plane; returns its part of ``p . q``."""
    total = 0.0
    for k in range(q.size):
        s = tz[k] * (p[k] - west[k]) + tz[k + 1] * (p[k] - east[k]) + ty[k] * (p[k] - low[k]) + beside[k] * (p[k] - high[k])
        q[k] = s
        total += p[k] * s
    return total


@fast_kernel()
def _apply_space(q, p, west, east, low, high, ty, beside, tz, down, up, tx, above):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(q.size):
        s = tz[k] * (p[k] - west[k]) + tz[k + 1] * (p[k] - east[k]) + ty[k] * (p[k] - low[k]) + beside[k] * (p[k] - high[k])
        s += tx[k] * (p[k] - down[k]) + above[k] * (p[k] - up[k])
        q[k] = s
        total += p[k] * s
    return total


@fast_kernel()
def _react(q, p, reaction):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(q.size):
        q[k] += reaction[k] * p[k]
        total += reaction[k] * p[k] * p[k]
    return total


@fast_kernel()
def _squared_norm(r):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(r.shape[0]):
        for j in range(r.shape[1]):
            for k in range(r.shape[2]):
                total += r[i, j, k] * r[i, j, k]
    return total


@kernel()
def _advance(u, grid, scale, factor, shift, beta, p, q, operator):  # type: ignore[no-untyped-def]
    """``p = z + beta p`` and, closely behind, ``q = A p``; returns ``p . q``. A grid of one row has no neighbouring rows: row is 0 then."""
    (tx, ty, tz), reaction, has_reaction, _ = operator
    ny, nz, width = grid[1], grid[2], grid[2] + 2
    row, plane = width * grid[4], grid[5] * width
    total = grid[0] * ny
    lead = total if wraps(grid) else ny * grid[3] + grid[4]
    product = 0.0
    for step in range(total + lead):
        if step < total:
            i, j = step // ny, step % ny
            to = ((i + grid[3]) * grid[5] + j + grid[4]) * width + 1
            _new_direction(u[to : to + nz], scale[i, j], factor, shift, beta, p[to : to + nz])
        if step == total - 1:
            fill(p, grid)
        if step >= lead:
            i, j = (step - lead) // ny, (step - lead) % ny
            at = ((i + grid[3]) * grid[5] + j + grid[4]) * width + 1
            to, result, own = at + nz, q[i, j], p[at : at + nz]
            west, east, low, high = shifted(p, at, to, -1), shifted(p, at, to, 1), shifted(p, at, to, -row), shifted(p, at, to, row)
            if grid[3]:
                product += _apply_space(result, own, west, east, low, high, ty[i, j], ty[i, j + 1], tz[i, j], shifted(p, at, to, -plane),
                                        shifted(p, at, to, plane), tx[i, j], tx[i + 1, j])  # fmt: skip
            else:
                product += _apply_plane(result, own, west, east, low, high, ty[i, j], ty[i, j + 1], tz[i, j])
            if has_reaction:
                product += _react(result, own, reaction[i, j])
    return product


@fast_kernel()
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


@kernel()
def _step(alpha, x, r, p, q, f, grid, scale, factor):  # type: ignore[no-untyped-def]
    """``x += alpha p``, ``r -= alpha q`` and `load` of r for the next cycle; returns ``r . r``."""
    total = 0.0
    nx, ny, nz = grid[0], grid[1], grid[2]
    for i in range(nx):
        for j in range(ny):
            at = ((i + grid[3]) * grid[5] + j + grid[4]) * (nz + 2) + 1
            total += _step_row(alpha, x[i, j], r[i, j], p[at : at + nz], q[i, j], scale[i, j], factor, f[at : at + nz])
    fill(f, grid)
    return total


@kernel()
def conjugate_gradients(x, r, p, q, operator, hierarchy, scale, state, norms, tolerance):  # type: ignore[no-untyped-def]
    """Preconditioned conjugate gradients (x, r in place) until the norm of r is at most `tolerance` or `norms` is full.

    Parameters
    ----------
    x, r, q, p : three-dimensional arrays, p flat and padded.
    operator : (faces, reaction, whether there is any, whether constants are in the null space).
    hierarchy, scale : what `cycle` takes, and ``D^-1/2`` of level 0 in the grid's shape.
    state : (z . r or 0 at a start, norm of r, 1 over the factor that f was loaded with), read and written, so that a call may go on
        where another stopped.

    Returns
    -------
    The number of iterations, and whether a direction of non-positive curvature ended it.
    """
    buffer, grid = hierarchy[0], hierarchy[1][0]
    f, u = vector(buffer, grid, 0), vector(buffer, grid, 1)
    singular = operator[3]
    for iteration in range(norms.size):
        if state[0] == 0.0:
            p[:] = 0.0
            state[1] = np.sqrt(_squared_norm(r))
            state[2] = state[1]
            load(buffer, grid, scale, r, 1.0 / state[2])
        zr = cycle(hierarchy) * state[2] ** 2
        shift = 0.0
        if singular:
            mean, mean_r = _means(u, grid, scale, r)
            shift = mean * state[2]
            zr -= shift * mean_r * r.size
        beta = zr / state[0] if state[0] > 0.0 else 0.0
        curvature = _advance(u, grid, scale, state[2], shift, beta, p, q, operator)
        if not curvature > 0.0 or not zr > 0.0:
            return iteration, True
        state[0] = zr
        state[2] = state[1]
        state[1] = np.sqrt(_step(zr / curvature, x, r, p, q, f, grid, scale, 1.0 / state[2]))
        norms[iteration] = state[1]
        if state[1] <= tolerance:
            return iteration + 1, False
    return norms.size, False
