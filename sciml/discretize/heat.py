"""The heat equation on cell centres: second-order finite volumes in space, exact in time.

Fast transforms diagonalise the operator under every pair of sides (`solvers.linear.fast_poisson`); sources and boundary data are
constant in time, for which the exponential integrator makes no error at any step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.discretize.linear import add_side, discretize
from sciml.discretize.semi_discrete import SemiDiscrete
from sciml.problems.heat import Heat
from sciml.problems.problem import Parameters
from solvers.linear.fast_poisson import eigenvalues, from_modes, to_modes
from solvers.linear.stencil import diffusion_operator

Array = NDArray[Any]


@discretize.register
def _heat(problem: Heat, parameters: Parameters) -> SemiDiscrete:
    problem.check(parameters)
    grid, sides = problem.grid, problem.boundary_kinds
    kappa = float(problem.value("diffusivity", parameters))
    operator = diffusion_operator(kappa, shape=grid.shape, spacing=grid.spacing, sides=sides)
    assert operator.constant is not None
    forcing = np.array(np.broadcast_to(problem.value("heating", parameters), grid.shape))
    for axis, name in enumerate(grid.axes):
        for end, kind in zip(("low", "high"), sides[axis], strict=True):
            if kind != "periodic":
                add_side(forcing, operator, axis, end, kind, problem.value(f"boundary_{name}_{end}", parameters), grid.spacing[axis])
    rate = -eigenvalues(operator.constant, grid.shape)
    constant = to_modes(forcing, sides)
    state0 = to_modes(np.array(np.broadcast_to(problem.value("initial_temperature", parameters), grid.shape)), sides)

    def unpack(ys: Array) -> dict[str, Array]:
        return {"temperature": from_modes(ys, sides, grid.shape)}

    return SemiDiscrete(rate, lambda t, y: np.broadcast_to(constant, y.shape), state0, unpack)
