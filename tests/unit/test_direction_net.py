"""The direction network: its operator on every level, its loss against known directions, its training, and what it is good for."""

import json
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import scipy.sparse.linalg as spla
import torch
from typer.testing import CliRunner

from sciml.cli import app
from sciml.discretize.solids import poisson_around, random_solids
from sciml.errors import CheckpointError, InputError
from sciml.models.direction_net import DirectionNet, coarsen
from sciml.training import DirectionSettings, TrainedDirection, direction, load_direction, train_direction
from sciml.training.direction import SHIPPED, _initial_network, _Loop, direction_loss
from sciml.training.direction_settings import find_training_recipe, load_direction_settings
from sciml.training.ritz import combinations, ritz_vectors
from solvers import linear_solve
from solvers.linear import ConjugateDirections, diffusion_operator

RNG = np.random.default_rng(5)
DD, DN, PP = ("dirichlet", "dirichlet"), ("dirichlet", "neumann"), ("periodic", "periodic")
TINY = {"resolution": 16, "ritz_vectors": 100, "samples": 256, "valid": 32, "epochs": 8}


def untrained(dimension=2, seed=0):
    torch.manual_seed(seed)
    return TrainedDirection(DirectionNet(dimension, smoothing=2, coarse=8))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("direction") / "run"
    train_direction(out, DirectionSettings(**TINY))
    return out


def tensor(array):
    return torch.from_numpy(np.asarray(array, dtype=np.float32))[None, None]


class TestLevels:
    @pytest.mark.parametrize("shape", [(20, 13), (9, 6, 11)])
    def test_the_finest_one_is_the_operator(self, shape):
        sides = (DD, DN, DD)[: len(shape)]
        A = diffusion_operator(np.exp(RNG.standard_normal(shape)), spacing=(0.1, 0.2, 0.1)[: len(shape)], sides=sides, reaction=30.0)
        finest = coarsen(A.faces, A.reaction).levels[0]
        assert all(n % 2 ** (min(shape).bit_length() - 3) == 0 for n in finest.fluid.shape[2:])
        u = np.pad(RNG.standard_normal(shape), [(0, m - n) for m, n in zip(finest.fluid.shape[2:], shape, strict=True)])
        inside = tuple(slice(n) for n in shape)
        ours, theirs = finest.apply(tensor(u)).numpy()[0, 0], A @ u[inside]
        scale = float((ours[inside] * theirs).sum() / (theirs**2).sum())
        np.testing.assert_allclose(ours[inside], scale * theirs, atol=1e-5 * abs(scale * theirs).max())
        np.testing.assert_allclose(finest.inverse_diagonal.numpy()[0, 0][inside], 1 / (scale * A.diagonal), rtol=1e-5)
        assert not ours[tuple(slice(n, None) for n in shape)].any()

    @pytest.mark.parametrize("dimension", [2, 3])
    def test_coarsening_an_empty_box_gives_the_box_again(self, dimension):
        def box(n):  # reaction c = 0.7 on a box of width 1, times h^2
            return diffusion_operator(
                1.0, shape=(n,) * dimension, spacing=(1.0,) * dimension, sides=(DD, DN, DD)[:dimension], reaction=0.7 / n**2
            )

        fine, coarse = (coarsen(A.faces, A.reaction).levels for A in (box(16), box(8)))
        assert len(fine) == len(coarse) + 1 == 3
        for ours, theirs in zip(fine[1:], coarse, strict=True):
            for one, other in zip(
                (*ours.links, ours.walls, ours.reaction, ours.fluid),
                (*theirs.links, theirs.walls, theirs.reaction, theirs.fluid),
                strict=True,
            ):
                torch.testing.assert_close(one, other)

    def test_grids_too_small_to_halve_have_one(self):
        A = poisson_around(np.zeros((5, 30), dtype=bool))
        assert len(coarsen(A.faces, A.reaction).levels) == 1


