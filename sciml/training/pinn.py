"""Training of a network on the equation of a recipe, and the trained network.

A block of steps closes with a row of the log and a checkpoint; what a kill interrupts is a block, which is run again and comes out the
same, because the state of the optimizer is in the checkpoint and nothing else is random.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport, Status, environment
from sciml.data.durable import replace_durably, write_text_durably
from sciml.data.recipe import STREAMS, Recipe
from sciml.data.solve import draw
from sciml.errors import CheckpointError
from sciml.models.lagrangian import LagrangianMarch
from sciml.models.pinn import PINN, EquationResiduals
from sciml.models.settings import SettingsError
from sciml.problems.problem import Parameters, seed_words
from sciml.problems.strong_form import StrongForm
from sciml.training.checkpoint import load_state
from sciml.training.course import Course, course
from sciml.training.equation_optimizers import Stepper
from sciml.training.loop import Progress
from sciml.training.operator import count_parameters
from sciml.training.pinn_settings import EquationConfig, EquationSettings
from sciml.training.reference import Reference, reference
from sciml.training.run_folder import Folder, Row
from sciml.training.weighting import balance, causal, where_residuals_are_large

Array = NDArray[np.float64]
DEFAULT_GATE = 1e-2
"""Largest relative L2 error that passes where the caller names none: what a grid of 64 cells along an axis reaches itself."""


@dataclass(frozen=True)
class EquationResult:
    """How a run ended.

    Attributes
    ----------
    path : the run folder.
    steps : of the optimizer that it holds, in all windows of time.
    resumed_from : steps that were there before this call.
    loss : the smallest mean square of the residuals at the end of a block, of the last window.
    best_step : when that was.
    relative_l2 : error of every output there, against `reference`.
    reference : the exact solution, or the solver on its grid.
    parameters : trained real numbers, of every window.
    seconds : of this call.
    """

    path: Path
    steps: int
    resumed_from: int
    loss: float
    best_step: int
    relative_l2: dict[str, float]
    reference: str
    parameters: int
    seconds: float


def train_equation(
    recipe: Recipe, out: str | Path, settings: EquationSettings | None = None, *, progress: Progress | None = None
) -> EquationResult:
    """Train a network on the equation of a recipe, or continue the run that `out` holds; then compare it with the reference.

    Parameters
    ----------
    recipe : whose problem is solved, for the sample that `settings` name.
    out : run folder; a run with the same settings is continued, and nothing is trained where it is complete.
    settings : None stands for the defaults.
    progress : called as ``progress("train", steps done, all steps, figures)`` after every step.

    Raises
    ------
    CheckpointError : `out` holds another run, a damaged one, or something else.
    DatasetError, ConditionError : the problem has no form at points, conditions that no smooth field satisfies, or no particles to follow.
    SettingsError : a learning rate with which the loss is not finite.
    """
    started = time.perf_counter()
    settings = settings or EquationSettings()
    problem = _Problem.of(recipe, settings)
    begun = problem.course(settings)
    settings = settings.suited(len(begun.window.form.equations), timed=problem.form.duration is not None)
    content = json.loads(recipe.canonical_json())
    config = EquationConfig(settings=settings, recipe=content, parameters=count_parameters(begun.network), environment=environment())
    run = equation_folder(out)
    with run.locked():
        run.claim(config)
        loop = _Loop(settings, begun, problem)
        rows = loop.resume(run)
        resumed_from = rows[-1]["step"] if rows else 0
        loop.run(run, rows, progress)
        best = run.best(rows)
        solution = problem.course(settings)
        solution.restore(run.checkpoints.weights(best["epoch"]), run.checkpoints.path(best["epoch"]))
        errors = _evaluated(run, solution.model, problem, rows, DEFAULT_GATE).details["relative_l2"]
    return EquationResult(
        run.root,
        rows[-1]["step"],
        resumed_from,
        best["loss"],
        best["step"],
        errors,
        problem.reference.source,
        config.parameters,
        time.perf_counter() - started,
    )


@dataclass(frozen=True, eq=False)
class _Problem:
    """The sample that is solved."""

    recipe: Recipe
    parameters: Parameters
    form: StrongForm
    reference: Reference

    @classmethod
    def of(cls, recipe: Recipe, settings: EquationSettings) -> _Problem:
        parameters = draw(recipe, seed_words(recipe.data.seed, STREAMS["train"], settings.sample))
        problem = recipe.solved_problem
        problem.check(parameters)
        form = problem.strong_form(parameters)
        return cls(recipe, parameters, form, reference(recipe, parameters, form))

    def course(self, settings: EquationSettings) -> Course:
        return course(self.recipe.solved_problem, self.parameters, self.form, settings)


class _Loop:
    """Networks, collocation points and optimizer of a run; every window has as many steps, and an optimizer of its own."""

    def __init__(self, settings: EquationSettings, course: Course, problem: _Problem) -> None:
        self.settings, self.course, self.problem = settings, course, problem
        self.smallest_weight = 1.0
        self._enter()

    def resume(self, run: Folder[EquationConfig]) -> list[Row]:
        """Load the last checkpoint, if there is one; returns the rows of the blocks that are done."""
        done = run.checkpoints.epoch_of("last") or 0
        rows = run.keep_rows(done)
        if done:
            run.check_checkpoint(done)
            self.course.restore(run.checkpoints.weights(done), run.checkpoints.path(done))
            # the optimizer of the last step: one that takes over with the next has no state yet
            self._enter((rows[-1]["step"] - 1) % self.settings.steps)
            load_state(self.stepper.optimizer, run.checkpoints.optimizer(done), run.checkpoints.path(done) / "state.pt")
            run.keep_best_and_last(rows)
        return rows

    def run(self, run: Folder[EquationConfig], rows: list[Row], progress: Progress | None) -> None:
        stored = run.config().model_dump(mode="json")
        while len(rows) % self.settings.blocks or not rows or not self.course.complete:
            if rows and len(rows) % self.settings.blocks == 0:
                self.course.advance()
                self._enter()
            row = self._block(len(rows), progress)
            run.append_row(row)
            rows.append(row)
            weights = dict(self.course.network.named_parameters())
            run.checkpoints.save(row["epoch"], weights, self.stepper.optimizer.state_dict(), stored)
            run.keep_best_and_last(rows)

    def _enter(self, done: int = 0) -> None:
        """Points and optimizer of the window that is trained now, after `done` of its steps."""
        self.residuals = self.course.residuals()
        self.stepper = Stepper(self.settings, self.course.window.network, self.residuals, done)

    def _block(self, done: int, progress: Progress | None) -> Row:
        """The block after `done` of them in all windows."""
        started, (windows, block) = time.perf_counter(), divmod(done, self.settings.blocks)
        first = block * self.settings.block
        last = min(first + self.settings.block, self.settings.steps)
        stage = "train" if self.course.reached == math.inf else f"train to t = {self.course.reached:.4g}"
        self._begin(done + 1, first)
        for step in range(first, last):
            if self.settings.weighting == "causal":
                self._weigh_causally()
            loss = self.stepper(step)
            if not math.isfinite(loss):
                raise SettingsError(f"the loss is {loss} after step {step}: choose a smaller learning_rate or another optimizer")
            if progress is not None:
                progress(stage, step + 1, self.settings.steps, {"loss": loss, **self._figures()})
        with torch.no_grad():
            loss = float(self.residuals.mean_squares(self._parameters()).sum())
        known = self.problem.reference.until(self.course.reached)
        errors = known.errors(self.course.model.predict(known.points)) if len(known.points) else {}
        row: Row = {"epoch": done + 1, "step": windows * self.settings.steps + last, "loss": loss, **self.course.figures}
        found = {f"error_{name}": error for name, error in errors.items()}
        return {**row, **found, **self._figures(), "seconds": time.perf_counter() - started}

    def _begin(self, block: int, step: int) -> None:
        """Points and weights of a block, from the network at its start alone."""
        settings = self.settings
        if settings.resample and step > 0:
            seed = int(np.random.SeedSequence([settings.seed, block]).generate_state(1)[0])
            pinn = self.course.window
            self.residuals = EquationResiduals(pinn, *where_residuals_are_large(pinn, settings.points, seed))
            self.stepper.follow(self.residuals, step)
        if settings.weighting in ("gradient-norm", "ntk"):
            self.residuals.factors = torch.ones_like(self.residuals.factors)
            weights = balance(self.residuals, self._parameters(), settings.weighting)
            self.residuals.factors = self.residuals.factors * weights.sqrt()
            self.stepper.follow(self.residuals, step)

    def _weigh_causally(self) -> None:
        weights = causal(self.residuals, self._parameters(), self.settings.chunks, self.settings.strictness)
        self.residuals.factors = weights.sqrt()[:, None].expand_as(self.residuals.factors)
        self.smallest_weight = float(weights.min())

    def _parameters(self) -> dict[str, torch.Tensor]:
        return dict(self.course.window.network.named_parameters())

    def _figures(self) -> dict[str, float]:
        """What the optimizer tells of its last step, as far as it is a finite number."""
        info = getattr(self.stepper.optimizer, "info", {})
        chosen = {name: info[name] for name in ("rank", "radius", "damping", "length") if name in info}
        if self.settings.weighting == "causal":
            chosen["smallest_weight"] = self.smallest_weight
        return {name: value for name, value in chosen.items() if isinstance(value, (int, float)) and math.isfinite(value) and value}


def evaluate_equation(run: str | Path, *, gate: float = DEFAULT_GATE) -> CheckReport:
    """Compare the best checkpoint of a run with the reference.

    The report is written to ``evaluation.json``, the fields to ``predictions.npz`` in the run folder.

    Parameters
    ----------
    gate : largest relative L2 error of an output that passes.

    Raises
    ------
    CheckpointError : for a run that is damaged, holds no finished block, or has not come to its last window of time.
    """
    folder = equation_folder(run)
    config = folder.config()
    model = load_equation(run)
    if isinstance(model, LagrangianMarch) and not model.complete:
        raise CheckpointError(f"{run} has come to t = {model.reached:g} of {model.duration:g}; run `sciml train` until it is complete")
    problem = _Problem.of(Recipe.from_canonical_json(json.dumps(config.recipe)), config.settings)
    return _evaluated(folder, model, problem, folder.keep_rows(folder.checkpoints.epoch_of("last") or 0), gate)


def _evaluated(run: Folder[EquationConfig], model: PINN | LagrangianMarch, problem: _Problem, rows: list[Row], gate: float) -> CheckReport:
    started, right = time.perf_counter(), problem.reference
    found = model.predict(right.points)
    errors = right.errors(found)
    best = run.best(rows)
    status: Status = "exact" if problem.form.exact is not None else "peer"
    checks = [
        Check(f"relative L2 error of {name}", error, "<=", gate, reference=right.source, status=status) for name, error in errors.items()
    ]
    details = {
        "relative_l2": errors,
        "rmse": right.rmse(found),
        "reference": right.source,
        "step": best["step"],
        "loss": best["loss"],
        "shape": list(right.shape),
    }
    report = CheckReport(run.root.name, checks, time.perf_counter() - started, details)
    fields: dict[str, Any] = {}
    for name, values in right.values.items():
        fields[f"truth/{name}"] = values.reshape(right.shape)
        fields[f"prediction/{name}"] = np.asarray(found[name]).reshape(right.shape)
    aside = run.root / "predictions.part.npz"
    np.savez(aside, **fields)
    replace_durably(aside, run.root / "predictions.npz")
    write_text_durably(run.root / "evaluation.json", report.to_json() + "\n")
    return report


def load_equation(run: str | Path, which: str = "best") -> PINN | LagrangianMarch:
    """The trained network of a run, whose `predict` gives its outputs at any points; of an unfinished march as far as it has come.

    Parameters
    ----------
    which : the checkpoint, "best" by the loss or "last".

    Raises
    ------
    CheckpointError : the folder holds no such run, no finished checkpoint yet, or a damaged one.
    """
    folder = equation_folder(run)
    config = folder.config()
    recipe = Recipe.from_canonical_json(json.dumps(config.recipe))
    epoch = folder.checkpoints.epoch_of(which)
    if epoch is None:
        raise CheckpointError(f"{run} holds no finished block; run `sciml train` until the first checkpoint is written")
    folder.check_checkpoint(epoch)
    parameters = draw(recipe, seed_words(recipe.data.seed, STREAMS["train"], config.settings.sample))
    problem = recipe.solved_problem
    found = course(problem, parameters, problem.strong_form(parameters), config.settings)
    found.restore(folder.checkpoints.weights(epoch), folder.checkpoints.path(epoch))
    return found.model


@dataclass(frozen=True)
class EquationFolder(Folder[EquationConfig]):
    """The folder of a run that trains a network on an equation."""

    record: type[EquationConfig] = EquationConfig
    figures: tuple[str, ...] = ("loss",)

    def best(self, rows: list[Row]) -> Row:
        """The row with the smallest loss of the last window, whose checkpoint holds all windows before it."""
        return super().best([row for row in rows if row.get("window") == rows[-1].get("window")])


def equation_folder(root: str | Path) -> EquationFolder:
    return EquationFolder(Path(root))
