"""The optimizers that an operator can be trained by: a name, and how it is built from the settings of the run."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sciml.training.settings import TrainSettings


def build_optimizer(name: str, model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer `name`, one of `sciml.training.settings.OPTIMIZERS`, for all parameters of `model`."""
    return _BUILDERS[name](model, settings)


def _adamw(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


_BUILDERS: dict[str, Callable[[torch.nn.Module, TrainSettings], torch.optim.Optimizer]] = {"adamw": _adamw}
