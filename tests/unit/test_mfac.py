"""M-FAC against dense inverses, the recursion of its paper, and Fisher matrices that are known in closed form."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sciml.optimizers import MFAC, EmpiricalFisherInverse


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def dense_inverse(G: torch.Tensor, damping: float) -> torch.Tensor:
    G = G.double()
    return torch.linalg.inv(damping * torch.eye(G.shape[1], dtype=torch.float64) + G.T @ G / len(G))


def recursive_inverse(G: torch.Tensor, damping: float) -> torch.Tensor:
    """F^-1 as the paper builds it, one gradient after the other by Sherman and Morrison: a second way to the same matrix."""
    inverse = torch.eye(G.shape[1], dtype=torch.float64) / damping
    for g in G:
        v = inverse @ g
        inverse = inverse - torch.outer(v, v) / (len(G) + g @ v)
    return inverse


def steps_of(optimizer: MFAC, parameters: list[torch.Tensor], gradients: torch.Tensor) -> list[torch.Tensor]:
    """What each gradient, split over the parameters, changed in all of them."""
    changes = []
    for gradient in gradients:
        for value, piece in zip(parameters, gradient.split([value.numel() for value in parameters]), strict=True):
            value.grad = piece.reshape(value.shape).clone()
        before = torch.cat([value.detach().flatten() for value in parameters])
        optimizer.step()
        changes.append(torch.cat([value.detach().flatten() for value in parameters]) - before)
    return changes


def close(found: torch.Tensor, expected: torch.Tensor, rtol: float) -> None:
    assert float((found - expected).norm()) <= rtol * float(expected.norm())


@pytest.mark.parametrize(("m", "d"), [(1, 5), (6, 20), (30, 12)])
def test_products_and_diagonal_are_those_of_the_dense_inverse(m: int, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    G, damping = drawn(m, d), 1e-2
    expected = dense_inverse(G, damping)
    close(recursive_inverse(G, damping), expected, 1e-11)
    x = drawn(d, 3, seed=1)
    for chunk in (1 << 17, 7 * m):  # all columns at once, and in parts
        monkeypatch.setattr("sciml.optimizers.mfac._CHUNK", chunk)
        inverse = EmpiricalFisherInverse(G, damping)
        close(inverse.mvp(x), expected @ x, 1e-11)
        close(inverse.mvp(x[:, 0]), expected @ x[:, 0], 1e-11)
        close(inverse.diag(), expected.diagonal(), 1e-11)


def test_steps_are_those_of_the_dense_inverse_before_and_after_the_history_wraps() -> None:
    m, damping = 6, 1e-3
    parameters = [nn.Parameter(drawn(3, 4)), nn.Parameter(drawn(5))]
    gradients = drawn(2 * m + 3, 17, seed=2)  # the oldest row is in the middle in the end
    optimizer = MFAC(parameters, lr=0.5, history_size=m, damping=damping, max_rms=None)
    for k, gradient in enumerate(gradients):
        (change,) = steps_of(optimizer, parameters, gradient[None])
        seen = gradients[max(0, k + 1 - m) : k + 1]
        close(change, -0.5 * recursive_inverse(seen, damping) @ gradient, 1e-10)
        close(change, -0.5 * dense_inverse(seen, damping) @ gradient, 1e-10)
        assert optimizer.info["seen"] == len(seen)


def test_single_precision_is_as_good_as_its_numbers() -> None:
    """Gradients that are nearly collinear beside the damping: products in single precision would spoil the third digit."""
    m, d, damping = 16, 3000, 1e-4
    gradients = (drawn(1, d) + 0.01 * drawn(2 * m, d, seed=3)).float()
    parameter = nn.Parameter(torch.zeros(d))
    optimizer = MFAC([parameter], lr=1.0, history_size=m, damping=damping, max_rms=None)
    for gradient in gradients:
        parameter.data.zero_()  # so that the parameter is the step
        steps_of(optimizer, [parameter], gradient[None])
    seen = gradients[-m:].double()
    inner = torch.linalg.inv(m * damping * torch.eye(m, dtype=torch.float64) + seen @ seen.T)  # Woodbury's formula: d x d is large
    newest = seen[-1]
    close(-parameter.detach().double(), (newest - seen.T @ (inner @ (seen @ newest))) / damping, 2e-5)


def test_the_first_step_is_that_of_one_gradient_and_not_of_a_history_of_zeros() -> None:
    g, damping = drawn(8), 1e-3
    parameter = nn.Parameter(torch.zeros(8, dtype=torch.float64))
    (change,) = steps_of(MFAC([parameter], lr=1.0, history_size=100, damping=damping, max_rms=None), [parameter], g[None])
    close(change, -g / (damping + g @ g), 1e-12)


def test_per_sample_gradients_of_unit_residuals_give_the_natural_gradient() -> None:
    """With m = N and residuals +-1 the empirical Fisher matrix is J^T J / N: that of a normal distribution, and Gauss and Newton's."""
    N, d, damping = 12, 5, 0.05
    J, signs = drawn(N, d), torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(N // 2)
    gradients = signs[:, None] * J
    gradient = J.T @ signs / N
    natural = torch.linalg.solve(J.T @ J / N + damping * torch.eye(d, dtype=torch.float64), gradient)
    close(EmpiricalFisherInverse(gradients, damping).mvp(gradient), natural, 1e-12)


def test_the_empirical_fisher_matrix_vanishes_with_the_residual_and_gauss_newton_does_not() -> None:
    N, d, damping = 10, 4, 1e-2
    J, truth = drawn(N, d), drawn(d, seed=4)
    gauss_newton = torch.linalg.inv(J.T @ J / N + damping * torch.eye(d, dtype=torch.float64))
    x = drawn(d, seed=5)
    sizes = []
    for distance in (1e-1, 1e-3, 1e-4):
        residual = J @ (distance * truth)  # of a linear model, `distance` from its exact fit
        inverse = EmpiricalFisherInverse(residual[:, None] * J, damping)
        sizes.append(float((inverse.mvp(x) * damping - x).norm() / x.norm()))  # 0 where F is nothing but damping
    assert sizes[0] > 0.05
    assert sizes[1] / sizes[2] == pytest.approx(100, rel=0.05)  # F - damping I falls like the square of the residual
    assert float((gauss_newton @ x * damping - x).norm() / x.norm()) > 0.5  # at every distance


def counted(d: int, m: int) -> int:
    """Floating-point operations of one step, once the history is full."""
    parameter = nn.Parameter(torch.zeros(d, dtype=torch.float64))
    optimizer = MFAC([parameter], history_size=m)
    steps_of(optimizer, [parameter], drawn(m, d))
    parameter.grad = drawn(d, seed=6)
    with FlopCounterMode(display=False) as counter:
        optimizer.step()
    return counter.get_total_flops()


def test_a_step_costs_two_products_of_the_history_with_a_vector() -> None:
    """4 m d operations (2 for each product and sum), and not the m^2 d of products of all gradients with each other."""
    for d, m in ((1000, 8), (2000, 8), (100_000, 8), (1000, 32)):
        assert counted(d, m) == 4 * m * d


def test_zeros_of_a_pruned_network_stay() -> None:
    value = drawn(6, 5)
    zeros = drawn(6, 5, seed=7) > 0
    gradients = drawn(9, 30, seed=8)
    parameter = nn.Parameter(torch.where(zeros, 0.0, value))
    optimizer = MFAC([parameter], lr=0.1, history_size=4, damping=1e-3, weight_decay=0.3, momentum=0.5, keep_zeros=True)
    steps_of(optimizer, [parameter], gradients)
    assert bool((parameter[zeros] == 0).all())
    assert bool((parameter[~zeros] != value[~zeros]).all())
    # and the others move as if these had never been there
    short = nn.Parameter(value[~zeros].clone())
    without = MFAC([short], lr=0.1, history_size=4, damping=1e-3, weight_decay=0.3, momentum=0.5)
    steps_of(without, [short], gradients[:, ~zeros.flatten()])
    close(parameter.detach()[~zeros], short.detach(), 1e-12)


def test_momentum_and_decay_are_the_published_ones() -> None:
    start, gradients, damping, decay, beta = drawn(7), drawn(5, 7, seed=9), 1e-2, 0.1, 0.6
    parameter = nn.Parameter(start.clone())
    optimizer = MFAC([parameter], lr=0.2, history_size=3, damping=damping, momentum=beta, weight_decay=decay, max_rms=None)
    theta, v, seen = start.clone(), torch.zeros(7, dtype=torch.float64), []
    steps_of(optimizer, [parameter], gradients)
    for gradient in gradients:
        seen.append(gradient + decay * theta)
        v = beta * v + (1 - beta) * dense_inverse(torch.stack(seen[-3:]), damping) @ seen[-1]
        theta = theta - 0.2 * v
    close(parameter.detach(), theta, 1e-12)


def test_a_step_is_no_longer_than_its_bound_and_a_short_one_is_left_alone() -> None:
    for size, shortened in ((1e-3, True), (1e3, False)):  # the smaller the gradient, the longer the step
        parameter = nn.Parameter(torch.zeros(50, dtype=torch.float64))
        optimizer = MFAC([parameter], lr=0.1, damping=1e-9, max_rms=0.5)
        (change,) = steps_of(optimizer, [parameter], size * drawn(1, 50))
        rms = float(change.square().mean().sqrt())
        assert (optimizer.info["factor"] < 1) is shortened
        if shortened:
            assert rms == pytest.approx(0.1 * 0.5, rel=1e-12)
        assert rms == pytest.approx(0.1 * optimizer.info["rms"] * optimizer.info["factor"], rel=1e-12)


def test_complex_parameters_are_pairs_of_real_ones() -> None:
    z = nn.Parameter(torch.view_as_complex(drawn(4, 2).contiguous()))
    x = nn.Parameter(torch.view_as_real(z.detach()).clone())
    target = drawn(4, 2, seed=1)
    pair = [MFAC([value], lr=0.1, history_size=3) for value in (z, x)]
    for _ in range(5):
        for optimizer, value in zip(pair, (z, x), strict=True):
            optimizer.zero_grad()
            real = torch.view_as_real(value) if value.is_complex() else value
            ((real - target) ** 4).sum().backward()
            optimizer.step()
    assert torch.equal(torch.view_as_real(z.detach()), x.detach())


def test_groups_have_their_own_rate_and_schedulers_act() -> None:
    a, b = (nn.Parameter(drawn(3, seed=k)) for k in range(2))
    twins = [nn.Parameter(value.detach().clone()) for value in (a, b)]
    groups = MFAC([{"params": [a], "lr": 0.1}, {"params": [b]}], lr=0.2, history_size=4)
    plain = MFAC(twins, lr=1.0, history_size=4, max_rms=None)
    groups.max_rms = math.inf
    scheduler = torch.optim.lr_scheduler.LambdaLR(groups, lambda epoch: 0.5**epoch)
    before = [value.detach().clone() for value in (a, b)]
    for epoch in range(3):
        for value, twin in zip((a, b), twins, strict=True):
            value.grad = drawn(3, seed=10 + epoch)
            twin.grad = value.grad.clone()
        groups.step()
        last = [twin.detach().clone() for twin in twins]
        plain.step()
        changes = [twin.detach() - start for twin, start in zip(twins, last, strict=True)]
        for value, start, change, rate in zip((a, b), before, changes, (0.1, 0.2), strict=True):
            close(value.detach() - start, rate * 0.5**epoch * change, 1e-12)
        before = [value.detach().clone() for value in (a, b)]
        scheduler.step()


def test_a_parameter_without_gradient_stays_although_the_history_knows_some() -> None:
    a, idle = (nn.Parameter(drawn(3, seed=k)) for k in range(2))
    optimizer = MFAC([a, idle], lr=0.1, history_size=4)
    steps_of(optimizer, [a, idle], drawn(2, 6))
    before = a.detach().clone(), idle.detach().clone()
    a.grad, idle.grad = drawn(3, seed=5), None
    optimizer.step()
    assert not torch.equal(a, before[0])
    assert torch.equal(idle, before[1])


def test_a_closure_is_evaluated_with_gradients() -> None:
    parameter = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = MFAC([parameter], lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert parameter.square().sum().item() < 3.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("before", [2, 11])  # the history half full, and wrapped
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "weight_decay": 0.1, "keep_zeros": True}], ids=["plain", "all"])
def test_a_restored_optimizer_goes_on_bit_for_bit(dtype: torch.dtype, before: int, options: dict[str, float], tmp_path) -> None:
    def fresh(seed: int) -> tuple[nn.Module, MFAC]:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).to(dtype)
        with torch.no_grad():
            model[0].weight[seed] = 0
        return model, MFAC(model.parameters(), lr=0.01, history_size=4, **options)

    def train(model: nn.Module, optimizer: MFAC, batches: range) -> None:
        for k in batches:
            optimizer.zero_grad()
            model(drawn(6, 3, seed=k, dtype=dtype)).square().mean().backward()
            optimizer.step()

    model, optimizer = fresh(0)
    train(model, optimizer, range(before))
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    train(model, optimizer, range(before, before + 7))
    twin, restored = fresh(1)
    train(twin, restored, range(50, 53))  # what it knew is forgotten
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    twin.load_state_dict(state["model"])
    restored.load_state_dict(state["optimizer"])
    train(twin, restored, range(before, before + 7))
    assert all(torch.equal(one, other) for one, other in zip(model.parameters(), twin.parameters(), strict=True))


