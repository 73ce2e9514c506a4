"""Steady natural convection in a square that is heated from one side, by streamfunction and temperature.

In the units of de Vahl Davis (1983, "Natural convection of air in a square cavity: a bench mark numerical solution", Int. J. Numer. Methods
Fluids 3) lengths are measured by the side, velocities by diffusivity over side; the left wall has temperature 1, the right one 0, bottom
and top conduct nothing, all walls are at rest:

    Pr Laplacian^2 psi - u . grad Laplacian psi - Ra Pr T_x = 0,    u . grad T = Laplacian T,    u = (psi_y, -psi_x).

Galerkin's method: clamped polynomials for psi; for ``T = 1 - x + theta`` polynomials in x that vanish at both ends times Legendre
polynomials in y, whose insulation is natural. Newton's method with the dense Jacobian, continued in the Rayleigh number at a low degree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.polynomial import legendre
from numpy.typing import NDArray

from solvers.arguments import number, whole
from solvers.flow.streamfunction.legendre import HERMITE, ClampedBasis, products
from solvers.flow.streamfunction.newton import NewtonStatus, newton
from solvers.result import SolverError

Array = NDArray[np.float64]

#: Rayleigh number of the onset of unsteadiness in air (Le Quere and Behnia 1998, J. Fluid Mech. 359, 81: 1.82e8 within 0.01e8), whose
#: Prandtl number this is.
UNSTABLE_ABOVE, AIR = 1.82e8, 0.71

_COARSE = 20  # degree of the continuation
_FIRST, _FACTOR, _SMALLEST = 1e4, 10.0, 1.3  # first Rayleigh number, and the factors from one to the next


@dataclass(frozen=True)
class NaturalConvection:
    """Outcome of `natural_convection`.

    Attributes
    ----------
    status : SUCCESS if and only if the recomputed residual at the numbers asked for meets the tolerance. That says nothing of stability.
    rayleigh_number, prandtl_number : of the flow; after a failed continuation the last that were reached.
    psi : coefficients of the streamfunction, shape (degree - 3, degree - 3), for interior functions of `ClampedBasis`.
    theta : coefficients of ``T - (1 - x)``, shape (degree - 1, degree + 1).
    residual_norms : of Newton's method at the degree asked for.
    newton_iterations : continuation included.
    """

    status: NewtonStatus
    rayleigh_number: float
    prandtl_number: float
    psi: Array
    theta: Array
    residual_norms: tuple[float, ...]
    newton_iterations: int

    def __repr__(self) -> str:
        what = f"{self.status.name} at Ra = {self.rayleigh_number:.6g}, Pr = {self.prandtl_number:.6g}, degree {self.degree}"
        return f"NaturalConvection({what}, {self.newton_iterations} Newton iterations)"

    @property
    def degree(self) -> int:
        return len(self.psi) + HERMITE - 1

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a reader of the solution must know: in air, that the flow is unstable where that is published."""
        if self.prandtl_number != AIR or self.rayleigh_number <= UNSTABLE_ABOVE:
            return ()
        return (
            f"the steady flow at Ra = {self.rayleigh_number:g} is unstable: in air the flow becomes unsteady near "
            f"Ra = {UNSTABLE_ABOVE:.3g}, so compare only with steady solutions",
        )

    def raise_for_status(self) -> NaturalConvection:
        """Return self after a success; raise `SolverError` with what was reached otherwise."""
        if self.status is not NewtonStatus.SUCCESS:
            raise SolverError(
                f"natural convection: {self.status.name}, the flow is that at Ra = {self.rayleigh_number:.4g}: {self.status.value}"
            )
        return self

    def velocity(self, x: Array, y: Array) -> tuple[Array, Array]:
        """u and v on the grid of all (x_i, y_j), shape (x.size, y.size)."""
        X, Y = (ClampedBasis(self.degree, 0.0, 1.0).tables(points, 2)[:, :, HERMITE:] for points in (x, y))
        return X[0] @ self.psi @ Y[1].T, -X[1] @ self.psi @ Y[0].T

    def streamfunction(self, x: Array, y: Array) -> Array:
        X, Y = (ClampedBasis(self.degree, 0.0, 1.0).tables(points, 1)[0, :, HERMITE:] for points in (x, y))
        return np.asarray(X @ self.psi @ Y.T)

    def temperature(self, x: Array, y: Array) -> Array:
        return np.asarray(1 - np.asarray(x)[:, None] + _bubbles(x, self.degree)[0] @ self.theta @ _legendre(y, self.degree)[0].T)

    def nusselt(self, x: float, y: Array | None = None) -> Array:
        """Heat flux ``u T - T_x`` across the line at x, at the points y; None gives its mean over the line."""
        nodes, weights = ClampedBasis(2 * self.degree + 8, 0.0, 1.0).gauss(2 * self.degree + 8)
        at = nodes if y is None else np.asarray(y)
        place = np.array([x])
        slope = -1 + _bubbles(place, self.degree)[1] @ self.theta @ _legendre(at, self.degree)[0].T
        flux = (self.velocity(place, at)[0] * self.temperature(place, at) - slope)[0]
        return np.asarray(weights @ flux) if y is None else np.asarray(flux)


