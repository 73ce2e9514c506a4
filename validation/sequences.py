"""Sequences of linear systems with matrices that resemble each other: what recycling is measured on.

Every matrix is assembled by this package's own discretisations, whose order and maximum principle have tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sciml.discretize import LinearSystem, linear_system
from sciml.fields import GaussianRandomField
from sciml.grid import Grid
from sciml.problems import BoxProblem, ConvectionDiffusion, Darcy, Helmholtz, seed_words
from solvers.linear import StencilOperator
from validation.heat_conduction import heat_system, quarter_ring

Array = NDArray[np.float64]
Matrix: TypeAlias = StencilOperator | sp.csr_matrix


@dataclass(frozen=True)
class Sequence:
    """Systems of one size, one after another.

    Parameters
    ----------
    name : for tables.
    systems : pairs (A, b).
    rtol : relative tolerance that all solvers get.
    preconditioner : for `make_preconditioner` and for the peers, the same for all of them; None is none.
    definite : whether A is symmetric positive definite.
    """

    name: str
    systems: tuple[tuple[Matrix, Array], ...]
    rtol: float
    preconditioner: str | None = None
    definite: bool = False

    @property
    def size(self) -> int:
        return int(self.systems[0][1].size)


def helmholtz(dimension: int, samples: int, resolution: int, *, low: float = 8.0, high: float = 12.0) -> Sequence:
    """Standing waves in a closed box, the wavenumber a smooth field between `low` and `high`: indefinite."""
    law = {"kind": "smooth_step", "low": low, "high": high, "steepness": 3.0, "field": _field(alpha=3.0, tau=5.0)}
    settings = {"wavenumber": law, "source": _field(alpha=3.0, tau=3.0, amplitude=10.0)}
    problem = Helmholtz.model_validate({"dimension": dimension, "resolution": resolution, **settings})
    return Sequence(f"Helmholtz {dimension}-D, {resolution}^{dimension}, k {low:g} to {high:g}", _systems(problem, samples), 1e-5)


def darcy(samples: int, resolution: int = 64, preconditioner: str | None = "jacobi") -> Sequence:
    """Flow through a log-normal medium as in the recipe `darcy-lognormal`: symmetric positive definite."""
    law = {"kind": "log_normal", "field": _field(alpha=2.0, tau=3.0, amplitude=3.0)}
    problem = Darcy.model_validate({"resolution": resolution, "permeability": law, "source": 1.0})
    return Sequence(f"Darcy, {resolution}^2, log-normal", _systems(problem, samples), 1e-8, preconditioner, definite=True)


def recirculating(samples: int, resolution: int = 64, preconditioner: str | None = "ilu0") -> Sequence:
    """One eddy in a closed square at a cell Peclet number of about one, the diffusivity a log-normal field."""
    return _convection("recirculating", {"kind": "recirculating", "speed": 2.0}, resolution, samples, preconditioner)


def boundary_layer(samples: int, resolution: int = 64, preconditioner: str | None = "ilu0") -> Sequence:
    """A constant flow into two walls, the diffusivity a log-normal field."""
    return _convection("boundary layer", {"kind": "constant", "components": (1.0, 0.5)}, resolution, samples, preconditioner)


def thermal(samples: int, layers: int = 40, preconditioner: str | None = "jacobi") -> Sequence:
    """Heat conduction on an unstructured mesh, conductivity and heat transfer coefficient from log-normal laws: positive definite."""
    mesh = quarter_ring(layers)
    law, support = GaussianRandomField(alpha=2.0, tau=3.0, amplitude=3.0), mesh.centroids(32)
    systems = []
    for index in range(samples):
        rng = np.random.default_rng([3, index])
        h, flux, surroundings = np.exp(rng.standard_normal()), rng.uniform(1, 2), rng.uniform(-1, 1)
        systems.append(heat_system(mesh, np.exp(law.sample(support, rng)), h, flux, surroundings))
    return Sequence(f"thermal, {len(mesh.points)} nodes, log-normal", tuple(systems), 1e-8, preconditioner, definite=True)


#: The sequences of the benchmark and of the reproduction: how each is made from a number of samples.
SEQUENCES: dict[str, Callable[..., Sequence]] = {
    "Helmholtz 2-D": partial(helmholtz, 2, resolution=62),
    "Helmholtz 3-D": partial(helmholtz, 3, resolution=32, low=8.0, high=10.0),
    "Darcy": darcy,
    "thermal": thermal,
    "recirculating": recirculating,
    "boundary layer": boundary_layer,
}


def media(samples: int, resolution: int, parameters: int | None) -> Array:
    """Coefficients of one law, median contrast about 50, shape (samples, n, n): Gaussian fields g in their exponent.

    Parameters
    ----------
    parameters : None draws every g anew; otherwise g is a combination of that many fixed fields with normal weights.
    """
    grid = Grid((resolution, resolution), (1.0, 1.0))
    law = GaussianRandomField(alpha=2.0, tau=3.0, amplitude=3.0)
    if parameters is None:
        return np.exp([law.sample(grid, np.random.default_rng([0, index])) for index in range(samples)])
    fixed = np.array([law.sample(grid, np.random.default_rng([1, index])) for index in range(parameters)])
    weights = np.random.default_rng(2).standard_normal((samples, parameters))
    return np.exp(np.tensordot(weights, fixed, 1))


def _convection(name: str, velocity: dict[str, Any], resolution: int, samples: int, preconditioner: str | None) -> Sequence:
    diffusivity = {"kind": "log_normal", "scale": 0.01, "field": _field(alpha=3.0, tau=3.0, amplitude=1.0)}
    problem = ConvectionDiffusion.model_validate(
        {"resolution": resolution, "velocity": velocity, "diffusivity": diffusivity, "source": _field(alpha=2.0, tau=3.0)}
    )
    return Sequence(f"convection-diffusion {name}, {resolution}^2", _systems(problem, samples), 1e-8, preconditioner)


def _field(**settings: float) -> dict[str, Any]:
    return {"kind": "gaussian_random_field", **settings}


def _systems(problem: BoxProblem, samples: int) -> tuple[tuple[Matrix, Array], ...]:
    systems: list[LinearSystem] = [linear_system(problem, problem.sample(seed_words(0, 0, index))) for index in range(samples)]
    return tuple((system.operator, system.rhs.ravel()) for system in systems)


def entries(A: Matrix) -> sp.csr_matrix:
    """A with its entries."""
    return A.to_csr() if isinstance(A, StencilOperator) else A
