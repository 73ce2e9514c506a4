"""The optimizers that a network can be trained on an equation by: a name, and how one step of it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sciml.models.pinn import EquationResiduals
from sciml.optimizers import SPRING, SSBFGS, GaussNewton, GeodesicLevenbergMarquardt, LevenbergMarquardt, SSBroyden, Sven
from sciml.training.pinn_settings import EquationSettings

_LBFGS = {"max_iter": 20, "history_size": 50, "tolerance_grad": 0, "tolerance_change": 0}  # with one iteration a call torch's stalls


class Stepper:
    """One step after another on the mean square of residuals.

    Parameters
    ----------
    done : steps that have been taken already.
    """

    def __init__(self, settings: EquationSettings, network: nn.Module, residuals: EquationResiduals, done: int = 0) -> None:
        self._settings, self._network, self._residuals = settings, network, residuals
        self.optimizer = self._build(done)

    def __call__(self, step: int) -> float:
        """Take step number `step`, counted from 0; returns the loss before it."""
        if step == self._settings.warm_up > 0 and self._settings.optimizer == "sven":
            self.optimizer = self._build(step)
        for group in self.optimizer.param_groups:
            group["lr"] = self._settings.rate(step)
        closure: Any = self._residuals if getattr(self.optimizer, "requires_residuals", False) else self._scalar
        return float(self.optimizer.step(closure))

    def follow(self, residuals: EquationResiduals, step: int) -> None:
        """Go on with other residuals, or with other weights of theirs, from step number `step` on.

        What torch's L-BFGS remembers is a gradient of the loss before, whence it starts anew; the others look at each step afresh.
        """
        self._residuals = residuals
        if self._settings.optimizer == "lbfgs":
            self.optimizer = self._build(step)

    def _build(self, step: int) -> torch.optim.Optimizer:
        settings = self._settings
        assert settings.optimizer is not None
        name = "geodesic-lm" if settings.optimizer == "sven" and step < settings.warm_up else settings.optimizer
        return _BUILDERS[name](self._network, settings)

    def _scalar(self) -> Tensor:
        self.optimizer.zero_grad()
        r = self._residuals(dict(self._network.named_parameters()))
        loss = r @ r
        loss.backward()
        return loss.detach()


_BUILDERS: dict[str, Callable[[nn.Module, EquationSettings], torch.optim.Optimizer]] = {
    "sven": lambda network, settings: Sven(network.named_parameters(), seed=settings.seed),
    "gauss-newton": lambda network, settings: GaussNewton(network.named_parameters()),
    "levenberg-marquardt": lambda network, settings: LevenbergMarquardt(network.named_parameters()),
    "geodesic-lm": lambda network, settings: GeodesicLevenbergMarquardt(network.named_parameters()),
    "spring": lambda network, settings: SPRING(network.named_parameters()),
    "ssbroyden": lambda network, settings: SSBroyden(network.parameters()),
    "ssbfgs": lambda network, settings: SSBFGS(network.parameters()),
    "lbfgs": lambda network, settings: torch.optim.LBFGS(network.parameters(), line_search_fn="strong_wolfe", **_LBFGS),
    "adam": lambda network, settings: torch.optim.Adam(network.parameters()),
}
