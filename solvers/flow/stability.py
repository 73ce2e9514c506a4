"""Linear stability of a steady flow: the disturbances that decay slowest, or grow.

A discrete flow ``M x_t = -F(x)`` near a steady state has disturbances ``v exp(lambda t)`` with ``(J + sigma M) v = (sigma - lambda) M v``,
J being the Jacobian of F. Arnoldi's method on ``(J + sigma M)^-1 M`` finds the lambda nearest to the real number sigma (Cliffe, Garratt and
Spence, "Eigenvalues of the discretized Navier-Stokes equation with application to the detection of Hopf bifurcations", Adv. Comput. Math. 1
(1993); here by shift-invert alone). They fill a disc around sigma, of a radius R: no growing disturbance of an angular frequency below
``sqrt(R^2 - sigma^2)`` is outside of it. Hence sigma is best not near the axis but of the size of the frequencies looked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers.arguments import number, whole
from solvers.result import SolverError

Array = NDArray[np.float64]
_TURNOVERS = 4  # default shift over the size of the velocity's gradient


@dataclass(frozen=True)
class Stability:
    """Outcome of ``stability()`` of a steady flow.

    Attributes
    ----------
    eigenvalues : lambda of the disturbances ``v exp(lambda t)`` that were found, in units of one over time, the largest real part first.
    shift : the real number that they are nearest to.
    """

    eigenvalues: NDArray[np.complex128]
    shift: float

    def __repr__(self) -> str:
        return f"Stability({self.diagnosis})"

    @property
    def growth_rate(self) -> float:
        """Largest real part: positive for an unstable flow."""
        return float(self.eigenvalues[0].real)

    @property
    def searched(self) -> float:
        """Angular frequency below which no growing disturbance of the discrete flow was overlooked."""
        radius = float(np.abs(self.eigenvalues - self.shift).max())
        return math.sqrt(max(0.0, radius**2 - self.shift**2))

    @property
    def diagnosis(self) -> str:
        rate, frequency = self.growth_rate, abs(self.eigenvalues[0].imag)
        if rate > 0:
            return (
                f"the steady flow is unstable: a disturbance of angular frequency {frequency:.4g} grows as exp({rate:.4g} t), so compare "
                "only with steady solutions, or integrate in time"
            )
        return f"every disturbance of an angular frequency below {self.searched:.4g} decays, the slowest of them as exp({rate:.4g} t)"


def leading(
    solve: Callable[[float], Callable[[Array], Array]],
    mass: spla.LinearOperator,
    gradient: float,
    shift: float | None,
    count: int,
) -> Stability:
    """The `count` eigenvalues nearest to `shift`.

    Parameters
    ----------
    solve : given sigma, the function ``b -> (J + sigma M)^-1 b``.
    mass : M, square.
    gradient : size of the velocity's gradient, what the default of `shift` is taken from.
    shift : sigma, not negative; None takes four times `gradient`.
    count : at least 1, and less than the unknowns by 2.

    Raises
    ------
    TypeError, ValueError : for a shift or a count out of range.
    SolverError : Arnoldi's method did not converge.
    """
    sigma = _TURNOVERS * gradient if shift is None else number("shift", shift)
    if not 0 <= sigma < math.inf:
        raise ValueError(f"shift = {shift} must be finite and not negative: give about the largest angular frequency to look for")
    n = mass.shape[0]
    if not 1 <= whole("count", count) < n - 1:
        raise ValueError(f"count = {count} must be at least 1 and below {n - 1}, the unknowns less one")
    inverse = solve(sigma)
    operator = spla.LinearOperator((n, n), lambda v: inverse(mass @ v), dtype=np.float64)
    start = operator @ np.random.default_rng(0).standard_normal(n)  # with a pressure that belongs to its velocity
    try:
        found = spla.eigs(operator, count, v0=start, ncv=min(n, 2 * count + 20), tol=1e-8, return_eigenvectors=False)
    except spla.ArpackNoConvergence as error:
        raise SolverError(f"stability: Arnoldi's method found {len(error.eigenvalues)} of {count} eigenvalues: ask for fewer") from None
    eigenvalues = sigma - 1 / found
    return Stability(eigenvalues[np.lexsort((-eigenvalues.imag, -eigenvalues.real))], sigma)
