"""Fields that satisfy their boundary and initial conditions whatever a network says: ``u = lift + factor * network``.

On a box, lifts are interpolated from side to side (Coons's patches, with the time axis as one more direction), which is smooth up to the
corners. On other domains the data of several boundary parts are blended with weights that vanish on the other parts (Sukumar and
Srivastava 2022, equation 17). The value on a Neumann part must stay free while its normal derivative is fixed. There the network enters
twice, ``u = lift + factor(T) N_1(T) + distance^2 factor N_2``, where T moves points so that all of ``d/dn T`` vanishes on that part: the
first term has no normal derivative, the second neither value nor normal derivative, and together they are any field. Nothing of the
network is differentiated for it, unlike in the solution structure of that paper (equation 21), whose Laplacian takes third derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import jvp

from sciml.errors import InputError
from sciml.geometry import Box, Shape
from sciml.models.channels import Channels, coordinates, stack
from sciml.problems.strong_form import Condition, Function, StrongForm

Columns = tuple[Channels, ...]
Field = Callable[[Columns], Channels]
_JUMP = 1e-9  # of data at a corner, relative to the data


class ConditionError(InputError):
    """Conditions that no field can satisfy."""


@dataclass(frozen=True, eq=False)
class Ansatz:
    """What becomes of a network's outputs at N fixed points; the k columns are the outputs of the problem.

    Attributes
    ----------
    points : coordinates with derivatives, the input of the network.
    lift, factor : of shape (N, k): ``u = lift + factor * N``.
    moved : the points T where there are Neumann conditions, else None.
    moved_factor : the factor at T.
    """

    points: Channels
    lift: Channels
    factor: Channels
    moved: Channels | None
    moved_factor: Channels | None

    def fields(self, network: Callable[[Channels], Channels]) -> Channels:
        """All outputs with derivatives. The network has one output a field, or two where there are Neumann conditions."""
        found, k = network(self.points), self.lift.value.shape[1]
        if self.moved is None or self.moved_factor is None:
            return self.lift + self.factor * found
        trace = network(self.moved)
        first, second = (stack([some.column(j) for j in columns]) for some, columns in ((trace, range(k)), (found, range(k, 2 * k))))
        return self.lift + (self.moved_factor * first + self.factor * second)


class HardConditions(ABC):
    """Lift and factor of every output of a strong form."""

    def __init__(self, form: StrongForm) -> None:
        self.form = form
        self.neumann = any(condition.kind == "neumann" for conditions in form.conditions.values() for condition in conditions)

    def ansatz(self, points: Tensor) -> Ansatz:
        """At points of shape (N, coordinates), time last."""
        x = coordinates(points, self.form.geometry.dimension)
        columns = tuple(x.column(k) for k in range(points.shape[1]))
        lifts, factors, moved_factors = [], [], []
        moved = self.moved(columns) if self.neumann else None
        for name in self.form.outputs:
            lifts.append(self.lift(name, columns))
            factors.append(self.factor(name, columns))
            if moved is not None:
                moved_factors.append(self.moved_factor(name, columns, moved))
        if moved is None:
            return Ansatz(x, stack(lifts), stack(factors), None, None)
        return Ansatz(x, stack(lifts), stack(factors), stack(moved), stack(moved_factors))

    @abstractmethod
    def lift(self, output: str, x: Columns) -> Channels:
        """A field with the output's boundary and initial data."""

    @abstractmethod
    def factor(self, output: str, x: Columns) -> Channels:
        """0 where the output's value is given; of order two where its normal derivative is."""

    @abstractmethod
    def moved(self, x: Columns) -> Columns:
        """T: coordinates without normal derivative on the Neumann parts."""

    @abstractmethod
    def moved_factor(self, output: str, x: Columns, moved: Columns) -> Channels:
        """0 where the output's value is given, without normal derivative on the Neumann parts."""


def hard_conditions(form: StrongForm) -> HardConditions:
    """Those of a box or of any other domain."""
    return BoxConditions(form) if isinstance(form.geometry, Box) else ShapeConditions(form)


End = Literal["dirichlet", "neumann"] | None


