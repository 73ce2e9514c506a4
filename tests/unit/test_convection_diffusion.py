"""Convection and diffusion: nodal exactness, M-matrix, balance of fluxes, refusals."""

import numpy as np
import pytest
from pydantic import ValidationError

from sciml.discretize import discrete_residual, discretize
from sciml.discretize.convection_diffusion import bernoulli, face_velocities
from sciml.errors import DatasetError
from sciml.fields import BinaryField, GaussianRandomField, LogNormal, Uniform
from sciml.problems import ConvectionDiffusion, seed_words
from solvers import linear_solve
from solvers.linear import diffusion_operator

FLAT = {"y_low": "neumann", "y_high": "neumann"}
HOT_END = {**FLAT, "x_high": {"kind": "dirichlet", "value": 1.0}}
RANDOM = {"kind": "random", "streamfunction": {"kind": "gaussian_random_field", "alpha": 3.0, "tau": 4.0, "amplitude": 3.0}}


def solve(problem, parameters):
    system = discretize(problem, parameters)
    return system.unpack(linear_solve(system.operator, system.rhs, rtol=1e-12).raise_for_status().x)["concentration"]


@pytest.mark.parametrize("speed", [0.0, 0.3, -2.0, 40.0, -300.0])
def test_a_boundary_layer_is_exact_at_every_peclet_number(speed):
    """(eps u' - v u)' = 0, u(0) = 0, u(1) = 1: u = (exp(v x / eps) - 1) / (exp(v / eps) - 1), resolved by the grid or not."""
    problem = ConvectionDiffusion(resolution=(20, 3), velocity={"kind": "constant", "components": (speed, 0.0)}, boundary=HOT_END)
    s = speed / 0.05
    x = problem.grid.points()[0]
    exact = x if speed == 0 else np.exp(s * (x - 1)) * -np.expm1(-s * x) / -np.expm1(-s) if s > 0 else np.expm1(s * x) / np.expm1(s)
    np.testing.assert_allclose(solve(problem, {}), exact, atol=1e-12)


@pytest.mark.parametrize("speed", [1e-3, 0.3, 40.0])
def test_a_given_flux_at_the_outflow_is_exact(speed):
    """u(0) = 0, eps u'(1) = 2: u = 2 / v exp(-v / eps) (exp(v x / eps) - 1)."""
    sides = {**FLAT, "x_high": {"kind": "neumann", "flux": 2.0}}
    problem = ConvectionDiffusion(resolution=(20, 3), velocity={"kind": "constant", "components": (speed, 0.0)}, boundary=sides)
    s, x = speed / 0.05, problem.grid.points()[0]
    np.testing.assert_allclose(solve(problem, {}), 2 / speed * np.exp(s * (x - 1)) * -np.expm1(-s * x), rtol=1e-9, atol=1e-12)


def test_layers_of_different_diffusivity_across_the_flow_are_exact():
    eps = np.array([0.05, 1.0, 0.02, 0.02, 0.3, 0.1, 2.0, 0.04])
    law = LogNormal(field=GaussianRandomField())
    flow = {"kind": "constant", "components": (0.8, 0.0)}
    problem = ConvectionDiffusion(resolution=(8, 2), velocity=flow, diffusivity=law, boundary=HOT_END)
    p = 0.8 / 8 / eps
    s = np.cumsum(p) - p / 2  # integral of v / eps up to the centres
    found = solve(problem, {"diffusivity": np.tile(eps[:, None], (1, 2))})
    np.testing.assert_allclose(found, np.tile((np.expm1(s) / np.expm1(p.sum()))[:, None], (1, 2)), atol=1e-12)


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("velocity", [RANDOM, {"kind": "recirculating", "speed": 2.0}], ids=["random", "recirculating"])
def test_m_matrix_and_maximum_principle(velocity, eps):
    sides = {"x_high": {"kind": "dirichlet", "value": 1.0}}
    problem = ConvectionDiffusion(resolution=24, velocity=velocity, diffusivity=eps, boundary=sides)
    parameters = problem.sample(seed_words(0, 0, 0))
    system = discretize(problem, parameters)
    matrix = system.operator.tocoo()
    assert (matrix.data[matrix.row != matrix.col] <= 0).all()
    row_sums = np.asarray(system.operator.sum(axis=1)).reshape(24, 24)
    scale = system.operator.diagonal().max()
    assert row_sums.min() >= -1e-12 * scale
    assert abs(row_sums[1:-1, 1:-1]).max() <= 1e-12 * scale  # walls alone add to the diagonal: constants are carried unchanged
    u = solve(problem, parameters)
    assert -1e-12 <= u.min() < u.max() <= 1 + 1e-12
    assert abs(system.operator - system.operator.T).max() > 0.1 * eps


