"""GCRO-DR: its invariants after every cycle, what deflation must do, and what it must survive."""

from dataclasses import replace

import numpy as np
import pyamg
import pytest
import scipy.linalg as sla
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import Status, linear_solve
from solvers.linear import diffusion_operator, make_preconditioner
from solvers.linear.gcrodr import GCRODR, RecycledGMRES
from solvers.linear.gmres import GMRES
from solvers.linear.recycle import RecycleSpace, harmonic_basis, orthonormalize

DD = ("dirichlet", "dirichlet")


def random_matrix(n, dtype=float, seed=0):
    """Nonsymmetric, its smallest eigenvalues in conjugate pairs near zero on both sides."""
    rng = np.random.default_rng(seed)
    blocks = [np.array([[re, im], [-im, re]]) for re, im in [(0.02, 0.05), (-0.04, 0.03), (0.06, 0.1)]]
    rest = np.diag(np.linspace(0.5, 6, n - 6))
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = Q @ sla.block_diag(*blocks, rest + 0.05 * np.triu(rng.standard_normal((n - 6, n - 6)), 1)) @ Q.T
    return A * np.exp(0.3j) if dtype is complex else A


def vector(n, dtype=float, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n) + (1j * rng.standard_normal(n) if dtype is complex else 0)


def helmholtz(seed, n=30, wavenumber=10.0, spread=0.2):
    """``-Laplacian - k(x)^2`` on the unit square, k a smooth random field."""
    rng = np.random.default_rng(seed)
    x = np.pi * (np.arange(n) + 0.5) / n
    waves = sum(rng.standard_normal() * np.outer(np.cos(i * x), np.cos(j * x)) / (1 + i + j) ** 2 for i in range(5) for j in range(5))
    k = wavenumber * (1 + spread * waves / abs(waves).max())
    return diffusion_operator(1.0, shape=(n, n), spacing=(1 / n, 1 / n), sides=(DD, DD), reaction=-(k**2))


def ilu(A, drop=0.1):
    return spla.LinearOperator(A.shape, spla.spilu(sp.csc_matrix(A), drop_tol=drop, fill_factor=2).solve, dtype=A.dtype)


def recycled(systems, settings, rtol=1e-9, M=None, **options):
    """Solutions of ``[(A, b), ...]`` one after another, the space handed on."""
    solutions = []
    for A, b in systems:
        solution = linear_solve(A, b, settings, rtol=rtol, M=None if M is None else M(A), **options)
        settings = replace(settings, space=solution.info["recycle_space"])
        solutions.append(solution)
    return solutions


@pytest.fixture
def invariants(monkeypatch):
    """Figures collected at every cycle: (AU - C, C^H C - I, [C V]^H [C V] - I before the renewal, ``MT - U``, k)."""
    found = []
    renew = RecycledGMRES.renew

    def watched(self, cycle):
        W = self.panel[: len(self.U) + cycle.steps + 1]
        before = np.linalg.norm(W.conj() @ W.T - np.eye(len(W)))
        renew(self, cycle)
        C = self.panel[: len(self.U)]
        relation = np.linalg.norm([self.system.A @ u for u in self.U] - C) / np.linalg.norm(C)
        preimages = [t if self.system.M is None else self.system.M.matvec(t) for t in self.T]
        found.append(
            (
                relation,
                np.linalg.norm(C.conj() @ C.T - np.eye(len(C))),
                before,
                np.linalg.norm(np.array(preimages) - self.U) / np.linalg.norm(self.U),
                len(C),
                np.linalg.norm((C @ self.T.T.conj()).conj() - self.CT) / np.linalg.norm(self.CT),
            )
        )

    monkeypatch.setattr(RecycledGMRES, "renew", watched)
    return found


@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("dtype", [float, complex])
def test_invariants_hold_after_every_cycle(dtype, preconditioned, invariants):
    A, b = random_matrix(200, dtype), vector(200, dtype)
    M = spla.aslinearoperator(np.diag(1 / np.diag(A))) if preconditioned else None
    solution = linear_solve(A, b, GCRODR(restart=16, recycle_dim=6), M=M, rtol=1e-10)
    assert solution.status is Status.SUCCESS
    np.testing.assert_allclose(solution.x, np.linalg.solve(A, b), rtol=1e-6, atol=1e-6)
    relation, orthonormal, panel, preimage, dims, gram = np.array(invariants).T
    assert len(relation) == solution.info["cycles"] > 4
    assert relation.max() <= 1e-10
    assert orthonormal.max() <= 1e-12
    assert panel.max() <= 1e-12
    assert preimage.max() <= 1e-10
    assert gram.max() <= 1e-10
    assert set(dims) <= {5.0, 6.0}


