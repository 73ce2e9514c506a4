"""Deep conjugate directions: what any proposal gives, and what known proposals must give."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import Status, linear_solve
from solvers.linear import diffusion_operator
from solvers.linear.conjugate_directions import ConjugateDirections, direction_preconditioner

DD, DN = ("dirichlet", "dirichlet"), ("dirichlet", "neumann")
RNG = np.random.default_rng(11)
A = diffusion_operator(np.exp(0.3 * RNG.standard_normal((24, 20))), spacing=(1 / 24, 1 / 20), sides=(DD, DN), reaction=0.5)
MATRIX = A.to_csr()
B = RNG.standard_normal(A.size)
EXACT = spla.spsolve(MATRIX.tocsc(), B)
W1, W2 = RNG.standard_normal((40, A.size)), RNG.standard_normal((A.size, 40))


def network(r):
    """Random weights and biases: neither linear nor homogeneous, in single precision, of no use as an approximation of ``A^-1``."""
    return (W2 @ np.maximum(W1 @ r + 0.3, 0) + 0.1).astype(np.float32)


def iterates(method, **settings):
    seen = [np.zeros(A.size)]
    solution = linear_solve(settings.pop("A", A), B, method, callback=lambda x, norm: seen.append(x.copy()), **settings)
    return solution, np.array(seen)


def reference_pcg(M, count):
    """Conjugate gradients from the textbook (Saad 2003, algorithm 9.1), dense and with nothing shared."""
    x, r = np.zeros(A.size), B.copy()
    p = z = M @ r
    found = [x]
    for _ in range(count):
        q = MATRIX @ p
        alpha = (r @ z) / (p @ q)
        x, r_new = x + alpha * p, r - alpha * q
        z_new = M @ r_new
        p, r, z = z_new + (r_new @ z_new) / (r @ z) * p, r_new, z_new
        found.append(x)
    return np.array(found)


@pytest.mark.parametrize("window", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, -3e-4])
def test_with_the_residual_itself_the_iterates_are_those_of_cg(window, scale):
    _, found = iterates(ConjugateDirections(lambda r: scale * r, window=window), maxiter=40)
    expected = reference_pcg(sp.identity(A.size), 40)
    np.testing.assert_allclose(found, expected, atol=1e-8 * abs(expected).max())
    assert np.linalg.norm(B - MATRIX @ expected[-1]) > 1e-3 * np.linalg.norm(B)  # not compared at convergence only


@pytest.mark.parametrize("window", [1, 2])
def test_with_a_linear_definite_direction_the_iterates_are_those_of_pcg(window):
    triangle = sp.tril(MATRIX, format="csr")
    M = np.linalg.inv((triangle @ sp.diags(1 / A.diagonal.ravel()) @ triangle.T).toarray())  # symmetric Gauss-Seidel
    _, found = iterates(ConjugateDirections(lambda r: M @ r, window=window), maxiter=30)
    expected = reference_pcg(M, len(found) - 1)
    assert len(found) > 20
    np.testing.assert_allclose(found, expected, atol=1e-8 * abs(expected).max())


def test_with_the_inverse_one_iteration_does():
    lu = spla.splu(MATRIX.tocsc())
    solution, _ = iterates(ConjugateDirections(lambda r: -7 * lu.solve(r)), rtol=1e-9)
    assert (solution.status, solution.iterations, solution.method) == (Status.SUCCESS, 1, "conjugate_directions")
    np.testing.assert_allclose(solution.x, EXACT, rtol=1e-6)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_no_proposal_lets_the_error_grow_and_directions_stay_conjugate(window):
    _, found = iterates(ConjugateDirections(network, window=window), maxiter=60)
    errors = [float((x - EXACT) @ (MATRIX @ (x - EXACT))) for x in found]
    assert (np.diff(errors) <= 1e-14 * errors[0]).all()  # rounding of the sums above
    steps = np.diff(found, axis=0)
    gram = steps @ (MATRIX @ steps.T)
    cosines = gram / np.sqrt(np.outer(gram.diagonal(), gram.diagonal()))
    for distance in range(1, window + 1):
        assert abs(cosines.diagonal(distance)).max() < 1e-8
    assert abs(cosines.diagonal(window + 1)).max() > 1e-6  # and no further


def test_directions_stay_conjugate_where_proposals_barely_change():
    fixed = RNG.standard_normal(A.size)
    _, found = iterates(ConjugateDirections(lambda r: fixed + 1e-6 * r), maxiter=12)
    steps = np.diff(found, axis=0)
    assert len(steps) == 12
    gram = steps @ (MATRIX @ steps.T)
    cosines = gram / np.sqrt(np.outer(gram.diagonal(), gram.diagonal()))
    assert max(abs(cosines.diagonal(1)).max(), abs(cosines.diagonal(2)).max()) < 1e-8


def test_the_direction_sees_a_flat_unit_residual_which_it_may_overwrite():
    seen = []

    def direction(r):
        seen.append((r.shape, r.dtype, float(np.linalg.norm(r))))
        d = r.reshape(A.grid_shape).copy()
        r[:] = np.nan
        return d

    solution = linear_solve(A, B.reshape(A.grid_shape), ConjugateDirections(direction), rtol=1e-10).raise_for_status()
    np.testing.assert_allclose(solution.x.ravel(), EXACT, rtol=1e-6)
    assert {(shape, dtype) for shape, dtype, _ in seen} == {((A.size,), np.dtype(np.float64))}
    np.testing.assert_allclose([norm for _, _, norm in seen], 1, rtol=1e-14)


class TestReplacedProposals:
    @pytest.mark.parametrize("preconditioned", [False, True])
    @pytest.mark.parametrize("useless", ["zero", "orthogonal"])
    def test_a_useless_proposal_is_replaced(self, preconditioned, useless):
        other = RNG.standard_normal(A.size)

        def direction(r):
            return np.zeros_like(r) if useless == "zero" else other - (other @ r) * r

        M = sp.diags(1 / A.diagonal.ravel()) if preconditioned else sp.identity(A.size)
        solution, found = iterates(ConjugateDirections(direction), M=M if preconditioned else None, maxiter=25)
        expected = reference_pcg(M, 25)
        np.testing.assert_allclose(found, expected, atol=1e-8 * abs(expected).max())
        assert solution.info["replaced"] == 25

    def test_good_proposals_are_not(self):
        solution, _ = iterates(ConjugateDirections(lambda r: r / A.diagonal.ravel() + 1e-8 * network(r)), maxiter=20)
        assert solution.info["replaced"] == 0

    def test_a_proposal_that_never_changes_does_not_stop_the_solve(self):
        fixed = RNG.standard_normal(A.size)
        solution, _ = iterates(ConjugateDirections(lambda r: fixed), rtol=1e-6)
        assert solution.status is Status.SUCCESS
        assert solution.info["replaced"] >= solution.iterations / 2


class TestHonesty:
    def test_converges_to_the_true_residual(self):
        solution, _ = iterates(ConjugateDirections(lambda r: r.astype(np.float32)), rtol=1e-11)
        assert solution.status is Status.SUCCESS
        assert np.linalg.norm(B - MATRIX @ solution.x) <= 1.0001e-11 * np.linalg.norm(B)

    def test_tolerance_below_rounding(self):
        assert iterates(ConjugateDirections(lambda r: r), rtol=1e-19)[0].status is Status.STAGNATION

    def test_iteration_limits(self):
        solution, _ = iterates(ConjugateDirections(network, limit=7))
        assert (solution.status, solution.iterations, len(solution.residual_norms)) == (Status.MAX_ITERATIONS, 7, 8)
        assert iterates(ConjugateDirections(network, limit=7), maxiter=3)[0].iterations == 3

    def test_matrices_that_are_not_definite_or_not_symmetric(self):
        shifted = MATRIX - 3000 * sp.identity(A.size, format="csr")
        assert iterates(ConjugateDirections(lambda r: r), A=shifted)[0].status is Status.INDEFINITE
        skew = MATRIX + sp.diags([1.0], [1], shape=MATRIX.shape)
        assert iterates(ConjugateDirections(lambda r: r), A=skew)[0].status is Status.INDEFINITE

    def test_a_preconditioner_that_is_not_definite(self):
        assert iterates(ConjugateDirections(lambda r: 0 * r), M=-sp.identity(A.size))[0].status is Status.INDEFINITE

    def test_complex_systems_are_refused(self):
        with pytest.raises(TypeError, match="needs a real system"):
            linear_solve(MATRIX, 1j * B, ConjugateDirections(lambda r: r))

    @pytest.mark.parametrize(
        ("direction", "message"),
        [
            (lambda r: r[:-1], r"shape \(479,\) for a residual of 480 entries"),
            (lambda r: np.where(r > 0, r, np.nan), "entries that are NaN or infinite"),
            (lambda r: r + 1j, "complex128"),
        ],
    )
    def test_unusable_directions_are_refused(self, direction, message):
        with pytest.raises(ValueError, match=message):
            linear_solve(A, B, ConjugateDirections(direction))
        with pytest.raises(ValueError, match=message):
            direction_preconditioner(direction, A.size).matvec(B)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"direction": None}, "direction is None"),
            ({"direction": abs, "window": 0}, "window is 0"),
            ({"direction": abs, "limit": 0}, "limit is 0"),
        ],
    )
    def test_settings_that_make_no_sense(self, settings, message):
        with pytest.raises(ValueError, match=message):
            ConjugateDirections(**settings)


class TestAsPreconditioner:
    def test_is_homogeneous(self):
        M = direction_preconditioner(network, A.size)
        np.testing.assert_allclose(M @ (1e5 * B), 1e5 * (M @ B), rtol=1e-4)
        np.testing.assert_allclose(M @ B, np.linalg.norm(B) * network(B / np.linalg.norm(B)), rtol=1e-6)
        assert not (M @ np.zeros(A.size)).any()

    def test_flexible_cg_takes_it(self):
        lu = spla.splu((MATRIX + 5 * sp.identity(A.size)).tocsc())
        M = direction_preconditioner(lambda r: lu.solve(r) * (1 + 0.2 * np.tanh(r[0])), A.size)
        solution = linear_solve(A, B, "cg", M=M, rtol=1e-9).raise_for_status()
        assert solution.iterations < linear_solve(A, B, "cg", rtol=1e-9).iterations / 4
        np.testing.assert_allclose(solution.x, EXACT, rtol=1e-6)
