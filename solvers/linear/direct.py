"""Sparse LU factorisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Attempt, System
from solvers.result import Status


@dataclass(frozen=True)
class LU:
    """SuperLU with one step of iterative refinement.

    For a stencil whose null space holds the constants, one unknown is pinned to zero and the mean removed afterwards; the system
    is then solvable for every compatible right-hand side.
    """

    @property
    def name(self) -> str:
        return "lu"

    def attempt(self, system: System) -> Attempt:
        A = system.csr(self.name)
        definite = isinstance(system.A, StencilOperator) and system.A.is_definite
        singular = isinstance(system.A, StencilOperator) and system.A.is_singular
        matrix = A[1:, 1:] if singular else A
        if matrix.shape[0] == 0:
            return Attempt(np.zeros_like(system.b))
        try:
            # Minimum degree on A^T + A with diagonal pivots halves the fill of a symmetric definite matrix; pivoting cannot be needed.
            options = {"permc_spec": "MMD_AT_PLUS_A", "options": {"SymmetricMode": True}, "diag_pivot_thresh": 0.0} if definite else {}
            factor = spla.splu(sp.csc_matrix(matrix), **options)
        except RuntimeError:  # SuperLU: "Factor is exactly singular"
            return Attempt(np.zeros_like(system.b), status=Status.BREAKDOWN)
        x = np.zeros_like(system.b)
        free = slice(1, None) if singular else slice(None)
        for _ in range(2):
            x[free] += factor.solve(system.residual(x)[free])
        return Attempt(x - x.mean() if singular else x)
