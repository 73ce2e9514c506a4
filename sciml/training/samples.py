"""From the named arrays of a dataset to the channels of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sciml.data.manifest import side_axis
from sciml.errors import DatasetError
from sciml.training.run_config import DataRecord

if TYPE_CHECKING:
    from sciml.data.recipe import Recipe
    from sciml.problems import Problem


class Samples(Protocol):
    """What training reads of a split: the interface of `sciml.data.loader.Dataset`, met by any object that has it."""

    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def scalars(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def extent(self) -> tuple[float, ...]: ...
    @property
    def axes(self) -> tuple[str, ...]: ...
    @property
    def boundary(self) -> Sequence[tuple[str, str]] | None: ...
    @property
    def symmetries(self) -> tuple[str, ...]: ...
    @property
    def times(self) -> tuple[float, ...] | None: ...
    @property
    def problem(self) -> Problem | None: ...
    @property
    def recipe(self) -> Recipe | None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]: ...
    def provenance(self, index: int) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ArraySamples:
    """Samples in memory, with the interface of a split.

    Parameters
    ----------
    arrays : name to array of shape (samples, ...).
    inputs, outputs, scalars : which of them is what.
    extent : side lengths of the box.
    boundary, symmetries : as in a dataset; unknown and none where left out.
    recipe : where the samples were made by one.
    times : of the outputs, which have a leading axis of that length where there are several; None for a steady problem.
    seed_words : of every sample, shape (samples, 4), where they were drawn.
    """

    arrays: Mapping[str, NDArray[Any]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    extent: tuple[float, ...]
    scalars: tuple[str, ...] = ()
    boundary: Sequence[tuple[str, str]] | None = None
    symmetries: tuple[str, ...] = ()
    recipe: Recipe | None = None
    seed_words: NDArray[np.uint64] | None = None
    name: str = "arrays"
    times: tuple[float, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.arrays[self.outputs[0]].shape[1 + (len(self.times or ()) > 1) :]

    @property
    def axes(self) -> tuple[str, ...]:
        return ("x", "y", "z")[: len(self.shape)]

    @property
    def problem(self) -> Problem | None:
        return self.recipe.problem if self.recipe and self.recipe.data.oversampling == 1 else None

    def __len__(self) -> int:
        return len(self.arrays[self.outputs[0]])

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        return {name: values[index] for name, values in self.arrays.items()}

    def provenance(self, index: int) -> dict[str, Any]:
        """The seed words of a sample."""
        if self.seed_words is None:
            raise DatasetError(f"samples of {self.name!r} were not drawn from seeds; use a dataset made by `sciml generate`")
        return {"seed_words": tuple(int(word) for word in self.seed_words[index])}


def open_split(data: str | Path | Samples, split: str) -> Samples:
    """`data` itself where it is open already, else the split of the dataset folder `data`; DatasetError where it lies on a mesh."""
    if isinstance(data, (str, Path)):
        from sciml.data.loader import open_dataset

        data = open_dataset(data, split)
        if not len(data):
            raise DatasetError(f"split {split!r} of {data.root} has no samples: make more with `sciml generate`, or raise data.{split}")
    mesh = getattr(getattr(data, "manifest", None), "mesh", None)
    if mesh is not None:
        what = f"dataset {data.name!r} lies on the unstructured mesh {mesh.file!r} ({mesh.nodes} nodes)"
        raise DatasetError(f"{what}, and the operators here need a grid: take a dataset of a problem on a box")
    return data


def input_names(samples: Samples) -> tuple[str, ...]:
    """What a network sees, one channel each: fields first, then scalars."""
    return (*samples.inputs, *(name for name in samples.scalars if name not in samples.inputs))


def output_channels(samples: Samples) -> tuple[str, ...]:
    """What a network predicts, one channel each: the outputs, every one of them once a time where there are several.

    >>> x = np.zeros((5, 2, 8))
    >>> output_channels(ArraySamples({"u0": x[:, 0], "u": x}, ("u0",), ("u",), (1.0,), times=(0.5, 1.0)))
    ('u(t=0.5)', 'u(t=1)')
    """
    if samples.times is None or len(samples.times) == 1:
        return tuple(samples.outputs)
    return tuple(f"{name}(t={t:.9g})" for name in samples.outputs for t in samples.times)


def spacing(samples: Samples) -> tuple[float, ...]:
    """Distance of neighbouring samples along each axis, in the dataset's unit of length."""
    return tuple(length / n for length, n in zip(samples.extent, samples.shape, strict=True))


def check_axes(shape: Sequence[int], subject: str) -> None:
    """Refuse a grid on which no slope of second order can be formed up to its ends; raises DatasetError about `subject`."""
    if min(shape) < 3:
        grid = " x ".join(str(n) for n in shape)
        raise DatasetError(f"{subject} has a grid of {grid} points, too few for the gradient in the H1 error; give every axis at least 3")


def periodic(samples: Samples) -> tuple[bool, ...]:
    """Whether each axis wraps; where nobody declared the boundary, none does."""
    if samples.boundary is None:
        return (False,) * len(samples.shape)
    return tuple(sides[0] == "periodic" for sides in samples.boundary)


def stack(sample: Mapping[str, NDArray[Any]], names: Sequence[str], axes: Sequence[str], shape: tuple[int, ...]) -> NDArray[Any]:
    """Named arrays of one sample as channels, shape (channels, *shape).

    A scalar fills its channel; a field on a side (``boundary_<axis>_<low|high>``) is repeated along the normal of that side; a field at
    several times fills one channel a time.
    """
    channels: list[NDArray[Any]] = []
    for name in names:
        values = np.asarray(sample[name])
        channels += list(values) if values.shape[1:] == shape and values.ndim == len(shape) + 1 else [_on_grid(name, values, axes, shape)]
    return np.stack([np.broadcast_to(values, shape) for values in channels])


def _on_grid(name: str, values: NDArray[Any], axes: Sequence[str], shape: tuple[int, ...]) -> NDArray[Any]:
    if values.ndim in (0, len(shape)):
        return values
    axis = side_axis(name, tuple(axes))
    if axis is not None and values.ndim == len(shape) - 1:
        return np.expand_dims(values, axis)
    what = f"field {name!r} has shape {values.shape}, which fits neither the grid {shape} nor one of its sides"
    raise DatasetError(f"{what}; import it on the grid")


def describe(train_split: Samples, valid_split: Samples, path: str | Path | None) -> DataRecord:
    """Which data this is, for the config of a run; an open dataset knows its own path."""
    manifest = getattr(train_split, "manifest", None)
    root = getattr(train_split, "root", None) if path is None else path
    return DataRecord(
        path=None if root is None else str(Path(root).resolve()),
        name=train_split.name,
        identity=None if manifest is None else manifest.identity,
        seed=None if manifest is None else manifest.seed,
        samples={"train": len(train_split), "valid": len(valid_split)},
        shape=train_split.shape,
        extent=train_split.extent,
        axes=train_split.axes,
        boundary=None if train_split.boundary is None else tuple(train_split.boundary),
        symmetries=train_split.symmetries,
        times=train_split.times,
    )
