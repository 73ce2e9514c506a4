"""A constant linear part ``y' = L y`` as implicit and exponential methods use it: its action, ``(I - a L)^-1``, and functions of h L."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from solvers.arguments import number, shown
from solvers.integrators.kinds import in_kind, is_torch, namespace, to_numpy
from solvers.integrators.phi import combine_krylov, dense_phi, phi
from solvers.linear.direct import factorize
from solvers.linear.preconditioners import make_preconditioner
from solvers.linear.solve import linear_solve, linear_solve_many
from solvers.linear.stencil import ConstantCoefficients, StencilOperator
from solvers.linear.system import Method

Array = NDArray[Any]
#: Values of a, or of h, whose factorisations or matrix functions are remembered: a few stages, and a step tried again.
_REMEMBERED = 8


@dataclass(frozen=True, eq=False)
class Operator:
    """``L = factor * A`` for a matrix or operator A on the state's last axes, flattened; leading axes of a state are rows that share it.

    Parameters
    ----------
    A : dense array, SciPy sparse matrix, `StencilOperator` (a positive operator, so that diffusion is ``factor=-viscosity``), or
        `LinearOperator`. Torch states take a dense array only.
    factor : a real number.
    method : how to solve with ``I - a L``: "auto" factorises matrices once for every a, and leaves stencils to the choice of
        `linear_solve` and operators known by their action to GMRES; otherwise any method of `linear_solve`.
    M : kind of preconditioner, see `make_preconditioner`, built once for every a and used by `method`; None is none.
    rtol : tolerance of iterative solves and of Krylov approximations of matrix functions.

    Raises
    ------
    TypeError, ValueError : A is no square matrix or operator; factor is no number, rtol no tolerance.
    """

    A: Any
    factor: float = 1.0
    method: str | Method = "auto"
    M: str | None = None
    rtol: float = 1e-12

    def __post_init__(self) -> None:
        A = self.A
        if not isinstance(A, (StencilOperator, np.ndarray)) and not sp.issparse(A):
            try:
                A = aslinearoperator(A)
            except TypeError:
                raise TypeError(f"Operator.A = {shown(A)} is no operator: give a matrix, a StencilOperator or a LinearOperator") from None
        number("Operator.factor", self.factor)
        if len(A.shape) != 2 or A.shape[0] != A.shape[1]:
            raise ValueError(f"A has shape {A.shape}: a linear part needs a square matrix")
        if not 0 < number("Operator.rtol", self.rtol) < 1:
            raise ValueError(f"rtol = {self.rtol} is no tolerance: give a number between 0 and 1")
        object.__setattr__(self, "A", sp.csr_matrix(A) if sp.issparse(A) else A)


class LinearPart(Protocol):
    """What the methods ask of L; a and h are numbers, or with independent rows arrays that broadcast against the state."""

    def apply(self, y: Any) -> Any:
        """``L y``"""

    def solve(self, a: Any, rhs: Any) -> Any:
        """``(I - a L)^-1 rhs``; `SolverError` where an iterative method fails."""

    def combine(self, c: float, h: Any, vectors: Sequence[Any]) -> Any:
        """``sum_k h^k phi_k(c h L) vectors[k]``, see `solvers.integrators.phi`."""


def linear_part(linear: Any) -> LinearPart:
    """The part for an `Operator`, or for an array or tensor that is the diagonal of L."""
    if not isinstance(linear, Operator):
        return Diagonal(linear)
    return Dense(linear.factor * linear.A) if isinstance(linear.A, np.ndarray) else Large(linear)


class Diagonal:
    """L by its diagonal, a NumPy or torch array that broadcasts against the state."""

    def __init__(self, values: Any) -> None:
        self.values = values
        self._phi = lru_cache(maxsize=2 * _REMEMBERED)(self._evaluate)

    def apply(self, y: Any) -> Any:
        return in_kind(self.values, y) * y

    def solve(self, a: Any, rhs: Any) -> Any:
        return rhs / (1 - in_kind(a, rhs) * in_kind(self.values, rhs))

    def combine(self, c: float, h: Any, vectors: Sequence[Any]) -> Any:
        evaluate = self._phi if isinstance(h, float) else self._evaluate
        weights = evaluate(c, h, len(vectors) - 1)
        return sum(in_kind(weight, v) * v for weight, v in zip(weights, vectors, strict=True))

    def _evaluate(self, c: float, h: Any, count: int) -> list[Array]:
        h = to_numpy(h)
        return [h**k * weight for k, weight in enumerate(phi(c * h * to_numpy(self.values), count))]


class Dense:
    """L as a dense matrix; states are NumPy or torch arrays."""

    def __init__(self, matrix: Array) -> None:
        self.matrix = matrix
        self._factors = lru_cache(maxsize=_REMEMBERED)(self._factorize)
        self._functions = lru_cache(maxsize=2 * _REMEMBERED)(self._evaluate)

    def apply(self, y: Any) -> Any:
        return _product(self.matrix, y)

    def solve(self, a: Any, rhs: Any) -> Any:
        if is_torch(rhs):
            torch = namespace(rhs)
            shifted = in_kind(np.eye(len(self.matrix)) - float(a) * self.matrix, rhs)
            return torch.linalg.solve(shifted, rows_of(rhs, len(shifted)).T).T.reshape(rhs.shape)
        return _each_step(a, rhs, len(self.matrix), self._back_solve)

    def combine(self, c: float, h: Any, vectors: Sequence[Any]) -> Any:
        def of_rows(step: float, *parts: Any) -> Any:
            functions = self._functions(c, step, len(parts) - 1)
            return sum(_product(F, part) for F, part in zip(functions, parts, strict=True))

        return of_rows(float(h), *vectors) if is_torch(vectors[0]) else _each_step(h, vectors, len(self.matrix), of_rows)

    def _back_solve(self, a: float, rows: Array) -> Array:
        return np.stack([scipy.linalg.lu_solve(self._factors(a), row) for row in rows])

    def _factorize(self, a: float) -> tuple[Array, Array]:
        return scipy.linalg.lu_factor(np.eye(len(self.matrix)) - a * self.matrix)

    def _evaluate(self, c: float, h: float, count: int) -> list[Array]:
        return [h**k * F for k, F in enumerate(dense_phi(c * h * self.matrix, count))]


class Large:
    """L as a sparse matrix, a stencil, or an operator known by its action; states are NumPy arrays."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.n = operator, int(operator.A.shape[0])
        self._solver = lru_cache(maxsize=_REMEMBERED)(self._make_solver)

    def apply(self, y: Any) -> Any:
        if is_torch(y):
            given = type(self.operator.A).__name__
            raise TypeError(f"the linear part is a {given}, and torch states take a diagonal or a dense matrix: pass one, or a NumPy state")
        rows = rows_of(y, self.n)
        A = self.operator.A
        return (self.operator.factor * np.stack([A @ row for row in rows])).reshape(y.shape)

    def solve(self, a: Any, rhs: Any) -> Any:
        return _each_step(a, rhs, self.n, lambda step, rows: self._solver(step)(rows))

    def combine(self, c: float, h: Any, vectors: Sequence[Any]) -> Any:
        """The k-th vector counts with ``h^k``, which Krylov spaces of c h L give with ``(c h)^k``."""

        def of_rows(step: float, *parts: Any) -> Any:
            scaled = [part / c**k for k, part in enumerate(parts)]
            return np.stack([combine_krylov(self.apply, c * step, row, self.operator.rtol) for row in zip(*scaled, strict=True)])

        return _each_step(h, vectors, self.n, of_rows)

    def _make_solver(self, a: float) -> Callable[[Array], Array]:
        """``rows -> (I - a L)^-1 rows``"""
        operator = self.operator
        method, rtol = operator.method, operator.rtol
        shifted = shift(operator.A, -a * operator.factor)
        if sp.issparse(shifted) and method == "auto":
            return factorize(shifted).solve
        if isinstance(shifted, LinearOperator) and method == "auto":
            method = "gmres"
        if operator.M is None:
            return lambda rows: np.stack([s.raise_for_status().x for s in linear_solve_many(shifted, rows, method, rtol=rtol)])
        M = make_preconditioner(shifted, operator.M)
        return lambda rows: np.stack([linear_solve(shifted, row, method, M=M, rtol=rtol).raise_for_status().x for row in rows])


