"""What the JSON files of a run have to look like for a report to be made of them; files may come from a stranger.

A kind is a tuple of types, a list ``[kind]`` of any length, a dict of kinds by key (a key that ends in ``?`` may be missing or null),
`OBJECT` for a mapping whose values are only printed, or `NUMBERS` for one of figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

TEXT = (str,)
COUNT = (int,)
NUMBER = (int, float, NoneType)  # null stands for a figure that was not finite
OBJECT: dict[str, Any] = {}
NUMBERS: dict[str, Any] = {"*": NUMBER}

SUMMARY = {"mean": NUMBER, "median": NUMBER, "p90": NUMBER, "worst": NUMBER, "per_sample": [NUMBER]}
TIMING = {"way": TEXT, "seconds": NUMBER, "relative_l2": NUMBER}
ENVIRONMENT = {"versions?": OBJECT}
CONFIG = {
    "format": TEXT,
    "settings": OBJECT,
    "inputs": [TEXT],
    "outputs": [TEXT],
    "parameters?": COUNT,
    "environment?": ENVIRONMENT,
    "data": {
        "path?": TEXT,
        "name?": TEXT,
        "identity?": TEXT,
        "samples?": {"train?": COUNT, "valid?": COUNT},
        "shape": [COUNT],
        "extent": [(int, float)],
        "axes": [TEXT],
        "boundary?": [[TEXT]],
        "symmetries?": [TEXT],
        "times?": [(int, float)],
    },
}
ROW = {"epoch": COUNT, "train_loss?": NUMBER, "valid_relative_l2?": NUMBER, "valid_relative_h1?": NUMBER, "seconds?": NUMBER}
SPEED = {
    "samples": COUNT,
    "threads": COUNT,
    "model": {"seconds": NUMBER, "batch": COUNT, "batched_seconds": NUMBER, "relative_l2": NUMBER},
    "solver": {**TIMING, "rtol": NUMBER},
    "same_accuracy?": TIMING,
    "speedup_same_accuracy_batched?": NUMBER,
}
REQUEST = {"data?": TEXT, "split": TEXT, "resolution?": COUNT, "samples?": COUNT, "gate": (int, float)}
CHECK = {"name": TEXT, "observed": NUMBER, "relation": TEXT, "unit": TEXT, "reference": TEXT, "status": TEXT}
EVALUATION = {
    "checks": [CHECK],
    "seconds": NUMBER,
    "environment": ENVIRONMENT,
    "details": {
        "epoch": COUNT,
        "data": {"split": TEXT, "shape": [COUNT]},
        "request": REQUEST,
        "relative_l2": SUMMARY,
        "relative_h1": SUMMARY,
        "residual?": {"relative_dual": SUMMARY},
        "speed?": SPEED,
    },
}

# ---- of a network on an equation
EQUATION_CONFIG = {
    "format": TEXT,
    "settings": {"model": TEXT, "optimizer": TEXT, "points": COUNT, "steps": COUNT, "sample": COUNT},
    "recipe": OBJECT,
    "parameters": COUNT,
    "environment?": ENVIRONMENT,
}
EQUATION_ROW = {"epoch": COUNT, "step": COUNT, "loss": NUMBER}
EQUATION_EVALUATION = {
    "checks": [CHECK],
    "seconds": NUMBER,
    "environment": ENVIRONMENT,
    "details": {"relative_l2": NUMBERS, "rmse": NUMBERS, "reference": TEXT, "step": COUNT, "loss": NUMBER},
}


def misfit(value: Any, kind: Any, place: str = "") -> str:
    """Where `value` first differs from `kind`, as a dotted path with what is there; empty where it fits.

    >>> misfit({"epoch": "three"}, {"epoch": COUNT, "loss?": NUMBER})
    "epoch is 'three'"
    """
    if isinstance(kind, tuple):
        fits = isinstance(value, kind) and not isinstance(value, bool)
    elif isinstance(kind, list):
        fits = isinstance(value, list)
    else:
        fits = isinstance(value, Mapping)
    if not fits:
        return f"{place or 'the content'} is {str(value)[:40]!r}"
    if isinstance(kind, list):
        faults = (misfit(item, kind[0], f"{place}[{number}]") for number, item in enumerate(value))
    elif kind is NUMBERS:
        faults = (misfit(item, NUMBER, f"{place}.{key}" if place else str(key)) for key, item in value.items() if item is not None)
    elif isinstance(kind, dict):
        faults = (_entry(value, key, part, place) for key, part in kind.items())
    else:
        return ""
    return next((fault for fault in faults if fault), "")


def _entry(value: Mapping[str, Any], key: str, kind: Any, place: str) -> str:
    name = key.removesuffix("?")
    path = f"{place}.{name}" if place else name
    if value.get(name) is None and (key.endswith("?") or kind is NUMBER):
        return "" if key.endswith("?") or name in value else f"{path} is missing"
    return misfit(value[name], kind, path) if name in value else f"{path} is missing"
