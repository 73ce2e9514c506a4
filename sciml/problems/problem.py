"""What every PDE problem declares: a domain, named parameters with their laws, outputs, units, residual, exact solution."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import BaseModel, ConfigDict

from sciml.errors import DatasetError
from sciml.fields import Constant, Disks, GaussianRandomField, Law, Support, Wave, law_range
from sciml.grid import Grid
from sciml.mesh.mesh import Mesh
from sciml.problems.jet import Jets
from sciml.problems.strong_form import StrongForm
from sciml.problems.transport import Transport

Array = NDArray[Any]
Parameters = Mapping[str, Array]


def seed_words(seed: int, stream: int, index: int) -> tuple[int, ...]:
    """The four 64-bit words that sample `index` of a stream is drawn from; they depend on nothing else."""
    sequence = np.random.SeedSequence(seed, spawn_key=(stream, index))
    return tuple(int(word) for word in sequence.generate_state(4, np.uint64))


class Problem(BaseModel):
    """A boundary-value problem; frozen, hashable, free of solvers, files and networks.

    A concrete problem is a subclass, of `BoxProblem` or `MeshElliptic`, with a default `kind`, parameters as fields of type `Law`, and
    the hooks below. It is found by its kind as soon as its module is imported; a discretisation is registered with
    `sciml.discretize.discretize`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str

    # ---- hooks of a concrete problem -------------------------------------------------------------------------------------------

    outputs: ClassVar[tuple[str, ...]]
    """Names of the solution fields."""
    certificate: ClassVar[str] = "residual"
    """What the figure is that every sample is judged by, and stored with as ``relative_residual``; a word, or words joined by _."""

    @property
    @abstractmethod
    def domain(self) -> Grid | Mesh:
        """Where the outputs have their values."""

    @abstractmethod
    def support(self, name: str) -> Support:
        """Where a field-valued parameter has its values."""

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
        """Exact outputs where the domain has its values; None where no closed form is known."""
        return None

    def strong_form(self, parameters: Parameters) -> StrongForm:
        """The same problem at points, for networks; raises `DatasetError` where it has none, with the reason."""
        raise DatasetError(f"problem {self.kind!r} has no form at points that a network could be trained on; take a neural operator")

    def transport(self, parameters: Parameters) -> Transport:
        """The same problem as transport along a closed line; raises `DatasetError` where it is none, with the reason."""
        what = f"problem {self.kind!r} is not transport around a periodic interval, whose particles a network could follow"
        raise DatasetError(f"{what}: take kind = 'convection' or 'burgers', or train model = 'pinn' on it")

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Generators of the group under which equal transformations of inputs give equally transformed outputs."""
        return ()

    # ---- what follows from them ------------------------------------------------------------------------------------------------

    def refuse_unfit_laws(self) -> None:
        """Refuse laws that do not fit the dimension (`ValueError`); a domain's validator calls this last.

        Gaussian fields need a variance in the limit of fine grids, disks as many coordinates as there are axes.
        """
        for name, law in self.laws().items():
            field, d = getattr(law, "field", law), self.support(name).dimension
            if isinstance(law, Disks) and len(law.low) != d:
                raise ValueError(
                    f"{name}: low = {list(law.low)} of disks does not fit {d} dimensions: give low and high one number an axis"
                )
            if isinstance(field, GaussianRandomField) and d == 0:
                raise ValueError(f"{name}: a side of a 1-D box is a point, which no field lives on: give a number, or kind = 'uniform'")
            if isinstance(field, GaussianRandomField) and field.alpha <= d / 2:
                what = f"{name}: alpha = {field.alpha:g} gives a field of infinite variance in {d} dimensions"
                raise ValueError(f"{what}: take alpha > {d / 2:g}")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the parameters that vary from sample to sample."""
        return tuple(name for name, law in self.laws().items() if law.is_random)

    def sample(self, words: Sequence[int], dtype: DTypeLike = np.float64) -> dict[str, Array]:
        """Draw the random parameters.

        Parameters
        ----------
        words : seed words, see `seed_words`; each parameter has a stream of its own.
        dtype : floating type that the values are rounded to, so that a stored sample reproduces its operator exactly.

        Returns
        -------
        dict of arrays: shape of `support(name)` for a field, () for a number.
        """
        drawn = {}
        for number, (name, law) in enumerate(self.laws().items()):
            if law.is_random:
                rng = np.random.default_rng(np.random.SeedSequence(list(words), spawn_key=(number,)))
                with np.errstate(over="ignore"):  # what `dtype` cannot hold becomes infinite, which `check` refuses in words
                    drawn[name] = law.sample(self.support(name), rng).astype(dtype)
        return drawn

    def value(self, name: str, parameters: Parameters) -> Array:
        """A parameter in float64: from `parameters` where it is random, from its law where that is a constant."""
        return self._value(name, self.laws()[name], parameters)

    def _value(self, name: str, law: Law, parameters: Parameters) -> Array:
        if isinstance(law, Constant):
            return np.asarray(law.value)
        if isinstance(law, Wave):
            return np.asarray(law.sample(self.support(name), np.random.default_rng(0)))
        if name not in parameters:
            raise DatasetError(f"parameter {name!r} of problem {self.kind!r} is missing: it is random, so every sample must carry it")
        return np.asarray(parameters[name], dtype=np.float64)

    def check(self, parameters: Parameters) -> None:
        """Refuse parameters with missing, misshapen or non-finite values, or outside what their law can give (`DatasetError`)."""
        for name, law in self.laws().items():
            value = self._value(name, law, parameters)
            if value.ndim and value.shape != (needed := self.support(name).shape):
                place = type(self.domain).__name__.lower()
                raise DatasetError(f"parameter {name!r} has shape {value.shape}; the {place} needs {needed}")
            smallest, largest = value.min(), value.max()
            if not (np.isfinite(smallest) and np.isfinite(largest)):
                bad = int((~np.isfinite(value)).sum())
                raise DatasetError(f"parameter {name!r} holds {bad} values that are NaN or infinite; repair the data")
            low, high = law_range(law)
            slack = 1e-6 * max(abs(low), abs(high)) if np.isfinite([low, high]).all() else 0.0
            if smallest < low - slack or largest > high + slack:
                raise DatasetError(f"parameter {name!r} lies in [{smallest:g}, {largest:g}]; its law allows [{low:g}, {high:g}]")


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
