"""Exponential Runge-Kutta methods for ``y' = L y + N(t, y)``, L a diagonal, a matrix, or an operator known by its action.

ETDRK2: Cox and Matthews, "Exponential time differencing for stiff systems", J. Comput. Phys. 176 (2002), equation 22; ETDRK4 there,
equations 26 to 29, written with the phi functions of `solvers.integrators.phi`:

    y+ = e^z y + h (phi_1 N_1 + phi_2 (-3 N_1 + 2 N_2 + 2 N_3 - N_4) + 4 phi_3 (N_1 - N_2 - N_3 + N_4)),     z = h L               (1)

Lawson4: Lawson, "Generalized Runge-Kutta processes for stable systems with large Lipschitz constants", SIAM J. Numer. Anal. 4 (1967),
equation 3: the classical method for ``e^(-t L) y``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solvers.integrators.etdrk4 import DiagonalStep
from solvers.integrators.kinds import in_kind
from solvers.integrators.linear_part import Diagonal, LinearPart, linear_part
from solvers.integrators.method import Advance
from solvers.integrators.terms import Terms, fitting

Nonlinear = Callable[[Any, Any], Any]
Formula = Callable[[LinearPart, Nonlinear, Any, Any, Any], Any]


def etdrk2(L: LinearPart, N: Nonlinear, t: Any, y: Any, h: Any) -> Any:
    n = N(t, y)
    a = L.combine(1.0, h, [y, n])
    return L.combine(1.0, h, [y, n, (N(t + h, a) - n) / in_kind(h, y)])


def etdrk4(L: LinearPart, N: Nonlinear, t: Any, y: Any, h: Any) -> Any:
    half, h_y = t + h / 2, in_kind(h, y)
    n1 = N(t, y)
    a = L.combine(0.5, h, [y, n1 / 2])
    n2 = N(half, a)
    n3 = N(half, L.combine(0.5, h, [y, n2 / 2]))
    n4 = N(t + h, L.combine(0.5, h, [a, n3 - n1 / 2]))
    return L.combine(1.0, h, [y, n1, (-3 * n1 + 2 * (n2 + n3) - n4) / h_y, 4 * (n1 - n2 - n3 + n4) / h_y**2])


def lawson4(L: LinearPart, N: Nonlinear, t: Any, y: Any, h: Any) -> Any:
    half, h_y = t + h / 2, in_kind(h, y)
    n1 = N(t, y)
    half_y = L.combine(0.5, h, [y])
    n2 = N(half, L.combine(0.5, h, [y + h_y / 2 * n1]))
    n3 = N(half, half_y + h_y / 2 * n2)
    n4 = N(t + h, L.combine(0.5, h, [half_y + h_y * n3]))
    return L.combine(0.5, h, [L.combine(0.5, h, [y + h_y / 6 * n1]) + h_y / 3 * (n2 + n3)]) + h_y / 6 * n4


@dataclass(frozen=True)
class Exponential:
    """An exponential method; instances carry their names in `EXPONENTIAL`.

    The linear part is integrated exactly at any step, and costs no stability. ETDRK2 and ETDRK4 are exact also for N constant in time and
    state, and keep fixed points of the equation; Lawson4 does neither: a forcing of a stiff mode is lost in it unless the step resolves the
    mode. Rough data of stiff problems reduce the orders. There is no error estimate: steps are given, or halved as a whole.
    """

    name: str
    formula: Formula
    order: int
    error_order: None = None

    def bind(self, terms: Any, xp: Any, batch: int) -> _Stepper:
        if not isinstance(terms, Terms):
            given = type(terms).__name__
            raise TypeError(f"method {self.name!r} needs SemiLinear terms, whose linear part it integrates exactly, but got {given}")
        linear = linear_part(terms.linear)
        N = None if terms.nonlinear is None else fitting("nonlinear", terms.nonlinear)
        quick = DiagonalStep(terms.linear, N) if self.formula is etdrk4 and isinstance(linear, Diagonal) and N is not None else None
        return _Stepper(self.formula, linear, N, quick)


class _Stepper:
    def __init__(self, formula: Formula, linear: LinearPart, nonlinear: Nonlinear | None, quick: DiagonalStep | None) -> None:
        self.formula, self.linear, self.nonlinear, self.quick = formula, linear, nonlinear, quick

    def step(self, t: Any, y: Any, h: Any, carry: None) -> tuple[Advance, None]:
        if self.nonlinear is None:
            return Advance(self.linear.combine(1.0, h, [y])), None
        if self.quick is not None and isinstance(h, float):
            return Advance(self.quick(t, y, h)), None
        return Advance(self.formula(self.linear, self.nonlinear, t, y, h)), None


EXPONENTIAL = {
    "etdrk2": Exponential("etdrk2", etdrk2, 2),
    "etdrk4": Exponential("etdrk4", etdrk4, 4),
    "lawson4": Exponential("lawson4", lawson4, 4),
}