def test_the_state_of_another_optimizer_is_refused() -> None:
    parameter = nn.Parameter(drawn(5))
    optimizer = MFAC([parameter], history_size=4)
    steps_of(optimizer, [parameter], drawn(6, 5))
    state = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"gradients have shape \(4, 5\), not \(4, 6\)"):
        MFAC([nn.Parameter(drawn(6))], history_size=4).load_state_dict(state)
    with pytest.raises(ValueError, match="same parameters and history_size"):
        MFAC([parameter], history_size=8).load_state_dict(state)
    with pytest.raises(ValueError, match="velocity does not fit"):
        MFAC([parameter], history_size=4, momentum=0.5).load_state_dict(state)
    with pytest.raises(ValueError, match=r"seen = None .* state of an MFAC"):
        MFAC([parameter], history_size=4).load_state_dict(torch.optim.SGD([parameter]).state_dict())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": 0.0}, "lr = 0.0: give a positive"),
        ({"history_size": 0}, "history_size = 0"),
        ({"damping": 0.0}, "damping = 0.0"),
        ({"damping": math.nan}, "damping = nan"),
        ({"momentum": 1.0}, "momentum = 1.0"),
        ({"weight_decay": -1.0}, "weight_decay = -1.0"),
        ({"max_rms": 0.0}, "max_rms = 0.0"),
    ],
)
def test_settings_without_sense_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MFAC([nn.Parameter(torch.zeros(2))], **options)


