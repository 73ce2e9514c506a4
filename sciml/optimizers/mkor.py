"""MKOR: Kronecker-factored curvature whose inverse is updated by one rank-one step instead of being computed.

For a layer with weight W, inputs a and gradients g of its outputs, KFAC approximates the curvature by ``A (x) G`` with A and G running
means of ``a a^T`` and ``g g^T``, which it has to invert. MKOR (Mozaffari, Li, Zhang and Mehri Dehnavi 2023, "MKOR: momentum-enabled
Kronecker-factor-based optimizer using rank-1 updates", NeurIPS) takes one vector for each factor and step, the mean over the batch, and
updates the inverses H in O(d^2). The layer's gradient becomes ``H_G grad H_A``, of its old norm, and goes to any first-order optimizer.
(These two products are O(d^3), as they are in KFAC: what MKOR saves is the inversion.)

One averaged vector for each layer is a crude picture of a batch; that of a PINN's residual, in whose layers derivatives travel beside
values, it does not fit at all. MKOR is for operators trained on samples.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

Update = Literal["exact", "paper"]
log = logging.getLogger(__name__)


def rank_one_update(H: Tensor, v: Tensor, decay: float, update: Update) -> tuple[Tensor, float]:
    """H after the vector v, and ``v^T H v`` before it, from which the caller sees whether H was definite along v.

    Parameters
    ----------
    H : shape (d, d), symmetric and positive definite.
    v : shape (d,).
    decay : gamma, in (0, 1].
    update : ``"exact"``, the inverse of ``gamma H^-1 + (1 - gamma) v v^T`` by Sherman and Morrison,
        ``(H - (1 - gamma) H v v^T H / (gamma + (1 - gamma) v^T H v)) / gamma``; or ``"paper"``, the published
        ``gamma H + (1 - gamma) H v v^T H / (gamma^2 (1 + gamma (1 - gamma) v^T H v))``, which is the inverse of nothing in particular: its
        second term has the sign that keeps H positive definite, and that makes it grow along v, up to ``gamma + gamma^-3`` times with every
        update where ``v^T H v`` is near 1 or above, while it decays everywhere else.
    """
    Hv = H @ v[:, None]
    vHv = float((v[None] @ Hv)[0, 0])
    if update == "exact":
        keep, change = 1 / decay, -(1 - decay) / (decay * (decay + (1 - decay) * vHv))
    else:
        keep, change = decay, (1 - decay) / (decay**2 * (1 + decay * (1 - decay) * vHv))
    new = torch.addmm(H, Hv, Hv.T, beta=keep, alpha=change)
    # The last bits of the product are not symmetric, and nothing damps an antisymmetric part: it grows by 1 / decay with every update, and
    # H is indefinite after several hundred, in float64 too (as in recursive least squares with forgetting).
    return (new + new.T) / 2, vHv


def looks_definite(H: Tensor) -> bool:
    """Whether H is finite with a positive diagonal and no negative 2 x 2 minor: necessary for a definite matrix, in O(d^2)."""
    d = H.diagonal()
    return bool(torch.isfinite(H).all()) and bool((d > 0).all()) and bool((torch.outer(d, d) >= H**2).all())


def is_definite(H: Tensor) -> bool:
    """Whether Cholesky's factorisation of H exists, in O(d^3)."""
    return int(torch.linalg.cholesky_ex(H)[1]) == 0


