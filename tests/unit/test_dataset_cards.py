"""The facts on every dataset card are those of its recipe and of its refinement study."""

import json
import re
import shlex
from pathlib import Path

import pytest

from sciml.data.recipe import list_recipes, load_recipe
from sciml.grid import Grid
from validation.cases import dataset_accuracy

DATASETS = Path(__file__).parents[2] / "datasets"


def _domain_row(domain):
    if isinstance(domain, Grid):
        return {"cells": " x ".join(str(n) for n in domain.shape)}
    cells = {2: "triangles", 3: "tetrahedra"}[domain.dimension]
    parts = ", ".join(sorted(domain.part_names))
    return {"mesh": f"{domain.name}: {len(domain.points)} nodes, {len(domain.cells)} {cells}, parts {parts}"}


def _cells(line):
    return line.strip("| ").split(" | ")


def _order(value):
    return "spectral" if value is None else f"{value:.2f}"


@pytest.mark.skipif(not DATASETS.is_dir(), reason="cards are read from the checkout")
@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_card_agrees_with_recipe(recipe):
    card = (DATASETS / recipe.name / "README.md").read_text()
    rows = dict(_cells(line) for line in card[card.index("| fact |") :].partition("\n\n")[0].splitlines() if line.startswith("| "))
    assert rows.pop("fact") == "value"
    problem, data = recipe.problem, recipe.data
    judged = "relative residual" if problem.certificate == "residual" else problem.certificate.replace("_", " ")
    facts = {
        "inputs": ", ".join(problem.inputs),
        "outputs": ", ".join(problem.outputs),
        **_domain_row(problem.domain),
        "samples": str(data.samples),
        "valid / test fraction": f"{data.valid:g} / {data.test:g}",
        "seed": str(data.seed),
        "stored as": data.dtype,
        f"{judged} of every sample": f"at most {recipe.solver.rtol:g}",
    }
    assert f"sciml generate {recipe.name} " in card
    if not isinstance(problem.domain, Grid):  # no sequence of grids to study; `validation run mesh-bent-channel` shows the order
        assert rows == facts
        return
    study = json.loads((DATASETS / recipe.name / "accuracy.json").read_text())
    outputs = study["details"]["outputs"]
    assert (list(outputs), study["passed"]) == (list(problem.outputs), True)
    command = f"validation run dataset-accuracy --dataset {recipe.name} --json"
    assert study["details"]["identity"] == recipe.identity, f"repeat: python -m {command} > datasets/{recipe.name}/accuracy.json"
    solved_on = {"solved on": " x ".join(str(n) for n in recipe.solved_problem.grid.shape)} if data.oversampling > 1 else {}
    assert rows == {
        **solved_on,
        **facts,
        "observed order of convergence": ", ".join(_order(figures["order"]) for figures in outputs.values()),
        "relative L2 error of the discretisation": ", ".join(f"{figures['relative_l2_error']:.2g}" for figures in outputs.values()),
    }
    assert command in card
    if "| solved on | " in (header := next((line for line in card.splitlines() if line.startswith("| solved on | v")), "")):
        table = card[card.index(header) :].partition("\n\n")[0].splitlines()
        assert _cells(table[0]) == ["solved on", *problem.outputs, "seconds a sample"]
        by_size = sorted(study["details"]["table"], key=lambda grid: grid["cells"])
        told = [[" x ".join(map(str, grid["cells"])), *grid["relative_l2_errors"].values(), grid["seconds_a_sample"]] for grid in by_size]
        for line, (cells, *figures) in zip(table[2:], told, strict=True):
            assert _cells(line)[0] == cells
            assert [float(cell) for cell in _cells(line)[1:]] == pytest.approx(figures, rel=0.05)
    assert f"first {study['details']['samples']} training samples" in card


@pytest.mark.skipif(not DATASETS.is_dir(), reason="cards are read from the checkout")
@pytest.mark.parametrize("recipe", list_recipes(), ids=lambda recipe: recipe.name)
def test_every_override_on_a_card_is_valid(recipe):
    card = (DATASETS / recipe.name / "README.md").read_text()
    for command in re.findall(r"`(--set [^`]+)`", card):
        overrides = [word for word in shlex.split(command) if word != "--set"]
        assert load_recipe(recipe.name, overrides).problem.kind == recipe.problem.kind


@pytest.mark.slow
@pytest.mark.parametrize("name", ["darcy", "helmholtz", "convection-diffusion"])
def test_the_study_can_be_repeated(name):
    """Other versions of the libraries may round otherwise; next to an interface, a cell may then change its phase."""
    stored = json.loads((DATASETS / name / "accuracy.json").read_text())["details"]
    again = dataset_accuracy.run(dataset=name, samples=stored["samples"])
    assert again.passed
    for output, figures in stored["outputs"].items():
        assert again.details["outputs"][output] == pytest.approx(figures, rel=1e-3)
