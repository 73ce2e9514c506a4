"""What a method is to the integrator: a record of settings that, bound to terms, makes steps.

The integrator (`solvers.integrators.march`) owns time, step sizes, acceptance, output and events; a method knows one step. A method
works on NumPy and torch arrays alike: `xp`, the module of the state, is handed to `bind`, and `solvers.integrators.kinds` has the rest.

Rules that a stepper keeps:

- t and h are floats; where rows have times of their own they are float64 arrays that broadcast against y, shape ``rows + (1, ...)``. They
  multiply the state only after `kinds.in_kind`, or a float32 state would turn into float64. h is negative backward in time.
- Nothing is changed in place, neither y nor the carry: a rejected attempt starts again from the same values.
- The rows of a batch are treated apart and elementwise, so that the bits of one do not depend on the others.
- The carry is whatever the next step can reuse; at first it is None. The one of a rejected attempt is thrown away. Where rows are
  accepted one by one it is merged by `merge_rows`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from solvers.integrators.kinds import by_rows, namespace

#: A NumPy or torch array.
Array = Any
#: A float, or a float64 array that broadcasts against the state.
Time = Any
Carry = Any


@dataclass(frozen=True, eq=False)
class Advance:
    """What a step found.

    Attributes
    ----------
    y : state at t + h.
    error : estimate of the local error of y, of its shape; None where the method has none. A pair of estimates (e, f) counts as
        ``|e|^2 / sqrt(|e|^2 + 0.01 |f|^2)`` in the norms of step control (DOP853).
    interpolate : the state at ``t + theta h`` for theta in [0, 1], a float or an array that broadcasts against y; None where the
        method has no dense output: steps then land on the times asked for.
    """

    y: Array
    error: Array | tuple[Array, Array] | None = None
    interpolate: Callable[[Any], Array] | None = None


class Stepper(Protocol):
    """A method bound to its terms."""

    def step(self, t: Time, y: Array, h: Time, carry: Carry) -> tuple[Advance, Carry]:
        """The attempt to go from (t, y) to t + h, and what the step after it can reuse if it is accepted."""


class Method(Protocol):
    """An immutable record of settings.

    Attributes
    ----------
    name : what users write and results carry.
    order : of the error at a fixed time in a fixed step size.
    error_order : order of the method that y is compared with for the error estimate, which is then ``O(h^(error_order + 1))``; None where
        there is no estimate, and steps are fixed or halved as a whole.
    """

    @property
    def name(self) -> str: ...
    @property
    def order(self) -> int: ...
    @property
    def error_order(self) -> int | None: ...

    def bind(self, terms: Any, xp: Any, batch: int) -> Stepper:
        """The stepper for these terms; raises `TypeError` for terms that the method cannot take.

        Parameters
        ----------
        xp : numpy or torch, the module of the state.
        batch : number of leading axes of the state that count independent rows.
        """


def merge_rows(accepted: NDArray[np.bool_], new: Carry, old: Carry, y: Array, batch: int) -> Carry:
    """The carry where some rows were accepted and others not, `accepted` being one flag a row.

    Arrays whose leading axes are the rows are taken row by row; tuples and dataclasses are gone through; of anything else (a factorisation,
    a number) the new one is kept. Where either is None (the first step of all) the result is None: the next step does without.
    """
    if new is None or old is None:
        return None
    if isinstance(new, tuple):
        return tuple(merge_rows(accepted, a, b, y, batch) for a, b in zip(new, old, strict=True))
    if dataclasses.is_dataclass(new) and not isinstance(new, type):
        values = {f.name: merge_rows(accepted, getattr(new, f.name), getattr(old, f.name), y, batch) for f in dataclasses.fields(new)}
        return dataclasses.replace(new, **values)
    if not hasattr(new, "shape") or tuple(new.shape[:batch]) != tuple(y.shape[:batch]):
        return new
    return namespace(new).where(by_rows(accepted, new, batch), new, old)
