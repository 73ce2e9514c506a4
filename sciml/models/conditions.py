"""Fields that satisfy their boundary and initial conditions whatever a network says: ``u = lift + sum of factors times networks``.

On a box, lifts are interpolated from side to side (Coons's patches, with the time axis as one more direction), which is smooth up to the
corners. On other domains the data of several boundary parts are blended with weights that vanish on the other parts (Sukumar and
Srivastava 2022, equation 17).

The value on a Neumann part must stay free while its normal derivative is fixed. There the network enters twice, ``u = lift + f(T) N_1(T) +
z^2 f N_2``, where T moves points so that all of ``d/dn T`` vanishes on that part, and z vanishes there: the first term has no normal
derivative, the second neither value nor normal derivative, and together they are any field. On a box with several Neumann axes there is a
term for each choice of which of them are moved, because one that moves all of them could have no odd part along a Neumann side near a
corner. Nothing of the network is differentiated for it, unlike in the solution structure of that paper (equation 21), whose Laplacian
takes third derivatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import jvp

from sciml.errors import InputError
from sciml.geometry import Box, Shape, meetings
from sciml.geometry.shape import TINY
from sciml.models.channels import Channels, coordinates, stack
from sciml.problems.strong_form import Condition, Function, StrongForm

Array = NDArray[np.float64]
Columns = tuple[Channels, ...]
Field = Callable[[Columns], Channels]
_JUMP = 1e-9  # of data where two sides of a box meet, relative to the data
_JUMP_BETWEEN_PARTS = 1e-2  # of data that are compared close to where two parts meet, and not there
#: Points of a boundary part, along each of its axes, among which those closest to another part are looked for.
_DENSE = {1: 1, 2: 4096, 3: 64}


class ConditionError(InputError):
    """Conditions that no field can satisfy."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The network at N points, and what becomes of some of its outputs.

    Attributes
    ----------
    points : where, with derivatives by the coordinates of the problem.
    columns : which outputs of the network, m of them.
    fields : to which outputs of the problem they belong.
    factor : what they are multiplied with, of shape (N, m).
    """

    points: Channels
    columns: tuple[int, ...]
    fields: tuple[int, ...]
    factor: Channels


@dataclass(frozen=True, eq=False)
class Ansatz:
    """What becomes of a network's outputs at N fixed points; the k columns are the outputs of the problem.

    Attributes
    ----------
    points : coordinates with derivatives.
    lift : of shape (N, k).
    evaluations : whose sums over the columns of each output are added to it.
    """

    points: Channels
    lift: Channels
    evaluations: tuple[Evaluation, ...]

    def fields(self, network: Callable[[Channels], Channels]) -> Channels:
        """All outputs with derivatives."""
        found = self.lift
        for one in self.evaluations:
            found = found + (one.factor * network(one.points).columns(one.columns)).summed(one.fields, self.lift.value.shape[1])
        return found


@dataclass(frozen=True, eq=False)
class Term:
    """A part of one output: the network at some points, times a factor; terms with equal keys have equal points."""

    key: Hashable
    points: Columns
    factor: Channels


class HardConditions(ABC):
    """Lift and terms of every output of a strong form."""

    def __init__(self, form: StrongForm) -> None:
        self.form = form

    @property
    def network_outputs(self) -> int:
        """How many outputs the network has."""
        return sum(self.count(output) for output in self.form.outputs)

    def ansatz(self, points: Tensor) -> Ansatz:
        """At points of shape (N, coordinates), time last."""
        x = coordinates(points, self.form.geometry.dimension)
        columns = tuple(x.column(k) for k in range(points.shape[1]))
        lift = stack([self.lift(name, columns) for name in self.form.outputs])
        found: dict[Hashable, list[tuple[int, int, Term]]] = {}
        of_network = 0
        for field, name in enumerate(self.form.outputs):
            for term in self.terms(name, columns):
                found.setdefault(term.key, []).append((of_network, field, term))
                of_network += 1
        evaluations = []
        for group in found.values():
            chosen, fields, terms = zip(*group, strict=True)
            evaluations.append(Evaluation(stack(terms[0].points), chosen, fields, stack([term.factor for term in terms])))
        return Ansatz(x, lift, tuple(evaluations))

    @abstractmethod
    def lift(self, output: str, x: Columns) -> Channels:
        """A field with the output's boundary and initial data."""

    @abstractmethod
    def terms(self, output: str, x: Columns) -> list[Term]:
        """Terms that keep homogeneous conditions, whatever the network."""

    @abstractmethod
    def count(self, output: str) -> int:
        """How many terms an output has."""

    def place(self, point: Sequence[float]) -> str:
        return ", ".join(f"{name} = {value:.6g}" for name, value in zip(self.form.coordinates, point, strict=True))


