"""Optimizers of operators on mini-batches of Darcy flow: M-FAC and MKOR beside AdamW and Muon, at equal steps and at equal seconds.

Two networks learn the pressure of a two-phase medium from its permeability, by the relative L2 error in batches of 16. A Fourier neural
operator (16 channels, 8 modes, 3 layers, 32 x 32 cells) has 4 % of its parameters in the layers that MKOR preconditions, and no matrix
that Muon could take: the rest are complex spectral weights. A perceptron on all cells of a grid of 16 x 16 (four layers, 256 wide) has
matrices and biases alone.

Every optimizer has the same three peak rates of the same cycle to choose from, by the error on a valid split with a seed of its own; then
it trains with the seeds that count. AdamW has weight decay 1e-4, and so have the one that MKOR hands its gradients to and the one that
takes what Muon cannot. At equal seconds each trains for as many epochs as fit into AdamW's processor time. The details hold every error.

The widths are of MKOR's price: an update of both factors, the inversions that KFAC has in its place, and the products of either with the
gradient, in floating-point operations and seconds. The products are O(d^3) in both methods.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sciml.checks import Check, CheckReport
from sciml.data.recipe import load_recipe
from sciml.discretize import linear_system
from sciml.models.operators import grid_operator
from sciml.models.settings import OperatorSettings
from sciml.optimizers import MFAC, MKOR, RateSwitch
from sciml.optimizers.mkor import rank_one_update
from sciml.problems import seed_words
from sciml.training.metrics import relative_l2
from sciml.training.settings import one_cycle
from solvers import linear_solve
from validation.options import check_between
from validation.report import save
from validation.timing import one_core, seconds

log = logging.getLogger(__name__)

COST = "15 to 20 min"
RATES = (1e-3, 4e-3, 1.6e-2)
BATCH = 16
DECAY = 1e-4
WIDTHS = (256, 512, 1024, 2048)
TUNING_SEED = 1_000_000
Make = Callable[[nn.Module, float], list[torch.optim.Optimizer]]


@dataclass(frozen=True)
class Split:
    inputs: Tensor
    truth: Tensor


@dataclass(frozen=True)
class Problem:
    """Samples in three splits, the network, and the epochs of one training."""

    train: Split
    valid: Split
    test: Split
    network: Callable[[], nn.Module]
    epochs: int
    mean: float
    std: float

    def error(self, network: nn.Module, split: Split) -> Tensor:
        """Mean relative L2 error, in the pressure's own unit."""
        return relative_l2(network(split.inputs) * self.std + self.mean, split.truth).mean()


@dataclass(frozen=True)
class Outcome:
    """One training: `losses` are means of the epochs, `seconds` those of the processor."""

    test_error: float
    valid_error: float
    losses: list[float]
    seconds: float
    switched_at: int | None


def run(*, seeds: int = 3, epochs: int = 15, largest_width: int = 2048, out: Path = Path("demo/operator-optimizers.json")) -> CheckReport:
    """Train every optimizer with `seeds` seeds, the perceptron for twice the `epochs`; the report is also written to `out`."""
    check_between("seeds", seeds, 3, 100)
    check_between("epochs", epochs, 1, 10_000)
    check_between("largest_width", largest_width, 512, 8192)
    start = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with one_core():
            problems = {"fno": _fno(epochs), "mlp": _mlp(2 * epochs)}
            results = {name: _compared(name, problem, seeds) for name, problem in problems.items()}
            widths = {width: _price(width) for width in WIDTHS if width <= largest_width}
    finally:
        torch.set_num_threads(threads)
    checks = [*_error_checks(results), *_price_checks(widths)]
    details = {"seeds": seeds, "batch": BATCH, "rates": RATES, **results, "widths": widths}
    report = CheckReport("operator-optimizers", checks, time.perf_counter() - start, details)
    save(report, out)
    return report


