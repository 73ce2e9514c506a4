"""Geometric multigrid for structured diffusion operators, used as a preconditioner of conjugate gradients.

The grid is a network of resistors and every ingredient is read off that network, so one code serves one to three dimensions,
any grid size, any mixture of boundary conditions and coefficients that jump:

* a coarse cell joins two fine cells along each coarsened axis (one, at the end of an odd axis); its centre is the face between them,
* interpolation weighs the two nearest coarse centres by the resistance of the way to them: linear interpolation where the
  coefficient is smooth, flux-continuous where it jumps, zero at a Dirichlet wall, constant towards a Neumann wall,
* a coarse face is the series of the resistances between the two coarse centres, in parallel over the fine rows it covers,
* only strongly coupled axes are coarsened (semicoarsening), which keeps point smoothing effective for anisotropy along the axes.

Smoothing is red-black Gauss-Seidel, with the colours reversed after the coarse correction, so the cycle is symmetric. On odd
periodic axes two neighbours share a colour and the symmetry is only approximate; the conjugate gradients below are therefore
the flexible (Polak-Ribiere) variant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg as sla
from numba import njit
from numpy.typing import NDArray

from solvers.linear.stencil import StencilOperator, lift

Array = NDArray[np.float64]

_COARSEST_CELLS = 48  # a dense factorisation of this size costs less than one sweep over a 32^2 grid
_STRONG = 0.35  # an axis is coarsened where its mean coupling is at least this part of the strongest


@dataclass(frozen=True, eq=False)
class Level:
    """One grid of the hierarchy, all arrays three-dimensional (singleton axes first)."""

    faces: tuple[Array, Array, Array]
    reaction: Array
    periodic: tuple[bool, bool, bool]

    @cached_property
    def diagonal(self) -> Array:
        x, y, z = self.faces
        total = self.reaction + x[:-1] + x[1:] + y[:, :-1] + y[:, 1:] + z[:, :, :-1] + z[:, :, 1:]
        for axis, face in enumerate(self.faces):
            if self.periodic[axis] and self.reaction.shape[axis] == 1:
                total -= 2 * face[(slice(None),) * axis + (slice(0, 1),)]
        return total

    @property
    def shape(self) -> tuple[int, ...]:
        return self.reaction.shape

    def coarsened_axes(self) -> tuple[bool, bool, bool]:
        """Axes longer than two cells whose mean coupling is strong."""
        strength = [float(face.mean()) if n > 2 else 0.0 for face, n in zip(self.faces, self.shape, strict=True)]
        strongest = max(strength)
        x, y, z = (s > 0 and s >= _STRONG * strongest for s in strength)
        return x, y, z


class MultigridHierarchy:
    """Levels, interpolation weights and the coarsest factorisation for one operator.

    Parameters
    ----------
    operator : a `StencilOperator`; singular ones (pure Neumann or periodic) are solved in the complement of the constants.
    """

    def __init__(self, operator: StencilOperator) -> None:
        self.singular = operator.is_singular
        level = Level(operator.lifted_faces, lift(operator.reaction), operator.lifted_periodic)
        self.levels = [level]
        self.weights: list[tuple[Array, Array, Array]] = []
        self.coarsened: list[tuple[bool, bool, bool]] = []
        while level.reaction.size > _COARSEST_CELLS and any(axes := level.coarsened_axes()):
            self.weights.append(_all_weights(level, axes))
            self.coarsened.append(axes)
            level = _coarsen(level, axes)
            self.levels.append(level)
        self._padded = [(np.zeros(tuple(n + 2 for n in lv.shape)), np.zeros(tuple(n + 2 for n in lv.shape))) for lv in self.levels]
        self._inverse = _coarsest_inverse(level, self.singular)

    def cycle(self, residual: Array, *, sweeps: int = 1) -> Array:
        """One V(sweeps, sweeps) cycle from a zero guess; `residual` and the result are three-dimensional."""
        u, f = self._padded[0]
        f[1:-1, 1:-1, 1:-1] = residual
        last = len(self.levels) - 1
        for depth in range(last):
            u, f = self._padded[depth]
            level = self.levels[depth]
            u[...] = 0.0
            for _ in range(sweeps):
                _sweep(u, f, *level.faces, level.diagonal, *level.periodic, 0)
            self._padded[depth + 1][1][...] = 0.0
            _residual_restrict(u, f, self._padded[depth + 1][1], level.faces, level.diagonal, level.periodic,
                               self.weights[depth], self.coarsened[depth])  # fmt: skip
        u, f = self._padded[last]
        shape = self.levels[last].shape
        u[1:-1, 1:-1, 1:-1] = (self._inverse @ f[1:-1, 1:-1, 1:-1].ravel()).reshape(shape)
        for depth in range(last - 1, -1, -1):
            u, f = self._padded[depth]
            level = self.levels[depth]
            _prolong_add(u, self._padded[depth + 1][0], self.weights[depth], self.coarsened[depth], level.periodic)
            for _ in range(sweeps):
                _sweep(u, f, *level.faces, level.diagonal, *level.periodic, 1)
        z = self._padded[0][0][1:-1, 1:-1, 1:-1].copy()
        return z - z.mean() if self.singular else z


def _coarsest_inverse(level: Level, singular: bool) -> Array:
    """Dense inverse of the coarsest matrix (of its non-singular part where constants are in the null space)."""
    n = level.reaction.size
    columns = np.eye(n).reshape((n, *level.shape))
    dense = StencilOperator(level.faces, level.reaction, level.periodic)
    matrix = np.array([dense.matvec(column).ravel() for column in columns])
    if singular:
        matrix += np.mean(level.diagonal) / n  # the constant mode becomes an ordinary eigenvector; the cycle removes it again
    factor = sla.cho_factor(matrix)
    return np.ascontiguousarray(sla.cho_solve(factor, np.eye(n)))


def _all_weights(level: Level, axes: tuple[bool, bool, bool]) -> tuple[Array, Array, Array]:
    x, y, z = (
        np.ascontiguousarray(np.moveaxis(_weights(_axis_first(level.faces[k], k), level.periodic[k]), 0, k))
        if axes[k]
        else np.ones(level.shape)
        for k in range(3)
    )
    return x, y, z


def _axis_first(array: Array, axis: int) -> Array:
    return np.ascontiguousarray(np.moveaxis(array, axis, 0))


@njit(cache=True, error_model="numpy")
def _inner_resistance(faces, j, k, coarse):  # type: ignore[no-untyped-def]
    """Resistance between the two fine cells of a coarse cell; 0 for a coarse cell of one fine cell."""
    n = faces.shape[0] - 1
    return 1.0 / faces[2 * coarse + 1, j, k] if 2 * coarse + 1 < n else 0.0


@njit(cache=True, error_model="numpy")
def _weights(faces, periodic):  # type: ignore[no-untyped-def]
    """Weight of a fine cell's own coarse centre along axis 0; the rest goes to the coarse neighbour on its outer side."""
    n = faces.shape[0] - 1
    nc = (n + 1) // 2
    out = np.ones((n, faces.shape[1], faces.shape[2]))
    for i in range(n):
        coarse = i // 2
        outer = i if i % 2 == 0 else i + 1
        neighbour = coarse - 1 if i % 2 == 0 else coarse + 1
        at_wall = not periodic and (neighbour < 0 or neighbour >= nc)
        neighbour = neighbour % nc
        for j in range(faces.shape[1]):
            for k in range(faces.shape[2]):
                t = faces[outer, j, k]
                if t == 0.0:
                    continue
                own = 0.5 * _inner_resistance(faces, j, k, coarse)
                far = 1.0 / t
                if not at_wall:
                    far += 0.5 * _inner_resistance(faces, j, k, neighbour)
                out[i, j, k] = far / (own + far)
    return out


