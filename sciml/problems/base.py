"""Problems on a box: resolution, extent, a condition on each side, symmetries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import Field, FiniteFloat, model_validator

from sciml.errors import DatasetError
from sciml.fields import BinaryField, Disks, GaussianRandomField, Law, Wave
from sciml.grid import AXES, Grid
from sciml.problems.boundary import Boundary, Kind, SideKind
from sciml.problems.problem import Parameters, Problem
from sciml.problems.strong_form import Condition, Function, Sampled

LARGEST_RESOLUTION = 65536
Cells = Annotated[int, Field(ge=2, le=LARGEST_RESOLUTION)]
Length = Annotated[FiniteFloat, Field(gt=0, le=1e9)]


class BoxProblem(Problem):
    """A boundary-value problem on a box that is cut into equal cells.

    Parameters
    ----------
    dimension : 1, 2 or 3.
    resolution : cells along each axis; one number stands for all axes.
    extent : side lengths of the box; one number stands for all axes.
    boundary : condition of each side.
    """

    dimension: Annotated[int, Field(ge=1, le=3)] = 2
    resolution: tuple[Cells, ...] = (64, 64)
    extent: tuple[Length, ...] = (1.0, 1.0)
    boundary: Boundary = Boundary()

    @model_validator(mode="before")
    @classmethod
    def _one_number_means_all_axes(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        dimension = content.get("dimension", cls.model_fields["dimension"].default)
        if dimension not in (1, 2, 3):
            return content  # refused by its own field
        defaults = {"resolution": 64, "extent": 1.0}
        given = {name: content.get(name, default) for name, default in defaults.items()}
        return {**content, **{name: (value,) * dimension if isinstance(value, (int, float)) else value for name, value in given.items()}}

    @model_validator(mode="after")
    def _dimensions_agree(self) -> Self:
        for name in ("resolution", "extent"):
            value = getattr(self, name)
            if len(value) != self.dimension:
                shown = str(list(value))[:60]
                raise ValueError(f"{name} = {shown} does not fit dimension = {self.dimension}: give one entry an axis, or one number")
        for axis in AXES[self.dimension :]:
            if self.boundary.pair(axis) != Boundary().pair(axis):
                needed = AXES.index(axis) + 1
                raise ValueError(f"boundary names a {axis} side, but dimension = {self.dimension}: drop it, or set dimension = {needed}")
        self.refuse_unfit_laws()
        return self

    @property
    def grid(self) -> Grid:
        return Grid(self.resolution, self.extent)

    @property
    def domain(self) -> Grid:
        return self.grid

    @property
    def boundary_kinds(self) -> tuple[tuple[Kind, Kind], ...]:
        """Kind of the condition on the low and high side of each axis."""
        pairs = (self.boundary.pair(axis) for axis in AXES[: self.dimension])
        return tuple((low.kind, high.kind) for low, high in pairs)

    @property
    def stored_sides(self) -> tuple[tuple[SideKind, SideKind], ...]:
        """What is told of the sides in the data: `boundary_kinds`, unless the problem itself makes them something else."""
        return self.boundary_kinds

    def side_laws(self) -> dict[str, Law]:
        """Laws of the boundary data, named ``boundary_<axis>_<low|high>``; periodic sides carry none."""
        found = {}
        for axis in AXES[: self.dimension]:
            for end, condition in zip(("low", "high"), self.boundary.pair(axis), strict=True):
                if condition.kind != "periodic":
                    found[f"boundary_{axis}_{end}"] = condition.data
        return found

    def support(self, name: str) -> Grid:
        """The grid of a field-valued parameter: that of the box, or of one side of it."""
        if name.startswith("boundary_"):
            return self.grid.without(AXES.index(name.removeprefix("boundary_")[0]))
        return self.grid

    def function(self, name: str, parameters: Parameters) -> Function:
        """A parameter at any points, for `strong_form`: a number, a closed form, or a spline through the values of a field.

        Raises
        ------
        DatasetError : for a field that jumps, which has no derivatives.
        """
        law = self.laws()[name]
        if isinstance(law, Wave):
            return law
        if isinstance(law, (BinaryField, Disks)):
            what = f"parameter {name!r} of problem {self.kind!r} jumps, so that the equation does not hold at every point"
            raise DatasetError(f"{what}: take a smooth law, such as kind = 'smooth_step', or a neural operator")
        value = self.value(name, parameters)
        if value.ndim == 0:
            return float(value)
        if name.startswith("boundary_"):
            where = AXES.index(name.removeprefix("boundary_")[0])
            along = [k for k in range(self.dimension) if k != where]
            side = Sampled(value, self.grid.without(where), [self._closes(k) for k in along], self._even(law, along))
            return lambda *x: side(*(x[k] for k in along))
        axes = range(self.dimension)
        return Sampled(value, self.grid, [self._closes(k) for k in axes], self._even(law, axes))

    def _even(self, law: Law, axes: Iterable[int]) -> list[bool]:
        """Along which axes a field is a sum of cosines, which has no slope on the sides."""
        field = getattr(law, "field", law)
        return [isinstance(field, GaussianRandomField) and field.boundary == "neumann" and not self._closes(k) for k in axes]

    def _closes(self, axis: int) -> bool:
        return self.boundary_kinds[axis][0] == "periodic"

    @property
    def closed_axes(self) -> tuple[bool, ...]:
        return tuple(self._closes(k) for k in range(self.dimension))

    def side_conditions(self, parameters: Parameters, coefficient: Function = 1.0) -> tuple[Condition, ...]:
        """The conditions on all sides that are not periodic; of Neumann sides the flux over `coefficient`."""
        found = []
        for axis in AXES[: self.dimension]:
            for end, condition in zip(("low", "high"), self.boundary.pair(axis), strict=True):
                if condition.kind != "periodic":
                    data = self.function(f"boundary_{axis}_{end}", parameters)
                    value = data if condition.kind == "dirichlet" else _quotient(data, coefficient)
                    found.append(Condition(f"{axis}_{end}", condition.kind, value))
        return tuple(found)

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Generators of the group under which equal transformations of inputs give equally transformed outputs.

        ``reflect_<axis>`` mirrors an axis, ``swap_<axes>`` exchanges two neighbours. Sides with random data break them.
        """
        axes = self.grid.axes
        pairs = {axis: self.boundary.pair(axis) for axis in axes}
        fixed = {axis: not any(condition.data.is_random for condition in pair) for axis, pair in pairs.items()}
        found = [f"reflect_{axis}" for axis in axes if fixed[axis] and pairs[axis][0] == pairs[axis][1]]
        for k, (one, two) in enumerate(pairwise(axes)):
            same_box = self.grid.shape[k] == self.grid.shape[k + 1] and self.grid.extent[k] == self.grid.extent[k + 1]
            if same_box and fixed[one] and fixed[two] and pairs[one] == pairs[two]:
                found.append(f"swap_{one}{two}")
        return tuple(found)

    def refined(self, resolution: int | tuple[int, ...]) -> Self:
        """The same problem on another grid; equal seed words give the same functions there."""
        return type(self).model_validate({**self.model_dump(), "resolution": resolution})


def _quotient(flux: Function, coefficient: Function) -> Function:
    if flux == 0.0 or coefficient == 1.0:
        return flux
    if callable(flux) or callable(coefficient):
        return lambda *x: (flux(*x) if callable(flux) else flux) / (coefficient(*x) if callable(coefficient) else coefficient)
    return flux / coefficient
