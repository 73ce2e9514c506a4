"""Preconditioners: each equals its dense formula, keeps the properties that theory gives it, and pays off as theory says."""

import doctest

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import Status, linear_solve
from solvers.linear import diffusion_operator, preconditioners
from solvers.linear.preconditioners import (
    ILU0,
    ILUT,
    PRECONDITIONERS,
    SSOR,
    AlgebraicMultigrid,
    IncompleteCholesky,
    Jacobi,
    make_preconditioner,
)

DD, NN, PP, DN = ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann")
RNG = np.random.default_rng(41)
SYMMETRIC = ["jacobi", "ssor", SSOR(1.6), "ic0", "mic0", IncompleteCholesky(0.9), "ilu0", "amg", "multigrid"]
SYMMETRIC.append(AlgebraicMultigrid("smoothed_aggregation"))


def jump_operator(shape, sides):
    a = np.where(RNG.random(shape) > 0.5, 30.0, 1.0)
    return diffusion_operator(a, spacing=tuple(1 / n for n in shape), sides=sides)


def poisson(n):
    return diffusion_operator(1.0, shape=(n, n), spacing=(1 / n, 1 / n), sides=(DD, DD))


def dense(M):
    return M @ np.eye(M.shape[0])


def m_matrix(n, *, symmetric, dtype=float):
    """Sparse, irregular, unsorted, strictly diagonally dominant."""
    A = -sp.random(n, n, 0.15, random_state=RNG, format="csr")
    A = A + A.T if symmetric else A
    A = A - sp.diags(A.diagonal())
    A = sp.csr_matrix(A + sp.diags(-np.asarray(A.sum(axis=1)).ravel() - np.asarray(A.sum(axis=0)).ravel() + 0.1))
    if dtype is complex:
        A = sp.csr_matrix(A + 0.2j * sp.diags(A.diagonal()) + 0.3j * sp.triu(A, 1))
    shuffled = A.copy()
    for i in range(n):
        shuffled.indices[A.indptr[i] : A.indptr[i + 1]] = A.indices[A.indptr[i] : A.indptr[i + 1]][::-1]
        shuffled.data[A.indptr[i] : A.indptr[i + 1]] = A.data[A.indptr[i] : A.indptr[i + 1]][::-1]
    return sp.csr_matrix((shuffled.data, shuffled.indices, shuffled.indptr), A.shape)


MATRICES = {
    "symmetric": m_matrix(40, symmetric=True),
    "nonsymmetric": m_matrix(40, symmetric=False),
    "complex": m_matrix(40, symmetric=False, dtype=complex),
    "stencil": jump_operator((6, 7), (DN, PP)),
    "stencil in space": jump_operator((4, 5, 3), (DN, NN, DD)),
}


def as_dense(A):
    return A.toarray() if sp.issparse(A) else A.to_csr().toarray()