@dataclass(frozen=True)
class RateSwitch:
    """MKOR-H: when curvature no longer pays, by how fast the loss falls with it and without.

    Steps come in windows. Out of `cycle` windows the last takes first-order steps; the rate of a window is the logarithm by which the mean
    loss of its second half lies below that of its first, for each step; rates are smoothed over the windows of their kind. After each
    cycle MKOR hands over to the inner optimizer for good where ``second_order_rate < (1 + margin) first_order_rate``.

    Parameters
    ----------
    window : steps, even. The means have to stand out of the noise of mini-batches.
    cycle : windows, at least 2.
    margin : epsilon: how much faster a preconditioned step has to be to be worth its price.
    smoothing : weight of the rates so far, in [0, 1).
    """

    window: int = 40
    cycle: int = 4
    margin: float = 0.1
    smoothing: float = 0.5

    def __post_init__(self) -> None:
        if self.window < 2 or self.window % 2:
            raise ValueError(f"window = {self.window}: give an even number of steps")
        if self.cycle < 2:
            raise ValueError(f"cycle = {self.cycle}: give at least 2 windows, the last of them of first order")
        if not self.margin > -1:
            raise ValueError(f"margin = {self.margin}: give a number above -1")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing = {self.smoothing}: it must lie in [0, 1)")

    def first_order(self, step: int) -> bool:
        """Whether step number `step`, counted from 0, is one without preconditioning."""
        return step // self.window % self.cycle == self.cycle - 1

    def observe(self, state: dict[str, float], step: int, loss: float) -> bool:
        """Take in the loss of a step; returns whether to switch. `state` is empty at first and holds plain numbers."""
        half = "late" if step % self.window >= self.window // 2 else "early"
        state[half] = state.get(half, 0.0) + loss
        if (step + 1) % self.window:
            return False
        early, late = state.pop("early"), state.pop("late")
        rate = math.log(early / late) / (self.window / 2) if early > 0 and late > 0 else 0.0
        kind = "first_order_rate" if self.first_order(step) else "second_order_rate"
        state[kind] = self.smoothing * state[kind] + (1 - self.smoothing) * rate if kind in state else rate
        return self.first_order(step) and state["second_order_rate"] < (1 + self.margin) * state["first_order_rate"]


