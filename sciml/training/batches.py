"""A split as batches of tensors, from memory where it fits and sample by sample where it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.data.normalise import Normaliser
from sciml.errors import DatasetError
from sciml.training.samples import Samples, output_channels, stack

#: A split that needs less than this is kept in memory, ready for the network; a larger one is read sample by sample.
_MEMORY_LIMIT = 1 << 30


@dataclass
class Batches:
    """Normalised inputs and physical outputs of a split, float32, by sample number.

    Parameters
    ----------
    samples : the split.
    normaliser : of the inputs, fitted on the train split whatever split this is.
    """

    samples: Samples
    normaliser: Normaliser
    _kept: tuple[torch.Tensor, torch.Tensor] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        channels = len(self.normaliser.names) + len(output_channels(self.samples))
        if 4 * len(self.samples) * channels * math.prod(self.samples.shape) <= _MEMORY_LIMIT:
            self._kept = self._read(range(len(self.samples)))

    def __len__(self) -> int:
        return len(self.samples)

    def __call__(self, indices: NDArray[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (batch, in_channels, *grid), normalised, and outputs (batch, out_channels, *grid), in their own units."""
        if self._kept is None:
            return self._read(indices.tolist())
        chosen = torch.from_numpy(indices)
        return self._kept[0][chosen], self._kept[1][chosen]

    def _read(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, outputs = zip(*(self._one(index) for index in indices), strict=True)
        return torch.from_numpy(np.stack(inputs)), torch.from_numpy(np.stack(outputs))

    def _one(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sample = self.samples[index]
        axes, shape = self.samples.axes, self.samples.shape
        inputs = self.normaliser.encode(stack(sample, self.normaliser.names, axes, shape)[None].astype(np.float64))[0]
        outputs = stack(sample, self.samples.outputs, axes, shape).astype(np.float32)
        for name, values in zip(output_channels(self.samples), outputs, strict=True):
            if not np.isfinite(values).all() or not values.any():
                raise DatasetError(
                    f"field {name!r} of sample {index} is zero everywhere or not finite, so no relative error is defined; remove the sample"
                )
        return inputs.astype(np.float32), outputs


def fit_normaliser(samples: Samples, names: Sequence[str], channels: Sequence[str] | None = None) -> Normaliser:
    """Mean and standard deviation of the named arrays over a split, which is to be the train split; `channels` where they differ."""
    return Normaliser.fit(channels or names, (stack(samples[index], names, samples.axes, samples.shape) for index in range(len(samples))))
