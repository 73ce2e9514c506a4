import itertools

import numpy as np
import pyamg
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, spsolve

from solvers import SolverError, Status, linear_solve
from solvers.linear import diffusion_operator
from solvers.linear.amg import AMG

DD, NN, PP, DN = ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann")
RNG = np.random.default_rng(20)


def jump_operator(shape, sides, contrast=100.0, reaction=0.0):
    a = np.where(RNG.random(shape) > 0.5, contrast, 1.0)
    spacing = tuple(1 / n for n in shape)
    return diffusion_operator(a, spacing=spacing, sides=sides, reaction=reaction)


def test_nested_lists_are_a_matrix():
    np.testing.assert_allclose(linear_solve([[2, 0], [0, 4]], [1, 2]).raise_for_status().x, [0.5, 0.5], rtol=1e-12)


@pytest.mark.parametrize("method", ["multigrid_cg", "amg", "lu", "cg", "auto"])
@pytest.mark.parametrize("sides", [(DD, DD), (NN, DD), (PP, DN), (NN, NN), (PP, PP), (DD, PP, NN), (NN, PP, NN)], ids=str)
def test_every_method_agrees_with_an_independent_dense_solve(method, sides):
    shape = (9, 14) if len(sides) == 2 else (5, 6, 7)
    A = jump_operator(shape, sides)
    b = RNG.standard_normal(shape)
    if A.is_singular:
        b -= b.mean()
    expected = np.linalg.lstsq(A.to_csr().toarray(), b.ravel(), rcond=1e-12)[0].reshape(shape)  # minimum norm: zero mean where singular
    solution = linear_solve(A, b, method, rtol=1e-11)
    assert solution.status is Status.SUCCESS, solution
    found = solution.x - (solution.x.mean() if A.is_singular else 0)
    np.testing.assert_allclose(found, expected, atol=1e-8 * abs(expected).max())
    true = np.linalg.norm(b.ravel() - A.to_csr() @ solution.x.ravel())
    assert true <= 1.0001e-11 * np.linalg.norm(b)
    rounding = 2.0**-52 * np.linalg.norm(abs(A.to_csr()) @ abs(solution.x.ravel()))  # of either way to compute a residual
    assert solution.residual_norms[-1] == pytest.approx(true, rel=1e-6, abs=4 * rounding)


@pytest.mark.parametrize("pairs", list(itertools.product([DD, NN, DN, DN[::-1], PP], repeat=2)), ids=str)
@pytest.mark.parametrize("shape", [(7, 10), (2, 3)])
def test_fast_poisson_agrees_with_sparse_lu_for_every_pair_of_sides(pairs, shape):
    A = diffusion_operator(2.5, shape=shape, spacing=(0.3, 0.2), sides=pairs, reaction=0.7)
    b = RNG.standard_normal(shape)
    np.testing.assert_allclose(linear_solve(A, b, "fast_poisson").x.ravel(), spsolve(A.to_csr().tocsc(), b.ravel()), rtol=1e-10)


