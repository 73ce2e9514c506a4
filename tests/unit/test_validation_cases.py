"""Each case passes as the code stands, and fails when the fault that it is there for is planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sciml.discretize.linear as discretisation
from sciml.checks import CheckReport
from sciml.errors import InputError
from sciml.fields import GaussianRandomField
from sciml.problems import Poisson
from solvers.integrators import etdrk4
from solvers.linear.stencil import StencilOperator
from validation.cases import (
    burgers_cole_hopf,
    darcy_flux_balance,
    darcy_maximum_principle,
    darcy_series_resistor,
    gaussian_random_field,
    poisson_manufactured,
)


def failed(report: CheckReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


QUICK: dict[str, Callable[[], CheckReport]] = {
    "burgers": lambda: burgers_cole_hopf.run(samples=1),
    "flux": lambda: darcy_flux_balance.run(samples=1, resolution=24),
    "maximum": lambda: darcy_maximum_principle.run(samples=1, resolution=24),
    "resistor": lambda: darcy_series_resistor.run(cells=16),
    "field": lambda: gaussian_random_field.run(samples=800),
    "poisson": lambda: poisson_manufactured.run(grids=3),
}


@pytest.mark.parametrize("name", QUICK)
def test_every_case_passes(name: str) -> None:
    report = QUICK[name]()
    assert failed(report) == []
    assert len(report.checks) >= 9
    assert len({check.name for check in report.checks}) == len(report.checks)
    assert all(check.status == "exact" and check.reference for check in report.checks)


def test_another_seed_passes_too() -> None:
    assert failed(gaussian_random_field.run(samples=800, seed=1)) == []
    assert failed(darcy_flux_balance.run(samples=1, resolution=24, seed=1)) == []


def arithmetic_faces(coefficient: Any, **settings: Any) -> StencilOperator:
    """The operator with arithmetic instead of harmonic face averages: consistent for smooth media, wrong across a jump."""
    right = original(coefficient, **settings)
    a = np.broadcast_to(np.asarray(coefficient), right.grid_shape)
    faces = []
    for axis, (face, h) in enumerate(zip(right.faces, settings["spacing"], strict=True)):
        wrong = np.moveaxis(face.copy(), axis, 0)
        along = np.moveaxis(a, axis, 0)
        wrong[1:-1] = (along[1:] + along[:-1]) / 2 / h**2
        faces.append(np.ascontiguousarray(np.moveaxis(wrong, 0, axis)))
    return replace(right, faces=tuple(faces), constant=None)


original = discretisation.diffusion_operator


@pytest.mark.parametrize("name", ["resistor", "flux"])
def test_arithmetic_face_averages_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discretisation, "diffusion_operator", arithmetic_faces)
    names = failed(QUICK[name]())
    assert len(names) >= 6


def test_a_dirichlet_wall_at_the_wrong_place_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def far_wall(coefficient: Any, **settings: Any) -> StencilOperator:
        """Walls a whole cell away from the first centre instead of half a cell: first order."""
        right = original(coefficient, **settings)
        faces = [face.copy() for face in right.faces]
        for axis, pair in enumerate(settings["sides"]):
            for end, kind in zip((0, -1), pair, strict=True):
                if kind == "dirichlet":
                    faces[axis][(slice(None),) * axis + (end,)] /= 2
        return replace(right, faces=tuple(faces), constant=None)

    monkeypatch.setattr(discretisation, "diffusion_operator", far_wall)
    names = failed(poisson_manufactured.run(grids=3))
    assert any("all Dirichlet: order" in name for name in names)
    assert not any("all periodic" in name for name in names)


def test_an_error_of_the_scheme_s_own_order_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # the source at the centres instead of its mean over the cells: still second order, with another constant
    monkeypatch.setattr(Poisson, "right_hand_side", lambda self, parameters: -self.solution.jet(self.grid.points()).laplacian)
    solvable = {name: pairs for name, pairs in poisson_manufactured.COMBINATIONS.items() if "all Neumann" not in name}
    monkeypatch.setattr(poisson_manufactured, "COMBINATIONS", solvable)
    names = failed(poisson_manufactured.run(grids=3))
    assert sum("share of the error" in name for name in names) == len(solvable)
    assert not any("2-D" in name and "order" in name for name in names)


def test_a_solution_that_leaves_its_bounds_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = darcy_maximum_principle.linear_solve

    def shifted(*arguments: Any, **settings: Any) -> Any:
        solution = solve(*arguments, **settings)
        return replace(solution, x=solution.x * 1.2 - 0.1 * np.abs(solution.x).max())

    monkeypatch.setattr(darcy_maximum_principle, "linear_solve", shifted)
    assert len(failed(QUICK["maximum"]())) == 9


def scaled(self: GaussianRandomField, *arguments: Any) -> Any:
    return 1.1 * sample(self, *arguments)


def shifted(self: GaussianRandomField, *arguments: Any) -> Any:
    return np.roll(sample(self, *arguments), 1, axis=0)


def heavy_tailed(self: GaussianRandomField, grid: Any, rng: np.random.Generator) -> Any:
    return sample(self, grid, rng) * np.sqrt(rng.exponential())


def rougher(self: GaussianRandomField, *arguments: Any) -> Any:
    return sample(self.model_copy(update={"alpha": self.alpha - 0.1, "amplitude": self.amplitude * 0.9}), *arguments)


sample = GaussianRandomField.sample


@pytest.mark.parametrize(
    ("fault", "figure"),
    [(scaled, "variance over the box"), (shifted, "all 767 modes"), (heavy_tailed, "fourth moment"), (rougher, "all 767 modes")],
)
def test_a_field_with_another_law_is_found(fault: Any, figure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GaussianRandomField, "sample", fault)
    assert any(figure in name for name in failed(gaussian_random_field.run(samples=600)))


@pytest.mark.parametrize("grids", [2, 7])
def test_too_few_or_too_many_grids_are_refused(grids: int) -> None:
    with pytest.raises(InputError, match="choose 3 to 6"):
        poisson_manufactured.run(grids=grids)


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (lambda rate: 1.001 * rate, "relative L2 error"),
        (lambda rate: -rate, "relative L2 error"),
        (lambda rate: rate + 1e-9 * (np.arange(rate.shape[-1]) == 0), "drift of the mean"),
    ],
    ids=["factor", "sign", "source"],
)
def test_wrong_convection_is_found(fault: Callable[[Any], Any], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factor of 1.001, the wrong sign, a source in the mean."""
    right = burgers_cole_hopf.discretize

    def wrong(problem: Any, parameters: Any) -> Any:
        system = right(problem, parameters)
        return replace(system, nonlinear=lambda t, y: fault(system.nonlinear(t, y)))

    monkeypatch.setattr(burgers_cole_hopf, "discretize", wrong)
    names = failed(burgers_cole_hopf.run(samples=1))
    assert sum(found in name for name in names) == 3


def test_a_method_of_lower_order_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One per cent off one weight leaves a consistent-looking method of order zero; a loose tolerance lets the other checks end."""
    right = etdrk4.coefficients

    def wrong(z: Any, h: float) -> tuple[Any, ...]:
        Q, f1, f2, f3 = right(z, h)
        return Q, f1, 0.99 * f2, f3

    monkeypatch.setattr(etdrk4, "coefficients", wrong)
    monkeypatch.setattr(burgers_cole_hopf, "RTOL", 1e-2)
    names = failed(burgers_cole_hopf.run(samples=1))
    assert sum("order" in name for name in names) == 2
