"""Stability of steady flows: eigenvalues of the square's Stokes operator, dense eigenvalues, and flows known to be unstable."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

from solvers import SolverError
from solvers.elements import TriangleMesh, join
from solvers.flow import (
    Flow,
    Side,
    StreamfunctionProblem,
    lid_driven_cavity,
    natural_convection,
    solve_streamfunction,
    steady_flow,
)
from solvers.flow.taylor_hood.saddle import SaddlePoint
from validation.flow import cylinder_flow

STILL = (0.0, 0.0)


def square(n: int) -> TriangleMesh:
    points = np.stack(np.meshgrid(*2 * [np.linspace(0, 1, n + 1)], indexing="ij"), axis=2)
    return join([points], {"top": lambda middle: middle[:, 1] > 1 - 1e-9, "walls": lambda middle: middle[:, 1] < 1})


def lid(points: np.ndarray, time: float) -> np.ndarray:
    return np.stack([16 * (points[:, 0] * (1 - points[:, 0])) ** 2, 0 * points[:, 0]], axis=1)


#: Least eigenvalue of Laplacian^2 psi = -lambda Laplacian psi in the clamped unit square: Bjorstad and Tjostheim (1999), Computing 63, 97.
STOKES = 52.34469116


def test_fluid_at_rest_in_a_square_calms_down_as_the_stokes_operator_says() -> None:
    spectral = solve_streamfunction(StreamfunctionProblem(0.3), 24).stability()
    assert spectral.growth_rate == pytest.approx(-0.3 * STOKES, rel=1e-9)
    mesh = square(6)
    flow = Flow(mesh, 0.3, dict.fromkeys(mesh.parts, STILL))
    elements = steady_flow(flow, degree=4).stability(count=6)
    assert elements.growth_rate == pytest.approx(-0.3 * STOKES, rel=1e-5)
    np.testing.assert_allclose(elements.eigenvalues[:4], spectral.eigenvalues[:4], rtol=1e-3)
    assert (elements.eigenvalues.imag == 0).all()


def test_disturbances_of_moving_fluid_are_those_of_the_dense_pencil() -> None:
    """QZ on the whole pencil, with the derivative of the residual by differences and the mass of velocities alone."""
    mesh = square(3)
    flow = Flow(mesh, 0.004, {"walls": STILL, "top": lid})
    result = steady_flow(flow, degree=2, viscosities=(0.02,)).raise_for_status()
    saddle, spaces = SaddlePoint(result.state.spaces, flow), result.state.spaces
    x, free = saddle.join(result.state), saddle.free

    def momentum(y):
        residual = spaces.linear_residual(y, flow.viscosity)
        residual[: 2 * spaces.velocity.n] += spaces.convection(spaces.split(y)[0]).T.ravel()
        return residual[free]

    J = np.empty((free.size, free.size))
    for column, i in enumerate(free):  # the residual is quadratic, so central differences are exact
        e = np.zeros(spaces.n)
        e[i] = 1.0
        J[:, column] = (momentum(x + e) - momentum(x - e)) / 2
    M = sp.block_diag([spaces.mass, spaces.mass, sp.csr_matrix((spaces.pressure.n,) * 2)]).toarray()[np.ix_(free, free)]
    alpha, beta = scipy.linalg.eig(-J, M, right=False, homogeneous_eigvals=True)
    finite = np.abs(beta) > 1e-8 * np.abs(alpha)
    dense = alpha[finite] / beta[finite]
    found = result.stability(shift=1.0, count=6).eigenvalues
    nearest = dense[np.argsort(abs(dense - 1.0))][:6]
    np.testing.assert_allclose(np.sort_complex(found.round(7)), np.sort_complex(nearest.round(7)), atol=1e-6)
    assert np.abs(found.imag).max() > 0.1  # eddies that turn


def test_the_cylinder_sheds_vortices_at_100_and_does_not_at_20() -> None:
    """DFG 2D-1 is steady; 2D-2 is periodic with a Strouhal number of 0.30, 18.9 in radians; growth begins near 17."""
    calm = steady_flow(cylinder_flow(0.3, 4)).raise_for_status().stability()
    assert calm.growth_rate < 0
    assert "decays, the slowest" in calm.diagnosis
    shedding = steady_flow(cylinder_flow(1.5, 4), viscosities=(4e-3, 2e-3)).raise_for_status().stability()
    assert 2.0 < shedding.growth_rate < 3.5
    assert 16.0 < abs(shedding.eigenvalues[0].imag) < 19.0
    assert "is unstable: a disturbance of angular frequency 1" in repr(shedding)


def test_what_was_searched_is_said() -> None:
    """Eigenvalues near 0 alone do not show the vortex street, and the diagnosis does not claim more."""
    narrow = steady_flow(cylinder_flow(1.5, 4), viscosities=(4e-3, 2e-3)).stability(shift=1.0, count=4)
    assert narrow.growth_rate < 0
    assert narrow.searched < 10
    assert f"below {narrow.searched:.4g} decays" in narrow.diagnosis


def test_modes_of_a_driven_cavity_are_those_of_elements() -> None:
    top = Side(slope=lambda x, y: 16 * (x * (1 - x)) ** 2)
    spectral = solve_streamfunction(StreamfunctionProblem(0.005, sides={"top": top}), 32).raise_for_status()
    mesh = square(16)
    flow = Flow(mesh, 0.005, {"walls": STILL, "top": lid})
    elements = steady_flow(flow, degree=3).raise_for_status()
    a, b = (one.stability(shift=3.0, count=8).eigenvalues[:5] for one in (spectral, elements))
    np.testing.assert_allclose(a, b, rtol=2e-3)
    assert np.abs(a.imag).max() > 0.1


@pytest.mark.slow
def test_the_lid_driven_cavity_begins_to_oscillate_near_8018() -> None:
    """Auteri, Parolini and Quartapelle (2002): the Hopf bifurcation has the angular frequency 2 pi 0.4496."""
    modes = [lid_driven_cavity(re).stability(shift=14.0, count=60) for re in (7500.0, 8500.0)]
    pairs = [min(one.eigenvalues, key=lambda z: abs(z - 2 * np.pi * 0.4496j)) for one in modes]
    assert pairs[0].real < 0 < pairs[1].real
    assert [abs(pair.imag) for pair in pairs] == pytest.approx([2 * np.pi * 0.4496] * 2, rel=0.01)


def test_air_beyond_the_published_onset_is_called_unstable() -> None:
    calm = natural_convection(1e3, degree=10)
    assert calm.notes == ()
    (note,) = replace(calm, rayleigh_number=2e8).notes
    assert "unstable: in air the flow becomes unsteady near Ra = 1.82e+08" in note
    assert replace(calm, rayleigh_number=2e8, prandtl_number=7.0).notes == ()


def test_shifts_and_counts_out_of_range_are_refused() -> None:
    flow = solve_streamfunction(StreamfunctionProblem(0.3), 12)
    with pytest.raises(ValueError, match=r"shift = -1\.0 must be finite and not negative: give about the largest angular frequency"):
        flow.stability(shift=-1.0)
    with pytest.raises(ValueError, match="count = 99 must be at least 1 and below 80"):
        flow.stability(count=99)
    with pytest.raises(ValueError, match="modes is 0"):
        flow.stability(modes=0)


def test_a_search_that_does_not_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*_args: object, **_options: object) -> None:
        raise scipy.sparse.linalg.ArpackNoConvergence("no convergence", np.zeros(3), np.zeros((3, 3)))

    monkeypatch.setattr("solvers.flow.stability.spla.eigs", stuck)
    with pytest.raises(SolverError, match="found 3 of 5 eigenvalues: ask for fewer"):
        solve_streamfunction(StreamfunctionProblem(0.3), 12).stability(count=5)
