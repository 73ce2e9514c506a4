"""Order a family of systems so that neighbours resemble each other: what one solve leaves behind then serves the next.

Following Wang, Hao and others (2024, "Accelerating data generation for neural operators via Krylov subspace
recycling"): a short path through the parameters, by greedy nearest neighbours, and for very many systems inside pieces of a space-filling
curve. Departures: the distance is that of `coefficient_features`, the curve is Hilbert's through the first principal components, the path
starts at an end of the family instead of at system 0, and 2-opt shortens it.

The order is a function of the features alone: every sum runs in a fixed order without fused arithmetic, and ties go to the smaller index,
so that all machines agree.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from solvers.linear.compiled import kernel

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_LARGEST_GREEDY = 5000  # systems; its cost is quadratic
_CHUNK = 2000  # systems of one piece of the curve
_COMPONENTS = 3  # principal components that the curve runs through
_BITS = 16  # cells of the curve along an axis: 2^16; three axes fit into a 64-bit key
_SAMPLE = 4096  # systems that speak for all in the search for principal components
_WINDOW = 100  # longest segment that 2-opt reverses
_BLOCK = 1 << 17  # values of coefficient fields that are transformed at once
_ROUNDING = 1e-12  # over the largest value: what a parameter that is the same for all may differ by
_FEATURES = 64  # modes kept where nobody says how many


@dataclass(frozen=True, eq=False)
class Ordering:
    """A path through a family of N systems.

    Attributes
    ----------
    permutation : shape (N,); ``permutation[k]`` is the system to solve k-th.
    inverse : shape (N,); system i is solved as number ``inverse[i]``: ``solved_in_order[inverse]`` is in the original order.
    length_before, length_after : sums of the distances between consecutive systems in the original order and on the path.
    seconds : what finding the path took.
    """

    permutation: Indices
    inverse: Indices
    length_before: float
    length_after: float
    seconds: float


def coefficient_features(fields: ArrayLike, *, scalars: ArrayLike | None = None, modes: int | None = None, log: bool = True) -> Array:
    """Low cosine modes of the logarithms of coefficient fields, their means left out.

    Invariant subspaces do not change when a coefficient is multiplied by a number, and the smallest eigenvalues, which recycling is
    about, see its large-scale structure. Cosines do not wrap around at the boundary as Fourier modes do. The features of the fields
    together have a variance of one over the family, and so has each scalar.

    Parameters
    ----------
    fields : coefficients at equidistant points, shape (N, *grid), positive where `log`; read in blocks, so that a memory map will do.
    scalars : further parameters, shape (N,) or (N, s), such as squared wavenumbers; None is none.
    modes : modes along each axis; None is the most of which a tensor product has at most 64, at most the grid's points.
    log : whether to take logarithms. Without, fields may have any sign.

    Returns
    -------
    array of shape (N, modes^dimension - 1 + s)

    Raises
    ------
    ValueError : shapes that do not fit, values that are not finite or, with `log`, not positive.
    """
    fields = fields if isinstance(fields, np.ndarray) else np.asarray(fields)
    if fields.ndim < 2 or fields.size == 0:
        raise ValueError(f"fields has shape {fields.shape}; it needs one field a row: (N, *grid), not empty")
    if fields.dtype.kind not in "biuf":
        raise ValueError(f"fields is of type {fields.dtype}; coefficients must be real numbers")
    count, grid = len(fields), fields.shape[1:]
    if modes is None:
        modes = int(_FEATURES ** (1 / len(grid)) + 1e-9)
    elif modes < 1:
        raise ValueError(f"modes={modes} must be None or at least 1")
    tables = [_cosines(n, min(modes, n)) for n in grid]
    size = math.prod(len(table) for table in tables)
    features = np.empty((count, size))
    block = max(1, _BLOCK // math.prod(grid))
    for first in range(0, count, block):
        given = np.asarray(fields[first : first + block], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):  # of what is refused below
            values = np.log(given) if log else given
        if not np.isfinite(values).all():
            row, *cell = np.argwhere(~np.isfinite(values))[0].tolist()
            remedy = "finite and positive, or pass log=False" if log else "finite"
            raise ValueError(f"fields[{first + row}] holds {float(given[row, *cell]):g}; coefficients must be {remedy}")
        for table in tables:  # transforms the first axis of the grid and moves it behind the others
            values = np.moveaxis(values, 1, -1) @ table.T
        features[first : first + block] = values.reshape(len(values), size)
    features = _standardised(features[:, 1:], abs(features).max(), together=True)
    if scalars is None:
        return features
    columns = np.asarray(scalars, np.float64)
    if len(columns) != count or columns.ndim > 2:
        raise ValueError(f"scalars has shape {columns.shape}; {count} fields need ({count},) or ({count}, s)")
    if not np.isfinite(columns).all() or abs(columns).max(initial=0.0) > 1e150:
        worst = columns.flat[np.argmax(~(abs(columns) <= 1e150))]
        raise ValueError(f"scalars reaches {worst:g}; parameters must be finite, and their squares")
    columns = columns.reshape(count, -1)
    return np.concatenate([features, _standardised(columns, abs(columns).max(axis=0, initial=0.0), together=False)], axis=1)


def _cosines(n: int, modes: int) -> Array:
    """The first rows of the orthonormal DCT-II matrix, over sqrt(n): the transform of 1 is (1, 0, ...)."""
    table: Array = np.cos(np.pi / n * np.outer(np.arange(modes), np.arange(n) + 0.5)) * (math.sqrt(2) / n)
    table[0] = 1 / n
    return table


def _standardised(columns: Array, largest: Array | float, *, together: bool) -> Array:
    """Columns with mean 0 and, each or all together, variance 1; zero where they vary by no more than rounding of the largest values."""
    columns = columns - columns.mean(axis=0)
    variance = (columns**2).mean(axis=0)
    scale = np.sqrt(variance.sum() if together else variance)
    varies = scale > _ROUNDING * largest
    return columns / np.where(varies, scale, 1.0) * varies


def order_systems(systems: Sequence[Any] | NDArray[Any], *, key: Callable[[Any], ArrayLike] | None = None, sweeps: int = 2) -> Ordering:
    """Find a short path through a family of systems; its length is never above that of the original order.

    Up to 5000 systems by greedy nearest neighbours, in quadratic time; more are first cut into pieces along a Hilbert curve. A family in
    which one feature alone varies is sorted by it, which is exact.

    Parameters
    ----------
    systems : features, shape (N,) or (N, d), such as those of `coefficient_features`, compared by Euclidean distance; with `key` anything.
    key : features of one system, all of one size; None where `systems` are features.
    sweeps : passes of 2-opt over the path, which reverse segments of up to 100 systems; 0 is none.

    Raises
    ------
    ValueError : no systems, features that are not finite or of different sizes, sweeps below 0.

    Examples
    --------
    >>> order_systems([3.0, 1.0, 2.0]).permutation.tolist()
    [1, 2, 0]
    """
    start = time.perf_counter()
    if sweeps < 0:
        raise ValueError(f"sweeps={sweeps} must be 0 or more")
    rows = systems if key is None else [np.ravel(key(system)) for system in systems]
    try:
        features = np.array(rows, np.float64)  # a copy: scaled below
    except ValueError as error:
        raise ValueError(f"features cannot be made an array of shape (N, d), one row of the same size a system: {error}") from error
    if features.ndim not in (1, 2) or features.size == 0:
        raise ValueError(f"features has shape {features.shape}; it must be (N,) or (N, d), not empty")
    features = features.reshape(len(features), -1)
    if not np.isfinite(features).all():
        row = int(np.argwhere(~np.isfinite(features))[0, 0])
        raise ValueError(f"features[{row}] holds NaN or infinity; a distance needs finite numbers")
    unit = 2.0 ** np.floor(np.log2(abs(features).max() or 1.0))  # squares must neither overflow nor vanish
    features /= unit
    identity = np.arange(len(features))
    order = _path(features)
    placed = np.ascontiguousarray(features[order])
    local = identity.copy()
    for _ in range(sweeps):
        if not _two_opt(placed, local, _WINDOW):
            break
    order = order[local]
    before, after = _length(features, identity), _length(features, order)
    if not after < before:
        order, after = identity, before
    inverse = np.empty_like(order)
    inverse[order] = identity
    return Ordering(order, inverse, before * unit, after * unit, time.perf_counter() - start)


def _path(features: Array) -> Indices:
    """Greedy nearest neighbours from an end of the first principal component, piece by piece, each from where the last one ended.

    Where one feature alone varies, the shortest path is known.
    """
    varying = np.flatnonzero(np.ptp(features, axis=0))
    if len(varying) <= 1:
        return np.argsort(features[:, varying].sum(axis=1), kind="stable")
    components = _principal(features[:: max(1, len(features) // _SAMPLE)], min(_COMPONENTS, features.shape[1]))
    coordinates = _project(features, components)
    if len(features) <= _LARGEST_GREEDY:
        return np.asarray(_greedy(np.ascontiguousarray(features.T), int(np.argmin(coordinates[:, 0]))))
    coordinates -= coordinates.min(axis=0)
    scale = coordinates.max() or 1.0  # one for all components: they share a metric
    cells = np.minimum(coordinates / scale * 2**_BITS, 2**_BITS - 1).astype(np.int64)
    curve = np.argsort(hilbert_keys(cells, _BITS), kind="stable")
    found: list[Indices] = []
    for piece in np.array_split(curve, -(-len(curve) // _CHUNK)):
        piece = np.sort(piece)  # ties go to the smaller index
        members = np.ascontiguousarray(features[piece].T)
        end = features[found[-1][-1] if found else curve[0]]
        found.append(piece[_greedy(members, _nearest(members, end))])
    return np.concatenate(found)


def hilbert_keys(cells: ArrayLike, bits: int) -> Indices:
    """Positions of cells along Hilbert's curve, by the bit transformation of Skilling (2004, "Programming the Hilbert curve").

    Parameters
    ----------
    cells : integers in ``[0, 2^bits)``, shape (N, dimension); ``bits * dimension`` is at most 62.

    Returns
    -------
    array of shape (N,) : a bijection to ``[0, 2^(bits dimension))``; cells of consecutive keys share a face.
    """
    X = np.array(cells, np.int64).T
    dimension = len(X)
    if bits * dimension > 62:
        raise ValueError(f"{dimension} axes of {bits} bits do not fit into a 64-bit key: take at most {62 // dimension} bits")
    if X.size and not (X.min() >= 0 and X.max() < 2**bits):
        raise ValueError(f"cells reach from {X.min()} to {X.max()}; with bits={bits} they must lie in [0, {2**bits})")
    for bit in range(bits - 1, 0, -1):  # undo, from coarse to fine, the reflections and swaps that orient each sub-cube
        low = (1 << bit) - 1
        for axis in range(dimension):
            reflect = (X[axis] >> bit) & 1 == 1
            X[0, reflect] ^= low
            swap = np.where(reflect, 0, (X[0] ^ X[axis]) & low)
            X[0] ^= swap
            X[axis] ^= swap
    for axis in range(1, dimension):  # the coordinates are now a Gray code: decode it across the axes, then down the bits
        X[axis] ^= X[axis - 1]
    flips = np.zeros_like(X[0])
    for bit in range(bits - 1, 0, -1):
        flips ^= np.where((X[-1] >> bit) & 1 == 1, (1 << bit) - 1, 0)
    X ^= flips
    keys = np.zeros_like(X[0])
    for bit in range(bits - 1, -1, -1):
        for axis in range(dimension):
            keys = (keys << 1) | ((X[axis] >> bit) & 1)
    return keys


@njit(cache=True, nogil=True, error_model="numpy")
def _greedy(F, start):  # type: ignore[no-untyped-def]
    """Indices along a path from `start` that always goes on to the nearest point not yet visited; F is (d, n).

    The points left are kept together in the first columns, the distances to all of them are formed feature by feature: the inner
    loop is over points, which the compiler may vectorise without changing the order of a single sum.
    """
    dimension, n = F.shape
    F = F.copy()
    label = np.arange(n)
    order, distance = np.empty(n, np.int64), np.empty(n)
    at = start
    for step in range(n):
        order[step] = label[at]
        left = n - 1 - step
        distance[:left] = 0.0
        for k in range(dimension):
            x = F[k, at]
            F[k, at] = F[k, left]
            _add_squares(F[k, :left], x, distance[:left])
        label[at] = label[left]
        at = 0
        for j in range(1, left):
            if distance[j] < distance[at] or (distance[j] == distance[at] and label[j] < label[at]):
                at = j
    return order


@kernel()
def _add_squares(row, x, distance):  # type: ignore[no-untyped-def]
    for j in range(row.size):
        distance[j] += (row[j] - x) * (row[j] - x)


@njit(cache=True, nogil=True, error_model="numpy")
def _nearest(F, x):  # type: ignore[no-untyped-def]
    distance = np.zeros(F.shape[1])
    for k in range(F.shape[0]):
        _add_squares(F[k], x[k], distance)
    return np.argmin(distance)


@kernel()
def _distance(x, y):  # type: ignore[no-untyped-def]
    a = b = c = d = 0.0  # four sums keep the processor busy that would wait for one
    whole = x.size - x.size % 4
    for k in range(0, whole, 4):
        a += (x[k] - y[k]) * (x[k] - y[k])
        b += (x[k + 1] - y[k + 1]) * (x[k + 1] - y[k + 1])
        c += (x[k + 2] - y[k + 2]) * (x[k + 2] - y[k + 2])
        d += (x[k + 3] - y[k + 3]) * (x[k + 3] - y[k + 3])
    for k in range(whole, x.size):
        a += (x[k] - y[k]) * (x[k] - y[k])
    return np.sqrt((a + b) + (c + d))


@kernel()
def _length(features, order):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(order.size - 1):
        total += _distance(features[order[k]], features[order[k + 1]])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _two_opt(features, order, window):  # type: ignore[no-untyped-def]
    """One pass that reverses every segment of up to `window` points whose reversal shortens the open path; returns how many it did."""
    n = order.size
    done = 0
    edge = np.zeros(n + 1)  # edge[i] joins positions i - 1 and i; the path's two ends have free edges of length 0
    for i in range(1, n):
        edge[i] = _distance(features[order[i - 1]], features[order[i]])
    for first in range(n):
        for last in range(first + 1, min(first + window, n)):
            old = edge[first] + edge[last + 1]
            before = _distance(features[order[first - 1]], features[order[last]]) if first > 0 else 0.0
            if before >= old:
                continue
            after = _distance(features[order[first]], features[order[last + 1]]) if last + 1 < n else 0.0
            if before + after < old * (1 - 1e-12):  # rounding must not reverse back and forth
                order[first : last + 1] = order[first : last + 1][::-1].copy()
                edge[first + 1 : last + 1] = edge[first + 1 : last + 1][::-1].copy()
                edge[first], edge[last + 1] = before, after
                done += 1
    return done


@njit(cache=True, nogil=True, error_model="numpy")
def _principal(features, count):  # type: ignore[no-untyped-def]
    """Directions of largest variance, shape (count, d), to the accuracy that ordering needs: a few steps of orthogonal iteration."""
    n, dimension = features.shape
    mean, covariance = np.zeros(dimension), np.zeros((dimension, dimension))
    for row in features:
        mean += row / n
    for row in features:
        for k in range(dimension):
            covariance[k] += (row[k] - mean[k]) * (row - mean)
    found = np.zeros((count, dimension))
    for c in range(count):  # from the unit vectors with the largest variances on
        best = -1
        for k in range(dimension):
            if not found[:c, k].any() and (best < 0 or covariance[k, k] > covariance[best, best]):
                best = k
        found[c, best] = 1.0
    for _ in range(20):
        for c in range(count):
            image = np.zeros(dimension)
            for k in range(dimension):
                image += found[c, k] * covariance[k]
            for b in range(c):
                image -= _inner(image, found[b]) * found[b]
            norm = np.sqrt(_inner(image, image))
            if norm > 0:
                found[c] = image / norm
    return found


@kernel()
def _inner(x, y):  # type: ignore[no-untyped-def]
    total = 0.0
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _project(features, components):  # type: ignore[no-untyped-def]
    out = np.empty((features.shape[0], components.shape[0]))
    for i in range(features.shape[0]):
        for c in range(components.shape[0]):
            out[i, c] = _inner(features[i], components[c])
    return out
