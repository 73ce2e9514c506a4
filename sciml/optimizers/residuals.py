"""Residual vectors as functions of a network's parameters: what the least-squares optimizers see of a problem.

The loss is ``||r||^2`` with all weights inside r: a term of N rows and weight w enters as ``sqrt(w / N)`` times its residual, so that
the loss is the weighted sum of mean squares, and loss and Jacobian cannot disagree about a factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacfwd, jacrev, vmap

Parameters = dict[str, Tensor]
Network = Callable[..., Tensor]


class Residuals(Protocol):
    """The closure of a least-squares optimizer: the residual vector at given parameters, and how to differentiate it.

    `points` are inputs of the network at which the residual is taken, or None where that makes no sense.
    """

    model: nn.Module

    @property
    def points(self) -> Sequence[Tensor] | None: ...

    def __call__(self, parameters: Parameters) -> Tensor: ...
    def jacobian(self, parameters: Parameters, names: Sequence[str] | None = None) -> Parameters: ...


@runtime_checkable
class KnowsGram(Protocol):
    """Residuals that form ``J J^T``, shape (N, N), without their Jacobian."""

    def gram(self, parameters: Parameters) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Term:
    """One equation at many points, each row depending on its own point alone.

    Parameters
    ----------
    function : ``function(u, x, *data)`` with the network `u` as a function of one point x, shape (d,), and one row of each of `data`;
        returns a scalar or a vector of residuals. Derivatives are those of `torch.func`.
    points : shape (N, d).
    data : further tensors of N rows, such as the values that u shall take.
    weight : of the mean square of this term in the loss.
    """

    function: Callable[..., Tensor]
    points: Tensor
    data: tuple[Tensor, ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or not len(self.points):
            raise ValueError(f"points has shape {tuple(self.points.shape)}: give (number of points, dimension), with one point at least")
        for rows in self.data:
            if len(rows) != len(self.points):
                raise ValueError(f"data has {len(rows)} rows beside {len(self.points)} points: give one row a point")
        if not (self.weight > 0 and math.isfinite(self.weight)):
            raise ValueError(f"weight = {self.weight}: a term of the loss needs a positive one; leave the term out instead")


class PointResiduals:
    """Residuals of independent points. Their Jacobian takes one reverse sweep for each point over that point alone.

    Parameters
    ----------
    model : network that maps (N, d) to (N, outputs) row by row.
    terms : by name.

    Raises
    ------
    ValueError : where the model mixes the rows of a batch (batch norm), or is random (dropout).
    """

    def __init__(self, model: nn.Module, terms: Mapping[str, Term]) -> None:
        refuse_coupled_rows(model)
        if not terms:
            raise ValueError("terms is empty: there is nothing to minimise")
        self.model, self.terms = model, dict(terms)

    @property
    def points(self) -> Sequence[Tensor]:
        return [term.points for term in self.terms.values()]

    def __call__(self, parameters: Parameters) -> Tensor:
        """The residual vector, all terms one after another, shape (N,)."""
        return torch.cat(list(self.by_term(parameters).values()))

    def by_term(self, parameters: Parameters) -> Parameters:
        """The scaled residuals of every term, flat."""
        found = {}
        for name, term in self.terms.items():
            rows = vmap(self._row(term), (None, *(0,) * (1 + len(term.data))))(parameters, term.points, *term.data)
            found[name] = (rows * _scale(term)).reshape(-1)
        return found

    def jacobian(self, parameters: Parameters, names: Sequence[str] | None = None) -> Parameters:
        """Derivatives with respect to the parameters of these names (None: all), each of shape (N, *parameter.shape)."""
        chosen = {name: parameters[name] for name in names or parameters}
        blocks: dict[str, list[Tensor]] = {name: [] for name in chosen}
        for term in self.terms.values():
            row = self._row(term)
            derivative = vmap(jacrev(lambda some, *point: row({**parameters, **some}, *point)), (None, *(0,) * (1 + len(term.data))))  # noqa: B023
            for name, rows in derivative(chosen, term.points, *term.data).items():
                blocks[name].append(rows.reshape(-1, *parameters[name].shape) * _scale(term))
        return {name: torch.cat(rows) for name, rows in blocks.items()}

    def _row(self, term: Term) -> Callable[..., Tensor]:
        def row(parameters: Parameters, x: Tensor, *data: Tensor) -> Tensor:
            return term.function(lambda z: functional_call(self.model, parameters, (z[None],))[0], x, *data)

        return row


class FunctionResiduals:
    """Residuals of any form, such as those of an operator on a grid, where every row may depend on all inputs.

    Parameters
    ----------
    model : the network.
    function : ``function(u)`` with `u` the network as a function of its inputs; returns one tensor of residuals, or a dict of them.
    weights : of the mean squares of the entries of the dict; 1 where left out.
    chunk : rows that are differentiated at once; None takes them all.
    """

    points = None

    def __init__(
        self,
        model: nn.Module,
        function: Callable[[Network], Tensor | Mapping[str, Tensor]],
        weights: Mapping[str, float] | None = None,
        chunk: int | None = None,
    ) -> None:
        self.model, self.function, self.weights, self.chunk = model, function, dict(weights or {}), chunk

    def __call__(self, parameters: Parameters) -> Tensor:
        found = self.function(lambda *inputs: functional_call(self.model, parameters, inputs))
        if isinstance(found, Tensor):
            found = {"": found}
        return torch.cat([self._scaled(name, rows) for name, rows in found.items()])

    def jacobian(self, parameters: Parameters, names: Sequence[str] | None = None) -> Parameters:
        """Reverse mode where there are more parameters than residuals or `chunk` is given, else forward mode."""
        chosen = {name: parameters[name] for name in names or parameters}
        with torch.no_grad():
            rows = self(parameters).numel()
        of_some = lambda some: self({**parameters, **some})  # noqa: E731
        reverse = self.chunk is not None or rows <= numbers(chosen)
        found: Parameters = (jacrev(of_some, chunk_size=self.chunk) if reverse else jacfwd(of_some))(chosen)
        return found

    def _scaled(self, name: str, rows: Tensor) -> Tensor:
        if rows.ndim == 0:
            raise ValueError(
                f"the residual {name!r} is a scalar: a least-squares optimizer needs the vector of residuals, not their mean square; "
                "return them before they are squared and summed, or take an optimizer of scalar losses such as SSBroyden"
            )
        weight = self.weights.get(name, 1.0)
        return rows.reshape(-1) * math.sqrt(weight / rows.numel())


def refuse_coupled_rows(model: nn.Module) -> None:
    """Raise where one row of a batch would influence another, or twice the same would give different results."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise ValueError(f"{name} is a {type(module).__name__}, which mixes the rows of a batch: take layer norm, or none")
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.training and module.p > 0:
            raise ValueError(f"{name} is a {type(module).__name__} in training mode: residuals must not be random; set p=0 or call eval()")


def _scale(term: Term) -> float:
    return math.sqrt(term.weight / len(term.points))


def numbers(parameters: Mapping[str, Any]) -> int:
    """How many numbers the parameters hold."""
    return sum(int(value.numel()) for value in parameters.values())