def test_invariants_hold_across_changes_of_the_matrix(invariants):
    recycled([(helmholtz(seed), np.ones((30, 30))) for seed in range(4)], GCRODR(restart=24, recycle_dim=10))
    relation, orthonormal, panel = np.array(invariants).T[:3]
    assert len(relation) > 20
    assert relation.max() <= 1e-10
    assert orthonormal.max() <= 1e-12
    assert panel.max() <= 1e-12


@pytest.mark.parametrize("dtype", [float, complex])
def test_the_first_cycle_is_gmres(dtype):
    A, b = random_matrix(60, dtype), vector(60, dtype)
    ours = linear_solve(A, b, GCRODR(restart=12, recycle_dim=4), rtol=1e-14, maxiter=12)
    theirs, _ = spla.gmres(A, b, restart=12, maxiter=1, rtol=1e-14)
    assert np.linalg.norm(ours.x - theirs) <= 1e-9 * np.linalg.norm(theirs)


@pytest.mark.parametrize("dtype", [float, complex])
def test_an_exact_invariant_space_leaves_gmres_on_the_deflated_matrix(dtype):
    """With ``A U = C`` exact and U invariant, residuals equal those of GMRES for ``(I - C C^H) A`` from ``(I - C C^H) b``."""
    A, b = random_matrix(60, dtype), vector(60, dtype)
    _, Z, found = sla.schur(A, output="complex", sort=lambda value: abs(value) < 0.2)
    assert found == 6
    basis = Z[:, :6] if dtype is complex else sla.svd(np.hstack([Z[:, :6].real, Z[:, :6].imag]))[0][:, :6]
    Q, R = np.linalg.qr(A @ basis)
    U = np.ascontiguousarray(sla.solve_triangular(R.T, basis.T, lower=True))
    space = RecycleSpace(U, np.ascontiguousarray(Q.T), U)
    ours = linear_solve(A, b, GCRODR(restart=30, recycle_dim=6, space=space), rtol=1e-13, maxiter=20)
    P = np.eye(60) - Q @ Q.conj().T
    theirs = linear_solve(P @ A, P @ b, GMRES(restart=24), rtol=1e-13, maxiter=20)
    np.testing.assert_allclose(ours.residual_norms[1:20], theirs.residual_norms[1:20], rtol=1e-7)
    plain = linear_solve(A, b, GMRES(restart=24), rtol=1e-13, maxiter=20)
    assert ours.residual_norms[-2] < 1e-3 * plain.residual_norms[-2]


@pytest.mark.parametrize("dtype", [float, complex])
def test_the_harmonic_basis_solves_its_eigenproblem(dtype):
    """U spans eigenvectors of the smallest harmonic Ritz values, from the defining pencil by another route: QZ on explicit matrices."""
    n, p, count = 40, 12, 5
    A = random_matrix(n, dtype)
    V = np.array([vector(n, dtype, 50 + i) for i in range(p)]).T
    W, G = np.linalg.qr(A @ V)
    extra = vector(n, dtype, 90)
    extra -= W @ (W.conj().T @ extra)
    turn = np.linalg.qr(np.array([vector(p + 1, dtype, 70 + i) for i in range(p + 1)]))[0]  # so that G is not triangular
    W, G = np.column_stack([W, extra / np.linalg.norm(extra)]) @ turn, turn.conj().T @ np.vstack([G, np.zeros(p)])
    P, Q = harmonic_basis(G, W.conj().T @ V, count)
    AV = A @ V
    values, vectors = sla.eig(AV.conj().T @ AV, AV.conj().T @ V)
    order = np.argsort(abs(values))
    split = dtype is float and values[order[count - 1]].imag != 0 and np.isclose(abs(values[order[count]]), abs(values[order[count - 1]]))
    kept = count - split
    assert P.shape == (p, kept)
    angles = sla.subspace_angles(P, vectors[:, order[:kept]])
    assert angles.max() <= 1e-7
    np.testing.assert_allclose(Q.conj().T @ Q, np.eye(kept), atol=1e-13)
    np.testing.assert_allclose(A @ (V @ P), W @ Q, atol=1e-10)