@njit(cache=True, error_model="numpy")
def _series(faces, periodic):  # type: ignore[no-untyped-def]
    """Transmissibilities between coarse centres along axis 0, fine rows kept apart."""
    n = faces.shape[0] - 1
    nc = (n + 1) // 2
    out = np.zeros((nc + 1, faces.shape[1], faces.shape[2]))
    for c in range(nc + 1):
        fine = min(2 * c, n)
        for j in range(faces.shape[1]):
            for k in range(faces.shape[2]):
                t = faces[fine, j, k]
                if t == 0.0:
                    continue
                resistance = 1.0 / t
                if c > 0 or periodic:
                    resistance += 0.5 * _inner_resistance(faces, j, k, (c - 1) % nc)
                if c < nc or periodic:
                    resistance += 0.5 * _inner_resistance(faces, j, k, c % nc)
                out[c, j, k] = 1.0 / resistance
    return out


def _coarsen(level: Level, axes: tuple[bool, bool, bool]) -> Level:
    faces = list(level.faces)
    for axis in range(3):
        if axes[axis]:
            faces[axis] = np.moveaxis(_series(_axis_first(faces[axis], axis), level.periodic[axis]), 0, axis)
        for other in range(3):
            if axes[other] and other != axis:
                faces[axis] = _sum_pairs(faces[axis], other)
    reaction = level.reaction
    for axis in range(3):
        if axes[axis]:
            reaction = _sum_pairs(reaction, axis)
    x, y, z = (np.ascontiguousarray(face) for face in faces)
    return Level((x, y, z), np.ascontiguousarray(reaction), level.periodic)


