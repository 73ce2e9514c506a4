"""Poisson's equation ``-Laplacian u = f``, with a manufactured solution where one is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from sciml.fields import Law, Wave
from sciml.grid import AXES
from sciml.problems.elliptic import Elliptic
from sciml.problems.jet import Jet, Jets
from sciml.problems.problem import Array, Parameters
from sciml.problems.strong_form import Condition, StrongForm, box_geometry


class WaveSolution(Wave):
    """``u = amplitude prod_k cos(wavenumbers_k x_k + phases_k)``, from which source and boundary data follow."""

    amplitude: Annotated[FiniteFloat, Field(gt=0)] = 1.0

    def jet(self, points: tuple[Array, ...]) -> Jet:
        """Value, gradient and Laplacian at `points` (one coordinate array an axis)."""
        angles = [k * x + p for k, x, p in zip(self.wavenumbers, points, self.phases, strict=True)]
        value = self.amplitude * np.prod(np.cos(angles), axis=0)
        gradient = tuple(
            -self.amplitude * k * np.sin(angles[axis]) * np.prod([np.cos(a) for other, a in enumerate(angles) if other != axis], axis=0)
            for axis, k in enumerate(self.wavenumbers)
        )
        return Jet(value, gradient, -sum(k**2 for k in self.wavenumbers) * value)


class Poisson(Elliptic):
    """``-Laplacian u = f`` in the box.

    Parameters
    ----------
    source : law of f.
    solution : instead of `source`, a manufactured solution from which f and all boundary data follow.
    """

    outputs: ClassVar = ("potential",)

    kind: Literal["poisson"] = "poisson"
    source: Law | None = None
    solution: WaveSolution | None = None

    @model_validator(mode="after")
    def _solution_fits(self) -> Poisson:
        if (self.source is None) == (self.solution is None):
            raise ValueError("give either source or solution: a manufactured solution fixes the source")
        if self.solution is None:
            return self
        if len(self.solution.wavenumbers) != self.dimension or len(self.solution.phases) != self.dimension:
            raise ValueError(f"solution needs {self.dimension} wavenumbers and phases for dimension = {self.dimension}")
        for axis, k in enumerate(self.solution.wavenumbers):
            turns = k * self.grid.extent[axis] / (2 * np.pi)
            if self.boundary_kinds[axis][0] == "periodic" and abs(turns - round(turns)) > 1e-12:
                step = 2 * np.pi / self.grid.extent[axis]
                raise ValueError(f"solution.wavenumbers[{axis}] = {k} is not periodic over the box: take a multiple of {step}")
        return self

    def laws(self) -> dict[str, Any]:
        return {} if self.source is None else {"source": self.source, **self.side_laws()}

    @property
    def symmetries(self) -> tuple[str, ...]:
        return () if self.solution else super().symmetries

    def coefficient(self, parameters: Parameters) -> Array:
        return np.asarray(1.0)

    def reaction(self, parameters: Parameters) -> Array:
        return np.asarray(0.0)

    def right_hand_side(self, parameters: Parameters) -> Array:
        if self.solution:
            # Averages over cells here and over faces below balance exactly, so a pure Neumann problem stays solvable on the grid.
            return -np.asarray(self.solution.jet(self.grid.points()).laplacian) * self._averaging(range(self.dimension))
        return self.value("source", parameters)

    def side_value(self, side: str, parameters: Parameters) -> Array:
        if not self.solution:
            return super().side_value(side, parameters)
        axis, high = AXES.index(side[0]), side.endswith("high")
        jet = self.solution.jet(self._side_points(axis, high))
        if self.boundary_kinds[axis][high] == "dirichlet":
            return np.asarray(jet.value)
        assert jet.gradient is not None
        outward = jet.gradient[axis] if high else -jet.gradient[axis]
        return np.asarray(outward * self._averaging(k for k in range(self.dimension) if k != axis))

    def _averaging(self, axes: Iterable[int]) -> float:
        """Factor between a wave at the centre of a cell and its mean over the cell along `axes`: sin(kh/2) / (kh/2) for each."""
        assert self.solution is not None
        return float(np.prod([np.sinc(self.solution.wavenumbers[k] * self.grid.spacing[k] / (2 * np.pi)) for k in axes]))

    def _side_points(self, axis: int, high: bool) -> tuple[Array, ...]:
        along = self.grid.without(axis).points()
        wall = np.full(along[0].shape, self.grid.extent[axis] if high else 0.0)
        return (*along[:axis], wall, *along[axis:])

    def strong_form(self, parameters: Parameters) -> StrongForm:
        if self.solution is None:
            return super().strong_form(parameters)
        u = self.solution
        conditions = []
        for axis, pair in zip(AXES, self.boundary_kinds, strict=False):
            for high, kind in enumerate(pair):
                if kind != "periodic":
                    slope = partial(_outward, u, AXES.index(axis), 1.0 if high else -1.0)
                    conditions.append(Condition(f"{axis}_{'high' if high else 'low'}", kind, u if kind == "dirichlet" else slope))
        return StrongForm(
            geometry=box_geometry(self.grid),
            outputs=self.outputs,
            residual=lambda jets, found: (self.strong_residual(jets, found),),
            equations=(self.kind,),
            parameters={"source": lambda *x: u.squared_wavenumber * u(*x)},
            conditions={self.unknown: tuple(conditions)},
            periodic=self.closed_axes,
            exact={self.unknown: u},
        )

    def exact(self, parameters: Parameters) -> dict[str, Array] | None:
        return {"potential": np.asarray(self.solution.jet(self.grid.points()).value)} if self.solution else None

    def strong_residual(self, jets: Jets, parameters: Jets) -> Any:
        return self.residual(jets, parameters)

    @staticmethod
    def residual(jets: Jets, parameters: Jets) -> Any:
        """The strong residual, whatever the domain."""
        return -jets["potential"].laplacian - parameters["source"].value


def _outward(u: WaveSolution, axis: int, sign: float, *x: Any) -> Any:
    return sign * u.derivative(axis, *x)
