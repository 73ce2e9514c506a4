"""Cases and benchmarks are the modules of their folders: a new one is a new file and nothing else."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from sciml.checks import CheckReport


@dataclass(frozen=True)
class Entry:
    """A case or a benchmark.

    Parameters
    ----------
    name : on the command line.
    title : one line.
    run : the function that runs it; its keyword arguments are the options.
    text : what its docstring says after the title; empty where it says no more.
    cost : how long the default options take, where that is more than a minute of one core.
    """

    name: str
    title: str
    run: Callable[..., CheckReport]
    text: str = ""
    cost: str = "under a minute"

    @property
    def options(self) -> str:
        """The options with their defaults, as on the command line."""
        parameters = inspect.signature(self.run).parameters.values()
        return " ".join(f"--{one.name.replace('_', '-')} {one.default}" for one in parameters)


def entries(package: ModuleType) -> list[Entry]:
    """Everything that `package` (`validation.cases` or `validation.benchmarks`) holds, sorted by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [_entry(importlib.import_module(f"{package.__name__}.{name}")) for name in names]


def _entry(module: ModuleType) -> Entry:
    title, _, text = inspect.cleandoc(module.__doc__ or "").partition("\n")
    title = title.rstrip(".")
    name = module.__name__.rpartition(".")[2].replace("_", "-")
    if not title or not callable(getattr(module, "run", None)):
        raise TypeError(f"{module.__name__}: a case needs a one-line docstring as its title and a function run() -> CheckReport")
    return Entry(name, title, module.run, text.strip(), getattr(module, "COST", Entry.cost))
