"""Stretches of work during which Ctrl-C has to wait."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block (or the decorated function) is over, then let their handlers run.

    A KeyboardInterrupt inside h5py may land in one of its weak-reference callbacks, where Python prints and forgets it. Only the
    main thread receives signals; in another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in replaced:
        signal.signal(number, lambda signum, frame: held.append((signum, frame)))
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
        for signum, frame in held:
            replaced[signal.Signals(signum)](signum, frame)
