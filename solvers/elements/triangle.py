"""Lagrange polynomials and quadrature on the reference triangle with corners (0, 0), (1, 0), (0, 1)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import roots_jacobi

Array = NDArray[np.float64]

#: Corners of each side; side s is opposite to corner (s + 2) mod 3.
SIDES = ((0, 1), (1, 2), (2, 0))


def size(degree: int) -> int:
    """Number of polynomials of the degree in the plane."""
    return (degree + 1) * (degree + 2) // 2


@lru_cache(maxsize=16)
def lattice(degree: int) -> Array:
    """Barycentric coordinates of the nodes, shape (size, 3): corners, then the sides in the order of `SIDES`, then the inside."""
    corners = np.eye(3)
    shares = np.arange(1, degree)[:, None] / degree
    sides = [(1 - shares) * corners[a] + shares * corners[b] for a, b in SIDES]
    inside = [(degree - i - j, i, j) for j in range(1, degree) for i in range(1, degree - j)]
    return np.concatenate([corners, *sides, np.array(inside, np.float64).reshape(-1, 3) / degree])


def basis(degree: int, points: Array) -> Array:
    """Values at reference points, shape (..., 2): shape (..., size), 1 at the own node and 0 at the others."""
    return _monomials(degree, points) @ _coefficients(degree)


def basis_gradients(degree: int, points: Array) -> Array:
    """Derivatives by the reference coordinates, shape (..., 2, size)."""
    x, y = points[..., 0], points[..., 1]
    powers = _powers(degree)
    along_x = np.stack([a * x ** max(a - 1, 0) * y**b for a, b in powers], axis=-1)
    along_y = np.stack([b * x**a * y ** max(b - 1, 0) for a, b in powers], axis=-1)
    return np.asarray(np.stack([along_x, along_y], axis=-2) @ _coefficients(degree))


@lru_cache(maxsize=16)
def quadrature(degree: int) -> tuple[Array, Array]:
    """Points, shape (q, 2), and weights that sum to 1/2: exact for polynomials of the degree.

    Gauss's rule along x and the Gauss-Jacobi rule of weight 1 - y along y, collapsed onto the triangle (Stroud 1971, section 2.4).
    """
    n = degree // 2 + 1
    t, weights_t = roots_jacobi(n, 0.0, 0.0)
    s, weights_s = roots_jacobi(n, 1.0, 0.0)
    y = (s + 1) / 2
    points = np.stack([np.outer(1 - y, (t + 1) / 2), np.outer(y, np.ones(n))], axis=-1).reshape(-1, 2)
    return points, np.outer(weights_s / 4, weights_t / 2).ravel()


@lru_cache(maxsize=16)
def line_quadrature(degree: int) -> tuple[Array, Array]:
    """Points in [0, 1] and weights that sum to 1: exact for polynomials of the degree."""
    x, weights = np.polynomial.legendre.leggauss(degree // 2 + 1)
    return np.asarray((x + 1) / 2), np.asarray(weights / 2)


def _powers(degree: int) -> list[tuple[int, int]]:
    return [(a, b) for b in range(degree + 1) for a in range(degree + 1 - b)]


def _monomials(degree: int, points: Array) -> Array:
    x, y = points[..., 0], points[..., 1]
    return np.stack([x**a * y**b for a, b in _powers(degree)], axis=-1)


@lru_cache(maxsize=16)
def _coefficients(degree: int) -> Array:
    """Column i holds the monomial coefficients of the polynomial that is 1 at node i."""
    return np.asarray(np.linalg.inv(_monomials(degree, lattice(degree)[:, 1:])), np.float64)
