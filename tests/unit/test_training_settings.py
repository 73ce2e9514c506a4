"""Training settings: the schedule's values, and refusals in one sentence."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sciml.errors import InputError
from sciml.training import TrainSettings
from sciml.training.optimizers import build_optimizer
from sciml.training.settings import OPTIMIZERS, RESIDUAL_OPTIMIZERS


def test_onecycle_rises_for_a_quarter_and_falls_to_almost_nothing() -> None:
    settings = TrainSettings(learning_rate=1e-2)
    rates = [settings.rate(step, 400) for step in range(400)]
    assert rates[0] == pytest.approx(1e-2 / 25)
    assert rates[100] == max(rates) == pytest.approx(1e-2)
    assert rates[50] == pytest.approx((1e-2 + 1e-2 / 25) / 2)
    assert rates[399] < 2e-5
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_onecycle_is_torchs_up_to_one_step() -> None:
    settings = TrainSettings(learning_rate=1e-2)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=1000, pct_start=0.25, div_factor=25, final_div_factor=400)
    for step in range(999):
        assert settings.rate(step, 1000) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-4)  # two steps at the steepest
        optimizer.step()
        theirs.step()


def test_cosine_only_falls_and_constant_stays() -> None:
    cosine, constant = (TrainSettings(learning_rate=1.0, schedule=name) for name in ("cosine", "constant"))
    assert cosine.rate(0, 10) == 1.0
    assert cosine.rate(5, 10) == pytest.approx(0.5, abs=1e-4)
    assert {constant.rate(step, 10) for step in range(10)} == {1.0}
    assert TrainSettings().rate(0, 1) > 0  # a run of one step


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"epoch": 3}, ["'epoch'", "'epochs'"]),
        ({"epochs": 0}, ["epochs = 0"]),
        ({"learning_rate": -1.0}, ["learning_rate = -1.0", "greater than 0"]),
        ({"learning_rate": float("inf")}, ["learning_rate = inf", "finite"]),
        ({"loss": "mse"}, ["loss = 'mse'", "'h1' or 'l2'"]),
        ({"model": "unet"}, ["model = 'unet'", "fno, tfno, uno"]),
        ({"seed": -1}, ["seed = -1"]),
        ({"batch_size": 2.5}, ["batch_size = 2.5"]),
        ({"optimizer": "adamv"}, ["optimizer = 'adamv'", "'adamw'"]),
        ({"optimizer": "nonesuch"}, ["optimizer = 'nonesuch'", "adamw"]),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        TrainSettings(**values)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RESIDUAL_OPTIMIZERS)
def test_optimizers_of_residuals_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(InputError, match=rf"optimizer = '{name}' is not valid: .* another mini-batch in every step; choose one of adamw"):
        TrainSettings(optimizer=name)


def test_every_optimizer_that_may_be_named_is_built() -> None:
    model = torch.nn.Linear(2, 1)
    for name in OPTIMIZERS:
        optimizer = build_optimizer(name, model, TrainSettings(optimizer=name, learning_rate=0.25, weight_decay=0.5))
        group = optimizer.param_groups[0]
        assert (group["lr"], group["weight_decay"]) == (0.25, 0.5)
        assert len(group["params"]) == 2


def test_settings_are_checked_before_torch_is_loaded() -> None:
    script = "import sys; from sciml.training import TrainSettings; TrainSettings(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
