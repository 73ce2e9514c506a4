"""The rule that picks a method, and the chain that follows where the first pick fails."""

from __future__ import annotations

import scipy.sparse as sp

from solvers.linear.amg import AMG
from solvers.linear.cg import CG, MultigridCG
from solvers.linear.direct import LU
from solvers.linear.fast_poisson import FastPoisson
from solvers.linear.minres import MINRES
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Method, System

_DIRECT_ENTRIES = 200_000  # below this SuperLU beats the set-up of algebraic multigrid
_PATIENCE = 100  # iterations with a preconditioner that was made for another matrix, before one is made for this

_PLANE_CELLS = 300_000  # SuperLU takes 2 s at 512^2 whatever the wavenumber, where MINRES takes 56 iterations at k = 12 and 800 at k = 40


def choose(system: System) -> tuple[Method, ...]:
    """Methods to try in order, from facts about the operator; where entries are known the last one is a direct solve.

    * a stencil with constant coefficients: fast transforms first,
    * a definite stencil: geometric multigrid CG, then PyAMG CG,
    * an indefinite stencil: sparse LU in two dimensions, MINRES first in three and on large grids,
    * a sparse matrix that is not symmetric with a positive diagonal, or small: sparse LU,
    * any other sparse matrix: PyAMG CG,
    * before that, where an approximate inverse comes with the sparse matrix: CG with it, unless it takes too long,
    * an operator known only by its action: CG.
    """
    A = system.A
    if isinstance(A, StencilOperator):
        chain = _for_stencil(A)
        return (FastPoisson(), *chain) if A.constant is not None else chain
    if sp.issparse(A):
        own = (AMG(), LU()) if A.nnz > _DIRECT_ENTRIES and _looks_definite(A) else (LU(),)
        return own if system.M is None else (CG(limit=_PATIENCE), *own)
    return (CG(),)


def _for_stencil(A: StencilOperator) -> tuple[Method, ...]:
    if A.is_definite:
        return (MultigridCG(), AMG(), LU())  # extreme contrasts stall the geometric hierarchy, rarely the algebraic one
    if len(A.grid_shape) < 3 and A.size <= _PLANE_CELLS:
        return (LU(),)
    return (MINRES(), LU())


def _looks_definite(A: sp.csr_matrix) -> bool:
    """Necessary conditions for a real symmetric positive definite matrix; conjugate gradients find out the rest."""
    if A.dtype.kind == "c" or not (A.diagonal() > 0).all():
        return False
    return float(abs(A - A.T).max()) <= 1e-12 * float(abs(A).max())
