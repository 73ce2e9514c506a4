"""Progress on stderr: a bar on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sciml.terminal import interruption, say

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress:
    """The callback ``progress(stage, done, total, figures)`` that the library reports to.

    Parameters
    ----------
    quiet : show nothing (an interruption is still noticed).
    interval : seconds between two lines where stderr is not a terminal; the first and the last line of a stage are always shown.
    """

    def __init__(self, quiet: bool = False, interval: float = 5.0) -> None:
        self.quiet = quiet
        self.interval = interval
        self._stage = ""
        self._last = -math.inf
        self._began = (0.0, 0)
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            self._bar = _make_bar()
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
        if interruption.requested:
            raise KeyboardInterrupt
        if self._bar is not None:
            self._advance(self._bar, stage, done, total, figures)
        elif not self.quiet:
            self._log(stage, done, total, figures)
        self._stage = stage

    def _advance(self, bar: Bar, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
        if self._task is None or stage != self._stage:
            self._task = bar.add_task(stage, total=total, figures="")
        bar.update(self._task, completed=done, total=total, figures=_phrase(figures))

    def _log(self, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._began = (now, done)
        elif done < total and now - self._last < self.interval:
            return
        self._last = now
        say("  ".join(part for part in (f"{stage} {done}/{total}", self._left(now, done, total), _phrase(figures)) if part))

    def _left(self, now: float, done: int, total: int) -> str:
        """The time that the rest of a stage takes at the rate since its first report."""
        began, first = self._began
        if not first < done < total:
            return ""
        from sciml.report.notation import duration

        return f"{duration((now - began) / (done - first) * (total - done))} left"


def _make_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    stage, figures = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[figures]}", markup=False)
    return Bar(stage, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), figures, console=Console(stderr=True))


def _phrase(figures: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items())
