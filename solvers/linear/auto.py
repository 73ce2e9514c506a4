"""The rule that picks a method, and the chain that follows where the first pick fails.

The rule knows facts about the operator and constants measured once; it measures nothing itself, so that the same system gets the same
method, and with it the same bits, on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from solvers.linear.amg import AMG
from solvers.linear.cg import CG, MultigridCG
from solvers.linear.direct import LU
from solvers.linear.fast_poisson import FastPoisson
from solvers.linear.gmres import GMRES
from solvers.linear.minres import MINRES
from solvers.linear.stencil import StencilOperator
from solvers.linear.system import Method, System, looks_symmetric

_DIRECT_ENTRIES = 200_000  # above this algebraic multigrid beats SuperLU at any tolerance
_PATIENCE = 100  # iterations with a preconditioner that was made for another matrix, before one is made for this

_PLANE_CELLS = 300_000  # SuperLU takes 2 s at 512^2 whatever the wavenumber, where MINRES takes 56 iterations at k = 12 and 800 at k = 40


@dataclass(frozen=True)
class Plan:
    """Methods to try in order, and why the first one is first."""

    methods: tuple[Method, ...]
    reason: str


def choose(system: System, *, planned: int = 1, rtol: float = 1e-8) -> tuple[Method, ...]:
    """The methods of `plan` for a system; the right-hand side plays no part."""
    return plan(system.A, planned=planned, rtol=rtol, preconditioned=system.M is not None).methods


def plan(A: object, *, planned: int = 1, rtol: float = 1e-8, preconditioned: bool = False, unknowns: int | None = None) -> Plan:
    """Methods from facts about the operator; where entries are known one of them is a direct solve, mostly the last.

    * a stencil with constant coefficients: fast transforms first,
    * a definite stencil: geometric multigrid CG, then PyAMG CG, then sparse LU; LU first where that is faster by `_lu_is_faster`,
    * an indefinite stencil: sparse LU in two dimensions, MINRES first in three and on large grids,
    * a sparse matrix that is not symmetric with a positive diagonal, or small: sparse LU,
    * any other sparse matrix: PyAMG CG,
    * before that, where an approximate inverse comes with the sparse matrix: CG with it, unless it takes too long,
    * an operator known only by its action: CG, then MINRES, which looks whether it acts symmetrically, then GMRES.

    Parameters
    ----------
    A : `StencilOperator`, CSR matrix or `LinearOperator`.
    planned : right-hand sides that will share the work on A.
    rtol : relative tolerance of the solves.
    preconditioned : whether the caller has an approximate inverse.
    unknowns : number that the choice is made for, where A stands for the same problem on a finer grid; None is A's own.
    """
    if isinstance(A, StencilOperator):
        if A.constant is None:
            return _for_stencil(A, planned, rtol, unknowns or A.size)
        rest = (MultigridCG(), AMG(), LU()) if A.is_definite else (MINRES(), LU())
        return Plan((FastPoisson(), *rest), "constant coefficients are diagonal under fast transforms")
    if not sp.issparse(A):
        return Plan((CG(), MINRES(), GMRES()), "only the action of the operator is known")
    own = _for_matrix(sp.csr_matrix(A), planned, rtol, unknowns)
    if preconditioned:
        return Plan((CG(limit=_PATIENCE), *own.methods), "an approximate inverse comes with the matrix")
    return own


def fitting(A: object) -> tuple[str, ...]:
    """Names of the methods that an operator does not rule out: by what it is, and by being symmetric and definite as far as is known.

    Parameters
    ----------
    A : `StencilOperator`, CSR matrix or `LinearOperator`.
    """
    if isinstance(A, StencilOperator):
        fast = () if A.constant is None else ("fast_poisson",)
        return (*fast, *(("multigrid_cg", "amg", "cg") if A.is_definite else ()), "minres", "lu")
    if not sp.issparse(A):
        return ("cg", "minres")
    if not looks_symmetric(A):
        return ("lu",)
    return (*(("amg", "cg") if _looks_definite(sp.csr_matrix(A)) else ()), "minres", "lu")


def _for_stencil(A: StencilOperator, planned: int, rtol: float, n: int) -> Plan:
    if A.is_definite:
        if _lu_is_faster(A, planned, rtol, n):
            solves = "one solve" if planned == 1 else f"{planned} solves"
            return Plan((LU(), MultigridCG(), AMG()), f"at this size factorising for {solves} takes less than multigrid")
        # extreme contrasts stall the geometric hierarchy, rarely the algebraic one
        return Plan((MultigridCG(), AMG(), LU()), "varying coefficients, definite: multigrid takes time in proportion to the cells")
    if len(A.grid_shape) < 3 and n <= _PLANE_CELLS:
        return Plan((LU(),), "an indefinite operator in the plane: the factors stay small, and iterations may take long")
    return Plan((MINRES(), LU()), "an indefinite operator too large to factorise at once: its factors would take more time and memory")


def _for_matrix(A: sp.csr_matrix, planned: int, rtol: float, unknowns: int | None) -> Plan:
    n = unknowns or A.shape[0]
    entries = round(A.nnz * n / A.shape[0])
    if not _amg_is_faster(entries, n, planned, rtol):
        return Plan((LU(),), f"a sparse matrix of {entries:,} entries is factorised sooner than a hierarchy is set up and used")
    if _looks_definite(A):
        return Plan((AMG(), LU()), "a large sparse matrix that looks symmetric positive definite")
    return Plan((LU(),), "a sparse matrix that is not symmetric positive definite")


def _amg_is_faster(entries: int, n: int, planned: int, rtol: float) -> bool:
    """Compare models of the time of LU on a matrix from the plane and of PyAMG CG, in milliseconds, fitted like those below."""
    if entries > _DIRECT_ENTRIES:
        return True
    thousands, decades = entries / 1000, _decades(rtol)
    lu = 0.032 * thousands * math.log2(n + 1) + 0.003 * thousands * planned
    return 3 + (0.205 + 0.029 * decades * planned) * thousands < lu


def _lu_is_faster(A: StencilOperator, planned: int, rtol: float, n: int) -> bool:
    """Compare models of the time of LU and of multigrid CG, in microseconds.

    Their constants are fits to the figures of ``python -m validation bench auto``, one core of an Intel Xeon. Only their ratios count,
    and those differ less between processors than times do. The powers are those of nested dissection (George 1973, "Nested dissection of a
    regular finite element mesh"), N log N for the factors in the plane and N^(4/3) in space, times N^(1/3) more for factorising in space.
    """
    decades = _decades(rtol)
    low, high = A.facts.smallest, A.facts.largest
    contrast = min(math.log10(high / low), 4.0) if low > 0 and np.isfinite(high) else 4.0
    if len(A.grid_shape) < 3:
        lu = 550 + (0.125 + 0.0019 * planned) * n * math.log2(n + 1)
        set_up = 170 + 35 * contrast + (0.006 + 0.026 * contrast) * n
        cell = 0.016 + 0.0035 * contrast + (0.003 + 0.0022 * contrast) * decades
    else:
        lu = 500 + 0.033 * n ** (5 / 3) + 0.0085 * planned * n ** (4 / 3)
        set_up, cell = 250 + 0.05 * n, 0.027 + 0.01 * decades
    return lu < set_up + planned * (70 + cell * n)


def _decades(rtol: float) -> float:
    return -math.log10(min(max(rtol, 1e-14), 0.1))


def _looks_definite(A: sp.csr_matrix) -> bool:
    """Necessary conditions for a real symmetric positive definite matrix; conjugate gradients find out the rest."""
    if A.dtype.kind == "c" or not (A.diagonal() > 0).all():
        return False
    return float(abs(A - A.T).max()) <= 1e-12 * float(abs(A).max())
