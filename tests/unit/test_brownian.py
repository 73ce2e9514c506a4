"""The Brownian path: known answers of the generator, exact refinement, the joint law of increment and integral, rows by themselves."""

from itertools import pairwise

import numpy as np
import pytest

from solvers.integrators.brownian import BrownianPath, box_muller, philox


def words(*values):
    return tuple(np.array([value], np.uint64) for value in values)


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
    assert tuple(int(word[0]) for word in philox(words(*counter), key)) == answer


def test_normals_are_normal_in_their_extremes():
    """The smallest and the largest words give finite numbers, and a quarter turn is exact."""
    for corner in ((0, 0, 0, 0), (0xFFFFFFFF,) * 4):
        assert np.isfinite(box_muller(words(*corner))).all()
    cosine, sine = box_muller(words(0x80000000, 0, 0x40000000, 0))
    assert abs(cosine[0]) < 1e-12
    assert sine[0] == pytest.approx(np.sqrt(2 * np.log(2)), rel=1e-9)


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
    ("make", "message"),
    [
        (lambda: BrownianPath((1.0, 1.0), (), 0), "two distinct finite times"),
        (lambda: BrownianPath((0.0, 1.0), (), -1), "seed = -1 is negative"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0, batch=2), "batch = 2 does not fit"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0, depth=0), "depth = 0"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0, first_row=-1), "first_row = -1"),
        (lambda: BrownianPath((0.0, 1.0), (2,), 0).increment(0.5, 1.5), "outside the path's span"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
