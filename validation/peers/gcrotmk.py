"""SciPy's GCROT(m, k) carrying its space from system to system (``CU``, ``discard_C=True``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

Array = NDArray[np.float64]
NAME = f"SciPy {scipy.__version__} gcrotmk"


@dataclass
class Gcrotmk:
    """A sequence of solves; `products` counts those with the matrix, system by system.

    Parameters
    ----------
    m, k : steps between two renewals of the space, and its dimension.
    """

    m: int
    k: int

    def __post_init__(self) -> None:
        self.products: list[int] = []
        self._CU: list[Any] = []

    def solve(self, A: Any, b: Array, M: spla.LinearOperator | None, *, rtol: float) -> Array:
        """The solution, or the last iterate."""
        self.products.append(0)

        def matvec(x: Array) -> Array:
            self.products[-1] += 1
            return np.asarray(A @ x)

        operator = spla.LinearOperator(A.shape, matvec, dtype=np.float64)
        settings = {"rtol": rtol, "atol": 0.0, "m": self.m, "k": self.k, "maxiter": 300}
        x, _ = spla.gcrotmk(operator, b, M=M, CU=self._CU, discard_C=True, **settings)
        return np.asarray(x)

    def solve_all(self, systems: Iterable[tuple[Any, Array, spla.LinearOperator | None]], *, rtol: float) -> list[Array]:
        """`solve` one after another."""
        return [self.solve(A, b, M, rtol=rtol) for A, b, M in systems]
