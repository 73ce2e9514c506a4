"""Sequences: order, recycling, and failures that end nothing but themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from solvers import GCRODR, GMRES, DeflatedCG, RecycleSpace, SolverError, Status, linear_solve, solve_sequence
from solvers.linear import diffusion_operator, make_preconditioner
from solvers.linear.system import Attempt
from validation.sequences import boundary_layer

DD = ("dirichlet", "dirichlet")


def helmholtz(k, n=24):
    """On a box of sides 1 and 1.1: in a square eigenvalues are double, and one solve finds one vector of each pair."""
    return diffusion_operator(1.0, shape=(n, n), spacing=(1 / n, 1.1 / n), sides=(DD, DD), reaction=-(k**2))


def family(m=5, n=24):
    return [(helmholtz(10 + 0.2 * i, n), np.ones((n, n)) + i * np.eye(n)) for i in range(m)]


def residual(A, b, x):
    return np.linalg.norm(b - (A @ x.ravel()).reshape(b.shape)) / np.linalg.norm(b)


@pytest.mark.parametrize("method", [None, "gcrodr", GCRODR(30, 10), "gmres", "lu", "auto", "minres"], ids=str)
@pytest.mark.parametrize("order", ["given", [3, 0, 4, 1, 2]], ids=str)
def test_solutions_come_in_the_callers_order(method, order):
    systems = family()
    solutions = list(solve_sequence(systems, method, order=order, rtol=1e-9))
    assert [solution.info["number"] for solution in solutions] == [0, 1, 2, 3, 4]
    for (A, b), solution in zip(systems, solutions, strict=True):
        assert solution.status is Status.SUCCESS
        assert solution.x.shape == b.shape
        assert residual(A, b, solution.x) <= 1.001e-9


def test_the_order_changes_solutions_by_no_more_than_the_tolerance():
    systems, rtol = family(), 1e-10
    given = list(solve_sequence(systems, rtol=rtol))
    for order in ([4, 3, 2, 1, 0], np.random.default_rng(1).permutation(5)):
        differences = []
        for (A, b), one, two in zip(systems, given, solve_sequence(systems, order=order, rtol=rtol), strict=True):
            smallest = np.linalg.svd(A.to_csr().toarray(), compute_uv=False)[-1]
            differences.append(np.linalg.norm(one.x - two.x))
            assert differences[-1] <= 2 * rtol * np.linalg.norm(b) / smallest
        assert max(differences) > 0


def test_each_system_profits_from_those_before_it():
    rng, settings = np.random.default_rng(0), GCRODR(30, 12)
    systems = [(A, rng.standard_normal(b.shape)) for A, b in family(n=40)]
    matvecs = [solution.info["matvecs"] for solution in solve_sequence(systems, settings)]
    alone = [linear_solve(A, b, settings).info["matvecs"] for A, b in systems]
    assert matvecs[0] == alone[0]
    assert sum(matvecs[1:]) <= 0.6 * sum(alone[1:])


def test_systems_are_made_and_solved_when_they_are_asked_for():
    made = []

    def systems():
        for number, system in enumerate(family()):
            made.append(number)
            yield system

    solutions = solve_sequence(systems())
    assert (made, solutions.space) == ([], None)
    next(solutions)
    assert made == [0]
    assert solutions.space.n == 24 * 24
    with pytest.raises(ValueError, match="systems is a generator"):
        solve_sequence(systems(), order=[0, 1, 2, 3, 4])


def test_the_space_is_handed_on_and_no_solution_holds_it(tmp_path):
    rng = np.random.default_rng(0)
    systems = [(A, rng.standard_normal(b.shape)) for A, b in family(n=40)]  # on which recycling pays throughout
    first = solve_sequence(systems[:3])
    assert all("recycle_space" not in solution.info for solution in first)
    first.space.save(tmp_path / "space.npz")
    rest = solve_sequence(systems[3:], GCRODR(space=RecycleSpace.load(tmp_path / "space.npz")))
    whole = list(solve_sequence(systems))
    for one, two in zip(rest, whole[3:], strict=True):
        np.testing.assert_array_equal(one.x, two.x)
        assert one.info["matvecs"] == two.info["matvecs"]


def test_the_tenth_part_of_a_batch_is_what_it_is_alone():
    """No state outlives a sequence: the same call gives the same bits."""
    systems = family(3)
    for one, two in zip(solve_sequence(systems), solve_sequence(systems), strict=True):
        np.testing.assert_array_equal(one.x, two.x)


@pytest.mark.parametrize("method", [GCRODR(30, 10), "lu"], ids=str)
def test_failures_are_named_and_the_others_solved(method):
    n = 24
    poisoned = helmholtz(10.1)
    poisoned.reaction[3, 4] = np.nan
    b = np.ones(n * n)
    bad_b = b.copy()
    bad_b[7] = np.inf
    small = helmholtz(10.0, 12)
    singular = sp.csr_matrix((n * n, n * n))
    systems = [
        (helmholtz(10.0), b),
        (poisoned, b),
        (small, np.ones(144)),
        (helmholtz(10.2), np.ones(5)),
        (helmholtz(10.2), bad_b),
        (singular, b),
        (helmholtz(10.3), b),
    ]
    for order in ("given", [6, 2, 1, 5, 4, 3, 0]):
        solutions = list(solve_sequence(systems, method, order=order))
        statuses = [solution.status for solution in solutions]
        assert statuses == [
            Status.SUCCESS,
            Status.NONFINITE_INPUT,
            Status.INVALID_SYSTEM,
            Status.INVALID_SYSTEM,
            Status.NONFINITE_INPUT,
            Status.BREAKDOWN,
            Status.SUCCESS,
        ]
        assert solutions[2].info["error"] == (
            "system 2: b has 144 entries, but the systems solved before have 576: they cannot share a space"
        )
        with pytest.raises(SolverError, match=r"INVALID_SYSTEM.*system 3: "):
            solutions[3].raise_for_status()
    if method != "lu":
        assert solutions[0].info["matvecs"] < linear_solve(*systems[0], method).info["matvecs"]  # the space outlived the failures


def test_a_method_that_does_not_take_the_operator_is_named():
    (solution,) = solve_sequence([(sp.eye(9, format="csr"), np.ones(9))], "multigrid_cg")
    assert solution.status is Status.INVALID_SYSTEM
    assert "needs a StencilOperator" in solution.diagnosis


def test_preconditioners_come_with_their_systems():
    systems = [(A.to_csr(), b.ravel()) for A, b in family()]
    plain = sum(solution.info["matvecs"] for solution in solve_sequence(systems, GMRES(40)))
    exact = [(A, b, np.linalg.inv(A.toarray() + 5 * np.eye(A.shape[0]))) for A, b in systems]
    solutions = list(solve_sequence(exact, GMRES(40)))
    assert all(solution.status is Status.SUCCESS for solution in solutions)
    assert 10 * sum(solution.info["matvecs"] for solution in solutions) < plain


def test_conjugate_gradients_recycle_too():
    rng = np.random.default_rng(3)
    spread = sp.diags(np.concatenate([10.0 ** -np.arange(1, 6), np.linspace(1, 4, 195)]))
    systems = [(sp.csr_matrix(spread * (1 + 0.01 * i)), rng.standard_normal(200)) for i in range(4)]
    iterations = [solution.raise_for_status().iterations for solution in solve_sequence(systems, DeflatedCG(6))]
    assert max(iterations[1:]) < 0.7 * iterations[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "best"}, "order is 'best'"),
        ({"order": [0, 1, 2, 3, 3]}, "each of the numbers 0 ... 4 once"),
        ({"order": [0, 1]}, "each of the numbers 0 ... 4 once"),
        ({"order": [0.0, 1.0, 2.0, 3.0, 4.0]}, "each of the numbers 0 ... 4 once"),
        ({"order": [-1, 0, 1, 2, 3]}, "each of the numbers 0 ... 4 once"),
        ({"rtol": -1.0}, "rtol=-1.0"),
        ({"method": "nothing"}, "method 'nothing' is not known"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        solve_sequence(family(), **options)


def test_an_empty_sequence():
    assert list(solve_sequence([])) == []
    assert list(solve_sequence([], order=[])) == []


@dataclass(frozen=True)
class Scripted:
    """A recycling method that solves at once, and claims the products that the system's number and its space have in a table."""

    products: tuple[tuple[int, int], ...]
    seen: list[bool]
    space: RecycleSpace | None = None
    name: str = "scripted"

    def with_space(self, space: RecycleSpace) -> Scripted:
        return replace(self, space=space)

    def attempt(self, system: Any) -> Attempt:
        unaided, recycled = self.products[len(self.seen)]
        self.seen.append(self.space is not None)
        unit = np.ones((1, system.n)) / np.sqrt(system.n)
        info = {"matvecs": recycled if self.space is not None else unaided, "recycle_space": RecycleSpace(unit, unit, unit)}
        return Attempt(system.b.copy(), info=info)


