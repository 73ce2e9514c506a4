"""Shifted-Laplacian multigrid: the cycle solves the shifted equation, and GMRES profits where theory says that it does."""

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

from solvers import Status, linear_solve
from solvers.linear import StencilOperator, diffusion_operator
from solvers.linear.multigrid import MultigridHierarchy
from solvers.linear.preconditioners import make_preconditioner
from solvers.linear.shifted_laplacian import ShiftedLaplacian

DD, NN, PP, DN = ("dirichlet", "dirichlet"), ("neumann", "neumann"), ("periodic", "periodic"), ("dirichlet", "neumann")
RNG = np.random.default_rng(61)


def cavity(shape, wavelengths, sides, spread=0.0):
    """``-Laplacian - k^2`` on the unit box, that many wavelengths across; k varies by `spread` on either side."""
    wave = sum(np.ix_(*[np.sin(np.arange(n) / n * (4 + axis)) for axis, n in enumerate(shape)]))
    k = 2 * np.pi * wavelengths * (1 + spread * wave / len(shape))
    return diffusion_operator(1.0, shape=shape, spacing=tuple(1 / n for n in shape), sides=sides, reaction=-(k**2))


def absorbing(shape, wavelengths, spread=0.0):
    """The same with ``du/dn = i k u`` at all walls: (matrix, its part -k^2)."""
    A = cavity(shape, wavelengths, (NN,) * len(shape), spread)
    k = np.sqrt(-A.reaction)
    walls = np.zeros(shape, complex)
    for axis, n in enumerate(shape):
        for end in (0, -1):
            at = (slice(None),) * axis + (end,)
            walls[at] -= 1j * k[at] * n
    return sp.csr_matrix(A.to_csr() + sp.diags(walls.ravel())), A.reaction


