"""Linear systems: one entry point, `linear_solve`, and the methods behind it."""

from solvers.linear.solve import linear_solve
from solvers.linear.stencil import StencilOperator, diffusion_operator

__all__ = ["StencilOperator", "diffusion_operator", "linear_solve"]
