"""Samples of problems that evolve in time and of steady flows: solved, certified and checked by marching in time."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from sciml.data.recipe import Recipe
from sciml.data.shard import Sample
from sciml.discretize import (
    MarchedFlow,
    Residual,
    SemiDiscrete,
    discrete_residual,
    evolve,
    fields_of,
    march_to_rest,
    steady_error,
    temporal_error,
)
from sciml.errors import DatasetError
from sciml.problems import Evolving, Incompressible

METHOD = "etdrk4"
FLOW_METHOD = "mac"


@dataclass(frozen=True)
class Evolved:
    """A solved sample: named fields, and the figures of its certificate."""

    fields: Sample
    residual: float
    steps: int
    method: str
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
    if trajectory.status.name == "MAX_STEPS":
        what = f"{METHOD} did not meet solver.rtol = {rtol:g} up to t = {problem.times[-1]:g} within the limit on steps"
        raise Unsolved(f"{what}: loosen solver.rtol, let problem.times end earlier, or lower what drives the state")
    if trajectory.status.name != "SUCCESS":
        what = f"{METHOD} ended with {trajectory.status.name} after t = {float(trajectory.reached):g}"
        raise Unsolved(f"{what}: {trajectory.status.value}; let problem.times end earlier, or lower what drives the state")
    residual = temporal_error(problem, parameters, fields, rtol).relative
    if not residual <= rtol:
        raise Unsolved(f"an integration with other steps differs by {residual:.2e}, more than rtol = {rtol:g}: lower solver.rtol")
    return Evolved(fields, residual, int(trajectory.steps), METHOD, seconds)


def solve_flow(recipe: Recipe, parameters: Sample, system: MarchedFlow) -> Evolved:
    """March a flow to rest and certify it; raises `Unsolved` where it does not come to rest."""
    problem, rtol = recipe.solved_problem, recipe.solver.rtol
    assert isinstance(problem, Incompressible)
    began = time.perf_counter()
    history = march_to_rest(system, rtol)
    seconds = time.perf_counter() - began
    if history.status.name == "MAX_STEPS":
        when = f"at t = {history.ts[-1]:.4g} after {history.steps} steps"
        raise Unsolved(f"the flow still changes {when}, |du/dt| = {history.rate:.1e}: raise problem.viscosity")
    if history.status.name != "STEADY":
        raise Unsolved(f"{FLOW_METHOD} ended with {history.status.name}: {history.diagnosis}")
    fields = system.unpack(history)
    residual = steady_error(problem, parameters, fields, rtol).relative
    if not residual <= rtol:
        raise Unsolved(f"marching on with other steps changes it by {residual:.2e}, more than rtol = {rtol:g}: lower solver.rtol")
    return Evolved(fields, residual, history.steps, FLOW_METHOD, seconds)


def recomputed_residual(recipe: Recipe, parameters: Sample, fields: Sample) -> Residual:
    """What a certificate calls the relative residual, of stored fields; raises `DatasetError` for fields that their grid cannot hold."""
    problem = recipe.problem
    if isinstance(problem, Incompressible):
        return steady_error(problem, parameters, fields, recipe.solver.rtol)
    if not isinstance(problem, Evolving):
        return discrete_residual(problem, parameters, fields)
    problem.refuse_unresolved(fields)
    return temporal_error(problem, parameters, fields, recipe.solver.rtol)
