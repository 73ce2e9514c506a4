"""The training loop: small, on Lightning Fabric, and continued to the last bit after it was killed.

Order and augmentation of an epoch are functions of (seed, epoch), the learning rate of the step, and a checkpoint is written at the
end of every epoch; so the epoch that a kill interrupts is simply run again, and comes out the same on the same machine with the
same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from sciml.checks import environment
from sciml.data.normalise import Normaliser
from sciml.errors import DatasetError
from sciml.models import SettingsError
from sciml.training.augment import Symmetry, group, transform
from sciml.training.batches import Batches, fit_normaliser
from sciml.training.checkpoint import load_optimizer, load_weights
from sciml.training.losses import make_loss
from sciml.training.metrics import RelativeH1, relative_l2
from sciml.training.operator import PhysicalOutput, build_network, count_parameters
from sciml.training.optimizers import build_optimizer
from sciml.training.run_config import Normalisers, RunConfig
from sciml.training.run_folder import Row, RunFolder
from sciml.training.samples import Samples, check_axes, describe, input_names, open_split, output_channels, periodic, spacing
from sciml.training.settings import TrainSettings

Progress = Callable[[str, int, int, dict[str, Any]], None]
Data = str | Path | tuple[Samples, Samples]
_VALID_BATCH = 32


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes
    ----------
    path : the run folder.
    epochs : epochs that it holds.
    resumed_from : epochs that were there before this call.
    best_epoch : the one with the smallest mean relative L2 error on the valid split.
    valid_relative_l2, valid_relative_h1 : means over the valid split at that epoch.
    parameters : trained real numbers.
    seconds : of this call.
    """

    path: Path
    epochs: int
    resumed_from: int
    best_epoch: int
    valid_relative_l2: float
    valid_relative_h1: float
    parameters: int
    seconds: float


def train(data: Data, out: str | Path, settings: TrainSettings | None = None, *, progress: Progress | None = None) -> TrainResult:
    """Train an operator on a dataset, or continue the run that `out` holds.

    Parameters
    ----------
    data : folder of a dataset, or its open train and valid splits.
    out : run folder; a run with the same settings on the same data is continued, and nothing is done where it is complete.
    settings : None stands for the defaults.
    progress : called as ``progress("train", steps done, all steps, figures)`` after every step.

    Raises
    ------
    CheckpointError
        when `out` holds another run, a damaged one, or something else.
    DatasetError, SettingsError
        when the data cannot be trained on, or not with these settings.
    """
    started = time.perf_counter()
    settings = settings or TrainSettings()
    fabric = _fabric(settings.device)
    train_split, valid_split = _open_pair(data)
    settings.check_grid(train_split.shape)
    loop = _Loop(settings, fabric, train_split, valid_split)  # reads all data: what cannot be trained on leaves no folder behind
    run = RunFolder(Path(out))
    with run.locked():
        run.claim(loop.config(data))
        rows = loop.resume(run)
        resumed_from = len(rows)
        loop.run(run, rows, progress or _silent)
    best = run.best(rows)
    l2, h1 = best["valid_relative_l2"], best["valid_relative_h1"]
    size = count_parameters(loop.network)
    return TrainResult(run.root, len(rows), resumed_from, best["epoch"], l2, h1, size, time.perf_counter() - started)


