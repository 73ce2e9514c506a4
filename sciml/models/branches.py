"""Several networks of the same coordinates side by side, each with one output and parameters of its own."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from sciml.models.channels import Channels, stack
from sciml.models.networks import Apply, Coordinates, Jetted, Parameter, Value, coordinate_network


class Branches(Jetted):
    """Outputs of separate networks, one beside another.

    Parameters
    ----------
    parts : networks of the same inputs.
    """

    def __init__(self, parts: Iterable[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def body(self, x: Value, apply: Apply, parameter: Parameter) -> Value:
        found = [apply(part, x) for part in self.parts]
        return stack(found) if isinstance(found[0], Channels) else torch.cat(found, dim=1)


def branched_network(coordinates: Coordinates, outputs: int, **settings: object) -> Branches:
    """A network for each of `outputs` numbers; `settings` are those of `sciml.models.networks.coordinate_network`."""
    return Branches(coordinate_network(coordinates, 1, **settings) for _ in range(outputs))  # type: ignore[arg-type]
