"""Fields of untrained networks on the boundary, against the data; and what fields they can become."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.errors import DatasetError
from sciml.geometry import Box, Disk, Meshed, Polygon, Shape
from sciml.grid import Grid
from sciml.mesh.mesh import Mesh
from sciml.models.channels import Channels, coordinates
from sciml.models.conditions import ConditionError, hard_conditions
from sciml.models.pinn import PINN
from sciml.models.taylor import point_jacobian
from sciml.problems import seed_words
from sciml.problems.heat import Heat
from sciml.problems.poisson import Poisson
from sciml.problems.strong_form import Condition, Sampled, StrongForm

D, N = "dirichlet", "neumann"
DURATION = 0.8


class Known:
    """``sin(a . x + b)`` plus a product of waves, with the derivative along any axis; periodic with the box where asked."""

    def __init__(self, low: Sequence[float], high: Sequence[float], periodic: Sequence[bool] = (), shift: float = 0.0) -> None:
        closes = [*periodic, *[False] * (len(low) - len(periodic))]
        whole = [2 * math.pi / (b - a) for a, b in zip(low, high, strict=True)]
        self.slopes = [w if c else 1.3 - 0.4 * k for k, (w, c) in enumerate(zip(whole, closes, strict=True))]
        self.waves = [2 * w if c else 0.9 + 0.5 * k for k, (w, c) in enumerate(zip(whole, closes, strict=True))]
        self.phases = [0.3 + shift + 0.7 * k for k in range(len(low))]

    def __call__(self, *x: Any, along: int | None = None) -> Any:
        angle = sum(a * z for a, z in zip(self.slopes, x, strict=True)) + self.phases[0]
        first = np.sin(angle) if along is None else self.slopes[along] * np.cos(angle)
        second: Any = 0.5
        for k, (z, w, p) in enumerate(zip(x, self.waves, self.phases, strict=True)):
            second = second * (np.cos(w * z + p) if k != along else -w * np.sin(w * z + p))
        return first + second

    def outward(self, axis: int, sign: float) -> Callable[..., Any]:
        return lambda *x: sign * self(*x, along=axis)

    def along(self, normal: Callable[..., Sequence[Any]]) -> Callable[..., Any]:
        """The derivative along a field of directions in the plane."""
        return lambda *x: sum(n * self(*x, along=k) for k, n in enumerate(normal(*x)))


def form_of(geometry: Shape, conditions: dict[str, tuple[Condition, ...]], **rest: Any) -> StrongForm:
    return StrongForm(geometry, tuple(conditions), lambda jets, found: (), (), conditions=conditions, **rest)


Ends = tuple[str | None, str | None] | str  # "periodic"


def box_form(ends: Sequence[Ends], transient: bool = False) -> tuple[StrongForm, Known]:
    low, high = (-0.3, 0.1, 0.7)[: len(ends)], (0.8, 1.9, 1.4)[: len(ends)]
    periodic = tuple(pair == "periodic" for pair in ends)
    u = Known((*low, 0.0), (*high, DURATION), periodic) if transient else Known(low, high, periodic)
    conditions = []
    for axis, pair in enumerate(ends):
        for end, kind in enumerate(pair if pair != "periodic" else ()):
            if kind is not None:
                value = u if kind == D else u.outward(axis, 1.0 if end else -1.0)
                conditions.append(Condition(f"{'xyz'[axis]}_{('low', 'high')[end]}", kind, value))
    late = {"duration": DURATION, "initial": {"u": lambda *x: u(*x[:-1], 0.0 * x[-1])}} if transient else {}
    return form_of(Box(low, high), {"u": tuple(conditions)}, periodic=periodic, **late), u


def network(form: StrongForm, seed: int = 0, **settings: Any) -> PINN:
    """With weights that are far from small."""
    torch.manual_seed(seed)
    pinn = PINN(form, **{"width": 9, "depth": 2, **settings})
    with torch.no_grad():
        for parameter in pinn.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return pinn


def with_times(form: StrongForm, points: np.ndarray) -> np.ndarray:
    if form.duration is None:
        return points
    if len(points) == 1:
        points = np.repeat(points, 7, axis=0)
    return np.column_stack([points, np.random.default_rng(7).permutation(np.linspace(0, 1, len(points))) * form.duration])


def fields(pinn: PINN, points: np.ndarray) -> Channels:
    return pinn.fields(pinn.frame(points))


def check_conditions(form: StrongForm, exact: dict[str, Known], away_from_corners: float = 0.0) -> None:
    """Values on Dirichlet parts to rounding, normal derivatives on Neumann parts by the gradient and by differences, and initial values."""
    pinn = network(form)
    space = form.geometry.dimension
    for k, output in enumerate(form.outputs):
        u = exact[output]
        for condition in form.conditions[output]:
            edge = form.geometry.boundary(23 if space < 3 else 5, [condition.part])
            keep = _clear_of_corners(form.geometry, edge.points, away_from_corners)
            points = with_times(form, edge.points[keep])
            normals = np.broadcast_to(edge.normals[keep], (len(points), space))
            found = fields(pinn, points)
            assert len(points)
            if condition.kind == D:
                np.testing.assert_allclose(found.value[:, k].detach(), u(*points.T), rtol=0, atol=4e-15, err_msg=condition.part)
                continue
            wanted = sum(n * u(*points.T, along=axis) for axis, n in enumerate(normals.T))
            gradient = found.gradient[:space, :, k].detach().numpy()
            scale = max(1, np.abs(gradient).max())
            np.testing.assert_allclose((gradient * normals.T).sum(axis=0), wanted, rtol=0, atol=1e-13 * scale, err_msg=condition.part)
            if space == 3:
                continue
            step = 1e-5 * np.column_stack([normals, np.zeros((len(points), points.shape[1] - space))])
            values = [pinn(torch.from_numpy(points - j * step))[:, k].detach().numpy() for j in range(3)]
            slope = (1.5 * values[0] - 2 * values[1] + 0.5 * values[2]) / 1e-5
            np.testing.assert_allclose(slope, wanted, rtol=0, atol=1e-6 * scale, err_msg=condition.part)
        if output in form.initial:
            inside = np.column_stack([form.geometry.interior(40), np.zeros(40)])
            np.testing.assert_allclose(fields(pinn, inside).value[:, k].detach(), u(*inside.T), rtol=0, atol=4e-15)
        for axis, closes in enumerate(form.closed):
            if closes:
                points = with_times(form, form.geometry.interior(20))
                ends = []
                for end in (form.low[axis], form.high[axis]):
                    points[:, axis] = end
                    found = fields(pinn, points)
                    ends.append((found.value, found.gradient, found.laplacian))
                for one, other in zip(*ends, strict=True):
                    torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


def _clear_of_corners(shape: Shape, points: np.ndarray, margin: float) -> np.ndarray:
    if not margin:
        return np.ones(len(points), bool)
    dense = shape.boundary(800)
    normals = [dense.normals[np.linalg.norm(dense.points - point, axis=1) < margin] for point in points]
    return np.array([(some @ some.T).min() > 0.5 for some in normals])


ONE_AXIS: list[Ends] = [*itertools.product((D, N, None), repeat=2), "periodic"]
TWO_AXES = list(itertools.product([(D, D), (D, N), (N, N), (N, None), "periodic"], repeat=2))
THREE_AXES = [
    ((D, D), (D, D), (D, D)),
    ((N, N), (N, N), (N, N)),
    ((D, N), (N, D), (D, D)),
    ((None, D), "periodic", (N, N)),
    ("periodic", (D, N), "periodic"),
    ((N, None), (D, D), (D, N)),
]
CASES = [(ends, late) for ends in [*((pair,) for pair in ONE_AXIS), *TWO_AXES, *THREE_AXES] for late in (False, True)]
CASES.remove((((N, N),) * 3, True))  # takes a minute, and each pair of these axes is among the others


@pytest.mark.parametrize(("ends", "transient"), CASES, ids=str)
def test_networks_satisfy_the_conditions_of_a_box_before_training(ends: Sequence[Ends], transient: bool) -> None:
    form, u = box_form(ends, transient)
    check_conditions(form, {"u": u})


def square_mesh(n: int = 4) -> Mesh:
    """The unit square without its upper right quarter, in triangles."""
    k = np.arange(n + 1) / n
    points = np.stack([a.ravel() for a in np.meshgrid(k, k, indexing="ij")], axis=1)
    cells = []
    for i, j in itertools.product(range(n), repeat=2):
        a, b, c, d = (x * (n + 1) + y for x, y in ((i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)))
        cells += [] if i >= n // 2 and j >= n // 2 else [(a, b, c), (a, c, d)]
    used = np.unique(cells)
    place = np.full(len(points), -1)
    place[used] = np.arange(len(used))
    return Mesh.build(points[used], place[np.array(cells)], {"left": [(place[j], place[j + 1]) for j in range(n)]}, name="L")


RECTANGLE, HOLE = Box((0.0, 0.0), (3.0, 2.0)), Disk((1.1, 0.9), 0.4)
SQUARE_HOLE = Polygon(((0.8, 0.6), (1.4, 0.8), (1.2, 1.4), (0.6, 1.2)), ("hole",) * 4)
L_SHAPE = Polygon(
    ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)), ("bottom", "right", "inner", "inner", "top", "left")
)
SIDES = ("x_low", "x_high", "y_low", "y_high")


def _from_hole(x: Any, y: Any, *later: Any) -> Sequence[Any]:
    return (1.1 - x) / 0.4, (0.9 - y) / 0.4


def _from_ring(x: Any, y: Any) -> Sequence[Any]:
    return (x - 1.1) / 1.2, (y - 0.9) / 1.2


def shape_conditions(kinds: dict[str, str], normals: dict[str, Callable[..., Sequence[Any]]], u: Known) -> tuple[Condition, ...]:
    return tuple(Condition(part, kind, u if kind == D else u.along(normals[part])) for part, kind in kinds.items())


NORMALS: dict[str, Callable[..., Sequence[Any]]] = {
    "circle": _from_hole,
    "x_low": lambda *x: (-1.0, 0.0),
    "x_high": lambda *x: (1.0, 0.0),
    "y_low": lambda *x: (0.0, -1.0),
    "bottom": lambda *x: (0.0, -1.0),
    "right": lambda *x: (1.0, 0.0),
    "top": lambda *x: (0.0, 1.0),
    "left": lambda *x: (-1.0, 0.0),
}
SHAPES: dict[str, tuple[Shape, dict[str, str]]] = {
    "hole, values": (RECTANGLE - HOLE, dict.fromkeys((*SIDES, "circle"), D)),
    "hole, flux on it": (RECTANGLE - HOLE, {**dict.fromkeys(SIDES, D), "circle": N}),
    "hole, two fluxes": (RECTANGLE - HOLE, {"x_low": D, "y_low": D, "y_high": D, "x_high": N, "circle": N}),
    "hole, nothing on a side": (RECTANGLE - HOLE, {"x_low": D, "circle": N}),
    "hole, fluxes alone": (RECTANGLE - HOLE, {"x_low": N, "x_high": N, "circle": N}),
    "square hole": (RECTANGLE - SQUARE_HOLE, dict.fromkeys((*SIDES, "hole"), D)),
    "L, values": (L_SHAPE, dict.fromkeys(L_SHAPE.parts, D)),
    "L, fluxes": (L_SHAPE, {"bottom": N, "right": D, "inner": D, "top": D, "left": N}),
    "mesh, values": (Meshed(square_mesh()), {"left": D, "boundary": D}),
    "mesh, flux": (Meshed(square_mesh()), {"left": N, "boundary": D}),
}


@pytest.mark.parametrize("transient", [False, True], ids=["steady", "transient"])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("apart", [False, True], ids=["one function", "a function a part"])
def test_networks_satisfy_the_conditions_of_any_domain_before_training(name: str, transient: bool, apart: bool) -> None:
    shape, kinds = SHAPES[name]
    low, high = shape.bounds
    u = Known((*low, 0.0), (*high, DURATION)) if transient else Known(low, high)
    conditions = shape_conditions(kinds, NORMALS, u)
    if apart:
        conditions = tuple(Condition(c.part, c.kind, partial(_same, c.value)) for c in conditions)
    late = {"duration": DURATION, "initial": {"u": lambda *x: u(*x[:-1], 0.0 * x[-1])}} if transient else {}
    check_conditions(form_of(shape, {"u": conditions}, **late), {"u": u}, 0.05)


def _same(function: Callable[..., Any], *x: Any) -> Any:
    return function(*x)


def test_outputs_may_have_different_kinds_on_a_side() -> None:
    low, high = (0.0, 0.0), (1.5, 1.0)
    u, v, p = (Known(low, high, shift=shift) for shift in (0.0, 1.0, 2.0))
    conditions = {
        "u": (Condition("y_low", N, u.outward(1, -1.0)), Condition("y_high", D, u), Condition("x_low", D, u)),
        "v": (Condition("y_low", D, v), Condition("y_high", N, v.outward(1, 1.0)), Condition("x_high", N, v.outward(0, 1.0))),
        "p": (),
    }
    form = form_of(Box(low, high), conditions)
    assert hard_conditions(form).network_outputs == 2 + 4 + 1
    check_conditions(form, {"u": u, "v": v, "p": p})
    around = form_of(RECTANGLE - HOLE, {"u": (Condition("circle", N, u.along(_from_hole)),), "v": (Condition("circle", D, v),), "p": ()})
    assert hard_conditions(around).network_outputs == 2 + 1 + 1
    check_conditions(around, {"u": u, "v": v, "p": p})


def by_differences(pinn: PINN, points: np.ndarray, space: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Laplacian by differences of sixth order."""
    h, weights = 4e-3, {1: (3 / 4, -3 / 20, 1 / 60), 2: (3 / 2, -3 / 20, 1 / 90)}

    def value(x: np.ndarray) -> np.ndarray:
        return pinn(torch.from_numpy(x)).detach().numpy()

    gradient, laplacian = [], np.zeros_like(value(points))
    for axis in range(points.shape[1]):
        step = h * np.eye(points.shape[1])[axis]
        ups, downs = ([value(points + sign * j * step) for j in (1, 2, 3)] for sign in (1, -1))
        gradient.append(sum(w * (a - b) for w, a, b in zip(weights[1], ups, downs, strict=True)) / h)
        if axis < space:
            laplacian += sum(w * (a + b - 2 * value(points)) for w, a, b in zip(weights[2], ups, downs, strict=True)) / h**2
    return np.stack(gradient), laplacian


