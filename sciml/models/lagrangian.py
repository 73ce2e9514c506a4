"""Networks that follow the particles of a transport equation instead of looking at fixed places.

The equation is ``u_t + a(u) u_x = nu u_xx`` with period P. The particle with label s moves as ``X_t = a(w)`` and carries
``w(s, t) = u(X(s, t), t)``; with the Jacobian ``J = X_s``

``J_t = a(w)_s``,    ``w_t = nu / J (w_s / J)_s``.

Convection has left the equations, and with it what makes a fast current hard to learn (Mojgani, Balajewicz and Hassanzadeh 2023,
arXiv:2205.02902). The factors 1 / J, which the code of that paper lacks, are one only for a constant speed.

The unknowns are ``L = ln J`` and ``v = (w - m) / A``, with the mean m and the amplitude A of the initial state, each the output of a
network of its own. Whatever the networks say, J is positive, so that characteristics never cross; positions are the integral of J over
labels, and their mean moves with the mean speed, from which the drift ``a(m) t`` is split off: adding a constant to the speed changes
nothing that is trained. Second derivatives of X, which w needs, are first ones of L.

In a shock of a viscous equation J falls exponentially. `LagrangianMarch` therefore goes in windows of time and labels the particles anew at
the start of each, evenly along the graph of u; labels are only names, and the equations hold for any.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Legendre, Polynomial
from numpy.typing import ArrayLike, NDArray
from torch import nn

from sciml.errors import DatasetError
from sciml.geometry import Box
from sciml.grid import Grid
from sciml.models.branches import branched_network
from sciml.models.networks import Coordinates
from sciml.models.pinn import PINN
from sciml.problems.jet import Jets
from sciml.problems.particles import Labels, Scaled, centres, derivative, evenly, inverse, periodic, primitive
from sciml.problems.strong_form import Sampled, StrongForm
from sciml.problems.transport import Transport

Array = NDArray[np.float64]
_TIMES = 12  # of a window, at which the mean speed is known


def lagrangian_form(transport: Transport, duration: float, labels: Labels | None = None) -> StrongForm:
    """The equations of L and v over labels and time, with hard initial conditions.

    Residuals are those of ``L_t`` and ``v_t`` times the duration and ``sqrt J``, with which mean squares over labels are mean squares over
    the places where the particles are.

    Parameters
    ----------
    labels : None for the particles' places at time 0.
    """
    scaled = Scaled.of(transport)
    labels = labels or scaled.labels()
    slope, nu = scaled.slope, transport.viscosity

    def residual(jets: Jets, _: Jets) -> tuple[Any, Any]:
        L, v = jets["log_jacobian"], jets["state"]
        assert L.gradient is not None
        assert v.gradient is not None
        inverse = torch.exp(-L.value)
        diffusion = nu * inverse**2 * (v.laplacian - v.gradient[0] * L.gradient[0])
        weight = duration * torch.exp(0.5 * L.value)
        return weight * (L.time_derivative - _horner(slope, v.value) * v.gradient[0] * inverse), weight * (v.time_derivative - diffusion)

    return StrongForm(
        geometry=Box((0.0,), (transport.period,)),
        outputs=("log_jacobian", "state"),
        residual=residual,
        equations=("jacobian", "transport"),
        periodic=(True,),
        duration=duration,
        initial={"log_jacobian": labels.log_jacobian, "state": labels.state},
    )


def label_points(form: StrongForm, labels: int, times: int) -> tuple[Array, Array]:
    """Collocation points with weights that sum to 1: equally spaced labels, as suits what is periodic, at Gauss points in time."""
    s = (np.arange(labels) + 0.5) / labels * form.high[0]
    nodes, w = np.polynomial.legendre.leggauss(times)
    points = np.stack([a.ravel() for a in np.meshgrid(s, (nodes + 1) / 2 * form.high[1], indexing="ij")], axis=1)
    return points, np.tile(w / (2 * labels), labels)


class LagrangianPINN(PINN):
    """Characteristics of a transport equation and the state along them, as two networks over labels and time.

    Parameters
    ----------
    transport : the equation.
    duration : end of the time interval from 0.
    labels : None for the particles' places at time 0.
    settings : of `sciml.models.networks.coordinate_network`, for each network.
    """

    def __init__(self, transport: Transport, duration: float, labels: Labels | None = None, **settings: object) -> None:
        self.transport, self.duration, self.scaled = transport, duration, Scaled.of(transport)
        self.labels = labels or self.scaled.labels()
        super().__init__(lagrangian_form(transport, duration, self.labels), **settings)

    def _build(self, inputs: Coordinates, outputs: int, **settings: object) -> nn.Module:
        return branched_network(inputs, outputs, **settings)

    def jacobian(self, s: ArrayLike, t: float) -> Array:
        """``dX/ds`` at labels and one time, positive whatever the network says."""
        return np.exp(self._outputs(s, t)["log_jacobian"])

    def state(self, s: ArrayLike, t: float) -> Array:
        """``w = u(X)``, what particles carry at one time."""
        return self.scaled.state(self._outputs(s, t)["state"])

    def characteristics(self, s: ArrayLike, t: float) -> Array:
        """Positions X of particles at one time, which go on increasing from period to period.

        They are ``integral J ds`` over its mean, which is 1 up to the error of training.
        """
        return self._characteristics(np.asarray(s, np.float64), self._positions(t, self._mean_speed()))

    def labels_at(self, x: ArrayLike, t: float) -> Array:
        """Whose particles are at places x of the line at one time: the inverse of `characteristics`."""
        return inverse(self._positions(t, self._mean_speed()), np.asarray(x, np.float64), self.transport.period)

    def mean_jacobian(self, t: float) -> float:
        """Over labels; 1 for the exact solution."""
        return float(self.jacobian(centres(self.transport.period), t).mean())

    def mean_state(self, t: float) -> float:
        """``integral w J ds / period``, which transport keeps."""
        s = centres(self.transport.period)
        return float((self.state(s, t) * self.jacobian(s, t)).mean())

    def predict(self, points: ArrayLike) -> dict[str, Array]:
        """u at points (x, t), shape (N, 2), with x anywhere on the line."""
        x = np.asarray(points, np.float64)
        found, mean_speed = np.empty(len(x)), self._mean_speed()
        for t in np.unique(x[:, 1]):
            there = x[:, 1] == t
            found[there] = self.state(inverse(self._positions(t, mean_speed), x[there, 0], self.transport.period), t)
        return {self.transport.output: found}

    def relabelled(self, cells: int) -> Labels:
        """The particles at the end, named anew so that labels lie evenly along the graph of u.

        Parameters
        ----------
        cells : at how many labels the state is kept, with a spline between: fewer than the labels that the network was held to the
            equations at, so that nothing is handed on that it was free in.
        """
        period, t = self.transport.period, self.duration
        s, found = centres(period), self._outputs(centres(period), t)
        J, X = np.exp(found["log_jacobian"]), self._positions(t, self._mean_speed())
        density, names = evenly(J / J.mean(), derivative(found["state"], period) / J, period)
        log_jacobian, bend = np.log(density), primitive(density, period)
        offset = float(np.mean(np.interp(s, names, X - names, period=period) - bend))
        grid = Grid((cells,), (period,))
        at = grid.centers(0)
        v = self._outputs(inverse(X, at + offset + periodic(bend, period)(at), period), t)["state"]
        state, L = Sampled(v, grid, (True,)), Sampled(periodic(log_jacobian, period)(at), grid, (True,))
        return Labels(L, state, offset, self.scaled.steepening(np.asarray(state(s)), density))

    def _outputs(self, s: ArrayLike, t: float) -> dict[str, Array]:
        labels = np.mod(np.asarray(s, np.float64).ravel(), self.transport.period)  # splines of labels end a little beyond the period
        return super().predict(np.column_stack([labels, np.full(len(labels), t)]))

    def _positions(self, t: float, mean_speed: Legendre) -> Array:
        """At time t of the particles with equally spaced labels."""
        period, s = self.transport.period, centres(self.transport.period)
        J = self.jacobian(s, t)
        moved = self.labels.offset + self.scaled.drift * t + mean_speed.integ(lbnd=0)(t)
        return np.asarray(s + primitive(J / J.mean(), period) + moved)

    def _mean_speed(self) -> Legendre:
        """Over labels, beyond the drift, as a polynomial of time."""
        nodes = (np.polynomial.legendre.leggauss(_TIMES)[0] + 1) / 2 * self.duration
        s, b = centres(self.transport.period), self.scaled.speed - self.scaled.drift
        rates = [float(np.mean(b(self._outputs(s, t)["state"]))) for t in nodes]
        return Legendre.fit(nodes, rates, _TIMES - 1, domain=[0, self.duration])

    def _characteristics(self, labels: Array, X: Array) -> Array:
        """Positions of any particles from the positions X of those with equally spaced labels."""
        period = self.transport.period
        return np.asarray(labels + periodic(X - centres(period), period)(np.mod(labels, period)))


class LagrangianMarch:
    """A solution in windows of time, each with labels of its own, by which gradients of any steepness stay gentle functions of the label.

    It begins with the first window; train its network, then `advance`, until it is `complete`.

    Parameters
    ----------
    duration : end of the time interval from 0.
    points : collocation points of a window, about, seven times as many labels as times.
    compression : the part, less than 1, by which a window may press labels together. A gradient of ``-s`` does that in the time
        ``compression / s`` where it steepens without viscosity, and less where viscosity holds it.
    settings : of `sciml.models.networks.coordinate_network`, for each network.

    Attributes
    ----------
    windows : networks, one after another in time.
    starts : when each window begins.

    Raises
    ------
    DatasetError : for a duration that is not positive, or a compression that is not between 0 and 1.
    """

    def __init__(self, transport: Transport, duration: float, *, points: int = 640, compression: float = 0.5, **settings: object) -> None:
        if not duration > 0:
            raise DatasetError(f"duration = {duration}: give the end of the time interval, a positive number")
        if not 0 < compression < 1:
            raise DatasetError(f"compression = {compression}: give the part by which a window may press labels together, between 0 and 1")
        self.transport, self.duration, self.compression, self._settings = transport, duration, compression, settings
        self._times = max(2, round(math.sqrt(points / 7)))
        self._labels = max(8, points // self._times)
        self.windows: list[LagrangianPINN] = []
        self.starts: list[float] = []
        self._begin(0.0, Scaled.of(transport).labels())

    @property
    def window(self) -> LagrangianPINN:
        """The last one."""
        return self.windows[-1]

    @property
    def reached(self) -> float:
        """The end of the last window."""
        return self.starts[-1] + self.window.duration

    @property
    def complete(self) -> bool:
        return self.reached >= self.duration * (1 - 1e-12)

    @property
    def network(self) -> nn.ModuleList:
        """Those of all windows."""
        return nn.ModuleList(window.network for window in self.windows)

    def collocation(self) -> tuple[Array, Array]:
        """Points of the last window with their weights."""
        return label_points(self.window.form, self._labels, self._times)

    def advance(self) -> None:
        """Begin the next window, from the network of the one before.

        The state is handed on at three quarters as many labels as there are collocation points along them. With as many, a wave from point
        to point, which residuals do not see, would be handed on too, and grow from window to window.
        """
        before = self.window
        self._begin(self.reached, before.relabelled(3 * self._labels // 4))
        self.window.network.load_state_dict(before.network.state_dict())

    def characteristics(self, s: ArrayLike, t: ArrayLike) -> Array:
        """Positions of the particles that are at places s at time 0, shape (n,), at one time or several, with times as the first axis."""
        return self._followed(s, t)[0]

    def jacobian(self, s: ArrayLike, t: ArrayLike) -> Array:
        """``dX/ds`` of the same particles."""
        return np.exp(self._followed(s, t)[1])

    def predict(self, points: ArrayLike) -> dict[str, Array]:
        """u at points (x, t), shape (N, 2), up to the time that is reached."""
        x = np.asarray(points, np.float64)
        window, found = self._window_at(x[:, 1]), np.empty(len(x))
        for k in np.unique(window):
            there = window == k
            found[there] = self.windows[k].predict(x[there] - [0.0, self.starts[k]])[self.transport.output]
        return {self.transport.output: found}

    def _begin(self, start: float, labels: Labels) -> None:
        left = self.duration - start
        length = left / max(1, math.ceil(left * labels.steepening / self.compression))
        self.windows.append(LagrangianPINN(self.transport, length, labels, **self._settings))
        self.starts.append(start)

    def _window_at(self, t: ArrayLike) -> NDArray[np.intp]:
        return np.maximum(np.searchsorted(self.starts, np.asarray(t), side="right") - 1, 0)

    def _followed(self, s: ArrayLike, t: ArrayLike) -> tuple[Array, Array]:
        """Positions of particles and the logarithms of their Jacobians, from window to window."""
        x, times = np.asarray(s, np.float64), np.atleast_1d(np.asarray(t, np.float64))
        found, of_time, carried = np.empty((2, len(times), *x.shape)), self._window_at(times), np.zeros_like(x)
        for k, (window, start) in enumerate(zip(self.windows[: of_time.max() + 1], self.starts, strict=False)):
            own = window.labels_at(x, 0.0)
            carried = carried - np.log(window.jacobian(own, 0.0))
            for there in np.flatnonzero(of_time == k):
                time = times[there] - start
                found[:, there] = window.characteristics(own, time), carried + np.log(window.jacobian(own, time))
            x, carried = window.characteristics(own, window.duration), carried + np.log(window.jacobian(own, window.duration))
        return (found[0], found[1]) if np.ndim(t) else (found[0, 0], found[1, 0])


def _horner(polynomial: Polynomial, v: Any) -> Any:
    """Its value at a tensor, which NumPy's own evaluation would turn into an array."""
    value: Any = 0.0 * v
    for coefficient in polynomial.coef[::-1]:
        value = value * v + float(coefficient)
    return value
