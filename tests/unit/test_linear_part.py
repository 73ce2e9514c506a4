"""Linear parts of every kind against dense algebra; one factorisation a step size; rows that know only themselves."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import aslinearoperator

from solvers.integrators import linear_part as module
from solvers.integrators.linear_part import Operator, linear_part, shift
from solvers.linear import diffusion_operator, linear_solve
from solvers.result import Status

SHAPE = (4, 5)
STENCIL = diffusion_operator(1.0, shape=SHAPE, spacing=(0.25, 0.2), sides=(("dirichlet", "neumann"), ("periodic", "periodic")))
FIELD = diffusion_operator(
    np.linspace(1, 3, 20).reshape(SHAPE), shape=SHAPE, spacing=(0.25, 0.2), sides=(("dirichlet", "dirichlet"), ("neumann", "neumann"))
)
DENSE = -0.5 * STENCIL.to_csr().toarray()
DIAGONAL = -np.linspace(0.0, 9.0, 20).reshape(SHAPE)
#: kind -> (what users give, the same as a dense matrix).
KINDS = {
    "diagonal": (DIAGONAL, np.diag(DIAGONAL.ravel())),
    "dense": (Operator(DENSE), DENSE),
    "sparse": (Operator(STENCIL.to_csr(), factor=-0.5), DENSE),
    "preconditioned": (Operator(STENCIL.to_csr(), factor=-0.5, method="cg", M="ic0"), DENSE),
    "stencil": (Operator(STENCIL, factor=-0.5), DENSE),
    "varying stencil": (Operator(FIELD, factor=-0.5), -0.5 * FIELD.to_csr().toarray()),
    "growing stencil": (Operator(STENCIL, factor=0.01), 0.01 * STENCIL.to_csr().toarray()),
    "action": (Operator(aslinearoperator(DENSE)), DENSE),
}


@pytest.fixture(params=KINDS)
def kind(request):
    given, matrix = KINDS[request.param]
    return linear_part(given), matrix


def states(rows):
    return np.random.default_rng(0).standard_normal((rows, *SHAPE))


def test_action_and_solve_agree_with_the_dense_matrix(kind):
    part, matrix = kind
    y = states(3)
    flat = y.reshape(3, -1)
    np.testing.assert_allclose(part.apply(y).reshape(3, -1), flat @ matrix.T, atol=1e-10)
    exact = np.linalg.solve(np.eye(20) - 0.3 * matrix, flat.T).T
    np.testing.assert_allclose(part.solve(0.3, y).reshape(3, -1), exact, atol=1e-9)
    np.testing.assert_allclose(part.solve(0.3, y[0]).ravel(), exact[0], atol=1e-9)


def test_combinations_agree_with_the_augmented_exponential(kind):
    """``exp`` of the matrix with two forcings as further unknowns, over half a step."""
    part, matrix = kind
    y, u, v = states(3)
    h, c = 0.2, 0.5
    augmented = np.zeros((22, 22))
    augmented[:20, :20] = c * h * matrix
    augmented[:20, 20], augmented[:20, 21], augmented[20, 21] = h * u.ravel(), h**2 * v.ravel(), 0.0
    first = scipy.linalg.expm(augmented)[:20] @ np.concatenate([y.ravel(), [1.0, 0.0]])
    second = (scipy.linalg.expm(_chained(c * h * matrix, h**2 * v.ravel()))[:20])[:, -1]
    found = part.combine(c, h, [y, u, v])
    np.testing.assert_allclose(found.ravel(), first + second, atol=1e-10)


def _chained(A, forcing):
    """Its exponential's last column is phi_2(A) times the forcing."""
    out = np.zeros((len(A) + 2,) * 2)
    out[: len(A), : len(A)], out[: len(A), -2], out[-2, -1] = A, forcing, 1.0
    return out


def test_rows_do_not_depend_on_their_neighbours(kind):
    """With one step for all, and with one for each row."""
    part, _ = kind
    y = states(3)
    steps = np.array([0.1, 0.3, 0.1]).reshape(3, 1, 1)
    for row in range(3):
        one = slice(row, row + 1)
        for a, mine in ((0.3, 0.3), (steps, steps[one])):
            np.testing.assert_array_equal(part.solve(a, y)[one], part.solve(mine, y[one]))
            np.testing.assert_array_equal(part.combine(1.0, a, [y, y])[one], part.combine(1.0, mine, [y[one], y[one]]))
        np.testing.assert_array_equal(part.solve(steps, y)[one], part.solve(float(steps[row].item()), y[one]))


def test_a_matrix_is_factorised_once_for_every_step_size(monkeypatch):
    made = []
    monkeypatch.setattr(module, "factorize", lambda A, made=made, real=module.factorize: made.append(1) or real(A))
    part = linear_part(Operator(STENCIL.to_csr(), factor=-0.5))
    for a in (0.1, 0.2, 0.1, 0.2, 0.1):
        part.solve(a, states(2))
    assert len(made) == 2


def test_a_shifted_stencil_stays_one_where_fast_solvers_take_it():
    shifted = shift(STENCIL, 0.5)
    assert shifted.constant.reaction == 1
    assert linear_solve(shifted, np.ones(SHAPE), "fast_poisson").status is Status.SUCCESS
    np.testing.assert_allclose(shift(STENCIL, 0.5).to_csr().toarray(), np.eye(20) + 0.5 * STENCIL.to_csr().toarray(), rtol=1e-14)
    assert sp.issparse(shift(STENCIL, -0.1))


def test_torch_states_take_diagonals_and_dense_matrices():
    y = states(2)
    for name in ("diagonal", "dense"):
        part = linear_part(KINDS[name][0])
        t = torch.tensor(y)
        np.testing.assert_allclose(part.apply(t).numpy(), part.apply(y), atol=1e-13)
        np.testing.assert_allclose(part.solve(0.3, t).numpy(), part.solve(0.3, y), atol=1e-13)
        np.testing.assert_allclose(part.combine(0.5, 0.2, [t, t, t]).numpy(), part.combine(0.5, 0.2, [y, y, y]), atol=1e-13)


def test_the_diagonal_may_be_a_tensor_that_is_differentiated():
    """d/dL of y / (1 - a L) is a y / (1 - a L)^2."""
    L = torch.tensor([-1.0, -2.0], dtype=torch.float64, requires_grad=True)
    linear_part(L).solve(0.5, torch.ones(2, dtype=torch.float64)).sum().backward()
    np.testing.assert_allclose(L.grad.numpy(), 0.5 / np.array([1.5, 2.0]) ** 2, rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Operator(np.ones((2, 3))), ValueError, r"A has shape \(2, 3\): a linear part needs a square matrix"),
        (lambda: Operator(np.eye(2), rtol=0.0), ValueError, "rtol = 0.0 is no tolerance"),
        (lambda: linear_part(Operator(np.eye(3))).apply(np.ones(4)), ValueError, r"has shape \(4,\), but the linear part acts on 3"),
        (lambda: linear_part(Operator(sp.eye(4))).apply(torch.ones(4)), TypeError, "torch states take a diagonal or a dense matrix"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
