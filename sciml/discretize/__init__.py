"""From a problem and its parameters to something a solver takes."""

import sciml.discretize.mesh  # noqa: F401 - registers its discretisation
from sciml.discretize.linear import LinearSystem, Residual, discrete_residual, discretize

__all__ = ["LinearSystem", "Residual", "discrete_residual", "discretize"]
