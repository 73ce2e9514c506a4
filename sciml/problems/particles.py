"""Particles on a closed line: names for them, where they are by name, and names that suit what they carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft as sfft
from numpy.polynomial import Polynomial
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from sciml.grid import Grid
from sciml.problems.strong_form import Function, Sampled
from sciml.problems.transport import Transport

Array = NDArray[np.float64]
LABELS = 1024  # at which positions are integrated
#: Of new labels: how many more the steepest parts get than by arc length, and over which part of a radian of them the density is smooth.
_SHARPNESS, _SMOOTHNESS, _SWEEPS = 4.0, 0.2, 6


@dataclass(frozen=True, eq=False)
class Labels:
    """Names of particles at the start of a window, and what the particles have there; functions of the label.

    Attributes
    ----------
    log_jacobian : ``ln dX/ds``.
    state : v.
    offset : mean of ``X - s`` over all labels.
    steepening : the largest ``-d a(u) / dx``, at which J falls.
    """

    log_jacobian: Function
    state: Function
    offset: float
    steepening: float


@dataclass(frozen=True, eq=False)
class Scaled:
    """A transport equation in ``v = (u - m) / A``, seen from a frame that moves with the drift ``a(m)``.

    Attributes
    ----------
    mean, amplitude : m, the mean of the initial state, and A, the largest deviation from it; 1 where there is none.
    speed : ``b(v) = a(m + A v)``, a polynomial whose constant is the drift.
    """

    transport: Transport
    mean: float
    amplitude: float
    speed: Polynomial

    @classmethod
    def of(cls, transport: Transport) -> Scaled:
        u = np.broadcast_to(transport.initial(centres(transport.period)), LABELS)
        m = float(np.mean(u))
        A = float(np.abs(u - m).max()) or 1.0
        return cls(transport, m, A, Polynomial(transport.speed)(Polynomial((m, A))))

    @property
    def drift(self) -> float:
        return float(self.speed.coef[0])

    @property
    def slope(self) -> Polynomial:
        """``db / dv``."""
        return self.speed.deriv()

    def state(self, v: Array) -> Array:
        """u from v."""
        return self.mean + self.amplitude * v

    def steepening(self, v: Array, J: Array) -> float:
        """The largest ``-d a(u) / dx``, at least 0, from v and J at equally spaced labels."""
        return max(0.0, float(-(self.slope(v) * derivative(v, self.transport.period) / J).min()))

    def labels(self) -> Labels:
        """Particles named by where they are at time 0."""
        m, A, initial = self.mean, self.amplitude, self.transport.initial
        v = (np.broadcast_to(initial(centres(self.transport.period)), LABELS) - m) / A
        return Labels(0.0, lambda s, *_: (initial(s) - m) * (1 / A), 0.0, self.steepening(v, np.ones(LABELS)))


def centres(period: float) -> Array:
    """Equally spaced labels."""
    return Grid((LABELS,), (period,)).centers(0)


def periodic(values: Array, period: float) -> Sampled:
    """The function with these values at equally spaced labels."""
    return Sampled(values, Grid((len(values),), (period,)), (True,))


def _wavenumbers(n: int, period: float) -> Array:
    return np.asarray(2 * np.pi / period * np.arange(n // 2 + 1), np.float64)


def derivative(values: Array, period: float) -> Array:
    """Of the trigonometric interpolant, at the same labels."""
    return np.asarray(sfft.irfft(1j * _wavenumbers(len(values), period) * sfft.rfft(values), len(values)), np.float64)


def primitive(values: Array, period: float) -> Array:
    """The integral of what deviates from the mean, itself without mean."""
    k = _wavenumbers(len(values), period)
    spectrum = sfft.rfft(values)
    spectrum[0], spectrum[1:] = 0.0, spectrum[1:] / (1j * k[1:])
    return np.asarray(sfft.irfft(spectrum, len(values)))


def inverse(X: Array, x: Array, period: float) -> Array:
    """Labels of the particles at places x, from the positions X of those with equally spaced ones; increasing across the period's ends."""
    s, start = centres(period), X[0]
    X, s = (np.concatenate([z - period, z, z + period]) for z in (X, s))
    apart = np.concatenate([[True], np.diff(np.maximum.accumulate(X)) > 0])  # labels within rounding of one another count as one
    within = start + np.mod(x - start, period)
    return np.asarray(PchipInterpolator(X[apart], s[apart])(within) + (x - within))


def evenly(J: Array, slope: Array, period: float) -> tuple[Array, Array]:
    """New labels in which the graph of the state is passed through evenly (equidistribution: Huang and Russell 2011, chapter 2).

    Their density over places is ``sqrt(1 + (4 period u_x / variation of u)^2)``, made smooth as a function of the new labels, in which the
    network has to represent what it will carry.

    Parameters
    ----------
    J, slope : ``dX/ds`` with mean 1 and du/dx at the old labels.

    Returns
    -------
    dX by the new label, with mean 1, at equally spaced new labels; and the new labels of the particles with the old ones.
    """
    n, s = len(J), centres(period)
    variation = float(np.mean(np.abs(slope) * J)) * period
    crowd = 0.5 * np.log1p((_SHARPNESS * period * slope / variation) ** 2) if variation > 0 else np.zeros(n)
    low_pass = np.exp(-0.5 * (_SMOOTHNESS * np.arange(n // 2 + 1)) ** 2)
    for _ in range(_SWEEPS):
        weight = np.exp(crowd) * J
        names = s + primitive(weight, period) / weight.mean()
        smooth = sfft.irfft(low_pass * sfft.rfft(np.interp(s, names, crowd, period=period)), n)
        crowd = np.interp(names, s, smooth, period=period)
    density = np.exp(-smooth)
    return density / density.mean(), names
