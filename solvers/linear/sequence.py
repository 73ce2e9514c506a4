"""`solve_sequence`: many systems with different matrices, one after another, each profiting from those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from solvers.linear.gcrodr import GCRODR
from solvers.linear.recycle import RecycleSpace
from solvers.linear.solve import checked_method, linear_solve
from solvers.linear.system import Method, RecyclingMethod
from solvers.result import Solution, Status

Item = tuple[Any, ...]


@runtime_checkable
class _Listed(Protocol):
    """What can be solved in any order."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Item: ...


def solve_sequence(
    systems: Iterable[Item],
    method: str | Method | None = None,
    *,
    order: str | ArrayLike = "given",
    rtol: float = 1e-8,
    atol: float = 0.0,
    maxiter: int | None = None,
) -> SolutionSequence:
    """Solve systems one after another; a recycling method hands its space from each to the next.

    Parameters
    ----------
    systems : tuples ``(A, b)`` or ``(A, b, M)`` as for `linear_solve`, all of one size: any iterable, or, to be solved in an order of
        its own, something with ``len`` and ``[]``, which may make its items when they are asked for.
    method : settings or a name as for `linear_solve`; None is ``GCRODR()``. ``GCRODR(space=...)`` starts from an earlier space.
    order : "given", or the numbers 0 ... m - 1 in the order of solving, such that each system resembles the one before it.
        Solutions that are there before their turn are kept until then.
    rtol, atol, maxiter : as in `linear_solve`, for each system.

    Returns
    -------
    SolutionSequence
        An iterator that solves as it is asked for solutions, and yields one `Solution` a system in the order of `systems`.
        ``info["number"]`` is its place there. A system that fails does not end the sequence: its status says how, with
        INVALID_SYSTEM where it cannot be made, the sizes of A, b and the sequence do not fit together, the method does not take A
        or A raises an error of its own (``info["error"]``), and the next system goes on from the space before it.

    Raises
    ------
    ValueError : an order that is no permutation, an unknown method, tolerances that make no sense.

    Examples
    --------
    >>> from solvers.linear import diffusion_operator
    >>> sides = (("dirichlet", "dirichlet"),) * 2
    >>> def operator(k):  # Helmholtz's equation, indefinite
    ...     return diffusion_operator(1.0, shape=(32, 32), spacing=(1 / 32, 1.1 / 32), sides=sides, reaction=-(k**2))
    >>> systems = [(operator(k), np.random.default_rng(0).random((32, 32))) for k in (10.0, 10.1, 10.2)]
    >>> first, second, third = (solution.raise_for_status().info["matvecs"] for solution in solve_sequence(systems))
    >>> second < 0.7 * first
    True
    """
    chosen = checked_method(GCRODR() if method is None else method, rtol, atol, maxiter)
    if isinstance(order, str):
        if order != "given":
            raise ValueError(f"order is {order!r}; it must be 'given' or the numbers of the systems in the order of solving")
        numbered: Iterator[tuple[int, Callable[[], Item]]] = ((number, partial(tuple, item)) for number, item in enumerate(systems))
    else:
        if not isinstance(systems, _Listed):
            raise ValueError(f"systems is a {type(systems).__name__}, which can be solved in the given order only: pass a list")
        numbered = ((number, partial(systems.__getitem__, number)) for number in _permutation(order, len(systems)))
    return SolutionSequence(numbered, "auto" if chosen is None else chosen, {"rtol": rtol, "atol": atol, "maxiter": maxiter})


def _permutation(order: ArrayLike, m: int) -> list[int]:
    numbers = np.asarray(order)
    if numbers.shape != (m,) or (m > 0 and numbers.dtype.kind not in "iu") or not np.array_equal(np.sort(numbers), np.arange(m)):
        raise ValueError(f"order has shape {numbers.shape} and type {numbers.dtype}; it must hold each of the numbers 0 ... {m - 1} once")
    return [int(number) for number in numbers]


