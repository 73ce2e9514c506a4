"""One step of the methods that `march` offers: the diagonal terms exactly or implicitly, the convective ones explicitly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from solvers.flow.periodic.spectral import SpectralFlow
from solvers.flow.periodic.transforms import transforms_of
from solvers.integrators.etdrk4 import coefficients

#: (state, its nonlinear terms, history) -> (state a step later, history).
Step = Callable[[Any, Any, Any], tuple[Any, Any]]


class FlowMethod(Protocol):
    """A time stepping method.

    Attributes
    ----------
    order : of the global error.
    evaluations : of the nonlinear terms in a step.
    limit : largest step over the largest convective frequency (see `SpectralFlow.nonlinear_and_rate`) that is let through.
    """

    order: ClassVar[int]
    evaluations: ClassVar[int]
    limit: ClassVar[float]

    def stepper(self, flow: SpectralFlow, h: float, like: Any) -> Step:
        """The step of length h for states like `like`; history is None before the first step, then what the last step returned."""


@dataclass(frozen=True)
class ETDRK4:
    """Exponential Runge-Kutta method of fourth order, see `solvers.integrators.etdrk4`, for NumPy and torch states.

    Without the diagonal terms it is the classical Runge-Kutta method, which is stable up to 2 sqrt(2) on the imaginary axis.
    """

    order: ClassVar = 4
    evaluations: ClassVar = 4
    limit: ClassVar = 2.8

    def stepper(self, flow: SpectralFlow, h: float, like: Any) -> Step:
        xp = transforms_of(like)
        z = np.asarray(flow.linear) * h
        E, E2, *rest = (xp.constant(a) for a in (np.exp(z), np.exp(z / 2), *coefficients(z, h)))
        Q, f1, f2, f3 = rest
        f2 = 2 * f2

        def step(y: Any, Ny: Any, history: Any) -> tuple[Any, Any]:
            half = E2 * y
            a = Q * Ny
            a += half
            Na = flow.nonlinear(0.0, a)
            half += Q * Na
            Nb = flow.nonlinear(0.0, half)
            a *= E2
            a += Q * (2 * Nb - Ny)
            Nc = flow.nonlinear(0.0, a)
            Na += Nb
            Na *= f2
            Nc *= f3
            Nc += Na
            Nc += f1 * Ny
            Nc += E * y
            return Nc, None

        return step


@dataclass(frozen=True)
class CNAB2:
    """Crank-Nicolson for the diagonal terms, Adams-Bashforth for the others, of second order also where the step changes.

    The first step is one of Euler's method, whose error is of second order in h. On the imaginary axis the Adams-Bashforth method
    is not stable: per step a convective mode of frequency w grows by the factor 1 + (w h)^4 / 4, which `limit` keeps below 1e-3.
    Peyret, "Spectral Methods for Incompressible Viscous Flow", Springer 2002, section 4.5.1.
    """

    order: ClassVar = 2
    evaluations: ClassVar = 1
    limit: ClassVar = 0.25

    def stepper(self, flow: SpectralFlow, h: float, like: Any) -> Step:
        xp = transforms_of(like)
        z = np.asarray(flow.linear) * h
        growth, weight = xp.constant((1 + z / 2) / (1 - z / 2)), xp.constant(h / (1 - z / 2))

        def step(y: Any, Ny: Any, history: Any) -> tuple[Any, Any]:
            if history is None:
                rate = Ny
            else:
                before, h_before = history
                ratio = h / h_before
                rate = (1 + ratio / 2) * Ny - (ratio / 2) * before
            return growth * y + weight * rate, (Ny, h)

        return step


METHODS: dict[str, FlowMethod] = {"etdrk4": ETDRK4(), "cnab2": CNAB2()}
