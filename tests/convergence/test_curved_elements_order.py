"""Curved Lagrange triangles: Poisson with order k + 1, the same functionals as scikit-fem, and what straight sides cost."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse.linalg as spla

from solvers.elements.assembly import mass, poisson, stiffness
from solvers.elements.blocks import join
from solvers.elements.mesh import Circle, TriangleMesh
from solvers.elements.space import Geometry, Space

RADIUS = 0.3
CENTRE = (0.05, -0.02)


def pierced_square(n: int, curved: bool = True) -> TriangleMesh:
    """The square (-1, 1)^2 without a disc off its centre: four blocks around it."""
    across = np.linspace(-1, 1, n + 1)
    shares = np.linspace(0, 1, n + 1)[None, :, None]
    blocks = []
    for quarter in range(4):
        turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), quarter)
        angle = np.linspace(-0.75, -0.25, n + 1) * np.pi
        inner = np.array(CENTRE) + RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ turn.T
        outer = np.stack([across, -np.ones(n + 1)], axis=1) @ turn.T
        blocks.append((1 - shares) * inner[:, None] + shares * outer[:, None])
    parts = {"outer": lambda p: np.abs(p).max(axis=1) > 1 - 1e-9, "hole": lambda p: np.abs(p).max(axis=1) < 0.9}
    return join(blocks, parts, {"hole": Circle(CENTRE, RADIUS)} if curved else {})


def exact(p: np.ndarray) -> np.ndarray:
    return np.sin(2 * p[..., 0] + 0.3) * np.cosh(1.5 * p[..., 1] - 0.2)


def source(p: np.ndarray) -> np.ndarray:
    return (4 - 1.5**2) * exact(p)


def poisson_error(mesh: TriangleMesh, degree: int) -> float:
    """L2 norm of the error with the exact values prescribed on both boundaries."""
    space = Space.of(Geometry.of(mesh, degree), degree)
    table = space.at_quadrature(2 * degree + 4)
    A, b = poisson(space, source(table.positions), table)
    fixed = np.union1d(space.nodes_on("outer"), space.nodes_on("hole"))
    free = np.setdiff1d(np.arange(space.n), fixed)
    on_hole = np.setdiff1d(space.nodes_on("hole"), space.nodes_on("outer"))
    # the values that belong on the circle, also where the sides are straight and the nodes beside it
    places = space.coordinates.copy()
    places[on_hole] = Circle(CENTRE, RADIUS)(places[on_hole])
    u = np.zeros(space.n)
    u[fixed] = exact(places[fixed])
    u[free] = spla.spsolve(A[free][:, free].tocsc(), (b - A @ u)[free])
    error = u[space.numbering.cells] @ table.values.T - exact(table.positions)
    return math.sqrt(float((table.weights * error**2).sum()))


@pytest.mark.parametrize(("degree", "constant"), [(1, 1.596), (2, 0.3185), (3, 0.0904), (4, 0.01003)])
def test_poisson_on_a_curved_domain(degree: int, constant: float) -> None:
    cells = (4, 8, 16) if degree < 4 else (3, 6, 12)
    errors = [poisson_error(pierced_square(n), degree) for n in cells]
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert rates[-1] == pytest.approx(degree + 1, abs=0.12), (rates, errors)
    assert errors[-1] * cells[-1] ** (degree + 1) == pytest.approx(constant, rel=0.02)


def test_straight_sides_lose_the_order() -> None:
    """A polygon is O(h^2) from the circle, whatever the degree: the fault that curved sides are there to avoid."""
    straight = [poisson_error(pierced_square(n, curved=False), 3) for n in (8, 16)]
    curved = [poisson_error(pierced_square(n), 3) for n in (8, 16)]
    assert math.log2(straight[0] / straight[1]) < 2.1
    assert straight[1] > 50 * curved[1]


@pytest.mark.parametrize("degree", [2, 3])
def test_area_and_circumference(degree: int) -> None:
    """Radial projection leaves an even degree: both errors fall with order 4."""
    errors = []
    for n in (4, 8):
        space = Space.of(Geometry.of(pierced_square(n), degree), degree)
        area = space.at_quadrature(2 * degree).weights.sum()
        edges = space.on_edges("hole", 3 * degree)
        errors.append((abs(area - 4 + np.pi * RADIUS**2), abs(edges.weights.sum() - 2 * np.pi * RADIUS)))
        normal = (edges.positions - np.array(CENTRE)) / RADIUS
        assert np.abs(edges.normals + normal).max() < 0.02  # out of the mesh is into the disc
    rates = np.log2(np.array(errors[0]) / np.array(errors[1]))
    assert (rates > 3.8).all(), rates


def test_matrices_agree_with_scikit_fem() -> None:
    skfem = pytest.importorskip("skfem")
    mesh = pierced_square(3)
    space = Space.of(Geometry.of(mesh, 2), 2)
    straight = skfem.MeshTri(np.ascontiguousarray(mesh.points.T), np.ascontiguousarray(mesh.triangles.T))
    peer_mesh = skfem.MeshTri2.from_mesh(straight)
    dofs = skfem.Basis(straight, skfem.ElementTriP2())
    places = peer_mesh.doflocs.copy()
    middle = {tuple(edge): space.numbering.sides[k, 1] for k, edge in enumerate(mesh.edges.tolist())}
    for k, edge in enumerate(np.sort(straight.facets.T, axis=1).tolist()):
        places[:, dofs.facet_dofs[0, k]] = space.coordinates[middle[tuple(edge)]]
    basis = skfem.Basis(skfem.MeshTri2(places, peer_mesh.t), skfem.ElementTriP2(), intorder=10)
    u, v = (np.sin(basis.doflocs[0] * 2) * basis.doflocs[1], np.exp(basis.doflocs[0] - basis.doflocs[1]))
    mine_u, mine_v = np.sin(space.coordinates[:, 0] * 2) * space.coordinates[:, 1], np.exp(space.coordinates @ [1.0, -1.0])
    table, cells = space.at_quadrature(10), space.numbering.cells

    @skfem.BilinearForm
    def laplace(a, b, w):
        return a.grad[0] * b.grad[0] + a.grad[1] * b.grad[1]

    @skfem.BilinearForm
    def identity(a, b, w):
        return a * b

    for form, local in ((laplace, stiffness(table)), (identity, mass(table))):
        peer = float(u @ (form.assemble(basis) @ v))
        assert float(np.einsum("mk,mkl,ml->", mine_u[cells], local, mine_v[cells])) == pytest.approx(peer, rel=1e-11)


def test_evaluation_at_any_point() -> None:
    space = Space.of(Geometry.of(pierced_square(8), 4), 4)
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
    distance = np.linalg.norm(points - CENTRE, axis=1)
    values, slopes = space.evaluate(exact(space.coordinates), points), space.gradient(exact(space.coordinates), points)
    np.testing.assert_array_equal(np.isnan(values), distance < RADIUS)
    outside = distance > RADIUS
    assert np.abs(values - exact(points))[outside].max() < 3e-4
    slope = 2 * np.cos(2 * points[:, 0] + 0.3) * np.cosh(1.5 * points[:, 1] - 0.2)
    assert np.abs(slopes[:, 0] - slope)[outside].max() < 2e-2
