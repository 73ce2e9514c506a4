"""The sections that a page is put together from, each from plain figures; a section that lacks its figures says why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def environment_facts(environment: Mapping[str, Any]) -> dict[str, object]:
    """Versions and machine as rows of name and value."""
    versions = {name: version for name, version in dict(environment.get("versions", {})).items()}
    machine = {
        "processor": environment.get("processor"),
        "cores": environment.get("cores"),
        "threads": f"OMP_NUM_THREADS {environment.get('omp_num_threads', 'unset')}",
        "Python": environment.get("python"),
    }
    return {**machine, **versions}
