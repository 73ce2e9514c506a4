"""Green's functions of -Laplace u + sigma u in disks and balls, seen from the centre: values, and random radii by exact laws.

With kappa = sqrt(sigma), in a ball of radius R (Duffy, "Green's Functions with Applications", 2nd ed., sections 5 and 6)::

    plane   2 pi G = K0(kappa r) - I0(kappa r) K0(kappa R) / I0(kappa R)        without absorption   2 pi G = log(R / r)
    space   4 pi G = sinh(kappa (R - r)) / (r sinh(kappa R))                                        4 pi G = 1 / r - 1 / R

G is the density of the time that Brownian motion of generator Laplace, killed at rate sigma, spends around a place before it leaves the
ball: sigma G is the density of the place where it is killed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial.chebyshev import chebinterpolate
from scipy import special

from solvers.linear.compiled import kernel

#: kappa R from which a walk is killed in its ball with the probability that it has, instead of carrying the probability as a weight.
#: The weights of smaller balls are of moderate size: G over that without absorption is at least 0.6 of what it is at most.
ANALOGUE = 1.5

_EULER = 0.5772156649015329
_I0_LOW = chebinterpolate(lambda t: special.i0e(4 * (t + 1)), 32)
_I0_HIGH = chebinterpolate(lambda t: special.i0e(16 / (t + 1)) * np.sqrt(16 / (t + 1)), 32)
_K0_HIGH = chebinterpolate(lambda t: special.k0e(4 / (t + 1)) * np.sqrt(4 / (t + 1)), 32)


@kernel()
def _chebyshev(c, t):  # type: ignore[no-untyped-def]
    """The sum of c[k] T_k(t), by Clenshaw's recurrence."""
    a, b = 0.0, 0.0
    for k in range(c.shape[0] - 1, 0, -1):
        a, b = c[k] + 2 * t * a - b, a
    return c[0] + t * a - b


@kernel()
def i0e(z):  # type: ignore[no-untyped-def]
    """exp(-z) I0(z) for z >= 0, to 1e-14."""
    return _chebyshev(_I0_LOW, z / 4 - 1) if z <= 8 else _chebyshev(_I0_HIGH, 16 / z - 1) / math.sqrt(z)


@kernel()
def k0e(z):  # type: ignore[no-untyped-def]
    """exp(z) K0(z) for z > 0, to 1e-14."""
    if z > 2:
        return _chebyshev(_K0_HIGH, 4 / z - 1) / math.sqrt(z)
    i0, regular, _, _ = series(z)
    return math.exp(z) * (regular - (math.log(z / 2) + _EULER) * i0)


@kernel()
def series(z):  # type: ignore[no-untyped-def]
    """I0(z), the power series S(z) in K0 = S - (log(z / 2) + Euler's constant) I0, and z times the derivatives of both; z up to 2.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 9.6.12 and 9.6.13.
    """
    i0, regular, di0, d_regular = 1.0, 0.0, 0.0, 0.0
    term, harmonic = 1.0, 0.0
    for k in range(1, 15):
        term *= z * z / (4 * k * k)
        harmonic += 1 / k
        i0 += term
        regular += harmonic * term
        di0 += 2 * k * term
        d_regular += 2 * k * harmonic * term
    return i0, regular, di0, d_regular


@kernel()
def green(dimension, kappa, r, R):  # type: ignore[no-untyped-def]
    """G(r) for 0 < r <= R."""
    if kappa == 0:
        return math.log(R / r) / (2 * math.pi) if dimension == 2 else (1 / r - 1 / R) / (4 * math.pi)
    if dimension == 3:
        return math.exp(-kappa * r) * part_in_ball(dimension, kappa, r, R) / (4 * math.pi * r)
    if kappa * R >= ANALOGUE:
        return math.exp(-kappa * r) * k0e(kappa * r) * part_in_ball(dimension, kappa, r, R) / (2 * math.pi)
    i0, regular, _, _ = series(kappa * r)  # the logarithms of kappa in the two terms of G cancel each other: they are left out
    i0_end, regular_end, _, _ = series(kappa * R)
    return (i0 * (math.log(R / r) - regular_end / i0_end) + regular) / (2 * math.pi)


