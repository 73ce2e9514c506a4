"""What can be said about an operator network, refused where it makes no sense; loads no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sciml.errors import InputError

MODELS = ("fno", "tfno", "uno")


class SettingsError(InputError):
    """A setting of a model or of a training run is not valid."""


class Settings(BaseModel):
    """Frozen settings; an invalid one is refused with one sentence, as `SettingsError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_sentence(error.errors()[0], type(self))) from None


class OperatorSettings(Settings):
    """Kind and size of an operator network.

    Parameters
    ----------
    model : ``"fno"``, ``"tfno"`` (Tucker-factorised spectral weights) or ``"uno"`` (U-shaped).
    hidden_channels : width of the network.
    modes : Fourier modes kept along every axis, both signs counted (the paper's ``k_max = 12`` is ``modes=24`` here); even, and at
        most the resolution of the training data.
    layers : Fourier layers; a UNO needs at least three (down, across, up).
    rank : share of the dense spectral weights that a TFNO may use; no other model reads it.
    coordinates : give the network the coordinates of the cell centres as extra channels; without them it commutes with shifts of a
        periodic box.
    """

    model: str = "fno"
    hidden_channels: int = Field(default=24, ge=1, le=1024)
    modes: int = Field(default=16, ge=2, le=1024)
    layers: int = Field(default=4, ge=1, le=32)
    rank: float = Field(default=0.1, gt=0.0, le=1.0)
    coordinates: bool = True

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        return one_of(model, MODELS)

    @field_validator("modes")
    @classmethod
    def _even(cls, modes: int) -> int:
        if modes % 2:
            raise ValueError(f"modes of both signs are counted; choose an even number, for example {modes + 1}")
        return modes

    @model_validator(mode="after")
    def _deep_enough(self) -> OperatorSettings:
        if self.model == "uno" and self.layers < 3:
            raise ValueError(f"layers = {self.layers} is too few for a uno, which goes down, across and up; choose layers >= 3")
        return self

    def check_grid(self, shape: Sequence[int]) -> None:
        """Refuse more modes than a grid of `shape` can carry; raises `SettingsError`."""
        if self.modes > min(shape):
            grid, largest = " x ".join(str(n) for n in shape), min(shape) // 2 * 2
            raise SettingsError(f"modes = {self.modes} is more than a grid of {grid} points can carry; choose modes <= {largest}")


def one_of(name: str, known: Sequence[str]) -> str:
    """The name, if it is one of these; ValueError with the nearest, or all of them, otherwise."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise ValueError(f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}")
    return name


def _sentence(fault: Mapping[str, Any], kind: type[BaseModel]) -> str:
    field = ".".join(str(part) for part in fault["loc"])
    reason = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(field, list(kind.model_fields), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known settings are {', '.join(kind.model_fields)}"
        return f"unknown setting {field!r}; {hint}"
    if not field:
        return reason
    return f"{field} = {fault['input']!r} is not valid: {reason[0].lower()}{reason[1:]}"
