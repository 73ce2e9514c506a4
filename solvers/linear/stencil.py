"""Matrix-free diffusion operators on structured grids: what a 5-point or 7-point matrix really is.

A cell-centred finite-volume discretisation of ``-div(a grad u) + c u`` couples a cell to its neighbours through faces, and a
face is one number, its transmissibility: flux = T (u_i - u_j). The operator is therefore stored as one array of faces per axis
and one array of reaction coefficients, and every boundary condition is a statement about the outermost faces:

* Dirichlet: T = a / (h/2) / h, the wall lies half a cell away from the centre,
* Neumann: T = 0, the prescribed flux belongs to the right-hand side,
* periodic: the first face is the last one.

The matrix is symmetric. Where no reaction is negative it is an M-matrix for every positive coefficient, hence the discrete maximum
principle; a negative reaction, as in the Helmholtz equation, can make it indefinite, and `StencilOperator.is_definite` says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from solvers.linear.compiled import kernel
from solvers.linear.stencil_action import apply_stencil, no_cells, zeros

Side = Literal["dirichlet", "neumann", "periodic"]
Sides = tuple[tuple[Side, Side], ...]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class ConstantCoefficients:
    """Facts that make an operator diagonal under fast transforms: ``sum_k coefficient_k (-d_kk) / h_k^2 + reaction``."""

    scaled: tuple[float, ...]  # a_k / h_k^2, one an axis
    sides: Sides
    reaction: float


@dataclass(frozen=True)
class Facts:
    """What methods are chosen and judged by, from one pass over an operator.

    Attributes
    ----------
    smallest, largest, mean : of the diagonal.
    finite : whether no entry of the diagonal is infinite or NaN.
    weakest_link : the smallest ratio of two positive transmissibilities between a cell and its neighbours; 1 where there is no such pair.
    smallest_reaction, largest_reaction : range of the reaction.
    """

    smallest: float
    largest: float
    mean: float
    finite: bool
    weakest_link: float
    smallest_reaction: float
    largest_reaction: float

    @property
    def has_reaction(self) -> bool:
        return not self.smallest_reaction == self.largest_reaction == 0


@dataclass(frozen=True, eq=False)
class StencilOperator:
    """Symmetric operator ``(A u)_i = sum_f T_f (u_i - u_j(f)) + reaction_i u_i`` on a grid, u = 0 beyond non-periodic faces.

    Parameters
    ----------
    faces : one array an axis; ``faces[k]`` has the grid's shape with one more entry along axis k, non-negative.
        For a periodic axis the first and the last face are the same.
    reaction : array of the grid's shape, of any sign.
    periodic : one flag an axis.
    constant : set by `diffusion_operator` where the coefficients do not vary; None otherwise.

    Examples
    --------
    The second difference of a parabola is exact, so the source comes back to rounding:

    >>> A = diffusion_operator(1.0, shape=(4, 4), spacing=(0.25, 0.25), sides=(("neumann", "neumann"), ("dirichlet", "dirichlet")))
    >>> y = np.broadcast_to((np.arange(4) + 0.5) / 4, (4, 4))
    >>> (A @ (y * (1 - y)))[0, 1:3].round(12).tolist()
    [2.0, 2.0]
    """

    faces: tuple[Array, ...]
    reaction: Array
    periodic: tuple[bool, ...]
    constant: ConstantCoefficients | None = None

    def __post_init__(self) -> None:
        for axis, face in enumerate(self.faces):
            expected = tuple(n + (k == axis) for k, n in enumerate(self.grid_shape))
            if face.shape != expected:
                raise ValueError(f"faces[{axis}] has shape {face.shape}; a grid of shape {self.grid_shape} needs {expected}")
            if face.min() < 0:
                raise ValueError(f"faces[{axis}] holds a negative transmissibility; the coefficient must be positive")

    @property
    def grid_shape(self) -> tuple[int, ...]:
        return self.reaction.shape

    @property
    def size(self) -> int:
        return self.reaction.size

    @property
    def shape(self) -> tuple[int, int]:
        return (self.size, self.size)

    @property
    def dtype(self) -> np.dtype[np.float64]:
        return np.dtype(np.float64)

    @cached_property
    def diagonal(self) -> Array:
        """Diagonal of the matrix, in the grid's shape."""
        total = self.reaction.copy()
        for axis, face in enumerate(self.faces):
            if self.periodic[axis] and self.grid_shape[axis] == 1:
                continue  # a cell that is its own neighbour exchanges nothing
            total += _low(face, axis) + _high(face, axis)
        return total

    @cached_property
    def facts(self) -> Facts:
        found = _survey(self.lifted_faces, lift(self.reaction), self.lifted_periodic, np.empty((10, self.grid_shape[-1])))
        return Facts(*found)

    @cached_property
    def is_singular(self) -> bool:
        """Whether constants are in the null space: no reaction and no Dirichlet face anywhere."""
        if self.facts.has_reaction:
            return False
        return all(self.periodic[k] or not (_end(face, k, 0).any() or _end(face, k, -1).any()) for k, face in enumerate(self.faces))

    @cached_property
    def is_definite(self) -> bool:
        """Whether the operator is known to have no negative eigenvalue: no reaction is negative.

        A negative reaction smaller than the first eigenvalue of the diffusion leaves the operator definite; it counts as unknown.
        """
        return not self.facts.smallest_reaction < 0

    def matvec(self, u: ArrayLike) -> Array:
        """``A u`` for u of the grid's shape or flat; the result has u's shape."""
        u = np.asarray(u, dtype=np.float64)
        shape, faces, reaction, periodic, nothing = self._lifted
        lifted = np.ascontiguousarray(u).reshape(shape)
        out = np.empty_like(lifted)
        apply_stencil(lifted, faces, reaction, periodic, nothing, out)
        return out.reshape(u.shape)

    __matmul__ = matvec

    def abs_matvec(self, u: ArrayLike) -> Array:
        """``|A| |u|``, what rounding errors of u are amplified by."""
        u = np.abs(np.asarray(u, dtype=np.float64))
        diagonal = self.diagonal.reshape(u.shape)
        return (np.abs(diagonal) + diagonal) * u - self.matvec(u)

    @cached_property
    def _lifted(self) -> tuple[Any, ...]:
        """The lifted shape, and what `apply_stencil` takes beside u: on small grids collecting takes longer than the product."""
        shape = (1,) * (3 - len(self.faces)) + self.grid_shape
        return shape, self.lifted_faces, self.lifted_reaction, self.lifted_periodic, no_cells(shape[2])

    @cached_property
    def lifted_faces(self) -> tuple[Array, Array, Array]:
        """Faces of the same operator on a three-dimensional grid, singleton axes first, C-contiguous."""
        missing = 3 - len(self.faces)
        shape = (1,) * missing + self.grid_shape
        walls = [zeros(tuple(n + (k == axis) for k, n in enumerate(shape))) for axis in range(missing)]
        lifted = [np.ascontiguousarray(face.reshape((1,) * missing + face.shape)) for face in self.faces]
        x, y, z = walls + lifted
        return x, y, z

    @cached_property
    def lifted_periodic(self) -> tuple[bool, bool, bool]:
        """Flags of the lifted axes; a missing one counts as periodic: its one cell is its own neighbour, and exchanges nothing."""
        x, y, z = (True,) * (3 - len(self.periodic)) + self.periodic
        return x, y, z

    @cached_property
    def lifted_reaction(self) -> Array:
        """Reaction on the lifted grid; empty where it is zero, so that nobody has to read it."""
        return lift(self.reaction) if self.reaction.any() else np.empty((0, 0, 0))

    def to_csr(self) -> sp.csr_matrix:
        """The same operator as a SciPy matrix, unknowns in C order."""
        index = np.arange(self.size).reshape(self.grid_shape)
        rows, cols, values = [index.ravel()], [index.ravel()], [self.diagonal.ravel()]
        for axis, face in enumerate(self.faces):
            here, there, transmissibility = _pairs(index, face, axis, self.periodic[axis])
            rows += [here, there]
            cols += [there, here]
            values += [-transmissibility, -transmissibility]
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
        matrix = sp.csr_matrix(entries, shape=self.shape)
        matrix.sum_duplicates()  # periodic axes of two cells meet twice
        return matrix


