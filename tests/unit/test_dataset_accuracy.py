"""The refinement study of datasets finds orders and errors that are known, and faults of the scheme."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sciml.discretize.linear as discretisation
from sciml.errors import InputError, RecipeError
from sciml.problems import Problem
from solvers.linear.stencil import StencilOperator
from validation.cases import dataset_accuracy


def smooth(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    x, y = problem.grid.points()
    return np.sin(2 * x + y), np.cos(3 * x) * y


@pytest.mark.parametrize("order", [0.8, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("dataset", ["poisson", "darcy-85", "cavity"])
def test_the_error_of_a_made_up_scheme_is_found(order: float, dataset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields u + 7 h^p g with known u and g: the study has to return p and the error on the grid that is solved on.

    Where that is the finest grid of the study, as for the cavity, it is extrapolated.
    """

    def solve(recipe: Any, problem: Problem, words: Any) -> dict[str, np.ndarray]:
        u, g = smooth(problem)
        return dict.fromkeys(problem.outputs, u + 7 * problem.grid.spacing[0] ** order * g)

    monkeypatch.setattr(dataset_accuracy, "_solve", solve)
    report = dataset_accuracy.run(dataset=dataset, samples=1)
    figures, *others = report.details["outputs"].values()
    assert all(other == figures for other in others)
    n = report.details["solved_on"][0]
    u, g = smooth(dataset_accuracy.load_recipe(dataset, [f"problem.resolution={n}", "data.oversampling=1"]).problem)
    assert n == {"poisson": 64, "darcy-85": 425, "cavity": 144}[dataset]
    assert figures["order"] == pytest.approx(order, abs=0.01)
    assert figures["relative_l2_error"] == pytest.approx(7 * n**-order * np.linalg.norm(g) / np.linalg.norm(u), rel=0.02)


def test_errors_that_are_unrelated_on_any_two_grids_have_an_order_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    def solve(recipe: Any, problem: Problem, words: Any) -> dict[str, np.ndarray]:
        return {problem.outputs[0]: 1.0 + problem.grid.spacing[0] ** 1.3 * rng.standard_normal(problem.grid.shape)}

    monkeypatch.setattr(dataset_accuracy, "_solve", solve)
    (figures,) = dataset_accuracy.run(dataset="poisson").details["outputs"].values()
    assert figures["order"] == pytest.approx(1.3, abs=0.05)
    assert 1.0 < figures["relative_l2_error"] / 64**-1.3 < 1.5  # too large rather than too small


def test_waves_are_compared_at_the_same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a spectral scheme: equal waves on every grid have no error, and one of them that is off by 1e-3 has that."""
    wrong = 0.0

    def solve(recipe: Any, problem: Problem, words: Any) -> dict[str, np.ndarray]:
        x, y = problem.grid.points()
        w = np.sin(3 * x + y) + np.cos(2 * y - 5 * x + 0.3)
        return {"vorticity": np.stack([w + (wrong if problem.resolution[0] == 64 else 0.0) * np.sin(3 * x + y), w])}

    monkeypatch.setattr(dataset_accuracy, "_solve", solve)
    (figures,) = dataset_accuracy.run(dataset="kolmogorov", samples=1).details["outputs"].values()
    assert figures["order"] is None
    assert figures["relative_l2_error"] < 1e-14
    wrong = 1e-3
    (figures,) = dataset_accuracy.run(dataset="kolmogorov", samples=1).details["outputs"].values()
    assert figures["relative_l2_error"] == pytest.approx(1e-3 / 2, rel=1e-2)  # of two waves at two times, one is off


original = discretisation.diffusion_operator


def test_a_wall_at_the_wrong_place_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def far_wall(coefficient: Any, **settings: Any) -> StencilOperator:
        """Dirichlet walls a whole cell away from the first centre instead of half a cell: first order."""
        right = original(coefficient, **settings)
        faces = tuple(face.copy() for face in right.faces)
        for axis, face in enumerate(faces):
            for end in (0, -1):
                face[(slice(None),) * axis + (end,)] /= 2
        return replace(right, faces=faces, constant=None)

    assert dataset_accuracy.run(dataset="poisson", samples=1).passed
    monkeypatch.setattr(discretisation, "diffusion_operator", far_wall)
    discretisation._constant_operator.cache_clear()
    report = dataset_accuracy.run(dataset="poisson", samples=1)
    discretisation._constant_operator.cache_clear()
    order, error = report.checks
    assert not order.passed
    assert order.observed == pytest.approx(1.0, abs=0.2)
    assert not error.passed


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match="samples = 0"):
        dataset_accuracy.run(samples=0)
    with pytest.raises(RecipeError, match="did you mean 'darcy"):
        dataset_accuracy.run(dataset="dracy")
