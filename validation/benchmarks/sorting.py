"""Sorting at scale: what a path through a large family of systems takes, beside solving them, and how short it is.

Three families: Darcy flow through media drawn independently (features are the low cosine modes of their logarithms), Darcy flow through
media of two parameters (features by a callable, the parameters themselves), and Helmholtz's equation with one wavenumber a system. Sorting
counts from the stored fields to the permutation. A solve is timed on a few stretches of neighbours on the path, picked at random, with
GCRO-DR, leaving out the first of each, and multiplied by the number of systems: nobody solves all of them here.

The mean step of a path is compared with the mean distance to the nearest other system, which is computed exactly for a random few. On a
line the shortest path has 2 times that, in the plane 1.42 times: 0.7124, the constant of the theorem of Beardwood, Halton and Hammersley
(1959) as later measured, over the 1/2 of a Poisson process. Memory counts what the process grows by; what it had already set free is
used again at no charge.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport
from sciml.errors import InputError
from sciml.fields import GaussianRandomField
from sciml.grid import Grid
from solvers import GCRODR, Solution, solve_sequence
from solvers.linear import Ordering, coefficient_features, diffusion_operator, make_preconditioner, order_systems
from solvers.linear.stencil import Sides
from validation.options import check_between
from validation.timing import one_core, timed

Array = NDArray[np.float64]
Item = tuple[Any, ...]

LAW = GaussianRandomField(alpha=2.0, tau=3.0, amplitude=3.0)
ZERO: Sides = (("dirichlet", "dirichlet"),) * 2
STRETCH = 9  # systems of a stretch, the first of which is not counted
NEIGHBOURS = 300  # systems whose nearest neighbour is looked for
RTOL = 1e-8


@dataclass(frozen=True)
class Family:
    """A family of systems and how it is sorted.

    Parameters
    ----------
    sort : the features that were compared, and the ordering.
    system : what `solve_sequence` takes of a number.
    shortest : what the mean step may be over the mean distance to a nearest neighbour.
    products : what those on the path may be over those in the drawn order.
    reason : for that.
    """

    sort: Callable[[], tuple[Array, Ordering]]
    system: Callable[[int], Item]
    shortest: float
    products: tuple[float, float]
    reason: str


def run(*, systems: int = 100_000, resolution: int = 32, stretches: int = 4) -> CheckReport:
    """Sort families of `systems` systems on resolution^2 cells; time solves on `stretches` stretches of each."""
    check_between("systems", systems, 1000, 1_000_000)
    check_between("resolution", resolution, 8, 128)
    check_between("stretches", stretches, 1, 100)
    if not _STATUS.exists():
        raise InputError(f"the sorting benchmark reads {_STATUS}, which this system does not have: run it on Linux")
    start = time.perf_counter()
    checks: list[Check] = []
    details: dict[str, Any] = {"systems": systems, "resolution": resolution}
    with tempfile.TemporaryDirectory() as folder, one_core():
        order_systems(np.random.default_rng(0).random((6000, 3)))  # compiles
        for name, family in _families(systems, resolution, Path(folder)).items():
            found, details[name] = _measured(name, family, systems, stretches)
            checks += found
    return CheckReport("sorting", checks, time.perf_counter() - start, details)


def _families(systems: int, n: int, folder: Path) -> dict[str, Family]:
    grid = Grid((n, n), (1.0, 1.0))
    media = np.lib.format.open_memmap(folder / "media.npy", "w+", np.float32, (systems, n, n))
    for index in range(systems):
        media[index] = np.exp(LAW.sample(grid, np.random.default_rng([0, index])))
    fixed = np.array([LAW.sample(grid, np.random.default_rng([1, index])) for index in range(2)])
    weights = np.random.default_rng(2).standard_normal((systems, 2))
    wavenumbers = np.random.default_rng(3).uniform(8.0, 12.0, systems)

    distant = "neighbours in 63 dimensions are a third as far apart as any two"

    def by_modes() -> tuple[Array, Ordering]:
        features = coefficient_features(media)
        return features, order_systems(features)

    return {
        "independent media": Family(by_modes, lambda number: _darcy(media[number].astype(np.float64)), 1.25, (0.7, 0.95), distant),
        "media of two parameters": Family(
            lambda: (weights, order_systems(range(systems), key=lambda number: weights[number])),
            lambda number: _darcy(np.exp(np.tensordot(weights[number], fixed, 1))),
            2.0,
            (0.5, 0.8),
            "neighbours on the path are nearly equal",
        ),
        "wavenumbers": Family(
            lambda: (wavenumbers[:, None] ** 2, order_systems(wavenumbers**2)),
            lambda number: _helmholtz(wavenumbers[number], number, n),
            2.2,
            (0.9, 1.1),
            "a shift leaves invariant subspaces as they are: there is nothing to gain",
        ),
    }


def _darcy(a: Array) -> Item:
    A = diffusion_operator(a, spacing=(1 / len(a),) * 2, sides=ZERO)
    return A, np.ones(a.size), make_preconditioner(A, "jacobi")


def _helmholtz(k: float, number: int, n: int) -> Item:
    A = diffusion_operator(1.0, shape=(n, n), spacing=(1 / n, 1.1 / n), sides=ZERO, reaction=-(k**2))
    return A, np.random.default_rng([4, number]).standard_normal(n * n)


def _measured(name: str, family: Family, systems: int, stretches: int) -> tuple[list[Check], dict[str, Any]]:
    ((features, order), peak), sorting = timed(_with_peak, family.sort)
    rng = np.random.default_rng(5)
    starts = rng.integers(systems - STRETCH, size=stretches)
    neighbours = [order.permutation[first : first + STRETCH] for first in starts]
    drawn = [rng.integers(systems, size=STRETCH) for _ in starts]
    (seconds, products), (_, given) = (_solved(family, numbers) for numbers in (neighbours, drawn))
    nearest = _nearest(features, rng.choice(systems, min(NEIGHBOURS, systems), replace=False))
    step = order.length_after / (systems - 1)
    sample = f"from {stretches * (STRETCH - 1)} solves of GCRO-DR in stretches of the path, to {systems}"
    checks = [
        Check(f"{name}: time of sorting over that of solving, extrapolated", sorting / (seconds * systems), "<=", 0.01, reference=sample),
        Check(f"{name}: peak memory of sorting, bytes a system", peak / systems, "<=", 2048.0, reference="four rows of 64 features"),
        Check(f"{name}: length of the path over that of the drawn order", order.length_after / order.length_before, "<=", 0.5),
        Check(f"{name}: mean step over the exact distance to the nearest system", step / nearest, "<=", family.shortest,
              reference=f"mean over {NEIGHBOURS} systems drawn at random"),
        Check(f"{name}: products on the path over those in the drawn order", products / given, "in", family.products,
              reference=family.reason),
    ]  # fmt: skip
    figures = {"seconds of sorting": sorting, "seconds a solve": seconds, "products on the path": products, "products as drawn": given,
               "step": step, "nearest": nearest, "megabytes": peak / 1e6}  # fmt: skip
    return checks, figures


def _solved(family: Family, stretches: Sequence[NDArray[np.int64]]) -> tuple[float, float]:
    """Processor seconds and products of a solve, means over all but the first of each stretch."""
    seconds, products = [], []
    for numbers in stretches:
        solving = solve_sequence([family.system(int(number)) for number in numbers], GCRODR(), rtol=RTOL)
        next(solving).raise_for_status()
        rest: list[Solution]
        rest, taken = timed(list, solving)
        seconds.append(taken / len(rest))
        products += [solution.raise_for_status().info["matvecs"] for solution in rest]
    return float(np.mean(seconds)), float(np.mean(products))


def _nearest(features: Array, picked: NDArray[np.int64]) -> float:
    """Mean distance of the picked systems to the nearest other one, by comparison with all."""
    found = []
    for number in picked:
        squares = ((features - features[number]) ** 2).sum(axis=1)
        squares[number] = np.inf
        found.append(float(np.sqrt(squares.min())))
    return float(np.mean(found))


_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _with_peak(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call gives, and by how many bytes the resident memory of the process rose at most while it ran."""
    _RESET.write_text("5")  # makes the peak what is resident now
    before = _kilobytes("VmRSS")
    result = call()
    return result, 1024 * (_kilobytes("VmHWM") - before)


def _kilobytes(field: str) -> int:
    return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith(field))
