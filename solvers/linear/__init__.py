"""Linear systems: `linear_solve` for one right-hand side, `linear_solve_many` for many, and the methods behind them."""

from solvers.linear.direct import Factorization, factorize
from solvers.linear.solve import linear_solve, linear_solve_many
from solvers.linear.stencil import StencilOperator, diffusion_operator

__all__ = ["Factorization", "StencilOperator", "diffusion_operator", "factorize", "linear_solve", "linear_solve_many"]
