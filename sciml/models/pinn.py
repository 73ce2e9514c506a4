"""A network as the solution of a strong form: fields with hard conditions, and the residuals of the equations at collocation points."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from sciml.geometry import Box
from sciml.models.channels import Channels
from sciml.models.conditions import Ansatz, hard_conditions
from sciml.models.networks import Coordinates, coordinate_network
from sciml.models.taylor import forward_jet, point_gram, point_jacobian
from sciml.problems.jet import Jet
from sciml.problems.strong_form import StrongForm

Array = NDArray[np.float64]
Parameters = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Frame:
    """Everything at fixed points that does not depend on the network.

    Attributes
    ----------
    ansatz : lift and factor of the fields.
    parameters : jets of the problem's coefficients and sources.
    """

    ansatz: Ansatz
    parameters: Mapping[str, Jet]


class PINN(nn.Module):
    """A physics-informed network whose fields satisfy boundary and initial conditions exactly, trained or not.

    Parameters
    ----------
    form : the problem.
    settings : of `sciml.models.networks.coordinate_network`.

    Raises
    ------
    ConditionError : where no smooth field satisfies the conditions.

    Warns
    -----
    UserWarning : where a part of the boundary has no condition, so that the solution may not be the only one.
    """

    def __init__(self, form: StrongForm, **settings: object) -> None:
        super().__init__()
        if form.forgotten:
            parts = ", ".join(form.forgotten)
            warnings.warn(f"no output has a condition on {parts}: give one, or name the part in `free` if none is meant", stacklevel=2)
        self.form = form
        self.conditions = hard_conditions(form)
        inputs = Coordinates(form.low, form.high, form.closed, form.features)
        self.network = self._build(inputs, self.conditions.network_outputs, **settings)

    def _build(self, inputs: Coordinates, outputs: int, **settings: object) -> nn.Module:
        return coordinate_network(inputs, outputs, **settings)  # type: ignore[arg-type]

    def frame(self, points: Array | Tensor) -> Frame:
        """For points of shape (N, coordinates), time last."""
        x = torch.as_tensor(points, dtype=torch.float64)
        if x.ndim != 2 or x.shape[1] != len(self.form.coordinates):
            names = ", ".join(self.form.coordinates)
            raise ValueError(f"points have shape {tuple(x.shape)}: give one row a point with the coordinates {names}")
        ansatz = self.conditions.ansatz(x)
        columns = tuple(ansatz.points.column(k) for k in range(x.shape[1]))
        space = self.form.geometry.dimension

        def jet(value: object) -> Jet:
            found = value(*columns) if callable(value) else value
            if not isinstance(found, Channels):
                return Jet(found, (0.0,) * space, 0.0, 0.0)
            return _jet(found, 0, space)

        return Frame(ansatz, {name: jet(value) for name, value in self.form.parameters.items()})

    def fields(self, frame: Frame) -> Channels:
        """All outputs, one a column, with derivatives."""
        return frame.ansatz.fields(lambda x: forward_jet(self.network, x))

    def forward(self, points: Tensor) -> Tensor:
        """Values of the outputs at points, shape (N, outputs)."""
        return self.fields(self.frame(points)).value

    def predict(self, points: Array) -> dict[str, Array]:
        """Values at points of shape (N, coordinates), by name."""
        with torch.no_grad():
            found = self(torch.as_tensor(points, dtype=torch.float64)).numpy()
        return {name: found[:, k] for k, name in enumerate(self.form.outputs)}

    def equations(self, frame: Frame, fields: Channels) -> Tensor:
        """Residuals of all equations, shape (N, equations)."""
        space = self.form.geometry.dimension
        jets = {name: _jet(fields, k, space) for k, name in enumerate(self.form.outputs)}
        return torch.stack(list(self.form.residual(jets, frame.parameters)), dim=1)


def _jet(found: Channels, k: int, space: int) -> Jet:
    gradient = tuple(found.gradient[axis, :, k] for axis in range(space))
    time = found.gradient[space, :, k] if len(found.gradient) > space else None
    return Jet(found.value[:, k], gradient, None if found.laplacian is None else found.laplacian[:, k], time)


class EquationResiduals:
    """The residual vector of a PINN at collocation points, for least-squares optimizers; one backward pass an equation gives its Jacobian.

    Parameters
    ----------
    pinn : the network and its conditions.
    points : shape (N, coordinates).
    weights : of the points in mean squares, summing to 1, shape (N,); None for equal ones.

    Attributes
    ----------
    model : the network, whose parameters the residual is a function of.
    at, weights : the points, and their weights in mean squares.
    points : where the network is taken, for optimizers that look at it there: these points, and others that conditions move them to.
    factors : of every row on top of these weights, shape (N, equations); 1 unless changed by a weighting.
    """

    def __init__(self, pinn: PINN, points: Array, weights: Array | None = None) -> None:
        self.pinn = pinn
        self.model: nn.Module = pinn.network
        self.at = x = torch.as_tensor(points, dtype=torch.float64)
        self.frame = pinn.frame(x)
        self.points: Sequence[Tensor] = [one.points.value for one in self.frame.ansatz.evaluations]
        form = pinn.form
        equal = torch.full((len(x),), 1 / len(x), dtype=torch.float64)
        self.weights = equal if weights is None else torch.as_tensor(weights, dtype=torch.float64)
        of_equations = torch.tensor(form.weights or (1.0,) * len(form.equations), dtype=torch.float64)
        self._scale = (self.weights[:, None] * of_equations).sqrt()
        self.factors = torch.ones_like(self._scale)
        self._fields = _Fields(pinn)

    def __call__(self, parameters: Parameters) -> Tensor:
        """All residuals times the roots of their weights, those of one point after another, shape (N * equations,)."""
        return self._rows(self._at(parameters)).reshape(-1)

    def raw(self, parameters: Parameters) -> Tensor:
        """Residuals without weights, shape (N, equations)."""
        return self.pinn.equations(self.frame, self._at(parameters))

    def mean_squares(self, parameters: Parameters) -> Tensor:
        """What every point contributes to the weighted mean squares of all equations, without `factors`, shape (N,)."""
        return (self.raw(parameters) * self._scale).square().sum(dim=1)

    def gram(self, parameters: Parameters) -> Tensor:
        """``J J^T`` of the Jacobian by these parameters, which is never formed, shape (N * equations, N * equations)."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        with torch.enable_grad():
            fields = self._at(leaves)
            return point_gram(self.model, fields.uses, self._rows(fields), parameters)

    def jacobian(self, parameters: Parameters, names: Sequence[str] | None = None) -> Parameters:
        """Derivatives with respect to the parameters of these names (None: all), each of shape (N * equations, *parameter.shape)."""
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        with torch.enable_grad():
            fields = self._at(leaves)
            rows = self._rows(fields)
            found = point_jacobian(self.model, fields.uses, rows)
        chosen = list(names or parameters)
        return {name: found[name].reshape(rows.numel(), *parameters[name].shape) for name in chosen}

    def _at(self, parameters: Parameters) -> Channels:
        found: Channels = functional_call(self._fields, {f"network.{name}": value for name, value in parameters.items()}, (self.frame,))
        return found

    def _rows(self, fields: Channels) -> Tensor:
        return self.pinn.equations(self.frame, fields) * (self._scale * self.factors)


