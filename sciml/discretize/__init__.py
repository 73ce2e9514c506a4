"""From a problem and its parameters to something a solver takes."""

from sciml.discretize import burgers, convection, convection_diffusion, flow, heat, helmholtz, mesh, navier_stokes  # noqa: F401 - they register kinds
from sciml.discretize.evolution import evolve, fields_of, temporal_error
from sciml.discretize.flow import march_to_rest, steady_error
from sciml.discretize.linear import LinearSystem, Residual, discrete_residual, discretize, linear_system
from sciml.discretize.marched_flow import MarchedFlow
from sciml.discretize.semi_discrete import SemiDiscrete

__all__ = [
    "LinearSystem",
    "MarchedFlow",
    "Residual",
    "SemiDiscrete",
    "discrete_residual",
    "discretize",
    "evolve",
    "fields_of",
    "linear_system",
    "march_to_rest",
    "steady_error",
    "temporal_error",
]
