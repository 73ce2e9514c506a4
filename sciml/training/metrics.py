"""Relative errors of fields, one figure a sample, in the fields' own units.

Every norm is taken per sample and channel, divided by the norm of the truth, and averaged over the channels, so that fields of
different units count alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

#: Below this norm a truth counts as zero: the ratio is kept finite, and far above any error worth reporting.
_TINY = 1e-30


def relative_l2(prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """``||prediction - truth||_2 / ||truth||_2``.

    Parameters
    ----------
    prediction, truth : (batch, channels, *grid), physical units.

    Returns
    -------
    Tensor of shape (batch,).
    """
    return _ratio((prediction - truth).flatten(2), truth.flatten(2))


@dataclass(frozen=True)
class RelativeH1:
    """``|u| = sqrt(||u||^2 + ||grad u||^2)`` of the error over that of the truth, on a uniform grid.

    The gradient is by central differences of second order; at the ends of an axis that is not periodic by the one-sided ones of
    second order, ``(-3 u_0 + 4 u_1 - u_2) / (2 h)``; on a periodic axis the stencil wraps.

    Parameters
    ----------
    spacing : distance of neighbouring samples along each axis, in the unit of length that the gradient is wanted in.
    periodic : whether each axis wraps.
    """

    spacing: tuple[float, ...]
    periodic: tuple[bool, ...]

    def __call__(self, prediction: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Shapes and units as in `relative_l2`; an axis needs three points."""
        return _ratio(self._with_gradient(prediction - truth), self._with_gradient(truth))

    def _with_gradient(self, u: torch.Tensor) -> torch.Tensor:
        """The field and its partial derivatives side by side, (batch, channels, (1 + dimension) * points)."""
        axes = range(-len(self.spacing), 0)
        slopes = [derivative(u, dim, h, wraps) for dim, h, wraps in zip(axes, self.spacing, self.periodic, strict=True)]
        return torch.cat([part.flatten(2) for part in (u, *slopes)], dim=2)


def derivative(u: torch.Tensor, dim: int, h: float, periodic: bool) -> torch.Tensor:
    """Second-order first derivative of `u` along `dim`, same shape."""
    if periodic:
        return (u.roll(-1, dim) - u.roll(1, dim)) / (2.0 * h)
    n = u.shape[dim]
    inner = u.narrow(dim, 2, n - 2) - u.narrow(dim, 0, n - 2)
    low = -3.0 * u.narrow(dim, 0, 1) + 4.0 * u.narrow(dim, 1, 1) - u.narrow(dim, 2, 1)
    high = 3.0 * u.narrow(dim, n - 1, 1) - 4.0 * u.narrow(dim, n - 2, 1) + u.narrow(dim, n - 3, 1)
    return torch.cat([low, inner, high], dim=dim) / (2.0 * h)


def summary(errors: Sequence[float]) -> dict[str, float]:
    """Mean, median, 90th percentile and largest of per-sample errors; NaN where one of them is NaN."""
    values = torch.tensor(errors, dtype=torch.float64)
    if values.isnan().any():
        return dict.fromkeys(("mean", "median", "p90", "worst"), math.nan)
    half, ninety = values.quantile(torch.tensor([0.5, 0.9], dtype=torch.float64)).tolist()
    return {"mean": values.mean().item(), "median": half, "p90": ninety, "worst": values.max().item()}


def _ratio(error: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean over channels of the ratios of norms along the last axis."""
    sizes = torch.linalg.vector_norm(truth, dim=2).clamp_min(_TINY)
    return (torch.linalg.vector_norm(error, dim=2) / sizes).mean(dim=1)
