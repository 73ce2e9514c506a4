"""Conjugate gradients preconditioned by PyAMG's V-cycle, with PyAMG's own Krylov method and defaults."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pyamg
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["ruge_stuben", "smoothed_aggregation"]
NAME = f"PyAMG {pyamg.__version__} Ruge-Stueben CG"
AGGREGATION = f"PyAMG {pyamg.__version__} smoothed aggregation CG"


def hierarchy(A: sp.csr_matrix, kind: Kind = "ruge_stuben") -> Any:
    """PyAMG's multilevel solver with its default set-up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sparse-format conversions of its own set-up
        return pyamg.ruge_stuben_solver(A) if kind == "ruge_stuben" else pyamg.smoothed_aggregation_solver(A)


def prepared(A: sp.csr_matrix, *, rtol: float, kind: Kind = "ruge_stuben") -> Callable[[Array], Array]:
    """A function from right-hand sides (m, n) to solutions, one after the other with one hierarchy."""
    levels = hierarchy(A, kind)
    return lambda B: np.array([levels.solve(b, tol=rtol, accel="cg") for b in B])


def solve(A: sp.csr_matrix, b: Array, *, rtol: float, kind: Kind = "ruge_stuben") -> tuple[Array, int]:
    """Set up and solve one system; also the number of iterations."""
    residuals: list[float] = []
    x = hierarchy(A, kind).solve(b, tol=rtol, accel="cg", residuals=residuals)
    return x, len(residuals) - 1
