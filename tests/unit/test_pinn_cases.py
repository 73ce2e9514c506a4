"""Each case of a network passes with few points and steps, and fails when the fault that it is there for is planted."""

import itertools
from dataclasses import replace

import pytest

from sciml.checks import CheckReport
from sciml.errors import InputError
from solvers.flow import Side, StreamfunctionFlow, StreamfunctionProblem, solve_streamfunction
from validation.cases import pinn_cavity

QUICK = {"re": 40.0, "width": 12, "points": 16, "steps": 60}


def failed(report: CheckReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


def test_the_cavity_passes() -> None:
    report = pinn_cavity.run(**QUICK)
    assert failed(report) == []
    assert report.details["relative error of velocity"] < 1e-3
    assert len(report.details["figures"]) == 5


def unit_lid(re: float, degree: int) -> StreamfunctionFlow:
    """A lid of the same flux that is as flat as a polynomial of that degree can be."""
    lid = Side(slope=lambda x, y: 16 / 15 * (1 - (2 * x - 1) ** 8))
    return solve_streamfunction(StreamfunctionProblem(1 / re, sides={"top": lid}), degree).raise_for_status()


def test_another_lid_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinn_cavity, "reference", unit_lid)
    assert "relative error of velocity in the mean square" in failed(pinn_cavity.run(**QUICK))


def test_another_viscosity_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pinn_cavity.strong_form
    monkeypatch.setattr(pinn_cavity, "strong_form", lambda re: right(1.05 * re))
    assert "relative error of velocity in the mean square" in failed(pinn_cavity.run(**QUICK))


def test_a_lost_continuity_equation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pinn_cavity.strong_form

    def without(re: float):
        form = right(re)
        return replace(form, residual=lambda jets, found: form.residual(jets, found)[:2], equations=form.equations[:2], weights=(1.0, 1.0))

    monkeypatch.setattr(pinn_cavity, "strong_form", without)
    assert "relative error of velocity in the mean square" in failed(pinn_cavity.run(**QUICK))


def test_reynolds_numbers_rise_by_factors_of_four_at_most() -> None:
    assert pinn_cavity.rising(50.0) == [50.0]
    assert pinn_cavity.rising(400.0) == [100.0, 400.0]
    numbers = pinn_cavity.rising(1000.0)
    assert len(numbers) == 3
    assert max(b / a for a, b in itertools.pairwise(numbers)) < 4


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match="re = 1"):
        pinn_cavity.run(re=1e4)
    with pytest.raises(InputError, match="points = 5"):
        pinn_cavity.run(points=5)


@pytest.mark.slow
def test_the_cavity_at_re_1000_is_right_to_a_hundredth() -> None:
    report = pinn_cavity.run()
    assert failed(report) == []
    assert report.details["relative error of velocity"] < 5e-3