@pytest.mark.parametrize("sides", [(DD, DD), (NN, NN), (PP, PP), (DN, PP), (PP, PP, DN)], ids=str)
def test_stencil_action_equals_its_matrix(sides):
    shape = (5, 2, 4)[: len(sides)]
    A = jump_operator(shape, sides, reaction=0.3)
    matrix = A.to_csr()
    u = RNG.standard_normal(shape)
    np.testing.assert_allclose(A.matvec(u).ravel(), matrix @ u.ravel(), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(A.abs_matvec(u).ravel(), abs(matrix) @ abs(u.ravel()), rtol=1e-12)
    assert abs(matrix - matrix.T).max() == 0
    row_sums = np.asarray(matrix.sum(axis=1)).ravel()
    assert row_sums.min() >= 0.3 - 1e-9  # M-matrix: walls and reaction only ever add to the diagonal


def test_layers_across_the_flow_are_resistors_in_series():
    """Permeability that jumps by 10^6 between cells: the discrete pressure is exact and the flux is 1 / sum of resistances."""
    a = np.array([1.0, 1e6, 3.0, 1e-2, 7.0, 5.0, 1e3, 2.0])
    n, h = len(a), 1 / len(a)
    A = diffusion_operator(np.tile(a[:, None], (1, 3)), spacing=(h, 1.0), sides=(DD, NN))
    b = np.zeros((n, 3))
    b[0] += A.faces[0][0] * 1.0  # pressure 1 at the left wall, 0 at the right
    p = linear_solve(A, b, rtol=1e-13).raise_for_status().x
    flux = 1 / np.sum(h / a)
    resistance_to_centre = np.cumsum(h / a) - 0.5 * h / a
    np.testing.assert_allclose(p, np.tile((1 - flux * resistance_to_centre)[:, None], (1, 3)), rtol=1e-9, atol=1e-12)


def test_maximum_principle_and_flux_balance():
    a = np.where(RNG.random((40, 31)) > 0.5, 12.0, 3.0)
    A = diffusion_operator(a, spacing=(1 / 40, 1 / 31), sides=(DD, DD))
    source = RNG.random((40, 31))
    p = linear_solve(A, source, rtol=1e-12).raise_for_status().x
    assert p.min() > 0  # a source that is nowhere negative and cold walls
    walls = [A.faces[k].take(i, axis=k) * p.take(i, axis=k) for k in (0, 1) for i in (0, -1)]
    assert sum(w.sum() for w in walls) == pytest.approx(source.sum(), rel=1e-10)  # all that is produced leaves through the walls
    boundary_only = linear_solve(A, np.where(np.arange(40)[:, None] == 0, A.faces[0][:1, :], 0.0), rtol=1e-12).raise_for_status().x
    assert boundary_only.min() >= 0
    assert boundary_only.max() <= 1


@pytest.mark.parametrize(
    ("shape", "sides", "contrast", "limit"),
    [((64, 64), (DD, DD), 4, 12), ((256, 256), (DD, DD), 4, 13), ((100, 77), (PP, NN), 4, 14), ((24, 24, 24), (DD, DN, PP), 4, 14)],
)
def test_multigrid_iterations_do_not_grow_with_the_grid(shape, sides, contrast, limit):
    smooth = sum(np.cos(3 * np.pi * x) for x in np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij"))
    a = np.where(smooth > 0, contrast, 1.0)
    A = diffusion_operator(a, spacing=tuple(1 / n for n in shape), sides=sides)
    solution = linear_solve(A, np.ones(shape) if not A.is_singular else smooth - smooth.mean(), "multigrid_cg")
    assert solution.status is Status.SUCCESS
    assert solution.iterations <= limit


def test_anisotropic_cells_are_semicoarsened():
    A = diffusion_operator(1.0, shape=(128, 96), spacing=(1.0, 0.01), sides=(DD, DD))
    assert linear_solve(A, np.ones((128, 96)), "multigrid_cg").iterations <= 12


def test_foreign_matrices():
    for example in ("airfoil", "bar", "unit_square", "knot"):
        A = pyamg.gallery.load_example(example)["A"].tocsr()
        x = RNG.standard_normal(A.shape[0])
        solution = linear_solve(A, A @ x, rtol=1e-9)
        assert solution.status is Status.SUCCESS, (example, solution.status)
        assert np.linalg.norm(A @ (x - solution.x)) <= 1.01e-9 * np.linalg.norm(A @ x)


def test_complex_symmetric_matrix():
    A = pyamg.gallery.load_example("helmholtz_2D")["A"].tocsr()
    b = RNG.standard_normal(A.shape[0]) + 1j * RNG.standard_normal(A.shape[0])
    assert linear_solve(A, b).raise_for_status().x.dtype == np.complex128


class TestHonesty:
    """No failure is ever reported as success, and every status means what it says."""

    def test_nan_and_infinity(self):
        A = sp.eye(3, format="csr")
        assert linear_solve(A, [1, np.nan, 0]).status is Status.NONFINITE_INPUT
        assert linear_solve(A * np.inf, [1, 1, 0]).status is Status.NONFINITE_INPUT
        assert linear_solve(A, [1, 1, 0], x0=[np.inf, 0, 0]).status is Status.NONFINITE_INPUT

    def test_indefinite_matrix_in_cg(self):
        solution = linear_solve(sp.diags([1.0, -1.0, 2.0]), [1.0, 1.0, 1.0], "cg")
        assert solution.status is Status.INDEFINITE
        with pytest.raises(SolverError, match="not positive definite"):
            solution.raise_for_status()

    def test_singular_matrix(self):
        assert linear_solve(sp.csr_matrix((3, 3)), [1.0, 0, 0], "lu").status is Status.BREAKDOWN

    def test_unbalanced_neumann_problem(self):
        A = jump_operator((8, 8), (NN, NN))
        for method in ("lu", "multigrid_cg", "cg", "amg", "auto"):
            solution = linear_solve(A, np.ones((8, 8)), method)
            assert solution.status is Status.STAGNATION
            assert solution.info["imbalance"] == pytest.approx(8.0)  # norm of the part of b that no solution can produce
            assert solution.relative_residual <= 1.0
            with pytest.raises(SolverError, match=r"mean of the right-hand side is 1 in magnitude instead of 0 \(1 of its norm\)"):
                solution.raise_for_status()

    @pytest.mark.parametrize("magnitude", [1.0, 1e-250, 1e250])
    def test_an_imbalance_is_told_in_the_units_of_the_right_hand_side(self, magnitude):
        A = jump_operator((8, 8), (NN, PP))
        b = RNG.standard_normal((8, 8))
        b += 0.125 - b.mean()
        solution = linear_solve(A, magnitude * b)
        assert f"is {0.125 * magnitude:.3g} in magnitude" in solution.diagnosis
        assert f"({1 / np.linalg.norm(b):.3g} of its norm)" in solution.diagnosis

    @pytest.mark.parametrize("magnitude", [1e-300, 1e-200, 1e200, 1e300])
    @pytest.mark.parametrize("method", ["auto", "lu", "cg", "amg"])
    def test_right_hand_sides_whose_squares_vanish_or_overflow(self, magnitude, method):
        A = jump_operator((8, 8), (DD, DD))
        b = RNG.random((8, 8))
        seen = []
        solution = linear_solve(A, magnitude * b, method, callback=lambda x, norm: seen.append(norm))
        assert solution.status is Status.SUCCESS
        np.testing.assert_allclose(solution.x / magnitude, linear_solve(A, b, "lu").x, rtol=1e-6)
        assert 0 < solution.relative_residual <= 1e-8
        assert all(norm < 100 * magnitude for norm in seen)

    @pytest.mark.parametrize("stencil", [True, False])
    def test_residuals_whose_squares_overflow_in_units_of_the_right_hand_side(self, stencil):
        """The guess satisfies atol, though its residual is 10^250 times the right-hand side."""
        A = jump_operator((8, 8), (DD, DD))
        guess = np.full((8, 8), 1.0 / np.linalg.norm(A @ np.ones((8, 8))))
        operator, b = (A, np.full((8, 8), 1e-250)) if stencil else (A.to_csr(), np.full(64, 1e-250))
        solution = linear_solve(operator, b, "cg", x0=guess, atol=2.0, maxiter=0)
        assert (solution.status, solution.iterations) == (Status.SUCCESS, 0)
        assert solution.residual_norms[-1] == pytest.approx(1.0)
        assert solution.relative_residual == pytest.approx(1 / 8e-250)

    def test_a_domain_cut_off_from_every_wall(self):
        A = jump_operator((12, 12), (DD, DD))
        faces = [face.copy() for face in A.faces]
        faces[0][4], faces[0][8], faces[1][4:8, 4], faces[1][4:8, 8] = 0, 0, 0, 0
        cut = type(A)(tuple(faces), A.reaction, A.periodic)
        solution = linear_solve(cut, np.ones((12, 12)))
        assert solution.status is not Status.SUCCESS

    def test_the_best_of_several_failures_is_returned(self):
        A = jump_operator((40, 40), (DD, DD), contrast=1e6)
        solution = linear_solve(A, np.ones((40, 40)), rtol=1e-18)
        assert solution.status is Status.STAGNATION
        assert solution.relative_residual < 1e-8

    def test_iteration_limit(self):
        A = jump_operator((32, 32), (DD, DD))
        solution = linear_solve(A, np.ones((32, 32)), "cg", maxiter=3)
        assert (solution.status, solution.iterations, len(solution.residual_norms)) == (Status.MAX_ITERATIONS, 3, 4)

    def test_tolerance_below_rounding(self):
        A = jump_operator((64, 64), (DD, DD), contrast=1e6)
        assert linear_solve(A, np.ones((64, 64)), "multigrid_cg", rtol=1e-18).status in (Status.STAGNATION, Status.MAX_ITERATIONS)

    def test_wrong_preconditioner_is_noticed(self):
        A = jump_operator((16, 16), (DD, DD))
        negative = LinearOperator(A.shape, matvec=lambda r: -r, dtype=float)
        assert linear_solve(A, np.ones((16, 16)), "cg", M=negative).status is Status.INDEFINITE

    def test_zero_right_hand_side(self):
        solution = linear_solve(jump_operator((8, 8), (DD, DD)), np.zeros((8, 8)))
        assert solution.status is Status.SUCCESS
        assert not solution.x.any()
        assert solution.relative_residual == 0

    def test_status_is_right_for_random_systems(self):
        """Definite, indefinite, singular, badly scaled, non-symmetric: the reported status equals an independent judgement."""
        rng = np.random.default_rng(3)
        successes = 0
        for trial in range(1500):
            n = int(rng.integers(1, 12))
            A = rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-8, 8, (n, 1) if trial % 2 else (1, 1))
            if trial % 3 == 0:
                A = A @ A.T
            if trial % 5 == 0 and n > 1:
                A[-1] = A[0]
            b = rng.standard_normal(n) * 10.0 ** rng.uniform(-8, 8)
            method = ("auto", "cg", "lu", "amg")[trial % 4]
            solution = linear_solve(A, b, method, rtol=1e-8)
            residual, bound = np.linalg.norm(b - A @ solution.x), 1e-8 * np.linalg.norm(b)
            rounding = 2 * n * np.finfo(float).eps * np.linalg.norm(abs(A) @ abs(solution.x))  # of forming A x in either order
            succeeded = solution.status is Status.SUCCESS
            assert residual <= bound + rounding if succeeded else not residual < bound - rounding, (trial, method, solution)
            successes += succeeded
        assert 400 < successes < 1500  # the sample holds both outcomes


class TestBadArguments:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda A, b: linear_solve(A, b[:3]), "matching size"),
            (lambda A, b: linear_solve(A, b, "gmers"), "not known; take one of: auto, amg"),
            (lambda A, b: linear_solve(A, b, rtol=-1), "rtol=-1"),
            (lambda A, b: linear_solve(A, b, rtol=0), "both zero"),
            (lambda A, b: linear_solve(A, b, x0=[1.0]), "x0 has 1 entries"),
            (lambda A, b: AMG(kind="rs"), "must be 'ruge_stuben'"),
            (lambda A, b: diffusion_operator(-1.0, shape=(4, 4), spacing=(1, 1), sides=(DD, DD)), "reaches -1; it must be positive"),
            (lambda A, b: diffusion_operator(1.0, shape=(4, 4), spacing=(1, 1), sides=(("periodic", "neumann"), DD)), "come in pairs"),
            (lambda A, b: diffusion_operator(1.0, shape=(4, 4), spacing=(1, 1), sides=(("wall", "neumann"), DD)), "names 'wall'"),
            (lambda A, b: linear_solve(A, b * np.nan, "magic"), "not known"),
            (lambda A, b: linear_solve(A, b, maxiter=-1), "maxiter=-1"),
            (lambda A, b: linear_solve(A, b * 1j), "real and the imaginary part"),
        ],
    )
    def test_value_errors_name_the_value(self, call, message):
        A = jump_operator((4, 4), (DD, DD))
        with pytest.raises(ValueError, match=message):
            call(A, np.ones(16))

    def test_methods_that_need_more_of_the_operator(self):
        A = jump_operator((4, 4), (DD, DD))
        action = LinearOperator(A.shape, matvec=A.matvec, dtype=float)
        for method in ("lu", "amg", "multigrid_cg", "fast_poisson"):
            with pytest.raises(TypeError, match="needs"):
                linear_solve(action, np.ones(16), method)
        assert linear_solve(action, np.ones(16)).status is Status.SUCCESS


def test_auto_falls_back_until_a_method_succeeds():
    """A checkerboard of contrast 10^6 in 3-D defeats the geometric hierarchy; the answer comes all the same, and says from where."""
    cells = np.indices((20, 20, 20)).sum(axis=0) % 2
    A = diffusion_operator(np.where(cells, 1e6, 1.0) * np.exp(RNG.standard_normal((20, 20, 20))), spacing=(1, 1, 1), sides=(DD, NN, NN))
    b = RNG.standard_normal((20, 20, 20))
    alone = linear_solve(A, b, "multigrid_cg", maxiter=5)
    assert alone.status is Status.MAX_ITERATIONS
    solution = linear_solve(A, b, maxiter=5)
    assert solution.status is Status.SUCCESS
    assert solution.method == "lu"
    assert solution.info["failed_before"][0] == "multigrid_cg: MAX_ITERATIONS"
    assert np.linalg.norm(b.ravel() - A.to_csr() @ solution.x.ravel()) <= 1.001e-8 * np.linalg.norm(b)