def test_what_it_cannot_work_with_is_named() -> None:
    with pytest.raises(ValueError, match=r"float16 on cpu: M-FAC needs all of them in float32"):
        MFAC([nn.Parameter(torch.zeros(2, dtype=torch.float16))])
    with pytest.raises(ValueError, match=r"float32 on cpu, torch\.float64 on cpu"):
        MFAC([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))])
    with pytest.raises(ValueError, match="cannot take more parameters"):
        MFAC([nn.Parameter(torch.zeros(2))]).add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    with pytest.raises(ValueError, match=r"gradients have shape \(3,\)"):
        EmpiricalFisherInverse(torch.zeros(3), 1.0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        EmpiricalFisherInverse(torch.full((2, 3), math.inf), 1.0)
    with pytest.raises(ValueError, match=r"x has shape \(4,\): the gradients have 3 entries"):
        EmpiricalFisherInverse(torch.zeros(2, 3), 1.0).mvp(torch.zeros(4))
    with pytest.raises(FloatingPointError, match=r"damping = 1e-30 vanishes beside gradients of norm 3\.46"):
        EmpiricalFisherInverse(2 * torch.ones(2, 3, dtype=torch.float64), 1e-30)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    parameter = nn.Parameter(drawn(5))
    optimizer = MFAC([parameter], history_size=4)
    steps_of(optimizer, [parameter], drawn(3, 5))
    value, state = parameter.detach().clone(), copy.deepcopy(optimizer.state_dict())
    parameter.grad = torch.tensor([1.0, math.nan, 0, 0, 0], dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="NaN or infinite before the step"):
        optimizer.step()
    assert torch.equal(parameter, value)
    assert optimizer.state_dict()["fisher"]["seen"] == state["fisher"]["seen"]
    assert torch.equal(optimizer.state_dict()["fisher"]["gradients"], state["fisher"]["gradients"])
