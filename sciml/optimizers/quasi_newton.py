"""Self-scaled quasi-Newton methods for scalar losses with a dense inverse Hessian: for networks of up to a few thousand parameters.

Urban, Stefanou and Pons (2025, "Unveiling the optimization process of physics informed neural networks", J. Comput. Phys. 523) found that
the self-scaled Broyden family of Al-Baali ("Numerical experience with a class of self-scaling quasi-Newton algorithms", J. Optim. Theory
Appl. 96, 1998) trains PINNs to errors that BFGS does not reach. Each step is along ``-H g`` to a point that meets the strong Wolfe
conditions; then, with ``s`` and ``y`` the changes of parameters and gradient,

``H <- (H - H y y^T H / y^T H y + phi (y^T H y) v v^T) / tau + s s^T / y^T s``, ``v = s / y^T s - H y / y^T H y``.

BFGS is ``phi = tau = 1``. All updates satisfy ``H y = s``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor

_LARGEST = 20_000  # parameters; the inverse Hessian would be 3.2 GB


class SSBroyden(torch.optim.Optimizer):
    """Self-scaled Broyden updates; `step(closure)` takes a closure that returns the scalar loss after ``backward()``, as for torch's LBFGS.

    Parameters
    ----------
    parameters : one group, in float64.
    lr : of the first trial of every line search.
    c1, c2 : constants of the strong Wolfe conditions.
    max_evaluations : of the loss in one line search.

    Attributes
    ----------
    info : of the last step: ``loss`` before it, ``step`` its norm, ``length``, ``evaluations``, ``accepted``.

    Raises
    ------
    ValueError : for several groups, half or single precision, more parameters than a dense matrix suits, or bad settings.
    """

    requires_residuals = False

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 1.0, *, c1: float = 1e-4, c2: float = 0.9, max_evaluations: int = 40
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr = {lr}: give a positive length of the first trial")
        if not 0 < c1 < c2 < 1:
            raise ValueError(f"c1 = {c1}, c2 = {c2}: the Wolfe conditions need 0 < c1 < c2 < 1")
        super().__init__(parameters, {"lr": lr})
        if len(self.param_groups) != 1:
            raise ValueError("quasi-Newton methods take one group of parameters: the inverse Hessian is one for all of them")
        self.c1, self.c2, self.max_evaluations = c1, c2, max_evaluations
        self._values: list[Tensor] = [value for value in self.param_groups[0]["params"] if value.requires_grad]
        self.info: dict[str, Any] = {}
        if any(value.dtype != torch.float64 for value in self._values):
            raise ValueError("quasi-Newton methods need parameters in float64: call model.double()")
        size = sum(value.numel() for value in self._values)
        if size > _LARGEST:
            raise ValueError(f"{size} parameters would need an inverse Hessian of {8e-9 * size**2:.0f} GB: take Sven or torch's LBFGS")

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor]) -> float:  # type: ignore[override]
        """One step; returns the loss before it. Parameters stay as they are where no point meets the Wolfe conditions."""
        evaluate = torch.enable_grad()(closure)
        state = self._state()
        start = self._flat()

        def at(x: Tensor) -> tuple[float, Tensor]:
            self._write(x)
            loss = evaluate()
            if loss.ndim:
                raise ValueError(f"the closure returned shape {tuple(loss.shape)}: quasi-Newton methods need a scalar loss")
            return float(loss), self._gradient()

        loss, g = at(start)
        if not (math.isfinite(loss) and bool(torch.isfinite(g).all())):
            raise FloatingPointError("the loss or its gradient is NaN or infinite before the step: look for it in the data or the points")
        if "H" not in state:
            state["H"] = torch.eye(len(start), dtype=torch.float64, device=start.device)
        H = state["H"]
        direction = -(H @ g)
        slope = float(g @ direction)
        if slope >= 0 and float(g @ g) > 0:  # rounding has made H indefinite
            H, direction, slope = torch.eye(len(start), dtype=torch.float64, device=start.device), -g, -float(g @ g)
            state.pop("updated", None)
        first = float(self.param_groups[0]["lr"]) * (1.0 if "updated" in state else min(1.0, 1 / float(g.abs().sum().clamp(min=1e-300))))
        found = strong_wolfe(lambda t: at(start + t * direction), loss, g, direction, first, self.c1, self.c2, self.max_evaluations)
        self._write(start + found.length * direction)
        step = found.length * direction
        norm = float(torch.linalg.vector_norm(step))
        self.info = {"loss": loss, "step": norm, "length": found.length, "evaluations": found.evaluations, "accepted": found.length > 0}
        if found.length > 0:
            y = found.gradient - g
            if float(y @ step) > 0:
                state["H"] = self._updated(H, step, y, found.length, g, first="updated" not in state)
                state["updated"] = True
        return loss

    def _updated(self, H: Tensor, s: Tensor, y: Tensor, length: float, g: Tensor, *, first: bool) -> Tensor:
        Hy, ys = H @ y, float(y @ s)
        yHy = float(y @ Hy)
        theta, tau = self._scaling(yHy / ys, -length * float(s @ g) / ys, len(s), first)
        a = -length * float(s @ g) / ys * yHy / ys - 1
        phi = (1 - theta) / (1 + a * theta)
        v = s / ys - Hy / yHy
        H = (H - torch.outer(Hy, Hy) / yHy + phi * yHy * torch.outer(v, v)) / tau + torch.outer(s, s) / ys
        return (H + H.T) / 2

    def _scaling(self, h: float, b: float, n: int, first: bool) -> tuple[float, float]:
        """theta and tau of Al-Baali's switch, with ``h = y^T H y / y^T s`` and ``b = s^T H^-1 s / y^T s``."""
        a = max(b * h - 1, 0.0)  # not negative, by the inequality of Cauchy and Schwarz
        low = min(1.0, h * (1 - math.sqrt(a / (1 + a))))
        theta = max((low - 1) / a, min(1 / low, (1 - b) / b)) if a > 0 else min(1 / low, (1 - b) / b)
        if first:
            return theta, h / (1 + a * theta)
        root = abs(1 + theta * a) ** (1 / (1 - n)) if n > 1 else 1.0
        most = min(1.0, 1 / b)
        return theta, most * min(root, 1 / theta) if theta > 0 else min(most * root, 1 + theta * a)

    def _state(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.state[self._values[0]])

    def _flat(self) -> Tensor:
        return torch.cat([value.detach().reshape(-1) for value in self._values])

    def _gradient(self) -> Tensor:
        parts = [torch.zeros_like(value) if value.grad is None else value.grad for value in self._values]
        return torch.cat([part.reshape(-1) for part in parts])

    def _write(self, flat: Tensor) -> None:
        for value, piece in zip(self._values, torch.split(flat, [value.numel() for value in self._values]), strict=True):
            value.copy_(piece.reshape(value.shape))


