"""Poisson's equation around obstacles: a regular matrix, no flux into what is solid, nothing enclosed."""

import numpy as np
import pytest
import scipy.sparse.linalg as spla

from sciml.discretize.solids import enclosed, poisson_around, random_solids
from solvers.linear import diffusion_operator


@pytest.mark.parametrize("shape", [(20, 27), (9, 12, 10)])
def test_matrix_is_regular_and_lets_nothing_through_a_surface(shape):
    solid = random_solids(shape, np.random.default_rng(4))
    assert 0.02 < solid.mean() < 0.5
    A = poisson_around(solid)
    matrix = A.to_csr()
    assert (abs(matrix - matrix.T)).max() == 0
    assert (A.diagonal > 0).all()
    assert np.linalg.eigvalsh(matrix.toarray())[0] > 1e-3
    ones = A @ np.ones(shape)
    inside = (slice(1, -1),) * len(shape)
    np.testing.assert_array_equal(ones[inside], solid[inside].astype(float))  # away from the walls a constant has no flux
    x = spla.spsolve(matrix.tocsc(), np.where(solid, 0.0, 1.0).ravel()).reshape(shape)
    assert not x[solid].any()
    assert (x[~solid] > 0).all()


def test_without_solids_it_is_the_operator_of_the_box():
    A = poisson_around(np.zeros((5, 6, 4), dtype=bool))
    box = diffusion_operator(1.0, shape=(5, 6, 4), spacing=(1.0, 1.0, 1.0), sides=(("dirichlet", "dirichlet"),) * 3)
    assert abs(A.to_csr() - box.to_csr()).max() == 0


def test_enclosed_fluid_is_refused_and_never_drawn():
    ring = np.zeros((9, 9), dtype=bool)
    ring[2:7, 2:7] = True
    ring[3:6, 3:5] = False
    assert enclosed(ring).sum() == 6
    with pytest.raises(ValueError, match="solid encloses 6 cells of fluid"):
        poisson_around(ring)
    drawn = [random_solids((24, 24), np.random.default_rng(seed), bodies=30) for seed in range(20)]
    assert not any(enclosed(solid).any() for solid in drawn)
    np.testing.assert_array_equal(drawn[3], random_solids((24, 24), np.random.default_rng(3), bodies=30))
