"""Taylor-Hood elements: continuous velocities of degree k >= 2 and pressures of degree k - 1 (Hood and Taylor 1974).

The unknowns are one vector: all x components of the velocity, all y components, the pressures. The discrete equations are ``F(x) = 0`` with

    F_u(v) = int nu grad u : grad v + ((u . grad) u) . v - p div v - f . v,    F_p(q) = -int q div u,

for every v, those on the boundary included: where the velocity is prescribed, F_u is not zero but the force that holds the fluid there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from solvers.arguments import whole
from solvers.elements.assembly import Pattern, load, mass, stiffness, vector
from solvers.elements.dissection import nested_dissection
from solvers.elements.mesh import TriangleMesh
from solvers.elements.space import Geometry, Space, Tabulated
from solvers.elements.triangle import basis, quadrature
from solvers.flow.taylor_hood.problem import Flow

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TaylorHood:
    """The spaces on a mesh, and the matrices that depend on nothing else; `TaylorHood.of` makes them."""

    velocity: Space
    pressure: Space

    @classmethod
    def of(cls, mesh: TriangleMesh, degree: int = 3) -> TaylorHood:
        """Elements of `degree` for the velocity, whose maps bend with the boundary."""
        if whole("degree", degree) < 2:
            raise ValueError(f"degree is {degree}; Taylor-Hood elements need at least 2 for the velocity, or the pressure oscillates")
        geometry = Geometry.of(mesh, degree)
        return cls(Space.of(geometry, degree), Space.of(geometry, degree - 1))

    def __repr__(self) -> str:
        return f"TaylorHood(degree {self.degree}, {len(self.cells)} triangles, {self.n} unknowns)"

    @property
    def n(self) -> int:
        """Number of unknowns, the prescribed ones included."""
        return 2 * self.velocity.n + self.pressure.n

    @property
    def degree(self) -> int:
        return self.velocity.degree

    @cached_property
    def table(self) -> Tabulated:
        """Velocity basis; the rule is exact for the convective term on straight cells."""
        return self.velocity.at_quadrature(3 * self.degree - 1)

    @cached_property
    def pressure_values(self) -> Array:
        """Pressure basis at the points of `table`, shape (q, k_p)."""
        return basis(self.pressure.degree, quadrature(3 * self.degree - 1)[0])

    @cached_property
    def cells(self) -> Integers:
        """Unknowns of each cell, shape (m, 2 k_u + k_p)."""
        u, p, n = self.velocity.numbering.cells, self.pressure.numbering.cells, self.velocity.n
        return np.concatenate([u, n + u, 2 * n + p], axis=1)

    @cached_property
    def pattern(self) -> Pattern:
        return Pattern(self.cells, self.cells, (self.n, self.n))

    @cached_property
    def scalar_pattern(self) -> Pattern:
        cells = self.velocity.numbering.cells
        return Pattern(cells, cells, (self.velocity.n, self.velocity.n))

    @cached_property
    def local_stiffness(self) -> Array:
        return stiffness(self.table)

    @cached_property
    def stiffness(self) -> sp.csr_matrix:
        """``int grad phi_i . grad phi_j`` of one velocity component."""
        return self.scalar_pattern.matrix(self.local_stiffness)

    @cached_property
    def mass(self) -> sp.csr_matrix:
        """``int phi_i phi_j`` of one velocity component."""
        return self.scalar_pattern.matrix(mass(self.table))

    @cached_property
    def local_divergence(self) -> Array:
        """``int q_i d phi_j / d x_d`` on each cell, shape (m, 2, k_p, k_u)."""
        weighted = self.table.gradients * self.table.weights[:, :, None, None]
        return np.asarray(np.einsum("qi,mqdj->mdij", self.pressure_values, weighted, optimize=True))

    @cached_property
    def divergence(self) -> sp.csr_matrix:
        """``int q_i div v_j``, shape (pressures, 2 velocities)."""
        u, p = self.velocity.numbering.cells, self.pressure.numbering.cells
        one = Pattern(p, u, (self.pressure.n, self.velocity.n))
        return sp.hstack([one.matrix(self.local_divergence[:, d]) for d in (0, 1)], format="csr")

    @cached_property
    def pressure_shares(self) -> Array:
        """``int q_i / int 1``, so that the mean of a pressure is its product with these: shape (pressures,), of sum 1."""
        weights = self.table.weights
        return vector(self.pressure.numbering.cells, weights @ self.pressure_values, self.pressure.n) / weights.sum()

    def split(self, x: Array) -> tuple[Array, Array]:
        """Velocity, shape (n, 2), and pressure of a vector of unknowns."""
        n = self.velocity.n
        return np.stack([x[:n], x[n : 2 * n]], axis=1), x[2 * n :]

    def convection(self, velocity: Array) -> Array:
        """``int ((u . grad) u) . v``, shape (n, 2)."""
        local = velocity[self.velocity.numbering.cells]
        u = self.table.values @ local
        m, q, d, k = self.table.gradients.shape
        slopes = (self.table.gradients.reshape(m, q * d, k) @ local).reshape(m, q, d, 2)
        acceleration = np.einsum("mqd,mqdc->mqc", u, slopes)
        return np.stack([self._sum(load(self.table, acceleration[..., c])) for c in (0, 1)], axis=1)

    def force(self, flow: Flow, time: float) -> Array:
        """``int f . v``, shape (n, 2)."""
        if flow.force is None:
            return np.zeros((self.velocity.n, 2))
        positions = self.table.positions
        values = flow.force_at(positions.reshape(-1, 2), time).reshape(positions.shape)
        return np.stack([self._sum(load(self.table, values[..., c])) for c in (0, 1)], axis=1)

    def _sum(self, local: Array) -> Array:
        return vector(self.velocity.numbering.cells, local, self.velocity.n)

    def linear_residual(self, x: Array, viscosity: float) -> Array:
        """F without convection and force."""
        velocity, pressure = self.split(x)
        momentum = viscosity * (self.stiffness @ velocity) - (self.divergence.T @ pressure).reshape(2, -1).T
        return np.concatenate([momentum[:, 0], momentum[:, 1], -self.divergence @ velocity.T.ravel()])

    def jacobian(self, viscosity: float, velocity: Array | None = None, *, reaction: float = 0.0) -> sp.csr_matrix:
        """``F'``, with convection linearised about `velocity`, or without any where that is None, and `reaction` times the mass."""
        ku, table = self.velocity.numbering.cells.shape[1], self.table
        kp = self.pressure.numbering.cells.shape[1]
        local = np.zeros((len(self.cells), 2 * ku + kp, 2 * ku + kp))
        diagonal = viscosity * self.local_stiffness
        if reaction:
            diagonal = diagonal + reaction * mass(table)
        x, y, p = slice(0, ku), slice(ku, 2 * ku), slice(2 * ku, None)
        if velocity is not None:
            nodes = velocity[self.velocity.numbering.cells]
            u = table.values @ nodes
            m, q, d, k = table.gradients.shape
            slopes = (table.gradients.reshape(m, q * d, k) @ nodes).reshape(m, q, d, 2)
            weighted = (table.values * table.weights[:, :, None]).transpose(0, 2, 1)
            diagonal = diagonal + weighted @ np.einsum("mqd,mqdk->mqk", u, table.gradients)
            for row, i in enumerate((x, y)):
                for column, j in enumerate((x, y)):
                    local[:, i, j] = weighted @ (slopes[:, :, column, row, None] * table.values)
        local[:, x, x] += diagonal
        local[:, y, y] += diagonal
        for axis, i in enumerate((x, y)):
            local[:, p, i] = -self.local_divergence[:, axis]
            local[:, i, p] = -self.local_divergence[:, axis].transpose(0, 2, 1)
        return self.pattern.matrix(local)

    @cached_property
    def elimination_rank(self) -> Integers:
        """By which to sort unknowns: nested dissection, and in each separator the pressures, whose diagonal is zero, last."""
        rank, _ = nested_dissection(self.velocity.geometry.nodes[:, :3].mean(axis=1), self.cells, self.n)
        return 2 * rank + (np.arange(self.n) >= 2 * self.velocity.n)