def _sum_pairs(array: Array, axis: int) -> Array:
    return np.add.reduceat(array, np.arange(0, array.shape[axis], 2), axis=axis)


@njit(cache=True, error_model="numpy")
def _fill_ghosts(u, px, py, pz):  # type: ignore[no-untyped-def]
    """Copy the opposite layers into the ghost layers of periodic axes; other ghosts stay zero.

    Plain loops: slice assignment compiles ten times longer than everything else here together.
    """
    nx, ny, nz = u.shape
    if px:
        for j in range(ny):
            for k in range(nz):
                u[0, j, k] = u[nx - 2, j, k]
                u[nx - 1, j, k] = u[1, j, k]
    if py:
        for i in range(nx):
            for k in range(nz):
                u[i, 0, k] = u[i, ny - 2, k]
                u[i, ny - 1, k] = u[i, 1, k]
    if pz:
        for i in range(nx):
            for j in range(ny):
                u[i, j, 0] = u[i, j, nz - 2]
                u[i, j, nz - 1] = u[i, j, 1]


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _sweep(u, f, tx, ty, tz, diagonal, px, py, pz, first_colour):  # type: ignore[no-untyped-def]
    nx, ny, nz = diagonal.shape
    for half in range(2):
        colour = (first_colour + half) % 2
        _fill_ghosts(u, px, py, pz)
        for i in range(nx):
            for j in range(ny):
                for k in range((colour + i + j) % 2, nz, 2):
                    s = f[i + 1, j + 1, k + 1]
                    s += tx[i, j, k] * u[i, j + 1, k + 1] + tx[i + 1, j, k] * u[i + 2, j + 1, k + 1]
                    s += ty[i, j, k] * u[i + 1, j, k + 1] + ty[i, j + 1, k] * u[i + 1, j + 2, k + 1]
                    s += tz[i, j, k] * u[i + 1, j + 1, k] + tz[i, j, k + 1] * u[i + 1, j + 1, k + 2]
                    u[i + 1, j + 1, k + 1] = s / diagonal[i, j, k]


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _residual_restrict(u, f, coarse, faces, diagonal, periodic, weights, axes):  # type: ignore[no-untyped-def]
    """coarse += P^T (f - A u), with P as in `_prolong_add`."""
    nx, ny, nz = diagonal.shape
    tx, ty, tz = faces
    wx, wy, wz = weights
    cx, cy, cz = coarse.shape[0] - 2, coarse.shape[1] - 2, coarse.shape[2] - 2
    _fill_ghosts(u, periodic[0], periodic[1], periodic[2])
    for i in range(nx):
        ci, oi = _parents(i, axes[0], cx, periodic[0])
        for j in range(ny):
            cj, oj = _parents(j, axes[1], cy, periodic[1])
            for k in range(nz):
                ck, ok = _parents(k, axes[2], cz, periodic[2])
                s = f[i + 1, j + 1, k + 1] - diagonal[i, j, k] * u[i + 1, j + 1, k + 1]
                s += tx[i, j, k] * u[i, j + 1, k + 1] + tx[i + 1, j, k] * u[i + 2, j + 1, k + 1]
                s += ty[i, j, k] * u[i + 1, j, k + 1] + ty[i, j + 1, k] * u[i + 1, j + 2, k + 1]
                s += tz[i, j, k] * u[i + 1, j + 1, k] + tz[i, j, k + 1] * u[i + 1, j + 1, k + 2]
                a, b, c = wx[i, j, k], wy[i, j, k], wz[i, j, k]
                near, far = a * s, (1.0 - a) * s
                coarse[ci, cj, ck] += near * b * c
                coarse[ci, cj, ok] += near * b * (1.0 - c)
                coarse[ci, oj, ck] += near * (1.0 - b) * c
                coarse[ci, oj, ok] += near * (1.0 - b) * (1.0 - c)
                if far != 0.0:
                    coarse[oi, cj, ck] += far * b * c
                    coarse[oi, cj, ok] += far * b * (1.0 - c)
                    coarse[oi, oj, ck] += far * (1.0 - b) * c
                    coarse[oi, oj, ok] += far * (1.0 - b) * (1.0 - c)


