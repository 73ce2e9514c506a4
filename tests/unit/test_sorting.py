"""Orders of families of systems: the features, the curve, the path, and that all of it is a function of the features alone."""

import itertools
import math
import zlib

import numpy as np
import pytest
import scipy.fft
from scipy.spatial.distance import cdist

from solvers.linear import sorting
from solvers.linear.sorting import coefficient_features, hilbert_keys, order_systems

RNG = np.random.default_rng(31)


def length(features, order):
    path = np.asarray(features, float).reshape(len(features), -1)[order]
    return np.linalg.norm(np.diff(path, axis=0), axis=1).sum()


def smooth_family(count, n=32):
    """Coefficients ``exp(s sin 2 pi (x + t))`` with two parameters, in random order."""
    s, t = RNG.uniform(0.5, 1.5, count), RNG.uniform(0, 1, count)
    x = (np.arange(n) + 0.5) / n
    return np.exp(s[:, None, None] * np.sin(2 * np.pi * (x[:, None] + t[:, None, None])) * np.ones(n))


class TestFeatures:
    @pytest.mark.parametrize(("grid", "modes"), [((40,), (40,)), ((40, 24), (8, 8)), ((12, 3, 10), (4, 3, 4))])
    def test_are_low_modes_of_the_dct_of_the_logarithm(self, grid, modes):
        fields = np.exp(RNG.standard_normal((9, *grid)))
        axes = tuple(range(1, len(grid) + 1))
        full = scipy.fft.dctn(np.log(fields), axes=axes, norm="ortho") / math.sqrt(math.prod(grid))
        low = full[(slice(None), *map(slice, modes))].reshape(9, -1)[:, 1:]
        low -= low.mean(axis=0)
        np.testing.assert_allclose(coefficient_features(fields), low / np.sqrt((low**2).mean(axis=0).sum()), atol=1e-12)

    def test_do_not_see_the_units_of_a_coefficient(self):
        fields = smooth_family(12)
        factors = 10.0 ** RNG.uniform(-5, 5, (12, 1, 1))
        np.testing.assert_allclose(coefficient_features(factors * fields), coefficient_features(fields), atol=1e-12)

    def test_do_not_depend_on_blocks(self, monkeypatch):
        fields = smooth_family(23)
        whole = coefficient_features(fields)
        monkeypatch.setattr(sorting, "_BLOCK", 5 * 32 * 32)
        np.testing.assert_allclose(coefficient_features(fields), whole, atol=1e-13)

    def test_weigh_fields_and_each_scalar_alike(self):
        fields, scalars = smooth_family(50), np.column_stack([RNG.uniform(100, 400, 50), RNG.uniform(0, 1e-6, 50)])
        features = coefficient_features(fields, scalars=scalars, modes=3)
        assert features.shape == (50, 3 * 3 - 1 + 2)
        np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose([features[:, :-2].var(axis=0).sum(), *features[:, -2:].var(axis=0)], 1)
        expected = np.argsort(scalars[:, 0])
        np.testing.assert_array_equal(np.argsort(features[:, -2]), expected)

    def test_what_does_not_vary_adds_nothing(self):
        same = np.full((30, 8, 8), 0.1) * (1 + np.arange(8))
        assert not coefficient_features(same, scalars=np.full(30, 0.1)).any()

    def test_of_fields_with_any_sign(self):
        waves = RNG.standard_normal((6, 16))
        modes = scipy.fft.dct(waves, norm="ortho")[:, 1:5]
        modes -= modes.mean(axis=0)
        modes /= np.sqrt((modes**2).mean(axis=0).sum())
        np.testing.assert_allclose(coefficient_features(waves, modes=5, log=False), modes, atol=1e-12)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"fields": np.ones(4)}, r"shape \(4,\)"),
            ({"fields": np.ones((0, 4))}, "not empty"),
            ({"fields": [[1.0, 2.0], [1.0, -3.0]]}, r"fields\[1\] holds -3; .* log=False"),
            ({"fields": [[1.0, np.nan]], "log": False}, r"fields\[0\] holds nan"),
            ({"fields": np.ones((2, 4)), "modes": 0}, "modes=0"),
            ({"fields": np.ones((2, 4)), "scalars": [1.0]}, "2 fields need"),
        ],
    )
    def test_bad_input_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            coefficient_features(**arguments)


