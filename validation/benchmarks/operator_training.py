"""Training an FNO on neuraloperator's small Darcy set, beside neuraloperator's own Trainer.

Both sides get the same files, the same architecture (4 layers, hidden 24, 16 modes), the H1 loss, batches of 8, the same number of
epochs and the same seed, in one process with the same number of threads, and both are judged by their last epoch. Both are measured
on the 50 test samples, in the file's own units, by the same three lines of NumPy.

Each side has its own schedule and learning rate, which the details of the report state. The peer's are those that it publishes: StepLR
from 5e-3, halved every fifth of the epochs, on all 1,000 samples. Ours are this package's defaults: one cycle up to 4e-3, on 950
samples, since 50 are kept as the valid split. The check without symmetries is therefore of two trainings, not of one and the same.

The file samples the unit square at j/16, j = 0..15. Its symmetries, the reflections and rotations of the square, therefore take
sample j to sample -j modulo 16: the symmetries named ``reflect_nodes_x`` and so on.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.errors import DatasetError
from validation.options import check_between
from validation.report import save

log = logging.getLogger(__name__)

REFERENCE = Path(__file__).parents[1] / "reference"
FILES = {split: f"neuraloperator_darcy_{split}_16.npz" for split in ("train", "test")}
SYMMETRIES = ("reflect_nodes_x", "reflect_nodes_y", "swap_xy")
VALID_FRACTION = 0.05
Fields = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """One side of the comparison; `training` holds its samples, schedule and learning rate."""

    mean_relative_l2: float
    median_relative_l2: float
    seconds: float
    cpu_seconds: float
    parameters: int
    training: dict[str, Any]


def run(*, epochs: int = 40, data: Path = REFERENCE, seed: int = 0, out: Path = Path("demo/operator-training.json")) -> CheckReport:
    """Train three times for `epochs` epochs on the files in `data`; the report is also written to `out`."""
    check_between("epochs", epochs, 1, 100_000)
    check_between("seed", seed, 0, 2**63 - 1)
    start = time.perf_counter()
    arrays = {split: _load(data / name) for split, name in FILES.items()}
    outcomes = {"neuraloperator": _peer(arrays, epochs, seed)}
    with tempfile.TemporaryDirectory() as folder:
        for name, augment in (("plain", False), ("symmetries", True)):
            outcomes[name] = _ours(data, arrays["test"], epochs, seed, augment, Path(folder))
    details: dict[str, Any] = {"epochs": epochs, "seed": seed, **{name: asdict(outcome) for name, outcome in outcomes.items()}}
    report = CheckReport("operator-training", _checks(outcomes), time.perf_counter() - start, details)
    save(report, out)
    return report


def _checks(outcomes: dict[str, Outcome]) -> list[Check]:
    peer, plain, symmetric = (outcomes[name] for name in ("neuraloperator", "plain", "symmetries"))
    trainer = f"neuraloperator {metadata.version('neuraloperator')} Trainer"

    def check(name: str, observed: float, factor: float, figure: float, unit: str = "") -> Check:
        return Check(name, observed, "<=", factor * figure, unit=unit, reference=f"{factor:g} x {trainer} ({figure:.4g})", status="peer")

    return [
        check("mean relative L2, without symmetries", plain.mean_relative_l2, 1.15, peer.mean_relative_l2),
        check("mean relative L2, with the square's symmetries", symmetric.mean_relative_l2, 0.9, peer.mean_relative_l2),
        check("processor time, without symmetries", plain.cpu_seconds, 1.3, peer.cpu_seconds, "s"),
        check("processor time, with the square's symmetries", symmetric.cpu_seconds, 1.3, peer.cpu_seconds, "s"),
    ]


def _peer(arrays: dict[str, tuple[Fields, Fields]], epochs: int, seed: int) -> Outcome:
    from validation.peers.neuraloperator_trainer import PeerSettings, train

    log.info("neuraloperator's Trainer, %d epochs ...", epochs)
    settings = PeerSettings(epochs=epochs, seed=seed)
    result, seconds, cpu = _timed(lambda: train(*arrays["train"], *arrays["test"], settings))
    schedule = f"StepLR, halved every {settings.halving_epochs} epochs"
    training = {"samples": len(arrays["train"][0]), "schedule": schedule, "learning_rate": settings.learning_rate}
    return _outcome(result.prediction, arrays["test"][1], seconds, cpu, result.parameters, training)


def _ours(folder: Path, test: tuple[Fields, Fields], epochs: int, seed: int, augment: bool, work: Path) -> Outcome:
    from sciml.data.convert import import_arrays
    from sciml.data.loader import open_dataset
    from sciml.training import TrainSettings, load_operator, train

    log.info("sciml train, %d epochs%s ...", epochs, " with the square's symmetries" if augment else "")
    files = [folder / FILES[split] for split in ("train", "test")]
    path = work / "data"
    if not path.exists():
        import_arrays(files[0], path, input="x", output="y", test=files[1], valid_fraction=VALID_FRACTION, symmetries=SYMMETRIES)
    settings = TrainSettings(hidden_channels=24, modes=16, layers=4, batch_size=8, epochs=epochs, loss="h1", seed=seed, augment=augment)
    run_folder = work / ("symmetries" if augment else "plain")
    result, seconds, cpu = _timed(lambda: train(path, run_folder, settings))
    prediction = load_operator(run_folder, "last").predict(test[0][:, None])[:, 0]
    training = {"samples": len(open_dataset(path, "train")), "schedule": settings.schedule, "learning_rate": settings.learning_rate}
    return _outcome(prediction, test[1], seconds, cpu, result.parameters, training)


def _outcome(prediction: Fields, truth: Fields, seconds: float, cpu_seconds: float, parameters: int, training: dict[str, Any]) -> Outcome:
    difference, size = (np.asarray(field, dtype=np.float64).reshape(len(truth), -1) for field in (prediction - truth, truth))
    errors = np.linalg.norm(difference, axis=1) / np.linalg.norm(size, axis=1)
    outcome = Outcome(float(errors.mean()), float(np.median(errors)), seconds, cpu_seconds, parameters, training)
    log.info("  mean relative L2 %.4f, %.0f s (%.0f s of processor time)", outcome.mean_relative_l2, seconds, cpu_seconds)
    return outcome


def _timed(call: Callable[[], T]) -> tuple[T, float, float]:
    """Result, wall seconds and processor seconds of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def _load(path: Path) -> tuple[Fields, Fields]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive["x"].astype(np.float32), archive["y"].astype(np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise DatasetError(f"{path} is no .npz file with arrays x and y ({error}): give --data the folder that holds it") from None