class _Fields(nn.Module):
    """The fields as the output of a module, so that its parameters can be swapped for a call."""

    def __init__(self, pinn: PINN) -> None:
        super().__init__()
        self.network = pinn.network
        self._pinn = [pinn]  # in a list, so that its parameters do not appear twice

    def forward(self, frame: Frame) -> Channels:
        return self._pinn[0].fields(frame)


def collocation(form: StrongForm, count: int | Sequence[int], seed: int = 0) -> tuple[Array, Array]:
    """Points of the domain, and of the time interval, with weights that sum to 1.

    In a box of up to three coordinates they are Gauss points, whose weights make mean squares integrals; in other domains quasi-random
    points with equal weights, which keep a thousandth of the extent away from the boundary.

    Parameters
    ----------
    count : number of points, about, with as many Gauss points along each axis; or, in a box, their numbers along the axes, time last.

    Raises
    ------
    ValueError : where the numbers along the axes do not fit the coordinates, or there are no axes.
    """
    if isinstance(form.geometry, Box) and (len(form.coordinates) <= 3 or not isinstance(count, int)):
        along = [max(2, round(count ** (1 / len(form.coordinates))))] * len(form.coordinates) if isinstance(count, int) else list(count)
        if len(along) != len(form.coordinates) or min(along) < 1:
            raise ValueError(f"count = {along}: give one number of points for each of {', '.join(form.coordinates)}")
        rules = [np.polynomial.legendre.leggauss(n) for n in along]
        axes = [low + (nodes + 1) / 2 * (high - low) for low, high, (nodes, _) in zip(form.low, form.high, rules, strict=True)]
        points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
        weights = np.ones(1)
        for _, w in rules:
            weights = np.multiply.outer(weights, w / 2).ravel()
        return points, weights
    if not isinstance(count, int):
        raise ValueError(f"count = {list(count)}: only a box has axes to count points along; give one number")
    return scattered(form, count, seed), np.full(count, 1 / count)


def scattered(form: StrongForm, count: int, seed: int) -> Array:
    """Quasi-random points of the domain and of the time interval, shape (count, coordinates).

    In domains other than boxes they keep a thousandth of the extent away from the boundary, where distances have no second derivatives.
    """
    extent = max(np.subtract(form.geometry.bounds[1], form.geometry.bounds[0]))
    inside = form.geometry.interior(count, seed, 0.0 if isinstance(form.geometry, Box) else 1e-3 * float(extent))
    if form.duration is None:
        return inside
    times = np.random.default_rng([seed, 1]).permutation((np.arange(count) + 0.5) / count) * form.duration
    return np.column_stack([inside, times])
