"""HDF5 files that try to read other files, to run plugins or to take all memory are refused before a value is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.durable import sha256_of_file
from sciml.data.guard import open_guarded
from sciml.data.info import describe
from sciml.data.verify import verify
from sciml.errors import DatasetError
from sciml.io.export import export_sample

ROOT = Path(__file__).resolve().parents[2]
FIRST = "data/train/shard-00000.hdf5"
PRESSURE = "t0_fields/pressure"
SECRET = "/etc/passwd"
RECIPE = ["problem.resolution=8", "data.shard_samples=4"]


def virtual(file: h5py.File, name: str, shape: tuple[int, ...], source: str) -> None:
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource(source, name, shape)
    file.create_virtual_dataset(name, layout)


def nested(file: h5py.File) -> None:
    group: Any = file
    for _ in range(50):
        group = group.create_group("g")


def crowded(file: h5py.File) -> None:
    for number in range(2_100):
        file.create_group(str(number))


def fake_filter(file: h5py.File) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((4,))
    settings.set_filter(32123, h5py.h5z.FLAG_OPTIONAL, ())
    h5py.h5d.create(file.id, b"a", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((4,)), settings)


HOSTILE: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "soft link": (lambda f: f.__setitem__("a", h5py.SoftLink("/b")), "soft or external link"),
    "dangling soft link": (lambda f: f.__setitem__("a", h5py.SoftLink("/nowhere")), "soft or external link"),
    "external link": (lambda f: f.__setitem__("a", h5py.ExternalLink("other.h5", "/b")), "soft or external link"),
    "link in a group": (lambda f: f.create_group("g").__setitem__("a", h5py.ExternalLink("other.h5", "/b")), "/g/a is a soft or external"),
    "external storage": (lambda f: f.create_dataset("a", (64,), "u1", external=[(SECRET, 0, 64)]), "in other files"),
    "virtual": (lambda f: virtual(f, "a", (4,), "other.h5"), "in other files"),
    "huge, contiguous": (lambda f: f.create_dataset("a", (1 << 40,), "f8"), "declares 8796093022208 bytes"),
    "huge, chunked": (lambda f: f.create_dataset("a", (1 << 40,), "f8", chunks=(1024,)), "declares"),
    "huge, gzip": (lambda f: f.create_dataset("a", (1 << 40,), "f8", chunks=(1 << 20,), compression="gzip"), "declares"),
    "huge chunk": (lambda f: f.create_dataset("a", (4,), "f8", maxshape=(None,), chunks=(1 << 28,)), "declares"),
    "variable-length text": (lambda f: f.create_dataset("a", data=["x", "yy"]), "not numbers or fixed text"),
    "variable-length numbers": (lambda f: f.create_dataset("a", (2,), h5py.vlen_dtype(np.int32)), "not numbers or fixed text"),
    "compound": (lambda f: f.create_dataset("a", (2,), [("p", "f4"), ("q", "i4")]), "not numbers or fixed text"),
    "complex": (lambda f: f.create_dataset("a", (2,), "c16"), "not numbers or fixed text"),
    "object references": (lambda f: f.create_dataset("a", data=np.array([f.ref], h5py.ref_dtype)), "not numbers or fixed text"),
    "opaque": (lambda f: f.create_dataset("a", data=np.zeros(2, "V8")), "not numbers or fixed text"),
    "no shape": (lambda f: f.create_dataset("a", data=h5py.Empty("f4")), "has shape None"),
    "lzf filter": (lambda f: f.create_dataset("a", data=np.zeros(100), compression="lzf"), "needs filters"),
    "scale-offset filter": (lambda f: f.create_dataset("a", data=np.zeros(100), scaleoffset=3), "needs filters"),
    "unknown filter": (fake_filter, "needs filters"),
    "named type": (lambda f: f.__setitem__("a", np.dtype("f8")), "neither a group nor a dataset"),
    "group in itself": (lambda f: f.create_group("g").__setitem__("g", f["g"]), "links back to a group"),
    "root in itself": (lambda f: f.__setitem__("a", f["/"]), "links back to a group"),
    "deep": (nested, "more than a dataset has"),
    "crowded": (crowded, "more than a dataset has"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused(tmp_path: Path, name: str) -> None:
    make, sentence = HOSTILE[name]
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(DatasetError, match=sentence) as caught:
        open_guarded(path)
    assert "\n" not in str(caught.value)


def test_ordinary_file_is_opened(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["numbers"] = np.arange(12.0)
        file["flags"] = np.array([True, False])
        file["text"] = np.array([b"cg", b"lu"])
        file.create_dataset("g/packed", data=np.zeros((1000, 100)), chunks=(10, 100), compression="gzip", shuffle=True, fletcher32=True)
        file["twice"] = file["numbers"]
    with open_guarded(tmp_path / "a.hdf5", root=tmp_path) as file:
        assert file["twice"][3] == 3.0


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"not HDF5", b"\0" * 4096])
def test_file_that_is_no_hdf5(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.hdf5").write_bytes(content)
    with pytest.raises(DatasetError, match="truncated, foreign or damaged"):
        open_guarded(tmp_path / "a.hdf5")


def test_things_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("fifo", "."):
        with pytest.raises(DatasetError, match="not a regular file"):
            open_guarded(tmp_path / name)
    for name in ("loop", "gone"):
        with pytest.raises(DatasetError, match="cannot be opened"):
            open_guarded(tmp_path / name)
    with pytest.raises(DatasetError, match="cannot be opened"):
        open_guarded(Path("a\0b"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("guard") / "data"
    generate(load_recipe("darcy", RECIPE), path, samples=6)
    return path


def replaced(make: Callable[[h5py.File, tuple[int, ...]], Any]) -> Callable[[Path], None]:
    """Replace the pressure of the first shard."""

    def change(root: Path) -> None:
        with h5py.File(root / FIRST, "r+") as file:
            shape = file[PRESSURE].shape
            del file[PRESSURE]
            make(file, shape)

    return change


def linked_outside(root: Path) -> None:
    outside = root.parent / "outside.hdf5"
    shutil.move(root / FIRST, outside)
    (root / FIRST).symlink_to(outside)


def other_precision(file: h5py.File, shape: tuple[int, ...]) -> None:
    file.create_dataset(PRESSURE, data=np.zeros(shape, "f8"))


SHARDS: dict[str, Callable[[Path], None]] = {
    "external link": replaced(lambda f, shape: f.__setitem__(PRESSURE, h5py.ExternalLink("../valid/shard-00000.hdf5", PRESSURE))),
    "soft link": replaced(lambda f, shape: f.__setitem__(PRESSURE, h5py.SoftLink("/t0_fields/permeability"))),
    "external storage": replaced(lambda f, shape: f.create_dataset(PRESSURE, shape, "f4", external=[(SECRET, 0, h5py.h5f.UNLIMITED)])),
    "virtual": replaced(lambda f, shape: virtual(f, PRESSURE, shape, "../valid/shard-00000.hdf5")),
    "huge": replaced(lambda f, shape: f.create_dataset(PRESSURE, (1 << 32, *shape[1:]), "f4", chunks=(1, *shape[1:]))),
    "other shape": replaced(lambda f, shape: f.create_dataset(PRESSURE, data=np.zeros((*shape[:-1], 2), "f4"))),
    "other precision": replaced(other_precision),
    "missing": replaced(lambda f, shape: None),
    "a group": replaced(lambda f, shape: f.create_group(PRESSURE)),
    "symbolic link out of the dataset": linked_outside,
    "not HDF5": lambda root: (root / FIRST).write_text(Path(SECRET).read_text()) and None,
    "truncated": lambda root: os.truncate(root / FIRST, 5000),
    "gone": lambda root: (root / FIRST).unlink(),
}


@pytest.mark.parametrize("name", SHARDS)
def test_every_reader_refuses_a_hostile_shard(sound: Path, tmp_path: Path, name: str) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "data"))
    SHARDS[name](root)
    manifest = json.loads((root / "manifest.json").read_text())
    for shard in manifest["shards"]:
        if shard["path"] == FIRST and (root / FIRST).exists():
            shard["sha256"] = sha256_of_file(root / FIRST)
    (root / "manifest.json").write_text(json.dumps(manifest))
    for read in (
        lambda: open_dataset(root)[0],
        lambda: open_dataset(root).field("pressure"),
        lambda: open_dataset(root).provenance(0),
        lambda: export_sample(root, tmp_path / "a.vtkhdf", split="train"),
    ):
        with pytest.raises(DatasetError) as caught:
            read()
        assert "root:" not in str(caught.value), "content of another file leaked"
    (named,) = describe(root)["damaged"]
    assert FIRST in named
    assert "root:" not in named
    report = verify(root)
    assert {check.name for check in report.checks if not check.passed} == {"samples missing", "shards that do not follow the layout"}


@pytest.mark.parametrize("name", SHARDS)
def test_generation_replaces_a_hostile_shard_and_nothing_outside(sound: Path, tmp_path: Path, name: str) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "data"))
    SHARDS[name](root)
    result = generate(load_recipe("darcy", RECIPE), root, samples=6)
    assert result.generated == 4
    np.testing.assert_array_equal(open_dataset(root).field("pressure"), open_dataset(sound).field("pressure"))
    assert not (root / FIRST).is_symlink()
    if name == "symbolic link out of the dataset":
        assert sha256_of_file(tmp_path / "outside.hdf5") == sha256_of_file(sound / FIRST)


def test_damaged_bytes_never_end_in_a_traceback_or_in_wrong_values(sound: Path, tmp_path: Path) -> None:
    """40 damaged copies in a process of their own, so that a crash or a leak of memory would be seen too."""
    script = Path(__file__).with_name("read_damaged.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(sound), str(tmp_path), "40"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    outcome = json.loads(result.stdout)
    assert outcome["wrong"] == 0
    assert outcome["refused"] > 15
    assert outcome["right"] > 10  # damage where it does no harm to what was read
    assert outcome["megabytes"] < 512