@pytest.mark.parametrize("name", ["box", "box in time", "periodic", "hole, flux on it", "L, fluxes", "mesh, values"])
def test_derivatives_of_the_fields_are_those_that_differences_find(name: str) -> None:
    boxes: dict[str, tuple[tuple[Ends, ...], bool]] = {
        "box": (((N, D), (N, N), (D, D)), False),
        "box in time": (((N, D), (D, N)), True),
        "periodic": (("periodic", (N, D)), True),
    }
    if name in boxes:
        form, _ = box_form(*boxes[name])
    else:
        shape, kinds = SHAPES[name]
        form = form_of(shape, {"u": shape_conditions(kinds, NORMALS, Known(*shape.bounds))})
    torch.manual_seed(0)
    pinn = PINN(form, width=9)
    space = form.geometry.dimension
    points = form.geometry.interior(60, margin=0.1)
    points = points[[np.linalg.norm(point - np.ones(space)) > 0.3 for point in points]]  # the inner corner of the L
    if form.duration is not None:
        points = np.column_stack([points, np.linspace(0.1, 0.7, len(points))])
    found = fields(pinn, points)
    gradient, laplacian = by_differences(pinn, points, space)
    np.testing.assert_allclose(found.gradient.detach(), gradient, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.laplacian.detach(), laplacian, rtol=1e-5, atol=1e-4)