class BoxConditions(HardConditions):
    """On an interval, rectangle or box, and over a time interval."""

    def __init__(self, form: StrongForm) -> None:
        super().__init__(form)
        self._names = form.coordinates
        self._sides: dict[str, list[tuple[Condition | None, Condition | None]]] = {}
        for output in form.outputs:
            named = {condition.part: condition for condition in form.conditions.get(output, ())}
            sides = [(named.get(f"{axis}_low"), named.get(f"{axis}_high")) for axis in self._names]
            if form.duration is not None and output in form.initial:
                sides[-1] = (Condition("t_low", "dirichlet", form.initial[output]), None)
            self._sides[output] = sides
        if self.neumann:
            kinds = [[{_kind(self._sides[output][k][end]) for output in form.outputs} for end in (0, 1)] for k in range(len(self._names))]
            self._neumann_ends = [("neumann" in low, "neumann" in high) for low, high in kinds]
            self._refuse_mixed_kinds()
        self._refuse_jumps()

    def lift(self, output: str, x: Columns) -> Channels:
        found: Field = lambda z: z[0].constant(0.0)  # noqa: E731
        for axis, pair in enumerate(self._sides[output]):
            if any(side is not None for side in pair):
                found = self._corrected(found, axis, pair)
        return found(x)

    def _corrected(self, before: Field, axis: int, pair: tuple[Condition | None, Condition | None]) -> Field:
        """`before` plus what makes it meet the conditions at both ends of an axis, keeping those of the axes before."""
        low, length = self.form.low[axis], self.form.high[axis] - self.form.low[axis]

        def field(x: Columns) -> Channels:
            found, s = before(x), (x[axis] - low) / length
            for end, (side, shape) in enumerate(zip(pair, _blending(_kind(pair[0]), _kind(pair[1]), length), strict=True)):
                if side is not None:
                    at_end = (*x[:axis], x[axis].constant(low + end * length), *x[axis + 1 :])
                    wanted = _value(side.value, at_end)
                    if side.kind == "dirichlet":
                        missing = wanted - before(at_end)
                    else:
                        missing = wanted - _slope(before, at_end, axis) * (1.0 if end else -1.0)
                    found = found + shape(s) * missing
            return found

        return field

    def factor(self, output: str, x: Columns) -> Channels:
        found = x[0].constant(1.0)
        for axis, (low, high) in enumerate(self._sides[output]):
            s = (x[axis] - self.form.low[axis]) / (self.form.high[axis] - self.form.low[axis])
            ends = _kind(low), _kind(high)
            found = found * _vanishing(s, *(kind == "dirichlet" for kind in ends))
            if self.neumann:
                zero = _vanishing(s, *self._neumann_ends[axis])
                found = found * (zero * zero)
        return found

    def moved(self, x: Columns) -> Columns:
        found = []
        for axis, column in enumerate(x):
            low, length = self.form.low[axis], self.form.high[axis] - self.form.low[axis]
            found.append(_flattened((column - low) / length, *self._neumann_ends[axis]) * length + low)
        return tuple(found)

    def moved_factor(self, output: str, x: Columns, moved: Columns) -> Channels:
        found = x[0].constant(1.0)
        for axis, (low, high) in enumerate(self._sides[output]):
            s = (moved[axis] - self.form.low[axis]) / (self.form.high[axis] - self.form.low[axis])
            found = found * _vanishing(s, _kind(low) == "dirichlet", _kind(high) == "dirichlet")
        return found

    def _refuse_mixed_kinds(self) -> None:
        for axis, ends in enumerate(self._neumann_ends):
            for end, name in enumerate(("low", "high")):
                kinds = {_kind(self._sides[output][axis][end]) for output in self.form.outputs}
                if ends[end] and kinds != {"neumann"}:
                    raise ConditionError(
                        f"side {self._names[axis]}_{name} is Neumann for some outputs and not for others, which hard conditions "
                        "cannot be built for: give all outputs the same kind there"
                    )

    def _refuse_jumps(self) -> None:
        """Values that differ where two sides meet leave nothing that could satisfy both."""
        low, high = torch.tensor(self.form.low, dtype=torch.float64), torch.tensor(self.form.high, dtype=torch.float64)
        corners = torch.cartesian_prod(*(torch.stack([a, b]) for a, b in zip(low, high, strict=True))).reshape(-1, len(low))
        x = coordinates(corners, self.form.geometry.dimension)
        columns = tuple(x.column(k) for k in range(len(low)))
        for output, sides in self._sides.items():
            for axis, pair in enumerate(sides):
                for end, side in enumerate(pair):
                    if side is None or side.kind != "dirichlet":
                        continue
                    here = corners[:, axis] == (high if end else low)[axis]
                    lift = self.lift(output, columns).value[here, 0]
                    wanted = _value(side.value, columns).value[here, 0]
                    away = (lift - wanted).abs()
                    if float(away.max()) > _JUMP * (1 + float(wanted.abs().max())):
                        worst = corners[here][int(away.argmax())].tolist()
                        place = ", ".join(f"{name} = {value:g}" for name, value in zip(self._names, worst, strict=True))
                        where = f"{self._names[axis]}_{'high' if end else 'low'}"
                        raise ConditionError(
                            f"the data of {output!r} on side {where} jump by {float(away.max()):.3g} against those of a neighbouring side "
                            f"at {place}: no smooth field has both; make the data agree at corners"
                        )


