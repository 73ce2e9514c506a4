"""Profiles on the centre lines of a driven cavity, with the points of Ghia, Ghia and Shin (1982) where they give some."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from validation.figures import Figure, lines
from validation.reference_tables import rows

Curve = tuple[NDArray[np.float64], NDArray[np.float64], str]
GHIA = (100, 400, 1000, 3200, 5000, 7500, 10000)


def centre_lines(reynolds: float, u: Mapping[str, Curve], v: Mapping[str, Curve]) -> list[Figure]:
    """Two figures: u along x = 1/2, and v along y = 1/2, in the unit square with a lid of speed 1.

    Parameters
    ----------
    u, v : label -> places, values and style, as `validation.figures.lines` takes them.
    """
    return [
        lines(
            f"{name} on the line {line} = 1/2, Re = {reynolds:g}",
            along,
            f"{name} over the speed of the lid",
            {**curves, **_ghia(name, along, reynolds)},
        )
        for name, line, along, curves in (("u", "x", "y", u), ("v", "y", "x", v))
    ]


def _ghia(name: str, along: str, reynolds: float) -> dict[str, Curve]:
    if reynolds not in GHIA:
        return {}
    table = list(rows(f"cavity_ghia1982_{name}"))
    at, values = (np.array([float(line[key] or "nan") for line in table]) for key in (along, f"{name}_Re{int(reynolds)}"))
    return {"Ghia, Ghia and Shin 1982": (at, values, "points")}
