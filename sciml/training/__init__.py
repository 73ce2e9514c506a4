"""Training and evaluation of operators on datasets; torch is loaded with the first use of `train`, `evaluate` or `load_operator`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sciml.training.settings import TrainSettings

if TYPE_CHECKING:
    from sciml.training.evaluation import evaluate as evaluate
    from sciml.training.loop import TrainResult as TrainResult
    from sciml.training.loop import train as train
    from sciml.training.operator import TrainedOperator as TrainedOperator
    from sciml.training.operator import load_operator as load_operator

_HOMES = {
    "TrainResult": "sciml.training.loop",
    "TrainedOperator": "sciml.training.operator",
    "evaluate": "sciml.training.evaluation",
    "load_operator": "sciml.training.operator",
    "train": "sciml.training.loop",
}
__all__ = ["TrainResult", "TrainSettings", "TrainedOperator", "evaluate", "load_operator", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sciml.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
