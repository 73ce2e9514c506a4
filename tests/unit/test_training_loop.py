"""The loop: what it learns, what it writes, and that an interruption anywhere changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from sciml.errors import CheckpointError, DatasetError
from sciml.models import SettingsError
from sciml.training import TrainSettings, load_operator, train
from sciml.training.batches import Batches, fit_normaliser
from sciml.training.loop import Progress
from sciml.training.samples import ArraySamples
from sciml.training.settings import OPTIMIZERS

TINY = {"hidden_channels": 6, "modes": 4, "layers": 2, "epochs": 4, "batch_size": 4, "learning_rate": 1e-2}


def smoothing(count: int, seed: int, n: int = 8, **more: object) -> ArraySamples:
    """A linear map to learn: the mean over a cell and its neighbours on a periodic square, plus ten."""
    x = np.random.default_rng(seed).standard_normal((count, n, n)).astype(np.float32)
    y = 10 + sum(np.roll(x, shift, axis) for axis in (1, 2) for shift in (-1, 0, 1)) / 6
    options = {"boundary": (("periodic", "periodic"),) * 2, "symmetries": ("reflect_x", "swap_xy"), **more}
    return ArraySamples({"x": x, "y": y}, inputs=("x",), outputs=("y",), extent=(1.0, 1.0), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # equal bits are promised for equal numbers of threads
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pair() -> tuple[ArraySamples, ArraySamples]:
    return smoothing(18, 1), smoothing(6, 2)


@pytest.fixture(scope="module")
def straight(pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "straight"
    train(pair, out, TrainSettings(**TINY))
    return out


def outcome(run: Path) -> tuple[bytes, list[object], list[dict[str, float]]]:
    """Weights, optimizer state and metrics of the last epoch, without the clock."""
    last = run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()
    state = list(leaves(torch.load(last / "state.pt", weights_only=True)["optimizer"]))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return (last / "model.safetensors").read_bytes(), state, [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def leaves(value: object) -> Iterator[object]:
    """The bits of every tensor, and every plain value, with the keys on the way."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from leaves(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from leaves(entry)
    else:
        yield value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def test_it_learns_and_reports(pair, tmp_path: Path) -> None:
    result = train(pair, tmp_path / "run", TrainSettings(**{**TINY, "epochs": 20}))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 21))
    spread = np.std(pair[1].arrays["y"]) / np.sqrt(np.mean(np.square(pair[1].arrays["y"])))  # error of predicting the mean
    assert result.valid_relative_l2 < 0.5 * spread
    best = min(rows, key=lambda row: row["valid_relative_l2"])
    assert (result.best_epoch, result.valid_relative_l2, result.valid_relative_h1) == (
        best["epoch"],
        best["valid_relative_l2"],
        best["valid_relative_h1"],
    )
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == sorted({f"epoch-{best['epoch']:06d}", "epoch-000019", "epoch-000020", "best", "last"})


def test_the_stored_operator_reproduces_the_validation_figure(pair, straight: Path) -> None:
    operator = load_operator(straight)
    x, y = pair[1].arrays["x"], pair[1].arrays["y"]
    difference = operator.predict(x[:, None])[:, 0] - y
    errors = np.linalg.norm(difference.reshape(6, -1), axis=1) / np.linalg.norm(y.reshape(6, -1), axis=1)
    rows = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
    assert rows[operator.epoch - 1]["valid_relative_l2"] == pytest.approx(errors.mean(), rel=1e-5)


def test_the_first_loss_is_that_of_the_initial_weights_in_physical_units(tmp_path: Path) -> None:
    """One step over all samples: the loss is taken before the weights move, whatever the order."""
    samples = smoothing(5, 3)
    settings = TrainSettings(**{**TINY, "epochs": 1, "batch_size": 5, "learning_rate": 1e-12, "weight_decay": 0.0})
    train((samples, smoothing(2, 4)), tmp_path / "run", settings)
    x, y = samples.arrays["x"], samples.arrays["y"]
    guess = load_operator(tmp_path / "run").predict(x[:, None])[:, 0]  # the step was too small to move anything
    expected = np.mean(np.linalg.norm((guess - y).reshape(5, -1), axis=1) / np.linalg.norm(y.reshape(5, -1), axis=1))
    row = json.loads((tmp_path / "run" / "metrics.jsonl").read_text())
    assert row["train_loss"] == pytest.approx(expected, rel=0.02)  # the network is not equivariant, the samples are augmented


