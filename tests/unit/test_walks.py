"""Random walks against closed forms, the same bits however they are run, and refusals."""

import hashlib
import math

import numpy as np
import pytest
from numba import njit

from solvers.montecarlo import epsilon_report, walk_gradients, walk_on_spheres
from solvers.montecarlo.fields import compile_field
from validation.cases import wos
from validation.walk_problems import CORNER, SQUARE, polygon, prism, problems

KNOWN = problems()


@pytest.mark.slow
def test_the_case_passes():
    report = wos.run(points=20)
    assert [check.name for check in report.checks if not check.passed] == []
    assert sum("largest |z|" in check.name for check in report.checks) >= 30


@pytest.mark.parametrize("name", KNOWN)
def test_closed_forms(name):
    """The checks of the case on fewer points: z in each, their mean square, and their mean."""
    problem = KNOWN[name]
    hidden = "hole" in name  # a search for silhouettes that finds none shows less in others
    x = problem.points(40 if hidden else 15, 9)
    found = walk_on_spheres(problem.boundary, x, **problem.data, n_walks=2000 if hidden else 1000, epsilon=1e-5, seed=1)
    checks = wos.judged(name, found, problem.exact(*x.T), tests=3 * len(KNOWN))
    assert [check.name for check in checks if not check.passed] == []
    assert found.n_truncated.sum() == 0


@pytest.mark.parametrize("name", [name for name in KNOWN if KNOWN[name].gradient is not None])
def test_gradients_of_closed_forms(name):
    problem = KNOWN[name]
    x = problem.points(10, 9)
    found = walk_gradients(problem.boundary, x, **problem.data, n_walks=1000, epsilon=1e-5, seed=1)
    exact = np.stack(problem.gradient(*x.T), axis=1)
    assert [check.name for check in wos.judged(name, found, exact, tests=3 * len(KNOWN)) if not check.passed] == []


@pytest.mark.parametrize(
    ("name", "argument", "wrong"),
    [
        ("square, sin 4x sin 4y", "source", lambda x, y: 31 * math.sin(4 * x) * math.sin(4 * y)),
        ("square, sin 4x sin 4y", "dirichlet", lambda x, y: 0.03 + math.sin(4 * x) * math.sin(4 * y)),
        ("flower, exp(x + 2 y), absorption 5", "absorption", 4.5),
        ("cube, sin 3x sin 3y sin 3z + z, absorption 200", "absorption", 190.0),
        ("walls at a reentrant corner, r^(2/3) cos(2 t / 3)", "neumann", {0: 0.5, 5: 0.0}),
        ("cube, flux through two faces", "neumann", {1: 0.0, 5: 1.0}),
    ],
)
def test_a_problem_that_is_a_little_different_is_told_apart(name, argument, wrong):
    """What the checks of the case can see: data that are wrong by some percent."""
    problem = KNOWN[name]
    x = problem.points(50, 0)
    found = walk_on_spheres(problem.boundary, x, **{**problem.data, argument: wrong}, n_walks=4000, epsilon=1e-5)
    z = (found.mean - problem.exact(*x.T)) / found.standard_error
    assert abs(z.mean()) * np.sqrt(len(z)) > 6


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


@pytest.mark.parametrize("name", ["flux into a hole, absorption 3", "cube, flux through two faces, absorption 4"])
@pytest.mark.parametrize("walk", [walk_on_spheres, walk_gradients])
def test_bits_do_not_depend_on_threads_company_order_or_interruptions(name, walk):
    problem = KNOWN[name]
    x = problem.points(40, 1)
    given = dict(problem.data, epsilon=1e-3, seed=7)

    def bits(found, order=slice(None)):
        return digest(found.mean[order], found.squares[order], found.total_steps[order], found.n_truncated[order])

    whole = walk(problem.boundary, x, n_walks=60, **given)
    assert bits(walk(problem.boundary, x, n_walks=60, workers=3, **given)) == bits(whole)
    first = walk(problem.boundary, x, n_walks=23, **given)
    assert bits(walk(problem.boundary, x, n_walks=37, resume=first, **given)) == bits(whole)
    order = np.random.default_rng(0).permutation(40)
    shuffled = walk(problem.boundary, x[order], n_walks=60, point_numbers=order, **given)
    assert bits(shuffled, np.argsort(order)) == bits(whole)
    alone = walk(problem.boundary, x[[17]], n_walks=60, point_numbers=[17], **given)
    assert bits(alone) == bits(whole, [17])
    assert bits(walk(problem.boundary, x, n_walks=60, **given | {"seed": 8})) != bits(whole)
    twins = walk(problem.boundary, x[[17, 17]], n_walks=60, **given)
    assert (twins.mean[0] != twins.mean[1]).all()  # points share no walks


def test_errors_fall_like_one_over_the_root_of_the_walks():
    problem = KNOWN["flower, x^2 - y^2"]
    x = problem.points(40, 2)
    counts = [100, 400, 1600, 6400]
    found = [walk_on_spheres(problem.boundary, x, **problem.data, n_walks=n, epsilon=1e-3) for n in counts]
    slope = np.polyfit(np.log(counts), np.log([one.standard_error.mean() for one in found]), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.03)