@pytest.mark.parametrize(
    ("products", "with_space"),
    [
        ([(9, 5)] * 6, [0, 1, 1, 1, 1, 1]),  # it pays
        ([(5, 9)] * 9, [0, 1, 0, 1, 0, 0, 1, 0, 0]),  # it never does: pauses of 1, 2, 4 ... systems
        ([(5, 9), (5, 9), (5, 9), (9, 5), (9, 5), (5, 9), (5, 9), (5, 9)], [0, 1, 0, 1, 1, 1, 0, 1]),  # for a while it does: back to 1
        ([(9, 9)] * 3, [0, 1, 1]),  # as dear is not dearer
    ],
)
def test_recycling_pauses_where_it_does_not_pay(products: list[tuple[int, int]], with_space: list[int]) -> None:
    seen: list[bool] = []
    systems = [(np.eye(3), np.ones(3))] * len(products)
    for solution in solve_sequence(systems, Scripted(tuple(products), seen)):
        solution.raise_for_status()
    assert seen == [bool(one) for one in with_space]


def test_a_dropped_space_pauses_recycling_at_once() -> None:
    """Without a comparison: the first space is handed in, and no system before it went without one."""
    A, rng = np.diag(np.linspace(1.0, 2.0, 60)), np.random.default_rng(0)
    U = rng.standard_normal((8, 60))
    solving = solve_sequence([(A, rng.standard_normal(60))] * 3, GCRODR(20, 8, RecycleSpace(U, U, U)))
    solution = next(solving)
    assert "space_dropped" in solution.info
    assert solving.space is None
    assert "space_dropped" not in next(solving).info
    assert solving.space is not None


