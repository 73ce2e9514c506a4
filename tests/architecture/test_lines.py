"""The package line and the torch line, proved in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BLOCK_TORCH = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "neuralop", "lightning_fabric"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in memory after `statement` in a fresh interpreter."""
    result = run(f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))")
    assert result.returncode == 0, result.stderr
    return {name.partition(".")[0] for name in json.loads(result.stdout.splitlines()[-1])}


def test_solvers_stand_alone() -> None:
    loaded = loaded_by("import solvers")
    assert {"numpy", "scipy"} <= loaded  # the probe sees what is there
    assert not loaded & {"torch", "h5py", "matplotlib", "sciml", "pydantic", "typer"}


def test_importing_sciml_loads_nothing_heavy() -> None:
    assert not loaded_by("import sciml") & {"torch", "numpy", "h5py", "pydantic", "solvers", "matplotlib"}


def test_reading_a_recipe_and_a_dataset_needs_no_torch() -> None:
    assert "torch" not in loaded_by("import sciml; sciml.load_recipe('darcy'); sciml.open_dataset; sciml.generate")


def test_data_is_generated_and_verified_without_torch(tmp_path: Path) -> None:
    out = str(tmp_path / "data")
    generate = ["generate", "darcy", "--set", "problem.resolution=8", "--samples", "6", "--seed", "1", "--out", out]
    for arguments in (generate, ["info", out], ["verify", out, "--json"], ["export", out, "--out", str(tmp_path / "sample.vtkhdf")]):
        result = run(BLOCK_TORCH + "from sciml.cli import app; app(sys.argv[1:])", *arguments)
        assert result.returncode == 0, result.stderr
    assert run(BLOCK_TORCH + "import torch").returncode == 1  # the block holds
