"""Linear elements converge with order 2 in L2 and 1 in H1 on nested unstructured meshes, and with the constants written here."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sciml.discretize import discretize
from sciml.discretize.p1 import elements
from sciml.mesh import Mesh
from sciml.problems import MeshDarcy, MeshPoisson
from solvers import linear_solve

WAVE = {2: ((3.0, 2.0), (0.3, 0.1)), 3: ((1.5, 1.0, 0.7), (0.3, 0.1, 0.4))}


def refined(mesh: Mesh, cells: np.ndarray) -> tuple[Mesh, np.ndarray]:
    """Every cell cut at the midpoints of its edges into 2^d.

    Tetrahedra are cut along the diagonal of Bey (1995), which gives a few shapes however often it is repeated, provided that the
    nodes keep his order: hence `cells` beside the mesh, which orders them by orientation.
    """
    n = len(mesh.points)
    pairs = list(itertools.combinations(range(mesh.dimension + 1), 2))
    rows = np.sort(np.concatenate([cells[:, list(pair)] for pair in pairs]), axis=1)
    edges, number = np.unique(rows, axis=0, return_inverse=True)
    node = dict(zip(pairs, np.split(n + number.ravel(), len(pairs)), strict=True))
    node |= {(k, k): cells[:, k] for k in range(mesh.dimension + 1)}
    two = ["00 01 02", "01 11 12", "02 12 22", "01 12 02"]
    three = ["00 01 02 03", "01 11 12 13", "02 12 22 23", "03 13 23 33", "01 02 03 13", "01 02 12 13", "02 03 13 23", "02 12 13 23"]
    parts = [[node[int(a), int(b)] for a, b in child.split()] for child in (two if mesh.dimension == 2 else three)]
    children = np.concatenate([np.stack(part, axis=1) for part in parts])
    points = np.concatenate([mesh.points, mesh.points[edges].mean(axis=1)])
    corners = points[children]
    turned = np.linalg.det(corners[:, 1:] - corners[:, :1]) < 0
    oriented = np.where(turned[:, None], np.roll(children, 1, axis=1) if mesh.dimension == 3 else children[:, ::-1], children)
    facets = Mesh.build(points, oriented).facets
    old = {name: {tuple(row) for row in np.sort(mesh.part(name), axis=1).tolist()} for name in mesh.part_names}
    return Mesh.build(points, oriented, {name: inherited(facets, edges, n, old[name]) for name in old}), children


def inherited(facets: np.ndarray, edges: np.ndarray, n: int, parents: set[tuple[int, ...]]) -> np.ndarray:
    """The facets all of whose nodes lie on the closure of one of `parents`."""

    def ancestors(row: list[int]) -> tuple[int, ...]:
        return tuple(sorted({k for node in row for k in ([node] if node < n else edges[node - n].tolist())}))

    return np.array([row for row in facets.tolist() if ancestors(row) in parents])


def quadrature(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Barycentric points and weights (summing to 1) of Gauss's rule with 4 points an axis, collapsed onto the simplex."""
    x, w = np.polynomial.legendre.leggauss(4)
    x, w = (x + 1) / 2, w / 2
    points, weights = [], []
    for index in itertools.product(range(4), repeat=dimension):
        left, weight, barycentric = 1.0, 1.0, []
        for k, i in enumerate(index):
            barycentric.append(left * x[i])
            weight *= w[i] * (1 - x[i]) ** (dimension - 1 - k)
            left *= 1 - x[i]
        points.append([left, *barycentric])
        weights.append(weight)
    return np.array(points), np.array(weights) / np.sum(weights)


def errors(mesh: Mesh, u: np.ndarray, value, gradient) -> tuple[float, float]:
    """Norms of u_h - u and of its gradient in L2, integrated and not only compared at the nodes."""
    barycentric, weights = quadrature(mesh.dimension)
    points = np.einsum("qk,mkd->mqd", barycentric, mesh.points[mesh.cells])
    difference = u[mesh.cells] @ barycentric.T - value(points)
    slope = np.einsum("mk,mkd->md", u[mesh.cells], elements(mesh).gradients)[:, None, :] - gradient(points)
    volume = elements(mesh).volumes
    return tuple(float(np.sqrt(volume @ (np.abs(e) @ weights))) for e in (difference**2, (slope**2).sum(axis=2)))