def natural_convection(rayleigh_number: float, prandtl_number: float = 0.71, degree: int = 32, *, rtol: float = 1e-10) -> NaturalConvection:
    """Solve for the steady flow.

    Above a Rayleigh number of 1.82e8 that of air is unstable, and `NaturalConvection.notes` says so; for other Prandtl numbers nothing is
    said.

    Parameters
    ----------
    degree : of the polynomials in each direction, at least 8; a Newton step factorises a dense matrix of about ``2 degree^2`` rows.
    rtol : success is a residual of at most ``rtol`` times one more than that of the fluid at rest, whose temperature falls linearly.

    Raises
    ------
    TypeError, ValueError : for numbers that are not positive, or a degree that is too low.
    """
    for name, value in (("rayleigh_number", rayleigh_number), ("prandtl_number", prandtl_number)):
        if not 0 < number(name, value, "it must be positive and finite") < np.inf:
            raise ValueError(f"natural_convection: {name} is {value}; it must be positive and finite")
    if whole("degree", degree) < 8:
        raise ValueError(f"natural_convection: degree is {degree}; it must be at least 8")
    coarse = _Galerkin(min(degree, _COARSE), prandtl_number)
    state, done, iterations, factor = np.zeros(coarse.size), 0.0, 0, _FACTOR
    status, norms = NewtonStatus.SUCCESS, [0.0]
    while done < rayleigh_number:
        target = min(rayleigh_number, max(done * factor, _FIRST) if done else _FIRST)
        result = newton(coarse.at(target), state, tolerance=rtol * coarse.at(target).scale)
        iterations += result.iterations
        if result.status is NewtonStatus.SUCCESS:
            state, done, norms = result.state, target, result.residual_norms
        elif done and factor > _SMALLEST:
            factor **= 0.5
        else:
            status = result.status
            break
    galerkin, reached = coarse, done
    if status is NewtonStatus.SUCCESS and degree > coarse.degree:
        galerkin = _Galerkin(degree, prandtl_number)
        result = newton(galerkin.at(reached), galerkin.prolonged(coarse, state), tolerance=rtol * galerkin.at(reached).scale)
        state, status, norms, iterations = result.state, result.status, result.residual_norms, iterations + result.iterations
    psi, theta = galerkin.split(state)
    return NaturalConvection(status, reached, prandtl_number, psi, theta, tuple(norms), iterations)


