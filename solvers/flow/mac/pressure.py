"""The projection of the staggered-grid solver: ``-div grad psi = -div u``, directly where it is separable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from solvers.flow.mac.capacitance import CapacitanceMatrix
from solvers.linear.cg import multigrid_cg
from solvers.linear.direct import factorize
from solvers.linear.fast_poisson import fast_solve
from solvers.linear.multigrid import MultigridHierarchy
from solvers.linear.stencil import ConstantCoefficients, Sides, StencilOperator, diffusion_operator
from solvers.linear.system import System
from solvers.result import SolverError

Array = NDArray[np.float64]
Solve: TypeAlias = Callable[[Array], Array]
#: Cut faces up to which a dense matrix of that size is worth it, by dimension: in space multigrid takes about two transforms' time.
_LARGEST_CAPACITANCE = {2: 2000, 3: 500}
#: Relative residual that iterations can always reach.
_REACHABLE = 1e-13
#: Residual of a single cell over their root mean square that is taken for an even spread.
_SPREAD = 8.0


class PressureSolver:
    """Solves for the potential of a projection, always with the same matrix.

    Without solids the matrix is diagonal under fast transforms. Around solids

    * a capacitance matrix corrects these where the box alone is not singular, having an open side, and few faces are cut,
    * otherwise the matrix is factorised in the plane; in space conjugate gradients with multigrid start from the pressure before.

    In cells that no open side can be reached from the potential is known up to a constant; one of them then couples to zero, which
    changes nothing where as much flows in as out.

    Parameters
    ----------
    shape, spacing : the grid.
    sides : what the pressure meets, see `pressure_sides`.
    solid : cells without fluid, of the grid's shape; None is none.
    """

    def __init__(self, shape: tuple[int, ...], spacing: Sequence[float], sides: Sides, solid: NDArray[np.bool_] | None) -> None:
        self.closed = not any("dirichlet" in pair for pair in sides)
        self.iterations = 0
        constant = ConstantCoefficients(tuple(1 / h**2 for h in spacing), sides, 0.0)
        self._last, self._weight = np.zeros(shape), 0.0
        self._hierarchy: MultigridHierarchy | None = None
        if solid is None:
            self._direct: Solve = lambda rhs: fast_solve(constant, rhs)
            return
        around = _around(solid, diffusion_operator(1.0, shape=shape, spacing=spacing, sides=sides))
        first, second, weights = around.corrections
        if not self.closed and len(first) <= _LARGEST_CAPACITANCE[len(shape)]:
            self._direct = CapacitanceMatrix(constant, shape, first, second, weights).solve
        elif len(shape) == 2:
            factors = factorize(around.operator)
            self._direct = lambda rhs: np.asarray(factors.solve(rhs.reshape(1, -1)).reshape(shape))
        else:
            self._hierarchy = MultigridHierarchy(around.operator)

    def solve(self, rhs: Array, weight: float, tolerance: float) -> Array:
        """The potential for a velocity that a pressure acted on for the time `weight`; `rhs` may be overwritten.

        Iterations start from the last potential over its own weight, and end at `tolerance`, on the Euclidean norm of the residual, or at
        a part of the right-hand side that rounding allows, which is what counts in a fluid that was at rest.

        Raises
        ------
        SolverError : the iterations did not converge.
        """
        if self._hierarchy is None:
            return self._direct(rhs)
        guess = self._last * (weight / self._weight) if self._weight > 0 else self._last
        tolerance = max(tolerance, _REACHABLE * float(np.linalg.norm(rhs)), float(np.finfo(float).tiny))
        x = self._iterate(rhs, guess, tolerance)
        # residuals of all cells add up in an anchored one, since nothing else can take what does not flow out elsewhere
        left = rhs - (self._hierarchy.operator @ x - self._hierarchy.operator.reaction * x)
        each = tolerance / rhs.size**0.5
        if np.abs(left).max() > _SPREAD * each:
            x = x + self._iterate(left, np.zeros_like(rhs), each)
        self._last, self._weight = x, weight
        return x

    def _iterate(self, rhs: Array, guess: Array, tolerance: float) -> Array:
        assert self._hierarchy is not None
        system = System(self._hierarchy.operator, rhs.ravel(), guess.ravel(), None, tolerance, None, None)
        attempt = multigrid_cg(system, self._hierarchy)
        self.iterations += attempt.iterations
        if not attempt.residual_norms[-1] <= 10 * tolerance:  # rounding may stop it a little above
            excess = attempt.residual_norms[-1] / tolerance
            raise SolverError(f"the pressure was not found: the residual stays {excess:.2g} times too large")
        return np.asarray(attempt.x.reshape(rhs.shape))


@dataclass(frozen=True, eq=False)
class _Around:
    """The definite operator around solids, and what it takes to make it from that of the box: see `CapacitanceMatrix`."""

    operator: StencilOperator
    corrections: tuple[NDArray[np.int64], NDArray[np.int64], Array]


def _around(solid: NDArray[np.bool_], whole: StencilOperator) -> _Around:
    """Cut the faces between solid and fluid, and anchor one cell of every part that no open side can be reached from."""
    number = np.arange(solid.size).reshape(solid.shape)
    faces, first, second, weights = [], [], [], []
    for axis, face in enumerate(whole.faces):
        cut = face.copy()
        along, cells, numbers = np.moveaxis(cut, axis, 0), np.moveaxis(solid, axis, 0), np.moveaxis(number, axis, 0)
        border = cells[1:] != cells[:-1]
        first.append(numbers[:-1][border])
        second.append(numbers[1:][border])
        weights.append(-along[1:-1][border])
        along[1:-1][border] = 0.0
        if whole.periodic[axis]:  # the first face is the last one
            border = cells[0] != cells[-1]
            first.append(numbers[-1][border])
            second.append(numbers[0][border])
            weights.append(-along[0][border])
            along[0][border] = along[-1][border] = 0.0
        faces.append(cut)
    matrix = StencilOperator(tuple(faces), np.zeros_like(whole.reaction), whole.periodic).to_csr()
    matrix.eliminate_zeros()
    _, label = connected_components(matrix, directed=False)
    diagonal = whole.diagonal.ravel()
    open_rows = np.asarray(matrix.sum(axis=1)).ravel() > 1e-9 * diagonal
    reached = np.zeros(label.max() + 1, bool)
    reached[label[open_rows]] = True
    anchors = np.unique(label, return_index=True)[1][~reached]
    reaction = np.zeros(whole.size)
    reaction[anchors] = diagonal[anchors]
    first.append(anchors)
    second.append(np.full(len(anchors), -1))
    weights.append(diagonal[anchors])
    operator = StencilOperator(tuple(faces), reaction.reshape(solid.shape), whole.periodic)
    return _Around(operator, (np.concatenate(first), np.concatenate(second), np.concatenate(weights)))
