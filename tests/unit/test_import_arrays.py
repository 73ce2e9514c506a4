"""Import of a user's arrays: equal values, stated splits, and one sentence for everything that cannot be used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciml import open_dataset
from sciml.data.convert import import_arrays
from sciml.data.info import describe
from sciml.data.verify import verify
from sciml.errors import DatasetError


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def arrays(samples: int = 20, shape: tuple[int, ...] = (5, 6), seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.random((samples, *shape)) < 0.5, "y": rng.standard_normal((samples, *shape)).astype(np.float32)}


def rows_of(path: Path, split: str) -> list[int]:
    dataset = open_dataset(path, split)
    return [dataset.provenance(index)["index"] for index in range(len(dataset))]


def test_values_and_rows(tmp_path: Path) -> None:
    own, held_out = arrays(), arrays(7, seed=1)
    out = import_arrays(
        save(tmp_path / "mine.npz", **own), tmp_path / "out", input="x", output="y", test=save(tmp_path / "theirs.npz", **held_out)
    )
    rows = {split: rows_of(out, split) for split in ("train", "valid", "test")}
    assert sorted(rows["train"] + rows["valid"]) == list(range(20))
    assert [len(rows[split]) for split in ("train", "valid", "test")] == [18, 2, 7]
    assert rows["test"] == list(range(7))
    for split, source in (("train", own), ("valid", own), ("test", held_out)):
        dataset = open_dataset(out, split)
        # x and y are axes of the file, so that the fields are called after their role
        assert (dataset.inputs, dataset.outputs, dataset.scalars) == (("input_x",), ("output_y",), ())
        np.testing.assert_array_equal(dataset.field("input_x"), source["x"][rows[split]].astype(np.float32), strict=True)
        np.testing.assert_array_equal(dataset.field("output_y"), source["y"][rows[split]], strict=True)
    assert verify(out).passed


def test_dataset_says_where_it_came_from(tmp_path: Path) -> None:
    file = save(tmp_path / "my data (2).npz", **arrays())
    out = import_arrays(file, tmp_path / "out", input="x", output="y", symmetries=["reflect_x", "reflect_y"])
    dataset = open_dataset(out)
    assert dataset.name == "my_data__2_"
    assert (dataset.recipe, dataset.problem, dataset.boundary) == (None, None, None)
    assert dataset.symmetries == ("reflect_x", "reflect_y")
    assert dataset.extent == (1.0, 1.0)
    source = describe(out)["source"]
    assert source["file"] == {"name": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert source["arrays"] == {"input_x": "x", "output_y": "y"}
    assert {split: len(rows_of(out, split)) for split in ("train", "valid", "test")} == {"train": 16, "valid": 2, "test": 2}
    assert not set(rows_of(out, "test")) & set(rows_of(out, "valid"))


def test_several_arrays_in_three_dimensions(tmp_path: Path) -> None:
    shape = (4, 2, 3, 5)
    content = {name: np.random.default_rng(len(name)).standard_normal(shape) for name in ("a", "bb", "ccc")}
    out = import_arrays(save(tmp_path / "f.npz", **content), tmp_path / "out", input=["a", "bb"], output="ccc", valid_fraction=0.25)
    dataset = open_dataset(out)
    assert (dataset.inputs, dataset.outputs, dataset.shape, dataset.axes) == (("a", "bb"), ("ccc",), (2, 3, 5), ("x", "y", "z"))
    np.testing.assert_array_equal(dataset.field("bb"), content["bb"][rows_of(out, "train")], strict=True)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (np.array([0, 1], bool), np.float32),
        (np.array([0, 255], np.uint8), np.float32),
        (np.array([-(2**24), 3]), np.float32),
        (np.array([2**24 + 1, 3]), np.float64),
        (np.array([0.5, 1.5], np.float16), np.float32),
        (np.array([0.5, 1.5], np.float32), np.float32),
        (np.array([0.1, 1.5], np.float64), np.float64),
        (np.array([0.5, 1.5], ">f4"), np.float32),
    ],
)
def test_types(tmp_path: Path, values: np.ndarray, stored: type) -> None:
    field = np.broadcast_to(values[:, None, None], (2, 3, 3)).repeat(4, axis=0)
    file = save(tmp_path / "f.npz", a=field, b=np.ones((8, 3, 3), np.float32))
    dataset = open_dataset(import_arrays(file, tmp_path / "out", input="a", output="b", valid_fraction=0))
    np.testing.assert_array_equal(dataset.field("a"), field.astype(stored), strict=True)


def test_fortran_order(tmp_path: Path) -> None:
    field = np.asfortranarray(np.random.default_rng(0).random((6, 3, 4)))
    out = import_arrays(save(tmp_path / "f.npz", a=field, b=field + 1), tmp_path / "out", input="a", output="b", valid_fraction=0)
    np.testing.assert_array_equal(open_dataset(out).field("a"), field)


def test_interrupted_import_is_completed_by_the_same_call(tmp_path: Path) -> None:
    file = save(tmp_path / "f.npz", **arrays())

    def stop(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        assert (stage, total) == ("import", 20)
        if done == 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_arrays(file, tmp_path / "out", input="x", output="y", progress=stop)
    seen = []
    import_arrays(file, tmp_path / "out", input="x", output="y", progress=lambda stage, done, total, figures: seen.append(done))
    assert seen == [18, 19, 20]
    assert verify(tmp_path / "out").passed
    with pytest.raises(DatasetError, match="holds another dataset"):
        import_arrays(file, tmp_path / "out", input="y", output="x")


Y = np.zeros((4, 3, 3), np.float32)
NAN = np.where(np.arange(36).reshape(4, 3, 3) == 20, np.nan, 0.0)


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        ({"x": Y, "y": Y[:3]}, {}, r"arrays 'x' and 'y' of .* have shapes \(4, 3, 3\) and \(3, 3, 3\)"),
        ({"x": Y, "y": NAN}, {}, r"array 'y' of .* has 1 NaN or infinite values, the first in sample 2"),
        ({"x": Y, "y": Y + np.inf}, {}, r"array 'y' of .* has 36 NaN or infinite values, the first in sample 0"),
        ({"x": Y[0], "y": Y[0]}, {}, r"array 'x' of .* has shape \(3, 3\): give \(samples, nx, ny\)"),
        ({"x": Y[:, None, None], "y": Y[:, None, None]}, {}, r"has shape \(4, 1, 1, 3, 3\): give"),
        ({"x": Y[:0], "y": Y[:0]}, {}, "at least one sample"),
        ({"x": Y[:, :1], "y": Y[:, :1]}, {}, "2 cells along every axis"),
        ({"x": Y + 1j, "y": Y}, {}, "has values of type complex64: give real numbers"),
        ({"x": np.full(Y.shape, "a"), "y": Y}, {}, "has values of type <U1"),
        ({"x": np.full(Y.shape, None), "y": Y}, {}, "array 'x' of .* holds pickled objects, which could run code"),
        ({"presure": Y, "y": Y}, {"input": "pressure"}, "has no array 'pressure': did you mean 'presure'"),
        ({"x": Y, "y": Y}, {"output": "x"}, "array 'x' is named twice"),
        ({"x": Y, "y": Y}, {"output": []}, "must name at least one array each"),
        ({"x": Y, "y": Y}, {"valid_fraction": 1.0}, "valid_fraction = 1 must be at least 0 and below 1"),
        ({"x": Y, "y": Y}, {"valid_fraction": float("nan")}, "valid_fraction = nan must be"),
        ({"x": Y, "y": Y}, {"valid_fraction": 0.5}, "leaves none to train on"),
        ({"x": Y, "y": Y}, {"symmetries": ["rotate"]}, "symmetry 'rotate' does not exist .* reflect_nodes_y, swap_xy"),
        ({"x": Y, "y": Y}, {"name": "../evil"}, "name '../evil' must be"),
        ({"a b": Y, "y": Y}, {"input": "a b"}, "array name 'a b' must be letters, digits and underscores"),
    ],
)
def test_unusable_input(tmp_path: Path, content: dict[str, Any], options: dict[str, Any], sentence: str) -> None:
    np.savez(tmp_path / "f.npz", **content)
    with pytest.raises(DatasetError, match=sentence) as caught:
        import_arrays(tmp_path / "f.npz", tmp_path / "out", **{"input": "x", "output": "y", **options})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_swap_needs_equal_axes(tmp_path: Path) -> None:
    file = save(tmp_path / "f.npz", **arrays(shape=(5, 6)))
    with pytest.raises(DatasetError, match="symmetry 'swap_xy' does not exist on a grid of shape"):
        import_arrays(file, tmp_path / "out", input="x", output="y", symmetries=["swap_xy"])


def test_test_file_on_another_grid(tmp_path: Path) -> None:
    file, other = save(tmp_path / "f.npz", **arrays()), save(tmp_path / "g.npz", **arrays(shape=(7, 6)))
    with pytest.raises(DatasetError, match=r"has samples of shape \(7, 6\) and .* of \(5, 6\): give both on one grid"):
        import_arrays(file, tmp_path / "out", input="x", output="y", test=other)


def test_symmetries_of_a_node_grid_are_kept(tmp_path):
    rng = np.random.default_rng(4)
    np.savez(tmp_path / "nodes.npz", x=rng.random((6, 8, 8)), y=rng.random((6, 8, 8)))
    out = import_arrays(tmp_path / "nodes.npz", tmp_path / "out", input="x", output="y", symmetries=["reflect_nodes_x", "swap_xy"])
    assert open_dataset(out, "train").symmetries == ("reflect_nodes_x", "swap_xy")
