"""The unsteady cylinder cases pass as the code stands, and fail when the fault that they are there for is planted."""

from __future__ import annotations

import numpy as np
import pytest

from sciml.checks import CheckReport, strict_json
from sciml.errors import InputError
from solvers.flow.taylor_hood import unsteady
from validation.cases import dfg_2d2, dfg_2d3
from validation.flow import maximum


def failed(report: CheckReport) -> list[str]:
    return [check.name for check in report.checks if not check.passed]


@pytest.mark.slow
@pytest.mark.parametrize("case", [dfg_2d2, dfg_2d3], ids=["2D-2", "2D-3"])
def test_unsteady_cylinder_passes(case) -> None:
    report = case.run()
    assert failed(report) == []
    assert sum(check.status == "published" for check in report.checks) >= 5
    assert "NaN" not in strict_json(report.to_dict())
    assert [figure["kind"] for figure in report.details["figures"]][:3] == ["lines", "lines", "triangles"]


@pytest.mark.slow
def test_a_late_inflow_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = dfg_2d3.cylinder_flow
    monkeypatch.setattr(dfg_2d3, "cylinder_flow", lambda peak, cells: right(lambda points, t: peak(points, t - 0.02), cells))
    assert "|time of the largest drag / reference - 1|" in failed(dfg_2d3.run(cells=4, steps=400))


@pytest.mark.slow
def test_steps_of_the_first_order_damp_the_vortices_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unsteady.SCHEMES, 3, ((1.0, -1.0, 0.0, 0.0), (3.0, -3.0, 1.0)))
    assert "|largest lift coefficient / reference - 1|" in failed(dfg_2d3.run())


def street(strouhal: float = 0.3018, drag: float = 3.2274, swing: float = 2.0079, growth: float = 0.0, pressure: float = 2.48):
    """Coefficients and pressure difference of a made-up street; drag and pressure oscillate twice a period."""
    ts = np.arange(3.0, 4.2, 1 / 200)
    phase = 2 * np.pi * strouhal / 0.1 * ts
    return ts, drag - 0.03 * (1 - np.sin(2 * phase)), (0.5 * swing + growth * ts) * np.sin(phase) - 0.0175, np.full(ts.size, pressure)


def test_judge_of_a_vortex_street() -> None:
    checks, found = dfg_2d2.judge(*street())
    assert [check.name for check in checks if not check.passed] == []
    assert found["lift"]["largest"] == pytest.approx(2.0079 / 2 - 0.0175, rel=1e-3)
    assert {check.expected for check in checks if check.relation == "in"} == {(0.295, 0.305), (3.22, 3.24), (2.46, 2.5)}


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ({"strouhal": 0.31}, ["Strouhal", "Strouhal"]),
        ({"drag": 3.245}, ["largest drag", "largest drag"]),
        ({"swing": 2.05}, ["lift from trough"]),
        ({"growth": 0.02}, ["largest lift"]),
        ({"pressure": 2.52}, ["pressure difference"]),
    ],
)
def test_a_street_with_one_wrong_figure_fails(fault: dict, what: list[str]) -> None:
    names = [check.name for check in dfg_2d2.judge(*street(**fault))[0] if not check.passed]
    assert len([name for name in names if what[0] in name]) == len(what)
    assert set(what) >= {word for word in ("Strouhal", "largest drag", "pressure difference") if any(word in name for name in names)}


def test_drag_of_an_unsteady_inflow_on_a_coarse_mesh() -> None:
    """The drag follows the inflow; the vortices want more cells and steps."""
    report = dfg_2d3.run(cells=4, steps=320)
    assert [name for name in failed(report) if "drag" in name] == []


def test_a_maximum_between_samples_is_found() -> None:
    ts = np.linspace(0, 1, 21)
    assert maximum(ts, 3 - 7 * (ts - 0.617) ** 2) == pytest.approx((0.617, 3.0), rel=1e-12)


@pytest.mark.parametrize("options", [{"cells": 2}, {"degree": 1}, {"steps": 10}])
@pytest.mark.parametrize("case", [dfg_2d2, dfg_2d3])
def test_options_out_of_range_are_refused(case, options: dict) -> None:
    with pytest.raises(InputError, match="out of range"):
        case.run(**options)
