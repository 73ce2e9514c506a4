"""The matrix of the released generator, and the page that tells what reproduces without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from sciml.discretize import LinearSystem, linear_system
from sciml.problems import Poisson
from solvers import GCRODR, GMRES, linear_solve, solve_sequence
from validation.cases import skr
from validation.sequences import media
from validation.skr_released_darcy import released_coefficients, skr_released_darcy


def laplacian(s: int) -> sp.csr_matrix:
    second, one = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(s, s)), sp.eye(s)
    return sp.csr_matrix(sp.kron(second, one) + sp.kron(one, second))


def test_without_its_fault_the_matrix_is_the_laplacian_times_the_coefficient() -> None:
    a = 1 + np.random.default_rng(0).random((9, 9))
    expected = laplacian(7) @ sp.diags(a[1:-1, 1:-1].ravel())
    assert abs(skr_released_darcy(a, shift=0) - expected).max() == 0.0


def test_the_fault_touches_one_diagonal_and_takes_its_entries_two_places_early() -> None:
    s = 7
    a = 1 + np.random.default_rng(0).random((s + 2, s + 2))
    difference = sp.coo_matrix(skr_released_darcy(a) - skr_released_darcy(a, shift=0))
    assert set(difference.row - difference.col) == {s}
    A = skr_released_darcy(a).toarray()
    for i, j in ((3, 4), (1, 2), (6, 6)):  # from the third column on: the neighbour of the node two columns before
        assert A[i * s + j, (i - 1) * s + j] == -a[i, j - 1]
    assert A[3 * s + 1, 2 * s + 1] == -a[2, s]  # before that from the end of the grid row before
    assert A[s, 0] == -a[0, s - 1]  # which may lie on the wall


def test_the_eigenvalues_next_to_zero_are_all_that_are_negative() -> None:
    a = released_coefficients(24, 3)[2]
    A = skr_released_darcy(a)
    dense = np.linalg.eigvals(A.toarray())
    found = skr.nearest_to_zero(A)
    assert int((dense.real < 0).sum()) == int((found.real < 0).sum()) == 2
    np.testing.assert_allclose(np.sort(abs(found)), np.sort(abs(dense))[: len(found)], rtol=1e-8)


def test_the_released_matrix_stalls_gmres_where_the_mended_one_does_not() -> None:
    """Facts of the 50 x 50 interior of the released scripts, 1e-5, no preconditioner; the paper reports 3983 against 183 iterations."""
    s = 50
    coefficients = released_coefficients(s, 4)
    b = np.ones(s * s) / (s - 1) ** 2
    products: dict[int, tuple[list[int], list[int]]] = {}
    for shift in (2, 0):
        matrices = [skr_released_darcy(a, shift=shift) for a in coefficients]
        negative = [int((skr.nearest_to_zero(A).real < 0).sum()) for A in matrices]
        smallest = min(float(spla.splu(A.tocsc()).solve(b).min()) for A in matrices)
        assert (sorted(negative), smallest < 0) == (([2, 2, 3, 3], True) if shift else ([0] * 4, False))
        recycled = [one.raise_for_status().info["matvecs"] for one in solve_sequence([(A, b) for A in matrices], GCRODR(40, 20), rtol=1e-5)]
        products[shift] = [linear_solve(A, b, GMRES(40), rtol=1e-5, maxiter=1500).info["matvecs"] for A in matrices], recycled
    (stalled, deflated), (plain, recycled) = products[2], products[0]
    assert min(stalled) > 1000
    assert max(deflated) <= 260
    assert max(plain) < 400
    assert max(recycled) <= 180


def test_the_page_passes_and_has_every_claim() -> None:
    checks, figures = skr._released(32, 4)
    assert [check.name for check in checks if not check.passed] == []
    assert min(figures["as released"]["gmres"]) > 2 * max(figures["diagonal in place"]["gmres"])
    checks, figures = skr._sorting(32)
    assert [check.name for check in checks if not check.passed] == []
    assert all(found["path"] < 0.9 for found in figures.values())


def test_lockstep_is_judged_by_what_it_would_leave() -> None:
    checks, figures = skr._lockstep(3)
    for check, found in zip(checks, figures.values(), strict=True):
        assert check.observed == found["auto"] / found["lockstep"]
        assert min(found.values()) > 0


def test_sides_and_sources_leave_the_matrix_alone() -> None:
    checks, figures = skr._one_matrix(3)
    assert [check.name for check in checks if not check.passed and "time of" not in check.name] == []
    assert (len(checks), figures["largest difference"]) == (4, 0.0)
    assert min(figures["gmres"]) > 800
    assert len(figures["gcrodr"]) == 3


def test_a_coefficient_that_varies_is_another_family(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(problem: Poisson, parameters: object) -> LinearSystem:
        system = linear_system(problem, parameters)
        factor = 1.0 + float(system.rhs.flat[0]) ** 2
        faces = tuple(face * factor for face in system.operator.faces)
        return replace(system, operator=replace(system.operator, faces=faces, constant=None), rhs=system.rhs * factor)

    monkeypatch.setattr(skr, "linear_system", drawn)
    checks, _ = skr._one_matrix(2)
    assert next(check.name for check in checks if not check.passed).endswith("largest difference between two matrices")


def test_the_figures_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skr, "SEQUENCES", {"Darcy": None})
    histories = {"GMRES(40), as released": np.array([1.0, 0.5, 0.1]), "GCRO-DR(40, 20), as released": np.array([1.0, 0.1])}
    column = {"products": 12.0, "milliseconds": 3.0}
    details = {"released matrix": {"histories": histories}, "Darcy": {"gcrodr": column, "splu": {**column, "products": 0.0}}}
    residuals, products, times = skr._figures(details)
    assert [one["label"] for one in residuals["series"]] == list(histories)
    assert residuals["series"][0]["y"] == [1.0, 0.5, 0.1]
    assert (products["names"], times["names"], times["values"]) == (["gcrodr"], ["gcrodr", "splu"], [3.0, 3.0])
    assert "histories" not in details["released matrix"]


def test_the_page_fails_without_the_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skr, "skr_released_darcy", lambda a, shift=2: skr_released_darcy(a, shift=0))
    checks, _ = skr._released(24, 2)
    assert [check.name for check in checks if not check.passed] == [check.name for check in checks[:3]]


def test_media_of_few_parameters_lie_in_their_span() -> None:
    logs = np.log(media(7, 12, 2)).reshape(7, -1)
    assert np.linalg.matrix_rank(logs) == 2
    assert np.linalg.matrix_rank(np.log(media(7, 12, None)).reshape(7, -1)) == 7


@pytest.mark.slow
def test_the_whole_page_passes_but_for_times_which_are_the_machines() -> None:
    report = skr.run()
    assert [check.name for check in report.checks if not check.passed and "time of" not in check.name] == []
    assert len(report.checks) == 36
    assert len(report.details["figures"]) == 1 + 2 * len(skr.SEQUENCES)
