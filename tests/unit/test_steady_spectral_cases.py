"""The cases of steady spectral flow pass at their cheaper numbers, and fail when the fault that they are there for is planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from sciml.checks import CheckReport, strict_json
from sciml.errors import InputError
from solvers.flow.streamfunction import convection, corner, jet
from solvers.flow.streamfunction import galerkin as streamfunction
from validation.cases import cavity, kovasznay, natural_convection

Array = NDArray[np.float64]


def failed(report: CheckReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_cavity_passes_with_figures_that_a_page_can_hold() -> None:
    report = cavity.run(re=100, degree=64)
    assert failed(report) == []
    assert sum(check.status == "converged" for check in report.checks) == 2
    assert "NaN" not in strict_json(report.to_dict())
    assert [figure["kind"] for figure in report.details["figures"]] == ["lines", "lines", "field", "field"]
    profiles = {series["label"] for series in report.details["figures"][0]["series"]}
    assert profiles == {"polynomials of degree 64", "Ghia, Ghia and Shin 1982"}


def test_gates_of_the_published_cavity_refuse_a_unit_in_the_last_gated_digit() -> None:
    """Vorticity and places included; with its own figures nothing is refused."""
    numbers = cavity.row("cavity_extrema", source="BotellaPeyret1998", Re="1000")
    columns = {**cavity.EXTREMA, **cavity.PLACES, "vorticity": "vorticity"}
    exact = cavity.CavityExtrema(**{name: float(numbers[column]) for name, column in columns.items()})
    assert all(check.passed for check in cavity._published(exact))
    for name in columns:
        unit = 1e-6 if name in cavity.EXTREMA else 2e-5 if name == "vorticity" else 1e-4
        wrong = cavity._published(replace(exact, **{name: getattr(exact, name) + unit}))
        assert [check.name for check in wrong if not check.passed] == [f"{name}: deviation"]


def test_a_corner_series_of_the_wrong_sign_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sign of its second term turned over it still meets the walls, but leaves twice of what it should take away."""
    right = corner.CornerFlow.jet

    def wrong(self: corner.CornerFlow, x: Array, y: Array) -> jet.StreamJet:
        one, both = right(replace(self, terms=1), x, y), right(self, x, y)
        return jet.StreamJet(*(2 * getattr(one, name) - getattr(both, name) for name in jet.StreamJet.__dataclass_fields__))

    monkeypatch.setattr(corner.CornerFlow, "jet", wrong)
    assert any("converged table" in name for name in failed(cavity.run(re=100, degree=64)))


def test_a_wrong_load_of_the_corners_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By 0.1 %: it leaves the flow smooth, so that only the table can tell."""
    right = jet.StreamJet.vorticity_residual
    monkeypatch.setattr(jet.StreamJet, "vorticity_residual", lambda self, viscosity: 0.999 * right(self, viscosity))
    assert any("converged table" in name for name in failed(cavity.run(re=100, degree=64)))


def test_kovasznays_case_passes_and_sees_a_viscosity_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failed(kovasznay.run()) == []
    right = streamfunction.StreamfunctionProblem

    monkeypatch.setattr(kovasznay, "StreamfunctionProblem", lambda viscosity, *rest: right(1.0001 * viscosity, *rest))
    assert len(failed(kovasznay.run())) == 2


def test_natural_convection_passes() -> None:
    report = natural_convection.run(ra=1e4)
    assert failed(report) == []
    assert [check.status for check in report.checks] == ["exact", "policy", "exact", "published", "converged", "converged", "converged"]
    assert "NaN" not in strict_json(report.to_dict())
    assert natural_convection.run(ra=1e5).passed  # without a converged row: by convergence and by de Vahl Davis


def test_wrong_buoyancy_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By 0.1 %, which the published table cannot tell and the converged one does."""
    right = convection._Equation.__init__

    monkeypatch.setattr(convection._Equation, "__init__", lambda self, galerkin, number: right(self, galerkin, 1.001 * number))
    names = failed(natural_convection.run(ra=1e4))
    assert len(names) == 3
    assert all("relative deviation" in name for name in names)


def test_a_flow_that_is_under_resolved_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(natural_convection.CONVERGED, 1e5, (16, 5e-5))
    names = failed(natural_convection.run(ra=1e5))
    assert [name.partition(": ")[2][:7] for name in names] == ["Nu of h", "largest"]


@pytest.mark.parametrize(("case", "options"), [(cavity, {"re": 0.0}), (natural_convection, {"ra": -1.0}), (kovasznay, {"re": 1e4})])
def test_numbers_out_of_range_are_refused(case: object, options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(InputError, match=name):
        case.run(**options)  # type: ignore[attr-defined]