class TestNetwork:
    def test_is_linear_and_knows_no_axis_from_another(self):
        solid = random_solids((24, 24), np.random.default_rng(1))
        r, s = (RNG.standard_normal((24, 24)) * ~solid for _ in range(2))
        network = untrained()

        def f(r, solid=solid):
            return network.on(poisson_around(solid))(r.ravel()).reshape(24, 24)

        size = abs(f(r)).max()
        np.testing.assert_allclose(f(2 * r - 3 * s), 2 * f(r) - 3 * f(s), atol=1e-4 * size)
        np.testing.assert_allclose(f(r.T, solid.T), f(r).T, atol=1e-5 * size)
        np.testing.assert_allclose(f(r[::-1], solid[::-1]), f(r)[::-1], atol=1e-5 * size)
        assert abs(f(r) - f(r).T).max() > 0.1 * size

    def test_pinned_cells_are_solved_and_do_not_disturb_the_fluid(self):
        solid = random_solids((24, 20), np.random.default_rng(2))
        A = poisson_around(solid)
        r = RNG.standard_normal((24, 20))
        f = untrained().on(A)
        d = f(r.ravel()).reshape(24, 20)
        np.testing.assert_allclose(d[solid], r[solid], rtol=1e-6)
        np.testing.assert_array_equal(f((r * ~solid).ravel()).reshape(24, 20)[~solid], d[~solid])

    @pytest.mark.parametrize(
        ("shape", "sides", "message"),
        [
            ((8, 8, 8), (DD, DD, DD), "A has 3 axes, but the direction network is for 2; train one with dimension = 3"),
            ((8, 8), (DD, PP), "periodic along axis 1"),
        ],
    )
    def test_refuses_other_dimensions_and_periodic_sides(self, shape, sides, message):
        A = diffusion_operator(1.0, shape=shape, spacing=(1.0,) * len(shape), sides=sides)
        with pytest.raises(InputError, match=message):
            untrained().on(A)


class TestLoss:
    solid = random_solids((12, 10), np.random.default_rng(3))
    A = poisson_around(solid)
    level = coarsen(A.faces, A.reaction).levels[0]
    r = torch.from_numpy(RNG.standard_normal((3, 1, 12, 10)) * ~solid)

    def propose(self, c):
        lu = spla.splu(self.A.to_csr().tocsc())
        return lambda r: c * torch.from_numpy(np.array([lu.solve(one.numpy().ravel()).reshape(1, 12, 10) for one in r]))

    def exact_level(self):
        """Float64, so that a loss of 0 is 0 to rounding."""
        A = self.A

        class Exact:
            def apply(self, z):
                return torch.from_numpy(np.array([(A @ one.detach().numpy()[0])[None] for one in z]))

        return Exact()

    @pytest.mark.parametrize("c", [1.0, -3.7, 1e-3])
    def test_is_zero_for_every_multiple_of_the_inverse(self, c):
        assert direction_loss(self.propose(c), self.exact_level(), self.r, 1).max() < 1e-20

    def test_of_the_residual_itself_is_what_conjugate_gradients_leave(self):
        for row, loss in zip(self.r, direction_loss(lambda r: r, self.exact_level(), self.r, 5), strict=True):
            norms = np.array(linear_solve(self.A, row[0].numpy(), "cg", maxiter=5).residual_norms)
            assert float(loss) == pytest.approx(np.mean((norms[1:6] / norms[:5]) ** 2), rel=1e-9)

    def test_of_a_given_direction_is_the_formula(self):
        d = RNG.standard_normal((3, 1, 12, 10))
        found = direction_loss(lambda r: torch.from_numpy(d), self.exact_level(), self.r, 1)
        for k in range(3):
            r, f, A = self.r[k].numpy().ravel(), d[k].ravel(), self.A.to_csr()
            r = r / np.linalg.norm(r)
            alpha = (f @ r) / (f @ (A @ f))
            assert float(found[k]) == pytest.approx(np.sum((r - alpha * (A @ f)) ** 2), rel=1e-10)


class TestRitz:
    A = poisson_around(np.zeros((14, 11), dtype=bool))
    exact = np.linalg.eigvalsh(A.to_csr().toarray())

    def test_vectors_of_the_whole_space_are_eigenvectors(self):
        values, vectors = ritz_vectors(self.A.matvec, self.A.size, 1000, np.random.default_rng(0))
        assert len(values) == len(np.unique(self.exact.round(9)))
        np.testing.assert_allclose(values, np.unique(self.exact.round(9)), atol=1e-8)
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(values)), atol=1e-10)
        np.testing.assert_allclose([self.A @ v for v in vectors], values[:, None] * vectors, atol=1e-7)

    def test_few_steps_find_the_ends_of_the_spectrum(self):
        values, vectors = ritz_vectors(self.A.matvec, self.A.size, 50, np.random.default_rng(0))
        assert vectors.shape == (50, self.A.size)
        np.testing.assert_allclose(values[[0, -1]], self.exact[[0, -1]], rtol=1e-8)

    def test_combinations_have_norm_1_and_favour_the_lower_half(self):
        _, vectors = ritz_vectors(self.A.matvec, self.A.size, 100, np.random.default_rng(0))
        b = combinations(vectors, 500, np.random.default_rng(1))
        np.testing.assert_allclose(np.linalg.norm(b, axis=1), 1, rtol=1e-6)
        power = ((b @ vectors.T) ** 2).mean(0)
        assert power[:50].sum() / power[50:].sum() == pytest.approx(81, rel=0.1)