COMPLETE: dict[str, tuple[StrongForm, Known]] = {
    "values": box_form(((D, D), (D, D))),
    "flux and value": box_form(((N, D), (D, D))),
    "fluxes across": box_form(((N, N), (D, D))),
    "fluxes at a corner": box_form(((N, D), (N, D))),
    "fluxes all around": box_form(((N, N), (N, N))),
    "periodic with a flux": box_form(("periodic", (D, N))),
    "in time": box_form(((N, D),), True),
    "in time, fluxes": box_form(((N, N),), True),
}


@pytest.mark.parametrize("name", [*COMPLETE, "ring with a flux"])
def test_every_field_that_satisfies_the_conditions_is_within_reach(name: str) -> None:
    """Least squares over the last layer of a random network find it."""
    if name in COMPLETE:
        form, u = COMPLETE[name]
    else:
        shape = Disk((1.1, 0.9), 1.2, part="outer") - HOLE
        u = Known(*shape.bounds)
        form = form_of(shape, {"u": (Condition("circle", D, u), Condition("outer", N, u.along(_from_ring)))})
    torch.manual_seed(1)
    pinn = PINN(form, width=220 if name in COMPLETE else 440, depth=1)
    with torch.no_grad():
        pinn.network[1].weight.normal_(std=1.2)
        pinn.network[1].bias.uniform_(-2, 2)
        pinn.network[3].weight.zero_()
        pinn.network[3].bias.zero_()
    inside = form.geometry.interior(3000) if form.duration is None else with_times(form, form.geometry.interior(3000))
    if form.duration is not None:
        inside[:, -1] = np.random.default_rng(5).permutation((np.arange(3000) + 0.5) / 3000) * form.duration
    found = fields(pinn, inside)
    J = point_jacobian(pinn.network, found.uses, found.value[:, 0])
    A = torch.cat([J["3.weight"].reshape(3000, -1), J["3.bias"].reshape(3000, -1)], dim=1).detach().numpy()
    scale = np.linalg.norm(A, axis=0)
    target = u(*inside.T)
    rest = target - found.value[:, 0].detach().numpy()
    assert np.abs(rest).max() > 1e-3  # the lift is not the field already
    train, test = slice(0, 2000), slice(2000, None)
    weights = np.linalg.lstsq((A / scale)[train], rest[train], rcond=1e-13)[0]
    error = np.linalg.norm((A / scale)[test] @ weights - rest[test]) / np.linalg.norm(target[test])
    assert error < 1e-8


