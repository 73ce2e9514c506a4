"""The benchmark of Krylov methods: its counts, its gates and its model of the bytes; its speed is judged at its own size."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from sciml.checks import CheckReport
from solvers import GMRES, linear_solve
from solvers.linear import StencilOperator, diffusion_operator
from validation import rivals
from validation.benchmarks import krylov
from validation.peers import petsc
from validation.peers.gcrotmk import NAME, Gcrotmk
from validation.sequences import SEQUENCES, boundary_layer, darcy, entries, helmholtz, recirculating, thermal


@pytest.fixture(scope="module")
def report() -> CheckReport:
    return krylov.run(square=24, cube=12, samples=3)


def test_every_method_solves_every_sequence_that_it_is_for(report: CheckReport) -> None:
    assert list(SEQUENCES) == [key for key in report.details if key in SEQUENCES]
    for key in SEQUENCES:
        methods = report.details[key]["methods"]
        assert {"gcrodr", rivals.COLD, "gmres", "splu", NAME} <= set(methods)
        for name, column in methods.items():
            assert name in {"gmres"} or column["solved"] == 1.0, (key, name)
            assert column["residual"] <= 1.0001 * report.details[key]["rtol"] or column["solved"] < 1
    assert {"cg", "deflated_cg", "multigrid_cg"} <= set(report.details["Darcy"]["methods"])
    assert {"cg", "deflated_cg", "amg"} <= set(report.details["thermal"]["methods"])
    assert rivals.MULTIGRID_MINRES in report.details["Helmholtz 3-D"]["methods"]
    assert rivals.AMG_GMRES in report.details["recirculating"]["methods"]


def test_gates_are_ratios_of_the_table(report: CheckReport) -> None:
    observed = {check.name: check.observed for check in report.checks}
    for key in SEQUENCES:
        methods = report.details[key]["methods"]
        ours, theirs = methods["gcrodr"], methods[NAME]
        assert observed[f"{key}: products of gcrotmk over those of GCRO-DR"] == theirs["products"] / ours["products"]
        assert observed[f"{key}: processor time of gcrotmk over that of GCRO-DR"] == theirs["milliseconds"] / ours["milliseconds"]
    assert sum(check.expected == 2.0 for check in report.checks) == len(SEQUENCES)


def test_products_are_those_that_the_matrix_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = helmholtz(2, 3, resolution=16)
    calls: list[int] = []
    original = StencilOperator.matvec

    def counted(self: StencilOperator, u: Any) -> Any:
        calls.append(1)
        return original(self, u)

    columns = rivals._recycling(sequence)
    monkeypatch.setattr(StencilOperator, "matvec", counted)
    monkeypatch.setattr(StencilOperator, "__matmul__", counted)
    monkeypatch.setattr(rivals, "REPETITIONS", 1)
    rivals._recycling(sequence)
    products = sum(2 * column.products + column.first for column in columns.values())
    checks_of_residuals = len(columns) * len(sequence.systems[1:])
    assert products <= len(calls) - checks_of_residuals <= products + len(sequence.systems)  # judging a solution may take one more


def test_the_peer_carries_its_space() -> None:
    sequence = helmholtz(2, 2, resolution=24)
    (A, b), _ = sequence.systems
    peer = Gcrotmk(20, 10)
    first, again = peer.solve_all([(A, b, None), (A, b, None)], rtol=1e-6)
    for x in (first, again):
        assert np.linalg.norm(b - A @ x) <= 1.0001e-6 * np.linalg.norm(b)
    assert peer.products[1] < peer.products[0] / 2


def test_sequences_are_what_they_are_called() -> None:
    for sequence in (helmholtz(2, 2, resolution=16), darcy(2, 16), recirculating(2, 16), boundary_layer(2, 16), thermal(2, 6)):
        one, other = (entries(A).toarray() for A, _ in sequence.systems)
        assert abs(one - other).max() > 1e-3 * abs(one).max()
        symmetric = bool(np.allclose(one, one.T))
        assert symmetric == (isinstance(sequence.systems[0][0], StencilOperator) or sequence.name.startswith("thermal"))
        eigenvalues = np.linalg.eigvals(one)
        assert (eigenvalues.real > 0).all() != sequence.name.startswith("Helmholtz")
        assert sequence.definite == (symmetric and bool((eigenvalues.real > 0).all()))


def test_the_model_counts_what_a_step_reads_and_writes() -> None:
    # restart 3, k = 1: two steps with panels of 2 and 3 rows, read twice each: 10 vectors, 5 a step
    end = (2 + 2) + (2 + 2) + (2 + 1) + 2 + (1 + 2) + 2
    assert krylov.vectors_per_step(2, 3, 1) == 5 + 5 + 5 + end / 2


def test_petsc_solves_with_every_method_where_there_is_one() -> None:
    n = 12
    A = diffusion_operator(1.0, shape=(n, n), spacing=(1 / n, 1 / n), sides=(("dirichlet", "dirichlet"),) * 2).to_csr()
    A = sp.csr_matrix(A + sp.diags([20.0], [1], shape=A.shape))
    b = np.ones(n * n)
    found = petsc.krylov([(A, b)], rtol=1e-8, python=sys.executable, preconditioner="ilu0")
    plain = linear_solve(A, b, GMRES(40), rtol=1e-8)
    assert plain.relative_residual <= 1e-8
    for (solve,) in found.values():
        assert np.linalg.norm(solve.x - plain.x) <= 1e-6 * np.linalg.norm(plain.x)
        assert 0 < solve.iterations <= solve.products
