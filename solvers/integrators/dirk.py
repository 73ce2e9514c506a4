"""Diagonally implicit Runge-Kutta methods, alone on a stiff right-hand side or as half of an additive pair on a split one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from solvers.integrators.dirk_tableaus import ARK3, ARK4, ARK5, BACKWARD_EULER, SDIRK2, SDIRK4, TR_BDF2, ImplicitTableau
from solvers.integrators.kinds import in_kind
from solvers.integrators.linear_part import LinearPart, linear_part
from solvers.integrators.method import Advance
from solvers.integrators.splitting import Function, ImplicitPart, parts
from solvers.integrators.terms import Terms


@dataclass(frozen=True)
class DiagonallyImplicit:
    """The method of a tableau; instances carry their names in `DIAGONALLY_IMPLICIT`.

    All of them are stiffly accurate and L-stable in the implicit part: a stiff component that the step does not resolve is damped, not
    kept ringing. On stiff problems with forcing the order falls towards the stage order, which is 1 for backward Euler and the SDIRK
    methods and 2 for TR-BDF2 and the additive pairs (Prothero and Robinson, Math. Comput. 28 (1974)). The explicit half of a pair limits
    the step by its own stability. A stage whose Newton iteration fails makes the state NaN, which step control answers with a smaller
    step.
    """

    name: str
    tableau: ImplicitTableau

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def error_order(self) -> int:
        return min(self.tableau.order, self.tableau.embedded_order)

    def bind(self, terms: Any, xp: Any, batch: int) -> _Stepper:
        if isinstance(terms, Terms) and self.tableau.explicit is None and terms.nonlinear is not None:
            terms = _whole(linear_part(terms.linear), terms.nonlinear)
        explicit, implicit = parts(terms, self.name, batch)
        if explicit is not None and self.tableau.explicit is None:
            pairs = ", ".join(repr(name) for name, method in DIAGONALLY_IMPLICIT.items() if method.tableau.explicit is not None)
            what = f"method {self.name!r} has no explicit half for the split terms"
            raise TypeError(f"{what}: take one of {pairs}, or give f(t, y) as a whole")
        return _Stepper(self.tableau, explicit, implicit)


@dataclass(frozen=True, eq=False)
class _Carry:
    """The derivative at the step's start where the last stage was there, and what solving learnt."""

    derivative: Any
    memory: Any


class _Stepper:
    def __init__(self, tableau: ImplicitTableau, explicit: Function | None, implicit: ImplicitPart) -> None:
        self.tableau, self.explicit, self.implicit = tableau, explicit, implicit

    def step(self, t: Any, y: Any, h: Any, carry: _Carry | None) -> tuple[Advance, _Carry]:
        tableau, f_E = self.tableau, self.explicit
        h_y = in_kind(h, y)
        memory = None if carry is None else carry.memory
        k: list[Any] = []  # implicit derivatives of the stages
        n: list[Any] = []  # explicit ones
        stage = y
        for i, (row, c) in enumerate(zip(tableau.A, tableau.c, strict=True)):
            known = y + h_y * _weighted(row[:i], k) if i else y
            if f_E is not None and tableau.explicit is not None and i:
                known = known + h_y * _weighted(tableau.explicit[i][:i], n)
            if row[i] != 0:
                stage, memory = self.implicit.solve(t + c * h, row[i] * h, known, stage, memory)
                # not f_I(stage), which would amplify what the solve left by the stiffness
                k.append((stage - known) / (row[i] * h_y))
            else:
                stage = known
                reuse = i == 0 and carry is not None and carry.derivative is not None
                k.append(carry.derivative if reuse and carry is not None else self.implicit.evaluate(t + c * h, stage))
            if f_E is not None:
                n.append(f_E(t + c * h, stage))
        error = h_y * _weighted([b - e for b, e in zip(tableau.b, tableau.b_embedded, strict=True)], k)
        if f_E is None or tableau.explicit is None:
            return Advance(stage, error), _Carry(k[-1] if tableau.first_stage_is_last else None, self.implicit.kept(memory))
        # the implicit weights are the last stage's row already; the explicit ones differ from it
        y_next = stage + h_y * _weighted([b - e for b, e in zip(tableau.b, tableau.explicit[-1], strict=True)], n)
        error = error + h_y * _weighted([b - e for b, e in zip(tableau.b, tableau.b_embedded, strict=True)], n)
        return Advance(y_next, error), _Carry(None, self.implicit.kept(memory))


def _whole(linear: LinearPart, nonlinear: Function) -> Function:
    return lambda t, y: linear.apply(y) + nonlinear(t, y)


def _weighted(weights: Any, values: list[Any]) -> Any:
    terms = [weight * value for weight, value in zip(weights, values, strict=True) if weight != 0]
    return sum(terms[1:], terms[0]) if terms else 0.0


_TABLEAUS: dict[str, ImplicitTableau] = {
    "backward_euler": BACKWARD_EULER,
    "tr_bdf2": TR_BDF2,
    "sdirk2": SDIRK2,
    "sdirk4": SDIRK4,
    "ark3": ARK3,
    "ark4": ARK4,
    "ark5": ARK5,
}
DIAGONALLY_IMPLICIT = {name: DiagonallyImplicit(name, tableau) for name, tableau in _TABLEAUS.items()}
