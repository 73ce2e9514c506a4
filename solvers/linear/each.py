"""Many systems with a matrix each, side by side on the threads of one process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from numpy.typing import ArrayLike

from solvers.linear.solve import linear_solve
from solvers.linear.system import Method
from solvers.result import Solution

_AHEAD = 2  # systems a thread that wait for it


def linear_solve_each(
    systems: Iterable[tuple[Any, ArrayLike]],
    method: str | Method = "auto",
    *,
    threads: int = 1,
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> Iterator[Solution]:
    """Solve systems that do not share their matrix, several at a time; solutions come in the order of the systems.

    Each has the bits that `linear_solve` gives it alone. Multigrid and fast transforms run without Python's global lock, and every thread
    keeps its memory from one system to the next. Algebraic multigrid and sparse LU gain less, since much of their work holds the lock.

    Parameters
    ----------
    systems : pairs (A, b) as `linear_solve` takes them; taken as they are needed, a few ahead.
    threads : systems that are solved at the same time; set OMP_NUM_THREADS=1 so that each has one core.
    method, rtol, atol, maxiter : as in `linear_solve`.

    Raises
    ------
    ValueError : threads below 1, and whatever `linear_solve` raises for a system, when its turn comes.

    Examples
    --------
    >>> import numpy as np
    >>> from solvers.linear import diffusion_operator
    >>> walls = (("dirichlet", "dirichlet"),) * 2
    >>> media = [np.full((32, 32), 1.0 + k) for k in range(4)]
    >>> systems = ((diffusion_operator(a, spacing=(1 / 32, 1 / 32), sides=walls), np.ones((32, 32))) for a in media)
    >>> [round(float(solution.x.max()), 4) for solution in linear_solve_each(systems, threads=2)]
    [0.0736, 0.0368, 0.0245, 0.0184]
    """
    if threads < 1:
        raise ValueError(f"threads={threads} must be at least 1")
    settings: dict[str, Any] = {"rtol": rtol, "atol": atol, "maxiter": maxiter}
    return _solutions(systems, method, threads, settings)


def _solutions(
    systems: Iterable[tuple[Any, ArrayLike]], method: str | Method, threads: int, settings: dict[str, Any]
) -> Iterator[Solution]:
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Solution]] = deque()
        try:
            for A, b in systems:
                waiting.append(pool.submit(linear_solve, A, b, method, **settings))
                if len(waiting) > _AHEAD * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # after an error, or where the caller stops early
                future.cancel()
