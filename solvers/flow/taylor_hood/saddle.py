"""The linear systems of a flow: which unknowns are free, their order, factors, and corrections."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers.flow.taylor_hood.problem import Flow
from solvers.flow.taylor_hood.spaces import TaylorHood
from solvers.flow.taylor_hood.state import FlowState

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
_PIVOT = 0.01  # a diagonal entry that large, against its column, is pivot: hardly any row moves, and the order keeps the factors small
_BALANCE = 1e-3  # of what could flow through the boundary: more left over is no error of interpolation


@dataclass(frozen=True, eq=False)
class SaddlePoint:
    """Elements and a flow, from which the free unknowns follow."""

    spaces: TaylorHood
    flow: Flow

    @cached_property
    def prescribed(self) -> dict[str, Integers]:
        """Velocity nodes of each part where the velocity is given."""
        return {part: self.spaces.velocity.nodes_on(part) for part in self.flow.velocity}

    @cached_property
    def fixed_nodes(self) -> Integers:
        return np.unique(np.concatenate([np.zeros(0, np.int64), *self.prescribed.values()]))

    @cached_property
    def free(self) -> Integers:
        """Unknowns to solve for, in the order of elimination. In an enclosed flow the last pressure is left out: it stays 0."""
        spaces = self.spaces
        keep = np.ones(spaces.n, bool)
        keep[self.fixed_nodes] = keep[spaces.velocity.n + self.fixed_nodes] = False
        order = np.argsort(spaces.elimination_rank, kind="stable")
        order = order[keep[order]]
        if self.flow.enclosed:
            order = np.delete(order, np.flatnonzero(order >= 2 * spaces.velocity.n)[-1])
        return order

    def with_boundary(self, x: Array, time: float) -> Array:
        """A copy of x with the velocities prescribed at a time; `ValueError` where an enclosed flow gains or loses fluid.

        What little fluid the interpolated velocities gain or lose is taken out evenly: see `balanced`.
        """
        spaces, x = self.spaces, x.copy()
        n = spaces.velocity.n
        for part, nodes in self.prescribed.items():
            values = self.flow.velocity_on(part, spaces.velocity.coordinates[nodes], time)
            x[nodes], x[n + nodes] = values[:, 0], values[:, 1]
        if self.flow.enclosed:
            self._refuse_imbalance(x, time)
        return x

    def _refuse_imbalance(self, x: Array, time: float) -> None:
        everywhere, pressure = self.spaces.split(x)
        velocity = np.zeros_like(everywhere)  # without what is inside, whose rounding would be a net flow between walls at rest
        velocity[self.fixed_nodes] = everywhere[self.fixed_nodes]
        scale = np.abs(velocity).max() * np.ptp(self.spaces.velocity.coordinates, axis=0).max()
        if abs((self.spaces.divergence @ velocity.T.ravel()).sum()) > _BALANCE * scale:
            state = FlowState(self.spaces, self.flow.viscosity, time, velocity, pressure, velocity)
            fluxes = [state.flux(part) for part in self.flow.velocity]
            shown = ", ".join(f"{part} {flux:.6g}" for part, flux in zip(self.flow.velocity, fluxes, strict=True))
            raise ValueError(
                f"velocity: at time {time:g} the net outflow of the enclosed domain is {sum(fluxes):.6g} instead of 0 ({shown}): "
                "balance the velocities, or list a part in outflow"
            )

    def balanced(self, residual: Array) -> Array:
        """The residual with the net flow through an enclosed boundary spread over the domain as a source: ``div u = flux / area``."""
        if self.flow.enclosed:
            continuity = residual[2 * self.spaces.velocity.n :]
            continuity -= self.spaces.pressure_shares * continuity.sum()
        return residual

    def join(self, state: FlowState) -> Array:
        """The vector of unknowns of a state."""
        return np.concatenate([state.velocity[:, 0], state.velocity[:, 1], state.pressure])

    def force(self, time: float) -> Array:
        """``int f . v``, shape (n, 2)."""
        return self.spaces.force(self.flow, time)

    def factorize(self, matrix: sp.csr_matrix) -> Any:
        """SuperLU's factors of the free rows and columns; `LinAlgError` where they are singular or not finite."""
        block = sp.csc_matrix(matrix[self.free][:, self.free])
        block.eliminate_zeros()
        if not np.isfinite(block.data).all():
            raise np.linalg.LinAlgError("the matrix is not finite")
        try:
            return spla.splu(block, permc_spec="NATURAL", diag_pivot_thresh=_PIVOT, options={"SymmetricMode": True})
        except RuntimeError as error:
            raise np.linalg.LinAlgError(f"the matrix of the flow cannot be factorised: {error}") from None

    def corrected(self, x: Array, factors: Any, residual: Array) -> Array:
        """``x - A^-1 residual`` on the free unknowns."""
        x = x.copy()
        x[self.free] -= factors.solve(residual[self.free])
        return x

    def state(self, x: Array, residual: Array, viscosity: float, time: float) -> FlowState:
        """The state of a vector of unknowns; the pressure of an enclosed flow gets mean 0."""
        velocity, pressure = self.spaces.split(x)
        if self.flow.enclosed:
            pressure = pressure - self.spaces.pressure_shares @ pressure
        reactions = np.zeros_like(velocity)
        reactions[self.fixed_nodes] = residual[: velocity.size].reshape(2, -1).T[self.fixed_nodes]
        return FlowState(self.spaces, viscosity, time, velocity, pressure, reactions)
