"""MINRES, and what every method makes of operators that are symmetric but not definite."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import Status, linear_solve
from solvers.linear import StencilOperator, diffusion_operator
from solvers.linear.multigrid import MultigridHierarchy
from validation.benchmarks import indefinite_helmholtz

DD, NN, PP, DN = ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann")
RNG = np.random.default_rng(5)


def helmholtz(shape, sides, k2=150.0, spread=0.1):
    """``-Laplacian - k^2`` on the unit box, k^2 varying by `spread` on either side of k2."""
    wave = sum(np.cos(np.pi * (i + 1) * (np.arange(n) + 0.5) / n).reshape((-1,) + (1,) * (len(shape) - i - 1)) for i, n in enumerate(shape))
    return diffusion_operator(1.0, shape=shape, spacing=tuple(1 / n for n in shape), sides=sides, reaction=-k2 * (1 + spread * wave / 3))


def random_indefinite(n):
    basis, _ = np.linalg.qr(RNG.standard_normal((n, n)))
    values = np.concatenate([-np.linspace(0.5, 4, n // 3), np.linspace(0.3, 10, n - n // 3)])
    return basis * values @ basis.T


def random_definite(n):
    factor = RNG.standard_normal((n, n))
    return factor @ factor.T / n + 0.5 * np.eye(n)


def iterates(A, b, **settings):
    seen = []
    solution = linear_solve(A, b, "minres", callback=lambda x, norm: seen.append((x.copy(), norm)), **settings)
    return solution, [x for x, _ in seen], [norm for _, norm in seen]


class TestAlgorithm:
    @pytest.mark.parametrize("preconditioned", [False, True])
    def test_iterates_minimise_the_preconditioned_residual_over_the_krylov_space(self, preconditioned):
        A, b = random_indefinite(24), RNG.standard_normal(24)
        M = random_definite(24) if preconditioned else np.eye(24)
        _, found, _ = iterates(A, b, M=M if preconditioned else None, maxiter=10)
        half = np.linalg.cholesky(M).T  # |half r|^2 = r . M r
        krylov = [M @ b]
        for _ in range(9):
            krylov.append(M @ (A @ krylov[-1]))
            krylov[-1] /= np.linalg.norm(krylov[-1])
        for j, x in enumerate(found, start=1):
            basis, _ = np.linalg.qr(np.column_stack(krylov[:j]))
            best = basis @ np.linalg.lstsq(half @ A @ basis, half @ b, rcond=None)[0]
            np.testing.assert_allclose(x, best, atol=1e-7 * abs(best).max())

    def test_iterates_are_those_of_scipy(self):
        A, b, M = random_indefinite(60), RNG.standard_normal(60), random_definite(60)
        theirs = []
        spla.minres(A, b, M=M, rtol=1e-13, maxiter=25, callback=lambda x: theirs.append(x.copy()))
        _, ours, _ = iterates(A, b, M=M, maxiter=25)
        for mine, other in zip(ours[:25], theirs, strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-8 * abs(other).max())

    def test_the_carried_residual_is_the_true_one(self):
        A, b, M = random_indefinite(60), RNG.standard_normal(60), random_definite(60)
        solution, found, norms = iterates(A, b, M=M, rtol=1e-10)
        assert solution.status is Status.SUCCESS
        np.testing.assert_allclose(norms, [np.linalg.norm(b - A @ x) for x in found], rtol=1e-4)

    @pytest.mark.parametrize("sides", [(DD, DD, DD), (NN, PP, DN)], ids=str)
    def test_residual_falls_in_the_norm_of_the_multigrid_cycle(self, sides):
        A, b = helmholtz((16, 16, 16), sides), RNG.standard_normal((16, 16, 16))
        solution, found, _ = iterates(A, b)
        assert solution.status is Status.SUCCESS
        hierarchy = MultigridHierarchy(StencilOperator(A.faces, abs(A.reaction), A.periodic))
        residuals = [b.ravel() - A.matvec(x) for x in found]
        squares = [np.vdot(r, hierarchy.precondition(r)) for r in residuals]
        assert (np.diff(squares) <= 1e-10 * squares[0]).all()
        assert squares[-1] < 1e-12 * squares[0]

    def test_hermitian_matrices(self):
        A = random_indefinite(30) + 1j * np.triu(RNG.standard_normal((30, 30)), 1)
        A = (A + A.conj().T) / 2
        b = RNG.standard_normal(30) + 1j * RNG.standard_normal(30)
        solution = linear_solve(A, b, "minres", rtol=1e-11)
        assert solution.status is Status.SUCCESS
        np.testing.assert_allclose(solution.x, np.linalg.solve(A, b), rtol=1e-7)


METHODS = ["minres", "lu", "auto"]


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("sides", [(DD, DD), (NN, DN), (PP, DN), (NN, NN), (PP, PP), (DD, PP, NN), (NN, PP, NN), (DD, DD, DD)], ids=str)
def test_indefinite_operators_agree_with_an_independent_dense_solve(method, sides):
    shape = (17, 12) if len(sides) == 2 else (8, 7, 9)
    A = helmholtz(shape, sides)
    matrix = A.to_csr().toarray()
    values = np.linalg.eigvalsh(matrix)
    assert not A.is_definite
    assert values[0] < 0 < values[-1]
    b = RNG.standard_normal(shape)
    solution = linear_solve(A, b, method, rtol=1e-11)
    assert solution.status is Status.SUCCESS
    np.testing.assert_allclose(solution.x.ravel(), np.linalg.solve(matrix, b.ravel()), atol=1e-7 * abs(solution.x).max())
    np.testing.assert_allclose(A.abs_matvec(b).ravel(), abs(matrix) @ abs(b.ravel()), rtol=1e-12)


@pytest.mark.parametrize("sides", [(DD, DD), (NN, DD), (PP, DN), (NN, NN), (PP, PP), (DD, DD, NN), (PP, NN, DN)], ids=str)
def test_fast_transforms_solve_constant_indefinite_operators(sides):
    shape = (13, 16, 7)[: len(sides)]
    A = diffusion_operator(1.0, shape=shape, spacing=tuple(1 / n for n in shape), sides=sides, reaction=-151.3)
    b = RNG.standard_normal(shape)
    solution = linear_solve(A, b)
    assert (solution.method, solution.status) == ("fast_poisson", Status.SUCCESS)
    np.testing.assert_allclose(solution.x.ravel(), spla.spsolve(A.to_csr().tocsc(), b.ravel()), rtol=1e-8, atol=1e-10)


def test_resonance_is_reported_where_the_source_excites_it():
    n = 16
    eigenvalue = 2 * (2 * n * np.sin(np.pi / n)) ** 2  # of cos 2 pi x cos 2 pi y on the grid, four-fold
    A = diffusion_operator(1.0, shape=(n, n), spacing=(1 / n, 1 / n), sides=(PP, PP), reaction=-eigenvalue)
    x = (np.arange(n) + 0.5) / n
    mode = np.outer(np.cos(2 * np.pi * x), np.cos(2 * np.pi * x))
    for method in ("auto", "fast_poisson", "minres"):
        assert linear_solve(A, mode, method).status is not Status.SUCCESS
    other = np.outer(np.cos(2 * np.pi * x), np.ones(n))
    solution = linear_solve(A, other, "fast_poisson")
    assert solution.status is Status.SUCCESS
    np.testing.assert_allclose(solution.x, -other / (eigenvalue / 2), atol=1e-10)


@pytest.mark.parametrize("method", ["cg", "multigrid_cg", "amg"])
def test_methods_for_definite_operators_say_that_this_one_is_not(method):
    A = helmholtz((16, 16), (DD, DD))
    solution = linear_solve(A, RNG.standard_normal((16, 16)), method)
    assert solution.status is Status.INDEFINITE
    assert "minres" in solution.status.value


@pytest.mark.parametrize("method", ["cg", "amg", "minres"])
def test_methods_for_symmetric_matrices_say_that_this_one_is_not(method):
    A = sp.diags([-1.0, 3.0, -0.5], [-1, 0, 1], shape=(50, 50), format="csr")
    solution = linear_solve(A, np.ones(50), method)
    assert solution.status is Status.INDEFINITE
    assert ("take method='minres'" in solution.diagnosis) == (method != "minres")
    assert "method='lu'" in solution.diagnosis
    assert linear_solve(A, np.ones(50)).status is Status.SUCCESS


@pytest.mark.parametrize("left_over", [0.0, 1e-12])
def test_lu_pivots_where_the_diagonal_vanishes(left_over):
    """A reaction that cancels the diagonal leaves nothing, or rounding, as the first pivots: diagonal pivots would be fatal."""
    positive = diffusion_operator(1.0, shape=(30, 31), spacing=(1.0, 1.0), sides=(DD, DN))
    A = StencilOperator(positive.faces, -positive.diagonal + left_over, positive.periodic)
    assert abs(A.diagonal).max() <= left_over * 1.01
    b = RNG.standard_normal((30, 31))
    solution = linear_solve(A, b, "lu", rtol=1e-12).raise_for_status()
    np.testing.assert_allclose(solution.x.ravel(), np.linalg.solve(A.to_csr().toarray(), b.ravel()), rtol=1e-6, atol=1e-8)


class TestHonesty:
    A = helmholtz((16, 12), (DD, DD))
    b = RNG.standard_normal((16, 12))

    def test_preconditioner_that_is_not_definite(self):
        negative = spla.LinearOperator(self.A.shape, matvec=lambda r: -r, dtype=float)
        assert linear_solve(self.A, self.b, "minres", M=negative).status is Status.INDEFINITE

    def test_iteration_limit(self):
        solution = linear_solve(self.A, self.b, "minres", maxiter=3)
        assert (solution.status, solution.iterations, len(solution.residual_norms)) == (Status.MAX_ITERATIONS, 3, 4)

    def test_tolerance_below_rounding(self):
        assert linear_solve(self.A, self.b, "minres", rtol=1e-18).status in (Status.STAGNATION, Status.MAX_ITERATIONS)

    def test_singular_systems(self):
        A = np.diag([1.0, -2.0, 0.0, 3.0])
        assert linear_solve(A, [1.0, 1.0, 0.0, 1.0], "minres").status is Status.SUCCESS
        solution = linear_solve(A, [1.0, 1.0, 1.0, 1.0], "minres")
        assert solution.status is not Status.SUCCESS
        assert solution.relative_residual == pytest.approx(0.5)

    def test_a_singular_neumann_problem_is_solved(self):
        A = diffusion_operator(np.exp(RNG.standard_normal((12, 12))), spacing=(1.0, 1.0), sides=(NN, NN))
        b = RNG.standard_normal((12, 12))
        solution = linear_solve(A, b - b.mean(), "minres", rtol=1e-10).raise_for_status()
        expected = np.linalg.lstsq(A.to_csr().toarray(), (b - b.mean()).ravel(), rcond=1e-12)[0]
        np.testing.assert_allclose(solution.x.ravel() - solution.x.mean(), expected, atol=1e-7 * abs(expected).max())


def test_automatic_choice_for_indefinite_operators():
    assert linear_solve(helmholtz((16, 16), (DD, DD)), np.ones((16, 16))).method == "lu"
    solution = linear_solve(helmholtz((16, 16, 16), (DD, DD, DD)), np.ones((16, 16, 16)))
    assert (solution.method, solution.status) == ("minres", Status.SUCCESS)
    beyond = linear_solve(helmholtz((8, 8, 8), (DD, DD, DD)), RNG.standard_normal((8, 8, 8)), maxiter=2)
    assert (beyond.method, beyond.info["failed_before"]) == ("lu", ("minres: MAX_ITERATIONS",))


def test_iterations_do_not_grow_with_the_grid():
    counts = [linear_solve(helmholtz((n, n, n), (DD, DD, DD), 98.0, 0.05), np.ones((n, n, n)), "minres").iterations for n in (12, 24, 48)]
    assert max(counts) <= 60
    assert counts[-1] <= counts[0] + 10


def test_the_benchmark_agrees_with_superlu() -> None:
    """Its speed is judged at its own size; 16 cells an axis are too few for SuperLU to be slow."""
    residual, difference, iterations, _ = indefinite_helmholtz.run(resolution=16, samples=1).checks
    assert residual.passed
    assert difference.passed
    assert iterations.passed
