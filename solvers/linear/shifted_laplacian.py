"""Multigrid on Helmholtz's equation with damping, as a preconditioner of the equation without.

Erlangga, Oosterlee and Vuik (2006, "A novel multigrid based preconditioner for heterogeneous Helmholtz problems", SIAM J. Sci. Comput.
27): ``-div(a grad u) - k^2 u`` is preconditioned by one V-cycle for ``-div(a grad u) - s k^2 u`` with a complex shift s. Departure: damped
Jacobi amplifies on the grid where ``k h`` is about 2, and a V-cycle with it diverges for the shift that serves GMRES best. Here Chebyshev
steps of complex size smooth on the segment of the complex plane where the oscillating eigenvalues lie, and the cycle converges.

With absorbing boundaries the iterations of GMRES grow with the wavenumber, nearly as with the exact inverse of the shifted operator. In a
closed cavity many eigenvalues of A are near zero, and so are those of the preconditioned A: there it is of little use. In two dimensions
SuperLU is faster up to 20 wavelengths at least; in three it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator

from solvers.linear.multigrid import MultigridHierarchy
from solvers.linear.stencil import StencilOperator

_COARSEST = 200  # unknowns that are left to a direct solve
_DAMPED = (0.4, 1.2)  # eigenvalues over the bound on those of the diffusion that smoothing is made for


@dataclass(frozen=True, eq=False)
class ShiftedLaplacian:
    """One multigrid V(2,2)-cycle on A with its negative reaction ``-k^2`` multiplied by a shift.

    A complex shift makes a complex operator: for GMRES in complex arithmetic (``b.astype(complex)`` with SciPy's). A real shift of 0 or
    below makes a definite one; of a `StencilOperator` that is the preconditioner of `MINRES`, by the cycle of `solvers.linear.multigrid`.

    Parameters
    ----------
    shift : what ``-k^2`` is multiplied by. The sign of its imaginary part must be that with which absorbing boundaries enter A:
        ``1 - 0.5j`` where they add a positive imaginary part to the diagonal; a closed cavity does not care.
    reaction : for a sparse matrix A, its part ``-k^2`` in the grid's shape, unknowns in C order; None takes that of a `StencilOperator`.

    Raises
    ------
    ValueError : an imaginary part below 0.4 in size with a shift that is not real and at most 0; a reaction of another size than A.
    TypeError : a sparse matrix without reaction.
    """

    shift: complex = 1 - 0.5j
    reaction: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        definite = self.shift.imag == 0 and self.shift.real <= 0
        if not (definite or abs(self.shift.imag) >= 0.4):
            raise ValueError(
                f"ShiftedLaplacian: shift is {self.shift}; multigrid needs an imaginary part of at least 0.4 in size, "
                "or a real shift of at most 0"
            )

    @property
    def name(self) -> str:
        return "shifted_laplacian"

    def build(self, A: StencilOperator | sp.csr_matrix) -> LinearOperator:
        if isinstance(A, StencilOperator):
            negative = np.minimum(A.reaction, 0.0)
            if self.shift.imag == 0:
                shifted = A.reaction + (self.shift.real - 1) * negative
                hierarchy = MultigridHierarchy(StencilOperator(A.faces, shifted, A.periodic))
                return LinearOperator(A.shape, matvec=hierarchy.precondition, dtype=np.float64)
            matrix, grid, periodic = A.to_csr(), A.grid_shape, A.periodic
        elif self.reaction is None:
            raise TypeError(
                f"preconditioner {self.name!r} needs a StencilOperator, but A is a sparse matrix: "
                "pass ShiftedLaplacian(reaction=...) with its part -k^2 in the grid's shape"
            )
        else:
            matrix, negative = A, np.asarray(self.reaction, np.float64)
            grid, periodic = negative.shape, (False,) * negative.ndim
            if negative.size != A.shape[0]:
                raise ValueError(f"ShiftedLaplacian: reaction has shape {grid}, but A has {A.shape[0]} unknowns: they must match")
        rest = sp.csr_matrix(matrix - sp.diags(negative.ravel()))
        diffusion = sp.csr_matrix(rest.real)
        absorbed = rest - diffusion if rest.dtype.kind == "c" else 0 * diffusion
        shift = self.shift.real if self.shift.imag == 0 else self.shift
        mass = sp.csr_matrix(absorbed + sp.diags(shift * negative.ravel()))
        return LinearOperator(A.shape, matvec=_Cycle(diffusion, mass, grid, periodic), dtype=mass.dtype)


class _Cycle:
    """Levels with Galerkin products of bilinear interpolation, Chebyshev smoothing of degree two, and SuperLU on the coarsest.

    `diffusion` is real, `mass` all the rest; both are carried to the coarse grids for the sake of the smoothing there.
    """

    def __init__(self, diffusion: sp.csr_matrix, mass: sp.csr_matrix, grid: tuple[int, ...], periodic: tuple[bool, ...]) -> None:
        self.levels: list[tuple[sp.csr_matrix, NDArray[Any], NDArray[Any], sp.csr_matrix, sp.csr_matrix]] = []
        while diffusion.shape[0] > _COARSEST:
            axes = [_interpolation(n, wraps) for n, wraps in zip(grid, periodic, strict=True)]
            P = reduce(lambda one, other: sp.kron(one, other, format="csr"), axes)
            R = sp.csr_matrix(P.T)
            self.levels.append((sp.csr_matrix(diffusion + mass), *_steps(diffusion, mass), P, R))
            diffusion, mass = sp.csr_matrix(R @ diffusion @ P), sp.csr_matrix(R @ mass @ P)
            grid = tuple(axis.shape[1] for axis in axes)
        self.dtype = mass.dtype
        self.coarsest = spla.splu(sp.csc_matrix(diffusion + mass))

    def __call__(self, r: NDArray[Any]) -> NDArray[Any]:
        """One cycle from zero."""
        descent = []
        f = np.asarray(r, self.dtype)
        for A, first, second, _, R in self.levels:
            u = first * f
            u += second * (f - A @ u)
            descent.append((f, u))
            f = R @ (f - A @ u)
        u = self.coarsest.solve(f)
        for (A, first, second, P, _), (f, smooth) in zip(reversed(self.levels), reversed(descent), strict=True):
            u = smooth + P @ u
            u += second * (f - A @ u)
            u += first * (f - A @ u)
        return u


def _steps(diffusion: sp.csr_matrix, mass: sp.csr_matrix) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sizes of two relaxation steps, row by row: inverse roots of the Chebyshev polynomial of ``lambda D + c``, lambda in `_DAMPED`."""
    diagonal = diffusion.diagonal()
    bound = float((np.asarray(abs(diffusion).sum(axis=1)).ravel() / diagonal).max())  # Gershgorin's, for D^-1 times the diffusion
    low, high = _DAMPED
    middle = 0.5 * (low + high) * bound * diagonal + np.asarray(mass.sum(axis=1)).ravel()
    half = 0.5 * (high - low) * bound * diagonal * np.sqrt(0.5)
    return 1 / (middle + half), 1 / (middle - half)


def _interpolation(n: int, periodic: bool) -> sp.csr_matrix:
    """Linear interpolation along one axis from cells of twice the size, constant beyond walls, shape (n, (n + 1) // 2)."""
    coarse = (n + 1) // 2
    fine = np.arange(n)
    own = fine // 2
    other = own + np.where(fine % 2 == 0, -1, 1)
    other = other % coarse if periodic else np.clip(other, 0, coarse - 1)
    weights = np.repeat([0.75, 0.25], n)
    return sp.csr_matrix((weights, (np.tile(fine, 2), np.concatenate([own, other]))), shape=(n, coarse))
