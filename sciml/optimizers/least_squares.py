"""Optimizers that see the residual vector and not its square: one step from the singular values of the residual's Jacobian.

``theta <- theta - lr t V f(s) U^T r`` with ``J = U diag(s) V^T``: the filter f says which method it is (`sciml.optimizers.filters`), the
step rule chooses t (`steps`), a damping rule the strength of a Tikhonov filter (`damping`), the backend how the singular values are found
(`spectrum`). `Sven`, `GaussNewton`, `LevenbergMarquardt` and `SPRING` are choices of these with names.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.func import vjp

from sciml.optimizers import spectrum
from sciml.optimizers.damping import Constant, Damping, GradientNorm, Nielsen, Trial
from sciml.optimizers.filters import Filter, Tikhonov, TruncatedSVD
from sciml.optimizers.radius import analytic_radius
from sciml.optimizers.residuals import Parameters, Residuals, numbers
from sciml.optimizers.spectrum import Backend, Spectrum
from sciml.optimizers.steps import AnalyticRadius, FixedStep, GridLineSearch, NormCap, StepRule

log = logging.getLogger(__name__)
_TRIES = 40
_DENSE_COPIES = 3  # Jacobian, its orthogonal factor, and what LAPACK needs
_MEMORY_SHARE = 0.25
_DEFAULT_RANK = 150


class LeastSquaresOptimizer(torch.optim.Optimizer):
    """Minimises ``||r(theta)||^2``.

    Parameters
    ----------
    named_parameters : ``model.named_parameters()``; one group, in float64 for tight cuts.
    lr : factor of every step; schedulers act on it.
    spectral_filter : what is made of the singular values.
    step_rule : how long the step is.
    damping : rule of a `Tikhonov` filter; None for the others.
    momentum : part of the last step that is kept where the residual does not see it (SPRING); 0 for none.
    backend : how singular values are found: "dense", "gram", "matrix-free" (which needs a filter with a rank), or "auto", which takes
        dense where the Jacobian needs less than a quarter of the free memory and says so where it does not.
    seed : of the sketches of the matrix-free backend.

    Attributes
    ----------
    info : of the last step: ``loss`` before it, ``rank`` and ``largest``, ``smallest`` singular values in use, ``step`` its norm,
        ``length`` the factor t, ``radius`` where one was asked for, ``damping``, ``tries``, ``accepted``, ``backend``.

    Raises
    ------
    ValueError : for settings that make no sense together, parameters in half precision, or several groups.
    """

    #: `step` takes `Residuals`, not a closure that returns a scalar.
    requires_residuals = True

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float = 1.0,
        *,
        spectral_filter: Filter,
        step_rule: StepRule,
        damping: Damping | None = None,
        momentum: float = 0.0,
        backend: Backend = "auto",
        seed: int = 0,
    ) -> None:
        named = list(named_parameters)
        if named and not isinstance(named[0], tuple):
            raise ValueError("give model.named_parameters(), with names: residuals are functions of parameters by name")
        if not lr > 0:
            raise ValueError(f"lr = {lr}: give a positive learning rate")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum = {momentum}: it must lie in [0, 1)")
        if (damping is not None) != isinstance(spectral_filter, Tikhonov):
            raise ValueError(f"damping = {damping} with {spectral_filter}: a Tikhonov filter needs a damping rule, others take none")
        if backend not in ("auto", "dense", "gram", "matrix-free"):
            raise ValueError(f"backend = {backend!r}: choose auto, dense, gram or matrix-free")
        super().__init__(named, {"lr": lr})
        if len(self.param_groups) != 1:
            raise ValueError("least-squares optimizers take one group of parameters: the step is one for all of them")
        self.spectral_filter, self.step_rule, self.damping, self.momentum = spectral_filter, step_rule, damping, momentum
        self.backend: Backend = backend
        self.info: dict[str, Any] = {}
        self._names = [name for name, value in named if value.requires_grad]
        self._values = [value for _, value in named if value.requires_grad]
        self._generator = torch.Generator().manual_seed(seed)
        _check_precision(self._values, spectral_filter)

    @torch.no_grad()
    def step(self, closure: Residuals) -> float:  # type: ignore[override]  # the contract of torch's is a scalar closure
        """One step; returns the loss ``||r||^2`` before it. Parameters stay as they are where no finite, acceptable step was found."""
        parameters, r, loss = self._start(closure)
        found = self._spectrum(closure, parameters, r)
        state = self._state()
        if "momentum" in state and self.momentum:
            carried = self.momentum * state["momentum"]
            found = Spectrum(found.s, found.coefficients + found.s * found.forward(carried), found.back, found.forward)
        else:
            carried = None
        step, length = self._search(closure, parameters, found, carried, loss)
        if length > 0:
            for value, change in zip(self._values, spectrum.unflatten(step * length, parameters).values(), strict=True):
                value.add_(change.to(value.dtype))
        if self.momentum:
            state["momentum"] = step * length
        return loss

    def _start(self, closure: Residuals) -> tuple[Parameters, Tensor, float]:
        """Parameters, residual and loss before a step; raises where there is nothing to start from."""
        if not hasattr(closure, "jacobian"):
            raise TypeError(
                f"{type(self).__name__}.step needs residuals (PointResiduals or FunctionResiduals), not a closure that returns "
                f"{type(closure).__name__}: hand over the residual vector before it is squared, or take another optimizer"
            )
        parameters = dict(zip(self._names, (value.detach() for value in self._values), strict=True))
        r = closure(parameters)
        loss = float(r.double() @ r.double())
        if not math.isfinite(loss):
            raise FloatingPointError("the residual is NaN or infinite before the step: look for it in data, points, or initial weights")
        return parameters, r, loss

    def _search(
        self, closure: Residuals, parameters: Parameters, found: Spectrum, carried: Tensor | None, loss: float
    ) -> tuple[Tensor, float]:
        """The step and the factor it is taken with, 0 for a refused one."""
        lr, state = float(self.param_groups[0]["lr"]), self._state()
        gradient = float(torch.linalg.vector_norm(found.s * found.coefficients))
        if self.damping is not None and "damping" not in state:
            state["damping"] = self.damping.start(found.s)
        for tries in range(1, _TRIES + 1):
            damping = self.damping.propose(state["damping"], gradient) if self.damping is not None else 0.0
            f = self.spectral_filter(found.s, damping)
            step = -lr * found.back(f * found.coefficients)
            if carried is not None:
                step = step + carried
            length = self._length(closure, parameters, found, step, f, loss, lr)
            self.info |= self._figures(found, damping, loss, step, length, tries)
            new = self._loss(closure, parameters, step * length)
            if self.damping is None:
                while length > 0 and not math.isfinite(new):  # shrink until the network is finite there
                    length = 0.5 * length if length > 1e-12 else 0.0
                    new = self._loss(closure, parameters, step * length)
                self.info |= {"length": length, "accepted": length > 0}
                return step, length
            remaining = found.coefficients * (1 - lr * length * found.s * f)
            predicted = loss - float(found.coefficients @ found.coefficients) + float(remaining @ remaining)
            end = step * length
            trial = Trial(loss, new, predicted, damping, lambda: self._gradient_norm(closure, parameters, end))  # noqa: B023
            if self.damping.judge(state["damping"], trial):
                self.info["accepted"] = True
                return step, length
        self.info["accepted"] = False
        return step, 0.0

    def _length(
        self, closure: Residuals, parameters: Parameters, found: Spectrum, step: Tensor, f: Tensor, loss: float, lr: float
    ) -> float:
        def radius() -> float:
            if closure.points is None:
                raise ValueError("AnalyticRadius needs the points of the residual: take PointResiduals, or the step rule NormCap")
            direction = spectrum.unflatten(step.to(self._values[0].dtype), parameters)
            self.info["radius"] = analytic_radius(closure.model, parameters, direction, closure.points)
            return cast(float, self.info["radius"])

        slope = -2 * lr * float((found.coefficients**2 * found.s * f).sum())
        norm = float(torch.linalg.vector_norm(step))
        return self.step_rule.length(radius, norm, loss, slope, lambda t: self._loss(closure, parameters, t * step))

    def _figures(self, found: Spectrum, damping: float, loss: float, step: Tensor, length: float, tries: int) -> dict[str, Any]:
        s = found.s[self.spectral_filter.kept(found.s)]
        ends = {"largest": float(s[0]), "smallest": float(s[-1])} if len(s) else {"largest": 0.0, "smallest": 0.0}
        norm = length * float(torch.linalg.vector_norm(step))
        return {"loss": loss, "rank": len(s), **ends, "step": norm, "length": length, "damping": damping, "tries": tries}

    def _loss(self, closure: Residuals, parameters: Parameters, change: Tensor) -> float:
        moved = spectrum.unflatten(change, parameters)
        r = closure({name: value + moved[name].to(value.dtype) for name, value in parameters.items()}).double()
        loss = float(r @ r)
        return loss if math.isfinite(loss) else math.inf

    def _gradient_norm(self, closure: Residuals, parameters: Parameters, change: Tensor) -> float:
        moved = spectrum.unflatten(change, parameters)
        r, pull = vjp(closure, {name: value + moved[name].to(value.dtype) for name, value in parameters.items()})[:2]
        return float(torch.linalg.vector_norm(spectrum.flatten(pull(r)[0])))

    def _spectrum(self, closure: Residuals, parameters: Parameters, r: Tensor) -> Spectrum:
        backend = self.backend if self.backend != "auto" else self._choose(len(r), numbers(parameters))
        self.info["backend"] = backend
        if backend == "dense":
            return spectrum.dense(closure, parameters, r)
        if backend == "gram":
            return spectrum.gram(closure, parameters, r)
        rank = getattr(self.spectral_filter, "rank", None) or _DEFAULT_RANK
        found = spectrum.matrix_free(closure, parameters, r, rank, self._generator)
        self._state()["generator"] = self._generator.get_state()
        return found

    def _choose(self, rows: int, columns: int) -> Backend:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if memory_estimate(rows, columns) < _MEMORY_SHARE * free:
            return "dense"
        rtol = getattr(self.spectral_filter, "rtol", 1.0)
        if rtol >= spectrum.GRAM_FLOOR and rows <= columns and 16 * rows**2 < _MEMORY_SHARE * free:
            chosen: Backend = "gram"
        else:
            chosen = "matrix-free"
        log.info("the Jacobian of %d residuals and %d parameters would need %.1f GB: %s", rows, columns, 8e-9 * rows * columns, chosen)
        return chosen

    def _state(self) -> dict[str, Any]:
        """What is kept between steps, in the place of torch's state of the first parameter, so that `state_dict` has it."""
        return cast(dict[str, Any], self.state[self._values[0]])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if "generator" in self._state():
            self._generator.set_state(self._state()["generator"].to(torch.uint8).cpu())


