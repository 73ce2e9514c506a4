"""No success is ever false: 10^5 random systems (10^6 in the slow suite), judged again in extended precision.

Tiny systems of every kind of input and method: definite, indefinite, nonsymmetric, singular, cut into parts, badly scaled, with right-hand
sides that are zero, huge, tiny, incompatible, NaN or infinite. The residual of what was returned is formed again from a dense matrix
in NumPy's longdouble, without any of the package's code. The only allowance is what forming ``b - A x`` in double precision may
round: ``(n + 3) u (|A| |x| + |b|)`` (Higham, "Accuracy and Stability of Numerical Algorithms", eq. 3.12).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator

from solvers import Solution, Status, linear_solve, linear_solve_many
from solvers.linear import diffusion_operator
from solvers.linear.stencil import StencilOperator

PAIRS = [("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann"), ("neumann", "dirichlet")]
KRYLOV = {"gmres": 0.02, "gcrodr": 0.03, "deflated_cg": 0.02}
UNIT = np.finfo(np.float64).eps / 2


@dataclass(frozen=True)
class Case:
    """A matrix in the form that is handed over, the same as a dense array, and the methods that take it with their frequencies."""

    kind: str
    A: Any
    dense: np.ndarray
    methods: dict[str, float]


def stencil(rng: np.random.Generator) -> Case:
    dimension = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(1, (41, 7, 4)[dimension - 1], dimension))
    sides = tuple(PAIRS[k] for k in rng.integers(0, 5, dimension))
    spacing = tuple(10.0 ** rng.uniform(-2, 2, dimension))
    magnitude = 10.0 ** (rng.uniform(-270, 270) if rng.random() < 0.05 else rng.uniform(-3, 3))
    reaction = magnitude * 10.0 ** rng.uniform(-12, 3) if rng.random() < 0.4 else 0.0
    methods = {"auto": 0.3, "lu": 0.2, "multigrid_cg": 0.3, "cg": 0.18, "amg": 0.02, **KRYLOV}
    if rng.random() < 0.4:
        A = diffusion_operator(magnitude, shape=shape, spacing=spacing, sides=sides, reaction=reaction)
        methods["fast_poisson"] = 0.5
    else:
        a = magnitude * np.exp(rng.standard_normal(shape) * rng.choice([0.1, 1.0, 8.0]))
        A = diffusion_operator(a, spacing=spacing, sides=sides, reaction=reaction)
        if rng.random() < 0.1:  # some faces closed: parts of the grid may be cut off
            faces = [np.where(rng.random(face.shape) < 0.3, 0.0, face) for face in A.faces]
            for axis, periodic in enumerate(A.periodic):
                if periodic:  # the first face is the last one
                    np.moveaxis(faces[axis], axis, 0)[-1] = np.moveaxis(faces[axis], axis, 0)[0]
            A = StencilOperator(tuple(faces), A.reaction, A.periodic)
    return Case("stencil", A, dense_of(A), methods)


def dense_of(A: StencilOperator) -> np.ndarray:
    """Face by face, from the definition ``(A u)_i = sum_f T_f (u_i - u_j) + c_i u_i``."""
    index = np.arange(A.size).reshape(A.grid_shape)
    dense = np.diag(A.reaction.ravel().astype(np.longdouble))
    for axis, face in enumerate(A.faces):
        cells, faces = np.moveaxis(index, axis, 0), np.moveaxis(face, axis, 0).astype(np.longdouble)
        n = len(cells)
        for f in range(n + 1):
            if A.periodic[axis]:
                if f == n or n == 1:
                    continue
                low, high = cells[f - 1].ravel(), cells[f].ravel()
            else:
                low, high = cells[max(f - 1, 0)].ravel(), cells[min(f, n - 1)].ravel()
            t = faces[f].ravel()
            np.add.at(dense, (high, high), t)
            if A.periodic[axis] or 0 < f < n:
                np.add.at(dense, (low, low), t)
                np.add.at(dense, (low, high), -t)
                np.add.at(dense, (high, low), -t)
    return dense


def entries(rng: np.random.Generator) -> np.ndarray:
    """A dense matrix of a random nature."""
    n = int(rng.integers(1, 41 if rng.random() < 0.3 else 13))
    A = rng.standard_normal((n, n))
    if rng.random() < 0.25:
        A = A + 1j * rng.standard_normal((n, n))
    A *= rng.random((n, n)) < rng.choice([0.15, 0.5, 1.0])
    match rng.integers(0, 6):
        case 0:
            A = A @ A.conj().T + 10.0 ** rng.uniform(-12, 1) * np.eye(n)  # definite
        case 1:
            A = A + A.conj().T  # indefinite as a rule
        case 2:
            A = A @ A.conj().T
            A[-1], A[:, -1] = A[0], A[:, 0]  # nearly or exactly singular
        case 3:
            A[rng.integers(0, n)] = 0.0 if rng.random() < 0.5 else A[0]  # singular as a rule
        case _:
            pass
    match rng.integers(0, 8):
        case 0:
            A = A * 10.0 ** rng.uniform(-300, 290)
        case 1:
            A = A * 10.0 ** rng.uniform(-150, 140, (n, 1))
        case 2:
            d = 10.0 ** rng.uniform(-8, 8, n)
            A = d[:, None] * A * d
        case _:
            pass
    if rng.random() < 0.01:
        A[0, 0] = rng.choice([np.nan, np.inf])
    return A


def matrix(rng: np.random.Generator) -> Case:
    A = entries(rng)
    methods = {"auto": 0.4, "lu": 0.4, "cg": 0.2, "amg": 0.0 if A.dtype.kind == "c" else 0.01, **KRYLOV}
    match rng.integers(0, 4):
        case 0:
            return Case("dense", A, A, methods)
        case 1:
            action = LinearOperator(A.shape, matvec=lambda x: A @ x.ravel(), dtype=A.dtype)
            return Case("action", action, A, {"auto": 0.5, "cg": 0.5, **KRYLOV})
        case _:
            return Case("sparse", sp.csr_array(A) if rng.random() < 0.2 else sp.coo_matrix(A), A, methods)


def right_hand_sides(rng: np.random.Generator, case: Case, m: int) -> np.ndarray:
    n = len(case.dense)
    B = rng.standard_normal((m, n))
    if case.dense.dtype.kind == "c" and rng.random() < 0.8:
        B = B + 1j * rng.standard_normal((m, n))
    if rng.random() < 0.3:  # in the range of a singular matrix
        with np.errstate(all="ignore"):
            B = (case.dense @ B.T).T.astype(B.dtype if case.dense.dtype.kind != "c" else complex)
    elif rng.random() < 0.3:
        B = B - B.mean(axis=1, keepdims=True)
    for row in range(m):
        match rng.integers(0, 24):
            case 0:
                B[row] = 0.0
            case 1:
                B[row] *= 10.0 ** rng.uniform(-300, -100)
            case 2:
                with np.errstate(over="ignore", invalid="ignore"):
                    B[row] *= 10.0 ** rng.uniform(100, 300)
            case 3 if rng.random() < 0.3:
                B[row, rng.integers(0, n)] = rng.choice([np.nan, np.inf, -np.inf])
            case _:
                pass
    return B


def solved(rng: np.random.Generator, case: Case) -> Iterator[tuple[str, np.ndarray, float, float, Solution]]:
    """Method, right-hand side, rtol, atol and solution of some solves with one matrix."""
    weights = np.array(list(case.methods.values()))
    method = str(rng.choice(list(case.methods), p=weights / weights.sum()))
    m = int(rng.integers(1, 9))
    B = right_hand_sides(rng, case, m)
    rtol = 10.0 ** rng.uniform(-15, 0)
    atol = 10.0 ** rng.uniform(-20, 2) if rng.random() < 0.1 else 0.0
    maxiter = int(rng.integers(0, 5)) if rng.random() < 0.1 else 60 if method in ("cg", "auto", *KRYLOV) else None
    if rng.random() < 0.5:
        solutions = linear_solve_many(case.A, B, method, rtol=rtol, atol=atol, maxiter=maxiter)
    else:
        x0 = rng.standard_normal(B.shape[1]) if rng.random() < 0.5 else None
        solutions = [linear_solve(case.A, b, method, x0=x0, rtol=rtol, atol=atol, maxiter=maxiter) for b in B]
    for b, solution in zip(B, solutions, strict=True):
        yield method, b, rtol, atol, solution


def norm(v: np.ndarray) -> np.longdouble:
    return np.sqrt(np.sum(v.real**2) + np.sum(v.imag**2))


def judge(case: Case, b: np.ndarray, rtol: float, atol: float, solution: Solution) -> str:
    """Say "right", "rounding" where only the allowance saves the verdict, or what is wrong with it."""
    extended = np.clongdouble if np.iscomplexobj(case.dense) or np.iscomplexobj(b) else np.longdouble
    A, x, rhs = case.dense.astype(extended), solution.x.astype(extended), b.astype(extended)
    finite = np.isfinite(A).all() and np.isfinite(rhs).all()
    if not finite:
        return "right" if solution.status is not Status.SUCCESS else "success with NaN or infinity in the system"
    with np.errstate(all="ignore"):
        residual, tolerance = norm(rhs - A @ x), max(np.longdouble(rtol) * norm(rhs), np.longdouble(atol))
        rounding = (len(b) + 3) * UNIT * norm(abs(A) @ abs(x) + abs(rhs)) * (4 if extended is np.clongdouble else 1)
        verdict = f"{solution.status.name.lower()} at {float(residual / tolerance):.3g} times the tolerance"
    if solution.status is Status.NONFINITE_INPUT:
        return "finite input is called not finite"
    if solution.status is Status.SUCCESS:
        wrong, excused = residual > tolerance or not np.isfinite(residual), residual <= tolerance + rounding
    else:
        wrong, excused = residual < tolerance, residual >= tolerance - rounding
    return "right" if not wrong else "rounding" if excused else verdict


def run(solves: int, seed: int) -> Counter[tuple[str, str]]:
    """Counts of (method, status) and of (status, "rounding")."""
    rng = np.random.default_rng(seed)
    seen: Counter[tuple[str, str]] = Counter()
    done = 0
    while done < solves:
        case = stencil(rng) if rng.random() < 0.4 else matrix(rng)
        for method, b, rtol, atol, solution in solved(rng, case):
            verdict = judge(case, b, rtol, atol, solution)
            assert verdict in ("right", "rounding"), (verdict, case.kind, method, solution, case.dense, b, rtol, atol)
            seen[solution.method, solution.status.name] += 1
            seen[solution.status.name, verdict] += 1
            done += 1
    return seen


@pytest.mark.parametrize("solves", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_no_status_is_false(solves: int) -> None:
    seen = run(solves, seed=solves)
    successes = {method: count for (method, status), count in seen.items() if status == "SUCCESS"}
    assert set(successes) == {"amg", "cg", "fast_poisson", "lu", "minres", "multigrid_cg", *KRYLOV}
    assert min(successes.values()) > 1e-3 * solves  # every method is on trial
    for status in set(Status) - {Status.INVALID_SYSTEM}:  # both outcomes and every diagnosis of a single solve are in the sample
        assert seen[status.name, "right"] > 0.01 * solves, status
    assert seen["SUCCESS", "right"] > 0.5 * solves
    assert seen["SUCCESS", "rounding"] < 3e-3 * solves  # the allowance decides hardly ever


def test_a_false_success_is_found() -> None:
    """The judge itself: a solution that is off by twice the tolerance, or by a sign, does not pass."""
    rng = np.random.default_rng(0)
    A, b = np.eye(3) * 2.0, rng.standard_normal(3)
    case = Case("dense", A, A, {})
    for error, verdict in ((0.0, "right"), (0.9e-6, "right"), (2e-6, "success at 2 times the tolerance")):
        x = b / 2 + error * np.linalg.norm(b) / 2 * np.array([1.0, 0.0, 0.0])
        solution = Solution(x, Status.SUCCESS, 0, np.array([0.0]), "lu", {"relative_residual": 0.0})
        assert judge(case, b, 1e-6, 0.0, solution) == verdict
    failed = Solution(b / 2, Status.STAGNATION, 0, np.array([0.0]), "lu", {"relative_residual": 0.0})
    assert judge(case, b, 1e-6, 0.0, failed).startswith("stagnation at 0 times")
