"""PDE problems, each declared once."""

from sciml.problems.base import BoxProblem
from sciml.problems.burgers import Burgers
from sciml.problems.convection import Convection
from sciml.problems.convection_diffusion import ConvectionDiffusion
from sciml.problems.darcy import Darcy
from sciml.problems.evolving import Evolving
from sciml.problems.heat import Heat
from sciml.problems.heat_step import HeatStep
from sciml.problems.helmholtz import Helmholtz
from sciml.problems.incompressible import Cavity, ChannelObstacles, Incompressible
from sciml.problems.mesh_elliptic import MeshDarcy, MeshPoisson
from sciml.problems.navier_stokes import NavierStokes
from sciml.problems.poisson import Poisson
from sciml.problems.problem import Problem, problem_kinds, seed_words
from sciml.problems.screened_poisson import ScreenedPoisson

__all__ = [
    "BoxProblem",
    "Burgers",
    "Cavity",
    "ChannelObstacles",
    "Convection",
    "ConvectionDiffusion",
    "Darcy",
    "Evolving",
    "Heat",
    "HeatStep",
    "Helmholtz",
    "Incompressible",
    "MeshDarcy",
    "MeshPoisson",
    "NavierStokes",
    "Poisson",
    "Problem",
    "ScreenedPoisson",
    "problem_kinds",
    "seed_words",
]
