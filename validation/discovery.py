"""Cases and benchmarks are the modules of their folders: a new one is a new file and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from sciml.checks import CheckReport


@dataclass(frozen=True)
class Entry:
    """A case or a benchmark: its name on the command line, its one-line title, and the function that runs it."""

    name: str
    title: str
    run: Callable[..., CheckReport]


def entries(package: ModuleType) -> list[Entry]:
    """Everything that `package` (`validation.cases` or `validation.benchmarks`) holds, sorted by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [_entry(importlib.import_module(f"{package.__name__}.{name}")) for name in names]


def _entry(module: ModuleType) -> Entry:
    title = (module.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    if not title or not callable(getattr(module, "run", None)):
        raise TypeError(f"{module.__name__}: a case needs a one-line docstring as its title and a function run() -> CheckReport")
    return Entry(name, title, module.run)
