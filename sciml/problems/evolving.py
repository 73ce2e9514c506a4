"""What problems that evolve in time declare on top: when their state is looked at, and what a resolved state is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from sciml.problems.base import BoxProblem
from sciml.problems.problem import Array, Parameters
from sciml.problems.strong_form import Condition, StrongForm, box_geometry

#: Tolerance of the time error below which rounding, which grows with the number of steps, may outweigh it.
SMALLEST_RTOL = 1e-11
Time = Annotated[FiniteFloat, Field(gt=0, le=1e9)]


class Evolving(BoxProblem):
    """An initial-value problem from time 0; its outputs are states at later times.

    Parameters
    ----------
    times : when the state is kept, increasing and equally spaced, as The Well's layout asks (one time is always allowed). With
        several, every output has a leading axis of that length; with one it has the grid's shape.
    """

    certificate: ClassVar[str] = "time_error"

    times: tuple[Time, ...] = Field(default=(1.0,), min_length=1, max_length=4096)

    @model_validator(mode="after")
    def _equally_spaced(self) -> Self:
        gaps = np.diff(self.times)
        if gaps.size and (gaps.min() <= 0 or gaps.max() - gaps.min() > 1e-6 * gaps.max()):
            raise ValueError(f"times = {list(self.times)} must increase by equal steps, as [0.25, 0.5, 0.75, 1.0] do")
        return self

    def evolving_form(self, parameters: Parameters, initial: str, conditions: tuple[Condition, ...]) -> StrongForm:
        """The form at points up to the last of `times`, with `initial` the name of the parameter that is the state at time 0."""
        return StrongForm(
            geometry=box_geometry(self.grid),
            outputs=self.outputs,
            residual=lambda jets, found: (self.strong_residual(jets, found),),
            equations=(self.kind,),
            parameters={n: self.function(n, parameters) for n in self.laws() if n != initial and not n.startswith("boundary_")},
            conditions={self.outputs[0]: conditions} if conditions else {},
            periodic=self.closed_axes,
            duration=self.times[-1],
            initial={self.outputs[0]: self.function(initial, parameters)},
        )

    def profile(self, name: str, parameters: Parameters) -> Callable[[Any], Any]:
        """A parameter as a function of the place on an interval, a number too."""
        value = self.function(name, parameters)
        return value if callable(value) else lambda x: 0.0 * x + value

    def refuse_unresolved(self, fields: Mapping[str, Array]) -> None:
        """Raise `DatasetError` where `fields` (outputs) have detail that the grid cannot hold; nothing is known to ask here."""
