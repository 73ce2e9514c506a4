"""The automatic choice of a method beside every fixed one, over families, sizes, contrasts, tolerances and numbers of right-hand sides.

A cell is one matrix with one or sixteen right-hand sides at one tolerance. Every method that applies to it is tried once; those that
solve it within a few times the least time are then timed in turns with ``method="auto"``, on one core in processor time. A cell holds
where the automatic choice takes at most 1.1 times the best fixed method, both as the least of all repetitions, since noise only adds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers import Status, linear_solve_many
from solvers.linear import StencilOperator, diffusion_operator
from solvers.linear.solve import METHODS
from solvers.linear.stencil import Side
from validation.options import check_between
from validation.report import save
from validation.timing import interleaved, one_core, seconds

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

WITHIN = 1.1
CONTENDERS = 2.5  # methods slower than this many times the fastest are not timed again
GIVE_UP = 20.0  # nor is a method tried at all on the larger matrices of a family where it was slower by this factor
TOLERANCES = (1e-4, 1e-10)
RIGHT_HAND_SIDES = (1, 16)
ZERO: tuple[Side, Side] = ("dirichlet", "dirichlet")


@dataclass(frozen=True)
class Family:
    """Matrices of one kind; `make(n)` gives that of n cells an axis."""

    name: str
    make: Callable[[int], Any]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """Least times in milliseconds of all right-hand sides together; methods that failed or do not apply are not in it."""

    family: str
    size: int
    rtol: float
    right_hand_sides: int
    milliseconds: dict[str, float]
    auto_chose: str

    @property
    def ratio(self) -> float:
        """Time of the automatic choice over that of the best fixed method."""
        return self.milliseconds["auto"] / min(ms for name, ms in self.milliseconds.items() if name != "auto")


def _medium(n: int, contrast: float, dimension: int = 2) -> StencilOperator:
    """Two phases in patches of a few cells."""
    rng = np.random.default_rng(n)
    coarse = rng.random((max(n // 4, 2),) * dimension) > 0.5
    cells = np.arange(n) * len(coarse) // n
    a = np.where(coarse[np.ix_(*[cells] * dimension)], contrast, 1.0)
    return diffusion_operator(a, spacing=(1 / n,) * dimension, sides=(ZERO,) * dimension)


def _constant(n: int) -> StencilOperator:
    return diffusion_operator(1.0, shape=(n, n), spacing=(1 / n, 1 / n), sides=(ZERO, ZERO))


def _convection(n: int) -> sp.csr_matrix:
    """Upwind differences of ``-Laplacian u + 40 (1, 1/2) . grad u``."""
    h, one = 1 / n, sp.eye(n)

    def along(speed: float) -> sp.csr_matrix:
        return sp.diags([-1 / h**2 - speed / h, 2 / h**2 + speed / h, -1 / h**2], [-1, 0, 1], shape=(n, n))

    return sp.csr_matrix(sp.kron(along(40.0), one) + sp.kron(one, along(20.0)))


FAMILIES = (
    Family("constant coefficients, 2-D", _constant, (16, 64, 128)),
    Family("contrast 4, 2-D", partial(_medium, contrast=4.0), (16, 64, 128)),
    Family("contrast 1e4, 2-D", partial(_medium, contrast=1e4), (16, 64, 128)),
    Family("contrast 4, 3-D", partial(_medium, contrast=4.0, dimension=3), (8, 24)),
    Family("sparse matrix, definite", lambda n: _medium(n, 4.0).to_csr(), (32, 128)),
    Family("sparse matrix, convection and diffusion", _convection, (32, 96)),
)


def run(*, repetitions: int = 5, out: Path | None = None) -> CheckReport:
    """Time 60 cells; the report is also written to `out`."""
    check_between("repetitions", repetitions, 3, 1000)
    start = time.perf_counter()
    with one_core():
        cells = [cell for family in FAMILIES for cell in _cells(family, repetitions)]
    share = sum(cell.ratio <= WITHIN for cell in cells) / len(cells)
    worst = max(cells, key=lambda cell: cell.ratio)
    where = f"{worst.family}, {worst.size} cells an axis, rtol {worst.rtol:g}, {worst.right_hand_sides} right-hand sides"
    checks = [
        Check(f"share of {len(cells)} cells where auto is within 10 % of the best fixed method", share, ">=", 0.95),
        Check(f"worst ratio ({where})", worst.ratio, "<=", 2.0, reference="best fixed method, same run"),
    ]
    details = {"cells": [{**asdict(cell), "ratio": cell.ratio} for cell in cells]}
    report = CheckReport("auto", checks, time.perf_counter() - start, details)
    if out is not None:
        save(report, out)
    return report


def _cells(family: Family, repetitions: int) -> Iterator[Cell]:
    hopeless: set[str] = set()
    for size in family.sizes:
        A = family.make(size)
        B = np.random.default_rng(size).standard_normal((max(RIGHT_HAND_SIDES), A.shape[0]))
        for rtol, m in product(TOLERANCES, RIGHT_HAND_SIDES):
            calls = {name: partial(_names, A, B[:m], name, rtol) for name in ("auto", *METHODS) if name not in hopeless}
            chose = calls["auto"]()  # the first call of all may calibrate, compile or read a cache
            once = {name: seconds(call) for name, call in calls.items() if _succeeds(call)}
            best = min(taken for name, taken in once.items() if name != "auto")
            hopeless |= {name for name in calls if name != "auto" and once.get(name, np.inf) > GIVE_UP * best}
            contenders = {name: calls[name] for name, taken in once.items() if name == "auto" or taken <= CONTENDERS * best}
            often = max(repetitions, min(15, int(0.05 / best)))
            least = {name: min(taken) for name, taken in interleaved(contenders, often).items()}
            milliseconds = {name: 1e3 * least.get(name, taken) for name, taken in once.items()}
            cell = Cell(family.name, size, rtol, m, milliseconds, " ".join(sorted(set(chose))))
            log.info("%-40s %3d  rtol %.0e  %2d rhs  auto %8.2f ms (%s), best %.2f times that: %s", family.name, size, rtol, m,
                     cell.milliseconds["auto"], cell.auto_chose, 1 / cell.ratio, _table(cell))  # fmt: skip
            yield cell


def _names(A: Any, B: Array, method: str, rtol: float) -> list[str]:
    """Solve; the methods that produced the solutions, empty where one did not succeed."""
    solutions = linear_solve_many(A, B, method, rtol=rtol)
    return [one.method for one in solutions] if all(one.status is Status.SUCCESS for one in solutions) else []


def _succeeds(call: Callable[[], list[str]]) -> bool:
    try:
        return bool(call())
    except TypeError:  # the method needs another kind of matrix
        return False


def _table(cell: Cell) -> str:
    return ", ".join(f"{name} {ms:.2f}" for name, ms in sorted(cell.milliseconds.items(), key=lambda item: item[1]) if name != "auto")
