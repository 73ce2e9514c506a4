"""NumPy and torch arrays under one roof; torch is looked up where its arrays come from, never imported.

`xp` is the module itself, numpy or torch: the integrators use only functions that both have under one name.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.arguments import numbers


def is_torch(array: Any) -> bool:
    return type(array).__module__.partition(".")[0] == "torch"


def namespace(array: Any) -> Any:
    """The module whose functions take this array: numpy or torch."""
    return sys.modules["torch"] if is_torch(array) else np


def to_numpy(array: Any) -> NDArray[Any]:
    return np.asarray(array.detach().cpu().numpy() if is_torch(array) else array)


def in_kind(array: Any, y: Any) -> Any:
    """A number or array as one of y's kind, precision and device; complex stays complex, and what torch tracks stays tracked.

    Times and steps are float64 whatever y is; their product with a float32 state would be float64 without this.
    """
    if isinstance(array, int | float | complex) and not isinstance(array, np.generic):
        return array
    if not is_torch(y):
        array = np.asarray(array)
        return array.astype(np.result_type(y.real.dtype, np.complex64) if np.iscomplexobj(array) else y.real.dtype, copy=False)
    torch = namespace(y)
    if not is_torch(array):
        array = torch.as_tensor(np.asarray(array))
    real = y.real.dtype
    return array.to(device=y.device, dtype=torch.complex(*torch.zeros(2, dtype=real)).dtype if array.is_complex() else real)


def state(y0: Any) -> Any:
    """y0 as an array of floating or complex numbers; integers and booleans become float64. TypeError for anything else."""
    if is_torch(y0):
        return y0 if y0.is_floating_point() or y0.is_complex() else y0.to(namespace(y0).float64)
    y = numbers("y0", y0, "give the state as an array of numbers", kinds="biufc")
    return y if y.dtype.kind in "fc" else y.astype(np.float64)


def is_complex(array: Any) -> bool:
    return bool(array.is_complex() if is_torch(array) else np.iscomplexobj(array))


def by_rows(values: NDArray[Any], y: Any, batch: int) -> Any:
    """One value a row, shape (rows,), as an array that broadcasts against a state with `batch` leading axes of rows; dtype unchanged."""
    shaped = values.reshape(tuple(y.shape[:batch]) + (1,) * (y.ndim - batch))
    return namespace(y).as_tensor(shaped, device=y.device) if is_torch(y) else shaped


def row_sums(values: Any, rows: int) -> Any:
    """Sums over everything but the rows, shape (rows,).

    The halves of what is left are added until one value is left: additions of whole arrays have the same bits for a row however many
    rows there are and in either library, which the libraries' own sums do not promise.
    """
    values = values.reshape(rows, -1)
    while values.shape[1] > 1:
        half = values.shape[1] // 2
        pairs = values[:, :half] + values[:, half : 2 * half]
        values = pairs if values.shape[1] == 2 * half else namespace(values).concatenate([pairs, values[:, 2 * half :]], 1)
    return values.sum(1)  # of one value, or of none where the state is empty
