"""Many right-hand sides of one matrix: the answers of dense algebra, and the same bits in any batch."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pyamg
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from scipy.sparse.linalg import LinearOperator

from solvers import Solution, Status, factorize, linear_solve, linear_solve_many
from solvers.linear import diffusion_operator, residual
from solvers.linear.direct import LU
from solvers.linear.stencil import StencilOperator

DD, NN, PP, DN = ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann")
RNG = np.random.default_rng(7)


def constant(shape: tuple[int, ...], sides: Any, reaction: float = 0.0) -> StencilOperator:
    spacing = tuple(0.7 / n for n in shape)
    return diffusion_operator(1.7, shape=shape, spacing=spacing, sides=sides, reaction=reaction)


def varying(shape: tuple[int, ...], sides: Any) -> StencilOperator:
    return diffusion_operator(np.exp(RNG.standard_normal(shape)), spacing=tuple(1 / n for n in shape), sides=sides)


def rows(A: Any, m: int) -> np.ndarray:
    B = RNG.standard_normal((m, A.shape[0]))
    return B - B.mean(axis=1, keepdims=True) if isinstance(A, StencilOperator) and A.is_singular else B


def convection(n: int) -> sp.csr_matrix:
    """Nonsymmetric, n^2 unknowns."""
    one = sp.diags([-1.7, 2.4, -0.3], [-1, 0, 1], shape=(n, n))
    return sp.csr_matrix(sp.kron(one, sp.eye(n)) + sp.kron(sp.eye(n), one))


OPERATORS = {
    "fast transforms": (constant((7, 10), (DD, DN)), "fast_poisson"),
    "fast transforms, singular": (constant((9, 5), (NN, PP)), "fast_poisson"),
    "fast transforms, 3-D": (constant((3, 5, 7), (DD, NN, PP)), "fast_poisson"),
    "fast transforms, 1-D": (constant((33,), (PP,), reaction=0.3), "fast_poisson"),
    "fast transforms, several blocks": (constant((127, 129), (DN, PP)), "fast_poisson"),
    "multigrid": (varying((17, 14), (DD, NN)), "multigrid_cg"),
    "algebraic multigrid": (varying((17, 14), (DD, NN)), "amg"),
    "LU, definite": (varying((13, 21), (DD, PP)), "lu"),
    "LU, singular": (varying((13, 21), (NN, PP)), "lu"),
    "LU, nonsymmetric": (convection(15), "lu"),
    "LU, supernodes": (sp.csr_matrix(RNG.standard_normal((90, 90))), "lu"),
    "LU, complex": (sp.csr_matrix(RNG.standard_normal((40, 40)) + 1j * RNG.standard_normal((40, 40))), "lu"),
    "CG by action": (LinearOperator((70, 70), matvec=constant((7, 10), (DD, DN)).matvec, dtype=float), "cg"),
}


@pytest.mark.parametrize("name", [name for name, (A, _) in OPERATORS.items() if A.shape[0] < 1000])
def test_solutions_are_those_of_dense_algebra(name: str) -> None:
    A, method = OPERATORS[name]
    B = rows(A, 19)
    dense = A.to_csr().toarray() if isinstance(A, StencilOperator) else A.toarray() if sp.issparse(A) else A @ np.eye(A.shape[1])
    expected = np.linalg.lstsq(dense, B.T, rcond=1e-12)[0].T  # minimum norm: zero mean where the constants are in the null space
    solutions = linear_solve_many(A, B, method, rtol=1e-11)
    assert [solution.status for solution in solutions] == [Status.SUCCESS] * 19
    found = np.array([solution.x for solution in solutions])
    if isinstance(A, StencilOperator) and A.is_singular:
        found -= found.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-9 * abs(expected).max())


def same_bits(one: Solution, other: Solution) -> bool:
    figures = ("status", "iterations", "method", "relative_residual")
    return (
        one.x.tobytes() == other.x.tobytes()
        and one.residual_norms.tobytes() == other.residual_norms.tobytes()
        and all(getattr(one, figure) == getattr(other, figure) for figure in figures)
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_bits_depend_neither_on_the_batch_nor_on_its_order(name: str) -> None:
    A, method = OPERATORS[name]
    B = rows(A, 35)
    whole = linear_solve_many(A, B, method)
    order = RNG.permutation(35)
    permuted = linear_solve_many(A, B[order], method)
    assert all(same_bits(whole[row], solution) for row, solution in zip(order, permuted, strict=True))
    for size in (1, 2, 3, 5, 8, 16, 17):
        first = int(RNG.integers(0, 35 - size + 1))
        part = linear_solve_many(A, B[first : first + size], method)
        assert all(same_bits(*pair) for pair in zip(whole[first : first + size], part, strict=True)), size
    for row in (0, 17, 34):
        assert same_bits(whole[row], linear_solve(A, B[row], method))


@pytest.mark.parametrize("pairs", list(itertools.product([DD, NN, DN, DN[::-1], PP], repeat=2)), ids=str)
def test_transforms_of_every_pair_of_sides_have_the_same_bits_in_a_batch(pairs: Any) -> None:
    for shape in ((7, 10), (8, 8), (13, 4)):
        A = constant(shape, pairs)
        B = rows(A, 11)
        whole = linear_solve_many(A, B, "fast_poisson")
        assert all(same_bits(solution, linear_solve(A, b, "fast_poisson")) for solution, b in zip(whole, B, strict=True))


def test_shapes_are_those_of_the_rows() -> None:
    A = constant((4, 6), (DD, DD))
    B = RNG.standard_normal((3, 4, 6))
    gridded, flat = linear_solve_many(A, B), linear_solve_many(A, B.reshape(3, 24))
    assert [solution.x.shape for solution in gridded] == [(4, 6)] * 3
    assert [solution.x.shape for solution in flat] == [(24,)] * 3
    assert all((one.x.ravel() == other.x).all() for one, other in zip(gridded, flat, strict=True))
    assert linear_solve_many(A, np.zeros((0, 4, 6))) == []


@pytest.mark.parametrize("method", ["auto", "fast_poisson", "lu", "amg", "multigrid_cg", "cg"])
def test_every_row_is_judged_on_its_own(method: str) -> None:
    """Zero, NaN, far too large, far too small and incompatible rows beside ordinary ones."""
    A = constant((6, 7), (NN, NN))
    B = rows(A, 7)
    B[1], B[2, 3], B[3] = 0.0, np.nan, B[3] * 1e290
    B[4] *= 1e-290
    B[5] += 0.25
    solutions = linear_solve_many(A, B, method)
    names = [solution.status.name for solution in solutions]
    assert names == ["SUCCESS", "SUCCESS", "NONFINITE_INPUT", "SUCCESS", "SUCCESS", "STAGNATION", "SUCCESS"]
    assert not solutions[1].x.any()
    assert solutions[5].info["imbalance"] == pytest.approx(0.25 * 42**0.5)
    for row in (0, 3, 4, 6):
        assert same_bits(solutions[row], linear_solve(A, B[row], method))


def test_rows_that_fail_go_down_the_chain_alone() -> None:
    """A smooth right-hand side is within reach of three iterations, a rough one is not."""
    n = 24
    x = np.arange(0.5, n) / n
    A = diffusion_operator(np.exp(3 * RNG.standard_normal((n, n))), spacing=(1 / n, 1 / n), sides=(DD, DD))
    easy = A @ np.full((n, n), 1e-3)
    B = np.array([easy, RNG.standard_normal((n, n)), np.outer(x, x)])
    solutions = linear_solve_many(A, B, maxiter=1, rtol=1e-6, planned=1)
    assert [solution.status for solution in solutions] == [Status.SUCCESS] * 3
    assert [solution.method for solution in solutions[1:]] == ["lu", "lu"]
    assert solutions[1].info["failed_before"] == ("multigrid_cg: MAX_ITERATIONS", "amg: MAX_ITERATIONS")
    for b, solution in zip(B, solutions, strict=True):
        assert np.linalg.norm(b - A @ solution.x) <= 1.001e-6 * np.linalg.norm(b)
        assert same_bits(solution, linear_solve(A, b, maxiter=1, rtol=1e-6))


def test_what_depends_on_the_matrix_alone_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def counting(name: str, real: Any) -> Any:
        return lambda *args, **kwargs: (calls.append(name), real(*args, **kwargs))[1]

    monkeypatch.setattr(spla, "splu", counting("splu", spla.splu))
    monkeypatch.setattr(pyamg, "ruge_stuben_solver", counting("amg", pyamg.ruge_stuben_solver))
    A = varying((12, 9), (DD, DD))
    B = rows(A, 40)
    linear_solve_many(A, B, "lu")
    linear_solve_many(A, B, "amg")
    factor = factorize(A)
    linear_solve_many(A, B, LU(factor))
    linear_solve(A, B[0], LU(factor))
    assert calls == ["splu", "amg", "splu"]


class TestFactorization:
    @pytest.mark.parametrize("name", [name for name in OPERATORS if name.startswith("LU")])
    def test_the_factors_multiply_to_the_matrix(self, name: str) -> None:
        A = OPERATORS[name][0]
        factor = factorize(A)
        matrix = (A.to_csr() if isinstance(A, StencilOperator) else A).toarray()[factor.pinned :, factor.pinned :]
        permuted = np.zeros_like(matrix)
        permuted[np.ix_(factor.row_rank, factor.column_rank)] = matrix
        np.testing.assert_allclose((factor.L @ factor.U).toarray(), permuted, atol=1e-13 * abs(matrix).max())
        assert factor.definite == isinstance(A, StencilOperator)

    def test_definiteness_is_found_by_the_pivots(self) -> None:
        laplacian = constant((12, 11), (DD, DD)).to_csr()
        smallest = np.linalg.eigvalsh(laplacian.toarray())[0]
        identity = sp.eye(laplacian.shape[0])
        assert factorize(laplacian).definite
        assert factorize(laplacian - 0.99 * smallest * identity).definite
        indefinite = sp.csr_matrix(laplacian - 1.01 * smallest * identity)
        assert not factorize(indefinite).definite
        B = rows(indefinite, 5)
        found = [solution.x for solution in linear_solve_many(indefinite, B, "lu", rtol=1e-11)]
        np.testing.assert_allclose(found, np.linalg.solve(indefinite.toarray(), B.T).T, rtol=1e-7, atol=1e-9)

    def test_definiteness_of_small_integer_matrices(self) -> None:
        """Pivots that vanish exactly are common here, and rows are then exchanged."""
        found = []
        for _ in range(400):
            half = RNG.integers(-1, 2, (4, 4))
            A = half + half.T + np.diag(RNG.integers(0, 4, 4))
            smallest = np.linalg.eigvalsh(A)[0]
            if A.diagonal().min() > 0 and (abs(np.linalg.det(A)) > 0.5):
                found.append(factorize(sp.csr_matrix(A.astype(float))).definite)
                assert found[-1] == (smallest > 0), A
        assert 20 < sum(found) < len(found) - 20

    def test_one_refinement_mends_factors_of_a_matrix_nearby(self) -> None:
        A = varying((15, 15), (DD, NN)).to_csr()
        nearby = sp.csr_matrix(A.multiply(1 + 1e-6 * RNG.standard_normal(A.shape)))
        B = rows(A, 20)
        for solution in linear_solve_many(A, B, LU(factorize(nearby)), rtol=1e-8):
            assert solution.status is Status.SUCCESS
            assert solution.relative_residual > 1e-14  # the second correction is one of factors that are a little wrong, too

    def test_a_symmetric_matrix_that_needs_pivoting(self) -> None:
        """Positive diagonal, yet the second pivot from the diagonal would be -1e20."""
        A = sp.csr_matrix(np.array([[1e-20, 1.0, 0.0], [1.0, 1e-20, 1.0], [0.0, 1.0, 1.0]]))
        solution = linear_solve(A, [1.0, 2.0, 3.0], "lu", rtol=1e-14).raise_for_status()
        np.testing.assert_allclose(solution.x, np.linalg.solve(A.toarray(), [1.0, 2.0, 3.0]), rtol=1e-12)

    def test_symmetric_mode_halves_the_fill(self) -> None:
        A = varying((40, 40), (DD, DD))
        factor, pivoted = factorize(A), spla.splu(A.to_csr().tocsc())
        assert factor.L.nnz + factor.U.nnz < 0.65 * (pivoted.L.nnz + pivoted.U.nnz)

    @pytest.mark.parametrize("kind", ["definite", "singular", "nonsymmetric", "3-D"])
    def test_the_order_of_an_earlier_factorisation_is_taken_over(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another matrix with the same pattern: the same answers and fill, and no search for an order."""
        make: dict[str, Any] = {
            "definite": lambda: varying((20, 17), (DD, PP)),
            "singular": lambda: varying((20, 17), (NN, PP)),
            "nonsymmetric": lambda: sp.csr_matrix(convection(18).multiply(1 + 0.1 * RNG.random((324, 324)))),
            "3-D": lambda: varying((7, 8, 9), (DD, NN, PP)),
        }
        first, second = make[kind](), make[kind]()
        B = rows(second, 3)
        earlier, fresh = factorize(first), factorize(second)
        orders: list[str] = []
        real = spla.splu
        monkeypatch.setattr(spla, "splu", lambda A, **options: (orders.append(options["permc_spec"]), real(A, **options))[1])
        factor = factorize(second, earlier)
        assert orders == ["NATURAL"]
        assert factor.definite == fresh.definite == (kind != "nonsymmetric")
        assert factor.L.nnz + factor.U.nnz <= 1.1 * (fresh.L.nnz + fresh.U.nnz)
        np.testing.assert_allclose(factor.solve(B), fresh.solve(B), rtol=1e-8, atol=1e-10 * abs(fresh.solve(B)).max())
        with pytest.raises(ValueError, match=rf"like is a factorisation of {earlier.n} unknowns, but A has 81"):
            factorize(varying((9, 9), (DD, NN)), earlier)

    def test_it_survives_pickling_and_keeps_its_bits(self) -> None:
        A = varying((9, 9), (DD, NN))
        factor = factorize(A)
        B = rows(A, 3)
        assert pickle.loads(pickle.dumps(factor)).solve(B).tobytes() == factor.solve(B).tobytes()

    def test_factors_of_another_matrix_are_found_out(self) -> None:
        A, other = varying((9, 9), (DD, NN)), varying((9, 9), (DD, NN))
        assert linear_solve(A, rows(A, 1)[0], LU(factorize(other))).status is Status.STAGNATION
        with pytest.raises(ValueError, match="factorization is of a matrix with 81 rows, but b has 70 entries"):
            linear_solve(constant((7, 10), (DD, DD)), np.ones(70), LU(factorize(A)))

    def test_matrices_that_are_singular_by_their_pattern_never_reach_superlu(self) -> None:
        """SuperLU can end the whole process there: it writes beyond its memory. Zeros that are stored count as no entries."""
        for seed in range(200):
            rng = np.random.default_rng(seed)
            n = int(rng.integers(2, 35))
            A = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.3)
            A[:, rng.integers(0, n)] = 0.0
            stored = sp.csr_matrix(np.where(A == 0, 1.0, A))
            stored.data[(A == 0).ravel()] = 0.0
            for matrix in (sp.csr_matrix(A), stored):
                with pytest.raises(np.linalg.LinAlgError, match="by the places of its entries"):
                    factorize(matrix)
                assert matrix.nnz in (np.count_nonzero(A), n * n)  # the caller's matrix is left alone

    def test_singular_matrices_and_single_cells(self) -> None:
        with pytest.raises(np.linalg.LinAlgError, match="exactly singular"):
            factorize(sp.csr_matrix((3, 3)))
        assert [s.status for s in linear_solve_many(sp.csr_matrix((3, 3)), np.eye(3), "lu")] == [Status.BREAKDOWN] * 3
        assert linear_solve(constant((1, 1), (NN, PP)), np.zeros((1, 1)), "lu").status is Status.SUCCESS