def _error_checks(results: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """What MKOR promises: no worse than the optimizer inside it where it has little to do, and better where it has all layers."""
    peer = f"torch.optim.AdamW {torch.__version__}"
    fno, mlp = results["fno"], results["mlp"]

    def ratio(result: Mapping[str, Any], name: str, figure: str) -> float:
        return float(result[name][figure] / result["adamw"][figure])

    return [
        Check("fno: test error of MKOR / AdamW, equal steps", ratio(fno, "mkor", "median_test_error"), "<=", 1.1, "", peer, "peer"),
        Check("mlp: test error of MKOR / AdamW, equal steps", ratio(mlp, "mkor", "median_test_error"), "<=", 1.0, "", peer, "peer"),
        Check("mlp: train loss of MKOR / AdamW, equal steps", ratio(mlp, "mkor", "median_train_loss"), "<=", 0.9, "", peer, "peer"),
        Check("mlp: epochs of MKOR to AdamW's last train loss / AdamW's", mlp["mkor"]["epochs_to_adamw"], "<=", 1.0, "", peer, "peer"),
    ]


def _price_checks(widths: Mapping[int, Mapping[str, Any]]) -> list[Check]:
    def slope(what: str) -> float:
        counts = [widths[width]["operations"][what] for width in widths]
        return float(np.polyfit(np.log(list(widths)), np.log(counts), 1)[0])

    largest = widths[max(widths)]["seconds"]
    return [
        Check("operations of an MKOR update, slope in the width", slope("update"), "<=", 2.3, reference="O(d^2)", status="exact"),
        Check("operations of KFAC's inversions, slope in the width", slope("inversion"), ">=", 2.7, reference="O(d^3)", status="exact"),
        Check(
            f"width {max(widths)}: seconds of KFAC's inversions / of an MKOR update",
            largest["inversion"] / largest["update"],
            ">=",
            2.0,
            reference="torch.linalg.cholesky and cholesky_inverse, same run",
            status="peer",
        ),
    ]


def _compared(name: str, problem: Problem, seeds: int) -> dict[str, Any]:
    """Every optimizer at its best rate, over all seeds, at equal steps and at AdamW's seconds."""
    results: dict[str, Any] = {}
    for label, make in _optimizers(problem.network()).items():
        tuning = {rate: _trained(problem, make, rate, TUNING_SEED, problem.epochs).valid_error for rate in RATES}
        rate = min(tuning, key=lambda rate: tuning[rate] if np.isfinite(tuning[rate]) else np.inf)
        outcomes = [_trained(problem, make, rate, seed, problem.epochs) for seed in range(seeds)]
        taken = median(outcome.seconds for outcome in outcomes)
        reference = results.get("adamw", {"median_seconds": taken, "median_train_loss": median(one.losses[-1] for one in outcomes)})
        same = max(1, round(problem.epochs * reference["median_seconds"] / taken))
        timed = outcomes if label == "adamw" else [_trained(problem, make, rate, seed, same) for seed in range(seeds)]
        results[label] = {
            "rate": rate,
            "valid_error_of_rates": tuning,
            "median_test_error": median(one.test_error for one in outcomes),
            "median_train_loss": median(one.losses[-1] for one in outcomes),
            "median_seconds": taken,
            "epochs_to_adamw": median(_epochs_to(reference["median_train_loss"], one.losses) for one in outcomes) / problem.epochs,
            "equal_seconds": {"epochs": same, "median_test_error": median(one.test_error for one in timed)},
            "runs": [asdict(one) for one in outcomes],
            "runs_of_equal_seconds": [asdict(one) for one in timed] if timed is not outcomes else [],
        }
        figures = results[label]
        log.info(
            "%s, %s: rate %g, test error %.4f, train loss %.4f, %.1f s; in AdamW's seconds %d epochs, test error %.4f",
            *(name, label, rate, figures["median_test_error"], figures["median_train_loss"], taken),
            *(same, figures["equal_seconds"]["median_test_error"]),
        )
    return results


def _epochs_to(loss: float, losses: list[float]) -> float:
    """The first epoch whose mean loss is no larger; infinite where none is."""
    return next((float(epoch) for epoch, one in enumerate(losses, 1) if one <= loss), float("inf"))


def _optimizers(network: nn.Module) -> dict[str, Make]:
    """Everything that is compared, AdamW first; Muon where torch has it and the network has a matrix."""
    adamw = partial(torch.optim.AdamW, weight_decay=DECAY)
    makers: dict[str, Make] = {
        "adamw": lambda model, rate: [adamw(model.parameters(), lr=rate)],
        "mfac": lambda model, rate: [MFAC(model.parameters(), rate, 32, weight_decay=DECAY)],
        "mkor": lambda model, rate: [MKOR(model, rate, adamw)],
        "mkor-h": lambda model, rate: [MKOR(model, rate, adamw, hybrid=RateSwitch())],
    }
    if hasattr(torch.optim, "Muon") and any(parameter.ndim == 2 for parameter in network.parameters()):
        makers["muon"] = _muon
    return makers


def _muon(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for matrices, with updates as large as AdamW's, and AdamW for the rest."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim != 2]
    muon = torch.optim.Muon(matrices, lr=rate, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, lr=rate, weight_decay=DECAY)]


def _trained(problem: Problem, make: Make, rate: float, seed: int, epochs: int) -> Outcome:
    torch.manual_seed(seed)
    network = problem.network()
    optimizers = make(network, rate)
    steps, losses = len(problem.train.truth) // BATCH, []
    began = time.process_time()
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(problem.train.truth))
        total = 0.0
        for number in range(steps):
            chosen = torch.from_numpy(order[number * BATCH : (number + 1) * BATCH])
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                group["lr"] = one_cycle(rate, epoch * steps + number, epochs * steps)
            total += _step(problem, network, optimizers, Split(problem.train.inputs[chosen], problem.train.truth[chosen]))
        losses.append(total / steps)
    taken = time.process_time() - began
    with torch.inference_mode():
        errors = [float(problem.error(network, split)) for split in (problem.test, problem.valid)]
    info = getattr(optimizers[0], "info", {})
    return Outcome(errors[0], errors[1], losses, taken, info.get("switched_at"))