def test_steps_grow_with_the_logarithm_of_epsilon():
    problem = KNOWN["flower, x^2 - y^2"]
    x, epsilons = problem.points(40, 2), np.array([1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
    steps = [walk_on_spheres(problem.boundary, x, **problem.data, n_walks=400, epsilon=e).mean_steps.mean() for e in epsilons]
    fitted = np.polynomial.Polynomial.fit(np.log10(epsilons), steps, 1)
    assert np.abs(fitted(np.log10(epsilons)) - steps).max() < 0.15
    # at a straight side a step changes the distance by a factor 1 + cos t, of which the mean logarithm is -log 2
    assert -fitted.convert().coef[1] == pytest.approx(np.log2(10), abs=0.15)


def test_the_report_on_epsilon_shares_the_walks_and_extrapolates():
    problem = KNOWN["equilateral triangle, torsion"]
    x = problem.points(20, 3, 0.1)
    report = epsilon_report(problem.boundary, x, **problem.data, n_walks=500, epsilon=0.005, levels=3, seed=4)
    one = walk_on_spheres(problem.boundary, x, **problem.data, n_walks=500, epsilon=0.005, seed=4)
    np.testing.assert_array_equal(report.mean[-1], one.mean)
    np.testing.assert_allclose(report.difference, np.diff(report.mean, axis=0), atol=1e-14)
    np.testing.assert_allclose(report.extrapolated, 2 * report.mean[-1] - report.mean[-2], atol=1e-14)
    np.testing.assert_allclose(report.epsilons, [0.02, 0.01, 0.005])
    assert (report.difference_error < report.standard_error[1:] / 2).all()
    exact = problem.exact(*x.T)
    assert abs((report.extrapolated - exact).mean()) < abs((report.mean[-1] - exact).mean()) / 3


def test_given_up_walks_are_counted_and_not_left_out():
    problem = KNOWN["flower, x^2 - y^2"]
    x = problem.points(10, 5, 0.2)
    found = walk_on_spheres(problem.boundary, x, dirichlet=1.0, n_walks=200, epsilon=1e-6, max_steps=4)
    assert (found.n_truncated > 100).all()
    assert (found.total_steps <= 800).all()
    np.testing.assert_array_equal(found.mean, 1)
    assert walk_on_spheres(problem.boundary, x, dirichlet=1.0, n_walks=200, epsilon=1e-6).n_truncated.sum() == 0


def test_a_point_as_close_as_epsilon_has_the_boundary_value():
    found = walk_on_spheres(polygon(SQUARE), [[0.5, 1e-4]], dirichlet=lambda x, y: x, n_walks=10, epsilon=1e-3)
    assert (found.mean[0], found.standard_error[0], found.mean_steps[0]) == (0.5, 0, 0)
    assert np.isinf(walk_on_spheres(polygon(SQUARE), [[0.5, 0.5]], dirichlet=0.0, n_walks=1, epsilon=1e-3).standard_error).all()


def test_data_by_tags_and_compiled_functions():
    """The side of a square has a quarter of the harmonic measure of its centre."""
    sides = {0: 4.0, 1: njit(lambda x, y: 0.0), 2: 0, 3: 0}
    found = walk_on_spheres(polygon(SQUARE), [[0.5, 0.5]], dirichlet=sides, n_walks=4000, epsilon=1e-4)
    assert abs(found.mean[0] - 1) < 4 * found.standard_error[0]
    assert found.standard_error[0] == pytest.approx(4 * np.sqrt(3 / 16 / 4000), rel=0.05)


def test_control_variate_and_opposite_points():
    """At the centre of a square u = x + const has pairs of nearly no variance: the constant cancels, the slope is what was taken off."""
    found = walk_gradients(polygon(SQUARE), [[0.5, 0.5]], dirichlet=lambda x, y: 1e6 + x, n_walks=2000, epsilon=1e-6)
    assert np.abs(found.mean - [[1, 0]]).max() < 4 * found.standard_error.max()
    assert found.standard_error.max() < 0.5 * np.sqrt(1 / 2 / 2000) * 2 / 0.495 * 0.75  # without either: 1e6 times as large


def call(boundary=None, points=((0.5, 0.5),), **changes):
    given = {"dirichlet": 0.0, "epsilon": 1e-3, "n_walks": 10} | changes
    return walk_on_spheres(polygon(SQUARE) if boundary is None else boundary, points, **given)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: call(points=[(0.5, 0.5), (1.5, 0.5)]), ValueError, r"points\[1\] = \[1.5, 0.5\] is not inside"),
        (lambda: call(points=[(0.5, np.nan)]), ValueError, r"points\[0\] = \[0.5, nan\] is not finite"),
        (lambda: call(boundary=np.array(SQUARE)), TypeError, "boundary is a ndarray"),
        (lambda: call(epsilon=0.0), ValueError, "epsilon = 0 is not positive"),
        (lambda: call(epsilon=math.nan), ValueError, r"epsilon\[0\] = nan"),
        (lambda: call(absorption=-1.0), ValueError, "absorption = -1 is negative"),
        (lambda: call(seed=-1), ValueError, "seed = -1 is negative"),
        (lambda: call(n_walks=0), ValueError, "n_walks = 0, workers = 1: give positive whole numbers"),
        (lambda: call(max_steps=0), ValueError, "max_steps = 0"),
        (lambda: call(dirichlet=math.inf), ValueError, "dirichlet = inf"),
        (lambda: call(dirichlet="g"), TypeError, "dirichlet = 'g' is no number"),
        (lambda: call(dirichlet=lambda x: x), TypeError, r"dirichlet cannot be compiled by Numba: give a function of \(x, y\)"),
        (lambda: call(source=lambda x, y: {}[x]), TypeError, "source cannot be compiled by Numba"),
        (lambda: call(dirichlet=lambda x, y: "one"), TypeError, "dirichlet cannot be compiled by Numba"),
        (lambda: call(dirichlet=lambda x, y: math.log(-1 - x)), ValueError, "dirichlet is not a finite number at .*define it there"),
        (lambda: call(dirichlet=lambda x, y: 1 / (y * 0.0)), ValueError, "dirichlet is not a finite number at"),
        (lambda: call(source=lambda x, y: math.nan), ValueError, r"source is not a finite number at .* points\[0\] = \[0.5, 0.5\]"),
        (lambda: call(neumann={0: math.sqrt(2), 1: lambda x, y: math.nan}), ValueError, "neumann is not a finite number at"),
        (lambda: call(neumann={9: 0.0}), ValueError, r"neumann names the tag 9: the boundary has \[0, 1, 2, 3\]"),
        (lambda: call(neumann={0: 0, 1: 0, 2: 0, 3: 0}), ValueError, "neumann takes the whole boundary"),
        (lambda: call(neumann=0.0), TypeError, "neumann is no mapping"),
        (lambda: call(dirichlet={0: 1.0}), ValueError, "the tag 1 is in both or none"),
        (lambda: call(point_numbers=[-1]), ValueError, "give 1 distinct whole numbers"),
        (lambda: call(resume=3), TypeError, "resume is a int"),
        (lambda: call(resume=call(seed=3)), ValueError, "resume has seed 3 and epsilon 0.001, not 0 and 0.001"),
        (lambda: call(resume=call(points=[(0.5, 0.5), (0.2, 0.2)])), ValueError, r"resume is of shape \(2,\)"),
        (lambda: epsilon_report(polygon(SQUARE), [[0.5, 0.5]], dirichlet=0.0, epsilon=0.1, levels=1), ValueError, "levels = 1"),
    ],
)
def test_what_makes_no_sense_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_an_exception_in_the_data_is_told_with_its_place():
    def partial(x, y):
        if x > 0.5:
            raise ValueError("unknown there")
        return x

    with pytest.raises(ValueError, match=r"dirichlet is not a finite number at \[\S+, \S+\]"):
        call(dirichlet=partial, n_walks=100)


