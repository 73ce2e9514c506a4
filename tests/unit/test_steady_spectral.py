"""Steady flows by streamfunctions: bases and corner series against their equations, Newton's rate, and what is refused."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import quad

from solvers import SolverError
from solvers.flow import (
    CornerFlow,
    Side,
    StreamfunctionProblem,
    cavity_extrema,
    lid_driven_cavity,
    natural_convection,
    solve_streamfunction,
)
from solvers.flow.streamfunction import steady
from solvers.flow.streamfunction.galerkin import StreamfunctionGalerkin
from solvers.flow.streamfunction.legendre import HERMITE, ClampedBasis
from solvers.flow.streamfunction.newton import NewtonStatus, newton
from solvers.flow.streamfunction.two_level import TwoLevelCorrection
from validation.cases.kovasznay import error, exact


def test_clamped_functions_vanish_at_the_ends_and_are_orthonormal_in_second_derivatives():
    basis = ClampedBasis(12, -0.3, 1.2)
    ends = basis.tables(np.array([-0.3, 1.2]), 2)
    np.testing.assert_allclose(ends[:, :, HERMITE:], 0.0, atol=1e-13)
    np.testing.assert_allclose(ends[:, :, :HERMITE].transpose(1, 0, 2).reshape(4, 4), np.eye(4), atol=1e-14)
    x, w = basis.gauss(14)
    second = basis.tables(x, 3)[2, :, HERMITE:]
    gram = second.T @ (w[:, None] * second)
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(9), atol=1e-12 * gram[0, 0])


def test_derivatives_of_clamped_functions_are_differences_of_each_other():
    basis, h, x = ClampedBasis(14, 0.0, 2.0), 1e-5, np.linspace(0.1, 1.9, 7)
    here, up, down = (basis.tables(x + s, 5) for s in (0.0, h, -h))
    for order in range(4):
        difference = (up[order] - down[order]) / (2 * h)
        np.testing.assert_allclose(difference, here[order + 1], atol=1e-7 * np.abs(here[order + 1]).max())


def test_polynomials_are_fitted_exactly():
    basis = ClampedBasis(11, 0.5, 2.0)
    polynomial = np.polynomial.Polynomial([0.3, -1.0, 0.2, 0.7, -0.4, 0.1])
    x = np.linspace(0.5, 2.0, 9)
    coefficients = basis.fit(polynomial(basis.gauss(basis.size)[0]))
    np.testing.assert_allclose(basis.tables(x, 1)[0] @ coefficients, polynomial(x), atol=1e-12)


@pytest.mark.parametrize("terms", [1, 2, 3])
def test_corner_series_meets_the_walls_and_leaves_less_with_every_term(terms):
    """What is left of the vorticity equation is of the order r^(terms - 3)."""
    corner = CornerFlow(0.0, 1.0, True, False, 1.0, 0.01, terms)
    r = np.array([1e-3, 2e-3])
    lid, wall = corner.jet(r, np.full(2, 1.0)), corner.jet(np.zeros(2), 1.0 - r)
    np.testing.assert_allclose(lid.psi_y, 1.0, atol=1e-12)
    np.testing.assert_allclose([lid.psi_x, wall.psi_x, wall.psi_y], 0.0, atol=1e-12)
    inside = corner.jet(0.6 * r, 1.0 - 0.8 * r)
    left = np.abs(inside.vorticity_residual(0.01))
    slope = np.log2(left[1] / left[0])
    assert slope == pytest.approx(terms - 3, abs=0.05)


def test_derivatives_of_a_streamfunction_are_differences_of_each_other():
    """In a rectangle whose sides differ, so that no direction may stand for the other."""
    galerkin = StreamfunctionGalerkin(StreamfunctionProblem(0.05, (0.0, 1.5), (-0.4, 0.6)), 12)
    state, h = np.random.default_rng(1).standard_normal(galerkin.shape), 1e-4
    x, y = np.linspace(0.2, 1.3, 4), np.linspace(-0.2, 0.4, 3)
    here = galerkin.jet(state, x, y)
    right, left, up, down = (galerkin.jet(state, x + i * h, y + j * h) for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1)))

    def agrees(derivative, difference):
        np.testing.assert_allclose(derivative, difference, atol=1e-5 * np.abs(derivative).max())

    assert np.abs(here.bilaplacian).max() > 1.0
    agrees(here.psi_x, (right.psi - left.psi) / (2 * h))
    agrees(here.psi_y, (up.psi - down.psi) / (2 * h))
    agrees(here.laplacian, (right.psi_x - left.psi_x + up.psi_y - down.psi_y) / (2 * h))
    agrees(here.laplacian_x, (right.laplacian - left.laplacian) / (2 * h))
    agrees(here.laplacian_y, (up.laplacian - down.laplacian) / (2 * h))
    agrees(here.bilaplacian, (right.laplacian_x - left.laplacian_x + up.laplacian_y - down.laplacian_y) / (2 * h))


def test_residual_and_its_derivative_agree_with_the_dense_matrix():
    problem = StreamfunctionProblem(0.02, sides={"top": Side(slope=lambda x, y: 16 * x**2 * (1 - x) ** 2)})
    galerkin = StreamfunctionGalerkin(problem, 14)
    rng = np.random.default_rng(0)
    state, direction = rng.standard_normal((2, *galerkin.shape)) * 1e-2
    h = 1e-6
    difference = (galerkin.residual(state + h * direction) - galerkin.residual(state - h * direction)) / (2 * h)
    applied = galerkin.derivative(state)(direction)
    np.testing.assert_allclose(applied, difference, atol=1e-8 * np.abs(applied).max())
    dense = galerkin.jacobian(state, galerkin.shape[0]) @ direction.ravel()
    np.testing.assert_allclose(dense.reshape(galerkin.shape), applied, atol=1e-11 * np.abs(applied).max())


def test_newton_converges_quadratically():
    problem = StreamfunctionProblem(0.02, sides={"top": Side(slope=lambda x, y: 16 * x**2 * (1 - x) ** 2)})
    galerkin = StreamfunctionGalerkin(problem, 16)
    found = newton(TwoLevelCorrection(galerkin, 64), galerkin.stokes_flow(), tolerance=1e-12)
    assert found.status is NewtonStatus.SUCCESS
    norms = np.array(found.residual_norms)
    drops = np.log(norms[2:]) / np.log(norms[1:-1])
    assert found.iterations <= 6
    assert drops.max() > 1.5


def test_momentum_has_a_pressure():
    """The integral of the momentum equation's residual along a closed path vanishes, which the weak form does not use."""
    flow = lid_driven_cavity(100.0, 48).raise_for_status()
    low, high = 0.25, 0.7
    h = 1e-4

    def momentum(x, y):
        """u . grad u - nu lap u, from derivatives of the streamfunction by differences of vorticity and velocity."""
        ring = {
            (i, j): flow.jet(np.array([x + i * h]), np.array([y + j * h])) for i in (-1, 0, 1) for j in (-1, 0, 1) if abs(i) + abs(j) < 2
        }
        u = {k: (float(v.psi_y[0, 0]), -float(v.psi_x[0, 0]), float(v.vorticity[0, 0])) for k, v in ring.items()}
        ux, uy = (np.array(u[a][:2]) - np.array(u[b][:2]) for a, b in (((1, 0), (-1, 0)), ((0, 1), (0, -1))))
        wx, wy = ((u[a][2] - u[b][2]) / (2 * h) for a, b in (((1, 0), (-1, 0)), ((0, 1), (0, -1))))
        convection = (u[0, 0][0] * ux + u[0, 0][1] * uy) / (2 * h)
        return convection - flow.viscosity * np.array([-wy, wx])  # lap u = -curl of vorticity

    total = quad(lambda x: momentum(x, low)[0] - momentum(x, high)[0], low, high, epsabs=1e-9)[0]
    total += quad(lambda y: momentum(high, y)[1] - momentum(low, y)[1], low, high, epsabs=1e-9)[0]
    one_side = quad(lambda x: momentum(x, low)[0], low, high, epsabs=1e-9)[0]
    assert abs(total) < 2e-5 * abs(one_side) + 1e-7