def solve(problem, parameters) -> np.ndarray:
    system = discretize(problem, parameters)
    return linear_solve(system.operator, system.rhs, rtol=1e-10).raise_for_status().x


def sequence(mesh: Mesh, levels: int):
    cells = np.sort(mesh.cells, axis=1)  # the order along the diagonal of the box
    for _ in range(levels - 1):
        yield mesh
        mesh, cells = refined(mesh, cells)
    yield mesh


def check(found: list[tuple[float, float]], n: int, constants: tuple[float, float]) -> None:
    """Slopes over the last two refinements, and the constants C of ||e|| = C h^p with h = 1 / (cells along an edge)."""
    rates = -np.diff(np.log2(np.array(found)), axis=0)[-2:]
    h = 1 / (n * 2 ** (len(found) - 1))
    assert ((rates[:, 0] > 1.9) & (rates[:, 0] < 2.02)).all(), rates
    assert ((rates[:, 1] > 0.96) & (rates[:, 1] < 1.01)).all(), rates
    assert (found[-1][0] / h**2, found[-1][1] / h) == pytest.approx(constants, rel=0.02)


@pytest.mark.parametrize(
    ("dimension", "n", "levels", "boundary", "constants"),
    [
        (2, 6, 4, {}, (0.990, 2.406)),
        (2, 6, 4, {"x_high": "neumann", "y_low": "neumann"}, (1.965, 2.406)),
        (3, 2, 4, {}, (0.1068, 0.4431)),
        (3, 2, 4, {"x_high": "neumann", "y_low": "neumann"}, (0.1397, 0.4428)),
    ],
)
def test_manufactured_wave(box_mesh, dimension, n, levels, boundary, constants) -> None:
    wavenumbers, phases = WAVE[dimension]
    found = []
    for mesh in sequence(box_mesh(dimension, n), levels):
        problem = MeshPoisson(mesh=mesh, solution={"wavenumbers": wavenumbers, "phases": phases}, boundary=boundary)

        def value(points, problem=problem):
            return problem.solution.jet(tuple(np.moveaxis(points, -1, 0))).value

        def gradient(points, problem=problem):
            return np.stack(problem.solution.jet(tuple(np.moveaxis(points, -1, 0))).gradient, axis=-1)

        u = solve(problem, {})
        np.testing.assert_allclose(problem.exact({})["potential"], value(mesh.points), rtol=1e-14)
        found.append(errors(mesh, u, value, gradient))
    check(found, n, constants)


def test_smooth_permeability(box_mesh) -> None:
    """p = sin(pi x) sin(pi y), a = 2 + cos(pi x) cos(pi y), which is taken at the centroids."""
    found, n = [], 6
    for mesh in sequence(box_mesh(2, n), 4):
        problem = MeshDarcy(mesh=mesh, permeability={"kind": "log_normal"}, source={"kind": "gaussian_random_field"})
        x, y = np.pi * mesh.points.T
        # -div(a grad p) = 2 pi^2 a p - grad a . grad p
        a = 2 + np.cos(x) * np.cos(y)
        drift = -(np.pi**2) * (np.sin(x) * np.cos(y) * np.cos(x) * np.sin(y)) * 2
        source = 2 * np.pi**2 * a * np.sin(x) * np.sin(y) - drift
        centres = np.pi * mesh.points[mesh.cells].mean(axis=1).T
        u = solve(problem, {"permeability": 2 + np.cos(centres[0]) * np.cos(centres[1]), "source": source})

        def value(points):
            return np.sin(np.pi * points[..., 0]) * np.sin(np.pi * points[..., 1])

        def gradient(points):
            s, t = np.pi * points[..., 0], np.pi * points[..., 1]
            return np.pi * np.stack([np.cos(s) * np.sin(t), np.sin(s) * np.cos(t)], axis=-1)

        found.append(errors(mesh, u, value, gradient))
    check(found, n, (2.146, 3.601))
