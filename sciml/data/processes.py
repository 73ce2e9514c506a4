"""Where the samples are solved: in this process or in a pool of others, always with one thread each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing.connection import Connection, wait
from typing import Any

from threadpoolctl import ThreadpoolController

from sciml.errors import DatasetError


@contextlib.contextmanager
def executor(workers: int) -> Iterator[Executor]:
    """An executor whose processes end with the block, after the sample in hand when an exception leaves it; one worker is this process.

    Raises
    ------
    DatasetError
        A worker process ended by itself.
    """
    if workers == 1:
        yield _ThisProcess()
        return
    context = multiprocessing.get_context("spawn")
    wanted, stop = context.Pipe(duplex=False)
    alive, end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(wanted, alive))
    try:
        with _signals_held_back():
            for _ in range(workers):  # each task that finds no idle worker starts one
                pool.submit(_nothing)
        yield pool
        pool.shutdown()
    except BrokenProcessPool:
        end.close()  # the dead worker may hold a lock of the queues, for which the others would wait for ever, and we for them
        raise DatasetError(
            f"one of workers = {workers} processes ended by itself, killed for want of memory or started by a script without "
            'the `if __name__ == "__main__"` guard: run the same call again with fewer workers'
        ) from None
    finally:
        stop.close()
        pool.shutdown(cancel_futures=True)
        for connection in (wanted, alive, end):
            connection.close()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run every numerical library with one thread: sums over threads round differently, and the processes share the cores."""
    # Numba is left alone: none of its kernels here is parallel, and asking for its thread count alone starts its threading layer,
    # which changes the OpenMP settings of the process for everybody, torch included.
    with _libraries().limit(limits=1):
        yield


class _ThisProcess(Executor):
    """The executor of one worker: runs a task when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Block SIGINT and SIGTERM in this thread; processes started meanwhile never see them, not even before `_start_worker` runs."""
    if not hasattr(signal, "pthread_sigmask"):  # not POSIX
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _nothing() -> None:
    """The task that makes a pool start its processes."""


_stopping = threading.Event()


def stopping() -> bool:
    """Whether this is a worker process whose results nobody wants any more."""
    return _stopping.is_set()


def _start_worker(wanted: Connection, alive: Connection) -> None:
    """Set up a worker process: signals to the group are the parent's business, and the worker follows its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(wanted, alive), daemon=True).start()


def _follow(wanted: Connection, alive: Connection) -> None:
    """Finish the sample in hand when the parent closes its end of `wanted`; end at once when it closes that of `alive`, or is dead.

    Ending at once otherwise could leave half a result in its queue, which the parent would wait for for ever. The queues stay open
    when the parent is killed, so that the worker has to look for that itself.
    """
    wait([wanted])
    _stopping.set()
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([alive, parent.sentinel])
    os._exit(1)


@cache
def _libraries() -> ThreadpoolController:
    """Looking for the loaded libraries takes milliseconds, as much as solving a small sample."""
    return ThreadpoolController()