def contraction(M, A, cycles=12):
    """By how much an error shrinks in a cycle, late in the iteration ``e <- e - M A e``."""
    e = RNG.standard_normal(A.shape[0]) + 1j * RNG.standard_normal(A.shape[0])
    norms = []
    for _ in range(cycles):
        e = e - M @ (A @ e)
        norms.append(np.linalg.norm(e))
    return (norms[-1] / norms[cycles // 2]) ** (1 / (cycles - 1 - cycles // 2))


def iterations(A, M, b, restart=100):
    norms = []
    x, info = spla.gmres(A, b, M=M, rtol=1e-6, restart=restart, maxiter=12, callback=norms.append, callback_type="pr_norm")
    assert info == 0
    assert np.linalg.norm(b - A @ x) < 1e-5 * np.linalg.norm(b)
    return len(norms)


def point_source(shape):
    b = np.zeros(shape, complex)
    b[tuple(n // 3 for n in shape)] = 1
    return b.ravel()


@pytest.mark.parametrize("shift", [1 - 0.5j, 1 + 0.5j, 1 - 1j, -1.0])
@pytest.mark.parametrize(
    ("shape", "wavelengths", "sides", "spread"),
    [
        ((64, 64), 5, (DD, DD), 0.0),
        ((63, 50), 4, (DN, NN), 0.2),
        ((128, 128), 10, (PP, NN), 0.0),
        ((128, 128), 1, (DD, DD), 0.0),
        ((300,), 20, (DN,), 0.3),
        ((24, 20, 22), 2, (DD, NN, PP), 0.2),
    ],
    ids=str,
)
def test_the_cycle_converges_to_the_solution_of_the_shifted_equation(shift, shape, wavelengths, sides, spread):
    A = cavity(shape, wavelengths, sides, spread)
    shifted = A.to_csr() + sp.diags((shift - 1) * A.reaction.ravel())
    M = make_preconditioner(A, ShiftedLaplacian(shift))
    assert contraction(M, shifted) < 0.65


@pytest.mark.parametrize("shape", [(64, 64), (60, 71)])
def test_absorbing_boundaries_and_a_varying_wavenumber_do_not_disturb_it(shape):
    A, reaction = absorbing(shape, 5, spread=0.25)
    shifted = A + sp.diags(0.5j * reaction.ravel())
    assert contraction(make_preconditioner(A, ShiftedLaplacian(1 + 0.5j, reaction)), shifted) < 0.65


def test_gmres_needs_iterations_in_proportion_to_the_wavenumber():
    counts = []
    for n, wavelengths in ((48, 4), (96, 8), (144, 12)):
        A, reaction = absorbing((n, n), wavelengths)
        counts.append(iterations(A, make_preconditioner(A, ShiftedLaplacian(1 + 0.5j, reaction)), point_source((n, n))))
    assert counts[0] < 35
    assert counts[1] < 2.2 * counts[0]
    assert counts[2] < 3.3 * counts[0]


def test_it_is_nearly_worth_the_exact_inverse_and_far_more_than_none():
    A, reaction = absorbing((64, 64), 5)
    b = point_source((64, 64))
    exact = spla.splu(sp.csc_matrix(A + sp.diags(0.5j * reaction.ravel())))
    cycle = iterations(A, make_preconditioner(A, ShiftedLaplacian(1 + 0.5j, reaction)), b)
    assert cycle < 1.3 * iterations(A, spla.LinearOperator(A.shape, exact.solve, dtype=complex), b)
    assert cycle < 0.1 * iterations(A, None, b)
    assert 1.3 * cycle < iterations(A, make_preconditioner(A, ShiftedLaplacian(1 - 0.5j, reaction)), b)  # damping of the wrong sign


def test_a_closed_cavity_of_few_wavelengths():
    A = cavity((40, 40), 2.1, (DD, DN))
    b = RNG.standard_normal(1600)
    M = make_preconditioner(A, "shifted_laplacian")
    x, info = spla.gmres(A.to_csr().astype(complex), b.astype(complex), M=M, rtol=1e-10, restart=80, maxiter=3)
    assert info == 0
    np.testing.assert_allclose(x, spla.spsolve(A.to_csr().tocsc(), b), atol=1e-6 * abs(x).max())


class TestRealShift:
    def test_is_the_preconditioner_of_minres(self):
        A = cavity((32, 30), 1.5, (DD, DN), spread=0.2)
        M = make_preconditioner(A, ShiftedLaplacian(-1.0))
        majorant = MultigridHierarchy(StencilOperator(A.faces, -A.reaction, A.periodic))
        r = RNG.standard_normal(960)
        np.testing.assert_array_equal(M @ r, majorant.precondition(r))
        b = RNG.standard_normal((32, 30))
        with_it, own = linear_solve(A, b, "minres", M=M), linear_solve(A, b, "minres")
        assert (with_it.status, with_it.iterations) == (Status.SUCCESS, own.iterations)

    def test_only_the_negative_part_of_the_reaction_is_shifted(self):
        reaction = np.where(RNG.random((20, 20)) > 0.5, 30.0, -200.0)
        A = diffusion_operator(1.0, shape=(20, 20), spacing=(0.05, 0.05), sides=(DD, DD), reaction=reaction)
        shifted = StencilOperator(A.faces, np.maximum(reaction, 0.0), A.periodic)
        r = RNG.standard_normal(400)
        np.testing.assert_array_equal(make_preconditioner(A, ShiftedLaplacian(0.0)) @ r, MultigridHierarchy(shifted).precondition(r))

    def test_of_a_real_matrix_is_real_and_symmetric(self):
        A = cavity((18, 16), 2, (NN, NN))
        M = make_preconditioner(A.to_csr(), ShiftedLaplacian(-1.0, A.reaction))
        assert M.dtype == np.float64
        entries = M @ np.eye(288)
        np.testing.assert_allclose(entries, entries.T, atol=1e-12 * abs(entries).max())
        assert np.linalg.eigvalsh(entries).min() > 0
        assert contraction(M, A.to_csr() - 2 * sp.diags(A.reaction.ravel())) < 0.5


class TestRefusals:
    A = cavity((10, 12), 1, (DD, DD))

    def test_a_matrix_without_its_reaction(self):
        with pytest.raises(TypeError, match=r"pass ShiftedLaplacian\(reaction=...\)"):
            make_preconditioner(self.A.to_csr(), "shifted_laplacian")

    def test_a_reaction_of_another_size(self):
        with pytest.raises(ValueError, match=r"shape \(10, 11\), but A has 120 unknowns"):
            make_preconditioner(self.A.to_csr(), ShiftedLaplacian(reaction=np.ones((10, 11))))

    @pytest.mark.parametrize("shift", [1.0, 0.5, 1 - 0.1j, -1 + 0.1j])
    def test_shifts_that_multigrid_cannot_serve(self, shift):
        with pytest.raises(ValueError, match=r"shift is .*at least 0.4"):
            ShiftedLaplacian(shift)
