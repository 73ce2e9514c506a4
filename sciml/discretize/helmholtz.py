"""Helmholtz's equation on the grid of the elliptic family, with resonances refused."""

from __future__ import annotations

import numpy as np

from sciml.discretize.linear import LinearSystem, discretize, elliptic_system
from sciml.errors import DatasetError
from sciml.problems.helmholtz import Helmholtz
from sciml.problems.problem import Parameters

_RESONANT = 1e-9  # relative distance of k^2 to an eigenvalue; nearer, rounding of the data decides the solution


@discretize.register
def _helmholtz(problem: Helmholtz, parameters: Parameters) -> LinearSystem:
    system = elliptic_system(problem, parameters)
    wavenumber = problem.value("wavenumber", parameters)
    if wavenumber.ndim == 0 and wavenumber > 0:
        _refuse_resonance(problem, float(wavenumber))
    return system


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
