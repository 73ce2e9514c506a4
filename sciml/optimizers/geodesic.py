"""Levenberg and Marquardt's method with geodesic acceleration: steps that bend as the residual does.

A damped step ``d = -(J^T J + mu)^-1 J^T r`` is the velocity of a path; its acceleration is ``a = -(J^T J + mu)^-1 J^T r''`` with r'' the
second derivative of the residual along d, and the step is ``d + a / 2`` (Transtrum and Sethna 2012, "Improvements to the
Levenberg-Marquardt algorithm for nonlinear least-squares minimization", arXiv:1201.5885, equations 8 to 11). It costs one residual more and
no derivative. The losses of nonlinear equations lie in long bent valleys, along which straight steps stay short: Navier-Stokes equations
take a tenth of the iterations and less.

Only ``J^T J`` is factorised, by Cholesky, a fifth of the price of singular values; squaring hides what lies below the root of rounding, so
that errors end near 1e-8 where those of `Sven` can end at 1e-10.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.optimizers import spectrum
from sciml.optimizers.damping import Nielsen, Trial
from sciml.optimizers.filters import Tikhonov
from sciml.optimizers.least_squares import LeastSquaresOptimizer
from sciml.optimizers.residuals import Parameters, Residuals
from sciml.optimizers.steps import FixedStep

_TRIES = 40
#: Of the step, over which the second derivative along it is differenced; a residual's rounding over its square stays far below r''.
_PROBE = 0.1


class GeodesicLevenbergMarquardt(LeastSquaresOptimizer):
    """Damped Gauss-Newton steps along the parabola that the residual's curvature bends.

    Parameters
    ----------
    named_parameters : ``model.named_parameters()``; one group, in float64.
    lr : how far along the parabola a step goes: ``lr d + lr^2 a / 2``.
    damping : Nielsen's rule.
    largest_bend : a step whose ``2 ||a|| / ||d||`` is larger is refused, as if the loss had grown: the parabola is no model there.

    Attributes
    ----------
    info : of the last step: ``loss`` before it, ``damping``, ``tries``, ``accepted``, ``step`` its norm, ``bend``.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float = 1.0,
        *,
        damping: Nielsen = Nielsen(),  # noqa: B008  # immutable
        largest_bend: float = 0.75,
    ) -> None:
        if not largest_bend > 0:
            raise ValueError(f"largest_bend = {largest_bend}: give a positive number")
        super().__init__(named_parameters, lr, spectral_filter=Tikhonov(), step_rule=FixedStep(), damping=damping)
        self.rule, self.largest_bend = damping, largest_bend

    @torch.no_grad()
    def step(self, closure: Residuals) -> float:  # type: ignore[override]  # the contract of torch's is a scalar closure
        """One step; returns the loss ``||r||^2`` before it. Parameters stay as they are where no acceptable step was found."""
        parameters, r, loss = self._start(closure)
        model = _Quadratic(closure, parameters, r.double())
        state = self._state()
        if "damping" not in state:
            largest = torch.linalg.eigvalsh(model.gram)[-1:].clamp(min=0)
            state["damping"] = self.rule.start(largest.sqrt())
        for tries in range(1, _TRIES + 1):
            damping = self.rule.propose(state["damping"], 0.0)
            step, predicted, bend = self._path(model, damping)
            new = self._loss(closure, parameters, step) if bend <= self.largest_bend else math.inf
            accepted = self.rule.judge(state["damping"], Trial(loss, new, predicted, damping, lambda: math.nan))
            length = float(torch.linalg.vector_norm(step)) if accepted else 0.0
            self.info = {"loss": loss, "damping": damping, "tries": tries, "accepted": accepted, "step": length, "bend": bend}
            if accepted:
                for value, change in zip(self._values, spectrum.unflatten(step, parameters).values(), strict=True):
                    value.add_(change.to(value.dtype))
                break
        return loss

    def _path(self, model: _Quadratic, damping: float) -> tuple[Tensor, float, float]:
        """The step, the loss at its end as the linear model has it, and its bend; an infinite bend where rounding leaves no step."""
        lr = float(self.param_groups[0]["lr"])
        factor = model.factor(damping)
        if factor is None:
            return torch.zeros_like(model.gradient), model.loss, math.inf
        velocity = -_solved(factor, model.gradient)
        acceleration = -_solved(factor, model.J.T @ model.second_derivative(velocity))
        bend = 2 * float(torch.linalg.vector_norm(acceleration)) / max(float(torch.linalg.vector_norm(velocity)), 1e-300)
        end = model.r + model.J @ (lr * velocity)
        return lr * velocity + 0.5 * lr**2 * acceleration, float(end @ end), bend if math.isfinite(bend) else math.inf


@dataclass(eq=False)
class _Quadratic:
    """A residual at given parameters and its derivatives there."""

    closure: Residuals
    parameters: Parameters
    r: Tensor

    def __post_init__(self) -> None:
        blocks = self.closure.jacobian(self.parameters)
        self.J = torch.cat([blocks[name].reshape(len(self.r), -1) for name in self.parameters], dim=1).double()
        self.gram, self.gradient = self.J.T @ self.J, self.J.T @ self.r
        self.loss = float(self.r @ self.r)

    def factor(self, damping: float) -> Tensor | None:
        """Cholesky's factor of ``J^T J + damping``; None where rounding leaves it indefinite."""
        damped = self.gram.clone()
        damped.diagonal().add_(damping)
        L, failed = torch.linalg.cholesky_ex(damped)
        return None if int(failed) else L

    def second_derivative(self, direction: Tensor) -> Tensor:
        """Of the residual along a direction, from one more residual (equation 12 of Transtrum and Sethna)."""
        moved = spectrum.unflatten(_PROBE * direction, self.parameters)
        ahead = self.closure({name: value + moved[name].to(value.dtype) for name, value in self.parameters.items()}).double()
        return (2 / _PROBE) * ((ahead - self.r) / _PROBE - self.J @ direction)


def _solved(factor: Tensor, b: Tensor) -> Tensor:
    return torch.cholesky_solve(b[:, None], factor)[:, 0]
