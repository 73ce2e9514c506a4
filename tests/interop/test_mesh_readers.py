"""Samples on a mesh, read by xarray and VTK with equal values, and refused by The Well's reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.io.export import export_sample

Reader = Callable[[str, Mapping[str, Path]], dict[str, dict[str, np.ndarray]]]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("channel") / "data"
    generate(load_recipe("darcy-mesh"), path, samples=10)
    return path


@pytest.fixture(scope="module")
def found(channel: Path, read_elsewhere: Reader) -> dict[str, dict[str, np.ndarray]]:
    exported = export_sample(channel, channel.parent / "sample.vtu", split="train", sample=2)
    return read_elsewhere("read_mesh.py", {"xarray": channel / "data/train/shard-00000.hdf5", "vtk": exported})


def test_xarray(channel: Path, found: dict[str, dict[str, np.ndarray]]) -> None:
    dataset, values = open_dataset(channel), found["xarray"]
    np.testing.assert_array_equal(values["pressure"][:, 0], dataset.field("pressure"), strict=True)
    np.testing.assert_array_equal(values["permeability"], dataset.field("permeability"), strict=True)
    np.testing.assert_array_equal(values["points"], dataset.mesh.points)
    np.testing.assert_array_equal(values["cells"], dataset.mesh.cells)
    assert values["pressure_dims"].tolist() == ["trajectory", "time", "node"]
    assert values["permeability_dims"].tolist() == ["trajectory", "cell"]
    assert values["points_dims"].tolist() == ["node", "coordinate"]
    assert values["part_names"].tolist() == list(dataset.mesh.part_names)


def test_vtk(channel: Path, found: dict[str, dict[str, np.ndarray]]) -> None:
    dataset, values = open_dataset(channel), found["vtk"]
    sample = dataset[2]
    np.testing.assert_array_equal(values["points"][:, :2], dataset.mesh.points)
    np.testing.assert_array_equal(values["cells"], dataset.mesh.cells)
    np.testing.assert_array_equal(values["pressure"], sample["pressure"], strict=True)
    np.testing.assert_array_equal(values["permeability"], sample["permeability"], strict=True)
    assert values["area"].sum() == pytest.approx(3 * np.pi / 4, rel=2e-3)  # of the quarter ring, less what the polygon cuts off


def test_the_well_refuses_unstructured_grids(channel: Path, read_elsewhere: Reader) -> None:
    with pytest.raises(AssertionError, match="KeyError"):
        read_elsewhere("read_with_the_well.py", {"mesh": channel})