def _kind(side: Condition | None) -> End:
    return None if side is None else side.kind


def _value(function: Function, x: Columns) -> Channels:
    found = function(*x) if callable(function) else function
    return found if isinstance(found, Channels) else x[0].constant(float(found))


def _slope(field: Field, x: Columns, axis: int) -> Channels:
    """The derivative of a field along an axis, with its own derivatives: a dual number goes through the arithmetic."""
    column = x[axis]

    def parts(value: Tensor) -> tuple[Tensor, ...]:
        moving = Channels(value, column.gradient, column.laplacian, column.axes)
        found = field((*x[:axis], moving, *x[axis + 1 :]))
        return (found.value, found.gradient) if found.laplacian is None else (found.value, found.gradient, found.laplacian)

    slopes = jvp(parts, (column.value,), (torch.ones_like(column.value),))[1]
    return Channels(slopes[0], slopes[1], slopes[2] if len(slopes) > 2 else None, column.axes)


Blend = Callable[[Channels], Channels]


def _blending(low: End, high: End, length: float) -> tuple[Blend, Blend]:
    """Polynomials of s in [0, 1] that are 1 in the condition of one end (a value, or an outward slope), and 0 in that of the other."""
    nothing: Blend = lambda s: s.constant(0.0)  # noqa: E731
    one: Blend = lambda s: s.constant(1.0)  # noqa: E731
    # cubics that come back to 0 at the other end: the straight line of a steep slope would dwarf the solution there
    falling: Blend = lambda s: s * (1.0 - s) ** 2 * -length  # noqa: E731
    rising: Blend = lambda s: s * s * (s - 1.0) * length  # noqa: E731
    match low, high:
        case "dirichlet", "dirichlet":
            return (lambda s: 1.0 - s), (lambda s: s)
        case "dirichlet", "neumann":
            return (lambda s: (1.0 - s) ** 2), rising
        case "neumann", "dirichlet":
            return falling, (lambda s: s * s)
        case "neumann", "neumann":
            return falling, rising
        case "dirichlet", None:
            return one, nothing
        case None, "dirichlet":
            return nothing, one
        case "neumann", None:
            return falling, nothing
        case None, "neumann":
            return nothing, rising
        case _:
            return nothing, nothing


def _vanishing(s: Channels, low: bool, high: bool) -> Channels:
    """0 at these ends of [0, 1], and 1 at most."""
    if low and high:
        return s * (1.0 - s) * 4.0
    return s if low else 1.0 - s if high else s.constant(1.0)


def _flattened(s: Channels, low: bool, high: bool) -> Channels:
    """A monotone map of [0, 1] onto itself without slope at these ends."""
    if low and high:
        return s * s * (3.0 - s * 2.0)
    return s * s if low else s * (2.0 - s) if high else s