def test_normalisation_comes_from_the_train_split_alone(tmp_path: Path) -> None:
    train_split, valid = smoothing(6, 5), smoothing(3, 6)
    shifted = ArraySamples({"x": 100 * valid.arrays["x"], "y": valid.arrays["y"]}, ("x",), ("y",), (1.0, 1.0))
    settings = TrainSettings(**{**TINY, "epochs": 1})
    for name, other in (("plain", valid), ("shifted", shifted)):
        train((train_split, other), tmp_path / name, settings)
    plain, moved = (json.loads((tmp_path / name / "config.json").read_text())["normaliser"] for name in ("plain", "shifted"))
    assert plain == moved
    assert plain["inputs"]["mean"][0] == pytest.approx(train_split.arrays["x"].mean(), rel=1e-5)
    assert plain["outputs"]["std"][0] == pytest.approx(train_split.arrays["y"].std(), rel=1e-5)


@pytest.mark.parametrize("step", [1, 5, 6, 12, 19])
def test_an_interrupted_run_ends_with_the_same_bits(pair, straight: Path, tmp_path: Path, step: int) -> None:
    def interrupt(stage: str, done: int, total: int, figures: dict[str, object]) -> None:
        assert (stage, total) == ("train", 20)
        if done == step:
            raise KeyboardInterrupt

    out, settings = tmp_path / "run", TrainSettings(**TINY)
    with pytest.raises(KeyboardInterrupt):
        train(pair, out, settings, progress=interrupt)
    result = train(pair, out, settings)
    assert result.resumed_from == (step - 1) // 5
    assert outcome(out) == outcome(straight)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name != "adamw"])
def test_an_interrupted_run_of_another_optimizer_ends_with_the_same_bits(pair, optimizer: str, tmp_path: Path) -> None:
    """More steps than M-FAC's history is long, and than MKOR-H needs to its first verdict; interrupted before and after."""
    settings = TrainSettings(**{**TINY, "optimizer": optimizer, "batch_size": 1, "epochs": 10, "learning_rate": 1e-3})

    def interrupt(at: int) -> Progress:
        def progress(stage: str, done: int, total: int, figures: dict[str, object]) -> None:
            if done == at:
                raise KeyboardInterrupt

        return progress

    result = train(pair, tmp_path / "straight", settings)
    for step in (30, 75, 170):
        with pytest.raises(KeyboardInterrupt):
            train(pair, tmp_path / "run", settings, progress=interrupt(step))
    assert train(pair, tmp_path / "run", settings).resumed_from == 9
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")
    spread = np.std(pair[1].arrays["y"]) / np.sqrt(np.mean(np.square(pair[1].arrays["y"])))
    assert result.valid_relative_l2 < spread  # and it has learned something


