"""The linear system as the methods see it: one operator, one flat right-hand side, one absolute tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from solvers.linear.stencil import StencilOperator
from solvers.result import Status

Vector = NDArray[Any]
_ASYMMETRY = 1e-8  # over the largest entry: what assembling a symmetric matrix in another order leaves, and no more
Callback = Callable[[Vector, float], None]


@dataclass(frozen=True, eq=False)
class System:
    """``A x = b`` with everything a method may use.

    Attributes
    ----------
    A : `StencilOperator`, CSR matrix or `LinearOperator`.
    b, x0 : flat arrays of float64, or complex128 where A is not a stencil.
    M : approximate inverse of A to precondition with, or None.
    tolerance : absolute bound on the Euclidean norm of the residual.
    maxiter : iteration limit, or None for the method's own.
    callback : called as ``callback(x, residual_norm)`` after each iteration, or None.
    """

    A: StencilOperator | sp.csr_matrix | LinearOperator
    b: Vector
    x0: Vector
    M: LinearOperator | None
    tolerance: float
    maxiter: int | None
    callback: Callback | None

    @property
    def n(self) -> int:
        return int(self.b.size)

    def matvec(self, x: Vector) -> Vector:
        return np.asarray(self.A @ x)

    def residual(self, x: Vector) -> Vector:
        return self.b - self.matvec(x)

    @cached_property
    def looks_symmetric(self) -> bool:
        """False for a matrix that visibly differs from its conjugate transpose; operators known only by their action pass."""
        if not isinstance(self.A, sp.csr_matrix):
            return True
        return float(abs(self.A - self.A.conj().T).max()) <= _ASYMMETRY * float(abs(self.A).max())

    def csr(self, method: str) -> sp.csr_matrix:
        """The matrix with its entries; `TypeError` for an operator that only knows its action."""
        if isinstance(self.A, StencilOperator):
            return self.A.to_csr()
        if sp.issparse(self.A):
            return self.A
        given = type(self.A).__name__
        raise TypeError(f"method {method!r} needs the entries of A, but A is a {given}: pass a sparse matrix, or take method='cg'")


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
