"""Right-hand sides in two parts, ``y' = f_E(t, y) + f_I(t, y)``, and how the implicit part is solved for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from solvers.arguments import refuse_uncallable
from solvers.integrators.kinds import is_torch
from solvers.integrators.linear_part import LinearPart, Operator, linear_part
from solvers.integrators.newton import Implicit, Newton
from solvers.integrators.terms import Terms, fitting, linear_of

Function = Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Split:
    """``y' = explicit(t, y) + implicit(t, y)`` for additive (IMEX) methods.

    Parameters
    ----------
    explicit : the part that is not stiff; called with the whole state, rows of a batch alike and apart.
    implicit : the stiff part: `Implicit`, or a function where its Jacobian may be taken by differences; for a constant linear part
        ``L y`` an `Operator`, or an array that is the diagonal of L, which cost one linear solve a stage with one factorisation a step
        size.

    Raises
    ------
    TypeError : parts that are none of these.
    """

    explicit: Function
    implicit: Implicit | Function | Operator | Any

    def __post_init__(self) -> None:
        refuse_uncallable("Split.explicit", self.explicit, "give f(t, y)")
        if not isinstance(self.implicit, Implicit) and not callable(self.implicit):
            object.__setattr__(self, "implicit", linear_of("Split.implicit", self.implicit))

    def counted(self, count: Callable[[Function], Function]) -> Split:
        """The same with `count` around its functions."""
        implicit = self.implicit
        if isinstance(implicit, Implicit):
            implicit = implicit.counted(count)
        elif callable(implicit):
            implicit = count(implicit)
        return Split(count(self.explicit), implicit)


class ImplicitPart(Protocol):
    """f_I as the methods use it."""

    def evaluate(self, t: Any, y: Any) -> Any: ...
    def solve(self, t: Any, a: Any, r: Any, guess: Any, memory: Any) -> tuple[Any, Any]:
        """z with ``z = r + a f_I(t, z)``, NaN in rows where it was not found, and a memory for the next stage (None at first)."""

    def kept(self, memory: Any) -> Any:
        """What of a memory the next step may have."""


class LinearStages:
    """A constant linear f_I: one solve a stage, always found."""

    def __init__(self, part: LinearPart) -> None:
        self.part = part

    def evaluate(self, t: Any, y: Any) -> Any:
        return self.part.apply(y)

    def solve(self, t: Any, a: Any, r: Any, guess: Any, memory: Any) -> tuple[Any, Any]:
        return self.part.solve(a, r), None

    def kept(self, memory: Any) -> None:
        return None


def parts(terms: Any, method: str, batch: int) -> tuple[Function | None, ImplicitPart]:
    """f_E (None where there is none) and f_I of any terms that an additive method takes.

    Raises
    ------
    TypeError : terms without a part that could be implicit.
    """
    if isinstance(terms, Terms):
        N = terms.nonlinear
        return None if N is None else fitting("nonlinear", N), LinearStages(linear_part(terms.linear))
    if isinstance(terms, Split):
        return fitting("explicit", terms.explicit), _implicit_part(terms.implicit, batch)
    if isinstance(terms, Implicit) or callable(terms):
        return None, _implicit_part(terms, batch)
    raise TypeError(f"method {method!r} cannot integrate {type(terms).__name__}: give f(t, y), Implicit, SemiLinear or Split terms")


def _implicit_part(implicit: Any, batch: int) -> ImplicitPart:
    if isinstance(implicit, Implicit):
        return Newton(implicit, batch)
    if isinstance(implicit, (Operator, np.ndarray)) or is_torch(implicit):
        return LinearStages(linear_part(implicit))
    return Newton(Implicit(implicit), batch)
