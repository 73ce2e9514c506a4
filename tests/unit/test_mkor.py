"""MKOR against explicit inverses, layers against what their weights are multiplied by, and the switch of MKOR-H against known losses."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sciml.models.operators import grid_operator
from sciml.models.settings import OperatorSettings
from sciml.optimizers import MKOR, RateSwitch
from sciml.optimizers.mkor import is_definite, looks_definite, rank_one_update

SGD = partial(torch.optim.SGD, momentum=0.9)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def mlp(seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6, bias=False), nn.Tanh(), nn.Linear(6, 3)).to(dtype)


def loss_of(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return (model(x) - x[..., :3]).square().mean()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[int], dtype: torch.dtype = torch.float64) -> None:
    for k in batches:
        optimizer.zero_grad()
        loss = loss_of(model, drawn(16, 5, seed=k, dtype=dtype))
        loss.backward()
        optimizer.step(lambda loss=loss: loss.detach())


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def factors(optimizer: MKOR) -> dict[str, dict[str, torch.Tensor]]:
    return optimizer.state_dict()["mkor"]["factors"]


@pytest.mark.parametrize("decay", [0.95, 0.5])
def test_exact_updates_are_the_inverse_of_the_running_mean(decay: float) -> None:
    d, L = 8, torch.eye(8, dtype=torch.float64)
    H = L.clone()
    for k in range(60):
        v = drawn(d, seed=k)
        L = decay * L + (1 - decay) * torch.outer(v, v)
        before = H
        H, vHv = rank_one_update(H, v, decay, "exact")
        assert vHv == pytest.approx(float(v @ before @ v), rel=1e-12)
        assert float((H - torch.linalg.inv(L)).abs().max()) <= 1e-8 * float(H.abs().max())


def test_the_published_update_is_its_formula_and_grows_along_long_vectors() -> None:
    H, v, decay = torch.eye(3, dtype=torch.float64), 2 * drawn(3, seed=1), 0.9
    Hv, vHv = H @ v, float(v @ H @ v)
    expected = decay * H + (1 - decay) / (decay**2 * (1 + decay * (1 - decay) * vHv)) * torch.outer(Hv, Hv)
    assert torch.allclose(rank_one_update(H, v, decay, "paper")[0], expected, rtol=1e-14, atol=0)
    along = []
    for _ in range(60):
        H, vHv = rank_one_update(H, v, decay, "paper")
        along.append(vHv)
    assert along[-1] / along[-2] == pytest.approx(decay + decay**-3, rel=1e-3)


def test_ten_thousand_updates_in_double_precision_stay_definite_and_exact() -> None:
    """Without the symmetry of every update the last bits make the inverse indefinite after some hundred."""
    d, decay, generator = 12, 0.95, torch.Generator().manual_seed(0)
    H = L = torch.eye(d, dtype=torch.float64)
    for k in range(10_000):
        v = torch.randn(d, generator=generator, dtype=torch.float64)
        H, _ = rank_one_update(H, v, decay, "exact")
        L = decay * L + (1 - decay) * torch.outer(v, v)
        assert looks_definite(H)
        if k % 500 == 499:
            assert is_definite(H)
            assert float((H @ L - torch.eye(d, dtype=torch.float64)).norm()) < 1e-10


def fed(layer_width: int, steps: int, **options: object) -> tuple[MKOR, list[float], list[float]]:
    """A layer fed with random vectors: the optimizer, the least eigenvalue of A after every d-th update, and every step's slope."""
    d = layer_width
    layer = nn.Linear(d, 1, bias=False)
    optimizer = MKOR(layer, lr=1e-30, inner=torch.optim.SGD, inv_freq=1, **options)
    generator = torch.Generator().manual_seed(0)
    lowest, slopes = [], []
    for k in range(steps):
        optimizer.zero_grad()
        layer(3 * torch.randn(1, d, generator=generator)).sum().backward()
        layer.weight.grad.copy_(torch.randn(1, d, generator=generator))
        gradient = layer.weight.grad.clone()
        optimizer.step()
        slopes.append(float((gradient * layer.weight.grad).sum()))
        if (k + 1) % d == 0:
            lowest.append(float(torch.linalg.eigvalsh(factors(optimizer)[""]["A"].double())[0]))
    return optimizer, lowest, slopes


