"""Order conditions of all (bicoloured) rooted trees, and stability at infinity, from the coefficients alone."""

import dataclasses
from itertools import combinations_with_replacement
from math import prod

import numpy as np
import pytest

from solvers.integrators.dirk_tableaus import ARK3, ARK4, ARK5, BACKWARD_EULER, SDIRK2, SDIRK4, TR_BDF2

TABLEAUS = {
    "backward_euler": BACKWARD_EULER,
    "tr_bdf2": TR_BDF2,
    "sdirk2": SDIRK2,
    "sdirk4": SDIRK4,
    "ark3": ARK3,
    "ark4": ARK4,
    "ark5": ARK5,
}
# The pairs are printed as rational approximations of irrational numbers, good to rounding; a wrong digit anywhere is far above this.
ROUNDING = 2e-13


def trees(order, colours):
    """Rooted trees with `order` coloured vertices, each as (colour of the root, subtrees)."""
    if order == 1:
        return [(colour, ()) for colour in range(colours)]
    smaller = {size: trees(size, colours) for size in range(1, order)}
    return [(colour, subtrees) for colour in range(colours) for subtrees in _forests(order - 1, order - 1, smaller)]


def _forests(vertices, largest, smaller):
    if vertices == 0:
        return [()]
    found = []
    for size in range(min(vertices, largest), 0, -1):
        for count in range(1, vertices // size + 1):
            rest = _forests(vertices - size * count, size - 1, smaller)
            found += [chosen + other for chosen in combinations_with_replacement(smaller[size], count) for other in rest]
    return found


def size(tree):
    return 1 + sum(map(size, tree[1]))


def density(tree):
    return size(tree) * prod(map(density, tree[1]))


def derivative_weights(tree, halves):
    """Per stage the product over the subtrees of ``A (their weights)``, each with the half of its root's colour."""
    value = np.ones(len(halves[0]))
    for subtree in tree[1]:
        value = value * (halves[subtree[0]] @ derivative_weights(subtree, halves))
    return value


def defects(tableau, weights, order):
    halves = [np.array(tableau.A)] + ([] if tableau.explicit is None else [np.array(tableau.explicit)])
    all_trees = [tree for size in range(1, order + 1) for tree in trees(size, len(halves))]
    return np.array([abs(np.dot(weights, derivative_weights(tree, halves)) - 1 / density(tree)) for tree in all_trees])


def test_the_number_of_trees_is_that_of_the_literature():
    """Rooted trees: OEIS A000081; bicoloured ones: A000151."""
    assert [len(trees(size, 1)) for size in range(1, 7)] == [1, 1, 2, 4, 9, 20]
    assert [len(trees(size, 2)) for size in range(1, 6)] == [2, 4, 14, 52, 214]


@pytest.mark.parametrize("name", TABLEAUS)
def test_order_conditions_hold_up_to_the_order_and_fail_beyond(name):
    tableau = TABLEAUS[name]
    for weights, order in ((tableau.b, tableau.order), (tableau.b_embedded, tableau.embedded_order)):
        assert defects(tableau, weights, order).max() < ROUNDING
        assert defects(tableau, weights, order + 1).max() > 1e-4


@pytest.mark.parametrize("name", ["ark3", "ark4", "ark5"])
def test_both_halves_have_the_same_nodes(name):
    tableau = TABLEAUS[name]
    np.testing.assert_allclose(np.sum(tableau.explicit, axis=1), tableau.c, atol=1e-14)


@pytest.mark.parametrize("name", ["sdirk4", "ark3", "ark4", "ark5"])
def test_a_mistyped_coefficient_is_found(name):
    """Every non-zero entry of either half, changed in its seventh digit, breaks a condition."""
    tableau = TABLEAUS[name]
    for half in ("A", "explicit"):
        rows = getattr(tableau, half)
        for i, row in enumerate(rows or ()):
            for j, entry in enumerate(row):
                if entry:
                    changed = np.array(rows)
                    changed[i, j] *= 1 + 1e-6
                    spoilt = dataclasses.replace(tableau, **{half: tuple(map(tuple, changed.tolist()))})
                    assert defects(spoilt, tableau.b, tableau.order).max() > 10 * ROUNDING


@pytest.mark.parametrize("name", TABLEAUS)
def test_the_implicit_half_is_L_stable(name):
    """|R(i y)| <= 1 on the imaginary axis with poles in the right half plane only, and R(z) -> 0."""
    tableau = TABLEAUS[name]
    A, b, one = np.array(tableau.A), np.array(tableau.b), np.ones(len(tableau.b))

    def R(z):
        return 1 + z * (b @ np.linalg.solve(np.eye(len(b)) - z * A, one))

    assert tableau.stiffly_accurate
    assert all(abs(R(1j * y)) <= 1 + 1e-13 for y in np.geomspace(1e-3, 1e8, 400))
    assert min(np.diag(A)) >= 0
    assert abs(R(-1e6)) < 1e-5