class ShapeConditions(HardConditions):
    """On any domain with smooth distances; second derivatives may be unbounded where parts with different data meet."""

    def __init__(self, form: StrongForm) -> None:
        super().__init__(form)
        shape: Shape = form.geometry
        self._groups: dict[str, list[tuple[Function, Callable[..., Any]]]] = {}
        self._factors: dict[str, Callable[..., Any]] = {}
        self._fluxes: dict[str, list[Condition]] = {}
        for output in form.outputs:
            conditions = form.conditions.get(output, ())
            values: dict[Any, list[str]] = {}
            for condition in conditions:
                if condition.kind == "dirichlet":
                    values.setdefault(condition.value, []).append(condition.part)
            self._groups[output] = [(value, shape.factor(parts)) for value, parts in values.items()]
            self._factors[output] = shape.factor([part for parts in values.values() for part in parts])
            self._fluxes[output] = [condition for condition in conditions if condition.kind == "neumann"]
        if self.neumann:
            self._prepare_neumann(shape)

    def _prepare_neumann(self, shape: Shape) -> None:
        parts = [{condition.part for condition in fluxes} for fluxes in self._fluxes.values()]
        if any(some != parts[0] for some in parts):
            raise ConditionError("some outputs are Neumann on parts where others are not: give all outputs the same kind on each part")
        self._away = shape.distance(sorted(parts[0]))
        self._away_each = {part: shape.distance([part]) for part in parts[0]}
        rest = [part for part in shape.parts if part not in parts[0]]
        self._rest = shape.distance(rest) if rest else None

    def lift(self, output: str, x: Columns) -> Channels:
        space = x[: self.form.geometry.dimension]
        at = x
        if self.neumann:
            at = (*self.moved(x)[: len(space)], *x[len(space) :])
        found = self._blended(output, at)
        if self.form.duration is not None and output in self.form.initial:
            start = (*at[:-1], at[-1].constant(0.0))
            found = found + _value(self.form.initial[output], at) - self._blended(output, start)
        if self._fluxes[output]:
            found = found + self._localised(space) * self._flux(output, x)
        return found

    def _blended(self, output: str, x: Columns) -> Channels:
        """The data of all Dirichlet parts, each weighed down to nothing on the others."""
        groups = self._groups[output]
        if not groups:
            return x[0].constant(0.0)
        if len(groups) == 1:
            return _value(groups[0][0], x)
        space = x[: self.form.geometry.dimension]
        distances = [_value(distance, space) for _, distance in groups]
        weights = [_product([d for j, d in enumerate(distances) if j != k]) for k in range(len(groups))]
        parts = [weight * _value(value, x) for weight, (value, _) in zip(weights, groups, strict=True)]
        return _sum(parts) / _sum(weights)

    def _flux(self, output: str, x: Columns) -> Channels:
        """``-distance h``: with the outward normal derivative h of each Neumann part on it."""
        space = x[: self.form.geometry.dimension]
        fluxes = self._fluxes[output]
        away = _value(self._away, space)
        if len(fluxes) == 1:
            return away * _value(fluxes[0].value, x) * -1.0
        distances = [_value(self._away_each[condition.part], space) for condition in fluxes]
        weights = [_product([d * d for j, d in enumerate(distances) if j != k]) for k in range(len(fluxes))]
        parts = [weight * _value(condition.value, x) for weight, condition in zip(weights, fluxes, strict=True)]
        return away * (_sum(parts) / _sum(weights)) * -1.0

    def _localised(self, space: Columns) -> Channels:
        """1 on the Neumann parts without normal derivative there, 0 on all others."""
        if self._rest is None:
            return space[0].constant(1.0)
        rest, away = _value(self._rest, space), _value(self._away, space)
        return rest * rest / (rest * rest + away * away)

    def factor(self, output: str, x: Columns) -> Channels:
        space = x[: self.form.geometry.dimension]
        found = _value(self._factors[output], space) * self._time(output, x)
        if self.neumann:
            away = _value(self._away, space)
            found = found * (away * away)
        return found

    def moved(self, x: Columns) -> Columns:
        space = x[: self.form.geometry.dimension]
        local, away = self._localised(space), _value(self._away, space)
        shift = local * away
        moved = [column - shift * _slope(lambda z: _value(self._away, z), space, axis) for axis, column in enumerate(space)]
        return (*moved, *x[len(space) :])

    def moved_factor(self, output: str, x: Columns, moved: Columns) -> Channels:
        return _value(self._factors[output], moved[: self.form.geometry.dimension]) * self._time(output, x)

    def _time(self, output: str, x: Columns) -> Channels:
        if self.form.duration is None or output not in self.form.initial:
            return x[0].constant(1.0)
        return x[-1] * (1 / self.form.duration)


def _product(parts: Sequence[Channels]) -> Channels:
    found = parts[0]
    for part in parts[1:]:
        found = found * part
    return found


def _sum(parts: Sequence[Channels]) -> Channels:
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return found
