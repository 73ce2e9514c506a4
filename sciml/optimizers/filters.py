"""What a least-squares step makes of each singular value: ``step = -V f(s) U^T r`` with ``J = U diag(s) V^T``.

One family holds the methods that are told apart by name: a hard cut gives truncated Gauss-Newton steps (Sven: Bright-Thonney, Harvey, Lukas
and Thaler 2026, arXiv:2604.01279), ``s / (s^2 + damping)`` those of Levenberg and Marquardt, which are energy natural gradients in the
other order of multiplication, and ``s^-1/2`` half-inverse gradients (Schnell, Holl and Thuerey 2022, ICLR).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TruncatedSVD:
    """``1 / s`` of the values above ``rtol * s_max``, at most `rank` of them; 0 of the others.

    Parameters
    ----------
    rtol : 1e-8 suits residuals in float64; the error of a converged network is about this large.
    rank : None for no limit.
    """

    rtol: float = 1e-8
    rank: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rtol < 1:
            raise ValueError(f"rtol = {self.rtol}: the cut relative to the largest singular value must lie in [0, 1)")
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank = {self.rank}: keep one singular value at least, or None for all above rtol")

    def kept(self, s: Tensor) -> Tensor:
        found = s > self.rtol * s.max()
        if self.rank is not None:
            found[self.rank :] = False
        return found

    def __call__(self, s: Tensor, damping: float) -> Tensor:
        return torch.where(self.kept(s), 1 / s, 0.0)


@dataclass(frozen=True)
class HalfInverse:
    """``s^-1/2`` of the values above ``rtol * s_max``."""

    rtol: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 <= self.rtol < 1:
            raise ValueError(f"rtol = {self.rtol}: the cut relative to the largest singular value must lie in [0, 1)")

    def kept(self, s: Tensor) -> Tensor:
        return s > self.rtol * s.max()

    def __call__(self, s: Tensor, damping: float) -> Tensor:
        return torch.where(self.kept(s), s**-0.5, 0.0)


@dataclass(frozen=True)
class Tikhonov:
    """``s / (s^2 + damping)``; the damping is the optimizer's."""

    def kept(self, s: Tensor) -> Tensor:
        return s > 0

    def __call__(self, s: Tensor, damping: float) -> Tensor:
        return s / (s**2 + damping) if damping > 0 else torch.where(s > 0, 1 / s, 0.0)


Filter = TruncatedSVD | HalfInverse | Tikhonov
