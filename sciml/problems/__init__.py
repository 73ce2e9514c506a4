"""PDE problems, each declared once."""

from sciml.problems.base import Problem, problem_kinds, seed_words
from sciml.problems.burgers import Burgers
from sciml.problems.darcy import Darcy
from sciml.problems.evolving import Evolving
from sciml.problems.heat import Heat
from sciml.problems.heat_step import HeatStep
from sciml.problems.poisson import Poisson
from sciml.problems.screened_poisson import ScreenedPoisson

__all__ = ["Burgers", "Darcy", "Evolving", "Heat", "HeatStep", "Poisson", "Problem", "ScreenedPoisson", "problem_kinds", "seed_words"]
