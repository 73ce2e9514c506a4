"""Linear systems: `linear_solve` for one right-hand side, `linear_solve_many` for many, `linear_solve_each` for many
systems on several threads, and the methods behind them."""

from solvers.linear.conjugate_directions import ConjugateDirections
from solvers.linear.direct import Factorization, factorize
from solvers.linear.each import linear_solve_each
from solvers.linear.preconditioners import make_preconditioner
from solvers.linear.solve import linear_solve, linear_solve_many
from solvers.linear.sorting import Ordering, coefficient_features, order_systems
from solvers.linear.stencil import StencilOperator, diffusion_operator

__all__ = [
    "ConjugateDirections",
    "Factorization",
    "Ordering",
    "StencilOperator",
    "coefficient_features",
    "diffusion_operator",
    "factorize",
    "linear_solve",
    "linear_solve_each",
    "linear_solve_many",
    "make_preconditioner",
    "order_systems",
]