@pytest.mark.parametrize(("dimension", "bits"), [(1, 6), (2, 1), (2, 5), (3, 1), (3, 4), (4, 3)])
def test_hilbert_curve_visits_every_cell_once_and_steps_to_a_neighbour(dimension, bits):
    cells = np.array(list(itertools.product(range(2**bits), repeat=dimension)))
    keys = hilbert_keys(cells, bits)
    np.testing.assert_array_equal(np.sort(keys), np.arange(2 ** (bits * dimension)))
    assert (abs(np.diff(cells[np.argsort(keys)], axis=0)).sum(axis=1) == 1).all()


def test_hilbert_curve_fills_every_aligned_cube_before_it_leaves():
    cells = np.array(list(itertools.product(range(16), repeat=3)))
    cubes = (cells // 4)[np.argsort(hilbert_keys(cells, 4))]
    assert np.count_nonzero(abs(np.diff(cubes, axis=0)).sum(axis=1)) == 4**3 - 1


@pytest.mark.parametrize(
    ("cells", "bits", "message"), [([[0, 4]], 2, "from 0 to 4"), ([[-1, 0]], 2, "from -1"), ([[0, 0]], 32, "at most 31")]
)
def test_cells_beyond_the_curve_are_refused(cells, bits, message):
    with pytest.raises(ValueError, match=message):
        hilbert_keys(cells, bits)


@pytest.mark.parametrize("count", [1, 2, 3000, 7000])
def test_one_parameter_is_sorted_by_it(count):
    values = RNG.permutation(count) * 0.01
    ordering = order_systems(values)
    steps = np.diff(values[ordering.permutation])
    assert (steps > 0).all() or (steps < 0).all()
    assert ordering.length_after == pytest.approx(0.01 * (count - 1))


@pytest.mark.parametrize("seed", range(8))
def test_short_paths_are_nearly_the_shortest(seed):
    points = np.random.default_rng(seed).random((7, 2))
    shortest = min((list(path) for path in itertools.permutations(range(7))), key=lambda path: length(points, path))
    best = length(points, shortest)
    assert best - 1e-12 <= order_systems(points).length_after <= 1.2 * best
    np.testing.assert_array_equal(order_systems(points[shortest]).permutation, np.arange(7))


def test_greedy_steps_go_to_the_nearest_system_left():
    points = RNG.standard_normal((200, 5))
    order = order_systems(points, sweeps=0).permutation
    distances = cdist(points, points)
    for k in range(199):
        assert order[k + 1] == order[k + 1 :][np.argmin(distances[order[k], order[k + 1 :]])]


@pytest.mark.parametrize(("count", "dimension"), [(400, 2), (400, 37), (9000, 3)])
def test_the_result_describes_the_path(count, dimension):
    points = RNG.standard_normal((count, dimension)) * 1e200
    ordering = order_systems(points)
    np.testing.assert_array_equal(np.sort(ordering.permutation), np.arange(count))
    np.testing.assert_array_equal(ordering.permutation[ordering.inverse], np.arange(count))
    solved = [f"system {i}" for i in ordering.permutation]
    assert [solved[k] for k in ordering.inverse] == [f"system {i}" for i in range(count)]
    assert ordering.length_before / 1e200 == pytest.approx(length(points / 1e200, np.arange(count)))
    assert ordering.length_after / 1e200 == pytest.approx(length(points / 1e200, ordering.permutation))
    assert ordering.length_after < ordering.length_before
    assert ordering.seconds > 0


def test_paths_in_the_plane_are_near_the_length_that_theory_knows():
    """Beardwood, Halton and Hammersley (1959): the shortest path through n points of the unit square is 0.7124 sqrt(n) in the limit."""
    points = np.random.default_rng(5).random((20_000, 2))
    greedy, improved = order_systems(points, sweeps=0).length_after, order_systems(points).length_after
    shortest = 0.7124 * math.sqrt(20_000)
    assert shortest < improved < 0.97 * greedy
    assert improved < 1.25 * shortest


def test_two_opt_never_lengthens_and_undoes_a_crossing():
    points = np.array([[0, 0], [1, 1], [1, 0], [0, 1]], float) * [3, 1]  # the diagonals cross
    order = np.arange(4)
    assert sorting._two_opt(points, order, 10) > 0
    assert length(points, order) == pytest.approx(5)
    points = RNG.standard_normal((300, 2))
    order = RNG.permutation(300)
    lengths = [length(points, order)]
    while sorting._two_opt(points, order, 300):
        lengths.append(length(points, order))
    assert (np.diff(lengths) < 0).all()
    for i, j in itertools.combinations(range(0, 300, 7), 2):  # no reversal is left that would shorten it
        assert length(points, np.concatenate([order[:i], order[i : j + 1][::-1], order[j + 1 :]])) > lengths[-1] - 1e-9


def test_a_good_order_is_kept():
    values = np.arange(100.0)
    np.testing.assert_array_equal(order_systems(values).permutation, np.arange(100))
    ring = np.exp(2j * np.pi * np.arange(500) / 500)
    points = np.column_stack([ring.real, ring.imag])
    assert order_systems(points).length_after <= length(points, np.arange(500))


class TestDeterminism:
    @pytest.mark.parametrize("count", [50, 6000])
    def test_equal_systems_keep_their_order(self, count):
        np.testing.assert_array_equal(order_systems(np.ones((count, 3))).permutation, np.arange(count))

    def test_ties_go_to_the_smaller_index(self):
        points = np.array([[0, 0], [0, 2], [0, -2], [2, 0], [-9, 0]], float)
        assert order_systems(points, sweeps=0).permutation.tolist()[:3] == [4, 0, 1]

    @pytest.mark.parametrize(("count", "expected"), [(3000, 4229272762), (12_000, 2617429255)])
    def test_the_order_is_the_one_of_every_machine(self, count, expected):
        """Features from integer arithmetic; pinned here, so that a machine which sorts otherwise is found out."""
        state = np.arange(1, count * 7 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(31)
        features = (state * np.uint64(0xBF58476D1CE4E5B9) >> np.uint64(40)).astype(float).reshape(count, 7) / 2.0**24
        order = order_systems(features).permutation
        assert zlib.crc32(order.astype("<i8").tobytes()) == expected

    def test_nothing_is_done_to_the_features(self):
        features = RNG.standard_normal((100, 4)) * 1e-9
        copy = features.copy()
        first, second = order_systems(features), order_systems(features[:, ::-1][:, ::-1])
        np.testing.assert_array_equal(features, copy)
        np.testing.assert_array_equal(first.permutation, second.permutation)


def test_systems_with_a_key():
    systems = [{"k": float(k), "name": str(k)} for k in RNG.permutation(40)]
    ordering = order_systems(systems, key=lambda system: system["k"])
    names = [int(systems[i]["name"]) for i in ordering.permutation]
    assert names in (list(range(40)), list(range(40))[::-1])


def test_neighbours_in_a_family_of_fields_resemble_each_other():
    fields = smooth_family(400)
    order = order_systems(coefficient_features(fields)).permutation

    def mean_difference(fields):
        return np.sqrt((np.diff(np.log(fields), axis=0) ** 2).mean(axis=(1, 2))).mean()

    assert mean_difference(fields[order]) < 0.1 * mean_difference(fields)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"systems": []}, r"shape \(0,\)"),
        ({"systems": np.ones((2, 2, 2))}, r"shape \(2, 2, 2\)"),
        ({"systems": [1.0, np.inf]}, r"features\[1\] holds NaN or infinity"),
        ({"systems": ["ab", "c"], "key": lambda word: [ord(letter) for letter in word]}, "one row of the same size a system"),
        ({"systems": [1.0], "sweeps": -1}, "sweeps=-1"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        order_systems(**arguments)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_parameters_without_a_distance_are_refused(bad):
    with pytest.raises(ValueError, match=r"scalars reaches .*; parameters must be finite"):
        coefficient_features(np.ones((4, 8)), scalars=[1.0, 2.0, 3.0, bad])


def test_complex_fields_are_refused():
    with pytest.raises(ValueError, match="fields is of type complex128; coefficients must be real numbers"):
        coefficient_features(np.ones((4, 8)) * 1j)


class TestOneFeature:
    @pytest.mark.parametrize("count", [2, 50, 6000])  # the last is cut into pieces elsewhere
    def test_that_varies_alone_is_sorted_by(self, count):
        values = RNG.standard_normal(count)
        features = np.tile([1.0, 0.0, -2.0, 7.0], (count, 1))
        features[:, 1] = values
        for given in (values, features):
            found = order_systems(given)
            np.testing.assert_allclose(found.length_after, np.ptp(values), rtol=1e-12)

    def test_ties_go_to_the_smaller_number_and_equal_systems_stay(self):
        assert order_systems([2.0, 1.0, 2.0, 1.0]).permutation.tolist() == [1, 3, 0, 2]
        assert order_systems(np.ones((5, 2))).permutation.tolist() == [0, 1, 2, 3, 4]
