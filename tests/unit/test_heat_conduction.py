"""Heat conduction on an unstructured mesh: its mesh, and the closed form for a constant conductivity."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg as spla

from sciml.mesh.mesh import volumes
from validation.heat_conduction import INNER, OUTER, heat_system, quarter_ring, radial_temperature
from validation.sequences import thermal


def test_the_mesh_fills_the_quarter_ring_and_is_not_structured() -> None:
    mesh = quarter_ring(24)
    area = np.pi / 4 * (OUTER**2 - INNER**2)
    assert abs(volumes(mesh.points, mesh.cells).sum() / area - 1) < 2e-4
    radius = np.linalg.norm(mesh.points, axis=1)
    for name, expected in (("inner", INNER), ("outer", OUTER)):
        facets = mesh.part(name)
        np.testing.assert_allclose(radius[facets], expected, rtol=1e-14)
        lengths = np.linalg.norm(np.diff(mesh.points[facets], axis=1)[:, 0], axis=1)
        assert abs(lengths.sum() / (expected * np.pi / 2) - 1) < 1e-4
    assert (mesh.points[mesh.part("boundary")].min(axis=2) == 0).all()  # the straight sides
    degrees = np.bincount(mesh.cells.ravel())[(radius > INNER + 0.05) & (radius < OUTER - 0.05) & (mesh.points > 0.05).all(axis=1)]
    assert 0.05 < (degrees != 6).mean() < 0.3


@pytest.mark.parametrize("data", [(2.0, 3.0, 1.5, 0.7), (1.0, 0.2, -1.0, 2.0)])
def test_the_error_against_the_closed_form_is_of_second_order(data: tuple[float, float, float, float]) -> None:
    errors = []
    for layers in (8, 16, 32):
        mesh = quarter_ring(layers)
        A, b = heat_system(mesh, *data)
        exact = radial_temperature(np.linalg.norm(mesh.points, axis=1), *data)
        errors.append(abs(spla.spsolve(A.tocsc(), b) - exact).max())
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (abs(slopes - 2) < 0.35).all()
    assert errors[-1] < 2e-4 * abs(data[2]) / min(data[:2])


def test_heat_that_enters_leaves_whatever_the_conductivity() -> None:
    """Row sums of the stiffness vanish, so that testing with 1 leaves ``int h (T - t) = int q``."""
    mesh = quarter_ring(12)
    conductivity = np.exp(np.random.default_rng(0).standard_normal(len(mesh.cells)))
    A, b = heat_system(mesh, conductivity, 0.8, 1.3, 0.4)
    T = spla.spsolve(A.tocsc(), b)
    chords = {name: np.linalg.norm(np.diff(mesh.points[mesh.part(name)], axis=1)[:, 0], axis=1) for name in ("inner", "outer")}
    mean = T[mesh.part("outer")].mean(axis=1)
    assert np.isclose((0.8 * (mean - 0.4) * chords["outer"]).sum(), (1.3 * chords["inner"]).sum(), rtol=1e-12)


def test_matrices_of_the_sequence_differ_inside_and_on_the_cooled_side() -> None:
    mesh = quarter_ring(8)
    (one, _), (other, _) = thermal(2, 8).systems
    robin = [float(A.sum()) / (OUTER * np.pi / 2) for A, _ in thermal(2, 8).systems]  # h, since stiffness rows sum to 0
    assert abs(robin[0] - robin[1]) > 0.1 * max(robin)
    inside = np.linalg.norm(mesh.points, axis=1) < 0.8 * OUTER
    ratio = (one.diagonal() / other.diagonal())[inside]
    assert ratio.max() > 1.5 * ratio.min()
