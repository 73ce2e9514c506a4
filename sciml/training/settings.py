"""How an operator is trained; loads no torch."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator

from sciml.models.settings import OperatorSettings, one_of

#: What an operator can be trained by; `sciml.training.optimizers` builds them.
OPTIMIZERS = ("adamw", "mfac", "mkor", "mkor-h")
#: What needs the residuals of one equation, or the same loss in every step: nothing for mini-batches of samples.
RESIDUAL_OPTIMIZERS = ("sven", "gauss-newton", "levenberg-marquardt", "geodesic-lm", "spring", "ssbroyden", "ssbfgs")

#: Share of all steps in which the learning rate rises, and what the largest one is divided by at the start and at the end.
_WARM_UP, _START, _END = 0.25, 25.0, 1e4


class TrainSettings(OperatorSettings):
    """The network (see `OperatorSettings`) and its training.

    Parameters
    ----------
    epochs : passes over the train split.
    batch_size : samples in one step; the last batch of an epoch may be smaller.
    optimizer : ``"adamw"``; ``"mfac"`` (`sciml.optimizers.MFAC` with the last 32 gradients, which are in every checkpoint); ``"mkor"``
        (`sciml.optimizers.MKOR` before AdamW); or ``"mkor-h"``, which goes on as AdamW once that is no slower.
    learning_rate : the largest one of the schedule.
    schedule : ``"onecycle"`` (a quarter of all steps up, the rest down to almost nothing, both along a cosine), ``"cosine"`` (down
        only) or ``"constant"``.
    weight_decay : of the optimizer; M-FAC adds it to the gradient, the others take it off the weights.
    loss : ``"h1"`` or ``"l2"``, relative, in the outputs' own units.
    augment : show every sample through a random element of the symmetry group that the dataset declares.
    seed : of the weights, the order of the samples and the augmentation.
    device : ``"auto"``, ``"cpu"`` or ``"cuda"``; a run may be continued on another one.
    """

    epochs: int = Field(default=30, ge=1, le=100_000)
    batch_size: int = Field(default=8, ge=1, le=65_536)
    optimizer: str = "adamw"
    learning_rate: float = Field(default=4e-3, gt=0.0, le=1.0)
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    weight_decay: float = Field(default=1e-4, ge=0.0, le=10.0)
    loss: Literal["h1", "l2"] = "l2"
    augment: bool = True
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("optimizer")
    @classmethod
    def _for_mini_batches(cls, optimizer: str) -> str:
        if optimizer in RESIDUAL_OPTIMIZERS:
            raise ValueError(
                "it steps from one loss that stays the same, the residual of an equation at fixed points, and an operator sees another "
                f"mini-batch in every step; choose one of {', '.join(OPTIMIZERS)}"
            )
        return one_of(optimizer, OPTIMIZERS)

    def rate(self, step: int, total: int) -> float:
        """Learning rate of step `step` of `total`, counted from 0: a function of nothing else, so that it needs no state."""
        if self.schedule == "constant":
            return self.learning_rate
        return one_cycle(self.learning_rate, step, total, warm_up=_WARM_UP if self.schedule == "onecycle" else 0.0)


def one_cycle(peak: float, step: int, total: int, *, warm_up: float = _WARM_UP) -> float:
    """Learning rate of step `step` of `total`: up to `peak` in the part `warm_up` of all steps, then down, both along a cosine."""
    warm = warm_up * total
    if step < warm:
        low = peak / _START
        return low + (peak - low) * _half_wave(step / warm)
    low = peak / _END
    return peak + (low - peak) * _half_wave((step - warm) / max(total - warm, 1.0))


def _half_wave(t: float) -> float:
    """From 0 at t = 0 to 1 at t = 1 along a cosine."""
    return 0.5 - 0.5 * math.cos(math.pi * t)
