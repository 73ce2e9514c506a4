"""What a run was told and what it was trained on, as stored in its ``config.json``; loads no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sciml.data.normalise import Normaliser
from sciml.errors import CheckpointError, InputError
from sciml.training.settings import TrainSettings

#: Where a run may be continued although these entries differ: none changes what is learned beyond rounding.
_FREE = ("settings.device", "data.path", "environment")


class Record(BaseModel):
    """What is stored as JSON beside a run: frozen, nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=Record)


class DataRecord(Record):
    """Which data a run was trained on; `identity` and `seed` are None for arrays that came from no dataset folder."""

    path: str | None
    name: str
    identity: str | None
    seed: int | None
    samples: dict[Literal["train", "valid"], int]
    shape: tuple[int, ...] = Field(min_length=1, max_length=3)
    extent: tuple[float, ...]
    axes: tuple[str, ...]
    boundary: tuple[tuple[str, str], ...] | None
    symmetries: tuple[str, ...]
    times: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _one_entry_an_axis(self) -> DataRecord:
        if not len(self.shape) == len(self.extent) == len(self.axes):
            raise ValueError(f"shape {list(self.shape)}, extent {list(self.extent)} and axes {list(self.axes)} need one entry an axis each")
        return self


class Normalisers(Record):
    """The normalisers' own plain form, see `Normaliser.to_dict`."""

    inputs: dict[str, Any]
    outputs: dict[str, Any]


class RunConfig(Record):
    """Everything that decides the course of a run, and where it happened.

    Attributes
    ----------
    inputs, outputs : names of the channels, in order.
    parameters : trained real numbers.
    environment : see `sciml.checks.environment`.
    """

    format: Literal["sciml-run"] = "sciml-run"
    version: Literal[1] = 1
    settings: TrainSettings
    data: DataRecord
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    normaliser: Normalisers
    parameters: int
    environment: dict[str, Any]

    def normalisers(self) -> tuple[Normaliser, Normaliser]:
        """Of inputs and outputs; raises CheckpointError where they are garbled or do not fit the channels."""
        pair = Normaliser.from_dict(self.normaliser.inputs), Normaliser.from_dict(self.normaliser.outputs)
        channels = pair[0].names, pair[1].names
        if channels != (self.inputs, self.outputs):
            raise CheckpointError(
                f"normaliser is for {channels}, not for {(self.inputs, self.outputs)}; restore config.json, or train again"
            )
        return pair


def parse_config(text: str, path: Path, record: type[C]) -> C:
    """Read the text of ``config.json``; raises CheckpointError with the first entry that is not valid."""
    try:
        return record.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        entry = ".".join(str(part) for part in fault["loc"]) or "it"
        reason = f"{entry}: {fault['msg']}"
        if entry == "format":
            raise CheckpointError(f"{path} is of another kind of run ({reason}); give the folder of such a run") from None
    except InputError as error:
        reason = str(error)
    raise CheckpointError(f"{path} is no valid config of a run ({' '.join(reason.split())}); restore it, or train again")


def check_same(subject: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise CheckpointError naming the first entry in which the config `stored` with `subject` differs from the one `wanted`."""
    here, there = dict(_flat(wanted)), dict(_flat(stored))
    for key in (*here, *(key for key in there if key not in here)):
        if not key.startswith(_FREE) and here.get(key) != there.get(key):
            was, now = there.get(key), here.get(key)
            raise CheckpointError(f"{subject} was trained with {key} = {was!r}, not {now!r}; go back to that, or choose another folder")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``("a.b", value)`` for every leaf of nested objects."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
