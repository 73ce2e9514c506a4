"""Checkpoints: written aside, read back to the bit, and refused when damaged, foreign or hostile."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sciml.errors import CheckpointError
from sciml.training import TrainSettings, load_operator, train
from sciml.training.checkpoint import Checkpoints
from sciml.training.samples import ArraySamples

TINY = {"hidden_channels": 4, "modes": 4, "layers": 2, "epochs": 3, "batch_size": 4, "learning_rate": 1e-2}


def samples() -> ArraySamples:
    x = np.random.default_rng(0).standard_normal((8, 6, 6)).astype(np.float32)
    return ArraySamples({"x": x, "y": 2 * x + 1}, ("x",), ("y",), (1.0, 1.0))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small lose more to waking threads than they gain
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    train((samples(), samples()), out, TrainSettings(**TINY))
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def last(run: Path) -> Path:
    return run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()


def again(run: Path) -> None:
    """Continue the run, which reads its last checkpoint even though it is complete."""
    train((samples(), samples()), run, TrainSettings(**TINY))


def test_complex_and_real_tensors_come_back_to_the_bit(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path / "checkpoints")
    weights = {"a": torch.randn(3, 4, dtype=torch.complex64), "b": torch.randn(5, 2).T}
    store.save(12, weights, {"state": {0: {"exp_avg": weights["a"]}}, "param_groups": [{"lr": 0.1, "params": [0]}]}, {"k": 1})
    assert store.epoch_of("last") == 12
    assert store.epoch_of("best") is None
    assert all(torch.equal(value, weights[name]) for name, value in store.weights(12).items())
    assert torch.equal(store.optimizer(12)["state"][0]["exp_avg"], weights["a"])
    assert store.config(12) == {"k": 1, "epoch": 12}
    assert sorted(path.name for path in store.path(12).iterdir()) == ["config.json", "model.safetensors", "state.pt"]


def test_prune_keeps_what_it_is_told(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    for epoch in range(1, 6):
        store.save(epoch, {"a": torch.ones(1)}, {}, {})
    (tmp_path / "epoch-000009.tmp").mkdir()
    store.prune({2, 4, 5})
    assert sorted(path.name for path in tmp_path.glob("epoch*")) == ["epoch-000002", "epoch-000004", "epoch-000005"]


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(1, {"a": torch.ones(10)}, {}, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for tensors, state in (({"a": torch.ones(100_000)}, {}), ({"a": torch.ones(1)}, {"b": torch.ones(100_000)})):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # a write beyond this fails, as on a full disk
        try:
            with pytest.raises(CheckpointError, match=r"epoch-000002 cannot be written .* make room"):
                store.save(2, tensors, state, {})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-000001", "last"]
        assert store.epoch_of("last") == 1
    assert torch.equal(store.weights(1)["a"], torch.ones(10))


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match="cannot be written"):
        Checkpoints(tmp_path / "checkpoints").save(1, {"a": torch.ones(1)}, {}, {})


@pytest.mark.parametrize("file", ["model.safetensors", "state.pt", "config.json"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "noise", "missing", "zeros", "folder"])
def test_damaged_files_are_refused_in_one_sentence(run: Path, file: str, damage: str) -> None:
    path = last(run) / file
    content = path.read_bytes()
    path.unlink()
    match damage:
        case "truncated":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.touch()
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(len(content)))
        case "zeros":
            path.write_bytes(bytes(len(content)))
        case "folder":
            path.mkdir()
    (run / "checkpoints" / "best").write_text(last(run).name)
    with pytest.raises(CheckpointError) as caught:
        again(run)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    if file != "state.pt":  # a prediction does not need the optimizer
        with pytest.raises(CheckpointError, match=file.replace(".", r"\.")):
            load_operator(run)


class Hostile:
    """Unpickling this would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_pickle_that_would_run_code_is_refused_and_not_run(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    for content in (Hostile(target), {"optimizer": Hostile(target), "epoch": 3}):
        torch.save(content, last(run) / "state.pt")
        with pytest.raises(CheckpointError, match=r"state\.pt is missing or damaged"):
            again(run)
        (last(run) / "state.pt").write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(CheckpointError, match=r"state\.pt is missing or damaged"):
            again(run)
    assert not target.exists()


def change_moments(state) -> None:
    state["state"][0]["exp_avg"] = torch.ones(99)


def drop_a_parameter(state) -> None:
    state["param_groups"][0]["params"].pop()


def rename_a_moment(state) -> None:
    state["state"][0]["momentum"] = state["state"][0].pop("exp_avg_sq")


@pytest.mark.parametrize("change", [change_moments, drop_a_parameter, rename_a_moment, lambda state: state.pop("param_groups")])
def test_the_optimizer_of_another_model_is_refused(run: Path, change) -> None:
    path = last(run) / "state.pt"
    content = torch.load(path, weights_only=True)
    change(content["optimizer"])
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"state\.pt is (the optimizer of another model|missing or damaged)"):
        again(run)


