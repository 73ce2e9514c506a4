"""GMRES against SciPy's, against dense solves, and on the matrices that defeat it."""

import numpy as np
import pyamg
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import Status, linear_solve
from solvers.linear.arnoldi import orthogonalize
from solvers.linear.gmres import GMRES


def random_matrix(n, dtype=float, seed=0):
    """Nonsymmetric with eigenvalues around 3, a few of them scattered."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if dtype is complex else 0)
    return A / np.sqrt(n) + np.diag(np.linspace(0.5, 6, n))


def vector(n, dtype=float, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n) + (1j * rng.standard_normal(n) if dtype is complex else 0)


def counted(A):
    """A as an operator that counts its products."""
    calls = []

    def matvec(x):
        calls.append(1)
        return A @ x

    return spla.LinearOperator(A.shape, matvec, dtype=A.dtype), calls


def approximate_inverse(A):
    """The tenth of the entries that is largest, and the diagonal, inverted."""
    return spla.aslinearoperator(np.linalg.inv(np.where((abs(A) > np.quantile(abs(A), 0.9)) | np.eye(len(A), dtype=bool), A, 0)))


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("flexible", [False, True])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_agrees_with_a_dense_solve(dtype, flexible, preconditioned):
    A, b = random_matrix(80, dtype), vector(80, dtype)
    M = approximate_inverse(A) if preconditioned else None
    solution = linear_solve(A, b, GMRES(restart=25, flexible=flexible), M=M, rtol=1e-11)
    assert solution.status is Status.SUCCESS
    np.testing.assert_allclose(solution.x, np.linalg.solve(A, b), rtol=1e-8, atol=1e-8)
    assert solution.residual_norms[0] == pytest.approx(np.linalg.norm(b))
    assert solution.residual_norms[-1] == pytest.approx(np.linalg.norm(b - A @ solution.x), rel=1e-2)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_iterates_equal_those_of_scipy(dtype, preconditioned):
    """SciPy preconditions from the left, so that the comparison is with right preconditioning written out."""
    A, b, restart = random_matrix(60, dtype), vector(60, dtype), 4
    M = approximate_inverse(A) if preconditioned else spla.aslinearoperator(np.eye(60))
    ours, theirs = {}, {}
    linear_solve(A, b, GMRES(restart), M=M, rtol=1e-14, maxiter=20, callback=lambda x, norm: ours.update({len(ours) + 1: (x, norm)}))
    for cycles in (1, 3, 5):
        t, _ = spla.gmres(spla.aslinearoperator(A) @ M, b, restart=restart, maxiter=cycles, rtol=1e-15)
        theirs[cycles * restart] = M @ t
    for step, x in theirs.items():
        assert np.linalg.norm(ours[step][0] - x) <= 1e-9 * np.linalg.norm(x)
    assert all(norm == pytest.approx(np.linalg.norm(b - A @ x), rel=1e-8) for x, norm in ours.values())


@pytest.mark.parametrize("dtype", [float, complex])
def test_the_whole_space_holds_the_solution(dtype):
    A, b = random_matrix(30, dtype), vector(30, dtype)
    solution = linear_solve(A, b, GMRES(restart=50), rtol=1e-13)
    assert (solution.status, solution.info["cycles"]) == (Status.SUCCESS, 1)
    assert solution.iterations <= 30
    few = np.diag(np.repeat([1.0, -2.0, 5.0], 20))
    assert linear_solve(few, vector(60), GMRES(), rtol=1e-12).iterations == 3  # the degree of the minimal polynomial


def test_every_product_is_counted():
    A, b = random_matrix(80), vector(80)
    operator, products = counted(A)
    preconditioner, applications = counted(np.linalg.inv(np.diag(np.diag(A))))
    solution = linear_solve(operator, b, GMRES(restart=9), M=preconditioner, rtol=1e-10).raise_for_status()
    assert solution.info["matvecs"] + 1 == len(products)  # the judge's own
    assert solution.info["preconditioner_applications"] == len(applications)
    assert solution.info["matvecs"] == solution.iterations + 1


def test_a_preconditioner_that_changes_needs_the_flexible_form():
    A, b = random_matrix(80), vector(80)
    turn = iter(range(10**6))
    inverses = [np.linalg.inv(A + c * np.diag(np.arange(80.0) % 7)) for c in (0.5, -0.2, 1.0)]
    M = spla.LinearOperator(A.shape, lambda r: inverses[next(turn) % 3] @ r.ravel(), dtype=float)
    assert linear_solve(A, b, GMRES(restart=20, flexible=True), M=M, rtol=1e-10).status is Status.SUCCESS
    assert linear_solve(A, b, GMRES(restart=20), M=M, rtol=1e-10, maxiter=400).status is not Status.SUCCESS


@pytest.mark.parametrize("name", ["recirc_flow", "helmholtz_2D", "airfoil", "bar", "local_disc_galerkin_diffusion"])
def test_foreign_matrices(name):
    A = sp.csr_matrix(pyamg.gallery.load_example(name)["A"])
    b = A @ vector(A.shape[0], A.dtype.type)
    M = spla.LinearOperator(A.shape, spla.spilu(A.tocsc(), drop_tol=1e-3, fill_factor=10).solve, dtype=A.dtype)
    solution = linear_solve(A, b, "gmres", M=M, rtol=1e-9)
    assert solution.status is Status.SUCCESS
    assert np.linalg.norm(b - A @ solution.x) <= 1.001e-9 * np.linalg.norm(b)


def test_failures_say_what_they_are():
    shift = np.roll(np.eye(30), 1, axis=0)
    unit = np.eye(30)[0]
    assert linear_solve(shift, unit, GMRES(restart=29)).status is Status.STAGNATION  # Nachtigal, Reddy and Trefethen 1992
    assert linear_solve(shift, unit, GMRES(restart=30)).status is Status.SUCCESS
    assert linear_solve(random_matrix(80), vector(80), GMRES(), maxiter=5).status is Status.MAX_ITERATIONS
    nilpotent = np.diag([1.0, 1.0, 1.0, 0.0])[:, [1, 0, 2, 3]]
    assert linear_solve(nilpotent, np.array([1.0, 2.0, 0.0, 1.0]), GMRES()).status in (Status.STAGNATION, Status.BREAKDOWN)
    assert linear_solve(np.zeros((3, 3)), np.ones(3), GMRES()).status is Status.BREAKDOWN
    broken = spla.LinearOperator((9, 9), lambda x: np.full(9, np.nan), dtype=float)
    assert linear_solve(broken, np.ones(9), GMRES()).status is Status.BREAKDOWN
    zero = linear_solve(random_matrix(20), np.zeros(20), GMRES())
    assert (zero.status, zero.iterations) == (Status.SUCCESS, 0)
    with pytest.raises(ValueError, match="restart is 0"):
        GMRES(restart=0)


def test_a_compatible_singular_system_is_solved():
    A = np.diag([3.0, 2.0, 1.0, 0.0])
    solution = linear_solve(A, np.array([1.0, 1.0, 1.0, 0.0]), GMRES(), rtol=1e-12)
    assert solution.status is Status.SUCCESS


@pytest.mark.parametrize("dtype", [float, complex])
def test_orthogonalization_of_what_nearly_lies_in_the_panel(dtype):
    """One pass leaves 1e-16 / 1e-9 along the panel; the second is what this test is for."""
    n = 5000  # more than one tile
    panel = np.linalg.qr(np.stack([vector(n, dtype, seed) for seed in range(12)], axis=1))[0].T.copy()
    inside = vector(12, dtype, 99) @ panel
    out = np.empty(n, panel.dtype)
    w = inside + 1e-9 * vector(n, dtype, 100)
    h, norm = orthogonalize(panel, w, out)
    assert np.linalg.norm(panel.conj() @ out) <= 1e-13 * norm
    np.testing.assert_allclose(h @ panel + out, w, atol=1e-13)
    assert orthogonalize(panel, inside, out)[1] == 0.0


@pytest.mark.parametrize("method", ["gmres", "gcrodr"])
def test_a_guess_beside_which_the_right_hand_side_vanishes_ends(method):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    solution = linear_solve(A, 1e-266 * rng.standard_normal(3), method, x0=rng.standard_normal(3), rtol=1e-7, maxiter=60)
    assert solution.status is Status.BREAKDOWN
    assert len(solution.residual_norms) < 70
