"""Linear systems of steady problems, and the residual of any field under the same operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, singledispatch
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.discretize.marched_flow import MarchedFlow
from sciml.discretize.semi_discrete import SemiDiscrete
from sciml.errors import DatasetError
from sciml.grid import Grid
from sciml.problems.base import BoxProblem
from sciml.problems.elliptic import Elliptic
from sciml.problems.problem import Parameters, Problem
from solvers.linear.amg import Hierarchy
from solvers.linear.fast_poisson import fast_solve
from solvers.linear.stencil import ConstantCoefficients, Sides, StencilOperator, diffusion_operator

Array = NDArray[Any]
_UNIT_ROUNDOFF_32 = 2.0**-24
_COMPATIBLE = 1e-6  # relative imbalance that rounding of stored data may leave in a pure Neumann or periodic problem


@dataclass(frozen=True, eq=False)
class LinearSystem:
    """``operator @ x = rhs``.

    Attributes
    ----------
    operator : `StencilOperator` or SciPy sparse matrix.
    rhs : array of the unknowns' shape.
    unpack : solution array -> named output fields; `pack` is its inverse.
    hierarchy : interpolations that suit every matrix of the problem, to precondition with; None where solvers do without.
    """

    operator: StencilOperator | sp.csr_matrix
    rhs: Array
    unpack: Callable[[Array], dict[str, Array]]
    pack: Callable[[Mapping[str, Array]], Array]
    hierarchy: Hierarchy | None = None


@singledispatch
def discretize(problem: Problem, parameters: Parameters) -> LinearSystem | SemiDiscrete | MarchedFlow:
    """Assemble the linear system of a steady problem, what an evolving one integrates, or a flow; register another kind with
    ``@discretize.register``.

    Raises
    ------
    DatasetError : parameters that are missing, misshapen, not finite or out of range, or a source that a pure Neumann or periodic
        problem cannot balance.
    """
    raise TypeError(f"no discretisation is registered for problem kind {problem.kind!r}")


def linear_system(problem: Problem, parameters: Parameters) -> LinearSystem:
    """`discretize` of a steady linear problem; raises TypeError for any other."""
    system = discretize(problem, parameters)
    if isinstance(system, MarchedFlow):
        raise TypeError(f"problem kind {problem.kind!r} is a flow: it has no linear system, and its fields a `steady_error`")
    if not isinstance(system, LinearSystem):
        raise TypeError(f"problem kind {problem.kind!r} evolves in time: it has no linear system, and its fields a `temporal_error`")
    return system


@discretize.register
def elliptic_system(problem: Elliptic, parameters: Parameters) -> LinearSystem:
    """Finite volumes for ``-div(a grad u) + c u = f``, see `solvers.linear.diffusion_operator`."""
    problem.check(parameters)
    grid = problem.grid
    operator = _operator(problem, problem.coefficient(parameters), problem.reaction(parameters))
    rhs = np.array(np.broadcast_to(problem.right_hand_side(parameters), grid.shape))
    spacing, kinds = grid.spacing, problem.boundary_kinds
    for axis, name in enumerate(grid.axes):
        for end, kind in zip(("low", "high"), kinds[axis], strict=True):
            if kind != "periodic":
                data = problem.side_value(f"{name}_{end}", parameters)
                add_side(rhs, operator, axis, end, kind, data, spacing[axis])
    if operator.is_singular:
        _balance(problem, rhs)
    return LinearSystem(operator, rhs, lambda x: {problem.unknown: x}, lambda fields: fields[problem.unknown])


def _operator(problem: Elliptic, coefficient: Array, reaction: Array) -> StencilOperator:
    if coefficient.ndim == 0 and reaction.ndim == 0:
        return _constant_operator(problem.grid, problem.boundary_kinds, float(coefficient), float(reaction))
    grid = problem.grid
    return diffusion_operator(coefficient, shape=grid.shape, spacing=grid.spacing, sides=problem.boundary_kinds, reaction=reaction)


@lru_cache(maxsize=4)
def _constant_operator(grid: Grid, sides: Sides, coefficient: float, reaction: float) -> StencilOperator:
    """The same object for the same numbers, by which samples that can be solved together are known; nothing may write into it."""
    return diffusion_operator(coefficient, shape=grid.shape, spacing=grid.spacing, sides=sides, reaction=reaction)


def add_side(rhs: Array, operator: StencilOperator, axis: int, end: str, kind: str, data: Array, h: float) -> None:
    """Move known boundary data to the right-hand side of the cells that touch the side."""
    layer = (slice(None),) * axis + (0 if end == "low" else -1,)
    rhs[layer] += operator.faces[axis][layer] * data if kind == "dirichlet" else data / h


def _balance(problem: Problem, rhs: Array) -> None:
    """Without Dirichlet sides sources and boundary fluxes must cancel; remove the rounding of that, refuse anything larger."""
    total, scale = float(rhs.mean()), float(np.abs(rhs).max())
    if abs(total) > _COMPATIBLE * scale:
        raise DatasetError(
            f"problem {problem.kind!r} has no Dirichlet side, and its source and boundary fluxes add up to {total:g} per unit volume "
            "instead of 0, so no solution exists: balance them, or make one side Dirichlet"
        )
    rhs -= total


@dataclass(frozen=True)
class Residual:
    """How well given fields satisfy the discrete equations.

    Attributes
    ----------
    relative : ``||b - A x||_2 / ||b||_2``; of an evolving problem the time error, see `temporal_error`.
    relative_dual : the same ratio in the norm of H^-1, through the constant-coefficient operator with the problem's boundary
        conditions; rough errors count for as much as they move the solution. NaN where the unknowns are not one field on the grid.
    rounding : what rounding the fields to float32 can add to `relative`, ``u ||  |A| |x|  ||_2 / ||b||_2`` with u = 2^-24.
    """

    relative: float
    relative_dual: float
    rounding: float


def discrete_residual(problem: Problem, parameters: Parameters, fields: Mapping[str, Array]) -> Residual:
    """Residual of `fields` (true, stored or predicted) under the operator that the solver used.

    Examples
    --------
    >>> from sciml.problems import Poisson
    >>> wave = {"wavenumbers": (3.0, 2.0), "phases": (0.3, 0.1)}
    >>> problem = Poisson(resolution=32, solution=wave)
    >>> discrete_residual(problem, {}, problem.exact({})).relative_dual < 2e-3  # the truncation error of the scheme
    True
    """
    system = linear_system(problem, parameters)
    A, b = system.operator, system.rhs
    x = np.asarray(system.pack(fields), np.float64).ravel()
    scale = float(np.abs(b).max()) or 1.0  # norms of very small or large numbers would vanish or overflow
    x, b = x / scale, b / scale
    residual = b - np.asarray(A @ x).reshape(b.shape)
    norm = float(np.linalg.norm(b)) or 1.0
    magnitude = A.abs_matvec(x) if isinstance(A, StencilOperator) else abs(A) @ np.abs(x)
    rounding = _UNIT_ROUNDOFF_32 * float(np.linalg.norm(magnitude)) / norm
    return Residual(float(np.linalg.norm(residual)) / norm, _relative_dual(problem, residual, b), rounding)


def _relative_dual(problem: Problem, residual: Array, b: Array) -> float:
    if not (isinstance(problem, BoxProblem) and b.shape == problem.grid.shape):
        return float("nan")
    return _dual_norm(problem, residual) / (_dual_norm(problem, b) or 1.0)


def _dual_norm(problem: BoxProblem, r: Array) -> float:
    """``sqrt(r . L^-1 r)`` with L the negative Laplacian under the problem's boundary conditions."""
    laplacian = ConstantCoefficients(tuple(h**-2 for h in problem.grid.spacing), problem.boundary_kinds, 0.0)
    return math.sqrt(max(float(np.vdot(r, fast_solve(laplacian, r))), 0.0))