def sides(**values: Any) -> dict[str, tuple[Condition, ...]]:
    return {
        "u": tuple(Condition(part, N if isinstance(v, Flux) else D, v.value if isinstance(v, Flux) else v) for part, v in values.items())
    }


class Flux:
    def __init__(self, value: Any) -> None:
        self.value = value


SQUARE, CUBE = Box((0.0, 0.0), (2.0, 1.0)), Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
JUMPS: dict[str, tuple[Callable[[], StrongForm], str]] = {
    "corner": (
        lambda: form_of(SQUARE, sides(x_low=1.0, y_high=lambda x, y: 0.5 + x)),
        "the data of 'u' on x_low jump by 0.5 against those on y_high at x = 0, y = 1: no smooth field has both",
    ),
    "edge that agrees at its corners": (
        lambda: form_of(CUBE, sides(x_low=lambda x, y, z: np.sin(np.pi * z), y_low=0.0)),
        r"the data of 'u' on x_low jump by 0\.931 against those on y_low at x = 0, y = 0, z = 0\.381",
    ),
    "flux beside a value": (
        lambda: form_of(SQUARE, sides(x_low=0.0, y_low=Flux(1.0))),
        r"the slopes of the data of 'u' on x_low jump by 1 against those on y_low at x = 0, y = 0: no smooth",
    ),
    "flux beside a flux": (
        lambda: form_of(SQUARE, sides(x_low=Flux(lambda x, y: y), y_low=Flux(lambda x, y: 2 * x))),
        r"the slopes of the data of 'u' on x_low jump by 1 against those on y_low at x = 0, y = 0",
    ),
    "start": (
        lambda: form_of(SQUARE, sides(x_low=1.0), duration=2.0, initial={"u": 0.75}),
        r"the data of 'u' on x_low jump by 0.25 against those at time 0 at x = 0, y = \S+, t = 0",
    ),
    "start with a flux": (
        lambda: form_of(SQUARE, sides(x_high=Flux(1.0)), duration=2.0, initial={"u": lambda x, y, t: 0.25 * x}),
        r"the slopes of the data of 'u' on x_high jump by 0.75 against those at time 0 at x = 2",
    ),
    "around": (
        lambda: form_of(SQUARE, sides(y_low=lambda x, y: 0.25 * x), periodic=(True, False)),
        r"the data of 'u' on y_low jump by 0.5 around the periodic axis at x = 0, y = 0",
    ),
    "slope around": (
        lambda: form_of(SQUARE, sides(y_low=lambda x, y: x * (2.0 - x)), periodic=(True, False)),
        r"the slopes of the data of 'u' on y_low jump by 4 around the periodic axis at x = 0, y = 0",
    ),
    "tiny data": (
        lambda: form_of(SQUARE, sides(x_low=1e-12, y_low=0.0)),
        r"jump by 1e-12 against those on y_low",
    ),
    "corner of an L": (
        lambda: form_of(L_SHAPE, sides(bottom=lambda x, y: x, right=lambda x, y: 1.5 + y)),
        r"the data of 'u' on bottom jump by 0.5 against those on right near x = 1\.99\d*, y = 0: no smooth field has both",
    ),
    "later at a corner of an L": (
        lambda: form_of(L_SHAPE, sides(bottom=lambda x, y, t: x * t, right=0.0), duration=2.0, initial={"u": 0.0}),
        r"the data of 'u' on bottom jump by 1 against those on right near x = 1\.99\d*, y = 0, t = 0\.5",
    ),
    "cut side": (
        lambda: form_of(RECTANGLE - Disk((1.5, 2.0), 0.5), sides(y_high=1.0, circle=lambda x, y: 0.7 + 0 * x)),
        r"the data of 'u' on y_high jump by 0.3 against those on circle near x = (1|2|0\.99\d+|2\.00\d+), y = 2",
    ),
    "start on a circle": (
        lambda: form_of(RECTANGLE - HOLE, sides(circle=1.0), duration=1.0, initial={"u": lambda x, y, t: 0.8 + 0 * x}),
        r"the initial values of 'u' jump by 0.2 against those on circle at .*, t = 0: no smooth field",
    ),
    "start with a flux on a circle": (
        lambda: form_of(RECTANGLE - HOLE, sides(x_low=Flux(0.5)), duration=1.0, initial={"u": 0.0}),
        r"the initial normal derivatives of 'u' jump by 0.5 against those on x_low at x = 0",
    ),
}


