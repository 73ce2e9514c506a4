"""Per-channel mean and standard deviation, fitted on the training split and applied alike to every split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sciml.errors import CheckpointError, DatasetError

#: A channel that varies by less than this share of its mean is constant up to the rounding of the sums here.
_CONSTANT = 1e-12


@dataclass(frozen=True)
class Normaliser:
    """The map ``(value - mean) / std`` for every named channel, and its inverse.

    Parameters
    ----------
    names : channels, in the order of the arrays' channel axis.
    mean, std : one figure a channel, in the channel's own unit; ``std`` is 1 for a channel that is constant on the training split, so
        that it is mapped to zero and back to its value.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, names: Sequence[str], samples: Iterable[NDArray[Any]]) -> Normaliser:
        """Fit over all samples and grid points, in float64 and one pass (the pairwise update of Chan, Golub and LeVeque, 1983).

        Parameters
        ----------
        names : the channels.
        samples : arrays of shape (channels, ...), one at a time, so that the split need not fit in memory.

        Raises
        ------
        DatasetError
            when there is no sample, or one holds a value that is not finite.
        """
        count, mean, square = 0, np.zeros(len(names)), np.zeros(len(names))
        for index, sample in enumerate(samples):
            values = np.asarray(sample, dtype=np.float64).reshape(len(names), -1)
            _check_finite(names, values, index)
            added, average = values.shape[1], values.mean(axis=1)
            shift, total = average - mean, count + added
            square += ((values - average[:, None]) ** 2).sum(axis=1) + shift**2 * count * added / total
            mean += shift * added / total
            count = total
        if count == 0:
            raise DatasetError("the train split holds no sample; generate at least one, or raise the split's share")
        std = np.sqrt(square / count)
        std[std <= _CONSTANT * np.abs(mean)] = 1.0
        return cls(tuple(names), tuple(mean.tolist()), tuple(std.tolist()))

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Physical to normalised values, shape (batch, channels, *grid)."""
        mean, std = self.factors(values.ndim - 2, values.dtype)
        return (values - mean) / std

    def decode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Normalised to physical values, shape (batch, channels, *grid)."""
        mean, std = self.factors(values.ndim - 2, values.dtype)
        return values * std + mean

    def factors(self, dimension: int, dtype: Any = np.float32) -> tuple[NDArray[Any], NDArray[Any]]:
        """``(mean, std)`` shaped (channels, 1, ..., 1), which broadcast over a batch on a `dimension`-d grid."""
        shape = (len(self.names),) + (1,) * dimension
        return np.array(self.mean, dtype=dtype).reshape(shape), np.array(self.std, dtype=dtype).reshape(shape)

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain lists for JSON, exact: Python prints a float such that it reads back as the same one."""
        return {"names": list(self.names), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Normaliser:
        """Inverse of `to_dict`; raises CheckpointError for anything else."""
        try:
            names = tuple(str(name) for name in values["names"])
            mean, std = (tuple(float(x) for x in values[key]) for key in ("mean", "std"))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"normaliser = {values!r} has no valid names, mean and std ({error}); train again") from None
        if not len(names) == len(mean) == len(std) or not all(math.isfinite(x) for x in mean + std) or any(x <= 0 for x in std):
            raise CheckpointError(f"normaliser = {values!r} needs one finite mean and one positive std per name; train again")
        return cls(names, mean, std)


def _check_finite(names: Sequence[str], values: NDArray[np.float64], index: int) -> None:
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        name = names[int(np.argmin(finite))]
        raise DatasetError(f"field {name!r} of train sample {index} holds a value that is not finite; generate or import the dataset again")