def test_kovasznays_flow_is_approached_exponentially():
    errors = [error(40.0, degree) for degree in (14, 16, 18)]
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 0.1 * errors[1]
    assert errors[2] < 1e-10
    psi, u, v = exact(40.0, np.array([0.3]), np.array([0.2]))
    h = 1e-6
    assert (exact(40.0, np.array([0.3]), np.array([0.2 + h]))[0] - psi) / h == pytest.approx(u, rel=1e-4)
    assert -(exact(40.0, np.array([0.3 + h]), np.array([0.2]))[0] - psi) / h == pytest.approx(v, rel=1e-4)


def test_cavity_at_re_1000_to_six_digits_and_a_dropped_convection_is_seen():
    found = cavity_extrema(lid_driven_cavity(1000.0, 72).raise_for_status())
    published = {"u_min": -0.3885698, "v_max": 0.3769447, "v_min": -0.5270771, "psi": -0.1189366}  # Botella and Peyret 1998
    for name, value in published.items():
        assert getattr(found, name) == pytest.approx(value, abs=5e-7)
    stokes = cavity_extrema(lid_driven_cavity(1e-3, 48).raise_for_status())
    assert stokes.x == pytest.approx(0.5, abs=1e-5)  # symmetric without convection


def test_natural_convection_conserves_heat_and_agrees_with_the_table():
    flow = natural_convection(1e4, degree=24).raise_for_status()
    assert flow.nusselt(0.5) == pytest.approx(2.244816, abs=2e-6)
    assert flow.nusselt(0.0) == pytest.approx(float(flow.nusselt(1.0)), rel=1e-11)
    y = np.linspace(0.0, 1.0, 201)
    u, _ = flow.velocity(np.array([0.5]), y)
    assert u.max() == pytest.approx(16.18334, rel=1e-4)
    np.testing.assert_allclose(flow.temperature(np.array([0.0, 1.0]), y), np.array([[1.0], [0.0]]) * np.ones(201), atol=1e-12)
    slope = (flow.temperature(y, np.array([1e-6])) - flow.temperature(y, np.array([0.0]))) / 1e-6
    assert np.abs(slope).max() < 0.05  # an insulated bottom, which the weak form approaches
    still = natural_convection(1e-6, degree=12).raise_for_status()
    assert still.nusselt(0.5) == pytest.approx(1.0, abs=1e-10)


