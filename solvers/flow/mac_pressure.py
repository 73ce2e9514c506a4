"""The projection of the staggered-grid solver: ``-div grad psi = -div u``, directly where it is separable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from solvers.linear.cg import multigrid_cg
from solvers.linear.direct import factorize
from solvers.linear.fast_poisson import fast_solve
from solvers.linear.multigrid import MultigridHierarchy
from solvers.linear.stencil import ConstantCoefficients, Sides, StencilOperator, diffusion_operator
from solvers.linear.system import System
from solvers.result import SolverError

Array = NDArray[np.float64]


class PressureSolver:
    """Solves for the potential of a projection, always with the same matrix.

    Without solids the matrix is diagonal under fast transforms. Solids cut faces out of it: in the plane it is factorised once, in space
    conjugate gradients with multigrid start from the pressure before. In cells that no open side can be reached from the potential is
    known up to a constant; one of them then couples to zero, which changes nothing where as much flows in as out.

    Parameters
    ----------
    shape, spacing : the grid.
    sides : what the pressure meets, see `pressure_sides`.
    solid : cells without fluid, of the grid's shape; None is none.
    """

    def __init__(self, shape: Sequence[int], spacing: Sequence[float], sides: Sides, solid: NDArray[np.bool_] | None) -> None:
        self.closed = not any("dirichlet" in pair for pair in sides)
        self.iterations = 0
        self._last, self._weight = np.zeros(tuple(shape)), 0.0
        self._constant = ConstantCoefficients(tuple(1 / h**2 for h in spacing), sides, 0.0)
        self._operator: StencilOperator | None = None
        if solid is not None:
            self._operator = _around(solid, diffusion_operator(1.0, shape=tuple(shape), spacing=spacing, sides=sides))
            if len(shape) == 2:
                self._factors = factorize(self._operator)
            else:
                self._hierarchy = MultigridHierarchy(self._operator)

    def solve(self, rhs: Array, weight: float, tolerance: float) -> Array:
        """The potential for a velocity that a pressure acted on for the time `weight`.

        Iterations start from the last potential over its own weight, and end at `tolerance`, on the Euclidean norm of the residual.

        Raises
        ------
        SolverError : the iterations did not converge.
        """
        if self._operator is None:
            return fast_solve(self._constant, rhs)
        if rhs.ndim == 2:
            return np.asarray(self._factors.solve(rhs.reshape(1, -1)).reshape(rhs.shape))
        guess = self._last * (weight / self._weight) if self._weight > 0 else self._last
        system = System(self._operator, rhs.ravel(), guess.ravel(), None, tolerance, None, None)
        attempt = multigrid_cg(system, self._hierarchy)
        self.iterations += attempt.iterations
        if not attempt.residual_norms[-1] <= 10 * tolerance:  # rounding may stop it a little above
            excess = attempt.residual_norms[-1] / tolerance
            raise SolverError(f"the pressure was not found: the residual stays {excess:.2g} times too large")
        self._last, self._weight = np.asarray(attempt.x.reshape(rhs.shape)), weight
        return self._last


def _around(solid: NDArray[np.bool_], whole: StencilOperator) -> StencilOperator:
    """The operator without the faces of solid cells, definite."""
    faces = []
    for axis, face in enumerate(whole.faces):
        low, high = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
        cut = face.copy()
        cut[low][solid] = 0.0
        cut[high][solid] = 0.0
        if whole.periodic[axis]:  # the first face is the last one
            along = np.moveaxis(cut, axis, 0)
            along[0] = along[-1] = np.minimum(along[0], along[-1])
        faces.append(cut)
    operator = StencilOperator(tuple(faces), np.zeros_like(whole.reaction), whole.periodic)
    matrix = operator.to_csr()
    matrix.eliminate_zeros()
    _, label = connected_components(matrix, directed=False)
    anchored = np.zeros(label.max() + 1, bool)
    open_rows = np.asarray(matrix.sum(axis=1)).ravel() > 1e-9 * whole.diagonal.ravel()
    anchored[label[open_rows]] = True
    first = np.unique(label, return_index=True)[1]
    reaction = np.zeros(whole.size)
    reaction[first[~anchored]] = whole.diagonal.ravel()[first[~anchored]]
    return StencilOperator(tuple(faces), reaction.reshape(solid.shape), whole.periodic)
