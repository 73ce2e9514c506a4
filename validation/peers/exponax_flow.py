"""exponax' exponential integrator of fourth order for the vorticity equation, an independent code on JAX, where it is installed.

exponax takes ``Laplacian psi = w`` with u = psi_y, v = -psi_x: a velocity whose curl is -w. Its field is given the opposite sign here.
"""

from __future__ import annotations

from importlib import metadata, util
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def missing() -> str | None:
    """Why there is no such peer; None where there is."""
    return None if util.find_spec("exponax") else "exponax is not installed: pip install exponax"


def name() -> str:
    return f"exponax {metadata.version('exponax')}, float64"


def march(w: Array, side: float, viscosity: float, dt: float, steps: int, *, kolmogorov: bool) -> Array:
    """Vorticity (n, n) on a periodic square after `steps` steps; with `kolmogorov` under ``curl f = 4 cos 4 y`` and a drag of 0.1."""
    import exponax
    import jax

    jax.config.update("jax_enable_x64", True)
    settings = {"num_spatial_dims": 2, "domain_extent": side, "num_points": len(w), "dt": dt, "diffusivity": viscosity, "order": 4}
    if kolmogorov:
        stepper = exponax.stepper.KolmogorovFlowVorticity(**settings, drag=-0.1, injection_mode=4, injection_scale=1.0)
    else:
        stepper = exponax.stepper.NavierStokesVorticity(**settings)
    return -np.asarray(exponax.repeat(stepper, steps)(jax.numpy.asarray(-w[None])))[0]