def test_functions_are_compiled_once():
    def plain(x, y):
        return x

    assert compile_field("dirichlet", plain, 2) is compile_field("source", plain, 2)
    assert compile_field("dirichlet", {1: plain, 2: 0.0}, 2) is compile_field("dirichlet", {1: plain, 2: 0.0}, 2)


def test_walls_in_parts_make_no_difference():
    """The same square with whole and with divided walls: the same expectation, by other random numbers."""
    whole, parts = polygon(SQUARE), KNOWN["square, flux through three sides, exp(x) cos y"]
    x = parts.points(30, 6)
    exact = parts.exact(*x.T)
    neumann = {0: 0.0, 1: lambda x, y: math.exp(x) * math.cos(y), 2: lambda x, y: -math.exp(x) * math.sin(y)}
    found = walk_on_spheres(whole, x, dirichlet=parts.data["dirichlet"], neumann=neumann, n_walks=1000, epsilon=1e-5)
    z = (found.mean - exact) / found.standard_error
    assert np.abs(z).max() < 4.5
    assert abs(z.mean()) * np.sqrt(30) < 4


def test_walks_stay_inside_walls():
    """With u = 1 on the only Dirichlet part and no flux, a walk that leaked out of a reentrant domain would never end, or end elsewhere."""
    for boundary in (polygon(CORNER), prism(CORNER)):
        walls = dict.fromkeys(set(boundary.tags.tolist()) - {3}, 0.0)
        x = np.full((1, boundary.dimension), 0.5)
        found = walk_on_spheres(boundary, x, dirichlet=1.0, neumann=walls, n_walks=20_000, epsilon=1e-4)
        assert found.n_truncated.sum() == 0
        np.testing.assert_array_equal(found.mean, 1)
