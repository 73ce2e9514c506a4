"""Incompressible flow in a periodic rectangle by its vorticity: a Fourier-Galerkin method without aliasing.

    w_t + u . grad w = nu Laplacian w - mu w + g,    u = (psi_y, -psi_x),    -Laplacian psi = w,    g = curl f.

With z = u + i v the coefficients of z are ``w_k / (k_x - i k_y)``, and the convective term follows from those of z^2 alone,

    -(u . grad w)_k = -(i / 4) ((k_x - i k_y)^2 (z^2)_k - (k_x + i k_y)^2 conj((z^2)_-k)),

which is the curl of div(u u) in complex notation. That takes one complex transform there and one back, as much work as two real ones
each way, where ``u w_x + v w_y`` takes five real ones. Only columns that hold modes are transformed along the first axis. The right-hand
sides of k and -k are conjugate whatever the state, so that no imaginary vorticity grows out of rounding.

Products are formed on enough points for all kept modes to be free of aliasing, hence what is integrated is the Galerkin projection: with
nu = mu = 0 and g = 0 it conserves energy and enstrophy but for the error of the time step (Canuto, Hussaini, Quarteroni and Zang,
"Spectral Methods: Evolution to Complex Geometries", Springer 2007, section 3.3).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from solvers.flow.periodic.spectral import Array, Dealiasing, SpectralFlow, refuse_forcing, refuse_negative, refuse_settings
from solvers.flow.periodic.transforms import Transforms, array_or_tensor, transforms_of

#: Points that are transformed together: of a batch, so many rows as stay in the second-level cache.
_BLOCK_POINTS = 1 << 15
#: Mean of a vorticity over its largest coefficient that rounding to float32 may leave.
_LARGEST_MEAN = 1e-6


class _Work:
    """Buffers for one number of rows, and the factors of the modes, on the device and in the precision of a state."""

    def __init__(self, flow: VorticityFlow, xp: Transforms, rows: int) -> None:
        (Kx, Ky), (nx, ny) = flow.largest, flow.product_shape
        self.columns, self.z = xp.zeros((rows, nx, 2 * Ky + 1)), xp.zeros((rows, nx, ny))
        self.ahead, self.behind = xp.zeros((rows, 2 * Kx + 1, Ky + 1)), xp.zeros((rows, 2 * Kx + 1, Ky + 1))
        kx, ky = flow.wavenumbers
        self.fastest = float(kx.max()), float(ky.max())
        self.velocity = xp.constant((kx + 1j * ky) * flow.inverse_squares)
        self.mirrored = xp.constant(-(kx - 1j * ky) * flow.inverse_squares)
        self.from_ahead, self.from_behind = xp.constant(-0.25j * (kx - 1j * ky) ** 2), xp.constant(0.25j * (kx + 1j * ky) ** 2)
        self.forcing = None if flow.forcing_modes is None else xp.constant(flow.forcing_modes)


class _Workspace(threading.local):
    """The buffers that a thread used last."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._work: _Work | None = None

    def of(self, flow: VorticityFlow, xp: Transforms, rows: int) -> _Work:
        key = (xp.key, rows)
        if self._work is None or self._key != key:
            self._key, self._work = key, _Work(flow, xp, rows)
        return self._work


