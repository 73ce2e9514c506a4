"""Files made here, read by The Well (1.2.0), xarray and VTK with equal values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.convert import import_arrays
from sciml.data.loader import Dataset
from sciml.io.export import export_sample

Reader = Callable[[str, Mapping[str, Path]], dict[str, dict[str, np.ndarray]]]
Found = dict[str, dict[str, np.ndarray]]
LAW = '{kind="gaussian_random_field", alpha=2.0, tau=3.0}'
#: name -> recipe and its overrides: sides with random data on every axis, periodic sides, a random number, three dimensions.
CASES = {
    "plane": ("darcy", ["problem.resolution=[8, 12]"]),
    "scalar": ("screened-poisson", ["problem.resolution=8", "data.dtype=float64"]),
    "sides": (
        "darcy",
        [
            "problem.resolution=[8, 12]",
            f"problem.boundary={{x_high={{kind='dirichlet', value={LAW}}}, y_low={{kind='dirichlet', value={LAW}}}}}",
        ],
    ),
    "box": (
        "darcy3d",
        [
            "problem.resolution=[4, 5, 6]",
            f"problem.boundary={{x_low='neumann', y_high={{kind='dirichlet', value={LAW}}}, z_low='periodic', z_high='periodic'}}",
        ],
    ),
    "interval": ("burgers", ["problem.resolution=64"]),
    "movie": (
        "burgers",
        ["problem.resolution=48", "problem.times=[0.2, 0.4, 0.6]", "problem.viscosity={kind='uniform', low=0.1, high=0.2}"],
    ),
    "series": ("heat", ["problem.resolution=[8, 12]"]),
    "flow": ("channel-obstacles", ["problem.resolution=[24, 12]", "solver.rtol=1e-3"]),
    "box-series": ("heat", ["problem.dimension=3", "problem.resolution=[4, 5, 6]", "problem.times=[0.1, 0.2]"]),
}
SERIES = ("movie", "series", "box-series")
IMAGES = [name for name in CASES if name not in ("interval", "movie")]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("interop")
    for name, (recipe, overrides) in CASES.items():
        generate(load_recipe(recipe, [*overrides, "data.shard_samples=3"]), root / name, samples=7)
    rng = np.random.default_rng(0)
    np.savez(root / "arrays.npz", x=rng.random((9, 6, 7)) < 0.5, y=rng.standard_normal((9, 6, 7)).astype(np.float32))
    import_arrays(root / "arrays.npz", root / "imported", input="x", output="y")
    return {name: root / name for name in (*CASES, "imported")}


@pytest.fixture(scope="module")
def by_the_well(datasets: dict[str, Path], read_elsewhere: Reader) -> Found:
    return read_elsewhere("read_with_the_well.py", datasets)


@pytest.fixture(scope="module")
def by_xarray(datasets: dict[str, Path], read_elsewhere: Reader) -> Found:
    return read_elsewhere("read_with_xarray.py", {name: path / "data/train/shard-00000.hdf5" for name, path in datasets.items()})


@pytest.fixture(scope="module")
def by_vtk(datasets: dict[str, Path], read_elsewhere: Reader, tmp_path_factory: pytest.TempPathFactory) -> Found:
    out = tmp_path_factory.mktemp("vtk")
    images = {name: export_sample(datasets[name], out / f"{name}.vtkhdf", split="train", sample=2) for name in IMAGES}
    return read_elsewhere("read_with_vtk.py", images)


def tiled(dataset: Dataset, name: str) -> np.ndarray:
    """A field as The Well hands it out: a side field is repeated along the axis that it does not have."""
    values = dataset.field(name)
    for axis, letter in enumerate(dataset.axes):
        if name.startswith(f"boundary_{letter}"):
            values = np.repeat(np.expand_dims(values, axis + 1), dataset.shape[axis], axis + 1)
    return values


@pytest.mark.parametrize("name", [*CASES, "imported"])
def test_the_well(datasets: dict[str, Path], by_the_well: Found, name: str) -> None:
    dataset, found = open_dataset(datasets[name]), by_the_well[name]
    assert found["constant_names"].tolist() == list(dataset.inputs)
    assert found["variable_names"].tolist() == list(dataset.outputs)
    assert found["scalar_names"].tolist() == list(dataset.scalars)
    assert tuple(found["shape"]) == dataset.shape
    assert found["files"] == len([shard for shard in dataset.manifest.shards if shard.split == "train"])
    for channel, field in enumerate(dataset.inputs):
        np.testing.assert_array_equal(found["constant_fields"][..., channel], tiled(dataset, field), strict=True)
    truth = dataset.field(dataset.outputs[0])
    truth = truth if name in SERIES else truth[:, None]
    np.testing.assert_array_equal(found["output_fields"][..., 0], truth, strict=True)
    times = np.array(dataset.times or (0.0,))
    np.testing.assert_allclose(found["output_time_grid"][0], times - times[0], rtol=1e-6)  # the reader counts from the first
    if dataset.scalars:
        np.testing.assert_array_equal(found["constant_scalars"][:, 0], dataset.field(dataset.scalars[0]), strict=True)
    cells = [(np.arange(n) + 0.5) * extent / n for n, extent in zip(dataset.shape, dataset.extent, strict=True)]
    np.testing.assert_allclose(found["space_grid"][0], np.stack(np.meshgrid(*cells, indexing="ij"), -1), rtol=1e-6)
    truth = truth.astype(float)
    expected = (truth - truth.mean()) / max(truth.std(), 1e-4)  # the reader's own floor
    np.testing.assert_allclose(found["normalised"][..., 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("plane", [[0, 0], [0, 0]]),
        ("scalar", [[2, 2], [2, 2]]),
        ("box", [[0, 0], [0, 0], [2, 2]]),
        ("movie", [[2, 2]]),
        ("imported", [[1, 1], [1, 1]]),
    ],
)
def test_boundary_kinds_in_the_well(by_the_well: Found, name: str, codes: list[list[int]]) -> None:
    """0 is a wall, 1 open (nobody said), 2 periodic."""
    np.testing.assert_array_equal(by_the_well[name]["boundary_conditions"][0], codes)


@pytest.mark.parametrize("name", [*CASES, "imported"])
def test_xarray(datasets: dict[str, Path], by_xarray: Found, name: str) -> None:
    dataset, found = open_dataset(datasets[name]), by_xarray[name]
    rows = slice(0, dataset.manifest.shards[0].samples)
    axes = list(dataset.axes)
    for field in dataset.manifest.names:
        values = dataset.field(field)[rows]
        np.testing.assert_array_equal(found[field].reshape(values.shape), values, strict=True)
    assert found[f"{dataset.outputs[0]}_dims"].tolist() == ["trajectory", "time", *axes]
    assert found[f"{dataset.inputs[0]}_dims"].tolist() == ["trajectory", *axes]
    if name == "sides":
        assert found["boundary_x_high_dims"].tolist() == ["trajectory", "y"]
        assert found["boundary_y_low_dims"].tolist() == ["trajectory", "x", "side"]
    np.testing.assert_allclose(found["coordinate_time"], dataset.times or (0.0,), rtol=1e-6)
    np.testing.assert_array_equal(found["coordinate_trajectory"], np.arange(rows.stop))
    for axis, n, extent in zip(axes, dataset.shape, dataset.extent, strict=True):
        np.testing.assert_allclose(found[f"coordinate_{axis}"], (np.arange(n) + 0.5) * extent / n, rtol=1e-6)
    record = dataset.provenance(1)
    assert tuple(found["seed_words"][1].tolist()) == record["seed_words"]
    assert found["seed_words_dims"].tolist() == ["trajectory", "seed_word"]
    np.testing.assert_equal(found["relative_residual"][1], record["relative_residual"])


@pytest.mark.parametrize("name", IMAGES)
def test_vtk(datasets: dict[str, Path], by_vtk: Found, name: str) -> None:
    dataset, found = open_dataset(datasets[name]), by_vtk[name]
    sample = dataset[2]
    shape = (*dataset.shape, *(1,) * (3 - len(dataset.shape)))
    assert found["kind"] == "vtkImageData"
    assert found["dimensions"].tolist() == [n + 1 for n in dataset.shape] + [1] * (3 - len(dataset.shape))
    np.testing.assert_allclose(found["bounds"][1 : 2 * len(dataset.shape) : 2], dataset.extent)
    if name == "flow":
        velocity = np.stack([sample.pop("velocity_x"), sample.pop("velocity_y")], axis=-1).reshape((*shape, 2))
        np.testing.assert_array_equal(found["velocity"].reshape((*shape, 3), order="F")[..., :2], velocity, strict=True)
        assert not found["velocity"][:, 2].any()
    for field, values in sample.items():
        if values.ndim == len(dataset.shape) + 1:
            np.testing.assert_allclose(found["times"], dataset.times, rtol=1e-15)
            for state, expected in zip(found[f"{field}_series"], values, strict=True):
                np.testing.assert_array_equal(state.reshape(shape, order="F"), expected.reshape(shape), strict=True)
        elif name in SERIES and values.shape == dataset.shape:
            for state in found[f"{field}_series"]:
                np.testing.assert_array_equal(state.reshape(shape, order="F"), values.reshape(shape), strict=True)
        elif values.shape == dataset.shape:
            np.testing.assert_array_equal(found[field].reshape(shape, order="F"), values.reshape(shape), strict=True)
        else:
            np.testing.assert_array_equal(found[field], values.ravel(), strict=True)
    spacing = np.array(dataset.extent) / dataset.shape
    index = tuple((found["centre"][: len(spacing)] / spacing).astype(int))
    last = dataset.outputs[-1]
    truth = sample[last]
    assert found[last][found["cell"]] == (truth[0] if name in SERIES else truth)[index]
