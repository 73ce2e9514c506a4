"""Order 2 of Helmholtz's equation at indefinite wavenumbers, with the error constant, against manufactured solutions."""

import numpy as np
import pytest

from sciml.discretize import discretize
from sciml.fields import Constant, GaussianRandomField, LogNormal
from sciml.problems import Helmholtz
from solvers import linear_solve

WAVES, PHASES = (2 * np.pi, 4 * np.pi, 2 * np.pi), (0.4, 1.1, -0.7)  # periodic over the unit box, no symmetry, no zero data
DATA = {"dirichlet": {"kind": "dirichlet", "value": GaussianRandomField()}, "neumann": {"kind": "neumann", "flux": GaussianRandomField()}}
FIELD = GaussianRandomField(alpha=3)


def wave(points):
    return np.prod([np.cos(q * x + p) for q, x, p in zip(WAVES, points, PHASES, strict=False)], axis=0)


def slope(points, axis):
    factors = [np.cos(q * x + p) for q, x, p in zip(WAVES, points, PHASES, strict=False)]
    factors[axis] = -WAVES[axis] * np.sin(WAVES[axis] * points[axis] + PHASES[axis])
    return np.prod(factors, axis=0)


def wavenumber(points, k):
    return k + 0.25 * np.sin(2 * np.pi * points[0]) * np.cos(2 * np.pi * points[1] + 0.5)


def relative_error(pairs, n, k, varying):
    """RMS error over the RMS of the solution."""
    names = [f"{axis}_{end}" for axis in "xyz"[: len(pairs)] for end in ("low", "high")]
    sides = {name: DATA.get(kind, kind) for name, kind in zip(names, [kind for pair in pairs for kind in pair], strict=True)}
    law = LogNormal(field=FIELD) if varying else Constant(value=k)
    source = GaussianRandomField(alpha=2)
    problem = Helmholtz(dimension=len(pairs), resolution=n, boundary=sides, wavenumber=law, source=source)
    points = problem.grid.points()
    field = wavenumber(points, k) if varying else k
    parameters = {"source": (np.sum(np.square(WAVES[: len(pairs)])) - field**2) * wave(points)}
    if varying:
        parameters["wavenumber"] = field
    for axis, pair in enumerate(pairs):
        for end, kind in enumerate(pair):
            wall = [x.take(0, axis=axis) for x in points]
            wall[axis] = np.full_like(wall[axis], float(end))
            data = {"dirichlet": wave(wall), "neumann": (2 * end - 1) * slope(wall, axis), "periodic": None}[kind]
            if data is not None:
                parameters[f"boundary_{'xyz'[axis]}_{('low', 'high')[end]}"] = data
    system = discretize(problem, parameters)
    found = system.unpack(linear_solve(system.operator, system.rhs, rtol=1e-11).raise_for_status().x)["amplitude"]
    return float(np.linalg.norm(found - wave(points)) / np.linalg.norm(wave(points)))


DD, NN, DN, PP = ("dirichlet",) * 2, ("neumann",) * 2, ("dirichlet", "neumann"), ("periodic",) * 2
# k in the middle of a gap between resonances, and error / h^2 of this scheme on the finest grid
CASES = {
    (DD, DD): (12.17, 44.7),
    (NN, NN): (11.96, 75.7),
    (DN, PP): (11.86, 45.5),
    (PP, PP): (10.88, 27.97),
    (DD, DN, NN): (8.7, 28.9),
    (PP, PP, PP): (11.75, 23.8),
}


@pytest.mark.parametrize("pairs", CASES, ids=lambda pairs: "-".join(a[0] + b[0] for a, b in pairs))
def test_a_varying_wavenumber_is_second_order(pairs):
    k, constant = CASES[pairs]
    grids = (32, 64, 128, 256) if len(pairs) == 2 else (8, 16, 32, 64)
    errors = [relative_error(pairs, n, k, varying=True) for n in grids]
    slopes = np.diff(-np.log2(errors))
    np.testing.assert_allclose(slopes[-2:], 2.0, atol=0.03 if len(pairs) == 2 else 0.09)
    assert errors[-1] * grids[-1] ** 2 == pytest.approx(constant, rel=0.01), (errors, slopes)


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_periodic_wave_has_the_error_of_its_symbol(dimension):
    """u_h / u = (q^2 - k^2) / (q_h^2 - k^2) with q_h the grid's wavenumber, to rounding; k = 10 makes it indefinite."""
    n = 32
    squares = np.square(WAVES[:dimension])
    discrete = np.square(2 * n * np.sin(np.array(WAVES[:dimension]) / (2 * n)))
    expected = abs((squares.sum() - 100) / (discrete.sum() - 100) - 1)
    assert relative_error((PP,) * dimension, n, 10.0, varying=False) == pytest.approx(expected, rel=1e-9)
