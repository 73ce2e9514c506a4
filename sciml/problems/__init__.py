"""PDE problems, each declared once."""

from sciml.problems.base import Problem, problem_kinds, seed_words
from sciml.problems.convection_diffusion import ConvectionDiffusion
from sciml.problems.darcy import Darcy
from sciml.problems.heat_step import HeatStep
from sciml.problems.helmholtz import Helmholtz
from sciml.problems.poisson import Poisson
from sciml.problems.screened_poisson import ScreenedPoisson

__all__ = [
    "ConvectionDiffusion",
    "Darcy",
    "HeatStep",
    "Helmholtz",
    "Poisson",
    "Problem",
    "ScreenedPoisson",
    "problem_kinds",
    "seed_words",
]
