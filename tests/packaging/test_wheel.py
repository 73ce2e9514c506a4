"""What ships is what is tested: the sdist, the wheel built from it, and the suite running against the installed wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path.parent.name for path in (ROOT / "datasets").glob("*/recipe.toml"))

# what the wheel's own tests are copied from; architecture and packaging look at the repository and stay behind
OUTSIDE = ("conftest.py", "unit", "convergence")


def files(name: str) -> list[str]:
    """What the checkout holds of a dataset: card, recipe, and the mesh where it has one."""
    return [path.name for path in (ROOT / "datasets" / name).iterdir()]


def run(*command: object, cwd: Path, env: dict[str, str] | None = None) -> str:
    result = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", out, cwd=ROOT)
    return next(out.glob("sciml_suite-*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the unpacked sdist, not from the checkout."""
    work = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    source = next(path for path in work.iterdir() if path.is_dir())
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", work, cwd=source)
    return next(work.glob("sciml_suite-*.whl"))


def test_sdist_holds_the_sources_and_nothing_written_by_runs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        top = {Path(name).parts[1] for name in archive.getnames() if len(Path(name).parts) > 1}
    files = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff", "constraints.txt"}
    rooms = {"sciml", "solvers", "validation", "datasets", "examples", "tests"}
    assert top == files | rooms | {"Makefile", "PKG-INFO", ".gitignore"}


def test_wheel_holds_three_packages_and_the_recipes(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    version = wheel.name.split("-")[1]
    assert {name.partition("/")[0] for name in names} == {"sciml", "solvers", "validation", f"sciml_suite-{version}.dist-info"}
    assert {f"{package}/py.typed" for package in ("sciml", "solvers", "validation")} <= set(names)
    shipped = sorted(name for name in names if name.startswith("sciml/_datasets/"))
    assert RECIPES
    assert shipped == sorted(f"sciml/_datasets/{name}/{file}" for name in RECIPES for file in files(name))


def test_every_module_of_the_checkout_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.endswith(".py")}
    sources = [path for package in ("sciml", "solvers", "validation") for path in (ROOT / package).rglob("*.py")]
    assert shipped == {str(path.relative_to(ROOT)) for path in sources}


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment that holds the wheel; dependencies are lent by this environment through a .pth file."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home.parent)
    python = home / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--ignore-installed", wheel, cwd=home)
    return python


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@pytest.mark.slow
def test_installed_wheel_runs_its_tests_outside_the_tree(python: Path, tmp_path: Path) -> None:
    env = clean_environment()
    home = run(python, "-c", "import sciml, solvers, validation; print(sciml.__file__)", cwd=tmp_path, env=env)
    assert Path(home.strip()).is_relative_to(python.parents[1])
    listed = run(python.parent / "sciml", "list", cwd=tmp_path, env=env)
    assert [line.split()[0] for line in listed.splitlines()] == RECIPES

    for name in OUTSIDE:
        source = ROOT / "tests" / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / "tests" / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            (tmp_path / "tests").mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / "tests" / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    out = run(python, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "tests", cwd=tmp_path, env=env)
    assert " passed" in out
    assert " failed" not in out


@pytest.mark.slow
def test_type_checker_sees_through_the_installed_wheel(python: Path, tmp_path: Path) -> None:
    snippet = tmp_path / "snippet.py"
    snippet.write_text("from sciml.checks import Check\nCheck(name=1, observed=0.1, relation='<=', expected=0.2)\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", str(python), "--no-incremental", str(snippet)],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert 'incompatible type "int"; expected "str"' in result.stdout
    assert "Found 1 error in 1 file" in result.stdout
