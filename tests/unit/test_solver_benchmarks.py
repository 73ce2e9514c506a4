"""The solver benchmarks: their arithmetic, their gates and their peers; the runs themselves are too long for a test."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.fft as sfft
from numpy.typing import NDArray

from sciml.checks import CheckReport
from sciml.data.recipe import load_recipe
from sciml.errors import InputError
from solvers.linear import diffusion_operator
from validation import timing
from validation.benchmarks import auto, darcy, poisson_separable
from validation.peers import petsc, pyamg_cg, scipy_splu
from validation.report import save

Array = NDArray[np.float64]


def system(n: int = 12) -> tuple[Any, Array, Array]:
    """Matrix, right-hand side and the solution by dense algebra."""
    rng = np.random.default_rng(3)
    A = diffusion_operator(np.exp(rng.standard_normal((n, n))), spacing=(1 / n, 1 / n), sides=(("dirichlet", "neumann"),) * 2).to_csr()
    b = rng.standard_normal(n * n)
    return A, b, np.linalg.solve(A.toarray(), b)


def test_the_peers_solve_to_the_tolerance_that_they_are_asked_for() -> None:
    A, b, x = system()
    exact, direct = scipy_splu.solve(A, b, rtol=1e-8)
    np.testing.assert_allclose(exact, x, rtol=1e-10)
    assert direct == 0
    for kind in ("ruge_stuben", "smoothed_aggregation"):
        found, iterations = pyamg_cg.solve(A, b, rtol=1e-8, kind=kind)
        assert np.linalg.norm(b - A @ found) <= 1.01e-8 * np.linalg.norm(b)
        assert 0 < iterations < 30
    for peer in (scipy_splu, pyamg_cg):
        many = peer.prepared(A, rtol=1e-10)(np.array([b, 2 * b]))
        np.testing.assert_allclose(many, [x, 2 * x], rtol=1e-6)


def test_an_interpreter_without_petsc_is_no_error(tmp_path: Path) -> None:
    A, b, _ = system(6)
    assert petsc.solve([(A, b)], rtol=1e-8, python=str(tmp_path / "nowhere")) == {}
    outcome = petsc.solve([(A, b)], rtol=1e-8, python=sys.executable)
    assert outcome == {} or all("PETSc" in name for name in outcome)
    reason = petsc.missing(str(tmp_path / "nowhere"))
    assert reason is not None
    assert "nowhere cannot be run: No such file" in reason
    without = petsc.missing(sys.executable)
    assert (without is None) == bool(outcome)
    assert without is None or "cannot import petsc4py, give one that can to --petsc-python: ModuleNotFoundError" in without


def test_what_petsc_writes_is_read_back(tmp_path: Path) -> None:
    """A stand-in for the interpreter that runs the program: it doubles the right-hand sides and calls that GAMG."""
    stand_in = tmp_path / "python"
    stand_in.write_text(
        f"#!{sys.executable}\nimport sys, numpy as np\ns = np.load(sys.argv[2])\n"
        "np.savez(sys.argv[3], version=np.array('9.9'), **{f'x_gamg_{k}': 2 * s[f'b_{k}'] for k in (0, 1)},\n"
        "         **{f'seconds_gamg_{k}': 0.25 + k for k in (0, 1)}, **{f'iterations_gamg_{k}': 7 for k in (0, 1)},\n"
        "         **{f'products_gamg_{k}': 9 for k in (0, 1)})\n"
    )
    stand_in.chmod(0o755)
    A, b, _ = system(6)
    found = petsc.solve([(A, b), (A, 3 * b)], rtol=1e-8, python=str(stand_in))
    assert list(found) == ["PETSc 9.9 GAMG CG"]
    assert [(one.seconds, one.iterations, one.products) for one in found["PETSc 9.9 GAMG CG"]] == [(0.25, 7, 9), (1.25, 7, 9)]
    np.testing.assert_array_equal(found["PETSc 9.9 GAMG CG"][1].x, 6 * b)


def test_a_petsc_that_fails_is_told_and_not_left_out(tmp_path: Path) -> None:
    stand_in = tmp_path / "python"
    stand_in.write_text(f"#!{sys.executable}\nimport sys\nsys.exit(None if sys.argv[1] == '-c' else 'out of memory in KSPSolve')\n")
    stand_in.chmod(0o755)
    A, b, _ = system(6)
    with pytest.raises(RuntimeError, match="did not solve the systems: out of memory in KSPSolve"):
        petsc.solve([(A, b)], rtol=1e-8, python=str(stand_in))


def test_calls_are_timed_in_turns() -> None:
    order: list[str] = []
    taken = timing.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4
    assert [len(times) for times in taken.values()] == [3, 3]
    assert timing.seconds(lambda: sum(range(10**6))) > 1e-4


def test_the_triad_moves_what_it_is_said_to() -> None:
    a, b, c = np.zeros(5), np.arange(5.0), np.ones(5)
    timing._triad(a, b, c, 2)
    np.testing.assert_array_equal(a, np.arange(5) + 0.25)  # first pass: a = b + c / 4
    np.testing.assert_array_equal(b, 1 + a / 4)  # second pass: b = c + a / 4, since the arrays take turns
    assert 1e9 < timing.bandwidth(1 << 16, repetitions=3) < 1e12


def test_the_bare_transforms_are_those_of_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each side's pairs get the same transforms: as many calls of the same kind and type as the solver makes."""
    calls: list[tuple[str, Any]] = []
    for name in ("dstn", "idstn", "dctn", "idctn", "rfftn", "irfftn"):
        real = getattr(sfft, name)

        def counted(*args: Any, _name: str = name, _real: Any = real, **kwargs: Any) -> Any:
            calls.append((_name, kwargs.get("type")))
            return _real(*args, **kwargs)

        monkeypatch.setattr(sfft, name, counted)
    for sides in ("DD-NN", "DN-DN", "PP-ND", "PP-PP", "DD-PP-NN"):
        A = poisson_separable._operator((4, 6, 8)[: sides.count("-") + 1], sides)
        B = poisson_separable._systems(A, 3)[1]
        assert A.constant is not None
        poisson_separable._bare(A.constant.sides, B)
        bare = sorted(calls, key=repr)
        calls.clear()
        poisson_separable.fast_solve(A.constant, B)
        assert sorted(calls, key=repr) == bare
        calls.clear()


