"""Hierarchies against every element by itself, and boundaries that are refused."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from solvers.montecarlo import Boundary
from solvers.montecarlo.tree import DEPTH, build, closest, element_measure, first_hit, on_segment, on_triangle, pick
from validation.walk_problems import CORNER, FLOWER, HOLE, SQUARE, polygon, prism

STACK = np.zeros(DEPTH, np.int64), np.zeros(DEPTH)


def soup(vertices, seed=0, count=300):
    """Random small elements in a cube; some segments have no length."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-1, 1, (count, 1, 3)) + rng.normal(scale=0.1, size=(count, vertices, 3))
    if vertices == 2:
        corners[:5, 1] = corners[:5, 0]
    return corners


def reference_distance(corners, x):
    """By minimising along edges, and by the foot of the perpendicular where it is inside."""
    pairs = [(0, 1)] if len(corners) == 2 else [(0, 1), (1, 2), (2, 0)]
    found = []
    for a, b in pairs:
        u = corners[b] - corners[a]
        found.append(minimize_scalar(lambda t, a=a, u=u: np.linalg.norm(x - corners[a] - t * u), bounds=(0, 1), method="bounded").fun)
        found += [np.linalg.norm(x - corners[a]), np.linalg.norm(x - corners[b])]
    if len(corners) == 3:
        basis = np.stack([corners[1] - corners[0], corners[2] - corners[0]], axis=1)
        s, t = np.linalg.lstsq(basis, x - corners[0], rcond=None)[0]
        if s >= 0 and t >= 0 and s + t <= 1:
            found.append(np.linalg.norm(x - corners[0] - basis @ [s, t]))
    return min(found)


@pytest.mark.parametrize("vertices", [2, 3])
def test_the_closest_point_of_an_element_is_no_further_than_any_other(vertices):
    rng = np.random.default_rng(1)
    for corners in soup(vertices, count=60):
        padded = np.concatenate([corners, corners[:1]])[:3]
        for x in rng.uniform(-1.5, 1.5, (4, 3)):
            found = (on_segment if vertices == 2 else on_triangle)(padded, *x)
            assert np.linalg.norm(x - found) == pytest.approx(reference_distance(corners, x), abs=1e-6)


@pytest.mark.parametrize("vertices", [2, 3])
def test_the_hierarchy_finds_the_closest_of_all_elements(vertices):
    corners = soup(vertices)
    tree = build(corners, np.arange(len(corners)))
    single = on_segment if vertices == 2 else on_triangle
    queries = np.concatenate([np.random.default_rng(2).uniform(-2, 2, (200, 3)), corners[:20, 0]])
    for x in queries:
        every = np.array([np.sum((x - np.array(single(c, *x))) ** 2) for c in tree.corners])
        square, place, *point = closest(tree, *x, np.inf, *STACK)
        assert square == pytest.approx(every.min(), rel=1e-14, abs=1e-30)
        assert every[place] == pytest.approx(square, rel=1e-14, abs=1e-30)
        assert np.sum((x - np.array(point)) ** 2) == pytest.approx(square, rel=1e-14, abs=1e-30)
        assert closest(tree, *x, square * 0.999, *STACK)[1] == -1
    assert sorted(tree.name) == list(range(len(corners)))


@pytest.mark.parametrize("vertices", [2, 3])
def test_the_hierarchy_finds_the_first_hit_of_all_elements(vertices):
    """Against a linear system for every element."""
    corners = soup(vertices)
    if vertices == 2:
        corners[..., 2] = 0
    tree = build(corners, np.arange(len(corners)))
    rng, hits = np.random.default_rng(3), 0
    for _ in range(300):
        x, w = rng.uniform(-1, 1, 3), rng.normal(size=3)
        if vertices == 2:
            x[2] = w[2] = 0
        w /= np.linalg.norm(w)
        every = np.full(len(corners), np.inf)
        for i, c in enumerate(corners[:, :vertices]):
            columns = [w, *(c[0] - c[k] for k in range(1, vertices))]
            size = 2 if vertices == 2 else 3
            matrix = np.stack(columns, axis=1)[:size]
            if abs(np.linalg.det(matrix)) > 1e-12:
                t, *s = np.linalg.solve(matrix, (c[0] - x)[:size])
                if t >= 0 and min(s) >= 0 and sum(s) <= 1:
                    every[i] = t
        t, place = first_hit(tree, x, w, 1.0, -1, STACK[0])
        assert t == pytest.approx(min(1.0, every.min()), abs=1e-12)
        if place >= 0:
            hits += 1
            assert tree.name[place] == every.argmin()
            assert first_hit(tree, x, w, 1.0, place, STACK[0])[0] == pytest.approx(min(1.0, np.sort(every)[1]), abs=1e-12)
        else:
            assert every.min() > 1
    assert hits > 40


def test_elements_are_picked_with_the_density_that_is_told():
    """Every element in the ball is found, and the integral of 1 over those is the sum of their areas."""
    corners = soup(3)[5:]
    tree = build(corners, np.arange(len(corners)))
    x, radius = (0.2, -0.3, 0.1), 0.5
    near = {place for place in range(len(corners)) if np.linalg.norm(x - np.array(on_triangle(tree.corners[place], *x))) < radius}
    areas = np.array([element_measure(tree, place) for place in range(len(corners))])
    np.testing.assert_allclose(np.sort(areas), np.sort(np.linalg.norm(np.cross(*np.moveaxis(np.diff(corners, axis=1), 1, 0)), axis=1) / 2))
    draws = (np.arange(100_000) + 0.5) / 100_000
    found = [pick(tree, *x, radius, u) for u in draws]
    places = np.array([place for place, _ in found])
    density = np.array([density for _, density in found])
    assert near <= set(places.tolist())
    sure = places >= 0
    counted = np.bincount(places[sure], minlength=len(corners)) / len(draws)
    told = np.zeros(len(corners))
    told[places[sure]] = density[sure] * areas[places[sure]]
    np.testing.assert_allclose(counted, told, atol=3e-5)
    assert pick(tree, 9.0, 9.0, 9.0, 0.5, 0.5)[0] == -1