class SolutionSequence(Iterator[Solution]):
    """The solutions of `solve_sequence`, made as they are asked for.

    Attributes
    ----------
    space : the space that the next system would start from; None before the first, for methods that do not recycle, and where recycling
        does not pay: a system that took more products with its matrix than the last one without a space, or dropped its space, is
        followed by one without, or by twice as many as the last time where that was so before. Solutions do not hold theirs, each of
        which is as large as many solutions.
    """

    def __init__(self, numbered: Iterator[tuple[int, Callable[[], Item]]], method: str | Method, options: dict[str, Any]) -> None:
        self._numbered = numbered
        self._method = self._given = method
        self._empty = _without_space(method)
        self._unaided: int | None = None  # products of the last system without a space
        self._pause = self._left = 0  # systems without a space: as many as last decided, and those still to come
        self._options = options
        self._waiting: dict[int, Solution] = {}
        self._turn = 0
        self._size: int | None = None

    @property
    def space(self) -> RecycleSpace | None:
        return self._method.space if isinstance(self._method, RecyclingMethod) else None

    def __next__(self) -> Solution:
        while self._turn not in self._waiting:
            number, make = next(self._numbered)
            self._waiting[number] = self._solve(number, make)
        self._turn += 1
        return self._waiting.pop(self._turn - 1)

    def _solve(self, number: int, make: Callable[[], Item]) -> Solution:
        b = np.zeros(0 if self._size is None else self._size)
        try:
            A, b, *M = make()
            b = np.asarray(b)
            if self._size is not None and b.size != self._size:
                raise ValueError(f"b has {b.size} entries, but the systems solved before have {self._size}: they cannot share a space")
            used = self._method
            if used is not self._given and self.space is not None and self.space.U.dtype.kind == "c" and not _is_complex(A, b):
                used = self._empty  # a space that a complex system left is of no use to a real one
            solution = linear_solve(A, b, used, M=M[0] if M else None, **self._options)
        except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:  # of a user's own operator, too
            refusal = {"relative_residual": np.nan, "error": f"system {number}: {error}", "number": number}
            name = self._method if isinstance(self._method, str) else self._method.name
            return Solution(np.zeros_like(b), Status.INVALID_SYSTEM, 0, np.array([np.nan]), name, refusal)
        self._size = b.size
        info: dict[str, Any] = {**solution.info, "number": number}
        space = info.pop("recycle_space", None)
        if solution.status is Status.SUCCESS and space is not None and isinstance(self._method, RecyclingMethod) and _usable(space):
            given = isinstance(used, RecyclingMethod) and used.space is not None
            self._judge(int(info["matvecs"]), given, dropped="space_dropped" in info)
            self._left, pays = max(self._left - 1, 0), self._left == 0
            self._method = self._method.with_space(space) if pays else self._empty
        return replace(solution, info=info)

    def _judge(self, products: int, given: bool, *, dropped: bool) -> None:
        """Decide how many systems go without a space, after one that took so many products, and may have dropped the one given to it."""
        if given:
            pays = not dropped and (self._unaided is None or products <= self._unaided)
            self._left = self._pause = 0 if pays else max(2 * self._pause, 1)
        if dropped or not given:
            self._unaided = products


def _without_space(method: str | Method) -> str | Method:
    return replace(method, space=None) if isinstance(method, RecyclingMethod) and is_dataclass(method) else method


def _is_complex(A: Any, b: NDArray[Any]) -> bool:
    return np.result_type(getattr(A, "dtype", None) or np.asarray(A).dtype, b.dtype).kind == "c"


def _usable(space: RecycleSpace) -> bool:
    """Whether a solve left a space worth keeping; one that failed, which may look so, leaves what spoils the next."""
    return space.dim > 0 and bool(np.isfinite(space.U).all() and np.isfinite(space.C).all())
