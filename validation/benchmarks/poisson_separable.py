"""Poisson's equation by fast transforms, beside the bare transforms of SciPy and beside methods that do not use them.

One matrix, many right-hand sides, float64, one core, processor time. "Solved" is `linear_solve_many`, which recomputes the residual of
every sample and returns a `Solution` for each; "transforms" is `fast_solve`, the part in between that can be compared with the bare
transforms: the same ones there and back over the same blocks of samples, with nothing done to the spectrum. The peers are given their
factorisation or hierarchy; only solving is timed. The error is that of a solution whose right-hand side was made with the matrix.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy
import scipy.fft as sfft
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from solvers import linear_solve_many
from solvers.linear import StencilOperator, diffusion_operator
from solvers.linear.fast_poisson import fast_solve
from solvers.linear.stencil import Sides
from validation.options import check_between
from validation.peers import pyamg_cg, scipy_splu
from validation.report import save
from validation.timing import interleaved, one_core, seconds

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

D, N = "dirichlet", "neumann"
PAIRS = {"DD": (D, D), "NN": (N, N), "DN": (D, N), "ND": (N, D), "PP": ("periodic", "periodic")}
CELLS_IN_A_BATCH = 1 << 19
PEER_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Row:
    """Figures of one grid and one combination of sides; times in microseconds a sample."""

    sides: str
    shape: tuple[int, ...]
    batch: int
    bare: float
    transforms: float
    solved: float
    transforms_over_bare: float
    solved_over_bare: float
    samples_per_second: float
    worst_relative_residual: float
    worst_relative_error: float


def run(*, repetitions: int = 11, out: Path | None = None) -> CheckReport:
    """Time 64 x 64 cells under all pairs of sides and the other grids under three; the report is also written to `out`."""
    check_between("repetitions", repetitions, 3, 1000)
    start = time.perf_counter()
    everywhere = ["-".join(pair) for pair in product(PAIRS, repeat=2)]
    grids: list[tuple[tuple[int, ...], str]] = [((64, 64), sides) for sides in everywhere]
    grids += [((n, n), sides) for n in (32, 128, 256) for sides in ("DD-DD", "NN-DN", "PP-PP")]
    grids += [((32, 32, 32), sides) for sides in ("DD-DD-DD", "NN-DN-PP", "PP-PP-PP")]
    with one_core():
        rows = [_row(shape, sides, repetitions) for shape, sides in grids]
        peers = {f"{n} x {n}": _peers(n) for n in (64, 128)}
    details = {"rows": [asdict(row) for row in rows], "peers": peers}
    report = CheckReport("poisson-separable", _checks(rows), time.perf_counter() - start, details)
    if out is not None:
        save(report, out)
    return report


def _checks(rows: list[Row]) -> list[Check]:
    at_64 = [row for row in rows if row.shape == (64, 64)]
    slowest = min(at_64, key=lambda row: row.samples_per_second)
    bare = f"bare transforms of SciPy {scipy.__version__}, same run"
    name = f"64 x 64, slowest of {len(at_64)} pairs of sides ({slowest.sides}): solved and checked"
    checks = [Check(name, slowest.samples_per_second, ">=", 8000.0, "samples/s", "one core")]
    for shape in dict.fromkeys(row.shape for row in rows):
        worst = max((row for row in rows if row.shape == shape), key=lambda row: row.transforms_over_bare)
        name = " x ".join(map(str, shape))
        checks.append(Check(f"{name}: solve / bare transforms ({worst.sides})", worst.transforms_over_bare, "<=", 1.3, "", bare, "peer"))
    residual, error = max(row.worst_relative_residual for row in rows), max(row.worst_relative_error for row in rows)
    # For rough solutions rounding leaves a residual of some u, and an error of u times the condition number, about 256^2.
    return [
        *checks,
        Check("worst relative residual of all samples", residual, "<=", 1e-14, reference="rounding, 45 u"),
        Check("worst relative error of all samples", error, "<=", 1e-11, reference="solution known by construction", status="exact"),
    ]


def _row(shape: tuple[int, ...], sides: str, repetitions: int) -> Row:
    A = _operator(shape, sides)
    batch = max(1, CELLS_IN_A_BATCH // math.prod(shape))
    X, B = _systems(A, batch)
    assert A.constant is not None
    calls: dict[str, Callable[[], Any]] = {
        "bare": lambda: _bare(A.constant.sides, B),  # type: ignore[union-attr]
        "transforms": lambda: fast_solve(A.constant, B),  # type: ignore[arg-type]
        "solved": lambda: linear_solve_many(A, B, "fast_poisson"),
    }
    taken = interleaved(calls, repetitions)
    each = {name: 1e6 * median(times) / batch for name, times in taken.items()}
    ratios = {name: median(t / bare for t, bare in zip(taken[name], taken["bare"], strict=True)) for name in taken}
    solutions = [solution.raise_for_status() for solution in linear_solve_many(A, B, "fast_poisson")]
    row = Row(
        sides, shape, batch, **each, transforms_over_bare=ratios["transforms"], solved_over_bare=ratios["solved"],
        samples_per_second=1e6 / each["solved"],
        worst_relative_residual=max(solution.relative_residual for solution in solutions),
        worst_relative_error=max(_error(solution.x, x) for solution, x in zip(solutions, X, strict=True)),
    )  # fmt: skip
    what = f"{'x'.join(map(str, shape)):9} {sides:9}"
    log.info("%s %9.0f samples/s, solve / bare %.2f, with check / bare %.2f", what, row.samples_per_second, row.transforms_over_bare,
             row.solved_over_bare)  # fmt: skip
    return row


def _operator(shape: tuple[int, ...], sides: str) -> StencilOperator:
    pairs: Sides = tuple(PAIRS[name] for name in sides.split("-"))  # type: ignore[misc]
    return diffusion_operator(1.0, shape=shape, spacing=tuple(1 / n for n in shape), sides=pairs)


def _systems(A: StencilOperator, batch: int) -> tuple[Array, Array]:
    """Solutions and the right-hand sides that belong to them; of mean zero where the operator is singular."""
    X = np.random.default_rng(0).standard_normal((batch, *A.grid_shape))
    if A.is_singular:
        X -= X.mean(axis=tuple(range(1, X.ndim)), keepdims=True)
    B = np.array([A @ x for x in X])
    if A.is_singular:
        B -= B.mean(axis=tuple(range(1, X.ndim)), keepdims=True)
    return X, B


def _bare(sides: Sides, B: Array) -> None:
    """The transforms there and back, over blocks that stay in the cache, as a careful user would call SciPy."""
    real: dict[tuple[Any, Any, int], list[int]] = {}
    fourier: list[int] = []
    for axis, (low, high) in enumerate(sides, start=1):
        if low == "periodic":
            fourier.append(axis)
        else:
            forward, backward = (sfft.dstn, sfft.idstn) if low == D else (sfft.dctn, sfft.idctn)
            real.setdefault((forward, backward, 2 if low == high else 4), []).append(axis)
    grid = B.shape[1:]
    block = max(1, (1 << 16) // math.prod(grid))
    for first in range(0, len(B), block):
        b = B[first : first + block]
        for (forward, _, number), axes in real.items():
            b = forward(b, type=number, axes=axes, overwrite_x=b.base is None)
        if fourier:
            b = sfft.irfftn(sfft.rfftn(b, axes=fourier), s=[B.shape[axis] for axis in fourier], axes=fourier, overwrite_x=True)
        for (_, backward, number), axes in real.items():
            b = backward(b, type=number, axes=axes, overwrite_x=True)


def _peers(n: int) -> dict[str, dict[str, float | str]]:
    """Microseconds a sample and errors of methods that know the matrix but not its structure; set-up excluded."""
    A = _operator((n, n), "DD-DD")
    X, B = _systems(A, 16)
    flat, exact = B.reshape(16, -1), X.reshape(16, -1)
    matrix = A.to_csr()
    found: dict[str, dict[str, float | str]] = {}
    for peer in (scipy_splu, pyamg_cg):
        solve = peer.prepared(matrix, rtol=PEER_TOLERANCE)
        taken = [seconds(lambda: solve(flat)) for _ in range(3)]  # noqa: B023  # called here and now
        error = max(_error(x, y) for x, y in zip(solve(flat), exact, strict=True))
        found[peer.NAME] = {"microseconds": 1e6 * median(taken) / 16, "worst relative error": error}
        log.info("%dx%d %s: %.0f us a sample, worst error %.1e", n, n, peer.NAME, 1e6 * median(taken) / 16, error)
    return found


def _error(x: Array, exact: Array) -> float:
    return float(np.linalg.norm(x - exact) / np.linalg.norm(exact))