@dataclass(frozen=True, eq=False)
class VorticityFlow(SpectralFlow):
    """The equations on a grid; `solvers.flow.periodic.march` and `solvers.integrate` take it as their terms.

    A state holds the coefficients of ``w = sum_k w_k exp(i k . x)`` with x = 0 at the first grid point, for |m_x| <= K_x and
    0 <= m_y <= K_y where k = 2 pi m / extent: shape (..., 2 K_x + 1, K_y + 1), rows from -K_x to K_x. Arrays are indexed [x, y].
    NumPy arrays and torch tensors on any device are taken alike, but no gradients are traced.

    Parameters
    ----------
    shape : points of the grid along x and y, at least 4 each.
    extent : side lengths.
    viscosity : nu >= 0, or one for each row of a batch in the batch's shape.
    drag : mu >= 0, linear friction.
    forcing : g on the grid, constant in time; None where there is none. A mean, which no curl has, is left out.
    dealiasing : ``"two_thirds"`` keeps the wave numbers below a third of `shape` and forms products on the grid itself;
        ``"three_halves"`` keeps all below half of it and forms products on 3/2 as many points.

    Raises
    ------
    TypeError, ValueError : for a parameter that makes no sense.

    Examples
    --------
    Taylor's vortices decay as exp(-2 nu t), and their energy twice as fast:

    >>> import numpy as np
    >>> from solvers.flow import VorticityFlow, march
    >>> flow = VorticityFlow((32, 32), (2 * np.pi, 2 * np.pi), viscosity=0.05)
    >>> x, y = np.meshgrid(*2 * [2 * np.pi * np.arange(32) / 32], indexing="ij")
    >>> start = flow.to_state(2 * np.cos(x) * np.cos(y))
    >>> end = march(flow, start, 10.0).raise_for_status().states[-1]
    >>> bool(np.isclose(flow.energy(end) / flow.energy(start), np.exp(-2), rtol=1e-13))
    True
    """

    state_axes: ClassVar[int] = 2

    shape: tuple[int, int]
    extent: tuple[float, float]
    viscosity: ArrayLike
    drag: float = 0.0
    forcing: ArrayLike | None = None
    dealiasing: Dealiasing = "two_thirds"
    _workspace: _Workspace = field(default_factory=_Workspace, init=False, repr=False)

    def __post_init__(self) -> None:
        refuse_settings(self.shape, self.extent, 2, self.viscosity, self.dealiasing)
        refuse_negative("drag", self.drag)
        refuse_forcing(self.forcing, tuple(self.shape))

    @cached_property
    def linear(self) -> Array:
        """``-nu |k|^2 - mu``; with one viscosity a row it has the batch's axes in front."""
        return np.asarray(-np.asarray(self.viscosity, np.float64)[..., None, None] * self.squares - self.drag)

    @cached_property
    def forcing_modes(self) -> Array | None:
        """Coefficients of g; None where there is none."""
        return None if self.forcing is None else np.asarray(self._modes(np.asarray(self.forcing, np.float64))[0])

    # ---- fields ----------------------------------------------------------------------------------------------------------------

    def to_state(self, vorticity: Any) -> Any:
        """The kept coefficients of w on the grid, shape (..., *shape).

        Raises
        ------
        TypeError, ValueError : for what is no array, another shape, or a mean, which the curl of a periodic velocity does not have.
        """
        vorticity = array_or_tensor("vorticity", vorticity)
        if tuple(vorticity.shape[-2:]) != tuple(self.shape):
            raise ValueError(f"vorticity has shape {tuple(vorticity.shape)}; the grid needs (..., {self.shape[0]}, {self.shape[1]})")
        state, mean = self._modes(vorticity)
        if mean > _LARGEST_MEAN * float(abs(state).max()):
            raise ValueError(f"vorticity has a mean of {mean:.3g} in magnitude, and the curl of a periodic velocity has none: subtract it")
        return state

    def _modes(self, field: Any) -> tuple[Any, float]:
        """The kept coefficients of a field without its mean, and the largest mean of a row in magnitude."""
        (Kx, Ky), xp = self.largest, transforms_of(field)
        modes = xp.real_to_modes(field, (-2, -1))
        state = xp.zeros((*field.shape[:-2], 2 * Kx + 1, Ky + 1))
        state[..., Kx:, :] = modes[..., : Kx + 1, : Ky + 1]
        state[..., :Kx, :] = modes[..., self.shape[0] - Kx :, : Ky + 1]
        mean = float(abs(state[..., Kx, 0]).max())
        state[..., Kx, 0] = 0.0
        return state, mean

    def to_vorticity(self, state: Any, shape: tuple[int, int] | None = None) -> Any:
        """w on the grid, or on another one that holds its modes: shape (..., *shape)."""
        return self._points(state, shape or self.shape)

    def to_streamfunction(self, state: Any) -> Any:
        """psi on the grid, of mean zero: its contours are streamlines."""
        return self._points(state * transforms_of(state).constant(self.inverse_squares), self.shape)

    def to_velocity(self, state: Any) -> tuple[Any, Any]:
        """u and v on the grid."""
        kx, ky, inverse = (transforms_of(state).constant(a) for a in (*self.wavenumbers, self.inverse_squares))
        psi = state * inverse
        return self._points(1j * ky * psi, self.shape), self._points(-1j * kx * psi, self.shape)

    def _points(self, state: Any, shape: tuple[int, int]) -> Any:
        (Kx, Ky), (nx, ny), xp = self.largest, shape, transforms_of(state)
        if nx <= 2 * Kx or ny <= 2 * Ky:
            raise ValueError(f"shape = {shape} cannot hold the modes: take more than {2 * Kx} and {2 * Ky} points")
        modes = xp.zeros((*state.shape[:-2], nx, ny // 2 + 1))
        modes[..., : Kx + 1, : Ky + 1] = state[..., Kx:, :]
        modes[..., nx - Kx :, : Ky + 1] = state[..., :Kx, :]
        return xp.real_to_points(modes, (nx, ny), (-2, -1))

    def mode_energies(self, state: Any) -> Any:
        weights = transforms_of(state).constant(0.5 * self.multiplicity * self.inverse_squares)
        return weights * (state.real**2 + state.imag**2)

    def injection(self, state: Any) -> Any:
        """``<u . f>`` = ``<psi g>``, the energy that the forcing brings in a unit of time."""
        if self.forcing_modes is None:
            return 0.0 * self.energy(state)
        weights = transforms_of(state).constant(self.multiplicity * self.inverse_squares * self.forcing_modes)
        return self._total(weights.real * state.real + weights.imag * state.imag)

    # ---- right-hand side -------------------------------------------------------------------------------------------------------

    def nonlinear_and_rate(self, state: Any, *, rate: bool = False) -> tuple[Any, Any]:
        xp = transforms_of(state)
        rows = state.reshape(-1, *state.shape[-2:])
        out, rates = xp.zeros(tuple(rows.shape)), xp.zeros((len(rows),)).real if rate else None
        block = max(1, _BLOCK_POINTS // math.prod(self.product_shape))
        for first in range(0, len(rows), block):
            part = slice(first, first + block)
            work = self._workspace.of(self, xp, len(rows[part]))
            z = self._complex_velocity(rows[part], xp, work)
            if rates is not None:
                rates[part] = xp.largest(work.fastest[0] * abs(z.real) + work.fastest[1] * abs(z.imag))
            z *= z
            out[part] = self._convection(z, xp, work)
            if work.forcing is not None:
                out[part] += work.forcing
        return out.reshape(state.shape), None if rates is None else rates.reshape(state.shape[:-2])

    def _complex_velocity(self, state: Any, xp: Transforms, work: _Work) -> Any:
        """u + i v where products are formed."""
        (Kx, Ky), (nx, ny), columns, z = self.largest, self.product_shape, work.columns, work.z
        ahead = state * work.velocity
        behind = xp.flip((state * work.mirrored)[..., 1:], (-2, -1)).conj()
        columns[:, : Kx + 1, : Ky + 1] = ahead[:, Kx:]
        columns[:, nx - Kx :, : Ky + 1] = ahead[:, :Kx]
        columns[:, : Kx + 1, Ky + 1 :] = behind[:, Kx:]
        columns[:, nx - Kx :, Ky + 1 :] = behind[:, :Kx]
        columns[:, Kx + 1 : nx - Kx] = 0.0
        columns = xp.to_points(columns, -2)
        z[..., : Ky + 1] = columns[..., : Ky + 1]
        z[..., ny - Ky :] = columns[..., Ky + 1 :]
        z[..., Ky + 1 : ny - Ky] = 0.0
        return xp.to_points(z, -1)

    def _convection(self, square: Any, xp: Transforms, work: _Work) -> Any:
        """The convective term from z^2, which is overwritten."""
        (Kx, Ky), (nx, ny), columns = self.largest, self.product_shape, work.columns
        rows = xp.to_modes(square, -1)
        columns[..., : Ky + 1] = rows[..., : Ky + 1]
        columns[..., Ky + 1 :] = rows[..., ny - Ky :]
        modes = xp.to_modes(columns, -2)
        ahead, behind = work.ahead, work.behind
        ahead[:, Kx:] = modes[:, : Kx + 1, : Ky + 1]
        ahead[:, :Kx] = modes[:, nx - Kx :, : Ky + 1]
        # The same at -k: rows and columns in reverse, the column of k_y = 0 in its place.
        behind[:, : Kx + 1, :1] = xp.flip(modes[:, : Kx + 1, :1], (-2,))
        behind[:, Kx + 1 :, :1] = xp.flip(modes[:, nx - Kx :, :1], (-2,))
        behind[:, : Kx + 1, 1:] = xp.flip(modes[:, : Kx + 1, Ky + 1 :], (-2, -1))
        behind[:, Kx + 1 :, 1:] = xp.flip(modes[:, nx - Kx :, Ky + 1 :], (-2, -1))
        return work.from_ahead * ahead + work.from_behind * behind.conj()