class TestTraining:
    def test_learns_and_records_its_figures(self, run):
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == list(range(1, 9))
        assert rows[-1]["valid_residual"] < 0.1 < 2 * rows[0]["valid_residual"]
        assert not list(run.rglob("*.pkl"))
        assert sum(p.numel() for p in load_direction(run).network.parameters()) == 42

    def test_held_out_right_hand_sides_are_none_of_those_trained_on(self):
        settings = DirectionSettings(**TINY)
        train, valid = (part.flatten(1) for part in _Loop(settings, _initial_network(settings))._right_hand_sides())
        assert (len(train), len(valid)) == (256, 32)
        assert (train @ valid.T).abs().max() < 0.9  # of norm 1

    def test_goes_on_to_the_same_bits(self, run, tmp_path):
        class Stop(Exception):
            pass

        def stop(stage, done, total, figures):
            if done == total // 2 + 3:
                raise Stop

        out = tmp_path / "run"
        with pytest.raises(Stop):
            train_direction(out, DirectionSettings(**TINY), progress=stop)
        result = train_direction(out, DirectionSettings(**TINY))
        assert (result.resumed_from, result.epochs) == (4, 8)
        weights = [next(path.glob("checkpoints/epoch-000008/model.safetensors")).read_bytes() for path in (run, out)]
        assert weights[0] == weights[1]
        with pytest.raises(CheckpointError, match=r"was trained with settings.seed = 0, not 1"):
            train_direction(out, DirectionSettings(**TINY, seed=1))

    def test_a_folder_without_a_direction_network_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"holds no config\.json"):
            load_direction(tmp_path)
        (tmp_path / "config.json").write_text('{"format": "sciml-run"}')
        with pytest.raises(CheckpointError, match="format: Input should be 'sciml-direction'"):
            load_direction(tmp_path)

    def test_damaged_weights_are_refused(self, run, tmp_path):
        copy = Path(copytree(run, tmp_path / "copy"))
        for path in copy.glob("checkpoints/*/model.safetensors"):
            path.write_bytes(path.read_bytes()[:-5])
        with pytest.raises(CheckpointError, match="missing or damaged"):
            load_direction(copy)


class TestUse:
    @pytest.mark.parametrize("n", [64, 128])
    def test_the_untrained_network_needs_three_times_the_iterations(self, run, n):
        solid = random_solids((n, n), np.random.default_rng(n))
        A, b = poisson_around(solid), RNG.standard_normal((n, n)) * ~solid
        learned, random = (
            linear_solve(A, b, ConjugateDirections(network.on(A)), rtol=1e-4).iterations for network in (load_direction(run), untrained())
        )
        assert random >= 3 * learned
        assert learned <= linear_solve(A, b, "cg", rtol=1e-4).iterations / 5

    @pytest.mark.parametrize(("shape", "seed"), [((64, 64), 0), ((37, 90), 1), ((128, 128), 2)])
    def test_solves_around_obstacles_it_has_not_seen(self, run, shape, seed):
        solid = random_solids(shape, np.random.default_rng(seed))
        A, b = poisson_around(solid), RNG.standard_normal(shape) * ~solid
        solution = linear_solve(A, b, ConjugateDirections(load_direction(run).on(A)), rtol=1e-10).raise_for_status()
        exact = spla.splu(A.to_csr().tocsc()).solve(b.ravel()).reshape(shape)
        np.testing.assert_allclose(solution.x, exact, atol=1e-8 * abs(exact).max())
        assert solution.iterations <= 30
        assert solution.info["replaced"] == 0

    def test_is_a_flexible_preconditioner(self, run):
        solid = random_solids((48, 48), np.random.default_rng(7))
        A, b = poisson_around(solid), RNG.standard_normal((48, 48)) * ~solid
        with_network = linear_solve(A, b, "cg", M=load_direction(run).preconditioner(A), rtol=1e-8).raise_for_status()
        assert with_network.iterations <= linear_solve(A, b, "cg", rtol=1e-8).iterations / 5

    def test_three_dimensions(self, tmp_path):
        small = {"dimension": 3, "resolution": 8, "ritz_vectors": 60, "samples": 128, "valid": 16, "epochs": 6}
        train_direction(tmp_path / "run", DirectionSettings(**small))
        solid = random_solids((14, 11, 17), np.random.default_rng(8))
        A, b = poisson_around(solid), RNG.standard_normal((14, 11, 17)) * ~solid
        solution = linear_solve(A, b, ConjugateDirections(load_direction(tmp_path / "run").on(A)), rtol=1e-8).raise_for_status()
        np.testing.assert_allclose(solution.x.ravel(), spla.splu(A.to_csr().tocsc()).solve(b.ravel()), atol=1e-5)
        assert solution.iterations <= linear_solve(A, b, "cg", rtol=1e-8).iterations / 3