class _Galerkin:
    """Tables at quadrature points that integrate products of three polynomials exactly, and what is linear."""

    def __init__(self, degree: int, prandtl_number: float) -> None:
        self.degree, self.prandtl_number = degree, prandtl_number
        basis = ClampedBasis(degree, 0.0, 1.0)
        self.x, w = basis.gauss((3 * degree) // 2 + 2)
        self.weights = w[:, None] * w[None, :]
        self.C = basis.tables(self.x, 3)[:, :, HERMITE:]
        self.B, self.L = _bubbles(self.x, degree), _legendre(self.x, degree)
        self.flow, self.heat = (self.C.shape[2],) * 2, (self.B.shape[2], self.L.shape[2])
        self.size = self.flow[0] * self.flow[1] + self.heat[0] * self.heat[1]

    def at(self, rayleigh_number: float) -> _Equation:
        return _Equation(self, rayleigh_number)

    def split(self, state: Array) -> tuple[Array, Array]:
        n = self.flow[0] * self.flow[1]
        return state[:n].reshape(self.flow), state[n:].reshape(self.heat)

    def prolonged(self, coarse: _Galerkin, state: Array) -> Array:
        """A state of lower degree in these polynomials, whose first ones are the same."""
        found = np.zeros(self.flow), np.zeros(self.heat)
        for fine, part in zip(found, coarse.split(state), strict=True):
            fine[: part.shape[0], : part.shape[1]] = part
        return np.concatenate([part.ravel() for part in found])


class _Equation:
    """The discrete equations at a Rayleigh number, for `newton`."""

    def __init__(self, galerkin: _Galerkin, rayleigh_number: float) -> None:
        self.g, self.buoyancy = galerkin, rayleigh_number * galerkin.prandtl_number
        self.scale = 1.0 + float(np.linalg.norm(self.residual(np.zeros(galerkin.size))))  # 1 is the conducted heat

    def fields(self, state: Array) -> tuple[Array, Array, Array, Array, Array]:
        """psi_x, psi_y, Laplacian psi, T_x and T_y at the quadrature points."""
        g = self.g
        psi, theta = g.split(state)
        C, B, L = g.C, g.B, g.L
        laplacian = C[2] @ psi @ C[0].T + C[0] @ psi @ C[2].T
        return C[1] @ psi @ C[0].T, C[0] @ psi @ C[1].T, laplacian, -1 + B[1] @ theta @ L[0].T, B[0] @ theta @ L[1].T

    def residual(self, state: Array) -> Array:
        g = self.g
        C, B, L = g.C, g.B, g.L
        psi_x, psi_y, laplacian, T_x, T_y = (g.weights * part for part in self.fields(state))
        plain = self.fields(state)
        viscous = g.prandtl_number * laplacian
        flow = C[2].T @ viscous @ C[0] + C[0].T @ viscous @ C[2] - self.buoyancy * (C[0].T @ T_x @ C[0])
        flow += C[1].T @ (laplacian * plain[1]) @ C[0] - C[0].T @ (laplacian * plain[0]) @ C[1]
        heat = B[1].T @ T_x @ L[0] + B[0].T @ T_y @ L[1] + B[0].T @ (psi_y * plain[3] - psi_x * plain[4]) @ L[0]
        return np.concatenate([flow.ravel(), heat.ravel()])

    def correction(self, state: Array, residual: Array) -> Array | None:
        jacobian = self.jacobian(state)
        if not np.isfinite(jacobian).all():
            return None
        try:
            return np.asarray(scipy.linalg.solve(jacobian, residual, overwrite_a=True, check_finite=False))
        except np.linalg.LinAlgError:
            return None

    def jacobian(self, state: Array) -> Array:
        """Dense; integrals are summed one direction after the other."""
        g = self.g
        C, B, L, one = g.C, g.B, g.L, g.weights
        psi_x, psi_y, laplacian, T_x, T_y = (g.weights * part for part in self.fields(state))
        Pr, n = g.prandtl_number, g.flow[0] * g.flow[1]
        found = np.empty((g.size, g.size))
        # (field, test in x, trial in x, test in y, trial in y)
        found[:n, :n] = _integrals(
            [
                (Pr * one, C[2], C[2], C[0], C[0]), (Pr * one, C[2], C[0], C[0], C[2]),
                (Pr * one, C[0], C[2], C[2], C[0]), (Pr * one, C[0], C[0], C[2], C[2]),
                (psi_y, C[1], C[2], C[0], C[0]), (psi_y, C[1], C[0], C[0], C[2]),
                (-psi_x, C[0], C[2], C[1], C[0]), (-psi_x, C[0], C[0], C[1], C[2]),
                (laplacian, C[1], C[0], C[0], C[1]), (-laplacian, C[0], C[1], C[1], C[0]),
            ]
        )  # fmt: skip
        found[:n, n:] = _integrals([(-self.buoyancy * one, C[0], B[1], C[0], L[0])])
        found[n:, :n] = _integrals([(T_x, B[0], C[0], L[0], C[1]), (-T_y, B[0], C[1], L[0], C[0])])
        found[n:, n:] = _integrals(
            [
                (one, B[1], B[1], L[0], L[0]), (one, B[0], B[0], L[1], L[1]),
                (psi_y, B[0], B[1], L[0], L[0]), (-psi_x, B[0], B[0], L[0], L[1]),
            ]
        )  # fmt: skip
        return found


def _integrals(terms: list[tuple[Array, Array, Array, Array, Array]]) -> Array:
    """Sums of integrals of ``field test_i(x) trial_k(x) test_j(y) trial_l(y)``, as a matrix of rows (i, j) and columns (k, l)."""
    pairs_x = np.concatenate([products(test, trial) for _, test, trial, _, _ in terms])
    pairs_y = np.concatenate([weight @ products(test, trial) for weight, _, _, test, trial in terms])
    (_, test_x, trial_x, test_y, trial_y), *_ = terms
    i, k, j, m = test_x.shape[1], trial_x.shape[1], test_y.shape[1], trial_y.shape[1]
    return np.asarray((pairs_x.T @ pairs_y).reshape(i, k, j, m).transpose(0, 2, 1, 3).reshape(i * j, k * m))


def _legendre(x: Array, degree: int) -> Array:
    """Legendre polynomials of (0, 1) up to `degree` with norm 1, and their derivatives: shape (2, x.size, degree + 1)."""
    n = np.arange(degree + 1)
    values = np.stack([legendre.legval(2 * np.asarray(x) - 1, row) for row in np.eye(degree + 1)], axis=1)
    slopes = np.stack([2 * legendre.legval(2 * np.asarray(x) - 1, legendre.legder(row)) for row in np.eye(degree + 1)], axis=1)
    return np.asarray(np.stack([values, slopes]) * np.sqrt(2 * n + 1))


def _bubbles(x: Array, degree: int) -> Array:
    """Integrated Legendre polynomials of (0, 1), which vanish at both ends, with derivatives of norm 1: shape (2, x.size, degree - 1)."""
    n = np.arange(1, degree)
    L = np.stack([legendre.legval(2 * np.asarray(x) - 1, row) for row in np.eye(degree + 1)], axis=1)
    values = (L[:, n + 1] - L[:, n - 1]) / (2 * np.sqrt(2 * n + 1))
    return np.asarray(np.stack([values, L[:, n] * np.sqrt(2 * n + 1)]))
