"""Linearised vorticity equations by GMRES with two levels of modes: the low ones by dense LU, the high ones as Stokes flow."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers.flow.streamfunction.galerkin import StreamfunctionGalerkin
from solvers.linear import GMRES, linear_solve

Array = NDArray[np.float64]

_FORCING = 1e-4  # relative residual of a linearised system: four digits a Newton step
_SUFFICES = 0.1  # a step whose residual is no larger still serves
_RENEW = 60  # iterations after which the next step gets factors of its own
_LIMIT = 400


class TwoLevelCorrection:
    """The equation of a `StreamfunctionGalerkin` for `newton`, with its linear solver.

    The basis is hierarchical and orthonormal but for lower-order terms, so convection couples high modes weakly to all others:
    the Jacobian among the first `modes` functions of each direction is factorised as it stands, and for the rest the biharmonic
    operator stands for it. Factors are kept from step to step while GMRES needs few iterations.
    """

    def __init__(self, galerkin: StreamfunctionGalerkin, modes: int) -> None:
        self.galerkin = galerkin
        self.modes = min(modes, *galerkin.shape)
        self.factorizations = 0
        self.iterations: list[int] = []
        self._stokes = spla.splu(galerkin.problem.viscosity * galerkin.stokes)
        self._factors: tuple[Array, Array] | None = None

    def residual(self, state: Array) -> Array:
        return self.galerkin.residual(state)

    def correction(self, state: Array, residual: Array) -> Array | None:
        if self._factors is None or self.iterations[-1] > _RENEW:
            jacobian = self.galerkin.jacobian(state, self.modes)
            if not np.isfinite(jacobian).all():
                return None
            self._factors = scipy.linalg.lu_factor(jacobian, overwrite_a=True, check_finite=False)
            self.factorizations += 1
        apply, shape = self.galerkin.derivative(state), self.galerkin.shape
        A = spla.LinearOperator((residual.size,) * 2, matvec=lambda d: apply(d.reshape(shape)).ravel(), dtype=float)
        M = spla.LinearOperator((residual.size,) * 2, matvec=self._precondition, dtype=float)
        solution = linear_solve(A, residual.ravel(), GMRES(restart=_LIMIT // 2), M=M, rtol=_FORCING, maxiter=_LIMIT)
        self.iterations.append(solution.iterations)
        if not solution.relative_residual <= _SUFFICES:
            return None
        return solution.x.reshape(shape)

    def _precondition(self, r: Array) -> Array:
        m, shape = self.modes, self.galerkin.shape
        z = self._stokes.solve(r).reshape(shape)
        z[:m, :m] = scipy.linalg.lu_solve(self._factors, r.reshape(shape)[:m, :m].ravel(), check_finite=False).reshape(m, m)
        return np.asarray(z.ravel())
