"""The case of the integrators: its closed form, and that a method with a fault in it fails."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from solvers import integrators
from solvers.integrators.method import Advance
from validation.cases import integrator_orders as case
from validation.cases.integrator_orders import Study


def test_the_case_passes_for_every_exported_method() -> None:
    report = case.run()
    assert [check.name for check in report.checks if not check.passed] == []
    names = {name for table in case.tables().values() for name in table}
    assert names == set(report.details["methods"])
    assert {*integrators.DIAGONALLY_IMPLICIT, *integrators.EXPONENTIAL, *integrators.IMEX_MULTISTEP} <= names
    assert len(report.details["figures"]) == 2 * len(case.tables())


def test_the_closed_form_solves_the_equation() -> None:
    for t in np.linspace(0, case.END, 7):
        slope = (case.exact(t + 1e-5) - case.exact(t - 1e-5)) / 2e-5
        np.testing.assert_allclose(slope, case.whole(t, case.exact(t)), atol=1e-9)
    assert case.exact(0.0).tolist() == [1.0, 1.0]


def test_order_and_constant_are_those_of_the_last_errors_above_rounding() -> None:
    steps = (10, 20, 40, 80, 160)
    errors = tuple(3.0 * (case.END / n) ** 4 for n in steps)
    found = Study(4, steps, errors, steps)
    assert (found.observed, found.constant) == pytest.approx((4.0, 3.0))
    drowned = Study(4, steps, (*errors[:3], 5e-14, 5e-14), steps)
    assert (drowned.observed, drowned.constant) == pytest.approx((4.0, 3.0))


@dataclass(frozen=True)
class Faulty:
    """Ralston's method with one of its numbers given: weight 3/4 and node 2/3 are right."""

    weight: float = 0.75
    node: float = 2 / 3
    name: str = "ralston"
    order: int = 2

    def bind(self, terms: Any, xp: Any, batch: int) -> Any:
        if not callable(terms):
            raise TypeError("a function is needed")

        def step(t: float, y: Any, h: float, carry: Any) -> Any:
            k1 = terms(t, y)
            k2 = terms(t + self.node * h, y + h * 2 / 3 * k1)
            return Advance(y + h * ((1 - self.weight) * k1 + self.weight * k2)), None

        return SimpleNamespace(step=step)


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        (Faulty(), True),
        (Faulty(weight=0.74), False),  # a weight that is off by a hundredth
        (Faulty(node=0.5), False),  # a right-hand side asked at the wrong time, which an autonomous problem would not find
    ],
)
def test_a_method_with_a_wrong_number_fails(method: Any, passes: bool) -> None:
    found = case.study(method, 7)
    assert case._check("ralston", found).passed == passes
    assert found.calls == tuple(2 * n for n in found.steps)


def test_a_drift_of_the_other_calculus_loses_the_strong_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Ito's correction Milstein's method converges to another path."""
    assert case.strong_order("milstein").passed
    right = case._drift
    monkeypatch.setattr(case, "_drift", lambda ito: right(not ito))
    assert not case.strong_order("milstein").passed


def test_the_copied_third_order_is_of_second_order_and_ten_times_worse() -> None:
    coarse, fine = (case._log_snr_error(steps, 3, copied=True) for steps in (1024, 2048))
    assert math.log2(coarse / fine) == pytest.approx(2.0, abs=0.1)
    assert case.beside_the_copied_third_order().passed
    assert all(check.passed for check in case.log_snr_orders())


def test_a_method_that_takes_no_terms_is_named() -> None:
    class Picky(Faulty):
        def bind(self, terms: Any, xp: Any, batch: int) -> Any:
            raise TypeError("nothing will do")

    with pytest.raises(TypeError, match="ralston takes none of"):
        case.march(Picky(), 4)
    assert math.isfinite(case.march(Faulty(), 4)[0])
