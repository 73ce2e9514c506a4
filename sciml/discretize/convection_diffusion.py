"""Exponentially fitted finite volumes for convection and diffusion (Scharfetter and Gummel 1969, IEEE Trans. Electron Devices 16).

Between two cell centres, with the normal velocity v of their face and the resistance R of the way (the integral of 1/eps), the
flux of the one-dimensional equation is constant and known exactly,

    J = (B(-P) u_left - B(P) u_right) / R,    P = v R,    B(P) = P / (exp(P) - 1),

for a diffusivity that is constant in each cell. Without flow this is the flux of `solvers.linear.diffusion_operator`; where the flow
dominates it turns into upwinding. Face velocities are differences of the streamfunction, so what enters a cell leaves it, to rounding.
The matrix is hence an M-matrix at every cell Peclet number P, and its fluxes are conservative; second order once P is small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.discretize.linear import LinearSystem, discretize
from sciml.errors import DatasetError
from sciml.problems.convection_diffusion import ConvectionDiffusion
from sciml.problems.problem import Parameters

Array = NDArray[Any]
_ENTERS = 1e-12  # normal velocity over the largest one that counts as a closed wall


@discretize.register
def _convection_diffusion(problem: ConvectionDiffusion, parameters: Parameters) -> LinearSystem:
    problem.check(parameters)
    grid = problem.grid
    reaction = np.broadcast_to(problem.value("reaction", parameters), grid.shape)
    if "dirichlet" not in (kind for pair in problem.boundary_kinds for kind in pair) and not reaction.any():
        raise DatasetError("convection_diffusion without a Dirichlet side and without reaction leaves u undetermined: give one of them")
    assembly = _Assembly(problem, parameters, np.array(reaction))
    for axis in range(2):
        assembly.add_axis(axis)
    return LinearSystem(assembly.matrix(), assembly.rhs, lambda x: {"concentration": x}, lambda fields: fields["concentration"])


def face_velocities(psi: Array, spacing: tuple[float, ...]) -> tuple[Array, Array]:
    """Mean normal velocities (d psi/dy, -d psi/dx) of the faces across x, shape (nx + 1, ny), and across y, shape (nx, ny + 1)."""
    return np.diff(psi, axis=1) / spacing[1], -np.diff(psi, axis=0) / spacing[0]


def bernoulli(p: Array) -> Array:
    """``p / (exp(p) - 1)``, 1 at p = 0."""
    with np.errstate(over="ignore"):
        return np.where(p == 0, 1.0, p / np.expm1(np.where(p == 0, 1.0, p)))


class _Assembly:
    """Diagonal, right-hand side and neighbour entries, collected face by face."""

    def __init__(self, problem: ConvectionDiffusion, parameters: Parameters, reaction: Array) -> None:
        grid = problem.grid
        self.problem, self.parameters = problem, parameters
        self.half = 0.5 / np.broadcast_to(problem.value("diffusivity", parameters), grid.shape)
        self.velocities = face_velocities(problem.corner_streamfunction(parameters), grid.spacing)
        self.fastest = max(float(abs(v).max()) for v in self.velocities)
        self.index = np.arange(reaction.size).reshape(grid.shape)
        self.diagonal = reaction
        self.rhs = np.array(np.broadcast_to(problem.value("source", parameters), grid.shape))
        self.entries: list[tuple[Array, Array, Array]] = []

    def add_axis(self, axis: int) -> None:
        """All faces across one axis; arrays are turned so that it comes first."""
        h = self.problem.grid.spacing[axis]
        index, velocity = (np.moveaxis(array, axis, 0) for array in (self.index, self.velocities[axis]))
        half = h * np.moveaxis(self.half, axis, 0)
        diagonal, rhs = np.moveaxis(self.diagonal, axis, 0), np.moveaxis(self.rhs, axis, 0)
        left, right, faces = slice(None, -1), slice(1, None), slice(1, -1)
        self._couple(index[left], index[right], velocity[faces], half[left] + half[right], h, diagonal[left], diagonal[right])
        pair = self.problem.boundary_kinds[axis]
        if pair[0] == "periodic":
            first, last = slice(0, 1), slice(-1, None)
            self._couple(index[last], index[first], velocity[first], half[last] + half[first], h, diagonal[last], diagonal[first])
            return
        for end, outward, kind in ((0, -velocity[0], pair[0]), (-1, velocity[-1], pair[1])):
            name = f"{self.problem.grid.axes[axis]}_{('low', 'high')[end]}"
            data = self.problem.value(f"boundary_{name}", self.parameters)
            peclet = outward * half[end]
            if kind == "dirichlet":
                diagonal[end] += bernoulli(-peclet) / (half[end] * h)
                rhs[end] += bernoulli(peclet) / (half[end] * h) * data
                continue
            self._refuse_inflow(name, outward)
            # eps du/dn = data at the wall, continued to the centre by the same exponentials: flux = v u - data exp(-P)
            diagonal[end] += outward / h
            rhs[end] += data * np.exp(-peclet) / h

    def _couple(self, left: Array, right: Array, v: Array, resistance: Array, h: float, at_left: Array, at_right: Array) -> None:
        conductance, peclet = 1 / (resistance * h), v * resistance
        leaving, entering = bernoulli(-peclet) * conductance, bernoulli(peclet) * conductance
        at_left += leaving
        at_right += entering
        self.entries += [(left, right, -entering), (right, left, -leaving)]

    def _refuse_inflow(self, name: str, outward: Array) -> None:
        if outward.min() < -_ENTERS * self.fastest:
            raise DatasetError(
                f"boundary.{name} is a Neumann side, but the flow enters there with normal velocity {-outward.min():.3g}: "
                "make it Dirichlet, since what is carried in must be known"
            )

    def matrix(self) -> sp.csr_matrix:
        rows, cols, values = (np.concatenate([entry[part].ravel() for entry in self.entries]) for part in range(3))
        size = self.index.size
        diagonal = sp.diags(self.diagonal.ravel(), format="csr")
        return sp.csr_matrix(sp.csr_matrix((values, (rows, cols)), shape=(size, size)) + diagonal)
