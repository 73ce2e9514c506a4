"""Derivatives of networks of coordinates: forward channels beside reverse differentiation, nested and by `torch.func`.

The residual is ``lap u + u sum_k du/dx_k - 1`` of a tanh network in double precision. Timed are its mean square with the gradient by the
parameters, as a step of Adam takes them, and the residuals with their Jacobian by the parameters, as a Gauss-Newton step does; processor
time of one core, the best of several runs, all in turn in the same process. "Nested" is `torch.autograd.grad` of `torch.autograd.grad`, one
second derivative after another; "torch.func" maps a Hessian over the points. A network of d coordinates has d + 2 channels, nested
reverse differentiation goes back d + 1 times through graphs of growing length: what is gained grows with d.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, hessian, vmap

from sciml.checks import Check, CheckReport
from sciml.models.channels import coordinates
from sciml.models.taylor import forward_jet, point_jacobian
from validation.options import check_between
from validation.timing import one_core

#: Coordinates, units of a layer, hidden layers, points.
CASES = ((2, 32, 2, 1000), (2, 64, 3, 1000), (3, 64, 3, 1000), (5, 64, 3, 1000), (10, 64, 3, 1000), (2, 128, 4, 2000))
OF_JACOBIANS = CASES[:3]
Jet = tuple[Tensor, Tensor, Tensor]


def run(*, repeats: int = 7) -> CheckReport:
    """Every figure is the least of `repeats` runs."""
    check_between("repeats", repeats, 1, 100)
    start = time.perf_counter()
    differences, losses, jacobians = [0.0], {}, {}
    with one_core():
        for case in CASES:
            network, x = _network(case)
            differences += _differences(network, x)
            losses[_name(case)] = {name: _least(partial(_step, network, x, how), repeats) for name, how in _JETS.items()}
        for case in OF_JACOBIANS:
            network, x = _network(case)
            differences.append(_difference(_jacobian(network, x), _jacobian_by_func(network, x)))
            jacobians[_name(case)] = {
                "channels": _least(partial(_jacobian, network, x), repeats),
                "torch.func": _least(partial(_jacobian_by_func, network, x), repeats),
            }
    gains = {peer: [row[peer] / row["channels"] for row in losses.values()] for peer in ("nested", "torch.func")}
    of_jacobians = [row["torch.func"] / row["channels"] for row in jacobians.values()]
    same = "same network and points, same run"
    checks = [
        Check("largest difference of derivatives and gradients", max(differences), "<=", 1e-12, reference="torch.autograd"),
        Check("residuals and Jacobian: least gain over torch.func", min(of_jacobians), ">=", 3.0, reference=same, status="peer"),
        Check("loss and gradient: median gain over torch.func", sorted(gains["torch.func"])[len(CASES) // 2], ">=", 3.0, reference=same,
              status="peer"),
        Check("loss and gradient: least gain over nested", min(gains["nested"]), ">=", 1.0, reference=same, status="peer"),
        Check("loss and gradient: largest gain over nested", max(gains["nested"]), ">=", 2.0, reference=same, status="peer"),
    ]  # fmt: skip
    details = {"seconds of loss and gradient": losses, "seconds of residuals and Jacobian": jacobians}
    return CheckReport("pinn-derivatives", checks, time.perf_counter() - start, details)


def _name(case: tuple[int, int, int, int]) -> str:
    d, width, layers, points = case
    return f"{d} coordinates, {layers} x {width}, {points} points"


def _network(case: tuple[int, int, int, int]) -> tuple[nn.Sequential, Tensor]:
    d, width, layers, points = case
    torch.manual_seed(0)
    parts: list[nn.Module] = [nn.Linear(d, width), nn.Tanh()]
    for _ in range(layers - 1):
        parts += [nn.Linear(width, width), nn.Tanh()]
    return nn.Sequential(*parts, nn.Linear(width, 1)).double(), torch.rand(points, d, dtype=torch.float64)


def _by_channels(network: nn.Module, x: Tensor) -> Jet:
    found = forward_jet(network, coordinates(x, x.shape[1]))
    assert found.laplacian is not None
    return found.value[:, 0], found.gradient[..., 0].T, found.laplacian[:, 0]


def _nested(network: nn.Module, x: Tensor) -> Jet:
    x = x.detach().requires_grad_()
    u = network(x)[:, 0]
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    seconds = [torch.autograd.grad(slope[:, k].sum(), x, create_graph=True)[0][:, k] for k in range(x.shape[1])]
    return u, slope, torch.stack(seconds).sum(dim=0)


def _by_func(network: nn.Module, x: Tensor) -> Jet:
    def u(z: Tensor) -> Tensor:
        return functional_call(network, dict(network.named_parameters()), (z[None],))[0, 0]

    return network(x)[:, 0], vmap(grad(u))(x), vmap(hessian(u))(x).diagonal(dim1=1, dim2=2).sum(dim=1)


_JETS: dict[str, Callable[[nn.Module, Tensor], Jet]] = {"channels": _by_channels, "nested": _nested, "torch.func": _by_func}


def _step(network: nn.Module, x: Tensor, how: Callable[[nn.Module, Tensor], Jet]) -> None:
    network.zero_grad()
    u, slope, laplacian = how(network, x)
    (laplacian + u * slope.sum(dim=1) - 1).square().mean().backward()


def _jacobian(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    found = forward_jet(network, coordinates(x, x.shape[1]))
    assert found.laplacian is not None
    return point_jacobian(network, found.uses, found.laplacian[:, 0] + found.value[:, 0] * found.gradient[..., 0].sum(dim=0) - 1)


def _jacobian_by_func(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def residual(parameters: dict[str, Tensor], z: Tensor) -> Tensor:
        def u(y: Tensor) -> Tensor:
            return functional_call(network, parameters, (y[None],))[0, 0]

        return hessian(u)(z).diagonal().sum() + u(z) * grad(u)(z).sum() - 1

    found: dict[str, Tensor] = vmap(grad(residual), (None, 0))(parameters, x)
    return found


def _differences(network: nn.Module, x: Tensor) -> list[float]:
    """Of everything that goes into a step, from both peers."""
    found: dict[str, list[Tensor]] = {}
    for name, how in _JETS.items():
        jet = [part.detach() for part in how(network, x)]
        _step(network, x, how)
        found[name] = jet + [value.grad.clone() for value in network.parameters() if value.grad is not None]
    return [_difference(dict(enumerate(found["channels"])), dict(enumerate(found[peer]))) for peer in ("nested", "torch.func")]


def _difference(one: dict[Any, Tensor], other: dict[Any, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max() / other[name].abs().max()) for name in other)


def _least(action: Callable[[], object], repeats: int) -> float:
    best = math.inf
    for _ in range(repeats):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return best
