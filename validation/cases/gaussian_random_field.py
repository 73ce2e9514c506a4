"""Gaussian random fields follow their law: variance, spectrum, normality and independence of modes as z-scores.

The covariance is ``tau^(2 alpha - d) (-Laplacian + tau^2)^(-alpha)`` without its constant mode, so the coefficient of each
L2-orthonormal mode is an independent centred normal number whose variance is written down here from the formula. The modes are
evaluated as cosines and sines and integrated by the midpoint rule, not by the transforms that made the field.
"""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
from numpy.typing import NDArray

from sciml.checks import Check, CheckReport, Relation
from sciml.fields import GaussianRandomField
from sciml.grid import Grid
from validation.options import check_between

Array = NDArray[np.float64]
Wave = tuple[int, ...]

STUDIES = {
    "2-D, Neumann, alpha 2, tau 3 (the Darcy benchmark's law)": (GaussianRandomField(alpha=2.0, tau=3.0), Grid((32, 24), (1.0, 1.0))),
    "2-D, periodic, alpha 2.5, tau 7 (the Navier-Stokes benchmark's law)": (
        GaussianRandomField(alpha=2.5, tau=7.0, boundary="periodic"),
        Grid((24, 33), (1.0, 1.0)),
    ),
    "2-D, Neumann, on a box of 2 x 0.5": (GaussianRandomField(alpha=1.5, tau=4.0, amplitude=1.7), Grid((24, 16), (2.0, 0.5))),
    "3-D, Neumann, alpha 3, tau 5": (GaussianRandomField(alpha=3.0, tau=5.0), Grid((10, 12, 8), (1.0, 1.0, 1.0))),
    "3-D, periodic, alpha 3, tau 5": (GaussianRandomField(alpha=3.0, tau=5.0, boundary="periodic"), Grid((9, 12, 8), (1.0, 1.0, 1.5))),
}


def run(*, samples: int = 2000, seed: int = 0) -> CheckReport:
    """Draw `samples` fields of each law and compare them with the closed form."""
    check_between("samples", samples, 100, 1_000_000)
    check_between("seed", seed, 0, 2**63 - 1)
    start = time.perf_counter()
    checks = []
    for number, (name, (law, grid)) in enumerate(STUDIES.items()):
        checks += _checks(name, law, grid, _draw(law, grid, samples, seed, number))
    return CheckReport("gaussian-random-field", checks, time.perf_counter() - start)


def _draw(law: GaussianRandomField, grid: Grid, samples: int, seed: int, study: int) -> Array:
    return np.stack([law.sample(grid, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(study, i)))) for i in range(samples)])


def _checks(name: str, law: GaussianRandomField, grid: Grid, fields: Array) -> list[Check]:
    def check(figure: str, observed: float, expected: float | tuple[float, float]) -> Check:
        relation: Relation = "in" if isinstance(expected, tuple) else "<="
        return Check(f"{name}: {figure}", observed, relation, expected, reference="closed form", status="exact")

    waves = _waves(law, grid)
    modes = np.stack([_mode(law, grid, wave) for wave in waves])
    variances = np.array([_variance(law, grid, wave) for wave in waves])
    axes = tuple(range(1, fields.ndim))
    coefficients = np.tensordot(fields, modes, axes=(axes, axes)) * math.prod(grid.spacing) / np.sqrt(variances)
    per_mode = np.array([_z(values**2, 1.0, math.sqrt(2.0)) for values in coefficients.T])
    energy = (fields**2).mean(axis=axes) * grid.volume
    at_corner = float(variances @ modes.reshape(len(modes), -1)[:, 0] ** 2)
    strongest = coefficients[:, np.argsort(-variances, kind="stable")[:12]]
    correlations = (strongest.T @ strongest / len(fields))[np.triu_indices(12, k=1)] * math.sqrt(len(fields))
    likely = (-4.0, 4.0)  # a right law leaves this interval once in 16,000 draws; extremes of many get 5
    return [
        check("largest |mean over the box| / deviation", float(np.abs(fields.mean(axis=axes)).max() / fields.std()), 1e-12),
        check("variance over the box, z", _z(energy, variances.sum(), math.sqrt(2 * (variances**2).sum())), likely),
        check("variance at a corner, z", _z(fields.reshape(len(fields), -1)[:, 0] ** 2, at_corner, math.sqrt(2) * at_corner), likely),
        check(f"variances of all {len(waves)} modes, chi-squared as z", _z(per_mode**2, 1.0, math.sqrt(2.0)), likely),
        check(f"variance of the worst of {len(waves)} modes, |z|", float(np.abs(per_mode).max()), 5.0),
        check("fourth moment of the strongest mode, z", _z(strongest[:, 0] ** 4, 3.0, math.sqrt(96.0)), likely),
        check("largest correlation among the 12 strongest modes, |z|", float(np.abs(correlations).max()), 5.0),
    ]


def _z(values: Array, expected: float, deviation: float) -> float:
    """Distance of the mean of `values` from `expected` in its own standard deviations, `deviation` being that of one value."""
    return float((values.mean() - expected) / (deviation / math.sqrt(len(values))))


def _waves(law: GaussianRandomField, grid: Grid) -> list[Wave]:
    """Wave vectors that the grid resolves, the constant mode left out; unpaired Nyquist waves carry no variance."""
    if law.boundary == "neumann":
        ranges = [range(n) for n in grid.shape]
    else:
        ranges = [range(-((n - 1) // 2), (n - 1) // 2 + 1) for n in grid.shape]
    return [wave for wave in itertools.product(*ranges) if any(wave)]


def _variance(law: GaussianRandomField, grid: Grid, wave: Wave) -> float:
    factor = math.pi if law.boundary == "neumann" else 2 * math.pi
    k2 = sum((factor * k / length) ** 2 for k, length in zip(wave, grid.extent, strict=True))
    return float(law.amplitude**2 * law.tau ** (2 * law.alpha - grid.dimension) * (k2 + law.tau**2) ** -law.alpha)


def _mode(law: GaussianRandomField, grid: Grid, wave: Wave) -> Array:
    """L2-orthonormal eigenfunction of `wave` at the cell centres."""
    along = list(zip(wave, grid.points(), grid.extent, strict=True))
    if law.boundary == "neumann":
        factors = [math.sqrt(1 if k == 0 else 2) * np.cos(math.pi * k * x / length) for k, x, length in along]
        return np.asarray(math.prod(factors) / math.sqrt(grid.volume))
    phase = sum(2 * math.pi * k * x / length for k, x, length in along)
    return np.asarray((np.cos(phase) + np.sin(phase)) / math.sqrt(grid.volume))