class TestShipped:
    @pytest.mark.parametrize("name", SHIPPED)
    def test_is_small_and_was_trained_as_its_recipe_says(self, name):
        folder = Path(direction.__file__).parent / "networks" / name
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 100_000
        assert sorted(path.name for path in files) == ["best", "config.json", "config.json", "model.safetensors"]
        stored = json.loads((folder / "config.json").read_text())["settings"]
        recipe = find_training_recipe(name)
        assert stored == load_direction_settings(recipe, {}).model_dump()
        assert f"sciml train {name} --out" in recipe.read_text()

    @pytest.mark.parametrize(("name", "n"), [("direction-2d", 200), ("direction-3d", 32)])
    def test_solves_around_obstacles(self, name, n):
        network = load_direction(name)
        shape = (n,) * network.network.dimension
        solid = random_solids(shape, np.random.default_rng(12))
        A, b = poisson_around(solid), RNG.standard_normal(shape) * ~solid
        assert linear_solve(A, b, ConjugateDirections(network.on(A)), rtol=1e-4).raise_for_status().iterations <= 8

    @pytest.mark.slow
    def test_comes_back_from_its_command(self, tmp_path):
        train_direction(tmp_path / "run", load_direction_settings(find_training_recipe("direction-2d"), {}))
        again, shipped = (load_direction(run).network.state_dict() for run in (tmp_path / "run", "direction-2d"))
        for name, weights in shipped.items():  # other processors round otherwise, and training amplifies it
            np.testing.assert_allclose(again[name], weights, atol=0.05)


class TestCommand:
    def sciml(self, *arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    def recipe(self, folder, text):
        path = folder / "mine.toml"
        path.write_text(text)
        return path

    def test_trains_what_a_recipe_says(self, tmp_path):
        recipe = self.recipe(tmp_path, "model = 'direction'\nresolution = 8\nritz_vectors = 20\nsamples = 16\nvalid = 4\nepochs = 5\n")
        result = self.sciml("train", recipe, "--out", tmp_path / "run", "--epochs", 1, "--seed", 3, "--json", "--quiet")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["epochs"] == 1
        settings = json.loads((tmp_path / "run" / "config.json").read_text())["settings"]
        assert (settings["seed"], settings["resolution"]) == (3, 8)

    @pytest.mark.parametrize(
        ("text", "options", "sentence"),
        [
            ("model = 'direction'", ["--modes", 8], "unknown setting 'modes'"),
            ("model = 'direction'\nepoch = 3", [], "unknown setting 'epoch'; did you mean 'epochs'?"),
            ("model = 'direction'\ndimension = 4", [], "dimension = 4 is not valid"),
            ("name = 'x'", [], "has model = None; write 'direction', 'pinn' or 'lpinn', or run `sciml generate` first"),
            ("model = ", [], "cannot be read as TOML"),
        ],
    )
    def test_refuses_other_recipes_and_settings(self, tmp_path, text, options, sentence):
        result = self.sciml("train", self.recipe(tmp_path, text), "--out", tmp_path / "run", "--quiet", *options)
        assert (result.exit_code, result.stdout) == (3, "")
        assert sentence in result.stderr
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("dimension", [2, 3])
    def test_shipped_recipes_are_valid(self, dimension):
        path = find_training_recipe(f"direction-{dimension}d")
        assert load_direction_settings(path, {}).dimension == dimension
