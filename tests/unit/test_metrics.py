"""Relative errors against single modes with known norms, against polynomials, and against neuraloperator's losses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from neuralop.losses import H1Loss, LpLoss

from sciml.training.metrics import RelativeH1, derivative, relative_l2, summary


def mode(n: int, k: int, extent: float = 1.0) -> torch.Tensor:
    """sin(2 pi k x / extent) at n cell centres."""
    x = (torch.arange(n, dtype=torch.float64) + 0.5) * extent / n
    return torch.sin(2 * math.pi * k * x / extent)


def quadratics(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Two samples of random polynomials of degree two in every coordinate, (2, 1, *shape)."""
    rng = torch.Generator().manual_seed(seed)
    mesh = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / n for n in shape), indexing="ij")
    samples = []
    for _ in range(2):
        a = torch.randn(3, len(shape), generator=rng, dtype=torch.float64)
        samples.append(sum(a[0, d] + a[1, d] * x + a[2, d] * x**2 for d, x in enumerate(mesh)))
    return torch.stack(samples)[:, None]


def test_relative_l2_of_a_mode_is_its_amplitude() -> None:
    truth = (mode(24, 1)[:, None] * torch.ones(10, dtype=torch.float64))[None, None].repeat(2, 1, 1, 1)
    wrong = (mode(24, 5)[:, None] * torch.ones(10, dtype=torch.float64))[None, None]
    amplitude = torch.tensor([0.01, 0.2], dtype=torch.float64).reshape(2, 1, 1, 1)
    errors = relative_l2(truth + amplitude * wrong, truth)
    np.testing.assert_allclose(errors, [0.01, 0.2], rtol=1e-12)  # modes have equal discrete norms
    np.testing.assert_allclose(relative_l2(1000 * (truth + amplitude * wrong), 1000 * truth), errors, rtol=1e-12)  # no unit in it


def test_channels_of_different_units_count_alike() -> None:
    truth = torch.ones(1, 2, 6, 6, dtype=torch.float64) * torch.tensor([1.0, 1e6]).reshape(1, 2, 1, 1)
    guess = truth * torch.tensor([1.1, 1.3]).reshape(1, 2, 1, 1)
    assert relative_l2(guess, truth).item() == pytest.approx(0.2, rel=1e-6)


def test_relative_h1_of_a_mode_on_a_periodic_box() -> None:
    n, extent, k, amplitude = 32, 2.0, 4, 0.03
    h = extent / n
    ones = torch.ones(8, dtype=torch.float64)
    truth, wrong = ((mode(n, j, extent)[:, None] * ones)[None, None] for j in (1, k))

    def symbol(j: int) -> float:
        """What the central difference makes of mode j: its wave number, rounded off by sin."""
        return math.sin(2 * math.pi * j / n) / h

    expected = amplitude * math.sqrt((1 + symbol(k) ** 2) / (1 + symbol(1) ** 2))
    found = RelativeH1((h, 0.5), (True, True))(truth + amplitude * wrong, truth).item()
    assert found == pytest.approx(expected, rel=1e-12)
    assert found > 3 * amplitude  # a rough error weighs more than in L2


def test_spacings_belong_to_their_axes() -> None:
    """On a box of 1 x 3 a mode along y has a third of the slope that it has along x."""
    n = 64
    ramp = mode(n, 1)
    h1 = RelativeH1((1 / n, 3 / n), (True, True))
    one = torch.ones(1, 1, n, n, dtype=torch.float64)
    slope = math.sin(2 * math.pi / n) * n
    for field, factor in ((one * ramp[:, None], 1.0), (one * ramp[None, :], 1 / 3)):
        found = h1(one + field, one).item()  # the truth has no slope
        assert found == pytest.approx(math.sqrt(0.5 * (1 + (factor * slope) ** 2)), rel=1e-12)


@pytest.mark.parametrize("dim", [-2, -1])
def test_one_sided_derivatives_are_exact_for_parabolas(dim: int) -> None:
    x = torch.arange(7, dtype=torch.float64) * 0.3
    shape = (7, 1) if dim == -2 else (1, 7)
    u = (2 - 3 * x + 4 * x**2).reshape(shape).expand(7, 7)
    expected = (-3 + 8 * x).reshape(shape).expand(7, 7)
    torch.testing.assert_close(derivative(u, dim, 0.3, periodic=False), expected, rtol=0, atol=1e-12)


def test_one_sided_derivatives_converge_with_order_two_up_to_the_ends() -> None:
    errors = []
    for n in (20, 40, 80, 160):
        x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        errors.append((derivative(torch.exp(x)[:, None], 0, 1 / n, periodic=False)[:, 0] - torch.exp(x)).abs().max().item())
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (slopes[-2:] > 1.9).all()
    assert errors[-1] == pytest.approx(math.e / 3 / 160**2, rel=0.05)  # leading term at the ends: h^2 u''' / 3


@pytest.mark.parametrize("dimension", [2, 3])
def test_periodic_errors_agree_with_neuraloperator(dimension: int) -> None:
    torch.manual_seed(dimension)
    shape = (6, 8, 10)[:dimension]
    extent = (1.0, 2.0, 0.5)[:dimension]
    guess, truth = torch.randn(2, 3, 1, *shape, dtype=torch.float64)
    steps = tuple(length / n for length, n in zip(extent, shape, strict=True))
    theirs = H1Loss(d=dimension, measure=list(extent), reduction="mean")(guess, truth).item()
    ours = RelativeH1(steps, (True,) * dimension)(guess, truth).mean().item()
    assert ours == pytest.approx(theirs, rel=1e-7)  # they add 1e-8 to the denominator
    assert relative_l2(guess, truth).mean().item() == pytest.approx(LpLoss(d=dimension, reduction="mean")(guess, truth).item(), rel=1e-7)


def test_non_periodic_h1_agrees_with_neuraloperator_where_both_ends_are_exact() -> None:
    guess, truth = quadratics(0, (9, 12)), quadratics(1, (9, 12))
    theirs = H1Loss(d=2, reduction="mean", periodic_in_x=False, periodic_in_y=False)(guess, truth).item()
    ours = RelativeH1((1 / 9, 1 / 12), (False, False))(guess, truth).mean().item()
    assert ours == pytest.approx(theirs, rel=1e-7)
    wrapped = RelativeH1((1 / 9, 1 / 12), (True, True))(guess, truth).mean().item()
    assert abs(wrapped - theirs) > 1e-2  # wrapping a parabola is a different number


def test_summary_is_numpys() -> None:
    values = np.random.default_rng(0).exponential(size=101).tolist()
    expected = {"mean": np.mean(values), "median": np.median(values), "p90": np.quantile(values, 0.9), "worst": np.max(values)}
    assert summary(values) == pytest.approx({key: float(value) for key, value in expected.items()}, rel=1e-12)
    assert all(math.isnan(value) for value in summary([0.1, math.nan]).values())  # a NaN is not hidden by a median
