"""Explicit Runge-Kutta methods: rooted-tree conditions of their tableaus, observed orders with constants, and of their interpolations."""

import itertools
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from solvers.integrators import EXPLICIT, integrate
from solvers.integrators.explicit import ExplicitRungeKutta

#: Steps over the interval, and the error at its end over h^order of twice to eight times as many, where it has settled.
EXPECTED = {
    "euler": (4096, 8.971),
    "heun": (512, 2.698),
    "ssprk33": (256, 1.407),
    "ssprk54": (128, 0.08492),
    "rk4": (128, 0.1853),
    "bosh3": (256, 1.119),
    "dopri5": (64, 0.01083),
    "tsit5": (64, 0.002068),
    "dop853": (20, 4.06e-5),
}
END = 10.0


@cache
def trees(n):
    """Rooted trees of n nodes as sorted tuples of subtrees."""
    if n == 1:
        return ((),)
    found = set()
    for sizes in partitions(n - 1, n - 1):
        for subtrees in itertools.product(*(trees(size) for size in sizes)):
            found.add(tuple(sorted(subtrees)))
    return tuple(sorted(found))


def partitions(n, largest):
    if n == 0:
        yield ()
    for first in range(min(n, largest), 0, -1):
        for rest in partitions(n - first, first):
            yield (first, *rest)


def nodes(tree):
    return 1 + sum(map(nodes, tree))


def density(tree):
    return nodes(tree) * math.prod(map(density, tree))


def stage_values(tree, A):
    values = np.ones(len(A))
    for subtree in tree:
        values = values * (A @ stage_values(subtree, A))
    return values


def square(tableau):
    A = np.zeros((len(tableau.b),) * 2)
    for i, row in enumerate(tableau.A):
        A[i, : len(row)] = row
    return A


def defect(weights, A, order, theta=1.0):
    """Largest violation of the conditions of one order by weights at a fraction of the step."""
    return max(abs(weights @ stage_values(tree, A) - theta**order / density(tree)) for tree in trees(order))


def test_numbers_of_rooted_trees_are_the_known_ones():
    assert [len(trees(n)) for n in range(1, 9)] == [1, 1, 2, 4, 9, 20, 48, 115]


@pytest.mark.parametrize("name", EXPLICIT)
def test_tableau_meets_the_conditions_of_its_order_and_no_more(name):
    tableau = EXPLICIT[name].tableau
    A, b = square(tableau), np.array(tableau.b)
    np.testing.assert_allclose(A.sum(axis=1), tableau.c, atol=2e-15)
    for order in range(1, tableau.order + 1):
        assert defect(b, A, order) < 3e-14
    assert defect(b, A, tableau.order + 1) > 1e-5
    if tableau.error and len(tableau.error[0]) == len(b):
        embedded = b - np.array(tableau.error[0])
        for order in range(1, tableau.error_order + 1):
            assert defect(embedded, A, order) < 3e-14
        assert defect(embedded, A, tableau.error_order + 1) > 1e-4
    if tableau.dense:
        for theta in (0.2, 0.5, 0.9, 1.0):
            weights = np.array([sum(c * theta ** (k + 1) for k, c in enumerate(row)) for row in tableau.dense])
            for order in range(1, 4 if name == "bosh3" else 5):
                assert defect(weights, A, order, theta) < 3e-14


def test_slips_in_a_tableau_are_seen():
    tableau = EXPLICIT["tsit5"].tableau
    rows = [list(row) for row in tableau.A]
    for i, row in enumerate(rows):
        for j in range(len(row)):
            changed = [list(r) for r in rows]
            changed[i][j] += 1e-9
            A = square(replace(tableau, A=tuple(map(tuple, changed))))
            seen = max(defect(np.array(tableau.b), A, order) for order in range(1, 6)) > 1e-12
            assert seen or abs(A.sum(axis=1) - np.array(tableau.c)).max() > 1e-12


def f(t, y):
    """Nonlinear and not autonomous; both entries act on each other."""
    return np.stack([y[1] * (1 + 0.3 * np.sin(t)), -y[0] - 0.2 * y[0] ** 3])


