"""Figures that a case puts into ``CheckReport.details["figures"]``: plain dicts, small enough for JSON, that the page draws.

Numbers are rounded to four significant digits, and those that are not finite become None, which is drawn as a gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Figure: TypeAlias = dict[str, Any]
Log = Literal["", "x", "y", "xy"]

DIGITS = 4
POINTS, SIDE = 500, 128  # of a curve, and of a field along an axis
STYLES = ("line", "points", "dashed")


def lines(
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, str]],
    *,
    log: Log = "",
) -> Figure:
    """Curves over one pair of axes.

    Parameters
    ----------
    series : label -> ``(x, y)`` or ``(x, y, style)``, of one length; the style is ``"line"`` (the default), ``"points"`` or ``"dashed"``.
        Of a curve with more than 500 points every k-th is kept, and its last.
    log : axes that are logarithmic; their values that are not positive become gaps.

    Raises
    ------
    ValueError : no series, lengths that differ, or another style or axis.
    """
    if log not in ("", "x", "y", "xy"):
        raise ValueError(f"{title}: log = {log!r} is no choice of axes; choose '', 'x', 'y' or 'xy'")
    if not series:
        raise ValueError(f"{title}: a figure needs at least one series")
    curves = [_curve(title, label, *given) for label, given in series.items()]
    return {"kind": "lines", "title": title, "x_label": x_label, "y_label": y_label, "series": curves, "log": log}


def field(title: str, label: str, x: ArrayLike, y: ArrayLike, values: ArrayLike, contours: ArrayLike | None = None) -> Figure:
    """A field over a rectangle, as colours with contour lines; streamlines are contours of the streamfunction.

    Parameters
    ----------
    label : what the colours show, with its unit.
    x, y : increasing coordinates of shapes (nx,) and (ny,), equally spaced or not.
    values : shape (ny, nx), a row for each y; not finite where there is nothing, as inside an obstacle. Of more than 128 rows or columns
        every k-th is kept.
    contours : levels that are drawn as lines; None draws none.

    Raises
    ------
    ValueError : coordinates that do not increase, or shapes that do not fit.
    """
    xs, ys, rows = _vector(title, "x", x), _vector(title, "y", y), np.asarray(values, dtype=np.float64)
    for name, along in (("x", xs), ("y", ys)):
        if len(along) < 2 or not np.all(np.diff(along) > 0):
            raise ValueError(f"{title}: {name} has to hold at least two increasing numbers; sort it and the field with it")
    if rows.shape != (len(ys), len(xs)):
        raise ValueError(f"{title}: values have shape {rows.shape}, not {(len(ys), len(xs))}; transpose what is indexed [x, y]")
    across, up = (-(-len(along) // SIDE) for along in (xs, ys))
    figure = {
        "kind": "field",
        "title": title,
        "label": label,
        "x": _rounded(xs[::across]),
        "y": _rounded(ys[::up]),
        "values": [_rounded(row) for row in rows[::up, ::across]],
    }
    return figure if contours is None else {**figure, "contours": _rounded(_vector(title, "contours", contours))}


def triangles(
    title: str,
    label: str,
    x: ArrayLike,
    y: ArrayLike,
    cells: ArrayLike,
    values: ArrayLike,
    contours: ArrayLike | None = None,
    contoured: ArrayLike | None = None,
) -> Figure:
    """A field on triangles, linear on each of them, as filled contours with the outline of the domain.

    Parameters
    ----------
    label : what the colours show, with its unit.
    x, y, values : at the nodes, of shape (n,); triangles with a value that is not finite stay empty.
    cells : nodes of each triangle, shape (m, 3).
    contours : levels that are drawn as lines; None draws none.
    contoured : what these are levels of, shape (n,), such as a streamfunction; None takes `values`.

    Raises
    ------
    ValueError : shapes that do not fit, or nodes that are not there.
    """
    xs, ys, found = (_vector(title, name, given) for name, given in (("x", x), ("y", y), ("values", values)))
    nodes = np.asarray(cells)
    of = found if contoured is None else _vector(title, "contoured", contoured)
    if not len(xs) == len(ys) == len(found) == len(of):
        raise ValueError(
            f"{title}: x, y, values and contoured have {len(xs)}, {len(ys)}, {len(found)} and {len(of)} entries; give one a node in each"
        )
    if nodes.ndim != 2 or nodes.shape[1:] != (3,) or not len(nodes) or nodes.min() < 0 or nodes.max() >= len(xs):
        raise ValueError(f"{title}: cells of shape {nodes.shape} have to hold three of {len(xs)} nodes each")
    figure = {
        "kind": "triangles",
        "title": title,
        "label": label,
        "x": _rounded(xs),
        "y": _rounded(ys),
        "triangles": nodes.tolist(),
        "values": _rounded(found),
    }
    if contours is None:
        return figure
    return {**figure, "contours": _rounded(_vector(title, "contours", contours)), "contoured": _rounded(of)}


def bars(title: str, label: str, values: Mapping[str, float], *, log: bool = False) -> Figure:
    """One horizontal bar for each name, with its figure; `label` says what the bars show. Raises ValueError where there is none."""
    if not values:
        raise ValueError(f"{title}: a figure needs at least one bar")
    lengths = _rounded(np.array([float(value) for value in values.values()]))
    return {"kind": "bars", "title": title, "label": label, "names": list(values), "values": lengths, "log": log}


def _curve(title: str, label: str, x: ArrayLike, y: ArrayLike, style: str = "line") -> dict[str, Any]:
    xs, ys = _vector(title, f"x of {label!r}", x), _vector(title, f"y of {label!r}", y)
    if len(xs) != len(ys):
        raise ValueError(f"{title}: {label!r} has {len(xs)} x and {len(ys)} y; give as many of one as of the other")
    if style not in STYLES:
        raise ValueError(f"{title}: {label!r} has style {style!r}; choose {', '.join(STYLES)}")
    kept = np.arange(0, len(xs), -(-len(xs) // POINTS) or 1)
    if len(kept) and kept[-1] != len(xs) - 1:
        kept = np.append(kept, len(xs) - 1)
    return {"label": label, "x": _rounded(xs[kept]), "y": _rounded(ys[kept]), "style": style}


def _vector(title: str, name: str, values: ArrayLike) -> NDArray[np.float64]:
    vector = np.asarray(values, dtype=np.float64)  # None becomes NaN
    if vector.ndim != 1:
        raise ValueError(f"{title}: {name} has shape {vector.shape}; give a list of numbers")
    return vector


def _rounded(values: NDArray[np.float64] | Sequence[float]) -> list[float | None]:
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values]
