"""The flow at a corner where a sliding wall meets one at rest: a series in powers of the distance r from it.

The velocity is discontinuous there, so the vorticity grows like 1/r. With polar angle theta, 0 on the sliding wall and pi/2 on the other,

    psi = sum_n r^(n+1) f_n(theta) / viscosity^n,

where f_0 is the Stokes flow of Goodier (1934) and Taylor (1962, "On scraping viscous fluid from a plane surface"), and every other term
balances the convection of those before it: the terms n = 0 and 1 are those that Botella and Peyret (1998, Computers & Fluids 27, 421)
subtract. With ``w_n = f_n'' + (n+1)^2 f_n`` the vorticity equation of power ``r^(n-3)`` reads

    w_n'' + (n-1)^2 w_n = sum_(a+b=n-1) (b-1) f_a' w_b - (a+1) f_a w_b',    f_n = f_n' = 0 at both walls for n > 0.

What the series leaves out at the corner are Moffatt's eddies, of size r^3.74, whose amplitude the flow as a whole decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.flow.streamfunction.jet import StreamJet
from solvers.flow.streamfunction.legendre import HERMITE, ClampedBasis

Array = NDArray[np.float64]

_ANGLES = ClampedBasis(40, 0.0, np.pi / 2)  # f_n are entire functions: 40 degrees represent them to rounding


@dataclass(frozen=True)
class CornerFlow:
    """The first `terms` terms of the series at (x, y), with the sliding wall horizontal.

    Parameters
    ----------
    x, y : the corner.
    right, up : whether the fluid lies on the side of larger x and of larger y.
    wall_speed : velocity of the sliding wall in the direction of x.
    viscosity : kinematic.
    terms : 1, 2 or 3; with 1 it is the Stokes flow.
    """

    x: float
    y: float
    right: bool
    up: bool
    wall_speed: float
    viscosity: float
    terms: int = 2

    def __post_init__(self) -> None:
        if self.terms not in (1, 2, 3):  # Moffatt's eddies, left out, are larger than the term of r^4
            raise ValueError(f"CornerFlow: terms is {self.terms}; it must be 1, 2 or 3")

    def jet(self, x: Array, y: Array) -> StreamJet:
        """The series at points (x, y), arrays of one shape; at the corner itself with the velocity of the sliding wall."""
        sx, sy = 1.0 if self.right else -1.0, 1.0 if self.up else -1.0
        X, Y = sx * (np.asarray(x) - self.x), sy * (np.asarray(y) - self.y)
        r, theta = np.hypot(X, Y), np.arctan2(Y, X)
        cos, sin = np.cos(theta), np.sin(theta)
        parts = np.zeros((7, *r.shape))
        for n, f in enumerate(self._angular(theta)):
            w = f[2] + (n + 1) ** 2 * f[0]
            w1 = f[3] + (n + 1) ** 2 * f[1]
            w2 = f[4] + (n + 1) ** 2 * f[2]
            with np.errstate(divide="ignore", invalid="ignore"):  # vorticity is infinite at the corner itself
                powers = [r ** (n + 1 - m) for m in range(5)]
                parts[0] += powers[0] * f[0]
                parts[1] += sx * powers[1] * ((n + 1) * cos * f[0] - sin * f[1])
                parts[2] += sy * powers[1] * ((n + 1) * sin * f[0] + cos * f[1])
                parts[3] += powers[2] * w
                parts[4] += sx * powers[3] * ((n - 1) * cos * w - sin * w1)
                parts[5] += sy * powers[3] * ((n - 1) * sin * w + cos * w1)
                parts[6] += powers[4] * (w2 + (n - 1) ** 2 * w)
        return StreamJet(*parts)

    @cached_property
    def _scales(self) -> list[float]:
        """Factors of f_n for a wall of unit speed in a corner of the standard orientation.

        Mirroring changes the sign of convection, and so does turning the wall's velocity: n counts the factors of convection.
        """
        sx, sy = 1.0 if self.right else -1.0, 1.0 if self.up else -1.0
        g = sy * self.wall_speed  # psi_Y on the sliding wall
        return [g * (sx * sy * g / self.viscosity) ** n for n in range(self.terms)]

    def _angular(self, theta: Array) -> list[Array]:
        """Derivatives 0 ... 4 of every f_n at the angles, each of shape (5, *theta.shape)."""
        tables = _ANGLES.tables(theta.ravel(), 5)[:, :, HERMITE:]
        found = [_stokes(theta)]
        found += [(tables @ f).reshape(5, *theta.shape) for f in _corrections()[: self.terms - 1]]
        return [scale * f for scale, f in zip(self._scales, found, strict=True)]


def _stokes(theta: Array) -> Array:
    """f_0 of a wall of unit speed and its derivatives: ``B sin + C theta cos + D theta sin``."""
    C = 4 / (4 - np.pi**2)
    B, D = -C * np.pi**2 / 4, C * np.pi / 2
    s, c = np.sin(theta), np.cos(theta)
    f = B * s + (C * c + D * s) * theta
    f1 = (B + C) * c + D * s + (D * c - C * s) * theta
    f2 = (2 * D * c - (B + 2 * C) * s) - (C * c + D * s) * theta
    f3 = -(B + 3 * C) * c - 3 * D * s + (C * s - D * c) * theta
    f4 = -4 * D * c + (B + 4 * C) * s + (C * c + D * s) * theta
    return np.stack([f, f1, f2, f3, f4])


@cache
def _corrections() -> list[Array]:
    """Coefficients of f_1 and f_2 in the clamped basis of the angle, by Galerkin's method."""
    theta, weights = _ANGLES.gauss(2 * _ANGLES.size)
    T = _ANGLES.tables(theta, 5)[:, :, HERMITE:]
    known, found = [_stokes(theta)], []
    for n in (1, 2):
        forcing = np.zeros_like(theta)
        for a in range(n):
            b = n - 1 - a
            f, w = known[a], known[b][2] + (b + 1) ** 2 * known[b][0]
            w1 = known[b][3] + (b + 1) ** 2 * known[b][1]
            forcing += (b - 1) * f[1] * w - (a + 1) * f[0] * w1
        test = T[2] + (n - 1) ** 2 * T[0]
        matrix = test.T @ (weights[:, None] * (T[2] + (n + 1) ** 2 * T[0]))
        found.append(np.linalg.solve(matrix, T[0].T @ (weights * forcing)))
        known.append(T @ found[-1])
    return found
