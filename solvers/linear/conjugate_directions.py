"""Conjugate directions proposed by any function of the residual, such as a network trained to imitate ``A^-1``.

Kaneda, Akar, Chen, Kala, Hyde and Teran (2023, "A deep conjugate direction method for iteratively solving linear systems").
A proposal ``d = f(r / |r|)`` is made A-orthogonal to the last few directions and followed to the minimum of the energy. It is the
truncated flexible method of Notay (2000, "Flexible conjugate gradients", eq. 2.1) with a residual of unit norm: a network with biases
is not homogeneous. The line search makes up for the length and the sign of d, and for any f at all the A-norm of the error does not grow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.linalg import LinearOperator

from solvers.linear.cg import restarted
from solvers.linear.system import Attempt, System, Vector, looks_symmetric
from solvers.result import Status

#: From a flat float64 residual of norm 1 to a direction with as many entries, of any length and sign.
Direction = Callable[[Vector], Vector]

_SLANT = 1e-8  # a direction at a smaller cosine to the residual promises no decrease beyond rounding


@dataclass(frozen=True)
class ConjugateDirections:
    """Minimise the energy along proposed directions, for symmetric positive definite real A.

    Where a proposal is orthogonal to the residual, ``M r`` with the `M` given to `linear_solve` takes its place, or r itself; their number
    is ``info["replaced"]``. With ``f(r) = r`` the iterates are those of conjugate gradients, with a symmetric positive definite linear f
    those of conjugate gradients preconditioned by it.

    Parameters
    ----------
    direction : from the residual, flat float64 of Euclidean norm 1, to an array with as many entries, of any real type, length and sign.
    window : number of earlier directions that a new one is made A-orthogonal to.
    limit : iterations after which it gives up where `maxiter` does not say; None is ten times the number of unknowns.

    Raises
    ------
    ValueError : settings out of range; during the solve, a direction of the wrong size, complex or not finite.
    TypeError : during the solve, a complex system.
    """

    direction: Direction
    window: int = 2
    limit: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.direction):
            raise ValueError(f"ConjugateDirections: direction is {self.direction!r}; it must be a function of the normalised residual")
        if self.window < 1:
            raise ValueError(f"ConjugateDirections: window is {self.window}; it must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"ConjugateDirections: limit is {self.limit}; it must be None or at least 1")

    @property
    def name(self) -> str:
        return "conjugate_directions"

    def attempt(self, system: System) -> Attempt:
        if system.b.dtype.kind == "c":
            raise TypeError("method 'conjugate_directions' needs a real system, but A or b is complex: take 'cg', 'gmres' or 'lu'")
        if not looks_symmetric(system.A):
            return Attempt(system.x0, status=Status.INDEFINITE)
        replaced = 0

        def inner(x: Vector, r: Vector, norms: list[float], budget: int) -> Status | None:
            nonlocal replaced
            earlier: deque[tuple[Vector, Vector, float]] = deque(maxlen=self.window)  # directions p, A p and p . A p
            for _ in range(budget):
                length = float(np.linalg.norm(r))
                d = proposed(self.direction, r / length)
                descent = float(d @ r)
                if not abs(descent) > _SLANT * float(np.linalg.norm(d)) * length:
                    replaced += 1
                    d = r.copy() if system.M is None else np.array(system.M.matvec(r))
                    descent = float(d @ r)
                    if not descent > 0:
                        return Status.INDEFINITE
                for p, q, curvature in earlier:  # once does: what is nearly a combination of them has been replaced
                    d -= (float(d @ q) / curvature) * p
                q = system.matvec(d)
                curvature = float(d @ q)
                if not curvature > 0:
                    return Status.INDEFINITE if np.isfinite(curvature) else Status.BREAKDOWN
                step = float(d @ r) / curvature
                x += step * d
                r -= step * q
                earlier.append((d, q, curvature))
                norms.append(float(np.linalg.norm(r)))
                if system.callback is not None:
                    system.callback(x, norms[-1])
                if norms[-1] <= system.tolerance:
                    break
            return None

        limit = 10 * system.n if self.limit is None else self.limit
        return replace(restarted(system, inner, limit, np.empty_like(system.b)), info={"replaced": replaced})


def direction_preconditioner(direction: Direction, n: int) -> LinearOperator:
    """A direction as `M` for flexible methods: ``M r = |r| f(r / |r|)``, homogeneous although f need not be.

    Parameters
    ----------
    direction : as in `ConjugateDirections`; its length and sign do matter to methods without a line search.
    n : number of unknowns.

    Raises
    ------
    ValueError : when it is applied, a direction of the wrong size, complex or not finite.
    """

    def apply(r: Vector) -> Vector:
        r = np.asarray(r, np.float64).ravel()
        length = float(np.linalg.norm(r))
        return length * proposed(direction, r / length) if length > 0 else np.zeros_like(r)

    return LinearOperator((n, n), matvec=apply, dtype=np.float64)


def proposed(direction: Direction, r: Vector) -> Vector:
    """The direction for a residual of norm 1 as an own flat float64 array; `ValueError` where it cannot be used."""
    d = np.asarray(direction(r))
    if d.size != r.size:
        raise ValueError(f"direction returned an array of shape {d.shape} for a residual of {r.size} entries: it must have as many")
    if d.dtype.kind not in "fiu":
        raise ValueError(f"direction returned an array of type {d.dtype}: it must hold real numbers")
    d = np.array(d, np.float64).ravel()
    if not np.isfinite(d).all():
        bad = int(np.count_nonzero(~np.isfinite(d)))
        raise ValueError(f"direction returned {bad} of {d.size} entries that are NaN or infinite: check its weights and its input scale")
    return d