@pytest.mark.parametrize("sides", [(DD,), (PP,), (DD, PP), (PP, NN), (PP, PP, DN), (DN, PP, PP), (PP, DD, PP)], ids=str)
def test_residuals_are_those_of_the_matrix(sides: Any) -> None:
    for extent in itertools.product((1, 2, 5), repeat=len(sides)):
        A = varying(extent, sides)
        X, B = RNG.standard_normal((2, 3, A.size))
        expected = B - (A.to_csr() @ X.T).T
        scale = abs(A.to_csr()).max() * abs(X).max()
        np.testing.assert_allclose(residual.residuals(A, X, B), expected, atol=1e-14 * scale)
        np.testing.assert_allclose(residual.residual_norms(A, list(X), B), np.linalg.norm(expected, axis=1), rtol=1e-13, atol=1e-14 * scale)


def test_an_infinite_unknown_is_never_a_success() -> None:
    A = sp.csr_array(np.array([[0.0, 1.0], [0.0, 2.0]]))  # whose product does not touch the first unknown
    norms = residual.residual_norms(A, np.array([[np.inf, 1.0], [np.nan, 1.0], [5.0, 1.0]]), np.array([[1.0, 2.0]] * 3))
    assert norms.tolist() == [np.inf, np.inf, 0.0]


def test_bad_arguments_name_the_value() -> None:
    A = constant((4, 4), (DD, DD))
    for B, words in ((np.ones(16), r"B has shape \(16,\)"), (np.ones((2, 15)), "b has 15 entries"), (np.ones((2, 16)) * 1j, "imaginary")):
        with pytest.raises(ValueError, match=words):
            linear_solve_many(A, B)
    with pytest.raises(ValueError, match="rtol=-1"):
        linear_solve_many(A, np.ones((2, 16)), rtol=-1)
    with pytest.raises(TypeError, match="fast_poisson"):
        linear_solve_many(varying((4, 4), (DD, DD)), np.ones((2, 16)), "fast_poisson")