def _step(problem: Problem, network: nn.Module, optimizers: list[torch.optim.Optimizer], batch: Split) -> float:
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss = problem.error(network, batch)
    loss.backward()
    value = float(loss.detach())
    for optimizer in optimizers:
        optimizer.step(lambda: value)
    return value


def _fno(epochs: int) -> Problem:
    settings = OperatorSettings(hidden_channels=16, modes=8, layers=3)
    return _problem(32, (256, 64, 64), lambda: grid_operator(settings, 1, 1, 2), epochs)


def _mlp(epochs: int) -> Problem:
    def network() -> nn.Module:
        hidden = [layer for _ in range(3) for layer in (nn.Linear(256, 256), nn.GELU())]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(256, 256), nn.Unflatten(1, (1, 16, 16)))

    return _problem(16, (512, 128, 128), network, epochs)


def _problem(resolution: int, counts: tuple[int, int, int], network: Callable[[], nn.Module], epochs: int) -> Problem:
    recipe = load_recipe("darcy", [f"problem.resolution={resolution}"])
    inputs, truth = [], []
    for index in range(sum(counts)):
        parameters = recipe.problem.sample(seed_words(0, 0, index))
        system = linear_system(recipe.problem, parameters)
        solution = linear_solve(system.operator, system.rhs, "auto", rtol=1e-8).raise_for_status()
        inputs.append(parameters["permeability"])
        truth.append(system.unpack(solution.x)["pressure"])
    x, y = (torch.from_numpy(np.asarray(fields, dtype=np.float32))[:, None] for fields in (inputs, truth))
    known = slice(counts[0])
    x = (x - x[known].mean()) / x[known].std()
    splits = [Split(*pair) for pair in zip(x.split(counts), y.split(counts), strict=True)]
    return Problem(splits[0], splits[1], splits[2], network, epochs, float(y[known].mean()), float(y[known].std()))


def _price(width: int) -> dict[str, Any]:
    """Of a layer with `width` inputs and outputs: both factors' update, both inversions of KFAC, both products with the gradient."""
    generator = torch.Generator().manual_seed(0)
    gradient, v = torch.randn(width, width, generator=generator), torch.randn(width, generator=generator)
    H, mean = torch.eye(width), torch.eye(width) + torch.outer(v, v)
    ways: dict[str, Callable[[], Any]] = {
        "update": lambda: [rank_one_update(H, v, 0.95, "exact") for _ in range(2)],
        "inversion": lambda: [torch.cholesky_inverse(torch.linalg.cholesky(mean)) for _ in range(2)],
        "products": lambda: H @ gradient @ H,
    }
    # torch's counter knows no factorisation: d^3 / 3 operations for one, 2 d^3 / 3 for the inverse from it (Golub and Van Loan)
    cubes = {
        torch.ops.aten.linalg_cholesky_ex: lambda shape, *_, **__: shape[-1] ** 3 // 3,
        torch.ops.aten.cholesky_inverse: lambda shape, *_, **__: 2 * shape[-1] ** 3 // 3,
    }
    found: dict[str, Any] = {"operations": {}, "seconds": {}}
    for name, call in ways.items():
        with FlopCounterMode(display=False, custom_mapping=cubes) as counter:
            call()
        found["operations"][name] = counter.get_total_flops()
        found["seconds"][name] = median(seconds(call) for _ in range(3 if width > 1024 else 9))
    return found
