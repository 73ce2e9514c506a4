"""From a problem and its parameters to something a solver takes."""

from sciml.discretize import convection_diffusion, helmholtz, mesh  # noqa: F401 - they register their kinds
from sciml.discretize.linear import LinearSystem, Residual, discrete_residual, discretize

__all__ = ["LinearSystem", "Residual", "discrete_residual", "discretize"]
