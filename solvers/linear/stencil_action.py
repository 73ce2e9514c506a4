"""The action of a stencil operator, in blocks of rows that stay in the first-level cache."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from solvers.linear.compiled import fast_kernel, kernel

_BLOCK = 2048  # cells that several loops run over while they are in the first-level cache


@lru_cache(maxsize=16)
def zeros(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Faces along a missing axis, or cells beyond a wall; nothing may write into them."""
    return np.zeros(shape)


def no_cells(width: int) -> NDArray[np.float64]:
    """Zeros for as many rows of `width` cells as `apply_rows` should do at once."""
    return zeros((max(_BLOCK // width, 1) * width,))


@kernel()
def apply_stencil(u, faces, reaction, periodic, nothing, out):  # type: ignore[no-untyped-def]
    nx, ny, nz = u.shape
    height = nothing.size // nz
    for i in range(nx):
        for begin in range(0, ny, height):
            end = min(begin + height, ny)
            apply_rows(out[i, begin:end], u, i, begin, end, faces, reaction, periodic, nothing)


@kernel()
def apply_rows(out, u, i, begin, end, faces, reaction, periodic, nothing):  # type: ignore[no-untyped-def]
    """Rows `begin` to `end` of plane i of ``A u`` in flux form: differences first, so that what is nearly constant loses no digits.

    `nothing` is zeros, at least as many as there are cells in these rows; `reaction` is empty where there is none.
    """
    tx, ty, tz = faces
    px, py, pz = periodic
    nx, ny, nz = u.shape
    first, last = max(begin, 1), min(end, ny - 1)  # rows between two others
    if begin < 1:
        low = u[i, ny - 1] if py else nothing[:nz]
        high = u[i, 1] if ny > 1 else u[i, 0] if py else nothing[:nz]
        _end_row(out[0], u[i, 0], low, high, ty[i, 0], ty[i, 1], tz[i, 0], pz, ny > 1 or not py)
    if first < last:
        inner, t_low, t_high = u[i, first:last], ty[i, first:last], ty[i, first + 1 : last + 1]
        target, low, high, t = out[first - begin : last - begin], u[i, first - 1 : last - 1], u[i, first + 1 : last + 1], tz[i, first:last]
        _five_points(target, inner, low, high, t_low, t_high, t)
        _row_ends(target, inner, low, high, t_low, t_high, t, pz)
    if end == ny > 1:
        high = u[i, 0] if py else nothing[:nz]
        _end_row(out[end - 1 - begin], u[i, ny - 1], u[i, ny - 2], high, ty[i, ny - 1], ty[i, ny], tz[i, ny - 1], pz, True)
    size = (end - begin) * nz
    flat, own = out.reshape(size), u[i, begin:end].reshape(size)
    if nx > 1 or not px:
        below = u[i - 1 if i > 0 else nx - 1, begin:end].reshape(size) if i > 0 or px else nothing[:size]
        above = u[i + 1 if i < nx - 1 else 0, begin:end].reshape(size) if i < nx - 1 or px else nothing[:size]
        _across(flat, own, below, above, tx[i, begin:end].reshape(size), tx[i + 1, begin:end].reshape(size))
    if reaction.size:
        _react(flat, own, reaction[i, begin:end].reshape(size))


@fast_kernel()
def _five_points(out, u, low, high, t_low, t_high, t):  # type: ignore[no-untyped-def]
    """Fluxes within a plane, for rows without their ends; `low` and `high` are the rows beside each row."""
    height, nz = u.shape
    for j in range(height):
        for k in range(1, nz - 1):
            own = u[j, k]
            across = t_low[j, k] * (own - low[j, k]) + t_high[j, k] * (own - high[j, k])
            out[j, k] = across + t[j, k] * (own - u[j, k - 1]) + t[j, k + 1] * (own - u[j, k + 1])


@fast_kernel()
def _row_ends(out, u, low, high, t_low, t_high, t, around):  # type: ignore[no-untyped-def]
    """The first and the last cell of rows; beyond them lie zeros, or the other end where the axis goes around."""
    height, nz = u.shape
    for j in range(height):
        before = u[j, nz - 1] if around else 0.0
        beyond = u[j, 0] if around else 0.0
        for k in (0, nz - 1):
            own = u[j, k]
            left = u[j, k - 1] if k > 0 else before
            right = u[j, k + 1] if k < nz - 1 else beyond
            across = t_low[j, k] * (own - low[j, k]) + t_high[j, k] * (own - high[j, k])
            out[j, k] = across + t[j, k] * (own - left) + t[j, k + 1] * (own - right)


@kernel()
def _end_row(out, u, low, high, t_low, t_high, t, around, connected):  # type: ignore[no-untyped-def]
    """A row at an end of the plane; one that is not `connected` is alone on its axis."""
    _along(out, u, t, u[u.size - 1] if around else 0.0, u[0] if around else 0.0)
    if connected:
        _across(out, u, low, high, t_low, t_high)


@fast_kernel()
def _along(out, u, t, first, last):  # type: ignore[no-untyped-def]
    """A row alone; `first` and `last` are the values beyond its ends (its own ones where a periodic axis has one cell)."""
    n = u.size
    for k in range(1, n - 1):
        out[k] = t[k] * (u[k] - u[k - 1]) + t[k + 1] * (u[k] - u[k + 1])
    out[0] = t[0] * (u[0] - first) + t[1] * (u[0] - (u[1] if n > 1 else last))
    out[n - 1] = t[n - 1] * (u[n - 1] - (u[n - 2] if n > 1 else first)) + t[n] * (u[n - 1] - last)


@fast_kernel()
def _across(out, u, low, high, t_low, t_high):  # type: ignore[no-untyped-def]
    for k in range(u.size):
        out[k] += t_low[k] * (u[k] - low[k]) + t_high[k] * (u[k] - high[k])


@fast_kernel()
def _react(out, u, reaction):  # type: ignore[no-untyped-def]
    for k in range(u.size):
        out[k] += reaction[k] * u[k]
