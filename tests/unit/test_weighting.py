"""Weights between equations and times, and points by residuals: against what they are defined to do, and through killed runs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from sciml.geometry import Box, Disk
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.models.settings import SettingsError
from sciml.problems.plane_flows import kovasznay, starting_channel
from sciml.problems.strong_form import Condition, StrongForm
from sciml.training import EquationSettings, load_equation, load_equation_recipe, train_equation
from sciml.training.weighting import balance, causal, where_residuals_are_large


def disturbed(form: StrongForm, **settings: Any) -> PINN:
    torch.manual_seed(0)
    pinn = PINN(form, **{"width": 7, "depth": 2, **settings})
    with torch.no_grad():
        for parameter in pinn.network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return pinn


def parameters_of(pinn: PINN) -> dict[str, torch.Tensor]:
    return dict(pinn.network.named_parameters())


def gradient_lengths(residuals: EquationResiduals, weights: torch.Tensor) -> torch.Tensor:
    """Of each equation's weighted mean square, by reverse differentiation of that number."""
    lengths = []
    values = parameters_of(residuals.pinn)
    for k, weight in enumerate(weights):
        loss = weight * (residuals.weights * residuals.raw(values)[:, k] ** 2).sum()
        parts = torch.autograd.grad(loss, list(values.values()), allow_unused=True)
        lengths.append(torch.cat([part.reshape(-1) for part in parts if part is not None]).norm())
    return torch.stack(lengths)


def test_gradients_of_balanced_equations_are_of_one_length() -> None:
    pinn = disturbed(kovasznay())
    residuals = EquationResiduals(pinn, *collocation(pinn.form, 49))
    before = gradient_lengths(residuals, torch.ones(3))
    weights = balance(residuals, parameters_of(pinn), "gradient-norm")
    after = gradient_lengths(residuals, weights)
    assert float(before.max() / before.min()) > 1.5
    torch.testing.assert_close(after, before.mean().expand(3), rtol=1e-10, atol=0)


def test_traces_of_balanced_equations_are_the_same() -> None:
    pinn = disturbed(kovasznay())
    residuals = EquationResiduals(pinn, *collocation(pinn.form, 25))
    weights = balance(residuals, parameters_of(pinn), "ntk")
    residuals.factors = weights.sqrt().expand(25, 3)
    rows = torch.cat([block.reshape(25, 3, -1) for block in torch.func.jacrev(residuals)(parameters_of(pinn)).values()], dim=2)
    traces = (rows**2).sum(dim=(0, 2))
    torch.testing.assert_close(traces, traces.mean().expand(3), rtol=1e-10, atol=0)