@pytest.mark.parametrize("name", JUMPS)
def test_data_that_jump_are_refused_with_place_and_size(name: str) -> None:
    make, words = JUMPS[name]
    with pytest.raises(ConditionError, match=words):
        hard_conditions(make())


def test_conditions_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DatasetError, match="condition of 'u' on x_low is 'robin': take dirichlet or neumann"):
        form_of(SQUARE, {"u": (Condition("x_low", "robin"),)})  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="'u' has a condition on x_high, of an axis that is periodic"):
        form_of(SQUARE, sides(x_high=0.0), periodic=(True, False))
    with pytest.raises(DatasetError, match="only a box has axes that can close"):
        form_of(L_SHAPE, {"u": ()}, periodic=(True, False))


class Constant:
    """Equal to others of its value, and without a hash."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: float) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self.value == other.value

    def __call__(self, *x: Any) -> Any:
        return 0.0 * x[0] + self.value


def test_data_of_any_kind_may_be_given() -> None:
    for values in (
        (0.0, 0, np.float64(0.0), -0.0),
        (Constant(2.0), Constant(2.0), Constant(2.0), Constant(2.0)),
        tuple(lambda x, y: 3.0 + 0 * x for _ in range(4)),
        (lambda x, y: 1.0, 1.0, 1, lambda x, y: x * 0 + 1),
        (np.array(0.5), 0.5, torch.tensor(0.5), 0.5),
    ):
        pinn = network(form_of(RECTANGLE - HOLE, sides(**dict(zip(SIDES, values, strict=True)))))
        for part, value in zip(SIDES, values, strict=True):
            points = pinn.form.geometry.boundary(9, [part]).points
            wanted = value(*points.T) if callable(value) else float(value)
            np.testing.assert_allclose(pinn.predict(points)["u"], np.broadcast_to(wanted, 9), rtol=0, atol=4e-15)


def test_corners_have_values() -> None:
    u = Known(*L_SHAPE.bounds)
    form = form_of(L_SHAPE, {"u": tuple(Condition(part, D, partial(_same, u)) for part in L_SHAPE.parts)})
    corners = np.array(L_SHAPE.corners)
    np.testing.assert_allclose(network(form).predict(corners)["u"], u(*corners.T), atol=1e-14)


# fields known at cell centres


def smooth(x: Any, y: Any) -> Any:
    return np.sin(2.1 * x + 0.3) * np.exp(-0.7 * y) + np.cos(x * y)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2)])
def test_sampled_fields_converge_with_order_six_and_their_derivatives_follow(shape: tuple[int, int]) -> None:
    x, y = np.random.default_rng(0).random((2, 200)) * np.array([[1.0], [1.5]])
    errors = []
    for n in (16, 32, 64):
        grid = Grid((n * shape[0], n * shape[1]), (1.0, 1.5))
        field = Sampled(smooth(*grid.points()), grid, (False, False))
        c = coordinates(torch.from_numpy(np.stack([x, y], 1)))
        a, b = c.column(0), c.column(1)
        found, exact = field(a, b), smooth(a, b)
        np.testing.assert_array_equal(found.value[:, 0], field(x, y))
        away = [(one - other).abs().max() for one, other in zip(_parts(found), _parts(exact), strict=True)]
        errors.append(torch.stack(away))
    orders = torch.log2(errors[1] / errors[2])
    assert (orders > torch.tensor([5.7, 4.7, 3.7])).all(), orders
    assert (errors[2] < torch.tensor([1e-8, 2e-6, 4e-4])).all(), errors[2]


def _parts(found: Channels) -> tuple[Tensor, Tensor, Tensor]:
    assert found.laplacian is not None
    return found.value, found.gradient, found.laplacian


def test_sampled_periodic_and_even_fields_have_the_order_up_to_their_sides() -> None:
    def field(x: Any, y: Any) -> Any:
        return np.exp(np.sin(2 * np.pi * x)) * np.cos(3 * np.pi * y)

    edges = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.43], [1.0, 0.43], [0.61, 0.0], [0.61, 1.0]])
    errors = []
    for n in (16, 32, 64):
        grid = Grid((n, n), (1.0, 1.0))
        sampled = Sampled(field(*grid.points()), grid, (True, False), (False, True))
        c = coordinates(torch.from_numpy(edges))
        a, b = c.column(0), c.column(1)
        found = sampled(a, b)
        errors.append([float((one - other).abs().max()) for one, other in zip(_parts(found), _parts(field(a, b)), strict=True)])
        value, gradient, laplacian = _parts(found)
        torch.testing.assert_close(value[2], value[3], rtol=0, atol=1e-13)  # one point of the closed axis
        torch.testing.assert_close(gradient[:, 2], gradient[:, 3], rtol=0, atol=1e-11)
        torch.testing.assert_close(laplacian[2], laplacian[3], rtol=0, atol=1e-9)
        assert gradient[1, [0, 1, 4, 5]].abs().max() < 1e-11
    order = np.log2(np.array(errors[1]) / np.array(errors[2]))
    assert (order[[0, 2]] > [5.7, 3.7]).all(), order


def test_sampled_needs_some_cells() -> None:
    with pytest.raises(DatasetError, match="5 x 9 cells is too coarse to be a function: take a resolution of 6"):
        Sampled(np.zeros((5, 9)), Grid((5, 9), (1.0, 1.0)), (False, False))


@pytest.mark.parametrize("axes", [1, 2])
def test_functions_of_several_quantities_follow_the_chain_rule(axes: int) -> None:
    x = coordinates(torch.rand(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)), axes)
    a, b, c = (x.column(k) for k in range(3))
    inputs = (np.sin(a * b), np.exp(c * 0.4) + a)

    def derivative(points: np.ndarray, orders: tuple[int, ...]) -> np.ndarray:
        p, q = points.T
        of_p = (p**3, 3 * p**2, 6 * p, 6 + 0 * p)[orders[0]]
        return of_p * np.cos(q + orders[1] * np.pi / 2)

    found, exact = a.compose(inputs, derivative), inputs[0] ** 3 * np.cos(inputs[1])
    for one, other in zip(_parts(found), _parts(exact), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_sampled_fields_are_differentiable_by_their_points() -> None:
    grid = Grid((12, 12), (1.0, 1.0))
    field = Sampled(smooth(*grid.points()), grid, (False, False))
    points = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def laplacian(z: Tensor) -> Tensor:
        c = coordinates(z)
        found = field(c.column(0), c.column(1))
        return torch.cat([found.value, found.laplacian], dim=1)

    torch.autograd.gradcheck(laplacian, (points.requires_grad_(),), atol=1e-4, rtol=1e-5)
    with torch.no_grad():
        direction = torch.tensor([0.3, -0.8], dtype=torch.float64).expand(6, 2)
        slope = torch.func.jvp(laplacian, (points,), (direction,))[1]
        h = 1e-5
        torch.testing.assert_close(
            slope, (laplacian(points + h * direction) - laplacian(points - h * direction)) / (2 * h), rtol=1e-5, atol=1e-4
        )


def test_insulated_heat_from_a_random_field_and_flux_data_from_splines() -> None:
    insulated = {f"{axis}_{end}": {"kind": N} for axis in "xy" for end in ("low", "high")}
    heat = Heat(resolution=16, boundary=insulated, initial_temperature={"kind": "gaussian_random_field", "alpha": 4.0})
    form = heat.strong_form(heat.sample(seed_words(0, 0, 0)))
    pinn = network(form)
    for axis, part in enumerate(("x_low", "y_high")):
        points = with_times(form, form.geometry.boundary(9, [part]).points)
        assert fields(pinn, points).gradient[axis].abs().max() < 1e-11
    start = np.column_stack([np.stack([a.ravel() for a in heat.grid.points()], 1), np.zeros(256)])
    np.testing.assert_allclose(pinn.predict(start)["temperature"], form.initial["temperature"](*start.T), atol=1e-14)


def test_conditions_of_problems_are_those_of_their_exact_solution() -> None:
    kinds = dict(zip(SIDES, (N, D, N, N), strict=True))
    problem = Poisson(
        boundary={side: {"kind": kind} for side, kind in kinds.items()}, solution={"wavenumbers": (4.0, 3.0), "phases": (0.4, 0.7)}
    )
    form = problem.strong_form({})
    pinn = network(form)
    points = form.geometry.boundary(15, ["x_high"]).points
    assert form.exact is not None
    np.testing.assert_allclose(pinn.predict(points)["potential"], form.exact["potential"](*points.T), rtol=0, atol=4e-15)