def hard_conditions(form: StrongForm) -> HardConditions:
    """Those of a box or of any other domain."""
    return BoxConditions(form) if isinstance(form.geometry, Box) else ShapeConditions(form)


End = Literal["dirichlet", "neumann"] | None


class BoxConditions(HardConditions):
    """On an interval, rectangle or box, and over a time interval.

    Raises
    ------
    ConditionError : where the data of two sides, or initial values and those of a side, do not agree where they meet.
    """

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
            self._refuse_jumps(output)

    def lift(self, output: str, x: Columns) -> Channels:
        found: Field = lambda z: z[0].constant(0.0)  # noqa: E731
        for axis, pair in enumerate(self._sides[output]):
            if any(side is not None for side in pair):
                found = self._corrected(found, axis, pair)
        return found(x)

    def _corrected(self, before: Field, axis: int, pair: tuple[Condition | None, Condition | None]) -> Field:
        """`before` plus what makes it meet the conditions at both ends of an axis, keeping those of the axes before."""

        def field(x: Columns) -> Channels:
            found, s = before(x), self._scaled(x, axis)
            for end, (side, shape) in enumerate(zip(pair, _blending(_kind(pair[0]), _kind(pair[1]), self._length(axis)), strict=True)):
                if side is not None:
                    at_end = (*x[:axis], x[axis].constant((self.form.high if end else self.form.low)[axis]), *x[axis + 1 :])
                    found = found + shape(s) * (_value(side.value, at_end) - self._taken(side, axis, end, before)(at_end))
            return found

        return field

    def count(self, output: str) -> int:
        return int(2 ** len(self._neumann_axes(output)))

    def terms(self, output: str, x: Columns) -> list[Term]:
        """One for each choice of Neumann axes along which the points stay where they are; along the others they are moved."""
        found = []
        axes = self._neumann_axes(output)
        for stay in product((False, True), repeat=len(axes)):
            staying = {axis for axis, stays in zip(axes, stay, strict=True) if stays}
            moved, factor = [], x[0].constant(1.0)
            for axis, (low, high) in enumerate(self._sides[output]):
                s = self._scaled(x, axis)
                neumann, dirichlet = (tuple(_kind(side) == kind for side in (low, high)) for kind in ("neumann", "dirichlet"))
                if axis in staying:
                    zero = _vanishing(s, *neumann)
                    factor = factor * (zero * zero)
                elif axis in axes:
                    s = _flattened(s, *neumann)
                factor = factor * _vanishing(s, *dirichlet)
                moved.append(x[axis] if axis in staying or axis not in axes else s * self._length(axis) + self.form.low[axis])
            key = tuple((axis, *map(_kind, self._sides[output][axis])) for axis in axes if axis not in staying)
            found.append(Term(key, tuple(moved), factor))
        return found

    def _neumann_axes(self, output: str) -> list[int]:
        return [axis for axis, pair in enumerate(self._sides[output]) if "neumann" in map(_kind, pair)]

    def _length(self, axis: int) -> float:
        return self.form.high[axis] - self.form.low[axis]

    def _scaled(self, x: Columns, axis: int) -> Channels:
        return (x[axis] - self.form.low[axis]) / self._length(axis)

    def _taken(self, side: Condition, axis: int, end: int, field: Field) -> Field:
        """What the condition of a side is about: the value of a field, or its derivative along the outward normal."""
        return field if side.kind == "dirichlet" else lambda x: _slope(field, x, axis) * (1.0 if end else -1.0)

    def _refuse_jumps(self, output: str) -> None:
        """Conditions at two neighbouring sides, or at the two ends of a periodic axis, that leave nothing to satisfy both."""
        conditions = [
            (axis, end, side) for axis, pair in enumerate(self._sides[output]) for end, side in enumerate(pair) if side is not None
        ]
        data: dict[tuple[int, int], Field] = {(axis, end): _field(side.value) for axis, end, side in conditions}
        everywhere = self._points({})
        sizes = [float(data[axis, end](everywhere).value.abs().max()) * self._unit(axis, side) for axis, end, side in conditions]
        size = max(sizes, default=0.0)
        for (a, end_a, one), (b, end_b, other) in combinations(conditions, 2):
            if a == b:
                continue
            x = self._points({a: end_a, b: end_b})
            this = self._taken(other, b, end_b, data[a, end_a])(x).value
            that = self._taken(one, a, end_a, data[b, end_b])(x).value
            slopes = "slopes of the " if "neumann" in (one.kind, other.kind) else ""
            what = f"the {slopes}data of {output!r} {_where(one)} jump by {{}} against those {_where(other)} at {{}}"
            self._refuse_difference(x, this - that, size / (self._unit(a, one) * self._unit(b, other)), what)
        for axis in (axis for axis, closes in enumerate(self.form.closed) if closes):
            low, high = self._points({axis: 0}), self._points({axis: 1})
            for a, end, side in conditions:
                field = data[a, end]
                for name, function, unit in (
                    ("", field, 1.0),
                    ("slopes of the ", lambda x, field=field, axis=axis: _slope(field, x, axis), self._length(axis)),
                ):
                    jump = function(low).value - function(high).value
                    what = f"the {name}data of {output!r} {_where(side)} jump by {{}} around the periodic axis at {{}}"
                    self._refuse_difference(low, jump, size / (unit * self._unit(a, side)), what)

    def _unit(self, axis: int, side: Condition) -> float:
        return self._length(axis) if side.kind == "neumann" else 1.0

    def _refuse_difference(self, x: Columns, difference: Tensor, size: float, what: str) -> None:
        away = difference.abs()
        if float(away.max()) > _JUMP * size:
            worst = int(away.argmax())
            told = what.format(f"{float(away.max()):.3g}", self.place([float(column.value[worst]) for column in x]))
            raise ConditionError(f"{told}: no smooth field has both; make the data agree where sides meet")

    def _points(self, fixed: dict[int, int]) -> Columns:
        """Points of the box, corners among them, or of that face or edge of it where these axes are at these ends."""
        uneven = np.array([0.0, 0.137, 0.381, 0.729, 1.0])  # no wave has the same value at all of them
        places = []
        for axis, (low, high) in enumerate(zip(self.form.low, self.form.high, strict=True)):
            places.append(np.array([(low, high)[fixed[axis]]]) if axis in fixed else low + uneven * (high - low))
        grid = np.stack([a.ravel() for a in np.meshgrid(*places, indexing="ij")], axis=1)
        x = coordinates(torch.from_numpy(grid), self.form.geometry.dimension)
        return tuple(x.column(axis) for axis in range(len(places)))


