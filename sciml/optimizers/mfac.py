"""The inverse of the empirical Fisher matrix of m gradients, and M-FAC, the optimizer that steps along it.

``F = damping I + (1/m) G^T G`` with the gradients as the rows of G has an inverse of rank m beside the identity (Woodbury):
``F^-1 x = (x - G^T (m damping I + G G^T)^-1 G x) / damping``. Everything but G is m x m, and in float64. Frantar, Kurtic and Alistarh
2021, "M-FAC: efficient matrix-free approximation of second-order information" (NeurIPS), write the same inverse as a recursion over the
gradients (their section 3) or as an LU factorisation of G G^T (section 4); the matrix is symmetric and positive definite, so that
Cholesky's serves.

The empirical Fisher matrix is none of the Gauss-Newton matrices: where all residuals vanish, so do the gradients and with them F, but
for the damping. It fits mini-batches, whose gradients never vanish together, and not the deterministic residuals of a PINN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

_CHUNK = 1 << 17  # numbers of G that are held in float64 at a time: they should stay in the cache


class EmpiricalFisherInverse:
    """The inverse of ``F = damping I + (1/m) sum_i g_i g_i^T``, as a function of vectors and as a diagonal.

    Parameters
    ----------
    gradients : G, shape (m, d), in float32 or float64; not copied.
    damping : positive. Products lose ``log10(1 + |G|^2 / (m damping))`` digits, |G| the largest singular value.

    Raises
    ------
    ValueError : for gradients that are no matrix or not finite, and for a damping that is not positive.
    """

    def __init__(self, gradients: Tensor, damping: float) -> None:
        if gradients.ndim != 2 or not gradients.shape[0]:
            raise ValueError(f"gradients have shape {tuple(gradients.shape)}: give a matrix with one gradient in each row")
        if not bool(torch.isfinite(gradients).all()):
            raise ValueError("gradients hold NaN or infinite numbers: leave such rows out")
        self.gradients, self.damping = gradients, _positive("damping", damping)
        self._factor = _factor(_products(gradients, gradients), damping)

    def mvp(self, x: Tensor) -> Tensor:
        """``F^-1 x`` for x of shape (d,) or (d, k), in the shape and dtype of x."""
        if x.ndim not in (1, 2) or len(x) != self.gradients.shape[1]:
            raise ValueError(f"x has shape {tuple(x.shape)}: the gradients have {self.gradients.shape[1]} entries")
        columns = x.reshape(len(x), -1)
        weights = torch.cholesky_solve(_products(self.gradients, columns.T), self._factor)
        return ((columns.double() - _combinations(self.gradients, weights)) / self.damping).to(x.dtype).reshape(x.shape)

    def diag(self) -> Tensor:
        """The diagonal of ``F^-1``, shape (d,): what saliencies of pruning divide by, ``w_i^2 / (2 [F^-1]_ii)`` (optimal brain surgeon)."""
        parts = [(torch.linalg.solve_triangular(self._factor, part, upper=False) ** 2).sum(0) for part in _parts(self.gradients)]
        return ((1 - torch.cat(parts)) / self.damping).to(self.gradients.dtype)


class MFAC(torch.optim.Optimizer):
    """Steps along ``F^-1 g``, with F the empirical Fisher matrix of the last gradients, g among them.

    The published method starts from a history of zeros and divides by its size from the first step on, which makes the early F too
    small and the early steps as long as ``history_size`` times what they should be. Here F is the mean over the gradients seen so far.
    Its step is still of length ``1 / |g|`` or so, and grows as the gradients shrink: hence `max_rms`.

    Parameters
    ----------
    params : parameters or groups of them, real or complex, in float32 or float64; one Fisher matrix serves all of them.
    lr : factor of every step; schedulers act on it.
    history_size : m, gradients that are kept: m d numbers for d real parameters, in memory and in `state_dict`.
    damping : lambda, in the units of a squared gradient.
    momentum : beta of ``v <- beta v + (1 - beta) u``; 0 for none.
    weight_decay : added to the gradient as ``weight_decay * parameter``, before anything else is made of it.
    max_rms : root mean square of the entries of ``F^-1 g`` to which a longer one is shortened, None for no bound. With 1 learning rates
        mean what they mean to Adam: by how much a step moves a parameter.
    keep_zeros : parameters that are zero now stay zero, and their gradients are left out of F: training of a pruned network.

    Attributes
    ----------
    info : of the last step: ``seen`` gradients in F, ``rms`` of ``F^-1 g``, ``factor`` by which `max_rms` shortened it.

    Raises
    ------
    ValueError : for settings that make no sense, and parameters in half precision or on several devices.
    FloatingPointError : from `step`, for a gradient that is not finite; neither parameters nor history have changed.
    """

    requires_residuals = False

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        history_size: int = 64,
        damping: float = 1e-5,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        max_rms: float | None = 1.0,
        keep_zeros: bool = False,
    ) -> None:
        if history_size < 1:
            raise ValueError(f"history_size = {history_size}: give the number of gradients to keep, at least 1")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum = {momentum}: it must lie in [0, 1)")
        if not weight_decay >= 0:
            raise ValueError(f"weight_decay = {weight_decay}: give a number that is not negative")
        super().__init__(params, {"lr": _positive("lr", lr), "weight_decay": weight_decay})
        self.history_size, self.damping = history_size, _positive("damping", damping)
        self.momentum = momentum
        self.max_rms = math.inf if max_rms is None else _positive("max_rms", max_rms)
        self.info: dict[str, Any] = {}
        self._values = [value for group in self.param_groups for value in group["params"]]
        dtype, device = _one_kind(self._values)
        self._sizes = [_real(value.detach()).numel() for value in self._values]
        self._kept = torch.cat([(_real(value.detach()) != 0).reshape(-1) for value in self._values]) if keep_zeros else None
        self._free = max(1, sum(self._sizes) if self._kept is None else int(self._kept.sum()))
        self._history = _History(torch.zeros(history_size, sum(self._sizes), dtype=dtype, device=device))
        self._velocity = torch.zeros(sum(self._sizes), dtype=dtype, device=device) if momentum else None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step along the gradients that the parameters hold; parameters without one stay, as zeros in F."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        gradient = self._gradient()
        if not bool(torch.isfinite(gradient).all()):
            raise FloatingPointError("the gradient is NaN or infinite before the step: take a smaller lr, or look for it in the data")
        self._history.replace_oldest(gradient)
        u = self._history.newest_direction(self.damping)
        rms = float(torch.linalg.vector_norm(u, dtype=torch.float64)) / math.sqrt(self._free)
        factor = min(1.0, self.max_rms / rms) if rms > 0 else 1.0
        self.info = {"seen": self._history.filled, "rms": rms, "factor": factor}
        u *= factor
        if self._velocity is not None:
            u = self._velocity.mul_(self.momentum).add_(u, alpha=1 - self.momentum)
        pieces = iter(u.split(self._sizes))
        for group in self.param_groups:
            for value in group["params"]:
                piece = next(pieces)
                if value.grad is not None:
                    _real(value).add_(piece.view_as(_real(value)), alpha=-group["lr"])
        return loss

    def _gradient(self) -> Tensor:
        """All gradients with the decay in one vector, the real and the imaginary part of a complex one as two entries."""
        pieces = []
        for group in self.param_groups:
            for value in group["params"]:
                own = _real(value)
                if value.grad is None:
                    pieces.append(torch.zeros_like(own).reshape(-1))
                else:
                    pieces.append(torch.add(_real(value.grad), own, alpha=group["weight_decay"]).reshape(-1))
        gradient = torch.cat(pieces)
        return gradient if self._kept is None else gradient * self._kept

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        if hasattr(self, "_history"):
            raise ValueError("M-FAC cannot take more parameters: its history holds gradients of those it began with; build a new one")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """That of torch with an entry ``fisher``: gradients, their products, how many were seen, and what else goes from step to step."""
        own = {name: None if part is None else part.clone() for name, part in (("velocity", self._velocity), ("kept", self._kept))}
        return {**super().state_dict(), "fisher": {**self._history.state(), **own}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue to the bit; raises ValueError where the history is that of other parameters or another `history_size`."""
        stored = dict(state_dict.get("fisher", {}))
        for name, own in (("velocity", self._velocity), ("kept", self._kept)):
            if not _same_kind(stored.get(name), own):
                raise ValueError(f"the state's {name} does not fit this optimizer: build it with the settings that the state comes from")
        self._history.load(stored)
        for name, own in (("velocity", self._velocity), ("kept", self._kept)):
            if own is not None:
                own.copy_(stored[name])
        super().load_state_dict(dict(state_dict))


