"""Rows of the tables in validation/reference: what a source says of a quantity, and how far it can be trusted."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "reference"


def rows(table: str, **keys: str) -> Iterator[Mapping[str, str]]:
    """Rows of ``<table>.csv`` whose columns have the values of `keys`; lines that begin with # are its header."""
    with open(FOLDER / f"{table}.csv", encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(line for line in handle if not line.startswith("#")):
            if all(row[column] == value for column, value in keys.items()):
                yield row


def row(table: str, **keys: str) -> Mapping[str, str]:
    """The only such row; `LookupError` where there is none, or more than one."""
    found = list(rows(table, **keys))
    if len(found) != 1:
        raise LookupError(f"{table}.csv has {len(found)} rows with {keys}, not one")
    return found[0]
