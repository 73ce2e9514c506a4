"""How long a least-squares step is: a rule that scales the step a filter proposes, before or after looking at the loss there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Loss = Callable[[float], float]


@dataclass(frozen=True)
class FixedStep:
    """The learning rate times the step, whatever the loss does: what Sven does as published."""

    def length(self, radius: Callable[[], float], norm: float, loss: float, slope: float, trial: Loss) -> float:
        return 1.0


@dataclass(frozen=True)
class NormCap:
    """No step longer than `cap` in the Euclidean norm of the parameters."""

    cap: float

    def __post_init__(self) -> None:
        _positive("cap", self.cap)

    def length(self, radius: Callable[[], float], norm: float, loss: float, slope: float, trial: Loss) -> float:
        return min(1.0, self.cap / norm) if norm > 0 else 1.0


@dataclass(frozen=True)
class AnalyticRadius:
    """No step beyond `part` of the distance to the nearest complex singularity of the network along it (`sciml.optimizers.radius`)."""

    part: float = 0.5

    def __post_init__(self) -> None:
        _positive("part", self.part)

    def length(self, radius: Callable[[], float], norm: float, loss: float, slope: float, trial: Loss) -> float:
        return min(1.0, self.part * radius())


@dataclass(frozen=True)
class Armijo:
    """The first of 1, 1/2, 1/4 ... with ``loss(t) <= loss(0) + c t slope``; 0, no step, where `halvings` do not suffice."""

    c: float = 1e-4
    halvings: int = 30

    def length(self, radius: Callable[[], float], norm: float, loss: float, slope: float, trial: Loss) -> float:
        for halving in range(self.halvings + 1):
            t = 0.5**halving
            if trial(t) <= loss + self.c * t * slope:
                return t
        return 0.0


@dataclass(frozen=True)
class GridLineSearch:
    """The best of 1, 1/2, 1/4 ... 2^-halvings, and 0 where none lowers the loss (energy natural gradients: Mueller and Zeinhofer 2023)."""

    halvings: int = 30

    def length(self, radius: Callable[[], float], norm: float, loss: float, slope: float, trial: Loss) -> float:
        lengths = [0.5**halving for halving in range(self.halvings + 1)]
        losses = [trial(t) for t in lengths]
        best = min(range(len(lengths)), key=losses.__getitem__)
        return lengths[best] if losses[best] < loss else 0.0


StepRule = FixedStep | NormCap | AnalyticRadius | Armijo | GridLineSearch


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} = {value}: give a positive number")


def norm(step: Tensor) -> float:
    return float(torch.linalg.vector_norm(step))
