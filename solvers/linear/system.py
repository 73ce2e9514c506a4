"""The linear system as the methods see it: one operator, one flat right-hand side, one absolute tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from solvers.linear.residual import residual_norms
from solvers.linear.stencil import StencilOperator
from solvers.result import Status

if TYPE_CHECKING:
    from solvers.linear.recycle import RecycleSpace

Vector = NDArray[Any]
_ASYMMETRY = 1e-8  # over the largest entry: what assembling a symmetric matrix in another order leaves, and no more
Callback = Callable[[Vector, float], None]


@dataclass(frozen=True, eq=False)
class System:
    """``A x = b`` with everything a method may use.

    Attributes
    ----------
    A : `StencilOperator`, CSR matrix or `LinearOperator`.
    b, guess : flat arrays of float64, or complex128 where A is not a stencil; no guess is zero.
    M : approximate inverse of A to precondition with, or None.
    tolerance : absolute bound on the Euclidean norm of the residual.
    maxiter : iteration limit, or None for the method's own.
    callback : called as ``callback(x, residual_norm)`` after each iteration, or None.
    """

    A: StencilOperator | sp.csr_matrix | LinearOperator
    b: Vector
    guess: Vector | None
    M: LinearOperator | None
    tolerance: float
    maxiter: int | None
    callback: Callback | None

    @property
    def n(self) -> int:
        return int(self.b.size)

    @property
    def x0(self) -> Vector:
        """The guess as an array of its own, to iterate in."""
        return np.zeros_like(self.b) if self.guess is None else self.guess.copy()

    def matvec(self, x: Vector) -> Vector:
        return np.asarray(self.A @ x)

    def residual(self, x: Vector) -> Vector:
        return self.b - self.matvec(x)

    def residual_norm(self, x: Vector) -> float:
        """``||b - A x||_2``"""
        return float(residual_norms(self.A, x[None], self.b[None])[0])

    def csr(self, method: str) -> sp.csr_matrix:
        """The matrix with its entries; `TypeError` for an operator that only knows its action."""
        return entries(self.A, method)


def entries(A: Any, method: str) -> sp.csr_matrix:
    """A as a sparse matrix; `TypeError` in the name of `method` for an operator that only knows its action."""
    if isinstance(A, StencilOperator):
        return A.to_csr()
    if sp.issparse(A):
        return A
    given = type(A).__name__
    raise TypeError(f"method {method!r} needs the entries of A, but A is a {given}: pass a sparse matrix, or take method='cg'")


def looks_symmetric(A: Any) -> bool:
    """False for a matrix that visibly differs from its conjugate transpose; operators known only by their action pass."""
    return not isinstance(A, sp.csr_matrix) or A.nnz == 0 or float(abs(A - A.conj().T).max()) <= _ASYMMETRY * float(abs(A).max())


def acts_symmetrically(system: System) -> bool:
    """Whether ``u . A v`` is the conjugate of ``v . A u`` for two random vectors, which two products tell."""
    u, v = np.random.default_rng(0).standard_normal((2, system.n)).astype(system.b.dtype)
    Au, Av = system.matvec(u), system.matvec(v)
    difference = abs(np.vdot(u, Av) - np.conj(np.vdot(v, Au)))
    return bool(difference <= _ASYMMETRY * (np.linalg.norm(u) * np.linalg.norm(Av) + np.linalg.norm(v) * np.linalg.norm(Au)))


@dataclass(frozen=True, eq=False)
class Batch:
    """Systems that share their matrix, one right-hand side a row.

    Attributes
    ----------
    A, M, maxiter, callback : as in `System`.
    B : right-hand sides, shape (m, n).
    X0 : initial guesses, shape (m, n); None is zero.
    tolerances : absolute bounds on the Euclidean norms of the residuals, shape (m,).
    """

    A: StencilOperator | sp.csr_matrix | LinearOperator
    B: Vector
    X0: Vector | None
    M: LinearOperator | None
    tolerances: NDArray[np.float64]
    maxiter: int | None
    callback: Callback | None = None

    def __len__(self) -> int:
        return len(self.B)

    def system(self, row: int) -> System:
        guess = None if self.X0 is None else self.X0[row]
        return System(self.A, self.B[row], guess, self.M, float(self.tolerances[row]), self.maxiter, self.callback)

    def take(self, rows: Sequence[int]) -> Batch:
        if len(rows) == len(self):
            return self
        rows = list(rows)
        return replace(self, B=self.B[rows], X0=None if self.X0 is None else self.X0[rows], tolerances=self.tolerances[rows])

    def residual_norms(self, X: Sequence[Vector] | Vector) -> NDArray[np.float64]:
        """``||b - A x||_2`` row by row, shape (m,); the bits of a row do not depend on the others."""
        return residual_norms(self.A, X, self.B)


@dataclass(frozen=True, eq=False)
class Attempt:
    """What a method made of a system; `linear_solve` judges it by the recomputed residual.

    `status` is the method's own diagnosis of a failure, or None where it believes it met the tolerance.
    """

    x: Vector
    iterations: int = 0
    residual_norms: list[float] = field(default_factory=list)
    status: Status | None = None
    info: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """An immutable record of settings that can attempt a system. `name` is what users write and what results carry."""

    @property
    def name(self) -> str: ...

    def attempt(self, system: System) -> Attempt: ...


@runtime_checkable
class BatchMethod(Protocol):
    """A method that sets up once for all right-hand sides of a matrix.

    `attempt_many` returns one attempt a row, each with exactly the bits that the row alone would have got; only `BlockGMRES`, whose
    right-hand sides share what they find, promises no more than the tolerance.
    """

    def attempt_many(self, batch: Batch) -> Sequence[Attempt]: ...


@runtime_checkable
class RecyclingMethod(Protocol):
    """A method whose attempts leave a `RecycleSpace` in ``info["recycle_space"]`` that makes similar systems cheaper."""

    @property
    def space(self) -> RecycleSpace | None: ...

    def with_space(self, space: RecycleSpace) -> Method: ...
