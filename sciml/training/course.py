"""What is trained in one run: one network for all times, or networks in windows of time, one after another."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sciml.models.lagrangian import LagrangianMarch
from sciml.models.pinn import PINN, EquationResiduals, collocation
from sciml.problems import Problem
from sciml.problems.problem import Parameters
from sciml.problems.strong_form import StrongForm
from sciml.training.checkpoint import check_weights, load_weights
from sciml.training.pinn_settings import EquationSettings

Array = NDArray[np.float64]


class Course(ABC):
    """Networks from the first weights on, and where they have got to.

    Attributes
    ----------
    model : what predicts.
    """

    model: PINN | LagrangianMarch

    @property
    @abstractmethod
    def window(self) -> PINN:
        """The network that is trained now."""

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """Everything that is trained in the run, as a checkpoint holds it."""

    @property
    @abstractmethod
    def reached(self) -> float:
        """The time up to which there is a solution; infinite where all of it is trained at once."""

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether the window that is trained now is the last."""

    @property
    @abstractmethod
    def figures(self) -> dict[str, float]:
        """What a row of the log tells of the window."""

    @abstractmethod
    def residuals(self) -> EquationResiduals:
        """Of the window at its collocation points."""

    @abstractmethod
    def advance(self) -> None:
        """Begin the next window."""

    @abstractmethod
    def restore(self, weights: Mapping[str, Tensor], origin: Path) -> None:
        """Go to where a checkpoint was written, from the start; raises CheckpointError where its weights are those of other networks."""


def course(problem: Problem, parameters: Parameters, form: StrongForm, settings: EquationSettings) -> Course:
    """The beginning of a run, with weights drawn from the seed; the caller's random state is left alone.

    Raises
    ------
    DatasetError, ConditionError : for a problem that the model does not fit.
    """
    if settings.model == "lpinn":
        return _InWindows(problem, parameters, form, settings)
    return _Whole(form, settings)


class _Whole(Course):
    """One network of places and times."""

    model: PINN

    def __init__(self, form: StrongForm, settings: EquationSettings) -> None:
        self._settings = settings
        with _drawn_from(settings.seed):
            self.model = PINN(form, **_network(settings))

    @property
    def window(self) -> PINN:
        return self.model

    @property
    def network(self) -> nn.Module:
        return self.model.network

    @property
    def reached(self) -> float:
        return math.inf

    @property
    def complete(self) -> bool:
        return True

    @property
    def figures(self) -> dict[str, float]:
        return {}

    def residuals(self) -> EquationResiduals:
        return EquationResiduals(self.model, *collocation(self.model.form, self._settings.points, self._settings.seed))

    def advance(self) -> None:
        raise AssertionError("a course of one window is complete")

    def restore(self, weights: Mapping[str, Tensor], origin: Path) -> None:
        load_weights(self.network, weights, origin)


class _InWindows(Course):
    """Networks that follow particles."""

    model: LagrangianMarch

    def __init__(self, problem: Problem, parameters: Parameters, form: StrongForm, settings: EquationSettings) -> None:
        assert form.duration is not None
        self._settings, transport = settings, problem.transport(parameters)
        with _drawn_from(settings.seed):
            self.model = LagrangianMarch(
                transport, form.duration, points=settings.points, compression=settings.compression, **_network(settings)
            )

    @property
    def window(self) -> PINN:
        return self.model.window

    @property
    def network(self) -> nn.Module:
        return self.model.network

    @property
    def reached(self) -> float:
        return self.model.reached

    @property
    def complete(self) -> bool:
        return self.model.complete

    @property
    def figures(self) -> dict[str, float]:
        return {"window": len(self.model.windows), "time": self.reached}

    def residuals(self) -> EquationResiduals:
        return EquationResiduals(self.window, *self.model.collocation())

    def advance(self) -> None:
        with _drawn_from(self._settings.seed):
            self.model.advance()

    def restore(self, weights: Mapping[str, Tensor], origin: Path) -> None:
        """Labels of a window follow from the networks before it."""
        while True:
            prefix = f"{len(self.model.windows) - 1}."
            of_window = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
            load_weights(self.window.network, of_window, origin)
            if self.complete or not any(name.startswith(f"{len(self.model.windows)}.") for name in weights):
                break
            self.advance()
        check_weights(self.network, weights, origin)


def _network(settings: EquationSettings) -> dict[str, Any]:
    return {
        "kind": settings.network,
        "width": settings.width,
        "depth": settings.layers,
        "activation": settings.activation,
        "fourier_features": settings.fourier_features,
        "fourier_scale": settings.fourier_scale,
        "factored": settings.factored,
    }


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
