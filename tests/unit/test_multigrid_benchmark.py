"""The sweep of multigrid: that it sweeps what it says, and that its gates fail where iterations grow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from solvers import linear_solve
from validation.benchmarks import multigrid
from validation.benchmarks.multigrid import Setting


def test_the_sweep_has_every_combination() -> None:
    found = list(multigrid.settings(1024, 128))
    assert len(found) == len(set(found)) == 8 * 48
    assert {(one.dimension, one.cells) for one in found if one.cells % 2 == 0} == {
        (2, 64), (2, 128), (2, 256), (2, 512), (2, 1024), (3, 32), (3, 64), (3, 128),
    }  # fmt: skip
    for dimension, cells in ((2, 1023), (3, 127), (2, 1024), (3, 128)):
        plain = {(one.sides, one.contrast) for one in found if (one.dimension, one.cells, one.ratio) == (dimension, cells, 1.0)}
        assert plain == {(sides, contrast) for sides in ("Dirichlet", "Neumann", "periodic", "mixed") for contrast in (1, 4, 100, 1e4)}
    assert {one.ratio for one in found} == {1.0, 10.0, 100.0}
    assert Setting(3, 31, "mixed", 4.0).group == Setting(3, 32, "mixed", 4.0).group == "32^3, contrast 4"
    assert Setting(2, 64, "mixed", 4.0, 10.0).group == "64^2, cells 10:1"


def test_a_system_is_what_its_setting_says() -> None:
    A, b = multigrid.system(Setting(2, 31, "Neumann", 1e4), 0)
    assert A.is_singular
    assert abs(b.sum()) < 1e-10
    inside = A.faces[0][1:-1] / 31**2
    assert inside.min() == pytest.approx(1.0)
    assert inside.max() == pytest.approx(1e4)
    stretched, _ = multigrid.system(Setting(2, 32, "mixed", 1.0, 10.0), 0)
    assert stretched.faces[0][1:-1].max() == pytest.approx(100 * stretched.faces[1][:, 1:-1].max())
    assert (stretched.periodic, stretched.is_singular) == ((False, True), False)
    x, exact = (linear_solve(*multigrid.system(Setting(2, 17, "mixed", 1e2), 0), method, rtol=1e-10).x for method in ("multigrid_cg", "lu"))
    np.testing.assert_allclose(x, exact, atol=1e-7 * abs(exact).max())


def quick(plane: int, cube: int) -> list[Setting]:
    return [Setting(2, cells - odd, sides, 1e2) for cells in (32, 64) for sides in ("Dirichlet", "mixed") for odd in (0, 1)] + [
        Setting(3, 16, "periodic", 4.0)
    ]


def test_gates_and_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multigrid, "settings", quick)
    report = multigrid.run()
    assert report.passed
    assert [check.name.partition(":")[0] for check in report.checks] == [
        "32^2, contrast 100", "64^2, contrast 100", "16^3, contrast 4", "largest relative residual",
    ]  # fmt: skip
    assert [len(found) for found in report.details["iterations"].values()] == [4, 4, 1]
    plane, space = report.details["figures"]
    assert (plane["series"][0]["label"], plane["series"][0]["x"]) == ("contrast 100", [32, 64])
    assert plane["series"][0]["y"] == [max(report.details["iterations"][f"{n}^2, contrast 100"]) for n in (32, 64)]
    assert space["series"][-1]["y"] == [12, 12]


def test_iterations_that_grow_fail_and_so_does_a_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multigrid, "settings", quick)
    solve = multigrid.solve

    def slower(A: Any, b: Any) -> Any:
        found = solve(A, b)
        return replace(found, iterations=13) if A.grid_shape == (63, 63) else found

    monkeypatch.setattr(multigrid, "solve", slower)
    report = multigrid.run()
    assert [check.name.partition(":")[0] for check in report.checks if not check.passed] == ["64^2, contrast 100"]
    assert report.details["worst"]["64^2, contrast 100"] == {"sides": "mixed", "cells": 63, "contrast": 100.0}
    monkeypatch.setattr(multigrid, "solve", lambda A, b: linear_solve(A, b, "multigrid_cg", rtol=1e-3))
    assert [check.name for check in multigrid.run().checks if not check.passed] == ["largest relative residual"]
