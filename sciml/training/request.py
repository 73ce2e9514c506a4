"""What was asked of an evaluation, kept with its figures: the report has to tell how to get them again, and which are the run's own."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sciml.training.run_config import RunConfig
from sciml.training.samples import Samples


@dataclass(frozen=True)
class Request:
    """The arguments of an evaluation.

    Parameters
    ----------
    data : folder of the dataset, or the name of arrays in memory; None for the data that the run was trained on.
    split : of the data.
    resolution : of the grid on which the samples were solved anew; None for their own.
    samples : how many of the split; None for all.
    gate : largest median relative L2 error that passes.
    """

    data: str | None
    split: str
    resolution: int | None
    samples: int | None
    gate: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def suffix(self, shape: tuple[int, ...], trained_on: tuple[int, ...]) -> str:
        """What sets the files of this evaluation apart; empty for the whole test split of the run's own data on its own grid."""
        parts = [
            "" if self.data is None else re.sub(r"[^A-Za-z0-9_.]+", "_", Path(self.data).name) or "data",
            "" if self.split == "test" else self.split,
            "" if shape == trained_on and self.resolution is None else "x".join(str(n) for n in shape),
            "" if self.samples is None else f"first{self.samples}",
        ]
        return "".join(f"-{part}" for part in parts if part)


def data_of(samples: Samples, config: RunConfig) -> str | None:
    """The folder of `samples`, or their name where they are in memory; None where the run of `config` was trained on them.

    A folder is the run's own where its identity, seed and sizes are; arrays in memory, which have neither, where their name is.
    """
    manifest, root = getattr(samples, "manifest", None), getattr(samples, "root", None)
    known = config.data.name, config.data.identity, config.data.seed
    if manifest is None:
        own = (samples.name, None, None) == known
    else:
        sizes = {split: manifest.splits.get(split, 0) for split in config.data.samples}
        own = (samples.name, manifest.identity, manifest.seed) == known and sizes == config.data.samples
    if own:
        return None
    return samples.name if root is None else str(Path(root).resolve())
