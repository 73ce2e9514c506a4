"""Implicit stages: every kind of Jacobian finds the same root, failures stay in their rows, and work is kept where it may be."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from solvers.integrators import newton as module
from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.newton import DENSE_UNKNOWNS, Implicit, Newton

N = 12
LAPLACIAN = sp.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(N, N)).tocsr() * 30


def reaction(t, y):
    """Diffusion and a cubic reaction, of any number of rows."""
    return (LAPLACIAN @ y.reshape(-1, N).T).T.reshape(y.shape) - y**3 * (1 + t)


def jacobian(t, y):
    return (LAPLACIAN - sp.diags_array(3 * y**2 * (1 + t))).tocsr()


def matvec(t, y):
    J = jacobian(t, y)
    return LinearOperator((N, N), matvec=lambda v: J @ v, dtype=float)


JACOBIANS = {
    "differences": Implicit(reaction),
    "dense": Implicit(reaction, lambda t, y: jacobian(t, y).toarray()),
    "sparse": Implicit(reaction, jacobian),
    "sparse, iterative": Implicit(reaction, jacobian, method="gmres"),
    "action": Implicit(reaction, matvec),
}
GUESS = np.random.default_rng(0).standard_normal((3, N))


@pytest.mark.parametrize("kind", JACOBIANS)
def test_every_kind_of_jacobian_finds_the_root(kind):
    r = 1.2 * GUESS
    z, memory = Newton(JACOBIANS[kind], 1).solve(0.5, 0.2, r, GUESS, None)
    np.testing.assert_allclose(z - 0.2 * reaction(0.5, z), r, atol=1e-9)
    assert memory.a.tolist() == [0.2] * 3


def test_beyond_the_dense_limit_products_are_taken_by_differences():
    n = DENSE_UNKNOWNS + 1
    stiff = Implicit(lambda t, y: -np.linspace(1, 50, n) * y - y**3)
    y = np.random.default_rng(1).standard_normal(n)
    z, memory = Newton(stiff, 0).solve(0.0, 0.1, y, y, None)
    assert isinstance(memory.jacobians, list)
    np.testing.assert_allclose(z - 0.1 * stiff.function(0.0, z), y, atol=1e-9)


@pytest.mark.parametrize("kind", JACOBIANS)
def test_rows_do_not_depend_on_their_neighbours(kind):
    """One of which has steps of its own, one a NaN, and one a root that Newton's method does not reach."""
    y = np.concatenate([GUESS, np.full((1, N), np.nan), 1e6 * GUESS[:1]])
    a = np.array([0.2, 0.1, 0.2, 0.2, -1.0])[:, None]
    together, _ = Newton(JACOBIANS[kind], 1).solve(0.5, a, y, y, None)
    for row in range(5):
        one = slice(row, row + 1)
        np.testing.assert_array_equal(Newton(JACOBIANS[kind], 1).solve(0.5, a[one], y[one], y[one], None)[0], together[one])
    assert np.isfinite(together).all(axis=1).tolist() == [True, True, True, False, False]


def test_a_root_that_does_not_exist_is_not_found():
    """z = 1 + z^2 has no real root."""
    z, memory = Newton(Implicit(lambda t, y: y**2), 0).solve(0.0, 1.0, np.ones(1), np.zeros(1), None)
    assert np.isnan(z).all()
    assert memory.stale


def test_a_singular_matrix_fails_its_row_alone():
    """I - a J is zero in the first row: z = 1 + z."""
    f = Implicit(lambda t, y: np.array([[1.0], [-1.0]]) * y, lambda t, y: np.array([[1.0]]) * np.sign(y[0]))
    z, _ = Newton(f, 1).solve(0.0, 1.0, np.array([[1.0], [-1.0]]), np.array([[1.0], [-1.0]]), None)
    assert np.isnan(z[0, 0])
    assert z[1, 0] == pytest.approx(-0.5, abs=1e-8)


def test_a_jacobian_and_its_factors_serve_while_they_converge(monkeypatch):
    """Twenty equal steps of a mildly nonlinear equation: one Jacobian, one factorisation."""
    asked, made = [], []
    monkeypatch.setattr(module, "factorize", lambda A, real=module.factorize: made.append(1) or real(A))

    def counted(t, y):
        asked.append(t)
        return LAPLACIAN - sp.diags_array(0.03 * y**2)

    terms = Implicit(lambda t, y: LAPLACIAN @ y - 0.01 * y**3, counted)
    stepper, carry, y = DIAGONALLY_IMPLICIT["sdirk4"].bind(terms, np, 0), None, GUESS[0]
    for number in range(20):
        advance, carry = stepper.step(0.01 * number, y, 0.01, carry)
        y = advance.y
    assert len(asked) == 1
    assert len(made) == 1
    stepper.step(0.2, y, 0.02, carry)
    assert len(made) == 2  # another step size needs other factors, not another Jacobian
    assert len(asked) == 1


def test_a_jacobian_that_has_aged_is_renewed():
    """The stiffness grows a thousandfold on the way; keeping the first Jacobian would fail."""
    terms = Implicit(lambda t, y: -np.exp(7 * t) * (y - np.cos(t)))
    stepper, carry, y = DIAGONALLY_IMPLICIT["sdirk4"].bind(terms, np, 0), None, np.ones(1)
    for number in range(20):
        advance, carry = stepper.step(0.05 * number, y, 0.05, carry)
        y = advance.y
    assert abs(y[0] - np.cos(1.0)) < 1e-3


def test_a_tolerance_that_makes_no_sense_is_named():
    with pytest.raises(ValueError, match="tolerance = 0 is no tolerance for Newton's method"):
        Implicit(reaction, tolerance=0)