@pytest.mark.parametrize("count", range(1, 7))
def test_conjugate_pairs_are_kept_whole(count):
    """Six eigenvalues in three pairs, then real ones: the space is invariant under the matrix for every count."""
    A = random_matrix(20)
    P, Q = harmonic_basis(np.vstack([A, np.zeros(20)]), np.eye(21, 20), count)
    assert P.shape[1] == {1: 2, 2: 2, 3: 2, 4: 4, 5: 4, 6: 6}[count]
    basis = np.linalg.qr(P)[0]
    assert np.linalg.norm(A @ basis - basis @ (basis.T @ A @ basis)) <= 1e-10
    np.testing.assert_allclose(A @ P, Q[:20], atol=1e-12)


def test_repeated_and_null_vectors_are_dropped():
    W = np.array([vector(50), 2 * vector(50), vector(50, seed=2), np.zeros(50), vector(50) + 1e-13 * vector(50, seed=3)])
    C, U = orthonormalize(W, W)
    assert C.shape == (2, 50)
    np.testing.assert_allclose(C @ C.T, np.eye(2), atol=1e-14)
    np.testing.assert_allclose(C, U, atol=1e-14)
    graded = np.array([vector(50) * 10.0 ** (-40 * i) + 1e-3 * 10.0 ** (-40 * i) * vector(50, seed=i) for i in range(5)])
    (C,) = orthonormalize(graded)
    np.testing.assert_allclose(C @ C.T, np.eye(5), atol=1e-14)
    A, b = random_matrix(80), vector(80)
    u = vector(80, seed=5)
    U = np.array([u, u, -3 * u, np.zeros(80)])
    solution = linear_solve(A, b, GCRODR(restart=20, recycle_dim=8, space=RecycleSpace(U, U, U)), rtol=1e-9)
    assert solution.status is Status.SUCCESS
    for U in (np.zeros((3, 80)), np.ones((2, 80)) @ np.diag(b)):  # of the latter C = A U where A is the identity, but not orthonormal
        settings = GCRODR(restart=20, recycle_dim=8, space=RecycleSpace(U, U, U))
        assert linear_solve(A, b, settings).status is Status.SUCCESS
        identity = linear_solve(np.eye(80), U[0] + 1e-12 * b, settings)  # the space alone solves it
        C = identity.info["recycle_space"].C
        assert identity.status is Status.SUCCESS
        np.testing.assert_allclose(C @ C.T, np.eye(len(C)), atol=1e-12)


