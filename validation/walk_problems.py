"""Problems with known solutions for random walks: boundaries of straight segments and triangles, on which every closed form is exact.

-Laplace u + absorption u = source, du/dn outwards on walls. A closed form needs no curved boundary: its own values are the Dirichlet data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.montecarlo import Boundary

Array = NDArray[np.float64]
Point = tuple[float, float]


@dataclass(frozen=True)
class WalkProblem:
    """One problem.

    Parameters
    ----------
    exact : u at the coordinates (points,) each; NumPy's functions.
    gradient : the partial derivatives at the same, or None where they are not asked for.
    data : arguments of `solvers.montecarlo.walk_on_spheres` that declare the problem.
    """

    boundary: Boundary
    exact: Callable[..., Array]
    data: Mapping[str, Any]
    gradient: Callable[..., Sequence[Array]] | None = field(default=None)

    def points(self, count: int, seed: int, gap: float = 0.1) -> Array:
        """Points (count, dimension) of equal density inside, no closer to the boundary than `gap`.

        Closer to it walks that go far are so rare that the mean of a thousand is no normal number.
        """
        rng, low, high = np.random.default_rng(seed), self.boundary.vertices.min(axis=0), self.boundary.vertices.max(axis=0)
        drawn = rng.uniform(low, high, (16 * count, self.boundary.dimension))
        drawn = drawn[self.boundary.contains(drawn)]
        return drawn[self.boundary.distance(drawn) > gap][:count]


def polygon(*curves: Sequence[Point]) -> Boundary:
    """Closed curves with the domain on their left; the tags count the segments through all of them."""
    elements, first = [], 0
    for curve in curves:
        numbers = first + np.arange(len(curve))
        elements.append(np.stack([numbers, np.roll(numbers, -1)], axis=1))
        first += len(curve)
    return Boundary(np.concatenate([np.array(curve, float) for curve in curves]), np.concatenate(elements), np.arange(first))


def prism(base: Sequence[Point], height: float = 1.0) -> Boundary:
    """A polygon, all of which is seen from its first vertex, drawn up to a height; tags are those of its segments, then bottom and top."""
    n = len(base)
    flat = np.array(base, float)
    vertices = np.concatenate([np.insert(flat, 2, level, axis=1) for level in (0.0, height)])
    elements, tags = [], []
    for i in range(n):
        j = (i + 1) % n
        elements += [(i, j, n + j), (i, n + j, n + i)]
        tags += [i, i]
    for i in range(1, n - 1):
        elements += [(0, i + 1, i), (n, n + i, n + i + 1)]
        tags += [n, n + 1]
    return Boundary(vertices, np.array(elements), np.array(tags))


ANGLES = 2 * np.pi * np.arange(64) / 64
FLOWER = [((1 + 0.2 * math.cos(4 * t)) * math.cos(t), (1 + 0.2 * math.cos(4 * t)) * math.sin(t)) for t in ANGLES]
SQUARE = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
TRIANGLE = [(0.0, 0.0), (1.0, 0.0), (0.5, math.sqrt(3) / 2)]
HOLE = [(0.4, 0.4), (0.4, 0.6), (0.6, 0.6), (0.6, 0.4)]
#: A flat hole, and another below it that cannot be seen from above.
ROOM = [(-0.3, -0.1), (1.3, -0.1), (1.3, 1.1), (-0.3, 1.1)]
SCREEN = [(0.0, 0.5), (0.0, 0.52), (1.0, 0.52), (1.0, 0.5)]
HIDDEN = [(0.02, 0.3), (0.02, 0.46), (0.98, 0.46), (0.98, 0.3)]
#: The reentrant corner, where the interior angle is 3 pi / 2, is the first vertex; its walls are segments 0 and 5.
CORNER = [(0.0, 0.0), (0.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, 0.0)]
#: A square of which three sides are in five parts each, so that walls see others of their own plane.
PARTS = [*((k / 5, 0.0) for k in range(5)), *((1.0, k / 5) for k in range(5)), *((1 - k / 5, 1.0) for k in range(5)), (0.0, 1.0)]
BELOW, RIGHT, ABOVE = range(5), range(5, 10), range(10, 15)


def problems() -> dict[str, WalkProblem]:
    """All of them by name."""
    return {**_plane(), **_plane_with_walls(), **_space()}


def _plane() -> dict[str, WalkProblem]:
    flower, square, corner = polygon(FLOWER), polygon(SQUARE), polygon(CORNER)
    height = math.sqrt(3) / 2
    return {
        "flower, x^2 - y^2": WalkProblem(
            flower, lambda x, y: x**2 - y**2, {"dirichlet": lambda x, y: x * x - y * y}, lambda x, y: (2 * x, -2 * y)
        ),
        "flower, exp(x) cos y": WalkProblem(
            flower,
            lambda x, y: np.exp(x) * np.cos(y),
            {"dirichlet": lambda x, y: math.exp(x) * math.cos(y)},
            lambda x, y: (np.exp(x) * np.cos(y), -np.exp(x) * np.sin(y)),
        ),
        "reentrant corner, r^(2/3) sin(2 t / 3)": WalkProblem(
            corner,
            lambda x, y: np.hypot(x, y) ** (2 / 3) * np.sin(2 / 3 * _turned(x, y)),
            {"dirichlet": lambda x, y: math.hypot(x, y) ** (2 / 3) * math.sin(2 / 3 * (math.atan2(x, -y) % (2 * math.pi)))},
        ),
        "square with a hole, log r": WalkProblem(
            polygon(SQUARE, HOLE),
            lambda x, y: np.log(np.hypot(x - 0.5, y - 0.5)),
            {"dirichlet": lambda x, y: math.log(math.hypot(x - 0.5, y - 0.5))},
        ),
        "equilateral triangle, torsion": WalkProblem(
            polygon(TRIANGLE),
            lambda x, y: y * (height * x - y / 2) * (height * (1 - x) - y / 2) / height,
            {"dirichlet": 0.0, "source": 1.0},
        ),
        "square, sin 4x sin 4y": _sines(square, 0.0),
        "flower, exp(x + 2 y), absorption 5": WalkProblem(
            flower,
            lambda x, y: np.exp(x + 2 * y),
            {"dirichlet": lambda x, y: math.exp(x + 2 * y), "absorption": 5.0},
            lambda x, y: (np.exp(x + 2 * y), 2 * np.exp(x + 2 * y)),
        ),
        "square, sin 4x sin 4y, absorption 3": _sines(square, 3.0),
        "flower, sin 4x sin 4y, absorption 2000": _sines(flower, 2000.0),
    }


def _sines(boundary: Boundary, absorption: float) -> WalkProblem:
    """A source that bends much within a ball: a wrong law of radii has a wrong mean of it, as it would not have of a harmonic one."""
    return WalkProblem(
        boundary,
        lambda x, y: np.sin(4 * x) * np.sin(4 * y),
        {
            "dirichlet": lambda x, y: math.sin(4 * x) * math.sin(4 * y),
            "source": lambda x, y: (32 + absorption) * math.sin(4 * x) * math.sin(4 * y),
            "absorption": absorption,
        },
        lambda x, y: (4 * np.cos(4 * x) * np.sin(4 * y), 4 * np.sin(4 * x) * np.cos(4 * y)),
    )


def _turned(x: Array, y: Array) -> Array:
    """The angle from the wall along -y of the reentrant corner, counter-clockwise through the domain to that along -x: 0 to 3 pi / 2."""
    return np.asarray(np.arctan2(x, -y) % (2 * np.pi))


def _plane_with_walls() -> dict[str, WalkProblem]:
    parts, hole = polygon(PARTS), polygon(SQUARE, HOLE)

    def exponential(x: float, y: float) -> float:
        return math.exp(x) * math.cos(y)

    return {
        "square between insulated walls, x": WalkProblem(
            parts, lambda x, y: x, {"dirichlet": lambda x, y: x, "neumann": dict.fromkeys((*BELOW, *ABOVE), 0.0)}
        ),
        "square with a source and three insulated walls, (1 - y^2) / 2": WalkProblem(
            polygon(SQUARE), lambda x, y: (1 - y**2) / 2, {"dirichlet": 0.0, "source": 1.0, "neumann": {0: 0.0, 1: 0.0, 3: 0.0}}
        ),
        "square, flux through three sides, exp(x) cos y": WalkProblem(
            parts,
            lambda x, y: np.exp(x) * np.cos(y),
            {
                "dirichlet": exponential,
                "neumann": dict.fromkeys(BELOW, 0.0)
                | dict.fromkeys(RIGHT, exponential)
                | dict.fromkeys(ABOVE, lambda x, y: -math.exp(x) * math.sin(y)),
            },
            lambda x, y: (np.exp(x) * np.cos(y), -np.exp(x) * np.sin(y)),
        ),
        "walls at a reentrant corner, r^(2/3) cos(2 t / 3)": WalkProblem(
            polygon(CORNER),
            lambda x, y: np.hypot(x, y) ** (2 / 3) * np.cos(2 / 3 * _turned(x, y)),
            {
                "dirichlet": lambda x, y: math.hypot(x, y) ** (2 / 3) * math.cos(2 / 3 * (math.atan2(x, -y) % (2 * math.pi))),
                "neumann": {0: 0.0, 5: 0.0},
            },
        ),
        "flux into a hole, sin x exp y + x^2": _hole(hole, 0.0),
        "flux into a hole, absorption 3": _hole(hole, 3.0),
        "flux into a hole, absorption 300": _hole(hole, 300.0),
        "flux into a screen and a hole behind it": _hole(polygon(ROOM, SCREEN, HIDDEN), 0.0),
    }


def _hole(boundary: Boundary, absorption: float) -> WalkProblem:
    """Rectangular holes, of which all begin at the low corner and go up: their sides are left, top, right and bottom."""
    flux = (
        lambda x, y: math.cos(x) * math.exp(y) + 2 * x,
        lambda x, y: -math.sin(x) * math.exp(y),
        lambda x, y: -math.cos(x) * math.exp(y) - 2 * x,
        lambda x, y: math.sin(x) * math.exp(y),
    )
    return WalkProblem(
        boundary,
        lambda x, y: np.sin(x) * np.exp(y) + x**2,
        {
            "dirichlet": lambda x, y: math.sin(x) * math.exp(y) + x * x,
            "source": lambda x, y: -2 + absorption * (math.sin(x) * math.exp(y) + x * x),
            "absorption": absorption,
            "neumann": {tag: flux[tag % 4] for tag in range(4, len(boundary.elements))},
        },
    )


def _space() -> dict[str, WalkProblem]:
    cube, corner = prism(SQUARE), prism(CORNER)
    walls = {
        1: lambda x, y, z: 3 * math.cos(3 * x) * math.sin(3 * y) * math.sin(3 * z),
        5: lambda x, y, z: 3 * math.sin(3 * x) * math.sin(3 * y) * math.cos(3 * z) + 1,
    }
    return {
        "cube, x^2 + y^2 - 2 z^2": WalkProblem(
            cube,
            lambda x, y, z: x**2 + y**2 - 2 * z**2,
            {"dirichlet": lambda x, y, z: x * x + y * y - 2 * z * z},
            lambda x, y, z: (2 * x, 2 * y, -4 * z),
        ),
        "prism, a charge outside": WalkProblem(
            corner,
            lambda x, y, z: 1 / np.sqrt((x + 0.5) ** 2 + (y + 0.5) ** 2 + (z - 0.5) ** 2),
            {"dirichlet": lambda x, y, z: 1 / math.sqrt((x + 0.5) ** 2 + (y + 0.5) ** 2 + (z - 0.5) ** 2)},
        ),
        "cube, sin 3x sin 3y sin 3z + z": _sines_in_space(cube, 0.0, None),
        "cube, sin 3x sin 3y sin 3z + z, absorption 4": _sines_in_space(cube, 4.0, None),
        "cube, sin 3x sin 3y sin 3z + z, absorption 200": _sines_in_space(cube, 200.0, None),
        "cube, flux through two faces": _sines_in_space(cube, 0.0, walls),
        "cube, flux through two faces, absorption 4": _sines_in_space(cube, 4.0, walls),
        "walls at a reentrant edge, r^(2/3) cos(2 t / 3)": WalkProblem(
            corner,
            lambda x, y, z: np.hypot(x, y) ** (2 / 3) * np.cos(2 / 3 * _turned(x, y)),
            {
                "dirichlet": lambda x, y, z: math.hypot(x, y) ** (2 / 3) * math.cos(2 / 3 * (math.atan2(x, -y) % (2 * math.pi))),
                "neumann": {0: 0.0, 5: 0.0, 6: 0.0, 7: 0.0},
            },
        ),
    }


def _sines_in_space(boundary: Boundary, absorption: float, walls: Mapping[int, Any] | None) -> WalkProblem:
    def u(x: float, y: float, z: float) -> float:
        return math.sin(3 * x) * math.sin(3 * y) * math.sin(3 * z) + z

    def gradient(x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        (sx, cx), (sy, cy), (sz, cz) = ((np.sin(3 * t), 3 * np.cos(3 * t)) for t in (x, y, z))
        return cx * sy * sz, sx * cy * sz, sx * sy * cz + 1

    return WalkProblem(
        boundary,
        lambda x, y, z: np.sin(3 * x) * np.sin(3 * y) * np.sin(3 * z) + z,
        {
            "dirichlet": u,
            "source": lambda x, y, z: (27 + absorption) * math.sin(3 * x) * math.sin(3 * y) * math.sin(3 * z) + absorption * z,
            "absorption": absorption,
            "neumann": walls,
        },
        gradient,
    )