@kernel()
def part_in_ball(dimension, kappa, r, R):  # type: ignore[no-untyped-def]
    """G(r) over that of the whole plane or space: the part of the walks killed at r that have never left the ball."""
    if dimension == 3:
        return math.expm1(-2 * kappa * (R - r)) / math.expm1(-2 * kappa * R)
    return 1 - math.exp(-2 * kappa * (R - r)) * (i0e(kappa * r) / i0e(kappa * R)) * (k0e(kappa * R) / k0e(kappa * r))


@kernel()
def survival(dimension, kappa, r, R):  # type: ignore[no-untyped-def]
    """Probability of not being killed closer than r, -area(r) dG / dr; in the plane for kappa R below `ANALOGUE`."""
    if kappa == 0:
        return 1.0
    if dimension == 3:
        inside = kappa * (R - r)
        return (kappa * r * math.cosh(inside) + math.sinh(inside)) / math.sinh(kappa * R)
    i0, _, di0, d_regular = series(kappa * r)
    i0_end, regular_end, _, _ = series(kappa * R)
    return i0 - di0 * (math.log(R / r) - regular_end / i0_end) - d_regular


@kernel()
def harmonic_radius(dimension, R, u1, u2, u3):  # type: ignore[no-untyped-def]
    """A radius whose law has the density of G without absorption: a product of uniform numbers in the plane, a median in space."""
    if dimension == 2:
        return R * math.sqrt(u1 * u2)
    return R * max(min(u1, u2), min(max(u1, u2), u3))


@kernel()
def killed_radius(dimension, kappa, R, u1, u2, u3):  # type: ignore[no-untyped-def]
    """The radius at which a walk is killed in the ball, or infinity where it leaves it before.

    Where killed Brownian motion ends in the whole plane has the radius 2 sqrt(E1 E2 / sigma) with exponential E1 and E2, in space
    (E1 + E2) / kappa; `part_in_ball` of them never left the ball.
    """
    e1, e2 = -math.log(u1), -math.log(u2)
    r = 2 * math.sqrt(e1 * e2) / kappa if dimension == 2 else (e1 + e2) / kappa
    return r if r < R and u3 < part_in_ball(dimension, kappa, r, R) else np.inf


@kernel()
def dipole_radius(dimension, R, u1, u2, u3, u4, u5):  # type: ignore[no-untyped-def]
    """A radius whose law has the density of the gradient of G without absorption by the ball's centre.

    That gradient is (1 / r - r / R^2) / (2 pi) in the plane and (1 / r^2 - r / R^3) / (4 pi) in space; with the area of a sphere,
    1 - s^2 and 1 - s^3 for s = r / R, the laws of a uniform number times the largest of three, or of four.
    """
    largest = max(u2, u3, u4)
    return R * u1 * (largest if dimension == 2 else max(largest, u5))


@kernel()
def dipole(dimension, kappa, r, R):  # type: ignore[no-untyped-def]
    """The gradient of G by the ball's centre over that without absorption; kappa R up to 1.

    It solves the equation of G with angular order 1: K1, I1 in the plane, the spherical functions of order 1 in space.
    """
    if kappa == 0:
        return 1.0
    if dimension == 3:
        found = (1 + kappa * r) * math.exp(-kappa * r)
        found -= (1 + kappa * R) * math.exp(-kappa * R) * (_order_one(kappa * r) / _order_one(kappa * R))
        return found / (1 - (r / R) ** 3)
    i0, _, di0, d_regular = series(kappa * r)
    i0_end, _, di0_end, d_regular_end = series(kappa * R)
    return (i0 - d_regular + di0 * (math.log(r / R) - (i0_end - d_regular_end) / di0_end)) / (1 - (r / R) ** 2)


@kernel()
def slope(dimension, kappa, R):  # type: ignore[no-untyped-def]
    """The factor c in grad u(centre) = c E[w u(centre + R w)], w uniform on the unit sphere, without source; kappa R up to 1."""
    if kappa == 0:
        return dimension / R
    if dimension == 3:
        return kappa * (kappa * R) ** 2 / _order_one(kappa * R)
    _, _, di0, _ = series(kappa * R)
    return kappa * (kappa * R) / di0


@kernel()
def _order_one(z):  # type: ignore[no-untyped-def]
    """z cosh z - sinh z by its power series, for z up to 2."""
    term, total = z, 0.0
    for k in range(1, 14):
        term *= z * z / (2 * k * (2 * k + 1))
        total += 2 * k * term
    return total
