"""The fourth-order exponential Runge-Kutta method ETDRK4 for ``y' = L y + N(t, y)`` with diagonal L.

Cox and Matthews, "Exponential time differencing for stiff systems", J. Comput. Phys. 176 (2002), equations 26 to 29; the
coefficients as in Kassam and Trefethen, "Fourth-order time-stepping for stiff PDEs", SIAM J. Sci. Comput. 26 (2005), section 3:
each is the mean of its formula over a circle of radius 1 about z = L h, where the formula does not cancel, and by Cauchy's theorem
that mean is the value at the centre. With N constant in time and state the method is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.integrators.kinds import in_kind, to_numpy

Array = NDArray[Any]
#: Points on the circle; the mean converges like 1 / points!, far below rounding for 32.
_POINTS = 32


class DiagonalStep:
    """The step for states that share one step size, with the weights of the last size kept.

    Half of the products that the general formula with phi functions takes (`solvers.integrators.exponential`), which serves all else.
    """

    def __init__(self, diagonal: Any, nonlinear: Callable[[Any, Any], Any]) -> None:
        self.diagonal, self.nonlinear = to_numpy(diagonal), nonlinear
        self.h: float | None = None
        self.weights: tuple[Any, ...] = ()

    def __call__(self, t: float, y: Any, h: float) -> Any:
        """The state at t + h."""
        if h != self.h:
            z = self.diagonal * h
            self.h, self.weights = h, tuple(in_kind(w, y) for w in (np.exp(z), np.exp(z / 2), *coefficients(z, h)))
        (E, E2, Q, f1, f2, f3), N = self.weights, self.nonlinear
        Ny = N(t, y)
        a = E2 * y + Q * Ny
        Na = N(t + h / 2, a)
        b = E2 * y + Q * Na
        Nb = N(t + h / 2, b)
        c = E2 * a + Q * (2 * Nb - Ny)
        return E * y + f1 * Ny + f2 * (2 * (Na + Nb)) + f3 * N(t + h, c)


def coefficients(z: Array, h: float) -> tuple[Array, Array, Array, Array]:
    """``h (e^(z/2) - 1) / z`` and the three weights of the last stage, real for real z.

    Parameters
    ----------
    z : L h, any shape.
    """
    real = not np.iscomplexobj(z)
    # On the upper half of the circle alone the real part of the mean is the same for real z.
    angles = np.pi * (np.arange(_POINTS // 2 if real else _POINTS) + 0.5) / (_POINTS // 2)
    sums = [np.zeros(z.shape, complex) for _ in range(4)]
    for point in np.exp(1j * angles):
        w = z + point
        e = np.exp(w)
        sums[0] += (np.exp(w / 2) - 1) / w
        sums[1] += (-4 - w + e * (4 - 3 * w + w**2)) / w**3
        sums[2] += (2 + w + e * (w - 2)) / w**3
        sums[3] += (-4 - 3 * w - w**2 + e * (4 - w)) / w**3
    Q, f1, f2, f3 = (h / len(angles) * (total.real if real else total) for total in sums)
    return Q, f1, f2, f3
