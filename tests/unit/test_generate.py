"""Generation: the same bytes whatever the workers, the interruptions and the order of the calls."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciml import generate, load_recipe, open_dataset
from sciml.data import solve
from sciml.data.plan import plan_generation
from sciml.data.processes import executor
from sciml.data.recipe import Recipe
from sciml.data.solve import solve_samples
from sciml.data.verify import verify
from sciml.discretize import discrete_residual
from sciml.errors import DatasetError, RecipeError
from sciml.problems import seed_words
from solvers import Solution, SolverError, Status
from solvers.linear.auto import fitting

SPLITS = ("train", "valid", "test")

Contents = Callable[[Path], dict[str, bytes]]


def small(*overrides: str) -> Recipe:
    """Darcy flow on 8 x 8 cells in shards of 4 samples, half of them for training."""
    settings = ("problem.resolution=8", "data.shard_samples=4", "data.valid=0.25", "data.test=0.25", "data.seed=3")
    return load_recipe("darcy", (*settings, *overrides))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 samples made in one go by this process."""
    path = tmp_path_factory.mktemp("generate") / "whole"
    result = generate(small(), path, samples=20)
    assert (result.generated, result.already_there, result.samples) == (20, 0, {"train": 10, "valid": 5, "test": 5})
    return path


def test_samples_are_draws_of_the_recipe_solved_to_its_tolerance(whole: Path) -> None:
    for stream, split in enumerate(SPLITS):
        dataset = open_dataset(whole, split)
        problem = dataset.problem
        assert problem == small().problem
        for index in range(len(dataset)):
            record = dataset.provenance(index)
            assert record["seed_words"] == seed_words(3, stream, index)
            drawn = problem.sample(record["seed_words"], np.float32)
            np.testing.assert_array_equal(dataset[index]["permeability"], drawn["permeability"])
            residual = discrete_residual(problem, drawn, {"pressure": dataset[index]["pressure"]})
            assert residual.relative <= 1e-8 + residual.rounding
            assert record["relative_residual"] <= 1e-8
            assert record["iterations"] >= 0
            assert record["solve_seconds"] > 0


def test_solution_agrees_with_a_dense_solve(whole: Path) -> None:
    """Assembled here from harmonic face averages, by hand, without the package's operators."""
    dataset = open_dataset(whole)
    a, n = dataset[0]["permeability"].astype(float), 8
    A = np.zeros((n, n, n, n))
    for i in range(n):
        for j in range(n):
            for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                k, m = i + di, j + dj
                inside = 0 <= k < n and 0 <= m < n
                face = 2 * a[i, j] * a[k, m] / (a[i, j] + a[k, m]) if inside else 2 * a[i, j]
                A[i, j, i, j] += face * n**2
                if inside:
                    A[i, j, k, m] -= face * n**2
    pressure = np.linalg.solve(A.reshape(n * n, n * n), np.ones(n * n)).reshape(n, n)
    np.testing.assert_allclose(dataset[0]["pressure"], pressure, rtol=1e-6)


def test_two_workers_give_the_same_bytes(contents: Contents, whole: Path, tmp_path: Path) -> None:
    result = generate(small(), tmp_path / "two", samples=20, workers=2)
    assert result.generated == 20
    assert contents(tmp_path / "two") == contents(whole)


@pytest.mark.parametrize("name", ["poisson", "heat-step", "screened-poisson", "darcy"])
def test_samples_do_not_depend_on_the_chunk_they_are_solved_in(name: str) -> None:
    """Samples that share their matrix are solved together: in chunks of 1, 2, 3, 5 and 11 they get the same bytes."""
    recipe = load_recipe(name, ["problem.resolution=[9, 14]"])
    alone = [solve_samples(recipe, 0, [index])[0] for index in range(11)]
    for size in (2, 3, 5, 11):
        chunks = [list(range(first, min(first + size, 11))) for first in range(0, 11, size)]
        solved = [one for chunk in chunks for one in solve_samples(recipe, 0, chunk)]
        for (fields, certificate), (alone_fields, alone_certificate) in zip(solved, alone, strict=True):
            assert {name: value.tobytes() for name, value in fields.items()} == {n: v.tobytes() for n, v in alone_fields.items()}
            assert replace(certificate, solve_seconds=0) == replace(alone_certificate, solve_seconds=0)


