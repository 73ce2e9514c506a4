"""Steady flow by Newton's method, from lower to higher Reynolds number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers.arguments import finites, number, shown, whole
from solvers.flow.stability import Stability, leading
from solvers.flow.taylor_hood.problem import Flow
from solvers.flow.taylor_hood.saddle import SaddlePoint
from solvers.flow.taylor_hood.spaces import TaylorHood
from solvers.flow.taylor_hood.state import FlowState
from solvers.result import SolverError

Array = NDArray[np.float64]
_SHORTEST = 1 / 32  # of a Newton step: where none of the longer ones helps, this one may lead out of a dead end


class SteadyStatus(Enum):
    """How a search for a steady flow ended; the value is the sentence a user needs."""

    SUCCESS = "the residual at the viscosity asked for meets the tolerance"
    DIVERGED = (
        "Newton's method diverged or ran out of iterations: go there by more viscosities in between, refine the mesh, or integrate "
        "in time where no steady state is stable"
    )


@dataclass(frozen=True, eq=False)
class SteadyFlow:
    """Outcome of `steady_flow`.

    Attributes
    ----------
    flow : what was solved for.
    state : the flow; after a failure the last one that converged, whose viscosity is ``state.viscosity``.
    status : SUCCESS where the residual norm met the tolerance at every viscosity. That says nothing of stability: see `stability`.
    viscosities : that were tried; the last one is that of the flow, or the one that failed.
    residual_norms : for each of them the Euclidean norms of the residual, from the initial guess on.
    unknowns : number of velocity and pressure values that were solved for.
    fill : entries in the factors of the last matrix.
    """

    flow: Flow
    state: FlowState
    status: SteadyStatus
    viscosities: tuple[float, ...]
    residual_norms: tuple[tuple[float, ...], ...]
    unknowns: int
    fill: int

    def __repr__(self) -> str:
        norms = self.residual_norms[-1]
        what = f"{self.status.name} at viscosity {self.viscosities[-1]:.6g}, residual {norms[-1]:.3g} after {len(norms) - 1} iterations"
        return f"SteadyFlow({what}, {self.unknowns} unknowns)"

    def raise_for_status(self) -> SteadyFlow:
        """Return self after a success; raise `SolverError` with the viscosity that failed and the last good one otherwise."""
        if self.status is not SteadyStatus.SUCCESS:
            failed, norms = self.viscosities[-1], self.residual_norms[-1]
            kept = f"the flow of viscosity {self.state.viscosity:.6g}" if len(self.viscosities) > 1 else "where it started"
            raise SolverError(
                f"steady flow: {self.status.name} at viscosity {failed:.6g}, residual {norms[-1]:.3e} after {len(norms) - 1} iterations; "
                f"the state is {kept}: {self.status.value}"
            )
        return self

    def stability(self, *, shift: float | None = None, count: int = 40) -> Stability:
        """Whether disturbances of `state` grow, by the `count` eigenvalues of the discrete equations nearest to `shift`.

        It costs one factorisation and some hundreds of solves with it. On a mesh that does not resolve the flow it speaks of the
        discrete flow alone.

        Parameters
        ----------
        shift : about the largest angular frequency to look for; None takes four times the root mean square of the velocity's gradient.

        Raises
        ------
        TypeError, ValueError, SolverError : see `solvers.flow.stability.leading`.
        """
        state, spaces = self.state, self.state.spaces
        saddle = SaddlePoint(spaces, self.flow)
        mass = sp.block_diag([spaces.mass, spaces.mass, sp.csr_matrix((spaces.pressure.n,) * 2)], format="csr")[saddle.free][:, saddle.free]
        gradient = np.sqrt(np.sum(state.velocity * (spaces.stiffness @ state.velocity)) / spaces.mass.sum())

        def solve(sigma: float) -> Callable[[Array], Array]:
            factors = saddle.factorize(spaces.jacobian(state.viscosity, state.velocity, reaction=sigma))
            return lambda b: np.asarray(factors.solve(b))

        return leading(solve, spla.aslinearoperator(mass), float(gradient), shift, count)


def steady_flow(
    flow: Flow,
    *,
    degree: int = 3,
    spaces: TaylorHood | None = None,
    viscosities: Sequence[float] = (),
    guess: FlowState | None = None,
    rtol: float = 1e-10,
    maxiter: int = 12,
) -> SteadyFlow:
    """Solve ``(u . grad) u - nu lap u + grad p = f``, ``div u = 0``.

    Newton's method with an exact Jacobian, damped steps, and a sparse LU factorisation in nested dissection order. Each viscosity starts
    from the flow of the one before, the first from the Stokes flow. A steady state is found whether it is stable or not, and
    `SteadyFlow.stability` tells which.

    Parameters
    ----------
    degree : of the velocity elements, 2 or more; the pressure's is one less. Not used where `spaces` are given.
    spaces : elements on ``flow.mesh``, to be used again; None makes them.
    viscosities : larger ones to pass through on the way to ``flow.viscosity``, descending.
    guess : a flow on the same spaces to start from; None is the Stokes flow.
    rtol : success is ``||F||_2 <= rtol ||F_0||_2``, F_0 being the residual of the fluid at rest at the same viscosity.
    maxiter : Newton iterations for each viscosity.

    Raises
    ------
    TypeError, ValueError
        Something else than a flow, settings out of range, viscosities that do not descend to the flow's own, a boundary velocity that is
        not finite, an enclosed flow into which more flows than out of it, a guess on other spaces.
    """
    if not isinstance(flow, Flow):
        raise TypeError(f"flow = {shown(flow)} is no flow on triangles: give Flow(mesh, viscosity, velocity, outflow)")
    if not 0 < number("rtol", rtol) < 1 or whole("maxiter", maxiter) < 1:
        raise ValueError(f"rtol = {rtol} must lie between 0 and 1, and maxiter = {maxiter} be at least 1")
    stages = (*finites("viscosities", viscosities, "give them in a list"), flow.viscosity)
    if any(not high > low for high, low in pairwise(stages)):
        raise ValueError(f"viscosities = {tuple(viscosities)} must descend, and end above that of the flow, {flow.viscosity}")
    spaces = TaylorHood.of(flow.mesh, degree) if spaces is None else spaces
    if guess is not None and not isinstance(guess, FlowState):
        raise TypeError(f"guess = {shown(guess)} is no state: give a FlowState, as the state of another steady_flow")
    if guess is not None and guess.spaces is not spaces:
        raise ValueError("guess is a flow on other spaces: pass spaces=guess.spaces")
    saddle = SaddlePoint(spaces, flow)
    x = saddle.with_boundary(np.zeros(spaces.n), 0.0) if guess is None else saddle.with_boundary(saddle.join(guess), 0.0)
    norms: list[tuple[float, ...]] = []
    state, fill = guess, 0
    for k, viscosity in enumerate(stages):
        stage = _Stage(saddle, replace(flow, viscosity=viscosity))
        rest = float(np.linalg.norm(stage.residual(saddle.with_boundary(np.zeros(spaces.n), 0.0))[saddle.free]))
        if k == 0 and guess is None:
            x, fill = stage.stokes(x)
            state = stage.state(x)
        found, history, used = stage.newton(x, rtol * rest, maxiter)
        norms.append(tuple(history))
        fill = used or fill
        if not history[-1] <= rtol * rest:
            assert state is not None
            return SteadyFlow(flow, state, SteadyStatus.DIVERGED, stages[: k + 1], tuple(norms), len(saddle.free), fill)
        x, state = found, stage.state(found)
    assert state is not None
    return SteadyFlow(flow, state, SteadyStatus.SUCCESS, stages, tuple(norms), len(saddle.free), fill)


@dataclass(frozen=True, eq=False)
class _Stage:
    """The discrete equations at one viscosity."""

    saddle: SaddlePoint
    flow: Flow

    def residual(self, x: Array) -> Array:
        saddle, spaces = self.saddle, self.saddle.spaces
        momentum = spaces.convection(spaces.split(x)[0]) - saddle.force(0.0)
        residual = spaces.linear_residual(x, self.flow.viscosity)
        residual[: momentum.size] += momentum.T.ravel()
        return saddle.balanced(residual)

    def stokes(self, x: Array) -> tuple[Array, int]:
        saddle, spaces = self.saddle, self.saddle.spaces
        residual = spaces.linear_residual(x, self.flow.viscosity)
        residual[: 2 * spaces.velocity.n] -= saddle.force(0.0).T.ravel()
        factors = saddle.factorize(spaces.jacobian(self.flow.viscosity))
        return saddle.corrected(x, factors, saddle.balanced(residual)), factors.L.nnz + factors.U.nnz

    def newton(self, x: Array, tolerance: float, maxiter: int) -> tuple[Array, list[float], int]:
        """The last iterate, the residual norms, and the entries of the last factors (0 where none were needed)."""
        saddle, fill = self.saddle, 0
        residual = self.residual(x)
        norms = [float(np.linalg.norm(residual[saddle.free]))]
        while not norms[-1] <= tolerance and len(norms) <= maxiter and np.isfinite(norms[-1]):
            velocity, _ = saddle.spaces.split(x)
            try:
                factors = saddle.factorize(saddle.spaces.jacobian(self.flow.viscosity, velocity))
            except np.linalg.LinAlgError:
                norms.append(np.inf)
                break
            fill = factors.L.nnz + factors.U.nnz
            x, residual = self._damped(x, saddle.corrected(x, factors, residual), norms[-1])
            norms.append(float(np.linalg.norm(residual[saddle.free])))
        return x, norms, fill

    def _damped(self, x: Array, full: Array, norm: float) -> tuple[Array, Array]:
        """Where the step from x to `full`, halved until the residual falls, leads, and the residual there (Deuflhard 2011, section 3.1)."""
        step, residual = 1.0, self.residual(full)
        while step > _SHORTEST and not np.linalg.norm(residual[self.saddle.free]) < (1 - step / 4) * norm:
            step /= 2
            residual = self.residual(x + step * (full - x))
        return x + step * (full - x), residual

    def state(self, x: Array) -> FlowState:
        return self.saddle.state(x, self.residual(x), self.flow.viscosity, 0.0)