@njit(cache=True, error_model="numpy", inline="always")
def _parents(i, coarsened, nc, periodic):  # type: ignore[no-untyped-def]
    """Padded indices of a fine cell's own coarse cell and of the coarse cell on its outer side."""
    if not coarsened:
        return i + 1, i + 1
    own = i // 2
    outer = own - 1 if i % 2 == 0 else own + 1
    if periodic:
        outer = outer % nc
    return own + 1, outer + 1


@njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})
def _prolong_add(u, coarse, weights, axes, periodic):  # type: ignore[no-untyped-def]
    """u += P coarse: the product of the one-dimensional weights of the fine cell; ghosts of the coarse grid are zero."""
    wx, wy, wz = weights
    nx, ny, nz = wx.shape
    cx, cy, cz = coarse.shape[0] - 2, coarse.shape[1] - 2, coarse.shape[2] - 2
    for i in range(nx):
        ci, oi = _parents(i, axes[0], cx, periodic[0])
        for j in range(ny):
            cj, oj = _parents(j, axes[1], cy, periodic[1])
            for k in range(nz):
                ck, ok = _parents(k, axes[2], cz, periodic[2])
                a, b, c = wx[i, j, k], wy[i, j, k], wz[i, j, k]
                near = b * (c * coarse[ci, cj, ck] + (1.0 - c) * coarse[ci, cj, ok])
                near += (1.0 - b) * (c * coarse[ci, oj, ck] + (1.0 - c) * coarse[ci, oj, ok])
                s = a * near
                if a != 1.0:
                    away = b * (c * coarse[oi, cj, ck] + (1.0 - c) * coarse[oi, cj, ok])
                    away += (1.0 - b) * (c * coarse[oi, oj, ck] + (1.0 - c) * coarse[oi, oj, ok])
                    s += (1.0 - a) * away
                u[i + 1, j + 1, k + 1] += s
