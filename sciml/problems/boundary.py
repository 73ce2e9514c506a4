"""Boundary conditions, one a side of the box."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sciml.fields import Constant, Law
from sciml.grid import AXES

Kind = Literal["dirichlet", "neumann", "periodic"]
#: What data say of a side: a flow may leave through an open one, which no recipe prescribes.
SideKind = Literal["dirichlet", "neumann", "periodic", "open"]
ZERO = Constant(value=0.0)


class _Condition(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dirichlet(_Condition):
    """The unknown has the given value on this side."""

    kind: Literal["dirichlet"] = "dirichlet"
    value: Law = ZERO

    @property
    def data(self) -> Law:
        return self.value


class Neumann(_Condition):
    """Coefficient times outward normal derivative of the unknown has the given value: inflow into the domain is positive."""

    kind: Literal["neumann"] = "neumann"
    flux: Law = ZERO

    @property
    def data(self) -> Law:
        return self.flux


class Periodic(_Condition):
    """This side is identified with the opposite one."""

    kind: Literal["periodic"] = "periodic"

    @property
    def data(self) -> Law:
        return ZERO


def name_is_kind(value: Any) -> Any:
    """The bare name of a condition as its table."""
    return {"kind": value} if isinstance(value, str) else value


Condition = Annotated[
    Annotated[Dirichlet | Neumann | Periodic, Field(discriminator="kind")],
    BeforeValidator(name_is_kind),
]
"""A condition; its bare name stands for the condition with zero data."""


class Boundary(BaseModel):
    """Conditions of all sides; a side that is not named is Dirichlet with value 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x_low: Condition = Dirichlet()
    x_high: Condition = Dirichlet()
    y_low: Condition = Dirichlet()
    y_high: Condition = Dirichlet()
    z_low: Condition = Dirichlet()
    z_high: Condition = Dirichlet()

    @model_validator(mode="after")
    def _periodic_in_pairs(self) -> Boundary:
        for axis in AXES:
            low, high = self.pair(axis)
            if (low.kind == "periodic") != (high.kind == "periodic"):
                raise ValueError(f"{axis}_low is {low.kind} and {axis}_high is {high.kind}: make both periodic, or neither")
        return self

    def pair(self, axis: str) -> tuple[Condition, Condition]:
        return getattr(self, f"{axis}_low"), getattr(self, f"{axis}_high")
