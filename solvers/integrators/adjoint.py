"""Gradients through many steps in the memory of few: the steps are taken again, part by part, when the gradient passes through them.

A first pass without a graph finds the steps. They are repeated with a graph in parts of which only the first states are kept
(`torch.utils.checkpoint`); the gradient is that of the steps as they were taken, to rounding, in the memory of one part and one state
for each. This module does not import torch: it takes it from the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from solvers.integrators.kinds import by_rows, in_kind, namespace
from solvers.integrators.march import Marched, Record, Task

Array = Any


def replayed(task: Task, found: Marched, parts: int) -> tuple[Array, Array]:
    """States at the times asked for, and the last one, with a graph of `parts` parts.

    Parameters
    ----------
    task : what was marched, with an explicit Runge-Kutta method, whose steps need nothing of those before them.
    found : the outcome, with its records.
    """
    xp = namespace(task.y0)
    stepper = task.method.bind(task.terms, xp, task.batch)
    blank = xp.full_like(task.y0, in_kind(math.nan, task.y0))
    ys: list[Array] = [blank] * len(task.ts)
    for number, t in enumerate(task.ts):
        if t == task.t0:
            ys[number] = task.y0

    def time(values: Any) -> Any:
        return by_rows(values, task.y0, task.batch) if task.batch else float(values[0])

    def choose(rows: Any, new: Array, old: Array) -> Array:
        if not task.batch:
            return new if rows[0] else old
        return xp.where(by_rows(rows, task.y0, task.batch), new, old)

    def run(part: Sequence[Record]) -> Callable[[Array], tuple[Array, ...]]:
        def steps(y: Array) -> tuple[Array, ...]:
            outs = []
            for record in part:
                advance, _ = stepper.step(time(record.t), y, time(record.h), None)
                for _, rows, theta, at_end in record.outputs:
                    inside = (rows & ~at_end).any()
                    value = advance.interpolate(time(theta)) if inside and advance.interpolate is not None else advance.y
                    outs.append(choose(at_end, advance.y, value))
                y = choose(record.accepted, advance.y, y)
            return (y, *outs)

        return steps

    y = task.y0
    size = math.ceil(len(found.records) / parts) if found.records else 1
    for first in range(0, len(found.records), size):
        part = found.records[first : first + size]
        y, *outs = xp.utils.checkpoint.checkpoint(run(part), y, use_reentrant=False)
        places = [(number, rows) for record in part for number, rows, _, _ in record.outputs]
        for (number, rows), out in zip(places, outs, strict=True):
            ys[number] = choose(rows, out, ys[number])
    return xp.stack(ys), y
