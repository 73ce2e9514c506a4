"""The Brownian path: known answers of the generator, exact refinement, the joint law of increment and integral, rows by themselves."""

from itertools import pairwise

import numpy as np
import pytest

from solvers.integrators.brownian import BrownianPath
from solvers.integrators.brownian_kernels import polar
from solvers.philox import philox


def words(*values):
    return tuple(np.uint64(value) for value in values)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(counter, key, answer):
    """The known-answer vectors that come with the generator's paper."""
    assert philox(*words(*counter, *key)) == answer


def test_normals_are_normal_in_their_extremes():
    """The radius of the smallest and the largest words is finite, and a quarter turn is exact."""
    assert polar(*words(0, 0, 0, 0)) == (2.0**-53, 0.0)
    assert polar(*words(*(0xFFFFFFFF,) * 4)) == (1.0, 2 * np.pi * (1 - 2.0**-53))
    assert polar(*words(0x80000000, 0, 0x40000000, 0)) == (0.5 + 2.0**-53, np.pi / 2)


def levy(path, leaf, at_end):
    """W and its integral at the left ends of leaves (one a row), or at the path's end: the construction level by level on whole arrays."""
    rows, state = path.shape[: path.batch], path.shape[path.batch :]
    lift = (..., *(None,) * len(state))
    row = np.arange(np.prod(rows, dtype=int), dtype=np.uint64).reshape(rows)[lift] + np.uint64(path.first_row)
    component = np.arange(np.prod(state, dtype=int), dtype=np.uint64).reshape(state)
    key = [int(word) for word in np.random.SeedSequence(path.seed).generate_state(2)]

    def normals(node):
        node = np.asarray(node).astype(np.uint64)[lift]
        low = np.uint64(0xFFFFFFFF)
        c0, c1, c2, c3 = np.broadcast_arrays(component, row, node & low, node >> np.uint64(32))
        k0, k1 = key
        for _ in range(10):
            p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
            c0, c2 = (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1)
            c1, c3 = p1 & low, p0 & low
            k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
        radius = np.sqrt(-2 * np.log(((c0 << np.uint64(21)) + (c1 >> np.uint64(11)) + np.uint64(1)) * 2.0**-53))
        angle = 2 * np.pi * (((c2 << np.uint64(21)) + (c3 >> np.uint64(11))) * 2.0**-53)
        return radius * np.cos(angle), radius * np.sin(angle)

    h = abs(path.span[1] - path.span[0])
    X, Y = normals(np.zeros_like(leaf))
    w, H = np.sqrt(h) * X, np.sqrt(h / 12) * Y
    W, area = np.where(at_end[lift], w, 0.0), np.where(at_end[lift], h * (w / 2 + H), 0.0)
    for level in range(path.depth):
        k = h / 2
        X, Y = normals((leaf >> (path.depth - level)) + (1 << level))
        d = 3 * H + np.sqrt(k / 2) * X
        total, gap = 2 * H - d / 2, np.sqrt(k / 6) * Y
        w1, H1 = (w + d) / 2, (total + gap) / 2
        right = ((leaf >> (path.depth - 1 - level)) & 1).astype(bool)[lift]
        passed = right & ~at_end[lift]
        area = np.where(passed, area + k * (W + w1 / 2 + H1), area)
        W = np.where(passed, W + w1, W)
        w, H, h = np.where(right, (w - d) / 2, w1), np.where(right, (total - gap) / 2, H1), k
    return W, area


