"""How a network is trained on an equation; loads no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sciml.data.recipe import Recipe, load_recipe, parse_recipe
from sciml.errors import RecipeError
from sciml.models.settings import Settings, SettingsError, one_of
from sciml.training.direction_settings import find_training_recipe, read_training_recipe
from sciml.training.run_config import Record

#: Kinds of networks that are trained on an equation instead of on data.
EQUATION_MODELS = ("pinn", "lpinn")
#: What they can be trained by.
EQUATION_OPTIMIZERS = ("sven", "gauss-newton", "levenberg-marquardt", "geodesic-lm", "spring", "ssbroyden", "ssbfgs", "lbfgs", "adam")
#: Of one window of "lpinn", where a run does not say otherwise: gentle functions of the label need less.
_IN_WINDOWS = {"width": 16, "points": 640, "steps": 25}
_MINI_BATCH = ("adamw", "mfac", "mkor", "mkor-h", "muon")


class EquationSettings(Settings):
    """A network of coordinates and its training on the residual of an equation, in float64.

    Parameters
    ----------
    model : "pinn", a network of places and times, or "lpinn", networks that follow particles (`sciml.models.lagrangian`), which has other
        defaults: width = 16, points = 640 and steps = 25.
    network : "mlp", "modified_mlp" or "piratenet".
    width, layers : units of a hidden layer, and number of those.
    activation : "tanh", "sine", "silu", "gelu" or "softplus".
    fourier_features, fourier_scale : frequencies put before the network, 0 for none, and their standard deviation.
    factored : whether weights are factored into scale and direction.
    points : collocation points, about; of "lpinn" in each window of time.
    resample : whether points are drawn anew before every block but the first, where residuals are large.
    weighting : "causal", where early times come first; "gradient-norm" or "ntk", which balance the equations of a system; "none".
    strictness : of causal weights, how strongly they fall with the mean squares of earlier residuals.
    chunks : of causal weights, parts of the time interval.
    optimizer : one of `EQUATION_OPTIMIZERS`; None for "sven", and for "geodesic-lm" on a system of equations.
    learning_rate : of Adam the largest one of a cosine schedule, of the others the factor of every step; None for 1e-3 and 1.
    steps : of the optimizer, of "lpinn" in each window of time; one of "lbfgs" is twenty iterations.
    warm_up : of "sven": steps of "geodesic-lm" before its own, which raise the loss on the way to a much lower one and
        reach it from a good start only.
    compression : of "lpinn": the part by which a window of time may press particles together; the smaller, the more windows.
    block : steps between two rows of the log, each with a checkpoint.
    sample : which sample of the recipe's train split, where its parameters are random.
    seed : of weights, points and sketches.
    """

    model: Literal["pinn", "lpinn"] = "pinn"
    network: Literal["mlp", "modified_mlp", "piratenet"] = "mlp"
    width: int = Field(default=24, ge=1, le=1024)
    layers: int = Field(default=2, ge=1, le=16)
    activation: Literal["tanh", "sine", "silu", "gelu", "softplus"] = "tanh"
    fourier_features: int = Field(default=0, ge=0, le=1024)
    fourier_scale: float = Field(default=1.0, gt=0.0, le=1e3)
    factored: bool = False
    points: int = Field(default=1600, ge=4, le=1_000_000)
    resample: bool = False
    weighting: Literal["none", "causal", "gradient-norm", "ntk"] = "none"
    strictness: float = Field(default=1.0, gt=0.0, le=1e9)
    chunks: int = Field(default=16, ge=2, le=10_000)
    optimizer: str | None = None
    learning_rate: float | None = Field(default=None, gt=0.0, le=10.0)
    steps: int = Field(default=100, ge=1, le=10_000_000)
    warm_up: int = Field(default=40, ge=0, le=10_000_000)
    compression: float = Field(default=0.5, gt=0.0, lt=1.0)
    block: int = Field(default=10, ge=1, le=1_000_000)
    sample: int = Field(default=0, ge=0, lt=2**31)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        return {**_IN_WINDOWS, **values} if isinstance(values, Mapping) and values.get("model") == "lpinn" else values

    @field_validator("optimizer")
    @classmethod
    def _known(cls, optimizer: str | None) -> str | None:
        if optimizer is None:
            return None
        if optimizer in _MINI_BATCH:
            choice = ", ".join(EQUATION_OPTIMIZERS)
            raise ValueError(
                f"it is made for mini-batches of samples, and an equation gives all residuals in every step; choose one of {choice}"
            )
        return one_of(optimizer, EQUATION_OPTIMIZERS)

    @property
    def blocks(self) -> int:
        return -(-self.steps // self.block)

    def suited(self, equations: int, *, timed: bool) -> EquationSettings:
        """These settings with the optimizer for a problem of so many equations, and in time or steady.

        Raises
        ------
        SettingsError : a weighting that has nothing to weigh there.
        """
        optimizer = self.optimizer or ("sven" if equations == 1 else "geodesic-lm")
        if self.weighting in ("gradient-norm", "ntk") and equations == 1:
            raise SettingsError(f"weighting = {self.weighting!r} balances equations, and this problem has one: take none or causal")
        if self.weighting == "causal" and not timed:
            raise SettingsError("weighting = 'causal' puts early times first, and this problem is steady: take none")
        if self.weighting == "causal" and optimizer == "lbfgs":
            raise SettingsError(
                "weighting = 'causal' changes the loss in every step, and lbfgs remembers gradients of the last: take geodesic-lm or adam"
            )
        return self.model_copy(update={"optimizer": optimizer})

    def rate(self, step: int) -> float:
        """Learning rate of step number `step`, counted from 0."""
        if self.optimizer != "adam":
            return 1.0 if self.learning_rate is None else self.learning_rate
        falling = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return (1e-3 if self.learning_rate is None else self.learning_rate) * (0.01 + 0.99 * falling)


def load_equation_recipe(
    where: str | Path, overrides: Mapping[str, Any], problem_overrides: Sequence[str] = ()
) -> tuple[Recipe, EquationSettings]:
    """The problem and the settings of a run.

    Parameters
    ----------
    where : a training recipe with ``model = "pinn"`` or ``"lpinn"`` and a table ``[problem]``, by name or path; or the recipe of a dataset.
    overrides : replace settings.
    problem_overrides : ``"section.key=value"`` for the recipe of a dataset, as in `sciml.load_recipe`.

    Raises
    ------
    RecipeError : a file that cannot be read, an unknown key, a value out of its range.
    SettingsError : the same of a setting.
    """
    path = find_training_recipe(where)
    content = {} if path is None else read_training_recipe(path)
    if path is None or content.get("model") not in EQUATION_MODELS:
        return load_recipe(where, problem_overrides), EquationSettings(**overrides)
    if problem_overrides:
        raise RecipeError(f"training recipe {path} takes no --set: write the change into its table [problem]")
    described = {"name": path.stem, "title": path.stem}
    described |= {name: content.pop(name) for name in ("title", "description", "problem", "solver", "data") if name in content}
    recipe = parse_recipe(described, path)
    return recipe, EquationSettings(**{**content, **overrides})


class EquationConfig(Record):
    """Everything that decides the course of such a run, and where it happened.

    Attributes
    ----------
    recipe : the canonical recipe whose problem is solved.
    parameters : trained real numbers, of one window of time.
    """

    format: Literal["sciml-equation"] = "sciml-equation"
    version: Literal[1] = 1
    settings: EquationSettings
    recipe: dict[str, Any]
    parameters: int
    environment: dict[str, Any]
