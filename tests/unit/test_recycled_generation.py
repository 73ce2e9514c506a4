"""Samples that are solved as sequences: the same bytes whatever is asked for, in which pieces, by whom and after which interruption."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from sciml import generate, load_recipe, open_dataset
from sciml.data import cluster, sequence, solve
from sciml.data import generate as generation
from sciml.data.info import describe
from sciml.data.manifest import read_manifest
from sciml.data.processes import executor
from sciml.data.provenance import notes
from sciml.data.recipe import Recipe
from sciml.data.sequence import BLOCK, next_chunk, sequence_length, solving_order
from sciml.data.shard import ShardReader
from sciml.data.solve import solve_samples
from sciml.data.store import Store
from sciml.data.verify import verify
from sciml.discretize import LinearSystem, discretize, linear_system
from sciml.problems import seed_words
from solvers import SolverError, Status, linear_solve
from solvers.linear import diffusion_operator
from solvers.linear.system import System

SPLITS = ("train", "valid", "test")
ZERO = (("dirichlet", "dirichlet"),) * 2

Contents = Callable[[Path], dict[str, bytes]]


def waves(*overrides: str) -> Recipe:
    """Helmholtz's equation on 20 x 20 cells, a few eigenvalues negative, in shards that end inside a sequence."""
    wave = ("problem.resolution=20", "problem.wavenumber.low=8.0", "problem.wavenumber.high=9.5", "problem.wavenumber.steepness=3.0")
    data = ("data.shard_samples=28", "data.valid=0.2", "data.test=0.0", "data.seed=3", "data.dtype=float64")
    return load_recipe("helmholtz", ["solver.method=gcrodr", *wave, *data, *overrides])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 samples of the training split, one and a half sequences, and 12 of the other, in one go by this process."""
    path = tmp_path_factory.mktemp("recycled") / "whole"
    result = generate(waves(), path, samples=60)
    assert result.samples == {"train": 48, "valid": 12, "test": 0}
    return path


def test_two_workers_make_the_same_bytes(contents: Contents, whole: Path, tmp_path: Path) -> None:
    generate(waves(), tmp_path / "data", samples=60, workers=2)
    assert contents(tmp_path / "data") == contents(whole)


@pytest.mark.parametrize("stop", [1, 2])
def test_interrupted_and_continued_it_has_the_same_bytes(contents: Contents, whole: Path, tmp_path: Path, stop: int) -> None:
    calls: list[int] = []

    def interrupt(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        calls.append(done)
        if len(calls) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(waves(), tmp_path / "data", samples=60, progress=interrupt)
    result = generate(waves(), tmp_path / "data", samples=60)
    assert 0 < result.already_there == calls[-1] < 60
    assert contents(tmp_path / "data") == contents(whole)


def test_extended_in_other_shards_it_has_the_same_bytes(contents: Contents, whole: Path, tmp_path: Path) -> None:
    for samples in (15, 60):  # each ends inside a sequence
        generate(waves("data.shard_samples=20"), tmp_path / "data", samples=samples)
    assert contents(tmp_path / "data") == contents(whole)


def test_a_shard_that_another_machine_writes_has_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    recipe = waves()
    manifest = read_manifest(whole).model_copy(update={"shards": ()})
    with Store(tmp_path / "data", manifest, notes(recipe)) as store:
        layout = list(store.lacking())[1]
        assert (layout.split, layout.start, layout.samples) == ("train", 28, 20)
        written = cluster.write_shard(recipe, store.root, layout)
        reader = ShardReader.open(store.root, layout, (store.root / layout.path).with_name(written.name))
        with reader.file:
            stored = [reader.sample(position)["amplitude"] for position in range(20)]
    np.testing.assert_array_equal(stored, open_dataset(whole, "train").field("amplitude")[28:48])


def test_a_sample_alone_has_the_bytes_that_it_has_among_others(whole: Path) -> None:
    dataset = open_dataset(whole, "train")
    for index in (0, 5, BLOCK - 1, BLOCK, BLOCK + 3):
        ((fields, certificate),) = solve_samples(waves(), 0, [index])
        assert fields["amplitude"].tobytes() == dataset.field("amplitude")[index].tobytes()
        assert (certificate.index, certificate.method) == (index, "gcrodr")


def test_order_of_asking_is_the_order_of_answers() -> None:
    asked = [40, 3, 17, 2]
    assert [certificate.index for _, certificate in solve_samples(waves(), 0, asked)] == asked


def test_stored_samples_are_made_again_from_their_files(whole: Path) -> None:
    report = verify(whole, regenerate=4)
    assert report.passed
    assert {check.name: check.observed for check in report.checks if "regenerated" in check.name} == {
        "samples regenerated": 4,
        "regenerated samples with other parameters": 0,
        "regenerated samples with other output bits": 0,
    }


def test_solutions_are_those_of_a_direct_solve(whole: Path) -> None:
    dataset, recipe = open_dataset(whole, "train"), waves()
    for index in (0, 20, 47):
        system = linear_system(recipe.problem, recipe.problem.sample(seed_words(3, 0, index), "float64"))
        x = linear_solve(system.operator, system.rhs, "lu", rtol=1e-12).x
        stored = dataset.field("amplitude")[index]
        assert np.linalg.norm(system.rhs - system.operator @ stored) <= 1.0001e-8 * np.linalg.norm(system.rhs)
        assert np.linalg.norm(stored - x) <= 1e-6 * np.linalg.norm(x)


def test_sequences_recycle_and_each_block_starts_from_nothing() -> None:
    recipe = waves()
    made = solve_samples(recipe, 0, range(2 * BLOCK))
    systems = [linear_system(recipe.problem, fields) for fields, _ in made]
    alone = [linear_solve(system.operator, system.rhs, "gcrodr").iterations for system in systems]
    together = [certificate.iterations for _, certificate in made]
    assert np.mean(together) < 0.75 * np.mean(alone)
    for block in (slice(0, BLOCK), slice(BLOCK, 2 * BLOCK)):
        first = solving_order(systems[block])[0]
        assert together[block][first] == alone[block][first]  # nothing to recycle
        assert sum(one < other for one, other in zip(together[block], alone[block], strict=True)) >= BLOCK - 3


def test_certificates_count_the_products_that_were_made(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, made = waves(), 0
    product = System.matvec

    def counting(self: System, x: Any) -> Any:
        nonlocal made
        made += 1
        return product(self, x)

    monkeypatch.setattr(System, "matvec", counting)
    counts = [certificate for _, certificate in solve_samples(recipe, 0, range(BLOCK))]
    assert sum(one.matvecs or 0 for one in counts) == made
    first = solving_order([linear_system(recipe.problem, fields) for fields, _ in solve_samples(recipe, 0, range(BLOCK))])[0]
    assert all(one.matvecs > one.iterations + 15 for one in counts if one.index != first)  # and the images of 20 recycled vectors
    records = [open_dataset(whole, "train").provenance(index) for index in range(BLOCK)]
    assert [record["matvecs"] for record in records] == [one.matvecs for one in counts]
    assert {record["preconditioner_applications"] for record in records} == {0}
    splits = [open_dataset(whole, split) for split in ("train", "valid")]
    stored = [dataset.provenance(index)["matvecs"] for dataset in splits for index in range(len(dataset))]
    assert describe(whole)["solver"]["median_matvecs"] == median(stored)


def test_methods_that_do_not_recycle_store_what_they_did_before(tmp_path: Path) -> None:
    generate(waves("solver.method=lu"), tmp_path / "data", samples=4)
    record = open_dataset(tmp_path / "data", "train").provenance(0)
    assert set(record) == {"index", "seed_words", "relative_residual", "iterations", "method", "solve_seconds"}
    assert "median_matvecs" not in describe(tmp_path / "data")["solver"]


@pytest.mark.parametrize(
    ("name", "overrides"),
    [("convection-diffusion", ["problem.resolution=12"]), ("poisson", ["problem.resolution=8"]), ("darcy-mesh", [])],
)
def test_every_steady_problem_can_be_solved_so(name: str, overrides: list[str]) -> None:
    recipe = load_recipe(name, ["solver.method=gcrodr", *overrides])
    made = solve_samples(recipe, 0, [1, BLOCK - 2])
    assert [certificate.index for _, certificate in made] == [1, BLOCK - 2]
    for fields, certificate in made:
        assert certificate.relative_residual <= 1e-8
        lu = recipe.model_copy(update={"solver": recipe.solver.model_copy(update={"method": "lu"})})
        ((direct, _),) = solve_samples(lu, 0, [certificate.index])
        for output in recipe.problem.outputs:
            assert np.linalg.norm(fields[output] - direct[output]) <= 1e-5 * np.linalg.norm(direct[output])


def test_a_failure_names_the_sample_and_one_that_nobody_wants_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, real = waves(), solve.solve_sequence
    numbers = [solve._linear(solve._draw(recipe, 0, index)) for index in range(BLOCK)]
    order = solving_order(numbers)

    def failing(systems: Any, *args: Any, **options: Any) -> Any:
        for place, solution in enumerate(real(systems, *args, **options)):
            yield (
                solution
                if place != 4
                else type(solution)(solution.x, Status.STAGNATION, 0, solution.residual_norms, "gcrodr", solution.info)
            )

    monkeypatch.setattr(solve, "solve_sequence", failing)
    with pytest.raises(SolverError, match=f"train sample {order[4]} of .* was not solved: gcrodr ended with STAGNATION"):
        solve_samples(recipe, 0, [order[6], order[4]])
    ((_, certificate),) = solve_samples(recipe, 0, [order[6]])
    assert certificate.index == order[6]


def without_solution(monkeypatch: pytest.MonkeyPatch, stream: int, *lost: int) -> None:
    """Take the right-hand sides of some samples of a split away."""
    drawn = solve._draw

    def draw(recipe: Recipe, of: int, index: int) -> Any:
        one = drawn(recipe, of, index)
        if (of, index) not in {(stream, number) for number in lost}:
            return one
        assert isinstance(one.system, LinearSystem)
        return replace(one, system=replace(one.system, rhs=np.full_like(one.system.rhs, np.nan)))

    monkeypatch.setattr(solve, "_draw", draw)


def test_unsolved_samples_are_named_and_all_others_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, reported = waves(), []

    def progress(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        reported.append(done)

    with monkeypatch.context() as context:
        without_solution(context, 0, 5, 40)
        for _ in range(2):  # the second call finds the others there
            with pytest.raises(SolverError) as caught:
                generate(recipe, tmp_path / "data", samples=60, progress=progress)
            sentence = str(caught.value)
            assert sentence.startswith("train sample 5 of recipe 'helmholtz' (seed 3) was not solved: gcrodr ended with NONFINITE_INPUT")
            assert sentence.endswith("; nor were train sample 40")
        found = describe(tmp_path / "data")
        assert found["samples"] == {"train": 0, "valid": 12, "test": 0}  # both shards of the training split lack one
        assert found["in_progress"] == {"train": 46, "valid": 0, "test": 0}
        assert max(reported) == 58
        assert not (tmp_path / "data" / "statistics.json").exists()
    result = generate(recipe, tmp_path / "data", samples=60)
    assert (result.generated, result.already_there) == (2, 58)
    assert verify(tmp_path / "data").passed


def test_generation_gives_up_where_many_samples_are_not_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_solution(monkeypatch, 0, *range(BLOCK))
    with pytest.raises(SolverError, match=r"; nor were train sample 1, .* train sample 27, after which no more were tried$"):
        generate(waves(), tmp_path / "data", samples=60)
    assert not (tmp_path / "data").exists()  # nothing was stored


def test_one_unsolved_sample_alone_is_told_in_the_words_of_other_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_solution(monkeypatch, 0, 5)
    told = {}
    for method in ("gcrodr", "lu"):
        with pytest.raises(SolverError) as caught:
            generate(waves(f"solver.method={method}"), tmp_path / method, samples=8)
        told[method] = str(caught.value).replace(method, "METHOD")
    assert told["gcrodr"] == told["lu"]


def test_a_cluster_stores_the_other_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_solution(monkeypatch, 0, 40)
    monkeypatch.setattr(generation, "connected", lambda address: executor(1))
    monkeypatch.setattr(generation, "as_completed", lambda futures: futures)

    def submit(pool: Any, recipe: Recipe, root: Path, layout: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(cluster.write_shard(recipe, root, layout))
        except SolverError as error:
            future.set_exception(error)
        return future

    monkeypatch.setattr(generation, "submit_shard", submit)
    with pytest.raises(SolverError, match="train sample 40 of "):
        generate(waves(), tmp_path / "data", samples=60, cluster="tcp://nowhere:1")
    assert describe(tmp_path / "data")["samples"] == {"train": 28, "valid": 12, "test": 0}


def test_the_length_of_sequences_is_part_of_what_a_dataset_is(monkeypatch: pytest.MonkeyPatch) -> None:
    as_before_there_were_sequences = "307475760d50a1571531aac779bed375943b6186c3551fb29541e5a7156abbf9"
    assert load_recipe("darcy").identity == as_before_there_were_sequences
    before = waves().identity
    monkeypatch.setattr(sequence, "BLOCK", 16)
    assert waves().identity != before
    assert (sequence_length("gcrodr"), sequence_length("lu")) == (16, 1)


@pytest.mark.parametrize(
    ("missing", "size", "start", "length", "expected"),
    [
        (range(10), 4, 0, 1, [4, 4, 2]),  # methods without sequences: chunks of the size asked for
        (range(10), 4, 0, 8, [8, 2]),
        (range(10), 4, 6, 8, [10]),  # numbers 6 ... 15: four reach into the second sequence
        (range(10), 1, 6, 8, [2, 8]),
        ([0, 1, 7, 9, 40], 1, 0, 8, [3, 1, 1]),
    ],
)
def test_chunks_break_no_sequence(missing: Any, size: int, start: int, length: int, expected: list[int]) -> None:
    left, taken = deque(missing), []
    while left:
        taken.append(next_chunk(left, size, start, length))
    assert [len(chunk) for chunk in taken] == expected
    assert [position for chunk in taken for position in chunk] == list(missing)


def system(a: Any, reaction: Any = 0.0, shape: tuple[int, int] = (16, 16)) -> LinearSystem:
    operator = diffusion_operator(a, shape=shape, spacing=(1 / 16, 1 / 16), sides=ZERO, reaction=reaction)
    return LinearSystem(operator, np.ones(shape), lambda x: {"u": x}, lambda fields: fields["u"])


def test_the_order_follows_the_coefficient_and_not_its_scale() -> None:
    x = (np.arange(16) + 0.5) / 16
    slopes = np.random.default_rng(0).permutation(np.linspace(-1, 1, 20))
    factors = 10.0 ** np.random.default_rng(1).uniform(-3, 3, 20)
    order = solving_order(system(factor * np.exp(slope * x)[:, None] * np.ones(16)) for slope, factor in zip(slopes, factors, strict=True))
    assert abs(np.diff(np.argsort(np.argsort(slopes))[order])).tolist() == [1] * 19


def test_the_order_follows_a_wavenumber_that_is_one_number() -> None:
    k = np.random.default_rng(0).permutation(np.linspace(5, 12, 20))
    order = solving_order(system(1.0, -(one**2)) for one in k)
    assert abs(np.diff(np.argsort(np.argsort(k))[order])).tolist() == [1] * 19


def test_a_wavenumber_does_not_hide_the_coefficient() -> None:
    """Where the reaction outweighs the diffusion the diagonal has no logarithm, and says little about the coefficient."""
    x = (np.arange(16) + 0.5) / 16
    slopes = np.random.default_rng(0).permutation(np.linspace(-1, 1, 20))
    media = [np.exp(slope * x)[:, None] * np.ones(16) for slope in slopes]
    assert system(media[0], -900.0).operator.diagonal.min() < 0
    order = solving_order(system(a, -900.0 * diffusion_mean(a)) for a in media)
    assert abs(np.diff(np.argsort(np.argsort(slopes))[order])).tolist() == [1] * 19
    for a in media[:3]:
        alone, with_reaction = (sequence._characteristics(system(a, c))[0] for c in (0.0, -900.0))
        np.testing.assert_allclose(with_reaction, alone, rtol=1e-12)


def diffusion_mean(a: Any) -> float:
    """Makes the reaction the same multiple of the diffusion in all systems."""
    return float(system(a).operator.diagonal.mean()) / 1000


def test_the_order_of_sparse_matrices_follows_how_unsymmetric_they_are() -> None:
    settings = ["problem.resolution=12", "problem.velocity={kind='recirculating'}", "problem.diffusivity.high=2"]
    recipe = load_recipe("convection-diffusion", settings)
    eps = np.random.default_rng(0).permutation(np.geomspace(0.03, 1, 12))
    fixed = recipe.problem.sample(seed_words(0, 0, 0))
    systems = [discretize(recipe.problem, {**fixed, "diffusivity": np.asarray(one)}) for one in eps]
    assert all(isinstance(one, LinearSystem) and sp.issparse(one.operator) for one in systems)
    order = solving_order(one for one in systems if isinstance(one, LinearSystem))
    assert abs(np.diff(np.argsort(np.argsort(eps))[order])).tolist() == [1] * 11