def shift(A: Any, a: float) -> Any:
    """``I + a A`` as what A is; a stencil stays one where a is not negative."""
    if sp.issparse(A):
        return sp.csr_matrix(sp.identity(A.shape[0], format="csr") + a * A)
    if not isinstance(A, StencilOperator):
        return LinearOperator(A.shape, matvec=lambda v: np.ravel(v) + a * (A @ np.ravel(v)), dtype=A.dtype)
    if a < 0:
        return shift(A.to_csr(), a)
    constant = A.constant
    if constant is not None:
        constant = ConstantCoefficients(tuple(a * value for value in constant.scaled), constant.sides, 1 + a * constant.reaction)
    return StencilOperator(tuple(a * face for face in A.faces), 1 + a * A.reaction, A.periodic, constant)


def rows_of(y: Any, n: int) -> Any:
    """y as rows of n entries, which its last axes must hold."""
    size, axes = 1, 0
    while size < n and axes < y.ndim:
        axes += 1
        size *= y.shape[-axes]
    if size != n:
        raise ValueError(f"the state has shape {tuple(y.shape)}, but the linear part acts on {n} entries: its last axes must hold as many")
    return y.reshape(-1, n)


def _product(matrix: Array, y: Any) -> Any:
    """The matrix times every row, one by one in NumPy: the bits of a row must not depend on how many there are."""
    rows = rows_of(y, len(matrix))
    if is_torch(y):
        return (rows @ in_kind(matrix, y).mT).reshape(y.shape)
    return np.stack([matrix @ row for row in rows]).reshape(y.shape)


def _each_step(h: Any, y: Any, n: int, function: Callable[..., Any]) -> Any:
    """``function(h, rows...)`` for the rows of y, or of each array in a list y: at once where they share h, else one by one."""
    arrays = [rows_of(array, n) for array in (y if isinstance(y, (list, tuple)) else [y])]
    shape = (y[0] if isinstance(y, (list, tuple)) else y).shape
    if np.ndim(h) == 0:
        return function(float(h), *arrays).reshape(shape)
    steps = rows_of(np.broadcast_to(h, shape), n)[:, 0].tolist()
    return np.concatenate([function(step, *(array[i : i + 1] for array in arrays)) for i, step in enumerate(steps)]).reshape(shape)
