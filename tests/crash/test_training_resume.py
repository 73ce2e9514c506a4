"""A run that is killed, at random moments and at every step of writing a checkpoint, ends with the same bits as one that is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sciml.training.settings import OPTIMIZERS

DRIVER = r"""
import itertools, json, os, random, shutil, signal, sys, time
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
import sciml.models.operators  # before the forks: every child would spend seconds on it
from sciml.training import TrainSettings, train
from sciml.training.samples import ArraySamples

root = Path(sys.argv[1])
x = np.random.default_rng(0).standard_normal((12, 8, 8)).astype(np.float32)
samples = ArraySamples({"x": x, "y": 2 * x + np.roll(x, 1, 1)}, ("x",), ("y",), (1.0, 1.0), symmetries=("reflect_x", "swap_xy"))
settings = TrainSettings(hidden_channels=4, modes=4, layers=2, epochs=int(sys.argv[2]), batch_size=4, learning_rate=1e-2,
                         optimizer=sys.argv[4])


def leaves(value):
    if isinstance(value, dict):
        return [leaf for key, entry in value.items() for leaf in (key, *leaves(entry))]
    if isinstance(value, (list, tuple)):
        return [leaf for entry in value for leaf in leaves(entry)]
    return [value.numpy().tobytes() if isinstance(value, torch.Tensor) else value]


def outcome(run):
    last = run / "checkpoints" / (run / "checkpoints" / "last").read_text().strip()
    state = leaves(torch.load(last / "state.pt", weights_only=True)["optimizer"])
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"]
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    return (last / "model.safetensors").read_bytes(), state, rows, kept, (run / "checkpoints" / "best").read_text()


def child(run, die_at=None):
    # fork: importing torch again for every kill would cost minutes
    pid = os.fork()
    if pid:
        return pid
    count = itertools.count(1)
    def mortal(function):
        def call(*arguments, **keywords):
            if next(count) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)
        return call
    for module, name in ((os, "fsync"), (os, "replace"), (os, "mkdir"), (shutil, "rmtree")):
        setattr(module, name, mortal(getattr(module, name)))
    try:
        train((samples, samples), run, settings)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def status(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL), code
    return code


durations = []
for name in ("straight", "again"):  # the first one also pays for what only happens once
    began = time.monotonic()
    assert status(child(root / name)) == 0
    durations.append(time.monotonic() - began)
duration = min(durations)
expected = outcome(root / "straight")

rng, kills = random.Random(0), 0
for attempt in range(int(sys.argv[3])):
    run = root / f"random-{attempt}"
    for _ in range(3):
        pid = child(run)
        time.sleep(rng.uniform(0.0, 0.6 * duration))
        os.kill(pid, signal.SIGKILL)
        kills += status(pid) != 0
    assert status(child(run)) == 0
    assert outcome(run) == expected, attempt

written, step = 0, 0
while True:
    step += 1
    run = root / f"step-{step}"
    if status(child(run, die_at=step)) == 0:
        break
    written += 1
    assert status(child(run)) == 0
    assert outcome(run) == expected, step
    shutil.rmtree(run)
print(json.dumps({"random": kills, "steps": written}))
"""


@pytest.mark.parametrize(
    ("optimizer", "epochs", "attempts", "random", "steps"),
    [  # at least so many kills; a step is a forced write or a rename
        ("adamw", 2, 2, 1, 20),
        *(pytest.param(name, 5, 10, 10, 50, marks=pytest.mark.slow) for name in OPTIMIZERS),
    ],
)
def test_killed_runs_end_with_the_same_bits(tmp_path: Path, optimizer: str, epochs: int, attempts: int, random: int, steps: int) -> None:
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(epochs), str(attempts), optimizer]
    result = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    kills = json.loads(result.stdout.splitlines()[-1])
    assert kills["random"] >= random
    assert kills["steps"] >= steps