START = np.array([1.0, 0.5])


@cache
def exact():
    return integrate(f, (0.0, END), START, "dop853", rtol=3e-14, atol=1e-15).ys[-1]


@pytest.mark.parametrize("name", EXPLICIT)
def test_observed_order_and_constant(name):
    order, (coarsest, constant) = EXPLICIT[name].order, EXPECTED[name]
    counts = coarsest * 2 ** np.arange(4 if order < 8 else 2)  # rounding takes over where an eighth order is halved thrice
    errors = [np.linalg.norm(integrate(f, (0.0, END), START, name, control="fixed", dt=END / n).ys[-1] - exact()) for n in counts]
    slopes = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert abs(slopes[-1] - order) < 0.1
    assert errors[-1] * (counts[-1] / END) ** order == pytest.approx(constant, rel=0.01)


@pytest.mark.parametrize(("name", "order"), [("bosh3", 3), ("dopri5", 4), ("tsit5", 4), ("dop853", 7)])
def test_interpolation_has_its_order(name, order):
    """In one step from exact values: the local error is of one order more."""
    errors = []
    sizes = 0.4 / 2 ** np.arange(4) if order < 7 else 0.9 / 2 ** np.arange(3)
    for h in sizes:
        stepper = EXPLICIT[name].bind(f, np, 0)
        advance, _ = stepper.step(0.0, START, float(h), None)
        assert advance.interpolate is not None
        worst = 0.0
        for theta in (0.25, 0.6):
            fine = integrate(f, (0.0, theta * float(h)), START, "dop853", rtol=3e-14, atol=1e-16).ys[-1]
            worst = max(worst, np.abs(advance.interpolate(theta) - fine).max())
        errors.append(worst)
        np.testing.assert_allclose(advance.interpolate(1.0), advance.y, atol=2e-14)
    slope = np.log2(errors[-2] / errors[-1])
    assert abs(slope - (order + 1)) < 0.35


@pytest.mark.parametrize("name", EXPLICIT)
def test_stability_polynomial_begins_as_the_exponential(name):
    z = np.exp(1j * np.linspace(0, 2 * np.pi, 50)) * np.linspace(0.1, 3, 50)
    method = EXPLICIT[name]
    A, b = square(method.tableau), np.array(method.tableau.b)
    polynomial = np.array([1 + w * b @ np.linalg.solve(np.eye(len(b)) - w * A, np.ones(len(b))) for w in z])
    ours = ExplicitRungeKutta.bind(method, lambda t, y: z * y, np, 0).step(0.0, np.ones(50, complex), 1.0, None)[0].y
    np.testing.assert_allclose(ours, polynomial, rtol=1e-12)
    small = 0.1
    taylor = sum(small**k / math.factorial(k) for k in range(method.order + 1))
    value = 1 + small * b @ np.linalg.solve(np.eye(len(b)) - small * A, np.ones(len(b)))
    assert abs(value - taylor) < 3 * small ** (method.order + 1)


@pytest.mark.parametrize(("name", "limit"), [("ssprk33", 1.0), ("ssprk54", 1.508)])
def test_strong_stability_preserving_methods_do_not_raise_the_variation(name, limit):
    """Upwind transport of a step: Euler's method keeps the total variation up to Courant number 1, these up to their coefficient."""
    step = np.where(np.arange(100) < 40, 1.0, 0.0)

    def upwind(t, y):
        return np.roll(y, 1) - y

    def variation(y):
        return np.abs(np.diff(y, append=y[0])).sum()

    y = integrate(upwind, (0.0, 20 * limit), step, name, control="fixed", dt=limit).ys[-1]
    assert variation(y) <= variation(step) * (1 + 1e-12)
    beyond = integrate(upwind, (0.0, 20 * limit * 1.6), step, name, control="fixed", dt=limit * 1.6).ys[-1]
    assert variation(beyond) > variation(step) * (1 + 1e-6)
