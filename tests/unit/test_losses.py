"""Training losses: mean over the batch, differentiable everywhere, known by name."""

from __future__ import annotations

import pytest
import torch

from sciml.models import SettingsError
from sciml.training.losses import LOSSES, make_loss
from sciml.training.metrics import RelativeH1, relative_l2

STEPS, PERIODIC = (0.25, 0.2), (False, True)


@pytest.fixture
def pair() -> torch.Tensor:
    return torch.randn(2, 4, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_the_mean_error_of_the_batch(name: str, pair: torch.Tensor) -> None:
    loss = make_loss(name, STEPS, PERIODIC)
    error = relative_l2 if name == "l2" else RelativeH1(STEPS, PERIODIC)
    singly = [error(pair[0, b : b + 1], pair[1, b : b + 1]).item() for b in range(4)]
    assert loss(*pair).item() == pytest.approx(sum(singly) / 4, rel=1e-12)
    twice = [part.repeat(2, 1, 1, 1) for part in pair]
    assert loss(*twice).item() == pytest.approx(loss(*pair).item(), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_the_loss(name: str, pair: torch.Tensor) -> None:
    loss = make_loss(name, STEPS, PERIODIC)
    guess = pair[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, pair[1]), (guess,))


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_prediction_has_a_finite_gradient(name: str, pair: torch.Tensor) -> None:
    guess = pair[1].clone().requires_grad_()
    value = make_loss(name, STEPS, PERIODIC)(guess, pair[1])
    value.backward()
    assert value.item() == 0.0
    assert guess.grad is not None
    assert (guess.grad == 0).all()


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"loss = 'mse' is not known; choose one of h1, l2"):
        make_loss("mse", STEPS, PERIODIC)
