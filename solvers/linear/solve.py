"""`linear_solve`: the one entry point for linear systems."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from solvers.linear.amg import AMG
from solvers.linear.auto import choose
from solvers.linear.cg import CG, MultigridCG
from solvers.linear.direct import LU
from solvers.linear.fast_poisson import FastPoisson
from solvers.linear.minres import MINRES
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, Callback, Method, System
from solvers.result import Solution, Status

METHODS: dict[str, type] = {
    "amg": AMG,
    "cg": CG,
    "fast_poisson": FastPoisson,
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
    A : `StencilOperator`, SciPy sparse matrix, dense array, or anything `scipy.sparse.linalg.aslinearoperator` takes; n x n.
    b : right-hand side with n entries, flat or in the grid's shape; the solution has its shape.
    method : "auto", "fast_poisson", "multigrid_cg", "amg", "cg", "minres", "lu", or a settings object such as
        ``AMG(kind="smoothed_aggregation")``.
    x0 : initial guess for iterative methods; None is zero.
    M : preconditioner used by "cg" and "minres", symmetric positive definite, and tried first by "auto" where A is a sparse matrix;
        None is none for "cg", see `MINRES` for "minres".
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
    >>> abs(centre - 0.0736713) < 1e-4  # the torsion function of the unit square at its centre
    True
    """
    if not (np.isfinite(rtol) and np.isfinite(atol) and rtol >= 0 and atol >= 0 and rtol + atol > 0):
        raise ValueError(f"rtol={rtol} and atol={atol} must be finite, not negative and not both zero")
    if maxiter is not None and maxiter < 0:
        raise ValueError(f"maxiter={maxiter} must be None or not negative")
    chosen = None if method == "auto" else _resolve(method)
    rhs = np.asarray(b)
    system = _system(A, rhs, x0, M, maxiter, callback)
    if not (np.isfinite(system.b).all() and np.isfinite(system.x0).all() and _entries_finite(system.A)):
        info = {"relative_residual": np.nan, "failed_before": ()}
        name = chosen.name if chosen else "auto"
        return Solution(system.x0.reshape(rhs.shape), Status.NONFINITE_INPUT, 0, np.array([np.nan]), name, info)
    scale = _scale(system.b)
    system = _scaled(system, scale, rtol, atol)
    failed: list[Solution] = []
    for candidate in (chosen,) if chosen else choose(system):
        solution = _judge(system, candidate, tuple(f"{one.method}: {one.status.name}" for one in failed))
        if solution.status is Status.SUCCESS:
            return _unscaled(solution, scale, rhs.shape)
        failed.append(solution)
    return _unscaled(min(failed, key=_ranking), scale, rhs.shape)


def _system(A: Any, b: np.ndarray, x0: Any, M: Any, maxiter: int | None, callback: Callback | None) -> System:
    operator = _operator(A)
    if operator.shape[0] != operator.shape[1] or operator.shape[0] != b.size:
        raise ValueError(f"A has shape {operator.shape} and b has {b.size} entries; a square A of matching size is needed")
    dtype = np.result_type(operator.dtype or np.float64, b.dtype, np.float64)
    if isinstance(operator, StencilOperator) and dtype.kind == "c":
        raise ValueError("b is complex and A is a real StencilOperator: solve for the real and the imaginary part, or pass A.to_csr()")
    flat = np.ascontiguousarray(b, dtype=dtype).ravel()
    guess = np.zeros_like(flat) if x0 is None else np.array(x0, dtype=dtype).ravel()
    if guess.size != flat.size:
        raise ValueError(f"x0 has {guess.size} entries and b has {flat.size}; they must match")
    return System(operator, flat, guess, None if M is None else aslinearoperator(M), 0.0, maxiter, callback)


def _operator(A: Any) -> StencilOperator | sp.csr_matrix | LinearOperator:
    if isinstance(A, StencilOperator):
        return A
    if sp.issparse(A) or isinstance(A, np.ndarray):
        matrix = sp.csr_matrix(A)
        return matrix.astype(np.result_type(matrix.dtype, np.float64))
    return aslinearoperator(A)


def _scale(b: np.ndarray) -> float:
    """1 but for right-hand sides whose squares would overflow or vanish: those are solved for b / scale."""
    largest = float(np.abs(b).max(initial=0.0))
    return largest if largest > 0 and not 1e-100 < largest < 1e100 else 1.0


def _scaled(system: System, scale: float, rtol: float, atol: float) -> System:
    b, callback = system.b / scale, system.callback
    tolerance = max(rtol * float(np.linalg.norm(b)), atol / scale)
    report = None if callback is None else lambda x, norm: callback(x * scale, norm * scale)
    return System(system.A, b, system.x0 / scale, system.M, tolerance, system.maxiter, report)


def _unscaled(solution: Solution, scale: float, shape: tuple[int, ...]) -> Solution:
    return replace(solution, x=(solution.x * scale).reshape(shape), residual_norms=solution.residual_norms * scale)


def _ranking(solution: Solution) -> float:
    """Among failures the smallest residual is the most useful; NaN is none."""
    return solution.relative_residual if np.isfinite(solution.relative_residual) else np.inf


def _entries_finite(A: StencilOperator | sp.csr_matrix | LinearOperator) -> bool:
    if isinstance(A, StencilOperator):
        return bool(np.isfinite(A.diagonal).all())
    return bool(np.isfinite(A.data).all()) if sp.issparse(A) else True


def _resolve(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not known; take one of: auto, {', '.join(sorted(METHODS))}")
    settings: Method = METHODS[method]()
    return settings


def _judge(system: System, method: Method, failed_before: tuple[str, ...]) -> Solution:
    norm = float(np.linalg.norm(system.b))
    with np.errstate(all="ignore"):  # overflow in a hopeless attempt is judged by the residual below
        attempt = _incompatible(system) or method.attempt(system)
        true = float(np.linalg.norm(system.residual(attempt.x)))
    if true <= system.tolerance:
        status = Status.SUCCESS
    elif attempt.status is not None:
        status = attempt.status
    else:
        status = Status.STAGNATION if np.isfinite(true) else Status.BREAKDOWN
    norms = attempt.residual_norms[:-1] if attempt.residual_norms else [float(np.linalg.norm(system.residual(system.x0)))]
    relative = true / norm if norm > 0 else (0.0 if true == 0 else np.inf)
    info = {**attempt.info, "relative_residual": relative, "failed_before": failed_before}
    return Solution(attempt.x, status, attempt.iterations, np.array([*norms, true]), method.name, info)


def _incompatible(system: System) -> Attempt | None:
    """A failure where constants are in the null space and the mean of b alone exceeds the tolerance: no x can do better."""
    if not (isinstance(system.A, StencilOperator) and system.A.is_singular):
        return None
    imbalance = abs(float(system.b.mean())) * system.n**0.5
    if imbalance <= system.tolerance:
        return None
    return Attempt(np.zeros_like(system.b), status=Status.STAGNATION, info={"imbalance": imbalance})
