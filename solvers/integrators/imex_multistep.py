"""Implicit-explicit multistep methods for ``y' = f_E(t, y) + f_I(t, y)``, one implicit solve and one evaluation of f_E a step.

Ascher, Ruuth and Wetton, "Implicit-explicit methods for time-dependent partial differential equations", SIAM J. Numer. Anal. 32 (1995):
with nodes t_0 (the new one), t_1, t_2 ... back in time and the polynomials through them,

    SBDF k    derivative at t_0 of the polynomial through y_0 .. y_k = f_I(t_0, y_0) + extrapolation of f_E from t_1 .. t_k        (1)
    CNAB2     (y_0 - y_1) / h = (f_I(t_0, y_0) + f_I(t_1, y_1)) / 2 + extrapolation of f_E from t_1, t_2 to the step's middle     (2)

The coefficients are computed from the actual nodes, so that steps may vary; in equal steps they are the constant ones of that paper
(equations 14 to 17). Before enough values are known the additive Runge-Kutta pair of order three takes the steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solvers.integrators.dirk import DIAGONALLY_IMPLICIT
from solvers.integrators.kinds import in_kind
from solvers.integrators.method import Advance
from solvers.integrators.splitting import Function, ImplicitPart, parts


@dataclass(frozen=True)
class ImexMultistep:
    """SBDF2, SBDF3 or CNAB2; instances carry their names in `IMEX_MULTISTEP`.

    SBDF2 is L-stable in the implicit part, SBDF3 only A(86 degrees)-stable; CNAB2 is A-stable but damps what it does not resolve not at all
    (the trapezoidal rule): smooth data, or SBDF2. The explicit part limits the step as Adams-Bashforth methods do; purely imaginary
    eigenvalues of f_E are stable with SBDF3 alone. Steps may vary, ratios above about 2.4 (SBDF2) or 1.5 (SBDF3) lose stability. There is
    no error estimate.
    """

    name: str
    order: int
    error_order: None = None

    def bind(self, terms: Any, xp: Any, batch: int) -> _Stepper:
        explicit, implicit = parts(terms, self.name, batch)
        starter = DIAGONALLY_IMPLICIT["ark3"].bind(terms, xp, batch)
        return _Stepper(self, explicit, implicit, starter)


@dataclass(frozen=True, eq=False)
class _Carry:
    """Earlier (t, y, f_E), newest first, and the memories of the implicit solves of the method and of its start."""

    history: tuple[tuple[Any, Any, Any], ...] = ()
    memory: Any = None
    starting: Any = None


class _Stepper:
    def __init__(self, method: ImexMultistep, explicit: Function | None, implicit: ImplicitPart, starter: Any) -> None:
        self.order, self.explicit, self.implicit, self.starter = method.order, explicit, implicit, starter
        self.crank_nicolson = method.name == "cnab2"

    def step(self, t: Any, y: Any, h: Any, carry: _Carry | None) -> tuple[Advance, _Carry]:
        carry = _Carry() if carry is None else carry
        history = ((t, y, self.explicit(t, y) if self.explicit is not None else 0.0), *carry.history)[: self.order]
        if len(history) < self.order:
            advance, starting = self.starter.step(t, y, h, carry.starting)
            return Advance(advance.y), _Carry(history, carry.memory, starting)
        nodes = [node for node, _, _ in history]
        if self.crank_nicolson:
            weights = _interpolation(t + h / 2, nodes)
            a, known = h / 2, y + in_kind(h / 2, y) * self.implicit.evaluate(t, y)
            a_forcing = h
        else:
            leading, *past = _differentiation(t + h, nodes)
            weights = _interpolation(t + h, nodes)
            a = a_forcing = 1 / leading
            known = sum(in_kind(-a * weight, y) * value for weight, (_, value, _) in zip(past, history, strict=True))
        if self.explicit is not None:
            known = known + sum(in_kind(a_forcing * weight, y) * value for weight, (_, _, value) in zip(weights, history, strict=True))
        z, memory = self.implicit.solve(t + h, a, known, y, carry.memory)
        return Advance(z), _Carry(history, self.implicit.kept(memory))


def _interpolation(t: Any, nodes: Sequence[Any]) -> list[Any]:
    """Weights of the values at the nodes in their polynomial's value at t."""
    return [math.prod((t - other) / (node - other) for j, other in enumerate(nodes) if j != i) for i, node in enumerate(nodes)]


def _differentiation(t: Any, nodes: Sequence[Any]) -> list[Any]:
    """Weights in the derivative at t of the polynomial through a value at t and those at the nodes; that of t first."""
    weights = [
        math.prod((t - other) / (node - other) for j, other in enumerate(nodes) if j != i) / (node - t) for i, node in enumerate(nodes)
    ]
    return [-sum(weights), *weights]


IMEX_MULTISTEP = {
    "cnab2": ImexMultistep("cnab2", 2),
    "sbdf2": ImexMultistep("sbdf2", 2),
    "sbdf3": ImexMultistep("sbdf3", 3),
}
