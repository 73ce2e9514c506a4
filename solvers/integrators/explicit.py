"""Explicit Runge-Kutta methods, with the error estimates and interpolations that they are published with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from solvers.integrators import explicit_tableaus as tableaus
from solvers.integrators.explicit_tableaus import DOP853, DOP853_D, DOP853_EXTRA_A, DOP853_EXTRA_C, ExplicitTableau
from solvers.integrators.kinds import in_kind
from solvers.integrators.method import Advance
from solvers.integrators.terms import Function, derivative


@dataclass(frozen=True)
class ExplicitRungeKutta:
    """The method of a tableau; instances carry their names in `EXPLICIT`.

    The interpolations are of order 3 (bosh3), 4 (dopri5, tsit5) and 7 (dop853, for three more evaluations where one is wanted).
    """

    name: str
    tableau: ExplicitTableau

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def error_order(self) -> int | None:
        return self.tableau.error_order

    @property
    def interpolates(self) -> bool:
        return bool(self.tableau.dense) or self.tableau is DOP853

    def bind(self, terms: Any, xp: Any, batch: int) -> _Stepper:
        return _Stepper(self.tableau, derivative(terms))


class _Stepper:
    def __init__(self, tableau: ExplicitTableau, f: Function) -> None:
        self.tableau, self.f = tableau, f

    def step(self, t: Any, y: Any, h: Any, carry: Any) -> tuple[Advance, Any]:
        """The carry is the derivative at the start of the step, or None."""
        tableau, f, h_y = self.tableau, self.f, in_kind(h, y)
        k = [f(t, y) if carry is None else carry]
        stage = y
        for row, c in zip(tableau.A[1:], tableau.c[1:], strict=True):
            stage = y + h_y * weighted(row, k)
            k.append(f(t + c * h, stage))
        if not tableau.first_same_as_last:
            y_next, last = y + h_y * weighted(tableau.b, k), None
        elif tableau.b[-1] == 0:  # the last stage was the end of the step
            y_next, last = stage, k[-1]
        else:
            y_next = y + h_y * weighted(tableau.b, k)
            last = f(t + h, y_next)
            k.append(last)
        errors = tuple(h_y * weighted(row, k) for row in tableau.error)
        error = (errors if len(errors) > 1 else errors[0]) if errors else None
        interpolate: Callable[[Any], Any] | None = None
        if tableau is DOP853:
            interpolate = _Extended(f, t, y, h, k, y_next)
        elif tableau.dense:

            def interpolate(theta: Any) -> Any:
                theta = in_kind(theta, y)
                return y + h_y * weighted([polynomial(row, theta) for row in tableau.dense], k)

        return Advance(y_next, error, interpolate), last


class _Extended:
    """The interpolation of DOP853; its further stages are taken when it is first asked."""

    def __init__(self, f: Function, t: Any, y: Any, h: Any, k: Sequence[Any], y_next: Any) -> None:
        self.f, self.t, self.y, self.h, self.k, self.y_next = f, t, y, h, list(k), y_next
        self.parts: list[Any] | None = None

    def __call__(self, theta: Any) -> Any:
        if self.parts is None:
            self.parts = self._parts()
        theta = in_kind(theta, self.y)
        value: Any = 0.0
        for number, part in enumerate(reversed(self.parts)):
            value = (value + part) * (theta if number % 2 == 0 else 1 - theta)
        return self.y + value

    def _parts(self) -> list[Any]:
        h = in_kind(self.h, self.y)
        for row, c in zip(DOP853_EXTRA_A, DOP853_EXTRA_C, strict=True):
            self.k.append(self.f(self.t + c * self.h, self.y + h * weighted(row, self.k)))
        change, first, last = self.y_next - self.y, self.k[0], self.k[DOP853_STAGES]
        cubic = [change, h * first - change, 2 * change - h * (last + first)]
        return [*cubic, *(h * weighted(row, self.k) for row in DOP853_D)]


DOP853_STAGES = len(DOP853.b)


def polynomial(coefficients: Sequence[float], theta: Any) -> Any:
    """``sum_k coefficients[k] theta^(k+1)``; 0.0 for coefficients that all vanish."""
    value: Any = 0.0
    for coefficient in reversed(coefficients):
        value = (value + coefficient) * theta
    return value if any(coefficients) else 0.0


def weighted(weights: Sequence[Any], values: Sequence[Any]) -> Any:
    """The sum of the products whose weight is not the number 0; 0.0 where none is left."""
    terms = [weight * value for weight, value in zip(weights, values, strict=False) if not (isinstance(weight, float) and weight == 0)]
    return sum(terms[1:], terms[0]) if terms else 0.0


EXPLICIT = {
    name: ExplicitRungeKutta(name, tableau)
    for name, tableau in {
        "euler": tableaus.EULER,
        "heun": tableaus.HEUN,
        "ssprk33": tableaus.SSPRK33,
        "ssprk54": tableaus.SSPRK54,
        "rk4": tableaus.RK4,
        "bosh3": tableaus.BOSH3,
        "dopri5": tableaus.DOPRI5,
        "tsit5": tableaus.TSIT5,
        "dop853": DOP853,
    }.items()
}