def test_lost_definiteness_is_found_and_mended() -> None:
    d, steps = 64, 1000
    optimizer, lowest, slopes = fed(d, steps, factor_dtype=torch.bfloat16, largest=math.inf)
    assert optimizer.info["resets"] > 0
    assert min(lowest) > 0
    assert min(slopes) > 0
    assert factors(optimizer)[""]["A"].dtype == torch.bfloat16
    # the same updates without checks
    H, generator, definite = torch.eye(d), torch.Generator().manual_seed(0), []
    for _ in range(steps):
        v = 3 * torch.randn(1, d, generator=generator)[0]
        torch.randn(1, d, generator=generator)
        H = rank_one_update(H, v, 0.95, "exact")[0].bfloat16().float()
        definite.append(is_definite(H))
    assert definite.count(False) > 50
    # and double precision has nothing to mend
    assert fed(d, 300, factor_dtype=torch.float64, largest=math.inf)[0].info["resets"] == 0


def test_it_is_the_stored_inverse_that_is_checked() -> None:
    """``2 (I - v v^T / (1 + |v|^2))`` is definite, and in bfloat16, where its entries are 1 and -1, it is singular."""
    layer = nn.Linear(2, 1, bias=False)
    optimizer = MKOR(layer, inner=torch.optim.SGD, decay=0.5, inv_freq=1, largest=math.inf, factor_dtype=torch.bfloat16)
    state = optimizer.state_dict()
    state["mkor"]["steps"] = 1  # the second update, which Cholesky's factorisation checks
    optimizer.load_state_dict(state)
    layer(torch.full((1, 2), 100.0)).sum().backward()
    optimizer.step()
    assert torch.equal(factors(optimizer)[""]["A"], torch.eye(2, dtype=torch.bfloat16))
    assert optimizer.info["resets"] == 1


def test_what_is_not_definite_is_seen() -> None:
    assert looks_definite(torch.eye(3))
    for entry, value in (((0, 0), -1.0), ((1, 1), 0.0), ((0, 1), 1.01), ((0, 1), math.nan), ((2, 2), math.inf)):
        H = torch.eye(3)
        H[entry] = H[entry[::-1]] = value
        assert not looks_definite(H)
    hidden = torch.full((3, 3), -0.9) + 1.9 * torch.eye(3)  # eigenvalue 1 - 2 * 0.9, all 2 x 2 minors positive
    assert looks_definite(hidden)
    assert not is_definite(hidden)


