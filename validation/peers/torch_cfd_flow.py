"""torch-cfd's spectral solver of the vorticity equation, with its Runge-Kutta and Crank-Nicolson method, where it is installed."""

from __future__ import annotations

from importlib import metadata, util
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
#: Right-hand sides in a step of its method.
STAGES = 5


def missing() -> str | None:
    """Why there is no such peer; None where there is."""
    return None if util.find_spec("torch_cfd") else "torch_cfd is not installed: pip install torch-cfd einops xarray seaborn dill"


def name() -> str:
    return f"torch-cfd {metadata.version('torch-cfd')}, float64 on one core"


def march(w: Array, forcing: Array, viscosity: float, dt: float, steps: int) -> Array:
    """Vorticities (..., n, n) on the unit square after `steps` steps."""
    from torch_cfd.grids import Grid
    from torch_cfd.spectral import NavierStokes2DSpectral, RK4CrankNicolsonStepper

    class Forcing:
        vorticity = True

        def __call__(self, grid: Any, vorticity: Any, time: Any) -> torch.Tensor:
            return torch.as_tensor(forcing)

    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        grid = Grid(shape=w.shape[-2:], domain=((0, 1), (0, 1)))
        equation = NavierStokes2DSpectral(viscosity, grid, forcing_fn=Forcing(), step_fn=RK4CrankNicolsonStepper())
        equation = equation.double()
        with torch.no_grad():
            modes, _ = equation(torch.fft.rfft2(torch.as_tensor(w)), dt, steps)
            return np.asarray(torch.fft.irfft2(modes, s=w.shape[-2:]))
    finally:
        torch.set_default_dtype(before)
        torch.set_num_threads(threads)
