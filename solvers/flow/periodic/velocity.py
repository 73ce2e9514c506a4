"""Incompressible flow in a periodic box by its velocity: a Fourier-Galerkin method without aliasing.

    u_t + div(u u) + grad p = nu Laplacian u + f,    div u = 0.

Of the products six are needed, and five transformed: a multiple of the identity taken off the tensor, here ``w^2``, only changes the
pressure (Basdevant, "Technical improvements for direct numerical simulation of homogeneous three-dimensional turbulence", J. Comput.
Phys. 50 (1983)). With three transforms there and five back a right-hand side takes eight, where the rotational form takes nine. The
pressure is what makes the divergence vanish: it is projected out mode by mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from solvers.flow.periodic.spectral import Array, Dealiasing, SpectralFlow, refuse_forcing, refuse_settings
from solvers.flow.periodic.transforms import array_or_tensor, transforms_of

#: Entries of the tensor u_i u_j - w^2 delta_ij that are transformed; zz vanishes.
_PAIRS = ((0, 0), (1, 1), (0, 1), (0, 2), (1, 2))
_LARGEST_DIVERGENCE = 1e-6


@dataclass(frozen=True, eq=False)
class VelocityFlow(SpectralFlow):
    """The equations on a grid in three dimensions; `solvers.flow.march` and `solvers.integrate` take it as their terms.

    A state holds the coefficients of u, v, w for |m_x| <= K_x, |m_y| <= K_y and 0 <= m_z <= K_z, see `VorticityFlow`: shape
    (..., 3, 2 K_x + 1, 2 K_y + 1, K_z + 1). A mean velocity is kept.

    Parameters
    ----------
    shape : points of the grid along x, y and z, at least 4 each.
    extent : side lengths.
    viscosity : nu >= 0, or one for each row of a batch in the batch's shape.
    forcing : f on the grid, constant in time, shape (3, *shape); its gradient part only changes the pressure. None where there is none.
    dealiasing : ``"two_thirds"`` or ``"three_halves"``, see `VorticityFlow`.

    Raises
    ------
    TypeError, ValueError : for a parameter that makes no sense.
    """

    state_axes: ClassVar[int] = 4

    shape: tuple[int, int, int]
    extent: tuple[float, float, float]
    viscosity: ArrayLike
    forcing: ArrayLike | None = None
    dealiasing: Dealiasing = "two_thirds"

    def __post_init__(self) -> None:
        refuse_settings(self.shape, self.extent, 3, self.viscosity, self.dealiasing)
        refuse_forcing(self.forcing, (3, *self.shape))

    @cached_property
    def linear(self) -> Array:
        """``-nu |k|^2``; with one viscosity a row it has the batch's axes in front."""
        return np.asarray(-np.asarray(self.viscosity, np.float64)[..., None, None, None, None] * self.squares)

    @cached_property
    def forcing_modes(self) -> Array | None:
        """Coefficients of the part of f that is free of divergence; None where there is none."""
        return None if self.forcing is None else np.asarray(self._project(self._modes(np.asarray(self.forcing, np.float64), self.shape)))

    def to_state(self, velocity: Any) -> Any:
        """The kept coefficients of a velocity on the grid, shape (..., 3, *shape).

        Raises
        ------
        TypeError, ValueError : for what is no array, another shape, or a velocity whose kept modes have a divergence.
        """
        velocity = array_or_tensor("velocity", velocity)
        if tuple(velocity.shape[-4:]) != (3, *self.shape):
            raise ValueError(f"velocity has shape {tuple(velocity.shape)}; the grid needs (..., 3, {', '.join(map(str, self.shape))})")
        state = self._modes(velocity, self.shape)
        solenoidal = self._project(state)
        away, scale = float(abs(state - solenoidal).max()), float(abs(state).max())
        if away > _LARGEST_DIVERGENCE * scale:
            raise ValueError(f"velocity has a divergence: {away / scale:.1e} of it is a gradient, subtract that part")
        return solenoidal

    def to_velocity(self, state: Any) -> Any:
        """u, v, w on the grid: shape (..., 3, *shape)."""
        return self._points(state, self.shape)

    def to_vorticity(self, state: Any) -> Any:
        """curl u on the grid: shape (..., 3, *shape)."""
        k, xp = [transforms_of(state).constant(1j * one) for one in self.wavenumbers], transforms_of(state)
        curl = xp.zeros(tuple(state.shape))
        for i, j, m in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            curl[..., i, :, :, :] = k[j] * state[..., m, :, :, :] - k[m] * state[..., j, :, :, :]
        return self._points(curl, self.shape)

    def mode_energies(self, state: Any) -> Any:
        weights = transforms_of(state).constant(0.5 * self.multiplicity)
        return weights * (state.real**2 + state.imag**2).sum(-4)

    def injection(self, state: Any) -> Any:
        """``<u . f>``, the energy that the forcing brings in a unit of time."""
        if self.forcing_modes is None:
            return 0.0 * self.energy(state)
        weights = transforms_of(state).constant(self.multiplicity * self.forcing_modes)
        return self._total((weights.real * state.real + weights.imag * state.imag).sum(-4))

    def nonlinear_and_rate(self, state: Any, *, rate: bool = False) -> tuple[Any, Any]:
        xp = transforms_of(state)
        rows = state.reshape(-1, *state.shape[-4:])
        out, rates = xp.zeros(tuple(rows.shape)), xp.zeros((len(rows),)).real if rate else None
        k = [xp.constant(-1j * one) for one in self.wavenumbers]
        for row in range(len(rows)):
            u = self._points(rows[row], self.product_shape)
            if rates is not None:
                fastest = sum(float(one.max()) * abs(u[axis]) for axis, one in enumerate(self.wavenumbers))
                rates[row] = xp.largest(fastest[None])[0]
            w2 = u[2] * u[2]
            products = xp.zeros((5, *self.product_shape)).real
            for number, (i, j) in enumerate(_PAIRS):
                products[number] = u[i] * u[j] - w2 if i == j else u[i] * u[j]
            xx, yy, xy, xz, yz = self._modes(products, self.product_shape)
            out[row, 0] = k[0] * xx + k[1] * xy + k[2] * xz
            out[row, 1] = k[0] * xy + k[1] * yy + k[2] * yz
            out[row, 2] = k[0] * xz + k[1] * yz
        out = self._project(out).reshape(state.shape)
        if self.forcing_modes is not None:
            out += xp.constant(self.forcing_modes)
        return out, None if rates is None else rates.reshape(state.shape[:-4])

    def _project(self, state: Any) -> Any:
        """``state - k (k . state) / |k|^2``, free of divergence."""
        xp = transforms_of(state)
        k = [xp.constant(one) for one in self.wavenumbers]
        pressure = sum(k[axis] * state[..., axis, :, :, :] for axis in range(3)) * xp.constant(self.inverse_squares)
        projected = xp.zeros(tuple(state.shape))
        for axis in range(3):
            projected[..., axis, :, :, :] = state[..., axis, :, :, :] - k[axis] * pressure
        return projected

    def _blocks(self, shape: tuple[int, ...]) -> list[tuple[tuple[slice, slice], tuple[slice, slice]]]:
        """Rows of a state and of a full spectrum on `shape` points that belong together, for the two signs of each of m_x and m_y."""
        pairs = []
        for K, n in zip(self.largest[:2], shape[:2], strict=True):
            pairs.append(((slice(K, None), slice(0, K + 1)), (slice(0, K), slice(n - K, None))))
        return [((x[0], y[0]), (x[1], y[1])) for x in pairs[0] for y in pairs[1]]

    def _modes(self, field: Any, shape: tuple[int, ...]) -> Any:
        """The kept coefficients of fields on `shape` points."""
        (Kx, Ky, Kz), xp = self.largest, transforms_of(field)
        modes = xp.real_to_modes(field, (-3, -2, -1))
        state = xp.zeros((*field.shape[:-3], 2 * Kx + 1, 2 * Ky + 1, Kz + 1))
        for kept, full in self._blocks(shape):
            state[(..., *kept, slice(None))] = modes[(..., *full, slice(0, Kz + 1))]
        return state

    def _points(self, state: Any, shape: tuple[int, ...]) -> Any:
        xp = transforms_of(state)
        modes = xp.zeros((*state.shape[:-3], *shape[:2], shape[2] // 2 + 1))
        for kept, full in self._blocks(shape):
            modes[(..., *full, slice(0, self.largest[2] + 1))] = state[(..., *kept, slice(None))]
        return xp.real_to_points(modes, shape, (-3, -2, -1))
