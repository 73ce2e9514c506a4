"""phi functions against fifty digits, and their sums for matrices and operators against each other and against augmented exponentials."""

import mpmath
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

from solvers.integrators.phi import combine_krylov, dense_phi, phi


def precise(z, k):
    """``phi_k(z) = 1F1(1; k + 1; z) / k!``"""
    with mpmath.workdps(50):
        return complex(mpmath.exp(z) if k == 0 else mpmath.hyp1f1(1, k + 1, z) / mpmath.factorial(k))


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_every_index_is_accurate_to_rounding(count):
    """On both sides of the change from series to recurrence, at zero, far out, and off the real axis."""
    real = np.array([-600.0, -30.0, -3.0, -1.0 - 1e-9, -1.0 + 1e-9, -0.3, -1e-5, 0.0, 1e-9, 0.5, 0.999, 1.001, 5.0, 40.0])
    for z in (real, real * np.exp(0.4j), 1j * np.abs(real)):
        found = phi(z, count)
        assert [np.iscomplexobj(values) for values in found] == [np.iscomplexobj(z)] * (count + 1)
        for k, values in enumerate(found):
            np.testing.assert_allclose(values, [precise(complex(value), k) for value in z], rtol=3e-14)


def forced_system(n=30, seed=0):
    rng = np.random.default_rng(seed)
    A = 3 * rng.standard_normal((n, n)) - 10 * np.eye(n)
    return A, [rng.standard_normal(n) for _ in range(4)]


def test_dense_functions_satisfy_their_recurrence():
    """``A phi_(k+1)(A) = phi_k(A) - I / k!``, and phi_0 is the exponential."""
    A, _ = forced_system()
    found = dense_phi(A, 3)
    np.testing.assert_allclose(found[0], scipy.linalg.expm(A), atol=1e-12)
    for k, factorial in enumerate([1, 1, 2]):
        np.testing.assert_allclose(A @ found[k + 1], found[k] - np.eye(len(A)) / factorial, atol=1e-12)


@pytest.mark.parametrize("h", [0.01, 0.7, -0.05])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_krylov_sums_agree_with_dense_ones(h, count):
    A, vectors = forced_system()
    exact = sum(h**k * F @ v for k, (F, v) in enumerate(zip(dense_phi(h * A, count - 1), vectors[:count], strict=True)))
    found = combine_krylov(lambda v: A @ v, h, vectors[:count], 1e-13)
    np.testing.assert_allclose(found, exact, atol=1e-12 * np.linalg.norm(exact))


def test_krylov_takes_far_fewer_products_than_stiffness():
    """Heat conduction on 400 points: h times the norm is 4480, and an explicit method would need thousands of products."""
    n, h, products = 400, 0.7, 0
    A = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr() * 0.01 * n**2
    rng = np.random.default_rng(0)
    vectors = [rng.standard_normal(n) for _ in range(3)]

    def matvec(v):
        nonlocal products
        products += 1
        return A @ v

    found = combine_krylov(matvec, h, vectors, 1e-10)
    exact = sum(h**k * F @ v for k, (F, v) in enumerate(zip(dense_phi(h * A.toarray(), 2), vectors, strict=True)))
    assert np.linalg.norm(found - exact) < 1e-9 * np.linalg.norm(exact)
    assert products < 1000


def test_special_vectors():
    """Nothing comes of nothing; an eigenvector needs one product; a single entry needs no space."""
    A, vectors = forced_system()
    assert np.array_equal(combine_krylov(lambda v: A @ v, 0.1, [0 * vectors[0]] * 3, 1e-12), np.zeros(len(A)))
    diagonal = np.arange(-5.0, 0.0)
    np.testing.assert_allclose(combine_krylov(lambda v: diagonal * v, 2.0, [np.eye(5)[1]], 1e-12), np.exp(-8.0) * np.eye(5)[1], rtol=1e-13)
    single = combine_krylov(lambda v: -3.0 * v, 0.5, [np.ones(1), np.ones(1)], 1e-14)
    assert single[0] == pytest.approx(np.exp(-1.5) + 0.5 * (1 - np.exp(-1.5)) / 1.5, rel=1e-13)


def test_a_hopeless_step_says_so():
    with pytest.raises(ArithmeticError, match="take smaller steps"):
        combine_krylov(lambda v: np.roll(v, 1) * 1e9, 1.0, [np.random.default_rng(0).standard_normal(60)], 1e-14)
