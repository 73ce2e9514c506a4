"""Operator networks behind the adapter: shapes, symmetry, resolution, silence and messages."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sciml.errors import InputError
from sciml.models import MODELS, OperatorSettings, SettingsError, build

SMALL = {"hidden_channels": 6, "modes": 6, "layers": 3}


@pytest.mark.parametrize("shape", [(12,), (13,), (8, 8), (9, 14), (6, 7, 8)])
@pytest.mark.parametrize("name", MODELS)
def test_fields_of_any_shape_go_in_and_come_out(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    network = build(name, SMALL, in_channels=2, out_channels=3, dimension=len(shape))
    fields = torch.randn(2, 2, *shape)
    result = network(fields)
    assert result.shape == (2, 3, *shape)
    result.square().sum().backward()
    silent = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []  # every weight takes part
    torch.testing.assert_close(network(fields[1:]), result[1:], rtol=1e-4, atol=1e-5)  # samples of a batch do not mix


@pytest.mark.parametrize("name", ["fno", "tfno"])
def test_without_coordinates_the_network_commutes_with_shifts(name: str) -> None:
    torch.manual_seed(1)
    network = build(name, {**SMALL, "coordinates": False}, 1, 1, 2)
    fields = torch.randn(1, 1, 12, 10)
    shifted = network(fields.roll((3, 7), (2, 3)))
    torch.testing.assert_close(shifted, network(fields).roll((3, 7), (2, 3)), rtol=1e-4, atol=1e-5)
    torch.manual_seed(1)
    with_coordinates = build(name, SMALL, 1, 1, 2)
    difference = with_coordinates(fields.roll(3, 2)) - with_coordinates(fields).roll(3, 2)
    assert difference.abs().max() > 1e-3  # coordinates do break it


def test_the_same_function_gives_the_same_prediction_on_a_finer_grid() -> None:
    torch.manual_seed(2)
    network = build("fno", {**SMALL, "coordinates": False}, 1, 1, 2)

    def smooth(n: int) -> torch.Tensor:
        x = (torch.arange(n) + 0.5) / n  # centres of n cells; every centre of 16 is one of 48
        return (torch.sin(2 * torch.pi * x)[:, None] + torch.cos(2 * torch.pi * (x - 0.1))[None, :])[None, None]

    coarse, fine = network(smooth(16)), network(smooth(48))[..., 1::3, 1::3]
    assert (coarse - fine).norm() < 1e-3 * coarse.norm()


def test_coordinates_are_cell_centres_scaled_to_one() -> None:
    class Echo(torch.nn.Module):
        def forward(self, fields: torch.Tensor) -> torch.Tensor:
            return fields

    from sciml.models.operators import GridOperator

    seen = GridOperator(Echo(), coordinates=True)(torch.zeros(1, 1, 4, 2))
    assert seen[0, 1, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert seen[0, 1, :, 1].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert seen[0, 2, 3, :].tolist() == [-0.5, 0.5]


def test_a_factorised_network_is_smaller_by_its_rank() -> None:
    sizes = {}
    for name, rank in (("fno", 0.1), ("tfno", 0.1), ("tfno", 0.5)):
        network = build(name, {"hidden_channels": 16, "modes": 12, "rank": rank}, 1, 1, 2)
        weights = [p for p in network.parameters() if p.is_complex()]
        sizes[name, rank] = sum(p.numel() for p in weights)
    dense = 4 * 16 * 16 * 12 * (12 // 2 + 1)  # layers x channels^2 x modes x half the modes of a real transform
    assert sizes["fno", 0.1] == dense
    assert sizes["tfno", 0.1] < 0.2 * dense < sizes["tfno", 0.5] < 0.7 * dense


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("fnoo", {}, ["model = 'fnoo'", "'fno'"]),
        ("fno", {"modes": 7}, ["modes = 7", "even", "8"]),
        ("fno", {"mode": 8}, ["'mode'", "'modes'"]),
        ("fno", {"hidden_channels": 0}, ["hidden_channels = 0", "greater than or equal to 1"]),
        ("fno", {"modes": "many"}, ["modes = 'many'", "integer"]),
        ("tfno", {"rank": float("nan")}, ["rank = nan", "finite"]),
        ("uno", {"layers": 2}, ["layers = 2", "layers >= 3"]),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(name: str, settings: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        build(name, settings, 1, 1, 2)
    assert isinstance(caught.value, InputError)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_modes_than_points_and_other_dimensions_are_refused() -> None:
    OperatorSettings(modes=16).check_grid((16, 32))
    with pytest.raises(SettingsError, match=r"modes = 16 is more than a grid of 32 x 15 .* choose modes <= 14"):
        OperatorSettings(modes=16).check_grid((32, 15))
    with pytest.raises(SettingsError, match="dimension = 4"):
        build("fno", {}, 1, 1, 4)


def test_importing_and_building_says_nothing_and_leaves_warnings_alone() -> None:
    script = (
        "import warnings; before = list(warnings.filters)\n"
        "from sciml.models import build\n"
        "build('uno', {}, 1, 1, 2); build('fno', {}, 1, 1, 2)\n"
        "import os, sys\n"
        "ours = [f for f in warnings.filters if f not in before and f[0] == 'once' and f[2] is UserWarning]\n"
        "sys.exit(0 if os.environ['WANDB_MODE'] == 'disabled' and not ours else 7)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
