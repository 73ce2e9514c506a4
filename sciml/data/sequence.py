"""Which samples are solved as a sequence, and in what order: for methods that recycle what earlier solves found.

A sample may then depend on others, but on the same ones whatever is asked for: sequences are fixed blocks of consecutive numbers, each
solved from its start in an order that its own matrices decide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.data.manifest import RECYCLING
from sciml.discretize import LinearSystem
from solvers.linear import StencilOperator, coefficient_features, order_systems

Array = NDArray[Any]
#: Samples of a sequence; part of a recipe's identity where it recycles. The first solve of each starts from nothing, which more samples
#: share, and up to so many are solved again where one is wanted alone.
BLOCK = 32


def sequence_length(method: str) -> int:
    """Consecutive samples that depend on one another under a recipe's `solver.method`."""
    return BLOCK if method in RECYCLING else 1


def next_chunk(missing: deque[int], size: int, start: int, length: int) -> list[int]:
    """Take about `size` of the missing positions, and the rest of a sequence that they break into.

    Parameters
    ----------
    missing : positions in a shard, ascending; what is returned is removed.
    start : number of the shard's first sample.
    length : from `sequence_length`.
    """
    chunk = [missing.popleft() for _ in range(min(size, len(missing)))]
    while missing and (start + missing[0]) // length == (start + chunk[-1]) // length:
        chunk.append(missing.popleft())
    return chunk


def solving_order(systems: Iterable[LinearSystem]) -> list[int]:
    """Numbers of the systems such that each resembles the one before it, see `solvers.linear.order_systems`.

    What is compared are the matrices, not the parameters, of which some belong to right-hand sides: large-scale structure of
    the diagonal up to a factor, and that of what the factor does not leave alone, which is the reaction over the diffusion
    of a stencil, and the antisymmetric part of a sparse matrix.
    """
    diagonals, others, numbers = [], [], []
    for system in systems:  # one at a time: a list of all may not fit into memory
        diagonal, other, number = _characteristics(system)
        diagonals.append(diagonal)
        others.append(other)
        numbers.append(number)
    fields = np.array(diagonals)
    features = coefficient_features(fields, scalars=np.array(numbers), log=bool((fields > 0).all()))
    features = np.concatenate([features, coefficient_features(np.array(others), log=False)], axis=1)
    return [int(number) for number in order_systems(features).permutation]


def _characteristics(system: LinearSystem) -> tuple[Array, Array, float]:
    """Diagonal, reaction over mean diffusion, and a number; fields in the shape of the unknowns."""
    A = system.operator
    if isinstance(A, StencilOperator):
        diffusion = A.diagonal - A.reaction
        reaction = A.reaction / diffusion.mean()
        return diffusion, reaction, float(reaction.mean())
    diagonal = A.diagonal().reshape(system.rhs.shape)
    antisymmetric = sp.csr_matrix(A - A.T)
    return diagonal, np.zeros_like(diagonal), float(abs(antisymmetric).sum() / abs(A).sum())
