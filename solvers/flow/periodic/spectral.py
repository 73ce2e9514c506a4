"""What periodic flows have in common whatever their state is: settings, and the balance of energy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import scipy.fft as sfft
from numpy.typing import ArrayLike, NDArray

from solvers.arguments import finites, numbers, wholes
from solvers.flow.periodic.transforms import transforms_of

Array = NDArray[Any]
Dealiasing = Literal["two_thirds", "three_halves"]


class SpectralFlow(ABC):
    """A Fourier-Galerkin discretisation on a periodic box.

    Energies and rates are means over the box: energy ``<|u|^2> / 2``, enstrophy ``<|curl u|^2> / 2``. In a flow without friction and
    forcing ``dE/dt = -2 nu Z``.
    """

    shape: tuple[int, ...]
    extent: tuple[float, ...]
    viscosity: ArrayLike
    dealiasing: Dealiasing
    state_axes: ClassVar[int]
    """Axes of the state of one flow; those in front belong to a batch."""

    @abstractmethod
    def mode_energies(self, state: Any) -> Any:
        """Energy of each kept mode and its conjugate together, shape (..., *modes)."""

    @abstractmethod
    def nonlinear_and_rate(self, state: Any, *, rate: bool = False) -> tuple[Any, Any]:
        """The terms that are not diagonal, and where asked for their largest frequency for each row, else None.

        The frequency is ``max over x of sum_j |u_j| max k_j``: an explicit method is stable for steps below its own limit over that.
        It is not finite where the state is not.
        """

    @property
    @abstractmethod
    def linear(self) -> Array:
        """Diagonal of the terms that are, broadcast against a state."""

    def nonlinear(self, t: float, state: Any) -> Any:
        """The terms that are not diagonal, in the state's shape; they do not depend on `t`."""
        return self.nonlinear_and_rate(state)[0]

    # ---- modes -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """Largest wave number kept along each axis."""
        part = 3 if self.dealiasing == "two_thirds" else 2
        return tuple((n - 1) // part for n in self.shape)

    @cached_property
    def product_shape(self) -> tuple[int, ...]:
        """Points that products are formed on: more than three times `largest`, so that kept modes have no aliasing error (Orszag)."""
        if self.dealiasing == "two_thirds":
            return self.shape
        return tuple(sfft.next_fast_len(3 * K + 1) for K in self.largest)

    @cached_property
    def wavenumbers(self) -> tuple[Array, ...]:
        """Wave vectors ``2 pi m / extent`` of the kept modes, an array an axis, broadcast against each other."""
        last = len(self.shape) - 1
        found = []
        for axis, (K, length) in enumerate(zip(self.largest, self.extent, strict=True)):
            m = np.arange(0.0 if axis == last else -K, K + 1.0)
            found.append(2 * np.pi / length * m.reshape((-1,) + (1,) * (last - axis)))
        return tuple(found)

    @cached_property
    def squares(self) -> Array:
        """|k|^2 of the kept modes."""
        return np.asarray(sum(k**2 for k in self.wavenumbers))

    @cached_property
    def inverse_squares(self) -> Array:
        """1 / |k|^2, and 0 for the mean."""
        with np.errstate(divide="ignore"):
            return np.where(self.squares > 0, 1 / self.squares, 0.0)

    @cached_property
    def multiplicity(self) -> Array:
        """How often a kept mode counts in a sum over all: twice where its conjugate is not kept."""
        counts = np.full(self.largest[-1] + 1, 2.0)
        counts[0] = 1.0
        return counts

    # ---- the balance of energy -------------------------------------------------------------------------------------------------

    def energy(self, state: Any) -> Any:
        """``<|u|^2> / 2``, an array in the batch's shape."""
        return self._total(self.mode_energies(state))

    def enstrophy(self, state: Any) -> Any:
        """``<|curl u|^2> / 2``."""
        return self._total(self.mode_energies(state) * transforms_of(state).constant(self.squares))

    def dissipation(self, state: Any) -> Any:
        """``2 nu Z``, the energy that viscosity takes in a unit of time."""
        return 2 * transforms_of(state).constant(np.asarray(self.viscosity, np.float64)) * self.enstrophy(state)

    def spectrum(self, state: Any) -> tuple[Array, Any]:
        """Wavenumbers j dk, j = 1, 2 ..., and the energy of the modes with |k| in [j - 1/2, j + 1/2) dk over dk.

        dk is the smallest wavenumber of the box; the sum over all shells times dk is the energy. Shape (..., shells).
        """
        dk = 2 * np.pi / max(self.extent)
        shells = np.rint(np.sqrt(self.squares) / dk).astype(np.int64)
        energies = self.mode_energies(state)
        found = [self._total(energies * transforms_of(state).constant((shells == j) / dk)) for j in range(1, shells.max() + 1)]
        stacked = transforms_of(state).zeros((*found[0].shape, len(found))).real
        for j, one in enumerate(found):
            stacked[..., j] = one
        return dk * np.arange(1, len(found) + 1), stacked

    def _total(self, modes: Any) -> Any:
        return modes.sum(axis=tuple(range(-len(self.shape), 0)))


def refuse_settings(shape: tuple[int, ...], extent: tuple[float, ...], dimension: int, viscosity: Any, dealiasing: str) -> None:
    """Raise for settings that no flow in a box of `dimension` axes has."""
    cells, lengths = f"give {dimension} whole numbers of at least 4", f"give {dimension} positive numbers"
    if len(wholes("shape", shape, cells)) != dimension or min(shape) < 4:
        raise ValueError(f"shape = {shape} is no grid in {dimension} dimensions: {cells}")
    if len(finites("extent", extent, lengths)) != dimension or min(extent) <= 0:
        raise ValueError(f"extent = {extent} are no side lengths in {dimension} dimensions: {lengths}")
    refuse_negative("viscosity", viscosity)
    if dealiasing not in ("two_thirds", "three_halves"):
        raise ValueError(f"dealiasing = {dealiasing!r} is not known: choose 'two_thirds' or 'three_halves'")


def refuse_negative(name: str, value: Any) -> None:
    """Raise unless `value`, a number or an array, is finite and at least 0."""
    given = numbers(name, value, "give a finite number that is not negative")
    lowest = float(np.min(given))
    if not (lowest >= 0 and np.isfinite(given).all()):
        raise ValueError(f"{name} = {lowest:g} would feed the flow without bound: give a finite number that is not negative")


def refuse_forcing(forcing: Any, shape: tuple[int, ...]) -> None:
    """Raise unless `forcing` is None, or holds finite numbers in that shape."""
    if forcing is None:
        return
    given = numbers("forcing", forcing, f"give an array of shape {shape}, or None")
    if given.shape != shape:
        raise ValueError(f"forcing has shape {given.shape}; the grid needs {shape}")
    if not np.isfinite(given).all():
        raise ValueError("forcing holds NaN or infinity: look for it where it is made")