def test_a_step_that_would_go_uphill_resets_the_factors_and_keeps_the_gradient(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Linear(3, 2, bias=False).double()
    optimizer = MKOR(model, inner=torch.optim.SGD, inv_freq=2)
    state = optimizer.state_dict()
    state["mkor"]["factors"][""]["A"] = -torch.eye(3, dtype=torch.float64)
    state["mkor"]["steps"] = 1  # so that no update comes first
    optimizer.load_state_dict(state)
    model.weight.grad = drawn(2, 3)
    with caplog.at_level(logging.INFO, "sciml.optimizers.mkor"):
        optimizer.step()
    assert torch.equal(model.weight.grad, drawn(2, 3))
    assert torch.equal(factors(optimizer)[""]["A"], torch.eye(3, dtype=torch.float64))
    assert optimizer.info["resets"] == 2
    assert "no longer definite" in caplog.text


def test_the_factors_are_those_of_the_layers_inputs_and_gradients() -> None:
    """Every step of a whole network, recomputed with explicit running means, inverses and gradients."""
    model, decay = mlp(), 0.9
    optimizer = MKOR(model, lr=0.05, inner=torch.optim.SGD, decay=decay, inv_freq=1, largest=math.inf)
    means = {name: [torch.eye(n, dtype=torch.float64) for n in sizes] for name, sizes in {"0": (6, 8), "2": (8, 6), "4": (7, 3)}.items()}
    for k in range(8):
        twin, x = copy.deepcopy(model), drawn(16, 5, seed=k)
        twin.requires_grad_(True)
        values, pairs = x, {}
        for name, module in twin.named_children():
            before, values = values, module(values)
            values.retain_grad()
            pairs[name] = before, values
        (values - x[..., :3]).square().mean().backward()
        optimizer.zero_grad()
        loss_of(model, x).backward()
        optimizer.step()
        for name, (A, G) in means.items():
            module, (inputs, outputs) = twin.get_submodule(name), pairs[name]
            a, g = inputs.detach().mean(0), outputs.grad.sum(0)
            a = a if module.bias is None else torch.cat([a, torch.ones(1, dtype=torch.float64)])
            A.mul_(decay).add_((1 - decay) * torch.outer(a, a))
            G.mul_(decay).add_((1 - decay) * torch.outer(g, g))
            rows = [module.weight.grad] if module.bias is None else [module.weight.grad, module.bias.grad[:, None]]
            gradient = torch.cat(rows, dim=1)
            new = torch.linalg.inv(G) @ gradient @ torch.linalg.inv(A)
            new = new * gradient.norm() / new.norm()
            own = model.get_submodule(name)
            found = torch.cat([own.weight.grad] if own.bias is None else [own.weight.grad, own.bias.grad[:, None]], dim=1)
            assert float((found - new).norm()) <= 1e-8 * float(new.norm())
            assert float((own.weight - module.weight + 0.05 * own.weight.grad).detach().norm()) <= 1e-12
            assert float((factors(optimizer)[name]["A"] @ A - torch.eye(len(A), dtype=torch.float64)).norm()) < 1e-8
            assert float((factors(optimizer)[name]["G"] @ G - torch.eye(len(G), dtype=torch.float64)).norm()) < 1e-8


@pytest.mark.parametrize("update", ["exact", "paper"])
def test_the_norm_of_every_layers_gradient_is_kept(update: str) -> None:
    model = mlp()
    optimizer = MKOR(model, inner=SGD, update=update, inv_freq=1)
    for k in range(5):
        optimizer.zero_grad()
        loss_of(model, drawn(16, 5, seed=k)).backward()
        before = [[p.grad.clone() for p in model[i].parameters()] for i in (0, 2, 4)]
        optimizer.step()
        for i, old in zip((0, 2, 4), before, strict=True):
            new = [p.grad for p in model[i].parameters()]
            norms = [math.sqrt(sum(float(part.square().sum()) for part in parts)) for parts in (old, new)]
            assert norms[0] == pytest.approx(norms[1], rel=1e-12)
            assert not torch.allclose(old[0], new[0], rtol=1e-3)  # but its direction has changed


@pytest.mark.parametrize("inner", [torch.optim.AdamW, SGD], ids=["adamw", "sgd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_factors_at_the_identity_it_is_the_inner_optimizer_to_the_bit(inner, dtype: torch.dtype) -> None:
    model, twin = mlp(dtype=dtype), mlp(dtype=dtype)
    train(model, MKOR(model, lr=0.01, inner=inner, decay=1.0, inv_freq=1), range(20), dtype)
    train(twin, inner(twin.parameters(), lr=0.01), range(20), dtype)
    assert same(model, twin)


def test_centred_inputs_leave_the_weights_to_the_gradients_factor() -> None:
    """Inputs of mean zero: A is the identity but for the bias, and the new direction is ``G^-1 grad`` alone."""
    layer = nn.Linear(4, 3).double()
    optimizer = MKOR(layer, inner=torch.optim.SGD, inv_freq=1, decay=0.8, largest=math.inf)
    for k in range(6):
        x = drawn(10, 4, seed=k)
        x = torch.cat([x, -x])
        optimizer.zero_grad()
        (layer(x) - x[:, :3].square()).square().mean().backward()
        gradient = layer.weight.grad.clone()
        optimizer.step()
        A, G = factors(optimizer)[""]["A"], factors(optimizer)[""]["G"]
        assert torch.allclose(A[:4, :4], A[0, 0] * torch.eye(4, dtype=torch.float64), atol=1e-12 * float(A[0, 0]))
        new, expected = layer.weight.grad, G @ gradient
        assert float((new / new.norm() - expected / expected.norm()).norm()) < 1e-12


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(3, 4, 1), (2, 3, 10)),  # channel mixing, as in neuraloperator's models
        (nn.Conv1d(3, 4, 3, stride=2, padding=1), (2, 3, 10)),
        (nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1), bias=False), (2, 3, 7, 8)),
        (nn.Conv2d(3, 4, 3, padding="same", padding_mode="circular"), (2, 3, 6, 6)),
        (nn.Conv3d(2, 3, 2), (2, 2, 4, 3, 5)),
        (nn.Conv2d(3, 4, 2), (3, 5, 6)),  # one sample without a batch
        (nn.Linear(6, 4), (2, 3, 5, 6)),
    ],
    ids=["1x1", "strided", "dilated", "circular", "3d", "single", "linear"],
)
def test_the_vectors_of_a_layer_are_the_mean_patch_and_the_gradient_of_its_bias(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """The mean patch from torch's gradient of a channel's mean output; `test_the_mean_patch_is_that_of_unfold` needs no gradient."""
    layer = layer.double()
    optimizer = MKOR(layer, inner=torch.optim.SGD, decay=0.5, inv_freq=1, largest=math.inf)
    x, axis = drawn(*shape, seed=3), -1 if isinstance(layer, nn.Linear) else 1 - layer.weight.ndim
    twin = type(layer)(**{**_arguments(layer), "bias": True}).double()
    twin.load_state_dict({"bias": torch.zeros(layer.weight.shape[0]), **layer.state_dict()})
    twin(x).square().mean().backward()
    g = twin.bias.grad.clone()
    twin.zero_grad()
    twin(x).select(axis, 0).mean().backward()
    a = twin.weight.grad[0].flatten()
    a = a if layer.bias is None else torch.cat([a, torch.ones(1, dtype=torch.float64)])
    layer(x).square().mean().backward()
    optimizer.step()
    means = [torch.linalg.inv(factors(optimizer)[""][name]) for name in ("A", "G")]
    for v, mean in zip((a, g), means, strict=True):
        assert torch.allclose(mean, 0.5 * torch.eye(len(v), dtype=torch.float64) + 0.5 * torch.outer(v, v), rtol=1e-10, atol=1e-12)


def test_the_mean_patch_is_that_of_unfold() -> None:
    layer = nn.Conv2d(3, 4, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1), bias=False).double()
    optimizer = MKOR(layer, inner=torch.optim.SGD, decay=0.5, inv_freq=1, largest=math.inf)
    x = drawn(2, 3, 7, 8)
    layer(x).square().mean().backward()
    optimizer.step()
    a = nn.functional.unfold(x, (3, 2), dilation=(2, 1), padding=(2, 0), stride=(1, 2)).mean((0, 2))
    mean = torch.linalg.inv(factors(optimizer)[""]["A"])
    assert torch.allclose(mean, 0.5 * torch.eye(18, dtype=torch.float64) + 0.5 * torch.outer(a, a), rtol=1e-10, atol=1e-12)


