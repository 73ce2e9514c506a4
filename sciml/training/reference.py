"""What a network that was trained on an equation is compared with: the exact solution where one is known, else the solver's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sciml.data.recipe import Recipe
from sciml.grid import Grid
from sciml.problems import Evolving
from sciml.problems.problem import Parameters
from sciml.problems.strong_form import StrongForm
from sciml.training.solving import solved

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reference:
    """Values at points.

    Attributes
    ----------
    points : shape (N, coordinates), time last.
    values : of every output, shape (N,).
    shape : of the arrays that `values` are when they are not flat, time first.
    source : where they come from, in words.
    """

    points: Array
    values: Mapping[str, Array]
    shape: tuple[int, ...]
    source: str

    def until(self, time: float) -> Reference:
        """What is known up to a time, in flat arrays."""
        there = self.points[:, -1] <= time * (1 + 1e-9)
        return Reference(
            self.points[there], {name: values[there] for name, values in self.values.items()}, (int(there.sum()),), self.source
        )

    def errors(self, found: Mapping[str, Array]) -> dict[str, float]:
        """Relative L2 errors of every output, a pressure that is known up to a constant without its mean."""
        pairs = {name: (self._levelled(name, found[name]), self._levelled(name, right)) for name, right in self.values.items()}
        tiny = np.finfo(float).tiny
        return {
            name: float(np.linalg.norm(ours - right) / max(float(np.linalg.norm(right)), tiny)) for name, (ours, right) in pairs.items()
        }

    def rmse(self, found: Mapping[str, Array]) -> dict[str, float]:
        """Root-mean-square errors of every output, of such a pressure likewise."""
        away = {name: self._levelled(name, found[name]) - self._levelled(name, right) for name, right in self.values.items()}
        return {name: float(np.sqrt(np.mean(values**2))) for name, values in away.items()}

    def _levelled(self, name: str, values: Array) -> Array:
        return values - values.mean() if name == "pressure" and "velocity_x" in self.values else values


def reference(recipe: Recipe, parameters: Parameters, form: StrongForm) -> Reference:
    """At the cells (nodes) of the recipe's own grid (mesh), and at all its times."""
    problem = recipe.solved_problem
    domain = problem.domain
    space = np.stack([a.ravel() for a in domain.points()], axis=1) if isinstance(domain, Grid) else domain.points
    times = problem.times if isinstance(problem, Evolving) else ()
    points = np.concatenate([np.column_stack([space, np.full(len(space), t)]) for t in times]) if times else space
    shape = (len(times), *domain.shape) if len(times) > 1 else domain.shape
    if form.exact is not None:
        values = {name: np.asarray(u(*points.T) if callable(u) else np.full(len(points), u)) for name, u in form.exact.items()}
        return Reference(points, values, shape, "exact solution")
    fields, outcome = solved(problem, parameters, recipe.solver.method, recipe.solver.rtol)
    outcome.raise_for_status()
    return Reference(points, {name: np.asarray(fields[name], np.float64).ravel() for name in form.outputs}, shape, f"solver on {domain}")