def test_causal_weights_fall_with_all_that_was_before() -> None:
    pinn = disturbed(starting_channel(duration=2.0))
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.random(60), rng.uniform(-1, 1, 60), rng.uniform(0, 2, 60)])
    shares = rng.random(60)
    residuals = EquationResiduals(pinn, points, shares / shares.sum())
    found = causal(residuals, parameters_of(pinn), 4, 0.1)
    r = residuals.raw(parameters_of(pinn)).detach().numpy()
    for i, (_, _, t) in enumerate(points):
        before = 0.0
        for k in range(int(t // 0.5)):
            inside = (points[:, 2] >= 0.5 * k) & (points[:, 2] < 0.5 * (k + 1))
            before += np.average((r[inside] ** 2).sum(axis=1), weights=shares[inside])
        assert float(found[i]) == pytest.approx(np.exp(-0.1 * before), rel=1e-12)
    assert float(found.max()) == 1
    assert float(found.min()) < 0.9


def with_a_hole() -> StrongForm:
    plate = Box((0.0, 0.0), (2.0, 1.0)) - Disk((1.0, 0.5), 0.25, part="hole")
    conditions = tuple(Condition(part, "dirichlet", 0.0) for part in plate.parts)

    def residual(jets: Any, given: Any) -> Any:
        return (jets["u"].laplacian + given["heat"].value,)

    def heat(x: Any, y: Any) -> Any:
        return 10 / (0.01 + (x - 0.25) * (x - 0.25) + (y - 0.5) * (y - 0.5))

    return StrongForm(plate, ("u",), residual, ("heat",), parameters={"heat": heat}, conditions={"u": conditions})


def test_points_gather_where_residuals_are_large_and_weights_undo_it() -> None:
    form = with_a_hole()
    pinn = PINN(form, width=8, depth=1)
    points, weights = where_residuals_are_large(pinn, 800, 5)
    assert points.shape == (800, 2)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert len(np.unique(points, axis=0)) == 800
    assert form.geometry.signed_distance(points).min() > 0
    r = np.hypot(points[:, 0] - 0.25, points[:, 1] - 0.5)
    area = 2 - np.pi * 0.25**2
    near = (r < 0.2).mean()
    assert near > 2 * np.pi * 0.2**2 / area  # twice as many as of equally dense points
    assert weights @ (r < 0.2) == pytest.approx(np.pi * 0.2**2 / area, rel=0.15)
    again, _ = where_residuals_are_large(pinn, 800, 5)
    other, _ = where_residuals_are_large(pinn, 800, 6)
    assert np.array_equal(points, again)
    assert not np.array_equal(points, other)


TIMED = {"points": 100, "width": 8, "steps": 12, "block": 4, "seed": 3}


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("burgers", {"resample": True, "optimizer": "geodesic-lm"}),
        ("burgers", {"resample": True, "optimizer": "lbfgs"}),
        ("burgers", {"resample": True, "optimizer": "ssbroyden"}),
        ("burgers", {"weighting": "causal", "optimizer": "geodesic-lm"}),
        ("cavity", {"weighting": "gradient-norm", "optimizer": "adam"}),
        ("cavity", {"weighting": "ntk", "resample": True, "optimizer": "lbfgs"}),
    ],
)
def test_killed_runs_go_on_to_the_same_bits(recipe: str, settings: dict[str, Any], tmp_path: Any) -> None:
    problem, chosen = load_equation_recipe(recipe, {**TIMED, **settings}, [f"problem.resolution={16 if recipe == 'cavity' else 64}"])

    def until(step: int) -> Any:
        def progress(stage: str, done: int, total: int, figures: Any) -> None:
            if done == step:
                raise KeyboardInterrupt

        return progress

    whole = train_equation(problem, tmp_path / "whole", chosen)
    for step in (6, 10):
        with pytest.raises(KeyboardInterrupt):
            train_equation(problem, tmp_path / "parts", chosen, progress=until(step))
    parts = train_equation(problem, tmp_path / "parts", chosen)
    assert parts.resumed_from == 8
    assert (parts.loss, parts.relative_l2) == (whole.loss, whole.relative_l2)
    one, other = (load_equation(tmp_path / name, "last").network.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    plain = train_equation(problem, tmp_path / "plain", chosen.model_copy(update={"resample": False, "weighting": "none"}))
    assert plain.loss != whole.loss  # what was asked for does something


def test_points_by_residuals_find_a_shock_that_fixed_points_miss(tmp_path: Any) -> None:
    reached = {}
    for resample in (False, True):
        recipe, settings = load_equation_recipe("pinn-burgers", {"points": 1600, "steps": 100, "resample": resample})
        reached[resample] = train_equation(recipe, tmp_path / str(resample), settings).relative_l2["velocity"]
    assert reached[True] < 1e-3
    assert reached[False] > 10 * reached[True]


@pytest.mark.slow
def test_burgers_through_a_shock_to_five_digits(tmp_path: Any) -> None:
    recipe, settings = load_equation_recipe("pinn-burgers", {})
    assert train_equation(recipe, tmp_path / "run", settings).relative_l2["velocity"] < 1e-5


@pytest.mark.parametrize(
    ("settings", "equations", "timed", "sentence"),
    [
        ({"weighting": "ntk"}, 1, True, "balances equations"),
        ({"weighting": "gradient-norm"}, 1, False, "balances equations"),
        ({"weighting": "causal"}, 3, False, "steady"),
        ({"weighting": "causal", "optimizer": "lbfgs"}, 1, True, "take geodesic-lm"),
    ],
)
def test_weights_of_nothing_are_refused(settings: dict[str, Any], equations: int, timed: bool, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        EquationSettings(**settings).suited(equations, timed=timed)


def test_systems_are_given_the_optimizer_that_solves_them() -> None:
    assert EquationSettings().suited(1, timed=False).optimizer == "sven"
    assert EquationSettings().suited(3, timed=False).optimizer == "geodesic-lm"
    assert EquationSettings(optimizer="adam").suited(3, timed=False).optimizer == "adam"


def test_the_smallest_causal_weight_is_told(tmp_path: Any) -> None:
    recipe, settings = load_equation_recipe("pinn-burgers", {**TIMED, "weighting": "causal", "strictness": 10.0})
    train_equation(recipe, tmp_path / "run", settings)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert all(0 < row["smallest_weight"] < 1 for row in rows)