def _arguments(layer: nn.Module) -> dict[str, object]:
    if isinstance(layer, nn.Linear):
        return {"in_features": layer.in_features, "out_features": layer.out_features}
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "padding_mode")
    return {name: getattr(layer, name) for name in names}


def test_a_batch_in_parts_is_the_batch() -> None:
    x = drawn(16, 5)
    found = []
    for parts in ((16,), (4, 12)):
        model = mlp()
        optimizer = MKOR(model, lr=0.1, inner=SGD, inv_freq=1)
        for part in x.split(parts):
            (loss_of(model, part) * len(part) / 16).backward()
        optimizer.step()
        found.append((factors(optimizer), model))
    for name, pair in found[0][0].items():
        assert all(torch.allclose(H, found[1][0][name][side], rtol=1e-12) for side, H in pair.items())
    assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(found[0][1].parameters(), found[1][1].parameters(), strict=True))


def test_only_training_passes_of_every_nth_step_are_seen() -> None:
    model = mlp()
    optimizer = MKOR(model, inner=SGD, inv_freq=3)
    before, changed = factors(optimizer), []
    for k in range(7):
        with torch.no_grad():
            model(drawn(4, 5, seed=99))
        model.zero_grad()  # and not the optimizer's: what was seen is used up by the step
        model.eval()
        loss_of(model, drawn(4, 5, seed=98)).backward()
        model.train()
        model.zero_grad()
        loss_of(model, drawn(16, 5, seed=k)).backward()
        optimizer.step()
        now = factors(optimizer)
        changed.append(not torch.equal(now["0"]["A"], before["0"]["A"]))
        before = now
    assert changed == [True, False, False, True, False, False, True]
    train(reference := mlp(), MKOR(reference, inner=SGD, inv_freq=3), range(7))  # without the passes that do not count
    assert same(model, reference)