def test_the_same_matrix_is_recognised_and_a_changed_one_never_mistaken():
    A = helmholtz(1).to_csr()
    b = np.ones(900)
    first = linear_solve(A, b, GCRODR(restart=30, recycle_dim=12), rtol=1e-9)
    settings = GCRODR(restart=30, recycle_dim=12, space=first.info["recycle_space"])
    inside = first.info["recycle_space"].C[:5].sum(axis=0)
    again = linear_solve(A.copy(), inside, settings, rtol=1e-9)  # another object with the same entries
    assert (again.status, again.iterations, again.info["matvecs"]) == (Status.SUCCESS, 0, 3)  # two probes, one residual
    A.data[: len(A.data) // 2] *= 1.01  # the same object with other entries
    changed = linear_solve(A, inside, settings, rtol=1e-9)
    assert (changed.status, changed.iterations > 0) == (Status.SUCCESS, True)
    assert np.linalg.norm(inside - A @ changed.x) <= 1.001e-9 * np.linalg.norm(inside)
    space = changed.info["recycle_space"]
    assert np.linalg.norm(space.U @ A.T - space.C) <= 1e-10 * np.linalg.norm(space.C)


def test_a_change_that_the_first_vector_does_not_show_is_seen():
    """The first probe alone would take the old C for A U: the change is orthogonal to the first recycled vector."""
    A, b = random_matrix(60), vector(60)
    space = linear_solve(A, b, GCRODR(restart=16, recycle_dim=6), rtol=1e-10).info["recycle_space"]
    direction = np.linalg.svd(space.U[:1])[2][1:].T @ vector(59)
    changed = A + 0.01 * np.outer(vector(60, seed=7), direction / np.linalg.norm(direction))
    np.testing.assert_allclose(changed @ space.U[0], space.C[0], atol=1e-10 * np.linalg.norm(space.U[0]))
    solution = linear_solve(changed, b, GCRODR(restart=16, recycle_dim=6, space=space), rtol=1e-10)
    new = solution.info["recycle_space"]
    assert solution.status is Status.SUCCESS
    assert np.linalg.norm(new.U @ changed.T - new.C) <= 1e-10 * np.linalg.norm(new.C)


def test_recycling_solves_in_a_few_cycles_what_gmres_does_not_in_fifty():
    """Indefinite Helmholtz, ten negative eigenvalues: the shape of the published results, on a matrix that deserves the name."""
    systems = [(helmholtz(seed, n=62), np.ones((62, 62))) for seed in range(8)]
    matvecs = [solution.info["matvecs"] for solution in recycled(systems, GCRODR(), rtol=1e-5)]
    cold = [linear_solve(A, b, GCRODR(), rtol=1e-5).info["matvecs"] for A, b in systems[:3]]
    plain = linear_solve(*systems[1], GMRES(40), rtol=1e-5, maxiter=2000)
    assert max(matvecs[1:]) <= 170
    assert np.mean(matvecs[1:]) <= 0.6 * np.mean(cold)
    assert plain.status is Status.MAX_ITERATIONS


def test_fewer_products_than_scipys_gcrotmk_that_carries_its_space():
    systems = [(helmholtz(seed, n=40), np.ones((40, 40))) for seed in range(4)]
    ours = sum(solution.info["matvecs"] for solution in recycled(systems, GCRODR(50, 20), rtol=1e-5)[1:])
    calls, CU = [], []
    for A, b in systems:
        if len(CU) == 0 or A is systems[1][0]:
            calls.clear()  # the first system is left out
        operator = spla.LinearOperator(A.shape, lambda x, A=A: calls.append(1) or A @ x, dtype=float)
        _, failed = spla.gcrotmk(operator, b.ravel(), rtol=1e-5, m=30, k=20, CU=CU, discard_C=True, maxiter=300)
        assert failed == 0
    assert ours < len(calls)


def test_convergence_in_the_first_short_cycle_leaves_a_space():
    A, b = random_matrix(60) + 2 * np.eye(60), vector(60)
    few = linear_solve(A, b, GCRODR(restart=40, recycle_dim=10), rtol=0.1)
    assert (few.info["cycles"], few.iterations < 10) == (1, True)
    space = few.info["recycle_space"]
    assert space.dim >= few.iterations - 1 > 0
    np.testing.assert_allclose(space.U @ A.T, space.C, atol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_small_and_full_spaces(k):
    A, b = random_matrix(12), vector(12)
    solutions = recycled([(A, b), (A, b), (2 * A, b)], GCRODR(restart=40, recycle_dim=k), rtol=1e-11)
    assert [solution.status for solution in solutions] == [Status.SUCCESS] * 3
    np.testing.assert_allclose(solutions[2].x, np.linalg.solve(A, b) / 2, rtol=1e-8)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_a_system_that_comes_again_needs_no_inner_step(dtype, preconditioned):
    A, b = random_matrix(200, dtype), vector(200, dtype)
    M = (lambda A: np.diag(1 / np.diag(A))) if preconditioned else None
    first, second, third = recycled([(A, b), (A, b), (A, -2 * b)], GCRODR(16, 6), M=M, rtol=1e-8)
    assert [first.status, second.status, third.status] == [Status.SUCCESS] * 3
    assert first.info["cycles"] > 3
    assert (second.iterations, second.info["matvecs"]) == (0, 3)  # two probes, one residual
    assert (third.iterations, third.info["matvecs"]) == (0, 3)
    space = second.info["recycle_space"]
    assert space.dim >= 5
    np.testing.assert_allclose(space.U @ A.T, space.C, atol=1e-10)
    if preconditioned:
        np.testing.assert_allclose(space.T @ M(A).T, space.U, atol=1e-10)


def test_the_correction_of_a_guess_is_recycled_with_its_own_image():
    A, x0 = random_matrix(100), 10 * vector(100, seed=3)
    space = linear_solve(A, vector(100), GCRODR(16, 6), x0=x0, rtol=1e-8).info["recycle_space"]
    np.testing.assert_allclose(space.U @ A.T, space.C, atol=1e-8)
    one = linear_solve(np.array([[2.0]]), np.ones(1), GCRODR())
    again = linear_solve(np.array([[2.0]]), np.ones(1), GCRODR(space=one.info["recycle_space"]))
    assert (one.status, again.status) == (Status.SUCCESS, Status.SUCCESS)


def test_a_space_that_holds_the_solution_needs_no_inner_step():
    A, b = np.diag(np.repeat([1.0, -2.0, 5.0], 20)), vector(60)
    first, second = recycled([(A, b), (A, b)], GCRODR(restart=40, recycle_dim=30), rtol=1e-10)
    assert (first.iterations, second.iterations, second.info["matvecs"]) == (3, 0, 3)  # two probes, one residual
    assert second.status is Status.SUCCESS


@pytest.mark.parametrize("name", ["recirc_flow", "helmholtz_2D", "airfoil", "bar", "unit_square"])
def test_sequences_of_foreign_matrices(name):
    A = sp.csr_matrix(pyamg.gallery.load_example(name)["A"])
    A = (A / abs(A).max()).tocsr()
    n = A.shape[0]
    shifts = [sp.diags(0.01 * t * abs(A.diagonal())) for t in range(1, 5)]
    systems = [(sp.csr_matrix(A + shift), vector(n, A.dtype.type)) for shift in shifts]
    solutions = recycled(systems, GCRODR(restart=30, recycle_dim=10), M=lambda A: ilu(A, 0.01), rtol=1e-8)
    for (A, b), solution in zip(systems, solutions, strict=True):
        assert solution.status is Status.SUCCESS
        assert np.linalg.norm(b - A @ solution.x) <= 1.001e-8 * np.linalg.norm(b)


def test_a_preconditioner_that_changes_from_step_to_step():
    A, b = random_matrix(80), vector(80)
    turn = iter(range(10**6))
    inverses = [np.linalg.inv(A + c * np.diag(1 + np.arange(80.0) % 7)) for c in (0.5, 0.2, 1.0)]

    def changing(_):
        return spla.LinearOperator(A.shape, lambda r: inverses[next(turn) % 3] @ r.ravel(), dtype=float)

    solutions = recycled([(A, b), (A + 0.01 * np.eye(80), b)], GCRODR(restart=14, recycle_dim=5), M=changing, rtol=1e-10)
    assert [solution.status for solution in solutions] == [Status.SUCCESS] * 2


def test_every_product_is_counted():
    calls = {"A": 0, "M": 0}

    def counted(name, matrix):
        def matvec(x):
            calls[name] += 1
            return matrix @ x.ravel()

        return spla.LinearOperator(matrix.shape, matvec, dtype=matrix.dtype)

    A, b = random_matrix(80), vector(80)
    M = counted("M", np.diag(1 / np.diag(A)))
    first, second = recycled(
        [(counted("A", A), b), (counted("A", A + 0.01 * np.eye(80)), b)], GCRODR(restart=16, recycle_dim=6), M=lambda _: M
    )
    assert first.info["matvecs"] + second.info["matvecs"] + 2 == calls["A"]  # the judge's own
    assert first.info["preconditioner_applications"] + second.info["preconditioner_applications"] == calls["M"]
    assert second.info["matvecs"] > second.iterations + first.info["recycle_space"].dim


def test_a_real_space_serves_complex_systems_and_not_the_other_way_round():
    A, b = random_matrix(60), vector(60)
    space = linear_solve(A, b, GCRODR(restart=16, recycle_dim=6)).info["recycle_space"]
    rotated = linear_solve(A * (1 + 0.1j), b, GCRODR(restart=16, recycle_dim=6, space=space))
    assert rotated.status is Status.SUCCESS
    with pytest.raises(ValueError, match="space is complex, but the system is real"):
        linear_solve(A, b, GCRODR(restart=16, recycle_dim=6, space=rotated.info["recycle_space"]))


def test_failures_say_what_they_are():
    singular = np.diag([0.0, 1.0, 2.0, 3.0])
    assert linear_solve(singular, np.ones(4), GCRODR()).status in (Status.STAGNATION, Status.BREAKDOWN)
    assert linear_solve(np.roll(np.eye(60), 1, axis=0), np.eye(60)[0], GCRODR(8, 3)).status is Status.STAGNATION
    assert linear_solve(random_matrix(80), vector(80), GCRODR(8, 3), maxiter=12).status is Status.MAX_ITERATIONS
    broken = spla.LinearOperator((9, 9), lambda x: np.full(9, np.nan), dtype=float)
    assert linear_solve(broken, np.ones(9), GCRODR()).status is Status.BREAKDOWN
    refused = {"restart is 2": (2, 1), "recycle_dim is 9": (10, 9), "recycle_dim is 0": (10, 0), "space is a int": (10, 2, 3)}
    for message, settings in refused.items():
        with pytest.raises(ValueError, match=message):
            GCRODR(*settings)


def test_a_space_that_is_saved_comes_back(tmp_path):
    A, b, path = random_matrix(60), vector(60), tmp_path / "space.npz"
    for M in (None, np.diag(1 / np.diag(A))):
        space = linear_solve(A, b, GCRODR(16, 6), M=M).info["recycle_space"]
        space.save(path)
        loaded = RecycleSpace.load(path)
        for name in "UCT":
            np.testing.assert_array_equal(getattr(loaded, name), getattr(space, name))
        assert (loaded.T is loaded.U) == (M is None)
    with pytest.raises(ValueError, match="60 unknowns, but the system has 50"):
        linear_solve(random_matrix(50), vector(50), GCRODR(16, 6, loaded))


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "space.npz"
    U = np.random.default_rng(0).standard_normal((3, 40))
    RecycleSpace(U, U, U).save(path)
    whole = path.read_bytes()
    for content in (b"", b"not a zip", whole[: len(whole) // 2], whole[:200] + b"\x00" * 50 + whole[250:]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is damaged, or not a recycle space"):
            RecycleSpace.load(path)
    for arrays in ({"U": U}, {"U": U, "C": U[:, :20]}, {"U": U.astype(int), "C": U}, {"U": np.array([{}], dtype=object), "C": U}):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match="is damaged, or not a recycle space"):
            RecycleSpace.load(path)
    np.savez(path, U=U * np.nan, C=U)
    with pytest.raises(ValueError, match="NaN"):
        RecycleSpace.load(path)
    with pytest.raises(FileNotFoundError):
        RecycleSpace.load(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("kind", ["random", "rough", "of a much rougher problem"])
def test_a_space_that_would_cost_more_than_it_saves_is_dropped(kind):
    A, other = helmholtz(1), helmholtz(2)
    b = vector(900)
    if kind == "random":
        U = np.array([vector(900, seed=seed) for seed in range(2, 22)])
    elif kind == "rough":
        U = np.linalg.eigh(other.to_csr().toarray())[1][:, -20:].T.copy()
    else:
        x = np.pi * np.arange(1, 31) / 31
        U = np.array([np.outer(np.sin(i * x), np.sin(j * x)).ravel() for i in range(15, 20) for j in range(20, 24)])
    C, U = orthonormalize(np.array([other @ u for u in U]), U)
    alone = linear_solve(A, b, GCRODR(), rtol=1e-8)
    given = linear_solve(A, b, GCRODR(space=RecycleSpace(U, C, U)), rtol=1e-8)
    assert "would cost what it saves" in given.info["space_dropped"]
    assert given.info["matvecs"] <= alone.info["matvecs"] + 5
    np.testing.assert_allclose(given.residual_norms[:-1], alone.residual_norms[:-1], rtol=1e-6)
    found = given.info["recycle_space"]
    assert np.linalg.norm(np.array([A @ u for u in found.U]) - found.C) < 1e-9 * np.sqrt(found.dim)


@pytest.mark.parametrize("kind", ["of a similar matrix", "exact", "exact, before a preconditioner"])
def test_a_space_that_serves_is_not_dropped(kind):
    A, b = helmholtz(1), vector(900)
    alone = linear_solve(A, b, GCRODR(), rtol=1e-8)
    M = None
    if kind == "of a similar matrix":
        space = linear_solve(helmholtz(2), b, GCRODR(), rtol=1e-8).info["recycle_space"]
    else:
        values, vectors = np.linalg.eigh(A.to_csr().toarray())
        U = vectors[:, np.argsort(abs(values))[:20]].T.copy()
        space = RecycleSpace(U, U, U)  # whose C belongs to no matrix
        if "preconditioner" in kind:
            M = make_preconditioner(A, "jacobi")
    given = linear_solve(A, b, GCRODR(space=space), M=M, rtol=1e-8)
    assert "space_dropped" not in given.info
    assert given.info["matvecs"] < 0.7 * alone.info["matvecs"]
