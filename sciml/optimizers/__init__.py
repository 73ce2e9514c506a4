"""Optimizers for residuals: steps from the singular values of a Jacobian, with the radius that the network's own singularities set."""

from sciml.optimizers.damping import Constant, GradientNorm, Nielsen
from sciml.optimizers.filters import HalfInverse, Tikhonov, TruncatedSVD
from sciml.optimizers.geodesic import GeodesicLevenbergMarquardt
from sciml.optimizers.least_squares import SPRING, GaussNewton, LeastSquaresOptimizer, LevenbergMarquardt, Sven, memory_estimate
from sciml.optimizers.quasi_newton import SSBFGS, SSBroyden
from sciml.optimizers.radius import analytic_radius
from sciml.optimizers.residuals import FunctionResiduals, PointResiduals, Term
from sciml.optimizers.steps import AnalyticRadius, Armijo, FixedStep, GridLineSearch, NormCap

__all__ = [
    "SPRING",
    "SSBFGS",
    "AnalyticRadius",
    "Armijo",
    "Constant",
    "FixedStep",
    "FunctionResiduals",
    "GaussNewton",
    "GeodesicLevenbergMarquardt",
    "GradientNorm",
    "GridLineSearch",
    "HalfInverse",
    "LeastSquaresOptimizer",
    "LevenbergMarquardt",
    "Nielsen",
    "NormCap",
    "PointResiduals",
    "SSBroyden",
    "Sven",
    "Term",
    "Tikhonov",
    "TruncatedSVD",
    "analytic_radius",
    "memory_estimate",
]