def lift(array: Array) -> Array:
    """View an array of up to three axes as three-dimensional, singleton axes first, C-contiguous."""
    return np.ascontiguousarray(array.reshape((1,) * (3 - array.ndim) + array.shape))


def _end(face: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    return np.take(face, index, axis=axis)


def _low(face: NDArray[Any], axis: int) -> NDArray[Any]:
    return face[(slice(None),) * axis + (slice(None, -1),)]


def _high(face: NDArray[Any], axis: int) -> NDArray[Any]:
    return face[(slice(None),) * axis + (slice(1, None),)]


def _pairs(index: NDArray[np.int64], face: Array, axis: int, periodic: bool) -> tuple[NDArray[Any], NDArray[Any], Array]:
    inner = face[(slice(None),) * axis + (slice(1, -1),)]
    here, there, values = [_low(index, axis).ravel()], [_high(index, axis).ravel()], [inner.ravel()]
    if periodic and index.shape[axis] > 1:
        here.append(_end(index, axis, -1).ravel())
        there.append(_end(index, axis, 0).ravel())
        values.append(_end(face, axis, 0).ravel())
    return np.concatenate(here), np.concatenate(there), np.concatenate(values)


def diffusion_operator(
    coefficient: ArrayLike,
    *,
    spacing: Sequence[float],
    sides: Sides,
    shape: tuple[int, ...] | None = None,
    reaction: ArrayLike = 0.0,
) -> StencilOperator:
    """Finite volumes for ``-div(a grad u) + c u`` with harmonic face averages.

    Parameters
    ----------
    coefficient : a at the cell centres (array of the grid's shape) or one number; positive.
    spacing : cell size along each axis.
    sides : ``((low, high), ...)`` with "dirichlet", "neumann" or "periodic"; periodic in pairs.
    shape : the grid's shape; needed where `coefficient` is a number.
    reaction : c at the cell centres or one number; negative values make the operator indefinite, see `StencilOperator.is_definite`.

    Notes
    -----
    Between cell centres the flux passes two half cells in series, so the face value is the harmonic mean of its two cells:
    exact for layers across the flow, whatever the contrast.
    """
    a = np.asarray(coefficient, dtype=np.float64)
    grid = a.shape if shape is None else tuple(shape)
    if len(grid) != len(spacing) or len(grid) != len(sides) or not 1 <= len(grid) <= 3:
        raise ValueError(f"grid of shape {grid}, {len(spacing)} spacings and {len(sides)} pairs of sides do not fit together")
    if not (a > 0).all():
        raise ValueError(f"coefficient reaches {float(a.min()):g}; it must be positive everywhere")
    for axis, pair in enumerate(sides):
        unknown = set(pair) - {"dirichlet", "neumann", "periodic"}
        if unknown:
            raise ValueError(f"sides[{axis}] names {sorted(unknown)[0]!r}; a side is dirichlet, neumann or periodic")
        if ("periodic" in pair) and pair != ("periodic", "periodic"):
            raise ValueError(f"sides[{axis}] is {pair}; periodic sides come in pairs")
    c = np.asarray(reaction, dtype=np.float64)
    constant = None
    if a.ndim == 0 and c.ndim == 0:
        constant = ConstantCoefficients(tuple(float(a) / h**2 for h in spacing), sides, float(c))
    resistance = np.ascontiguousarray(0.5 / np.broadcast_to(a, grid))
    faces = tuple(_axis_faces(resistance, axis, spacing[axis], sides[axis]) for axis in range(len(grid)))
    periodic = tuple(pair[0] == "periodic" for pair in sides)
    return StencilOperator(faces, np.array(np.broadcast_to(c, grid)), periodic, constant)


def _axis_faces(half_resistance: Array, axis: int, h: float, pair: tuple[Side, Side]) -> Array:
    """Transmissibility over h of all faces along one axis, from the resistance of half a cell of unit size."""
    shape = half_resistance.shape
    n, inner = shape[axis], math.prod(shape[axis + 1 :])
    faces = np.empty(tuple(m + (k == axis) for k, m in enumerate(shape)))
    low, high = (_SIDE_NUMBERS[side] for side in pair)
    _fill_faces(half_resistance.reshape(-1, n, inner), 1 / h**2, low, high, faces.reshape(-1, n + 1, inner))
    return faces


_SIDE_NUMBERS = {"dirichlet": 0, "neumann": 1, "periodic": 2}


@kernel()
def _fill_faces(resistance, factor, low, high, faces):  # type: ignore[no-untyped-def]
    outer, n, inner = resistance.shape
    for one in range(outer):
        first, last = resistance[one, 0], resistance[one, n - 1]
        _end_faces(first, last, factor, low, faces[one, 0])
        _end_faces(last, first, factor, high, faces[one, n])
        if inner == 1:
            cells, result = resistance[one].reshape(n), faces[one].reshape(n + 1)
            _conduct(cells[: n - 1], cells[1:], factor, result[1:n])
        else:
            for k in range(n - 1):
                _conduct(resistance[one, k], resistance[one, k + 1], factor, faces[one, k + 1])


@kernel()
def _end_faces(own, opposite, factor, side, faces):  # type: ignore[no-untyped-def]
    for k in range(own.size):
        faces[k] = factor / own[k] if side == 0 else 0.0 if side == 1 else factor / (own[k] + opposite[k])


@kernel()
def _conduct(one, two, factor, faces):  # type: ignore[no-untyped-def]
    for k in range(faces.size):
        faces[k] = factor / (one[k] + two[k])


@kernel()
def _survey(faces, reaction, periodic, rows):  # type: ignore[no-untyped-def]
    """The numbers of `Facts`; `rows` is memory for ten rows, in which they are gathered column by column."""
    tx, ty, tz = faces
    px, py, pz = periodic
    nx, ny, nz = reaction.shape
    diagonal, weakest, strongest = rows[0], rows[1], rows[2]
    _begin(rows)
    for i in range(nx):
        for j in range(ny):
            row = tz[i, j]
            _begin_row(reaction[i, j], diagonal, weakest, strongest)
            if nz > 1 or not pz:  # a cell that is its own neighbour exchanges nothing
                _add_faces(diagonal, row[:nz], row[1:])
            if ny > 1 or not py:
                _add_faces(diagonal, ty[i, j], ty[i, j + 1])
            if nx > 1 or not px:
                _add_faces(diagonal, tx[i, j], tx[i + 1, j])
            _note_links(weakest[1:], strongest[1:], row[1:nz])
            _note_links(weakest[: nz - 1], strongest[: nz - 1], row[1:nz])
            if pz and nz > 1:
                _note_links(weakest[:1], strongest[:1], row[:1])
                _note_links(weakest[nz - 1 :], strongest[nz - 1 :], row[nz:])
            if ny > 1 and (j > 0 or py):
                _note_links(weakest, strongest, ty[i, j])
            if ny > 1 and (j < ny - 1 or py):
                _note_links(weakest, strongest, ty[i, j + 1])
            if nx > 1 and (i > 0 or px):
                _note_links(weakest, strongest, tx[i, j])
            if nx > 1 and (i < nx - 1 or px):
                _note_links(weakest, strongest, tx[i + 1, j])
            _gather(diagonal, rows[3], rows[4])
            _add_up(diagonal, rows[5], rows[6])
            _gather(reaction[i, j], rows[7], rows[8])
            _note_ratios(weakest, strongest, rows[9])
    total = bad = 0.0
    smallest, largest, low_reaction, high_reaction, ratio = rows[3, 0], rows[4, 0], rows[7, 0], rows[8, 0], 1.0
    for k in range(nz):
        smallest, largest = min(smallest, rows[3, k]), max(largest, rows[4, k])
        total += rows[5, k]
        bad += rows[6, k]
        low_reaction, high_reaction = min(low_reaction, rows[7, k]), max(high_reaction, rows[8, k])
        ratio = min(ratio, rows[9, k])
    return smallest, largest, total / reaction.size, bad == 0.0, ratio, low_reaction, high_reaction


@kernel()
def _begin(rows):  # type: ignore[no-untyped-def]
    for k in range(rows.shape[1]):
        rows[3, k] = rows[7, k] = np.inf
        rows[4, k] = rows[8, k] = -np.inf
        rows[5, k] = rows[6, k] = 0.0
        rows[9, k] = 1.0


@kernel()
def _begin_row(reaction, diagonal, weakest, strongest):  # type: ignore[no-untyped-def]
    for k in range(diagonal.size):
        diagonal[k] = reaction[k]
        weakest[k] = np.inf
        strongest[k] = 0.0


@kernel()
def _add_faces(diagonal, low, high):  # type: ignore[no-untyped-def]
    for k in range(diagonal.size):
        diagonal[k] += low[k] + high[k]


@kernel()
def _note_links(weakest, strongest, links):  # type: ignore[no-untyped-def]
    for k in range(links.size):
        t = links[k]
        strongest[k] = t if t > strongest[k] else strongest[k]
        weakest[k] = t if (t > 0.0) & (t < weakest[k]) else weakest[k]


@kernel()
def _gather(values, lowest, highest):  # type: ignore[no-untyped-def]
    for k in range(values.size):
        v = values[k]
        lowest[k] = v if v < lowest[k] else lowest[k]
        highest[k] = v if v > highest[k] else highest[k]


@kernel()
def _add_up(values, total, bad):  # type: ignore[no-untyped-def]
    for k in range(values.size):
        total[k] += values[k]
        bad[k] += 0.0 if abs(values[k]) < np.inf else 1.0


@kernel()
def _note_ratios(weakest, strongest, ratio):  # type: ignore[no-untyped-def]
    for k in range(ratio.size):
        found = weakest[k] / strongest[k]  # infinite where there are no links
        ratio[k] = found if found < ratio[k] else ratio[k]
