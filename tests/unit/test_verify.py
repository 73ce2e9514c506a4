"""Every check of `verify` fails for the fault that it is there for, and for no other."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.durable import sha256_of_file
from sciml.data.info import describe
from sciml.data.manifest import read_manifest
from sciml.data.shard import sample_digest
from sciml.data.verify import verify
from sciml.errors import DatasetError

REDRAWN = "samples with other parameters than their seed words give"
FIRST = "data/train/shard-00000.hdf5"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verify") / "data"
    generate(load_recipe("darcy", ["problem.resolution=8", "data.shard_samples=4"]), path, samples=10)
    return path


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(sound, tmp_path / "data"))


def forge(root: Path, path: str, change: Callable[[h5py.File], None], digests: bool = True) -> None:
    """Change a shard as somebody would who also mends every hash."""
    manifest = read_manifest(root)
    with h5py.File(root / path, "r+") as file:
        change(file)
        if digests:
            for position in range(file["provenance/sha256"].shape[0]):
                sample = {"permeability": file["t0_fields/permeability"][position], "pressure": file["t0_fields/pressure"][position, 0]}
                file["provenance/sha256"][position] = sample_digest(manifest, sample).encode()
    content = json.loads((root / "manifest.json").read_text())
    for shard in content["shards"]:
        if shard["path"] == path:
            shard["sha256"] = sha256_of_file(root / path)
    (root / "manifest.json").write_text(json.dumps(content))


def failed(root: Path) -> set[str]:
    return {check.name for check in verify(root).checks if not check.passed}


def test_sound_dataset_passes_every_check(sound: Path) -> None:
    report = verify(sound)
    assert report.passed
    assert len(report.checks) == 12
    assert report.details["samples"] == {"train": 8, "valid": 1, "test": 1}
    # float32 fields carry a rounding error far above the solver's tolerance, and far below what would be an error of the method
    assert 1e-8 < report.details["recomputed_residual"]["max"] < 1e-5
    assert json.loads(report.to_json())["passed"] is True


def test_flipped_bit(dataset: Path) -> None:
    with h5py.File(dataset / FIRST) as file:
        place = file["t0_fields/pressure"].id.get_chunk_info(0).byte_offset
    content = bytearray((dataset / FIRST).read_bytes())
    content[place] ^= 1
    (dataset / FIRST).write_bytes(content)
    assert failed(dataset) == {"samples missing", "shards with another SHA-256", "samples with another SHA-256"}


def test_the_place_and_the_remedy_are_told_and_every_sample_is_counted(dataset: Path) -> None:
    (dataset / FIRST).write_bytes((dataset / FIRST).read_bytes()[:2000])
    seen = []
    details = verify(dataset, progress=lambda *event: seen.append(event)).details
    assert FIRST in details["problems"][0]
    assert details["remedy"].startswith(f"run the same `sciml generate` command with --out {dataset} again")
    assert seen[-1] == ("verify", 6, 10, {})
    generate(load_recipe("darcy", ["problem.resolution=8", "data.shard_samples=4"]), dataset, samples=10)
    mended = verify(dataset, regenerate=2, progress=lambda *event: seen.append(event))
    assert mended.passed
    assert "remedy" not in mended.details
    assert seen[-1] == ("regenerate", 2, 2, {})


def test_info_describes_the_rest_of_a_damaged_dataset(dataset: Path) -> None:
    before = describe(dataset)
    assert "damaged" not in before
    (dataset / FIRST).write_bytes((dataset / FIRST).read_bytes()[:2000])
    facts = describe(dataset)
    assert FIRST in facts["damaged"][0]
    assert "`sciml generate`" in facts["remedy"]
    assert sum(facts["solver"]["methods"].values()) == sum(before["solver"]["methods"].values()) - 4


def test_info_counts_what_an_interrupted_generation_goes_on_from(tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    recipe = load_recipe("darcy", ["problem.resolution=8", "data.shard_samples=10"])
    with pytest.raises(KeyboardInterrupt):
        generate(recipe, tmp_path / "data", samples=20, progress=interrupt)
    facts = describe(tmp_path / "data")
    assert facts["samples"] == {"train": 0, "valid": 0, "test": 0}
    assert facts["in_progress"]["train"] == generate(recipe, tmp_path / "data", samples=20).already_there == 4
    assert "in_progress" not in describe(tmp_path / "data")


def test_a_folder_that_is_missing_is_not_one_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nosuch does not exist: check the name"):
        describe(tmp_path / "nosuch")
    with pytest.raises(DatasetError, match=r"holds no manifest.json"):
        describe(tmp_path)


def test_a_file_that_may_not_be_read_is_not_called_damaged(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("sciml.data.guard.h5py.File", refuse)
    with pytest.raises(DatasetError, match=r"cannot be read \(Permission denied\): check its permissions"):
        open_dataset(dataset)[0]


def test_changed_value_with_the_files_hash_mended(dataset: Path) -> None:
    forge(dataset, FIRST, lambda file: file["t0_fields/pressure"].__setitem__((1, 0, 3, 3), 0.01), digests=False)
    assert failed(dataset) == {"samples with another SHA-256", "largest recomputed residual over its gate"}


def test_changed_value_with_every_hash_mended_is_found_by_the_equation(dataset: Path) -> None:
    def nudge(file: h5py.File) -> None:
        file["t0_fields/pressure"][1, 0, 3, 3] *= 1.0001

    forge(dataset, FIRST, nudge)
    assert failed(dataset) == {"largest recomputed residual over its gate"}


def test_transposed_field_is_found_by_the_equation(dataset: Path) -> None:
    forge(dataset, FIRST, lambda file: file["t0_fields/pressure"].__setitem__((1, 0), file["t0_fields/pressure"][1, 0].T))
    assert failed(dataset) == {"largest recomputed residual over its gate"}


def test_nan(dataset: Path) -> None:
    forge(dataset, FIRST, lambda file: file["t0_fields/pressure"].__setitem__((1, 0, 3, 3), np.nan))
    assert failed(dataset) == {"samples with non-finite values"}


def test_negative_permeability(dataset: Path) -> None:
    forge(dataset, FIRST, lambda file: file["t0_fields/permeability"].__setitem__((1, 3, 3), -3.0))
    assert failed(dataset) == {"samples out of range", REDRAWN}
    assert "permeability" in verify(dataset).details["problems"][0]


def copied(target: str) -> Callable[[Path], None]:
    def copy(root: Path) -> None:
        with h5py.File(root / FIRST) as file:
            values = {name: file[f"t0_fields/{name}"][0] for name in ("permeability", "pressure")}

        def paste(file: h5py.File) -> None:
            for name, value in values.items():
                file[f"t0_fields/{name}"][-1] = value

        forge(root, target, paste)

    return copy


def test_duplicates(dataset: Path, tmp_path: Path, sound: Path) -> None:
    copied("data/train/shard-00001.hdf5")(dataset)
    assert failed(dataset) == {"duplicates within a split", REDRAWN}
    other = Path(shutil.copytree(sound, tmp_path / "other"))
    copied("data/test/shard-00000.hdf5")(other)
    assert failed(other) == {"duplicates across splits", REDRAWN}
    assert verify(other).details["problems"][0] == "test sample 0 has the same inputs as train sample 0"


def test_mirrored_sample_solves_the_equation_and_is_not_what_the_seed_gives(dataset: Path) -> None:
    def mirror(file: h5py.File) -> None:
        file["t0_fields/permeability"][2] = file["t0_fields/permeability"][2].T
        file["t0_fields/pressure"][2, 0] = file["t0_fields/pressure"][2, 0].T

    forge(dataset, FIRST, mirror)
    assert failed(dataset) == {REDRAWN}
    assert verify(dataset).details["problems"] == ["train sample 2 has another 'permeability' than its seed words give"]


def test_certificate_of_another_sample(dataset: Path) -> None:
    def swap(file: h5py.File) -> None:
        for name in ("provenance/index", "provenance/seed_words"):
            file[name][:2] = file[name][:2][::-1]

    forge(dataset, FIRST, swap)
    assert failed(dataset) == {"samples with other seed words"}


def change_manifest(root: Path, **changes: object) -> None:
    content = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps(content | changes))


def test_surplus_of_one_split_does_not_make_up_for_another(dataset: Path) -> None:
    change_manifest(dataset, splits={"train": 9, "valid": 1, "test": 0})
    (missing,) = [check for check in verify(dataset).checks if not check.passed]
    assert (missing.name, missing.observed) == ("samples missing", 2)


@pytest.mark.parametrize(
    "changes", [{"inputs": ["source"]}, {"outputs": ["head"]}, {"shape": [8, 9]}, {"extent": [1.0, 2.0]}, {"dtype": "float64"}, {"seed": 9}]
)
def test_manifest_that_contradicts_its_recipe(dataset: Path, changes: dict[str, object]) -> None:
    change_manifest(dataset, **changes)
    with pytest.raises(DatasetError, match=f"manifest of 'darcy' has {next(iter(changes))} .* and its recipe"):
        verify(dataset)


def test_foreign_sample_number(dataset: Path) -> None:
    forge(dataset, FIRST, lambda file: file["provenance/index"].__setitem__(2, 7))
    assert failed(dataset) == {"samples with other seed words"}


def test_foreign_seed_words(dataset: Path) -> None:
    forge(dataset, FIRST, lambda file: file["provenance/seed_words"].__setitem__((2, 0), 5))
    assert failed(dataset) == {"samples with other seed words"}


def test_stored_residual_above_the_tolerance(dataset: Path) -> None:
    forge(dataset, FIRST, lambda file: file["provenance/relative_residual"].__setitem__(0, 2e-8))
    assert failed(dataset) == {"largest stored relative residual"}


@pytest.mark.parametrize("damage", ["missing", "truncated", "attribute", "mask", "renamed", "scale"])
def test_shard_that_does_not_follow_the_layout(dataset: Path, damage: str) -> None:
    path = dataset / FIRST
    changes: dict[str, Callable[[h5py.File], None]] = {
        "attribute": lambda file: file["t0_fields/pressure"].attrs.__setitem__("time_varying", np.False_),
        "mask": lambda file: file["boundary_conditions/x_wall_low/mask"].__setitem__(0, False),
        "renamed": lambda file: file.move("t0_fields/pressure", "t0_fields/head"),
        "scale": lambda file: file["x"].__setitem__(0, 9.0),
    }
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:3000])
    else:
        forge(dataset, FIRST, changes[damage], digests=False)
    report = verify(dataset)
    assert {check.name for check in report.checks if not check.passed} == {"samples missing", "shards that do not follow the layout"}
    assert report.details["samples"]["train"] == 4
    assert len(report.details["problems"]) == 1


def test_unfinished_dataset_is_described_and_does_not_verify(tmp_path: Path) -> None:
    def stop(stage: str, done: int, total: int, figures: dict[str, object]) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    recipe = load_recipe("darcy", ["problem.resolution=8", "data.shard_samples=4"])
    with pytest.raises(KeyboardInterrupt):
        generate(recipe, tmp_path / "data", samples=10, progress=stop)
    facts = describe(tmp_path / "data")
    assert (facts["complete"], facts["samples"], facts["wanted"]["train"]) == (False, {"train": 4, "valid": 0, "test": 0}, 8)
    assert failed(tmp_path / "data") == {"samples missing"}


def test_description_agrees_with_what_was_made(sound: Path) -> None:
    facts = json.loads(json.dumps(describe(sound)))
    assert facts["problem"] == "darcy"
    assert facts["boundary"] == {"x": ["dirichlet", "dirichlet"], "y": ["dirichlet", "dirichlet"]}
    assert facts["bytes"] == sum(path.stat().st_size for path in sound.rglob("*.hdf5"))
    assert sum(facts["solver"]["methods"].values()) == 10
    assert 0 < facts["solver"]["median_residual"] <= facts["solver"]["largest_residual"] <= 1e-8


def test_no_dataset(tmp_path: Path) -> None:
    for look in (verify, describe):
        with pytest.raises(DatasetError, match=r"holds no manifest\.json"):
            look(tmp_path)
