"""Steady flow in a rectangle: continuation in the Reynolds number at a low degree, then Newton's method at the degree asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers.arguments import number, shown, whole
from solvers.flow.stability import Stability, leading
from solvers.flow.streamfunction.galerkin import StreamfunctionGalerkin, StreamfunctionProblem
from solvers.flow.streamfunction.jet import StreamJet
from solvers.flow.streamfunction.legendre import HERMITE
from solvers.flow.streamfunction.newton import NewtonResult, NewtonStatus, newton
from solvers.flow.streamfunction.two_level import TwoLevelCorrection
from solvers.result import SolverError

Array = NDArray[np.float64]
log = logging.getLogger(__name__)

COARSE = 48  # degree of the continuation, and of the modes that are factorised
_FIRST = 100.0  # Reynolds number that Newton's method reaches from Stokes flow
_FACTOR, _SMALLEST = 2.5, 1.05  # of one Reynolds number to the next


@dataclass(frozen=True)
class StreamfunctionFlow:
    """Outcome of a steady solve.

    Attributes
    ----------
    galerkin, state : the discrete equation and the coefficients that solve it; after a failure of the continuation the last that were
        found, whose viscosity is ``galerkin.problem.viscosity``.
    status : SUCCESS if and only if the recomputed residual at the viscosity and degree asked for meets the tolerance. That says nothing
        of stability: see `stability`.
    viscosity : what was asked for.
    residual_norms : of Newton's method at the degree asked for, relative to ``viscosity ||Laplacian R||`` of the guess where that is not 0.
    newton_iterations, gmres_iterations, factorizations : costs, continuation included.
    notes : sentences that a reader of the solution must know.
    """

    galerkin: StreamfunctionGalerkin
    state: Array
    status: NewtonStatus
    viscosity: float
    residual_norms: NDArray[np.float64]
    newton_iterations: int
    gmres_iterations: int
    factorizations: int
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        what = f"{self.status.name} at viscosity {self.galerkin.problem.viscosity:.6g}, degree {self.galerkin.degree}"
        return f"StreamfunctionFlow({what}, {self.newton_iterations} Newton iterations)"

    def jet(self, x: Array, y: Array) -> StreamJet:
        """Streamfunction, velocity and vorticity on the grid of all (x_i, y_j), shape (x.size, y.size)."""
        return self.galerkin.jet(self.state, np.atleast_1d(x), np.atleast_1d(y))

    @property
    def diagnosis(self) -> str:
        reached = self.galerkin.problem.viscosity
        if reached == self.viscosity:
            return self.status.value
        return (
            f"continuation from viscosity {reached:.6g} to {self.viscosity:.6g} failed, and the flow returned is that at {reached:.6g}: "
            f"{self.status.value}"
        )

    def raise_for_status(self) -> StreamfunctionFlow:
        """Return self after a success; raise `SolverError` with the diagnosis otherwise."""
        if self.status is not NewtonStatus.SUCCESS:
            raise SolverError(f"steady flow: {self.status.name}: {self.diagnosis}")
        return self

    def stability(self, *, shift: float | None = None, count: int = 40, modes: int = COARSE - HERMITE + 1) -> Stability:
        """Whether disturbances made of the first `modes` functions of each direction grow, by the eigenvalues nearest to `shift`.

        Polynomials that do not resolve the disturbances may show growth where there is none, or hide it: repeat with more of them.

        Parameters
        ----------
        shift : about the largest angular frequency to look for; None takes four times the mean magnitude of the vorticity.
        count : of eigenvalues.
        modes : a dense matrix of ``modes^2`` rows is factorised.

        Raises
        ------
        TypeError, ValueError, SolverError : see `solvers.flow.stability.leading`.
        """
        if whole("modes", modes) < 1:
            raise ValueError(f"modes is {modes}; it must be at least 1")
        galerkin = self.galerkin
        jacobian, mass = galerkin.jacobian(self.state, modes), galerkin.kinetic(modes)

        def solve(sigma: float) -> Callable[[Array], Array]:
            factors = scipy.linalg.lu_factor(jacobian + (sigma * mass).toarray())
            return lambda b: np.asarray(scipy.linalg.lu_solve(factors, b))

        return leading(solve, spla.aslinearoperator(mass), galerkin.mean_shear(self.state), shift, count)


def solve_streamfunction(problem: StreamfunctionProblem, degree: int, *, rtol: float = 1e-11, coarse: int = COARSE) -> StreamfunctionFlow:
    """Solve the steady Navier-Stokes equations in a rectangle with velocity prescribed on its sides.

    Stops at ``||residual||_2 <= rtol viscosity ||Laplacian R||``, with R of the guess, and the residual tested with functions that are
    orthonormal in the second derivatives of each direction. A steady state is found whether it is stable or not, and
    `StreamfunctionFlow.stability` tells which.

    Parameters
    ----------
    degree : of the polynomials in each direction, at least 8.
    rtol : see above.
    coarse : degree at which the flow is followed from Stokes flow to `problem.viscosity`; also the number of modes that are factorised
        as dense matrices, of ``coarse^2`` rows.

    Raises
    ------
    TypeError, ValueError : for what is no problem, a degree that is too low, an rtol that is not in (0, 1).
    """
    if not isinstance(problem, StreamfunctionProblem):
        raise TypeError(f"problem = {shown(problem)} is no flow in a rectangle: give a StreamfunctionProblem")
    if min(whole("degree", degree), whole("coarse", coarse)) < 8:
        raise ValueError(f"solve_streamfunction: degree is {degree} and coarse {coarse}; both must be at least 8")
    if not 0 < number("rtol", rtol) < 1:
        raise ValueError(f"solve_streamfunction: rtol is {rtol}; it must lie between 0 and 1")
    follower = _Continuation(problem, min(degree, coarse), rtol)
    found = follower.run()
    if found.result.status is NewtonStatus.SUCCESS and degree > coarse:
        found = follower.refine(found, degree)
    return StreamfunctionFlow(
        found.galerkin, found.result.state, found.result.status, problem.viscosity,
        np.array(found.result.residual_norms) / (found.scale or 1.0),
        follower.newton_iterations, follower.gmres_iterations, follower.factorizations,
    )  # fmt: skip


@dataclass(frozen=True)
class _Found:
    galerkin: StreamfunctionGalerkin
    result: NewtonResult
    scale: float


class _Continuation:
    """Follows a flow from high viscosity to the one asked for, and counts what that takes."""

    def __init__(self, problem: StreamfunctionProblem, degree: int, rtol: float) -> None:
        self.problem, self.degree, self.rtol = problem, degree, rtol
        self.newton_iterations = self.gmres_iterations = self.factorizations = 0

    def run(self) -> _Found:
        """The flow at the viscosity asked for; on failure the last flow found, with the status of the step that failed."""
        target = self.problem.viscosity
        galerkin = self._at(max(target, _speed_times_length(self.problem) / _FIRST))
        found = self._newton(galerkin, galerkin.stokes_flow())
        factor = _FACTOR
        while found.result.status is NewtonStatus.SUCCESS and found.galerkin.problem.viscosity > target:
            nearer = self._at(max(target, found.galerkin.problem.viscosity / factor))
            attempt = self._newton(nearer, nearer.projection(found.galerkin, found.result.state))
            log.debug("viscosity %.4g: %s in %d steps", nearer.problem.viscosity, attempt.result.status.name, attempt.result.iterations)
            if attempt.result.status is NewtonStatus.SUCCESS:
                found = attempt
            elif factor > _SMALLEST:
                factor **= 0.5
            else:
                return replace(found, result=replace(found.result, status=attempt.result.status))
        return found

    def refine(self, coarse: _Found, degree: int) -> _Found:
        """The same flow at a higher degree."""
        finer = StreamfunctionGalerkin(self.problem, degree)
        guess = np.zeros(finer.shape)
        mx, my = coarse.galerkin.shape
        guess[:mx, :my] = coarse.result.state
        return self._newton(finer, guess)

    def _at(self, viscosity: float) -> StreamfunctionGalerkin:
        return StreamfunctionGalerkin(self.problem.with_viscosity(viscosity), self.degree)

    def _newton(self, galerkin: StreamfunctionGalerkin, guess: Array) -> _Found:
        system, scale = TwoLevelCorrection(galerkin, self.degree - HERMITE + 1), galerkin.viscous_norm(guess)
        result = newton(system, guess, tolerance=self.rtol * scale)
        self.newton_iterations += result.iterations
        self.gmres_iterations += sum(system.iterations)
        self.factorizations += system.factorizations
        return _Found(galerkin, result, scale)


def _speed_times_length(problem: StreamfunctionProblem) -> float:
    """What viscosity is compared with: the largest velocity along a side times the longer side, or the flux through the boundary."""
    length = max(high - low for low, high in (problem.x, problem.y))
    slopes, fluxes = [0.0], [0.0]
    for name, side in problem.sides.items():
        s = np.linspace(0.0, 1.0, 65)
        x, y = (ends[0] + s * (ends[1] - ends[0]) for ends in (problem.x, problem.y))
        match name:
            case "left" | "right":
                x = np.full_like(s, problem.x[name == "right"])
            case _:
                y = np.full_like(s, problem.y[name == "top"])
        slopes.append(float(np.abs(side.slope(x, y)).max()))
        fluxes.append(float(np.ptp(side.psi(x, y))))
    return max(max(slopes) * length, *fluxes)
