"""How far a step may go before it meets a complex singularity of the network: a trust radius without a setting.

Sao ("Ghosts of Softmax", 2026, arXiv:2603.13552) bounds steps by the distance to the nearest complex zero of a softmax. A sum of squares
of linear outputs has no such zeros; what ends its power series along a step are the poles of the activations. With pre-activations
``h + t h'`` along a step, tanh has its nearest poles where ``h + t h' = +-i pi / 2``, that is at ``|t| = sqrt(h^2 + (pi/2)^2) / |h'|``;
the logistic function, softplus and SiLU have theirs at ``+-i pi``. The smallest such t over all points and units is the radius of
convergence where pre-activations are linear in the parameters, as in a first layer, and its linearisation elsewhere. Spatial derivatives
of the network have the same poles. Entire activations (sine, exact GELU) give no bound, ReLU that of its kink, ``|h / h'|``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.func import functional_call, jvp

from sciml.optimizers.residuals import Parameters

#: Imaginary part of the nearest pole; 0 for a kink on the real line, inf for entire functions.
_POLES: dict[type[nn.Module], float] = {
    nn.Tanh: math.pi / 2,
    nn.Sigmoid: math.pi,
    nn.Softplus: math.pi,
    nn.SiLU: math.pi,
    nn.LogSigmoid: math.pi,
    nn.ReLU: 0.0,
    nn.LeakyReLU: 0.0,
    nn.GELU: math.inf,
}


def analytic_radius(model: nn.Module, parameters: Parameters, step: Parameters, points: Sequence[Tensor]) -> float:
    """The smallest t at which an activation of ``parameters + t step`` is singular for complex t, over the rows of all `points`.

    Infinite where no activation has a pole or nothing depends on the step. Only activations that are modules are seen.

    Raises
    ------
    ValueError : where the model has no activation module.
    """
    activations = [module for module in model.modules() if _pole(module) is not None]
    if not activations:
        raise ValueError(
            f"{type(model).__name__} has no activation that is a module, such as nn.Tanh: the radius of a step cannot be told; "
            "make activations modules, or choose NormCap"
        )
    smallest = math.inf
    for x in points:
        for (module, h), slope in zip(*_preactivations(model, activations, parameters, step, x), strict=True):
            pole = _pole(module)
            if pole is not None and math.isfinite(pole):
                squared = (h.double() ** 2 + pole**2) / slope.double() ** 2
                smallest = min(smallest, math.sqrt(float(squared.min())))
    return smallest


def _pole(module: nn.Module) -> float | None:
    """Of a module that is no activation None; an activation of one's own names its pole in an attribute ``pole``."""
    named: float | None = getattr(module, "pole", _POLES.get(type(module)))
    return named


def _preactivations(
    model: nn.Module, activations: Sequence[nn.Module], parameters: Parameters, step: Parameters, x: Tensor
) -> tuple[list[tuple[nn.Module, Tensor]], list[Tensor]]:
    """Inputs of all activations, with their modules, and the derivatives of these inputs along the step."""
    seen: list[nn.Module] = []

    def inputs(values: Parameters) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        seen.clear()

        def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen.append(module)
            found.append(args[0])

        handles = [module.register_forward_pre_hook(keep) for module in activations]
        try:
            functional_call(model, values, (x,))
        finally:
            for handle in handles:
                handle.remove()
        return tuple(found)

    values, slopes = jvp(inputs, (parameters,), (step,))[:2]
    return list(zip(seen, values, strict=True)), list(slopes)
