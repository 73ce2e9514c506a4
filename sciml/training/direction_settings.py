"""How a direction network is trained, and the recipes that say so; loads no torch."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sciml.errors import RecipeError
from sciml.models.settings import Settings
from sciml.training.run_config import Record
from sciml.training.settings import one_cycle

_RECIPES = Path(__file__).parent / "recipes"
_LARGEST_FILE = 1 << 16


class DirectionSettings(Settings):
    """A direction network (see `sciml.models.direction_net`) and its training by Adam on one matrix: Poisson in an empty box.

    Parameters
    ----------
    model : what a recipe of this kind names.
    dimension : 2 or 3.
    resolution : cells along each axis of the box trained on; the network serves other grids.
    smoothing : convolutions before and after the coarse correction.
    coarse : convolutions on the coarsest grid.
    ritz_vectors : steps of Lanczos's method; the right-hand sides are combinations of as many Ritz vectors.
    samples, valid : right-hand sides to learn from, and held-out ones that choose the best epoch.
    directions : steps of the method that the loss is averaged over, starting at each right-hand side.
    epochs : passes over the right-hand sides.
    batch_size : right-hand sides in one step.
    learning_rate : the largest one, reached after a quarter of all steps.
    seed : of Lanczos's start, the right-hand sides, their order and the weights.
    """

    model: Literal["direction"] = "direction"
    dimension: Literal[2, 3] = 2
    resolution: int = Field(default=64, ge=4, le=1024)
    smoothing: int = Field(default=2, ge=1, le=16)
    coarse: int = Field(default=8, ge=1, le=64)
    ritz_vectors: int = Field(default=800, ge=2, le=100_000)
    samples: int = Field(default=1000, ge=1, le=1_000_000)
    valid: int = Field(default=100, ge=1, le=1_000_000)
    directions: int = Field(default=3, ge=1, le=16)
    epochs: int = Field(default=5, ge=1, le=100_000)
    batch_size: int = Field(default=16, ge=1, le=65_536)
    learning_rate: float = Field(default=3e-2, gt=0.0, le=1.0)
    seed: int = Field(default=0, ge=0, lt=2**63)

    def rate(self, step: int, total: int) -> float:
        """Learning rate of step `step` of `total`, counted from 0."""
        return one_cycle(self.learning_rate, step, total)


class DirectionConfig(Record):
    """Everything that decides the course of a run that trains a direction network, and where it happened."""

    format: Literal["sciml-direction"] = "sciml-direction"
    version: Literal[1] = 1
    settings: DirectionSettings
    parameters: int
    environment: dict[str, Any]


def find_training_recipe(name_or_path: str | Path) -> Path | None:
    """The file of a training recipe: a shipped one by its name, or any ``.toml`` file by its path; None for anything else."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return path
    shipped = _RECIPES / f"{path}.toml"
    return shipped if len(path.parts) == 1 and not path.exists() and shipped.is_file() else None


def read_training_recipe(path: Path) -> dict[str, Any]:
    """The entries of a training recipe; raises `RecipeError` for a file that cannot be read."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise RecipeError(f"training recipe {path} has {path.stat().st_size} bytes; it is a small TOML file, is this the right file?")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"training recipe {path} cannot be read as TOML: {error}; correct the file") from None


def load_direction_settings(path: Path, overrides: Mapping[str, Any]) -> DirectionSettings:
    """The settings in a training recipe; `overrides` replace or add entries.

    Raises
    ------
    RecipeError : a file that cannot be read, or a recipe of something else.
    SettingsError : an unknown entry or a value out of its range.
    """
    content = read_training_recipe(path)
    if content.get("model") != "direction":
        what = f"training recipe {path} has model = {content.get('model')!r}"
        raise RecipeError(f"{what}; write 'direction', 'pinn' or 'lpinn', or run `sciml generate` first if this is the recipe of a dataset")
    return DirectionSettings(**{**content, **overrides})
