"""Block GMRES against dense solves and dense least squares over block Krylov spaces; what happens when directions are not needed."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import Status, linear_solve, linear_solve_many
from solvers.linear import GMRES, BlockGMRES, diffusion_operator, make_preconditioner
from solvers.linear.block_gmres import _factors, _orthogonalize

N = 90


def random_matrix(dtype=float, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((N, N)) + (1j * rng.standard_normal((N, N)) if dtype is complex else 0)
    return sp.csr_matrix(A / np.sqrt(N) / 2 + np.diag(np.linspace(0.5, 6, N)))


def vectors(count, dtype=float, seed=1, n=N):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, n)) + (1j * rng.standard_normal((count, n)) if dtype is complex else 0)


def counted(A):
    """A as an operator, with the widths of the panels that it met; flat vectors are met for true residuals."""
    widths = []

    def product(Z):
        if Z.ndim == 2:
            widths.append(Z.shape[1])
        return A @ Z

    return spla.LinearOperator(A.shape, matvec=product, matmat=product, dtype=A.dtype), widths


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize(("restart", "block"), [(4, 3), (30, 3), (12, 7)])
def test_agrees_with_a_dense_solve(dtype, preconditioned, restart, block):
    A, B = random_matrix(dtype), vectors(7, dtype)
    M = make_preconditioner(A, "ssor") if preconditioned else None
    solutions = linear_solve_many(A, B, BlockGMRES(restart, block), M=M, rtol=1e-11)
    for solution, b in zip(solutions, B, strict=True):
        assert (solution.status, solution.method) == (Status.SUCCESS, "block_gmres")
        np.testing.assert_allclose(solution.x, np.linalg.solve(A.toarray(), b), rtol=1e-8, atol=1e-9)
        assert len(solution.residual_norms) == solution.iterations + 1
        assert solution.residual_norms[0] == pytest.approx(np.linalg.norm(b))
        assert solution.residual_norms[-1] == pytest.approx(np.linalg.norm(b - A @ solution.x), rel=1e-2)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_residuals_are_the_least_over_the_block_krylov_space(dtype, preconditioned):
    A, B = random_matrix(dtype), vectors(3, dtype)
    M = make_preconditioner(A, "ssor") if preconditioned else spla.aslinearoperator(sp.eye(N))
    solutions = linear_solve_many(A, B, BlockGMRES(restart=20), M=M, rtol=1e-13, maxiter=6)
    image, basis = (A @ M.matmat(np.eye(N))), B.T
    for step in range(1, 6):
        basis = np.linalg.qr(np.concatenate([basis[:, :3], image @ basis], axis=1))[0]
        for solution, b in zip(solutions, B, strict=True):
            y = np.linalg.lstsq(image @ basis[:, : 3 * step], b, rcond=None)[0]
            assert solution.residual_norms[step] == pytest.approx(np.linalg.norm(b - image @ basis[:, : 3 * step] @ y), rel=1e-8)


def test_a_step_is_one_product_with_a_panel():
    A, widths = counted(sp.diags(np.linspace(1, 60, 400)).tocsr())
    B = vectors(4, n=400)
    solutions = linear_solve_many(A, B, BlockGMRES(restart=80), rtol=1e-8)
    steps, info = solutions[0].iterations, solutions[0].info
    assert len(widths) == steps
    assert set(widths[: steps // 2]) == {4}
    assert (info["block_size"], info["cycles"], info["block_matvecs"]) == (4, 1, sum(widths) + 4)  # and the true residuals
    alone = [linear_solve(A, b, GMRES(80), rtol=1e-8).iterations for b in B]
    assert steps < 0.8 * min(alone)  # each profits from the spaces of the others


@pytest.mark.parametrize("dtype", [float, complex])
def test_combinations_of_right_hand_sides_cost_no_products(dtype):
    A, widths = counted(random_matrix(dtype))
    B = vectors(5, dtype)
    B[2], B[4] = 3 * B[0] - 2e5 * B[1], B[3]
    for solution, b in zip(linear_solve_many(A, B, BlockGMRES(restart=40), rtol=1e-10), B, strict=True):
        assert solution.status is Status.SUCCESS
        np.testing.assert_allclose(solution.x, np.linalg.solve(random_matrix(dtype).toarray(), b), atol=1e-8 * abs(solution.x).max())
    assert (widths[0], max(widths)) == (3, 3)


@pytest.mark.parametrize("difference", [1e-4, 1e-7, 1e-9])
def test_right_hand_sides_that_hardly_differ(difference):
    """Their difference is solved for as well, as far as it exceeds the tolerance."""
    A, widths = counted(random_matrix())
    B = vectors(3)
    B[2] = B[0] + difference * B[2]
    solutions = linear_solve_many(A, B, BlockGMRES(restart=40), rtol=1e-8)
    assert [solution.status for solution in solutions] == [Status.SUCCESS] * 3
    assert widths[0] == (3 if difference > 1e-8 else 2)


def test_a_solved_right_hand_side_leaves_the_panel():
    """An eigenvector is solved in one step, a sum of two in two; the others go on among themselves."""
    A = sp.diags(np.linspace(1, 20, N)).tocsr()
    operator, widths = counted(A)
    B = vectors(4)
    B[0], B[2] = np.eye(N)[7], np.eye(N)[30] - 2 * np.eye(N)[60]
    solutions = linear_solve_many(operator, B, BlockGMRES(restart=60), rtol=1e-8)
    assert [solution.status for solution in solutions] == [Status.SUCCESS] * 4
    assert (widths[:2], set(widths[2:])) == ([4, 3], {2})
    pair = linear_solve_many(operator, B[[1, 3]], BlockGMRES(restart=60), rtol=1e-8)
    assert solutions[1].iterations <= pair[0].iterations
    for solution, b in zip(solutions, B, strict=True):
        np.testing.assert_allclose(solution.x, b / A.diagonal(), atol=1e-7)


def test_a_residual_below_its_tolerance_leaves_the_panel_as_well():
    """Not exactly solved, so that the directions stay independent: as many of them are searched as there are residuals left."""
    operator, widths = counted(sp.diags(np.linspace(1, 20, N)).tocsr())
    B = vectors(3)
    B[1] = np.eye(N)[[4, 30, 77]].sum(axis=0) + 1e-11 * B[1]
    solutions = linear_solve_many(operator, B, BlockGMRES(restart=60), rtol=1e-9)
    assert [solution.status for solution in solutions] == [Status.SUCCESS] * 3
    assert (widths[:3], set(widths[3:-2])) == ([3, 3, 3], {2})


def test_the_space_is_exhausted():
    few = sp.diags(np.repeat([1.0, -2.0, 5.0], 30)).tocsr()
    for solution in linear_solve_many(few, vectors(3), BlockGMRES(), rtol=1e-12):
        assert (solution.status, solution.iterations) == (Status.SUCCESS, 3)  # the degree of the minimal polynomial
    small = random_matrix()[:7, :7]
    for solution in linear_solve_many(small, vectors(5, n=7), BlockGMRES(), rtol=1e-12):
        assert (solution.status, solution.info["cycles"]) == (Status.SUCCESS, 1)
        assert solution.iterations <= 3
    shift = sp.csr_matrix(np.roll(np.eye(20), 1, axis=0))  # no residual falls before the whole space is there
    for solution in linear_solve_many(shift, np.eye(20)[:2], BlockGMRES(), rtol=1e-12):
        assert solution.status is Status.SUCCESS


def test_a_hopeless_companion_harms_nobody():
    A = random_matrix().tolil()
    A[40] = 0.0
    B = vectors(4)
    B[[0, 1, 3], 40] = 0.0
    B[2] = np.eye(N)[40]  # orthogonal to the range
    solutions = linear_solve_many(A.tocsr(), B, BlockGMRES(restart=3), rtol=1e-11, maxiter=3000)
    assert [solution.status for solution in solutions] == [Status.SUCCESS, Status.SUCCESS, Status.STAGNATION, Status.SUCCESS]
    assert solutions[2].residual_norms[-1] == pytest.approx(1.0)
    assert min(solutions[row].iterations for row in (0, 1, 3)) > solutions[2].iterations


def test_limits_and_breakdowns():
    A, B = random_matrix(), vectors(3)
    for solution in linear_solve_many(A, B, BlockGMRES(restart=4), rtol=1e-10, maxiter=6):
        assert (solution.status, solution.iterations) == (Status.MAX_ITERATIONS, 6)
        assert solution.residual_norms[-1] == pytest.approx(np.linalg.norm(b_minus(A, solution.x, B)), rel=1e-6)
    broken, _ = counted(sp.diags(np.where(np.arange(N) == 5, np.nan, 1.0)).tocsr())
    large = sp.eye(N, format="csr") * 1e200
    for matrix in (broken, large):
        for solution in linear_solve_many(matrix, B, BlockGMRES()):
            assert solution.status is Status.BREAKDOWN
            assert np.isfinite(solution.x).all()
    for solution in linear_solve_many(sp.csr_matrix((N, N)), B, BlockGMRES()):
        assert solution.status in (Status.STAGNATION, Status.BREAKDOWN)
    for solution in linear_solve_many(A, B, BlockGMRES(), rtol=1e-17, maxiter=500):  # rounding does not allow it
        assert solution.status is Status.STAGNATION
        assert solution.relative_residual < 1e-14


def b_minus(A, x, B):
    """The residual of the right-hand side that x belongs to."""
    return min((b - A @ x for b in B), key=np.linalg.norm)


def test_each_is_judged_by_its_own_norm():
    A, B = random_matrix(), vectors(5) * np.array([1e-250, 1.0, 1e-6, 0.0, 1e250])[:, None]
    for solution, b in zip(linear_solve_many(A, B, BlockGMRES(), rtol=1e-9), B, strict=True):
        assert solution.status is Status.SUCCESS
        np.testing.assert_allclose(solution.x, np.linalg.solve(A.toarray(), b), rtol=1e-6, atol=1e-8 * abs(solution.x).max())


def test_a_single_right_hand_side_is_left_to_gmres():
    A, B = random_matrix(), vectors(3)
    alone = [linear_solve(A, b, GMRES(10)).x for b in B]
    for solutions in (linear_solve_many(A, B, BlockGMRES(10, block=1)), [linear_solve(A, b, BlockGMRES(10)) for b in B]):
        assert [solution.x.tobytes() for solution in solutions] == [x.tobytes() for x in alone]
    pair_and_one = linear_solve_many(A, B, BlockGMRES(10, block=2))
    assert pair_and_one[2].x.tobytes() == alone[2].tobytes()
    assert pair_and_one[0].x.tobytes() != alone[0].tobytes()


def test_stencil_operators():
    A = diffusion_operator(1.0, shape=(20, 20), spacing=(0.05, 0.05), sides=(("dirichlet",) * 2,) * 2, reaction=-30.0)
    B = vectors(4, n=400).reshape(4, 20, 20)
    for solution, b in zip(linear_solve_many(A, B, BlockGMRES(40), rtol=1e-9), B, strict=True):
        assert solution.status is Status.SUCCESS
        assert np.linalg.norm(b - A @ solution.x) <= 1.001e-9 * np.linalg.norm(b)


@pytest.mark.parametrize("dtype", [float, complex])
def test_panels_are_orthonormalised_whatever_they_are(dtype):
    panel = np.linalg.qr(vectors(30, dtype, n=5000).T)[0].T.copy()
    for graded in (np.ones(4), np.array([1, 1e-3, 1e-7, 1e-11]), np.array([1, 1, 0, 1])):
        W = graded[:, None] * vectors(4, dtype, seed=2, n=5000) + vectors(4, dtype, seed=3, n=30) @ panel
        whole = W.copy()
        h = _orthogonalize(panel, W)
        L, Q = _factors(W, np.linalg.norm(whole))
        assert abs(panel.conj() @ Q.T).max() < 1e-13
        assert abs(Q.conj() @ Q.T - np.eye(len(Q))).max() < 1e-13
        assert len(Q) == np.count_nonzero(graded)
        np.testing.assert_allclose(h.T @ panel + L @ Q, whole, atol=1e-12 * abs(whole).max())


def test_settings_name_the_value():
    for settings, words in (({"restart": 0}, "restart is 0"), ({"block": 0}, "block is 0")):
        with pytest.raises(ValueError, match=words):
            BlockGMRES(**settings)
