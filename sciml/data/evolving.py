"""Samples of problems that evolve in time: solved, certified and checked by integration."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from sciml.data.recipe import Recipe
from sciml.data.shard import Sample
from sciml.discretize import Residual, SemiDiscrete, discrete_residual, evolve, fields_of, temporal_error
from sciml.errors import DatasetError
from sciml.problems import Evolving

METHOD = "etdrk4"


@dataclass(frozen=True)
class Evolved:
    """A solved sample: named fields, and the figures of its certificate."""

    fields: Sample
    residual: float
    steps: int
    seconds: float


class Unsolved(Exception):
    """Why a sample is not stored, as the end of a sentence."""


def solve_evolving(recipe: Recipe, parameters: Sample, system: SemiDiscrete) -> Evolved:
    """Integrate a sample and certify it; raises `Unsolved` where it missed its tolerance or its grid is too coarse."""
    problem, rtol = recipe.solved_problem, recipe.solver.rtol
    assert isinstance(problem, Evolving)
    began = time.perf_counter()
    trajectory = evolve(problem, system, rtol)
    seconds = time.perf_counter() - began
    fields = fields_of(system, trajectory)
    if all(np.isfinite(values).all() for values in fields.values()):
        try:  # asked first: too coarse a grid is also the usual reason why an integration does not converge
            problem.refuse_unresolved(fields)
        except DatasetError as error:
            raise Unsolved(str(error)) from None
    if trajectory.status.name != "SUCCESS":
        raise Unsolved(f"{METHOD} ended with {trajectory.status.name}: {trajectory.status.value}")
    residual = temporal_error(problem, parameters, fields, rtol).relative
    if not residual <= rtol:
        raise Unsolved(f"an integration with other steps differs by {residual:.2e}, more than rtol = {rtol:g}: lower solver.rtol")
    return Evolved(fields, residual, int(trajectory.steps), seconds)


def recomputed_residual(recipe: Recipe, parameters: Sample, fields: Sample) -> Residual:
    """What a certificate calls the relative residual, of stored fields; raises `DatasetError` for fields that their grid cannot hold."""
    problem = recipe.problem
    if not isinstance(problem, Evolving):
        return discrete_residual(problem, parameters, fields)
    problem.refuse_unresolved(fields)
    return temporal_error(problem, parameters, fields, recipe.solver.rtol)
