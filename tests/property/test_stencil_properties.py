"""What must hold for every coefficient, grid and combination of sides."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from solvers import Status, linear_solve
from solvers.linear import diffusion_operator
from solvers.linear.multigrid import MultigridHierarchy

PAIRS = [("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann"), ("neumann", "dirichlet")]
CHECKED = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def operators(draw, contrast=3.0):
    dimension = draw(st.integers(1, 3))
    shape = tuple(draw(st.lists(st.integers(2, 18 if dimension < 3 else 9), min_size=dimension, max_size=dimension)))
    sides = tuple(draw(st.lists(st.sampled_from(PAIRS), min_size=dimension, max_size=dimension)))
    spacing = tuple(draw(st.lists(st.floats(0.1, 10), min_size=dimension, max_size=dimension)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    reaction = draw(st.sampled_from([0.0, 0.0, 1.0]))
    return diffusion_operator(np.exp(contrast * (rng.random(shape) - 0.5)), spacing=spacing, sides=sides, reaction=reaction), rng


@given(operators())
@CHECKED
def test_operator_is_linear_and_symmetric(case):
    A, rng = case
    u, v = rng.standard_normal((2, *A.grid_shape))
    scale = np.abs(A.diagonal).max() * u.size
    np.testing.assert_allclose(A @ (2 * u - 3 * v), 2 * (A @ u) - 3 * (A @ v), atol=1e-12 * scale)
    assert abs(np.vdot(u, A @ v) - np.vdot(A @ u, v)) < 1e-12 * scale
    assert np.vdot(u, A @ u) >= -1e-12 * scale


@given(operators())
@CHECKED
def test_multigrid_cycle_is_linear_symmetric_and_positive(case):
    A, rng = case
    hierarchy = MultigridHierarchy(A)
    r, s = (w - w.mean() if A.is_singular else w for w in rng.standard_normal((2, *A.grid_shape)))
    Mr, Ms = hierarchy.precondition(r), hierarchy.precondition(s)
    size = np.sqrt(np.vdot(r, Mr) * np.vdot(s, Ms))
    assert np.vdot(r, Mr) > 0
    assert abs(np.vdot(s, Mr) - np.vdot(Ms, r)) <= 1e-4 * size  # the cycle runs in float32
    np.testing.assert_allclose(hierarchy.precondition(2 * r - 3e100 * s), 2 * Mr - 3e100 * Ms, atol=1e-4 * 3e100 * abs(Ms).max())


@given(operators())
@CHECKED
def test_multigrid_solves_what_lu_solves(case):
    A, rng = case
    b = rng.standard_normal(A.grid_shape)
    if A.is_singular:
        b -= b.mean()
    one, other = (linear_solve(A, b, method, rtol=1e-10) for method in ("multigrid_cg", "lu"))
    assert one.status is other.status is Status.SUCCESS
    assert one.iterations <= 25
    a, b = (s.x - s.x.mean() if A.is_singular else s.x for s in (one, other))
    np.testing.assert_allclose(a, b, atol=1e-6 * abs(b).max())


@given(operators(contrast=8.0))
@CHECKED
def test_maximum_principle(case):
    """A source that is nowhere negative gives a solution that is nowhere negative."""
    A, rng = case
    if not A.is_singular:
        x = linear_solve(A, rng.random(A.grid_shape), "lu").raise_for_status().x
        assert x.min() > -1e-12 * x.max()


@given(operators(), st.integers(0, 2), st.integers(1, 5))
@CHECKED
def test_translation_along_periodic_axes(case, axis, step):
    A, rng = case
    if axis >= len(A.grid_shape) or not A.periodic[axis]:
        return
    n = A.grid_shape[axis]
    faces = []
    for k, face in enumerate(A.faces):
        cells = face if k != axis else np.take(face, range(n), axis=axis)
        moved = np.roll(cells, step, axis=axis)
        faces.append(moved if k != axis else np.concatenate([moved, np.take(moved, [0], axis=axis)], axis=axis))
    moved_operator = type(A)(tuple(faces), np.roll(A.reaction, step, axis=axis), A.periodic)
    u = rng.standard_normal(A.grid_shape)
    np.testing.assert_allclose(moved_operator @ np.roll(u, step, axis=axis), np.roll(A @ u, step, axis=axis), atol=1e-10 * A.diagonal.max())
