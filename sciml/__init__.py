"""Scientific machine learning around PDE problems that are declared once: data, training, checks.

The three entry points are loaded on first use, so that `import sciml` stays cheap and torch-free.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sciml.data.generate import generate as generate
    from sciml.data.loader import open_dataset as open_dataset
    from sciml.data.recipe import load_recipe as load_recipe

__version__ = "0.1.0"

_HOMES = {
    "load_recipe": "sciml.data.recipe",
    "generate": "sciml.data.generate",
    "open_dataset": "sciml.data.loader",
}
__all__ = ["__version__", "generate", "load_recipe", "open_dataset"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sciml' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