@pytest.mark.parametrize(("name", "calls"), [("poisson", 1), ("heat-step", 1), ("darcy", 6)])
def test_samples_that_share_their_matrix_are_solved_in_one_call(name: str, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = solve.linear_solve_many, []

    def counting(A: Any, B: Any, *args: Any, **kwargs: Any) -> list[Solution]:
        sizes.append(len(B))
        return real(A, B, *args, **kwargs)

    monkeypatch.setattr(solve, "linear_solve_many", counting)
    solve_samples(load_recipe(name, ["problem.resolution=8"]), 0, range(6))
    assert sizes == [6 // calls] * calls


def test_the_certificate_states_the_residual_of_the_discrete_equations() -> None:
    for name in ("poisson", "darcy"):
        recipe = load_recipe(name, ["problem.resolution=12", "data.dtype=float64"])
        for fields, certificate in solve_samples(recipe, 0, range(3)):
            parameters = {key: fields[key] for key in recipe.problem.inputs}
            residual = discrete_residual(recipe.problem, parameters, fields)
            rounding = residual.rounding * 2.0**-29  # in float64
            assert certificate.relative_residual == pytest.approx(residual.relative, rel=1e-6, abs=rounding)


def test_growing_step_by_step_gives_the_same_bytes(contents: Contents, whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "grown"
    for samples, made in ((2, 2), (7, 5), (7, 0), (3, 0), (20, 13)):
        reports: list[tuple[int, int]] = []
        result = generate(small(), path, samples=samples, progress=lambda stage, done, total, figures, r=reports: r.append((done, total)))
        assert result.generated == made
        assert reports == sorted(set(reports))
        assert [total for _, total in reports] == [samples] * len(reports)
        assert reports[-1:] == [(samples, samples)] * (made > 0)
    assert contents(path) == contents(whole)
    assert verify(path).passed


@pytest.mark.parametrize("workers", [1, 2])
def test_interruption_loses_nothing_and_is_completed(contents: Contents, whole: Path, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "interrupted"
    reported = 0

    def stop_at_9(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
        nonlocal reported
        assert (stage, total) == ("generate", 20)
        assert done > reported
        reported = done
        if done >= 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(small(), path, samples=20, workers=workers, progress=stop_at_9)
    result = generate(small(), path, samples=20)
    assert (result.generated, result.already_there) == (20 - reported, reported)
    assert contents(path) == contents(whole)


def test_float64_samples_meet_the_tolerance_as_stored(tmp_path: Path) -> None:
    generate(small("data.dtype=float64", "solver.rtol=1e-11"), tmp_path / "double", samples=4)
    dataset = open_dataset(tmp_path / "double")
    assert dataset.field("pressure").dtype == np.float64
    parameters = {"permeability": dataset[0]["permeability"]}
    assert discrete_residual(dataset.problem, parameters, {"pressure": dataset[0]["pressure"]}).relative <= 1e-11
    assert verify(tmp_path / "double").passed


def test_scalars_and_sides_and_three_dimensions(tmp_path: Path) -> None:
    recipe = load_recipe("screened-poisson", ["problem.resolution=8"])
    generate(recipe, tmp_path / "screened", samples=3)
    dataset = open_dataset(tmp_path / "screened")
    assert (dataset.inputs, dataset.scalars) == (("source",), ("screening",))
    assert dataset.field("screening").shape == (3,)
    law = '{kind="gaussian_random_field", alpha=2.0, tau=3.0}'
    sides = [f"problem.boundary.y_low={{kind='dirichlet', value={law}}}", "problem.dimension=3", "problem.resolution=[4, 5, 6]"]
    generate(load_recipe("darcy3d", sides), tmp_path / "sides", samples=3)
    dataset = open_dataset(tmp_path / "sides")
    assert dataset.inputs == ("permeability", "boundary_y_low")
    assert dataset.field("boundary_y_low").shape == (3, 4, 6)
    for path in ("screened", "sides"):
        assert verify(tmp_path / path).passed


def test_seed_of_the_call_wins_and_is_recorded(whole: Path, tmp_path: Path) -> None:
    recipe = small()
    generate(recipe, tmp_path / "own", samples=4)
    generate(recipe, tmp_path / "other", samples=4, seed=4)
    dataset = open_dataset(tmp_path / "other")
    assert (dataset.manifest.seed, dataset.recipe.data.seed) == (4, 4)
    assert dataset.provenance(1)["seed_words"] == seed_words(4, 0, 1)
    with pytest.raises(DatasetError, match=r"recipe\.data\.seed is 4 there and 3 here"):
        generate(small(), tmp_path / "other", samples=4)


def test_another_recipe_is_refused_by_the_key_that_differs(whole: Path) -> None:
    with pytest.raises(DatasetError, match=r"recipe\.problem\.resolution is \[8, 8\] there and \[16, 16\] here"):
        generate(small("problem.resolution=16"), whole, samples=20)


def test_unsolved_sample_is_named_and_never_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = solve.linear_solve_many, []

    def fails_at_seventh(A: Any, B: Any, *args: Any, **kwargs: Any) -> list[Solution]:
        calls.append(1)
        (solution,) = real(A, B, *args, **kwargs)
        if len(calls) < 7:
            return [solution]
        return [Solution(solution.x, Status.MAX_ITERATIONS, 5, solution.residual_norms, "cg", solution.info)]

    monkeypatch.setattr(solve, "linear_solve_many", fails_at_seventh)
    with pytest.raises(SolverError, match=r"train sample 6 of recipe 'darcy' \(seed 3\) was not solved: cg ended with MAX_ITERATIONS"):
        generate(small(), tmp_path / "data", samples=20)
    monkeypatch.setattr(solve, "linear_solve_many", real)
    assert generate(small(), tmp_path / "data", samples=20).already_there == 4  # the chunk before


@pytest.mark.parametrize(
    ("name", "override", "sentence"),
    [
        ("darcy", "solver.method=fast_poisson", "'darcy' has varying coefficients; take one of auto, multigrid_cg, amg, cg, minres, lu"),
        ("helmholtz", "solver.method=fast_poisson", "varying coefficients and may be indefinite; take one of auto, minres, lu"),
        ("helmholtz", "solver.method=multigrid_cg", "take one of auto, minres, lu"),
        ("convection-diffusion", "solver.method=fast_poisson", "a sparse matrix that is not symmetric; take one of auto, lu"),
        ("convection-diffusion", "solver.method=multigrid_cg", "take one of auto, lu"),
        ("darcy-mesh", "solver.method=multigrid_cg", "has a sparse matrix; take one of auto, amg, cg, minres, lu"),
        ("darcy", "problem.permeability.low=1e-300", "'permeability' gives 1e-300, which float32 cannot hold: set data.dtype = 'float64'"),
        ("darcy-lognormal", "problem.permeability.field.amplitude=300", "which float32 cannot hold: .*(float64|lower its amplitude)"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_words_of_the_recipe(name: str, override: str, sentence: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, [override])
    for act in (lambda: generate(recipe, tmp_path / "data", samples=2), lambda: plan_generation(recipe, samples=2)):
        with pytest.raises(RecipeError, match=sentence):
            act()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"recipe": "darcy"}, "recipe = 'darcy' is a str: give what sciml.load_recipe returns"),
        ({"samples": 4.5}, "samples = 4.5 is not a whole number"),
        ({"seed": -1}, "seed = -1 is out of range"),
        ({"workers": "2"}, "workers = '2' is not a whole number"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=sentence):
        generate(**{"recipe": small(), "out": tmp_path / "data", **arguments})
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("method", ["multigrid_cg", "amg", "cg", "minres", "lu"])
@pytest.mark.parametrize("name", ["poisson", "darcy", "convection-diffusion", "darcy-mesh"])
def test_methods_that_are_offered_do_solve(name: str, method: str) -> None:
    overrides = ["problem.resolution=12"] * (name != "darcy-mesh")
    recipe = load_recipe(name, [f"solver.method={method}", "solver.rtol=1e-6", *overrides])
    words = seed_words(0, 0, 0)
    system = solve.discretized(recipe, words, solve.draw(recipe, words))
    if method in fitting(system.operator):
        assert solve.solve_samples(recipe, 0, [0])[0][1].method == method
    else:
        with pytest.raises((SolverError, TypeError)):
            solve.solve_samples(recipe, 0, [0])


def test_a_tolerance_out_of_reach_is_answered_with_one_that_works(tmp_path: Path) -> None:
    overrides = ["problem.resolution=32", "problem.permeability.high=1e9"]
    with pytest.raises(SolverError, match=r"differ by a factor of \de\+\d+: loosen solver.rtol, as --set solver.rtol=") as caught:
        generate(load_recipe("darcy", [*overrides, "solver.rtol=1e-12"]), tmp_path / "data", samples=4)
    rtol = re.search(r"--set (solver.rtol=\S+)", str(caught.value))[1]
    assert generate(load_recipe("darcy", [*overrides, rtol]), tmp_path / "data", samples=4).generated == 4


def test_what_is_solved_is_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding to float32 comes before the solve: a log-normal permeability is not exact in float32."""
    real, solved = solve.discretize, []

    def recording(problem: Any, parameters: Any) -> Any:
        solved.append(parameters["permeability"].astype(np.float64))
        return real(problem, parameters)

    monkeypatch.setattr(solve, "discretize", recording)
    generate(load_recipe("darcy-lognormal", ["problem.resolution=8"]), tmp_path / "data", samples=2)  # the first one is looked at before
    stored = open_dataset(tmp_path / "data").field("permeability")
    np.testing.assert_array_equal(np.array(solved[1:]), stored.astype(np.float64))
    assert len(np.unique(stored)) > 100


def test_recipe_without_randomness_is_refused(tmp_path: Path) -> None:
    fixed = small("problem.permeability={kind='constant', value=1.0}")
    with pytest.raises(RecipeError, match="has no random parameter"):
        generate(fixed, tmp_path / "data", samples=4)
    assert not (tmp_path / "data").exists()


def test_problem_without_solution_leaves_nothing_on_disk(tmp_path: Path) -> None:
    sides = [f"problem.boundary.{side}={{kind='neumann', flux=0.0}}" for side in ("x_low", "x_high", "y_low", "y_high")]
    with pytest.raises(DatasetError):
        generate(small(*sides), tmp_path / "data", samples=4)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("there", [True, False])
def test_failure_before_the_first_sample_leaves_the_folder_to_another_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def fails(*_: Any, **__: Any) -> list[Solution]:
        raise SolverError("not solved")

    path = tmp_path / "data"
    if there:
        path.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr("sciml.data.solve.linear_solve_many", fails)
        with pytest.raises(SolverError):
            generate(small(), path, samples=4)
    assert path.exists() == there
    assert list(tmp_path.rglob("*")) == [path] * there
    assert generate(small("data.seed=4"), path, samples=4).generated == 4


def test_torch_keeps_its_threads(tmp_path: Path) -> None:
    code = (
        "import sys, torch\nfrom sciml import generate, load_recipe\nbefore = torch.get_num_threads()\n"
        "generate(load_recipe('darcy', ['problem.resolution=8']), sys.argv[1], samples=2)\nprint(before, torch.get_num_threads())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads signal masks from /proc")
def test_workers_never_see_signals_from_their_start_on() -> None:
    with executor(2) as pool:
        assert all(mask & (1 << number - 1) for mask in pool.map(_blocked, range(4)) for number in (signal.SIGINT, signal.SIGTERM))
    assert not _blocked() & (1 << signal.SIGINT - 1)


def _blocked(_: int = 0) -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigBlk")]
    return int(line.split()[1], 16)


@pytest.mark.parametrize(("name", "value"), [("samples", 0), ("workers", 0)])
def test_counts_that_make_no_sense(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(RecipeError, match=f"{name} = 0"):
        generate(small(), tmp_path / "data", **{"samples": 4, name: value})
    assert not (tmp_path / "data").exists()


def test_statistics_are_those_of_the_training_fields(whole: Path) -> None:
    tables: dict[str, dict[str, float]] = {}
    table = ""
    for line in (whole / "stats.yaml").read_text().splitlines():
        name, _, value = line.partition(":")
        if value:
            tables[table][name.strip()] = float(value)
        else:
            table = name
            tables[table] = {}
    for name in ("permeability", "pressure"):
        values = open_dataset(whole).field(name).astype(float)
        assert tables["mean"][name] == pytest.approx(values.mean(), rel=1e-12)
        assert tables["std"][name] == pytest.approx(values.std(), rel=1e-12)
        assert tables["rms"][name] == pytest.approx(np.sqrt((values**2).mean()), rel=1e-12)