def test_hooks_are_gone_when_closed_and_warn_nowhere(recwarn: pytest.WarningsRecorder) -> None:
    model = mlp()
    optimizer = MKOR(model, inner=SGD, inv_freq=1)
    train(model, optimizer, range(2))
    known = factors(optimizer)
    assert all(len(module._forward_hooks) == 1 for module in (model[0], model[2], model[4]))
    optimizer.close()
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    train(model, optimizer, range(2, 4))
    assert torch.equal(factors(optimizer)["0"]["A"], known["0"]["A"])
    assert not [warning for warning in recwarn if "hook" in str(warning.message).lower()]


@pytest.mark.parametrize(("decay", "largest"), [(0.95, 2.0), (0.5, 50.0)])
def test_entries_that_grow_are_drawn_to_the_identity(decay: float, largest: float) -> None:
    layer = nn.Linear(3, 2, bias=False).double()
    optimizer = MKOR(layer, inner=torch.optim.SGD, inv_freq=1, decay=decay, largest=largest)
    x = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)  # nothing is ever seen along the other axes
    expected = 1.0
    for _ in range(60):
        optimizer.zero_grad()
        layer(x).sum().backward()
        optimizer.step()
        expected = min(expected / decay, largest)
        A = factors(optimizer)[""]["A"]
        assert float(A[1, 1]) == pytest.approx(expected, rel=1e-12)
        assert is_definite(A)
    assert expected == largest


def test_a_fourier_neural_operator_has_its_channel_mixing_preconditioned_and_its_spectral_weights_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    torch.manual_seed(0)
    network = grid_operator(OperatorSettings(hidden_channels=8, modes=4, layers=2), 1, 1, 2)
    with caplog.at_level(logging.INFO, "sciml.optimizers.mkor"):
        optimizer = MKOR(network, inv_freq=1)
    assert set(optimizer.preconditioned) | set(optimizer.unpreconditioned) == {name for name, _ in network.named_parameters()}
    assert all(".fcs." in name or "fno_skips" in name for name in optimizer.preconditioned)
    assert all(".convs." in name or "channel_mlp_skips" in name for name in optimizer.unpreconditioned)
    assert any(name.endswith("weight.tensor") for name in optimizer.unpreconditioned)
    assert "preconditions 10 layers" in caplog.text
    x = drawn(2, 1, 8, 8, dtype=torch.float32)
    network(x).square().mean().backward()
    before = {name: value.grad.clone() for name, value in network.named_parameters()}
    optimizer.step()
    for name, value in network.named_parameters():
        assert torch.equal(value.grad, before[name]) is (name in optimizer.unpreconditioned), name


def test_layers_that_share_or_freeze_or_group_go_to_the_inner_optimizer() -> None:
    model = nn.ModuleDict(
        {
            "one": nn.Linear(3, 3),
            "two": nn.Linear(3, 3),
            "frozen": nn.Linear(3, 3),
            "grouped": nn.Conv1d(4, 4, 1, groups=2),
            "norm": nn.BatchNorm1d(3),
            "complex": nn.Linear(2, 2, dtype=torch.complex64),
            "up": nn.ConvTranspose1d(2, 2, 2),
            "spectral": nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
            "plain": nn.Linear(3, 2),
        }
    )
    model["two"].weight = model["one"].weight
    model["frozen"].weight.requires_grad_(False)
    assert MKOR(model).preconditioned == ("plain.weight", "plain.bias")


def test_a_frozen_bias_is_left_out() -> None:
    layer = nn.Linear(3, 2).double()
    layer.bias.requires_grad_(False)
    optimizer = MKOR(layer, inner=torch.optim.SGD, inv_freq=1)
    layer(drawn(4, 3)).square().mean().backward()
    optimizer.step()
    assert factors(optimizer)[""]["A"].shape == (3, 3)


@pytest.mark.parametrize("inner", [torch.optim.AdamW, SGD], ids=["adamw", "sgd"])
@pytest.mark.parametrize("before", [1, 5, 13])  # between two updates, at one, and after the hand-over
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_restored_optimizer_goes_on_bit_for_bit(inner, before: int, dtype: torch.dtype, tmp_path) -> None:
    def fresh(seed: int) -> tuple[nn.Module, MKOR]:
        model = mlp(seed, dtype)
        # a margin that no first-order rate misses while one batch is learned: the hand-over comes after the first cycle of 12 steps
        return model, MKOR(model, lr=0.01, inner=inner, inv_freq=4, hybrid=RateSwitch(window=4, cycle=3, margin=1e9))

    model, optimizer = fresh(0)
    train(model, optimizer, [0] * before, dtype)
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    train(model, optimizer, [0] * 15, dtype)
    twin, restored = fresh(1)
    train(twin, restored, range(30, 50), dtype)  # what it knew is forgotten, and its hooks come back
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    twin.load_state_dict(state["model"])
    restored.load_state_dict(state["optimizer"])
    assert bool(twin[0]._forward_hooks) is (before < 12)
    train(twin, restored, [0] * 15, dtype)
    assert same(model, twin)
    assert restored.state_dict()["mkor"]["rates"] == optimizer.state_dict()["mkor"]["rates"]
    assert restored.info == optimizer.info
    assert optimizer.info["switched_at"] == 12
    assert all(torch.equal(H, factors(restored)[name][side]) for name, pair in factors(optimizer).items() for side, H in pair.items())


