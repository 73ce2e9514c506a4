"""Adapter over neuraloperator's FNO, TFNO and UNO, with cell-centred coordinates.

The library's own grid embedding puts sample j of n at j / n. Fields of this suite live at cell centres, (j + 1/2) / n, so the
coordinates are appended here: only then does a network trained on 32 cells see the same points of the box on 64.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from typing import Any

import torch

from sciml.models.settings import OperatorSettings

os.environ.setdefault("WANDB_MODE", "disabled")  # neuraloperator imports wandb, which must neither speak nor phone
with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():  # the import would reset the user's warning filters
    from neuralop.models import FNO, TFNO, UNO


class GridOperator(torch.nn.Module):
    """A network that sees the fields and, if asked for, the coordinates of the cell centres scaled to [-1, 1].

    Parameters
    ----------
    network : module from (batch, channels, *grid) to (batch, channels, *grid), any resolution.
    coordinates : whether `network` expects one more channel per axis.
    """

    def __init__(self, network: torch.nn.Module, coordinates: bool) -> None:
        super().__init__()
        self.network = network
        self.coordinates = coordinates

    def forward(self, fields: torch.Tensor) -> torch.Tensor:
        if self.coordinates:
            fields = torch.cat([fields, _cell_centres(fields)], dim=1)
        result: torch.Tensor = self.network(fields)
        return result


def _cell_centres(fields: torch.Tensor) -> torch.Tensor:
    """Coordinates (batch, dimension, *grid) in [-1, 1] for fields of shape (batch, channels, *grid)."""
    batch, _, *grid = fields.shape
    axes = [(2.0 * torch.arange(n, dtype=fields.dtype, device=fields.device) + 1.0) / n - 1.0 for n in grid]
    mesh = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return mesh.expand(batch, *mesh.shape)


def grid_operator(settings: OperatorSettings, in_channels: int, out_channels: int, dimension: int) -> GridOperator:
    """The network that `settings` describe; see `sciml.models.build`."""
    channels = in_channels + (dimension if settings.coordinates else 0)
    make = {"fno": _fno, "tfno": _tfno, "uno": _uno}[settings.model]
    with contextlib.redirect_stdout(io.StringIO()):  # UNO 2.0.0 prints its skip connections while it is built
        network = make(settings, channels, out_channels, dimension)
    return GridOperator(network, settings.coordinates)


def _fno_arguments(settings: OperatorSettings, in_channels: int, out_channels: int, dimension: int) -> dict[str, Any]:
    return {
        "n_modes": (settings.modes,) * dimension,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "hidden_channels": settings.hidden_channels,
        "n_layers": settings.layers,
        "positional_embedding": None,
    }


def _fno(settings: OperatorSettings, in_channels: int, out_channels: int, dimension: int) -> torch.nn.Module:
    return FNO(**_fno_arguments(settings, in_channels, out_channels, dimension))


def _tfno(settings: OperatorSettings, in_channels: int, out_channels: int, dimension: int) -> torch.nn.Module:
    return TFNO(rank=settings.rank, **_fno_arguments(settings, in_channels, out_channels, dimension))


def _uno(settings: OperatorSettings, in_channels: int, out_channels: int, dimension: int) -> torch.nn.Module:
    """Full resolution in the first and last layer, half of it with twice the width and half the modes in between."""
    inner = settings.layers - 2
    width, modes = settings.hidden_channels, settings.modes
    return UNO(
        in_channels=in_channels,
        out_channels=out_channels,
        hidden_channels=width,
        lifting_channels=2 * width,
        projection_channels=2 * width,
        positional_embedding=None,
        n_layers=settings.layers,
        channel_mlp_skip="linear",  # the default, soft gating, cannot change the width
        uno_out_channels=[width, *[2 * width] * inner, width],
        uno_n_modes=[[modes] * dimension, *[[max(2, modes // 2)] * dimension] * inner, [modes] * dimension],
        uno_scalings=[[1.0] * dimension, [0.5] * dimension, *[[1.0] * dimension] * (inner - 1), [2.0] * dimension],
    )
