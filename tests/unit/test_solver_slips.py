"""What users get wrong about methods and preconditioners, and systems at the edge: one clear sentence, or the right status."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from solvers import Status, linear_solve, linear_solve_many, solve_sequence
from solvers.linear import IncompleteCholesky, ShiftedLaplacian, make_preconditioner
from solvers.linear.solve import METHODS

A = sp.csr_matrix(sp.diags([-1.0, 2.5, -1.0], [-1, 0, 1], shape=(40, 40)))


def skew(size: float) -> np.ndarray:
    S = np.random.default_rng(0).standard_normal((60, 60))
    return np.diag(np.linspace(1, 50, 60)) + size * (S - S.T)


def indefinite() -> np.ndarray:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((60, 60)))[0]
    return Q @ np.diag(np.r_[-np.linspace(1, 3, 10), np.linspace(1, 5, 50)]) @ Q.T


@pytest.mark.parametrize("M", ["ilu0", IncompleteCholesky(), ShiftedLaplacian(), make_preconditioner], ids=str)
def test_a_preconditioner_that_was_not_made_is_named_with_the_remedy(M: Any) -> None:
    with pytest.raises(TypeError, match=r"^M is .*; it must be an operator: M=make_preconditioner\(A, \.\.\.\) makes one"):
        linear_solve(A, np.ones(40), "cg", M=M)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "^A is None; .* takes the matrix first"),
        (("ilu0",), "^A is 'ilu0'"),
        ((A, None), "^kind is None; it must be one of amg, ic0"),
        ((A, IncompleteCholesky), "^kind is <class"),
        ((A, 3), "^kind is 3;"),
    ],
)
def test_what_no_preconditioner_is_made_from_is_named(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make_preconditioner(*arguments)


def test_a_hierarchy_that_would_divide_by_zero_is_refused_at_set_up() -> None:
    with pytest.raises(ValueError, match=r"'amg' divides by the diagonal of A, but entry 1 of it is 0"):
        make_preconditioner(sp.csr_matrix([[2.0, -1.0, 0.0], [-1.0, 0.0, -1.0], [0.0, -1.0, 2.0]]), "amg")


@pytest.mark.parametrize("method", ["auto", *sorted(METHODS)])
def test_a_system_without_unknowns_is_solved_whatever_the_method(method: str) -> None:
    nothing = np.zeros((0, 0))
    solution = linear_solve(nothing, np.zeros(0), method)
    assert (solution.status, solution.x.shape, solution.relative_residual, solution.method) == (Status.SUCCESS, (0,), 0.0, method)
    assert [one.x.shape for one in linear_solve_many(nothing, np.zeros((3, 0)), method)] == [(0,)] * 3
    assert next(solve_sequence([(nothing, np.zeros(0))], method)).status is Status.SUCCESS


def test_block_gmres_goes_by_its_name() -> None:
    B = np.random.default_rng(0).standard_normal((3, 40))
    for b, solution in zip(B, linear_solve_many(A, B, "block_gmres"), strict=True):
        assert (solution.method, solution.status) == ("block_gmres", Status.SUCCESS)
        assert np.linalg.norm(b - A @ solution.x) <= 1.0001e-8 * np.linalg.norm(b)


@pytest.mark.parametrize(("matrix", "method"), [(indefinite(), "minres"), (skew(2.0), "gmres"), (np.diag(np.linspace(1, 9, 60)), "cg")])
def test_auto_goes_from_an_indefinite_black_box_to_minres_and_from_one_that_is_not_symmetric_to_gmres(
    matrix: np.ndarray, method: str
) -> None:
    b = np.ones(60)
    solution = linear_solve(aslinearoperator(matrix), b)
    assert (solution.status, solution.method) == (Status.SUCCESS, method)
    np.testing.assert_allclose(solution.x, np.linalg.solve(matrix, b), rtol=1e-5)


@pytest.mark.parametrize("method", ["minres", "deflated_cg"])
def test_a_black_box_that_is_not_symmetric_is_told_so(method: str) -> None:
    solution = linear_solve(aslinearoperator(skew(2.0)), np.ones(60), method)
    assert solution.status is Status.INDEFINITE
    assert "not symmetric" in solution.diagnosis


def test_a_hermitian_black_box_passes_for_symmetric_and_a_complex_symmetric_one_does_not() -> None:
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((60, 60)) + 1j * rng.standard_normal((60, 60))
    hermitian = indefinite() + 0.02 * (Z + Z.conj().T)
    assert linear_solve(aslinearoperator(hermitian), np.ones(60), "minres").status is Status.SUCCESS
    assert linear_solve(aslinearoperator(indefinite() + 0.1j * (Z + Z.T)), np.ones(60), "minres").status is Status.INDEFINITE
