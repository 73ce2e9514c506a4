"""Linear systems: `linear_solve` for one right-hand side, `linear_solve_many` for many, `linear_solve_each` for many matrices on several
threads, `solve_sequence` for matrices that resemble each other, and the methods behind them."""

from solvers.linear.block_gmres import BlockGMRES
from solvers.linear.conjugate_directions import ConjugateDirections
from solvers.linear.deflated_cg import DeflatedCG
from solvers.linear.direct import Factorization, factorize
from solvers.linear.each import linear_solve_each
from solvers.linear.gcrodr import GCRODR
from solvers.linear.gmres import GMRES
from solvers.linear.preconditioners import IncompleteCholesky, make_preconditioner
from solvers.linear.recycle import RecycleSpace
from solvers.linear.sequence import SolutionSequence, solve_sequence
from solvers.linear.shifted_laplacian import ShiftedLaplacian
from solvers.linear.solve import linear_solve, linear_solve_many
from solvers.linear.sorting import Ordering, coefficient_features, order_systems
from solvers.linear.stencil import StencilOperator, diffusion_operator

__all__ = [
    "GCRODR",
    "GMRES",
    "BlockGMRES",
    "ConjugateDirections",
    "DeflatedCG",
    "Factorization",
    "IncompleteCholesky",
    "Ordering",
    "RecycleSpace",
    "ShiftedLaplacian",
    "SolutionSequence",
    "StencilOperator",
    "coefficient_features",
    "diffusion_operator",
    "factorize",
    "linear_solve",
    "linear_solve_each",
    "linear_solve_many",
    "make_preconditioner",
    "order_systems",
    "solve_sequence",
]
