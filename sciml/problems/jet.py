"""Derivatives of a field at points, whoever computed them: what a strong residual is written against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Jet:
    """Value and derivatives of one field at the same points; None for what was not asked for.

    Attributes are arrays or tensors of one shape (or plain numbers): `value`, `gradient` (one entry an axis), `laplacian`,
    `time_derivative`.
    """

    value: Any = None
    gradient: tuple[Any, ...] | None = None
    laplacian: Any = None
    time_derivative: Any = None


Jets = Mapping[str, Jet]
