"""Preconditioners behind one interface: `make_preconditioner` turns a matrix and a name or settings into the `M` of `linear_solve`.

| name | symmetric | for |
|---|---|---|
| jacobi, ssor | yes | any matrix without zeros on its diagonal |
| ic0, mic0 | yes | symmetric M-matrices, such as diffusion; mic0 needs O(n^1/2) iterations on an n x n grid where the others need O(n) |
| ilu0, ilut | no | nonsymmetric matrices |
| amg | yes | symmetric positive definite matrices |
| multigrid | yes | definite `StencilOperator` |
| shifted_laplacian | complex | Helmholtz's equation with absorbing boundaries, see `solvers.linear.shifted_laplacian` |

Conjugate gradients and MINRES need a symmetric one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray
from scipy.sparse.csgraph import structural_rank
from scipy.sparse.linalg import LinearOperator

from solvers.linear.amg import AMG, set_up, v_cycle
from solvers.linear.incomplete import FlatOperator, PanelOperator, TriangularFactors, incomplete_cholesky, incomplete_lu
from solvers.linear.multigrid import MultigridHierarchy
from solvers.linear.shifted_laplacian import ShiftedLaplacian
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import entries, looks_symmetric

_SMALLEST_PIVOT = 1e-12  # of an ILUT factor over the largest entry of its column: less is rounding
Matrix: TypeAlias = StencilOperator | sp.csr_matrix


class Preconditioner(Protocol):
    """An immutable record of settings that can build an approximate inverse. `name` is what users write.

    `build` gets a matrix as `make_preconditioner` prepares it (floating point, rows sorted, no duplicates) and makes an operator on flat
    vectors, real ones where it is real.
    """

    @property
    def name(self) -> str: ...

    def build(self, A: Matrix) -> LinearOperator: ...


@dataclass(frozen=True)
class Jacobi:
    """The diagonal of A."""

    @property
    def name(self) -> str:
        return "jacobi"

    def build(self, A: Matrix) -> LinearOperator:
        inverse = 1 / _diagonal(A, self.name)
        return PanelOperator(A.shape, lambda r: (inverse * r.T).T, inverse.dtype)


@dataclass(frozen=True)
class SSOR:
    """A forward and a backward sweep of successive over-relaxation: ``M = (D + w L) D^-1 (D + w U) / (w (2 - w))``.

    Saad (2003, "Iterative Methods for Sparse Linear Systems", section 10.2).

    Parameters
    ----------
    omega : w between 0 and 2; 1 is the symmetric Gauss-Seidel method.
    """

    omega: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.omega < 2:
            raise ValueError(f"SSOR: omega is {self.omega}; it must lie between 0 and 2")

    @property
    def name(self) -> str:
        return "ssor"

    def build(self, A: Matrix) -> LinearOperator:
        diagonal, matrix, w = _diagonal(A, self.name), entries(A, self.name), self.omega
        scale = w * (2 - w)
        L = sp.csr_matrix(w * sp.tril(matrix, -1) @ sp.diags(1 / diagonal))
        U = sp.csr_matrix(w / scale * sp.triu(matrix, 1))
        return TriangularFactors(L, U, scale / diagonal).operator()


@dataclass(frozen=True)
class IncompleteCholesky:
    """Incomplete Cholesky factor with the pattern of A, which is real and symmetric.

    It exists for every M-matrix; for others a `shift` makes it exist (Manteuffel 1980, Math. Comp. 34).

    Parameters
    ----------
    modification : part of each dropped entry that goes to the diagonal instead: 0 is IC(0), 1 is MIC(0), which keeps row sums; in between
        it is safer than MIC(0) where A is singular or its coefficient jumps.
    shift : the factorised matrix is ``A + shift diag(A)``.
    """

    modification: float = 0.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.modification <= 1:
            raise ValueError(f"IncompleteCholesky: modification is {self.modification}; it must lie between 0 and 1")
        if not 0 <= self.shift < np.inf:
            raise ValueError(f"IncompleteCholesky: shift is {self.shift}; it must be finite and not negative")

    @property
    def name(self) -> str:
        return "mic0" if self.modification == 1 else "ic0"

    def build(self, A: Matrix) -> LinearOperator:
        matrix = _symmetric(A, self.name, otherwise="ilu0")
        return incomplete_cholesky(matrix, self.modification, self.shift).operator()


@dataclass(frozen=True)
class ILU0:
    """Incomplete LU factors with the pattern of A; not for conjugate gradients where A is not symmetric."""

    @property
    def name(self) -> str:
        return "ilu0"

    def build(self, A: Matrix) -> LinearOperator:
        return incomplete_lu(entries(A, self.name)).operator()


@dataclass(frozen=True)
class ILUT:
    """Incomplete LU factors that drop small entries, by SuperLU: pivoted and reordered, hence never symmetric.

    Parameters
    ----------
    drop_tol : entries below this part of the norm of their column are dropped.
    fill_factor : bound on the entries of the factors over those of A.
    """

    drop_tol: float = 1e-3
    fill_factor: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.drop_tol <= 1:
            raise ValueError(f"ILUT: drop_tol is {self.drop_tol}; it must lie between 0 and 1")
        if not 1 <= self.fill_factor < np.inf:
            raise ValueError(f"ILUT: fill_factor is {self.fill_factor}; it must be at least 1")

    @property
    def name(self) -> str:
        return "ilut"

    def build(self, A: Matrix) -> LinearOperator:
        matrix = sp.csc_matrix(entries(A, self.name), copy=True)
        matrix.eliminate_zeros()
        # as in `factorize`: SuperLU writes beyond its memory where no permutation has a diagonal without zeros
        if structural_rank(matrix) == matrix.shape[0]:
            try:
                factor = spla.spilu(matrix, drop_tol=self.drop_tol, fill_factor=self.fill_factor)
            except RuntimeError:  # SuperLU: "Factor is exactly singular"
                factor = None
            if factor is not None:
                largest = np.empty(matrix.shape[0])
                largest[factor.perm_c] = abs(matrix).max(axis=0).toarray().ravel()
                if (abs(factor.U.diagonal()) > _SMALLEST_PIVOT * largest).all():
                    return PanelOperator(A.shape, factor.solve, matrix.dtype)
        raise np.linalg.LinAlgError(
            "the incomplete LU factors are singular: A is, or too much was dropped; "
            "raise fill_factor, lower drop_tol, or take 'ilu0' or 'ssor'"
        )


@dataclass(frozen=True)
class AlgebraicMultigrid:
    """One PyAMG V-cycle, for real symmetric positive definite A.

    Parameters
    ----------
    kind : as in `AMG`: "ruge_stuben" or "smoothed_aggregation".
    """

    kind: Literal["ruge_stuben", "smoothed_aggregation"] = "ruge_stuben"

    def __post_init__(self) -> None:
        AMG(self.kind)  # refuses what it does not know

    @property
    def name(self) -> str:
        return "amg"

    def build(self, A: Matrix) -> LinearOperator:
        matrix = _symmetric(A, self.name, otherwise="ilut")
        _refuse_indefinite(A, self.name)
        _diagonal(A, self.name)  # which its smoothing divides by
        cycle = v_cycle(set_up(matrix, self.kind), singular=isinstance(A, StencilOperator) and A.is_singular)
        return FlatOperator(A.shape, cycle, np.float64)


@dataclass(frozen=True)
class GeometricMultigrid:
    """One V-cycle of `solvers.linear.multigrid`, for a definite `StencilOperator`."""

    @property
    def name(self) -> str:
        return "multigrid"

    def build(self, A: Matrix) -> LinearOperator:
        if not isinstance(A, StencilOperator):
            raise TypeError(f"preconditioner 'multigrid' needs a StencilOperator, but A is a {type(A).__name__}: take 'amg' or 'ic0'")
        _refuse_indefinite(A, self.name)
        hierarchy = MultigridHierarchy(A)
        return FlatOperator(A.shape, hierarchy.precondition, np.float64)


PRECONDITIONERS: dict[str, Preconditioner] = {
    "amg": AlgebraicMultigrid(),
    "ic0": IncompleteCholesky(),
    "ilu0": ILU0(),
    "ilut": ILUT(),
    "jacobi": Jacobi(),
    "mic0": IncompleteCholesky(modification=1.0),
    "multigrid": GeometricMultigrid(),
    "shifted_laplacian": ShiftedLaplacian(),
    "ssor": SSOR(),
}


def make_preconditioner(A: Any, kind: str | Preconditioner = "ic0") -> LinearOperator:
    """An approximate inverse of A as `M` for `linear_solve`, for SciPy's solvers, or for anything that applies a `LinearOperator`.

    Parameters
    ----------
    A : `StencilOperator`, SciPy sparse matrix or dense array, n x n.
    kind : a name from the table of this module, or settings such as ``IncompleteCholesky(modification=0.97)``.

    Raises
    ------
    ValueError : an unknown name, a matrix that is not square or not finite, or not symmetric or definite where the preconditioner needs it.
    TypeError : a preconditioner that needs more of A than A offers.
    numpy.linalg.LinAlgError : the factorisation breaks down; the message says what to take instead.

    Examples
    --------
    >>> from solvers.linear import diffusion_operator, linear_solve
    >>> A = diffusion_operator(1.0, shape=(64, 64), spacing=(1.0, 1.0), sides=(("dirichlet", "dirichlet"),) * 2)
    >>> b = np.ones((64, 64))
    >>> [linear_solve(A, b, "cg", M=M).iterations for M in (None, make_preconditioner(A, "ic0"), make_preconditioner(A, "mic0"))]
    [119, 51, 36]
    """
    if isinstance(kind, str):
        if kind not in PRECONDITIONERS:
            raise ValueError(f"preconditioner {kind!r} is not known; take one of: {', '.join(PRECONDITIONERS)}")
        kind = PRECONDITIONERS[kind]
    elif isinstance(kind, type) or not callable(getattr(kind, "build", None)):
        raise TypeError(f"kind is {kind!r}; it must be one of {', '.join(PRECONDITIONERS)}, or settings such as IncompleteCholesky()")
    if not isinstance(A, StencilOperator):
        if isinstance(A, str) or A is None:
            raise TypeError(f"A is {A!r}; make_preconditioner(A, kind) takes the matrix first, then the kind")
        if not (sp.issparse(A) or isinstance(A, np.ndarray)):
            raise TypeError(f"preconditioner {kind.name!r} needs the entries of A, but A is a {type(A).__name__}: pass a sparse matrix")
        A = sp.csr_matrix(A)
        A = A.astype(np.result_type(A.dtype, np.float64))
        if A.shape[0] != A.shape[1]:
            raise ValueError(f"A has shape {A.shape}; a preconditioner needs a square matrix")
        A.sum_duplicates()
    if not np.isfinite(A.diagonal if isinstance(A, StencilOperator) else A.data).all():
        raise ValueError("A holds NaN or infinity: look for it where the matrix is made")
    M = kind.build(A)
    return PanelOperator(M.shape, lambda r: _apply(M, r), M.dtype)


def _apply(M: LinearOperator, r: NDArray[Any]) -> NDArray[Any]:
    """``M r`` for a flat r or the columns of a panel; complex ones in two parts where M is real: SuperLU and multigrid take real ones."""
    if M.dtype.kind != "c" and r.dtype.kind == "c":
        return np.asarray(_apply(M, r.real) + 1j * _apply(M, r.imag))
    if r.ndim == 1:
        return np.asarray(M.matvec(r))
    if isinstance(M, PanelOperator):
        return np.asarray(M.matmat(r))
    return np.array([M @ column for column in np.ascontiguousarray(r.T)]).T


def _diagonal(A: Matrix, name: str) -> NDArray[Any]:
    diagonal: NDArray[Any] = A.diagonal.ravel() if isinstance(A, StencilOperator) else A.diagonal()
    if not diagonal.all():
        row = int(np.argmin(diagonal != 0))
        raise ValueError(f"preconditioner {name!r} divides by the diagonal of A, but entry {row} of it is 0: take 'ilut'")
    return diagonal


def _symmetric(A: Matrix, name: str, *, otherwise: str) -> sp.csr_matrix:
    """The entries of a real symmetric matrix."""
    matrix = entries(A, name)
    if matrix.dtype.kind == "c":
        raise TypeError(f"preconditioner {name!r} needs a real matrix, but A is complex: take 'ilu0' or 'ilut'")
    if not looks_symmetric(A):
        raise ValueError(f"preconditioner {name!r} needs a symmetric matrix, but A is not: take {otherwise!r}")
    return matrix


def _refuse_indefinite(A: Matrix, name: str) -> None:
    if isinstance(A, StencilOperator) and not A.is_definite:
        raise ValueError(
            f"preconditioner {name!r} needs a definite operator, but the reaction reaches {float(A.reaction.min()):g}: "
            "take 'shifted_laplacian', or the operator with the absolute value of its reaction"
        )