@pytest.mark.parametrize(
    "path",
    [
        BrownianPath((0.0, 1.0), (), 3),
        BrownianPath((1.0, -3.0), (3, 5), 11, batch=1, first_row=7),
        BrownianPath((0.0, 1e-3), (2, 3, 2), 123456789012, batch=2, depth=60),
        BrownianPath((0.0, 2.0), (40001,), 5, depth=20),
    ],
    ids=lambda path: f"{path.shape} of depth {path.depth}",
)
def test_the_path_has_the_bits_of_levys_construction(path):
    """Compiled, in blocks, and no further down than a time has binary digits: to the bit what whole arrays give."""
    rng = np.random.default_rng(0)
    rows, cells = path.shape[: path.batch], 2**path.depth
    leaves = [np.full(rows, cells), np.full(rows, 0), np.full(rows, 3 * cells // 8), rng.integers(0, cells, rows), rng.integers(0, 5, rows)]
    for leaf in leaves[: 5 if path.depth <= 52 else 3]:  # finer leaves have no float64 time of their own
        fractions = (leaf / cells)[(..., *(None,) * (len(path.shape) - path.batch))]
        found = path.at(path.span[0] + fractions * (path.span[1] - path.span[0]))
        W, area = levy(path, np.minimum(leaf, cells - 1), np.asarray(leaf == cells))
        np.testing.assert_array_equal(found.W, W)
        np.testing.assert_array_equal(found.area, area)


def test_the_path_of_a_seed_stays_what_it_was():
    """Figures of stored experiments can be made again: values of the first release."""
    point = BrownianPath((0.0, 1.0), (3,), seed=7).at(0.3)
    np.testing.assert_allclose(point.W, [0.41373848912081457, 0.07310181224302136, 0.08288753292998635], rtol=1e-12)
    np.testing.assert_allclose(point.area, [0.04161527940595132, -0.020691469513772397, -0.05714785538330228], rtol=1e-12)


@pytest.mark.parametrize("span", [(0.0, 2.0), (1.0, -3.0)])
def test_increments_and_integrals_of_parts_make_those_of_the_whole(span):
    path = BrownianPath(span, (3, 2), seed=11, batch=1)
    times = span[0] + (span[1] - span[0]) * np.array([0.0, 0.1, 1 / 3, 0.5, 0.77, 1.0])
    W, area, elapsed = np.zeros((3, 2)), np.zeros((3, 2)), 0.0
    for start, end in pairwise(times):
        dW, integral = path.increment(start, end)
        area, W = area + W * abs(end - start) + integral, W + dW
        elapsed += abs(end - start)
    whole, whole_area = path.increment(*span)
    np.testing.assert_allclose(W, whole, atol=1e-10)
    np.testing.assert_allclose(area, whole_area, atol=1e-10)
    # and the integral is that of the path: the mean of many values of W, whose own error falls like that of the trapezoidal rule
    grid = np.linspace(span[0], span[1], 2049)
    values = np.stack([path.at(time).W for time in grid[::8]])
    trapezoid = (values[1:] + values[:-1]).sum(axis=0) / 2 * 8 * abs(grid[1] - grid[0])
    np.testing.assert_allclose(trapezoid, whole_area, atol=6 * elapsed**1.5 / np.sqrt(12) / 256)


@pytest.mark.parametrize(("start", "end"), [(0.0, 2.0), (0.3, 0.8), (0.5, 0.75), (1.9, 2.0)])
def test_increment_and_integral_have_their_joint_law(start, end):
    """Variances h and h^3 / 3, covariance h^2 / 2, from 20000 rows within five standard errors; past and future uncorrelated."""
    rows = 20000
    path = BrownianPath((0.0, 2.0), (rows,), seed=5, batch=1, depth=20)
    dW, I10 = path.increment(start, end)
    h = end - start
    five = 5 * np.sqrt(2 / rows)
    assert np.mean(dW**2) / h == pytest.approx(1, abs=five)
    assert np.mean(I10**2) / (h**3 / 3) == pytest.approx(1, abs=five)
    assert np.mean(dW * I10) / (h**2 / 2) == pytest.approx(1, abs=five)
    if start > 0:
        before, before_area = path.increment(0.0, start)
        for past in (before, before_area):
            for now in (dW, I10):
                assert abs(np.corrcoef(past, now)[0, 1]) < 5 / np.sqrt(rows)


def test_a_row_depends_on_the_seed_and_its_number_alone():
    many = BrownianPath((0.0, 1.0), (6, 4), seed=3, batch=1)
    one = BrownianPath((0.0, 1.0), (1, 4), seed=3, batch=1, first_row=4)
    other = BrownianPath((0.0, 1.0), (6, 4), seed=4, batch=1)
    for query in range(2):
        np.testing.assert_array_equal(many.increment(0.2, 0.9)[query][4], one.increment(0.2, 0.9)[query][0])
    assert not np.isclose(many.increment(0.2, 0.9)[0], other.increment(0.2, 0.9)[0]).any()
    assert len(np.unique(many.increment(0.2, 0.9)[0])) == 24


def test_rows_may_ask_at_times_of_their_own():
    path = BrownianPath((0.0, 1.0), (3, 2), seed=3, batch=1)
    starts, ends = np.array([0.1, 0.2, 0.3]), np.array([0.4, 1.0, 0.35])
    together = path.increment(starts[:, None], ends[:, None])
    for row in range(3):
        alone = path.increment(starts[row], ends[row])
        assert all(np.array_equal(a[row], b[row]) for a, b in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: BrownianPath((1.0, 1.0), (), 0), ValueError, "two distinct finite times"),
        (lambda: BrownianPath((0.0, 1.0), (), -1), ValueError, "seed = -1 is negative"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0, batch=2), ValueError, "batch = 2 does not fit"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0, depth=0), ValueError, "depth = 0"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0, first_row=-1), ValueError, "first_row = -1"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0).increment(0.5, 1.5), ValueError, "outside the path's span"),
        (
            lambda: BrownianPath((0.0, 1.0), (2,), 0).at(np.linspace(0, 1, 5)),
            ValueError,
            r"time has shape \(5,\) for a path of shape \(2,\)",
        ),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0).at("now"), TypeError, "time = 'now' is not made of numbers: give a time"),
        (lambda: BrownianPath(5.0, (2,), 0), TypeError, r"span = 5.0 is no interval: give a pair of times"),
        (lambda: BrownianPath(("a", 1.0), (2,), 0), TypeError, r"span\[0\] = 'a' is no number"),
        (lambda: BrownianPath((0.0, 1.0), 2, 0), TypeError, "shape = 2 is no shape: give that of the state"),
        (lambda: BrownianPath((0.0, 1.0), (2.5,), 0), TypeError, "an entry of shape = 2.5 is no whole number"),
        (lambda: BrownianPath((0.0, 1.0), (-2,), 0), ValueError, r"shape = \(-2,\) has a negative entry"),
        (lambda: BrownianPath((0.0, 1.0), (2,), None), TypeError, "seed = None is no whole number"),
    ],
)
def test_bad_input_is_named(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
