"""The one shape of every figure that judges: certificates, evaluation, validation cases and benchmarks all emit `Check`."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import PurePath
from typing import Any, Literal

Relation = Literal["<=", ">=", "in"]
Status = Literal["exact", "converged", "published", "peer", "policy"]

_REPORTED = ("sciml-suite", "numpy", "scipy", "numba", "pyamg", "h5py", "torch", "neuraloperator")


@dataclass(frozen=True)
class Check:
    """An observed figure beside the gate it has to meet.

    Parameters
    ----------
    name : what was measured.
    observed : the figure; NaN never passes.
    relation : ``"<="``, ``">="`` or ``"in"`` (then `expected` is ``(low, high)``, both ends included).
    expected : the gate.
    unit : unit of both figures; empty when dimensionless.
    reference : the source of `expected`, or the peer with its version.
    status : how far `expected` can be trusted: ``"exact"`` (closed form), ``"converged"`` (refined until it stood still),
        ``"published"``, ``"peer"`` (another code in the same run) or ``"policy"`` (a gate of this project's own).
    """

    name: str
    observed: float
    relation: Relation
    expected: float | tuple[float, float]
    unit: str = ""
    reference: str = ""
    status: Status = "policy"

    def __post_init__(self) -> None:
        if (self.relation == "in") != isinstance(self.expected, tuple):
            raise ValueError(f"check {self.name!r}: relation {self.relation!r} does not fit expected={self.expected!r}")

    @property
    def passed(self) -> bool:
        if isinstance(self.expected, tuple):
            low, high = self.expected
            return bool(low <= self.observed <= high)
        return bool(self.observed <= self.expected if self.relation == "<=" else self.observed >= self.expected)

    def to_dict(self) -> dict[str, Any]:
        expected = [float(bound) for bound in self.expected] if isinstance(self.expected, tuple) else float(self.expected)
        return {
            "name": self.name,
            "observed": float(self.observed),
            "relation": self.relation,
            "expected": expected,
            "unit": self.unit,
            "reference": self.reference,
            "status": self.status,
            "passed": self.passed,
        }


@dataclass(frozen=True)
class CheckReport:
    """Checks of one run, with what is needed to read them: time, machine, versions, and free-form `details`."""

    name: str
    checks: Sequence[Check]
    seconds: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Peers that this run could not be compared with, and why: ``details["left_out"]``."""
        return self.details.get("left_out", {})

    @property
    def passed(self) -> bool:
        """Whether there was at least one check and every one passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "checks": [check.to_dict() for check in self.checks],
            "passed": self.passed,
            "seconds": self.seconds,
            "environment": environment(),
            "details": dict(self.details),
        }

    def to_json(self) -> str:
        """Strict JSON: figures that are not finite become null, since JSON has no word for them."""
        return strict_json(self.to_dict())


def strict_json(value: Any) -> str:
    """`value` as indented JSON that any reader takes: NaN and infinity become null, keys and paths text, tuples lists."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PurePath) else value


def environment() -> dict[str, Any]:
    """Versions, processor and thread limits of this process; imports none of the packages that it names."""
    versions = {}
    for package in _REPORTED:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": platform.python_version(),
        "versions": versions,
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS", "unset"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            for line in handle:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: the platform module knows a name
    return platform.processor() or platform.machine()
