"""`linear_solve`: the one entry point for linear systems."""

from __future__ import annotations

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
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Callback, Method, System
from solvers.result import Solution, Status

METHODS: dict[str, type] = {"amg": AMG, "cg": CG, "fast_poisson": FastPoisson, "lu": LU, "multigrid_cg": MultigridCG}


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
    method : "auto", "fast_poisson", "multigrid_cg", "amg", "cg", "lu", or a settings object such as ``MultigridCG(sweeps=2)``.
    x0 : initial guess for iterative methods; None is zero.
    M : approximate inverse of A, used by "cg"; None is no preconditioner.
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
    ValueError : sizes that do not fit, an unknown method, tolerances that make no sense.
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
    rhs = np.asarray(b)
    system = _system(A, rhs, x0, M, maxiter, callback)
    norm = float(np.linalg.norm(system.b))
    if not (np.isfinite(norm) and np.isfinite(system.x0).all() and _entries_finite(system.A)):
        info = {"relative_residual": np.nan}
        return Solution(system.x0.reshape(rhs.shape), Status.NONFINITE_INPUT, 0, np.array([np.nan]), _named(method), info)
    system = _with_tolerance(system, max(rtol * norm, atol))
    chain = choose(system) if method == "auto" else (_resolve(method),)
    tried: list[str] = []
    for candidate in chain:
        solution = _judge(system, candidate, norm, rhs.shape, tuple(tried))
        if solution.status is Status.SUCCESS:
            break
        tried.append(f"{candidate.name}: {solution.status.name}")
    return solution


def _system(A: Any, b: np.ndarray, x0: Any, M: Any, maxiter: int | None, callback: Callback | None) -> System:
    operator = _operator(A)
    if operator.shape[0] != operator.shape[1] or operator.shape[0] != b.size:
        raise ValueError(f"A has shape {operator.shape} and b has {b.size} entries; a square A of matching size is needed")
    dtype = np.result_type(operator.dtype or np.float64, b.dtype, np.float64)
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


def _with_tolerance(system: System, tolerance: float) -> System:
    return System(system.A, system.b, system.x0, system.M, tolerance, system.maxiter, system.callback)


def _entries_finite(A: StencilOperator | sp.csr_matrix | LinearOperator) -> bool:
    if isinstance(A, StencilOperator):
        return bool(np.isfinite(A.diagonal).all())
    return bool(np.isfinite(A.data).all()) if sp.issparse(A) else True


def _named(method: str | Method) -> str:
    return method if isinstance(method, str) else method.name


def _resolve(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        raise ValueError(f"method {method!r} is not known; take one of: auto, {', '.join(sorted(METHODS))}")
    settings: Method = METHODS[method]()
    return settings


def _judge(system: System, method: Method, norm: float, shape: tuple[int, ...], tried: tuple[str, ...]) -> Solution:
    with np.errstate(all="ignore"):  # overflow in a hopeless attempt is judged by the residual below
        attempt = method.attempt(system)
        true = float(np.linalg.norm(system.residual(attempt.x)))
    if true <= system.tolerance:
        status = Status.SUCCESS
    elif attempt.status is not None:
        status = attempt.status
    else:
        status = Status.STAGNATION if np.isfinite(true) else Status.BREAKDOWN
    norms = attempt.residual_norms[:-1] if attempt.residual_norms else [float(np.linalg.norm(system.residual(system.x0)))]
    relative = true / norm if norm > 0 else (0.0 if true == 0 else np.inf)
    info = {**attempt.info, "relative_residual": relative, "failed_before": tried}
    return Solution(attempt.x.reshape(shape), status, attempt.iterations, np.array([*norms, true]), method.name, info)