def memory_estimate(rows: int, columns: int) -> int:
    """Bytes that a step with the dense backend takes at its peak."""
    return 8 * rows * columns * _DENSE_COPIES


def _check_precision(values: list[Tensor], chosen: Filter) -> None:
    dtypes = {value.dtype for value in values}
    if not dtypes <= {torch.float32, torch.float64}:
        found = ", ".join(sorted(map(str, dtypes)))
        raise ValueError(f"parameters are {found}: least-squares steps need float64, or float32 with a loose cut")
    rtol = getattr(chosen, "rtol", 0.0)
    if torch.float32 in dtypes and rtol < 1e-5:
        warnings.warn(
            f"parameters are float32, whose Jacobian is rounded at 6e-8 of its largest entries, and {chosen} keeps what lies below 1e-5: "
            "call model.double(), or raise rtol to 1e-4",
            stacklevel=3,
        )


class Sven(LeastSquaresOptimizer):
    """Truncated Gauss-Newton steps, no longer than half the way to the nearest complex singularity of the network.

    As published (Bright-Thonney et al. 2026, arXiv:2604.01279) the step has a fixed rate and no bound: ``step_rule=FixedStep()``.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float = 1.0,
        *,
        rtol: float = 1e-8,
        rank: int | None = None,
        step_rule: StepRule = AnalyticRadius(0.5),  # noqa: B008  # immutable
        backend: Backend = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(named_parameters, lr, spectral_filter=TruncatedSVD(rtol, rank), step_rule=step_rule, backend=backend, seed=seed)


class GaussNewton(LeastSquaresOptimizer):
    """Gauss-Newton steps with a line search over 1, 1/2, 1/4 ...; energy natural gradients are these."""

    def __init__(self, named_parameters: Iterable[tuple[str, Tensor]], lr: float = 1.0, *, rtol: float = 1e-8) -> None:
        super().__init__(named_parameters, lr, spectral_filter=TruncatedSVD(rtol), step_rule=GridLineSearch(), backend="dense")


class LevenbergMarquardt(LeastSquaresOptimizer):
    """Damped Gauss-Newton steps with the damping of Nielsen, or of the norm of the gradient."""

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float = 1.0,
        *,
        damping: Nielsen | GradientNorm = Nielsen(),  # noqa: B008
    ) -> None:
        super().__init__(named_parameters, lr, spectral_filter=Tikhonov(), step_rule=FixedStep(), damping=damping)


class SPRING(LeastSquaresOptimizer):
    """Damped steps that keep part of the last one where the residual does not see it (Goldshlager, Abrahamsen and Lin 2024)."""

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr: float = 1.0,
        *,
        damping: float = 1e-3,
        momentum: float = 0.99,
        cap: float = math.sqrt(1e-3),
    ) -> None:
        super().__init__(
            named_parameters,
            lr,
            spectral_filter=Tikhonov(),
            step_rule=NormCap(cap),
            damping=Constant(damping),
            momentum=momentum,
        )
