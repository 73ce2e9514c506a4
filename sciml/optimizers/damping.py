"""How much a Tikhonov-damped step is damped, learnt from how well the last steps were predicted.

A rule proposes a damping, sees the loss that the step leads to, and says whether the step is taken; a refused one is tried again with more
damping from the same singular values, which costs one residual and no Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

State = dict[str, float]


@dataclass(frozen=True)
class Trial:
    """What a rule may look at after a step: losses are ``||r||^2``.

    Attributes
    ----------
    loss, new_loss, predicted : at the start, at the end, and at the end as the linear model has it.
    damping : of this trial.
    new_gradient : calls for the norm of the gradient of ``||r||^2 / 2`` at the end.
    """

    loss: float
    new_loss: float
    predicted: float
    damping: float
    new_gradient: Callable[[], float]


@dataclass(frozen=True)
class Constant:
    """One damping for all steps, which are all taken."""

    damping: float = 1e-8

    def __post_init__(self) -> None:
        if not self.damping >= 0:
            raise ValueError(f"damping = {self.damping}: give a number that is not negative")

    def start(self, s: Tensor) -> State:
        return {}

    def propose(self, state: State, gradient: float) -> float:
        return self.damping

    def judge(self, state: State, trial: Trial) -> bool:
        return math.isfinite(trial.new_loss)


@dataclass(frozen=True)
class Nielsen:
    """Nielsen's rule for Levenberg and Marquardt's method (1999, IMM-REP-1999-05, equation 2.4), from ``start * s_max^2``."""

    start_part: float = 1e-3

    def start(self, s: Tensor) -> State:
        return {"damping": self.start_part * float(s[0]) ** 2, "growth": 2.0}

    def propose(self, state: State, gradient: float) -> float:
        return state["damping"]

    def judge(self, state: State, trial: Trial) -> bool:
        predicted = trial.loss - trial.predicted
        gain = (trial.loss - trial.new_loss) / predicted if predicted > 0 else -1.0
        if gain > 0:  # false for NaN
            state["damping"] *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
            state["growth"] = 2.0
            return True
        state["damping"] *= state["growth"]
        state["growth"] *= 2.0
        return False


@dataclass(frozen=True)
class GradientNorm:
    """Damping ``||g|| / gamma`` (Semenov, Jaggi and Doikov 2026, "Gradient-normalized smoothness", algorithm 1, for ``f = ||r||^2 / 2``).

    A step is taken where f falls by ``||g_new||^2 / (8 damping)`` at least; gamma doubles then, and halves otherwise. The rule does
    not depend on the units of the loss.
    """

    gamma: float = 1.0

    def start(self, s: Tensor) -> State:
        return {"gamma": self.gamma}

    def propose(self, state: State, gradient: float) -> float:
        return gradient / state["gamma"]

    def judge(self, state: State, trial: Trial) -> bool:
        if math.isfinite(trial.new_loss) and trial.loss > trial.new_loss:
            enough = trial.new_gradient() ** 2 / (8 * trial.damping) if trial.damping > 0 else 0.0
            if 0.5 * (trial.loss - trial.new_loss) >= enough:
                state["gamma"] = max(2 * state["gamma"], 1e-9)
                return True
        state["gamma"] /= 2
        return False


Damping = Constant | Nielsen | GradientNorm
