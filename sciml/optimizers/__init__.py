"""Optimizers with curvature: for residuals from the singular values of a Jacobian, for mini-batches from gradients and layers' vectors."""

from sciml.optimizers.damping import Constant, GradientNorm, Nielsen
from sciml.optimizers.filters import HalfInverse, Tikhonov, TruncatedSVD
from sciml.optimizers.geodesic import GeodesicLevenbergMarquardt
from sciml.optimizers.least_squares import SPRING, GaussNewton, LeastSquaresOptimizer, LevenbergMarquardt, Sven, memory_estimate
from sciml.optimizers.mfac import MFAC, EmpiricalFisherInverse
from sciml.optimizers.mkor import MKOR, RateSwitch
from sciml.optimizers.quasi_newton import SSBFGS, SSBroyden
from sciml.optimizers.radius import analytic_radius
from sciml.optimizers.residuals import FunctionResiduals, PointResiduals, Term
from sciml.optimizers.steps import AnalyticRadius, Armijo, FixedStep, GridLineSearch, NormCap

__all__ = [
    "MFAC",
    "MKOR",
    "SPRING",
    "SSBFGS",
    "AnalyticRadius",
    "Armijo",
    "Constant",
    "EmpiricalFisherInverse",
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
    "RateSwitch",
    "SSBroyden",
    "Sven",
    "Term",
    "Tikhonov",
    "TruncatedSVD",
    "analytic_radius",
    "memory_estimate",
]
