"""Training and evaluation of operators on datasets; torch is loaded with the first use of `train`, `evaluate` or `load_operator`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sciml.training.direction_settings import DirectionSettings
from sciml.training.pinn_settings import EquationSettings, load_equation_recipe
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
    from sciml.training.pinn import EquationResult as EquationResult
    from sciml.training.pinn import evaluate_equation as evaluate_equation
    from sciml.training.pinn import load_equation as load_equation
    from sciml.training.pinn import train_equation as train_equation

_HOMES = {
    "DirectionResult": "sciml.training.direction",
    "EquationResult": "sciml.training.pinn",
    "TrainResult": "sciml.training.loop",
    "TrainedDirection": "sciml.training.direction",
    "TrainedOperator": "sciml.training.operator",
    "evaluate": "sciml.training.evaluation",
    "evaluate_equation": "sciml.training.pinn",
    "load_equation": "sciml.training.pinn",
    "train_equation": "sciml.training.pinn",
    "load_direction": "sciml.training.direction",
    "load_operator": "sciml.training.operator",
    "train": "sciml.training.loop",
    "train_direction": "sciml.training.direction",
}
__all__ = [
    "DirectionResult",
    "DirectionSettings",
    "EquationResult",
    "EquationSettings",
    "TrainResult",
    "TrainSettings",
    "TrainedDirection",
    "TrainedOperator",
    "evaluate",
    "evaluate_equation",
    "load_direction",
    "load_equation",
    "load_equation_recipe",
    "load_operator",
    "train",
    "train_direction",
    "train_equation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sciml.training' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
