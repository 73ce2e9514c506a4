"""Deflated CG: equal to CG without a space, to CG on the deflated matrix with one, and honest about what is not definite."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import DeflatedCG, RecycleSpace, Status, linear_solve
from solvers.linear import deflated_cg, diffusion_operator

DD = ("dirichlet", "dirichlet")


def spd(n=120, dtype=float, seed=0):
    """Eigenvalues 1e-4 ... 1e-1 (four of them) and 1 ... 10, with their vectors."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if dtype is complex else 0)
    Q = np.linalg.qr(X)[0]
    values = np.concatenate([10.0 ** np.arange(-4, 0), np.linspace(1, 10, n - 4)])
    A = (Q * values) @ Q.conj().T
    return 0.5 * (A + A.conj().T), Q


def vector(n, dtype=float, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n) + (1j * rng.standard_normal(n) if dtype is complex else 0)


@pytest.mark.parametrize("dtype", [float, complex])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_agrees_with_a_dense_solve(dtype, preconditioned):
    A, _ = spd(dtype=dtype)
    b = vector(120, dtype)
    M = np.diag(1 / np.diag(A).real) if preconditioned else None
    settings = DeflatedCG(5)
    for turn in range(3):
        solution = linear_solve(A * (1 + turn), b, settings, M=M, rtol=1e-10)
        assert solution.status is Status.SUCCESS
        np.testing.assert_allclose(solution.x, np.linalg.solve(A, b) / (1 + turn), rtol=1e-5, atol=1e-6 * abs(solution.x).max())
        settings = settings.with_space(solution.info["recycle_space"])


def test_the_first_system_is_plain_cg():
    A, _ = spd()
    b = vector(120)
    ours, theirs = [], []
    linear_solve(A, b, DeflatedCG(5), rtol=1e-8, callback=lambda x, norm: ours.append(x.copy()), maxiter=30)
    spla.cg(A, b, rtol=1e-12, maxiter=30, callback=lambda x: theirs.append(x.copy()))
    for one, two in zip(ours, theirs, strict=True):
        assert np.linalg.norm(one - two) <= 1e-7 * np.linalg.norm(two)


@pytest.mark.parametrize("dtype", [float, complex])
def test_an_exact_invariant_space_leaves_cg_on_the_rest_of_the_spectrum(dtype):
    """Residuals equal those of CG for a right-hand side that has no part along the four vectors."""
    A, Q = spd(dtype=dtype)
    b = vector(120, dtype)
    U = np.ascontiguousarray(Q[:, :4].T)
    space = RecycleSpace(U, U, U)
    rest = b - Q[:, :4] @ (Q[:, :4].conj().T @ b)
    ours = linear_solve(A, b, DeflatedCG(4, space), rtol=1e-8)
    theirs = linear_solve(A, rest, "cg", atol=1e-8 * np.linalg.norm(b), rtol=0)
    assert ours.status is Status.SUCCESS
    assert ours.iterations == theirs.iterations
    np.testing.assert_allclose(ours.residual_norms[1:-1], theirs.residual_norms[1:-1], rtol=1e-5)
    assert ours.iterations < 0.6 * linear_solve(A, b, "cg").iterations


def test_the_residual_stays_orthogonal_to_the_space(monkeypatch):
    """In a solve long enough to need its reprojection."""
    A, _ = spd()
    b = vector(120)
    space = linear_solve(A, b, DeflatedCG(4), rtol=1e-10).info["recycle_space"]
    along = []
    renew = deflated_cg._Deflation._renew

    def watched(self, kept):
        renew(self, kept)
        units = self.U / np.linalg.norm(self.U, axis=1)[:, None]
        along.append(np.linalg.norm(units.conj() @ self.r) / np.linalg.norm(self.r))

    monkeypatch.setattr(deflated_cg._Deflation, "_renew", watched)
    assert linear_solve(A, vector(120, seed=9), DeflatedCG(4, space), rtol=1e-10).status is Status.SUCCESS
    assert len(along) > 3
    assert max(along) <= 1e-6