def test_what_the_source_produces_leaves_through_the_walls():
    """In a closed flow by diffusion alone, with Fick's law over the half cells at the walls."""
    law = LogNormal(field=GaussianRandomField(), scale=0.03)
    flow = {"kind": "recirculating"}
    problem = ConvectionDiffusion(resolution=(24, 30), extent=(1.0, 1.5), diffusivity=law, source=LogNormal(), velocity=flow)
    parameters = problem.sample(seed_words(5, 0, 0))
    u, eps, (hx, hy) = solve(problem, parameters), parameters["diffusivity"], problem.grid.spacing
    through_x = sum((2 * eps * u / hx).take(end, axis=0).sum() * hy for end in (0, -1))
    through_y = sum((2 * eps * u / hy).take(end, axis=1).sum() * hx for end in (0, -1))
    assert through_x + through_y == pytest.approx(parameters["source"].sum() * hx * hy, rel=1e-10)


THROUGH = {"kind": "constant", "components": (0.6, -1.7)}


@pytest.mark.parametrize("velocity", [THROUGH, {"kind": "recirculating"}, RANDOM], ids=lambda velocity: velocity["kind"])
def test_flows_are_free_of_divergence_on_the_grid(velocity):
    problem = ConvectionDiffusion(resolution=(16, 20), extent=(1.0, 0.8), velocity=velocity)
    along_x, along_y = face_velocities(problem.corner_streamfunction(problem.sample(seed_words(0, 0, 0))), problem.grid.spacing)
    divergence = np.diff(along_x, axis=0) / problem.grid.spacing[0] + np.diff(along_y, axis=1) / problem.grid.spacing[1]
    assert abs(along_x).max() > 0.1
    assert abs(divergence).max() <= 1e-11 * abs(along_x).max()


def test_the_recirculating_flow_is_that_of_the_double_glazing_problem():
    """(2 y (1 - x^2), -2 x (1 - y^2)) on [-1, 1]^2, and nothing through the walls."""
    problem = ConvectionDiffusion(resolution=200, extent=2.0, velocity={"kind": "recirculating", "speed": 2.0})
    along_x, along_y = face_velocities(problem.corner_streamfunction({}), problem.grid.spacing)
    x, y = np.linspace(-1, 1, 201)[:, None], (problem.grid.centers(1) - 1)[None, :]
    np.testing.assert_allclose(along_x, 2 * y * (1 - x**2), atol=1e-4)
    np.testing.assert_allclose(along_y, -2 * y.T * (1 - x.T**2), atol=1e-4)
    assert max(abs(along_x[[0, -1]]).max(), abs(along_y[:, [0, -1]]).max()) < 1e-13


def test_a_random_streamfunction_reaches_the_corners_to_second_order():
    errors = []
    for n in (32, 64, 128):
        problem = ConvectionDiffusion(resolution=n, velocity=RANDOM)
        x, y = problem.grid.points()
        found = problem.corner_streamfunction({"streamfunction": np.sin(2 * x + 1) * np.cos(3 * y)})
        corner = np.arange(n + 1) / n
        errors.append(abs(found - np.sin(2 * corner[:, None] + 1) * np.cos(3 * corner[None, :])).max())
    np.testing.assert_allclose(-np.diff(np.log2(errors)), 2.0, atol=0.06)


