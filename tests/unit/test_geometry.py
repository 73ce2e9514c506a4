"""Domains against what dense samples of their boundary say, worked out here without them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from sciml.geometry import Box, Combination, Disk, Meshed, Polygon, Shape, joined, meetings
from sciml.geometry.shape import GeometryError
from sciml.mesh.mesh import Mesh

Array = NDArray[np.float64]

L_SHAPE = ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0))
STAR = tuple(
    (0.3 + r * math.cos(a), -0.2 + r * math.sin(a)) for a, r in ((math.pi * k / 5 + 0.1, 1.0 if k % 2 == 0 else 0.35) for k in range(10))
)
TRIANGLE = ((0.0, 0.0), (3.0, 0.5), (1.0, 2.0))
# the lower side is two edges on one line, of two parts
SPLIT = Polygon(((0.0, 0.0), (0.5, 0.0), (1.5, 0.0), (1.5, 1.0), (0.0, 1.0)), ("inlet", "wall", "wall", "wall", "wall"))
# the ends of the U meet the line of its inner bottom again
U_SHAPE = ((0.0, 0.0), (3.0, 0.0), (3.0, 2.0), (2.0, 2.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0))


def square_mesh(n: int, without: Callable[[int, int], bool] = lambda i, j: False, turn: complex = 1.0, shift: complex = 0.0) -> Mesh:
    """The unit square, n cells a side, with the parts `left` and `boundary`; some cells left out, then turned and shifted."""
    k = np.arange(n + 1) / n
    points = np.stack([a.ravel() for a in np.meshgrid(k, k, indexing="ij")], axis=1)
    cells = []
    for i in range(n):
        for j in range(n):
            a, b, c, d = (x * (n + 1) + y for x, y in ((i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)))
            cells += [] if without(i, j) else [(a, b, c), (a, c, d)]
    used = np.unique(cells)
    place = np.full(len(points), -1)
    place[used] = np.arange(len(used))
    left = [(place[j], place[j + 1]) for j in range(n)]
    z = (points[used] @ [1, 1j]) * turn + shift
    return Mesh.build(np.stack([z.real, z.imag], axis=1), place[np.array(cells)], {"left": left}, name="square")


def upper_right(i: int, j: int) -> bool:
    return i >= 2 and j >= 2


FRAME = square_mesh(6, lambda i, j: 2 <= i < 4 and 2 <= j < 4, np.exp(0.3j), 0.7 - 0.9j)


def framed(corner: complex) -> tuple[float, float]:
    z = corner * np.exp(0.3j) + 0.7 - 0.9j
    return z.real, z.imag


OUTER = tuple(map(framed, (0, 1, 1 + 1j, 1j)))
INNER = tuple(map(framed, ((1 + 1j) / 3, (2 + 1j) / 3, (2 + 2j) / 3, (1 + 2j) / 3)))


def closed(corners: tuple[tuple[float, float], ...]) -> Array:
    """Points along a closed polygon, so close that the nearest one is as far as the polygon to 1e-6."""
    points = np.array(corners)
    s = np.linspace(0, 1, 4000, endpoint=False)[:, None]
    return np.concatenate([a + s * (b - a) for a, b in zip(points, np.roll(points, -1, axis=0), strict=True)])


def circle(centre: tuple[float, float], radius: float) -> Array:
    angle = np.linspace(0, 2 * np.pi, 20000, endpoint=False)
    return np.array(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def winds(corners: tuple[tuple[float, float], ...], points: Array) -> NDArray[np.bool_]:
    """Inside by the winding number, the sum of the angles under which the edges are seen."""
    z, c = points[:, 0] + 1j * points[:, 1], np.array([complex(*p) for p in corners])
    turns = np.angle((np.roll(c, -1)[None] - z[:, None]) / (c[None] - z[:, None])).sum(axis=1)
    return np.abs(turns) > np.pi


def in_disk(centre: tuple[float, float], radius: float, points: Array) -> NDArray[np.bool_]:
    return np.hypot(*(points - centre).T) < radius


def nearest(cloud: Array, points: Array) -> Array:
    return np.asarray(cKDTree(cloud).query(points)[0])


def around(shape: Shape, count: int = 400) -> Array:
    low, high = np.array(shape.bounds)
    return np.random.default_rng(0).uniform(low - 0.3 * (high - low), high + 0.3 * (high - low), (count, len(low)))


def box_corners(low: tuple[float, float], high: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    return (low, (high[0], low[1]), high, (low[0], high[1]))


EXACT: dict[str, tuple[Shape, Array, Callable[[Array], NDArray[np.bool_]]]] = {
    "rectangle": (
        Box((-1.0, 0.5), (2.0, 1.5)),
        closed(box_corners((-1.0, 0.5), (2.0, 1.5))),
        lambda p: winds(box_corners((-1.0, 0.5), (2.0, 1.5)), p),
    ),
    "disk": (Disk((0.4, -1.0), 0.7), circle((0.4, -1.0), 0.7), lambda p: in_disk((0.4, -1.0), 0.7, p)),
    "triangle": (Polygon(TRIANGLE), closed(TRIANGLE), lambda p: winds(TRIANGLE, p)),
    "clockwise triangle": (Polygon(TRIANGLE[::-1]), closed(TRIANGLE), lambda p: winds(TRIANGLE, p)),
    "L": (Polygon(L_SHAPE), closed(L_SHAPE), lambda p: winds(L_SHAPE, p)),
    "star": (Polygon(STAR), closed(STAR), lambda p: winds(STAR, p)),
    "U": (Polygon(U_SHAPE), closed(U_SHAPE), lambda p: winds(U_SHAPE, p)),
    "split side": (SPLIT, closed(SPLIT.corners), lambda p: winds(SPLIT.corners, p)),
    "mesh of a square": (
        Meshed(square_mesh(4)),
        closed(box_corners((0.0, 0.0), (1.0, 1.0))),
        lambda p: winds(box_corners((0.0, 0.0), (1.0, 1.0)), p),
    ),
    "mesh of an L": (
        Meshed(square_mesh(4, upper_right)),
        closed(tuple((x / 2, y / 2) for x, y in L_SHAPE)),
        lambda p: winds(tuple((x / 2, y / 2) for x, y in L_SHAPE), p),
    ),
    "mesh of a frame": (
        Meshed(FRAME),
        np.concatenate([closed(OUTER), closed(INNER)]),
        lambda p: winds(OUTER, p) & ~winds(INNER, p),
    ),
}
RECTANGLE, HOLE = Box((0.0, 0.0), (3.0, 2.0)), Disk((1.0, 0.9), 0.4)
SQUARE_HOLE = Polygon(((0.8, 0.6), (1.4, 0.8), (1.2, 1.4), (0.6, 1.2)))
BITE = Disk((1.5, 2.0), 0.5, part="bite")
COMBINED: dict[str, tuple[Shape, Callable[[Array], NDArray[np.bool_]], float, float]] = {
    # with area and length of the boundary
    "rectangle minus disk": (
        RECTANGLE - HOLE,
        lambda p: winds(box_corners(*RECTANGLE.bounds), p) & ~in_disk((1.0, 0.9), 0.4, p),
        6 - math.pi * 0.16,
        10 + 0.8 * math.pi,
    ),
    "rectangle minus polygon": (
        RECTANGLE - SQUARE_HOLE,
        lambda p: winds(box_corners(*RECTANGLE.bounds), p) & ~winds(SQUARE_HOLE.corners, p),
        6 - 0.4,
        10 + 4 * math.sqrt(0.4),
    ),
    "rectangle minus L": (
        Box((-1.0, -1.0), (3.0, 3.0)) - Polygon(L_SHAPE),
        lambda p: winds(box_corners((-1.0, -1.0), (3.0, 3.0)), p) & ~winds(L_SHAPE, p),
        16 - 3,
        16 + 8,
    ),
    "bite out of a side": (
        RECTANGLE - BITE,
        lambda p: winds(box_corners(*RECTANGLE.bounds), p) & ~in_disk((1.5, 2.0), 0.5, p),
        6 - math.pi / 8,
        10 - 1 + math.pi / 2,
    ),
    "hole and bite": (
        (RECTANGLE - Disk((0.6, 0.6), 0.2)) - BITE,
        lambda p: winds(box_corners(*RECTANGLE.bounds), p) & ~in_disk((0.6, 0.6), 0.2, p) & ~in_disk((1.5, 2.0), 0.5, p),
        6 - math.pi * (0.04 + 1 / 8),
        10 - 1 + math.pi / 2 + 0.4 * math.pi,
    ),
    "lens": (
        Disk((0.0, 0.0), 1.0, part="left") & Disk((1.0, 0.0), 1.0, part="right"),
        lambda p: in_disk((0.0, 0.0), 1.0, p) & in_disk((1.0, 0.0), 1.0, p),
        2 * math.pi / 3 - math.sqrt(3) / 2,
        4 * math.pi / 3,
    ),
    "half a disk": (
        Disk((0.0, 0.0), 1.0) & Box((-2.0, 0.0), (2.0, 3.0)),
        lambda p: in_disk((0.0, 0.0), 1.0, p) & (p[:, 1] > 0),
        math.pi / 2,
        2 + math.pi,
    ),
    "two disks": (
        Disk((0.0, 0.0), 1.0, part="left") | Disk((1.0, 0.0), 1.0, part="right"),
        lambda p: in_disk((0.0, 0.0), 1.0, p) | in_disk((1.0, 0.0), 1.0, p),
        2 * math.pi - (2 * math.pi / 3 - math.sqrt(3) / 2),
        8 * math.pi / 3,
    ),
    "rectangle and disk": (
        RECTANGLE | Disk((3.0, 1.0), 0.6),
        lambda p: winds(box_corners(*RECTANGLE.bounds), p) | in_disk((3.0, 1.0), 0.6, p),
        6 + math.pi * 0.18,
        10 - 1.2 + 0.6 * math.pi,
    ),
    "cross of rectangles": (
        RECTANGLE | Polygon(((1.0, -1.0), (2.0, -1.0), (2.0, 3.0), (1.0, 3.0))),
        lambda p: winds(box_corners(*RECTANGLE.bounds), p) | ((p[:, 0] > 1) & (p[:, 0] < 2) & (p[:, 1] > -1) & (p[:, 1] < 3)),
        6 + 2,
        10 - 2 + 6,
    ),
}
ALL: dict[str, Shape] = {
    "interval": Box((-0.1,), (0.7,)),
    "box": Box((0.0, -1.0, 0.3), (1.0, 1.5, 0.9)),
    **{name: case[0] for name, case in EXACT.items()},
    **{name: case[0] for name, case in COMBINED.items()},
}
each = pytest.mark.parametrize("shape", ALL.values(), ids=ALL)


@pytest.mark.parametrize("name", EXACT)
def test_signed_distance_is_that_to_the_nearest_of_many_boundary_points(name: str) -> None:
    shape, cloud, inside = EXACT[name]
    points = around(shape)
    expected = np.where(inside(points), 1, -1) * nearest(cloud, points)
    np.testing.assert_allclose(shape.signed_distance(points), expected, atol=2e-4)
    assert shape.contains(points).any()
    assert not shape.contains(points).all()


@pytest.mark.parametrize(("low", "high"), [((-0.1,), (0.7,)), ((0.0, -1.0, 0.3), (1.0, 1.5, 0.9))])
def test_signed_distance_from_intervals_and_boxes(low: tuple[float, ...], high: tuple[float, ...]) -> None:
    box = Box(low, high)
    points = around(box)
    closest = np.clip(points, low, high)
    inside = (closest == points).all(axis=1)
    faces = np.minimum(points - low, high - points).min(axis=1)
    expected = np.where(inside, faces, -np.linalg.norm(points - closest, axis=1))
    np.testing.assert_allclose(box.signed_distance(points), expected, atol=1e-15)


@pytest.mark.parametrize("name", COMBINED)
def test_combinations_hold_the_right_points_and_no_more_distance_than_there_is(name: str) -> None:
    shape, inside, area, length = COMBINED[name]
    points = around(shape, 4000)
    np.testing.assert_array_equal(shape.contains(points), inside(points))
    boundary = shape.boundary(4000)
    assert (np.abs(shape.signed_distance(points)) <= nearest(boundary.points, points) + 2e-3).all()
    low, high = np.array(shape.bounds)
    square = np.random.default_rng(1).uniform(low, high, (200000, 2))
    assert shape.contains(square).mean() * np.prod(high - low) == pytest.approx(area, rel=5 * math.sqrt(1 / 200000))
    assert boundary.weights.sum() == pytest.approx(length, rel=2e-3)
    # Gauss: the boundary's position dotted with its normal integrates to twice the area, so that no piece is missing or turned
    assert (boundary.weights * (boundary.points * boundary.normals).sum(axis=1)).sum() == pytest.approx(2 * area, rel=3e-3)


@each
def test_points_inside_are_inside_and_those_of_the_boundary_on_it(shape: Shape) -> None:
    inside = shape.interior(300, seed=3)
    assert inside.shape == (300, shape.dimension)
    assert (shape.signed_distance(inside) > 0).all()
    size = max(np.subtract(*shape.bounds[::-1]))
    assert (shape.signed_distance(shape.interior(50, margin=0.03 * size)) > 0.03 * size).all()
    for part in shape.parts:
        some = shape.boundary(40, [part])
        np.testing.assert_allclose(shape.signed_distance(some.points), 0, atol=1e-14 * size)
        np.testing.assert_allclose(np.linalg.norm(some.normals, axis=1), 1, atol=1e-15)
        step = 1e-6 * size
        assert (shape.signed_distance(some.points - step * some.normals) > 0).all(), part
        assert (shape.signed_distance(some.points + step * some.normals) < 0).all(), part
    np.testing.assert_array_equal(shape.interior(20, seed=1), shape.interior(20, seed=1))


@pytest.mark.parametrize("name", EXACT)
def test_weights_sum_to_the_length(name: str) -> None:
    shape, cloud, _ = EXACT[name]
    steps = np.linalg.norm(np.diff(cloud, axis=0, append=cloud[:1]), axis=1)
    length = steps[steps < 0.1].sum()  # not from an outer boundary to an inner one
    assert shape.boundary(7).weights.sum() == pytest.approx(length, rel=4e-4)
    assert Box((0.0, -1.0, 0.3), (1.0, 1.5, 0.9)).boundary(3).weights.sum() == pytest.approx(2 * (2.5 + 0.6 + 2.5 * 0.6))
    assert Box((0.0,), (2.0,)).boundary(9).weights.tolist() == [1, 1]


@each
def test_distances_and_factors_vanish_on_their_part_and_nowhere_else(shape: Shape) -> None:
    size = max(np.subtract(*shape.bounds[::-1]))
    inside = shape.interior(2000, seed=5)
    count = 60 if shape.dimension < 3 else 8
    edge = shape.boundary(count)
    for part in shape.parts:
        here = shape.boundary(count, [part])
        on = (np.abs(edge.points[:, None] - here.points[None]).max(axis=2) == 0).any(axis=1)
        for name, function in (("distance", shape.distance([part])), ("factor", shape.factor([part]))):
            np.testing.assert_allclose(function(*here.points.T), 0, atol=1e-15 * max(size, 1), err_msg=f"{name} {part}")
            assert (function(*inside.T) > 0).all(), (name, part)
            if not on.all():
                assert (function(*edge.points[~on].T) > 0).all(), (name, part)
    factor = shape.factor(shape.parts)
    np.testing.assert_allclose(factor(*edge.points.T), 0, atol=5e-15 * max(size, 1))  # its slope is larger than 1
    assert 0.6 < factor(*inside.T).max() < 1.3
    assert shape.factor([])(*inside.T) == 1


@each
def test_distances_have_slope_one_on_their_part(shape: Shape) -> None:
    size = max(np.subtract(*shape.bounds[::-1]))
    step = 1e-7 * size
    for chosen in [*([part] for part in shape.parts), list(shape.parts)]:
        some, function = shape.boundary(40, chosen), shape.distance(chosen)
        corners = _far_from_corners(shape, some.points, 0.01 * size)
        slope = (function(*(some.points - step * some.normals).T) - function(*some.points.T)) / step
        assert corners.any()
        np.testing.assert_allclose(slope[corners], 1, atol=2e-4, err_msg=str(chosen))


def _far_from_corners(shape: Shape, points: Array, margin: float) -> NDArray[np.bool_]:
    """Where the boundary within `margin` is straight, or nearly: its points there have nearly one normal."""
    if shape.dimension != 2:
        return (np.sort(np.minimum(points - shape.bounds[0], shape.bounds[1] - points))[:, 1 : shape.dimension] > margin).all(axis=1)
    dense = shape.boundary(1500)
    far = []
    for point in points:
        normals = dense.normals[np.linalg.norm(dense.points - point, axis=1) < margin]
        far.append(len(normals) > 0 and (normals @ normals.T).min() > 0.9)
    return np.array(far)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scaled_domains_have_scaled_distances_and_the_same_factors(scale: float) -> None:
    one, large = Polygon(L_SHAPE), Polygon(tuple((scale * x, scale * y) for x, y in L_SHAPE))
    points = one.interior(200)
    for part in ("edge_2", "edge_3"):
        np.testing.assert_allclose(large.distance([part])(*(scale * points).T), scale * one.distance([part])(*points.T), rtol=1e-9)
        np.testing.assert_allclose(large.factor([part])(*(scale * points).T), one.factor([part])(*points.T), rtol=1e-9)


def test_a_line_that_leaves_the_domain_makes_a_smooth_factor() -> None:
    factor = Box((0.0, 0.0), (2.0, 1.0)).factor(["x_low", "x_high", "y_low"])
    x, y = np.random.default_rng(0).random((2, 50))
    np.testing.assert_allclose(factor(2 * x, y), factor(1.0, 1.0) * 4 * x * (1 - x) * y, rtol=1e-14)
    assert factor(1.0, 1.0) == pytest.approx(1, rel=2e-2)
    hole = (RECTANGLE - HOLE).factor(["circle"])
    r = np.array([0.4, 0.5, 1.0, 1.4])
    np.testing.assert_allclose(hole(1.0 + r, 0.9) / hole(2.0, 0.9), (1 - (0.4 / r) ** 2) / (1 - 0.4**2), atol=1e-14)


def test_edges_of_a_mesh_on_one_line_are_one_side() -> None:
    assert len(Meshed(square_mesh(5)).pieces) == 4
    assert Meshed(square_mesh(5)).parts == ("boundary", "left")
    assert len(Meshed(square_mesh(4, upper_right)).pieces) == 6
    assert len(Meshed(FRAME).pieces) == 8
    x = np.array([[0.3, 0.5], [0.9, 0.2]])
    np.testing.assert_allclose(Meshed(square_mesh(5)).distance(["left"])(*x.T), x[:, 0], rtol=1e-15)


def test_two_parts_on_one_line_are_told_apart() -> None:
    inlet, wall = SPLIT.distance(["inlet"]), SPLIT.distance(["wall"])
    assert inlet(0.25, 0.0) == 0
    assert inlet(1.0, 0.0) > 0.1
    assert wall(0.25, 0.0) > 0.05
    assert wall(1.0, 0.0) == 0


def test_values_at_corners_are_numbers() -> None:
    for shape in (Polygon(L_SHAPE), SPLIT, RECTANGLE - SQUARE_HOLE, Meshed(square_mesh(4, upper_right))):
        corners = np.concatenate([piece.measure(1).points for piece in shape.pieces] + [np.array(L_SHAPE), np.array(SPLIT.corners)])
        for function in (shape.distance(shape.parts), shape.factor(shape.parts)):
            assert np.isfinite(function(*corners.T)).all()
    assert Polygon(L_SHAPE).factor(Polygon(L_SHAPE).parts)(1.0, 1.0) == 0


def test_joined_distances() -> None:
    a, b = np.array([0.0, 1e-7, 2.0]), np.array([3.0, 3.0, 2.0])
    np.testing.assert_allclose(joined([a, b]), [0, 1e-7, 1], rtol=1e-6)
    assert joined([0.0, 0.0]) == 0


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "box without interior": (lambda: Box((0.0, 1.0), (1.0, 1.0)), "has no interior: every low end must be below its high end"),
    "box of four axes": (lambda: Box((0.0,) * 4, (1.0,) * 4), "must have 1, 2 or 3 numbers each"),
    "infinite box": (lambda: Box((0.0,), (math.inf,)), "has no interior"),
    "flat disk": (lambda: Disk((0.0, 0.0), 0.0), "radius = 0.0 leaves no interior: give a positive number"),
    "disk nowhere": (lambda: Disk((math.nan, 0.0), 1.0), "must be two finite numbers"),
    "bow tie": (lambda: Polygon(((0, 0), (1, 1), (1, 0), (0, 1))), "edges 0 and 2, counted from 0, cross: list the corners in order"),
    "repeated corner": (lambda: Polygon(((0, 0), (1, 0), (1, 1), (0, 0))), "the same point: drop one"),
    "folded edge": (lambda: Polygon(((0, 0), (2, 0), (1, 0), (1, 1))), "edges 0 and 1, counted from 0, cross"),
    "corner on an edge": (lambda: Polygon(((0, 0), (2, 0), (2, 2), (1, 0), (0, 2))), "edges 0 and 2, counted from 0, cross"),
    "polygon on a line": (lambda: Polygon(((0, 0), (1, 0), (2, 1e-13))), "lie on one line, it has no interior"),
    "edge": (lambda: Polygon(((0, 0), (1, 0))), "must be three or more pairs of finite numbers"),
    "names": (lambda: Polygon(TRIANGLE, ("a", "b")), "2 names for 3 edges"),
    "part twice": (lambda: HOLE | Disk((1.0, 1.0), 0.5), "both domains have a boundary part 'circle': give parts names of their own"),
    "dimensions": (lambda: Box((0.0,), (1.0,)) - HOLE, "domains in 1 and 2 dimensions do not go together"),
    "space mesh": (
        lambda: Meshed(Mesh.build(np.eye(4)[:, :3], [[0, 1, 2, 3]], name="tet")),
        "mesh 'tet' has 3 dimensions: smooth distances are built from edges in the plane; take a box",
    ),
    "unknown part": (lambda: RECTANGLE.factor(["top"]), "part 'top' is none of the boundary's: choose among x_low, x_high, y_low, y_high"),
    "unknown part of boundary": (lambda: RECTANGLE.boundary(3, ["top"]), "part 'top' is none"),
    "no part": (lambda: RECTANGLE.distance([]), "no boundary part is named"),
    "no boundary": (lambda: RECTANGLE.boundary(3, []), "no boundary part is named"),
    "boxes apart": (lambda: HOLE & Disk((9.0, 9.0), 0.1, part="far"), "the intersection has no interior|nothing is left"),
    "disks apart": (lambda: HOLE & Disk((1.6, 1.5), 0.4, part="far"), "nothing is left of the intersection"),
    "nothing left": (lambda: HOLE - Box((0.0, 0.0), (3.0, 3.0)), "nothing is left of the difference: check what is cut with what"),
    "union apart": (lambda: HOLE | Disk((9.0, 9.0), 0.1, part="far"), "do not meet: solve on each of them alone"),
    "touching union": (
        lambda: Box((0.0, 0.0), (1.0, 1.0)) | Polygon(((1.0, 0.0), (2.0, 0.0), (2.0, 2.0), (1.0, 2.0))),
        "part .* runs along the boundary of the other domain of the union: let them overlap",
    ),
    "cut with an L": (lambda: Disk((1.0, 1.0), 1.3) - Polygon(L_SHAPE), "of a domain that is not convex, is not possible"),
    "no room": (lambda: RECTANGLE.interior(10, margin=1.0), "farther than 1 from the boundary.*or take a smaller margin"),
    "hardly any inside": (lambda: Polygon(((0, 0), (1, 1), (1, 1.000001))).interior(100), "no interior to speak of"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_makes_no_sense_is_refused_with_a_remedy(name: str) -> None:
    make, words = MISTAKES[name]
    with pytest.raises(GeometryError, match=words):
        make()


def test_operators_are_combinations() -> None:
    assert Combination("difference", RECTANGLE, HOLE) == (RECTANGLE - HOLE)
    assert Combination("intersection", RECTANGLE, HOLE) == (RECTANGLE & HOLE)
    assert Combination("union", RECTANGLE, BITE) == (RECTANGLE | BITE)


def test_meetings_are_found_at_every_place_where_two_parts_meet() -> None:
    upper, circle = ((RECTANGLE - BITE).boundary(3000, [part]).points for part in ("y_high", "bite"))
    found = list(meetings(upper, circle))
    assert sorted(round(float(upper[near, 0])) for near, _, _ in found) == [1, 2]
    for near, farther, share in found:
        one, two = (3 * upper[k, 0] + 0.2 for k in (near, farther))
        at_place = one - share * (two - one)
        assert at_place == pytest.approx(3 * round(float(upper[near, 0])) + 0.2, abs=3e-4)  # slope 3, a tenth of the spacing
    assert list(meetings(upper, HOLE.boundary(3000).points)) == []
    assert list(meetings(upper, np.zeros((0, 2)))) == []
