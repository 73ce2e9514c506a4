"""Checkpoints: a folder each, written aside and renamed, with nothing in it that could run.

``epoch-000012/`` holds ``model.safetensors`` (weights), ``state.pt`` (the optimizer's tensors, loaded with ``weights_only=True``) and
``config.json`` (names and numbers). The files ``last`` and ``best`` name the folders that deserve it; they too are renamed into place.
No random state is kept, because order and augmentation are functions of seed and epoch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sciml.data.durable import write_text_durably
from sciml.errors import CheckpointError

_NAME = re.compile(r"epoch-[0-9]{6}")


@dataclass(frozen=True)
class Checkpoints:
    """The folder ``checkpoints`` of a run."""

    root: Path

    def path(self, epoch: int) -> Path:
        """Folder of a checkpoint."""
        return self.root / _name(epoch)

    def save(self, epoch: int, weights: Mapping[str, torch.Tensor], optimizer: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Write the checkpoint of `epoch` and let ``last`` name it; until that is done the one before stands.

        Raises
        ------
        CheckpointError
            when it cannot be written; nothing half-written stays under the final name.
        """
        path = self.path(epoch)
        aside = path.with_suffix(".tmp")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            _clear(aside)
            aside.mkdir()
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, aside / "model.safetensors")
            torch.save({"optimizer": dict(optimizer), "epoch": epoch}, aside / "state.pt")
            (aside / "config.json").write_text(json.dumps({**config, "epoch": epoch}, indent=2), encoding="utf-8")
            _rename_folder(aside, path)
            write_text_durably(self.root / "last", path.name)
        except (OSError, RuntimeError, SafetensorError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            remedy = "make room or mend the folder, then run the same command again"
            raise CheckpointError(f"checkpoint {path} cannot be written ({error}); {remedy}") from None

    def mark_best(self, epoch: int) -> None:
        """Let ``best`` name the checkpoint of `epoch`."""
        write_text_durably(self.root / "best", _name(epoch))

    def epoch_of(self, pointer: str) -> int | None:
        """The epoch that ``last`` or ``best`` names; None before the first checkpoint."""
        path = self.root / pointer
        if not path.is_file():
            return None
        name = path.read_text(encoding="utf-8", errors="replace").strip()
        if not _NAME.fullmatch(name) or not (self.root / name).is_dir():
            raise CheckpointError(f"{path} names {name[:80]!r}, which is no checkpoint here; write the name of one there, or train again")
        return int(name.removeprefix("epoch-"))

    def prune(self, keep: Iterable[int]) -> None:
        """Remove every checkpoint but those of the epochs to `keep`, and what an interrupted `save` left."""
        kept = {_name(epoch) for epoch in keep}
        for path in self.root.glob("epoch-*"):
            if path.name not in kept:
                shutil.rmtree(path)

    def weights(self, epoch: int) -> dict[str, torch.Tensor]:
        """Weights on the CPU; raises CheckpointError when they are missing or damaged."""
        path = self.path(epoch) / "model.safetensors"
        try:
            return load_file(path)
        except (OSError, ValueError, SafetensorError) as error:
            raise _damaged(path, error) from None

    def optimizer(self, epoch: int) -> dict[str, Any]:
        """The optimizer's state dict on the CPU; a file that holds anything but tensors and plain values is refused."""
        path = self.path(epoch) / "state.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            return dict(state["optimizer"])
        except Exception as error:  # whatever a damaged or hostile file makes of the reader; nothing of it was run
            raise _damaged(path, error) from error

    def config(self, epoch: int) -> dict[str, Any]:
        """The checkpoint's own names and numbers; raises CheckpointError when they are missing or damaged."""
        path = self.path(epoch) / "config.json"
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise _damaged(path, error) from None


def check_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], origin: Path) -> None:
    """Raise CheckpointError naming the first tensor that `model` misses in `weights`, does not know, or has in another shape."""
    own = dict(model.named_parameters())
    for name in sorted(own.keys() | weights.keys()):
        here, there = own.get(name), weights.get(name)
        if here is None or there is None:
            where = "lacks" if there is None else "has the unknown"
            raise CheckpointError(f"{origin} {where} tensor {name!r}, so it belongs to another model; use the run that it came from")
        if here.shape != there.shape or here.dtype != there.dtype:
            shapes = f"{tuple(there.shape)} {there.dtype} instead of {tuple(here.shape)} {here.dtype}"
            raise CheckpointError(f"{origin} holds {name!r} as {shapes}, so it belongs to another model; use the run that it came from")


def load_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor], origin: Path) -> None:
    """Copy `weights` into `model`, which may be without memory so far; raises as `check_weights` does."""
    check_weights(model, weights, origin)
    if any(parameter.is_meta for parameter in model.parameters()):
        model.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights[name])


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], origin: Path) -> None:
    """Load the state of a stored optimizer of mini-batches; its settings stay as they are, since the config of the run decides them.

    Raises CheckpointError where what it holds for single parameters are not AdamW's moments of the optimizer's own, and where the
    optimizer refuses the rest.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    try:
        fits = all(_is_moment(entry, parameters[k]) for k, entry in state["state"].items())
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise _damaged(origin, error) from None
    if not fits:
        raise _of_another_model(origin)
    load_state(optimizer, state, origin)


def load_state(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], origin: Path) -> None:
    """Load the state of any stored optimizer, likewise; raises CheckpointError where it is that of another number of parameters."""
    groups = optimizer.state_dict()["param_groups"]
    try:
        numbers = [number for group in state["param_groups"] for number in group["params"]]
    except (KeyError, TypeError) as error:
        raise _damaged(origin, error) from None
    if numbers != [number for group in groups for number in group["params"]]:
        raise _of_another_model(origin)
    try:
        optimizer.load_state_dict({**state, "param_groups": groups})
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise _damaged(origin, error) from None


def _of_another_model(origin: Path) -> CheckpointError:
    return CheckpointError(f"{origin} is the optimizer of another model; restore it, or remove the run folder and train again")


def _is_moment(entry: Mapping[str, torch.Tensor], parameter: torch.Tensor) -> bool:
    """Whether `entry` holds the step and both moments of `parameter`, and nothing else."""
    moments = entry["exp_avg"], entry["exp_avg_sq"]
    same = all(moment.shape == parameter.shape and moment.dtype == parameter.dtype for moment in moments)
    return same and entry.keys() == {"step", "exp_avg", "exp_avg_sq"} and entry["step"].shape == ()


def _name(epoch: int) -> str:
    return f"epoch-{epoch:06d}"


def _damaged(path: Path, error: BaseException) -> CheckpointError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return CheckpointError(f"{path} is missing or damaged ({reason}); restore it, or remove the run folder and train again")


def _clear(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _rename_folder(aside: Path, path: Path) -> None:
    """Force a finished folder to disk and give it its name; a folder of that name (a finished save whose pointer was lost) gives way."""
    for entry in (*aside.iterdir(), aside):
        _force(entry)
    _clear(path)
    os.replace(aside, path)
    _force(path.parent)


def _force(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
