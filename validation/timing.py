"""Processor time of several things that are compared, taken in turns so that all of them meet the same noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numba import njit
from threadpoolctl import threadpool_limits

T = TypeVar("T")


@contextmanager
def one_core() -> Iterator[None]:
    """One thread for every numerical library, so that processor time is the wall time of an idle core."""
    with threadpool_limits(limits=1):
        yield


def seconds(call: Callable[[], Any]) -> float:
    """Processor seconds of one call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def timed(call: Callable[..., T], *args: Any) -> tuple[T, float]:
    """What one call gives, and its processor seconds."""
    began = time.process_time()
    result = call(*args)
    return result, time.process_time() - began


def interleaved(calls: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, list[float]]:
    """Processor seconds of each call, `repetitions` times in turns, after one call of each that is not counted."""
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repetitions):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    return taken


def bandwidth(working_set: int, repetitions: int = 9) -> float:
    """Bytes a second of a triad ``a = b + s c`` in float64 on one core, whose three arrays together take `working_set` bytes.

    Counts 24 bytes an element, not the line that a store may fetch first (McCalpin's STREAM counts likewise); the median of
    `repetitions`, each long enough for the clock.
    """
    n = max(working_set // 24, 64)
    a, b, c = np.zeros(n), np.ones(n), np.ones(n)
    passes = max(1, (64 << 20) // (24 * n))
    _triad(a, b, c, 1)
    return 24.0 * n * passes / median(seconds(lambda: _triad(a, b, c, passes)) for _ in range(repetitions))


@njit(cache=True, error_model="numpy")
def _triad(a, b, c, passes):  # type: ignore[no-untyped-def]
    for _ in range(passes):
        for i in range(a.size):
            a[i] = b[i] + 0.25 * c[i]
        a, b, c = b, c, a  # no pass may be left out, since the next one reads what it wrote
