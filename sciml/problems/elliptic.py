"""The family ``-div(a grad u) + c u = f`` that Poisson, Darcy, screened Poisson, Helmholtz and an implicit heat step belong to."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from sciml.problems.base import BoxProblem
from sciml.problems.problem import Array, Parameters
from sciml.problems.strong_form import StrongForm, box_geometry


class Elliptic(BoxProblem):
    """A scalar self-adjoint elliptic problem with one unknown; indefinite where c is negative enough.

    Boundary data are the parameters ``boundary_<side>``: the value on a Dirichlet side, ``a du/dn`` (outward) on a Neumann side.
    """

    @property
    def unknown(self) -> str:
        """Name of the one output."""
        return self.outputs[0]

    @abstractmethod
    def coefficient(self, parameters: Parameters) -> Array:
        """a: a positive number, or a field of the grid's shape."""

    @abstractmethod
    def reaction(self, parameters: Parameters) -> Array:
        """c: a number or field."""

    @abstractmethod
    def right_hand_side(self, parameters: Parameters) -> Array:
        """f: a number or field."""

    def strong_form(self, parameters: Parameters) -> StrongForm:
        own = [name for name in self.laws() if not name.startswith("boundary_")]
        functions = {name: self.function(name, parameters) for name in own}
        return StrongForm(
            geometry=box_geometry(self.grid),
            outputs=self.outputs,
            residual=lambda jets, found: (self.strong_residual(jets, found),),
            equations=(self.kind,),
            parameters=functions,
            conditions={self.unknown: self.side_conditions(parameters, functions.get("permeability", 1.0))},
            periodic=self.closed_axes,
        )

    def side_value(self, side: str, parameters: Parameters) -> Array:
        """Boundary data of a side such as ``"x_low"``: a number, or a field of the side's shape."""
        return np.asarray(self.value(f"boundary_{side}", parameters))
