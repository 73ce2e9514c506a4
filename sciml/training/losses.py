"""Training losses: the relative errors of `sciml.training.metrics`, averaged over the batch.

Averaged and not summed, so that the learning rate keeps its meaning when the batch size changes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from sciml.models import SettingsError
from sciml.training.metrics import RelativeH1, relative_l2

LOSSES = ("h1", "l2")
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make_loss(name: str, spacing: tuple[float, ...], periodic: tuple[bool, ...]) -> Loss:
    """The loss called `name` of a prediction and a truth, both (batch, channels, *grid) in physical units; a scalar tensor.

    Parameters
    ----------
    name : ``"h1"`` or ``"l2"``.
    spacing, periodic : see `RelativeH1`.
    """
    errors: dict[str, Loss] = {"h1": RelativeH1(spacing, periodic), "l2": relative_l2}
    if name not in errors:
        raise SettingsError(f"loss = {name!r} is not known; choose one of {', '.join(LOSSES)}")
    error = errors[name]
    return lambda prediction, truth: error(prediction, truth).mean()
