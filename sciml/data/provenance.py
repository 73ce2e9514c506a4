"""What every shard says about its making, beside the figures of each sample: recipe, versions, commit, processor."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import sciml
from sciml.checks import environment
from sciml.data.recipe import Recipe


def notes(recipe: Recipe) -> dict[str, str]:
    """Attributes for ``/provenance`` of the shards that this process writes."""
    return {
        "recipe": recipe.canonical_json(),
        "versions": json.dumps(versions()),
        "git_revision": _git_revision(),
        "processor": environment()["processor"],
        "threads": "1",
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that values can depend on."""
    machine = environment()
    return {"python": machine["python"], **machine["versions"]}


@cache
def _git_revision() -> str:
    """Commit of the checkout that this package runs from; "unknown" for an installed package."""
    root = Path(sciml.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"  # no git on this machine, or no commit yet