def test_easy_systems_take_fewer_products_than_recycling_throughout_would() -> None:
    sequence = boundary_layer(6)
    systems = [(A, b, make_preconditioner(A, "ilu0")) for A, b in sequence.systems]
    paused = [solution.info["matvecs"] for solution in solve_sequence(systems, rtol=1e-8)]
    method, always = GCRODR(), []
    for A, b, M in systems:
        solution = linear_solve(A, b, method, M=M, rtol=1e-8)
        method = method.with_space(solution.info["recycle_space"])
        always.append(solution.info["matvecs"])
    assert paused[:2] == always[:2]
    assert sum(paused[2:]) < 0.85 * sum(always[2:])


def test_a_real_system_after_a_complex_one_starts_without_its_space():
    rng = np.random.default_rng(3)
    real = sp.csr_matrix(sp.diags(np.linspace(-3.0, 9.0, 60)) + 0.1 * sp.random(60, 60, density=0.1, random_state=1))
    b = rng.standard_normal(60)
    found = list(solve_sequence([(real + 0.5j * sp.identity(60), b), (real, b), (real, b)], rtol=1e-9))
    assert [solution.status for solution in found] == [Status.SUCCESS] * 3
    assert [solution.x.dtype.kind for solution in found] == ["c", "f", "f"]


