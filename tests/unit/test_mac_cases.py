"""The validation cases of the staggered-grid solver pass on coarse grids, and fail where the solver is made wrong."""

import pytest

from solvers.flow import mac_stepper
from validation.cases import cavity_mac, poiseuille, womersley


def failed(report):
    return [check.name for check in report.checks if not check.passed]


def test_cases_pass_on_coarse_grids():
    assert failed(poiseuille.run(resolution=8)) == []
    assert failed(womersley.run(resolution=32)) == []


def test_cavity_on_coarse_grids():
    """Order and profiles at Re = 100; at Re = 400 this is too coarse, and an extrapolation wants more than both."""
    report = cavity_mac.run(resolution=48)
    assert [name for name in failed(report) if "Re = 100" in name and "extrapolated" not in name] == []
    assert sum("Re = 100" in check.name for check in report.checks) == 5
    assert len(report.details["figures"]) == 4


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_wrong_viscosity_is_found(monkeypatch, factor):
    right = mac_stepper.Stepper._coefficients

    def wrong(self):
        table = right(self)
        table[:, 3:6] *= factor
        return table

    monkeypatch.setattr(mac_stepper.Stepper, "_coefficients", wrong)
    assert len(failed(poiseuille.run(resolution=8))) >= 2
    assert len(failed(womersley.run(resolution=32))) >= 2
