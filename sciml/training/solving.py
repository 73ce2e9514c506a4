"""Solve a problem for given parameters, steady or evolving, outside a dataset."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from sciml.discretize import SemiDiscrete, discretize, evolve, fields_of
from sciml.problems import Evolving, Problem
from sciml.problems.problem import Parameters
from solvers import Solution, linear_solve
from solvers.integrators import Trajectory


def solved(problem: Problem, parameters: Parameters, method: str, rtol: float) -> tuple[dict[str, NDArray[Any]], Solution | Trajectory]:
    """Output fields as far as the solver came, and its own account, which ``raise_for_status`` judges.

    Parameters
    ----------
    method, rtol : as in a recipe's solver section.
    """
    system = discretize(problem, parameters)
    if isinstance(system, SemiDiscrete):
        assert isinstance(problem, Evolving)
        trajectory = evolve(problem, system, rtol)
        return fields_of(system, trajectory), trajectory
    solution = linear_solve(system.operator, system.rhs, method, rtol=rtol)
    return system.unpack(solution.x), solution
