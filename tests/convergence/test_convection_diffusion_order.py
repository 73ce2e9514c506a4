"""Order 2 of the exponentially fitted scheme with its error constant; the source comes from the strong form, so both must agree."""

import numpy as np
import pytest

from sciml.discretize import discretize
from sciml.fields import GaussianRandomField, LogNormal
from sciml.problems import ConvectionDiffusion
from sciml.problems.jet import Jet
from solvers import linear_solve

FIELD, RANDOM = GaussianRandomField(alpha=3), {"kind": "random", "streamfunction": GaussianRandomField(alpha=3, boundary="periodic")}
VALUE, FLUX = {"kind": "dirichlet", "value": FIELD}, {"kind": "neumann", "flux": FIELD}


def product(points, waves, phases, scale=1.0, level=0.0):
    """Jet of ``level + scale prod cos(q x + p)``."""
    angles = [q * x + p for q, x, p in zip(waves, points, phases, strict=True)]
    (c, d), (s, t) = np.cos(angles), np.sin(angles)
    gradient = (-scale * waves[0] * s * d, -scale * waves[1] * c * t)
    return Jet(level + scale * c * d, gradient, -scale * (waves[0] ** 2 + waves[1] ** 2) * c * d)


def solution(points):
    return product(points, (2 * np.pi, 2 * np.pi), (0.4, 1.1))


def diffusivity(points):
    return product(points, (2 * np.pi, 4 * np.pi), (0.2, -0.3), scale=0.04, level=0.1)


def streamfunction(problem, points):
    """By hand: the eddy psi = -(1 - s^2)(1 - t^2) / 2 with s = 2 x - 1, t = 2 y - 1, or a periodic wave."""
    if problem.velocity.kind == "random":
        return product(points, (2 * np.pi, 2 * np.pi), (0.9, 0.1), scale=0.3)
    s, t = (2 * x - 1 for x in points)
    return Jet(-(1 - s**2) * (1 - t**2) / 2, (2 * s * (1 - t**2), 2 * t * (1 - s**2)))


def relative_error(settings, n):
    field = LogNormal(field=FIELD)
    problem = ConvectionDiffusion.model_validate({**settings, "resolution": n, "diffusivity": field, "reaction": 0.8, "source": FIELD})
    points = problem.grid.points()
    u, eps, psi = solution(points), diffusivity(points), streamfunction(problem, points)
    jets = {"diffusivity": eps, "streamfunction": psi, "reaction": Jet(0.8), "source": Jet(0.0)}
    parameters = {"diffusivity": eps.value, "streamfunction": psi.value, "source": problem.strong_residual({"concentration": u}, jets)}
    for axis, pair in enumerate(problem.boundary_kinds):
        for end, kind in enumerate(pair):
            wall = [x.take(0, axis=axis) for x in points]
            wall[axis] = np.full_like(wall[axis], float(end))
            flux = (2 * end - 1) * diffusivity(wall).value * solution(wall).gradient[axis]
            parameters[f"boundary_{'xy'[axis]}_{('low', 'high')[end]}"] = solution(wall).value if kind == "dirichlet" else flux
    system = discretize(problem, parameters)
    found = system.unpack(linear_solve(system.operator, system.rhs, rtol=1e-11).raise_for_status().x)["concentration"]
    return float(np.linalg.norm(found - u.value) / np.linalg.norm(u.value))


EDDY = {"kind": "recirculating", "speed": 2.0}
ROUND = dict.fromkeys(("x_low", "x_high", "y_low", "y_high"), "periodic")
CASES = {
    "eddy between given values": ({"velocity": EDDY, "boundary": dict.fromkeys(ROUND, VALUE)}, 4.726),
    "eddy between given fluxes": ({"velocity": EDDY, "boundary": dict.fromkeys(ROUND, FLUX)}, 6.479),
    "through-flow, given values": ({"velocity": RANDOM, "boundary": dict.fromkeys(ROUND, VALUE)}, 10.60),
    "periodic": ({"velocity": RANDOM, "boundary": ROUND}, 10.50),
}


@pytest.mark.parametrize("name", CASES)
def test_convection_diffusion_is_second_order(name):
    settings, constant = CASES[name]
    errors = [relative_error(settings, n) for n in (32, 64, 128, 256)]
    slopes = np.diff(-np.log2(errors))
    np.testing.assert_allclose(slopes[-2:], 2.0, atol=0.03)
    assert errors[-1] * 256**2 == pytest.approx(constant, rel=0.01), (errors, slopes)
