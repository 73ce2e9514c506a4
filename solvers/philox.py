"""Random numbers that depend on a seed and a counter alone, whoever draws them, where and in what order: Philox4x32-10.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011).
"""

from __future__ import annotations

import numpy as np

from solvers.linear.compiled import kernel

_LOW, _SHIFT, _UP, _DOWN = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(21), np.uint64(11)
_M0, _M1, _W0, _W1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57), np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@kernel()
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Four words of 32 random bits for a counter of four words and a key of two, all held in uint64."""
    for _ in range(10):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@kernel()
def uniforms(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Two numbers of (0, 1), with 53 bits each, for the counter and key of `philox`.

    They are the midpoints of 2^53 equal cells but for the last, which rounding would put at 1: a logarithm may be taken of either.
    """
    a, b, c, d = philox(c0, c1, c2, c3, k0, k1)
    first, second = ((a << _UP) + (b >> _DOWN)) * 2.0**-53 + 2.0**-54, ((c << _UP) + (d >> _DOWN)) * 2.0**-53 + 2.0**-54
    return min(first, 1 - 2.0**-53), min(second, 1 - 2.0**-53)
