"""How the innermost loops are compiled."""

from __future__ import annotations

from functools import partial

from numba import njit

#: For functions that neither allocate nor return arrays: without Numba's runtime, views are not reference-counted. Each count is an
#: atomic operation, and on short rows they took longer than the arithmetic: a multigrid cycle at 64 x 64 went from 42 to 20 microseconds.
kernel = partial(njit, cache=True, nogil=True, error_model="numpy", _nrt=False)

#: The same for sums in vector registers; not with the flags that would let the compiler drop tests for NaN and infinity.
fast_kernel = partial(kernel, fastmath={"contract", "reassoc", "nsz", "arcp"})
