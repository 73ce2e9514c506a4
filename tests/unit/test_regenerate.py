"""Samples made again from their files alone: every forgery that hashes and residuals let pass is found by it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciml import generate, load_recipe
from sciml.data.convert import import_arrays
from sciml.data.durable import sha256_of_file
from sciml.data.manifest import read_manifest
from sciml.data.shard import sample_digest
from sciml.data.verify import verify
from sciml.errors import DatasetError

BITS = "regenerated samples with other output bits"
PARAMETERS = "regenerated samples with other parameters"
DISTANCE = "largest difference of regenerated outputs over its tolerance"
PRESSURE = "t0_fields/pressure"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("regenerate") / "data"
    generate(load_recipe("darcy", ["problem.resolution=8", "data.shard_samples=4", "data.test=0.2"]), path, samples=12)
    return path


@pytest.fixture
def dataset(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "data"))


def forge(root: Path, change: Callable[[h5py.File], Any]) -> None:
    """Change every shard as somebody would who also mends every hash."""
    manifest = read_manifest(root)
    content = json.loads((root / "manifest.json").read_text())
    for shard in content["shards"]:
        with h5py.File(root / shard["path"], "r+") as file:
            change(file)
            for position in range(shard["samples"]):
                sample = {"permeability": file["t0_fields/permeability"][position], "pressure": file[PRESSURE][position, 0]}
                file["provenance/sha256"][position] = sample_digest(manifest, sample).encode()
        shard["sha256"] = sha256_of_file(root / shard["path"])
    (root / "manifest.json").write_text(json.dumps(content))


def outcome(root: Path, count: int = 12) -> tuple[dict[str, float], set[str]]:
    """Observed figure per check of the regeneration, and the names of all failed checks."""
    report = verify(root, regenerate=count)
    made = {check.name: check.observed for check in report.checks if "regenerated" in check.name}
    return made, {check.name for check in report.checks if not check.passed}


def scaled(file: h5py.File, factor: float) -> None:
    file[PRESSURE][...] = file[PRESSURE][()] * np.float32(factor)


def last_bit(file: h5py.File) -> None:
    values = file[PRESSURE][()]
    values[:, 0, 3, 3] = np.nextafter(values[:, 0, 3, 3], np.float32(2), dtype=np.float32)
    file[PRESSURE][...] = values


def test_same_machine_gives_the_same_bits(sound: Path) -> None:
    for asked, made in ((5, 5), (12, 12), (100, 12)):
        figures, failed = outcome(sound, asked)
        assert figures == {"samples regenerated": made, PARAMETERS: 0, BITS: 0}
        assert failed == set()


def test_choice_follows_the_seed(sound: Path) -> None:
    chosen = [verify(sound, regenerate=4, seed=seed).details["regenerated"]["chosen"] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert [len(set(each)) for each in chosen] == [4, 4, 4]
    everywhere = verify(sound, regenerate=12).details["regenerated"]["chosen"]
    assert len(everywhere) == len(set(everywhere)) == 12
    assert {where.split()[0] for where in everywhere} == {"train", "valid", "test"}


def test_last_bit_of_one_value_of_a_sample(dataset: Path) -> None:
    """Far below the rounding that the residual's gate allows for."""
    forge(dataset, last_bit)
    assert verify(dataset).passed
    figures, failed = outcome(dataset)
    assert failed == {BITS}
    assert figures[BITS] == 12


@pytest.mark.parametrize("attribute", ["processor", "git_revision", "versions"])
def test_other_place_allows_what_the_tolerance_of_the_solver_leaves(dataset: Path, attribute: str) -> None:
    other = json.dumps({**read_manifest(dataset).versions, "scipy": "0.1"}) if attribute == "versions" else "another"

    def elsewhere(file: h5py.File) -> None:
        file["provenance"].attrs[attribute] = other
        last_bit(file)

    forge(dataset, elsewhere)
    figures, failed = outcome(dataset)
    assert failed == set()
    assert BITS not in figures
    # one unit in the last place of one value of 64, over ten times an rtol of 1e-8 and half a unit
    assert 0 < figures[DISTANCE] < 1


def test_other_place_does_not_excuse_another_solution(dataset: Path) -> None:
    def change(file: h5py.File) -> None:
        file["provenance"].attrs["processor"] = "another"
        scaled(file, 1 + 2e-5)

    forge(dataset, change)
    figures, failed = outcome(dataset)
    assert DISTANCE in failed
    # the relative distance is 2e-5, and the tolerance at least 10 rtol + 2^-24 = 1.6e-7; the solver may leave ten times its rtol
    assert 2e-5 / (10 * 1e-7 + 2.0**-24) < figures[DISTANCE] < 1.05 * 2e-5 / (10 * 1e-8 + 2.0**-24)


def test_other_numpy_may_round_a_draw_and_no_more(dataset: Path) -> None:
    """A permeability of 3 and 12 has no last bits to lose; one that is off by a tenth is another draw under any NumPy."""
    versions = json.dumps({**read_manifest(dataset).versions, "numpy": "1.0"})

    def change(factor: float) -> Callable[[h5py.File], None]:
        def apply(file: h5py.File) -> None:
            file["provenance"].attrs["versions"] = versions
            file["t0_fields/permeability"][...] = file["t0_fields/permeability"][()] * np.float32(factor)

        return apply

    forge(dataset, change(1 + 1e-6))
    assert PARAMETERS not in outcome(dataset)[1]
    forge(dataset, change(1 + 1e-4))
    assert PARAMETERS in outcome(dataset)[1]


def test_parameters_have_to_have_the_same_bits_here(dataset: Path) -> None:
    forge(dataset, lambda file: file["t0_fields/permeability"].__setitem__(..., file["t0_fields/permeability"][()] * np.float32(1 + 1e-6)))
    figures, failed = outcome(dataset)
    assert figures[PARAMETERS] == 12
    assert PARAMETERS in failed


def test_seed_words_in_the_file_decide(dataset: Path) -> None:
    forge(dataset, lambda file: file["provenance/seed_words"].__setitem__((0, 1), 5))
    figures, _ = outcome(dataset)
    assert figures[PARAMETERS] == len(read_manifest(dataset).shards)


@pytest.mark.parametrize("text", ["", "{}", "other"])
def test_recipe_in_the_file_decides(dataset: Path, text: str) -> None:
    text = load_recipe("darcy", ["problem.resolution=4096"]).canonical_json() if text == "other" else text
    forge(dataset, lambda file: file["provenance"].attrs.__setitem__("recipe", text))
    figures, failed = outcome(dataset)
    assert figures["samples regenerated"] == 0
    assert failed == {"samples regenerated"}


def test_what_cannot_be_asked_for(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"regenerate = -1 is no number of samples"):
        verify(sound, regenerate=-1)
    np.savez(tmp_path / "a.npz", x=np.ones((4, 3, 3)), y=np.ones((4, 3, 3)))
    import_arrays(tmp_path / "a.npz", tmp_path / "imported", input="x", output="y")
    with pytest.raises(DatasetError, match=r"holds imported arrays, which have no recipe"):
        verify(tmp_path / "imported", regenerate=1)