@pytest.mark.parametrize("order", ["given", [2, 0, 1, 3]], ids=str)
def test_an_operator_that_raises_is_named_and_the_others_are_solved(order):
    def broken(x):
        raise RuntimeError("the mesh file is gone")

    A = sp.csr_matrix(sp.diags(np.arange(1.0, 31.0)))
    bad = LinearOperator((30, 30), matvec=broken, dtype=float)
    systems = [(A, np.ones(30)), (bad, np.ones(30)), (A,), (A, np.ones(30))]
    found = list(solve_sequence(systems, order=order))
    statuses = [solution.status for solution in found]
    assert statuses == [Status.SUCCESS, Status.INVALID_SYSTEM, Status.INVALID_SYSTEM, Status.SUCCESS]
    assert found[1].info["error"] == "system 1: the mesh file is gone"
    assert "system 2" in found[2].info["error"]


def test_a_solve_that_needs_nothing_keeps_the_space():
    A = sp.csr_matrix(sp.diags(np.linspace(-3.0, 9.0, 60)))
    space = linear_solve(A, np.ones(60), "gcrodr").info["recycle_space"]
    again = linear_solve(A, np.zeros(60), GCRODR(space=space)).info["recycle_space"]
    assert again.dim == space.dim > 0


def test_a_complex_preconditioner_of_a_real_system_is_refused_in_words():
    A = sp.csr_matrix(sp.diags(np.linspace(1.0, 9.0, 60)))
    M = LinearOperator((60, 60), matvec=lambda r: (1 + 1j) * r, dtype=complex)
    for method in ("gmres", "gcrodr"):
        with pytest.raises(ValueError, match=r"M is complex and A and b are real: pass b.astype\(complex\)"):
            linear_solve(A, np.ones(60), method, M=M)


@pytest.mark.parametrize("method", ["cg", "deflated_cg"])
def test_an_operator_that_gives_nan_breaks_down(method):
    A = LinearOperator((20, 20), matvec=lambda x: np.full(20, np.nan), dtype=float)
    assert linear_solve(A, np.ones(20), method).status is Status.BREAKDOWN


def test_a_system_that_fails_leaves_the_space_before_it():
    systems = family(5)
    hopeless = sp.csr_matrix(sp.diags(np.random.default_rng(0).standard_normal(24 * 24)))
    undisturbed = [solution.info["matvecs"] for solution in solve_sequence(systems, maxiter=300)]
    mixed = [*systems[:2], (hopeless, systems[0][1].ravel()), *systems[2:]]
    found = list(solve_sequence(mixed, maxiter=300))
    assert found[2].status is not Status.SUCCESS
    assert [solution.info["matvecs"] for solution in found if solution is not found[2]] == undisturbed


def test_a_real_system_after_a_complex_one_is_judged_as_one_without_a_space():
    systems = [(A.to_csr(), b.ravel()) for A, b in family(4)]
    alone = [solution.info["matvecs"] for solution in solve_sequence(systems)]
    shifted = systems[0][0] + 1j * sp.identity(24 * 24)
    after = list(solve_sequence([(shifted, systems[0][1]), *systems]))
    assert [solution.info["matvecs"] for solution in after[1:]] == alone


@pytest.mark.parametrize("kind", [object, str])
def test_right_hand_sides_without_numbers_are_refused_and_end_nothing(kind):
    A, b = sp.identity(4, format="csr"), np.ones(4)
    with pytest.raises(TypeError, match=r"b is of type .*; it must hold numbers"):
        linear_solve(A, b.astype(kind))
    found = list(solve_sequence([(A, b), (A, b.astype(kind)), (A, b)]))
    assert [solution.status for solution in found] == [Status.SUCCESS, Status.INVALID_SYSTEM, Status.SUCCESS]


def test_slips_are_named():
    A, b = sp.identity(4, format="csr"), np.ones(4)
    with pytest.raises(TypeError, match=r"method is the class GCRODR; it must be settings: GCRODR\(\)"):
        linear_solve(A, b, GCRODR)
    with pytest.raises(ValueError, match="x0 is complex and A and b are real"):
        linear_solve(A, b, "gcrodr", x0=1j * b)
    assert linear_solve(A, b.astype(np.longdouble)).x.dtype == np.float64
