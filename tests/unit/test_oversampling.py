"""Data that are solved on a fine grid and kept at the centres of its blocks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.linalg import spsolve

from sciml import generate, load_recipe, open_dataset
from sciml.data.recipe import Recipe
from sciml.data.verify import verify
from sciml.discretize import discretize
from sciml.errors import RecipeError
from sciml.problems import Darcy, seed_words
from sciml.training.resolution import resolved

SIDES = {"x_low": {"kind": "dirichlet", "value": {"kind": "gaussian_random_field"}}, "y_high": {"kind": "neumann", "flux": 0.3}}
SETTINGS = {
    "name": "fine",
    "title": "Fine",
    "problem": {"kind": "darcy", "resolution": [8, 6], "boundary": SIDES, "source": {"kind": "uniform", "low": 0.5, "high": 2.0}},
    "data": {"oversampling": 5, "shard_samples": 4, "seed": 7, "dtype": "float64"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("oversampling") / "data"
    generate(Recipe.model_validate(SETTINGS), path, samples=10)
    return path


def test_every_field_is_that_of_the_fine_grid_at_its_own_place(data: Path) -> None:
    fine = Darcy.model_validate({**SETTINGS["problem"], "resolution": [40, 30]})
    coarse = Darcy.model_validate(SETTINGS["problem"])
    for axis in (0, 1):
        np.testing.assert_allclose(fine.grid.centers(axis)[2::5], coarse.grid.centers(axis), rtol=1e-15)
    for i, sample in enumerate(open_dataset(data, "train")):
        parameters = fine.sample(seed_words(7, 0, i))
        system = discretize(fine, parameters)
        pressure = spsolve(system.operator.to_csr().tocsc(), system.rhs.ravel()).reshape(40, 30)
        np.testing.assert_allclose(sample["pressure"], pressure[2::5, 2::5], atol=1e-6 * abs(pressure).max())
        np.testing.assert_array_equal(sample["permeability"], parameters["permeability"][2::5, 2::5])
        np.testing.assert_array_equal(sample["boundary_x_low"], parameters["boundary_x_low"][2::5])
        np.testing.assert_array_equal(sample["source"], parameters["source"])


def test_the_certificate_is_of_the_fine_solve_and_verify_says_so(data: Path) -> None:
    report = verify(data)
    assert report.passed
    (stored,) = [check for check in report.checks if "relative residual" in check.name]
    assert 1e-14 < stored.observed <= 1e-8
    assert stored.reference.endswith("on 40 x 30 cells; not recomputed: one in 5 an axis is kept")
    assert not any("recomputed residual" in check.name for check in report.checks)
    assert any("other parameters" in check.name for check in report.checks)
    assert open_dataset(data, "train").problem is None  # the kept fields solve no discrete equation


def test_parameters_are_drawn_anew_on_the_fine_grid(data: Path) -> None:
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["recipe"]["data"]["oversampling"] = 3
    (data / "manifest.json").write_text(json.dumps(manifest))
    failed = {check.name for check in verify(data).checks if not check.passed}
    manifest["recipe"]["data"]["oversampling"] = 5
    (data / "manifest.json").write_text(json.dumps(manifest))
    assert "samples with other parameters than their seed words give" in failed


def test_another_resolution_is_oversampled_too(data: Path) -> None:
    samples = resolved(open_dataset(data, "train"), 24, 2, lambda *progress: None)
    assert samples.shape == (24, 18)
    assert samples.problem is None
    same = resolved(open_dataset(data, "train"), 8, 2, lambda *progress: None)
    np.testing.assert_allclose(same[1]["pressure"], open_dataset(data, "train")[1]["pressure"], rtol=1e-7)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.oversampling=4", "data.oversampling = 4: a block of 4 cells has no centre cell: give an odd number"),
        ("data.oversampling=0", "data.oversampling = 0"),
        ("problem.resolution=30000", "data.oversampling = 5 asks for 150000 cells along an axis, and 65536 is the most"),
    ],
)
def test_refusals(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("darcy-85", [override])


def test_oversampling_is_part_of_the_identity() -> None:
    assert load_recipe("darcy-85", ["data.oversampling=3"]).identity != load_recipe("darcy-85").identity
    assert load_recipe("darcy-85").solved_problem.grid.shape == (425, 425)