@pytest.mark.slow
def test_cavity_at_re_10000_is_reached_although_rounding_is_near():
    flow = lid_driven_cavity(10000.0, 64, coarse=64)
    assert flow.status is NewtonStatus.SUCCESS
    assert flow.residual_norms[-1] <= 1e-10
    found = cavity_extrema(flow)
    assert (found.psi, found.u_min, found.v_min) == pytest.approx((-0.122399, -0.459070, -0.582197), rel=2e-3)  # degrees 112 and 128
    assert "unstable" in flow.notes[0]


def test_a_continuation_that_fails_says_where_it_stopped(monkeypatch):
    def lost(system, guess, **options):
        found = newton(system, guess, **options)
        return found if system.galerkin.problem.viscosity > 1 / 3000 else dataclasses.replace(found, status=NewtonStatus.DIVERGED)

    monkeypatch.setattr(steady, "newton", lost)
    flow = lid_driven_cavity(9000.0, 20, coarse=20)
    assert flow.status is not NewtonStatus.SUCCESS
    assert "unstable" in flow.notes[0]
    reached = flow.galerkin.problem.viscosity
    assert reached > flow.viscosity == 1 / 9000
    with pytest.raises(SolverError, match=f"continuation from viscosity {reached:.6g} to 0.000111111 failed"):
        flow.raise_for_status()
    again = flow.galerkin.residual(flow.state)
    assert np.linalg.norm(again) < 1e-8 * flow.galerkin.viscous_norm(flow.state)  # the flow returned solves its own equation


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="reynolds_number is -1"):
        lid_driven_cavity(-1.0)
    with pytest.raises(ValueError, match="viscosity is 0"):
        StreamfunctionProblem(0.0)
    with pytest.raises(ValueError, match="no side 'lid'"):
        StreamfunctionProblem(1.0, sides={"lid": Side()})
    with pytest.raises(ValueError, match="make the boundary data continuous"):
        solve_streamfunction(StreamfunctionProblem(1.0, sides={"top": Side(slope=lambda x, y: np.ones_like(x))}), 16)
    with pytest.raises(ValueError, match="prandtl_number is nan"):
        natural_convection(1e3, float("nan"))
    with pytest.raises(ValueError, match="degree is 4"):
        natural_convection(1e3, degree=4)
    with pytest.raises(ValueError, match="give the two ends of the rectangle, the lower one first"):
        StreamfunctionProblem(1.0, x=(1.0, 0.0))
    for slip, message in (
        (lambda: lid_driven_cavity("a"), "reynolds_number = 'a' is no number"),
        (lambda: natural_convection("a"), "rayleigh_number = 'a' is no number"),
        (lambda: lid_driven_cavity(100.0, degree=24.5), "degree = 24.5 is no whole number"),
        (lambda: StreamfunctionProblem(1.0, sides={"top": 1.0}), r"sides\['top'\] = 1.0 is no side"),
        (lambda: Side(slope=1.0), "Side.slope = 1.0 is no function"),
        (lambda: solve_streamfunction(None, 24), "problem = None is no flow in a rectangle"),
    ):
        with pytest.raises(TypeError, match=message):
            slip()


def test_results_print_as_one_line():
    found = lid_driven_cavity(10.0, degree=16, coarse=12)
    assert repr(found) == f"StreamfunctionFlow(SUCCESS at viscosity 0.1, degree 16, {found.newton_iterations} Newton iterations)"
    assert repr(natural_convection(1e2, degree=8)).startswith("NaturalConvection(SUCCESS at Ra = 100, Pr = 0.71, degree 8, ")


def test_a_continuation_is_told_to_who_debugs_it_alone(caplog):
    caplog.set_level("DEBUG")
    solve_streamfunction(StreamfunctionProblem(1 / 300, sides={"top": Side(slope=lambda x, y: 16 * (x * (1 - x)) ** 2)}), 16)
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert any("SUCCESS in" in record.message for record in caplog.records)