class MKOR(torch.optim.Optimizer):
    """Gradients preconditioned layer by layer, then a step of an inner optimizer.

    Layers are `torch.nn.Linear` and `torch.nn.Conv1d` to `Conv3d` without groups, whose real, trained parameters belong to no other
    module. The parameters of everything else go to the inner optimizer as they are: those of normalisations and of transposed
    convolutions and, in a Fourier neural operator, the spectral weights, which are most of its parameters.

    The vector of inputs is their mean over the batch and all positions (over the patches that a kernel sees), with 1 appended for the bias;
    the vector of gradients is the sum over both of the outputs' gradients, which is the gradient of the bias. Both are read in training by
    hooks on the forward and the backward pass, on every `inv_freq`-th step.

    Parameters
    ----------
    model : in float32 or float64, on its device. `step` overwrites the gradients of its layers.
    lr : handed to `inner`; schedulers act on it.
    inner : makes the inner optimizer, ``inner(parameters, lr=lr)``: `torch.optim.AdamW`, ``partial(torch.optim.SGD, momentum=0.9)`` ...
    update : see `rank_one_update`.
    decay : gamma of the running means; 1 keeps the factors at the identity.
    inv_freq : steps from one update of the factors to the next.
    largest : entry of an inverse from which on it is drawn towards the identity, as far as brings it back to this bound; math.inf for
        never. A direction that no vector has had for k updates has grown by ``gamma^-k`` in the exact inverse, and is noise by then. (The
        released program draws by a tenth where an entry exceeds 2, which holds no bound when gamma is below 0.9.)
    factor_dtype : of the inverses as they are stored; None for that of the layer, in which they are computed in any case.
    hybrid : when to go on without preconditioning; None for never. `step` needs a closure then, for the loss.

    Attributes
    ----------
    inner : the inner optimizer, whose `state` and `param_groups` are this one's.
    preconditioned, unpreconditioned : names of parameters.
    info : ``steps``, ``resets`` of factors that had lost their definiteness, ``switched_at`` (the step from which on the inner optimizer is
        alone, or None), and of the last step ``preconditioned`` (whether it was).

    Raises
    ------
    ValueError : for settings that make no sense, layers in half precision, and a model without such layers.

    Notes
    -----
    Rounding can make an inverse indefinite, with `factor_dtype` in half precision at least. Every update is checked by `looks_definite` and
    the sign of ``v^T H v``, every d-th one by Cholesky's factorisation, which is O(d^2) an update, and every step by the sign of the
    product of gradient and preconditioned gradient: no factor turns a step uphill. One that fails starts again at the identity.
    """

    requires_residuals = False

    def __init__(
        self,
        model: nn.Module,
        lr: float = 1e-3,
        inner: Callable[..., torch.optim.Optimizer] = torch.optim.AdamW,
        *,
        update: Update = "exact",
        decay: float = 0.95,
        inv_freq: int = 10,
        largest: float = 100.0,
        factor_dtype: torch.dtype | None = None,
        hybrid: RateSwitch | None = None,
    ) -> None:
        if update not in ("exact", "paper"):
            raise ValueError(f"update = {update!r}: choose exact or paper")
        if not 0 < decay <= 1:
            raise ValueError(f"decay = {decay}: it must lie in (0, 1]")
        if inv_freq < 1:
            raise ValueError(f"inv_freq = {inv_freq}: give a number of steps, at least 1")
        if not largest > 1:
            raise ValueError(f"largest = {largest}: it must exceed 1, the largest entry of the identity")
        self.inner = inner(model.parameters(), lr=lr)
        super().__init__(self.inner.param_groups, self.inner.defaults)
        self.update, self.decay, self.inv_freq, self.largest, self.hybrid = update, decay, inv_freq, largest, hybrid
        self._adopt_inner()
        self._layers = _layers(model, factor_dtype)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        taken = {id(parameter) for layer in self._layers.values() for parameter in layer.parameters}
        self.preconditioned = tuple(name for key, name in names.items() if key in taken)
        self.unpreconditioned = tuple(name for key, name in names.items() if key not in taken)
        self._rates: dict[str, float] = {}
        self.info: dict[str, Any] = {"steps": 0, "resets": 0, "switched_at": None}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._open()
        self._tell(model)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the gradients that the parameters hold, or that `closure` puts there; returns what it returns."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        if self.hybrid is not None and loss is None:
            raise TypeError("MKOR with a RateSwitch compares losses: call step(closure) with a closure that returns the loss")
        active = self.info["switched_at"] is None
        if active:
            for layer in self._layers.values():
                self._learn(layer)
        steps = self.info["steps"]
        self.info["preconditioned"] = active and not (self.hybrid is not None and self.hybrid.first_order(steps))
        if self.info["preconditioned"]:
            for layer in self._layers.values():
                self._precondition(layer)
        self.inner.step()
        self.info["steps"] = steps + 1
        if self.hybrid is not None and active and self.hybrid.observe(self._rates, steps, float(cast(Tensor, loss))):
            self._switch()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        for layer in self._layers.values():
            layer.forget()
        super().zero_grad(set_to_none)

    def close(self) -> None:
        """Remove all hooks from the model. Steps go on with the factors as they are."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def state_dict(self) -> dict[str, Any]:
        """That of the inner optimizer with an entry ``mkor``: factors, counts, and the rates of the switch."""
        factors = {name: {"A": layer.A.clone(), "G": layer.G.clone()} for name, layer in self._layers.items()}
        counts = {name: self.info[name] for name in ("steps", "resets", "switched_at")}
        return {**self.inner.state_dict(), "mkor": {"factors": factors, "rates": dict(self._rates), **counts}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue to the bit; raises ValueError where the factors are those of another model."""
        stored = state_dict.get("mkor")
        if stored is None:
            raise ValueError("the state has no entry 'mkor': load the state of an MKOR")
        factors = stored["factors"]
        for name in sorted(factors.keys() | self._layers.keys()):
            if name not in self._layers or name not in factors or not self._layers[name].fits(factors[name]):
                raise ValueError(f"the state's factors of layer {name!r} do not fit this model: load the state of the same one")
        self.inner.load_state_dict({name: value for name, value in state_dict.items() if name != "mkor"})
        self._adopt_inner()
        for name, layer in self._layers.items():
            layer.forget()
            layer.A.copy_(factors[name]["A"])
            layer.G.copy_(factors[name]["G"])
        self._rates = dict(stored["rates"])
        self.info = {name: stored[name] for name in ("steps", "resets", "switched_at")}
        self._open()

    def _adopt_inner(self) -> None:
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def _open(self) -> None:
        """Hooks on the layers, unless the switch has made them useless."""
        self.close()
        if self.info["switched_at"] is None:
            self._handles = [layer.module.register_forward_hook(self._watch(layer), with_kwargs=True) for layer in self._layers.values()]

    def _watch(self, layer: _Layer) -> Callable[..., None]:
        def forward(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
            if self.info["steps"] % self.inv_freq == 0 and module.training and output.requires_grad:
                a = layer.mean_input(args[0] if args else kwargs["input"])
                # A hook of the tensor and not of the module: that one warns in every first layer, whose input needs no gradient, and
                # forbids the model to change the output in place.
                output.register_hook(lambda gradient: layer.see(a, gradient))

        return forward

    def _learn(self, layer: _Layer) -> None:
        """Bring the inverses up to date with what the hooks have seen since the last step, if anything."""
        seen = layer.seen()
        if seen is None:
            return
        for name, v in zip(("A", "G"), seen, strict=True):
            H = getattr(layer, name)
            new, vHv = rank_one_update(H.to(v.dtype), v, self.decay, self.update)
            size = float(new.diagonal().max())  # no entry of a definite matrix is larger
            if self.largest < size < math.inf:
                part = (self.largest - 1) / (size - 1)
                new = part * new
                new.diagonal().add_(1 - part)
            rounded = new.to(H.dtype).to(v.dtype)
            every_dth = (self.info["steps"] // self.inv_freq + 1) % len(H) == 0
            if vHv >= 0 and looks_definite(rounded) and (not every_dth or is_definite(rounded)):
                H.copy_(rounded)
            else:
                self._reset(layer, (name,))

    def _precondition(self, layer: _Layer) -> None:
        gradient = layer.gradient()
        if gradient is None:
            return
        new = layer.G.to(gradient.dtype) @ gradient @ layer.A.to(gradient.dtype)
        if float((gradient * new).sum()) > 0:
            layer.set_gradient(new * (torch.linalg.vector_norm(gradient) / torch.linalg.vector_norm(new)))
        elif bool(gradient.any()):  # uphill, or infinite: not what two definite factors do
            self._reset(layer, ("A", "G"))

    def _reset(self, layer: _Layer, names: tuple[str, ...]) -> None:
        for name in names:
            getattr(layer, name).copy_(torch.eye(len(getattr(layer, name))))
        self.info["resets"] += len(names)
        log.info("MKOR: %s of %s, no longer definite, starts again at the identity", " and ".join(names), layer.module)

    def _switch(self) -> None:
        self.info["switched_at"] = self.info["steps"]
        self.close()
        rates = self._rates["second_order_rate"], self._rates["first_order_rate"]
        what = "MKOR hands over to %s for good after %d steps: the loss falls by %.2e a step with curvature and by %.2e without"
        log.info(what, type(self.inner).__name__, self.info["steps"], *rates)

    def _tell(self, model: nn.Module) -> None:
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        own, count = sum(sizes[name] for name in self.preconditioned), len(self._layers)
        left = max(self.unpreconditioned, key=lambda name: sizes[name], default=None)
        rest = "" if left is None else f"; the others, {left} the largest of them, go to {type(self.inner).__name__} as they are"
        log.info("MKOR preconditions %d layers with %d of %d parameters%s", count, own, sum(sizes.values()), rest)


class _Layer:
    """A linear layer or convolution with the inverses of its factors, ``A`` of inputs and ``G`` of outputs."""

    def __init__(self, module: nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d, dtype: torch.dtype) -> None:
        self.module = module
        bias = module.bias if module.bias is not None and module.bias.requires_grad else None
        self.parameters: list[Tensor] = [module.weight] if bias is None else [module.weight, bias]
        outputs, inputs = module.weight.shape[0], module.weight[0].numel() + len(self.parameters) - 1
        self.A = torch.eye(inputs, dtype=dtype, device=module.weight.device)
        self.G = torch.eye(outputs, dtype=dtype, device=module.weight.device)
        self.forget()

    def forget(self) -> None:
        self._passes: list[tuple[Tensor, Tensor, int]] = []

    @torch.no_grad()
    def mean_input(self, x: Tensor) -> Tensor:
        """Mean of what the rows of the weight are multiplied by, with 1 appended where there is a bias."""
        if isinstance(self.module, nn.Linear):
            mean = x.reshape(-1, x.shape[-1]).mean(0)
        else:
            mean = _mean_patch(self.module, x if x.ndim == self.module.weight.ndim else x[None])
        return torch.cat([mean, mean.new_ones(1)]) if len(self.parameters) == 2 else mean

    @torch.no_grad()
    def see(self, a: Tensor, gradient: Tensor) -> None:
        """Called by the backward pass: the inputs' mean of the forward pass, and the gradient of its outputs."""
        channel = -1 if isinstance(self.module, nn.Linear) else -(self.module.weight.ndim - 1)
        rows = gradient.movedim(channel, -1).reshape(-1, gradient.shape[channel])
        self._passes.append((a, rows.sum(0), len(rows)))

    def seen(self) -> tuple[Tensor, Tensor] | None:
        """Mean input and summed gradient over all passes since the last call: a batch may come in parts, or pass a layer twice."""
        passes = self._passes
        self.forget()
        if not passes:
            return None
        count = sum(rows for _, _, rows in passes)
        a = torch.stack([rows / count * mean for mean, _, rows in passes]).sum(0)
        return a, torch.stack([g for _, g, _ in passes]).sum(0)

    def gradient(self) -> Tensor | None:
        """``[W | b]``, shape (outputs, inputs); None where the layer has none."""
        parts = [parameter.grad for parameter in self.parameters]
        if any(part is None for part in parts):
            return None
        return torch.cat([part.reshape(len(self.G), -1) for part in cast(list[Tensor], parts)], dim=1)

    def set_gradient(self, gradient: Tensor) -> None:
        weight, *bias = gradient.split([len(self.A) - len(self.parameters) + 1, len(self.parameters) - 1], dim=1)
        for parameter, part in zip(self.parameters, (weight, *bias), strict=False):
            cast(Tensor, parameter.grad).copy_(part.reshape(parameter.shape))

    def fits(self, stored: Mapping[str, Tensor]) -> bool:
        own = {"A": self.A, "G": self.G}
        return stored.keys() == own.keys() and all(
            stored[name].shape == H.shape and stored[name].dtype == H.dtype for name, H in own.items()
        )


def _mean_patch(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor) -> Tensor:
    """Mean over batch and positions of what the kernel sees, flattened as a row of the weight.

    It is the gradient by a kernel of one output channel of the mean output, whatever stride, dilation and padding are.
    """
    kernel = x.new_zeros(1, *module.weight.shape[1:]).requires_grad_()
    with torch.enable_grad():
        output = module._conv_forward(x.detach().mean(0, keepdim=True), kernel, None)
        (gradient,) = torch.autograd.grad(output.mean(), kernel)
    return gradient.reshape(-1)


def _layers(model: nn.Module, dtype: torch.dtype | None) -> dict[str, _Layer]:
    uses = Counter(id(parameter) for module in model.modules() for parameter in module._parameters.values() if parameter is not None)
    found = {}
    for name, module in model.named_modules():
        if not isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)) or getattr(module, "groups", 1) != 1:
            continue
        own = [parameter for parameter in module._parameters.values() if parameter is not None]
        weight = module._parameters.get("weight")
        if weight is None or not weight.requires_grad or weight.is_complex() or any(uses[id(parameter)] > 1 for parameter in own):
            continue
        if weight.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"layer {name!r} is {weight.dtype}: MKOR needs float32 or float64; factor_dtype makes the inverses smaller")
        found[name] = _Layer(module, dtype or weight.dtype)
    if not found:
        raise ValueError("the model has no linear layer or convolution whose gradient MKOR could precondition: take the inner optimizer")
    return found
