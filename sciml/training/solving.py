"""Solve a problem for given parameters, steady, flowing or evolving, outside a dataset."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

from sciml.discretize import MarchedFlow, SemiDiscrete, discretize, evolve, fields_of, march_to_rest
from sciml.problems import Evolving, Problem
from sciml.problems.problem import Parameters
from solvers import Solution, linear_solve
from solvers.flow import MACHistory
from solvers.integrators import Trajectory

Outcome: TypeAlias = Solution | Trajectory | MACHistory


def solved(problem: Problem, parameters: Parameters, method: str, rtol: float) -> tuple[dict[str, NDArray[Any]], Outcome]:
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
    if isinstance(system, MarchedFlow):
        history = march_to_rest(system, rtol)
        return system.unpack(history), history
    solution = linear_solve(system.operator, system.rhs, method, rtol=rtol)
    return system.unpack(solution.x), solution
