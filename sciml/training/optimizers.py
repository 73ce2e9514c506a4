"""The optimizers that an operator can be trained by: a name, and how it is built from the settings of the run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from sciml.optimizers import MFAC, MKOR, RateSwitch
from sciml.training.settings import TrainSettings

_HISTORY = 32  # gradients that M-FAC keeps, each as large as the network; all of them are in every checkpoint


def build_optimizer(name: str, model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """The optimizer `name`, one of `sciml.training.settings.OPTIMIZERS`, for all parameters of `model`."""
    return _BUILDERS[name](model, settings)


def _adamw(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)


def _mfac(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    return MFAC(model.parameters(), settings.learning_rate, _HISTORY, weight_decay=settings.weight_decay)


def _mkor(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    return MKOR(model, settings.learning_rate, partial(torch.optim.AdamW, weight_decay=settings.weight_decay))


def _mkor_h(model: torch.nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    inner = partial(torch.optim.AdamW, weight_decay=settings.weight_decay)
    return MKOR(model, settings.learning_rate, inner, hybrid=RateSwitch())


_BUILDERS: dict[str, Callable[[torch.nn.Module, TrainSettings], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "mfac": _mfac,
    "mkor": _mkor,
    "mkor-h": _mkor_h,
}
