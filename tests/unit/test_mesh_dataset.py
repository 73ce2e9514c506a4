"""A dataset on a mesh from the recipe to the export: what is stored, certified, refused and read elsewhere."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from concurrent.futures import Executor, Future
from pathlib import Path

import h5py
import meshio
import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data.cluster import submit_shard
from sciml.data.info import describe
from sciml.data.layout import ShardLayout
from sciml.data.manifest import Manifest, read_manifest
from sciml.data.recipe import Recipe
from sciml.data.verify import verify
from sciml.data.writer import _size as reserved_bytes
from sciml.discretize import discrete_residual
from sciml.errors import DatasetError, RecipeError
from sciml.io.export import export_sample
from sciml.mesh import Mesh

RECIPE = """
name = "ring"
title = "Half a ring"
[problem]
kind = "mesh_darcy"
mesh = "meshes/ring.msh"
source = { kind = "gaussian_random_field", alpha = 2.0, tau = 3.0 }
permeability = { kind = "log_normal", field = { kind = "gaussian_random_field" } }
modes = 8
[problem.boundary]
inlet = { kind = "dirichlet", value = { kind = "uniform", low = 1.0, high = 2.0 } }
boundary = "neumann"
[data]
shard_samples = 4
valid = 0.25
test = 0.25
"""


def write_ring(path: Path, across: int = 4, along: int = 10) -> None:
    """Half a ring of triangles, one end tagged as inlet and the other as outlet."""
    s, t = (axis.ravel() for axis in np.meshgrid(np.linspace(1, 2, across + 1), np.linspace(0, np.pi, along + 1), indexing="ij"))
    points = np.stack([s * np.cos(t), s * np.sin(t), 0 * s], axis=1)
    node = np.arange(len(points)).reshape(across + 1, along + 1)
    a, b, c, d = node[:-1, :-1].ravel(), node[1:, :-1].ravel(), node[1:, 1:].ravel(), node[:-1, 1:].ravel()
    cells = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    ends = [np.stack([node[:-1, k], node[1:, k]], axis=1) for k in (0, -1)]
    groups = [np.full(across, 1, np.int32), np.full(across, 2, np.int32), np.full(len(cells), 3, np.int32)]
    names = {"inlet": np.array([1, 1]), "outlet": np.array([2, 1]), "medium": np.array([3, 2])}
    blocks = [("line", ends[0]), ("line", ends[1]), ("triangle", cells)]
    tags = {"gmsh:physical": groups, "gmsh:geometrical": groups}
    path.parent.mkdir(exist_ok=True)
    meshio.Mesh(points, blocks, cell_data=tags, field_data=names).write(path, file_format="gmsh22")


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    write_ring(folder / "meshes" / "ring.msh")
    (folder / "ring.toml").write_text(RECIPE)
    return folder / "ring.toml"


@pytest.fixture(scope="module")
def whole(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "whole"
    result = generate(load_recipe(recipe_file), path, samples=12)
    assert result.samples == {"train": 6, "valid": 3, "test": 3}
    return path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def test_samples_are_certified_draws(whole: Path) -> None:
    dataset = open_dataset(whole)
    sample, record = dataset[1], dataset.provenance(1)
    shapes = {name: value.shape for name, value in sample.items()}
    assert shapes == {"permeability": (80,), "source": (55,), "boundary_inlet": (), "pressure": (55,)}
    drawn = dataset.problem.sample(record["seed_words"], np.float32)
    for name, value in drawn.items():
        np.testing.assert_array_equal(sample[name], value)
    residual = discrete_residual(dataset.problem, drawn, {"pressure": sample["pressure"]})
    assert residual.relative <= 1e-8 + residual.rounding
    assert record["relative_residual"] < 1e-12
    inlet = np.unique(dataset.mesh.part("inlet"))
    np.testing.assert_array_equal(sample["pressure"][inlet], np.repeat(sample["boundary_inlet"], len(inlet)))


def test_values_do_not_depend_on_workers_or_interruptions(whole: Path, recipe_file: Path, tmp_path: Path) -> None:
    generate(load_recipe(recipe_file), tmp_path / "grown", samples=8)
    generate(load_recipe(recipe_file), tmp_path / "grown", samples=12, workers=2)
    for split in ("train", "valid", "test"):
        one, two = open_dataset(whole, split), open_dataset(tmp_path / "grown", split)
        for name in one.manifest.names:
            np.testing.assert_array_equal(one.field(name), two.field(name))


def test_shards_hold_the_mesh_once_and_every_axis_has_a_scale(whole: Path) -> None:
    dataset = open_dataset(whole)
    for shard in dataset.manifest.shards:
        with h5py.File(whole / shard.path) as file:
            np.testing.assert_array_equal(file["mesh/points"][()], dataset.problem.mesh.points)
            np.testing.assert_array_equal(file["mesh/cells"][()], dataset.problem.mesh.cells)
            names = file["mesh"].attrs["part_names"].tolist()
            parts = {name: file["mesh/facets"][()][file["mesh/facet_parts"][()] == k].tolist() for k, name in enumerate(names)}
            assert parts == {name: dataset.problem.mesh.part(name).tolist() for name in ("inlet", "outlet", "boundary")}
            assert file["mesh"].attrs["cell_type"] == "triangle"
            assert file.attrs["grid_type"] == "unstructured"
            names = ("t0_fields/pressure", "t0_fields/permeability", "mesh/cells")
            dims = {name: [dim[0].name.rpartition("/")[2] for dim in file[name].dims] for name in names}
            assert dims == {
                "t0_fields/pressure": ["trajectory", "time", "node"],
                "t0_fields/permeability": ["trajectory", "cell"],
                "mesh/cells": ["cell", "cell_corner"],
            }


def test_dataset_knows_its_mesh_without_the_file(whole: Path, recipe_file: Path) -> None:
    dataset = open_dataset(whole, "test")
    original = load_recipe(recipe_file).problem
    assert dataset.mesh == original.mesh
    assert dataset.problem == original
    assert dataset.recipe.identity == load_recipe(recipe_file).identity
    assert dataset.mesh.name == "ring.msh"


def test_the_mesh_belongs_to_the_identity(whole: Path, recipe_file: Path, tmp_path: Path) -> None:
    write_ring(tmp_path / "meshes" / "ring.msh", along=11)
    shutil.copy(recipe_file, tmp_path / "ring.toml")
    other = load_recipe(tmp_path / "ring.toml")
    assert other.identity != load_recipe(recipe_file).identity
    with pytest.raises(DatasetError, match="holds another dataset, 'ring'"):
        generate(other, whole, samples=12)


def test_verify_passes_and_describes(whole: Path) -> None:
    report = verify(whole)
    assert report.passed
    assert report.details["samples"] == {"train": 6, "valid": 3, "test": 3}
    mesh = describe(whole)["mesh"]
    assert (mesh["file"], mesh["nodes"], mesh["cells"], mesh["facets"]) == ("ring.msh", 55, 80, 28)
    assert mesh["parts"] == {"inlet": "dirichlet", "outlet": "dirichlet", "boundary": "neumann"}
    json.dumps(describe(whole))


def failed(path: Path) -> set[str]:
    return {check.name for check in verify(path).checks if not check.passed}


def test_verify_finds_a_moved_node_a_changed_cell_and_a_changed_value(copy: Path) -> None:
    shard = copy / open_dataset(copy).manifest.shards[0].path
    for name, index in (("mesh/points", (7, 0)), ("mesh/cells", (3, 1)), ("mesh/facet_parts", (2,))):
        with h5py.File(shard, "r+") as file:
            before = file[name][index]
            file[name][index] = before + 1
        assert "shards that do not follow the layout" in failed(copy)
        with h5py.File(shard, "r+") as file:
            file[name][index] = before
    with h5py.File(shard, "r+") as file:
        file["t0_fields/pressure"][0, 0, 20] *= 1.001
    assert {"samples with another SHA-256", "largest recomputed residual over its gate"} <= failed(copy)


def test_a_mesh_that_was_exchanged_everywhere_is_found(copy: Path) -> None:
    for shard in open_dataset(copy).manifest.shards:
        with h5py.File(copy / shard.path, "r+") as file:
            file["mesh/points"][0, 0] += 1e-9
    with pytest.raises(DatasetError, match=r"no finished shard with mesh 'ring.msh'"):
        verify(copy)


def test_a_forged_boundary_is_found_though_every_digest_was_forged_with_it(copy: Path) -> None:
    honest = open_dataset(copy).mesh
    forged = dataclasses.replace(honest, facets=honest.facets[::-1])
    content = json.loads((copy / "manifest.json").read_text())
    content["mesh"]["sha256"] = forged.digest
    for shard in content["shards"]:
        with h5py.File(copy / shard["path"], "r+") as file:
            file["mesh/facets"][...] = forged.facets
            file["mesh"].attrs["sha256"] = forged.digest
    (copy / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="holds another mesh than the manifest describes"):
        _ = open_dataset(copy).mesh


def test_room_is_claimed_for_the_mesh_before_the_first_sample(tmp_path: Path) -> None:
    """A disk that is too full shows before anything is stored: a shard takes no more than was asked for, a mesh larger than samples too."""
    generate(load_recipe("darcy-mesh"), tmp_path / "one", samples=10)
    for shard in open_dataset(tmp_path / "one").manifest.shards:
        layout = ShardLayout(open_dataset(tmp_path / "one").manifest, shard.split, shard.start, shard.samples)
        assert (tmp_path / "one" / shard.path).stat().st_size <= reserved_bytes(layout) < 500_000


def test_a_mesh_of_another_digest_is_not_taken_for_the_recipes(whole: Path) -> None:
    text = open_dataset(whole).manifest.recipe_json
    square = Mesh.build([[0, 0], [1, 0], [0, 1]], [[0, 1, 2]], {"inlet": [[0, 1]]})
    for mesh in (None, square):
        with pytest.raises(RecipeError, match="the mesh stored with the data is not the one of the recipe"):
            Recipe.from_canonical_json(text, mesh)


@pytest.mark.parametrize(("change", "sentence"), [({"nodes": 56}, "number of nodes"), ({"cells": 0}, "greater than or equal to 1")])
def test_manifests_that_contradict_themselves(whole: Path, change: dict[str, int], sentence: str) -> None:
    content = json.loads((whole / "manifest.json").read_text())
    content["mesh"] |= change
    with pytest.raises(ValueError, match=sentence):
        Manifest.model_validate_json(json.dumps(content))


def test_export_reads_back_with_equal_values(whole: Path, tmp_path: Path) -> None:
    out = export_sample(whole, tmp_path / "a.vtu", split="train", sample=2)
    found, dataset = meshio.read(out), open_dataset(whole)
    sample = dataset[2]
    np.testing.assert_array_equal(found.points[:, :2], dataset.mesh.points)
    np.testing.assert_array_equal(found.points[:, 2], 0.0)
    np.testing.assert_array_equal(found.cells_dict["triangle"], dataset.mesh.cells)
    for name in ("pressure", "source"):
        np.testing.assert_array_equal(found.point_data[name], sample[name], strict=True)
    np.testing.assert_array_equal(found.cell_data["permeability"][0], sample["permeability"], strict=True)
    np.testing.assert_array_equal(found.cell_data["boundary_inlet"][0], np.full(80, sample["boundary_inlet"]), strict=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.vtu"]


def test_a_wrong_ending_is_answered_with_the_right_one(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'a.vtkhdf' has to end in .vtu for a sample on a mesh: write to 'a.vtu'"):
        export_sample(whole, tmp_path / "a.vtkhdf")
    generate(load_recipe("darcy", ["problem.resolution=4"]), tmp_path / "grid", samples=10)
    with pytest.raises(DatasetError, match=r"'a.vtu' has to end in .vtkhdf for a sample on a grid"):
        export_sample(tmp_path / "grid", tmp_path / "a.vtu")


def test_operators_are_not_trained_on_a_mesh(whole: Path, tmp_path: Path) -> None:
    from sciml.training import train

    with pytest.raises(DatasetError, match=r"'ring' lies on the unstructured mesh 'ring.msh' \(55 nodes\), and the operators here need"):
        train(whole, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("problem.mesh='meshes/rong.msh'", r"mesh = 'meshes/rong.msh': mesh .* is not a file"),
        ("problem.mesh='ring.stl'", "surface"),
        ("problem.mesh=3", "problem.mesh = 3"),
        ("problem.boundary.inlte='neumann'", "names 'inlte', which mesh 'ring.msh' does not have, did you mean 'inlet'"),
        ("problem.boundary.inlet.value='high'", "boundary.*value"),
        ("problem.resolution=16", "resolution"),
    ],
)
def test_bad_recipes(recipe_file: Path, override: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence) as caught:
        load_recipe(recipe_file, [override])
    assert "\n" not in str(caught.value)


def test_three_dimensions_and_a_field_of_float64(box_mesh, tmp_path: Path) -> None:
    mesh = box_mesh(3, 3)
    problem = {"kind": "mesh_poisson", "mesh": mesh, "source": {"kind": "gaussian_random_field"}, "modes": 4}
    recipe = Recipe.model_validate({"name": "cube", "title": "Cube", "problem": problem, "data": {"dtype": "float64"}})
    generate(recipe, tmp_path / "cube", samples=10)
    assert verify(tmp_path / "cube").passed
    dataset = open_dataset(tmp_path / "cube")
    found = meshio.read(export_sample(tmp_path / "cube", tmp_path / "a.vtu"))
    np.testing.assert_array_equal(found.cells_dict["tetra"], mesh.cells)
    np.testing.assert_array_equal(found.point_data["potential"], open_dataset(tmp_path / "cube", "test")[0]["potential"], strict=True)
    assert dataset.axes == ("x", "y", "z")


class Here(Executor):
    """Runs what a cluster's worker would run, after a trip through a message."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future = Future()
        future.set_result(fn(*pickle.loads(pickle.dumps(args))))
        return future


def test_a_shard_that_a_cluster_writes_has_the_mesh_and_the_same_samples(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file)
    generate(recipe, tmp_path / "here", samples=8)
    generate(recipe, tmp_path / "there", samples=4)  # a folder that a worker recognises, to be lengthened
    manifest = read_manifest(tmp_path / "there").model_copy(update={"shards": ()})
    written = submit_shard(Here(), recipe, tmp_path / "there", ShardLayout(manifest, "train", 0, 4)).result()
    path = tmp_path / "there" / "data" / "train" / written.name
    with h5py.File(path) as file:
        assert np.array_equal(file["mesh/points"], recipe.problem.mesh.points)
        pressures = [one["pressure"] for one in open_dataset(tmp_path / "here", "train")]
        assert np.array_equal(np.asarray(file["t0_fields/pressure"])[:, 0], np.stack(pressures)[:4])
