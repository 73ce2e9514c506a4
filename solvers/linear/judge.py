"""The one judge of every solve: whatever a method believes, the residual recomputed from its x decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, Batch, BatchMethod, Method
from solvers.result import Solution, Status


def judge(
    batch: Batch,
    method: Method,
    norms: NDArray[np.float64],
    scales: NDArray[np.float64],
    failed_before: Sequence[tuple[str, ...]],
) -> list[Solution]:
    """Let `method` attempt every row of `batch`, and state what the recomputed residuals say.

    Parameters
    ----------
    norms : Euclidean norms of the right-hand sides, shape (m,).
    scales : what the right-hand sides were divided by, powers of two, shape (m,).
    failed_before : for each row the methods that failed it, for `Solution.info`.
    """
    with np.errstate(all="ignore"):  # overflow in a hopeless attempt is judged by the residual
        attempts = _attempts(batch, method)
        for row in np.flatnonzero(scales != 1.0):  # what overflows or vanishes in the caller's units is judged as such
            attempts[row] = replace(attempts[row], x=attempts[row].x * scales[row] / scales[row])
        true = batch.residual_norms([attempt.x for attempt in attempts]).tolist()
        first = (norms if batch.X0 is None else batch.residual_norms(batch.X0)).tolist()
    solutions = []
    for attempt, residual, norm, tolerance, start, before in zip(
        attempts, true, norms.tolist(), batch.tolerances.tolist(), first, failed_before, strict=True
    ):
        if residual <= tolerance:
            status = Status.SUCCESS
        elif attempt.status is not None:
            status = attempt.status
        else:
            status = Status.STAGNATION if np.isfinite(residual) else Status.BREAKDOWN
        history = [*attempt.residual_norms[:-1], residual] if attempt.residual_norms else [start, residual]
        relative = residual / norm if norm > 0 else (0.0 if residual == 0 else np.inf)
        info = {**attempt.info, "relative_residual": relative, "failed_before": before}
        solutions.append(Solution(attempt.x, status, attempt.iterations, np.array(history), method.name, info))
    return solutions


def _attempts(batch: Batch, method: Method) -> list[Attempt]:
    attempts = dict(_incompatible(batch))
    rows = [row for row in range(len(batch)) if row not in attempts]
    rest = batch.take(rows)
    if rows and isinstance(method, BatchMethod):
        tried = method.attempt_many(rest)
    else:
        tried = [method.attempt(rest.system(row)) for row in range(len(rows))]
    attempts |= zip(rows, tried, strict=True)
    return [attempts[row] for row in range(len(batch))]


def _incompatible(batch: Batch) -> Iterator[tuple[int, Attempt]]:
    """Failures where constants are in the null space and the mean of b alone exceeds the tolerance: no x can do better."""
    if not (isinstance(batch.A, StencilOperator) and batch.A.is_singular):
        return
    imbalances = np.abs(batch.B.mean(axis=1)) * batch.B.shape[1] ** 0.5
    for row in np.flatnonzero(imbalances > batch.tolerances):
        imbalance = float(imbalances[row])
        info = {"imbalance": imbalance, "relative_imbalance": imbalance / float(np.linalg.norm(batch.B[row]))}
        yield int(row), Attempt(np.zeros_like(batch.B[row]), status=Status.STAGNATION, info=info)
