"""Initial-value problems: one entry point, one result type."""

from solvers.integrators.solve import integrate
from solvers.integrators.terms import SemiLinear, Terms
from solvers.integrators.trajectory import IntegrationStatus, Trajectory

__all__ = ["IntegrationStatus", "SemiLinear", "Terms", "Trajectory", "integrate"]