@pytest.mark.parametrize(
    ("optimizer", "change"),
    [
        ("mfac", lambda state: state.pop("fisher")),
        ("mfac", lambda state: state["fisher"].update(gradients=torch.ones(3, 3))),
        ("mfac", lambda state: state["fisher"].update(seen="many")),
        ("mkor", lambda state: state.pop("mkor")),
        ("mkor", lambda state: state["mkor"]["factors"].popitem()),
        ("mkor", lambda state: state["mkor"]["factors"].update(dict.fromkeys(state["mkor"]["factors"], 3))),
        ("mkor", lambda state: state["mkor"].pop("steps")),
        ("mkor", lambda state: state["state"][0].update(exp_avg=torch.ones(99))),
    ],
)
def test_the_curvature_of_another_model_is_refused(tmp_path: Path, optimizer: str, change) -> None:
    settings = TrainSettings(**{**TINY, "epochs": 1}, optimizer=optimizer)
    train((samples(), samples()), tmp_path / "run", settings)
    path = last(tmp_path / "run") / "state.pt"
    content = torch.load(path, weights_only=True)
    change(content["optimizer"])
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"state\.pt is (the optimizer of another model|missing or damaged)"):
        train((samples(), samples()), tmp_path / "run", settings)


@pytest.mark.parametrize("name", ["valid_relative_l2", "valid_relative_h1"])
@pytest.mark.parametrize("value", [None, "small"])
def test_a_row_without_its_figures_is_refused(run: Path, name: str, value: str | None) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[1][name] = value
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(CheckpointError, match=rf"metrics\.jsonl is damaged \({name} of epoch 2 is"):
        again(run)


def change_weights(run: Path, change) -> None:
    path = last(run) / "model.safetensors"
    save_file(change(load_file(path)), path)
    (run / "checkpoints" / "best").write_text(last(run).name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {k: v for k, v in w.items() if not k.endswith("lifting.fcs.0.bias")}, "lacks tensor 'network.lifting.fcs.0.bias'"),
        (lambda w: {**w, "extra": torch.ones(1)}, "has the unknown tensor 'extra'"),
        (lambda w: {**w, "network.lifting.fcs.0.bias": torch.ones(99)}, r"'network.lifting.fcs.0.bias' as \(99,\)"),
        (lambda w: {**w, "network.lifting.fcs.0.bias": w["network.lifting.fcs.0.bias"].double()}, "float64"),
    ],
)
def test_tensors_of_another_model_are_named(run: Path, change, words: str) -> None:
    change_weights(run, change)
    with pytest.raises(CheckpointError, match=words):
        load_operator(run)
    with pytest.raises(CheckpointError, match=words):
        again(run)


def test_a_checkpoint_of_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    train((samples(), samples()), other, TrainSettings(**{**TINY, "hidden_channels": 5}))
    shutil.rmtree(last(run))
    shutil.copytree(last(other), last(run))
    (run / "checkpoints" / "best").write_text(last(run).name)
    for action in (again, load_operator):
        with pytest.raises(CheckpointError, match=r"settings\.hidden_channels = 5, not 4"):
            action(run)


@pytest.mark.parametrize("content", ["epoch-000099", "../../etc", "", "\0\0\0", "epoch-000001/../epoch-000001"])
def test_a_pointer_to_nowhere_is_refused(run: Path, content: str) -> None:
    for name in ("last", "best"):
        (run / "checkpoints" / name).write_text(content)
    for action in (again, load_operator):
        with pytest.raises(CheckpointError, match="is no checkpoint here"):
            action(run)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "[" * 100_000, "\0", '{"format": "sciml-run", "version": 1}'])
def test_a_garbled_config_is_refused(run: Path, content: str) -> None:
    (run / "config.json").write_text(content)
    for action in (again, load_operator):
        with pytest.raises(CheckpointError, match=r"config\.json") as caught:
            action(run)
        assert "\n" not in str(caught.value)


def rewrite(path: Path, **changes: object) -> None:
    """Change entries of a JSON file by their dotted names, with `__` for the dot."""
    content = json.loads(path.read_text())
    for name, value in changes.items():
        *parents, key = name.split("__")
        inner = content
        for parent in parents:
            inner = inner[parent]
        inner[key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"settings__hidden_channels": -4}, "hidden_channels = -4"),
        ({"settings__colour": "red"}, "unknown setting 'colour'"),
        ({"data__path": 5}, "data.path"),
        ({"data__shape": []}, "data.shape"),
        ({"data__shape": [6]}, r"data: .*shape \[6\], extent \[1.0, 1.0\] and axes .* need one entry an axis each"),
        ({"data__shape": "6x6"}, "data.shape"),
        ({"normaliser__inputs__std": [0.0]}, "positive std"),
        ({"normaliser__inputs__names": ["z"]}, "normaliser is for"),
        ({"inputs": ["a", "b"]}, "normaliser is for"),
        ({"extra": 1}, "extra"),
    ],
)
def test_entries_of_a_config_are_checked(run: Path, changes: dict[str, object], words: str) -> None:
    for path in (run / "config.json", *run.glob("checkpoints/epoch-*/config.json")):
        rewrite(path, **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_operator(run)
    assert "\n" not in str(caught.value)


def test_a_config_that_asks_for_terabytes_costs_nothing(run: Path) -> None:
    for path in (run / "config.json", *run.glob("checkpoints/epoch-*/config.json")):
        rewrite(path, settings__hidden_channels=1024, settings__modes=1024, settings__layers=32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match="belongs to another model"):
        load_operator(run)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_metrics_that_miss_an_epoch_are_refused(run: Path) -> None:
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    for content in (lines[0] + lines[2], "", "nonsense\n" + "".join(lines[1:])):
        (run / "metrics.jsonl").write_text(content)
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl"):
            again(run)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no config\.json: give a folder made by `sciml train`"):
        load_operator(tmp_path)
