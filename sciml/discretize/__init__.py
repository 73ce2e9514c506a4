"""From a problem and its parameters to something a solver takes."""

from sciml.discretize import helmholtz  # noqa: F401  # registers its kind
from sciml.discretize.linear import LinearSystem, Residual, discrete_residual, discretize

__all__ = ["LinearSystem", "Residual", "discrete_residual", "discretize"]