@pytest.mark.parametrize("name", MATRICES)
class TestFormulas:
    def test_jacobi(self, name):
        A = as_dense(MATRICES[name])
        np.testing.assert_allclose(dense(make_preconditioner(MATRICES[name], "jacobi")), np.diag(1 / np.diag(A)), rtol=1e-13)

    @pytest.mark.parametrize("omega", [1.0, 0.7, 1.8])
    def test_ssor(self, name, omega):
        A = as_dense(MATRICES[name])
        D, L, U = np.diag(np.diag(A)), np.tril(A, -1), np.triu(A, 1)
        M = (D + omega * L) @ np.linalg.inv(D) @ (D + omega * U) / (omega * (2 - omega))
        np.testing.assert_allclose(dense(make_preconditioner(MATRICES[name], SSOR(omega))), np.linalg.inv(M), rtol=1e-9, atol=1e-14)

    def test_ilu0_agrees_with_the_matrix_on_its_pattern(self, name):
        A = as_dense(MATRICES[name])
        M = np.linalg.inv(dense(make_preconditioner(MATRICES[name], "ilu0")))
        scale = abs(A).max()
        assert abs(M - A)[A != 0].max() < 1e-11 * scale
        assert abs(M - A).max() > 1e-4 * scale  # there was something to drop
        n = len(A)
        factor = np.array(A)  # Gaussian elimination that forgets what falls outside the pattern (Saad 2003, algorithm 10.3)
        for i in range(1, n):
            for k in np.flatnonzero(A[i, :i]):
                factor[i, k] /= factor[k, k]
                for j in np.flatnonzero(A[i, k + 1 :]) + k + 1:
                    factor[i, j] -= factor[i, k] * factor[k, j]
        np.testing.assert_allclose(M, (np.tril(factor, -1) + np.eye(n)) @ np.triu(factor), atol=1e-11 * scale)

    def test_ilut_that_drops_nothing_is_the_inverse(self, name):
        A = as_dense(MATRICES[name])
        M = make_preconditioner(MATRICES[name], ILUT(drop_tol=0.0, fill_factor=50.0))
        np.testing.assert_allclose(dense(M), np.linalg.inv(A), rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("name", ["symmetric", "stencil", "stencil in space"])
class TestIncompleteCholesky:
    def factored(self, name, **settings):
        A = as_dense(MATRICES[name])
        return A, np.linalg.inv(dense(make_preconditioner(MATRICES[name], IncompleteCholesky(**settings)))), abs(A).max()

    def test_agrees_with_the_matrix_on_its_pattern(self, name):
        A, M, scale = self.factored(name)
        assert abs(M - A)[A != 0].max() < 1e-11 * scale
        assert abs(M - A).max() > 1e-4 * scale
        lower = np.zeros_like(A)  # Cholesky's formulae row by row, at places of the pattern only
        for i in range(len(A)):
            for j in np.flatnonzero(A[i, : i + 1]):
                rest = A[i, j] - lower[i, :j] @ lower[j, :j]
                lower[i, j] = np.sqrt(rest) if i == j else rest / lower[j, j]
        np.testing.assert_allclose(M, lower @ lower.T, atol=1e-11 * scale)

    def test_modified_keeps_row_sums_and_the_couplings(self, name):
        A, M, scale = self.factored(name, modification=1.0)
        np.testing.assert_allclose(M.sum(axis=1), A.sum(axis=1), atol=1e-10 * scale)
        couplings = (A != 0) & ~np.eye(len(A), dtype=bool)
        assert abs(M - A)[couplings].max() < 1e-11 * scale
        assert abs(M - A).max() > 1e-4 * scale

    def test_a_part_of_the_modification_is_a_part_of_the_row_sums(self, name):
        """Off the pattern M holds what IC with these pivots drops; the diagonal gives back that part of it."""
        A, M, scale = self.factored(name, modification=0.6)
        dropped = np.where(A == 0, M, 0)
        np.testing.assert_allclose(np.diag(M - A), -0.6 * dropped.sum(axis=1), atol=1e-11 * scale)

    def test_shift_enlarges_the_diagonal(self, name):
        A, M, scale = self.factored(name, shift=0.25)
        assert abs(M - A - 0.25 * np.diag(np.diag(A)))[A != 0].max() < 1e-11 * scale


@pytest.mark.parametrize("kind", ["ic0", "mic0", "ilu0", ILUT(0.0)], ids=str)
def test_factors_of_a_tridiagonal_matrix_are_complete(kind):
    A = diffusion_operator(np.exp(RNG.standard_normal(30)), spacing=(0.1,), sides=(DN,))
    np.testing.assert_allclose(dense(make_preconditioner(A, kind)) @ A.to_csr().toarray(), np.eye(30), atol=1e-9)


@pytest.mark.parametrize("kind", SYMMETRIC, ids=str)
@pytest.mark.parametrize("sides", [(DD, DN), (PP, DN)], ids=str)
def test_symmetric_preconditioners_are_symmetric_and_definite(kind, sides):
    M = dense(make_preconditioner(jump_operator((9, 8), sides), kind))
    single = 1e-6 if kind == "multigrid" else 1e-11  # its cycle runs in single precision
    np.testing.assert_allclose(M, M.T, atol=single * abs(M).max())
    assert np.linalg.eigvalsh((M + M.T) / 2).min() > 0


@pytest.mark.parametrize("kind", SYMMETRIC, ids=str)
@pytest.mark.parametrize("sides", [(DD, DN), (PP, NN, DN)], ids=str)
def test_conjugate_gradients_reach_the_solution_in_fewer_iterations(kind, sides):
    shape = (30, 26) if len(sides) == 2 else (9, 10, 11)
    A, b = jump_operator(shape, sides), RNG.standard_normal(shape)
    plain = linear_solve(A, b, "cg", rtol=1e-10)
    solution = linear_solve(A, b, "cg", M=make_preconditioner(A, kind), rtol=1e-10).raise_for_status()
    expected = spla.spsolve(A.to_csr().tocsc(), b.ravel()).reshape(shape)
    np.testing.assert_allclose(solution.x, expected, atol=1e-7 * abs(expected).max())
    assert solution.iterations < plain.iterations * (0.8 if kind == "jacobi" else 0.55)


@pytest.mark.parametrize("kind", ["jacobi", "ssor", "ic0", IncompleteCholesky(0.97), "amg", "multigrid"], ids=str)
@pytest.mark.parametrize("sides", [(NN, NN), (PP, PP)], ids=str)
def test_singular_operators(kind, sides):
    A, b = jump_operator((20, 18), sides), RNG.standard_normal((20, 18))
    solution = linear_solve(A, b - b.mean(), "cg", M=make_preconditioner(A, kind), rtol=1e-9)
    assert solution.status is Status.SUCCESS


@pytest.mark.parametrize("kind", ["amg", "multigrid"])
def test_multigrid_of_a_singular_operator_stays_orthogonal_to_the_constants(kind):
    M = make_preconditioner(jump_operator((20, 18), (NN, PP)), kind)
    z = M @ RNG.standard_normal(360)
    assert abs(z.mean()) < 1e-12 * abs(z).max()


@pytest.mark.parametrize("kind", ["jacobi", "ssor", "ic0", "mic0", "ilu0", "ilut", "amg"])
def test_matrices_with_duplicates_and_without_order(kind):
    A = MATRICES["symmetric"].tocoo()
    row, column, value = np.tile(A.row, 2), np.tile(A.col, 2), np.concatenate([0.25 * A.data, 0.75 * A.data])
    order = np.lexsort((RNG.random(row.size), row))
    untidy = sp.csr_matrix((value[order], column[order], np.append(0, np.cumsum(np.bincount(row)))), A.shape)
    before = untidy.indices.copy(), untidy.data.copy()
    np.testing.assert_allclose(
        dense(make_preconditioner(untidy, kind)), dense(make_preconditioner(A.tocsr(), kind)), rtol=1e-11, atol=1e-15
    )
    np.testing.assert_array_equal(untidy.indices, before[0])
    np.testing.assert_array_equal(untidy.data, before[1])


def test_iterations_grow_as_they_must():
    """Condition numbers: O(h^-2) without and with IC(0), O(h^-1) with MIC(0) and optimal SSOR, O(1) with multigrid."""
    sizes = (64, 128, 256)
    counts = {}
    for kind in (None, "ic0", "mic0", "multigrid"):
        counts[kind] = np.array([_iterations(n, kind) for n in sizes])
    counts["ssor"] = np.array([_iterations(n, SSOR(2 / (1 + np.sin(np.pi / n)))) for n in sizes])
    growth = {kind: found[1:] / found[:-1] for kind, found in counts.items()}
    assert growth[None].min() > 1.9
    assert growth["ic0"].min() > 1.7
    assert growth["mic0"].max() < 1.6
    assert growth["ssor"].max() < 1.6
    assert np.ptp(counts["multigrid"]) <= 1
    assert (counts["ic0"] < 0.5 * counts[None]).all()
    assert counts["mic0"][-1] < 0.5 * counts["ic0"][-1]


def _iterations(n, kind):
    A = poisson(n)
    M = None if kind is None else make_preconditioner(A, kind)
    return linear_solve(A, np.ones((n, n)), "cg", M=M).raise_for_status().iterations


@pytest.mark.parametrize(("kind", "at_most"), [("ilu0", 0.4), ("ilut", 0.1), ("ssor", 0.5)])
def test_gmres_on_a_nonsymmetric_matrix(kind, at_most):
    n = 40
    upwind = sp.diags([-1.0, 1.0], [-1, 0], shape=(n, n)) * n
    A = sp.csr_matrix(poisson(n).to_csr() + 30 * sp.kron(upwind, sp.identity(n)) + 50 * sp.kron(sp.identity(n), upwind))
    b = RNG.standard_normal(n * n)

    def count(M):
        norms = []
        x, info = spla.gmres(A, b, M=M, rtol=1e-8, restart=200, callback=norms.append, callback_type="pr_norm")
        assert info == 0
        assert np.linalg.norm(b - A @ x) < 1e-6 * np.linalg.norm(b)
        return len(norms)

    assert count(make_preconditioner(A, kind)) < at_most * count(None)


def test_operators_take_columns_and_leave_them_alone():
    A, r = poisson(8), RNG.standard_normal((64, 3))
    copy = r.copy()
    for kind in PRECONDITIONERS:
        if kind != "shifted_laplacian":
            M = make_preconditioner(A, kind)
            assert M.shape == (64, 64)
            np.testing.assert_allclose((M @ r)[:, 1], M @ r[:, 1], rtol=1e-12)
            np.testing.assert_allclose((M @ r[:, :1]).ravel(), M @ r[:, 0], rtol=1e-12)
            np.testing.assert_allclose(M @ (r[:, 0] + 2j * r[:, 1]), M @ r[:, 0] + 2j * (M @ r[:, 1]), rtol=1e-12)
    np.testing.assert_array_equal(r, copy)


@pytest.mark.parametrize("kind", [kind for kind in PRECONDITIONERS if kind != "shifted_laplacian"])
@pytest.mark.parametrize("dtype", [float, complex])
def test_panels_are_vectors_side_by_side(kind, dtype):
    A = MATRICES["stencil"]
    M = make_preconditioner(A, kind)
    R = RNG.standard_normal((A.size, 5)) + (1j * RNG.standard_normal((A.size, 5)) if dtype is complex else 0)
    for panel in (R, np.asfortranarray(R)):
        before = panel.copy()
        found = M @ panel
        np.testing.assert_array_equal(panel, before)
        np.testing.assert_allclose(found, np.array([M @ r for r in R.T]).T, rtol=1e-13, atol=1e-13 * abs(found).max())


def test_dense_arrays_and_integers():
    A = np.array([[4, -1, 0], [-1, 4, -1], [0, -1, 4]])
    np.testing.assert_allclose(dense(make_preconditioner(A, "ic0")), np.linalg.inv(A), rtol=1e-12)


def test_examples_of_the_module():
    assert doctest.testmod(preconditioners).failed == 0


class TestRefusals:
    KERSHAW = np.array([[3, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3.0]])  # definite, yet IC(0) breaks down

    def test_incomplete_cholesky_breaks_down_on_a_matrix_that_is_no_m_matrix(self):
        assert np.linalg.eigvalsh(self.KERSHAW).min() > 0
        with pytest.raises(np.linalg.LinAlgError, match=r"pivot 3 .* not an M-matrix.* shift=0.01"):
            make_preconditioner(self.KERSHAW, "ic0")
        shift = 0.01
        while shift < 1:
            try:
                M = make_preconditioner(self.KERSHAW, IncompleteCholesky(shift=shift))
                break
            except np.linalg.LinAlgError as error:
                shift = float(str(error).partition("shift=")[2].partition(",")[0])
        assert np.linalg.eigvalsh(dense(M)).min() > 0

    @pytest.mark.parametrize("sides", [(NN, NN), (PP, PP)], ids=str)
    def test_modified_factor_of_a_singular_operator(self, sides):
        with pytest.raises(np.linalg.LinAlgError, match=r"is singular; take IncompleteCholesky with modification=0.97"):
            make_preconditioner(jump_operator((7, 8), sides), "mic0")

    @pytest.mark.parametrize("kind", ["jacobi", "ssor", "ic0", "ilu0"])
    @pytest.mark.parametrize("stored", [False, True])
    def test_zeros_on_the_diagonal(self, kind, stored):
        A = sp.csr_matrix(np.array([[2.0, 1, 0], [1, 7, 1], [0, 1, 2]]))
        A[1, 1] = 0
        if not stored:
            A.eliminate_zeros()
        if kind == "ilu0":  # the elimination fills the place where it is stored
            A[0, 1] = A[1, 0] = 0
            A[2, 1] = A[1, 2] = 0
        with pytest.raises(ValueError, match=r"(entry|pivot) 1 .*take"):
            make_preconditioner(A, kind)

    @pytest.mark.parametrize("A", [np.ones((4, 4)), np.diag([1.0, 0, 2]), np.array([[0, 1.0], [0, 1]])], ids=str)
    def test_ilut_of_a_singular_matrix(self, A):
        with pytest.raises(np.linalg.LinAlgError, match="are singular"):
            make_preconditioner(A, "ilut")

    def test_ilut_of_an_operator_with_constants_in_its_null_space(self):
        with pytest.raises(np.linalg.LinAlgError, match="are singular"):
            make_preconditioner(jump_operator((9, 8), (NN, NN)), ILUT(drop_tol=1e-12))

    @pytest.mark.parametrize("kind", ["ic0", "mic0", "amg"])
    def test_matrices_that_are_not_symmetric_or_complex(self, kind):
        with pytest.raises(ValueError, match=f"'{kind}' needs a symmetric matrix"):
            make_preconditioner(MATRICES["nonsymmetric"], kind)
        with pytest.raises(TypeError, match=f"'{kind}' needs a real matrix"):
            make_preconditioner(MATRICES["complex"], kind)

    @pytest.mark.parametrize("kind", ["multigrid", "amg"])
    def test_multigrid_of_an_indefinite_operator(self, kind):
        A = diffusion_operator(1.0, shape=(8, 8), spacing=(1, 1), sides=(DD, DD), reaction=-1.5)
        with pytest.raises(ValueError, match=r"reaction reaches -1.5: take 'shifted_laplacian'"):
            make_preconditioner(A, kind)

    def test_geometric_multigrid_of_a_matrix(self):
        with pytest.raises(TypeError, match="needs a StencilOperator"):
            make_preconditioner(poisson(8).to_csr(), "multigrid")

    def test_operators_known_by_their_action_only(self):
        with pytest.raises(TypeError, match=r"needs the entries of A, but A is a .*LinearOperator"):
            make_preconditioner(spla.aslinearoperator(np.eye(3)), "jacobi")

    def test_shapes_values_and_names(self):
        with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
            make_preconditioner(np.ones((2, 3)), "jacobi")
        with pytest.raises(ValueError, match="NaN"):
            make_preconditioner(np.array([[np.nan]]), "jacobi")
        with pytest.raises(ValueError, match=r"'ilu' is not known; take one of: amg, ic0"):
            make_preconditioner(np.eye(2), "ilu")

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (lambda: SSOR(2.0), "omega is 2.0"),
            (lambda: SSOR(float("nan")), "omega is nan"),
            (lambda: IncompleteCholesky(modification=1.1), "modification is 1.1"),
            (lambda: IncompleteCholesky(shift=-0.1), "shift is -0.1"),
            (lambda: ILUT(drop_tol=2), "drop_tol is 2"),
            (lambda: ILUT(fill_factor=0.5), "fill_factor is 0.5"),
            (lambda: AlgebraicMultigrid("classical"), "kind is 'classical'"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            settings()


def test_settings_are_values_named_as_in_the_table():
    assert {name: settings.name for name, settings in PRECONDITIONERS.items()} == {name: name for name in PRECONDITIONERS}
    assert (Jacobi(), ILU0(), IncompleteCholesky(1.0)) == tuple(PRECONDITIONERS[name] for name in ("jacobi", "ilu0", "mic0"))


@pytest.mark.parametrize("kind", ["jacobi", "ssor", "ic0", "ilu0", "ilut", "amg", "multigrid"])
def test_every_shape_of_an_argument_gives_the_same_product(kind):
    """Flat arrays go past SciPy's wrappers, everything else through them."""
    A = diffusion_operator(1.0, shape=(9, 8), spacing=(0.1, 0.1), sides=(("dirichlet", "dirichlet"),) * 2)
    M, r = make_preconditioner(A, kind), np.random.default_rng(0).standard_normal(72)
    before = r.copy()
    z = M.matvec(r)
    np.testing.assert_array_equal(r, before)
    assert z.shape == (72,)
    np.testing.assert_array_equal(M @ r, z)
    np.testing.assert_array_equal(M.matvec(r[:, None]), z[:, None])
    np.testing.assert_array_equal(M.matvec(r.tolist()), z)
    np.testing.assert_allclose(M @ np.stack([r, 2 * r], axis=1), np.stack([z, 2 * z], axis=1), rtol=1e-5 if kind == "multigrid" else 1e-13)
    np.testing.assert_allclose(M.matvec(r + 2j * r), z + 2j * z, rtol=1e-5 if kind == "multigrid" else 1e-13)
    with pytest.raises(ValueError, match="dimension mismatch"):
        M.matvec(r[1:])
