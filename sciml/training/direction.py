"""Training of a direction network without solutions, and the trained network as a direction for `solvers.linear.ConjugateDirections`.

The loss of a residual r is ``|r - alpha A f(r)|^2 / |r|^2`` with the best alpha, averaged over the first steps of the method (Kaneda et
al. 2023, eq. 9, is the first alone). It is 0 where f(r) is any multiple of ``A^-1 r``. The right-hand sides are combinations of Ritz
vectors of the one matrix. As in `sciml.training.loop`, their order is a function of seed and epoch, and a checkpoint closes every
epoch: an interrupted run ends with the bits of an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from sciml.checks import environment
from sciml.discretize.solids import poisson_around
from sciml.errors import CheckpointError
from sciml.models import SettingsError
from sciml.models.direction_net import DirectionNet, Hierarchy, Level, coarsen
from sciml.training.checkpoint import load_optimizer, load_weights
from sciml.training.direction_settings import DirectionConfig, DirectionSettings
from sciml.training.loop import Progress
from sciml.training.operator import count_parameters
from sciml.training.ritz import combinations, ritz_vectors
from sciml.training.run_folder import Folder, Row
from solvers.linear import StencilOperator
from solvers.linear.conjugate_directions import Direction, direction_preconditioner

Array = NDArray[Any]
Propose = Callable[[torch.Tensor], torch.Tensor]
_LANCZOS, _TRAIN, _VALID, _ORDER = range(4)  # streams of random numbers
_NETWORKS = Path(__file__).parent / "networks"
SHIPPED = ("direction-2d", "direction-3d")  # names that `load_direction` knows
_LARGEST_GRADIENT = 0.1  # its norm, where the loss is between 0 and 1
_WINDOW = 2  # earlier directions that a new one is made A-orthogonal to, as in `ConjugateDirections`


@dataclass(frozen=True)
class DirectionResult:
    """How the training of a direction network ended.

    Attributes
    ----------
    path : the run folder.
    epochs : epochs that it holds.
    resumed_from : epochs that were there before this call.
    best_epoch : the one with the smallest `valid_residual`.
    valid_residual : mean over the held-out right-hand sides of ``|r - alpha A f(r)| / |r|`` at that epoch.
    parameters : trained real numbers.
    seconds, cpu_seconds : of this call, on the clock and of the processor.
    """

    path: Path
    epochs: int
    resumed_from: int
    best_epoch: int
    valid_residual: float
    parameters: int
    seconds: float
    cpu_seconds: float


def train_direction(out: str | Path, settings: DirectionSettings | None = None, *, progress: Progress | None = None) -> DirectionResult:
    """Train a direction network, or continue the run that `out` holds.

    Parameters
    ----------
    out : run folder; a run with the same settings is continued, and nothing is done where it is complete.
    settings : None stands for the defaults.
    progress : called as ``progress("train", steps done, all steps, figures)`` after every step.

    Raises
    ------
    CheckpointError : `out` holds another run, a damaged one, or something else.
    SettingsError : a learning rate with which the loss is not finite.
    """
    started, cpu = time.perf_counter(), time.process_time()
    settings = settings or DirectionSettings()
    network = _initial_network(settings)
    config = DirectionConfig(settings=settings, parameters=count_parameters(network), environment=environment())
    run = direction_folder(out)
    with run.locked():
        run.claim(config)
        loop = _Loop(settings, network)
        rows = loop.resume(run)
        resumed_from = len(rows)
        if resumed_from < settings.epochs:
            loop.run(run, rows, progress)
    best = run.best(rows)
    spent = time.perf_counter() - started, time.process_time() - cpu
    return DirectionResult(run.root, len(rows), resumed_from, best["epoch"], best["valid_residual"], config.parameters, *spent)


def direction_loss(propose: Propose, level: Level, r: torch.Tensor, directions: int) -> torch.Tensor:
    """``|r_k - alpha A d|^2 / |r_k|^2`` for every residual of a batch, averaged over the first steps of the method; shape (batch,).

    Parameters
    ----------
    propose : from residuals (batch, 1, *grid) of norm 1 to directions.
    level : the operator.
    r : right-hand sides, not zero, of that shape.
    directions : number of steps k.
    """
    axes = tuple(range(1, r.ndim))

    def dot(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (u * v).sum(axes, keepdim=True)

    losses = []
    earlier: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for _ in range(directions):
        r = r / dot(r, r).sqrt()
        d = propose(r)
        for p, q, curvature in earlier[-_WINDOW:]:
            d = d - dot(d, q) / curvature * p
        q = level.apply(d)
        curvature = dot(d, q)
        earlier.append((d, q, curvature))
        r = r - dot(d, r) / curvature * q
        losses.append(dot(r, r).flatten())
    return torch.stack(losses).mean(0)


class _Loop:
    """Network, optimizer and right-hand sides of a run, and the epochs over them."""

    def __init__(self, settings: DirectionSettings, network: DirectionNet) -> None:
        self.settings, self.network = settings, network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
        shape = (settings.resolution,) * settings.dimension
        A = poisson_around(np.zeros(shape, dtype=np.bool_))
        self.hierarchy = coarsen(A.faces, A.reaction)
        self._operator = A

    def _right_hand_sides(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of the train and of the valid split, from streams of their own."""
        A, settings = self._operator, self.settings
        _, vectors = ritz_vectors(A.matvec, A.size, settings.ritz_vectors, self._rng(_LANCZOS))

        def drawn(count: int, stream: int) -> torch.Tensor:
            return torch.from_numpy(combinations(vectors, count, self._rng(stream)).reshape(count, 1, *A.grid_shape))

        return drawn(settings.samples, _TRAIN), drawn(settings.valid, _VALID)

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=key))

    def resume(self, run: Folder[DirectionConfig]) -> list[Row]:
        """Load the last checkpoint, if there is one; returns the rows of the epochs that are done."""
        done = run.checkpoints.epoch_of("last") or 0
        rows = run.keep_rows(done)
        if done:
            run.check_checkpoint(done)
            load_weights(self.network, run.checkpoints.weights(done), run.checkpoints.path(done))
            load_optimizer(self.optimizer, run.checkpoints.optimizer(done), run.checkpoints.path(done) / "state.pt")
            run.keep_best_and_last(rows)  # the kill may have come before it
        return rows

    def run(self, run: Folder[DirectionConfig], rows: list[Row], progress: Progress | None) -> None:
        """Train until all epochs are done, appending to `rows`; the folder is valid at every moment."""
        stored = run.config().model_dump(mode="json")
        train, valid = self._right_hand_sides()
        for epoch in range(len(rows) + 1, self.settings.epochs + 1):
            row = self._epoch(epoch, train, valid, progress)
            run.append_row(row)
            rows.append(row)
            run.checkpoints.save(epoch, dict(self.network.named_parameters()), self.optimizer.state_dict(), stored)
            run.keep_best_and_last(rows)

    def _epoch(self, epoch: int, train: torch.Tensor, valid: torch.Tensor, progress: Progress | None) -> Row:
        started, total, size = time.perf_counter(), 0.0, self.settings.batch_size
        order = torch.from_numpy(self._rng(_ORDER, epoch).permutation(len(train)))
        steps = math.ceil(len(order) / size)
        for number, indices in enumerate(order.split(size)):
            step = (epoch - 1) * steps + number
            loss = self._step(train[indices], self.settings.rate(step, steps * self.settings.epochs))
            if not math.isfinite(loss):
                peak = self.settings.learning_rate
                raise SettingsError(f"learning_rate = {peak:g} made the loss {loss} in epoch {epoch}; choose a smaller one")
            total += loss * len(indices)
            if progress is not None:
                progress("train", step + 1, steps * self.settings.epochs, {"epoch": epoch, "loss": loss})
        with torch.inference_mode():
            left = [direction_loss(self._propose, self.hierarchy.levels[0], part, 1).sqrt() for part in valid.split(size)]
        row = {"epoch": epoch, "train_loss": total / len(train), "valid_residual": float(torch.cat(left).double().mean())}
        return {**row, "seconds": time.perf_counter() - started}

    def _propose(self, r: torch.Tensor) -> torch.Tensor:
        direction: torch.Tensor = self.network(r, self.hierarchy)
        return direction

    def _step(self, r: torch.Tensor, rate: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = direction_loss(self._propose, self.hierarchy.levels[0], r, self.settings.directions).mean()
        loss.backward()
        # a direction that nearly vanishes makes one gradient enormous, and Adam's second moment remembers it for a thousand steps
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self.optimizer.step()
        return float(loss.detach())


@dataclass(frozen=True, eq=False)
class TrainedDirection:
    """A direction network, ready to be used on any grid of its dimension.

    Examples
    --------
    ::

        direction = load_direction("direction-2d").on(A)
        linear_solve(A, b, ConjugateDirections(direction))
    """

    network: DirectionNet

    def on(self, A: StencilOperator) -> Direction:
        """The direction for residuals of A, in single precision inside; cells of A without neighbours are taken for solid.

        Raises
        ------
        SettingsError : A has another dimension than the network, or a periodic side.
        TypeError : A is no `StencilOperator`.
        """
        hierarchy, network = self._hierarchy(A), self.network

        def direction(r: Array) -> Array:
            if np.size(r) != A.size:
                raise SettingsError(f"the residual has {np.size(r)} entries, but the direction is for an operator of {A.size} unknowns")
            with torch.inference_mode():
                residual = torch.from_numpy(np.asarray(r, np.float32).reshape(1, 1, *hierarchy.shape))
                return np.asarray(network(residual, hierarchy).numpy().ravel())

        return direction

    def preconditioner(self, A: StencilOperator) -> LinearOperator:
        """The network as `M` for flexible methods; raises as `on` does."""
        return direction_preconditioner(self.on(A), A.size)

    def _hierarchy(self, A: StencilOperator) -> Hierarchy:
        if not isinstance(A, StencilOperator):
            raise TypeError(f"A is a {type(A).__name__}; a direction network needs a StencilOperator, whose grid it knows")
        have, want = self.network.dimension, len(A.grid_shape)
        if have != want:
            raise SettingsError(f"A has {want} axes, but the direction network is for {have}; train one with dimension = {want}")
        if any(A.periodic):
            axis = A.periodic.index(True)
            raise SettingsError(f"A is periodic along axis {axis}, which a direction network does not know; take 'multigrid_cg'")
        return coarsen(A.faces, A.reaction)


def load_direction(run: str | Path, which: str = "best") -> TrainedDirection:
    """Load a direction network.

    Parameters
    ----------
    run : run folder; or ``"direction-2d"``, ``"direction-3d"``, the trained networks that come with the suite, where no such folder exists.
    which : the checkpoint, ``"best"`` by the held-out right-hand sides or ``"last"``.

    Raises
    ------
    CheckpointError
        when the folder holds no run of a direction network, no finished checkpoint yet, or one that is damaged.
    """
    shipped = _NETWORKS / str(run)
    folder = direction_folder(shipped if str(run) in SHIPPED and not Path(run).exists() else run)
    settings = folder.config().settings
    epoch = folder.checkpoints.epoch_of(which)
    if epoch is None:
        raise CheckpointError(f"{run} holds no finished epoch; run `sciml train` until the first checkpoint is written")
    folder.check_checkpoint(epoch)
    with torch.device("meta"):
        network = DirectionNet(settings.dimension, settings.smoothing, settings.coarse)
    load_weights(network, folder.checkpoints.weights(epoch), folder.checkpoints.path(epoch))
    return TrainedDirection(network.eval())


def direction_folder(root: str | Path) -> Folder[DirectionConfig]:
    return Folder(Path(root), DirectionConfig, ("valid_residual",))


def _initial_network(settings: DirectionSettings) -> DirectionNet:
    """Weights drawn from the seed; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return DirectionNet(settings.dimension, settings.smoothing, settings.coarse)
