"""What every PDE problem declares: grid, named parameters with their laws, outputs, units, symmetries, residual, exact solution."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from sciml.errors import DatasetError
from sciml.fields import Constant, GaussianRandomField, Law, law_range
from sciml.grid import AXES, Grid
from sciml.problems.boundary import Boundary, Kind
from sciml.problems.jet import Jets

Array = NDArray[Any]
Parameters = Mapping[str, Array]
Cells = Annotated[int, Field(ge=2, le=65536)]
Length = Annotated[FiniteFloat, Field(gt=0, le=1e9)]


def seed_words(seed: int, stream: int, index: int) -> tuple[int, ...]:
    """The four 64-bit words that sample `index` of a stream is drawn from; they depend on nothing else."""
    sequence = np.random.SeedSequence(seed, spawn_key=(stream, index))
    return tuple(int(word) for word in sequence.generate_state(4, np.uint64))


class Problem(BaseModel):
    """A boundary-value problem on a box; frozen, hashable, free of solvers, files and networks.

    A concrete problem is a subclass with a default `kind`, parameters as fields of type `Law`, and the hooks below. It is found by
    its kind as soon as its module is imported; a discretisation is registered with `sciml.discretize.discretize`.

    Parameters
    ----------
    dimension : 2 or 3.
    resolution : cells along each axis; one number stands for all axes.
    extent : side lengths of the box; one number stands for all axes.
    boundary : condition of each side.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    dimension: Annotated[int, Field(ge=2, le=3)] = 2
    resolution: tuple[Cells, ...] = (64, 64)
    extent: tuple[Length, ...] = (1.0, 1.0)
    boundary: Boundary = Boundary()

    @model_validator(mode="before")
    @classmethod
    def _one_number_means_all_axes(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            return content
        dimension = content.get("dimension", 2)
        if dimension not in (2, 3):
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
        if self.dimension == 2 and self.boundary.pair("z") != Boundary().pair("z"):
            raise ValueError("boundary names a z side, but dimension = 2: drop it, or set dimension = 3")
        for name, law in self.laws().items():
            field, d = getattr(law, "field", law), self.parameter_grid(name).dimension
            if isinstance(field, GaussianRandomField) and field.alpha <= d / 2:
                what = f"{name}: alpha = {field.alpha:g} gives a field of infinite variance in {d} dimensions"
                raise ValueError(f"{what}: take alpha > {d / 2:g}")
        return self

    # ---- hooks of a concrete problem -------------------------------------------------------------------------------------------

    outputs: ClassVar[tuple[str, ...]]
    """Names of the solution fields."""

    @property
    def units(self) -> dict[str, str]:
        """Unit of each parameter and output; "1" is dimensionless."""
        return dict.fromkeys((*self.laws(), *self.outputs), "1")

    @abstractmethod
    def laws(self) -> dict[str, Law]:
        """Named parameters and their laws, in the order in which their random streams are numbered."""

    @abstractmethod
    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        """Left minus right side of the equation from the derivatives of outputs and parameters at the same points."""

    def exact(self, parameters: Parameters) -> dict[str, Array] | None:
        """Exact outputs at the cell centres; None where no closed form is known."""
        return None

    # ---- what follows from them ------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        return Grid(self.resolution, self.extent)

    @property
    def boundary_kinds(self) -> tuple[tuple[Kind, Kind], ...]:
        """Kind of the condition on the low and high side of each axis."""
        pairs = (self.boundary.pair(axis) for axis in self.grid.axes)
        return tuple((low.kind, high.kind) for low, high in pairs)

    def side_laws(self) -> dict[str, Law]:
        """Laws of the boundary data, named ``boundary_<axis>_<low|high>``; periodic sides carry none."""
        sides = [f"{axis}_{end}" for axis in self.grid.axes for end in ("low", "high")]
        conditions = {side: getattr(self.boundary, side) for side in sides}
        return {f"boundary_{side}": condition.data for side, condition in conditions.items() if condition.kind != "periodic"}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the parameters that vary from sample to sample."""
        return tuple(name for name, law in self.laws().items() if law.is_random)

    def parameter_grid(self, name: str) -> Grid:
        """The grid that a field-valued parameter lives on: the box, or one side of it."""
        if name.startswith("boundary_"):
            return self.grid.without(AXES.index(name.removeprefix("boundary_")[0]))
        return self.grid

    def sample(self, words: Sequence[int], dtype: DTypeLike = np.float64) -> dict[str, Array]:
        """Draw the random parameters.

        Parameters
        ----------
        words : seed words, see `seed_words`; each parameter has a stream of its own.
        dtype : floating type that the values are rounded to, so that a stored sample reproduces its operator exactly.

        Returns
        -------
        dict of arrays: shape of `parameter_grid(name)` for a field, () for a number.
        """
        drawn = {}
        for number, (name, law) in enumerate(self.laws().items()):
            if law.is_random:
                rng = np.random.default_rng(np.random.SeedSequence(list(words), spawn_key=(number,)))
                with np.errstate(over="ignore"):  # what `dtype` cannot hold becomes infinite, which `check` refuses in words
                    drawn[name] = law.sample(self.parameter_grid(name), rng).astype(dtype)
        return drawn

    def value(self, name: str, parameters: Parameters) -> Array:
        """A parameter in float64: from `parameters` where it is random, from its law where that is a constant."""
        law = self.laws()[name]
        if isinstance(law, Constant):
            return np.asarray(law.value)
        if name not in parameters:
            raise DatasetError(f"parameter {name!r} of problem {self.kind!r} is missing: it is random, so every sample must carry it")
        return np.asarray(parameters[name], dtype=np.float64)

    def check(self, parameters: Parameters) -> None:
        """Refuse parameters with missing, misshapen or non-finite values, or outside what their law can give (`DatasetError`)."""
        for name, law in self.laws().items():
            value = self.value(name, parameters)
            if value.ndim and value.shape != self.parameter_grid(name).shape:
                raise DatasetError(f"parameter {name!r} has shape {value.shape}; the grid needs {self.parameter_grid(name).shape}")
            if not np.isfinite(value).all():
                bad = int((~np.isfinite(value)).sum())
                raise DatasetError(f"parameter {name!r} holds {bad} values that are NaN or infinite; repair the data")
            low, high = law_range(law)
            slack = 1e-6 * max(abs(low), abs(high)) if np.isfinite([low, high]).all() else 0.0
            if value.min() < low - slack or value.max() > high + slack:
                raise DatasetError(f"parameter {name!r} lies in [{value.min():g}, {value.max():g}]; its law allows [{low:g}, {high:g}]")

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


def problem_kinds() -> dict[str, type[Problem]]:
    """All problems whose modules have been imported, by kind."""
    found: dict[str, type[Problem]] = {}
    waiting = list(Problem.__subclasses__())
    while waiting:
        candidate = waiting.pop()
        waiting += candidate.__subclasses__()
        kind = candidate.model_fields["kind"].default
        if isinstance(kind, str):
            found[kind] = candidate
    return found
