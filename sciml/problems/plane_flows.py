"""Plane incompressible flows that networks are judged by: closed forms, steady and in time, and a cylinder in a channel.

Each function returns the strong form of one flow: velocity and pressure, momentum and continuity, hard conditions, and the exact solution
where there is one. Density is one. Data are written in plain arithmetic and NumPy's functions, so that arrays and quantities with
derivatives may go in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sciml.errors import DatasetError
from sciml.geometry import Box, Disk, Shape
from sciml.problems.incompressible import EQUATIONS, UNKNOWNS, momentum_and_continuity
from sciml.problems.strong_form import Condition, Function, StrongForm

U, V, P = UNKNOWNS
_WALLS = ("y_low", "y_high")
_ENDS = ("x_low", "x_high")
_TERMS = 200  # of a cosine series whose terms fall with the fifth power of their number

#: Of the cylinder benchmark, in diameters: the channel, and the cylinder's centre and radius.
CHANNEL, CENTRE, RADIUS = (22.0, 4.1), (2.0, 2.0), 0.5


def plane_poiseuille(viscosity: float = 0.1, length: float = 2.0) -> StrongForm:
    """The parabola ``u = 4 y (1 - y)`` between plates at y = 0 and 1, driven by the pressures ``8 nu length`` and 0 at the two ends."""
    _positive(viscosity=viscosity, length=length)
    drop = 8 * viscosity
    return _channel(
        viscosity,
        length,
        at_inflow=drop * length,
        exact={U: lambda x, y: 4 * y * (1 - y), V: _nothing, P: lambda x, y: drop * (length - x)},
    )


def kovasznay(reynolds_number: float = 40.0) -> StrongForm:
    """Kovasznay's flow behind a grid (1948) in (-1/2, 1) x (-1/2, 1/2), with its velocity on all sides.

    ``u = 1 - exp(l x) cos(2 pi y)``, ``v = l / (2 pi) exp(l x) sin(2 pi y)``, ``p = (1 - exp(2 l x)) / 2`` with
    ``l = Re / 2 - sqrt(Re^2 / 4 + 4 pi^2)``; the pressure has no condition, and is known up to a constant.
    """
    _positive(reynolds_number=reynolds_number)
    k = 2 * math.pi
    rate = reynolds_number / 2 - math.sqrt(reynolds_number**2 / 4 + k**2)
    exact = {
        U: lambda x, y: 1 - np.exp(rate * x) * np.cos(k * y),
        V: lambda x, y: rate / k * np.exp(rate * x) * np.sin(k * y),
        P: lambda x, y: 0.5 * (1 - np.exp(2 * rate * x)),
    }
    sides = (*_ENDS, *_WALLS)
    conditions = {name: tuple(Condition(side, "dirichlet", exact[name]) for side in sides) for name in (U, V)}
    return _form(Box((-0.5, -0.5), (1.0, 0.5)), 1 / reynolds_number, conditions, exact=exact)


def taylor_green(viscosity: float = 0.05, duration: float = 2.0) -> StrongForm:
    """Taylor and Green's decaying vortices in the periodic square of side ``2 pi``, from their state at time 0.

    ``u = cos x sin y F``, ``v = -sin x cos y F``, ``p = -(cos 2 x + cos 2 y) F^2 / 4`` with ``F = exp(-2 nu t)``; the pressure is known up
    to a constant, which may change in time.
    """
    _positive(viscosity=viscosity, duration=duration)

    def decay(t: Any) -> Any:
        return np.exp(-2 * viscosity * t)

    exact = {
        U: lambda x, y, t: np.cos(x) * np.sin(y) * decay(t),
        V: lambda x, y, t: -np.sin(x) * np.cos(y) * decay(t),
        P: lambda x, y, t: -0.25 * (np.cos(2 * x) + np.cos(2 * y)) * decay(t) ** 2,
    }
    box = Box((0.0, 0.0), (2 * math.pi, 2 * math.pi))
    initial = {name: exact[name] for name in (U, V)}
    return _form(box, viscosity, {}, exact=exact, duration=duration, initial=initial, periodic=(True, True))


def pulsating_channel(alpha: float = 4.0, duration: float = 2 * math.pi, length: float = 1.0) -> StrongForm:
    """Womersley's flow between plates at y = -1 and 1: the pressure gradient ``-cos t`` at ``nu = 1 / alpha^2``, from its periodic state.

    ``u = Re{(1 - cosh(l y) / cosh l) e^it / i}`` with ``l = sqrt(i) alpha``, written in real numbers.
    """
    _positive(alpha=alpha, duration=duration, length=length)
    b = alpha / math.sqrt(2)
    scale = np.cosh((1 + 1j) * b)

    def velocity(x: Any, y: Any, t: Any) -> Any:
        up, down = np.exp(b * y), np.exp(-b * y)
        real, imaginary = 0.5 * (up + down) * np.cos(b * y), 0.5 * (up - down) * np.sin(b * y)  # of cosh(l y)
        ratio_real = (real * scale.real + imaginary * scale.imag) * (1 / abs(scale) ** 2)
        ratio_imaginary = (imaginary * scale.real - real * scale.imag) * (1 / abs(scale) ** 2)
        return np.sin(t) * (1 - ratio_real) - np.cos(t) * ratio_imaginary

    exact = {U: velocity, V: _nothing, P: lambda x, y, t: np.cos(t) * (length - x)}
    return _channel(1 / alpha**2, length, lambda x, y, t: length * np.cos(t), exact, height=(-1.0, 1.0), duration=duration)


def starting_channel(viscosity: float = 0.1, ramp: float = 0.5, duration: float = 4.0, length: float = 1.0) -> StrongForm:
    """Flow between plates at y = -1 and 1 that a pressure gradient ``-(1 - exp(-t / ramp))`` starts from rest.

    A gradient that is there at once would ask for ``du/dt = 1`` next to walls at rest, a singularity at time 0; the ramp takes it away.
    Exact is ``u = sum_n a_n(t) cos(k_n y)``, ``k_n = (n + 1/2) pi``, where every a_n solves ``a' + nu k_n^2 a = 2 (-1)^n / k_n G(t)``.
    """
    _positive(viscosity=viscosity, ramp=ramp, duration=duration, length=length)

    def gradient(t: Any) -> Any:
        return 1 - np.exp(t * (-1 / ramp))

    def velocity(x: Any, y: Any, t: Any) -> Any:
        total = 0.5 / viscosity * (1 - y * y) * gradient(t)
        for n in range(_TERMS):
            k = (n + 0.5) * math.pi
            total = total + 2 * (-1) ** n / k * np.cos(k * y) * _lag(viscosity * k * k, 1 / ramp, t)
        return total

    exact = {U: velocity, V: _nothing, P: lambda x, y, t: gradient(t) * (length - x)}
    still = {U: 0.0, V: 0.0}
    return _channel(viscosity, length, lambda x, y, t: length * gradient(t), exact, height=(-1.0, 1.0), duration=duration, initial=still)


def cylinder_in_channel(reynolds_number: float = 20.0) -> StrongForm:
    """Steady flow around a cylinder, off the middle of a channel by a twentieth of its diameter (Schaefer and Turek 1996, 2D-1).

    Lengths are in diameters and velocities in means of the inflow, so that the drag coefficient is twice the force. The parabola
    ``6 y (H - y) / H^2`` enters; at the outflow pressure and cross velocity vanish, from which ``du/dx = 0`` follows by continuity: this is
    where parallel flow leaves without stress, as the benchmark has it. The features are the coordinates of the point inverted in the
    cylinder, which unfold what happens within a few radii of it.
    """
    _positive(reynolds_number=reynolds_number)
    (length, height), (a, b) = CHANNEL, CENTRE

    def inverted(x: Any, y: Any) -> tuple[Any, Any]:
        near = RADIUS / ((x - a) * (x - a) + (y - b) * (y - b))
        return (x - a) * near, (y - b) * near

    def around(x: Any, y: Any) -> Any:
        """1 - radius^2 / r^2: zero on the cylinder."""
        return 1 - RADIUS**2 / ((x - a) * (x - a) + (y - b) * (y - b))

    def parabola(x: Any, y: Any) -> Any:
        """The inflow at x = 0, 0 on walls and cylinder, and smooth between."""
        return 6 / height**2 * y * (height - y) * around(x, y) / around(0 * x, y)

    conditions = {
        U: tuple(Condition(part, "dirichlet", parabola) for part in ("x_low", *_WALLS, "cylinder")),
        V: tuple(Condition(part, "dirichlet", 0.0) for part in (*_ENDS, *_WALLS, "cylinder")),
        P: (Condition("x_high", "dirichlet", 0.0),),
    }
    geometry = Box((0.0, 0.0), (length, height)) - Disk(CENTRE, RADIUS, part="cylinder")
    features = (lambda x, y: inverted(x, y)[0], lambda x, y: inverted(x, y)[1])
    return _form(geometry, 1 / reynolds_number, conditions, features=features)


def _channel(
    viscosity: float,
    length: float,
    at_inflow: Function,
    exact: Mapping[str, Function],
    *,
    height: tuple[float, float] = (0.0, 1.0),
    duration: float | None = None,
    initial: Mapping[str, Function] | None = None,
) -> StrongForm:
    """Between plates, driven by the pressure at the inflow against 0 at the outflow, where nothing flows across.

    Parameters
    ----------
    initial : None for the exact velocity at time 0, in a flow that has a duration.
    """
    conditions = {
        U: tuple(Condition(wall, "dirichlet", 0.0) for wall in _WALLS),
        V: tuple(Condition(side, "dirichlet", 0.0) for side in (*_ENDS, *_WALLS)),
        P: (Condition("x_low", "dirichlet", at_inflow), Condition("x_high", "dirichlet", 0.0)),
    }
    if duration is not None and initial is None:
        initial = {name: exact[name] for name in (U, V)}
    box = Box((0.0, height[0]), (length, height[1]))
    return _form(box, viscosity, conditions, exact=exact, duration=duration, initial=initial or {})


def _form(geometry: Shape, viscosity: float, conditions: Mapping[str, tuple[Condition, ...]], **rest: Any) -> StrongForm:
    return StrongForm(
        geometry=geometry,
        outputs=UNKNOWNS,
        residual=momentum_and_continuity,
        equations=EQUATIONS,
        parameters={"viscosity": viscosity},
        conditions=conditions,
        **rest,
    )


def _lag(decay: float, ramp: float, t: Any) -> Any:
    """What the solution of ``a' + decay a = 1 - exp(-ramp t)`` from 0 has beyond ``(1 - exp(-ramp t)) / decay``."""
    if math.isclose(decay, ramp, rel_tol=1e-6):
        return -1.0 * (t * np.exp(-ramp * t))
    return (np.exp(-decay * t) - np.exp(-ramp * t)) * (ramp / (decay * (decay - ramp)))


def _nothing(x: Any, *others: Any) -> Any:
    return 0 * x


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0):
            raise DatasetError(f"{name} is {value}: give a positive finite number")
