"""Helmholtz's equation on the grid of the elliptic family, with resonances refused."""

from __future__ import annotations

import math

import numpy as np

from sciml.discretize.linear import LinearSystem, discretize, elliptic_system
from sciml.errors import DatasetError
from sciml.fields import law_range
from sciml.problems.helmholtz import Helmholtz
from sciml.problems.problem import Parameters

#: The scheme's wavenumbers along an axis are 2/h sin(q h / 2), which no q makes larger than 2/h.
LARGEST_KH = 2.0
_RESONANT = 1e-9  # relative distance of k^2 to an eigenvalue; nearer, rounding of the data decides the solution


@discretize.register
def _helmholtz(problem: Helmholtz, parameters: Parameters) -> LinearSystem:
    system = elliptic_system(problem, parameters)
    wavenumber = problem.value("wavenumber", parameters)
    _refuse_unresolved(problem, float(wavenumber.max()))
    if wavenumber.ndim == 0 and wavenumber > 0:
        _refuse_resonance(problem, float(wavenumber))
    return system


def _refuse_unresolved(problem: Helmholtz, drawn: float) -> None:
    """Refuse waves that the grid does not have; the law's bound, where it has one, speaks for all samples."""
    bound = law_range(problem.wavenumber)[1]
    k = bound if math.isfinite(bound) else drawn
    h = max(problem.grid.spacing)
    if k * h >= LARGEST_KH:
        needed = [math.floor(k * length / LARGEST_KH) + 1 for length in problem.grid.extent]
        raise DatasetError(
            f"wavenumber = {k:g} has {2 * math.pi / (k * h):.2g} cells a wavelength and needs more than {math.pi:.3g} "
            f"(k h = {k * h:.3g}, h = {h:.3g}): raise problem.resolution to {max(needed)} at least, ten cells a wavelength are usual"
        )


def _refuse_resonance(problem: Helmholtz, wavenumber: float) -> None:
    """Refuse a constant k at an eigenvalue of the box, be it of the equation or of the matrix."""
    for discrete, whose in ((False, "the box"), (True, "the box on this grid")):
        eigenvalues = problem.resonances(discrete=discrete)
        nearest = float(eigenvalues.flat[np.argmin(abs(eigenvalues - wavenumber**2))])
        if abs(nearest - wavenumber**2) <= _RESONANT * wavenumber**2:
            raise DatasetError(
                f"wavenumber = {wavenumber:.10g} is a resonance of {whose} (the square root of the eigenvalue {nearest:.10g}), "
                "so the equation has no unique solution: change it a little"
            )
