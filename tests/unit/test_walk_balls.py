"""Green's functions of balls against SciPy's Bessel functions, quadrature and the laws of their radii."""

import numpy as np
import pytest
from scipy import special, stats
from scipy.integrate import quad

from solvers.montecarlo import balls

CASES = [(dimension, kappa) for dimension in (2, 3) for kappa in (0.0, 1e-6, 0.3, 1.0, 1.4, 1.6, 5.0, 40.0)]
R = 0.9


def green(dimension, kappa, r, radius=R):
    """G by the formulas themselves, which rounding spoils where kappa is small."""
    if kappa == 0:
        return np.log(radius / r) / (2 * np.pi) if dimension == 2 else (1 / r - 1 / radius) / (4 * np.pi)
    if dimension == 2:
        k, i = special.k0(kappa * r), special.i0(kappa * r)
        return (k - i * special.k0(kappa * radius) / special.i0(kappa * radius)) / (2 * np.pi)
    return np.sinh(kappa * (radius - r)) / (4 * np.pi * r * np.sinh(kappa * radius))


def area(dimension, r):
    return 2 * np.pi * r if dimension == 2 else 4 * np.pi * r**2


def test_bessel_functions():
    z = np.concatenate([np.geomspace(1e-8, 1e5, 2000), [2.0, 8.0]])
    np.testing.assert_allclose([balls.i0e(v) for v in z], special.i0e(z), rtol=2e-14)
    np.testing.assert_allclose([balls.k0e(v) for v in z], special.k0e(z), rtol=2e-14)


@pytest.mark.parametrize(("dimension", "kappa"), CASES)
def test_greens_function(dimension, kappa):
    r = np.linspace(0.01, 0.999, 60) * R
    found = [balls.green(dimension, kappa, v, R) for v in r]
    np.testing.assert_allclose(found, green(dimension, kappa, r), rtol=1e-8 if 0 < kappa < 1e-3 else 1e-11)


@pytest.mark.parametrize("dimension", [2, 3])
def test_little_absorption_is_the_limit_and_much_does_not_overflow(dimension):
    for r in (0.01, 0.5, 0.89):
        assert balls.green(dimension, 1e-9, r, R) == pytest.approx(balls.green(dimension, 0.0, r, R), rel=1e-12)
        assert balls.survival(dimension, 1e-9, r, R) == pytest.approx(1, abs=1e-12)
        assert 0 <= balls.green(dimension, 1e4, r, R) < 1e-6
        assert 0 <= balls.part_in_ball(dimension, 1e4, r, R) <= 1


@pytest.mark.parametrize(("dimension", "kappa"), [case for case in CASES if case[1] * R < balls.ANALOGUE])
def test_survival_is_the_flux_through_a_sphere(dimension, kappa):
    """-area dG / dr by quadrature of the equation: what is missing of 1 was absorbed inside."""
    for r in (0.2, 0.6, 0.9):
        absorbed = kappa**2 * quad(lambda s: area(dimension, s) * balls.green(dimension, kappa, s, R), 0, r, epsabs=1e-13)[0]
        assert balls.survival(dimension, kappa, r, R) == pytest.approx(1 - absorbed, abs=1e-11)


@pytest.mark.parametrize("dimension", [2, 3])
def test_radii_without_absorption_have_the_law_of_greens_function(dimension):
    u = np.random.default_rng(0).uniform(size=(100_000, 3))
    radii = np.array([balls.harmonic_radius(dimension, R, *row) for row in u]) / R
    law = (lambda s: s**2 * (1 - 2 * np.log(s))) if dimension == 2 else (lambda s: 3 * s**2 - 2 * s**3)
    assert stats.kstest(radii, law).pvalue > 1e-3


@pytest.mark.parametrize(("dimension", "kappa"), [(2, 1.7), (2, 5.0), (2, 60.0), (3, 1.7), (3, 5.0), (3, 60.0)])
def test_walks_are_killed_where_and_as_often_as_they_should(dimension, kappa):
    u = np.random.default_rng(1).uniform(size=(100_000, 3))
    radii = np.array([balls.killed_radius(dimension, kappa, R, *row) for row in u])
    survive = 1 / special.i0(kappa * R) if dimension == 2 else kappa * R / np.sinh(kappa * R)
    assert abs(np.isinf(radii).mean() - survive) < 4 * np.sqrt(survive / len(radii)) + 1e-12
    grid = np.linspace(0, R, 20_001)[1:]
    # the law by its derivative: r d/dr of K0 is -z K1 and of I0 is z I1
    if dimension == 2:
        z, Z = kappa * grid, kappa * R
        alive = z * (special.k1(z) + special.i1(z) * special.k0(Z) / special.i0(Z))
    else:
        alive = (kappa * grid * np.cosh(kappa * (R - grid)) + np.sinh(kappa * (R - grid))) / np.sinh(kappa * R)
    law = (1 - alive) / (1 - survive)
    assert stats.kstest(radii[np.isfinite(radii)], lambda r: np.interp(r, grid, law)).pvalue > 1e-3


@pytest.mark.parametrize("dimension", [2, 3])
def test_dipole_radii_have_the_law_of_the_gradient(dimension):
    u = np.random.default_rng(2).uniform(size=(100_000, 5))
    radii = np.array([balls.dipole_radius(dimension, R, *row) for row in u]) / R
    mass, law = (2 / 3, lambda s: (s - s**3 / 3)) if dimension == 2 else (3 / 4, lambda s: (s - s**4 / 4))
    assert stats.kstest(radii, lambda s: law(s) / mass).pvalue > 1e-3


@pytest.mark.parametrize("kappa", [0.0, 1e-5, 0.4, 1.0])
def test_gradients_of_exponentials_and_of_constant_slopes(kappa):
    """grad exp(kappa x) = (kappa, 0) at 0 from the sphere alone; u = x with source kappa^2 x needs the right dipole too."""
    for dimension in (2, 3):
        angles = np.linspace(0, np.pi, 20_001)
        density = np.ones_like(angles) if dimension == 2 else np.sin(angles)
        density /= np.trapezoid(density, angles)
        c = balls.slope(dimension, kappa, R)
        boundary = np.trapezoid(density * np.cos(angles) * np.expm1(kappa * R * np.cos(angles)), angles)
        assert c * boundary == pytest.approx(kappa, rel=1e-7, abs=1e-12)
        # grad u = c E[w x] + integral of the dipole by kappa^2 x, with E[w w] = 1 / dimension
        weight = quad(lambda r, d=dimension: balls.dipole(d, kappa, r, R) * (1 - (r / R) ** d) * r, 0, R)[0]
        assert c * R / dimension + kappa**2 * weight / dimension == pytest.approx(1, rel=1e-9)