def test_without_flow_the_matrix_is_that_of_diffusion():
    law = BinaryField(low=0.5, high=4.0)
    flow, sides = {"kind": "constant", "components": (0.0, 0.0)}, {"x_high": "neumann", "y_low": "periodic", "y_high": "periodic"}
    problem = ConvectionDiffusion(resolution=(9, 8), extent=(1.0, 2.0), velocity=flow, diffusivity=law, reaction=0.7, boundary=sides)
    parameters = problem.sample(seed_words(0, 0, 0))
    expected = diffusion_operator(parameters["diffusivity"], spacing=problem.grid.spacing, sides=problem.boundary_kinds, reaction=0.7)
    assert abs(discretize(problem, parameters).operator - expected.to_csr()).max() < 1e-10


def test_weights_at_extreme_arguments():
    p = np.array([-1e4, -1e-9, 0.0, 1e-9, 1.0, 1e4])
    np.testing.assert_allclose(bernoulli(p), [1e4, 1 + 5e-10, 1.0, 1 - 5e-10, 1 / (np.e - 1), 0.0], rtol=1e-14)


def test_predictions_have_a_residual_in_the_dual_norm():
    problem = ConvectionDiffusion(resolution=16, velocity=RANDOM, source=1.0)
    parameters = problem.sample(seed_words(0, 0, 0))
    u = solve(problem, parameters)
    assert discrete_residual(problem, parameters, {"concentration": u}).relative_dual < 1e-10
    assert discrete_residual(problem, parameters, {"concentration": 0 * u}).relative_dual == pytest.approx(1.0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"dimension": 3}, "its flow has a streamfunction, set dimension = 2"),
            ({"diffusivity": 0.0}, "diffusivity can reach 0; it must be positive"),
            ({"diffusivity": Uniform(low=-1, high=1)}, "diffusivity can reach -1"),
            ({"reaction": -1.0}, "reaction can reach -1"),
            ({"velocity": {"kind": "random", "streamfunction": GaussianRandomField(alpha=2)}}, "infinite variance: take alpha > 2"),
            ({"velocity": RANDOM, "boundary": {"x_low": "periodic", "x_high": "periodic"}}, "does not repeat over the periodic sides"),
            ({"velocity": {"kind": "swirl"}}, "swirl"),
        ],
    )
    def test_settings(self, settings, message):
        with pytest.raises(ValidationError, match=message):
            ConvectionDiffusion.model_validate(settings)

    def test_a_neumann_side_that_the_flow_enters(self):
        flow = {"kind": "constant", "components": (1.0, 0.0)}
        problem = ConvectionDiffusion(resolution=8, velocity=flow, boundary={"x_low": "neumann"})
        with pytest.raises(DatasetError, match=r"boundary.x_low is a Neumann side, but the flow enters there with normal velocity 1"):
            discretize(problem, {})
        outflow = ConvectionDiffusion(resolution=(64, 4), velocity=flow, source=1.0, boundary={**FLAT, "x_high": "neumann"})
        x = outflow.grid.points()[0]  # u' - 0.05 u'' = 1, u(0) = 0, u'(1) = 0
        exact = x - 0.05 * np.exp(-20) * np.expm1(20 * x)
        np.testing.assert_allclose(solve(outflow, {}), exact, atol=1e-3)

    def test_nothing_that_fixes_the_level(self):
        closed = dict.fromkeys(("x_low", "x_high", "y_low", "y_high"), "neumann")
        with pytest.raises(DatasetError, match="leaves u undetermined"):
            discretize(ConvectionDiffusion(resolution=8, boundary=closed), {})
        decaying = ConvectionDiffusion(resolution=8, boundary=closed, reaction=2.0, source=3.0)
        np.testing.assert_allclose(solve(decaying, {}), 1.5, rtol=1e-10)

    def test_a_diffusivity_of_zero(self):
        problem = ConvectionDiffusion(resolution=8, diffusivity=LogNormal())
        with pytest.raises(DatasetError, match="positive everywhere"):
            discretize(problem, {"diffusivity": np.zeros((8, 8))})
