"""Solutions of -Laplace u + absorption u = source at single points, by random walks; no grid of the domain is made.

u is given on the Dirichlet part of the boundary, du/dn = neumann on the rest, n pointing outwards. The walk on spheres goes from the
centre of the largest ball inside the domain to a random place of its surface (Muller, "Some continuous Monte Carlo methods for the
Dirichlet problem", Ann. Math. Statist. 27 (1956)); where walls reflect, balls are cut off by them (Sawhney, Miller, Gkioulekas and
Crane, "Walk on stars: a grid-free Monte Carlo method for PDEs with Neumann boundary conditions", ACM TOG 42 (2023)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.arguments import finite, finites, numbers, whole
from solvers.montecarlo.boundary import Boundary
from solvers.montecarlo.fields import compile_field
from solvers.montecarlo.kernels import BAD_DIRICHLET, BAD_FLUX, BAD_SOURCE, ENDED, Scratch, Walker, run_gradients, run_walks
from solvers.montecarlo.tree import DEPTH

Array = NDArray[np.float64]
Field = float | Callable[..., float]

_POINTS_A_BLOCK = 16
_INSIDE = 0.99  # of the distance to the boundary: the sphere that a gradient is taken from
_BAD = {BAD_DIRICHLET: "dirichlet", BAD_SOURCE: "source", BAD_FLUX: "neumann"}


@dataclass(frozen=True)
class Estimate:
    """Means over walks; never without their errors.

    Attributes
    ----------
    mean : (points,), or (points, dimension) for gradients.
    squares : sums of squared deviations from the mean, in the shape of `mean`.
    n_walks : samples that every mean is taken over; for gradients pairs of walks.
    n_truncated : (points,), walks that ended at the limit of steps instead of the boundary. They count with the value of the closest
        point of the Dirichlet part, which is not what the equation says: a share that is not small is a bias.
    total_steps : (points,), steps of all walks together.
    seed, epsilon, points : what the walks depend on besides the problem; `points` are the numbers of the points.
    """

    mean: Array
    squares: Array
    n_walks: int
    n_truncated: NDArray[np.int64]
    total_steps: NDArray[np.int64]
    seed: int
    epsilon: float
    points: NDArray[np.int64]

    @property
    def standard_error(self) -> Array:
        """Standard errors of the means, in their shape; infinite after a single walk. They say nothing about the bias by epsilon."""
        if self.n_walks < 2:
            return np.full_like(self.mean, np.inf)
        return np.sqrt(self.squares / (self.n_walks * (self.n_walks - 1)))

    @property
    def mean_steps(self) -> Array:
        """Steps a sample, (points,)."""
        return np.asarray(self.total_steps / self.n_walks)


@dataclass(frozen=True)
class EpsilonReport:
    """What is left of the bias of stopping at a distance from the boundary; the bias is proportional to it as that falls.

    Attributes
    ----------
    epsilons : (levels,), falling, each half of the one before.
    mean, standard_error : (levels, points), over the same walks: each goes on from where it stopped for the epsilon before.
    difference, difference_error : (levels - 1, points), of the means of neighbours, and its standard error, which is small as they share
        their walks. Half the first over the second is an order near 1 of the bias.
    extrapolated, extrapolated_error : (points,), Richardson's 2 u(epsilon) - u(2 epsilon), without the linear part of the bias.
    n_truncated : (points,), as in `Estimate`.
    """

    epsilons: Array
    mean: Array
    standard_error: Array
    difference: Array
    difference_error: Array
    extrapolated: Array
    extrapolated_error: Array
    n_truncated: NDArray[np.int64]


def walk_on_spheres(
    boundary: Boundary,
    points: Any,
    *,
    dirichlet: Field | Mapping[int, Field],
    source: Field = 0.0,
    absorption: float = 0.0,
    neumann: Mapping[int, Field] | None = None,
    n_walks: int = 256,
    epsilon: float,
    seed: int = 0,
    max_steps: int = 10_000,
    point_numbers: Any = None,
    resume: Estimate | None = None,
    workers: int = 1,
) -> Estimate:
    """Solve -Laplace u + absorption u = source at points inside the boundary.

    The result depends on the problem, `seed`, `epsilon`, `max_steps`, the numbers of the points and the count of walks, to the last
    bit, and not on `workers`, on which points are asked for together, or on how many calls the walks are spread over.

    Parameters
    ----------
    points : (points, dimension), inside.
    dirichlet : value of u on every part that `neumann` does not name: a number, a function of the coordinates, or such by tags.
        Functions are called with two or three numbers, and compiled by Numba: arithmetic, `math`, NumPy's functions of numbers.
    source : a number or a function.
    absorption : a number, 0 or positive, in units of 1 / length^2.
    neumann : du/dn outwards on tagged parts, walls that reflect where it is 0; None for none. Some part has to be left to `dirichlet`.
    n_walks : from each point; with `resume`, walks more.
    epsilon : in units of length. A walk ends where it is closer than this to the Dirichlet part, which makes a bias proportional to it;
        near reentrant edges of walls, balls are no smaller than this.
    seed : whole number, not negative.
    max_steps : at which a walk is given up, and counted in `n_truncated`.
    point_numbers : (points,), distinct whole numbers below 2^32 that the walks are drawn by; None for 0, 1, 2 ...
    resume : an estimate of the same problem, seed, epsilon and points to go on with.
    workers : threads.

    Raises
    ------
    TypeError, ValueError : for arguments of a kind or value that makes no sense, points that are not inside, functions that do not compile,
        and values of functions that are not finite, with their place.
    """
    setting = _Setting(boundary, points, dirichlet, source, absorption, neumann, (epsilon,), seed, max_steps, point_numbers)
    rows = np.ones((1, 1))
    mean, squares, count, truncated, steps = setting.accumulate(run_walks, rows, 1, n_walks, resume, workers)
    return Estimate(mean[:, 0], squares[:, 0], count, truncated, steps, setting.seed, setting.epsilon, setting.numbers)


def walk_gradients(
    boundary: Boundary,
    points: Any,
    *,
    dirichlet: Field | Mapping[int, Field],
    source: Field = 0.0,
    absorption: float = 0.0,
    neumann: Mapping[int, Field] | None = None,
    n_walks: int = 256,
    epsilon: float,
    seed: int = 0,
    max_steps: int = 10_000,
    point_numbers: Any = None,
    resume: Estimate | None = None,
    workers: int = 1,
) -> Estimate:
    """Estimate grad u (points, dimension) by pairs of walks from opposite points of a sphere around each point.

    Arguments, errors and what the result depends on are those of `walk_on_spheres`; `n_walks` counts pairs. The sphere reaches almost
    to the boundary, and no further than 1 / sqrt(absorption): errors grow like one over its radius. Every pair takes off, as a control
    variate, what the mean gradient of the pairs before makes of it, with its known expectation.
    """
    setting = _Setting(boundary, points, dirichlet, source, absorption, neumann, (epsilon,), seed, max_steps, point_numbers)
    mean, squares, count, truncated, steps = setting.accumulate(run_gradients, None, boundary.dimension, n_walks, resume, workers)
    return Estimate(mean, squares, count, truncated, steps, setting.seed, setting.epsilon, setting.numbers)


def epsilon_report(
    boundary: Boundary,
    points: Any,
    *,
    dirichlet: Field | Mapping[int, Field],
    source: Field = 0.0,
    absorption: float = 0.0,
    neumann: Mapping[int, Field] | None = None,
    n_walks: int = 256,
    epsilon: float,
    levels: int = 3,
    seed: int = 0,
    max_steps: int = 10_000,
    workers: int = 1,
) -> EpsilonReport:
    """Estimate u with `levels` epsilons, of which the last is `epsilon` and each half of the one before, by the same walks.

    The other arguments, and errors, are those of `walk_on_spheres`, whose result at the last epsilon has the same bits, but that balls at
    reentrant edges of walls have the size of the last epsilon for all.
    """
    count = whole("levels", levels)
    if not 2 <= count <= 30:
        raise ValueError(f"levels = {count}: give a number from 2 to 30")
    last = finite("epsilon", epsilon, "give a positive length")
    epsilons = tuple(last * 2.0 ** (count - 1 - k) for k in range(count))
    setting = _Setting(boundary, points, dirichlet, source, absorption, neumann, epsilons, seed, max_steps, None)
    means = np.eye(count)
    rows = np.concatenate([means, means[1:] - means[:-1], 2 * means[-1:] - means[-2:-1]])
    mean, squares, walks, truncated, _ = setting.accumulate(run_walks, rows, len(rows), n_walks, None, workers)
    error = np.sqrt(squares / (walks * (walks - 1))) if walks > 1 else np.full_like(mean, np.inf)
    parts = (slice(0, count), slice(count, 2 * count - 1), slice(2 * count - 1, None))
    (level, step, limit), (level_error, step_error, limit_error) = ([array.T[part] for part in parts] for array in (mean, error))
    return EpsilonReport(np.array(epsilons), level, level_error, step, step_error, limit[0], limit_error[0], truncated)


class _Setting:
    """A problem and its points, checked, with everything compiled."""

    def __init__(
        self,
        boundary: Boundary,
        points: Any,
        dirichlet: Any,
        source: Any,
        absorption: Any,
        neumann: Mapping[int, Field] | None,
        epsilons: tuple[float, ...],
        seed: Any,
        max_steps: Any,
        point_numbers: Any,
    ) -> None:
        if not isinstance(boundary, Boundary):
            raise TypeError(f"boundary is a {type(boundary).__name__}: give a solvers.montecarlo.Boundary")
        epsilons = finites("epsilon", epsilons, "give a positive length")
        if epsilons[-1] <= 0:
            raise ValueError(f"epsilon = {epsilons[-1]:g} is not positive: give a length far below the size of the domain")
        sigma = finite("absorption", absorption)
        if sigma < 0:
            raise ValueError(f"absorption = {sigma:g} is negative: give 0 or a positive number; waves cannot be walked")
        self.seed, self.epsilon = whole("seed", seed), epsilons[-1]
        if self.seed < 0:
            raise ValueError(f"seed = {self.seed} is negative: give 0 or a positive whole number")
        if whole("max_steps", max_steps) < 1 or max_steps >= 2**28:
            raise ValueError(f"max_steps = {max_steps}: give a whole number from 1 to 2^28 - 1")
        self.starts = boundary.coordinates("points", points)
        inside = boundary.contains(points)
        if not inside.all():
            bad = int(np.flatnonzero(~inside)[0])
            raise ValueError(f"points[{bad}] = {self.starts[bad, : boundary.dimension].tolist()} is not inside the boundary: leave it out")
        self.numbers = _checked_numbers(point_numbers, len(self.starts))
        reflecting = _reflecting(boundary, dirichlet, neumann)
        fluxes = {} if neumann is None else neumann
        key = np.random.SeedSequence(self.seed).generate_state(2).astype(np.uint64)
        dimension = boundary.dimension
        self.fields = (
            compile_field("dirichlet", dirichlet, dimension),
            compile_field("source", source, dimension),
            compile_field("neumann", fluxes, dimension),
        )
        self.walker = Walker(
            dimension,
            boundary.part(~reflecting),
            boundary.part(reflecting),
            boundary.silhouettes(reflecting),
            boundary.tags,
            math.sqrt(sigma),
            callable(source) or source != 0,
            any(callable(value) or value != 0 for value in fluxes.values()),
            key,
            np.array(epsilons),
            int(max_steps),
        )
        self.radii = np.minimum(_INSIDE * boundary.distance(points), 1 / math.sqrt(sigma) if sigma > 0 else math.inf)

    def accumulate(
        self, loop: Any, rows: Array | None, quantities: int, n_walks: int, resume: Estimate | None, workers: int
    ) -> tuple[Array, Array, int, NDArray[np.int64], NDArray[np.int64]]:
        """Means, sums of squares (points, quantities), samples, truncated walks and steps, after `n_walks` samples more."""
        more, threads = whole("n_walks", n_walks), whole("workers", workers)
        if more < 1 or threads < 1:
            raise ValueError(f"n_walks = {more}, workers = {threads}: give positive whole numbers")
        count = len(self.starts)
        mean, squares = np.zeros((count, quantities)), np.zeros((count, quantities))
        truncated, steps = np.zeros(count, np.int64), np.zeros(count, np.int64)
        first = 0
        if resume is not None:
            self._refuse_another(resume, (count,) if rows is not None else (count, quantities))
            mean[:], squares[:] = resume.mean.reshape(mean.shape), resume.squares.reshape(mean.shape)
            truncated[:], steps[:], first = resume.n_truncated, resume.total_steps, resume.n_walks
        if first + more >= 2**32:
            raise ValueError(f"n_walks = {more} after {first}: walks are numbered below 2^32, take another seed and average")

        def run(begin: int) -> tuple[int, int, Array]:
            part = slice(begin, begin + _POINTS_A_BLOCK)
            scratch = _scratch(len(self.walker.epsilons))
            extra = (self.starts[part], self.radii[part]) if rows is None else (self.starts[part],)
            matrix = () if rows is None else (rows,)
            how, start = loop(
                self.walker, *self.fields, scratch, *extra, self.numbers[part], first, first + more, *matrix,
                mean[part], squares[part], truncated[part], steps[part],
            )  # fmt: skip
            return how, begin + start, scratch.z

        blocks = range(0, count, _POINTS_A_BLOCK)
        with ThreadPoolExecutor(threads) as pool:
            for how, start, place in pool.map(run, blocks):
                if how != ENDED:
                    where = place[: self.walker.dimension].tolist()
                    point = self.starts[start, : self.walker.dimension].tolist()
                    came = f"where a walk from points[{start}] = {point} came"
                    raise ValueError(f"{_BAD[how]} is not a finite number at {where}, {came}: define it there")
        return mean, squares, first + more, truncated, steps

    def _refuse_another(self, resume: Estimate, shape: tuple[int, ...]) -> None:
        if not isinstance(resume, Estimate):
            raise TypeError(f"resume is a {type(resume).__name__}: give the Estimate of an earlier call")
        if resume.mean.shape != shape or not np.array_equal(resume.points, self.numbers):
            raise ValueError(f"resume is of shape {resume.mean.shape}, or of other points, where {shape} is needed: give the same points")
        if (resume.seed, resume.epsilon) != (self.seed, self.epsilon):
            raise ValueError(
                f"resume has seed {resume.seed} and epsilon {resume.epsilon:g}, not {self.seed} and {self.epsilon:g}: give the same"
            )


def _checked_numbers(given: Any, count: int) -> NDArray[np.int64]:
    if given is None:
        return np.arange(count)
    found = numbers("point_numbers", given, "give whole numbers", kinds="iu").astype(np.int64)
    if found.shape != (count,) or len(np.unique(found)) != count or (count and (found.min() < 0 or found.max() >= 2**32)):
        raise ValueError(f"point_numbers of shape {found.shape}: give {count} distinct whole numbers from 0 to 2^32 - 1")
    return found


def _reflecting(boundary: Boundary, dirichlet: Any, neumann: Any) -> NDArray[np.bool_]:
    """Which elements reflect; ValueError for tags that do not fit."""
    if neumann is not None and not isinstance(neumann, Mapping):
        raise TypeError("neumann is no mapping: give numbers or functions by tags, as {2: 0.0}")
    present = set(np.unique(boundary.tags).tolist())
    walls = set() if neumann is None else set(neumann)
    held = set(dirichlet) if isinstance(dirichlet, Mapping) else present - walls
    for name, tags in (("neumann", walls), ("dirichlet", held)):
        if tags - present:
            raise ValueError(f"{name} names the tag {min(tags - present)}: the boundary has {sorted(present)}")
    if walls & held or present - walls - held:
        odd = min((walls & held) | (present - walls - held))
        raise ValueError(f"the tag {odd} is in both or none of dirichlet and neumann: give it in one of them")
    if not held:
        raise ValueError("neumann takes the whole boundary: leave a part to dirichlet, where walks can end")
    return np.isin(boundary.tags, sorted(walls))


def _scratch(epsilons: int) -> Scratch:
    return Scratch(np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(epsilons), np.zeros(3), np.zeros(DEPTH, np.int64), np.zeros(DEPTH))