def _where(side: Condition) -> str:
    return "at time 0" if side.part == "t_low" else f"on {side.part}"


def _kind(side: Condition | None) -> End:
    return None if side is None else side.kind


def _field(function: Function) -> Field:
    return lambda x: _value(function, x)


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
    """On any domain with smooth distances; second derivatives may be unbounded where parts with different data meet.

    Raises
    ------
    ConditionError : where the data of two parts jump, or initial values do not fit those of a part.
    """

    def __init__(self, form: StrongForm) -> None:
        super().__init__(form)
        shape: Shape = form.geometry
        self._groups: dict[str, list[tuple[Function, list[str], Callable[..., Any]]]] = {}
        self._factors: dict[str, Callable[..., Any]] = {}
        self._fluxes: dict[str, list[Condition]] = {}
        self._away: dict[str, Callable[..., Any]] = {}
        self._away_each: dict[str, Callable[..., Any]] = {}
        self._rest: dict[str, Callable[..., Any] | None] = {}
        for output in form.outputs:
            conditions = form.conditions.get(output, ())
            groups = _by_value([condition for condition in conditions if condition.kind == "dirichlet"])
            self._groups[output] = [(value, parts, shape.factor(parts)) for value, parts in groups]
            self._factors[output] = shape.factor([part for _, parts in groups for part in parts])
            self._fluxes[output] = [condition for condition in conditions if condition.kind == "neumann"]
            if free := [condition.part for condition in self._fluxes[output]]:
                self._away[output] = shape.distance(free)
                self._away_each |= {part: shape.distance([part]) for part in free}
                rest = [part for part in shape.parts if part not in free]
                self._rest[output] = shape.distance(rest) if rest else None
            self._refuse_jumps(output)
            self._refuse_initial(output)

    def lift(self, output: str, x: Columns) -> Channels:
        found = self._boundary_lift(output, x)
        if self.form.duration is None or output not in self.form.initial:
            return found
        return found + (_value(self.form.initial[output], x) - self._boundary_lift(output, (*x[:-1], x[-1].constant(0.0))))

    def _boundary_lift(self, output: str, x: Columns) -> Channels:
        if not self._fluxes[output]:
            return self._blended(output, x)
        return self._blended(output, self._moved(output, x)) + self._localised(output, x) * self._flux(output, x)

    def _blended(self, output: str, x: Columns) -> Channels:
        """The data of all Dirichlet parts, each weighed down to nothing on the others."""
        groups = self._groups[output]
        if not groups:
            return x[0].constant(0.0)
        values = [_value(value, x) for value, _, _ in groups]
        distances = [_value(distance, self._space(x)) for _, _, distance in groups]
        return _weighed(values, distances)

    def _flux(self, output: str, x: Columns) -> Channels:
        """``-distance h``: with the outward normal derivative h of each Neumann part on it."""
        fluxes, space = self._fluxes[output], self._space(x)
        distances = [_value(self._away_each[condition.part], space) for condition in fluxes]
        values = [_value(condition.value, x) for condition in fluxes]
        return _value(self._away[output], space) * _weighed(values, [d * d for d in distances]) * -1.0

    def _localised(self, output: str, x: Columns) -> Channels:
        """1 on the Neumann parts without normal derivative there, 0 on all others."""
        far, space = self._rest[output], self._space(x)
        if far is None:
            return x[0].constant(1.0)
        rest, away = _value(far, space), _value(self._away[output], space)
        return rest * rest / (rest * rest + away * away + TINY)

    def count(self, output: str) -> int:
        return 2 if self._fluxes[output] else 1

    def terms(self, output: str, x: Columns) -> list[Term]:
        own = _value(self._factors[output], self._space(x)) * self._time(output, x)
        if not self._fluxes[output]:
            return [Term((), x, own)]
        moved, away = self._moved(output, x), _value(self._away[output], self._space(x))
        trace = _value(self._factors[output], self._space(moved)) * self._time(output, x)
        return [Term(frozenset(condition.part for condition in self._fluxes[output]), moved, trace), Term((), x, own * (away * away))]

    def _moved(self, output: str, x: Columns) -> Columns:
        """T: coordinates without normal derivative on the Neumann parts, and where they were on all others."""
        space, away = self._space(x), _field(self._away[output])
        shift = self._localised(output, x) * away(space)
        return (*(column - shift * _slope(away, space, axis) for axis, column in enumerate(space)), *x[len(space) :])

    def _time(self, output: str, x: Columns) -> Channels:
        if self.form.duration is None or output not in self.form.initial:
            return x[0].constant(1.0)
        return x[-1] * (1 / self.form.duration)

    def _space(self, x: Columns) -> Columns:
        return x[: self.form.geometry.dimension]

    def _at(self, points: Array, time: float) -> Columns:
        if self.form.duration is not None:
            points = np.column_stack([points, np.full(len(points), time)])
        x = coordinates(torch.from_numpy(np.ascontiguousarray(points)), self.form.geometry.dimension)
        return tuple(x.column(k) for k in range(points.shape[1]))

    def _refuse_jumps(self, output: str) -> None:
        """Data of two parts that differ where the parts meet."""
        shape = self.form.geometry
        times = np.linspace(0, self.form.duration or 0, 5 if self.form.duration else 1)
        for (one, parts, _), (other, others, _) in combinations(self._groups[output], 2):
            here, there = (shape.boundary(_DENSE[shape.dimension], names).points for names in (parts, others))
            for near, farther, share in meetings(here, there):
                for time in times:
                    x = self._at(here[[near, farther]], time)
                    this, that = (_value(value, x).value[:, 0].tolist() for value in (one, other))
                    first, second = this[0] - that[0], this[1] - that[1]
                    jump = abs(first - share * (second - first))
                    if jump > _JUMP_BETWEEN_PARTS * max(map(abs, (*this, *that))):
                        raise ConditionError(
                            f"the data of {output!r} on {' and '.join(parts)} jump by {jump:.3g} against those on "
                            f"{' and '.join(others)} near {self.place([float(column.value[0]) for column in x])}: "
                            "no smooth field has both; make the data agree where parts meet"
                        )

    def _refuse_initial(self, output: str) -> None:
        """Initial values that do not satisfy the boundary conditions."""
        if self.form.duration is None or output not in self.form.initial:
            return
        shape, initial = self.form.geometry, _field(self.form.initial[output])
        inside = initial(self._at(shape.interior(64), 0.0)).value
        for condition in self.form.conditions.get(output, ()):
            edge = shape.boundary(32, [condition.part])
            x = self._at(edge.points, 0.0)
            found, wanted = initial(x), _value(condition.value, x).value[:, 0]
            this, unit = found.value[:, 0], 1.0
            if condition.kind == "neumann":
                this = (found.gradient[: shape.dimension, :, 0].T * torch.from_numpy(edge.normals)).sum(dim=1)
                unit = float(max(np.subtract(shape.bounds[1], shape.bounds[0])))
            away = (this - wanted).abs()
            size = max(float(inside.abs().max()), float(wanted.abs().max()) * unit) / unit
            if float(away.max()) > _JUMP * size:
                worst = int(away.argmax())
                what = "values" if condition.kind == "dirichlet" else "normal derivatives"
                raise ConditionError(
                    f"the initial {what} of {output!r} jump by {float(away.max()):.3g} against those on {condition.part} at "
                    f"{self.place([float(column.value[worst]) for column in x])}: no smooth field has both; "
                    "make the data agree at time 0"
                )


def _by_value(conditions: Sequence[Condition]) -> list[tuple[Function, list[str]]]:
    """The parts of each function or number; functions are the same only where they are one object."""
    found: list[tuple[Function, list[str]]] = []
    for condition in conditions:
        for value, parts in found:
            if value is condition.value or (not callable(value) and not callable(condition.value) and value == condition.value):
                parts.append(condition.part)
                break
        else:
            found.append((condition.value, [condition.part]))
    return found


def _weighed(values: Sequence[Channels], distances: Sequence[Channels]) -> Channels:
    """Where one distance is 0 its own value, elsewhere a mean of all, with the products of the other distances for weights."""
    if len(values) == 1:
        return values[0]
    weights = [_product([d for j, d in enumerate(distances) if j != k]) for k in range(len(distances))]
    above = _sum([weight * value for weight, value in zip(weights, values, strict=True)])
    return (above + values[0] * TINY) / (_sum(weights) + TINY)


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