class _History:
    """The last m gradients, row ``seen % m`` the oldest, and their products, which change in one row and column with each of them."""

    def __init__(self, rows: Tensor) -> None:
        self.rows, self.seen = rows, 0
        self.products = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)

    @property
    def filled(self) -> int:
        return min(self.seen, len(self.rows))

    def replace_oldest(self, gradient: Tensor) -> None:
        k = self.seen % len(self.rows)
        self.rows[k] = gradient
        self.seen += 1
        n = self.filled
        self.products[k, :n] = self.products[:n, k] = _products(self.rows[:n], self.rows[k : k + 1])[:, 0]

    def newest_direction(self, damping: float) -> Tensor:
        """``F^-1 g`` for the newest gradient.

        As g is a row of G, ``F^-1 G^T e = n G^T (n damping I + G G^T)^-1 e``: half the work of the formula for any vector, and without
        its difference of two vectors that nearly cancel where the damping is small.
        """
        n, newest = self.filled, (self.seen - 1) % len(self.rows)
        e = torch.zeros(n, 1, dtype=torch.float64, device=self.rows.device)
        e[newest] = n
        weights = torch.cholesky_solve(e, _factor(self.products[:n, :n], damping))
        return (self.rows[:n].T @ weights.to(self.rows.dtype))[:, 0]  # rounding grows by |G| / sqrt(n damping), as G^T is damped

    def state(self) -> dict[str, Any]:
        n = self.filled
        return {"gradients": self.rows[:n].clone(), "products": self.products[:n, :n].clone(), "seen": self.seen}

    def load(self, stored: Mapping[str, Any]) -> None:
        seen = stored.get("seen")
        if not isinstance(seen, int) or seen < 0:
            raise ValueError(f"the state says that seen = {seen!r} gradients are in the history: load the state of an MFAC")
        n = min(seen, len(self.rows))
        for name, own in (("gradients", self.rows[:n]), ("products", self.products[:n, :n])):
            if not _same_kind(stored.get(name), own):
                found = getattr(stored.get(name), "shape", None)
                shapes = f"{None if found is None else tuple(found)}, not {tuple(own.shape)}"
                raise ValueError(f"the state's {name} have shape {shapes}: load a state of the same parameters and history_size")
        self.seen = seen
        self.rows[:n].copy_(stored["gradients"])
        self.products[:n, :n].copy_(stored["products"])


