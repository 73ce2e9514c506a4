"""`linear_solve`: the one entry point for linear systems."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from solvers.linear.amg import AMG
from solvers.linear.auto import choose
from solvers.linear.block_gmres import BlockGMRES
from solvers.linear.cg import CG, MultigridCG
from solvers.linear.deflated_cg import DeflatedCG
from solvers.linear.direct import LU
from solvers.linear.fast_poisson import FastPoisson
from solvers.linear.gcrodr import GCRODR
from solvers.linear.gmres import GMRES
from solvers.linear.judge import judge
from solvers.linear.minres import MINRES
from solvers.linear.residual import row_norms
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Batch, Callback, Method
from solvers.result import Solution, Status

METHODS: dict[str, type] = {
    "amg": AMG,
    "block_gmres": BlockGMRES,
    "cg": CG,
    "deflated_cg": DeflatedCG,
    "fast_poisson": FastPoisson,
    "gcrodr": GCRODR,
    "gmres": GMRES,
    "lu": LU,
    "minres": MINRES,
    "multigrid_cg": MultigridCG,
}


def linear_solve(
    A: Any,
    b: ArrayLike,
    method: str | Method = "auto",
    *,
    x0: ArrayLike | None = None,
    M: Any = None,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int | None = None,
    callback: Callback | None = None,
) -> Solution:
    """Solve ``A x = b`` and say honestly how that went.

    Parameters
    ----------
    A : `StencilOperator`, SciPy sparse matrix, dense array or lists, or anything `scipy.sparse.linalg.aslinearoperator` takes; n x n.
    b : right-hand side with n entries, flat or in the grid's shape; the solution has its shape.
    method : "auto", "fast_poisson", "multigrid_cg", "amg", "cg", "deflated_cg", "minres", "gmres", "gcrodr", "lu", or a settings object
        such as ``GCRODR(restart=30, recycle_dim=10)``.
    x0 : initial guess for iterative methods; None is zero.
    M : preconditioner, an approximate inverse of A as `make_preconditioner` gives it, used by "cg", "deflated_cg" and "minres",
        symmetric positive definite for these, by "gmres" and "gcrodr", and tried first by "auto" where A is a sparse matrix; None is
        none, but see `MINRES`.
    rtol, atol : stop at ``||b - A x||_2 <= max(rtol ||b||_2, atol)``.
    maxiter : iteration limit; None is the method's own.
    callback : ``callback(x, residual_norm)`` after each iteration.

    Returns
    -------
    Solution
        SUCCESS if and only if the residual recomputed from the returned x meets the tolerance. Use ``.raise_for_status()``
        to turn any other status into a `SolverError`.

    Raises
    ------
    ValueError : sizes that do not fit, an unknown method, tolerances that make no sense, complex b with a real stencil.
    TypeError : a method that needs more of A than A offers.

    Examples
    --------
    >>> from solvers.linear import diffusion_operator
    >>> A = diffusion_operator(1.0, shape=(64, 64), spacing=(1 / 64, 1 / 64), sides=(("dirichlet", "dirichlet"),) * 2)
    >>> centre = linear_solve(A, np.ones((64, 64))).raise_for_status().x[31:33, 31:33].mean()
    >>> bool(abs(centre - 0.0736713) < 1e-4)  # the torsion function of the unit square at its centre
    True
    """
    rhs = np.asarray(b)
    guess = None if x0 is None else np.asarray(x0)
    if guess is not None and guess.size != rhs.size:
        raise ValueError(f"x0 has {guess.size} entries and b has {rhs.size}; they must match")
    rows = rhs.reshape(1, -1)
    batch = _batch(A, rows, None if guess is None else guess.reshape(1, -1), M, maxiter, callback)
    (solution,) = _solve(batch, method, rtol, atol, rhs.shape, planned=1)
    return solution


def linear_solve_many(
    A: Any,
    B: ArrayLike,
    method: str | Method = "auto",
    *,
    M: Any = None,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int | None = None,
    planned: int | None = None,
) -> list[Solution]:
    """Solve ``A x = b`` for many right-hand sides; what depends on A alone is done once.

    Fast transforms run over the whole batch, a factorisation or an algebraic multigrid hierarchy is built once. Each solution is
    judged by its own residual, and falls back to the next method on its own. By the same method it has the bits that `linear_solve`
    gives it alone: they depend neither on the size of the batch nor on its order. `BlockGMRES` is the exception: right-hand sides of a
    block help one another.

    Parameters
    ----------
    A, M, rtol, atol, maxiter : as in `linear_solve`.
    method : as in `linear_solve`, or "block_gmres"; ``LU(factorization)`` uses a `Factorization` that `factorize` made before.
    B : one right-hand side a row, shape (m, n) or (m, *grid).
    planned : number of right-hand sides that "auto" picks its method for; None is the number of rows. Give a fixed one where a
        batch is cut into pieces and the bits must not depend on the cuts; 1 is the choice of `linear_solve`.

    Returns
    -------
    list of Solution, one a row of B in its order, each x in the shape of the row.

    Raises
    ------
    ValueError, TypeError : as `linear_solve`; ValueError for planned below 1.

    Examples
    --------
    >>> from solvers.linear import diffusion_operator
    >>> A = diffusion_operator(1.0, shape=(32, 32), spacing=(1 / 32, 1 / 32), sides=(("dirichlet", "dirichlet"),) * 2)
    >>> x = np.arange(0.5, 32) / 32
    >>> waves = [np.outer(np.sin(k * np.pi * x), np.sin(np.pi * x)) for k in (1, 2, 3)]
    >>> solutions = linear_solve_many(A, waves)  # eigenvectors, so that b / x is the eigenvalue
    >>> [round(float(b[0, 0] / solution.x[0, 0] / np.pi**2), 1) for b, solution in zip(waves, solutions)]
    [2.0, 5.0, 9.9]
    """
    rhs = np.asarray(B)
    if rhs.ndim < 2:
        raise ValueError(f"B has shape {rhs.shape}; it needs one right-hand side a row: (m, n) or (m, *grid)")
    rows = rhs.reshape(len(rhs), math.prod(rhs.shape[1:]))
    if planned is not None and planned < 1:
        raise ValueError(f"planned={planned} must be None or at least 1")
    batch = _batch(A, rows, None, M, maxiter, None)
    return _solve(batch, method, rtol, atol, rhs.shape[1:], planned=len(rows) if planned is None else planned)


def _solve(batch: Batch, method: str | Method, rtol: float, atol: float, shape: tuple[int, ...], *, planned: int) -> list[Solution]:
    """Solutions row by row: each row goes down the chain of methods until one of them meets its tolerance."""
    chosen = checked_method(method, rtol, atol, batch.maxiter)
    name = "auto" if chosen is None else chosen.name
    if batch.B.shape[1] == 0:
        nothing = {"relative_residual": 0.0, "failed_before": ()}
        return [Solution(b.reshape(shape), Status.SUCCESS, 0, np.zeros(1), name, nothing) for b in batch.B]
    norms = row_norms(batch.B)
    guesses_finite = True if batch.X0 is None else np.isfinite(batch.X0).all(axis=1)
    batch, norms, scales = _scaled(batch, norms)
    finite = np.isfinite(norms) & guesses_finite & _entries_finite(batch.A)
    with np.errstate(over="ignore"):  # a tolerance beyond all numbers is met by any
        batch = replace(batch, tolerances=np.maximum(rtol * norms, atol / scales))
    solutions = {int(row): _refused(batch, int(row), name) for row in np.flatnonzero(~finite)}
    failed: dict[int, list[Solution]] = {int(row): [] for row in np.flatnonzero(finite)}
    chain = () if not failed else choose(batch.system(0), planned=planned, rtol=rtol) if chosen is None else (chosen,)
    for candidate in chain:
        rows = list(failed)
        before = [tuple(f"{one.method}: {one.status.name}" for one in failed[row]) for row in rows]
        for row, solution in zip(rows, judge(batch.take(rows), candidate, norms[rows], scales[rows], before), strict=True):
            if solution.status is Status.SUCCESS:
                solutions[row] = solution
                del failed[row]
            else:
                failed[row].append(solution)
        if not failed:
            break
    solutions |= {row: min(attempts, key=_ranking) for row, attempts in failed.items()}
    return [_finished(solutions[row], scale, shape) for row, scale in enumerate(scales.tolist())]


def checked_method(method: str | Method, rtol: float, atol: float, maxiter: int | None) -> Method | None:
    """The method asked for, None for the automatic choice."""
    if not (np.isfinite(rtol) and np.isfinite(atol) and rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ValueError(f"rtol={rtol} and atol={atol} must be finite, not negative and not both zero")
    if maxiter is not None and maxiter < 0:
        raise ValueError(f"maxiter={maxiter} must be None or not negative")
    if isinstance(method, type):
        raise TypeError(f"method is the class {method.__name__}; it must be settings: {method.__name__}()")
    if not isinstance(method, str):
        return method
    if method == "auto":
        return None
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not known; take one of: auto, {', '.join(sorted(METHODS))}")
    settings: Method = METHODS[method]()
    return settings


def _batch(A: Any, B: np.ndarray, X0: np.ndarray | None, M: Any, maxiter: int | None, callback: Callback | None) -> Batch:
    operator = _operator(A)
    if operator.shape[0] != operator.shape[1] or operator.shape[0] != B.shape[1]:
        raise ValueError(f"A has shape {operator.shape} and b has {B.shape[1]} entries; a square A of matching size is needed")
    for name, array in (("b", B), ("x0", X0)):
        if array is not None and array.dtype.kind not in "biufc":
            raise TypeError(f"{name} is of type {array.dtype}; it must hold numbers")
    complex_ = "c" in (np.dtype(operator.dtype or np.float64).kind, B.dtype.kind)
    dtype = np.dtype(np.complex128 if complex_ else np.float64)
    if X0 is not None and X0.dtype.kind == "c" and not complex_:
        raise ValueError("x0 is complex and A and b are real: pass its real part, or b.astype(complex)")
    if isinstance(operator, StencilOperator) and dtype.kind == "c":
        raise ValueError("b is complex and A is a real StencilOperator: solve for the real and the imaginary part, or pass A.to_csr()")
    M = None if M is None else _preconditioner(M)
    if M is not None and dtype.kind != "c" and np.dtype(getattr(M, "dtype", None) or np.float64).kind == "c":
        raise ValueError("M is complex and A and b are real: pass b.astype(complex), and for a StencilOperator A.to_csr() with it")
    B = np.ascontiguousarray(B, dtype=dtype)
    X0 = None if X0 is None else np.array(X0, dtype=dtype)
    return Batch(operator, B, X0, M, np.zeros(len(B)), maxiter, callback)


def _preconditioner(M: Any) -> LinearOperator:
    if isinstance(M, str) or callable(getattr(M, "build", None)) or (callable(M) and not hasattr(M, "matvec") and not hasattr(M, "shape")):
        given = repr(M) if isinstance(M, str) else f"a {type(M).__name__}"
        raise TypeError(f"M is {given}; it must be an operator: M=make_preconditioner(A, ...) makes one from a name or settings")
    return aslinearoperator(M)


def _operator(A: Any) -> StencilOperator | sp.csr_matrix | LinearOperator:
    if isinstance(A, StencilOperator):
        return A
    if sp.issparse(A) or isinstance(A, (np.ndarray, list, tuple)):
        matrix = sp.csr_matrix(A if sp.issparse(A) else np.atleast_2d(np.asarray(A)))
        return matrix.astype(np.result_type(matrix.dtype, np.float64))
    return aslinearoperator(A)


def _scaled(batch: Batch, norms: NDArray[np.float64]) -> tuple[Batch, NDArray[np.float64], NDArray[np.float64]]:
    """Divide right-hand sides whose squares would overflow or vanish by a power of two; gives the new norms and the divisors.

    The guess for a zero right-hand side is its solution, zero.
    """
    scales = np.ones(len(batch))
    odd = np.flatnonzero(~((norms > 1e-100) & (norms < 1e100)))
    largest = np.abs(batch.B[odd].view(np.float64)).max(axis=1, initial=0.0)  # of real and imaginary parts
    odd, largest = odd[np.isfinite(largest)], largest[np.isfinite(largest)]
    if odd.size == 0:
        return batch, norms, scales
    scales[odd] = 2.0 ** np.floor(np.log2(np.where(largest > 0, np.maximum(largest, 1e-300), 1.0)))  # its inverse must be a number
    B, X0, callback, norms = batch.B.copy(), batch.X0, batch.callback, norms.copy()
    B[odd] /= scales[odd, None]
    norms[odd] = row_norms(B[odd])
    if X0 is not None:
        with np.errstate(all="ignore"):
            X0 = X0 / scales[:, None]
        X0[(norms == 0) | ~np.isfinite(X0).all(axis=1)] = 0.0  # and where the guess overflows
    if callback is not None:
        (scale,) = scales.tolist()  # there are callbacks for single systems only
        batch = replace(batch, callback=lambda x, norm: callback(x * scale, norm * scale))
    return replace(batch, B=B, X0=X0), norms, scales


def _entries_finite(A: StencilOperator | sp.csr_matrix | LinearOperator) -> bool:
    if isinstance(A, StencilOperator):
        return A.facts.finite
    return bool(np.isfinite(A.data).all()) if sp.issparse(A) else True


def _refused(batch: Batch, row: int, name: str) -> Solution:
    info = {"relative_residual": np.nan, "failed_before": ()}
    return Solution(batch.system(row).x0, Status.NONFINITE_INPUT, 0, np.array([np.nan]), name, info)


def _finished(solution: Solution, scale: float, shape: tuple[int, ...]) -> Solution:
    """In the caller's units and shape."""
    x, norms, info = solution.x.reshape(shape), solution.residual_norms, solution.info
    if scale != 1.0:
        with np.errstate(all="ignore"):  # the norms of a failure may be too large for a number
            x, norms = x * scale, norms * scale
        info = {name: value * scale if name == "imbalance" else value for name, value in info.items()}
    return Solution(x, solution.status, solution.iterations, norms, solution.method, info)


def _ranking(solution: Solution) -> float:
    """Among failures the smallest residual is the most useful; NaN is none."""
    return solution.relative_residual if np.isfinite(solution.relative_residual) else np.inf