class SSBFGS(SSBroyden):
    """Self-scaled BFGS: ``phi = 1``, ``tau = min(1, 1 / b)``."""

    def _scaling(self, h: float, b: float, n: int, first: bool) -> tuple[float, float]:
        return 0.0, h if first else min(1.0, 1 / b)


class Found:
    """Where a line search ended: its length (0 where it found nothing), the gradient there, and the evaluations it took."""

    def __init__(self, length: float, gradient: Tensor, evaluations: int) -> None:
        self.length, self.gradient, self.evaluations = length, gradient, evaluations


def strong_wolfe(
    at: Callable[[float], tuple[float, Tensor]],
    loss: float,
    gradient: Tensor,
    direction: Tensor,
    first: float,
    c1: float,
    c2: float,
    max_evaluations: int,
) -> Found:
    """A length that meets the strong Wolfe conditions (Nocedal and Wright 2006, algorithms 3.5 and 3.6, cubic interpolation).

    Where rounding hides them the lowest point that was seen is taken, if it is lower than the start.
    """
    slope = float(gradient @ direction)
    best = Found(0.0, gradient, 0)
    lowest, evaluations = loss, 0

    def look(t: float) -> tuple[float, float, Tensor]:
        nonlocal evaluations, best, lowest
        evaluations += 1
        value, g = at(t)
        if not (math.isfinite(value) and bool(torch.isfinite(g).all())):
            return math.inf, math.inf, g
        if value < lowest:
            lowest, best = value, Found(t, g, evaluations)
        return value, float(g @ direction), g

    low, high = (0.0, loss, slope), None
    t, before = first, (0.0, loss, slope)
    while evaluations < max_evaluations:
        value, s, g = look(t)
        if value > loss + c1 * t * slope or (evaluations > 1 and value >= before[1] and high is None):
            low, high = (before, (t, value, s)) if high is None else (low, (t, value, s))
        elif high is not None and value >= low[1]:
            high = (t, value, s)
        else:
            if abs(s) <= -c2 * slope:
                return Found(t, g, evaluations)
            if high is None:
                if s >= 0:
                    low, high = (t, value, s), before
                else:
                    before, t = (t, value, s), 2 * t
                    low = before
                    continue
            else:
                if s * (high[0] - low[0]) >= 0:
                    high = low
                low = (t, value, s)
        t = _between(low, high)
        if abs(high[0] - low[0]) * float(direction.abs().max()) < 1e-16:
            break
    return Found(best.length, best.gradient, evaluations)


Point = tuple[float, float, float]


def _between(low: Point, high: Point) -> float:
    """The minimum of the cubic through two points with slopes, kept inside the middle four fifths of the interval."""
    (a, fa, sa), (b, fb, sb) = low, high
    guess = (a + b) / 2
    if math.isfinite(fb) and math.isfinite(sb):
        d1 = sa + sb - 3 * (fa - fb) / (a - b)
        inside = d1**2 - sa * sb
        if inside >= 0:
            d2 = math.copysign(math.sqrt(inside), b - a)
            bottom = sb - sa + 2 * d2
            if bottom != 0:
                guess = b - (b - a) * (sb + d2 - d1) / bottom
    margin = 0.1 * abs(b - a)
    return min(max(guess, min(a, b) + margin), max(a, b) - margin)
