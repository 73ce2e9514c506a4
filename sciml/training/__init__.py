"""Training and evaluation of operators on datasets; torch is loaded with the first use of `train`, `evaluate` or `load_operator`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sciml.training.direction_settings import DirectionSettings
from sciml.training.settings import TrainSettings

if TYPE_CHECKING:
    from sciml.training.direction import DirectionResult as DirectionResult
    from sciml.training.direction import TrainedDirection as TrainedDirection
    from sciml.training.direction import load_direction as load_direction
    from sciml.training.direction import train_direction as train_direction
    from sciml.training.evaluation import evaluate as evaluate
    from sciml.training.loop import TrainResult as TrainResult
    from sciml.training.loop import train as train
    from sciml.training.operator import TrainedOperator as TrainedOperator
    from sciml.training.operator import load_operator as load_operator

_HOMES = {
    "DirectionResult": "sciml.training.direction",
    "TrainResult": "sciml.training.loop",
    "TrainedDirection": "sciml.training.direction",
    "TrainedOperator": "sciml.training.operator",
    "evaluate": "sciml.training.evaluation",
    "load_direction": "sciml.training.direction",
    "load_operator": "sciml.training.operator",
    "train": "sciml.training.loop",
    "train_direction": "sciml.training.direction",
}
__all__ = [
    "DirectionResult",
    "DirectionSettings",
    "TrainResult",
    "TrainSettings",
    "TrainedDirection",
    "TrainedOperator",
    "evaluate",
    "load_direction",
    "load_operator",
    "train",
    "train_direction",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sciml.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
