"""Export a sample for ParaView: a grid as VTKHDF image data, a mesh as a VTU file."""

from __future__ import annotations

import os
from pathlib import Path

from sciml.data.durable import write_bytes_durably
from sciml.data.loader import open_dataset
from sciml.data.manifest import SPLITS, read_manifest
from sciml.errors import DatasetError
from sciml.io.vtkhdf import image
from sciml.io.vtu import unstructured


def filled_split(path: str | os.PathLike[str]) -> str:
    """The first of test, valid and train that has samples; "test" where none has."""
    manifest = read_manifest(Path(path))
    return next((name for name in reversed(SPLITS) if manifest.covered(name)), "test")


def export_sample(path: str | os.PathLike[str], out: str | os.PathLike[str], *, split: str | None = None, sample: int = 0) -> Path:
    """Write all arrays of one sample to one file.

    Parameters
    ----------
    path : the dataset's folder.
    out : the file, ending in ``.vtkhdf`` for a grid and in ``.vtu`` for a mesh; an existing one is replaced.
    split, sample : which sample; split None is that of `filled_split`.

    Raises
    ------
    DatasetError
        No such sample, another ending, a grid that is neither a plane nor a box, or a place that cannot be written.
    """
    dataset = open_dataset(path, split or filled_split(path))
    split = dataset.split
    if not len(dataset):
        filled = next((name for name in SPLITS if dataset.manifest.covered(name)), "train")
        raise DatasetError(f"split {split!r} of {path} has no samples: give --split {filled}, or generate more samples")
    if not 0 <= sample < len(dataset):
        raise DatasetError(f"sample {sample} does not exist in split {split!r} of {path}: it has {len(dataset)}, counted from 0")
    out = Path(out)
    on_mesh = dataset.manifest.mesh is not None
    suffix, domain = (".vtu", "a mesh") if on_mesh else (".vtkhdf", "a grid")
    if out.suffix != suffix:
        raise DatasetError(f"--out {out.name!r} has to end in {suffix} for a sample on {domain}: write to {out.with_suffix(suffix).name!r}")
    content = (unstructured if on_mesh else image)(dataset, dataset[sample])
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes_durably(out, content)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written ({error.strerror}): free space there or choose another place") from None
    return out
