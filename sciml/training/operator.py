"""A trained operator: the network with the units of its data around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.data.normalise import Normaliser
from sciml.errors import CheckpointError
from sciml.models import OperatorSettings, build
from sciml.training.checkpoint import load_weights
from sciml.training.run_folder import RunFolder


class PhysicalOutput(torch.nn.Module):
    """A network whose normalised outputs are mapped back to the outputs' own units.

    Parameters
    ----------
    network : normalised inputs (batch, in_channels, *grid) to normalised outputs (batch, out_channels, *grid).
    outputs : normaliser of the outputs.
    dimension : of the grid.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: torch.nn.Module, outputs: Normaliser, dimension: int) -> None:
        super().__init__()
        self.network = network
        for name, factor in zip(("mean", "std"), outputs.factors(dimension), strict=True):
            self.register_buffer(name, torch.from_numpy(factor), persistent=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.network(inputs) * self.std + self.mean


@dataclass(frozen=True)
class TrainedOperator:
    """What a run learned, ready to predict.

    Parameters
    ----------
    module : normalised inputs to physical outputs.
    inputs, outputs : normalisers; their names are the channels.
    epoch : of the checkpoint.
    """

    module: PhysicalOutput
    inputs: Normaliser
    outputs: Normaliser
    epoch: int

    def predict(self, fields: NDArray[Any]) -> NDArray[np.float32]:
        """Physical inputs (batch, in_channels, *grid), any resolution, to physical outputs (batch, out_channels, *grid), float32."""
        with torch.inference_mode():
            result: NDArray[np.float32] = self.module(torch.from_numpy(self.inputs.encode(np.asarray(fields, dtype=np.float32)))).numpy()
        return result

    @property
    def parameters(self) -> int:
        """Real numbers that were trained; a complex weight counts twice."""
        return count_parameters(self.module)


def load_operator(run: str | Path, which: str = "best") -> TrainedOperator:
    """Load the ``"best"`` (by the valid split) or ``"last"`` checkpoint of a run, on the CPU.

    Raises
    ------
    CheckpointError
        when the folder holds no run, no finished checkpoint yet, or one that is damaged or belongs to another run.
    """
    folder = RunFolder(Path(run))
    config = folder.config()
    epoch = folder.checkpoints.epoch_of(which)
    if epoch is None:
        raise CheckpointError(f"{run} holds no finished epoch; run `sciml train` until the first checkpoint is written")
    folder.check_checkpoint(epoch)
    inputs, outputs = config.normalisers()
    dimension = len(config.data.shape)
    with torch.device("meta"):  # no memory until the weights fit: a garbled config may ask for any size
        network = build_network(config.settings, inputs, outputs, dimension)
    load_weights(network, folder.checkpoints.weights(epoch), folder.checkpoints.path(epoch))
    return TrainedOperator(PhysicalOutput(network, outputs, dimension).eval(), inputs, outputs, epoch)


def build_network(settings: OperatorSettings, inputs: Normaliser, outputs: Normaliser, dimension: int) -> torch.nn.Module:
    """The network for these channels, with random weights."""
    fields: Mapping[str, Any] = {name: getattr(settings, name) for name in OperatorSettings.model_fields if name != "model"}
    return build(settings.model, fields, len(inputs.names), len(outputs.names), dimension)


def count_parameters(module: torch.nn.Module) -> int:
    """Trainable real numbers of a module; a complex one counts twice."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in module.parameters() if p.requires_grad)
