"""Fourier transforms and array creation for NumPy arrays and torch tensors alike.

torch is never imported here: who hands in a tensor has loaded it. Everything else that the flow solvers do to arrays is arithmetic
and slicing, which both understand.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
import scipy.fft as sfft

from solvers.arguments import numbers


class Transforms(Protocol):
    """What the solvers need beyond arithmetic; transforms are unscaled in the inverse direction, so that spectra hold coefficients."""

    key: Hashable
    """Equal for arrays that may be combined."""

    def to_modes(self, a: Any, axis: int) -> Any:
        """Complex transform along one axis, divided by its length; `a` may be overwritten."""

    def to_points(self, a: Any, axis: int) -> Any:
        """Its inverse; `a` may be overwritten."""

    def real_to_modes(self, a: Any, axes: tuple[int, ...]) -> Any:
        """Real transform over `axes`, divided by the number of points; the last axis keeps the modes from 0 on."""

    def real_to_points(self, a: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
        """Its inverse, onto `shape` points."""

    def zeros(self, shape: tuple[int, ...]) -> Any:
        """Complex zeros of the precision and on the device that the transforms are for."""

    def constant(self, a: Any) -> Any:
        """A NumPy array in that precision and on that device."""

    def flip(self, a: Any, axes: tuple[int, ...]) -> Any:
        """The order along `axes` reversed."""

    def where(self, mask: Any, a: Any, b: Any) -> Any:
        """`a` where the NumPy array `mask` is true, else `b`."""

    def largest(self, a: Any) -> Any:
        """Maximum over all axes but the first; NaN where there is one."""


def array_or_tensor(name: str, value: Any) -> Any:
    """The value as it is where it is a torch tensor, else as an array of floating or complex numbers; TypeError for other things."""
    if _is_torch(value):
        return value
    found = numbers(name, value, "give an array or a tensor", kinds="biufc")
    return found if found.dtype.kind in "fc" else found.astype(np.float64)


def _is_torch(a: Any) -> bool:
    return type(a).__module__.partition(".")[0] == "torch"


def transforms_of(a: Any) -> Transforms:
    """The transforms for arrays like `a`: SciPy's on one thread for what is no torch tensor."""
    if _is_torch(a):
        return _Torch(sys.modules["torch"], a)
    return _SciPy(a)


class _SciPy:
    def __init__(self, like: Any) -> None:
        self.single = like.dtype in (np.float32, np.complex64)
        self.key: Hashable = ("numpy", self.single)

    def to_modes(self, a: Any, axis: int) -> Any:
        return sfft.fft(a, axis=axis, norm="forward", overwrite_x=True, workers=1)

    def to_points(self, a: Any, axis: int) -> Any:
        return sfft.ifft(a, axis=axis, norm="forward", overwrite_x=True, workers=1)

    def real_to_modes(self, a: Any, axes: tuple[int, ...]) -> Any:
        return sfft.rfftn(a, axes=axes, norm="forward", workers=1)

    def real_to_points(self, a: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
        return sfft.irfftn(a, shape, axes=axes, norm="forward", workers=1)

    def zeros(self, shape: tuple[int, ...]) -> Any:
        return np.zeros(shape, np.complex64 if self.single else np.complex128)

    def constant(self, a: Any) -> Any:
        if not self.single:
            return a
        return np.asarray(a, np.complex64 if np.iscomplexobj(a) else np.float32)

    def flip(self, a: Any, axes: tuple[int, ...]) -> Any:
        return np.flip(a, axes)

    def where(self, mask: Any, a: Any, b: Any) -> Any:
        return np.where(mask, a, b).astype(a.dtype, copy=False)

    def largest(self, a: Any) -> Any:
        return a.max(axis=tuple(range(1, a.ndim)))


class _Torch:
    def __init__(self, torch: Any, like: Any) -> None:
        self.torch, self.device = torch, like.device
        self.single = like.dtype in (torch.float32, torch.complex64)
        self.key: Hashable = ("torch", self.single, str(like.device))

    def to_modes(self, a: Any, axis: int) -> Any:
        return self.torch.fft.fft(a, dim=axis, norm="forward")

    def to_points(self, a: Any, axis: int) -> Any:
        return self.torch.fft.ifft(a, dim=axis, norm="forward")

    def real_to_modes(self, a: Any, axes: tuple[int, ...]) -> Any:
        return self.torch.fft.rfftn(a, dim=axes, norm="forward")

    def real_to_points(self, a: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
        return self.torch.fft.irfftn(a, shape, dim=axes, norm="forward")

    def zeros(self, shape: tuple[int, ...]) -> Any:
        return self.torch.zeros(shape, dtype=self.torch.complex64 if self.single else self.torch.complex128, device=self.device)

    def constant(self, a: Any) -> Any:
        if self.single:
            a = np.asarray(a, np.complex64 if np.iscomplexobj(a) else np.float32)
        return self.torch.as_tensor(a, device=self.device)

    def flip(self, a: Any, axes: tuple[int, ...]) -> Any:
        return self.torch.flip(a, axes)

    def where(self, mask: Any, a: Any, b: Any) -> Any:
        return self.torch.where(self.torch.as_tensor(mask, device=self.device), a, b)

    def largest(self, a: Any) -> Any:
        return self.torch.amax(a, dim=tuple(range(1, a.ndim)))