def test_a_row_of_the_poisson_benchmark_and_its_gates() -> None:
    row = poisson_separable._row((8, 8), "DD-NN", 3)
    assert row.worst_relative_error < 1e-13
    assert row.solved > row.transforms > 0
    assert row.samples_per_second == pytest.approx(1e6 / row.solved)
    fast = poisson_separable.Row("DD-DD", (64, 64), 8, 40.0, 44.0, 60.0, 1.1, 1.5, 16000.0, 1e-16, 1e-13)
    slow = poisson_separable.Row("PP-PP", (64, 64), 8, 40.0, 56.0, 160.0, 1.4, 4.0, 6000.0, 1e-13, 1e-10)
    assert [check.passed for check in poisson_separable._checks([fast])] == [True] * 4
    assert [check.passed for check in poisson_separable._checks([fast, slow])] == [False] * 4


def test_the_gates_of_the_darcy_benchmark() -> None:
    def outcomes(ours: float, splu: float, amg: float, error: float) -> dict[str, darcy.Outcome]:
        sides = {darcy.OURS: (ours, error), scipy_splu.NAME: (splu, 1e-15), pyamg_cg.NAME: (amg, 1e-9)}
        return {name: darcy.Outcome(ms, 0.0 if name == scipy_splu.NAME else 9.0, e, 5) for name, (ms, e) in sides.items()}

    good = darcy._checks(256, "binary 12/3", outcomes(5.0, 160.0, 101.0, 1e-9))
    assert [(check.observed, check.passed) for check in good] == [(1e-9, True), (pytest.approx(20.2), True), (pytest.approx(32.0), True)]
    bad = darcy._checks(256, "binary 12/3", outcomes(5.0, 140.0, 99.0, 1.1e-8))
    assert [check.passed for check in bad] == [False] * 3
    assert [check.passed for check in darcy._checks(64, "binary 12/3", outcomes(1.0, 4.9, 9.0, 1e-9))] == [True, False]
    assert len(darcy._checks(128, "binary 12/3", outcomes(1.0, 4.9, 9.0, 1e-9))) == 1


