"""Monte Carlo methods for elliptic equations: walks that need a boundary and no mesh of the domain."""

from solvers.montecarlo.boundary import Boundary
from solvers.montecarlo.walks import EpsilonReport, Estimate, epsilon_report, walk_gradients, walk_on_spheres

__all__ = ["Boundary", "EpsilonReport", "Estimate", "epsilon_report", "walk_gradients", "walk_on_spheres"]
