"""Symmetry groups: their laws, and that the equations of every shipped recipe really have them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from sciml.data.recipe import list_recipes
from sciml.errors import DatasetError
from sciml.problems import BoxProblem, Problem, seed_words
from sciml.training.augment import Symmetry, group, transform
from sciml.training.solving import solved

SQUARE = ("reflect_x", "reflect_y", "swap_xy")
CUBE = ("reflect_x", "reflect_y", "reflect_z", "swap_xy", "swap_yz")


@pytest.mark.parametrize(
    ("generators", "shape", "order"),
    [
        ((), (4, 5), 1),
        (("reflect_x",), (4, 5), 2),
        (("reflect_x", "reflect_y"), (4, 5), 4),
        (("swap_xy",), (4, 4), 2),
        (SQUARE, (4, 4), 8),
        (("reflect_x", "swap_xy"), (4, 4), 8),
        (("swap_xy", "swap_yz"), (3, 3, 3), 6),
        (CUBE, (3, 3, 3), 48),
        (("reflect_nodes_x", "swap_xy"), (4, 4), 8),
    ],
)
def test_the_group_is_closed_and_of_the_known_order(generators: tuple[str, ...], shape: tuple[int, ...], order: int) -> None:
    elements = group(generators, shape)
    assert len(elements) == len(set(elements)) == order
    fields = torch.randn(1, *shape)
    assert torch.equal(elements[0](fields), fields)
    for one, two in itertools.product(elements, elements):
        both = one.after(two)
        assert both in elements
        assert torch.equal(both(fields), one(two(fields)))
    images = {tuple(element(fields).flatten().tolist()) for element in elements}
    assert len(images) == order  # they act differently


def test_what_the_generators_do() -> None:
    u = torch.arange(12.0).reshape(3, 4)
    x, y = (group((name,), (3, 4))[1] for name in ("reflect_x", "reflect_y"))
    assert torch.equal(x(u), u.flip(0))
    assert torch.equal(y(u), u.flip(1))
    square = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert torch.equal(group(("swap_xy",), (3, 3))[1](square), square.transpose(-1, -2))


def test_a_mirror_about_nodes_keeps_the_boundary_row() -> None:
    """Samples at j / n with the low end on the boundary: u = x (1 - x) is even about the middle, and its row 0 stays row 0."""
    x = torch.arange(8.0) / 8
    u = (x * (1 - x))[:, None].expand(8, 8)
    nodes, cells = (group((name,), (8, 8))[1] for name in ("reflect_nodes_x", "reflect_x"))
    torch.testing.assert_close(nodes(u), u)
    assert (cells(u) - u).abs().max() > 0.1


def test_every_sample_gets_its_own_element() -> None:
    elements = group(SQUARE, (5, 5))
    fields = torch.randn(6, 2, 5, 5)
    choice = np.array([0, 3, 3, 7, 1, 0])
    result = transform(fields, elements, choice)
    for b, number in enumerate(choice):
        assert torch.equal(result[b], elements[number](fields[b]))


@pytest.mark.parametrize(
    ("generators", "inputs", "words"),
    [
        (("rotate_x",), (), ["'rotate_x'", "reflect_<axis>"]),
        (("reflect_z",), (), ["'reflect_z'", "2-D"]),
        (("swap_xy",), (), ["'swap_xy'", "different lengths"]),
        (("reflect_x", "reflect_nodes_y"), (), ["cell centres", "nodes"]),
        (("reflect_x",), ("a", "boundary_x_low"), ["'reflect_x'", "'boundary_x_low'"]),
    ],
)
def test_generators_that_do_not_fit_are_refused(generators: tuple[str, ...], inputs: tuple[str, ...], words: list[str]) -> None:
    with pytest.raises(DatasetError) as caught:
        group(generators, (4, 5), inputs)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_side_that_stays_where_it_is_may_be_an_input() -> None:
    assert len(group(("reflect_y",), (4, 5), ("boundary_x_low",))) == 2


def solve(problem: Problem, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    fields, outcome = solved(problem, parameters, "auto", 1e-11)
    outcome.raise_for_status()
    return fields


def moved(element: Symmetry, fields: dict[str, np.ndarray], dimension: int) -> dict[str, np.ndarray]:
    """Grid fields transformed, at all their times, numbers as they are."""
    return {key: element(torch.from_numpy(value.copy())).numpy() if value.ndim >= dimension else value for key, value in fields.items()}


ON_GRIDS = [recipe for recipe in list_recipes() if isinstance(recipe.problem, BoxProblem) and recipe.problem.symmetries]


@pytest.mark.parametrize("recipe", ON_GRIDS, ids=lambda recipe: recipe.name)
def test_the_solver_has_the_symmetries_that_a_recipe_declares(recipe) -> None:
    problem = recipe.problem.refined(8)
    parameters = problem.sample(seed_words(5, 0, 0))
    elements = group(problem.symmetries, problem.grid.shape)
    assert (len(elements) > 1) is (recipe.name != "burgers")  # whose mirror image needs the other sign
    fields = solve(problem, parameters)
    for element in elements[1 :: max(1, len(elements) // 8)]:
        expected = moved(element, fields, problem.grid.dimension)
        found = solve(problem, moved(element, parameters, problem.grid.dimension))
        for name in problem.outputs:
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-8 * np.abs(expected[name]).max())


def test_a_transformation_that_is_no_symmetry_shows() -> None:
    """The oracle above would notice: with a Neumann side at x = 0 only, mirroring x is not declared and not true."""
    from sciml.problems import Darcy

    problem = Darcy(resolution=8, boundary={"x_low": "neumann"})
    assert "reflect_x" not in problem.symmetries
    parameters = problem.sample(seed_words(5, 0, 0))
    mirror = group(("reflect_x",), (8, 8))[1]
    expected = moved(mirror, solve(problem, parameters), 2)["pressure"]
    found = solve(problem, moved(mirror, parameters, 2))["pressure"]
    assert np.abs(found - expected).max() > 0.1 * np.abs(expected).max()