def test_the_state_of_another_model_is_refused() -> None:
    state = MKOR(mlp(), inner=SGD).state_dict()
    with pytest.raises(ValueError, match="factors of layer '' do not fit"):
        MKOR(nn.Linear(5, 8).double(), inner=SGD).load_state_dict(state)
    with pytest.raises(ValueError, match="factors of layer '0' do not fit"):
        MKOR(mlp(), inner=SGD, factor_dtype=torch.bfloat16).load_state_dict(state)
    with pytest.raises(ValueError, match="no entry 'mkor'"):
        MKOR(mlp(), inner=SGD).load_state_dict(SGD(mlp().parameters(), lr=0.1).state_dict())


def test_schedulers_act_on_the_inner_optimizer() -> None:
    model, twin = mlp(), mlp()
    pair = MKOR(model, lr=0.1, inner=torch.optim.SGD, decay=1.0), torch.optim.SGD(twin.parameters(), lr=0.1)
    for optimizer, network in zip(pair, (model, twin), strict=True):
        if isinstance(optimizer, MKOR):
            optimizer.load_state_dict(optimizer.state_dict())  # which gives the inner optimizer new groups
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        for k in range(4):
            train(network, optimizer, range(k, k + 1))
            scheduler.step()
    assert pair[0].inner.param_groups[0]["lr"] == 0.1 * 0.5**4
    assert same(model, twin)


def falls(switch: RateSwitch, second: float, first: float, steps: int, noise: float = 0.0) -> int | None:
    """After how many steps it switches when the logarithm of the loss falls by `second` or `first` in each."""
    state: dict[str, float] = {}
    loss, rng = 1.0, np.random.default_rng(0)
    for step in range(steps):
        if switch.observe(state, step, loss * math.exp(noise * rng.standard_normal())):
            return step + 1
        loss *= math.exp(-(first if switch.first_order(step) else second))
    return None


def test_the_switch_comes_where_curvature_no_longer_pays() -> None:
    switch = RateSwitch(window=10, cycle=3, margin=0.1)
    assert [switch.first_order(step) for step in (0, 19, 20, 29, 30, 59)] == [False, False, True, True, False, True]
    assert falls(switch, second=0.010, first=0.010, steps=300) == 30
    assert falls(switch, second=0.0109, first=0.010, steps=300) == 30
    assert falls(switch, second=0.0111, first=0.010, steps=300) is None
    assert falls(RateSwitch(window=10, cycle=3, margin=0.5), second=0.0140, first=0.010, steps=300) == 30
    assert falls(RateSwitch(window=100, cycle=3), second=0.02, first=0.01, steps=3000, noise=0.1) is None
    state: dict[str, float] = {}
    for step in range(30):  # rates of halves of windows, exactly
        switch.observe(state, step, math.exp(-0.02 * step))
    assert state["second_order_rate"] == pytest.approx(0.02, rel=1e-12)
    assert state["first_order_rate"] == pytest.approx(0.02, rel=1e-12)


def test_rates_are_smoothed_and_a_switch_waits_for_both() -> None:
    switch = RateSwitch(window=2, cycle=2, smoothing=0.75)
    state: dict[str, float] = {}
    losses = [1.0, 0.5, 1.0, 1.0, 1.0, 0.25]
    assert [switch.observe(state, step, loss) for step, loss in enumerate(losses)] == [False] * 6
    assert state["second_order_rate"] == pytest.approx(0.75 * math.log(2) + 0.25 * math.log(4))
    assert state["first_order_rate"] == 0.0