def test_the_darcy_benchmark_measures_all_sides_of_a_small_cell() -> None:
    problem = load_recipe("darcy", ["problem.resolution=8", "data.dtype=float64"]).problem
    outcomes = darcy._cell(problem, 2, 0, "/nowhere/python")
    assert set(outcomes) == {darcy.OURS, scipy_splu.NAME, pyamg_cg.NAME, pyamg_cg.AGGREGATION}
    for outcome in outcomes.values():
        assert outcome.worst_relative_error < 1e-7
        assert outcome.milliseconds > 0
    assert outcomes[scipy_splu.NAME].worst_relative_error < 1e-13


def test_the_automatic_choice_is_compared_with_what_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = auto.Cell("family", 8, 1e-4, 1, {"auto": 3.0, "lu": 2.0, "cg": 4.0}, "cg")
    assert cell.ratio == pytest.approx(1.5)
    family = auto.Family("small", auto._constant, (8,))
    cells = list(auto._cells(family, 3))
    assert [(one.rtol, one.right_hand_sides) for one in cells] == [(1e-4, 1), (1e-4, 16), (1e-10, 1), (1e-10, 16)]
    assert all({"auto", "fast_poisson", "lu"} <= set(one.milliseconds) for one in cells)
    assert auto._names(auto._convection(6), np.ones((1, 36)), "lu", 1e-10) == ["lu"]
    assert auto._names(-auto._convection(6), np.ones((1, 36)), "cg", 1e-10) == []  # indefinite for conjugate gradients: no success
    assert not auto._succeeds(lambda: auto._names(auto._convection(6), np.ones((1, 36)), "multigrid_cg", 1e-10))
    assert sum(len(one.sizes) for one in auto.FAMILIES) * len(auto.TOLERANCES) * len(auto.RIGHT_HAND_SIDES) == 60
    monkeypatch.setattr(auto, "FAMILIES", (family,))
    monkeypatch.setattr(auto, "_cells", lambda family, repetitions: iter([cell] * 2 + cells[:1] * 38))
    report = auto.run()
    assert report.checks[0].observed == pytest.approx((2 * (1.5 <= 1.1) + 38 * (cells[0].ratio <= 1.1)) / 40)


def test_convection_and_diffusion_is_first_order_accurate() -> None:
    """u = sin(pi x) sin(pi y): the truncation error halves with the cell, so the benchmark's matrix is the operator it claims to be.

    Its unknowns are at the nodes h, 2 h, ... 1 of a wall one cell further out.
    """
    defects = []
    for n in (32, 64):
        h = 1 / n
        x = np.arange(1, n + 1) * h
        sine, cosine = np.sin(np.pi * x), np.pi * np.cos(np.pi * x)
        applied = (auto._convection(n) @ np.outer(sine, sine).ravel()).reshape(n, n)
        exact = 2 * np.pi**2 * np.outer(sine, sine) + 40 * np.outer(cosine, sine) + 20 * np.outer(sine, cosine)
        defects.append(np.abs((applied - exact)[1:-1, 1:-1]).max())
    assert np.log2(defects[0] / defects[1]) == pytest.approx(1.0, abs=0.1)


def test_options_that_make_no_sense_are_refused_and_reports_are_saved(tmp_path: Path) -> None:
    for call in (lambda: darcy.run(samples=4), lambda: darcy.run(largest=1024), lambda: auto.run(repetitions=1)):
        with pytest.raises(InputError, match="is out of range"):
            call()
    save(CheckReport("name", [], 0.5, {"a": np.float64(1.5)}), tmp_path / "new" / "report.json")
    assert json.loads((tmp_path / "new" / "report.json").read_text())["details"] == {"a": 1.5}