class _Loop:
    """Network, optimizer and data of a run, and the epochs over them."""

    def __init__(self, settings: TrainSettings, fabric: Fabric, train_split: Samples, valid_split: Samples) -> None:
        names, dimension = input_names(train_split), len(train_split.shape)
        self.settings, self.fabric = settings, fabric
        self.splits = train_split, valid_split
        self.inputs = fit_normaliser(train_split, names)
        self.outputs = fit_normaliser(train_split, train_split.outputs, output_channels(train_split))
        self.train_batches, self.valid_batches = Batches(train_split, self.inputs), Batches(valid_split, self.inputs)
        self.elements = _elements(settings, train_split)
        self.loss = make_loss(settings.loss, spacing(train_split), periodic(train_split))
        self.relative_h1 = RelativeH1(spacing(train_split), periodic(train_split))
        self.network = _initial_network(settings, self.inputs, self.outputs, dimension).to(fabric.device)
        self.optimizer = build_optimizer(settings.optimizer, self.network, settings)
        self.module, self.fabric_optimizer = fabric.setup(PhysicalOutput(self.network, self.outputs, dimension), self.optimizer)

    def config(self, data: Data) -> RunConfig:
        """What decides the course of the run."""
        return RunConfig(
            settings=self.settings,
            data=describe(*self.splits, path=None if isinstance(data, tuple) else data),
            inputs=self.inputs.names,
            outputs=self.outputs.names,
            normaliser=Normalisers(inputs=self.inputs.to_dict(), outputs=self.outputs.to_dict()),
            parameters=count_parameters(self.network),
            environment=environment(),
        )

    def resume(self, run: RunFolder) -> list[Row]:
        """Load the last checkpoint, if there is one; returns the rows of the epochs that are done."""
        done = run.checkpoints.epoch_of("last") or 0
        rows = run.keep_rows(done)
        if done:
            run.check_checkpoint(done)
            load_weights(self.network, run.checkpoints.weights(done), run.checkpoints.path(done))
            load_optimizer(self.optimizer, run.checkpoints.optimizer(done), run.checkpoints.path(done) / "state.pt")
            run.keep_best_and_last(rows)  # the kill may have come before it
        return rows

    def run(self, run: RunFolder, rows: list[Row], progress: Progress) -> None:
        """Train until all epochs are done, appending to `rows`; the folder is valid at every moment."""
        stored = run.config().model_dump(mode="json")
        for epoch in range(len(rows) + 1, self.settings.epochs + 1):
            row = self._epoch(epoch, rows, progress)
            run.append_row(row)
            rows.append(row)
            run.checkpoints.save(epoch, dict(self.network.named_parameters()), self.optimizer.state_dict(), stored)
            run.keep_best_and_last(rows)

    def _epoch(self, epoch: int, rows: list[Row], progress: Progress) -> Row:
        started, total, rate = time.perf_counter(), 0.0, 0.0
        steps = math.ceil(len(self.train_batches) / self.settings.batch_size)
        known = {"valid_l2": rows[-1]["valid_relative_l2"]} if rows else {}
        for number, (indices, choice) in enumerate(self._order(epoch)):
            step = (epoch - 1) * steps + number
            rate = self.settings.rate(step, steps * self.settings.epochs)
            loss = self._step(indices, choice, rate)
            if not math.isfinite(loss):
                peak = self.settings.learning_rate
                raise SettingsError(f"learning_rate = {peak:g} made the loss {loss} in epoch {epoch}; choose a smaller one")
            total += loss * len(indices)
            progress("train", step + 1, steps * self.settings.epochs, {"epoch": epoch, "loss": loss, **known})
        l2, h1 = self._validate()
        row = {"epoch": epoch, "train_loss": total / len(self.train_batches), "valid_relative_l2": l2, "valid_relative_h1": h1}
        return {**row, "learning_rate": rate, "seconds": time.perf_counter() - started}

    def _order(self, epoch: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Sample numbers and their symmetry elements, batch by batch: a function of seed and epoch alone."""
        rng = np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=(epoch,)))
        order = rng.permutation(len(self.train_batches))
        choice = rng.integers(len(self.elements), size=len(order))
        for start in range(0, len(order), self.settings.batch_size):
            yield order[start : start + self.settings.batch_size], choice[start : start + self.settings.batch_size]

    def _step(self, indices: NDArray[Any], choice: NDArray[Any], rate: float) -> float:
        inputs, truth = (self.fabric.to_device(transform(part, self.elements, choice)) for part in self.train_batches(indices))
        for parameter_group in self.optimizer.param_groups:
            parameter_group["lr"] = rate
        self.fabric_optimizer.zero_grad()
        loss = self.loss(self.module(inputs), truth)
        if math.isfinite(value := float(loss.detach())):
            self.fabric.backward(loss)
            try:
                self.fabric_optimizer.step(lambda: value)
            except FloatingPointError as error:
                peak = self.settings.learning_rate
                raise SettingsError(f"learning_rate = {peak:g} made a gradient without a step ({error}); choose a smaller one") from None
        return value

    def _validate(self) -> tuple[float, float]:
        """Mean relative L2 and H1 error over the valid split."""
        sums = np.zeros(2)
        count = len(self.valid_batches)
        with torch.inference_mode():
            for start in range(0, count, _VALID_BATCH):
                indices = np.arange(start, min(start + _VALID_BATCH, count))
                inputs, truth = (self.fabric.to_device(part) for part in self.valid_batches(indices))
                prediction = self.module(inputs)
                sums += [float(error(prediction, truth).double().sum()) for error in (relative_l2, self.relative_h1)]
        return float(sums[0]) / count, float(sums[1]) / count


def _fabric(device: str) -> Fabric:
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("device = 'cuda' is not available here; choose device = 'cpu' or 'auto'")
    accelerator = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    return Fabric(accelerator=accelerator, devices=1, precision="32-true")


def _open_pair(data: Data) -> tuple[Samples, Samples]:
    pair = data if isinstance(data, tuple) else (open_split(data, "train"), open_split(data, "valid"))
    for split, samples in zip(("train", "valid"), pair, strict=True):
        if len(samples) == 0:
            raise DatasetError(f"split {split!r} of dataset {samples.name!r} holds no sample; give it a share of the samples")
        check_axes(samples.shape, f"dataset {samples.name!r}")
    return pair


def _elements(settings: TrainSettings, samples: Samples) -> tuple[Symmetry, ...]:
    """The group that the dataset declares, or the identity alone."""
    return group(samples.symmetries if settings.augment else (), samples.shape, input_names(samples))


def _initial_network(settings: TrainSettings, inputs: Normaliser, outputs: Normaliser, dimension: int) -> torch.nn.Module:
    """Weights drawn from the seed; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return build_network(settings, inputs, outputs, dimension)


def _silent(stage: str, done: int, total: int, figures: dict[str, Any]) -> None:
    """Progress for nobody."""
