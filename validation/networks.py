"""What the cases of networks share: training on the residual of a strong form, errors in the mean square, fields on grids."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.models.pinn import PINN, EquationResiduals
from sciml.optimizers import GeodesicLevenbergMarquardt
from sciml.problems.strong_form import StrongForm
from validation.figures import Figure, field

Array = NDArray[np.float64]
log = logging.getLogger(__name__)
_EVERY = 20  # steps between two lines of the log
_FLOOR = 1e-12  # of errors on a logarithmic map


@dataclass(frozen=True, eq=False)
class Trained:
    """A network and how it was trained.

    Attributes
    ----------
    losses : mean squares of the weighted residuals before every step.
    seconds : of wall time.
    """

    pinn: PINN
    losses: list[float]
    seconds: float

    @property
    def parameters(self) -> int:
        return sum(value.numel() for value in self.pinn.network.parameters())


def train(
    stages: Iterable[tuple[StrongForm, int]],
    points: Array,
    weights: Array | None = None,
    *,
    seed: int = 0,
    optimizer: Callable[..., torch.optim.Optimizer] = GeodesicLevenbergMarquardt,
    **network: object,
) -> Trained:
    """Train a network on one strong form after another, such as flows of rising Reynolds number, each from where the last one ended.

    Parameters
    ----------
    stages : strong forms, of the same conditions, and how many steps are taken on each.
    points, weights : for the residuals.
    network : settings of `sciml.models.networks.coordinate_network`.
    """
    torch.manual_seed(seed)
    start, losses, trained = time.perf_counter(), [], None
    for form, steps in stages:
        pinn = PINN(form, **network)
        if trained is not None:
            pinn.network.load_state_dict(trained.network.state_dict())
        trained, residuals = pinn, EquationResiduals(pinn, points, weights)
        method = optimizer(pinn.network.named_parameters())
        for step in range(steps):
            losses.append(float(method.step(residuals)))  # type: ignore[arg-type]  # residuals, not a scalar closure
            if step % _EVERY == _EVERY - 1 or step == steps - 1:
                log.info("step %d: mean square of residuals %.2e, %.1f s", len(losses), losses[-1], time.perf_counter() - start)
    assert trained is not None, "no stages"
    return Trained(trained, losses, time.perf_counter() - start)


def relative_error(found: Mapping[str, Array], exact: Mapping[str, Array], weights: Array) -> float:
    """Root of the sum of mean squares of all errors over that of the exact fields; weights sum to 1."""
    error = sum(float(weights @ (found[name] - exact[name]) ** 2) for name in exact)
    return math.sqrt(error / sum(float(weights @ exact[name] ** 2) for name in exact))


def on_boundary(pinn: PINN, count: int = 100) -> float:
    """The largest deviation from the given values, at `count` points of each boundary piece; of a flow in time at random times."""
    form = pinn.form
    deviations = [0.0]
    for name, conditions in form.conditions.items():
        for condition in conditions:
            if condition.kind != "dirichlet":
                continue
            x = form.geometry.boundary(count, [condition.part]).points
            if form.duration is not None:
                x = np.column_stack([x, np.random.default_rng(0).random(len(x)) * form.duration])
            value = condition.value(*x.T) if callable(condition.value) else condition.value
            deviations.append(float(np.abs(pinn.predict(x)[name] - value).max()))
    return max(deviations)


def error_map(title: str, x: Array, y: Array, errors: Array) -> Figure:
    """The decimal logarithm of errors of shape (ny, nx)."""
    return field(title, "log10 of the error", x, y, np.log10(np.maximum(errors, _FLOOR)))


def on_grid(pinn: PINN, x: Array, y: Array, *time: float) -> dict[str, Array]:
    """All outputs on the grid of all (x_i, y_j), each of shape (ny, nx)."""
    points = np.stack([a.ravel() for a in np.meshgrid(x, y)], axis=1)
    points = np.column_stack([points, *(np.full(len(points), t) for t in time)])
    return {name: values.reshape(len(y), len(x)) for name, values in pinn.predict(points).items()}
