"""Implicit stages ``z = r + a f(t, z)`` by the simplified Newton method, each row of a batch by itself.

The Jacobian is kept from stage to stage and from step to step while the iteration converges fast. Whether it converges is judged as in
Hairer and Wanner, "Solving Ordinary Differential Equations II", 2nd edition, section IV.8: with the rate theta of the last two corrections
the next error is theta / (1 - theta) times the last correction (equation 8.10), which must fall below the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from solvers.arguments import number, refuse_uncallable, shown
from solvers.integrators.kinds import is_torch, namespace, to_numpy
from solvers.integrators.linear_part import shift
from solvers.integrators.terms import fitting
from solvers.linear.direct import factorize
from solvers.linear.solve import linear_solve
from solvers.linear.system import Method

Array = NDArray[Any]
Function = Callable[[Any, Any], Any]
#: Real unknowns of a row up to which a Jacobian is made by finite differences; beyond that products with it are.
DENSE_UNKNOWNS = 128
_ITERATIONS = 8
#: How often a stage may have a Jacobian of its own.
_RENEWALS = 4
#: A Jacobian that converges slower than this is renewed for the next stage.
_SLOW = 0.1
#: Residual of an inexact linear solve: each Newton step then gains about three digits.
_FORCING = 1e-3


@dataclass(frozen=True, eq=False)
class Implicit:
    """A right-hand side for implicit methods, with what helps to solve for it.

    Parameters
    ----------
    function : ``f(t, y)`` of the whole state, rows of a batch alike and apart.
    jacobian : ``jacobian(t, y)`` of one row's state, as its n x n matrix on flattened states: dense, SciPy sparse or `LinearOperator`.
        Where states are complex f must be complex-differentiable for it. None takes finite differences: the whole matrix for up to 128
        real unknowns a row, matrix-free GMRES beyond. Torch states take None (up to 128) or dense ones.
    method : of `linear_solve`, for matrices that are not dense; "auto" factorises sparse ones, and takes GMRES for operators.
    tolerance : the last correction of a stage, over the root-mean-square of the row's state, may leave that much error. It has to stay
        well below what step control allows the smallest component, or steps are refused for what Newton's method left; the default
        costs a fifth more evaluations than 1e-10.

    Raises
    ------
    TypeError, ValueError : what is no function, or no tolerance; in a step, a Jacobian of another shape.
    """

    function: Function
    jacobian: Callable[[float, Any], Any] | None = None
    method: str | Method = "auto"
    tolerance: float = 1e-13

    def __post_init__(self) -> None:
        refuse_uncallable("Implicit.function", self.function, "give f(t, y)")
        if self.jacobian is not None:
            refuse_uncallable("Implicit.jacobian", self.jacobian, "give jacobian(t, y), as lambda t, y: J for a constant matrix J")
        if not 0 < number("Implicit.tolerance", self.tolerance) < 1:
            raise ValueError(f"tolerance = {self.tolerance} is no tolerance for Newton's method: give a number between 0 and 1")

    def counted(self, count: Callable[[Function], Function]) -> Implicit:
        """The same with `count` around its function."""
        return replace(self, function=count(self.function))


@dataclass(frozen=True, eq=False)
class Memory:
    """What one stage leaves to the next, one entry a row.

    Attributes
    ----------
    jacobians : dense ones as an array of shape ``rows + (n, n)``, others as a list.
    a : what they were combined with, shape `rows`.
    inverses : of ``I - a J``, an array of the same shape or a list of functions.
    stale : which rows converged slowly and want a new Jacobian, shape `rows`.
    """

    jacobians: Any
    a: Array
    inverses: Any
    stale: Array


class Newton:
    """Solves stages for an `Implicit` right-hand side; `batch` counts the leading axes of the state that are rows."""

    def __init__(self, implicit: Implicit, batch: int) -> None:
        self.implicit, self.batch = replace(implicit, function=fitting("the implicit part", implicit.function)), batch

    def kept(self, memory: Memory | None) -> Memory | None:
        """What of a memory the next step may have: all, unless rows that accept their steps one by one cannot take theirs from lists."""
        return None if memory is None or (self.batch and isinstance(memory.jacobians, list)) else memory

    def evaluate(self, t: Any, y: Any) -> Any:
        return self.implicit.function(t, y)

    def solve(self, t: Any, a: Any, r: Any, guess: Any, memory: Memory | None) -> tuple[Any, Memory]:
        """z, NaN in rows where it was not found, and what the next stage can use.

        Parameters
        ----------
        t, a : numbers, or arrays of one entry a row that broadcast against the state.
        """
        rows = _Rows(self.implicit, self.batch, t, guess)
        steps = np.broadcast_to(to_numpy(a).reshape(-1), (rows.count,)).reshape(rows.batch)
        right, start = rows.flat(r), rows.flat(guess)
        xp = namespace(start)
        memory = self._renewed(rows, steps, start, memory, None)
        z, converged, slow, nearer = self._iterate(rows, steps, right, start, memory)
        for _ in range(_RENEWALS):
            if bool(converged.all()):
                break
            # an old Jacobian is the usual reason; then one far from the root, which the last iterate may be nearer to
            point = xp.where((nearer & ~converged)[:, None], z, start)
            memory = self._renewed(rows, steps, point, memory, to_numpy(~converged).reshape(rows.batch))
            again, found, slow_again, nearer = self._iterate(rows, steps, right, point, memory)
            z, slow = xp.where(converged[:, None], z, again), xp.where(converged, slow, slow_again)
            converged = converged | found
        z = xp.where(converged[:, None], z, xp.full_like(z, float("nan")))
        return rows.shaped(z), replace(memory, stale=to_numpy(slow | ~converged).reshape(rows.batch))

    def _iterate(self, rows: _Rows, a: Array, r: Any, z: Any, memory: Memory) -> tuple[Any, Any, Any, Any]:
        """z, the rows in which it converged, those in which it did so slowly, and those that came nearer to the root."""
        xp = namespace(z)
        tolerance = max(self.implicit.tolerance, 10 * float(xp.finfo(z.dtype).eps))
        steps, start = rows.like(a.reshape(-1, 1)), _sizes(z)
        solve = _solver(memory, z)
        active = start >= 0
        converged, slow, before, first = ~active, ~active, xp.full_like(start, float("inf")), None
        with np.errstate(all="ignore"):  # rows that diverge are told by what comes out
            for _ in range(_ITERATIONS):
                correction = solve(z - steps * rows.function(z) - r)
                z = xp.where(active[:, None], z - correction, z)
                scale = xp.maximum(start, _sizes(z))
                size = _sizes(correction) / xp.where(scale > 0, scale, xp.ones_like(scale))
                theta = size / before
                error = xp.where(theta < 1, size * theta / (1 - theta), size)
                # the first correction has no rate; one far below the tolerance needs none
                done = active & (((error <= tolerance) & (theta > 0) & (theta < 1)) | (size <= tolerance / 100))
                slow = slow | (active & (theta > _SLOW))
                converged = converged | done
                active = active & ~done & (theta < 2)
                before = xp.where(active, size, before)
                first = size if first is None else first
                if not bool(active.any()):
                    break
        return z, converged, slow, before < first

    def _renewed(self, rows: _Rows, a: Array, z: Any, memory: Memory | None, which: Array | None) -> Memory:
        """New Jacobians for the rows `which` (None: those that converged slowly before), and inverses for these a."""
        if memory is None:
            jacobians = self._jacobians(rows, z)
            return Memory(jacobians, a, self._inverses(rows, jacobians, a), np.zeros(rows.batch, bool))
        which = memory.stale if which is None else which
        if not which.any():
            if np.array_equal(memory.a, a):
                return memory
            jacobians = memory.jacobians
        elif isinstance(memory.jacobians, list):
            fresh = self._jacobians(rows, z)
            jacobians = [new if want else old for want, new, old in zip(which.ravel(), fresh, memory.jacobians, strict=True)]
        else:
            wanted = namespace(z).broadcast_to(rows.like(which)[..., None, None] > 0, memory.jacobians.shape)
            jacobians = namespace(z).where(wanted, self._jacobians(rows, z), memory.jacobians)
        return Memory(jacobians, a, self._inverses(rows, jacobians, a), np.zeros(rows.batch, bool))

    def _jacobians(self, rows: _Rows, z: Any) -> Any:
        """Dense ones as one array of shape (rows, n, n), others as a list."""
        if self.implicit.jacobian is not None:
            given, n = [self.implicit.jacobian(t, y) for t, y in rows.apart(z)], z.shape[1]
            for J in given:
                if tuple(getattr(J, "shape", ())) != (n, n):
                    what = f"jacobian returned {shown(J)}, where a row of the state has {n} unknowns"
                    raise ValueError(f"{what}: return a matrix of shape {(n, n)}, dense, SciPy sparse or a LinearOperator")
            if not all(_is_dense(J) for J in given):
                return [sp.csr_matrix(J) if sp.issparse(J) else J for J in given]
            return namespace(z).stack([rows.like(J) for J in given]).reshape((*rows.batch, n, n))
        return rows.difference_jacobians(z) if z.shape[1] <= DENSE_UNKNOWNS else rows.difference_operators(z)

    def _inverses(self, rows: _Rows, jacobians: Any, a: Array) -> Any:
        if isinstance(jacobians, list):
            return [self._sparse_solver(J, float(step)) for J, step in zip(jacobians, a.ravel(), strict=True)]
        n = jacobians.shape[-1]
        shifted = rows.like(np.eye(n)) - rows.like(a[..., None, None]) * jacobians
        return _inverses(shifted.reshape(-1, n, n)).reshape(jacobians.shape)

    def _sparse_solver(self, J: Any, a: float) -> Callable[[Array], Array]:
        shifted, method = shift(J, -a), self.implicit.method
        if method == "auto" and sp.issparse(shifted):
            try:
                factor = factorize(shifted)
            except np.linalg.LinAlgError:
                return lambda row: np.full_like(row, np.nan)
            return lambda row: factor.solve(row[None])[0]
        if method == "auto" and isinstance(shifted, LinearOperator):
            method = "gmres"
        # where this falls short of its tolerance, the convergence of Newton's method says whether that matters
        return lambda row: linear_solve(shifted, row, method, rtol=_FORCING).x


class _Rows:
    """The state as rows of real unknowns, or of complex ones where a Jacobian is given, and the right-hand side in these terms."""

    def __init__(self, implicit: Implicit, batch: int, t: Any, like: Any) -> None:
        self.implicit, self.t, self.batch, self.shape = implicit, t, tuple(like.shape[:batch]), tuple(like.shape)
        self.count = int(np.prod(self.batch, dtype=int))
        self.example = like
        xp = namespace(like)
        is_complex = like.is_complex() if is_torch(like) else np.iscomplexobj(like)
        self.split = is_complex and implicit.jacobian is None
        self.xp = xp

    def flat(self, y: Any) -> Any:
        rows = y.reshape(self.count, -1)
        return self.xp.concatenate([rows.real, rows.imag], 1) if self.split else rows

    def shaped(self, z: Any) -> Any:
        if self.split:
            half = z.shape[1] // 2
            z = z[:, :half] + 1j * z[:, half:]
        return z.reshape(self.shape)

    def function(self, z: Any) -> Any:
        return self.flat(self.implicit.function(self.t, self.shaped(z)))

    def like(self, array: Any) -> Any:
        if not is_torch(self.example):
            return np.asarray(array)
        return array if is_torch(array) else self.example.real.new_tensor(array)

    def apart(self, z: Any) -> list[tuple[float, Any]]:
        """Time and state of each row."""
        times = np.broadcast_to(to_numpy(self.t).reshape(-1), (self.count,))
        state = self.shape[len(self.batch) :]
        return list(zip(times.tolist(), z.reshape((self.count, *state)), strict=True))

    def difference_jacobians(self, z: Any) -> Any:
        """Column by column, in all rows at once."""
        f, columns = self.function(z), []
        increments = _increments(z)
        for j in range(z.shape[1]):
            unit = self.like(np.eye(z.shape[1])[j])
            columns.append((self.function(z + increments[:, None] * unit) - f) / increments[:, None])
        return self.xp.stack(columns, -1).reshape((*self.batch, z.shape[1], z.shape[1]))

    def difference_operators(self, z: Array) -> list[LinearOperator]:
        f, increments, n = self.function(z), _increments(z), z.shape[1]

        def product(row: int, v: Array) -> Array:
            size = float(np.linalg.norm(v)) / np.sqrt(n)
            if size == 0:
                return np.zeros_like(v)
            moved = z.copy()
            moved[row] += increments[row] / size * np.ravel(v)
            return np.asarray((self.function(moved)[row] - f[row]) * (size / increments[row]))

        return [LinearOperator((n, n), matvec=lambda v, row=row: product(row, np.ravel(v)), dtype=z.dtype) for row in range(self.count)]


def _increments(z: Any) -> Any:
    """Steps of finite differences: the root of rounding over the size of the row."""
    sizes, xp = _sizes(z), namespace(z)
    return xp.where(sizes > 0, sizes, xp.ones_like(sizes)) * float(xp.finfo(z.dtype).eps) ** 0.5


def _sizes(z: Any) -> Any:
    """Root-mean-square of every row."""
    return namespace(z).sqrt((abs(z) ** 2).mean(1))


def _solver(memory: Memory, z: Any) -> Callable[[Any], Any]:
    """``F -> (I - a J)^-1 F`` for F of z's shape, (rows, n)."""
    inverses = memory.inverses
    if isinstance(inverses, list):
        return lambda F: np.stack([solve(row) for solve, row in zip(inverses, F, strict=True)])
    stacked = inverses.reshape(-1, z.shape[1], z.shape[1])
    return lambda F: (stacked @ F[:, :, None])[:, :, 0]


def _is_dense(J: Any) -> bool:
    return is_torch(J) or isinstance(J, np.ndarray)


def _inverses(matrices: Any) -> Any:
    """Inverses of stacked matrices; NaN for singular ones, which leave their neighbours alone."""
    if is_torch(matrices):
        return namespace(matrices).linalg.inv_ex(matrices)[0]
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:
        if len(matrices) == 1:
            return np.full_like(matrices, np.nan)
        return np.concatenate([_inverses(matrix[None]) for matrix in matrices])
