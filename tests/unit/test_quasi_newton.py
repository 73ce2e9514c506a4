"""Self-scaled quasi-Newton methods against their algebra, a second writing of the recurrence, and a function with a narrow valley."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sciml.optimizers import SSBFGS, SSBroyden
from sciml.optimizers.quasi_newton import strong_wolfe


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def minimise(make, function, start, steps):
    """Optimizer, its parameter, and (x, gradient, H before) of every step."""
    x = nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer, path = make([x]), []

    def closure():
        optimizer.zero_grad()
        loss = function(x)
        loss.backward()
        return loss

    for _ in range(steps):
        before = x.detach().clone()
        gradient = torch.autograd.grad(function(x), x)[0]
        H = optimizer.state[x].get("H")
        optimizer.step(closure)
        path.append((before, gradient, None if H is None else H.clone()))
    return optimizer, x, path


@pytest.mark.parametrize("make", [SSBroyden, SSBFGS])
def test_the_valley_is_followed_to_its_end(make) -> None:
    _, x, _ = minimise(make, rosenbrock, [-1.2, 1.0, -0.5, 0.8, 1.4], 120)
    torch.testing.assert_close(x.detach(), torch.ones(5, dtype=torch.float64), atol=1e-7, rtol=0)


@pytest.mark.parametrize("make", [SSBroyden, SSBFGS])
def test_updates_meet_the_secant_equation_and_stay_definite(make) -> None:
    optimizer, x, path = minimise(make, rosenbrock, [-1.2, 1.0, -0.5, 0.8], 30)
    ends = [*path[1:], (x.detach(), torch.autograd.grad(rosenbrock(x), x)[0], optimizer.state[x]["H"])]
    for (before, g, _), (after, g_after, H) in zip(path, ends, strict=True):
        s, y = after - before, g_after - g
        torch.testing.assert_close(H @ y, s, rtol=1e-7, atol=1e-9 * float(s.norm()))
        assert float(torch.linalg.eigvalsh(H)[0]) > 0


def test_the_broyden_update_is_that_of_the_paper() -> None:
    """The recurrence once more, in NumPy and in the paper's order of operations, along the path taken."""
    optimizer, x, path = minimise(SSBroyden, rosenbrock, [-1.2, 1.0, -0.5, 0.8], 25)
    ends = [*path[1:], (x.detach(), torch.autograd.grad(rosenbrock(x), x)[0], optimizer.state[x]["H"])]
    chosen = []
    for k, ((before, g, H), (after, g_after, H_after)) in enumerate(zip(path, ends, strict=True)):
        H = np.eye(4) if H is None else H.numpy()
        s, y, g = (after - before).numpy(), (g_after - g).numpy(), g.numpy()
        rho = 1 / (y @ s)
        b = rho * s @ np.linalg.solve(H, s)
        h = rho * y @ H @ y
        a = h * b - 1
        c = math.sqrt(abs(a) / (1 + abs(a)))
        rho_minus = min(1, h * (1 - c))
        theta = max((rho_minus - 1) / a, min(1 / rho_minus, (1 - b) / b))
        sigma = 1 + theta * a
        rho_k, power = min(1, 1 / b), abs(sigma) ** (1 / (1 - 4))
        tau = h / sigma if k == 0 else min(rho_k * power, sigma) if theta <= 0 else rho_k * min(power, 1 / theta)
        phi = (1 - theta) / sigma
        v = rho * s - H @ y / (y @ H @ y)
        expected = (H - np.outer(H @ y, y @ H) / (y @ H @ y) + phi * (y @ H @ y) * np.outer(v, v)) / tau + rho * np.outer(s, s)
        np.testing.assert_allclose(H_after.numpy(), expected, rtol=1e-5, atol=1e-8 * abs(expected).max())
        chosen.append((phi, tau))
    assert any(abs(phi - 1) > 0.01 for phi, _ in chosen[1:])  # it is not BFGS
    assert any(abs(tau - 1) > 0.01 for _, tau in chosen[1:])


def test_line_search_meets_both_conditions() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        a, c, w = generator.uniform(0.05, 5), generator.uniform(-2, 2), generator.uniform(0.1, 6)

        def at(t: float):
            value = a * (t - 1.5) ** 2 + c * math.sin(w * t)  # noqa: B023
            return value, torch.tensor([2 * a * (t - 1.5) + c * w * math.cos(w * t)], dtype=torch.float64)  # noqa: B023

        loss, g = at(0.0)
        sign = -1.0 if float(g) > 0 else 1.0
        direction = torch.tensor([sign], dtype=torch.float64)

        def along(t: float):
            return at(sign * t)  # noqa: B023

        found = strong_wolfe(along, loss, g, direction, generator.uniform(0.01, 5), 1e-4, 0.9, 60)
        value, gradient = along(found.length)
        slope = float(g @ direction)
        assert value <= loss + 1e-4 * found.length * slope
        assert abs(float(gradient @ direction)) <= 0.9 * abs(slope) + 1e-12


def test_a_restored_optimizer_goes_on_bit_for_bit(tmp_path) -> None:
    optimizer, x, _ = minimise(SSBroyden, rosenbrock, [-1.2, 1.0, 0.3], 10)
    torch.save((x.detach().clone(), optimizer.state_dict()), tmp_path / "state.pt")

    def run(optimizer, x):
        def closure():
            optimizer.zero_grad()
            loss = rosenbrock(x)
            loss.backward()
            return loss

        for _ in range(10):
            optimizer.step(closure)
        return x.detach().clone()

    expected = run(optimizer, x)
    start, state = torch.load(tmp_path / "state.pt", weights_only=True)
    twin = nn.Parameter(start)
    restored = SSBroyden([twin])
    restored.load_state_dict(state)
    assert torch.equal(run(restored, twin), expected)


def test_walls_of_infinity_are_stepped_back_from() -> None:
    _, x, _ = minimise(SSBroyden, lambda x: (x - torch.log(x) * 3).sum(), [0.1, 20.0], 40)
    torch.testing.assert_close(x.detach(), torch.full((2,), 3.0, dtype=torch.float64), atol=1e-6, rtol=0)


def test_what_makes_no_sense_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"model\.double"):
        SSBroyden(nn.Linear(2, 1).parameters())
    with pytest.raises(ValueError, match="GB"):
        SSBroyden([nn.Parameter(torch.zeros(30_000, dtype=torch.float64))])
    with pytest.raises(ValueError, match="0 < c1 < c2 < 1"):
        SSBroyden([nn.Parameter(torch.zeros(3, dtype=torch.float64))], c1=0.9, c2=0.1)
    x = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    with pytest.raises(ValueError, match="scalar loss"):
        SSBroyden([x]).step(x.clone)
    with pytest.raises(FloatingPointError, match="before the step"):
        SSBroyden([x]).step((x / 0).sum)
