"""The interpreter that has The Well, xarray and VTK: an environment of its own, since The Well pins an old fsspec."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

DEFAULT = Path(__file__).resolve().parents[2] / ".venv-interop" / "bin" / "python"


Reader = Callable[[str, Mapping[str, Path]], dict[str, dict[str, np.ndarray]]]


@pytest.fixture(scope="session")
def read_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Run a script of this folder in the other environment; it leaves what it read of each path as an .npz file of that name."""
    interpreter = Path(os.environ.get("SCIML_INTEROP_PYTHON", DEFAULT))
    if not interpreter.exists():
        pytest.skip(f"{interpreter} does not exist: `make interop` makes it, or set SCIML_INTEROP_PYTHON")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def read(script: str, paths: Mapping[str, Path]) -> dict[str, dict[str, np.ndarray]]:
        out = tmp_path_factory.mktemp("read")
        arguments = [text for name, path in paths.items() for text in (str(out / f"{name}.npz"), str(path))]
        command = [str(interpreter), str(Path(__file__).with_name(script)), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
        assert result.returncode == 0, result.stderr
        return {name: dict(np.load(out / f"{name}.npz")) for name in paths}

    return read
