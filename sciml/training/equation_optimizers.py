"""The optimizers that a network can be trained on an equation by: a name, and how one step of it is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sciml.errors import CheckpointError
from sciml.models.pinn import EquationResiduals
from sciml.optimizers import SPRING, SSBFGS, GaussNewton, LevenbergMarquardt, SSBroyden, Sven
from sciml.training.pinn_settings import EquationSettings

_LBFGS_HISTORY = 50


class Stepper:
    """One step after another on the mean square of residuals.

    Attributes
    ----------
    optimizer : with its state.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, network: nn.Module, residuals: EquationResiduals, rate: Callable[[int], float]
    ) -> None:
        self.optimizer, self._network, self._residuals, self._rate = optimizer, network, residuals, rate

    def __call__(self, step: int) -> float:
        """Take step number `step`, counted from 0; returns the loss before it."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step)
        closure: Any = self._residuals if getattr(self.optimizer, "requires_residuals", False) else self._scalar
        return float(self.optimizer.step(closure))

    def loss(self) -> float:
        """The mean square now."""
        with torch.no_grad():
            r = self._residuals(dict(self._network.named_parameters()))
        return float(r @ r)

    def _scalar(self) -> Tensor:
        self.optimizer.zero_grad()
        r = self._residuals(dict(self._network.named_parameters()))
        loss = r @ r
        loss.backward()
        return loss.detach()


def stepper(settings: EquationSettings, network: nn.Module, residuals: EquationResiduals) -> Stepper:
    """The optimizer of `settings` on the residuals of a network."""
    peak = settings.learning_rate or (1e-3 if settings.optimizer == "adam" else 1.0)

    def cosine(step: int) -> float:
        return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / settings.steps)))

    optimizer = _BUILDERS[settings.optimizer](network, peak, settings.seed)
    return Stepper(optimizer, network, residuals, cosine if settings.optimizer == "adam" else lambda step: peak)


_BUILDERS: dict[str, Callable[[nn.Module, float, int], torch.optim.Optimizer]] = {
    "sven": lambda network, lr, seed: Sven(network.named_parameters(), lr, seed=seed),
    "gauss-newton": lambda network, lr, seed: GaussNewton(network.named_parameters(), lr),
    "levenberg-marquardt": lambda network, lr, seed: LevenbergMarquardt(network.named_parameters(), lr),
    "spring": lambda network, lr, seed: SPRING(network.named_parameters(), lr),
    "ssbroyden": lambda network, lr, seed: SSBroyden(network.parameters(), lr),
    "ssbfgs": lambda network, lr, seed: SSBFGS(network.parameters(), lr),
    "lbfgs": lambda network, lr, seed: torch.optim.LBFGS(
        network.parameters(),
        lr,
        max_iter=1,
        history_size=_LBFGS_HISTORY,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    ),
    "adam": lambda network, lr, seed: torch.optim.Adam(network.parameters(), lr),
}


def load_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], origin: Path) -> None:
    """Load a stored state; settings stay as they are, since the config of the run decides them.

    Raises CheckpointError where the state is that of another number of parameters.
    """
    groups = optimizer.state_dict()["param_groups"]
    try:
        numbers = [number for group in state["param_groups"] for number in group["params"]]
        if numbers != [number for group in groups for number in group["params"]]:
            raise CheckpointError(f"{origin} is the optimizer of another network; restore it, or remove the run folder and train again")
        optimizer.load_state_dict({"state": state["state"], "param_groups": groups})
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(f"{origin} is damaged ({reason}); restore it, or remove the run folder and train again") from None
