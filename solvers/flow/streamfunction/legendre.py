"""Polynomials in one dimension whose ends are clamped: cubic Hermite functions and twice integrated Legendre polynomials.

With ``c_n = sqrt(n + 1/2)`` the interior functions ``phi_n`` have ``phi_n'' = c_n L_n`` for n = 2 ... N-2 on (-1, 1) and vanish at both
ends with their first derivatives (Shen 1994, SIAM J. Sci. Comput. 15, eq. 3.2, up to the factor). They are orthonormal in
``(phi'', phi'')``, and orthogonal in it to all cubics, so that coefficients of a series can be read off its second derivative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDING = 4e-15  # of data, relative to their largest value
HERMITE = 4  # functions that carry value and derivative at the two ends


@dataclass(frozen=True)
class ClampedBasis:
    """Polynomials of at most `degree` on the interval (low, high).

    Functions 0 and 1 carry value and derivative at `low`, 2 and 3 those at `high`; the others vanish there with their derivatives.

    Raises
    ------
    ValueError : where the interval is empty or the degree below 4.
    """

    degree: int
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.degree < HERMITE:
            raise ValueError(f"ClampedBasis: degree is {self.degree}; it must be at least {HERMITE}")
        if not self.low < self.high:
            raise ValueError(f"ClampedBasis: the interval ({self.low}, {self.high}) is empty; low must be below high")

    @property
    def size(self) -> int:
        return self.degree + 1

    @property
    def interior(self) -> int:
        """Number of functions that are clamped at both ends."""
        return self.size - HERMITE

    @property
    def half(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    def gauss(self, points: int) -> tuple[Array, Array]:
        """Gauss-Legendre nodes and weights of the interval: exact up to degree ``2 points - 1``."""
        nodes, weights = legendre.leggauss(points)
        return np.asarray(self.low + self.half * (nodes + 1)), np.asarray(self.half * weights)

    def tables(self, x: Array, orders: int) -> Array:
        """Derivatives of order 0 ... `orders` - 1 (at most 5) of every function at the points x, shape (orders, x.size, size)."""
        xi = (np.asarray(x) - self.low) / self.half - 1
        found = np.concatenate([_hermite(xi, self.half), _interior(xi, self.degree)], axis=2)[:orders]
        return np.asarray(found * self.half ** -np.arange(float(orders))[:, None, None])

    def fit(self, values: Array) -> Array:
        """Coefficients of the polynomial that takes `values` (shape (size,)) at the nodes of ``gauss(size)``.

        Where its Legendre series has sunk into the rounding of `values` it is cut off, since slopes at the ends multiply what is left
        there by the square of the degree.
        """
        vandermonde, project = self._legendre
        series = project @ values
        series += project @ (values - vandermonde @ series)  # weights of high degree carry errors of some hundred units of rounding
        heard = np.flatnonzero(np.abs(series) > _ROUNDING * np.abs(values).max())
        series[heard[-1] + 1 if heard.size else 0 :] = 0.0
        derivative = legendre.legder(series)
        ends = [p(end) for end in (-1.0, 1.0) for p in (lambda t: legendre.legval(t, series), lambda t: legendre.legval(t, derivative))]
        ends[1::2] = [slope / self.half for slope in ends[1::2]]
        n = np.arange(2, self.degree - 1)
        return np.concatenate([ends, legendre.legder(series, 2)[n] / np.sqrt(n + 0.5)])

    @cached_property
    def _legendre(self) -> tuple[Array, Array]:
        """Values of Legendre polynomials at the nodes, and the projection back."""
        nodes, weights = legendre.leggauss(self.size)
        vandermonde = legendre.legvander(nodes, self.degree)
        return np.asarray(vandermonde), np.asarray((np.arange(self.size) + 0.5)[:, None] * vandermonde.T * weights)


def products(test: Array, trial: Array) -> Array:
    """``test_i trial_k`` at every point, shape (points, i k)."""
    return np.asarray((test[:, :, None] * trial[:, None, :]).reshape(len(test), -1))


def _hermite(xi: Array, half: float) -> Array:
    """Derivatives of the Hermite cubics, shape (5, points, 4); slopes are those of the physical interval."""
    cubics = np.array(
        [[0.5, -0.75, 0.0, 0.25], [0.25 * half, -0.25 * half, -0.25 * half, 0.25 * half],
         [0.5, 0.75, 0.0, -0.25], [-0.25 * half, -0.25 * half, 0.25 * half, 0.25 * half]]
    ).T  # fmt: skip
    return np.stack([np.polynomial.polynomial.polyval(xi, _derivative(cubics, m)).T for m in range(5)])


def _derivative(coefficients: Array, order: int) -> Array:
    return coefficients if order == 0 else np.asarray(np.polynomial.polynomial.polyder(coefficients, order, axis=0))


def _interior(xi: Array, degree: int) -> Array:
    """Derivatives of the clamped functions, shape (5, points, degree - 3), by recurrences for Legendre polynomials."""
    L = legendre.legvander(xi, degree).T
    D = np.zeros((2, *L.shape))  # first and second derivatives: L'_(n+1) = L'_(n-1) + (2 n + 1) L_n
    for order, below in enumerate((L, D[0])):
        for m in range(degree):
            D[order, m + 1] = (2 * m + 1) * below[m] + (D[order, m - 1] if m > 0 else 0.0)
    n = np.arange(2, degree - 1)
    c = np.sqrt(n + 0.5)[:, None]
    k = n[:, None].astype(float)
    first = (L[n + 1] - L[n - 1]) / (2 * k + 1)
    zeroth = ((L[n + 2] - L[n]) / (2 * k + 3) - (L[n] - L[n - 2]) / (2 * k - 1)) / (2 * k + 1)
    return np.stack([(c * part).T for part in (zeroth, first, L[n], D[0][n], D[1][n])])