def test_after_the_hand_over_the_inner_optimizer_is_alone_for_good(caplog: pytest.LogCaptureFixture) -> None:
    model = mlp()
    optimizer = MKOR(model, lr=0.01, inner=SGD, inv_freq=1, hybrid=RateSwitch(window=4, cycle=2, margin=1e9))
    with caplog.at_level(logging.INFO, "sciml.optimizers.mkor"):
        train(model, optimizer, [0] * 8)
    assert optimizer.info["switched_at"] == 8
    assert "hands over to SGD for good after 8 steps" in caplog.text
    assert not any(module._forward_hooks for module in model.modules())
    twin = copy.deepcopy(model)
    plain = SGD(twin.parameters(), lr=0.01)
    plain.load_state_dict(copy.deepcopy(optimizer.inner.state_dict()))
    train(model, optimizer, [0] * 32)
    train(twin, plain, [0] * 32)
    assert same(model, twin)
    assert optimizer.info["switched_at"] == 8


def test_probing_steps_are_those_of_the_inner_optimizer() -> None:
    model = mlp()
    optimizer = MKOR(model, lr=0.01, inner=SGD, inv_freq=1, hybrid=RateSwitch(window=4, cycle=3, margin=-0.99))
    modes = []
    for _ in range(24):
        before = copy.deepcopy(model)
        loss_of(before, drawn(16, 5, seed=0)).backward()
        train(model, optimizer, [0])
        modes.append(optimizer.info["preconditioned"])
        assert torch.equal(model[0].weight.grad, before[0].weight.grad) is not modes[-1]
    assert modes == ([True] * 8 + [False] * 4) * 2
    with pytest.raises(TypeError, match="call step\\(closure\\)"):
        optimizer.step()


def flops(width: int, *, checked: bool) -> tuple[int, int]:
    """Floating-point operations of an update of both factors of a layer, and of the products with its gradient."""
    layer = nn.Linear(width, width, bias=False)
    optimizer = MKOR(layer, inner=torch.optim.SGD, inv_freq=1)
    cholesky = {torch.ops.aten.linalg_cholesky_ex: lambda shape, *_, **__: shape[0] ** 3 // 3}
    counts = []
    state = optimizer.state_dict()
    state["mkor"]["steps"] = width - 1 if checked else 0
    for step in (optimizer._learn, optimizer._precondition):
        optimizer.load_state_dict(state)
        x = torch.randn(1, width)
        layer(x).sum().backward()
        with FlopCounterMode(display=False, custom_mapping=cholesky) as counter, torch.no_grad():
            step(next(iter(optimizer._layers.values())))
        counts.append(counter.get_total_flops())
    return counts[0], counts[1]


def test_an_update_costs_the_square_of_the_width_and_kfacs_inversion_its_cube() -> None:
    widths = (256, 512, 1024, 2048)
    updates, kfac = [], []
    for width in widths:
        plain, product = flops(width, checked=False)
        checked, _ = flops(width, checked=True)
        assert checked - plain == 2 * (width**3 // 3)
        updates.append(plain + (checked - plain) / width)  # every d-th update is checked by a factorisation
        kfac.append(2 * width**3)  # a Cholesky factorisation and the inverse from it, d^3 / 3 + 2 d^3 / 3, for each factor
        assert product == 4 * width**3  # KFAC has it too
    slopes = [np.polyfit(np.log(widths), np.log(counts), 1)[0] for counts in (updates, kfac)]
    assert slopes[0] <= 2.05
    assert slopes[1] >= 2.95


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"update": "package"}, "update = 'package': choose exact or paper"),
        ({"decay": 0.0}, r"decay = 0\.0"),
        ({"decay": 1.5}, r"decay = 1\.5"),
        ({"inv_freq": 0}, "inv_freq = 0"),
        ({"largest": 1.0}, r"largest = 1\.0"),
    ],
)
def test_settings_without_sense_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MKOR(nn.Linear(2, 2), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 3}, "window = 3: give an even number"),
        ({"cycle": 1}, "cycle = 1"),
        ({"margin": -1.0}, "margin"),
        ({"smoothing": 1.0}, "smoothing"),
    ],
)
def test_switches_without_sense_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RateSwitch(**options)


def test_models_it_cannot_serve_are_named() -> None:
    with pytest.raises(ValueError, match="no linear layer or convolution"):
        MKOR(nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match=r"layer '1' is torch\.float16: MKOR needs float32 or float64"):
        MKOR(nn.Sequential(nn.Tanh(), nn.Linear(2, 2).half()))