def test_a_gradient_without_a_step_stops_the_run(pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise FloatingPointError("the gradient is NaN")

    monkeypatch.setattr("sciml.optimizers.MFAC.step", refuse)
    with pytest.raises(SettingsError, match=r"learning_rate = 0\.01 made a gradient without a step \(the gradient is NaN\); choose"):
        train(pair, tmp_path / "run", TrainSettings(**TINY, optimizer="mfac"))


def test_half_a_line_and_a_row_without_checkpoint_are_dropped(pair, straight: Path, tmp_path: Path) -> None:
    def stop_in_epoch_three(stage: str, done: int, total: int, figures: dict[str, object]) -> None:
        if done == 12:
            raise KeyboardInterrupt

    out, settings = tmp_path / "run", TrainSettings(**TINY)
    with pytest.raises(KeyboardInterrupt):
        train(pair, out, settings, progress=stop_in_epoch_three)
    with (out / "metrics.jsonl").open("a") as handle:
        handle.write('{"epoch": 3, "train_loss": 99.0, "valid_relative_l2": 0.0}\n{"epoch": 4, "tra')
    (out / "checkpoints" / "epoch-000003.tmp").mkdir()
    train(pair, out, settings)
    assert outcome(out) == outcome(straight)
    assert not list((out / "checkpoints").glob("*.tmp"))


def test_a_complete_run_is_left_alone(pair, straight: Path) -> None:
    before = {path: path.read_bytes() for path in straight.rglob("*") if path.is_file() and path.name != "metrics.jsonl"}
    result = train(pair, straight, TrainSettings(**TINY))
    assert result.resumed_from == result.epochs == 4
    assert {path: path.read_bytes() for path in before} == before


def test_streaming_gives_the_same_bits_as_memory(pair, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciml.training.batches._MEMORY_LIMIT", 0)
    assert Batches(pair[0], fit_normaliser(pair[0], ("x",)))._kept is None
    train(pair, tmp_path / "run", TrainSettings(**TINY))
    assert outcome(tmp_path / "run") == outcome(straight)


def test_every_epoch_sees_every_sample_once_in_an_order_of_its_own(pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Recording(ArraySamples):
        def __getitem__(self, index: int) -> dict[str, np.ndarray]:
            seen.append(index)
            return super().__getitem__(index)

    monkeypatch.setattr("sciml.training.batches._MEMORY_LIMIT", 0)
    recording = Recording(**{name: getattr(pair[0], name) for name in ArraySamples.__dataclass_fields__})
    train((recording, pair[1]), tmp_path / "run", TrainSettings(**TINY))
    epochs = [tuple(seen[start : start + 18]) for start in range(2 * 18, len(seen), 18)]  # the first two passes fit the normalisers
    assert len(epochs) == TINY["epochs"]
    assert all(sorted(order) == list(range(18)) for order in epochs)
    assert len(set(epochs)) == len(epochs)


def test_seed_and_augmentation_matter(pair, straight: Path, tmp_path: Path) -> None:
    for name, change in (("seed", {"seed": 1}), ("plain", {"augment": False})):
        train(pair, tmp_path / name, TrainSettings(**{**TINY, **change}))
        assert outcome(tmp_path / name)[0] != outcome(straight)[0]


def test_the_callers_random_state_is_left_alone(pair, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(pair, tmp_path / "run", TrainSettings(**{**TINY, "epochs": 1}))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_channels": 7}, ["settings.hidden_channels = 6", "not 7"]),
        ({"epochs": 9}, ["settings.epochs = 4", "not 9"]),
        ({"model": "tfno"}, ["settings.model = 'fno'", "not 'tfno'"]),
        ({"optimizer": "mkor"}, ["settings.optimizer = 'adamw'", "not 'mkor'"]),
    ],
)
def test_other_settings_are_refused(pair, straight: Path, change: dict[str, object], words: list[str]) -> None:
    before = outcome(straight)
    with pytest.raises(CheckpointError) as caught:
        train(pair, straight, TrainSettings(**{**TINY, **change}))
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert outcome(straight) == before


def test_other_data_are_refused(pair, straight: Path) -> None:
    settings = TrainSettings(**TINY)
    with pytest.raises(CheckpointError, match=r"data\.samples\.train = 18, not 17"):
        train((smoothing(17, 1), pair[1]), straight, settings)
    with pytest.raises(CheckpointError, match=r"normaliser\.inputs\.mean"):
        train((smoothing(18, 9), pair[1]), straight, settings)
    with pytest.raises(CheckpointError, match=r"data\.name = 'arrays', not 'other'"):
        train((smoothing(18, 1, name="other"), pair[1]), straight, settings)


def test_foreign_and_busy_folders_are_refused(pair, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds 'thesis\.tex' but no run"):
        train(pair, tmp_path, TrainSettings(**TINY))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    busy = tmp_path / "busy"
    busy.mkdir()
    with FileLock(busy / ".lock"), pytest.raises(CheckpointError, match="another process is training"):
        train(pair, busy, TrainSettings(**TINY))
    with pytest.raises(CheckpointError, match="cannot be written"):
        train(pair, tmp_path / "thesis.tex", TrainSettings(**TINY))


def test_data_that_cannot_be_trained_on_are_refused(pair, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"split 'valid' .* holds no sample"):
        train((pair[0], smoothing(0, 2)), tmp_path / "a", TrainSettings(**TINY))
    blank = smoothing(4, 2)
    blank.arrays["y"][2] = 0
    with pytest.raises(DatasetError, match="field 'y' of sample 2 is zero everywhere"):
        train((pair[0], blank), tmp_path / "b", TrainSettings(**TINY))
    with pytest.raises(SettingsError, match=r"modes = 16 .* choose modes <= 8"):
        train(pair, tmp_path / "c", TrainSettings(**{**TINY, "modes": 16}))
    small = smoothing(4, 2, n=2)
    with pytest.raises(DatasetError, match=r"grid of 2 x 2 points, too few .* at least 3"):
        train((small, small), tmp_path / "d", TrainSettings(**{**TINY, "modes": 2, "loss": "h1"}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["boundary_layer", "boundary_x"])
def test_an_input_whose_name_only_starts_like_a_side_is_a_field(name: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 8, 8))
    samples = ArraySamples({name: x, "y": 2 * x}, (name,), ("y",), (1.0, 1.0), symmetries=("reflect_x",))
    assert train((samples, samples), tmp_path / "run", TrainSettings(**{**TINY, "epochs": 1})).epochs == 1
    flat = ArraySamples({name: x[:, 0], "y": 2 * x}, (name,), ("y",), (1.0, 1.0))
    with pytest.raises(DatasetError, match=f"field '{name}' has shape"):
        train((flat, flat), tmp_path / "flat", TrainSettings(**{**TINY, "epochs": 1}))


def test_a_loss_that_blows_up_stops_the_run(pair, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"learning_rate = 1 made the loss (nan|inf) in epoch \d+; choose a smaller one"):
        train(pair, tmp_path / "run", TrainSettings(**{**TINY, "learning_rate": 1.0, "epochs": 400, "weight_decay": 10.0}))


def test_scalars_and_sides_become_channels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, side, size = rng.standard_normal((6, 8, 8)), rng.standard_normal((6, 8)), rng.standard_normal(6)
    y = a + side[:, :, None] + size[:, None, None]  # the side y = low varies along x
    arrays = {"a": a, "boundary_y_low": side, "size": size, "y": y}
    samples = ArraySamples(arrays, ("a", "boundary_y_low"), ("y",), (1.0, 1.0), scalars=("size",))
    train((samples, samples), tmp_path / "run", TrainSettings(**{**TINY, "epochs": 60, "augment": False}))
    operator = load_operator(tmp_path / "run")
    assert operator.inputs.names == ("a", "boundary_y_low", "size")
    stacked = np.stack([a, np.broadcast_to(side[:, :, None], a.shape), np.broadcast_to(size[:, None, None], a.shape)], axis=1)
    assert np.linalg.norm(operator.predict(stacked)[:, 0] - y) < 0.3 * np.linalg.norm(y)  # without one of the channels it cannot be


def test_three_dimensions(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 6, 6, 6)).astype(np.float32)
    samples = ArraySamples({"x": x, "y": 2 * x + 1}, ("x",), ("y",), (1.0, 1.0, 1.0), symmetries=("reflect_z", "swap_xy", "swap_yz"))
    result = train((samples, samples), tmp_path / "run", TrainSettings(**{**TINY, "epochs": 25, "batch_size": 1, "loss": "h1"}))
    assert result.valid_relative_l2 < 0.4
    assert load_operator(tmp_path / "run").predict(x[:1, None]).shape == (1, 1, 6, 6, 6)
