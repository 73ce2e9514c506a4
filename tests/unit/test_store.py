"""The store on samples made by hand: what is written is read back, and what was interrupted is completed, never trusted blindly."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciml.data.loader import open_dataset
from sciml.data.manifest import Manifest, read_manifest, side_axis
from sciml.data.shard import Certificate
from sciml.data.store import Store
from sciml.data.writer import ShardWriter
from sciml.data.writer import _size as shard_size
from sciml.errors import DatasetError

NOTES = {"recipe": "{}"}


def manifest(**changes: Any) -> Manifest:
    """Three dimensions, a side field normal to each axis, a scalar and two outputs."""
    content: dict[str, Any] = {
        "name": "boxes",
        "identity": "0" * 64,
        "recipe": None,
        "inputs": ("source", "boundary_x_low", "boundary_y_high", "boundary_z_low"),
        "outputs": ("u", "v"),
        "scalars": ("kappa",),
        "units": {"source": "W/m^3", "u": "K"},
        "axes": ("x", "y", "z"),
        "extent": (1.0, 2.0, 3.0),
        "origin": (0.0, 0.0, 0.0),
        "shape": (3, 4, 5),
        "dtype": "float32",
        "boundary": (("dirichlet", "neumann"), ("periodic", "periodic"), ("dirichlet", "dirichlet")),
        "seed": 7,
        "shard_samples": 4,
        "splits": {"train": 10, "valid": 1, "test": 0},
    }
    return Manifest.model_validate(content | changes)


def sample(described: Manifest, split: str, index: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([len(split), index])
    return {name: np.asarray(rng.standard_normal(described.shape_of(name)), described.dtype) for name in described.names}


def certificate(index: int) -> Certificate:
    return Certificate(index, (index, 2**64 - 1, 3, 4), 2.0**-30 * index, 10 + index, "multigrid_cg", 0.25)


def write(root: Path, described: Manifest, stop_after: int | None = None) -> int:
    """Complete the dataset, or stop as a killed process would; returns how many samples had to be written."""
    written = 0
    with Store(root, described, NOTES) as store:
        for writer in store.unfinished():
            layout = writer.layout
            for position in sorted(writer.missing):
                if written == stop_after:
                    return written
                index = layout.start + position
                writer.append(position, sample(described, layout.split, index), certificate(index))
                written += 1
            store.finish(writer)
    return written


def check_values(root: Path, described: Manifest) -> None:
    for split, count in described.splits.items():
        dataset = open_dataset(root, split)
        assert len(dataset) == count
        for index in range(count):
            expected = sample(described, split, index)
            found = dataset[index]
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                np.testing.assert_array_equal(found[name], value, strict=True)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    described = manifest()
    assert write(tmp_path, described) == 11
    check_values(tmp_path, described)
    dataset = open_dataset(tmp_path)
    assert dataset.field("kappa").shape == (10,)
    assert dataset.field("boundary_y_high").shape == (10, 3, 5)
    np.testing.assert_array_equal(dataset.field("u")[9], sample(described, "train", 9)["u"])
    expected = {"index": 6, "seed_words": (6, 2**64 - 1, 3, 4), "relative_residual": 6 * 2.0**-30, "iterations": 16}
    assert dataset.provenance(6) == expected | {"method": "multigrid_cg", "solve_seconds": 0.25}


def test_shards_have_fixed_ranges_and_their_own_hash(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    shards = json.loads((tmp_path / "manifest.json").read_text())["shards"]
    assert [(shard["path"], shard["start"], shard["samples"]) for shard in shards] == [
        ("data/train/shard-00000.hdf5", 0, 4),
        ("data/train/shard-00001.hdf5", 4, 4),
        ("data/train/shard-00002.hdf5", 8, 2),
        ("data/valid/shard-00000.hdf5", 0, 1),
    ]
    for shard in shards:
        assert shard["sha256"] == hashlib.sha256((tmp_path / shard["path"]).read_bytes()).hexdigest()


def test_every_axis_carries_the_scale_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    with h5py.File(tmp_path / "data/train/shard-00001.hdf5") as file:
        for name, axes in {
            "t0_fields/u": ("trajectory", "time", "x", "y", "z"),
            "t0_fields/boundary_x_low": ("trajectory", "y", "z"),
            "t0_fields/boundary_y_high": ("trajectory", "x", "side", "z"),
            "provenance/seed_words": ("trajectory", "seed_word"),
        }.items():
            assert [axis[0] for axis in file[name].dims] == [file[axis] for axis in axes]
            assert all(file[axis].is_scale for axis in axes)
        np.testing.assert_allclose(file["dimensions/y"][()], [0.25, 0.75, 1.25, 1.75], rtol=1e-7)
        np.testing.assert_array_equal(file["trajectory"][()], [4, 5, 6, 7])
        assert file["t0_fields/source"].chunks == (1, 3, 4, 5)
        assert file["t0_fields/source"].fletcher32
        assert file["t0_fields/source"].attrs["units"] == "W/m^3"
        assert sorted(file["boundary_conditions"]) == ["x_wall_high", "x_wall_low", "y_periodic", "z_wall_high", "z_wall_low"]
        np.testing.assert_array_equal(file["boundary_conditions/y_periodic/mask"][()], [True, False, False, True])


@pytest.mark.parametrize("stop_after", [0, 1, 4, 7, 10])
def test_resuming_writes_only_what_is_missing(tmp_path: Path, stop_after: int) -> None:
    described = manifest()
    assert write(tmp_path, described, stop_after) == stop_after
    with pytest.raises(DatasetError, match="unfinished"):
        open_dataset(tmp_path)
    assert write(tmp_path, described) == 11 - stop_after
    check_values(tmp_path, described)
    assert not list(tmp_path.rglob("*.part"))


def test_marked_sample_with_other_bytes_is_made_again(tmp_path: Path) -> None:
    described = manifest()
    write(tmp_path, described, stop_after=3)
    with h5py.File(tmp_path / "data/train/shard-00000.hdf5.part", "r+") as file:
        file["t0_fields/u"][1, 0, 0, 0, 0] += 1
    assert write(tmp_path, described) == 11 - 2
    check_values(tmp_path, described)


def test_unmarked_sample_is_made_again(tmp_path: Path) -> None:
    described = manifest()
    write(tmp_path, described, stop_after=3)
    with h5py.File(tmp_path / "data/train/shard-00000.hdf5.part", "r+") as file:
        file["provenance/complete"][2] = 0
    assert write(tmp_path, described) == 11 - 2


def test_samples_stored_together_need_not_be_neighbours(tmp_path: Path) -> None:
    described = manifest(splits={"train": 4, "valid": 0, "test": 0})
    with Store(tmp_path, described, NOTES) as store:
        writer = next(store.unfinished())
        for positions in ([1], [0, 2, 3]):
            writer.extend([(position, sample(described, "train", position), certificate(position)) for position in positions])
        assert writer.missing == set()
        store.finish(writer)
    check_values(tmp_path, described)
    assert [open_dataset(tmp_path).provenance(position)["iterations"] for position in range(4)] == [10, 11, 12, 13]


@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty"])
def test_unreadable_part_is_discarded(tmp_path: Path, damage: str) -> None:
    described = manifest()
    write(tmp_path, described, stop_after=6)
    part = tmp_path / "data/train/shard-00001.hdf5.part"
    content = {"truncated": part.read_bytes()[: part.stat().st_size // 2], "foreign": b"not HDF5 at all", "empty": b""}
    part.write_bytes(content[damage])
    assert write(tmp_path, described) == 11 - 4  # the first shard was finished
    check_values(tmp_path, described)


def test_finished_shard_with_other_bytes_is_mended(tmp_path: Path) -> None:
    described = manifest()
    write(tmp_path, described)
    path = tmp_path / "data/train/shard-00001.hdf5"
    with h5py.File(path) as file:
        place = file["t0_fields/v"].id.get_chunk_info(2).byte_offset
    content = bytearray(path.read_bytes())
    content[place + 5] ^= 0xFF
    path.write_bytes(content)
    assert write(tmp_path, described) == 1  # the other three samples of the shard are copied
    check_values(tmp_path, described)


def test_killed_between_the_shards_rename_and_the_manifests(tmp_path: Path) -> None:
    described = manifest()
    write(tmp_path, described, stop_after=6)
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert len(content["shards"]) == 1
    (tmp_path / "manifest.json").write_text(json.dumps(content | {"shards": []}))
    inode = (tmp_path / "data/train/shard-00000.hdf5").stat().st_ino
    assert write(tmp_path, described) == 11 - 6
    assert (tmp_path / "data/train/shard-00000.hdf5").stat().st_ino == inode
    check_values(tmp_path, described)


def test_larger_dataset_keeps_finished_shards_and_their_samples(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*.hdf5")}
    larger = manifest(splits={"train": 13, "valid": 2, "test": 1})
    assert write(tmp_path, larger) == 5
    check_values(tmp_path, larger)
    same = [path.name for path, inode in before.items() if path.stat().st_ino == inode and path.parent.name == "train"]
    assert sorted(same) == ["shard-00000.hdf5", "shard-00001.hdf5"]


def test_smaller_request_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    assert write(tmp_path, manifest(splits={"train": 2, "valid": 1, "test": 0})) == 0
    check_values(tmp_path, manifest())


def test_other_shard_size_of_a_later_call_is_ignored(tmp_path: Path) -> None:
    described = manifest()
    write(tmp_path, described, stop_after=5)
    assert write(tmp_path, manifest(shard_samples=3)) == 6
    assert read_manifest(tmp_path).shard_samples == 4
    check_values(tmp_path, described)


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DatasetError, match=r"already holds other files \(thesis.tex, 1 in all\): choose a new or an empty folder"):
        Store(tmp_path, manifest(), NOTES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.tex"]


def test_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DatasetError, match="is a file: choose a folder"):
        Store(tmp_path / "data", manifest(), NOTES)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"identity": "1" * 64, "recipe": {"problem": {"resolution": 8}}}, "recipe is null there and .* here"),
        ({"seed": 8}, "seed is 7 there and 8 here"),
    ],
)
def test_folder_with_another_dataset_is_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    write(tmp_path, manifest())
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(DatasetError, match=sentence):
        write(tmp_path, manifest(**changes))
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_first_difference_names_the_key(tmp_path: Path) -> None:
    recipe = {"problem": {"kind": "darcy", "resolution": [8, 8]}, "data": {"samples": 4}}
    other = {"problem": {"kind": "darcy", "resolution": [16, 16]}, "data": {"samples": 9}}
    write(tmp_path, manifest(recipe=recipe))
    with pytest.raises(DatasetError, match=r"recipe.problem.resolution is \[8, 8\] there and \[16, 16\] here"):
        write(tmp_path, manifest(recipe=other, identity="1" * 64))


def _hold(root: Path, ready: Any, go: Any) -> None:
    with Store(root, manifest(), NOTES):
        ready.set()
        go.wait(60)


def test_two_writers_are_refused_and_a_dead_one_is_forgotten(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready, go))
    process.start()
    try:
        assert ready.wait(60)
        with pytest.raises(DatasetError, match="being written by another process"):
            Store(tmp_path, manifest(), NOTES)
    finally:
        process.kill()
        process.join()
    assert write(tmp_path, manifest()) == 11


@pytest.mark.parametrize("changes", [{}, {"shape": (32, 32, 32)}, {"shard_samples": 500, "splits": {"train": 500}}, {"dtype": "float64"}])
def test_the_space_of_a_shard_is_claimed_before_its_first_sample(tmp_path: Path, changes: dict[str, Any]) -> None:
    described = manifest(**changes)
    with Store(tmp_path, described, NOTES) as store:
        writer = next(store.unfinished())
        part = tmp_path / "data/train/shard-00000.hdf5.part"
        claimed = part.stat().st_size
        assert claimed <= shard_size(writer.layout) < 1.5 * claimed + 2**16
        for position in sorted(writer.missing):
            writer.append(position, sample(described, "train", position), certificate(position))
        store.finish(writer)
    assert part.with_suffix("").stat().st_size == claimed


def test_interruption_waits_for_the_sample_in_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = manifest()
    real = ShardWriter._write

    def interrupted(self: ShardWriter, *arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        real(self, *arguments)

    with Store(tmp_path, described, NOTES) as store:
        writer = next(store.unfinished())
        monkeypatch.setattr(ShardWriter, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.append(0, sample(described, "train", 0), certificate(0))
    monkeypatch.setattr(ShardWriter, "_write", real)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert write(tmp_path, described) == 10


def test_handles_do_not_travel_to_other_processes(tmp_path: Path) -> None:
    described = manifest()
    write(tmp_path, described)
    dataset = open_dataset(tmp_path)
    expected = [dataset[index]["u"].sum() for index in range(len(dataset))]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(_sum, [(dataset, index) for index in range(len(dataset))]) == expected


def _sum(work: tuple[Any, int]) -> float:
    dataset, index = work
    result: float = dataset[index]["u"].sum()
    assert dataset._pid == os.getpid()
    return result


def test_reading_outside_the_split_and_unknown_names(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(dataset[-1]["u"], dataset[9]["u"])
    for index in (10, -11):
        with pytest.raises(IndexError):
            dataset[index]
    assert len(list(dataset)) == 10
    assert len(open_dataset(tmp_path, "test")) == 0
    assert open_dataset(tmp_path, "test").field("u").shape == (0, 3, 4, 5)
    with pytest.raises(DatasetError, match="has no field 'sorce': did you mean 'source'"):
        dataset.field("sorce")
    with pytest.raises(DatasetError, match="split 'training' does not exist: choose one of train, valid, test"):
        open_dataset(tmp_path, "training")


def test_flipped_bit_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, manifest())
    path = tmp_path / "data/train/shard-00000.hdf5"
    with h5py.File(path) as file:
        place = file["t0_fields/u"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    dataset = open_dataset(tmp_path)
    dataset[0]
    with pytest.raises(DatasetError, match="or damaged"):
        dataset[1]
    with pytest.raises(DatasetError, match="or damaged"):
        dataset.field("u")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 2}, "version: "),
        ({"format": "other"}, "format: "),
        ({"shape": [3, 4]}, "3 entries each"),
        ({"inputs": ["x"]}, "axes of the file"),
        ({"inputs": ["../../etc"]}, r"inputs\.0"),
        ({"dtype": "object"}, "dtype"),
        ({"surprise": 1}, "surprise"),
        ({"extent": [1.0, 2.0, -3.0]}, r"extent\.2"),
        ({"shards": [{"path": "../secret.hdf5", "split": "train", "start": 0, "samples": 1, "sha256": "0" * 64}]}, r"shards\.0\.path"),
    ],
)
def test_manifest_from_elsewhere_is_checked(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    write(tmp_path, manifest())
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b"null"])
def test_manifest_that_is_no_manifest(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DatasetError, match="is not a valid manifest"):
        open_dataset(tmp_path)


def test_no_dataset_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no manifest\.json"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="nowhere does not exist: check the name"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is a file"):
        open_dataset(tmp_path / "file")


def test_side_axis() -> None:
    assert side_axis("boundary_z_high", ("x", "y", "z")) == 2
    assert side_axis("boundary_z_high", ("x", "y")) is None
    assert side_axis("permeability", ("x", "y")) is None
