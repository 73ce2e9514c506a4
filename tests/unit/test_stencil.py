"""The action of a stencil operator: every side, every thickness, and grids of more cells than one block of rows."""

import itertools

import numpy as np
import pytest

from solvers.linear import diffusion_operator, residual
from solvers.linear.stencil_action import no_cells

DD, NN, PP, DN = ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann")
SIDES = (DD, NN, PP, DN, DN[::-1])
RNG = np.random.default_rng(7)


def varying(shape, sides, reaction=0.0):
    return diffusion_operator(np.exp(RNG.standard_normal(shape)), spacing=(0.5, 0.3, 0.2)[: len(shape)], sides=sides, reaction=reaction)


def assert_acts_like_its_matrix(A):
    matrix = A.to_csr()
    U, B = RNG.standard_normal((2, 2, A.size))
    bound = 1e-14 * (abs(matrix) @ abs(U.T)).T + 1e-14
    assert (abs(A @ U[0] - matrix @ U[0]) <= bound[0]).all()
    assert (abs(residual.residuals(A, U, B) - (B - (matrix @ U.T).T)) <= bound + 1e-15 * abs(B)).all()
    np.testing.assert_allclose(residual.residual_norms(A, U, B), np.linalg.norm(B - (matrix @ U.T).T, axis=1), rtol=1e-13)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_every_pair_of_sides_at_every_thickness(dimension):
    extents = ((1,), (2,), (3,), (9,)) if dimension == 1 else itertools.product((1, 2, 3, 6), repeat=dimension)
    for shape in extents:
        for sides in itertools.product(SIDES, repeat=dimension):
            if dimension < 3 or RNG.random() < 0.1:
                reaction = RNG.choice([0.0, 1.0]) * RNG.standard_normal(shape)
                assert_acts_like_its_matrix(varying(shape, sides, reaction))


@pytest.mark.parametrize("sides", list(itertools.product((DN, PP), repeat=2)), ids=str)
@pytest.mark.parametrize("height", [-1, 0, 1])
def test_grids_of_several_blocks(sides, height):
    width = 100
    rows = no_cells(width).size // width
    assert 1 < rows < 100
    for shape in ((2 * rows + height, width), (2, rows + height, width)):
        all_sides = (DN, *sides)[-len(shape) :]
        for reaction in (0.0, RNG.standard_normal(shape)):
            assert_acts_like_its_matrix(varying(shape, all_sides, reaction))


def test_rows_wider_than_a_block():
    width = 2 * no_cells(1).size + 3
    for shape in ((width,), (3, width), (2, 2, width)):
        for sides in (DN, PP):
            assert_acts_like_its_matrix(varying(shape, (sides,) * len(shape), 0.5))


@pytest.mark.parametrize("shape", [(50,), (12, 50), (5, 12, 50)])
def test_differences_come_first(shape):
    """Of a large constant nothing is left, and small differences from it come through as they went in."""
    A = varying(shape, (NN, PP, NN)[: len(shape)])
    assert not (A @ np.full(shape, 1e16 / 3)).any()
    small = RNG.integers(-8, 8, shape).astype(float)
    np.testing.assert_array_equal(A @ (2.0**40 + small), A @ small)


def test_what_is_not_finite_shows():
    A = varying((6, 5), (DD, PP))
    reaction = np.zeros((6, 5))
    reaction[2, 3] = np.nan
    damaged = type(A)(A.faces, reaction, A.periodic)
    assert np.flatnonzero(~np.isfinite(damaged @ np.ones((6, 5)))).tolist() == [13]
