"""The folder of a run: what it was told (``config.json``), how it went (``metrics.jsonl``), what it learned (``checkpoints/``)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from filelock import FileLock, Timeout

from sciml.data.durable import write_text_durably
from sciml.errors import CheckpointError
from sciml.training.checkpoint import Checkpoints
from sciml.training.run_config import C, RunConfig, check_same, parse_config

Row = dict[str, Any]


@dataclass(frozen=True)
class Folder(Generic[C]):
    """Everything that a run leaves behind, each file complete at any moment.

    Parameters
    ----------
    root : its path.
    record : what ``config.json`` holds.
    figures : entries of every row of ``metrics.jsonl``; the smaller the first, the better the epoch, and all are reported of the best.
    """

    root: Path
    record: type[C]
    figures: tuple[str, ...]

    @property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.root / "checkpoints")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process from training in the same folder; raises CheckpointError when one does already."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / ".lock").acquire(timeout=0)
        except Timeout:
            raise CheckpointError(f"another process is training in {self.root}; wait for it, or choose another folder") from None
        except OSError as error:
            raise CheckpointError(f"run folder {self.root} cannot be written ({error.strerror}); choose another folder") from None
        with lock:
            yield

    def claim(self, config: C) -> C:
        """Write `config` into an empty folder, or check that the run which lives here is the same one; returns what is stored.

        Raises
        ------
        CheckpointError
            naming the first entry that differs, or when the folder holds something else.
        """
        path = self.root / "config.json"
        if path.exists():
            stored = self.config()
            check_same(str(self.root), stored.model_dump(mode="json"), config.model_dump(mode="json"))
            return stored
        if foreign := sorted(entry.name for entry in self.root.iterdir() if entry.name not in (".lock", "config.json.part")):
            raise CheckpointError(f"{self.root} holds {foreign[0]!r} but no run; choose an empty or a new folder")
        write_text_durably(path, config.model_dump_json(indent=2) + "\n")
        return config

    def config(self) -> C:
        """``config.json``; raises CheckpointError when this is no run folder."""
        path = self.root / "config.json"
        try:
            return parse_config(path.read_text(encoding="utf-8"), path, self.record)
        except FileNotFoundError:
            raise CheckpointError(f"{self.root} holds no config.json: give a folder made by `sciml train`") from None
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path} cannot be read ({error}); give a folder made by `sciml train`") from None

    def check_checkpoint(self, epoch: int) -> None:
        """Refuse a checkpoint that was written by another run (CheckpointError)."""
        wanted = {**self.config().model_dump(mode="json"), "epoch": epoch}
        check_same(str(self.checkpoints.path(epoch)), self.checkpoints.config(epoch), wanted)

    def append_row(self, row: Row) -> None:
        """Add one line to ``metrics.jsonl`` and force it to disk."""
        with (self.root / "metrics.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row, allow_nan=False) + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def keep_rows(self, epochs: int) -> list[Row]:
        """Cut ``metrics.jsonl`` back to the first `epochs` epochs, dropping a half-written line; returns them.

        A row is written before the checkpoint of its epoch, so that after a kill there may be too many rows, and never too few.
        """
        rows = [row for row in self.rows() if row["epoch"] <= epochs]
        if [row["epoch"] for row in rows] != list(range(1, epochs + 1)):
            what = f"{self.root / 'metrics.jsonl'} does not hold epochs 1 to {epochs}"
            raise CheckpointError(f"{what}; restore it, or remove the run folder and train again")
        for row in rows:
            self._check_row(row)
        write_text_durably(self.root / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        return rows

    def best(self, rows: list[Row]) -> Row:
        """The row with the smallest of the first of `figures`."""
        return min(rows, key=lambda row: float(row[self.figures[0]]))

    def keep_best_and_last(self, rows: list[Row]) -> None:
        """Name the best checkpoint and drop all but that one and the last two."""
        best, done = self.best(rows)["epoch"], len(rows)
        self.checkpoints.mark_best(best)
        self.checkpoints.prune({done - 1, done, best})

    def _check_row(self, row: Row) -> None:
        """Refuse a row without the figures by which the best epoch is chosen and reported (CheckpointError)."""
        for name in self.figures:
            if not isinstance(row.get(name), (int, float)):
                what = f"{self.root / 'metrics.jsonl'} is damaged ({name} of epoch {row['epoch']} is {row.get(name)!r:.40})"
                raise CheckpointError(f"{what}; restore it, or remove the run folder and train again")

    def rows(self) -> list[Row]:
        """The complete lines of ``metrics.jsonl``, in order."""
        path = self.root / "metrics.jsonl"
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]  # what follows the last line break is half a line
        try:
            rows = [json.loads(line) for line in lines]
            return [row for row in rows if isinstance(row["epoch"], int)]
        except (ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path} is damaged ({error}); restore it, or remove the run folder and train again") from None


@dataclass(frozen=True)
class RunFolder(Folder[RunConfig]):
    """The folder of a run that trains an operator."""

    record: type[RunConfig] = RunConfig
    figures: tuple[str, ...] = ("valid_relative_l2", "valid_relative_h1")
