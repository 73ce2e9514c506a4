"""Initial-value problems: one entry point, one result type, and methods by the structure of the right-hand side."""

from solvers.integrators.brownian import BrownianPath
from solvers.integrators.control import StepControl
from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.explicit import EXPLICIT
from solvers.integrators.exponential import EXPONENTIAL
from solvers.integrators.imex_multistep import IMEX_MULTISTEP
from solvers.integrators.ivp import solve_ivp
from solvers.integrators.linear_part import Operator
from solvers.integrators.log_snr import (
    GaussianPath,
    LogSNRMultistep,
    linear_path,
    variance_exploding_path,
    variance_preserving_path,
)
from solvers.integrators.newton import Implicit
from solvers.integrators.sde import STOCHASTIC, AdditiveNoise, Stochastic
from solvers.integrators.solve import integrate
from solvers.integrators.splitting import Split
from solvers.integrators.terms import SemiLinear, Terms
from solvers.integrators.trajectory import Event, IntegrationStatus, Occurrence, Trajectory

__all__ = [
    "DIAGONALLY_IMPLICIT",
    "EXPLICIT",
    "EXPONENTIAL",
    "IMEX_MULTISTEP",
    "STOCHASTIC",
    "AdditiveNoise",
    "BrownianPath",
    "Event",
    "GaussianPath",
    "Implicit",
    "IntegrationStatus",
    "LogSNRMultistep",
    "Occurrence",
    "Operator",
    "SemiLinear",
    "Split",
    "StepControl",
    "Stochastic",
    "Terms",
    "Trajectory",
    "integrate",
    "linear_path",
    "solve_ivp",
    "variance_exploding_path",
    "variance_preserving_path",
]