@pytest.mark.parametrize("preconditioned", [False, True])
def test_a_long_solve_finds_the_smallest_eigenvectors(preconditioned):
    """Of M A; the largest sine of an angle between dense eigenvectors and the space."""
    A, _ = spd()
    D = np.diag(np.linspace(0.5, 2, 120)) if preconditioned else np.eye(120)
    solution = linear_solve(A, vector(120), DeflatedCG(10), M=D if preconditioned else None, rtol=1e-11)
    U = solution.info["recycle_space"].U
    values, vectors = np.linalg.eig(D @ A)
    smallest = np.linalg.qr(vectors[:, np.argsort(values.real)[:3]].real)[0]
    outside = smallest - np.linalg.qr(U.T)[0] @ (np.linalg.qr(U.T)[0].T @ smallest)
    assert np.linalg.norm(outside, 2) <= 1e-2
    space = solution.info["recycle_space"]
    assert np.linalg.norm(space.U @ A.T - space.C) <= 1e-9 * np.linalg.norm(space.C)


def test_recycling_saves_iterations_on_a_family_of_fields():
    x = (np.arange(32) + 0.5) / 32
    operators = []
    for i in range(4):
        a = 1 + 50 * (np.sin(3 * np.pi * x[:, None] + 0.1 * i) * np.sin(2 * np.pi * x) > 0.2)
        operators.append(diffusion_operator(a.astype(float), spacing=(1 / 32, 1 / 32), sides=(DD, DD)))
    settings, iterations, matvecs = DeflatedCG(10), [], []
    for A in operators:
        M = sp.diags(1 / A.diagonal.ravel())
        solution = linear_solve(A, np.ones((32, 32)), settings, M=M).raise_for_status()
        iterations.append(solution.iterations)
        matvecs.append(solution.info["matvecs"])
        settings = settings.with_space(solution.info["recycle_space"])
    assert sum(iterations[1:]) <= 0.75 * 3 * iterations[0]
    assert matvecs[1] >= iterations[1] + 11


def test_every_product_is_counted():
    calls = {"A": 0, "M": 0}

    def counted(name, matrix):
        def matvec(x):
            calls[name] += 1
            return matrix @ x.ravel()

        return spla.LinearOperator(matrix.shape, matvec, dtype=matrix.dtype)

    A, _ = spd()
    operator, M = counted("A", A), counted("M", np.diag(1 / np.diag(A)))
    first = linear_solve(operator, vector(120), DeflatedCG(5), M=M)
    second = linear_solve(operator, vector(120, seed=2), DeflatedCG(5, first.info["recycle_space"]), M=M)
    assert first.info["matvecs"] + second.info["matvecs"] + 2 == calls["A"]  # the judge's own
    assert first.info["preconditioner_applications"] + second.info["preconditioner_applications"] == calls["M"]


def test_failures_say_what_they_are():
    A, Q = spd()
    b = vector(120)
    indefinite = A - 2 * np.eye(120)
    assert linear_solve(indefinite, b, DeflatedCG()).status is Status.INDEFINITE
    U = np.ascontiguousarray(Q[:, :4].T)
    assert linear_solve(indefinite, b, DeflatedCG(4, RecycleSpace(U, U, U))).status is Status.INDEFINITE
    assert linear_solve(A + np.triu(np.ones((120, 120)), 1), b, DeflatedCG()).status is Status.INDEFINITE
    assert linear_solve(A, b, DeflatedCG(), maxiter=3).status is Status.MAX_ITERATIONS
    assert linear_solve(A, b, DeflatedCG(), M=-np.eye(120)).status is Status.INDEFINITE
    assert linear_solve(A, 0 * b, DeflatedCG()).status is Status.SUCCESS
    with pytest.raises(ValueError, match="recycle_dim is 0"):
        DeflatedCG(0)
    with pytest.raises(ValueError, match="120 unknowns, but the system has 9"):
        linear_solve(np.eye(9), np.ones(9), DeflatedCG(4, RecycleSpace(U, U, U)))
