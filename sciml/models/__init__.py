"""Operator networks behind one door: `build` returns a torch module that maps (batch, channels, *grid) to (batch, channels, *grid)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sciml.models.settings import MODELS, OperatorSettings, SettingsError

if TYPE_CHECKING:
    import torch

__all__ = ["MODELS", "OperatorSettings", "SettingsError", "build"]


def build(name: str, settings: Mapping[str, Any], in_channels: int, out_channels: int, dimension: int) -> torch.nn.Module:
    """Build an operator network with random weights from torch's global generator.

    Parameters
    ----------
    name : ``"fno"``, ``"tfno"`` or ``"uno"``.
    settings : fields of `OperatorSettings`; those left out have its defaults.
    in_channels, out_channels : fields that go in and come out; coordinates are added by the network itself.
    dimension : 1, 2 or 3.

    Raises
    ------
    SettingsError
        for an unknown model or setting, or a value out of range.
    """
    checked = OperatorSettings(model=name, **settings)
    if dimension not in (1, 2, 3):
        raise SettingsError(f"dimension = {dimension} is not supported by the operator networks; use data on grids of 1 to 3 axes")
    from sciml.models.operators import grid_operator  # torch and neuraloperator take seconds to load

    return grid_operator(checked, in_channels, out_channels, dimension)
