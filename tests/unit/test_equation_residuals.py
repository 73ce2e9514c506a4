"""Residuals of networks on equations under every way of differentiating them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from sciml.geometry import Box, Disk
from sciml.models.activations import ACTIVATIONS as KNOWN
from sciml.models.activations import Activate
from sciml.models.channels import coordinates
from sciml.models.networks import ACTIVATIONS
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.models.taylor import forward_jet
from sciml.optimizers import Sven
from sciml.optimizers.spectrum import Products, Spectrum, dense, flatten, gram, matrix_free
from sciml.problems.plane_flows import kovasznay
from sciml.problems.strong_form import Condition, StrongForm


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def heat_in_a_plate() -> StrongForm:
    """With a nonlinear term, a flux and a hole, so that the network is taken at two places."""
    plate = Box((0.0, 0.0), (2.0, 1.0)) - Disk((1.0, 0.5), 0.25, part="hole")
    conditions = (Condition("x_low", "dirichlet", 0.0), Condition("x_high", "dirichlet", 1.0), Condition("hole", "neumann", 0.5))
    return StrongForm(
        plate,
        ("u",),
        lambda jets, given: (jets["u"].laplacian - jets["u"].value ** 3,),
        ("heat",),
        conditions={"u": conditions},
        free=("y_low", "y_high"),
    )


def residuals(form: StrongForm, points: int = 36, **settings: Any) -> EquationResiduals:
    torch.manual_seed(0)
    pinn = PINN(form, **{"width": 7, "depth": 2, **settings})
    with torch.no_grad():
        for parameter in pinn.network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return EquationResiduals(pinn, *collocation(form, points))


CASES: dict[str, dict[str, Any]] = {
    "flow": {"form": kovasznay()},
    "plate": {"form": heat_in_a_plate()},
    "piratenet": {"form": kovasznay(), "kind": "piratenet", "depth": 1, "width": 5, "factored": True},
    "modified": {"form": heat_in_a_plate(), "kind": "modified_mlp", "fourier_features": 3, "activation": "silu"},
}
each = pytest.mark.parametrize("name", CASES)


@each
def test_the_jacobian_is_that_of_forward_and_of_reverse_differentiation(name: str) -> None:
    r = residuals(**CASES[name])
    values = parameters_of(r.model)
    ours, forward, reverse = r.jacobian(values), jacfwd(r)(values), jacrev(r)(values)
    for key, block in ours.items():
        scale = float(block.abs().max())
        torch.testing.assert_close(forward[key], block, rtol=1e-10, atol=1e-12 * scale)
        torch.testing.assert_close(reverse[key], block, rtol=1e-10, atol=1e-12 * scale)


@each
def test_products_are_those_of_the_jacobian(name: str) -> None:
    r = residuals(**CASES[name])
    values = parameters_of(r.model)
    J = torch.cat([block.reshape(len(block), -1) for block in r.jacobian(values).values()], dim=1)
    products = Products(r, values)
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(n, dtype=torch.float64, generator=generator) for n in (J.shape[1], J.shape[0]))
    torch.testing.assert_close(products.times(x), J @ x, rtol=1e-10, atol=1e-10 * float(J.norm()))
    torch.testing.assert_close(products.transposed(y), J.T @ y, rtol=1e-10, atol=1e-10 * float(J.norm()))


@each
def test_backends_find_the_same_singular_values(name: str) -> None:
    r = residuals(**CASES[name])
    values = parameters_of(r.model)
    found = r(values)
    exact = dense(r, values, found)
    kept = exact.s > 1e-3 * exact.s[0]  # squaring loses half the digits, so that a Gram matrix knows these to 1e-10
    assert kept.sum() > 8
    others: dict[str, Spectrum] = {
        "gram": gram(r, values, found),
        "matrix-free": matrix_free(r, values, found, len(found), torch.Generator().manual_seed(0)),
    }
    direction = torch.randn(exact.back(exact.s * 0).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for backend, spectrum in others.items():
        torch.testing.assert_close(
            spectrum.s[: len(kept)][kept], exact.s[kept], rtol=1e-8, atol=0, msg=lambda text, b=backend: f"{b}: {text}"
        )
        steps = [one.back(torch.where(one.s > 1e-3 * one.s[0], one.coefficients / one.s, 0.0)) for one in (exact, spectrum)]
        torch.testing.assert_close(steps[1], steps[0], rtol=0, atol=1e-7 * float(steps[0].norm()))
        inside = [one.forward(direction)[: len(kept)][kept].abs() for one in (exact, spectrum)]
        torch.testing.assert_close(inside[1], inside[0], rtol=1e-5, atol=1e-6)


@each
def test_the_gram_matrix_is_that_of_the_jacobian_which_is_not_formed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    r = residuals(**CASES[name])
    values = parameters_of(r.model)
    chosen = [dict(list(values.items())[-3:]), values]  # an optimizer may hold some parameters alone
    expected = []
    for some in chosen:
        J = torch.cat([block.reshape(len(block), -1) for block in jacrev(r)(some).values()], dim=1)
        expected.append((J @ J.T).detach())
    monkeypatch.delattr(EquationResiduals, "jacobian")
    for some, G in zip(chosen, expected, strict=True):
        torch.testing.assert_close(r.gram(some), G, rtol=1e-10, atol=1e-12 * float(G.abs().max()))
    s = gram(r, values, r(values)).s
    assert float(s[0] ** 2) == pytest.approx(float(torch.linalg.eigvalsh(expected[1])[-1]), rel=1e-12)


def test_a_step_is_the_same_by_every_backend() -> None:
    after = []
    for backend in ("dense", "gram", "matrix-free"):
        r = residuals(heat_in_a_plate())
        Sven(r.model.named_parameters(), rtol=1e-4, rank=36, backend=backend).step(r)
        after.append(flatten(parameters_of(r.model)))
    before = flatten(parameters_of(residuals(heat_in_a_plate()).model))
    for one in after[1:]:
        assert float((one - after[0]).norm()) < 1e-7 * float((after[0] - before).norm())


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 5), nn.SiLU(), nn.Linear(5, 1)).double()


POINTS = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("axes", [0, 2])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_channels_have_first_and_second_derivatives_in_both_modes(activation: str, axes: int) -> None:
    chosen = KNOWN[ACTIVATIONS[activation]]
    state = torch.randn(4 + (axes > 0), 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)

    def f(z: Tensor) -> Tensor:
        return Activate.apply(z, chosen, 3, axes, [])

    assert torch.autograd.gradcheck(f, (state,), check_forward_ad=True, check_batched_grad=False)
    assert torch.autograd.gradgradcheck(f, (state,))
    plain = f(state)
    fast = torch.autograd.grad((plain**2).sum(), state)[0]
    slow = torch.autograd.grad((f(state) ** 2).sum(), state, create_graph=True)[0]
    torch.testing.assert_close(fast, slow, rtol=1e-13, atol=1e-14)
    each_alone = torch.stack([f(one) for one in state.detach().split(1, dim=1)])[:, :, 0].movedim(0, 1)
    batched = vmap(f, in_dims=1, out_dims=1)(state.detach())
    torch.testing.assert_close(batched, each_alone, rtol=1e-14, atol=1e-15)


def test_a_loss_has_a_hessian_and_batches_of_parameters() -> None:
    """Nested transforms, such as those of the products with a Gauss-Newton matrix, agree with the Hessian that reverse mode forms."""
    model = small()

    def loss(weight: Tensor) -> Tensor:
        found = torch.func.functional_call(Jet(model), {"model.2.weight": weight}, (POINTS,))
        return (found**2).sum()

    weight = model[2].weight.detach()
    H = hessian(loss)(weight)
    torch.testing.assert_close(jacrev(grad(loss))(weight), H, rtol=1e-10, atol=1e-10)
    v = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(jvp(grad(loss), (weight,), (v,))[1], torch.einsum("abcd,cd->ab", H, v), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(vjp(grad(loss), weight)[1](v)[0], torch.einsum("abcd,ab->cd", H, v), rtol=1e-10, atol=1e-10)
    h = 1e-5
    by_differences = (grad(loss)(weight + h * v) - grad(loss)(weight - h * v)) / (2 * h)
    torch.testing.assert_close(torch.einsum("abcd,cd->ab", H, v), by_differences, rtol=1e-6, atol=1e-6)
    several = torch.stack([weight, 0.5 * weight, -weight])
    torch.testing.assert_close(vmap(loss)(several), torch.stack([loss(one) for one in several]), rtol=1e-12, atol=0)
    torch.testing.assert_close(vmap(grad(loss))(several), torch.stack([grad(loss)(one) for one in several]), rtol=1e-10, atol=1e-12)


class Jet(nn.Module):
    """Value, slope in time and Laplacian as the output of a module."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        found = forward_jet(self.model, coordinates(x, 2))
        assert found.laplacian is not None
        return torch.cat([found.value, found.gradient[2], found.laplacian], dim=1)


def test_rows_share_loss_and_jacobian_with_their_factors() -> None:
    r = residuals(kovasznay())
    values = parameters_of(r.model)
    before, J = r(values), r.jacobian(values)
    r.factors = torch.rand(r.factors.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    times = r.factors.reshape(-1)
    torch.testing.assert_close(r(values), before * times, rtol=1e-13, atol=0)
    for name, block in r.jacobian(values).items():
        torch.testing.assert_close(block.flatten(1), J[name].flatten(1) * times[:, None], rtol=1e-12, atol=1e-13)


def test_a_part_without_a_condition_is_told() -> None:
    form = heat_in_a_plate()
    assert form.forgotten == ()
    assert kovasznay().forgotten == ()
    with pytest.warns(UserWarning, match="no output has a condition on y_low, y_high: give one, or name the part"):
        PINN(replace(form, free=()), width=4, depth=1)
