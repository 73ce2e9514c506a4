"""A discrete flow at one time, and what is read off it: forces, pressure differences, wall shear, fields."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.elements.assembly import vector
from solvers.flow.taylor_hood.spaces import TaylorHood
from solvers.linear.direct import factorize

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FlowState:
    """Velocity and pressure of Taylor-Hood elements.

    Attributes
    ----------
    spaces : the elements.
    viscosity : nu.
    time : of the state; 0 where it is steady.
    velocity : at the nodes of ``spaces.velocity``, shape (n, 2).
    pressure : at the nodes of ``spaces.pressure``, shape (m,).
    reactions : residual of the momentum equation where the velocity is prescribed, the force of the boundary on the fluid divided among its
        nodes; zero elsewhere. Shape (n, 2).
    """

    spaces: TaylorHood
    viscosity: float
    time: float
    velocity: Array
    pressure: Array
    reactions: Array

    def __repr__(self) -> str:
        speed = float(np.sqrt((self.velocity**2).sum(axis=1)).max())
        return f"FlowState(viscosity {self.viscosity:.6g}, time {self.time:.6g}, speeds up to {speed:.6g}, {self.spaces})"

    def wall_force(self, part: str) -> Array:
        """Force of the fluid on a part, shape (2,): minus the residual against the function that is 1 there and 0 at all other nodes.

        It equals ``int_part (p n - nu du/dn)``, n pointing out of the fluid, with twice the order of a surface integral of the discrete
        stress (Babuska and Miller 1984; for this flow John and Matthies 2001, eq. 13). For a wall at rest that is the whole stress.
        """
        return np.asarray(-self.reactions[self.spaces.velocity.nodes_on(part)].sum(axis=0))

    def wall_force_by_stress(self, part: str) -> Array:
        """The same force from the surface integral ``int_part (p n - nu du/dn) ds`` of the discrete stress, shape (2,).

        Of lower order than `wall_force`: a check of it, and a force where a part touches another part that moves.
        """
        velocity = self.spaces.velocity.on_edges(part, 3 * self.spaces.degree)
        pressure = self.spaces.pressure.on_edges(part, 3 * self.spaces.degree)
        assert velocity.cells is not None
        assert velocity.normals is not None
        assert pressure.cells is not None
        slopes = np.einsum("eqdk,ekc->eqcd", velocity.gradients, self.velocity[velocity.cells])
        p = np.einsum("eqk,ek->eq", pressure.values, self.pressure[pressure.cells])
        traction = p[..., None] * velocity.normals - self.viscosity * np.einsum("eqcd,eqd->eqc", slopes, velocity.normals)
        return np.asarray(np.einsum("eq,eqc->c", velocity.weights, traction))

    def velocity_at(self, points: ArrayLike) -> Array:
        """Velocity at points, shape (n, 2); NaN outside the mesh."""
        return self.spaces.velocity.evaluate(self.velocity, np.asarray(points, np.float64))

    def pressure_at(self, points: ArrayLike) -> Array:
        """Pressure at points, shape (n,); NaN outside the mesh."""
        return self.spaces.pressure.evaluate(self.pressure, np.asarray(points, np.float64))

    def vorticity_at(self, points: ArrayLike) -> Array:
        """``dv/dx - du/dy`` at points, shape (n,); NaN outside the mesh. It jumps between cells."""
        slopes = self.spaces.velocity.gradient(self.velocity, np.asarray(points, np.float64))
        return np.asarray(slopes[:, 1, 0] - slopes[:, 0, 1])

    def flux(self, part: str) -> float:
        """``int_part u . n ds``, n pointing out of the domain."""
        table = self.spaces.velocity.on_edges(part, 2 * self.spaces.degree + 2)
        assert table.cells is not None
        assert table.normals is not None
        normal = np.einsum("eqk,ekc,eqc->eq", table.values, self.velocity[table.cells], table.normals)
        return float((table.weights * normal).sum())

    def separation_points(self, part: str) -> Array:
        """Where along x the wall shear on a horizontal part changes its sign, ascending: separation and reattachment.

        The shear ``du/dy`` is taken at the ends and inner points of each edge of the mesh and joined by straight lines; it jumps by the
        error of the discretisation between cells, so that a zero within a jump is counted once, at the node.
        """
        table = self.spaces.velocity.on_edges(part, 2 * self.spaces.degree)
        assert table.cells is not None
        shear = np.einsum("eqk,ek->eq", table.gradients[:, :, 1, :], self.velocity[table.cells][..., 0]).ravel()
        order = np.argsort(table.positions[..., 0].ravel())
        x, shear = table.positions[..., 0].ravel()[order], shear[order]
        k = np.flatnonzero(shear[:-1] * shear[1:] < 0)
        return np.asarray(x[k] - shear[k] * (x[k + 1] - x[k]) / (shear[k + 1] - shear[k]))

    def streamfunction(self, still: str) -> Array:
        """psi with ``u = d psi/dy, v = -d psi/dx`` at the velocity nodes, zero where it is at the first node of the part `still`.

        It solves ``lap psi = -omega`` weakly, ``int grad psi . grad w = int (-v, u) . grad w`` for every w, so that the flux through the
        boundary is a natural condition and needs no integration along it.
        """
        space, table = self.spaces.velocity, self.spaces.table
        cells = space.numbering.cells
        u = table.values @ self.velocity[cells]
        rotated = np.stack([-u[..., 1], u[..., 0]], axis=-1)
        local = np.einsum("mq,mqd,mqdk->mk", table.weights, rotated, table.gradients, optimize=True)
        matrix = self.spaces.stiffness
        start = int(space.nodes_on(still)[0])
        free = np.delete(np.arange(space.n), start)
        psi = np.zeros(space.n)
        psi[free] = factorize(matrix[free][:, free]).solve(vector(cells, local, space.n)[None, free])[0]
        return psi
