"""Weights between equations and between times, and collocation points where residuals are large.

All of them are functions of the network at the start of a block or step and of nothing that was before, so that a run that was interrupted
goes on to the same bits.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sciml.models.pinn import PINN, EquationResiduals, Parameters, scattered

Array = NDArray[np.float64]

_POOL = 10  # points that are looked at for each one that is chosen


@torch.no_grad()
def balance(residuals: EquationResiduals, parameters: Parameters, by: Literal["gradient-norm", "ntk"]) -> Tensor:
    """Weights of the mean squares of all equations, shape (equations,), on top of those that `residuals` have now.

    By "gradient-norm" the gradients of all weighted mean squares have the same length, by "ntk" the weighted parts of the trace of the
    neural tangent kernel are the same, so that no equation is learnt before the others (Wang, Sankaran, Wang and Perdikaris 2023, "An
    expert's guide to training physics-informed neural networks", arXiv:2308.08468, section 4; divided by the number of equations).
    """
    equations = residuals.factors.shape[1]
    blocks = residuals.jacobian(parameters)
    J = torch.cat([block.reshape(-1, equations, block[0].numel()) for block in blocks.values()], dim=2)
    if by == "ntk":
        parts = J.square().sum(dim=(0, 2))
    else:
        parts = torch.linalg.vector_norm(torch.einsum("nkp,nk->kp", J, residuals(parameters).reshape(-1, equations)), dim=1)
    return parts.mean() / parts.clamp(min=torch.finfo(parts.dtype).tiny)


@torch.no_grad()
def causal(residuals: EquationResiduals, parameters: Parameters, chunks: int, strictness: float) -> Tensor:
    """Weights of all points, shape (N,), which fall with the residuals of all times before theirs.

    The time interval is cut into equal chunks; with L_k the mean square of the residuals in chunk k, points in chunk i have the weight
    ``exp(-strictness sum_{k < i} L_k)`` (Wang, Sankaran and Perdikaris 2024, "Respecting causality for training physics-informed neural
    networks", Comput. Methods Appl. Mech. Eng. 421, equation 3.11). Training has come to the end when all are near 1.
    """
    duration = residuals.pinn.form.duration
    assert duration is not None
    chunk = (residuals.at[:, -1] / duration * chunks).long().clamp(0, chunks - 1)
    squares, share = residuals.mean_squares(parameters), residuals.weights
    zero = torch.zeros(chunks, dtype=torch.float64)
    loss, amount = zero.index_add(0, chunk, squares), zero.index_add(0, chunk, share)
    mean = loss / amount.clamp(min=torch.finfo(torch.float64).tiny)
    before = torch.cumsum(mean, dim=0) - mean
    return torch.exp(-strictness * before)[chunk]


def where_residuals_are_large(pinn: PINN, count: int, seed: int) -> tuple[Array, Array]:
    """Collocation points and their weights, which sum to 1.

    Points are drawn with a density proportional to ``1 + |r| / mean |r|`` (Wu, Zhu, Tan, Kartha and Lu 2023, "A comprehensive study of
    non-adaptive and residual-based adaptive sampling for physics-informed neural networks", Comput. Methods Appl. Mech. Eng. 403,
    equation 2 with k = c = 1). Their weights are the reciprocals, so that the loss estimates the same integral wherever points lie, and
    losses of different points can be compared.
    """
    candidates = scattered(pinn.form, _POOL * count, seed)
    residuals = EquationResiduals(pinn, candidates)
    with torch.no_grad():
        size = residuals.mean_squares(dict(pinn.network.named_parameters())).sqrt().numpy()
    density = 1 + size / max(size.mean(), np.finfo(float).tiny)
    chosen = np.random.default_rng([seed, 2]).choice(len(candidates), count, replace=False, p=density / density.sum())
    weights = 1 / density[chosen]
    return candidates[chosen], weights / weights.sum()