def test_what_is_inside_and_how_far_the_boundary_is():
    rng = np.random.default_rng(4)
    ring = polygon(SQUARE, HOLE)
    x = rng.uniform(-0.5, 1.5, (2000, 2))
    in_square, in_hole = (np.abs(x - 0.5).max(axis=1) < half for half in (0.5, 0.1))
    np.testing.assert_array_equal(ring.contains(x), in_square & ~in_hole)
    inner = x[in_square]
    to_outer = np.minimum(inner, 1 - inner).min(axis=1)
    beyond = np.maximum(np.abs(inner - 0.5) - 0.1, 0)
    to_hole = np.where(in_hole[in_square], 0.1 - np.abs(inner - 0.5).max(axis=1), np.linalg.norm(beyond, axis=1))
    np.testing.assert_allclose(ring.distance(inner), np.minimum(to_outer, to_hole), atol=1e-15)
    x = rng.uniform(-1.2, 1.2, (2000, 3))
    in_corner = (np.abs(x[:, :2]).max(axis=1) < 1) & ((x[:, 0] > 0) | (x[:, 1] > 0)) & (np.abs(x[:, 2] - 0.5) < 0.5)
    np.testing.assert_array_equal(prism(CORNER).contains(x), in_corner)
    point, element = prism(SQUARE).closest([[0.5, 0.25, 0.9]])
    np.testing.assert_allclose(point, [[0.5, 0.25, 1.0]])
    assert prism(SQUARE).tags[element] == [5]


def test_silhouettes_are_reentrant_and_seen_on_one_side_alone():
    corner, walls = polygon(CORNER), np.ones(6, bool)
    tree = corner.silhouettes(walls)
    assert len(tree.corners) == 1  # all other corners are convex
    for x, y, hidden in ((0.5, 0.5, False), (0.5, -0.5, True), (-0.5, 0.5, True), (0.0, -0.5, True), (-0.5, 0.0, True)):
        assert (closest(tree, x, y, 0.0, np.inf, *STACK)[1] == 0) == hidden
    walls[5] = False  # its other neighbour holds the walk off by itself
    assert len(corner.silhouettes(walls).corners) == 0
    edges = prism(CORNER).silhouettes(np.ones(len(prism(CORNER).elements), bool))
    np.testing.assert_allclose(np.sort(edges.corners[:, :2, 2], axis=1), [[0, 1]])
    assert len(polygon(FLOWER).silhouettes(np.ones(64, bool)).corners) > 10


def square(**changes):
    given = {"vertices": np.array(SQUARE), "elements": [(0, 1), (1, 2), (2, 3), (3, 0)]} | changes
    return Boundary(**given)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: square(elements=[(0, 1), (1, 2), (2, 3)]), ValueError, "elements is not closed at vertex 0"),
        (lambda: square(elements=[(0, 3), (3, 2), (2, 1), (1, 0)]), ValueError, "has the domain on its left"),
        (lambda: square(elements=[(0, 1), (1, 2), (3, 2), (3, 0)]), ValueError, "not closed at vertex"),
        (lambda: polygon(SQUARE, HOLE[::-1]), ValueError, r"elements\[4\] and its part do not bound"),
        (lambda: square(elements=[(0, 1), (1, 2), (2, 4), (4, 0)]), ValueError, "vertices up to 4 of 4"),
        (lambda: square(elements=[(0, 0), (0, 1), (1, 2), (2, 0)]), ValueError, r"elements\[0\] = \[0, 0\] has no extent"),
        (lambda: square(vertices=np.zeros((4, 4))), ValueError, r"vertices has shape \(4, 4\)"),
        (lambda: square(vertices=np.full((4, 2), np.nan)), ValueError, r"vertices\[0\] = \[nan, nan\] is not finite"),
        (lambda: square(vertices="square"), TypeError, "vertices = 'square' is not made of numbers"),
        (lambda: square(elements=[(0, 1, 2)]), ValueError, r"elements has shape \(1, 3\): give segments"),
        (lambda: square(elements=np.ones((4, 2))), TypeError, "elements = an array"),
        (lambda: square(tags=[1, 2]), ValueError, r"tags has shape \(2,\) for 4 elements"),
        (lambda: square().distance([0.5, 0.5]), ValueError, r"points has shape \(2,\)"),
        (lambda: square().contains([[0.5, np.inf]]), ValueError, r"points\[0\] = \[0.5, inf\] is not finite"),
    ],
)
def test_boundaries_that_make_no_sense_are_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_an_open_surface_and_one_inside_out_are_refused():
    cube = prism(SQUARE)
    with pytest.raises(ValueError, match="not closed at the edge of vertices"):
        Boundary(cube.vertices, cube.elements[1:])
    with pytest.raises(ValueError, match="seen counter-clockwise from outside"):
        Boundary(cube.vertices, cube.elements[:, ::-1])
