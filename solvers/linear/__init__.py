"""Linear systems: `linear_solve` for one right-hand side, `linear_solve_many` for many, `solve_sequence` for many matrices."""

from solvers.linear.deflated_cg import DeflatedCG
from solvers.linear.direct import Factorization, factorize
from solvers.linear.gcrodr import GCRODR
from solvers.linear.gmres import GMRES
from solvers.linear.recycle import RecycleSpace
from solvers.linear.sequence import SolutionSequence, solve_sequence
from solvers.linear.solve import linear_solve, linear_solve_many
from solvers.linear.stencil import StencilOperator, diffusion_operator

__all__ = [
    "GCRODR",
    "GMRES",
    "DeflatedCG",
    "Factorization",
    "RecycleSpace",
    "SolutionSequence",
    "StencilOperator",
    "diffusion_operator",
    "factorize",
    "linear_solve",
    "linear_solve_many",
    "solve_sequence",
]
