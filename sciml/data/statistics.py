"""Mean, standard deviation and root mean square of every field, as the ``stats.yaml`` that The Well's reader normalises with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sciml.data.durable import write_text_durably
from sciml.data.layout import ShardLayout
from sciml.data.manifest import Manifest
from sciml.data.shard import ShardReader

FILE_NAME = "stats.yaml"


def write_statistics(root: Path, manifest: Manifest) -> None:
    """Write ``stats.yaml`` from the training split, one sample at a time, in float64.

    Fields at one time have no differences between time levels. The reader wants those keys all the same, for a model that predicts
    the change from nothing to the field: mean and deviation of the field itself.
    """
    names = (*manifest.inputs, *manifest.outputs)
    moments = {name: np.zeros(3) for name in names}  # count, mean, sum of squared deviations
    changing = {name for name in manifest.outputs if manifest.shape_of(name) != manifest.shape}
    changes = {name: np.zeros(3) for name in changing}
    for shard in manifest.shards:
        if shard.split == "train":
            layout = ShardLayout(manifest, shard.split, shard.start, shard.samples)
            reader = ShardReader.open(root, layout, root / shard.path)
            with reader.file:
                for position in range(shard.samples):
                    for name, value in reader.sample(position).items():
                        if name in moments:
                            moments[name] = _merged(moments[name], value.astype(np.float64))
                        if name in changing:
                            changes[name] = _merged(changes[name], np.diff(value.astype(np.float64), axis=0))
    write_text_durably(root / FILE_NAME, _as_yaml(moments, {**moments, **changes}))


def _merged(moments: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Chan's update of (count, mean, sum of squared deviations) with more values."""
    count, mean, squares = moments
    total = count + values.size
    delta = values.mean() - mean
    squares += np.square(values - values.mean()).sum() + delta**2 * count * values.size / total
    return np.array([total, mean + delta * values.size / total, squares])


def _as_yaml(moments: dict[str, np.ndarray], changes: dict[str, np.ndarray]) -> str:
    tables = _tables(moments) | {f"{key}_delta": table for key, table in _tables(changes).items()}
    # A mantissa with a point and a signed exponent: YAML 1.1 takes "1e-05" for text.
    return "".join(f"{key}:\n" + "".join(f"  {name}: {value:.16e}\n" for name, value in table.items()) for key, table in tables.items())


def _tables(moments: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    mean = {name: float(mean) for name, (_, mean, _) in moments.items()}
    std = {name: float(np.sqrt(squares / max(count, 1))) for name, (count, _, squares) in moments.items()}
    return {"mean": mean, "std": std, "rms": {name: float(np.hypot(mean[name], std[name])) for name in moments}}
