"""The facts on every dataset card are those of its recipe."""

from pathlib import Path

import pytest

from sciml.data.recipe import list_recipes
from sciml.grid import Grid

DATASETS = Path(__file__).parents[2] / "datasets"


def _domain_row(domain):
    if isinstance(domain, Grid):
        return {"cells": " x ".join(str(n) for n in domain.shape)}
    cells = {2: "triangles", 3: "tetrahedra"}[domain.dimension]
    parts = ", ".join(sorted(domain.part_names))
    return {"mesh": f"{domain.name}: {len(domain.points)} nodes, {len(domain.cells)} {cells}, parts {parts}"}


@pytest.mark.skipif(not DATASETS.is_dir(), reason="cards are read from the checkout")
@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_card_agrees_with_recipe(recipe):
    card = (DATASETS / recipe.name / "README.md").read_text()
    rows = dict(line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| "))
    assert rows.pop("fact") == "value"
    problem, data = recipe.problem, recipe.data
    assert rows == {
        "inputs": ", ".join(problem.inputs),
        "outputs": ", ".join(problem.outputs),
        **_domain_row(problem.domain),
        "samples": str(data.samples),
        "valid / test fraction": f"{data.valid:g} / {data.test:g}",
        "seed": str(data.seed),
        "stored as": data.dtype,
        "relative residual of every sample": f"at most {recipe.solver.rtol:g}",
    }
    assert f"sciml generate {recipe.name} " in card
