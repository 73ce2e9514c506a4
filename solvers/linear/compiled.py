"""How the innermost loops are compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from numba import njit
from numba.core.event import Event, Listener, install_listener

#: For functions that neither allocate nor return arrays: without Numba's runtime, views are not reference-counted. Each count is an
#: atomic operation, which on short rows takes longer than the arithmetic.
kernel = partial(njit, cache=True, nogil=True, error_model="numpy", _nrt=False)

#: The same for sums in vector registers; not with the flags that would let the compiler drop tests for NaN and infinity.
fast_kernel = partial(kernel, fastmath={"contract", "reassoc", "nsz", "arcp"})


@contextlib.contextmanager
def compilation_told(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` before the first kernel that is compiled inside the block, and for none that is loaded from Numba's cache."""
    with install_listener("numba:compile", _Telling(tell)):
        yield


class _Telling(Listener):
    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._told = False

    def on_start(self, event: Event) -> None:
        if not self._told:
            self._told = True
            self._tell()

    def on_end(self, event: Event) -> None:
        """Nothing is said at the end."""
