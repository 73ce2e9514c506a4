"""Jumping media in the plane: the closed forms hold, and faults of the discretisation are found."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.checks import CheckReport
from validation.cases import darcy_discontinuous as case


def failed(report: CheckReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


@pytest.mark.parametrize("grids", [3, 4])
def test_the_case_passes(grids: int) -> None:
    report = case.run(grids=grids)
    assert failed(report) == []
    assert len(report.checks) == 10
    assert all(check.status == "exact" and check.reference for check in report.checks)
    assert [figure["kind"] for figure in report.details["figures"]] == ["lines", "lines", "field", "field"]
    assert len(report.details["errors"]) == 8


@pytest.mark.parametrize("parts", [case.side_by_side(7.0), case.disc(7.0), case.disc(0.2)])
def test_the_closed_forms_solve_the_equation(parts: tuple) -> None:
    """Laplace's equation in each medium, and one flux on both sides of the jump, by differences of the formula alone."""
    pressure, medium, _ = parts
    h, (x, y) = 1e-4, case.centres(40)
    step = 2e-4  # away from the jump
    near = (np.abs(x) < step) if parts[2][1][0] == "neumann" else np.abs(np.hypot(x, y) - case.RADIUS) < step
    laplacian = (pressure(x + h, y) + pressure(x - h, y) + pressure(x, y + h) + pressure(x, y - h) - 4 * pressure(x, y)) / h**2
    assert np.abs(laplacian[~near]).max() < 1e-5
    if parts[2][1][0] == "neumann":
        edge, normal = np.stack([np.zeros(20), np.linspace(-0.4, 0.4, 20)]), np.array([[1.0], [0.0]])
    else:
        angle = np.linspace(0, 2 * np.pi, 20)
        normal = np.stack([np.cos(angle), np.sin(angle)])
        edge = case.RADIUS * normal
    outer, inner = ((edge + sign * h * normal, sign) for sign in (1, -1))
    fluxes = [medium(*at) * sign * (pressure(*at) - pressure(*edge)) / h for at, sign in (outer, inner)]
    np.testing.assert_allclose(fluxes[0], fluxes[1], atol=5e-3 * np.abs(fluxes).max())


def test_arithmetic_averages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = case.operator
    monkeypatch.setattr(case, "operator", lambda a, sides, average="harmonic": original(a, sides, "arithmetic"))
    names = failed(case.run(grids=4))
    assert [name for name in names if "harmonic" in name] == [
        f"side by side, 1:{contrast:g}, harmonic averages: order, last refinement" for contrast in case.CONTRASTS
    ]


def test_a_wall_at_the_wrong_place_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = case.operator

    def far(a, sides, average="harmonic"):
        right = original(a, sides, average)
        right.faces[0][[0, -1]] /= 2  # as if the first centre were a whole cell from the wall
        return right

    monkeypatch.setattr(case, "operator", far)
    names = failed(case.run(grids=4))
    assert any("harmonic averages: order" in name for name in names)
    assert any("quadrants" in name for name in names)


def test_a_permeability_that_is_off_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = case.quadrant_permeability
    monkeypatch.setattr(case, "quadrant_permeability", lambda n, contrast: 1.01 * original(n, contrast))
    assert sum("quadrants" in name for name in failed(case.run(grids=4))) >= 3
