"""The exported image as HDF5; that VTK reads the same values is shown in tests/interop."""

from __future__ import annotations

import multiprocessing
import resource
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.convert import import_arrays
from sciml.errors import DatasetError
from sciml.io.export import export_sample


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vtkhdf") / "data"
    generate(load_recipe("darcy3d", ["problem.resolution=[3, 4, 5]", "problem.extent=[1.0, 2.0, 10.0]"]), path, samples=10)
    return path


def test_cells_are_stored_with_x_running_fastest(box: Path, tmp_path: Path) -> None:
    out = export_sample(box, tmp_path / "a.vtkhdf", split="train", sample=2)
    expected = open_dataset(box)[2]
    with h5py.File(out) as file:
        root = file["VTKHDF"]
        assert root.attrs["Type"] == b"ImageData"
        np.testing.assert_array_equal(root.attrs["WholeExtent"], [0, 3, 0, 4, 0, 5])
        np.testing.assert_allclose(root.attrs["Spacing"], [1 / 3, 1 / 2, 2], rtol=1e-15)
        for name in ("permeability", "pressure"):
            stored = root[f"CellData/{name}"][()]
            assert stored.shape == (5, 4, 3)
            assert stored[4, 1, 2] == expected[name][2, 1, 4]
            np.testing.assert_array_equal(stored.transpose(2, 1, 0), expected[name])


def test_components_of_a_velocity_are_one_vector(tmp_path: Path) -> None:
    generate(load_recipe("cavity", ["problem.resolution=[6, 4]", "solver.rtol=1e-3"]), tmp_path / "data", samples=1)
    out = export_sample(tmp_path / "data", tmp_path / "a.vtkhdf")
    expected = open_dataset(tmp_path / "data")[0]
    with h5py.File(out) as file:
        assert set(file["VTKHDF/CellData"]) == {"velocity", "pressure"}
        velocity = file["VTKHDF/CellData/velocity"][()]
    assert velocity.shape == (4, 6, 3)
    np.testing.assert_array_equal(velocity[..., 0].T, expected["velocity_x"])
    np.testing.assert_array_equal(velocity[..., 1].T, expected["velocity_y"])
    assert not velocity[..., 2].any()


def test_names_that_are_no_components_stay_what_they_are(tmp_path: Path) -> None:
    """Of a vector all components have to be there; what ends in the letter of an axis may be something else."""
    fields = {name: np.random.default_rng(k).random((4, 5, 6)) for k, name in enumerate(("force_x", "u_x", "u_y", "density_y"))}
    np.savez(tmp_path / "arrays.npz", **fields)
    import_arrays(tmp_path / "arrays.npz", tmp_path / "data", input=["force_x", "u_x"], output=["u_y", "density_y"])
    with h5py.File(export_sample(tmp_path / "data", tmp_path / "a.vtkhdf", split="train")) as file:
        assert set(file["VTKHDF/CellData"]) == {"force_x", "density_y", "u"}


def test_existing_file_is_replaced_and_nothing_else_is_left(box: Path, tmp_path: Path) -> None:
    for sample in (0, 1):
        export_sample(box, tmp_path / "a.vtkhdf", split="train", sample=sample)
    with h5py.File(tmp_path / "a.vtkhdf") as file:
        np.testing.assert_array_equal(file["VTKHDF/CellData/pressure"][()].T, open_dataset(box)[1]["pressure"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.vtkhdf"]


@pytest.mark.parametrize(("split", "sample", "sentence"), [("train", 8, "it has 8"), ("test", -1, "it has 1"), ("all", 0, "split 'all'")])
def test_no_such_sample(box: Path, tmp_path: Path, split: str, sample: int, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        export_sample(box, tmp_path / "a.vtkhdf", split=split, sample=sample)
    assert not list(tmp_path.iterdir())


def _export_within(box: Path, out: Path, limit: int) -> None:
    # Beyond this size the kernel refuses to write, as it does on a full disk; Python ignores the signal that goes with it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    with pytest.raises(DatasetError, match=r"a\.vtkhdf cannot be written \(File too large\)"):
        export_sample(box, out)


def test_no_room_left_is_a_sentence_and_leaves_nothing(box: Path, tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_export_within, args=(box, tmp_path / "a.vtkhdf", 1000))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert not list(tmp_path.iterdir())


def test_place_that_cannot_be_written(box: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"a\.vtkhdf cannot be written"):
        export_sample(box, tmp_path / "file" / "a.vtkhdf")