def _parts(G: Tensor) -> Iterator[Tensor]:
    return (part.double() for part in G.split(_columns(G), dim=1))


def _columns(G: Tensor) -> int:
    return max(1, _CHUNK // len(G))


def _products(G: Tensor, H: Tensor) -> Tensor:
    """``G H^T`` in float64, without a copy of either in float64."""
    total = torch.zeros(len(G), len(H), dtype=torch.float64, device=G.device)
    for part, other in zip(_parts(G), H.split(_columns(G), dim=1), strict=True):
        total += part @ other.double().T
    return total


def _combinations(G: Tensor, weights: Tensor) -> Tensor:
    """``G^T weights`` in float64."""
    return torch.cat([part.T @ weights for part in _parts(G)])


def _factor(products: Tensor, damping: float) -> Tensor:
    """Cholesky's factor of ``m damping I + G G^T``."""
    m = len(products)
    factor, failed = torch.linalg.cholesky_ex(products + m * damping * torch.eye(m, dtype=products.dtype, device=products.device))
    if int(failed):
        largest = math.sqrt(float(products.diagonal().max()))
        raise FloatingPointError(f"damping = {damping:g} vanishes beside gradients of norm {largest:.3g}: take a larger damping")
    return factor


def _real(value: Tensor) -> Tensor:
    """The real numbers of a parameter, as a view of it."""
    return torch.view_as_real(value) if value.is_complex() else value


def _one_kind(values: list[Tensor]) -> tuple[torch.dtype, torch.device]:
    kinds = {(_real(value.detach()).dtype, value.device) for value in values}
    if len(kinds) > 1 or not {dtype for dtype, _ in kinds} <= {torch.float32, torch.float64}:
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(f"parameters are {found}: M-FAC needs all of them in float32, or all in float64, on one device")
    return kinds.pop()


def _same_kind(stored: Any, own: Tensor | None) -> bool:
    if stored is None or own is None:
        return stored is own
    return isinstance(stored, Tensor) and stored.shape == own.shape and stored.dtype == own.dtype


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} = {value}: give a positive number")
    return value
