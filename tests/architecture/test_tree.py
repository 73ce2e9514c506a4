"""The shape of the repository, and calls that no line of the packages may make."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for package in ("sciml", "solvers", "validation") for path in (ROOT / package).rglob("*.py"))

UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml", "ruamel"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}
UNSAFE_KEYWORDS = {("weights_only", False), ("allow_pickle", True), ("shell", True)}


def test_no_python_under_datasets() -> None:
    # a package called `datasets` at the root would overwrite another distribution's on installation
    folders = [path for path in (ROOT / "datasets").iterdir() if path.is_dir()]
    assert folders
    assert list((ROOT / "datasets").rglob("*.py*")) == []
    for folder in folders:
        files = sorted(path.name for path in folder.iterdir())
        own = {"bend.msh"} & set(files) or {"accuracy.json"}  # a mesh has no sequence of grids to study
        assert set(files) == {"README.md", "recipe.toml"} | own


def test_no_packages_under_tests() -> None:
    # an __init__.py makes pytest import tests/<name> as a package that may hide the real one
    assert list((ROOT / "tests").rglob("__init__.py")) == []
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_notebooks() -> None:
    rooms = ("sciml", "solvers", "validation", "datasets", "examples", "tests")
    assert [path for room in rooms for path in (ROOT / room).rglob("*.ipynb")] == []


def unsafe(source: str) -> list[str]:
    """Ways into arbitrary code that `source` takes: unpickling, evaluation, YAML, a shell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in UNSAFE_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += _unsafe_call(node)
    return found


def _unsafe_call(call: ast.Call) -> list[str]:
    name = ast.unparse(call.func)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    found = [name] if name in UNSAFE_CALLS or name == "os.system" else []
    found += [f"{name}({key}=...)" for key, bad in UNSAFE_KEYWORDS if key in given and not _is_constant(given[key], not bad)]
    if name == "torch.load" and "weights_only" not in given:
        found.append("torch.load without weights_only=True")
    return found


def _is_constant(node: ast.expr, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_unsafe_calls(path: Path) -> None:
    assert unsafe(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "import ruamel.yaml",
        "y = eval(text)",
        "exec(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=flag)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "__import__(name)",
    ],
)
def test_planted_unsafe_call_is_found(source: str) -> None:
    assert unsafe(source)


def test_safe_neighbours_are_left_alone() -> None:
    assert unsafe("model.eval(); re.compile(p); torch.load(p, weights_only=True); np.load(p, allow_pickle=False)") == []
