"""Steady flow in a rectangle by its streamfunction: Galerkin's method with clamped Legendre polynomials.

The vorticity equation ``nu Laplacian^2 psi = u . grad Laplacian psi`` with u = (psi_y, -psi_x) is tested with functions phi that vanish on
the boundary with their normal derivatives. The streamfunction is R + S: a polynomial R, and whatever flow S the corners bring along, for
which the equation is left in its strong form because the leading terms cancel in it point by point:

    nu (Laplacian R, Laplacian phi) + (Laplacian R, u . grad phi) + (Laplacian S, u_R . grad phi) + (strong residual of S, phi) = 0.

Continuity holds exactly, and no pressure appears.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import add

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray

from solvers.arguments import finites, number, refuse_uncallable, shown
from solvers.flow.streamfunction.corner import CornerFlow
from solvers.flow.streamfunction.jet import StreamJet
from solvers.flow.streamfunction.legendre import HERMITE, ClampedBasis, products

Array = NDArray[np.float64]
Profile = Callable[[Array, Array], Array]

SIDES = ("left", "right", "bottom", "top")
_MISMATCH = 1e-6  # of the corner data of two sides, relative to the largest boundary value


def zero(x: Array, y: Array) -> Array:
    return np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))


@dataclass(frozen=True)
class Side:
    """What the streamfunction does on one side: its value, and its derivative across the side (psi_x on left and right, else psi_y)."""

    psi: Profile = zero
    slope: Profile = zero

    def __post_init__(self) -> None:
        refuse_uncallable("Side.psi", self.psi, "give a function of x and y")
        refuse_uncallable("Side.slope", self.slope, "give a function of x and y")


@dataclass(frozen=True)
class StreamfunctionProblem:
    """Steady flow in a rectangle with velocity prescribed on all sides.

    Parameters
    ----------
    viscosity : kinematic; the inverse Reynolds number where lengths and velocities are of size one.
    x, y : ends of the rectangle.
    sides : for any of ``left``, ``right``, ``bottom``, ``top`` the boundary data; a side left out is a wall at rest.
    corners : flows that carry the singularities at corners where the velocity jumps.
    """

    viscosity: float
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    sides: Mapping[str, Side] = field(default_factory=dict)
    corners: tuple[CornerFlow, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < number("viscosity", self.viscosity, "it must be positive and finite") < np.inf:
            raise ValueError(f"StreamfunctionProblem: viscosity is {self.viscosity}; it must be positive and finite")
        for name in "xy":
            ends = finites(name, getattr(self, name), "give the two ends of the rectangle")
            if len(ends) != 2 or not ends[0] < ends[1]:
                raise ValueError(f"{name} = {ends}: give the two ends of the rectangle, the lower one first")
        if unknown := sorted(set(self.sides) - set(SIDES)):
            raise ValueError(f"StreamfunctionProblem: there is no side {unknown[0]!r}; sides are {', '.join(SIDES)}")
        for name, side in self.sides.items():
            if not isinstance(side, Side):
                raise TypeError(f"sides[{name!r}] = {shown(side)} is no side: give Side(psi=..., slope=...)")

    def with_viscosity(self, viscosity: float) -> StreamfunctionProblem:
        """The same boundary data at another viscosity."""
        return replace(self, viscosity=viscosity, corners=tuple(replace(corner, viscosity=viscosity) for corner in self.corners))

    def singular(self, x: Array, y: Array) -> StreamJet:
        """The part S that the corners bring along, at points off the corners."""
        shape = np.broadcast_shapes(np.shape(x), np.shape(y))
        nothing = StreamJet(*np.zeros((7, *shape)))
        return reduce(add, (corner.jet(*np.broadcast_arrays(x, y)) for corner in self.corners), nothing)


class StreamfunctionGalerkin:
    """Polynomials of `degree` in each direction for a `StreamfunctionProblem`.

    States are the coefficients of the interior functions, shape (degree - 3, degree - 3). Integrals take ``2 (degree + 1)`` points in
    each direction, so that those without S are exact.

    Raises
    ------
    ValueError : where two sides disagree at their corner, or the degree is below 4.
    """

    def __init__(self, problem: StreamfunctionProblem, degree: int) -> None:
        self.problem, self.degree = problem, degree
        self.bases = ClampedBasis(degree, *problem.x), ClampedBasis(degree, *problem.y)
        points = 2 * (degree + 1)
        (self.x, wx), (self.y, wy) = (basis.gauss(points) for basis in self.bases)
        self.weights = wx[:, None] * wy[None, :]
        self._X, self._Y = (basis.tables(nodes, 3) for basis, nodes in zip(self.bases, (self.x, self.y), strict=True))
        self.X, self.Y = self._X[:, :, HERMITE:], self._Y[:, :, HERMITE:]
        self.boundary = self._boundary_coefficients()
        self.S = problem.singular(self.x[:, None], self.y[None, :])
        self._load = self.X[0].T @ (self.weights * self.S.vorticity_residual(problem.viscosity)) @ self.Y[0]

    @property
    def shape(self) -> tuple[int, int]:
        return self.bases[0].interior, self.bases[1].interior

    def residual(self, state: Array) -> Array:
        """The weak vorticity equation tested with every interior function."""
        psi_x, psi_y, laplacian = self.polynomial(state)
        S = self.S
        vorticity = laplacian + S.laplacian
        along_x = laplacian * S.psi_y + vorticity * psi_y  # (Lap R) u_S + (Lap R + Lap S) u_R
        along_y = -laplacian * S.psi_x - vorticity * psi_x
        return np.asarray(self._test(self.problem.viscosity * laplacian, along_x, along_y) + self._load)

    def derivative(self, state: Array) -> Callable[[Array], Array]:
        """The derivative of `residual` at `state`, as a function of the direction."""
        psi_x, psi_y, laplacian = self._total(state)

        def apply(direction: Array) -> Array:
            d_x, d_y, d_laplacian = self._evaluate(direction, self.X, self.Y)
            along_x = d_laplacian * psi_y + laplacian * d_y
            along_y = -d_laplacian * psi_x - laplacian * d_x
            return self._test(self.problem.viscosity * d_laplacian, along_x, along_y)

        return apply

    def jacobian(self, state: Array, modes: int) -> Array:
        """The derivative at `state` among the first `modes` functions of each direction, dense, shape (modes^2, modes^2).

        Integrals are summed one direction after the other: ``modes^4`` entries at a price of the number of points in one direction each.
        """
        psi_x, psi_y, laplacian = (self.weights * part for part in self._total(state))
        X, Y = self.X[:, :, :modes], self.Y[:, :, :modes]
        m = X.shape[2], Y.shape[2]
        terms = [  # field, test and trial function in x, test and trial function in y
            (psi_y, X[1], X[2], Y[0], Y[0]), (psi_y, X[1], X[0], Y[0], Y[2]),
            (-psi_x, X[0], X[2], Y[1], Y[0]), (-psi_x, X[0], X[0], Y[1], Y[2]),
            (laplacian, X[1], X[0], Y[0], Y[1]), (-laplacian, X[0], X[1], Y[1], Y[0]),
        ]  # fmt: skip
        pairs_x = np.concatenate([products(test, trial) for _, test, trial, _, _ in terms])
        pairs_y = np.concatenate([weight @ products(test, trial) for weight, _, _, test, trial in terms])
        convection = (pairs_x.T @ pairs_y).reshape(m[0], m[0], m[1], m[1])
        dense = convection.transpose(0, 2, 1, 3).reshape(m[0] * m[1], m[0] * m[1])
        dense += self.problem.viscosity * self._biharmonic(*m).toarray()
        return np.asarray(dense)

    @cached_property
    def stokes(self) -> sp.csc_matrix:
        """``(Laplacian phi, Laplacian phi')`` among all interior functions, sparse."""
        return self._biharmonic(*self.shape)

    def stokes_flow(self) -> Array:
        """The state whose residual without convection vanishes."""
        laplacian = self.polynomial(np.zeros(self.shape))[2]
        load = self.X[0].T @ (self.weights * self.S.bilaplacian) @ self.Y[0]
        return -self._solve_stokes(self._test(laplacian, 0 * laplacian, 0 * laplacian) + load)

    def projection(self, other: StreamfunctionGalerkin, state: Array) -> Array:
        """The state nearest to a flow of another problem at the same degree, in the norm of the Laplacian."""
        difference = other._total(state)[2] - self._total(np.zeros(self.shape))[2]
        return self._solve_stokes(self._test(difference, 0 * difference, 0 * difference))

    def viscous_norm(self, state: Array) -> float:
        """``viscosity ||Laplacian R||`` in L2, what residuals are measured by."""
        laplacian = self.polynomial(state)[2]
        return self.problem.viscosity * float(np.sqrt(np.sum(self.weights * laplacian**2)))

    def mean_shear(self, state: Array) -> float:
        """Mean of ``|Laplacian psi|``, which the corners leave finite."""
        return float(np.sum(self.weights * np.abs(self._total(state)[2])) / self.weights.sum())

    def polynomial(self, state: Array) -> tuple[Array, Array, Array]:
        """``R_x, R_y, Laplacian R`` at the quadrature points."""
        return self._evaluate(self.coefficients(state), self._X, self._Y)

    def coefficients(self, state: Array) -> Array:
        """All coefficients of R, shape (degree + 1, degree + 1): those of the boundary data and `state`."""
        full = self.boundary.copy()
        full[HERMITE:, HERMITE:] = state
        return full

    def jet(self, state: Array, x: Array, y: Array) -> StreamJet:
        """Streamfunction and derivatives on the grid of all (x_i, y_j), shape (x.size, y.size)."""
        R, X, Y = self.coefficients(state), self.bases[0].tables(x, 5), self.bases[1].tables(y, 5)

        def D(i: int, j: int) -> Array:
            return np.asarray(X[i] @ R @ Y[j].T)

        polynomial = StreamJet(
            D(0, 0), D(1, 0), D(0, 1), D(2, 0) + D(0, 2), D(3, 0) + D(1, 2), D(2, 1) + D(0, 3), D(4, 0) + 2 * D(2, 2) + D(0, 4)
        )
        return polynomial + self.problem.singular(np.asarray(x)[:, None], np.asarray(y)[None, :])

    def _solve_stokes(self, load: Array) -> Array:
        return np.asarray(spla.splu(self.stokes).solve(load.ravel()).reshape(self.shape))

    def _total(self, state: Array) -> tuple[Array, Array, Array]:
        psi_x, psi_y, laplacian = self.polynomial(state)
        return psi_x + self.S.psi_x, psi_y + self.S.psi_y, laplacian + self.S.laplacian

    @staticmethod
    def _evaluate(c: Array, X: Array, Y: Array) -> tuple[Array, Array, Array]:
        along = c @ Y[0].T
        return X[1] @ along, X[0] @ (c @ Y[1].T), X[2] @ along + X[0] @ (c @ Y[2].T)

    def _test(self, laplacian: Array, along_x: Array, along_y: Array) -> Array:
        """Integrals of ``laplacian Lap phi + along_x phi_x + along_y phi_y``."""
        laplacian, along_x, along_y = (self.weights * part for part in (laplacian, along_x, along_y))
        X, Y = self.X, self.Y
        return np.asarray(
            (X[2].T @ laplacian + X[1].T @ along_x) @ Y[0] + X[0].T @ (laplacian @ Y[2] + along_y @ Y[1])
        )  # fmt: skip

    def _biharmonic(self, mx: int, my: int) -> sp.csc_matrix:
        """``I x M + 2 K x K + M x I``; by parts on clamped functions ``(phi'', phi') = -(phi', phi'')``."""
        (M_x, K_x, I_x), (M_y, K_y, I_y) = self._grams(mx, my)
        return (sp.kron(I_x, M_y) + 2 * sp.kron(K_x, K_y) + sp.kron(M_x, I_y)).tocsc()

    def kinetic(self, modes: int) -> sp.csc_matrix:
        """``(grad phi, grad phi')`` among the first `modes` functions of each direction: the mass of their velocities."""
        m = tuple(min(modes, n) for n in self.shape)
        (M_x, K_x, _), (M_y, K_y, _) = self._grams(*m)
        return (sp.kron(K_x, M_y) + sp.kron(M_x, K_y)).tocsc()

    def _grams(self, mx: int, my: int) -> list[list[sp.csr_matrix]]:
        """For each direction the products in L2 of its first functions, of their first and of their second derivatives."""
        grams = []
        for basis, m in zip(self.bases, (mx, my), strict=True):
            nodes, weights = basis.gauss(basis.size)
            T = basis.tables(nodes, 3)[:, :, HERMITE : HERMITE + m]
            grams.append([_sparse(table.T @ (weights[:, None] * table)) for table in T])
        return grams

    def _boundary_coefficients(self) -> Array:
        """R on the boundary: the data less what S brings; the corners belong to two sides, which must agree there."""
        basis_x, basis_y = self.bases
        full = np.zeros((basis_x.size, basis_y.size))
        claims: list[Array] = []
        for name in SIDES:
            upright, far = name in ("left", "right"), name in ("right", "top")
            along, across = (basis_y, basis_x) if upright else (basis_x, basis_y)
            nodes, _ = along.gauss(along.size)
            end = np.full_like(nodes, across.high if far else across.low)
            x, y = (end, nodes) if upright else (nodes, end)
            side, S = self.problem.sides.get(name, Side()), self.problem.singular(x, y)
            rows = np.stack([along.fit(side.psi(x, y) - S.psi), along.fit(side.slope(x, y) - (S.psi_x if upright else S.psi_y))])
            first = 2 if far else 0
            block = full if upright else full.T
            block[first : first + 2] = rows
            claims.append(rows[:, :HERMITE])
        left_right, bottom_top = np.concatenate(claims[:2]), np.concatenate(claims[2:]).T
        _check_agreement(left_right, bottom_top, np.abs(full).max())
        full[:HERMITE, :HERMITE] = (left_right + bottom_top) / 2
        return full


def _sparse(gram: Array) -> sp.csr_matrix:
    """Without what rounding leaves of orthogonality."""
    scale = np.sqrt(np.diag(gram))
    return sp.csr_matrix(np.where(np.abs(gram) > 1e-13 * scale[:, None] * scale, gram, 0.0))


def _check_agreement(left_right: Array, bottom_top: Array, scale: float) -> None:
    """Rows are x-ends, columns y-ends, values and slopes in turn; the mixed derivative is left to the mean of both."""
    gap = np.abs(left_right - bottom_top)
    gap[1::2, 1::2] = 0.0
    if gap.max() > _MISMATCH * max(scale, 1.0):
        i, j = np.unravel_index(gap.argmax(), gap.shape)
        quantity = ("psi", "psi_y", "psi_x")[2 * (i % 2) + j % 2]
        upright, flat = ("left", "right")[i // 2], ("bottom", "top")[j // 2]
        raise ValueError(
            f"StreamfunctionProblem: sides {upright!r} and {flat!r} give {quantity} = {left_right[i, j]:.6g} and {bottom_top[i, j]:.6g} at "
            f"their corner: make the boundary data continuous, name a CornerFlow where the velocity jumps, or raise the degree"
        )
