"""The matrix that the released generator of SKR calls Darcy flow: a regression matrix, and no discretisation of anything.

Wang, Hao, Geng, Wang and Li (2024, "Accelerating data generation for neural operators via Krylov subspace recycling", ICLR) publish with
their paper the scripts that assemble their systems (github.com/wanghong1700/NO-DataGen-SKR, ``code_dracy``). Written anew from what
those do, so that what was measured on it can be told from what recycling does:

* A row holds 4 times the coefficient of its own node and minus those of its four neighbours. That is ``L diag(a)``, the discretisation
  of ``-Laplacian (a u)`` and not of ``-div (a grad u)``: solved by one constant-coefficient Poisson solve, divided by a.
* The diagonal that couples a node to its neighbour in the grid row before starts two entries early, as if it came from an array that is
  two columns wider; what is left over at its end is dropped. Every such coefficient is that of a node two places further on in
  the numbering. The error, ``O(h)`` beside terms of ``O(1)``, is a first-order term as large as 1/h that has no sign.

The second alone makes the matrix indefinite.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.fields import GaussianRandomField, LogNormal
from sciml.grid import Grid

Array = NDArray[np.float64]
SHIFT = 2


def skr_released_darcy(a: Array, *, shift: int = SHIFT) -> sp.csr_matrix:
    """The matrix, times h^2, of the nodes inside a square.

    Parameters
    ----------
    a : coefficient at all nodes, those on the walls included, shape (s + 2, s + 2).
    shift : entries that the coefficients of the neighbours in the grid row before come too early; 0 gives ``L diag(a)``.

    Returns
    -------
    matrix of shape (s^2, s^2)
    """
    s = len(a) - 2
    node = np.arange(s * s)
    i, j = np.divmod(node, s)
    inside = a[1:-1, 1:-1].ravel()
    before = a[:-2, 1:-1].ravel()[np.maximum(node - shift, 0)]  # the neighbour in the row before, of the node `shift` places earlier
    neighbours = (
        (j > 0, -1, np.roll(inside, 1)),
        (j < s - 1, 1, np.roll(inside, -1)),
        (i > 0, -s, before),
        (i < s - 1, s, np.roll(inside, -s)),
    )
    rows, columns, values = [node], [node], [4 * inside]
    for there, offset, coefficient in neighbours:
        rows, columns = [*rows, node[there]], [*columns, node[there] + offset]
        values = [*values, -coefficient[there]]
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.csr_matrix(entries, shape=(s * s, s * s))


def released_coefficients(s: int, samples: int) -> Array:
    """Coefficients by the law of those scripts, exp of a periodic Gaussian field, at (s + 2)^2 nodes; shape (samples, s + 2, s + 2)."""
    law = LogNormal(field=GaussianRandomField(alpha=2.5, tau=7.0, boundary="periodic"))
    grid = Grid((s + 2, s + 2), (1.0, 1.0))
    return np.array([law.sample(grid, np.random.default_rng([s, index])) for index in range(samples)])
