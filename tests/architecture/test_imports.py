"""Who may import whom: read from the syntax tree, so that an import inside a function counts as much as one at the top."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sciml", "solvers", "validation")

LEAVES = {"sciml.errors", "sciml.checks", "sciml.grid", "sciml.mesh", "sciml.geometry"}
DECLARED = {"sciml.problems", "sciml.fields", "sciml.discretize"} | LEAVES
STORED = DECLARED | {"sciml", "sciml.data", "solvers"}
NUMERICS = {"numpy", "scipy"}

# room -> (rooms of this project that it may import, besides itself; packages of others)
RULES: dict[str, tuple[set[str], set[str]]] = {
    "solvers": (set(), {"numpy", "scipy", "numba", "pyamg"}),
    "sciml.errors": (set(), set()),
    "sciml.checks": ({"sciml.errors"}, set()),
    "sciml.grid": ({"sciml.errors"}, {"numpy"}),
    "sciml.mesh": ({"sciml.errors", "sciml.grid"}, NUMERICS | {"meshio"}),
    "sciml.geometry": ({"sciml.errors", "sciml.mesh"}, NUMERICS),
    "sciml.fields": (LEAVES, NUMERICS | {"pydantic"}),
    "sciml.problems": (LEAVES | {"sciml.fields"}, NUMERICS | {"pydantic"}),
    "sciml.discretize": (DECLARED | {"solvers"}, NUMERICS),
    "sciml.data": (STORED, NUMERICS | {"h5py", "pydantic", "filelock", "threadpoolctl", "distributed"}),
    "sciml.io": (STORED, NUMERICS | {"h5py", "meshio"}),
    # ---- the torch line: nothing above it imports torch ----
    "sciml.models": (LEAVES | {"sciml.problems"}, {"numpy", "pydantic", "numba", "torch", "neuralop"}),
    "sciml.optimizers": (LEAVES, {"torch"}),
    "sciml.training": (
        STORED | {"sciml.models", "sciml.optimizers"},
        NUMERICS | {"pydantic", "torch", "neuralop", "lightning_fabric", "safetensors", "filelock"},
    ),
    # ---- what people look at ----
    "sciml.report": (STORED, {"numpy", "matplotlib", "rich"}),
    "sciml.terminal": (LEAVES | {"sciml.report"}, {"typer", "rich"}),
    "sciml.progress": ({"sciml.terminal", "sciml.report"}, {"rich"}),
    "sciml.cli": (STORED | {"sciml.terminal", "sciml.progress", "sciml.io", "sciml.training", "sciml.report"}, {"typer"}),
    "sciml.__main__": ({"sciml.cli"}, set()),
    "sciml": ({"sciml.data"}, set()),
    "validation": (
        {"sciml", "solvers"},
        # peers among them
        NUMERICS
        | {
            "typer",
            "rich",
            "torch",
            "neuralop",
            "numba",
            "threadpoolctl",
            "pyamg",
            "petsc4py",
            "the_well",
            "torch_cfd",
            "exponax",
            "jax",
            "deepxde",
        },
    ),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def inside(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


def room_of(module: str) -> str:
    """The innermost room that a module belongs to; `sciml` itself is the package's own ``__init__`` only."""
    rooms = [room for room in RULES if inside(module, room) and (room != "sciml" or module == "sciml")]
    if not rooms:
        raise LookupError(f"{module} belongs to no room in RULES: decide what it may import and add a line")
    return max(rooms, key=len)


def imported(source: str) -> list[str]:
    """Every module or name that `source` imports, fully dotted."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import: path equals import name everywhere"
            # `from sciml import checks` imports sciml.checks, `from sciml.checks import Check` imports sciml.checks
            names += [f"{node.module}.{alias.name}" if node.module in PACKAGES else str(node.module) for alias in node.names]
    return names


def violations(module: str, source: str) -> list[str]:
    """The imports of `source` that a file called `module` may not have."""
    room = room_of(module)
    rooms, others = RULES[room]
    wrong = []
    for name in imported(source):
        top = name.partition(".")[0]
        if top not in PACKAGES:
            allowed = top in others or top in sys.stdlib_module_names
        elif top == "sciml" and room != "validation":
            target = "sciml" if name == "sciml" else room_of(name) if _is_file(name) else "sciml"
            allowed = target == room or target in rooms
        else:
            allowed = top == room or top in rooms
        if not allowed:
            wrong.append(f"{module} ({room}) imports {name}")
    return wrong


def _is_file(name: str) -> bool:
    """Whether a dotted name starts with a module of the package, rather than being a name in its ``__init__``."""
    second = ROOT.joinpath(*name.split(".")[:2])
    return second.is_dir() or second.with_suffix(".py").is_file()


SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_downwards(path: Path) -> None:
    assert violations(module_name(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("solvers.linear.cg", "import torch"),
        ("solvers.linear.cg", "from sciml.errors import InputError"),
        ("solvers.result", "def late():\n    import h5py"),
        ("sciml.problems.darcy", "from sciml.discretize import discretize"),
        ("sciml.problems.darcy", "from solvers import linear_solve"),
        ("sciml.data.generate", "import torch.nn"),
        ("sciml.data.generate", "from sciml.training import train"),
        ("sciml.data.generate", "from sciml import training"),
        ("sciml.models.operators", "from sciml.training import train"),
        ("sciml.training.loop", "from sciml.cli import app"),
        ("sciml.report.page", "import torch"),
        ("sciml.report.page", "from sciml import cli"),
        ("sciml.training.loop", "from validation.cases import darcy"),
        ("validation.cli", "import datasets"),
    ],
)
def test_planted_import_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


def test_relative_import_and_unknown_room_are_refused() -> None:
    with pytest.raises(AssertionError, match="relative import"):
        imported("from . import result")
    with pytest.raises(LookupError, match="no room"):
        violations("sciml.utils", "import os")
